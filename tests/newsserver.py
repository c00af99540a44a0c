"""A news site on loopback for tests: pages and feeds by path, every request counted."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from email.utils import format_datetime
from html import escape
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self


@dataclass(slots=True)
class Answer:
    body: bytes = b""
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    delay_s: float = 0.0


Route = Answer | Callable[[BaseHTTPRequestHandler], Answer]


class NewsServer:
    """Serves ``routes``; unknown paths answer 404. ``requests`` counts what was asked, by path."""

    def __init__(self, host: str = "127.0.0.1") -> None:
        self.routes: dict[str, Route] = {}
        self.requests: Counter[str] = Counter()
        self.seen: list[tuple[float, str, dict[str, str]]] = []
        self._lock = threading.Lock()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                outer.answer(self)

            def log_message(self, *_: Any) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 128

            def handle_error(self, *_: Any) -> None:
                pass  # clients that go away are the tests' own doing

        self._server = Server((host, 0), Handler)
        self.base = f"http://{host}:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        path = handler.path
        with self._lock:
            self.requests[path] += 1
            self.seen.append((time.monotonic(), path, dict(handler.headers)))
        route = self.routes.get(path) or self.routes.get(path.split("?")[0]) or Answer(b"not here", 404)
        answer = route(handler) if callable(route) else route
        if answer.delay_s:
            time.sleep(answer.delay_s)
        etag = answer.headers.get("ETag")
        if etag is not None and handler.headers.get("If-None-Match") == etag:
            answer = Answer(b"", 304, {"ETag": etag})
        handler.send_response(answer.status)
        for name, value in answer.headers.items():
            handler.send_header(name, value)
        handler.send_header("Content-Length", str(len(answer.body)))
        handler.end_headers()
        handler.wfile.write(answer.body)

    # ------------------------------------------------------------ content

    def page(
        self, path: str, body: bytes | str, *, status: int = 200, content_type: str = "text/html; charset=utf-8"
    ) -> str:
        """Serve a page. Returns: its URL."""
        data = body.encode() if isinstance(body, str) else body
        self.routes[path] = Answer(data, status, {"Content-Type": content_type})
        return self.base + path

    def feed(self, path: str, items: list[dict[str, Any]], *, title: str = "A feed", etag: str | None = None) -> str:
        """Serve an RSS 2.0 feed of items (title, link, guid, date, description, enclosure). Returns: its URL."""
        headers = {"Content-Type": "application/rss+xml; charset=utf-8"}
        if etag is not None:
            headers["ETag"] = etag
        self.routes[path] = Answer(rss(items, title=title).encode(), 200, headers)
        return self.base + path


def rss(items: list[dict[str, Any]], *, title: str = "A feed") -> str:
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n<rss version="2.0"><channel>'
        f"<title>{escape(title)}</title><link>https://news.example/</link>"
        + "".join(_item(item) for item in items)
        + "</channel></rss>"
    )


def _item(item: Mapping[str, Any]) -> str:
    parts = [f"<title>{escape(item['title'])}</title>"]
    if "link" in item:
        parts.append(f"<link>{escape(item['link'])}</link>")
    if "guid" in item:
        parts.append(f'<guid isPermaLink="false">{escape(item["guid"])}</guid>')
    if "date" in item:
        date: datetime = item["date"]
        parts.append(f"<pubDate>{format_datetime(date, usegmt=True)}</pubDate>")
    if "description" in item:
        parts.append(f"<description><![CDATA[{item['description']}]]></description>")
    return f"<item>{''.join(parts)}</item>"


def article_page(title: str, paragraphs: list[str], *, image: str | None = None) -> str:
    """A plain news page, with navigation and a footer around its article."""
    picture = f'<meta property="og:image" content="{escape(image)}">' if image else ""
    body = "".join(f"<p>{escape(paragraph)}</p>" for paragraph in paragraphs)
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)} - Test Times</title>'
        f'<meta property="og:title" content="{escape(title)}">{picture}</head><body>'
        '<nav><a href="/">Home</a> <a href="/world">World</a></nav>'
        f"<main><article><h1>{escape(title)}</h1>{body}</article></main>"
        "<footer><p>All rights reserved.</p></footer></body></html>"
    )


def paragraphs(number: int, count: int = 5) -> list[str]:
    """Text that differs from article to article, long enough to be one."""
    return [
        f"In paragraph {place} of report {number}, the harbour council of Lower Quay {number} said that ferry {place + number} "
        f"would sail again on day {number * 7 % 28 + 1}, after {number + 3} weeks of repairs that cost the town "
        f"{number * 113 + place * 17} crowns and a good deal of patience on both banks of the river."
        for place in range(1, count + 1)
    ]
