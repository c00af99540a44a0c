"""``newsmill up --sample`` as a person runs it: one command, first article, Ctrl-C, and the same again."""

from __future__ import annotations

import json
import os
import queue
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from tests.conftest import REPOSITORY
from tests.stack import kill_session
from worker.ledger import articles, feeds
from worker.ledger.session import Ledger
from worker.ledger.tables import publications
from worker.model import OPEN_STATES

FIRST_ARTICLE_S = 40.0  # on a quiet machine it takes 6
END_S = 25.0  # the promise
ARTICLE = re.compile(r"^\d\d:\d\d:\d\d  sample-\w+ +\S.* [\d,]+ words  .+ \d+\.\d s$")

pytestmark = pytest.mark.timeout(180)


@dataclass(slots=True)
class Up:
    """One running ``up`` and what it said so far."""

    home: Path
    process: subprocess.Popen[bytes]
    said: list[str] = field(default_factory=list)
    _arriving: queue.Queue[str] = field(default_factory=queue.Queue)

    def read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._arriving.put(line.decode().rstrip("\n"))

    def line(self, pattern: str | re.Pattern[str], within_s: float) -> str:
        """The next line that holds the pattern."""
        end = time.monotonic() + within_s
        while True:
            try:
                said = self._arriving.get(timeout=max(0.01, end - time.monotonic()))
            except queue.Empty:
                raise AssertionError(f"no {pattern!r} within {within_s:g} s:\n{self.story()}") from None
            self.said.append(said)
            if re.search(pattern, said):
                return said

    def fact(self, name: str) -> str:
        """What the screen's head says."""
        return self.line(rf"^{name} ", 20).removeprefix(name).strip()

    def stop(self, number: int = signal.SIGINT) -> float:
        """Returns: how long it took, seconds."""
        began = time.monotonic()
        self.process.send_signal(number)
        self.process.wait(END_S + 5)
        return time.monotonic() - began

    def story(self) -> str:
        logs = [f"--- {path.name}\n{path.read_text()[-2000:]}" for path in sorted((self.home / "log").glob("*.log"))]
        return "\n".join([*self.said, *logs])


@contextmanager
def up(home: Path, **environment: str) -> Iterator[Up]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    command = [sys.executable, "-m", "worker.cli.main", "up", "--sample", "--port", str(port)]
    with subprocess.Popen(
        command,
        env={**kept, "NEWSMILL_HOME": str(home), "PYTHONUNBUFFERED": "1", **environment},
        cwd=REPOSITORY,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    ) as process:
        running = Up(home, process)
        reader = threading.Thread(target=running.read)
        reader.start()
        try:
            yield running
        finally:
            for pid in {process.pid, *processes_of(home)}:
                kill_session(pid)
            reader.join()


def processes_of(home: Path) -> list[int]:
    """Whatever was started with this home, by whatever way: the mark is in its environment."""
    mark = f"NEWSMILL_HOME={home}".encode()
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                marked = mark in (entry / "environ").read_bytes().split(b"\0")
            except OSError:
                continue
            if marked:
                found.append(int(entry.name))
    return found


def celery_workers(home: Path) -> set[int]:
    """The worker and its children."""
    commands = {pid: Path(f"/proc/{pid}/cmdline").read_bytes() for pid in processes_of(home)}
    return {pid for pid, command in commands.items() if b"\0tasks.main\0worker\0" in command}


@contextmanager
def ledger_of(home: Path) -> Iterator[Ledger]:
    opened = Ledger(f"sqlite:///{home / 'newsmill.db'}")
    yield opened
    opened.close()


def messages(home: Path) -> list[dict[str, Any]]:
    with ledger_of(home) as ledger, ledger.reading() as connection:
        bodies = connection.scalars(sa.select(publications.c.body).where(publications.c.confirmed_at.is_not(None)))
        return [json.loads(zlib.decompress(body)) for body in bodies]


