"""Compaction: bundles become parts of large WARC files, and nothing is lost whatever happens at whatever moment."""

from __future__ import annotations

import base64
import dataclasses
import gzip
import hashlib
import io
import json
import logging
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
import warcio.cli
from fastwarc.warc import ArchiveIterator
from sqlalchemy.engine import Connection

from config.celeryconfig import celery_settings
from tasks import articles as article_tasks
from tasks import feeds as feed_tasks
from tasks import upkeep
from tasks.process import process
from tests.conftest import REPOSITORY
from tests.newsserver import NewsServer, article_page, paragraphs
from tests.s3 import KEYS
from tests.unit.stages.conftest import Line
from worker import stages
from worker.archive.index import bundle_note, index_lines
from worker.archive.objectstore import S3Store
from worker.archive.store import MissingObjectError, Store
from worker.errors import QuarantineError, UnavailableError
from worker.ledger import articles, bundles
from worker.ledger import tables as t
from worker.model import State
from worker.stages.compact import ROUND_AT_MOST, waiting
from worker.stages.kept import kept_bytes

FILE_BYTES = 20_000  # a handful of the bundles below
TICKED = (article_tasks.dispatch, feed_tasks.due, upkeep.sweep, upkeep.compact)


def bundle_of(number: int, size: int = 3000) -> bytes:
    """A warcinfo, a response and a metadata record, written by hand."""
    url = f"https://harbour.example/{number}?q=b"
    page = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n" + random.Random(number).randbytes(size)
    about = {"WARC-Target-URI": url}
    return b"".join(
        (
            record_of(number, "warcinfo", b"software: test\r\n", {"Content-Type": "application/warc-fields"}),
            record_of(number, "response", page, {**about, "Content-Type": "application/http;msgtype=response"}),
            record_of(number, "metadata", b'{"title": "Tram"}', {**about, "Content-Type": "application/json"}),
        )
    )


def record_of(number: int, kind: str, block: bytes, fields: dict[str, str]) -> bytes:
    head = {
        "WARC-Type": kind,
        "WARC-Record-ID": f"<{uuid.uuid5(uuid.NAMESPACE_URL, f'{number} {kind}').urn}>",
        "WARC-Date": "2026-11-20T10:00:00Z",
        "WARC-Block-Digest": "sha1:" + base64.b32encode(hashlib.sha1(block).digest()).decode(),
        **fields,
        "Content-Length": str(len(block)),
    }
    lines = "".join(f"{name}: {value}\r\n" for name, value in head.items())
    return gzip.compress(f"WARC/1.1\r\n{lines}\r\n".encode() + block + b"\r\n\r\n", mtime=0)


