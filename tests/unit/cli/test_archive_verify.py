"""``newsmill archive verify``: what a person, or a program, is told."""

from __future__ import annotations

import contextlib
import os
import pty
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY
from tests.tools.corpus import Corpus, made
from tests.unit.cli.conftest import Newsmill
from worker.cli.doors import stopped_by_signals

COUNT = 7


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Corpus]:
    with made(tmp_path_factory.mktemp("home")) as corpus:
        yield corpus


@pytest.fixture
def newsmill(corpus: Corpus, capsys: pytest.CaptureFixture[str]) -> Newsmill:
    return Newsmill(corpus.home, capsys)


@pytest.fixture
def broken(corpus: Corpus) -> Iterator[str]:
    """An article's document is half gone. Gives: the article's id."""
    row = corpus.row("The kites rose")
    store = corpus.line.deps.store
    data = store.get(row.archive["document"])
    store.put(row.archive["document"], data[:100])
    yield row.article_id
    store.put(row.archive["document"], data)


def test_a_whole_archive_is_said_to_be_whole(newsmill: Newsmill) -> None:
    answer = newsmill("archive", "verify")
    assert (answer.code, answer.err) == (0, "")
    assert answer.out.startswith(f"Read {COUNT} articles, 1 feed document and 0 large files: ")
    assert answer.out.rstrip().endswith("Nothing is damaged.")


def test_json_says_how_much_was_read(newsmill: Newsmill) -> None:
    answer = newsmill("archive", "verify", "--json")
    assert answer.code == 0
    assert (answer.json["checked"]["articles"], answer.json["damaged"], answer.json["articles"]) == (COUNT, [], [])
    assert (answer.json["complete"], answer.json["seed"]) == (True, None)


def test_damage_is_told_with_its_article_and_its_remedy(newsmill: Newsmill, broken: str, corpus: Corpus) -> None:
    row = corpus.row("The kites rose")
    answer = newsmill("archive", "verify")
    assert answer.code == 1
    for said in (row.archive["document"], row.title, row.url, "damaged: document; good: bundle, html"):
        assert said in answer.out
    assert f"newsmill reprocess --stage archive {broken}" in answer.out


def test_damage_as_json(newsmill: Newsmill, broken: str, corpus: Corpus) -> None:
    row = corpus.row("The kites rose")
    answer = newsmill("archive", "verify", broken[:8], "--json")
    assert answer.code == 1
    (damaged,) = answer.json["damaged"]
    assert (damaged["key"], damaged["kind"], damaged["articles"]) == (
        row.archive["document"],
        "changed",
        [f"{broken}:1"],
    )
    (touched,) = answer.json["articles"]
    assert (touched["article_id"], touched["title"], touched["url"]) == (broken, row.title, row.url)
    assert touched["damaged"] == {"document": row.archive["document"]}
    assert touched["command"] == f"newsmill reprocess --stage archive {broken}"


def test_only_these_articles_are_read(newsmill: Newsmill, corpus: Corpus) -> None:
    tram = corpus.row("The tram returns").article_id
    assert newsmill("archive", "verify", tram[:8], "--json").json["checked"]["articles"] == 2
    assert newsmill("archive", "verify", f"{tram[:8]}:2", "--json").json["checked"]["articles"] == 1


def test_a_sample_says_how_it_is_drawn_again(newsmill: Newsmill) -> None:
    answer = newsmill("archive", "verify", "--sample", "3", "--seed", "monday")
    assert answer.out.startswith("Read 3 articles, 0 feed documents")
    assert "--seed monday" in answer.out
    assert newsmill("archive", "verify", "--sample", "100%", "--json").json["checked"]["articles"] == COUNT


@pytest.mark.parametrize("said", ["0", "0%", "101%", "many", "-3", "5 %%"])
def test_what_is_no_sample_is_wrong_usage(newsmill: Newsmill, said: str) -> None:
    answer = newsmill("archive", "verify", f"--sample={said}")
    assert answer.code == 2
    assert "is no sample" in answer.err


def test_ids_and_a_period_do_not_go_together(newsmill: Newsmill, corpus: Corpus) -> None:
    answer = newsmill("archive", "verify", corpus.row("The kites rose").article_id, "--since", "24h")
    assert answer.code == 2


def test_a_feed_that_does_not_exist_is_said(newsmill: Newsmill) -> None:
    answer = newsmill("archive", "verify", "--feed", "nobody")
    assert answer.code == 1
    assert "There is no feed 'nobody'" in answer.err


def test_a_period_is_kept_to(newsmill: Newsmill) -> None:
    assert newsmill("archive", "verify", "--until", "24h", "--json").json["checked"]["articles"] == 0
    assert (
        newsmill("archive", "verify", "--since", "24h", "--feed", "quay", "--json").json["checked"]["articles"] == COUNT
    )


def test_an_archive_that_is_away_is_a_sentence(newsmill: Newsmill, tmp_path: Path) -> None:
    answer = newsmill("archive", "verify", ARCHIVE_URL=(tmp_path / "unmounted").as_uri())
    assert answer.code == 1
    assert "mounted" in answer.err
    assert "Traceback" not in answer.err


def test_a_signal_asks_to_stop_once() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with stopped_by_signals(threading.Event()) as stopping:
        os.kill(os.getpid(), signal.SIGTERM)
        assert stopping.wait(5)
        assert signal.getsignal(signal.SIGTERM) is before  # the second ends the process
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_terminal_is_shown_how_far_it_is(corpus: Corpus) -> None:
    """Standard output is a pipe and stays clean; standard error is a terminal."""
    ours, theirs = pty.openpty()
    done = subprocess.run(
        [sys.executable, "-m", "worker.cli.main", "archive", "verify"],
        env={"PATH": os.environ["PATH"], "NEWSMILL_HOME": str(corpus.home), "TERM": "xterm", "COLUMNS": "120"},
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        stderr=theirs,
        timeout=60,
        check=True,
    )
    os.close(theirs)
    shown = b""
    with contextlib.suppress(OSError):  # so a terminal says that nobody is at its other end
        while piece := os.read(ours, 65536):
            shown += piece
    os.close(ours)
    assert f"{COUNT}/{COUNT} articles".encode() in shown
    assert b"MB/s" in shown
    assert b"MB/s" not in done.stdout
