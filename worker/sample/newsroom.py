"""The newsroom's server on loopback: pages, pictures and three feeds that grow while it runs."""

from __future__ import annotations

import gzip
import hashlib
import logging
import socket
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from email.utils import format_datetime, parsedate_to_datetime
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

from worker.errors import UsageError
from worker.sample import pages
from worker.sample.articles import (
    CONTENT,
    SampleArticle,
    composed_article,
    composed_path,
    number_at,
    written_articles,
)

log = logging.getLogger(__name__)

DEFAULT_PORT = 8765  # a fixed one: the articles' addresses, and so their identities, hold it
FEED_LENGTH = 20  # composed articles in a feed
LONGEST_NUMBER = 12  # digits of a composed article's number
RELATED = 4
GZIP_FROM_BYTES = 1_000

ENGLISH, CHINESE, FULLTEXT = "/feeds/english.rss", "/feeds/chinese.atom", "/feeds/fulltext.xml"
ONLY_FULLTEXT = frozenset({"/zh/book-mender.html", "/zh/crane-count.html"})
BOTH_CHINESE_FEEDS = frozenset({"/zh/old-ferry.html"})
SLOW = frozenset({"/news/village-turns-off-its-lamps.html"})
WITHDRAWN = "/news/council-budget-in-verse.html"  # announced, then gone: answers 200 and says that it does not exist

ROBOTS = "User-agent: *\nDisallow: /private/\n"
HTML = "text/html; charset=utf-8"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What the newsroom says to a GET, before conditions and compression."""

    body: bytes
    media_type: str
    status: HTTPStatus = HTTPStatus.OK
    delay_s: float = 0.0
    modified_at: datetime | None = None  # with it, the answer carries validators


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """Which path answers what; pure but for the files of the package."""

    base_url: str
    new_every_s: float
    first_number: int  # composed articles up to this one are served, but in no feed: they were there before us
    slow_s: float

    def answer(self, path: str, now: datetime) -> Answer:
        """The answer to a path (without query) at a moment; an unknown path is a 404, never an error."""
        if path in {ENGLISH, CHINESE, FULLTEXT}:
            return self._feed(path, now)
        if path in {"/", "/zh/"}:
            return _html(self._index(path, now))
        if path == WITHDRAWN:
            return _html(pages.missing_page())
        return _file(path) or self._article_page(path, now)

    def _article_page(self, path: str, now: datetime) -> Answer:
        article = self._article(path, now)
        if article is None:
            return replace(_html(pages.missing_page()), status=HTTPStatus.NOT_FOUND)
        page = pages.article_page(article, self.base_url, _related(article))
        return replace(_html(page), delay_s=self.slow_s if path in SLOW else 0.0)

    def _feed(self, path: str, now: datetime) -> Answer:
        if path == ENGLISH:
            articles = self._listed("en", now)
            text, kind = pages.rss_feed("The Harbour Courier", articles, self.base_url), "application/rss+xml"
        elif path == CHINESE:
            articles = [article for article in self._listed("zh", now) if article.path not in ONLY_FULLTEXT]
            text, kind = pages.atom_feed("河湾日报", articles, self.base_url, CHINESE), "application/atom+xml"
        else:
            wanted = ONLY_FULLTEXT | BOTH_CHINESE_FEEDS
            articles = [article for article in reversed(written_articles()) if article.path in wanted]
            text, kind = pages.fulltext_feed("河湾日报（全文）", articles, self.base_url), "text/xml"
        modified_at = max(article.modified_at or article.published_at for article in articles)
        return Answer(body=text.encode(), media_type=f"{kind}; charset=utf-8", modified_at=modified_at)

    def _listed(self, language: str, now: datetime) -> list[SampleArticle]:
        """What a language's feed holds at a moment, newest first."""
        newest = number_at(now, self.new_every_s)
        parity = 0 if language == "en" else 1
        numbers = [n for n in range(newest, self.first_number, -1) if n % 2 == parity][:FEED_LENGTH]
        composed = [composed_article(number, self.new_every_s) for number in numbers]
        written = [article for article in reversed(written_articles()) if article.language == language]
        return [*composed, *written, *([_withdrawn()] if language == "en" else [])]

    def _index(self, path: str, now: datetime) -> str:
        if path == "/":
            return pages.index_page("en", self._listed("en", now), [("application/rss+xml", ENGLISH)])
        feeds = [("application/atom+xml", CHINESE), ("application/rss+xml", FULLTEXT)]
        return pages.index_page("zh", self._listed("zh", now), feeds)

    def _article(self, path: str, now: datetime) -> SampleArticle | None:
        digits = path.removeprefix("/wire/").removesuffix(".html")
        if (
            digits.isascii()
            and digits.isdigit()
            and len(digits) <= LONGEST_NUMBER
            and composed_path(int(digits)) == path
        ):
            number = int(digits)
            return composed_article(number, self.new_every_s) if number <= number_at(now, self.new_every_s) else None
        return next((article for article in written_articles() if article.path == path), None)