class Archive:
    """Bundles as the line leaves them, and what has to be true of them afterwards."""

    def __init__(self, line: Line, deps: stages.Deps | None = None) -> None:
        self.line = line
        self.deps = deps or line.deps
        self.data: dict[str, bytes] = {}
        self.article_of: dict[str, str] = {}

    def feed(self) -> int:
        self.line.follow("harbour", "https://harbour.example/feed.xml")
        with self.deps.ledger.reading() as tx:
            return int(tx.scalar(sa.select(t.feeds.c.id)) or 0)

    def add(self, count: int, *, state: str = State.PUBLISHED, day: str = "2026/11/20", size: int = 3000) -> list[str]:
        """Returns: the bundles' keys."""
        now = self.deps.clock()
        with self.deps.ledger.reading() as tx:
            feed_id = tx.scalar(sa.select(t.feeds.c.id))
        feed_id = feed_id or self.feed()
        first = len(self.data)
        keys = []
        for number in range(first, first + count):
            article_id = f"{number:032x}"
            row = {
                "article_id": article_id,
                "feed_id": feed_id,
                "url": f"https://harbour.example/{number}",
                "host": "harbour.example",
                "title": "Tram",
                "state": state,
                "ready_at": now,
                "discovered_at": now,
            }
            with self.deps.ledger.transaction() as tx:
                (inserted,) = articles.insert_discovered(tx, [row], {article_id: b"{}"})
            key = f"warc/{day}/{article_id}-1.warc.gz"
            self.keep(key, bundle_of(number, size), inserted.id)
            self.article_of[key] = article_id
            keys.append(key)
        return keys

    def keep(self, key: str, data: bytes, article_pk: int | None) -> None:
        self.deps.store.put(key, data)
        with self.deps.ledger.transaction() as tx:
            note = bundle_note(key, data, index_lines(data))
            bundles.keep(tx, article_pk=article_pk, now=self.deps.clock(), **note)
        self.data[key] = data

    def objects(self, prefix: str = "") -> list[str]:
        return list(self.deps.store.keys(prefix))

    def large(self) -> list[str]:
        return [key for key in self.objects("warc/") if "/newsmill-" in key]

    def files(self) -> list[t.Row]:
        with self.deps.ledger.reading() as tx:
            return list(tx.execute(sa.select(t.warcs).order_by(t.warcs.c.key)))

    def assert_found(self) -> None:
        """Every bundle is read under its key."""
        for key, data in self.data.items():
            assert kept_bytes(self.deps.ledger, self.deps.store, key) == data, key

    def assert_compacted(self, files: int | None = None) -> None:
        """Every bundle is in a large file, nothing else is stored, and the indexes find every record."""
        self.assert_found()
        large = self.large()
        indexes = [f"index/{key.removeprefix('warc/').removesuffix('.warc.gz')}.cdxj" for key in large]
        assert self.objects() == sorted(large + indexes)
        assert files is None or len(large) == files
        assert [(row.key, row.bytes, row.lease_token, row.lease_until) for row in self.files()] == [
            (key, self.deps.store.size(key), None, None) for key in large
        ]
        assert all(row.kept_at is not None and row.cleaned_at is not None for row in self.files())
        found: list[str] = []
        for key, index in zip(large, indexes, strict=True):
            found += self.assert_indexed(key, index)
        expected = [record.record_id for data in self.data.values() for record in fastwarc_records(data)]
        assert sorted(found) == sorted(expected)

    def assert_indexed(self, key: str, index: str) -> list[str]:
        """Every line of an index leads to its record. Returns: the ids of all records that it leads to."""
        data, lines = self.deps.store.get(key), self.deps.store.get(index).decode("utf-8").splitlines()
        assert lines == sorted(lines)
        found = set()
        for line in lines:
            urlkey, timestamp, fields = line.split(" ", 2)
            said = json.loads(fields)
            assert said["filename"] == key
            start, length = int(said["offset"]), int(said["length"])
            (record,) = fastwarc_records(data[start : start + length])
            assert urlkey.startswith("urn:uuid:") is (urlkey == record.record_id.strip("<>"))
            assert said.get("url") == record.headers.get("WARC-Target-URI")
            assert timestamp == "20261120100000"
            found.add(record.record_id)
        return sorted(found)


def fastwarc_records(data: bytes) -> list[Any]:
    records = []
    for record in ArchiveIterator(io.BytesIO(data), parse_http=False):
        record.freeze()
        assert record.verify_block_digest()
        records.append(record)
    return records


@pytest.fixture
def line(tmp_path: Path) -> Iterator[Line]:
    made = Line(tmp_path, NEWSMILL_WARC_BYTES=str(FILE_BYTES))
    yield made
    made.close()


@pytest.fixture
def archive(line: Line) -> Archive:
    return Archive(line)


# ---------------------------------------------------------------- what it makes


def test_bundles_become_large_files_of_the_set_size_with_their_indexes(archive: Archive) -> None:
    archive.add(14)
    archive.line.later(hours=2)
    came_to = stages.compact(archive.deps)
    assert len(came_to.files) == 3
    assert sum(file.bundles for file in came_to.files) == 14
    assert all(FILE_BYTES / 2 < file.size <= FILE_BYTES for file in came_to.files[:-1])
    assert not came_to.damaged
    archive.assert_compacted(files=3)