def open_count(home: Path) -> int:
    with ledger_of(home) as ledger, ledger.reading() as connection:
        counts = articles.counts(connection)
        return sum(counts[state] for state in OPEN_STATES)


def until_all_written_ones_ended(home: Path) -> None:
    """The bundled articles; the newsroom goes on writing."""
    end = time.monotonic() + 60
    while len(messages(home)) < 10 or open_count(home):
        assert time.monotonic() < end, messages(home)
        time.sleep(0.2)


def test_articles_appear_ctrl_c_leaves_nothing_and_a_second_start_repeats_nothing(tmp_path: Path) -> None:
    home = tmp_path / "home"
    with up(home) as first:
        flower, archive, newsroom = first.fact("Flower"), first.fact("archive"), first.fact("newsroom")
        assert archive == (home / "archive").as_uri()
        help_line = first.line("Follow a feed: ", 20)
        assert "feeds add URL" in help_line
        assert "repoll SLUG" in help_line
        first.line(ARTICLE, FIRST_ARTICLE_S)
        with urllib.request.urlopen(f"{flower}/healthcheck", timeout=10) as answer:
            assert answer.status == 200
        until_all_written_ones_ended(home)
        assert first.stop() < END_S
        assert first.process.returncode == 0, first.story()
        assert processes_of(home) == []
    published = messages(home)
    assert len({message["id"] for message in published}) == len(published)
    with ledger_of(home) as ledger, ledger.reading() as connection:
        balance = articles.audit(connection)
        assert {name: count for name, count in balance.items() if count and (name == "missing" or "_" in name)} == {}
        assert not any(row.enabled for row in feeds.all_feeds(connection))

    with up(home) as second:
        assert second.fact("newsroom") == newsroom
        second.line("Stop: Ctrl-C", 20)
        polled = wait_for_polls(home)
        second.stop(signal.SIGTERM)
        assert second.process.returncode == 0, second.story()
        assert processes_of(home) == []
    assert polled == {"sample-chinese", "sample-english", "sample-fulltext"}
    after = messages(home)
    assert len({message["id"] for message in after}) == len(after)
    old = {message["url"] for message in published}
    fresh = [message for message in after if message["id"] not in {old["id"] for old in published}]
    assert not old & {message["url"] for message in fresh}
    assert all("/wire/" in message["url"] for message in fresh)  # what the newsroom wrote meanwhile, nothing else


def wait_for_polls(home: Path) -> set[str]:
    """The slugs that were polled since their feeds were asked for."""
    end = time.monotonic() + 40
    while True:
        with ledger_of(home) as ledger, ledger.reading() as connection:
            rows = feeds.all_feeds(connection)
        waiting = {row.slug for row in rows if row.asked_at is not None or row.outcome == "failed"}
        if not waiting or time.monotonic() > end:
            return {row.slug for row in rows} - waiting
        time.sleep(0.2)


def test_a_killed_launcher_leaves_nothing_and_the_next_start_goes_on(tmp_path: Path) -> None:
    home = tmp_path / "home"
    with up(home) as first:
        first.line(ARTICLE, FIRST_ARTICLE_S)
        first.process.kill()
        first.process.wait()
        end = time.monotonic() + END_S
        while processes_of(home):
            assert time.monotonic() < end, processes_of(home)
            time.sleep(0.1)
    with up(home, NEWSMILL_QUEUED_LEASE_S="5", NEWSMILL_LEASE_S="31") as second:
        second.line("Stop: Ctrl-C", 20)
        second.line(ARTICLE, 90)
        second.stop()
    published = messages(home)
    assert len({message["id"] for message in published}) == len(published)


def test_a_child_that_dies_is_told_and_started_again(tmp_path: Path) -> None:
    home = tmp_path / "home"
    with up(home) as running:
        running.line(ARTICLE, FIRST_ARTICLE_S)
        worker = min(celery_workers(home))  # the parent; its children have higher numbers
        os.kill(worker, signal.SIGKILL)
        running.line(r"worker ended by itself \(signal 9\)", 10)
        running.line(r"Starting worker again \(1 of 3\)", 10)
        deadline = time.monotonic() + 20
        while not celery_workers(home) - {worker}:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        running.stop()
        assert processes_of(home) == []


