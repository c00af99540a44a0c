"""What operators do and see: a re-poll three ways, tasks that read like a newsroom, errors in Sentry without secrets."""

from __future__ import annotations

import base64
import gzip
import json
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import brotli
import pytest

from tests.conftest import REPOSITORY
from tests.newsserver import NewsServer, article_page, paragraphs
from tests.stack import Stack
from worker.ledger.tables import entries

pytestmark = pytest.mark.timeout(180)

SECRET = "s3cr3t-t0ken"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def until(reached: Callable[[], bool], timeout_s: float = 40, *, made: Stack) -> None:
    end = time.monotonic() + timeout_s
    while not reached():
        assert time.monotonic() < end, made.story()
        time.sleep(0.1)


def ask(url: str, *, password: str | None = None, body: Any = None) -> tuple[int, Any]:
    request = urllib.request.Request(url, data=json.dumps(body).encode() if body is not None else None)
    if password is not None:
        request.add_header("Authorization", "Basic " + base64.b64encode(password.encode()).decode())
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            text = answer.read().decode()
            return answer.status, json.loads(text) if text.startswith(("{", "[")) else text
    except urllib.error.HTTPError as refused:
        with refused:
            return refused.code, None
    except urllib.error.URLError:
        return 0, None


def one_article_feed(site: NewsServer) -> str:
    link = site.page("/news/ferry.html?ref=feed", article_page("The ferry sails again", paragraphs(1)))
    return site.feed("/feed.xml", [{"title": "The ferry sails again", "link": link, "guid": "1"}])


def test_a_feed_is_polled_again_by_celery_by_flower_and_by_the_command_line(
    installation: Stack, site: NewsServer
) -> None:
    port = free_port()
    installation.env |= {"PORT": str(port), "FLOWER_BASIC_AUTH": "ops:harbour", "NEWSMILL_POLL_FLOOR_S": "3600"}
    installation.follow("ferry", one_article_feed(site))
    installation.start("worker", "beat", "flower")
    flower = f"http://127.0.0.1:{port}"
    installation.wait_for({"published": 1})
    until(lambda: ask(f"{flower}/api/workers", password="ops:harbour")[0] == 200, made=installation)
    assert site.requests["/feed.xml"] == 1

    called = subprocess.run(
        [sys.executable, "-m", "celery", "-A", "tasks.main", "call", "feeds.repoll", "--args", '["ferry"]'],
        env=installation.process_env(), cwd=REPOSITORY, capture_output=True, timeout=60, check=False,
    )  # fmt: skip
    assert called.returncode == 0, called.stderr
    until(lambda: site.requests["/feed.xml"] == 2, made=installation)

    refused, _ = ask(f"{flower}/api/task/async-apply/feeds.repoll", body={"args": ["ferry"]})
    assert refused == 401
    status, answer = ask(
        f"{flower}/api/task/async-apply/feeds.repoll", password="ops:harbour", body={"args": ["ferry"]}
    )
    assert (status, next(iter(answer))) == (200, "task-id")
    until(lambda: site.requests["/feed.xml"] == 3, made=installation)

    waited = subprocess.run(
        [sys.executable, "-m", "worker.cli.main", "repoll", "ferry", "--wait"],
        env=installation.process_env(), cwd=REPOSITORY, capture_output=True, timeout=90, check=False,
    )  # fmt: skip
    assert waited.returncode == 0, waited.stderr
    assert site.requests["/feed.xml"] == 4
    assert installation.counts() == {"published": 1}

    _, tasks = ask(f"{flower}/api/tasks?limit=200", password="ops:harbour")
    shown = {task["name"]: task for task in tasks.values()}
    stages = {"article.download", "article.extract", "article.picture", "article.archive", "article.publish"}
    assert stages | {"feeds.poll"} <= set(shown)
    for name in stages:
        assert "ferry http://127.0.0.1" in shown[name]["args"], shown[name]["args"]
        assert "/news/ferry.html" in shown[name]["args"]
        assert "?" not in shown[name]["args"]
    assert "ferry http://127.0.0.1" in shown["feeds.poll"]["args"]
    assert {shown[name]["state"] for name in stages} == {"SUCCESS"}
    assert {task["state"] for task in tasks.values()} <= {"RECEIVED", "STARTED", "SUCCESS"}  # a tick may be on its way


