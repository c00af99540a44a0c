"""``python -m bench.cadence``: a year of polling in simulated time, by our rule and by others, on the same feeds.

How many polls an item costs, and how long it waits to be seen. Made feeds of many habits, and the rhythms of recorded
ones where they are beside the repository. The rule under test is the product's own code; only its clock is made up. See
docs/benchmarks.md. Writes nothing but its report.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import statistics
import sys
import time
from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Protocol

from bench.report import machine
from bench.rhythms import BEFORE_S, DAY, HOUR, MINUTE, WEEK, Source, made, recorded
from worker.feeds.cadence import CadencePolicy, Pattern, learnt, next_poll

FLOOR_S, CEILING_S = 5 * MINUTE, 24 * HOUR
USUAL_S = CadencePolicy(floor_s=FLOOR_S, ceiling_s=CEILING_S).patience_s
PATIENCES_S = (30.0, 60.0, 120.0, 240.0, USUAL_S, 720.0, 1440.0)
SHORT_DAYS = 45.0


class Rule(Protocol):
    """Decides about the next poll of one feed, from the dates of what is new and from how much the feed shows."""

    def __call__(self, now: float, new: Sequence[float | None], shown: int) -> float: ...


class Fixed:
    def __init__(self, interval_s: float) -> None:
        self._interval_s = interval_s

    def __call__(self, now: float, new: Sequence[float | None], shown: int) -> float:  # noqa: ARG002
        return now + self._interval_s


class EntryFrequency:
    """miniflux's ``entry_frequency`` with its defaults: a week over its number of entries, 5 minutes to 24 hours.

    The number is a week over the mean time between the entries dated within the last one, rounded up; fewer than two
    make none. Its scheduler's own tick (an hour by default) is left out, which is in its favour.
    Source: miniflux v2, internal/model/feed.go (ScheduleNextCheck), internal/storage/feed.go (WeeklyFeedEntryCount).
    """

    def __init__(self) -> None:
        self._known: deque[float] = deque()

    def __call__(self, now: float, new: Sequence[float | None], shown: int) -> float:  # noqa: ARG002
        self._known.extend(now if one is None else one for one in new)
        while self._known and self._known[0] < now - WEEK:
            self._known.popleft()
        span_s = max(self._known) - min(self._known) if self._known else 0.0
        if not span_s:
            return now + CEILING_S
        weekly = math.ceil(WEEK / (span_s / (len(self._known) - 1)))
        return now + min(max(WEEK / weekly, FLOOR_S), CEILING_S)


class Ours:
    """The product's rule."""

    def __init__(self, patience_s: float, seed: int) -> None:
        self._policy = CadencePolicy(floor_s=FLOOR_S, ceiling_s=CEILING_S, patience_s=patience_s)
        self._dice = random.Random(seed)
        self._pattern = Pattern()
        self._polled = False

    def __call__(self, now: float, new: Sequence[float | None], shown: int) -> float:
        at = datetime.fromtimestamp(now, UTC)
        self._pattern = learnt(
            self._pattern,
            item_dates=[None if one is None else datetime.fromtimestamp(one, UTC) for one in new],
            window=shown if new else 0,
            polled_at=at,
        )
        gap = self._polled and len(new) >= shown > 0
        self._polled = True
        return next_poll(
            self._policy,
            interval_s=None,
            now=at,
            pattern=self._pattern,
            outcome="new" if new else "unchanged",
            failures=0,
            gap=gap,
            jitter=self._dice.random(),
        ).timestamp()


# ---------------------------------------------------------------- a year of one feed


@dataclass(frozen=True, slots=True, kw_only=True)
class Year:
    """What became of one feed's items: how long each waited, seconds; ``unseen``: gone before anybody looked."""

    polls: int
    delays: tuple[float, ...]
    unseen: int
    days: float


def polled(source: Source, rule: Rule) -> Year:
    """Follow a feed from its first poll to its end. What the first one shows did not wait for us: it counts nowhere."""
    polls = unseen = 0
    delays: list[float] = []
    now = source.first_at
    known = bisect_right(source.items, now - BEFORE_S)
    while now < source.until:
        there = bisect_right(source.items, now)
        first_shown = max(there - source.window, 0)
        begin = max(known, first_shown)
        if polls:
            unseen += max(first_shown - known, 0)
            delays += (now - one for one in source.items[begin:there])
        polls += 1
        known = there
        now = rule(now, source.stamps[begin:there], there - first_shown)
    return Year(polls=polls, delays=tuple(delays), unseen=unseen, days=(source.until - source.first_at) / DAY)


# ---------------------------------------------------------------- figures


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """A rule on some feeds. Delays in minutes.

    ``polls_per_item``, ``median``, ``mean``, ``p90``: of all their items alike; ``polls_per_day``, ``feeds_median``,
    ``feeds_mean``: of all the feeds alike (means of theirs, but for the median of their medians).
    """

    rule: str
    feeds: str
    polls_per_item: float
    median: float
    mean: float
    p90: float
    polls_per_day: float
    feeds_median: float
    feeds_mean: float
    unseen: int