def test_a_second_ctrl_c_ends_it_at_once(tmp_path: Path) -> None:
    home = tmp_path / "home"
    with up(home) as running:
        running.line(ARTICLE, FIRST_ARTICLE_S)
        running.process.send_signal(signal.SIGINT)
        running.line("Stopping", 10)
        assert running.stop() < 10
        assert processes_of(home) == []


def test_two_in_one_home_are_refused(tmp_path: Path) -> None:
    home = tmp_path / "home"
    with up(home) as first:
        first.line("Stop: Ctrl-C", 20)
        with up_that_fails(home) as said:
            assert "Another newsmill" in said
            assert "NEWSMILL_HOME" in said
        first.stop()


@contextmanager
def up_that_fails(home: Path, **environment: str) -> Iterator[str]:
    ended = subprocess.run(
        [sys.executable, "-m", "worker.cli.main", "up"],
        env={"PATH": os.environ["PATH"], "NEWSMILL_HOME": str(home), **environment},
        cwd=REPOSITORY,
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 1
    yield ended.stderr.decode()


def read_one_article_and_go(process: subprocess.Popen[bytes]) -> None:
    assert process.stdout is not None
    while not ARTICLE.match(process.stdout.readline().decode().rstrip("\n")):
        pass
    process.stdout.close()


def test_a_screen_that_is_gone_is_a_wish_to_stop_and_everything_drains(tmp_path: Path) -> None:
    home = tmp_path / "home"
    with up_into_a_pipe(home) as process:
        read_one_article_and_go(process)
        process.send_signal(signal.SIGINT)  # `up | tee log` and Ctrl-C: both are told, and tee is the first to go
        assert process.wait(END_S) == 0
        assert process.stderr is not None
        assert process.stderr.read() == b""
    assert processes_of(home) == []
    assert "worker: Warm shutdown" in (home / "log" / "worker.log").read_text()


def test_a_reader_that_goes_away_ends_it(tmp_path: Path) -> None:
    home = tmp_path / "home"
    with up_into_a_pipe(home) as process:
        read_one_article_and_go(process)
        assert process.wait(END_S + 60) == 0  # the newsroom goes on writing: the next line finds nobody
    assert processes_of(home) == []


@contextmanager
def up_into_a_pipe(home: Path) -> Iterator[subprocess.Popen[bytes]]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with subprocess.Popen(
        [sys.executable, "-m", "worker.cli.main", "up", "--sample", "--port", str(port)],
        env={"PATH": os.environ["PATH"], "NEWSMILL_HOME": str(home), "PYTHONUNBUFFERED": "1"},
        cwd=REPOSITORY,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    ) as process:
        try:
            yield process
        finally:
            for pid in {process.pid, *processes_of(home)}:
                kill_session(pid)


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        pytest.param({"BROKER_URL": "redis://127.0.0.1:1/0"}, "refused", id="no broker"),
        pytest.param({"PUBLISH_URL": "amqp://u:hush@127.0.0.1:1//"}, "refused", id="no output broker"),
        pytest.param({"ARCHIVE_URL": "file:///proc/archive"}, "archive folder", id="no archive"),
        pytest.param({"DATABASE_URL": "postgres://u:hush@127.0.0.1:1/x"}, "refused", id="no database"),
    ],
)
def test_a_door_that_does_not_open_is_said_at_once(tmp_path: Path, environment: dict[str, str], said: str) -> None:
    with up_that_fails(tmp_path / "home", **environment) as told:
        assert said in told
        assert "newsmill doctor" in told
        assert "hush" not in told
        assert len(told.splitlines()) == 1
    assert processes_of(tmp_path / "home") == []
