"""What an article costs an object store: the real line, run once on a real S3 endpoint that counts its requests."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import boto3
from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import make_server

from bench.newsserver import NewsServer, resource
from bench.pages import FEED_TYPE, PAGE_TYPE, feed, picture, with_picture
from config.settings import Settings
from worker import wiring
from worker.ledger import articles, feeds
from worker.ledger.session import Ledger
from worker.urls import gate_key

BUCKET = "bench"
KINDS = {"PUT": "writes", "POST": "writes", "GET": "reads", "HEAD": "reads", "DELETE": "deletes"}
SITES = 10
PATIENCE_S = 300.0
PER_ARTICLE = ("spool", "html", "text", "pictures", "documents", "warc")  # what else there is, is per feed or per day


@dataclass(slots=True)
class Counted:
    """Requests by kind and by the first part of their key; safe for the server's threads."""

    requests: Counter[tuple[str, str]] = field(default_factory=Counter)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __call__(self, application: Callable[..., Iterable[bytes]]) -> Callable[..., Iterable[bytes]]:
        def counting(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
            place = environ["PATH_INFO"].removeprefix(f"/{BUCKET}").strip("/").split("/", 1)[0]
            with self._lock:
                self.requests[KINDS[environ["REQUEST_METHOD"]], place or "bucket"] += 1
            return application(environ, start_response)

        return counting


@dataclass(frozen=True, slots=True, kw_only=True)
class Requests:
    """Requests an article, on average."""

    articles: int
    with_picture: int
    writes: float
    reads: float
    by_place: dict[str, float]  # "writes warc" -> an article


@contextmanager
def endpoint(counted: Counted) -> Iterator[str]:
    """A real S3 endpoint over HTTP; every request is counted."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # it tells of each
    server = make_server("127.0.0.1", 0, counted(DomainDispatcherApplication(create_backend_app)), threaded=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def requests_an_article(pages: Sequence[bytes]) -> Requests:
    """Poll, download, extract, picture, archive and publish these pages, each with a picture of its own.

    Raises: RuntimeError: not every one that is an article was published.
    """
    counted = Counted()
    with tempfile.TemporaryDirectory() as home, endpoint(counted) as url, NewsServer(sites=SITES) as server:
        keys = {"aws_access_key_id": "bench", "aws_secret_access_key": "bench"}
        client = boto3.client("s3", endpoint_url=url, region_name="us-east-1", **keys)
        client.create_bucket(Bucket=BUCKET)
        client.close()
        environment = _environment(Path(home), url)
        _done("migrate", environment)
        _follow(environment, server, pages)
        counted.requests.clear()
        _done("once", environment)
        published = _published(environment)
    if not published:
        raise RuntimeError("no article was published")
    requests = Counter({(kind, place): n for (kind, place), n in counted.requests.items() if place in PER_ARTICLE})
    total = {kind: sum(n for (which, _), n in requests.items() if which == kind) for kind in ("writes", "reads")}
    return Requests(
        articles=len(published),
        with_picture=sum(1 for row in published if row.picture and row.picture.get("ref")),
        writes=total["writes"] / len(published),
        reads=total["reads"] / len(published),
        by_place={f"{kind} {place}": n / len(published) for (kind, place), n in sorted(requests.items())},
    )


def _environment(home: Path, url: str) -> dict[str, str]:
    return {
        "NEWSMILL_HOME": str(home),
        "NEWSMILL_ALLOW_NETWORKS": "127.0.1.0/24",
        "NEWSMILL_HOST_DELAY_S": "0",
        "NEWSMILL_LOG_LEVEL": "error",
        "NEWSMILL_S3_ENDPOINT": url,
        "BUCKETEER_BUCKET_NAME": BUCKET,
        "BUCKETEER_AWS_ACCESS_KEY_ID": "bench",
        "BUCKETEER_AWS_SECRET_ACCESS_KEY": "bench",
    }


def _done(command: str, environment: dict[str, str]) -> None:
    """Run a command as a person would. Raises: RuntimeError: it failed."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    ran = subprocess.run(
        [sys.executable, "-m", "worker.cli.main", command],
        env={**kept, **environment},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        check=False,
        timeout=PATIENCE_S,
    )
    if ran.returncode:
        raise RuntimeError(f"newsmill {command} ended with {ran.returncode}: {ran.stderr.decode()[-2000:]}")


def _follow(environment: dict[str, str], server: NewsServer, pages: Sequence[bytes]) -> None:
    now = datetime.now(UTC)
    ledger = Ledger(Settings.from_env(environment).database_url)
    try:
        for number in range(SITES):
            site, mine = server.site(number), pages[number::SITES]
            items = [(f"Report {number} {place}", f"{site}/{place}.html") for place in range(len(mine))]
            urls = {
                f"{site}/{place}.html": resource(with_picture(html, f"{site}/{place}.jpg"), PAGE_TYPE)
                for place, html in enumerate(mine)
            }
            pictures = {
                f"{site}/{place}.jpg": resource(picture(number + place * SITES), "image/jpeg", compress=False)
                for place in range(len(mine))
            }
            document = resource(feed(f"Site {number}", items), FEED_TYPE)
            server.put({**urls, **pictures, f"{site}/feed.xml": document})
            row = {"slug": f"site-{number}", "url": f"{site}/feed.xml", "host": gate_key(site)}
            with ledger.transaction() as tx:
                feeds.insert(tx, {**row, "headers": {}, "first_poll": "all"}, origin="cli", now=now)
    finally:
        ledger.close()


def _published(environment: dict[str, str]) -> list[Any]:
    deps = wiring.build(Settings.from_env(environment))
    try:
        with deps.ledger.reading() as connection:
            return articles.select_rows(connection, states=["published"], limit=100_000)
    finally:
        deps.publisher.close()
        deps.ledger.close()
        deps.threads.shutdown()
