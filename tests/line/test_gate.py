"""Forty sites, one of them hostile: the others never wait for it, and none ever sees more than its due."""

from __future__ import annotations

import io
import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest
from PIL import Image

from tests.newsserver import Answer, NewsServer, article_page, paragraphs
from tests.stack import Stack, stack

SITES = 40
EACH = 3
DELAY_S = 0.5
CONNECTIONS = 2
RETRY_AFTER_S = 1.0
PATIENCE_S = 30.0  # of one visit, and of who would have to wait for the hostile site
BUSY_S = 0.25  # our threads that serve forty sites see a start late when the machine is busy


class Watched(NewsServer):
    """Counts how many requests are being answered at a time."""

    def __init__(self, host: str) -> None:
        super().__init__(host)
        self.at_once = self.most_at_once = 0
        self._count = threading.Lock()

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        with self._count:
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            super().answer(handler)
        finally:
            with self._count:
                self.at_once -= 1


@pytest.fixture
def sites() -> Iterator[list[Watched]]:
    with ExitStack() as opened:
        yield [opened.enter_context(Watched(f"127.0.0.{number}")) for number in range(10, 10 + SITES)]


def jpeg() -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (640, 360), (30, 90, 140)).save(out, "JPEG")
    return out.getvalue()


def friendly(site: Watched, place: int) -> str:
    """A site with a redirect, a picture and EACH articles. Returns: its feed."""
    image = site.page("/ferry.jpg", jpeg(), content_type="image/jpeg")
    items = []
    for number in range(EACH):
        page = article_page(
            f"Report {place}-{number}", paragraphs(100 * place + number), image=image if not number else None
        )
        site.page(f"/news/{number}.html", page)
        site.routes[f"/go/{number}"] = Answer(status=302, headers={"Location": f"/news/{number}.html"})
        link = f"{site.base}/{'go' if number == 1 else 'news'}/{number}{'' if number == 1 else '.html'}"
        items.append({"title": f"Report {place}-{number}", "link": link, "guid": str(number)})
    return site.feed("/feed.xml", items)


def drip(handler: BaseHTTPRequestHandler) -> Answer:
    """A byte at a time, for longer than anybody has patience."""
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 100000\r\n\r\n")
    for _ in range(int(2 * PATIENCE_S / 0.1)):
        handler.wfile.write(b"x")
        time.sleep(0.1)
    raise ConnectionAbortedError


def reset(handler: BaseHTTPRequestHandler) -> Answer:
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    handler.connection.close()
    raise ConnectionAbortedError


def hostile(site: Watched) -> str:
    """Answers a feed and robots.txt, and nothing else as it should. Returns: its feed."""
    ways = {"/drip": drip, "/loop": redirect("/loop"), "/reset": reset}
    ways |= {"/busy": Answer(b"", 429, {"Retry-After": f"{RETRY_AFTER_S:g}"}), "/drip-more": drip}
    site.routes |= ways
    return site.feed("/feed.xml", [{"title": way, "link": site.base + way, "guid": way} for way in ways])


def redirect(to: str) -> Answer:
    return Answer(status=302, headers={"Location": to})


def lags_s(made: Stack) -> list[float]:
    """From its discovery to its publication, for each article that is published."""
    return [(row.ended_at - row.discovered_at).total_seconds() for row in made.rows(states=["published"])]


def assert_paced(site: Watched) -> None:
    """Each request owes its site DELAY_S. A redirect is followed at once, and a request that a kept connection swallowed
    is sent again at once; what these owe is paid behind them.
    """
    due_at, at_once, until = 0.0, "", 0.0
    for at, path, _ in sorted(site.seen):
        is_further = path == at_once and at < until
        assert is_further or at > due_at - BUSY_S, [(round(at - due_at, 2), path) for at, path, _ in sorted(site.seen)]
        due_at = max(due_at, at) + DELAY_S
        answer = site.routes.get(path)
        at_once, until = path, at + DELAY_S / 2
        if isinstance(answer, Answer):
            at_once = answer.headers.get("Location", "")
            due_at = max(due_at, at + float(answer.headers.get("Retry-After", 0)))
    assert site.most_at_once <= CONNECTIONS


@pytest.mark.timeout(120)
def test_one_hostile_site_among_forty_holds_nobody_up_and_none_is_asked_more_than_it_may(
    tmp_path: Path, sites: list[Watched]
) -> None:
    settings = {
        "NEWSMILL_HOST_DELAY_S": str(DELAY_S),
        "NEWSMILL_HOST_CONNECTIONS": str(CONNECTIONS),
        "NEWSMILL_FETCH_TIMEOUT_S": str(PATIENCE_S),
        "NEWSMILL_RETRY_BASE_S": "5",
        "NEWSMILL_RETRY_CAP_S": "10",
    }
    worst, *others = sites
    with stack("sqlite-embedded", tmp_path, **settings) as made:
        made.follow("hostile", hostile(worst))
        for place, site in enumerate(others):
            made.follow(f"site-{place}", friendly(site, place))
        made.start("worker", "beat")
        made.wait_until(lambda: len(lags_s(made)) == len(others) * EACH)
        lags = lags_s(made)
        made.wait_until(lambda: set(worst.requests) >= {"/drip", "/loop", "/reset", "/busy"})
        pictures = [row.picture for row in made.rows(states=["published"]) if row.picture]
    assert max(lags) < PATIENCE_S / 2  # alone they take two seconds, and six on a busy machine
    assert [picture["problem"] for picture in pictures] == [None] * len(others)
    for site in sites:
        assert_paced(site)
