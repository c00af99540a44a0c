"""Dispatch: who may start now? Claims ready rows and forms the chains that will carry them.

It is the recovery too: a lease that ran out is simply ready again.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy.engine import Connection

from worker.ledger import articles, publications
from worker.ledger.articles import Ready
from worker.ledger.session import dispatch_lock
from worker.model import State
from worker.stages.deps import Deps, note_end
from worker.stages.visit import pace_of

log = logging.getLogger("newsmill")

FRESH_S = 30.0  # queued for longer, a row may have lost its message: it does not hold the others back
BEHIND_SHARE = 4  # one in so many places in flight may be taken by what is no news
BUSY_AGAIN_S = 0.2  # another dispatcher is at work: look again this soon, it may have looked before our commit


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Articles that share a chain: one state, different hosts, one token."""

    ids: tuple[int, ...]
    token: str
    state: State
    label: str  # for Flower: the first one's feed and URL


@dataclass(frozen=True, slots=True, kw_only=True)
class Dispatched:
    """The chains to start, and when a look would be worth it again (None: beat's tick is soon enough)."""

    batches: tuple[Batch, ...]
    look_again_at: datetime | None


def dispatch(deps: Deps) -> Dispatched:
    """Claim what may start. The caller must start every batch; one that is not started waits for its lease to end."""
    return deps.saved(lambda tx: _dispatch(deps, tx))


def tick(deps: Deps, name: str) -> None:
    """Note that beat ticked: ``status`` and ``doctor`` tell by it that a clock stands still."""
    deps.saved(lambda tx: publications.tick(tx, name, now=deps.clock()))


def _dispatch(deps: Deps, tx: Connection) -> Dispatched:
    now = deps.clock()
    if not dispatch_lock(tx):
        return Dispatched(batches=(), look_again_at=now + timedelta(seconds=BUSY_AGAIN_S))
    settings = deps.settings
    fresh_until = deps.queued_until(now) - timedelta(seconds=FRESH_S)
    standing = articles.standing(tx, now=now, queued_until=fresh_until, max_attempts=settings.max_attempts)
    if standing.lost:
        for lost in articles.give_up_lost(tx, now=now, max_attempts=settings.max_attempts):
            log.error("article.worker_lost", extra={"article_id": lost.article_id, "attempts": lost.attempts})
            note_end(tx, lost, state=State.QUARANTINED, reason=lost.reason, now=now)
    if standing.queued >= enough_queued(batch=settings.batch, children=settings.concurrency):
        return Dispatched(batches=(), look_again_at=None)  # whoever takes some of it calls dispatch again
    room = settings.max_in_flight - standing.in_flight
    behind = settings.max_in_flight // BEHIND_SHARE - standing.behind
    further = articles.ready_past_download(tx, now=now, limit=room, behind=behind)
    behind -= sum(row.behind for row in further)
    fresh = articles.ready_by_host(tx, now=now, limit=room - len(further), pace_of=pace_of(deps), behind=behind)
    idle = max(0, settings.concurrency - standing.in_flight)
    batches = [
        batch
        for group in chains([*further, *fresh], batch=settings.batch, idle_children=idle)
        if (batch := _leased(deps, tx, group, now)) is not None
    ]
    horizon = now + timedelta(seconds=settings.tick_s)
    return Dispatched(batches=tuple(batches), look_again_at=articles.next_ready_at(tx, now=now, horizon=horizon))


def enough_queued(*, batch: int, children: int) -> int:
    """So many articles in the queue give each child of this process a full batch when it ends what it has.

    Claiming more early would make small chains of whatever site was just freed.
    """
    return batch * children


def _leased(deps: Deps, tx: Connection, group: Sequence[Ready], now: datetime) -> Batch | None:
    token = deps.new_token()
    until = deps.queued_until(now)
    ids = articles.lease(tx, group, token=token, now=now, until=until, slot_until=until)
    if not ids:
        return None
    return Batch(ids=tuple(ids), token=token, state=group[0].state, label=label(group[0].label, more=len(group) - 1))


def chains(ready: Sequence[Ready], *, batch: int, idle_children: int) -> list[list[Ready]]:
    """Share ready rows out to chains.

    A chain holds rows of one state and, for downloads, of different hosts. While children are idle the rows are spread
    over them: in quiet times every article travels alone and at once. When all are busy the rows share chains, up to
    ``batch``. Rows whose last attempt vanished with its worker always travel alone.
    """
    groups = [[row] for row in ready if row.alone]
    by_state: dict[State, list[Ready]] = {}
    for row in ready:
        if not row.alone:
            by_state.setdefault(row.state, []).append(row)
    for rows in by_state.values():
        share = -(-len(rows) // idle_children) if idle_children else batch
        groups.extend(_spread(rows, min(batch, share), apart=rows[0].state is State.DISCOVERED))
    return groups


def _spread(rows: Sequence[Ready], size: int, *, apart: bool) -> list[list[Ready]]:
    groups: list[list[Ready]] = []
    for row in rows:
        fitting = (
            group for group in groups if len(group) < size and not (apart and any(row.host == r.host for r in group))
        )
        group = next(fitting, None)
        if group is None:
            groups.append([row])
        else:
            group.append(row)
    return groups


def label(first: str, *, more: int) -> str:
    """How Flower shows a list of ids: the first feed and URL, and how many more."""
    return f"{first}, +{more}" if more else first


def unstarted(deps: Deps, batches: Sequence[Batch]) -> None:
    """Take back chains that the broker did not take, so that they may start as soon as it is there again."""

    def take_back(tx: Connection) -> None:
        for batch in batches:
            articles.unlease(tx, batch.token, batch.ids)

    deps.saved(take_back)