def test_a_large_file_is_its_bundles_one_after_another_and_public_tools_read_it(
    archive: Archive, tmp_path: Path, capsys: pytest.CaptureFixture[str], recwarn: pytest.WarningsRecorder
) -> None:
    keys = archive.add(4)
    archive.line.later(hours=2)
    (file,) = stages.compact(archive.deps).files
    data = archive.deps.store.get(file.key)
    assert data == b"".join(archive.data[key] for key in keys)
    path = tmp_path / "large.warc.gz"
    path.write_bytes(data)
    with pytest.raises(SystemExit) as ended:
        warcio.cli.main(["check", "-v", str(path)])
    assert ended.value.code == 0
    said = capsys.readouterr()
    assert "digest pass" in said.out
    assert "fail" not in said.out.lower()
    assert not said.err
    assert len(fastwarc_records(data)) == 12
    assert not recwarn.list


def test_bundles_lie_in_order_of_their_day_whenever_they_were_kept(archive: Archive) -> None:
    (new,) = archive.add(1, day="2026/11/21")
    archive.line.later(minutes=1)
    (old,) = archive.add(1, day="2026/11/20")
    archive.line.later(hours=2)
    (file,) = stages.compact(archive.deps).files
    assert archive.deps.store.get(file.key) == archive.data[old] + archive.data[new]
    assert file.key.startswith("warc/2026/11/20/newsmill-20261120-")
    assert file.index.startswith("index/2026/11/20/newsmill-20261120-")


def test_a_bundle_larger_than_a_file_gets_one_of_its_own(archive: Archive) -> None:
    archive.add(1, size=3 * FILE_BYTES)
    archive.add(1)
    archive.line.later(hours=2)
    assert [file.bundles for file in stages.compact(archive.deps).files] == [1, 1]
    archive.assert_compacted(files=2)


def test_feed_documents_go_in_too(archive: Archive) -> None:
    archive.add(1)
    archive.keep("feeds/harbour/2026/11/20/0123.warc.gz", bundle_of(1), None)
    archive.line.later(hours=2)
    stages.compact(archive.deps)
    archive.assert_compacted(files=1)


@pytest.mark.parametrize("state", [state for state in State if state not in {State.PUBLISHED, State.IMPORTED}])
def test_a_bundle_that_may_be_written_again_stays(archive: Archive, state: State) -> None:
    (key,) = archive.add(1, state=state)
    archive.line.later(days=30)
    assert not stages.compact(archive.deps).files
    assert archive.objects() == [key]


def test_a_bundle_of_the_last_hour_stays(archive: Archive) -> None:
    archive.add(1, state=State.IMPORTED)
    archive.line.later(minutes=59)
    assert not stages.compact(archive.deps).files
    archive.line.later(minutes=2)
    assert stages.compact(archive.deps).files


def test_with_nothing_left_nothing_is_done(archive: Archive) -> None:
    archive.add(3)
    archive.line.later(hours=2)
    stages.compact(archive.deps)
    before = archive.files()
    assert stages.compact(archive.deps) == stages.Compaction(files=(), damaged=(), held=0)
    assert archive.files() == before


def test_what_is_done_and_waits_is_told(archive: Archive) -> None:
    keys = archive.add(9)
    archive.line.later(hours=2)
    sizes: list[int] = []
    assert waiting(archive.deps) == (9, sum(map(len, archive.data.values())))
    stages.compact(archive.deps, advanced=sizes.append)
    assert sizes == [len(archive.data[key]) for key in keys]
    assert waiting(archive.deps) == (0, 0)


def test_articles_that_came_down_the_line_are_found_afterwards(line: Line, site: NewsServer) -> None:
    items = []
    for number in range(3):
        page = article_page(f"Tram {number}", paragraphs(number))
        link = site.page(f"/news/{number}.html", page)
        items.append({"title": f"Tram {number}", "link": link, "guid": link, "description": "One sentence."})
    line.follow("harbour", site.feed("/feed.xml", items))
    line.poll()
    line.run()
    keys = {row.archive["warc"] for row in line.rows()}
    before = {key: line.deps.store.get(key) for key in keys}
    line.later(hours=2)
    came_to = stages.compact(line.deps)
    assert sum(file.bundles for file in came_to.files) >= 3
    assert not [key for key in keys if line.deps.store.exists(key)]
    assert {key: kept_bytes(line.deps.ledger, line.deps.store, key) for key in keys} == before


# ---------------------------------------------------------------- upkeep


