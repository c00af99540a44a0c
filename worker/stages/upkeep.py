"""Upkeep: what ended articles left in the spool, vanished holders' slots, old history, an overfull holding queue."""

from __future__ import annotations

import logging
from datetime import timedelta

from worker.errors import UnavailableError
from worker.ledger import articles, feeds, hosts
from worker.ledger.tables import Row
from worker.stages.deps import Deps

log = logging.getLogger("newsmill")

SPOOL_KEPT = timedelta(hours=1)  # after an article's end
SET_ASIDE_KEPT = timedelta(days=30)  # so that a retry needs no new fetch
POLLS_KEPT = timedelta(days=90)
SWEEP_AT_ONCE = 500
SWEEP_FOR = timedelta(seconds=45)


def upkeep(deps: Deps) -> dict[str, int]:
    """One round; returns what was removed. What cannot be removed now is found again next time."""
    now = deps.clock()
    done = {
        "slots": deps.saved(lambda tx: hosts.sweep_slots(tx, now=now)),
        "polls": deps.saved(lambda tx: feeds.prune_polls(tx, before=now - POLLS_KEPT)),
        "spool": _sweep_spool(deps),
        "held": _trim_holding(deps),
    }
    log.info("upkeep.done", extra=done)
    return done


def _sweep_spool(deps: Deps) -> int:
    """Sweep until nothing is left to sweep, for a while at most. Returns: how many articles were swept."""
    swept, end = 0, deps.clock() + SWEEP_FOR
    while deps.clock() < end and not deps.stopping.is_set() and (some := _sweep_some(deps)):
        swept += some
    return swept


def _sweep_some(deps: Deps) -> int:
    now = deps.clock()
    with deps.ledger.reading() as connection:
        rows = articles.sweepable(
            connection,
            ended_before=now - SPOOL_KEPT,
            set_aside_before=now - SET_ASIDE_KEPT,
            limit=SWEEP_AT_ONCE,
        )
    if not rows:
        return 0
    needed = _still_needed(deps, rows)
    for row in rows:
        for key in _spooled_keys(row):
            if key not in needed:
                deps.store.delete(key)
    deps.saved(lambda tx: articles.swept(tx, [row.id for row in rows]))
    return len(rows)


def _spooled_keys(row: Row) -> list[str]:
    notes = ((row.exchange or {}).get("key"), (row.picture or {}).get("spool"))
    return [key for key in notes if key]


def _still_needed(deps: Deps, rows: list[Row]) -> set[str]:
    """Spool keys are digests: another article may hold the very same bytes and still be on its way."""
    keys = {key for row in rows for key in _spooled_keys(row)}
    with deps.ledger.reading() as connection:
        return articles.spool_keys_in_use(connection, sorted(keys), besides=[row.id for row in rows])


def _trim_holding(deps: Deps) -> int:
    try:
        return deps.publisher.trim_holding()
    except UnavailableError as error:
        log.warning("upkeep.no_broker", extra={"error": str(error)})
        return 0