class Newsroom:
    """A newspaper that runs on 127.0.0.1 while the programme does.

    Args:
        port: 0: any free one. The articles' addresses hold it, so a caller that keeps a database gives a fixed one.
        clock: Now, aware, UTC.
        new_every_s: A new article appears in a feed this often, alternately English and Chinese.
        slow_s: How long the one slow page takes.
        latency_s: How long every answer takes.
    """

    def __init__(
        self,
        *,
        port: int = 0,
        clock: Callable[[], datetime],
        new_every_s: float = 30.0,
        slow_s: float = 3.0,
        latency_s: float = 0.0,
    ) -> None:
        self._port = port
        self._clock = clock
        self._new_every_s = new_every_s
        self._slow_s = slow_s
        self._latency_s = latency_s
        self._server: _Server | None = None
        self._thread: threading.Thread | None = None

    @property
    def base_url(self) -> str:
        """``http://127.0.0.1:<port>``. Raises: UsageError: not started."""
        if self._server is None:
            raise UsageError("The sample newsroom has no address before it is started.")
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def start(self) -> None:
        """Serve in a thread of its own until ``stop``.

        Raises: UsageError: the port is taken, or the newsroom runs already.
        """
        if self._server is not None:
            raise UsageError("The sample newsroom is running already.")
        try:
            self._server = _Server(("127.0.0.1", self._port), _Handler)
        except OSError as error:
            raise UsageError(
                f"The sample newsroom cannot listen on port {self._port}: {error}; give another."
            ) from error
        self._server.clock = self._clock
        self._server.latency_s = self._latency_s
        self._server.site = Site(
            base_url=self.base_url,
            new_every_s=self._new_every_s,
            first_number=number_at(self._clock(), self._new_every_s),
            slow_s=self._slow_s,
        )
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), name="newsroom", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Close the server and every connection to it. Twice is fine."""
        if self._server is None or self._thread is None:
            return
        self._server.shutdown()
        self._server.hang_up()
        self._server.server_close()
        self._thread.join()
        self._server = self._thread = None

    def feeds(self) -> list[dict[str, Any]]:
        """The newsroom's feeds, as entries of ``feeds.toml``."""
        return [
            _feed_entry("sample-english", self.base_url + ENGLISH, "The Harbour Courier", "en"),
            _feed_entry("sample-chinese", self.base_url + CHINESE, "河湾日报", "zh"),
            _feed_entry("sample-fulltext", self.base_url + FULLTEXT, "河湾日报（全文）", "zh"),
        ]


def _feed_entry(slug: str, url: str, title: str, language: str) -> dict[str, Any]:
    return {"slug": slug, "url": url, "title": title, "language": language, "interval_s": 10.0}


def _html(page: str) -> Answer:
    return Answer(body=page.encode(), media_type=HTML)