def test_upkeep_makes_only_files_that_are_full(archive: Archive) -> None:
    archive.add(14)
    archive.line.later(hours=2)
    assert len(stages.compact_round(archive.deps).files) == 2
    archive.assert_found()
    assert len(archive.objects("warc/")) > 2  # the rest waits


def test_upkeep_makes_what_has_waited_for_a_week_and_all_that_can_join(archive: Archive) -> None:
    archive.add(2)
    archive.line.later(days=6)
    archive.add(2)
    assert not stages.compact_round(archive.deps).files
    archive.line.later(days=1, hours=2)
    (file,) = stages.compact_round(archive.deps).files
    assert file.bundles == 4
    archive.assert_compacted(files=1)


def test_a_round_begins_no_file_when_its_time_is_over(archive: Archive, monkeypatch: pytest.MonkeyPatch) -> None:
    archive.add(14)
    archive.line.later(hours=2)
    slow = dataclasses.replace(archive.deps, store=Watched(archive.deps.store, archive.line, put_stream_s=61))
    assert len(stages.compact_round(slow).files) == 1
    assert len(stages.compact_round(slow).files) == 1


def test_a_file_that_takes_too_long_is_made_smaller_by_the_next_round(
    archive: Archive, caplog: pytest.LogCaptureFixture
) -> None:
    archive.add(7)
    archive.line.later(hours=2)
    slow = dataclasses.replace(archive.deps, store=Watched(archive.deps.store, archive.line, get_s=60))
    for _ in range(20):
        stages.compact_round(slow)
        archive.assert_found()
        if not archive.objects("warc/2026/11/20/0"):
            break
    archive.line.later(days=8)
    assert "compact.slow" in caplog.messages
    assert archive.large()
    stages.compact(archive.deps)
    archive.assert_compacted()


def test_the_task_does_a_round_and_says_how_much(archive: Archive, monkeypatch: pytest.MonkeyPatch) -> None:
    archive.add(6)
    archive.line.later(hours=2)
    monkeypatch.setattr(process, "deps", archive.deps)
    assert upkeep.compact() == {"files": 1, "bundles": 5, "damaged": 0}


def test_beat_ticks_only_tasks_that_there_are(line: Line) -> None:
    settings = celery_settings(line.deps.settings)
    schedule = settings["beat_schedule"]
    assert {entry["task"] for entry in schedule.values()} <= {task.name for task in TICKED}
    assert schedule["upkeep.compact"]["schedule"] > settings["task_time_limit"]
    assert ROUND_AT_MOST.total_seconds() < settings["task_soft_time_limit"]


class Watched:
    """A store whose operations may take time on the test's clock, or do something on the side."""

    def __init__(
        self,
        store: Store,
        line: Line,
        *,
        get_s: float = 0,
        put_stream_s: float = 0,
        before: Callable[[str, str], None] = lambda operation, key: None,
    ) -> None:
        self._store = store
        self._line = line
        self._takes = {"get": get_s, "put_stream": put_stream_s}
        self._before = before

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._store, name)
        if not callable(found):
            return found

        def operation(*arguments: Any, **named: Any) -> Any:
            self._before(name, arguments[0])
            self._line.later(seconds=self._takes.get(name, 0))
            return found(*arguments, **named)

        return operation


def watched(archive: Archive, before: Callable[[str, str], None]) -> stages.Deps:
    return dataclasses.replace(archive.deps, store=Watched(archive.deps.store, archive.line, before=before))


# ---------------------------------------------------------------- bundles that are not what was written


def test_a_missing_and_a_changed_bundle_are_told_and_the_others_compacted(
    archive: Archive, caplog: pytest.LogCaptureFixture
) -> None:
    keys = archive.add(6)
    archive.line.later(hours=2)
    gone, cut = keys[1], keys[4]
    archive.deps.store.delete(gone)
    archive.deps.store.put(cut, archive.data[cut][:-20])
    with caplog.at_level(logging.WARNING):
        came_to = stages.compact(archive.deps)
    assert {(one.key, one.problem, one.article_id, one.revision) for one in came_to.damaged} == {
        (gone, "missing", archive.article_of[gone], 1),
        (cut, "changed", archive.article_of[cut], 1),
    }
    told = [record for record in caplog.records if record.message == "compact.damaged"]
    assert {record.article_id for record in told} == {archive.article_of[gone], archive.article_of[cut]}
    assert [file.bundles for file in came_to.files] == [4]
    assert archive.objects("warc/") == sorted([came_to.files[0].key, cut])
    del archive.data[gone], archive.data[cut]
    archive.assert_found()


