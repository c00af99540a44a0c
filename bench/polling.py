"""Conditional polls that are answered 304: through the real stages, and by other clients on the same server."""

from __future__ import annotations

import dataclasses
import io
import secrets
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import requests
import urllib3

from bench.archived import Spent, spent
from bench.newsserver import NewsServer, resource
from bench.pages import FEED_TYPE, feed
from config.settings import Settings
from tests.conftest import POSTGRES
from worker import stages, wiring
from worker.fetch.connection import recorded_response
from worker.fetch.guard import AddressGuard
from worker.fetch.http import Fetcher, FetchRequest, _read_evidence
from worker.fetch.trouble import translated
from worker.ledger import feeds
from worker.ledger.migrate import migrate
from worker.ledger.session import Ledger
from worker.ledger.tables import feeds as feed_rows
from worker.model import Exchange, Hop
from worker.publish.lines import LinesPublisher
from worker.stages import Deps
from worker.stages.poll import FEED_ACCEPT
from worker.urls import gate_key

ROUND_S = 2.0  # the clock goes on by so much between two rounds: every site may be asked again
TIMEOUT_S = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """Feeds, each with the validator that its server gave; ``urls`` with addresses, ``named`` with names for hosts."""

    urls: tuple[str, ...]
    named: tuple[str, ...]
    etags: tuple[str, ...]
    addresses: Mapping[str, str]  # of the names


def listed(server: NewsServer, *, sites: int, feeds_each: int) -> Listed:
    """Put feeds on the server's first sites, in turn."""
    documents, named = {}, []
    addresses = {f"www.site-{site}.example": server.addresses[site] for site in range(sites)}
    for number in range(feeds_each):
        for site, name in enumerate(addresses):
            document = feed(f"Feed {number} of {site}", [("One", "http://www.site.example/1.html")])
            documents[f"{server.site(site)}/{number}.xml"] = resource(document, FEED_TYPE)
            named.append(f"http://{name}:{server.port}/{number}.xml")
    server.put(documents)
    etags = tuple(one.etag.decode() for one in documents.values())
    return Listed(urls=tuple(documents), named=tuple(named), etags=etags, addresses=addresses)


# ---------------------------------------------------------------- installations


class Clock:
    """The stages' clock, which can be moved on."""

    def __init__(self) -> None:
        self.ahead = timedelta()

    def __call__(self) -> datetime:
        return wiring.now_utc() + self.ahead

    def later(self, seconds: float) -> None:
        self.ahead += timedelta(seconds=seconds)


