"""One visit to a site: robots.txt first, the host gate's permission, the request, and what it taught about the site.

A redirect to another site, or to an address whose robots.txt is not known yet, is a new visit: if that site may not be
asked at once, the caller gets the hops so far and comes back later, to go on from there.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from http import HTTPStatus

from sqlalchemy.engine import Connection

from worker.errors import NewsmillError, QuarantineError, RetryableError
from worker.fetch import pacing
from worker.fetch.classify import VerdictKind, judge
from worker.fetch.coding import decoded_body
from worker.fetch.http import FetchRequest, RedirectStopped
from worker.fetch.robots import CAP_BYTES, RobotsDecision, allowed, crawl_delay_s, is_unreachable, read_robots
from worker.fetch.trouble import FetchFailedError
from worker.ledger import hosts
from worker.ledger.tables import Row
from worker.model import Exchange, Hop
from worker.stages.deps import Deps
from worker.urls import authority, display_url

log = logging.getLogger("newsmill")

MAX_LEGS = 4  # sites that one chain of redirects may cross
BOOKED_AHEAD_S = 60.0  # who must ask a second site books its next free start, if it is not further away than this
ROBOTS_TIMEOUT_S = 10.0
ROBOTS_KEPT = 2000  # per process; the ledger has them all
ROBOTS_KEPT_CHARS = 20_000  # longer ones are read from the ledger each time: 2,000 of them must not fill the memory
ROBOTS_FRESH_S = 600.0  # how long a process believes its own copy of the ledger's robots.txt


class NotYetError(NewsmillError):
    """The site may not be asked now; nothing is wrong."""

    def __init__(self, at: datetime, url: str, hops: tuple[Hop, ...]) -> None:
        super().__init__(at, url, hops)
        self.at = at
        self.url = url
        self.hops = hops


class _NewVisitError(Exception):
    """A redirect that needs a permission of its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RobotsSayNo:
    """The site's robots.txt does not want us there."""

    url: str
    hops: tuple[Hop, ...]


def pace_of(deps: Deps) -> hosts.PaceOf:
    """The site's row -> what it may be asked for at the moment."""
    usual = pacing.HostPolicy(delay_s=deps.settings.host_delay_s, connections=deps.settings.host_connections)

    def of(row: Row) -> hosts.Pace:
        policy, state = deps.gates.policy(row.host, usual), host_state(row)
        return hosts.Pace(
            delay_s=pacing.effective_delay_s(policy, state, row.crawl_delay_s),
            connections=pacing.effective_connections(policy, state),
        )

    return of