def test_many_missing_bundles_cost_one_attempt(archive: Archive) -> None:
    keys = archive.add(5)
    archive.line.later(hours=2)
    archive.deps.store.delete_all(keys[1:5])
    operations: list[str] = []
    came_to = stages.compact(watched(archive, lambda operation, _: operations.append(operation)))
    assert len(came_to.damaged) == 4
    assert operations.count("put_stream") == 2


def test_a_bundle_without_a_record_where_its_index_has_one_is_left_alone(archive: Archive) -> None:
    key, _ = archive.add(2)
    archive.line.later(hours=2)
    data = archive.data[key]
    second = index_lines(data)[1].place[0]
    archive.deps.store.put(key, data[:second] + b"x" + data[second + 1 :])
    came_to = stages.compact(archive.deps)
    assert [(one.key, one.problem) for one in came_to.damaged] == [(key, "changed")]
    assert [file.bundles for file in came_to.files] == [1]


def test_a_bundle_that_was_brought_back_is_compacted_when_a_person_asks(archive: Archive) -> None:
    lost, back = archive.add(2)
    archive.line.later(hours=2)
    archive.deps.store.delete_all([lost, back])
    assert len(stages.compact(archive.deps).damaged) == 2
    archive.deps.store.put(back, archive.data[back])
    came_to = stages.compact(archive.deps)
    assert [(one.key, one.problem) for one in came_to.damaged] == [(lost, "missing")]
    assert [file.bundles for file in came_to.files] == [1]
    del archive.data[lost]
    archive.assert_compacted(files=1)


def test_a_disk_that_was_away_costs_time_and_no_bundle(archive: Archive, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules["worker.stages.compact"], "LOOKED_AT_AGAIN", 3)
    archive.add(10)
    archive.line.later(days=8)
    disk = archive.line.deps.settings.home / "archive"
    disk.rename(disk.with_name("away"))
    assert len(stages.compact_round(archive.deps).damaged) == 10
    shutil.rmtree(disk)  # what was begun without it
    disk.with_name("away").rename(disk)
    archive.assert_found()
    for _ in range(20):
        assert not stages.compact_round(archive.deps).damaged
    archive.assert_compacted()


def test_a_round_looks_at_damaged_bundles_for_no_longer_than_its_time(archive: Archive) -> None:
    keys = archive.add(5)
    archive.line.later(days=8)
    archive.deps.store.delete_all(keys)
    stages.compact(archive.deps)
    gets: list[str] = []

    def wait(operation: str, key: str) -> None:
        if operation == "get":
            archive.line.later(seconds=15)
            gets.append(key)

    stages.compact_round(watched(archive, wait))
    assert len(gets) == 2


def test_a_bundle_that_was_written_again_meanwhile_is_not_taken_for_the_old_one(archive: Archive) -> None:
    first, *_ = archive.add(3)
    with archive.deps.ledger.reading() as tx:
        pk = tx.scalar(sa.select(t.bundles.c.article_pk).where(t.bundles.c.key == first))
    archive.line.later(hours=2)

    def write_again(operation: str, key: str) -> None:
        if operation == "stream":  # the large file is written, and being verified
            archive.keep(first, bundle_of(99), pk)

    stages.compact(watched(archive, write_again))
    archive.assert_found()
    archive.line.later(hours=2)
    stages.compact(archive.deps)
    archive.assert_compacted()


def test_a_large_file_that_reads_back_differently_is_never_kept(archive: Archive) -> None:
    archive.add(3)
    archive.line.later(hours=2)

    def spoil(operation: str, key: str) -> None:
        if operation == "stream":
            data = archive.deps.store.get(key)
            archive.deps.store.put(key, data[:-5] + b"xxxxx")

    with pytest.raises(UnavailableError, match="other bytes"):
        stages.compact(watched(archive, spoil))
    archive.assert_found()
    assert all(archive.deps.store.exists(key) for key in archive.data)
    stages.compact(archive.deps)
    archive.assert_compacted(files=1)