@contextmanager
def ledger_url(database: str, home: Path) -> Iterator[str]:
    """Where an empty ``sqlite`` or ``postgres`` ledger is; gone afterwards."""
    if database == "sqlite":
        yield f"sqlite:///{home / 'ledger.db'}"
        return
    name = f"newsmill_bench_{secrets.token_hex(4)}"
    with psycopg.connect(POSTGRES, autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE {name}")
    try:
        yield f"{POSTGRES.rpartition('/')[0]}/{name}"
    finally:
        with psycopg.connect(POSTGRES, autocommit=True) as admin:
            admin.execute(f"DROP DATABASE {name} WITH (FORCE)")


@contextmanager
def installation(database: str, home: Path, addresses: Mapping[str, str]) -> Iterator[tuple[Deps, Clock]]:
    """Doors as one worker process holds them, with the default pace and batches, and a clock of their own.

    ``addresses``: of the names that its fetcher knows.
    """
    with ledger_url(database, home) as url:
        env = {"NEWSMILL_HOME": str(home), "NEWSMILL_ALLOW_NETWORKS": "127.0.0.0/8", "DATABASE_URL": url}
        made = wiring.build(Settings.from_env(env))
        made.publisher.close()
        made.fetcher.close()
        clock = Clock()
        fetcher = Fetcher(
            user_agent=made.settings.user_agent,
            guard=AddressGuard(made.settings.allow_networks, made.settings.allow_ports),
            connect_timeout_s=made.settings.connect_timeout_s,
            clock=wiring.now_utc,
            resolve=lambda host, _: [addresses[host]],
        )
        deps = dataclasses.replace(made, fetcher=fetcher, publisher=LinesPublisher(io.BytesIO()), clock=clock)
        migrate(deps.ledger)
        try:
            yield deps, clock
        finally:
            deps.fetcher.close()
            deps.threads.shutdown()
            deps.ledger.close()


def follow(ledger: Ledger, urls: Sequence[str], now: datetime) -> None:
    with ledger.transaction() as tx:
        for number, url in enumerate(urls):
            row = {"slug": f"feed-{number}", "url": url, "host": gate_key(url), "headers": {}, "first_poll": "all"}
            feeds.insert(tx, row, origin="cli", now=now)


# ---------------------------------------------------------------- polls through the stages


def polled(deps: Deps, clock: Clock) -> Counter[str]:
    """Poll what is due, as beat and a worker do it, until nothing is. Returns: how many polls ended in which way."""
    outcomes: Counter[str] = Counter()
    while batches := stages.due(deps).batches:
        for batch in batches:
            outcomes.update(one.outcome for one in stages.poll(deps, batch.ids, token=batch.token))
        clock.later(ROUND_S)
    return outcomes


def all_due(ledger: Ledger, now: datetime) -> None:
    """Make every feed due."""
    with ledger.transaction() as tx:
        tx.execute(feed_rows.update().values(due_at=now))


def read_once(deps: Deps, clock: Clock, urls: Sequence[str]) -> None:
    """Follow feeds and read each once, so that every further poll is a conditional one."""
    follow(deps.ledger, urls, clock())
    polled(deps, clock)


def conditional(deps: Deps, clock: Clock) -> Spent:
    """Poll all feeds again. Returns: what it took, and how the polls ended."""
    all_due(deps.ledger, clock())
    return spent(lambda: polled(deps, clock))


# ---------------------------------------------------------------- other clients


def with_requests(given: Listed) -> Spent:
    """A session of requests, its connections kept."""
    with requests.Session() as session:
        session.trust_env = False
        session.mount("http://", requests.adapters.HTTPAdapter(pool_connections=len(given.urls)))

        def ask(url: str, etag: str) -> int:
            return session.get(url, headers={"If-None-Match": etag}, timeout=TIMEOUT_S).status_code

        return _asked(given.urls, given.etags, ask)


def with_urllib3(given: Listed) -> Spent:
    """urllib3's pool, its connections kept."""
    with urllib3.PoolManager(num_pools=len(given.urls)) as pool:

        def ask(url: str, etag: str) -> int:
            return pool.request("GET", url, headers={"If-None-Match": etag}, timeout=TIMEOUT_S, retries=False).status

        return _asked(given.urls, given.etags, ask)


def with_door(given: Listed, fetcher: Fetcher) -> Spent:
    """Our own door: checked, bounded, recorded."""

    def ask(url: str, etag: str) -> int:
        request = FetchRequest(url=url, accept=FEED_ACCEPT, etag=etag, cap_bytes=10_000_000, total_timeout_s=TIMEOUT_S)
        return fetcher.fetch(request, may_visit=lambda _: None).final.status

    return _asked(given.named, given.etags, ask)


def with_urllib3_door(given: Listed, fetcher: Fetcher) -> Spent:
    """What our door would be without requests: the same checks, connections, bounds and records, on urllib3 alone."""
    guard, pools = fetcher._guard, fetcher._adapter.poolmanager  # noqa: SLF001 - it is taken apart to be compared

    def ask(url: str, etag: str) -> int:
        request = FetchRequest(url=url, accept=FEED_ACCEPT, etag=etag, cap_bytes=10_000_000, total_timeout_s=TIMEOUT_S)
        guard.check_url(url)
        headers = {
            "User-Agent": "bench",
            "Accept": request.accept,
            "Accept-Encoding": "gzip, deflate",
            "Connection": "keep-alive",
            "If-None-Match": etag,
        }
        parts = urlsplit(url)
        began_at = wiring.now_utc()
        with translated(url):
            pool = pools.connection_from_host(parts.hostname, parts.port, parts.scheme)
            timeout = urllib3.Timeout(connect=TIMEOUT_S, total=TIMEOUT_S)
            raw = pool.urlopen(
                "GET",
                parts.path,
                headers=headers,
                redirect=False,
                retries=False,
                preload_content=False,
                timeout=timeout,
            )
            body, truncated = _read_evidence(raw, request.cap_bytes)
            raw.release_conn()
        recorded = recorded_response(raw)
        hop = Hop(
            url=url,
            method="GET",
            request_head=recorded.request_head,
            status=recorded.status,
            response_head=recorded.head,
            headers=recorded.fields,
            body=body,
            began_at=began_at,
            ended_at=wiring.now_utc(),
            ip=recorded.peer_ip,
            truncated=truncated,
        )
        return Exchange(hops=(hop,)).final.status

    return _asked(given.named, given.etags, ask)


def _asked(urls: Sequence[str], etags: Sequence[str], ask: Callable[[str, str], int]) -> Spent:
    """Ask once, so that connections are there, then measure asking again."""
    pairs = list(zip(urls, etags, strict=True))
    for url, etag in pairs:
        ask(url, etag)
    return spent(lambda: Counter(ask(url, etag) for url, etag in pairs))
