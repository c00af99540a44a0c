"""Upkeep: what ended articles left in the spool, vanished holders' slots, old history, an overfull holding queue; and
what operators are told from time to time: feeds that fell silent, and that the line lives.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import timedelta
from functools import partial
from typing import Any

from sqlalchemy.engine import Connection

from worker.errors import UnavailableError
from worker.feeds.cadence import SILENCE_FLOOR_S, is_silent
from worker.ledger import articles, feeds, hosts, publications, spool
from worker.ledger.tables import Row
from worker.publish.message import event_message, heartbeat_message
from worker.stages.deps import Deps, note
from worker.stages.listing import list_documents
from worker.urls import display_url

log = logging.getLogger("newsmill")

SPOOL_KEPT = timedelta(hours=1)  # after an article's end
SET_ASIDE_KEPT = timedelta(days=30)  # so that a retry needs no new fetch
POLLS_KEPT = timedelta(days=90)
SWEEP_AT_ONCE = 500
MOVED_AT_ONCE = 50
SWEEP_FOR = timedelta(seconds=45)


def upkeep(deps: Deps) -> dict[str, int]:
    """One round; returns how much was done of what. What cannot be done now is found again next time."""
    now = deps.clock()
    done = {
        "slots": deps.saved(lambda tx: hosts.sweep_slots(tx, now=now)),
        "polls": deps.saved(lambda tx: feeds.prune_polls(tx, before=now - POLLS_KEPT)),
        "spool": _sweep_spool(deps),
        "moved": _move_set_aside(deps),
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


def _sweep_spool(deps: Deps) -> int:
    """Sweep until nothing is left to sweep, for a while at most. Returns: how many articles were swept."""
    swept, end = 0, deps.clock() + SWEEP_FOR
    try:
        while deps.clock() < end and not deps.stopping.is_set() and (some := _sweep_some(deps)):
            swept += some
    except UnavailableError as error:
        log.warning("upkeep.no_store", extra={"error": str(error)})
    return swept


def _sweep_some(deps: Deps) -> int:
    now = deps.clock()
    rows = deps.loaded(
        lambda tx: articles.sweepable(
            tx, ended_before=now - SPOOL_KEPT, set_aside_before=now - SET_ASIDE_KEPT, limit=SWEEP_AT_ONCE
        )
    )
    if not rows:
        return 0
    ids = [row.id for row in rows]
    in_ledger = deps.loaded(lambda tx: spool.keys_of(tx, ids))
    deps.store.delete_all([key for row in rows for key in _spooled_keys(row) if key not in in_ledger])
    deps.saved(lambda tx: _forget(tx, ids))
    return len(rows)


def _forget(tx: Connection, ids: Sequence[int]) -> None:
    spool.forget(tx, ids)
    articles.swept(tx, ids)


def _move_set_aside(deps: Deps) -> int:
    """What was set aside is kept for weeks: its exchanges in the store, not in the ledger. Returns: how many."""
    moved, before, end = 0, deps.clock() - SPOOL_KEPT, deps.clock() + SWEEP_FOR
    try:
        while deps.clock() < end and not deps.stopping.is_set():
            rows = deps.loaded(lambda tx: spool.set_aside(tx, ended_before=before, limit=MOVED_AT_ONCE))
            if not rows:
                break
            for row in rows:
                deps.store.put(row.key, row.body)
            keys = [row.key for row in rows]
            deps.saved(partial(spool.moved, keys=keys))
            moved += len(rows)
    except UnavailableError as error:
        log.warning("upkeep.no_store", extra={"error": str(error)})
    return moved


def _spooled_keys(row: Row) -> list[str]:
    """Nobody else's: a spool key is made from the article's id too."""
    exchange, picture = row.exchange or {}, row.picture or {}
    notes = (exchange.get("key"), picture.get("spool"), *exchange.get("superseded", ()))
    return [key for key in notes if key]


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