def test_a_cut_large_file_is_not_read_as_if_it_were_whole(archive: Archive) -> None:
    *_, last = archive.add(2)
    archive.line.later(hours=2)
    (file,) = stages.compact(archive.deps).files
    archive.deps.store.put(file.key, archive.deps.store.get(file.key)[:-5])
    with pytest.raises(QuarantineError, match="damaged-warc"):
        kept_bytes(archive.deps.ledger, archive.deps.store, last)


def test_a_bundle_is_found_that_moves_while_it_is_looked_for(archive: Archive) -> None:
    key, *_ = archive.add(2)
    archive.line.later(hours=2)

    def move(operation: str, _: str) -> None:
        stages.compact(archive.deps)  # between the question where it is and the reading

    moving = Watched(archive.deps.store, archive.line, before=move)
    assert kept_bytes(archive.deps.ledger, moving, key) == archive.data[key]  # type: ignore[arg-type]
    with pytest.raises(MissingObjectError):
        kept_bytes(archive.deps.ledger, archive.deps.store, "warc/2026/11/20/none.warc.gz")


# ---------------------------------------------------------------- stopping


@pytest.mark.parametrize("operation", ["get", "stream", "put", "delete_all"])
def test_a_wish_to_stop_is_heard_at_every_step_and_the_next_run_goes_on(archive: Archive, operation: str) -> None:
    archive.add(9)
    archive.line.later(hours=2)
    heard: list[str] = []

    def stop(now: str, _: str) -> None:
        heard.append(now)
        if now == operation:
            archive.deps.stopping.set()

    stages.compact(watched(archive, stop))
    assert heard.count(operation) == 1
    assert heard[-1] == operation
    archive.assert_found()
    archive.deps.stopping.clear()
    stages.compact(archive.deps)  # at once: whoever stops gives his lease back
    archive.assert_compacted(files=2)


def test_two_at_once_do_no_harm(archive: Archive) -> None:
    archive.add(40)
    archive.line.later(hours=2)
    made: list[stages.Compaction] = []
    troubles: list[BaseException] = []

    def work() -> None:
        try:
            made.append(stages.compact(archive.deps))
        except BaseException as error:  # noqa: BLE001 - reported by the assertion below
            troubles.append(error)

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not troubles
    keys = [file.key for one in made for file in one.files]
    assert len(keys) == len(set(keys))
    assert sum(file.bundles for one in made for file in one.files) == 40
    archive.assert_compacted(files=len(keys))


def test_a_file_in_somebody_s_hands_is_left_to_him_until_his_lease_runs_out(archive: Archive) -> None:
    archive.add(3)
    archive.line.later(hours=2)
    with pytest.raises(Killed):
        stages.compact(killed_at(archive.deps, 6, after=True))
    assert stages.compact(archive.deps) == stages.Compaction(files=(), damaged=(), held=1)
    archive.line.later(minutes=3)
    assert len(stages.compact(archive.deps).files) == 1
    archive.assert_compacted(files=1)


@pytest.mark.parametrize("operation", ["get", "stream", "put", "delete_all"])
def test_who_was_away_longer_than_his_lease_can_do_no_harm(archive: Archive, operation: str) -> None:
    """One stands still at some step; another finishes the file meanwhile; the first goes on."""
    archive.add(3)
    archive.line.later(hours=2)
    slept: list[str] = []

    def sleep(now: str, _: str) -> None:
        if now == operation and not slept:
            slept.append(now)
            archive.line.later(minutes=5)
            stages.compact(archive.deps)

    stages.compact(watched(archive, sleep))
    assert slept
    archive.assert_compacted(files=1)