def figures(rule: str, feeds: str, years: Sequence[Year]) -> Figures:
    delays = sorted(delay / MINUTE for year in years for delay in year.delays)
    own = [[delay / MINUTE for delay in year.delays] for year in years if year.delays]
    return Figures(
        rule=rule,
        feeds=feeds,
        polls_per_item=sum(year.polls for year in years) / max(len(delays), 1),
        median=statistics.median(delays) if delays else math.nan,
        mean=statistics.fmean(delays) if delays else math.nan,
        p90=delays[int(len(delays) * 0.9)] if delays else math.nan,
        polls_per_day=statistics.fmean(year.polls / year.days for year in years),
        feeds_median=statistics.median(statistics.median(one) for one in own) if own else math.nan,
        feeds_mean=statistics.fmean(statistics.fmean(one) for one in own) if own else math.nan,
        unseen=sum(year.unseen for year in years),
    )


def by_items(ours: Figures, other: Figures) -> bool:
    """Fewer polls, and items no later, neither in the middle nor on average."""
    no_later = ours.median <= other.median and ours.mean <= other.mean
    return ours.polls_per_item < other.polls_per_item and no_later


def by_feeds(ours: Figures, other: Figures) -> bool:
    """Fewer polls, and items no later in the middle, where a feed of one item a month counts as much as an agency."""
    return ours.polls_per_day < other.polls_per_day and ours.feeds_median <= other.feeds_median


@dataclass(frozen=True, slots=True, kw_only=True)
class Beaten:
    """With which patiences, seconds, ours asks less often than another rule and sees no later."""

    rule: str
    by_items: tuple[float, ...]
    by_feeds: tuple[float, ...]


def beaten(other: Figures, ours: dict[float, Figures]) -> Beaten:
    return Beaten(
        rule=other.rule,
        by_items=tuple(patience_s for patience_s, one in ours.items() if by_items(one, other)),
        by_feeds=tuple(patience_s for patience_s, one in ours.items() if by_feeds(one, other)),
    )


COLUMNS = {
    "rule": "rule",
    "polls an item": "polls_per_item",
    "median min": "median",
    "mean min": "mean",
    "p90 min": "p90",
    "polls a day": "polls_per_day",
    "feeds' median": "feeds_median",
    "feeds' mean": "feeds_mean",
    "unseen": "unseen",
}


def table(rows: Sequence[Figures], columns: dict[str, str]) -> str:
    cells = [list(columns)]
    for row in rows:
        values = {name: getattr(row, name) for name in columns.values()}
        decimals = {"polls_per_item": 2}
        cells.append(
            [
                f"{value:.{decimals.get(name, 1)}f}" if isinstance(value, float) else str(value)
                for name, value in values.items()
            ]
        )
    widths = [max(len(row[place]) for row in cells) for place in range(len(columns))]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if place else cell.ljust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in cells
    )


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.cadence", description=__doc__)
    parser.add_argument("--short", action="store_true", help=f"for CI: {SHORT_DAYS:.0f} days of made feeds")
    parser.add_argument(
        "--days", type=float, default=365.0, help="of made feeds; recorded ones last as long as they do"
    )
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    said = parser.parse_args(arguments)
    began_at = time.monotonic()
    sources = list(made(SHORT_DAYS if said.short else said.days, said.seed))
    if not said.short:
        sources += recorded(said.seed)
    kinds = ["all", *dict.fromkeys(source.kind for source in sources)]
    rows: list[Figures] = []

    def follow(name: str, new_rule: Callable[[], Rule]) -> Figures:
        years = [(source, polled(source, new_rule())) for source in sources]
        of_rule = [
            figures(name, kind, [year for source, year in years if kind in ("all", source.kind)]) for kind in kinds
        ]
        rows.extend(of_rule)
        return of_rule[0]

    ours = {
        patience_s: follow(f"newsmill, {patience_s:g} s", lambda patience_s=patience_s: Ours(patience_s, said.seed))  # type: ignore[misc]
        for patience_s in PATIENCES_S
    }
    others = [
        follow("fixed 15 min", lambda: Fixed(15 * MINUTE)),
        follow("fixed 60 min", lambda: Fixed(60 * MINUTE)),
        follow("entry frequency", EntryFrequency),
    ]
    verdicts = [beaten(other, ours) for other in others]
    if said.json:
        report = {
            "machine": machine(),
            "figures": [asdict(row) for row in rows],
            "beaten": [asdict(one) for one in verdicts],
        }
        print(json.dumps(report, indent=1))
    else:
        for kind in kinds:
            print(f"\n{kind}\n{table([row for row in rows if row.feeds == kind], COLUMNS)}")
        print("\nFewer polls and no later, by patience in seconds:")
        for one in verdicts:
            print(f"{one.rule}: all items alike {listed(one.by_items)}; all feeds alike {listed(one.by_feeds)}")
        print(f"{len(sources)} feeds, {time.monotonic() - began_at:.0f} s")
    return int(not said.short and not all(one.by_items for one in verdicts))


def listed(patiences_s: Sequence[float]) -> str:
    return ", ".join(f"{one:g}" for one in patiences_s) or "none"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
