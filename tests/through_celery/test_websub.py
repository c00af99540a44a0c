"""Push, end to end: a feed names its hub, the hub is asked, verifies and pushes, and the article is published."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from tests.conftest import REPOSITORY
from tests.hub import Hub, call
from tests.newsserver import NewsServer, article_page, paragraphs
from tests.stack import Stack, stack
from tests.through_celery.test_operators import ask, free_port
from worker.ledger import feeds, tables
from worker.ledger.tables import Row

pytestmark = pytest.mark.timeout(180)


@pytest.fixture
def reachable(tmp_path: Path) -> Iterator[Stack]:
    """An installation that hubs can reach, and that would not poll again within the hour by itself."""
    port = str(free_port())
    public = {"PORT": port, "NEWSMILL_PUBLIC_URL": f"http://127.0.0.1:{port}/mill", "NEWSMILL_POLL_FLOOR_S": "3600"}
    with stack("sqlite-embedded", tmp_path, **public) as made:
        yield made


@pytest.fixture
def hub() -> Iterator[Hub]:
    with Hub() as made:
        yield made


def until(reached: Callable[[], bool], made: Stack, timeout_s: float = 30) -> None:
    end = time.monotonic() + timeout_s
    while not reached():
        assert time.monotonic() < end, made.story()
        time.sleep(0.05)


def subscription(made: Stack) -> Row | None:
    with made.ledger.reading() as tx:
        return tx.execute(sa.select(tables.subscriptions)).one_or_none()


def feed(made: Stack) -> Row:
    with made.ledger.reading() as tx:
        row = feeds.by_slug(tx, "ferry")
    assert row is not None
    return row


def publish(site: NewsServer, hub: Hub, *titles: str) -> str:
    items = []
    for number, title in enumerate(titles):
        link = site.page(f"/news/{number}.html", article_page(title, paragraphs(number)))
        items.append({"title": title, "link": link, "guid": link})
    url = site.feed("/feed.xml", items)
    answer = site.routes["/feed.xml"]
    answer.headers = {**answer.headers, "Link": f'<{hub.url}>; rel="hub", <{url}>; rel="self"'}  # type: ignore[union-attr]
    return url


def test_a_push_is_an_article_within_seconds_and_a_forged_one_is_nothing(
    reachable: Stack, site: NewsServer, hub: Hub
) -> None:
    reachable.env |= {"FLOWER_BASIC_AUTH": "ops:harbour"}
    url = publish(site, hub, "The ferry sails again")
    reachable.follow("ferry", url)
    reachable.start("worker", "beat", "flower")
    reachable.wait_for({"published": 1})
    until(lambda: bool(hub.verified), reachable)  # beat's tick, six of dispatch's
    row = subscription(reachable)
    assert row is not None
    assert (row.state, row.hub_url, row.topic_url) == ("active", hub.url, url)
    (callback,) = hub.verified
    assert site.requests["/feed.xml"] == 1

    publish(site, hub, "The ferry sails again", "The quay is closed")
    assert hub.push(secret="a guess") == 202
    assert call(callback, b"<feed/>")[0] == 202
    flower = f"http://127.0.0.1:{reachable.env['PORT']}"
    until(lambda: ask(f"{flower}/api/workers", password="ops:harbour")[0] == 200, reachable)
    assert ask(f"{flower}/api/workers")[0] == 401  # hubs need no password, Flower does
    assert site.requests["/feed.xml"] == 1

    began = time.monotonic()
    assert hub.push() == 202
    reachable.wait_for({"published": 2}, timeout_s=20)
    assert time.monotonic() - began < 10
    assert site.requests["/feed.xml"] == 2
    row = subscription(reachable)
    assert row is not None
    assert (row.pushes, row.ignored) == (1, 2)

    _, tasks = ask(f"{flower}/api/tasks?limit=200", password="ops:harbour")
    pushed = [task for task in tasks.values() if task["name"] == "websub.pushed"]
    assert [(task["state"], task["args"]) for task in pushed] == [("SUCCESS", "ferry")]
    logs = "".join(reachable.log(name) for name in reachable.processes)
    assert "websub.pushed" in logs
    for secret in (row.secret, row.callback, "harbour"):
        assert secret not in logs + json.dumps(tasks)

    shown = subprocess.run(
        [sys.executable, "-m", "worker.cli.main", "feeds", "show", "ferry", "--json"],
        env=reachable.process_env(), cwd=REPOSITORY, capture_output=True, timeout=60, check=False,
    )  # fmt: skip
    assert shown.returncode == 0, shown.stderr
    facts = json.loads(shown.stdout)["websub"]
    assert (facts["hub_url"], facts["topic_url"], facts["state"]) == (hub.url, url, "active")
    assert (facts["pushes"], facts["ignored"], facts["error"]) == (1, 2, None)
    assert row.secret not in shown.stdout.decode()
    assert row.callback not in shown.stdout.decode()


def test_without_a_password_the_public_port_has_the_callbacks_and_no_flower(reachable: Stack) -> None:
    reachable.start("flower")
    base = f"http://127.0.0.1:{reachable.env['PORT']}"
    until(lambda: ask(f"{base}/mill/websub/")[0] == 404, reachable)
    assert [ask(f"{base}{path}")[0] for path in ("/", "/api/workers", "/metrics", "/static/css/flower.css")] == [
        404
    ] * 4
    assert ask(f"{base}/mill/websub/{'A' * 43}", body={})[0] == 410
    began = time.monotonic()
    reachable.stop("flower")
    assert time.monotonic() - began < 5


STUCK = """
import signal, threading, time
from tornado.ioloop import IOLoop
from tasks import flower
flower.GONE_WITHIN_S = 0.5
flower._alone = lambda rules: (threading.Thread(target=time.sleep, args=(60,)).start(), print("up", flush=True),
    IOLoop.current().start())
flower.run()
"""


def test_a_thread_that_hangs_does_not_keep_the_process_from_stopping(reachable: Stack) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", STUCK], env=reachable.process_env(), cwd=REPOSITORY, stdout=subprocess.PIPE
    ) as stuck:
        assert stuck.stdout is not None
        assert stuck.stdout.readline() == b"up\n"
        stuck.send_signal(signal.SIGTERM)
        assert stuck.wait(timeout=20) == 1