def test_who_was_away_longer_than_his_lease_leaves_the_file_to_its_new_holder(archive: Archive) -> None:
    archive.add(3)
    archive.line.later(hours=2)
    holders: list[str | None] = []

    def sleep(now: str, _: str) -> None:
        if now == "stream" and not holders:
            archive.line.later(minutes=5)
            with pytest.raises(Killed):
                stages.compact(killed_at(archive.deps, 6, after=True))
            holders.append(archive.files()[0].lease_token)

    came_to = stages.compact(watched(archive, sleep))
    assert (came_to.files, came_to.held) == ((), 1)
    assert [archive.files()[0].lease_token] == holders
    archive.line.later(minutes=3)
    stages.compact(archive.deps)
    archive.assert_compacted(files=1)


def test_who_was_away_while_his_plan_was_given_up_leaves_nothing_behind(archive: Archive) -> None:
    keys = archive.add(3)
    archive.line.later(hours=2)
    slept: list[str] = []

    def sleep(now: str, _: str) -> None:
        if now == "put" and not slept:  # the large file is written and verified; its index comes
            slept.append(now)
            archive.line.later(minutes=5)
            lost = archive.data.pop(keys[0])
            archive.deps.store.delete(keys[0])
            assert len(stages.compact(archive.deps).damaged) == 1
            assert lost

    stages.compact(watched(archive, sleep))
    archive.assert_compacted(files=1)


# ---------------------------------------------------------------- killed at any moment


class Killed(BaseException):
    """The process is gone."""


class Countdown:
    """Lets so many operations through; the next one, and all after it, never happen (``after``: happens, unseen)."""

    def __init__(self, left: int, *, after: bool) -> None:
        self.left = left
        self.after = after

    @contextmanager
    def one(self) -> Iterator[None]:
        if self.left < 0 or (self.left == 0 and not self.after):
            self.left = -1
            raise Killed
        yield
        if self.left == 0:
            self.left = -1
            raise Killed
        self.left -= 1


class MortalStore:
    """Real operations; a removal of several may be cut in the middle."""

    def __init__(self, store: Store, countdown: Countdown) -> None:
        self._store = store
        self._countdown = countdown
        self.is_remote = store.is_remote

    def delete_all(self, keys: Sequence[str]) -> None:
        for key in keys:
            with self._countdown.one():
                self._store.delete(key)

    def stream(self, key: str) -> Iterator[bytes]:
        with self._countdown.one():
            yield from self._store.stream(key)

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._store, name)

        def operation(*arguments: Any, **named: Any) -> Any:
            with self._countdown.one():
                return found(*arguments, **named)

        return operation


class MortalLedger:
    def __init__(self, ledger: Any, countdown: Countdown) -> None:
        self._ledger = ledger
        self._countdown = countdown
        self.reading = ledger.reading

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        with self._countdown.one(), self._ledger.transaction() as connection:
            yield connection


def killed_at(deps: stages.Deps, left: int, *, after: bool) -> stages.Deps:
    countdown = Countdown(left, after=after)
    return dataclasses.replace(
        deps,
        store=MortalStore(deps.store, countdown),  # type: ignore[arg-type]
        ledger=MortalLedger(deps.ledger, countdown),  # type: ignore[arg-type]
    )


@pytest.mark.parametrize("damaged", [False, True], ids=["all well", "one bundle is missing"])
@pytest.mark.parametrize("after", [False, True], ids=["before it", "after it"])
def test_killed_at_any_step_nothing_is_lost_and_the_next_run_finishes(
    tmp_path: Path, *, after: bool, damaged: bool
) -> None:
    template = Archive(Line(tmp_path / "template"))
    keys = template.add(5)
    if damaged:
        template.deps.store.delete(keys[1])
        del template.data[keys[1]]
    template.line.close()
    step, was_killed = 0, True
    while was_killed:
        home = tmp_path / f"{step}"
        shutil.copytree(tmp_path / "template", home)
        archive = Archive(Line(home, NEWSMILL_WARC_BYTES="12000"))  # three to a file
        archive.data = template.data
        archive.line.later(hours=2)
        try:
            stages.compact(killed_at(archive.deps, step, after=after))
            was_killed = False
        except Killed:
            archive.assert_found()
            archive.line.later(minutes=3)
            stages.compact(archive.deps)
        archive.assert_compacted(files=2)
        archive.line.close()
        shutil.rmtree(home)
        step += 1
    assert step > 25  # plan, write, verify, index, commit, remove, clean: twice


