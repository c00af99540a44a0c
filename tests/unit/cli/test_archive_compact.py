"""``newsmill archive compact``: what a person sees of it, and that every key stays good."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import REPOSITORY
from tests.unit.cli.conftest import NOW, Books, Newsmill
from tests.unit.stages.test_compact import bundle_of
from worker import stages
from worker.archive.filesystem import FileStore
from worker.archive.index import bundle_note, index_lines
from worker.ledger import articles, bundles
from worker.model import State


class Kept:
    """Bundles of published articles, two hours old."""

    def __init__(self, newsmill: Newsmill, books: Books) -> None:
        self.books = books
        self.store = FileStore(newsmill.home / "archive")
        self.feed_id = books.feed()
        self.data: dict[str, bytes] = {}
        self.ids: list[str] = []

    def add(self, count: int) -> list[str]:
        """Returns: the bundles' keys."""
        keys = []
        for number in range(len(self.data), len(self.data) + count):
            url, data = f"https://harbour.example/{number}", bundle_of(number)
            key = f"warc/2026/11/20/{number:032x}-1.warc.gz"
            values: dict[str, Any] = {"state": State.PUBLISHED, "archive": {"warc": key}}
            article_id = self.books.article(self.feed_id, url, **values)
            self.store.put(key, data)
            with self.books.ledger.transaction() as tx:
                row = articles.newest(tx, article_id)
                assert row is not None
                note = bundle_note(key, data, index_lines(data))
                bundles.keep(tx, article_pk=row.id, now=NOW - timedelta(hours=2), **note)
            self.data[key] = data
            self.ids.append(article_id)
            keys.append(key)
        return keys


@pytest.fixture
def kept(newsmill: Newsmill, books: Books) -> Iterator[Kept]:
    return Kept(newsmill, books)


def got(newsmill: Newsmill, path: Path, *arguments: str) -> bytes:
    answer = newsmill("archive", "get", *arguments, "-o", str(path))
    assert answer.code == 0, answer.err
    return path.read_bytes()


def test_bundles_become_large_files_and_are_found_as_before(newsmill: Newsmill, kept: Kept, tmp_path: Path) -> None:
    keys = kept.add(6)
    answer = newsmill("archive", "compact", NEWSMILL_WARC_BYTES="20000")
    assert (answer.code, answer.err) == (0, "")
    files = [key for key in kept.store.keys("") if "/newsmill-" in key]
    assert [line.split()[0] for line in answer.out.splitlines()] == ["bundles", "5", "1"]
    assert all(file in answer.out for file in files if file.endswith(".warc.gz"))
    assert not any(kept.store.exists(key) for key in keys)
    for key, article_id in zip(keys, kept.ids, strict=True):
        assert got(newsmill, tmp_path / "by-key", key) == kept.data[key]
        assert got(newsmill, tmp_path / "by-id", article_id, "--part", "warc") == kept.data[key]


def test_programs_get_json(newsmill: Newsmill, kept: Kept) -> None:
    kept.add(2)
    answer = newsmill("archive", "compact", "--json")
    (file,) = answer.json["files"]
    assert file["bundles"] == 2
    assert file["bytes"] == kept.store.size(file["warc"]) == sum(map(len, kept.data.values()))
    assert kept.store.exists(file["index"])
    assert (answer.json["damaged"], answer.json["held"]) == ([], 0)


def test_with_nothing_to_do_it_says_why(newsmill: Newsmill, books: Books) -> None:
    answer = newsmill("archive", "compact")
    assert answer.code == 0
    assert "an hour old" in answer.out


def test_a_missing_bundle_is_told_with_its_article_each_time(newsmill: Newsmill, kept: Kept) -> None:
    lost, _ = kept.add(2)
    kept.store.delete(lost)
    for _ in range(2):
        answer = newsmill("archive", "compact")
        assert answer.code == 1
        assert f"{lost} is missing" in answer.err
        assert kept.ids[0][:8] in answer.err
    told = newsmill("archive", "compact", "--json")
    assert told.json["damaged"] == [{"key": lost, "problem": "missing", "article_id": kept.ids[0], "revision": 1}]


def test_status_and_doctor_tell_of_damaged_bundles_until_they_are_back(newsmill: Newsmill, kept: Kept) -> None:
    lost, _ = kept.add(2)
    kept.store.delete(lost)
    newsmill("archive", "compact")
    assert "1 bundle of the archive missing or changed: `newsmill archive compact`" in newsmill("status").out
    assert newsmill("status", "--json").json["damaged_bundles"] == 1
    checks = newsmill("doctor", "--json", PUBLISH_URL="memory://").json["checks"]
    assert [(check["mark"], check["found"]) for check in checks if check["name"] == "bundles"] == [
        ("warn", "1 missing or changed")
    ]
    kept.store.put(lost, kept.data[lost])
    newsmill("archive", "compact")
    assert newsmill("status", "--json").json["damaged_bundles"] == 0
    assert '"bundles"' not in newsmill("doctor", "--json", PUBLISH_URL="memory://").out


def test_a_signal_stops_it_and_the_next_run_goes_on(
    newsmill: Newsmill, kept: Kept, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    keys = kept.add(6)
    handlers = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    whole = stages.compact

    def stopped(deps: stages.Deps, **named: Any) -> stages.Compaction:
        def stop(_size: int) -> None:
            os.kill(os.getpid(), signal.SIGTERM)

        return whole(deps, advanced=stop)

    monkeypatch.setattr(stages, "compact", stopped)
    answer = newsmill("archive", "compact")
    assert answer.code == 1
    assert "goes on" in answer.err
    assert list(kept.store.keys("")) == keys
    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == handlers
    monkeypatch.undo()
    assert newsmill("archive", "compact").code == 0
    assert [got(newsmill, tmp_path / "bundle", key) for key in keys] == [kept.data[key] for key in keys]


def test_a_terminal_sees_progress(newsmill: Newsmill, kept: Kept) -> None:
    kept.add(3)
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "worker.cli.main", "archive", "compact", "--json"]
    environment = {"PATH": os.environ["PATH"], "TERM": "xterm", "COLUMNS": "100", **newsmill.environment}
    done = subprocess.run(
        command, cwd=REPOSITORY, env=environment, stdout=subprocess.PIPE, stderr=theirs, check=True, timeout=60
    )
    os.close(theirs)
    shown = os.read(ours, 100_000).decode()
    os.close(ours)
    assert "3/3 bundles" in shown
    assert "B/s" in shown
    assert b'"bundles": 3' in done.stdout


def test_without_a_database_it_says_what_to_do(newsmill: Newsmill) -> None:
    answer = newsmill("archive", "compact")
    assert answer.code == 1
    assert "newsmill migrate" in answer.err
