"""What a site sees of us, with the real clock: no two requests closer than its pace, never more at once than allowed."""

from __future__ import annotations

import io
import threading
import time
from http.server import BaseHTTPRequestHandler
from itertools import pairwise
from pathlib import Path

import pytest
from PIL import Image

from tests.newsserver import Answer, NewsServer, article_page, paragraphs
from tests.stack import stack

DELAY_S = 0.25


def jpeg() -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (640, 360), (30, 90, 140)).save(out, "JPEG")
    return out.getvalue()


@pytest.mark.timeout(120)
def test_a_site_s_pace_holds_for_polls_robots_pages_and_pictures(tmp_path: Path, site: NewsServer) -> None:
    image = site.page("/ferry.jpg", jpeg(), content_type="image/jpeg")
    items = []
    for number in range(8):
        page = article_page(f"Report {number}", paragraphs(number), image=f"{image}?{number}")
        items.append(
            {"title": f"Report {number}", "link": site.page(f"/news/{number}.html", page), "guid": str(number)}
        )
    with stack("sqlite-embedded", tmp_path, NEWSMILL_HOST_DELAY_S=str(DELAY_S), NEWSMILL_TICK_S="10") as made:
        made.follow("harbour", site.feed("/feed.xml", items))
        made.start("worker", "beat")
        made.wait_for({"published": 8}, timeout_s=60)
        pictures = [row.picture for row in made.rows()]
    assert all(picture["sha256"] for picture in pictures), pictures
    starts = sorted(at for at, _, _ in site.seen)
    assert len(starts) == 1 + 1 + 8 + 8  # the feed, robots.txt, pages, pictures
    gaps = [later - earlier for earlier, later in pairwise(starts)]
    assert min(gaps) > DELAY_S - 0.06  # seen through two sockets and a busy machine


@pytest.mark.timeout(120)
def test_a_slow_site_is_never_asked_by_more_than_its_connections(tmp_path: Path, site: NewsServer) -> None:
    at_once, most, lock = 0, 0, threading.Lock()

    def slow(number: int) -> Answer:
        nonlocal at_once, most
        with lock:
            at_once += 1
            most = max(most, at_once)
        time.sleep(0.3)
        with lock:
            at_once -= 1
        body = article_page(f"Report {number}", paragraphs(number)).encode()
        return Answer(body, headers={"Content-Type": "text/html; charset=utf-8"})

    def route(handler: BaseHTTPRequestHandler) -> Answer:
        return slow(int(handler.path.rpartition("/")[2]))

    items = []
    for number in range(12):
        site.routes[f"/slow/{number}"] = route
        items.append({"title": f"Report {number}", "link": f"{site.base}/slow/{number}", "guid": str(number)})
    with stack("sqlite-embedded", tmp_path, NEWSMILL_HOST_CONNECTIONS="2", NEWSMILL_CONCURRENCY="4") as made:
        made.follow("harbour", site.feed("/feed.xml", items))
        made.start("worker", "beat")
        made.wait_for({"published": 12}, timeout_s=60)
    assert most == 2
