"""What every stage is handed, and the few things that all of them do the same way."""

from __future__ import annotations

import logging
import math
import secrets
import threading
import time
import zlib
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import takewhile
from typing import Any, Generic, Protocol, TypeVar

import msgspec
from sqlalchemy.engine import Connection

from config.settings import Settings
from worker.archive.store import MissingObjectError, Store
from worker.errors import NewsmillError, RetryableError, UnavailableError
from worker.fetch.gates import Gates
from worker.fetch.http import Fetcher
from worker.ledger import articles, feeds, hosts
from worker.ledger.session import Ledger
from worker.ledger.tables import Row
from worker.model import Outgoing, State
from worker.publish.broker import Failed, Outcome
from worker.publish.message import EventName, event_message, outgoing_event
from worker.retry import Pause, RetryAt, RetryPolicy, SetAside, verdict

log = logging.getLogger("newsmill")

T = TypeVar("T")
R = TypeVar("R")
Save = Callable[[Connection], R]  # what an item's work came to, to be saved in whichever transaction is next
Together = Callable[[Connection, Sequence[Save[R]]], list[R]]
Done = Mapping[str, Any] | Save[bool]  # what a row's stage came to: the values it goes on with, or a save of its own

LEDGER_PATIENCE_S = 60.0  # nothing can be done without the ledger, so a stage waits this long for it
STOP_GRACE_S = 8.0  # what is under way may end, once we are asked to stop
BATCH_GRACE_S = 10.0  # beyond a fetch's own limit: no item holds its companions up for longer
COMPANY_S = 1.0  # in a worker: most sites answer within it; a time-out takes tens, and companions with it
GATHER_S = 0.05  # what ends within that is saved together
PAUSE_S = 10.0  # until a stage tries our own store or broker again; doubles while they stay away
PAUSE_CAP_S = 600.0
ASKING_STAGES = frozenset({"download", "picture"})
FETCHED_AGAIN = 3  # times in a row that a page is fetched anew because the store lost it
HAPPENED = "newsmill.happened"  # where a transaction notes what operators are told once it is committed
_ENDS: Mapping[State, EventName] = {State.REJECTED: "item.rejected", State.QUARANTINED: "article.quarantined"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Alone(Generic[T, R]):
    """How an item goes on that takes longer than its companions may wait.

    ``meanwhile``: what it counts for in the batch; ``afterwards``: saved behind what it came to, since no chain is
    waiting for it; ``then``: called after that.
    """

    meanwhile: Callable[[T], R]
    afterwards: Callable[[Connection, T], None]
    then: Callable[[], None]


def run_all(tx: Connection, saves: Sequence[Save[R]]) -> list[R]:
    """Run saves one after the other."""
    return [save(tx) for save in saves]


class Output(Protocol):
    """Where messages go: the output broker, or a stream of lines."""

    def publish(self, messages: Sequence[Outgoing]) -> list[Outcome]:
        """Send all; one outcome for each, in order. Raises: UnavailableError: none could be sent."""

    def trim_holding(self) -> int:
        """Bound what is held because nobody asked for it. Returns: how many messages were dropped."""

    def close(self) -> None:
        """Let go of the connection."""


class Report(Protocol):
    """Where unexpected errors go; see ``worker.observe``."""

    def __call__(self, error: BaseException, *, stage: str, tags: Mapping[str, str]) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Deps:
    """The doors, the settings, the clock and the dice. One per process, built by ``worker.wiring``."""

    settings: Settings
    ledger: Ledger
    store: Store
    fetcher: Fetcher
    gates: Gates
    publisher: Output
    clock: Callable[[], datetime]
    dice: Callable[[], float]  # [0, 1)
    report: Report
    threads: ThreadPoolExecutor
    stopping: threading.Event = field(default_factory=threading.Event)
    company_s: float = math.inf  # so long an item may keep its companions (and this process) before it goes on alone
    left: dict[int, Save[Any]] = field(default_factory=dict)  # those that went on alone: how to give each one up
    robots_cache: dict[str, Any] = field(default_factory=dict)

    @property
    def retry_policy(self) -> RetryPolicy:
        settings = self.settings
        return RetryPolicy(max_attempts=settings.max_attempts, base_s=settings.retry_base_s, cap_s=settings.retry_cap_s)

    def working_until(self, now: datetime) -> datetime:
        return now + timedelta(seconds=self.settings.lease_s)

    def queued_until(self, now: datetime) -> datetime:
        return now + timedelta(seconds=self.settings.queued_lease_s)

    def saved(self, work: Callable[[Connection], T]) -> T:
        """Run ``work`` in a transaction; wait, within bounds, for a ledger that does not answer.

        ``work`` may run again after its transaction failed: it must touch nothing but the ledger.
        Raises: UnavailableError: the ledger was away for LEDGER_PATIENCE_S, or we are asked to stop.
        """
        return self._patiently(self.ledger.transaction, work)

    def loaded(self, work: Callable[[Connection], T]) -> T:
        """As ``saved``, for ``work`` that only reads."""
        return self._patiently(self.ledger.reading, work)

    def _patiently(
        self, opened: Callable[[], AbstractContextManager[Connection]], work: Callable[[Connection], T]
    ) -> T:
        give_up_at = time.monotonic() + LEDGER_PATIENCE_S
        pause_s = 0.1
        while True:
            try:
                with opened() as connection:
                    happened: list[Mapping[str, Any]] = []
                    connection.info[HAPPENED] = happened
                    result = work(connection)
            except UnavailableError as error:
                if self.stopping.is_set() or time.monotonic() + pause_s > give_up_at:
                    raise
                log.warning("ledger.unavailable", extra={"error": str(error), "pause_s": pause_s})
                self.stopping.wait(pause_s)
                pause_s = min(pause_s * 2, 5.0)
            else:
                self.tell(happened)
                return result

    def tell(self, happened: Sequence[Mapping[str, Any]]) -> None:
        """Send operators what happened, or the heartbeat. No article waits for that, and it is not sent again."""
        if not happened:
            return
        try:
            outcomes = self.publisher.publish([outgoing_event(one) for one in happened])
        except UnavailableError as error:
            log.warning("events.unsent", extra={"count": len(happened), "error": str(error)})
            return
        unsent = sum(isinstance(outcome, Failed) for outcome in outcomes)
        if unsent:
            log.warning("events.unsent", extra={"count": unsent})

    def side_by_side(
        self,
        work: Callable[[T], Save[R]],
        items: Sequence[T],
        *,
        give_up: Callable[[T], Save[R]],
        failed: Callable[[T, Exception], Save[R]],
        together: Together[R] = run_all,
        then: Callable[[Sequence[R]], None] = lambda _: None,
        alone: Alone[T, R] | None = None,
    ) -> list[R]:
        """``work`` on each item in threads, each saved when it ends, together with what ends within GATHER_S.

        When this process is asked to stop, what is not done after STOP_GRACE_S is given up: its thread goes on, but
        ``give_up`` lets the row go, so that whatever the thread still does is done for nobody. What takes longer than
        any fetch may, has ``failed``, as has what raises or cannot be saved: it costs no companion anything.

        Args:
            together: Runs several saves in one transaction; one result for each, in order.
            then: Told what was saved, while others are still at work.
            alone: What has not ended after ``company_s`` goes on so, if it may: its thread saves it when it ends.

        Returns: what the saves returned, in the order of the items.
        Raises: UnavailableError: the ledger cannot be written.
        """
        began_at = time.monotonic()
        ended = _Ended[R](len(items))
        for place, item in enumerate(items):
            self.threads.submit(ended.add, place, work, item)

        def kept(came: Sequence[tuple[int, Save[R] | Exception]]) -> dict[int, R]:
            saves = [
                (place, outcome if callable(outcome) else failed(items[place], outcome)) for place, outcome in came
            ]
            saved = self.saved_all(
                saves,
                lambda tx, some: together(tx, [save for _, save in some]),
                lambda one, error: failed(items[one[0]], error),
            )
            then(saved)
            return dict(zip((place for place, _ in saves), saved, strict=True))

        results: dict[int, R] = {}
        stop_at: float | None = None
        while len(results) < len(items):
            results |= kept(ended.gathered())
            now = time.monotonic()
            if self.stopping.is_set():
                stop_at = stop_at or now + STOP_GRACE_S
                if now >= stop_at:
                    break
            elif now >= began_at + self.settings.fetch_timeout_s + BATCH_GRACE_S:
                break
            elif alone and now >= began_at + self.company_s and self._has_room(len(items) - len(results)):
                slow = {place: items[place] for place in range(len(items)) if place not in results}
                results |= kept(self._gone_alone(ended, slow, alone, give_up, kept))
                results = {place: alone.meanwhile(item) for place, item in slow.items()} | results
        for place in (place for place in range(len(items)) if place not in results):
            late = RetryableError("timeout: the batch's time was over")
            results[place] = self.saved(give_up(items[place]) if self.stopping.is_set() else failed(items[place], late))
        return [results[place] for place in range(len(items))]

    def _gone_alone(
        self,
        ended: _Ended[R],
        slow: Mapping[int, T],
        alone: Alone[T, R],
        give_up: Callable[[T], Save[R]],
        kept: Callable[[Sequence[tuple[int, Save[R] | Exception]]], Any],
    ) -> list[tuple[int, Save[R] | Exception]]:
        """Leave what is at work to its threads. Returns: what came at the last moment."""

        def finish(place: int, outcome: Save[R] | BaseException) -> None:
            self.left.pop(id(slow[place]), None)
            if not callable(outcome) and not isinstance(outcome, Exception):
                return  # this process is ending
            try:
                kept([(place, outcome)])
                self.saved(lambda tx: alone.afterwards(tx, slow[place]))
                alone.then()
            except Exception:
                log.exception("item.unsaved")  # its lease runs out

        self.left.update((id(item), give_up(item)) for item in slow.values())
        came = ended.leave(finish)
        for place, _ in came:
            self.left.pop(id(slow[place]), None)
        return came

    def _has_room(self, count: int) -> bool:
        """May so many more go on alone? The pool has as many threads again, so that a new batch starts at once."""
        return 0 < count <= self.settings.batch - len(self.left)

    def give_up_left(self) -> None:
        """Let go of what went on alone, because this process is asked to stop."""
        for key in list(self.left):
            if (save := self.left.pop(key, None)) is not None:
                self.saved(save)

    def saved_all(
        self,
        items: Sequence[T],
        save: Callable[[Connection, Sequence[T]], list[R]],
        failed: Callable[[T, Exception], Save[R]],
    ) -> list[R]:
        """Save all items in one transaction; one by one when that fails, so that only the culprit pays.

        Args:
            save: Saves some of the items; one result for each, in order.
            failed: Saves instead what became of an item that could not be saved.
        """
        if not items:
            return []
        try:
            return self.saved(lambda tx: save(tx, items))
        except UnavailableError:
            raise
        except Exception as error:  # noqa: BLE001 - settled below, and by that logged and reported
            if len(items) == 1:
                return [self.saved(failed(items[0], error))]
            log.warning("batch.unsaved", extra={"error": type(error).__name__})
        return [result for item in items for result in self.saved_all([item], save, failed)]

    def new_token(self) -> str:
        return secrets.token_hex(16)


class _Ended(Generic[R]):
    """What threads came to, until it is gathered."""

    def __init__(self, expected: int) -> None:
        self._expected = expected
        self._came: deque[tuple[int, Save[R] | BaseException]] = deque()
        self._finish: Callable[[int, Save[R] | BaseException], None] | None = None
        self._all = threading.Event()
        self._lock = threading.Lock()

    def add(self, place: int, work: Callable[[T], Save[R]], item: T) -> None:
        """Run ``work`` and keep what it came to; for a thread of the pool."""
        try:
            outcome: Save[R] | BaseException = work(item)
        except BaseException as error:  # noqa: BLE001 - told to the thread that waits, and settled or raised there
            outcome = error
        with self._lock:
            finish = self._finish
            if finish is None:
                self._came.append((place, outcome))
            self._expected -= 1
            if not self._expected:
                self._all.set()
        if finish is not None:
            finish(place, outcome)

    def leave(self, finish: Callable[[int, Save[R] | BaseException], None]) -> list[tuple[int, Save[R] | Exception]]:
        """From now on threads call ``finish`` with what they come to. Returns: what came before."""
        with self._lock:
            self._finish = finish
        return self._drained()

    def gathered(self) -> list[tuple[int, Save[R] | Exception]]:
        """What came since the last time, waited for GATHER_S at most; in the order of the items.

        Waking up for each one alone would cost as much as what it came to: threads that end hand over one by one.
        """
        self._all.wait(GATHER_S)
        return self._drained()

    def _drained(self) -> list[tuple[int, Save[R] | Exception]]:
        came: list[tuple[int, Save[R] | Exception]] = []
        while self._came:
            place, outcome = self._came.popleft()
            if isinstance(outcome, BaseException) and not isinstance(outcome, Exception):
                raise outcome
            came.append((place, outcome))
        return sorted(came, key=lambda one: one[0])


def begin(deps: Deps, ids: Sequence[int], *, token: str, state: State) -> list[Row]:
    """The rows of this chain that are still ours, their attempt counted."""
    now = deps.clock()
    return deps.saved(lambda tx: articles.begin(tx, ids, token=token, state=state, until=deps.working_until(now)))


def save_done(deps: Deps, tx: Connection, done: Sequence[tuple[Row, Done]], *, state: State) -> list[bool]:
    """Bring the rows of a chain to their next state together. Returns: which of them go on."""
    now = deps.clock()
    going_on = [(row, came_to) for row, came_to in done if not callable(came_to)]
    saved = articles.advance_all(tx, going_on, state=state, now=now, until=deps.queued_until(now))
    return [came_to(tx) if callable(came_to) else row.id in saved for row, came_to in done]


def note(tx: Connection, happening: Mapping[str, Any]) -> None:
    """Tell operators of it, once this transaction is committed."""
    tx.info[HAPPENED].append(happening)


def end(
    deps: Deps,
    tx: Connection,
    row: Row,
    *,
    state: State,
    reason: str,
    detail: str | None,
    values: Mapping[str, Any] | None = None,
) -> bool:
    """Bring a row to an end short of publication. Returns: False: it is somebody else's by now."""
    now = deps.clock()
    if not articles.end(tx, row, state=state, now=now, reason=reason, detail=detail, values=values):
        return False
    note_end(tx, row, state=state, reason=reason, now=now)
    return True


def note_end(tx: Connection, row: Row, *, state: State, reason: str, now: datetime) -> None:
    """Tell operators that an article was set aside."""
    event = _ENDS.get(state)
    if event is not None:
        slug = feeds.by_ids(tx, [row.feed_id])[row.feed_id].slug
        note(tx, event_message(event, at=now, feed=slug, article_id=row.article_id, url=row.url, reason=reason))


def settle(deps: Deps, tx: Connection, row: Row, stage: str, error: Exception) -> None:
    """Turn an error of one article into its outcome: later again, set aside, or a pause that counts nothing."""
    now = deps.clock()
    decision = verdict(error, row.attempts, deps.retry_policy, now, deps.dice())
    detail = str(error)[:500]
    trouble = {"at": now.isoformat(), "stage": stage, "reason": type(error).__name__, "detail": detail}
    if isinstance(error, MissingObjectError):
        if row.url is None or _in_a_row(row, trouble) >= FETCHED_AGAIN:
            end(deps, tx, row, state=State.QUARANTINED, reason="store-lost", detail=detail)
            return
        host = deps.gates.key(row.url)
        hosts.ensure(tx, [host], now=now)
        articles.let_go(tx, row, ready_at=now, counted=True, trouble=trouble, values=_from_the_start(host))
    elif isinstance(decision, Pause):
        articles.let_go(tx, row, ready_at=now + pause(row, trouble), counted=False, trouble=trouble)
    elif isinstance(decision, RetryAt):
        articles.let_go(tx, row, ready_at=decision.at, counted=True, trouble=trouble)
    elif isinstance(decision, SetAside):
        end(deps, tx, row, state=State.QUARANTINED, reason=decision.reason, detail=detail)


def pause(row: Row, trouble: Mapping[str, str]) -> timedelta:
    """How long an outage of our own holds a row up: longer each time where a site is asked again for it."""
    times = _in_a_row(row, trouble) if trouble["stage"] in ASKING_STAGES else 0
    return timedelta(seconds=min(PAUSE_S * 2.0**times, PAUSE_CAP_S))


def _in_a_row(row: Row, trouble: Mapping[str, str]) -> int:
    """How often the row met this very trouble just before."""
    same = (trouble["stage"], trouble["reason"])
    return sum(1 for _ in takewhile(lambda one: (one["stage"], one["reason"]) == same, reversed(row.troubles)))


def _from_the_start(host: str) -> dict[str, Any]:
    """What makes a row go back to its page: the store lost what an earlier stage had put there."""
    home = {"host": host, "fetch_url": None}
    return {"state": State.DISCOVERED, "attempts": 0, "exchange": None, "picture": None, **home}


def settled(deps: Deps, row: Row, stage: str, error: Exception) -> Save[bool]:
    """``settle``, to be saved; the error is logged at once, and reported when it is a surprise."""
    told(deps, row, stage, error)

    def save(tx: Connection) -> bool:
        hosts.give_back_all(tx, holder=articles.holder(row.lease_token, row.id))
        settle(deps, tx, row, stage, error)
        return False

    return save


def out_of_its_chain(further: Callable[[], None], row_of: Callable[[T], Row]) -> Alone[T, bool]:
    """How an article goes on whose site is slow: no chain waits for it, so dispatch starts it again from its new state.

    Args:
        further: Called when there is something to dispatch.
        row_of: An item's row.
    """

    def free(tx: Connection, item: T) -> None:
        row = row_of(item)
        articles.unlease(tx, row.lease_token, [row.id])

    return Alone(meanwhile=lambda _: False, afterwards=free, then=further)


def released(deps: Deps, row: Row) -> Save[bool]:
    """Give a row back unworked, because this process is asked to stop: no attempt is counted, no site stays closed."""

    def save(tx: Connection) -> bool:
        hosts.give_back_all(tx, holder=articles.holder(row.lease_token, row.id))
        articles.let_go(tx, row, ready_at=deps.clock(), counted=False)
        return False

    return save


def told(deps: Deps, row: Row, stage: str, error: Exception) -> None:
    """Say what happened: every error in the log, a surprise in Sentry too, once for an article's stage."""
    fields = {"stage": stage, "article_id": row.article_id, "feed_id": row.feed_id, "host": row.host}
    log.warning("article.trouble", extra={**fields, "error": f"{type(error).__name__}: {error}"[:300]})
    known = any(one["stage"] == stage and one["reason"] == type(error).__name__ for one in row.troubles)
    if not known and not isinstance(error, NewsmillError):
        deps.report(error, stage=stage, tags={"article_id": row.article_id, "host": row.host, "feed": _slug(deps, row)})


def _slug(deps: Deps, row: Row) -> str:
    return str(deps.loaded(lambda tx: feeds.by_ids(tx, [row.feed_id]))[row.feed_id].slug)


def packed(value: Any) -> bytes:
    """A fact of ``worker.model`` (or JSON) as compressed JSON."""
    return zlib.compress(msgspec.json.encode(value), 1)


def unpacked(body: bytes, kind: type[T]) -> T:
    return msgspec.json.decode(zlib.decompress(body), type=kind)
