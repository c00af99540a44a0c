"""Poll: feeds that are due -> sightings and new article rows, committed before anything is announced."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy.engine import Connection

from worker.errors import NewsmillError, QuarantineError, UnavailableError
from worker.fetch.http import FetchRequest
from worker.ledger import feeds, hosts
from worker.ledger.session import dispatch_lock
from worker.ledger.tables import Row
from worker.stages.answer import DETAIL_CHARS, Asked, answered, asked_of, failed
from worker.stages.deps import Alone, Deps, Save
from worker.stages.dispatch import label
from worker.stages.polled import QUIET, Ended, Polled, saved_together
from worker.stages.visit import BOOKED_AHEAD_S, Lesson, NotYetError, RobotsSayNo, Visited, pace_of, visit
from worker.urls import authority, display_url

log = logging.getLogger("newsmill")

FEED_ACCEPT = (
    "application/atom+xml,application/rss+xml,application/feed+json,application/rdf+xml;q=0.9,"
    "application/xml;q=0.9,text/xml;q=0.9,*/*;q=0.5"
)
VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
POLLS_SHARE = 2  # so many more feeds share a task than articles do: most of them say that nothing is new


@dataclass(frozen=True, slots=True, kw_only=True)
class Polls:
    """Feeds that share a task: different sites, one token."""

    ids: tuple[int, ...]
    token: str
    label: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DuePolls:
    """The polls to start, and when a look would be worth it again."""

    batches: tuple[Polls, ...]
    look_again_at: datetime | None


def due(deps: Deps, *, slugs: Sequence[str] | None = None) -> DuePolls:
    """Claim the feeds that are due and whose sites may be asked now. The caller starts every batch."""
    return deps.saved(lambda tx: _due(deps, tx, slugs))


def _due(deps: Deps, tx: Connection, slugs: Sequence[str] | None) -> DuePolls:
    now = deps.clock()
    if not dispatch_lock(tx):
        return DuePolls(batches=(), look_again_at=now + timedelta(seconds=0.2))
    settings = deps.settings
    room = settings.max_in_flight - feeds.in_flight(tx, now=now)
    rows = feeds.due(tx, now=now, limit=room, pace_of=pace_of(deps), slugs=slugs)
    size = min(POLLS_SHARE * settings.batch, max(1, -(-len(rows) // settings.concurrency)))
    groups = {deps.new_token(): rows[start : start + size] for start in range(0, len(rows), size)}
    feeds.lease(tx, groups, until=deps.queued_until(now))
    batches = [
        Polls(
            ids=tuple(row.id for row in group),
            token=token,
            label=label(f"{group[0].slug} {display_url(group[0].url)}", more=len(group) - 1),
        )
        for token, group in groups.items()
    ]
    if len(rows) >= room:  # more may be due: there is room again as soon as some of these have ended
        return DuePolls(batches=tuple(batches), look_again_at=now + timedelta(seconds=1))
    horizon = now + timedelta(seconds=settings.tick_s)
    return DuePolls(
        batches=tuple(batches), look_again_at=feeds.next_due_at(tx, now=now, horizon=horizon, looked_at=room)
    )


def unpolled(deps: Deps, batches: Sequence[Polls]) -> None:
    """Take back polls that the broker did not take, so that they may start as soon as it is there again."""

    def take_back(tx: Connection) -> None:
        for batch in batches:
            feeds.unlease(tx, batch.token, batch.ids)

    deps.saved(take_back)


def repoll(deps: Deps, slugs: Sequence[str] | None, *, unconditional: bool = False) -> list[str]:
    """Make feeds (None: all) due now. Returns: the slugs that will be polled, as soon as their sites may be asked."""
    return deps.saved(lambda tx: feeds.ask(tx, slugs, unconditional=unconditional, now=deps.clock()))


def poll(deps: Deps, ids: Sequence[int], *, token: str, found: Callable[[], None] = lambda: None) -> list[Polled]:
    """Poll these feeds side by side; each is committed when it ends.

    ``found``: called when new articles are committed, while slower sites still keep us: they need not wait for those.
    """

    def then(saved: Sequence[Polled]) -> None:
        if any(one.new for one in saved):
            found()

    start = deps.saved(lambda tx: begun(deps, tx, ids, token=token))
    polled = deps.side_by_side(
        lambda row: _poll(deps, row, token, start.sites),
        start.ready,
        give_up=lambda row: _come_back(row, token, deps.clock()),
        failed=lambda row, error: _failed(deps, row, token, error),
        together=saved_together,
        then=then,
        alone=Alone(
            meanwhile=lambda row: Polled(slug=row.slug, outcome="waiting", detail="its site is slow"),
            afterwards=lambda _tx, _row: None,
            then=lambda: None,
        ),
    )
    for one in polled:
        level = logging.DEBUG if one.outcome in QUIET else logging.INFO
        told = {"feed": one.slug, "outcome": one.outcome, "status": one.status, "new": one.new}
        log.log(level, "feed.polled", extra=told)
    return polled + [Polled(slug=row.slug, outcome="waiting") for row in start.waiting]


@dataclass(frozen=True, slots=True, kw_only=True)
class Begun:
    """The feeds of a task that are still its own: which may be polled now; and their sites as they are now."""

    ready: Sequence[Row]
    waiting: Sequence[Row]
    sites: Mapping[str, Row]


def begun(deps: Deps, tx: Connection, ids: Sequence[int], *, token: str) -> Begun:
    """Begin the polls of these feeds, where their sites let us; the others go back."""
    now = deps.clock()
    until = deps.working_until(now)
    rows = [row for row in feeds.begin(tx, ids, token=token, until=until) if not _moved(deps, tx, row, token, now)]
    sites, wait = hosts.start(tx, [row.host for row in rows], now=now, pace_of=pace_of(deps))
    waiting = [row for row in rows if row.host in wait]
    for row in waiting:
        feeds.let_go(tx, row.id, token=token, due_at=wait[row.host])
        hosts.give_back(tx, row.host, holder=feeds.holder(token, row.id))
    ready = [row for row in rows if row.host not in wait]
    hosts.at_work(tx, [feeds.holder(token, row.id) for row in ready], expires_at=until)
    return Begun(ready=ready, waiting=waiting, sites=sites)


def _moved(deps: Deps, tx: Connection, feed: Row, token: str, now: datetime) -> bool:
    """A feed whose site has another gate than when it was registered goes and waits there."""
    host = deps.gates.key(feed.url)
    if host == feed.host:
        return False
    hosts.ensure(tx, [host], now=now)
    hosts.give_back(tx, feed.host, holder=feeds.holder(token, feed.id))
    feeds.let_go(tx, feed.id, token=token, due_at=now, values={"host": host})
    return True


def _poll(deps: Deps, feed: Row, token: str, sites: Mapping[str, Row]) -> Save[Polled]:
    if deps.stopping.is_set():
        return _come_back(feed, token, deps.clock())
    asked = asked_of(feed, deps.clock())
    try:
        seen = _fetch(deps, feed, token, asked)
    except NotYetError as wait:
        if wait.hops and deps.gates.key(wait.url) == feed.host:
            loop = QuarantineError("redirect-loop", f"leads back to its own site: {display_url(asked.url)}")
            return _failed(deps, feed, token, loop)
        return _come_back(feed, token, wait.at)
    try:
        came = answered(deps, feed, asked, seen)
    except NewsmillError as error:
        return _failed(deps, feed, token, error, lessons=[seen.lesson])
    return Ended(deps=deps, feed=feed, token=token, at=deps.clock(), came=came, lessons=[seen.lesson], sites=sites)


def _failed(deps: Deps, feed: Row, token: str, error: Exception, *, lessons: Sequence[Lesson] = ()) -> Save[Polled]:
    """A poll that came to nothing. Our own outages are not the feed's failures."""
    now = deps.clock()
    if isinstance(error, UnavailableError):
        log.warning("feed.paused", extra={"feed": feed.slug, "error": str(error)[:DETAIL_CHARS]})
        return _come_back(feed, token, now + timedelta(seconds=deps.settings.poll_floor_s))
    came = failed(deps, feed, asked_of(feed, now), error)
    return Ended(deps=deps, feed=feed, token=token, at=now, came=came, lessons=lessons)


