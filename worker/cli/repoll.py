"""``newsmill repoll``: the manual re-poll. It asks in the ledger; beat's next tick starts the polls."""

# ruff: noqa: PLC0415 - the database's libraries are imported when the command runs: `--help` stays quick

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer

from worker.cli import context, show
from worker.cli.chosen import chosen_feeds
from worker.cli.doors import now_utc, opened_ledger
from worker.errors import UsageError

if TYPE_CHECKING:
    from worker.ledger.feeds import Poll
    from worker.ledger.session import Ledger
    from worker.ledger.tables import Row

LOOK_EVERY_S = 0.25
OPEN_ROWS_SEEN = 1000
TROUBLED = frozenset({"failed", "gone"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Repolled:
    """How the poll of one feed ended; outcome ``unpolled``: nobody did it in time."""

    slug: str
    outcome: str
    status: int | None = None
    new: int = 0
    detail: str | None = None
    open_count: int = 0  # its new articles that had not come to their end yet


def repoll(
    slugs: Annotated[list[str] | None, typer.Argument(metavar="SLUG", help="The feeds.", show_default=False)] = None,
    *,
    every: Annotated[bool, typer.Option("--all", help="All feeds that are switched on.")] = False,
    unconditional: Annotated[
        bool, typer.Option("--unconditional", help="Without ETag and Last-Modified: have the whole document sent.")
    ] = False,
    wait: Annotated[
        bool, typer.Option("--wait", help="Stay until they are polled and their new articles are at their end.")
    ] = False,
    timeout_s: Annotated[float, typer.Option("--timeout", min=1, help="How long --wait stays, seconds.")] = 60.0,
    as_json: Annotated[bool, typer.Option("--json", help="The answer as JSON.")] = False,
) -> None:
    """Poll feeds now, whenever they would be due; each as soon as its site may be asked."""
    if bool(slugs) == every:
        raise typer.BadParameter("name feeds, or say --all (see `newsmill feeds list`)")
    with opened_ledger() as ledger:
        asked_at = now_utc()
        asked = _ask(ledger, slugs or None, unconditional=unconditional, now=asked_at)
        if not wait:
            _promise(asked, as_json=as_json)
            return
        ends = _awaited(ledger, asked, asked_at, timeout_s)
    _tell(ends, timeout_s, as_json=as_json)
    if any(end.outcome in TROUBLED or end.outcome == "unpolled" for end in ends):
        raise typer.Exit(1)


def _ask(ledger: Ledger, slugs: Sequence[str] | None, *, unconditional: bool, now: datetime) -> list[str]:
    from worker.ledger import feeds

    with ledger.transaction() as tx:
        chosen = None if slugs is None else chosen_feeds(feeds.all_feeds(tx), slugs)
        asked = feeds.ask(tx, chosen, unconditional=unconditional, now=now)
    if not asked:
        raise UsageError("No feed is switched on: add one with `newsmill feeds add URL`.")
    return asked


def _promise(asked: Sequence[str], *, as_json: bool) -> None:
    if as_json:
        show.as_json([{"slug": slug, "outcome": "asked"} for slug in asked])
        return
    tick_s = context.settings().tick_s
    show.line(f"{', '.join(asked)}: due now. Beat starts the poll within {tick_s:g} s; --wait shows how it ends.")


# ---------------------------------------------------------------- waiting


def _awaited(ledger: Ledger, asked: Sequence[str], asked_at: datetime, timeout_s: float) -> list[Repolled]:
    """Look until every feed is polled and its new articles are at their end, or the time is over."""
    give_up_at = time.monotonic() + timeout_s
    while True:
        ends = _look(ledger, asked, asked_at)
        settled = all(end.outcome != "unpolled" and not end.open_count for end in ends)
        if settled or time.monotonic() >= give_up_at:
            return ends
        time.sleep(LOOK_EVERY_S)


def _look(ledger: Ledger, asked: Sequence[str], asked_at: datetime) -> list[Repolled]:
    from worker.ledger import articles, feeds
    from worker.model import OPEN_STATES

    with ledger.reading() as connection:
        rows = {row.slug: row for row in feeds.all_feeds(connection, with_removed=True)}
        open_rows = articles.select_rows(connection, states=OPEN_STATES, since=asked_at, limit=OPEN_ROWS_SEEN)
        ends = []
        for slug in asked:
            row = rows[slug]
            last = next(iter(feeds.polls_of(connection, row.id, limit=1)), None)
            open_count = sum(found.slug == slug for found in open_rows)
            ends.append(_end_of(row, last, asked_at, open_count))
    return ends


def _end_of(feed: Row, last: Poll | None, asked_at: datetime, open_count: int) -> Repolled:
    if last is None or last.at < asked_at or feed.asked_at is not None:
        return Repolled(slug=feed.slug, outcome="unpolled")
    return Repolled(
        slug=feed.slug,
        outcome=last.outcome,
        status=last.status,
        new=last.new,
        detail=last.detail,
        open_count=open_count,
    )


def _tell(ends: Sequence[Repolled], timeout_s: float, *, as_json: bool) -> None:
    if as_json:
        show.as_json([asdict(end) for end in ends])
    else:
        show.table(
            ["feed", "poll", "status", "new", "unfinished", "detail"],
            [(end.slug, end.outcome, end.status, end.new, end.open_count, end.detail) for end in ends],
            styles=["red" if end.outcome in TROUBLED or end.outcome == "unpolled" else "" for end in ends],
        )
    late = [end.slug for end in ends if end.outcome == "unpolled"]
    if late:
        show.warning(
            f"Nobody polled {', '.join(late)} within {timeout_s:g} s: are beat and a worker running? "
            "(`newsmill status`) Or does the site ask us to wait?"
        )