def _file(path: str) -> Answer | None:
    if path == "/robots.txt":
        return Answer(body=ROBOTS.encode(), media_type="text/plain; charset=utf-8")
    if path == "/style.css":
        return Answer(body=(CONTENT / "style.css").read_bytes(), media_type="text/css")
    picture = next((file for file in (CONTENT / "pictures").iterdir() if path == f"/pictures/{file.name}"), None)
    if picture is None:
        return None
    return Answer(body=picture.read_bytes(), media_type=pages.picture_type(picture.name))


def _related(article: SampleArticle) -> list[SampleArticle]:
    others = [
        other for other in written_articles() if other.language == article.language and other.path != article.path
    ]
    return others[:RELATED]


def _withdrawn() -> SampleArticle:
    oldest = next(article for article in written_articles() if article.language == "en")
    return replace(
        oldest,
        path=WITHDRAWN,
        title="Council presents its budget in verse",
        summary="Withdrawn an hour after it appeared.",
    )


# ---------------------------------------------------------------- the wire


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64
    clock: Callable[[], datetime]
    latency_s: float
    site: Site

    def __init__(self, *args: Any) -> None:
        self.stopping = threading.Event()
        self._connections: set[socket.socket] = set()
        self._connections_lock = threading.Lock()
        super().__init__(*args)

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._connections_lock:
            self._connections.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        with self._connections_lock:
            self._connections.discard(request)
        super().shutdown_request(request)

    def hang_up(self) -> None:
        """End waiting and kept-alive connections; their threads end with them."""
        self.stopping.set()
        with self._connections_lock:
            for connection in self._connections:
                try:
                    connection.shutdown(socket.SHUT_RDWR)
                except OSError:
                    log.debug("newsroom.connection_gone")

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002 - socketserver's signature
        log.debug("newsroom.request_failed", exc_info=True)  # noqa: LOG014 - socketserver calls this inside its except


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    server_version = "newsroom"
    sys_version = ""
    protocol_version = "HTTP/1.1"
    timeout = 30

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def _answer(self, *, with_body: bool) -> None:
        answer = self.server.site.answer(urlsplit(self.path).path, self.server.clock())
        if self.server.stopping.wait(answer.delay_s + self.server.latency_s):
            self.close_connection = True
            return
        headers = _validators(answer)
        unchanged = _unchanged(headers, answer.modified_at, dict(self.headers))
        self.send_response(HTTPStatus.NOT_MODIFIED if unchanged else answer.status)
        for name, value in headers.items():
            self.send_header(name, value)
        body = b"" if unchanged else answer.body
        if not unchanged:
            self.send_header("Content-Type", answer.media_type)
            self.send_header("Vary", "Accept-Encoding")
            if _wants_gzip(self.headers.get("Accept-Encoding", "")) and len(body) >= GZIP_FROM_BYTES:
                body = gzip.compress(body, 6, mtime=0)
                self.send_header("Content-Encoding", "gzip")
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if with_body:
            self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - http.server's signature
        log.debug("newsroom.request", extra={"line": format % args})


def _validators(answer: Answer) -> dict[str, str]:
    if answer.modified_at is None:
        return {}
    return {
        "ETag": f'"{hashlib.sha256(answer.body).hexdigest()[:20]}"',
        "Last-Modified": format_datetime(answer.modified_at.astimezone(UTC), usegmt=True),
    }


def _unchanged(validators: Mapping[str, str], modified_at: datetime | None, asked: Mapping[str, str]) -> bool:
    """RFC 9110 section 13.2.2: If-None-Match decides where it is given, else If-Modified-Since."""
    if modified_at is None:
        return False
    conditions = {name.lower(): value for name, value in asked.items()}
    if "if-none-match" in conditions:
        tags = {tag.strip().removeprefix("W/") for tag in conditions["if-none-match"].split(",")}
        return validators["ETag"] in tags or "*" in tags
    try:
        since = parsedate_to_datetime(conditions.get("if-modified-since", ""))
    except ValueError:
        return False
    return modified_at.replace(microsecond=0) <= (since if since.tzinfo else since.replace(tzinfo=UTC))


def _wants_gzip(accept_encoding: str) -> bool:
    return any(coding.split(";")[0].strip().lower() == "gzip" for coding in accept_encoding.split(","))
