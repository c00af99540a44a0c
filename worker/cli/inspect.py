"""``newsmill migrate``, ``status`` and ``audit``: the schema, how the line is doing, whether its books balance."""

# ruff: noqa: PLC0415 - the database's libraries are imported by the commands that need them: `--help` stays quick

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer

from worker.cli import context, show
from worker.cli.doors import now_utc, opened_ledger
from worker.feeds.cadence import is_silent
from worker.model import OPEN_STATES, TERMINAL_STATES

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

    from worker.ledger.tables import Row

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]

LATE_TICKS = 3  # beat is late after so many missed ticks
WATCH_S = 2.0
COUNTED_AT_MOST = 100_000  # articles of the last hour
DAMAGED = "`newsmill archive compact` looks again and names them, `newsmill archive verify` says what brings them back"


def migrate() -> None:
    """Bring the database's schema to its newest revision; twice is fine."""
    from worker.ledger.migrate import migrate as to_head
    from worker.ledger.session import Ledger

    ledger = Ledger(context.settings().database_url)
    try:
        before, after = to_head(ledger)
    finally:
        ledger.close()
    if before == after:
        show.line(f"The schema was up to date: {after}.")
    else:
        show.line(f"Migrated the schema from {before or 'nothing'} to {after}.")


# ---------------------------------------------------------------- status


def status(
    as_json: AsJson = False,
    watch: Annotated[bool, typer.Option("--watch", help=f"Again every {WATCH_S:g} s, until Ctrl-C.")] = False,
) -> None:
    """Show the backlog by stage, the rate, how long articles take, and which feeds need a look."""
    with opened_ledger() as ledger:
        while True:
            with ledger.reading() as connection:
                found = _status(connection, now_utc())
            if watch:
                show.console().clear()
            if as_json:
                show.as_json(found)
            else:
                _show_status(found)
            if not watch:
                return
            time.sleep(WATCH_S)


def _status(connection: Connection, now: datetime) -> dict[str, Any]:
    from worker.ledger import articles, bundles, feeds, publications

    lags = articles.lags_s(connection, since=now - timedelta(hours=1), limit=COUNTED_AT_MOST)
    ticks = publications.ticks(connection)
    return {
        "at": now,
        "articles": articles.counts(connection),
        "in_flight": articles.in_flight(connection, now=now),
        "published_last_hour": len(lags),
        "lag_p50_s": percentile(lags, 0.50),
        "lag_p95_s": percentile(lags, 0.95),
        "feeds": feed_figures(feeds.all_feeds(connection), now),
        "damaged_bundles": bundles.count_problems(connection),
        "ticks": ticks,
        "beat": beat_trouble(ticks, now=now, tick_s=context.settings().tick_s),
    }


def percentile(values: Sequence[float], share: float) -> float | None:
    """The nearest-rank percentile; None of nothing. ``share`` in (0, 1]."""
    if not values:
        return None
    return round(sorted(values)[math.ceil(share * len(values)) - 1], 3)


def feed_figures(rows: Sequence[Row], now: datetime) -> dict[str, Any]:
    """How many feeds there are, and the names of those that need a look."""
    live = [row for row in rows if row.enabled and row.gone_at is None]
    return {
        "total": len(rows),
        "enabled": sum(row.enabled for row in rows),
        "due": sum(row.due_at <= now for row in live),
        "failing": [row.slug for row in live if row.failures],
        "silent": [row.slug for row in live if is_silent(row.rhythm, now)],
        "gone": [row.slug for row in rows if row.gone_at is not None],
    }


def beat_trouble(ticks: Mapping[str, datetime], *, now: datetime, tick_s: float) -> str | None:
    """Why nothing may be moving: beat never ticked, or not for a while. None: it ticks."""
    if not ticks:
        return "Beat has not ticked yet: is it running? `newsmill up` starts all parts, `newsmill once` needs none."
    age_s = (now - max(ticks.values())).total_seconds()
    if age_s <= LATE_TICKS * tick_s:
        return None
    return f"Beat has not ticked for {show.span(age_s)}: is it running, and a worker too?"


