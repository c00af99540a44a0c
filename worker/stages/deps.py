"""What every stage is handed, and the few things that all of them do the same way."""

from __future__ import annotations

import logging
import secrets
import threading
import time
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Protocol, TypeVar

import msgspec
from sqlalchemy.engine import Connection

from config.settings import Settings
from worker.archive.store import Store
from worker.errors import NewsmillError, UnavailableError
from worker.fetch.http import Fetcher
from worker.ledger import articles, feeds
from worker.ledger.session import Ledger
from worker.ledger.tables import Row
from worker.model import Outgoing, State
from worker.publish.broker import Outcome
from worker.retry import Pause, RetryAt, RetryPolicy, SetAside, verdict

log = logging.getLogger("newsmill")

T = TypeVar("T")
R = TypeVar("R")

LEDGER_PATIENCE_S = 60.0  # nothing can be done without the ledger, so a stage waits this long for it
STOP_GRACE_S = 8.0  # what is under way may end, once we are asked to stop
PAUSE_S = 10.0  # until a stage tries our own store or broker again


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
    publisher: Output
    clock: Callable[[], datetime]
    dice: Callable[[], float]  # [0, 1)
    report: Report
    threads: ThreadPoolExecutor
    stopping: threading.Event = field(default_factory=threading.Event)
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
        give_up_at = time.monotonic() + LEDGER_PATIENCE_S
        pause_s = 0.1
        while True:
            try:
                with self.ledger.transaction() as connection:
                    return work(connection)
            except UnavailableError as error:
                if self.stopping.is_set() or time.monotonic() + pause_s > give_up_at:
                    raise
                log.warning("ledger.unavailable", extra={"error": str(error), "pause_s": pause_s})
                self.stopping.wait(pause_s)
                pause_s = min(pause_s * 2, 5.0)

    def side_by_side(self, work: Callable[[T], R], items: Sequence[T], give_up: Callable[[T], R]) -> list[R]:
        """``work`` on each item in threads; results in order.

        When this process is asked to stop, what is not done after STOP_GRACE_S is given up: its thread goes on, but
        ``give_up`` lets the row go, so that whatever the thread still saves misses.
        """
        futures = [self.threads.submit(work, item) for item in items]
        stop_at: float | None = None
        pending = set(futures)
        while pending:
            _, pending = wait(pending, timeout=0.5)
            if self.stopping.is_set():
                stop_at = stop_at or time.monotonic() + STOP_GRACE_S
                if time.monotonic() >= stop_at:
                    break
        return [
            future.result() if future not in pending else give_up(item)
            for future, item in zip(futures, items, strict=True)
        ]

    def new_token(self) -> str:
        return secrets.token_hex(16)


def begin(deps: Deps, ids: Sequence[int], *, token: str, state: State) -> list[Row]:
    """The rows of this chain that are still ours, their attempt counted."""
    now = deps.clock()
    return deps.saved(
        lambda tx: articles.begin(tx, ids, token=token, state=state, now=now, until=deps.working_until(now))
    )


def settle(deps: Deps, tx: Connection, row: Row, stage: str, error: Exception) -> None:
    """Turn an error of one article into its outcome: later again, set aside, or a pause that counts nothing."""
    now = deps.clock()
    decision = verdict(error, row.attempts, deps.retry_policy, now, deps.dice())
    detail = str(error)[:500]
    trouble = {"at": now.isoformat(), "stage": stage, "reason": type(error).__name__, "detail": detail}
    if isinstance(decision, Pause):
        later = now + timedelta(seconds=PAUSE_S)
        articles.let_go(tx, row, ready_at=later, counted=False, trouble=trouble)
    elif isinstance(decision, RetryAt):
        articles.let_go(tx, row, ready_at=decision.at, counted=True, trouble=trouble)
    elif isinstance(decision, SetAside):
        articles.end(tx, row, state=State.QUARANTINED, now=now, reason=decision.reason, detail=detail)


def outcome_of(deps: Deps, row: Row, stage: str, error: Exception) -> None:
    """``settle`` in a transaction of its own, the error logged, and reported when it is a surprise."""
    told(deps, row, stage, error)
    deps.saved(lambda tx: settle(deps, tx, row, stage, error))


def told(deps: Deps, row: Row, stage: str, error: Exception) -> None:
    """Say what happened: every error in the log, a surprise in Sentry too, once for an article's stage."""
    fields = {"stage": stage, "article_id": row.article_id, "feed_id": row.feed_id, "host": row.host}
    log.warning("article.trouble", extra={**fields, "error": f"{type(error).__name__}: {error}"[:300]})
    known = any(one["stage"] == stage and one["reason"] == type(error).__name__ for one in row.troubles)
    if not known and not isinstance(error, NewsmillError):
        deps.report(error, stage=stage, tags={"article_id": row.article_id, "host": row.host, "feed": _slug(deps, row)})


def _slug(deps: Deps, row: Row) -> str:
    with deps.ledger.reading() as connection:
        return str(feeds.by_ids(connection, [row.feed_id])[row.feed_id].slug)


def released(deps: Deps, rows: Iterable[Row]) -> None:
    """Give rows back unworked, because this process is asked to stop: no attempt is counted."""
    waiting = list(rows)
    if not waiting:
        return

    def give(tx: Connection) -> None:
        for row in waiting:
            articles.let_go(tx, row, ready_at=deps.clock(), counted=False)

    deps.saved(give)


def packed(value: Any) -> bytes:
    """A fact of ``worker.model`` (or JSON) as compressed JSON."""
    return zlib.compress(msgspec.json.encode(value), 1)


def unpacked(body: bytes, kind: type[T]) -> T:
    return msgspec.json.decode(zlib.decompress(body), type=kind)
