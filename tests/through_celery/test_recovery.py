"""The ledger is the truth, the broker is disposable: shown with real workers on each kind of store."""

from __future__ import annotations

import os
import signal
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.line.conftest import Consumer
from tests.newsserver import NewsServer, article_page, paragraphs
from tests.stack import Stack, purge, stack

pytestmark = pytest.mark.timeout(180)


def serve(site: NewsServer, count: int, *, delay_s: float = 0.0) -> str:
    items = []
    for number in range(count):
        title = f"Report {number} from the harbour"
        link = site.page(f"/news/{number}.html", article_page(title, paragraphs(number)))
        site.routes[f"/news/{number}.html"].delay_s = delay_s  # type: ignore[union-attr]
        items.append({"title": title, "link": link, "guid": link, "description": "One sentence."})
    return site.feed("/feed.xml", items)


def children_of(parent: int) -> list[int]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except (FileNotFoundError, ProcessLookupError):
                continue
            if int(fields[1]) == parent:
                found.append(int(entry.name))
    return found


def is_alive(process: int) -> bool:
    """A dead one may stay in the list of processes, if nobody asks for its end."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def until(reached: Callable[[], bool], timeout_s: float = 60) -> None:
    end = time.monotonic() + timeout_s
    while not reached():
        assert time.monotonic() < end
        time.sleep(0.02)


def published(made: Stack) -> int:
    return made.counts().get("published", 0)


def assert_each_once(site: NewsServer, consumer: Consumer, count: int) -> None:
    assert Counter(message["id"] for message in consumer.messages) == Counter({m["id"]: 1 for m in consumer.messages})
    assert len(consumer.messages) == count
    assert {path: times for path, times in site.requests.items() if path.startswith("/news/") and times != 1} == {}


def test_flushing_the_broker_in_the_middle_of_200_articles_loses_none(installation: Stack, site: NewsServer) -> None:
    installation.env |= {"NEWSMILL_QUEUED_LEASE_S": "4", "NEWSMILL_LEASE_S": "10", "NEWSMILL_FETCH_TIMEOUT_S": "5"}
    installation.env |= {"NEWSMILL_HOST_CONNECTIONS": "50"}
    installation.follow("harbour", serve(site, 200))
    installation.start("worker", "beat")
    for at_least in (20, 80, 140):
        until(lambda at_least=at_least: published(installation) >= at_least)
        purge(installation)
    installation.wait_for({"published": 200}, timeout_s=90)
    assert all(times == 1 for path, times in site.requests.items() if path.startswith("/news/"))
    ids = Counter(row.article_id for row in installation.rows())
    assert set(ids.values()) == {1}


def test_a_killed_child_costs_time_and_nothing_else(installation: Stack, consumer: Consumer, site: NewsServer) -> None:
    installation.env |= {"NEWSMILL_LEASE_S": "6", "NEWSMILL_QUEUED_LEASE_S": "6", "NEWSMILL_FETCH_TIMEOUT_S": "5"}
    installation.follow("harbour", serve(site, 40, delay_s=0.2))
    installation.start("worker", "beat")
    until(lambda: published(installation) >= 5)
    for child in children_of(installation.processes["worker"].pid):
        os.kill(child, signal.SIGKILL)
    installation.wait_for({"published": 40}, timeout_s=90)
    assert len({row.article_id for row in installation.rows()}) == 40
    consumer.wait_for_ids(40)


def test_a_stop_gives_back_what_is_in_hand_and_another_worker_finishes_it(
    installation: Stack, consumer: Consumer, site: NewsServer
) -> None:
    installation.follow("harbour", serve(site, 30, delay_s=0.4))
    installation.start("worker", "beat")
    until(lambda: published(installation) >= 3)
    began = time.monotonic()
    worker = installation.processes["worker"].pid
    for process in [*children_of(worker), worker]:  # as the platform does: every process at once
        os.kill(process, signal.SIGTERM)
    installation.processes["worker"].wait(25)
    assert time.monotonic() - began < 25
    assert all(not row.begun for row in installation.rows()), installation.story()
    installation.processes.pop("worker")
    installation.start("worker-again")
    installation.wait_for({"published": 30}, timeout_s=90)
    consumer.wait_for_ids(30)
    assert_each_once(site, consumer, 30)


def test_two_beats_and_two_workers_start_nothing_twice(
    installation: Stack, consumer: Consumer, site: NewsServer
) -> None:
    installation.follow("harbour", serve(site, 60))
    installation.start("worker", "worker-2", "beat", "beat-2")
    installation.wait_for({"published": 60}, timeout_s=90)
    consumer.wait_for(60)
    assert_each_once(site, consumer, 60)
    assert site.requests["/feed.xml"] == 1


# On SQLite a process that is stopped inside a transaction stops all others: there the ledger's own tests show the fence.
@pytest.mark.postgres
@pytest.mark.redis
@pytest.mark.parametrize("installation", ["postgres-redis"], indirect=True)
def test_a_worker_stopped_past_its_lease_and_continued_publishes_nothing_again(
    installation: Stack, consumer: Consumer, site: NewsServer
) -> None:
    installation.env |= {"NEWSMILL_LEASE_S": "6", "NEWSMILL_QUEUED_LEASE_S": "8", "NEWSMILL_FETCH_TIMEOUT_S": "5"}
    installation.follow("harbour", serve(site, 12, delay_s=2.0))
    installation.start("worker", "beat")
    until(lambda: any(path.startswith("/news/") for path in site.requests))
    stopped = children_of(installation.processes["worker"].pid)
    for child in stopped:
        os.kill(child, signal.SIGSTOP)
    installation.start("worker-2")
    installation.wait_for({"published": 12}, timeout_s=60)
    for child in stopped:
        os.kill(child, signal.SIGCONT)
    time.sleep(4)  # time enough for the late ones to save and publish, if they could
    assert installation.counts() == {"published": 12}
    consumer.wait_for(12)
    assert len({message["id"] for message in consumer.messages}) == 12


def test_a_worker_whose_child_hangs_is_gone_in_time_all_the_same(tmp_path: Path, site: NewsServer) -> None:
    with stack("sqlite-embedded", tmp_path) as installation:
        installation.follow("harbour", serve(site, 1))
        installation.start("worker", "beat")
        installation.wait_for({"published": 1})
        worker = installation.processes["worker"]
        children = children_of(worker.pid)
        for child in children:
            os.kill(child, signal.SIGSTOP)
        worker.terminate()
        assert worker.wait(25) == 1
        until(lambda: not any(map(is_alive, children)), timeout_s=5)
        assert "worker.stuck" in installation.log("worker")
