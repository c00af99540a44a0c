"""A registry of very many feeds: what it costs to claim those that are due, and to keep when they are due again."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from bench.archived import spent
from bench.polling import ROUND_S, Clock
from bench.processes import cpu_of_named_s
from worker import stages
from worker.ledger import hosts
from worker.ledger.tables import Row
from worker.ledger.tables import feeds as feed_rows
from worker.stages import Deps, Polls
from worker.stages.poll import begun
from worker.stages.polled import Came, Ended, Polled, saved_together
from worker.urls import gate_key

AT_ONCE = 5000
DAY_S = 86_400.0


def fill(deps: Deps, *, count: int, sites: int, now: datetime) -> None:
    """Follow so many feeds on so many sites, all of them polled before, none of them due."""
    with deps.ledger.transaction() as tx:
        hosts.ensure(tx, [gate_key(_url(site, 0)) for site in range(sites)], now=now - timedelta(days=1))
    for start in range(0, count, AT_ONCE):
        rows = [_feed(number, sites, now) for number in range(start, min(start + AT_ONCE, count))]
        with deps.ledger.transaction() as tx:
            tx.execute(feed_rows.insert(), rows)
    if deps.ledger.dialect == "postgresql":  # as autovacuum does it within minutes
        with deps.ledger.transaction() as tx:
            tx.exec_driver_sql("ANALYZE feeds, hosts")


def _url(site: int, number: int) -> str:
    return f"https://www.site-{site}.example/feeds/{number}.xml"


def _feed(number: int, sites: int, now: datetime) -> dict[str, Any]:
    url = _url(number % sites, number // sites)
    seconds = now.timestamp()
    return {
        "slug": f"feed-{number}",
        "url": url,
        "host": gate_key(url),
        "headers": {},
        "first_poll": "all",
        "origin": "file",
        "created_at": now,
        "due_at": now + timedelta(days=1, seconds=number * 0.1),
        "etag": f'"{number:032x}"',
        "polled_at": now,
        "unconditional_at": now,
        "ok_at": now,
        "new_at": now,
        "outcome": "not-modified",
        "status": 304,
        "rhythm": [seconds - 3600.0 * ago for ago in range(50, 0, -1)],
        "wishes": {"ttl_s": 3600.0, "update_period_s": 0.0, "skip_hours": [], "skip_days": [], "full_text_share": 0.5},
    }


@dataclass(slots=True, kw_only=True)
class Rounds:
    """CPU seconds of this process, and of the database's server, over all feeds that were claimed."""

    feeds: int = 0
    claim_s: float = 0.0
    begin_s: float = 0.0
    reschedule_s: float = 0.0
    server_s: float = 0.0


def rounds(deps: Deps, clock: Clock, *, due: int, every: int, until: int) -> Rounds:
    """Make one feed in ``every`` due, ``due`` in all; claim, begin and reschedule until so many of them are done."""
    chosen = feed_rows.c.id % every == 0, feed_rows.c.id <= due * every
    with deps.ledger.transaction() as tx:
        tx.execute(feed_rows.update().where(*chosen).values(due_at=clock() - timedelta(minutes=1)))
    came = Rounds()
    while came.feeds < until:
        server_s = cpu_of_named_s({"postgres"})
        claim = spent(lambda: stages.due(deps).batches)
        if not claim.result:
            break
        came.claim_s += claim.cpu_s
        for batch in claim.result:
            _round(deps, batch, came)
        came.server_s += cpu_of_named_s({"postgres"}) - server_s
        clock.later(ROUND_S)
    return came


def _round(deps: Deps, batch: Polls, came: Rounds) -> None:
    begin = spent(lambda: deps.saved(lambda tx: begun(deps, tx, batch.ids, token=batch.token)))
    ended = [_not_modified(deps, row, batch.token) for row in begin.result.ready]
    save = spent(lambda: deps.saved(lambda tx: saved_together(tx, ended)))
    came.feeds += len(save.result)
    came.begin_s += begin.cpu_s
    came.reschedule_s += save.cpu_s


def _not_modified(deps: Deps, row: Row, token: str) -> Ended:
    now = deps.clock()
    polled = Polled(slug=row.slug, outcome="not-modified", status=304)
    values = {"ok_at": now, "error": None, "failures": 0, "due_at": now + timedelta(seconds=DAY_S)}
    return Ended(deps=deps, feed=row, token=token, at=now, came=lambda _: Came(polled=polled, values=values))