def test_a_chain_that_nothing_is_handed_on_in_ends_without_a_red_mark(installation: Stack, site: NewsServer) -> None:
    port = free_port()
    installation.env |= {"PORT": str(port), "FLOWER_BASIC_AUTH": "ops:harbour"}
    gone = site.base + "/news/gone.html"
    installation.follow("ferry", site.feed("/feed.xml", [{"title": "Gone", "link": gone, "guid": "1"}]))
    installation.start("flower")
    flower = f"http://127.0.0.1:{port}"
    until(lambda: ask(f"{flower}/api/workers", password="ops:harbour")[0] == 200, made=installation)
    installation.start("worker", "beat")
    installation.wait_for({"rejected": 1})
    tasks: dict[str, Any] = {}

    def two_ticks_later() -> bool:
        """Whatever the chain would have sent on has been seen by then: Flower gets a worker's events in order."""
        seen = ask(f"{flower}/api/tasks?limit=200", password="ops:harbour")[1]
        tasks.update(
            {uuid: task for uuid, task in seen.items() if task["name"]}
        )  # of some it knows no more than the id
        ended = [
            task["succeeded"] for task in tasks.values() if task["name"] == "article.download" and task["succeeded"]
        ]
        ticks = [task for task in tasks.values() if task["name"] == "articles.dispatch" and task["succeeded"]]
        return bool(ended) and sum(task["received"] > max(ended) for task in ticks) >= 2

    until(two_ticks_later, made=installation)
    chain = {task["name"]: task["state"] for task in tasks.values() if task["name"].startswith("article.")}
    assert chain == {"article.download": "SUCCESS"}


# ---------------------------------------------------------------- Sentry


@contextmanager
def sentry() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """An endpoint that keeps what is reported to it: its DSN, and the events."""
    events: list[dict[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            unpack = {"gzip": gzip.decompress, "br": brotli.decompress}.get(self.headers.get("Content-Encoding", ""))
            if unpack is not None:
                body = unpack(body)
            lines = body.split(b"\n")
            for header, payload in zip(lines[1::2], lines[2::2], strict=False):
                if header and json.loads(header).get("type") == "event":
                    events.append(json.loads(payload))
            self.send_response(200)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    yield f"http://{SECRET}@127.0.0.1:{server.server_port}/1", events
    server.shutdown()
    server.server_close()
    thread.join()


def test_an_unexpected_error_is_reported_once_and_an_expected_outcome_never(
    installation: Stack, site: NewsServer
) -> None:
    gone = f"{site.base}/news/gone.html?token={SECRET}"
    broken = site.page(f"/news/broken.html?token={SECRET}", article_page("Broken", paragraphs(2)))
    items = [
        {"title": "Gone", "link": gone, "guid": "1"},
        {"title": "Broken", "link": broken, "guid": "2"},
    ]
    installation.follow("ferry", site.feed(f"/feed.xml?key={SECRET}", items))
    installation.env |= {"NEWSMILL_MAX_ATTEMPTS": "3"}
    with sentry() as (dsn, events):
        installation.env |= {"SENTRY_DSN": dsn}
        doors = installation.deps()
        from worker import stages  # noqa: PLC0415 - polls here, so that the row can be damaged before a worker sees it

        for batch in stages.due(doors).batches:
            stages.poll(doors, batch.ids, token=batch.token)
        doors.fetcher.close()
        doors.publisher.close()
        doors.ledger.close()
        damaged = next(row for row in installation.rows() if row.title == "Broken")
        with installation.ledger.transaction() as tx:
            body = zlib.compress(b"{ this is not what we wrote")
            tx.execute(entries.update().where(entries.c.id == damaged.id).values(body=body))
        installation.start("worker", "beat")
        installation.wait_for({"rejected": 1, "quarantined": 1}, timeout_s=60)
        until(lambda: len(events) >= 1, made=installation)
        time.sleep(1)
    (event,) = events  # one, though the article was tried three times
    tags = event["tags"]
    assert (tags["feed"], tags["stage"]) == ("ferry", "extract")
    assert (tags["host"], tags["article_id"]) == (damaged.host, damaged.article_id)
    assert SECRET not in json.dumps(events)
    assert SECRET not in installation.log("worker")
