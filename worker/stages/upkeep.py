"""Upkeep: what ended articles left in the spool, vanished holders' slots, old history, sites that are read no more, an
overfull holding queue; and what operators are told from time to time: feeds that fell silent, and that the line lives.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from sqlalchemy.engine import Connection

from worker.errors import UnavailableError
from worker.feeds.cadence import SILENCE_FLOOR_S, is_silent
from worker.ledger import articles, feeds, hosts, publications, sites, spool
from worker.publish.message import event_message, heartbeat_message
from worker.stages.deps import Deps, note
from worker.stages.listing import list_documents
from worker.urls import display_url

log = logging.getLogger("newsmill")

SPOOL_KEPT = timedelta(hours=1)  # after an article's end
SET_ASIDE_KEPT = timedelta(days=30)  # so that a retry needs no new fetch
POLLS_KEPT = timedelta(days=90)
SITES_KEPT = timedelta(days=60)  # after the last page of which anything was learnt
SWEEP_AT_ONCE = 500
MOVED_AT_ONCE = 50
SWEEP_FOR = timedelta(seconds=45)  # sweeping and moving together: a task's time is limited


def upkeep(deps: Deps) -> dict[str, int]:
    """One round; returns how much was done of what. What cannot be done now is found again next time."""
    now = deps.clock()
    end = now + SWEEP_FOR
    done = {
        "slots": deps.saved(lambda tx: hosts.sweep_slots(tx, now=now)),
        "polls": deps.saved(lambda tx: feeds.prune_polls(tx, before=now - POLLS_KEPT)),
        "sites": deps.saved(lambda tx: sites.forget(tx, before=now - SITES_KEPT)),
        "spool": _until(end, deps, _sweep_some),
        "moved": _until(end, deps, partial(_move_some, end=end)),
        "listed": _list_documents(deps),
        "held": _trim_holding(deps),
        "silent": deps.saved(lambda tx: _tell_of_silence(deps, tx)),
    }
    deps.tell([deps.loaded(lambda tx: _heartbeat(deps, tx))])
    log.info("upkeep.done", extra=done)
    return done


def _heartbeat(deps: Deps, tx: Connection) -> dict[str, Any]:
    last_at = publications.last_confirmed_at(tx)
    return heartbeat_message(at=deps.clock(), counts=articles.counts(tx), last_published_at=last_at)


def _tell_of_silence(deps: Deps, tx: Connection) -> int:
    """Tell operators of feeds that answer and have long had nothing new. Returns: how many feeds."""
    now = deps.clock()
    rows = feeds.gone_quiet(tx, before=now - timedelta(seconds=SILENCE_FLOOR_S))
    silent = [row for row in rows if is_silent(row.rhythm, now)]
    for row in silent:
        said = f"nothing new since {row.new_at.isoformat(timespec='seconds')}"
        note(tx, event_message("feed.silent", at=now, feed=row.slug, url=display_url(row.url), reason=said))
    feeds.tell(tx, [row.id for row in silent], "silent")
    return len(silent)


def _until(end: datetime, deps: Deps, do_some: Callable[[Deps], int]) -> int:
    """Go on until nothing is left to do, until ``end`` at most. Returns: how much was done."""
    done = 0
    try:
        while not _is_over(deps, end) and (some := do_some(deps)):
            done += some
    except UnavailableError as error:
        log.warning("upkeep.no_store", extra={"error": str(error)})
    return done


def _is_over(deps: Deps, end: datetime) -> bool:
    return deps.clock() >= end or deps.stopping.is_set()


def _sweep_some(deps: Deps) -> int:
    """Returns: how many articles were swept."""
    now = deps.clock()
    rows = deps.loaded(
        lambda tx: articles.sweepable(
            tx, ended_before=now - SPOOL_KEPT, set_aside_before=now - SET_ASIDE_KEPT, limit=SWEEP_AT_ONCE
        )
    )
    if not rows:
        return 0
    ids = [row.id for row in rows]
    deps.store.delete_all(deps.loaded(lambda tx: spool.in_store(tx, ids)))
    deps.saved(lambda tx: _forget(tx, ids))
    return len(rows)


def _forget(tx: Connection, ids: Sequence[int]) -> None:
    spool.forget(tx, ids)
    articles.swept(tx, ids)


def _move_some(deps: Deps, *, end: datetime) -> int:
    """What was set aside is kept for weeks: its exchanges in the store, not in the ledger. Returns: how many moved."""
    before = deps.clock() - SPOOL_KEPT
    moved: list[str] = []
    for row in deps.loaded(lambda tx: spool.set_aside(tx, ended_before=before, limit=MOVED_AT_ONCE)):
        if _is_over(deps, end):
            break
        deps.store.put(row.key, row.body)
        moved.append(row.key)
    deps.saved(lambda tx: spool.moved(tx, moved))
    return len(moved)


def _list_documents(deps: Deps) -> int:
    try:
        return list_documents(deps)
    except UnavailableError as error:
        log.warning("upkeep.no_store", extra={"error": str(error)})
        return 0


def _trim_holding(deps: Deps) -> int:
    try:
        return deps.publisher.trim_holding()
    except UnavailableError as error:
        log.warning("upkeep.no_broker", extra={"error": str(error)})
        return 0
