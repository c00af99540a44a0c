"""The measurements: a backlog and lone articles through the real line, and the bare loop beside it."""

from __future__ import annotations

import re
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from celery import Celery

from bench import bare
from bench.newsserver import NewsServer, resource
from bench.pages import FEED_TYPE, PAGE_TYPE, Extractors, Page, feed, picture, with_picture
from bench.processes import PeakMemory, cpu_of_named_s, cpu_of_sessions_s
from config.celeryconfig import celery_settings
from tests.stack import Stack, stack
from worker import wiring
from worker.ledger.tables import articles, publications

STACKS = {"redis": "postgres-redis", "rabbitmq": "postgres-rabbitmq", "embedded": "sqlite-embedded"}
SERVERS = {"redis": "redis-server", "rabbitmq": "beam.smp", "embedded": "redis-server"}

CHILDREN = 2
SITES = 50  # each with a feed; the warm-up has further ones of its own
WARM_SITES = 10
WARM_ARTICLES = 60
PATIENCE_S = 600.0
DOWNLOAD_BEGUN = re.compile(r"Task article\.download\[[^\]]+\] received")
IDLE_S = 3.0
BARE_SHARE = 5  # with latency the bare loop does one article in five: it would take minutes to say the same
# As in production, but for the pace: a site would be asked once a second, and the wall would measure nothing else.
SETTINGS = {
    "NEWSMILL_ALLOW_NETWORKS": "127.0.1.0/24",
    "NEWSMILL_HOST_DELAY_S": "0",
    "NEWSMILL_HOST_CONNECTIONS": "2",
    "NEWSMILL_TICK_S": "10",
    "NEWSMILL_CONCURRENCY": str(CHILDREN),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class LineRun:
    """One backlog through the line; CPU in milliseconds an article, of the worker's processes and beat."""

    stack: str
    latency_ms: float
    articles: int
    extraction_ms: float  # alone, over the same pages, as measured right before and right after
    cpu_ms: float
    outside_ms: float  # cpu_ms without extraction
    broker_ms: float  # of the machine's broker, whoever used it
    database_ms: float
    wall_s: float  # first discovery to last confirm
    per_chain: float  # articles that shared a chain, on average
    per_cpu_s: float
    per_wall_s: float
    peak_pss_mib: float
    warm_up_ms: float  # of the first articles of a fresh worker
    lone_ms: float | None
    lone_outside_ms: float | None
    lone_s: float | None  # from the wish to poll to the published row
    idle_ms_per_s: float
    faults: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class BareRun:
    """One run of the bare loop; CPU in milliseconds an article."""

    stack: str
    latency_ms: float
    setting: str  # trafilatura's: default or fast
    processes: int
    articles: int
    cpu_ms: float
    outside_ms: float
    fetch_ms: float
    extraction_ms: float
    archive_ms: float
    publish_ms: float
    per_cpu_s: float
    per_wall_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Conditions:
    """Under which all runs are made."""

    server: NewsServer
    extractors: Extractors
    name: str  # of the stack, as in STACKS
    latency_ms: float
    pictures: bool

    def edition(self, purpose: str, pages: Sequence[Page], *, sites: range) -> Edition:
        return edition(self.server, purpose, pages, sites=sites, pictures=self.pictures)


# ---------------------------------------------------------------- what the sites serve


@dataclass(frozen=True, slots=True, kw_only=True)
class Edition:
    """Articles of one purpose, each on a site, and the feeds that announce them."""

    urls: tuple[str, ...]
    feeds: tuple[tuple[str, str], ...]  # slug, URL


def edition(server: NewsServer, name: str, pages: Sequence[Page], *, sites: range, pictures: bool) -> Edition:
    """Put these pages on these sites, in turn, with a feed for each site."""
    served: dict[str, Any] = {}
    listed: dict[int, list[tuple[str, str]]] = {}
    urls = []
    for number, page in enumerate(pages):
        site = sites[number % len(sites)]
        url = f"{server.site(site)}/{name}/{number}.html"
        html = page.html
        if pictures:
            shown = f"{server.site(site)}/{name}/{number}.jpg"
            html = with_picture(html, shown)
            served[shown] = resource(picture(number), "image/jpeg", compress=False)
        served[url] = resource(html, PAGE_TYPE)
        listed.setdefault(site, []).append((page.title, url))
        urls.append(url)
    feeds = []
    for site, items in listed.items():
        address = f"{server.site(site)}/{name}.xml"
        served[address] = resource(feed(f"Site {site}", items), FEED_TYPE)
        feeds.append((f"{name}-{site}", address))
    server.put(served)
    return Edition(urls=tuple(urls), feeds=tuple(feeds))


# ---------------------------------------------------------------- the line


class Installation:
    """A worker and beat on fresh stores, a consumer's queue, and what their processes used."""

    def __init__(self, made: Stack, name: str) -> None:
        self._made = made
        self._name = name
        self._client = Celery("bench", set_as_current=False)
        self._client.conf.update(celery_settings(made.settings))
        self._consumer = wiring.open_publisher(made.settings)
        self.arrived: Counter[str] = Counter()
        self.receive()  # the queue must be bound before the first message
        made.start("worker", "beat")
        self._wait(lambda: " ready." in made.log("worker"), "the worker")

    @property
    def leaders(self) -> set[int]:
        return {process.pid for process in self._made.processes.values()}

    def close(self) -> None:
        self._made.stop()
        self._consumer.close()
        self._client.close()

    def receive(self) -> None:
        """Take what waits in the consumer's queue."""
        for _, body in self._consumer.consume(["article.#"], queue="seen", timeout_s=1.0):
            self.arrived[body["url_requested"]] += 1

    def cpu_s(self) -> float:
        return cpu_of_sessions_s(self.leaders)

    def chains(self) -> int:
        """How many chains the worker has begun."""
        return len(DOWNLOAD_BEGUN.findall(self._made.log("worker")))

    def broker_s(self) -> float:
        return cpu_of_named_s({SERVERS[self._name]})

    def database_s(self) -> float:
        return cpu_of_named_s({"postgres"})

    def follow(self, published: Edition) -> None:
        for slug, url in published.feeds:
            self._made.follow(slug, url)

    def poll(self) -> None:
        """Beat's tick, now."""
        self._client.send_task("feeds.due")

    def repoll(self, slug: str) -> None:
        self._client.send_task("feeds.repoll", args=[slug])

    def wait_for_end(self, count: int) -> None:
        """Until so many articles have been published, or ended otherwise."""

        def ended() -> bool:
            counts = self._made.counts()
            over = sum(counts.get(state, 0) for state in ("published", "duplicate", "rejected", "quarantined"))
            return over >= count

        self._wait(ended, f"{count} articles")

    def _wait(self, is_over: Callable[[], bool], what: str) -> None:
        end = time.monotonic() + PATIENCE_S
        while not is_over():
            if time.monotonic() > end:
                raise TimeoutError(f"waited {PATIENCE_S:.0f} s for {what}\n{self._made.story()}")
            time.sleep(0.1)

    def span_s(self, urls: Sequence[str]) -> float:
        """From the first discovery to the last confirm of these articles."""
        first: list[datetime] = []
        last: list[datetime] = []
        wanted = set(urls)
        columns = (articles.c.url, articles.c.discovered_at, publications.c.confirmed_at)
        with self._made.ledger.reading() as connection:
            for row in connection.execute(sa.select(*columns).join(publications, publications.c.id == articles.c.id)):
                if row.url in wanted and row.confirmed_at is not None:
                    first.append(row.discovered_at)
                    last.append(row.confirmed_at)
        return (max(last) - min(first)).total_seconds() if first else 0.0

    def states(self) -> dict[str, int]:
        return self._made.counts()


@contextmanager
def fresh(name: str, **settings: str) -> Iterator[Stack]:
    """New stores of one kind, gone afterwards."""
    with (
        tempfile.TemporaryDirectory(prefix="newsmill-bench-") as home,
        stack(STACKS[name], Path(home), **SETTINGS, **settings) as made,
    ):
        yield made


def faults(
    urls: Sequence[str], *, fetched: Mapping[str, int], arrived: Mapping[str, int], states: Mapping[str, int]
) -> tuple[str, ...]:
    """Every article that was not fetched exactly once, or whose message did not arrive exactly once, as sentences.

    Args:
        urls: The articles that were announced.
        fetched: URL -> requests.
        arrived: URL -> messages.
        states: How many rows stand in each state at the end.
    """
    found = [f"fetched {fetched.get(url, 0)} times: {url}" for url in urls if fetched.get(url, 0) != 1]
    found += [f"{arrived.get(url, 0)} messages: {url}" for url in urls if arrived.get(url, 0) != 1]
    found += [f"nobody announced: {url}" for url in arrived.keys() - set(urls)]
    ends = {state: count for state, count in states.items() if state != "published"}
    return (*found, *([f"not published: {ends}"] if ends else []))


def line_run(given: Conditions, pages: Sequence[Page], *, lone: Sequence[Page]) -> LineRun:
    """The articles through the line under backlog, then the lone ones one by one."""
    warm = given.edition("warm", pages[:WARM_ARTICLES], sites=range(SITES, SITES + WARM_SITES))
    backlog = given.edition("news", pages, sites=range(SITES))
    given.server.forget()
    drifts = [given.extractors.drift(pages)]
    with fresh(given.name) as made_stack:
        installation = Installation(made_stack, given.name)
        with PeakMemory(installation.leaders) as memory:
            at_start_s = installation.cpu_s()
            installation.follow(warm)
            installation.poll()
            installation.wait_for_end(len(warm.urls))
            warm_s = installation.cpu_s() - at_start_s
            chains = -installation.chains()
            before = installation.cpu_s(), installation.broker_s(), installation.database_s()
            installation.follow(backlog)
            installation.poll()
            installation.wait_for_end(len(warm.urls) + len(backlog.urls))
            after = installation.cpu_s(), installation.broker_s(), installation.database_s()
            chains += installation.chains()
        cpu_ms, broker_ms, database_ms = (
            (later - earlier) * 1000 / len(pages) for earlier, later in zip(before, after, strict=True)
        )
        idle_ms_per_s = idle(installation)
        alone = lone_articles(given, installation, lone)
        installation.receive()
        span_s = installation.span_s(backlog.urls)
        wrong = faults(
            (*warm.urls, *backlog.urls, *alone.urls),
            fetched=given.server.counts(),
            arrived=installation.arrived,
            states=installation.states(),
        )
        installation.close()
    drifts.append(given.extractors.drift(pages))
    extraction_ms = statistics.fmean(drifts) * mean_extract_ms(pages)
    return LineRun(
        stack=STACKS[given.name],
        latency_ms=given.latency_ms,
        articles=len(pages),
        extraction_ms=extraction_ms,
        cpu_ms=cpu_ms,
        outside_ms=cpu_ms - extraction_ms,
        broker_ms=broker_ms,
        database_ms=database_ms,
        wall_s=span_s,
        per_chain=len(pages) / max(1, chains),
        per_cpu_s=1000 / cpu_ms,
        per_wall_s=len(pages) / span_s if span_s else 0.0,
        peak_pss_mib=memory.peak_bytes / 2**20,
        warm_up_ms=warm_s * 1000 / len(warm.urls),
        lone_ms=alone.cpu_ms,
        lone_outside_ms=None
        if alone.cpu_ms is None
        else alone.cpu_ms - statistics.fmean(drifts) * mean_extract_ms(lone),
        lone_s=alone.each_s,
        idle_ms_per_s=idle_ms_per_s,
        faults=wrong,
    )


def idle(installation: Installation) -> float:
    """What the processes use while nothing happens, milliseconds a second."""
    before_s = installation.cpu_s()
    time.sleep(IDLE_S)
    return (installation.cpu_s() - before_s) * 1000 / IDLE_S


@dataclass(frozen=True, slots=True, kw_only=True)
class Lone:
    urls: tuple[str, ...] = ()
    cpu_ms: float | None = None
    each_s: float | None = None


def lone_articles(given: Conditions, installation: Installation, pages: Sequence[Page]) -> Lone:
    """Quiet times: one new article at a time in one feed; the re-poll and the poll are part of its cost."""
    if not pages:
        return Lone()
    before = sum(installation.states().values())
    whole = given.edition("lone", pages, sites=range(1))
    ((slug, address),) = whole.feeds
    items = [(page.title, url) for page, url in zip(pages, whole.urls, strict=True)]
    given.server.put({address: resource(feed("Lone", []), FEED_TYPE)})
    installation.follow(whole)
    spent_s, took_s = [], []
    for number in range(len(pages)):
        given.server.put({address: resource(feed("Lone", items[: number + 1][::-1]), FEED_TYPE)})
        began_at, cpu_s = time.monotonic(), installation.cpu_s()
        installation.repoll(slug)
        installation.wait_for_end(before + number + 1)
        took_s.append(time.monotonic() - began_at)
        spent_s.append(installation.cpu_s() - cpu_s)
    return Lone(urls=whole.urls, cpu_ms=statistics.fmean(spent_s) * 1000, each_s=statistics.median(took_s))


def mean_extract_ms(pages: Sequence[Page]) -> float:
    return statistics.fmean(page.extract_s for page in pages) * 1000


# ---------------------------------------------------------------- the bare loop


def bare_runs(given: Conditions, pages: Sequence[Page]) -> list[BareRun]:
    """The bare loop over the same pages on the same broker, in one process and in two."""
    paper = given.edition("bare", pages if given.latency_ms == 0 else pages[::BARE_SHARE], sites=range(SITES))
    found = []
    with fresh(given.name) as made_stack:
        for fast in (False, True):
            for processes in (1, 2):
                job = bare.Job(
                    urls=paper.urls,
                    warm_urls=paper.urls[: bare.WARM_ARTICLES],
                    fast=fast,
                    broker_url=made_stack.settings.publish_url,
                    namespace=made_stack.settings.namespace,
                    folder=made_stack.home / f"bare-{fast}-{processes}",
                )
                found.append(_as_run(given, bare.run(job, processes=processes), fast=fast))
    return found


def _as_run(given: Conditions, spent: bare.Spent, *, fast: bool) -> BareRun:
    each = 1000 / spent.articles
    return BareRun(
        stack=STACKS[given.name],
        latency_ms=given.latency_ms,
        setting="fast" if fast else "default",
        processes=spent.processes,
        articles=spent.articles,
        cpu_ms=spent.cpu_ms,
        outside_ms=spent.outside_ms,
        fetch_ms=spent.fetch_s * each,
        extraction_ms=spent.extract_s * each,
        archive_ms=spent.archive_s * each,
        publish_ms=spent.publish_s * each,
        per_cpu_s=1000 / spent.cpu_ms,
        per_wall_s=spent.articles / spent.wall_s,
    )