KILLED = """
import dataclasses, os, sys, time
from datetime import timedelta
from config.settings import Settings
from worker import stages, wiring

deps = wiring.build(Settings.from_env(os.environ))
ahead = timedelta(minutes=float(sys.argv[1]))

class Slow:
    def __getattr__(self, name):
        time.sleep(0.002)
        return getattr(deps.store, name)

print("begins", flush=True)
stages.compact(dataclasses.replace(deps, store=Slow(), clock=lambda: wiring.now_utc() + ahead))
print("ends", flush=True)
"""


def test_real_processes_killed_at_random_moments_lose_nothing(archive: Archive) -> None:
    archive.add(60)
    environment = {
        "PATH": os.environ["PATH"],
        "NEWSMILL_HOME": str(archive.deps.settings.home),
        "NEWSMILL_WARC_BYTES": str(FILE_BYTES),
    }
    dice = random.Random(7)
    kills = 0
    for attempt in range(40):
        process = subprocess.Popen(
            [sys.executable, "-c", KILLED, str(120 + 3 * attempt)],
            env=environment,
            cwd=REPOSITORY,
            stdout=subprocess.PIPE,
        )
        with process:
            assert process.stdout is not None
            assert process.stdout.readline() == b"begins\n"
            time.sleep(dice.uniform(0.02, 0.25))
            process.send_signal(signal.SIGKILL)
            has_ended = process.stdout.read() == b"ends\n"
        kills += process.returncode == -signal.SIGKILL and not has_ended
        archive.assert_found()
        if has_ended or attempt == 8:
            break
    assert kills > 2
    archive.line.later(hours=24)
    stages.compact(archive.deps)
    archive.assert_compacted()


# ---------------------------------------------------------------- the other stores


@pytest.fixture
def s3_store(s3_endpoint: str, bucket: str) -> S3Store:
    return S3Store(bucket, "news", endpoint_url=s3_endpoint, credentials=KEYS)


def test_on_s3_bundles_are_asked_for_side_by_side_and_come_out_in_order(line: Line, s3_store: S3Store) -> None:
    deps = dataclasses.replace(
        line.deps, store=s3_store, settings=dataclasses.replace(line.deps.settings, warc_bytes=2**24)
    )
    archive = Archive(line, deps)
    keys = archive.add(30)
    archive.add(1, size=6 * 2**20)  # more than a part of an upload
    s3_store.delete(keys[7])
    del archive.data[keys[7]]
    line.later(hours=2)
    came_to = stages.compact(deps)
    assert [one.key for one in came_to.damaged] == [keys[7]]
    assert [file.bundles for file in came_to.files] == [30]
    archive.assert_compacted(files=1)


def test_a_store_that_goes_away_loses_nothing_and_is_said(line: Line, s3_store: S3Store) -> None:
    deps = dataclasses.replace(line.deps, store=s3_store)
    archive = Archive(line, deps)
    archive.add(9)
    line.later(hours=2)

    def away(operation: str, _: str) -> None:
        if operation == "stream":
            raise UnavailableError("object store: away")

    with pytest.raises(UnavailableError, match="away"):
        stages.compact(watched(archive, away))
    archive.assert_found()
    stages.compact(deps)
    archive.assert_compacted(files=2)


@pytest.mark.postgres
def test_on_postgresql_several_at_once_share_the_work(tmp_path: Path, postgres_url: str) -> None:
    made_line = Line(tmp_path, NEWSMILL_WARC_BYTES=str(FILE_BYTES), DATABASE_URL=postgres_url)
    with made_line.deps.ledger.transaction() as tx:
        for table in reversed(t.metadata.sorted_tables):
            tx.execute(table.delete())
    archive = Archive(made_line)
    try:
        test_two_at_once_do_no_harm(archive)
        archive.add(3)
        archive.line.later(hours=2)
        archive.deps.store.delete(list(archive.data)[-1])
        archive.data.popitem()
        assert len(stages.compact(archive.deps).damaged) == 1
        archive.assert_found()
    finally:
        made_line.close()