def host_state(row: Row) -> pacing.HostState:
    return pacing.HostState(
        level=row.level,
        failures=row.failures,
        blocked_until=row.blocked_until,
        latency_s=row.latency_s or 0.0,  # quick until it proves otherwise: one slow answer makes no slow site
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Lesson:
    """What one request taught about its site; saved together with what it was asked for."""

    host: str
    holder: str
    outcome: pacing.Outcome
    retry_after_s: float | None = None
    latency_s: float | None = None  # None: no answer came
    more_requests: int = 0  # beyond the first: they had no start of their own, and are paid for afterwards
    learnt_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Visited:
    """The whole exchange, and the last leg's lesson, which the caller saves (``save_lesson``)."""

    exchange: Exchange
    lesson: Lesson


def visit(
    deps: Deps,
    request: Callable[[str], FetchRequest],
    url: str,
    *,
    holder: str,
    permitted: bool,
    obey_robots: bool = True,
    book_until: datetime | None = None,
) -> Visited | RobotsSayNo:
    """Fetch a URL as its site allows it.

    Args:
        deps: The doors.
        request: Makes the request for a URL (the first one, and where redirects lead).
        url: Where to start.
        holder: Who holds the slot at the site; given back in any case.
        permitted: Dispatch has taken the slot for this URL's site already, and its start is booked.
        obey_robots: Feeds are subscribed to by a person: their documents are fetched whatever robots.txt says.
        book_until: Who cannot wait longer than this books the site's next free start when refused.

    Raises:
        NotYetError: a site may not be asked now.
        RetryableError, QuarantineError, RefusedAddressError: as the door says.
    """
    hops: tuple[Hop, ...] = ()
    obeys = obey_robots and deps.settings.obey_robots
    ends_at = time.monotonic() + request(url).total_timeout_s  # of all legs together, robots.txt included
    for _leg in range(MAX_LEGS):
        host = deps.gates.key(url)
        with _slot(deps, host, holder=holder, permitted=permitted, book_until=book_until) as slot:
            rules = None
            if obeys:
                rules = _known_robots(deps, authority(url))
                if rules is None:
                    slot.take(url, hops)
                    rules = _fetch_robots(deps, url, slot, hops, left_s=_left_s(ends_at, url))
                if not allowed(rules.text, deps.settings.user_agent, url):
                    if rules.unreadable:
                        raise _unreadable(deps, url, rules)
                    return RobotsSayNo(url=url, hops=hops)
            slot.take(url, hops)
            asked = replace(
                request(url),
                total_timeout_s=_left_s(ends_at, url),
                allow_downgrade=deps.settings.allow_downgrade,
            )
            try:
                exchange, lesson = _leg_of(deps, asked, slot, obeys=obeys)
            except RedirectStopped as stop:
                if not isinstance(stop.__cause__, _NewVisitError):
                    raise
                slot.give_back(_lesson(slot, stop.exchange_so_far.final))
                hops = (*hops, *stop.exchange_so_far.hops)
                url = stop.next_url
                permitted = False
            else:
                slot.passed_on = True
                return Visited(exchange=Exchange(hops=(*hops, *exchange.hops)), lesson=lesson)
    raise QuarantineError("redirect-loop", f"crosses more than {MAX_LEGS} sites: {url}")


def _left_s(ends_at: float, url: str) -> float:
    """Raises: RetryableError: the whole visit's time is over."""
    left_s = ends_at - time.monotonic()
    if left_s <= 0:
        raise RetryableError(f"timeout: the time was over before {display_url(url)} was asked")
    return left_s


def _unreadable(deps: Deps, url: str, rules: Rules) -> RetryableError:
    """RFC 9309 2.3.1.4: whoever cannot read robots.txt must keep away, but nobody has said no for good."""
    wait_s = max(1.0, (rules.until - deps.clock()).total_seconds())
    return RetryableError(f"robots.txt of {authority(url)} cannot be read", retry_after_s=wait_s)


def _place(deps: Deps, host: str, *, holder: str, book_until: datetime | None) -> datetime | None:
    """Ask for a place at a site, now. Returns: None: granted; else when to ask again."""
    now = deps.clock()
    return deps.saved(
        lambda tx: hosts.take(
            tx,
            host,
            holder=holder,
            now=now,
            expires_at=deps.working_until(now),
            pace_of=pace_of(deps),
            book_until=book_until,
        )
    )


@dataclass(slots=True, kw_only=True)
class _Slot:
    """A place at a site, while a leg lasts."""

    deps: Deps
    host: str
    holder: str
    held: bool
    book_until: datetime | None
    more_requests: int = 0  # within the site since the slot was taken: redirects, mostly
    passed_on: bool = False  # the caller gives it back, with its own save

    def take(self, url: str, hops: tuple[Hop, ...]) -> None:
        if self.held:
            return
        at = _place(self.deps, self.host, holder=self.holder, book_until=self.book_until)
        if at is not None:
            raise NotYetError(at, url, hops)
        self.held, self.more_requests = True, 0

    def give_back(self, lesson: Lesson | None) -> None:
        if not self.held:
            return
        if lesson is None and self.more_requests:  # something of ours ended the visit: that says nothing about the site
            lesson = self.lesson("error")
        if lesson is None:
            self.deps.saved(lambda tx: hosts.give_back(tx, self.host, holder=self.holder))
        else:
            kept = lesson
            self.deps.saved(lambda tx: save_lesson(self.deps, tx, kept))
        self.held = False

    def lesson(self, outcome: pacing.Outcome, **answer: float | None) -> Lesson:
        """What this leg's requests come to."""
        return Lesson(
            host=self.host,
            holder=self.holder,
            outcome=outcome,
            more_requests=self.more_requests,
            learnt_at=self.deps.clock(),
            **answer,
        )


@contextmanager
def _slot(deps: Deps, host: str, *, holder: str, permitted: bool, book_until: datetime | None) -> Iterator[_Slot]:
    """Whichever way a leg ends, its slot is given back: one that stays keeps the site closed until it expires."""
    slot = _Slot(deps=deps, host=host, holder=holder, held=permitted, book_until=book_until)
    try:
        yield slot
    except FetchFailedError as failed:
        slot.give_back(slot.lesson("unreachable" if failed.is_unreachable else "error"))
        raise
    finally:
        if not slot.passed_on:
            slot.give_back(None)


def _leg_of(deps: Deps, request: FetchRequest, slot: _Slot, *, obeys: bool) -> tuple[Exchange, Lesson]:
    """The hops inside one site. Redirects to elsewhere, or past unread robots.txt, need a visit of their own."""

    def may_visit(target: str) -> None:
        if deps.gates.key(target) != slot.host:
            raise _NewVisitError
        if obeys and authority(target) != authority(request.url):
            raise _NewVisitError
        slot.more_requests += 1

    exchange = deps.fetcher.fetch(request, may_visit=may_visit)
    return exchange, _lesson(slot, exchange.final)


_OUTCOMES: dict[VerdictKind, pacing.Outcome] = {
    VerdictKind.REFUSED: "refused",
    VerdictKind.SLOW_DOWN: "slow_down",
    VerdictKind.RETRY: "error",
}


def _lesson(slot: _Slot, hop: Hop) -> Lesson:
    answer = judge(hop.status, hop.headers, now=hop.ended_at, sent_validators=True)
    return slot.lesson(
        _OUTCOMES.get(answer.kind, "ok"),
        retry_after_s=answer.retry_after_s,
        latency_s=(hop.ended_at - hop.began_at).total_seconds(),
    )


def save_lesson(deps: Deps, tx: Connection, lesson: Lesson, *, known: Row | None = None) -> None:
    """Keep what a response taught about its site, and give the slot back.

    ``known``: the site's row as it was a moment ago; when nothing changes by it, the row is not touched.
    """
    hosts.give_back(tx, lesson.host, holder=lesson.holder)
    learn(deps, tx, [lesson], known={lesson.host: known} if known is not None else {})


def learn(deps: Deps, tx: Connection, lessons: Sequence[Lesson], *, known: Mapping[str, Row]) -> None:
    """As ``save_lesson`` for several, without the slots; ``known``: rows of sites by name."""
    telling = [one for one in lessons if one.host not in known or _tells(deps, known[one.host], one)]
    rows = hosts.load(tx, [one.host for one in telling]) if telling else {}
    for one in telling:
        row = rows.pop(one.host, None) or hosts.load(tx, [one.host]).get(one.host)  # a second one builds on it
        if row is not None:
            _learn(deps, tx, row, one)


def _tells(deps: Deps, row: Row, lesson: Lesson) -> bool:
    return lesson.more_requests > 0 or _after(deps, row, lesson) is not None


def _learn(deps: Deps, tx: Connection, row: Row, lesson: Lesson) -> None:
    after = _after(deps, row, lesson)
    holds = [_paid_until(deps, row, lesson), after.blocked_until if after is not None else None]
    hold_until = max((hold for hold in holds if hold is not None), default=None)
    state = asdict(after) if after is not None else {}
    if state or hold_until is not None:
        hosts.save_state(tx, lesson.host, state, hold_until=hold_until)


def _paid_until(deps: Deps, row: Row, lesson: Lesson) -> datetime | None:
    """Redirects inside a site are followed at once, as one request; it is left alone for as long as they were due."""
    if not lesson.more_requests:
        return None
    free_at: datetime = max(row.start_after, lesson.learnt_at)
    return free_at + timedelta(seconds=lesson.more_requests * pace_of(deps)(row).delay_s)


def _after(deps: Deps, row: Row, lesson: Lesson) -> pacing.HostState | None:
    """The site's new state; None: as good as the old one."""
    before = host_state(row)
    after = pacing.after_response(
        before,
        outcome=lesson.outcome,
        retry_after_s=lesson.retry_after_s,
        latency_s=lesson.latency_s,
        now=lesson.learnt_at,
        jitter=deps.dice(),
    )
    return None if _as_good_as(before, after) else after


LATENCY_STEP_S = 0.25  # a mean that moved by less is not worth a write


def _as_good_as(one: pacing.HostState, other: pacing.HostState) -> bool:
    """Would anything be done differently?"""
    moved_s = abs((one.latency_s or 0.0) - (other.latency_s or 0.0))
    return moved_s < LATENCY_STEP_S and replace(one, latency_s=None) == replace(other, latency_s=None)


# ---------------------------------------------------------------- robots.txt


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """A site's robots.txt as this process believes it for a while."""

    text: str
    until: datetime
    unreadable: bool  # it says no because it could not be read


def _known_robots(deps: Deps, where: str) -> Rules | None:
    """What a site's robots.txt says, from this process's copy or the ledger; None: it must be read (again)."""
    now = deps.clock()
    cached: Rules | None = deps.robots_cache.get(where)
    if cached is not None and cached.until > now:
        return cached
    row = deps.loaded(lambda tx: hosts.robots_of(tx, where))
    if row is None or row.expires_at <= now:
        return None
    return _believed(deps, where, row.text, row.expires_at, row.available)


def _believed(deps: Deps, where: str, text: str, expires_at: datetime, available: str) -> Rules:
    if len(deps.robots_cache) >= ROBOTS_KEPT:
        deps.robots_cache.clear()
    if len(text) > ROBOTS_KEPT_CHARS:
        return Rules(text=text, until=expires_at, unreadable=available == "disallow-all")
    until = min(expires_at, deps.clock() + timedelta(seconds=ROBOTS_FRESH_S))
    rules = Rules(text=text, until=until, unreadable=available == "disallow-all")
    deps.robots_cache[where] = rules
    return rules


def _fetch_robots(deps: Deps, url: str, slot: _Slot, hops: tuple[Hop, ...], *, left_s: float) -> Rules:
    """Read a site's robots.txt with the slot in hand; the slot is given back, a page needs a permission of its own.

    Raises: NotYetError: it is kept at another site, which may not be asked now.
    """
    where = authority(url)
    try:
        status, body, lesson = _asked_robots(deps, where, slot, left_s)
    except NotYetError as wait:
        raise NotYetError(wait.at, url, hops) from wait
    now = deps.clock()

    def save(tx: Connection) -> RobotsDecision:
        known = hosts.robots_of(tx, where)
        failing_since = known.failing_since if known is not None else None
        decision = read_robots(status, body, now=now, unreachable_since=failing_since)
        values = {
            "available": decision.available,
            "text": decision.text,
            "status": status,
            "fetched_at": now,
            "expires_at": decision.expires_at,
            "failing_since": (failing_since or now) if is_unreachable(status) else None,
        }
        hosts.save_robots(tx, where, values)
        delay_s = _crawl_delay_s(deps, tx, slot.host, known.text if known is not None else "", decision.text)
        hosts.save_state(tx, slot.host, {"crawl_delay_s": delay_s}, hold_until=None)
        return decision

    decision = deps.saved(save)
    slot.give_back(lesson)
    return _believed(deps, where, decision.text, decision.expires_at, decision.available)


def _crawl_delay_s(deps: Deps, tx: Connection, host: str, old_text: str, new_text: str) -> float | None:
    """What a gate keeps when one of the robots.txt behind it was read again: never less than another one asked for."""
    said_s = crawl_delay_s(new_text, deps.settings.user_agent)
    kept_s: float | None = hosts.load(tx, [host])[host].crawl_delay_s
    if kept_s is None or kept_s == crawl_delay_s(old_text, deps.settings.user_agent):
        return said_s
    return max(said_s or 0.0, kept_s)


def _asked_robots(deps: Deps, where: str, slot: _Slot, left_s: float) -> tuple[int | None, bytes | None, Lesson | None]:
    """The answer to robots.txt: status, body, and what it taught about the site; no status: none came.

    Redirects are followed wherever they lead, within the door's bounds, and what stands there counts: RFC 9309 2.3.1.2.
    """
    request = FetchRequest(
        url=f"{where}/robots.txt",
        accept="text/plain,*/*;q=0.5",
        cap_bytes=CAP_BYTES,
        total_timeout_s=min(ROBOTS_TIMEOUT_S, left_s),
        allow_downgrade=True,  # nothing of ours is at risk, and not to have read it would be taken for a yes
    )
    with _places_elsewhere(deps, slot) as may_visit:
        try:
            exchange = deps.fetcher.fetch(request, may_visit=may_visit)
        except RedirectStopped as stop:
            raise (stop.__cause__ or stop) from None
        except QuarantineError as error:  # it redirects to where nobody may be sent
            log.info("robots.unusable", extra={"authority": where, "error": str(error)})
            return HTTPStatus.NOT_FOUND, None, None
        except FetchFailedError as failed:
            log.info("robots.unreachable", extra={"authority": where, "error": str(failed)})
            if failed.cause == "redirect":  # 2.3.1.2: after five of them it may be taken for unavailable
                return HTTPStatus.NOT_FOUND, None, None
            return None, None, slot.lesson("unreachable" if failed.is_unreachable else "error")
    lesson = _lesson(slot, exchange.hops[0])
    try:
        return exchange.final.status, decoded_body(exchange.final, CAP_BYTES), lesson
    except (RetryableError, QuarantineError) as error:
        log.info("robots.unreadable", extra={"authority": where, "error": str(error)})
        return HTTPStatus.NOT_FOUND, None, lesson


@contextmanager
def _places_elsewhere(deps: Deps, slot: _Slot) -> Iterator[Callable[[str], None]]:
    """For redirects that leave the site: each other one is asked for a place, which is given back at the end."""
    taken: list[str] = []

    def may_visit(target: str) -> None:
        host = deps.gates.key(target)
        if host == slot.host:
            slot.more_requests += 1
            return
        if host in taken:
            return
        book_until = deps.clock() + timedelta(seconds=BOOKED_AHEAD_S)
        at = _place(deps, host, holder=slot.holder, book_until=book_until)
        if at is not None:
            raise NotYetError(at, target, ())
        taken.append(host)

    try:
        yield may_visit
    finally:
        if taken:
            deps.saved(lambda tx: hosts.give_back_at(tx, taken, holder=slot.holder))