def _show_status(found: Mapping[str, Any]) -> None:
    counts: Mapping[str, int] = found["articles"]
    show.table(
        ("waiting for", "articles"),
        [(stage, counts[state]) for state, stage in waiting_for().items()],
    )
    show.line("")
    show.table(("ended as", "articles"), [(state.value, counts[state.value]) for state in TERMINAL_STATES])
    show.line("")
    feeds: Mapping[str, Any] = found["feeds"]
    lags = (found["lag_p50_s"], found["lag_p95_s"])
    show.facts(
        [
            ("in flight", found["in_flight"]),
            ("published in the last hour", found["published_last_hour"]),
            ("from discovery to publication", _lag(*lags)),
            ("feeds", f"{feeds['total']}, {feeds['enabled']} enabled, {feeds['due']} due"),
            *((name, ", ".join(feeds[name])) for name in ("failing", "silent", "gone") if feeds[name]),
            *((f"tick {name}", show.distance(at, found["at"])) for name, at in sorted(found["ticks"].items())),
        ]
    )
    if found["beat"]:
        show.line(found["beat"], style="yellow")
    if counts["quarantined"]:
        show.line("Look at what was set aside with `newsmill quarantine list`.", style="yellow")
    if found["damaged_bundles"]:
        bundles = show.count(found["damaged_bundles"], "bundle")
        show.line(f"{bundles} of the archive missing or changed: {DAMAGED}.", style="yellow")


def waiting_for() -> dict[str, str]:
    """Open state -> the stage that takes articles in it."""
    return dict(
        zip(
            (state.value for state in OPEN_STATES),
            ("download", "extract", "picture", "archive", "publish"),
            strict=True,
        )
    )


def _lag(p50_s: float | None, p95_s: float | None) -> str | None:
    if p50_s is None or p95_s is None:
        return None
    return f"p50 {show.span(p50_s)}, p95 {show.span(p95_s)}"


# ---------------------------------------------------------------- audit

FAULTS = {
    "missing": "items that are in no state",
    "published_without_confirm": "published, but no broker confirmed it",
    "ended_without_time": "ended, but nobody knows when",
    "ended_without_reason": "set aside, but nobody knows why",
    "sightings_without_article": "seen in a feed, but no article came of it",
    "sequence_gaps": "numbers of a feed's sequence that no message has",
}


def audit(as_json: AsJson = False) -> None:
    """Sum up: every discovered item is in exactly one state. Exits 1 when the books do not balance."""
    from worker.ledger import articles

    with opened_ledger() as ledger, ledger.reading() as connection:
        found = with_items(articles.audit(connection))
    faults = {name: number for name, number in found.items() if is_fault(name) and number != 0}
    if as_json:
        show.as_json({**found, "balanced": not faults})
    else:
        show.table(
            ("figure", "count", "", "meaning"),
            [(name, number, "wrong" if name in faults else None, FAULTS.get(name)) for name, number in found.items()],
            styles=["red" if name in faults else "" for name in found],
        )
        show.line(
            "The books do not balance. This is a bug in newsmill: please report it with these figures."
            if faults
            else "The books balance."
        )
    if faults:
        raise typer.Exit(1)


def with_items(found: Mapping[str, int]) -> dict[str, int]:
    """The figures of the audit behind the number of all items, whatever their state; ``discovered`` is a state too."""
    states = [found[state.value] for state in (*OPEN_STATES, *TERMINAL_STATES)]
    return {"items": sum(states) + found["missing"], **found}


def is_fault(name: str) -> bool:
    """Does this figure of the audit count faults? All do that count neither items nor states."""
    return name != "items" and name not in {state.value for state in (*OPEN_STATES, *TERMINAL_STATES)}