def _come_back(feed: Row, token: str, at: datetime) -> Save[Polled]:
    """Give the feed back unpolled; nothing is wrong with it."""

    def save(tx: Connection) -> Polled:
        feeds.let_go(tx, feed.id, token=token, due_at=at)
        hosts.give_back_all(tx, holder=feeds.holder(token, feed.id))
        return Polled(slug=feed.slug, outcome="waiting")

    return save


def _fetch(deps: Deps, feed: Row, token: str, asked: Asked) -> Visited:
    settings = deps.settings
    own_headers = tuple(
        (name, _filled_in(feed.slug, value, settings.variables)) for name, value in feed.headers.items()
    )

    own_urls = {feed.url, *([asked.url] if authority(asked.url) == authority(feed.url) else [])}

    def request(url: str) -> FetchRequest:
        return FetchRequest(
            url=url,
            accept=FEED_ACCEPT,
            headers=own_headers if url in own_urls else (),  # a visit that left the site may come back by another
            sensitive=frozenset(name.lower() for name, _ in own_headers),
            etag=None if asked.unconditional else feed.etag,
            last_modified=None if asked.unconditional else feed.last_modified,
            cap_bytes=settings.page_cap_bytes,
            total_timeout_s=settings.fetch_timeout_s,
        )

    seen = visit(
        deps,
        request,
        asked.url,
        holder=feeds.holder(token, feed.id),
        permitted=asked.part is None or deps.gates.key(asked.url) == feed.host,
        obey_robots=feed.robots == "obey",
        book_until=deps.clock() + timedelta(seconds=BOOKED_AHEAD_S),
    )
    if isinstance(seen, RobotsSayNo):
        raise QuarantineError(
            "robots",
            f"robots.txt keeps us from {display_url(seen.url)}: ask its owner, or say robots = ignore for this feed",
        )
    return seen


def _filled_in(slug: str, value: str, variables: Mapping[str, str]) -> str:
    """A configured header with its secrets put in from the environment; the registry and its users see the names only.

    Raises: QuarantineError: a variable is not set.
    """

    def filled(found: re.Match[str]) -> str:
        if found[1] not in variables:
            raise QuarantineError("missing-variable", f"feed {slug} needs {found[1]} in the environment of the workers")
        return variables[found[1]]

    return VARIABLE.sub(filled, value)
