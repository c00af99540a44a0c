"""Feeds to poll in simulated time: when their items appear and how they are dated."""

from __future__ import annotations

import math
import random
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

from worker.errors import QuarantineError
from worker.feeds.parse import parse_feed

SHARED = Path(__file__).resolve().parent.parent.parent / "shared"
MINUTE, HOUR, DAY = 60.0, 3600.0, 86_400.0
WEEK = 7 * DAY
START = datetime(2026, 1, 5, tzinfo=UTC).timestamp()  # a Monday
BEFORE_S = 60 * DAY  # what a feed shows at its first poll was published up to so long before
LEAST_RECORDED = 60  # items of a recorded rhythm, and days that it covers
LEAST_DAYS = 10

Share = Callable[[float], float]  # how much of its highest rate a feed has at a moment


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A feed.

    ``items``: when they appear, epoch seconds, sorted; ``stamps``: how the feed dates them; ``window``: how many it
    shows at a time; ``first_at``: when it is polled first, at some second of an hour, so that no rule is in step.
    """

    name: str
    kind: str
    items: tuple[float, ...]
    stamps: tuple[float | None, ...]
    window: int
    first_at: float
    until: float


def made(days: float, seed: int) -> Iterator[Source]:
    """Feeds of many habits, their items drawn from changing rates (Poisson, thinned), in the clock time of their zones.

    Each has dice of its own: another feed, or another habit of one, changes nothing for the rest.
    """
    until = START + days * DAY

    def source(
        kind: str,
        name: str,
        draw: Callable[[random.Random], Sequence[float]],
        *,
        stamp: Callable[[float], float | None] = lambda at: at,
        window: int = 40,
    ) -> Source:
        dice = random.Random(f"{seed} {name}")
        items = tuple(sorted(draw(dice)))
        first_at = START + dice.uniform(0, HOUR)
        stamps = tuple(stamp(one) for one in items)
        return Source(name=name, kind=kind, items=items, stamps=stamps, window=window, first_at=first_at, until=until)

    def drawn(most_per_day: float, share: Share) -> Callable[[random.Random], list[float]]:
        return lambda dice: _drawn(dice, most_per_day, share, until)

    london, new_york, beijing, berlin, angeles = (
        _newsroom(zone)
        for zone in ("Europe/London", "America/New_York", "Asia/Shanghai", "Europe/Berlin", "America/Los_Angeles")
    )
    yield source("newspaper", "London", drawn(70, london))
    yield source("newspaper", "New York", drawn(120, new_york))
    yield source("newspaper", "Beijing", drawn(45, beijing))
    yield source("newspaper", "small town", drawn(12, berlin))
    yield source("agency", "300 a day at most", drawn(300, _day_and_night), window=100)
    yield source("agency", "600 a day at most", drawn(600, _day_and_night), window=100)
    yield source("section", "weekdays only", drawn(8, _newsroom("America/Los_Angeles", weekend=0.0)))
    yield source("section", "evenings", drawn(9, lambda at: 1 - angeles(at)))
    yield source("odd dates", "none", drawn(14, london), stamp=lambda _: None, window=25)
    yield source("odd dates", "the day only", drawn(14, berlin), stamp=lambda at: at // DAY * DAY)
    yield source("odd dates", "25 minutes early", drawn(14, london), stamp=lambda at: at - 25 * MINUTE)
    yield source("weekly", "London", lambda dice: _weekly(dice, "Europe/London", until))
    yield source("weekly", "Tokyo", lambda dice: _weekly(dice, "Asia/Tokyo", until))
    yield source("blog", "in fits of days", drawn(4, lambda at: 1.0 if at // (9 * DAY) % 4 == 0 else 0.03), window=15)
    yield source("blog", "three a week, evenings", drawn(1.2, lambda at: 1 - london(at)), window=15)
    yield source("clock", "each hour", lambda dice: _each_hour(dice, 7 * MINUTE, until))
    yield source("clock", "at :11 and :41", lambda dice: _gathered(drawn(30, beijing)(dice), 11 * MINUTE, HOUR / 2))
    yield source("clock", "at 06:30", lambda dice: _gathered(drawn(6, new_york)(dice), 6.5 * HOUR, DAY), window=15)
    yield source("rare", "two a week", drawn(2 / 7, lambda _: 1.0), window=10)
    yield source("rare", "one a month", drawn(1 / 30, lambda _: 1.0), window=10)
    away = (START + days * DAY * 0.3, START + days * DAY * 0.6)
    yield source("changing", "away for months", drawn(20, lambda at: 0.0 if away[0] < at < away[1] else berlin(at)))
    yield source("changing", "ended half-way", drawn(20, lambda at: berlin(at) if at < sum(away) / 2 else 0.0))
    yield source("changing", "breaking news", lambda dice: _breaking(dice, days, until), window=30)


def _drawn(dice: random.Random, most_per_day: float, share: Share, until: float) -> list[float]:
    at, items = START - BEFORE_S, []
    while (at := at + dice.expovariate(most_per_day / DAY)) < until:
        if dice.random() < share(at):
            items.append(at)
    return items


def _newsroom(zone: str, weekend: float = 0.35) -> Share:
    """Few items by night, most in office hours, fewer at the weekend."""
    place = ZoneInfo(zone)
    night, morning, office, evening, late = range(5)
    rates = {night: 0.04, morning: 0.5, office: 1.0, evening: 0.45, late: 0.1}
    of_hour = [night] * 6 + [morning] * 2 + [office] * 11 + [evening] * 4 + [late]

    def share(at: float) -> float:
        local = datetime.fromtimestamp(at, place)
        return rates[of_hour[local.hour]] * (weekend if local.weekday() > 4 else 1.0)

    return share


def _day_and_night(at: float) -> float:
    return 0.6 + 0.4 * math.sin(at % DAY / DAY * math.tau)


def _weekly(dice: random.Random, zone: str, until: float) -> list[float]:
    """A dozen items on Thursday morning."""
    place = ZoneInfo(zone)
    items = []
    for day in range(math.ceil((until - START + BEFORE_S) / DAY)):
        noon = datetime.fromtimestamp(START - BEFORE_S + (day + 0.5) * DAY, place)
        if noon.weekday() == 3:
            six = noon.replace(hour=6, minute=0, second=0).timestamp()
            items += [six + dice.uniform(0, 2 * HOUR) for _ in range(12)]
    return [one for one in items if one < until]


def _each_hour(dice: random.Random, past_s: float, until: float) -> list[float]:
    """Some items at one minute of each hour from five to ten, UTC."""
    first = int((START - BEFORE_S) // HOUR)
    hours = [hour for hour in range(first, int((until - past_s) // HOUR)) if 5 <= hour % 24 < 22]
    return [hour * HOUR + past_s for hour in hours for _ in range(dice.choice((0, 1, 2, 4)))]


def _gathered(items: Sequence[float], past_s: float, every_s: float) -> list[float]:
    """The same items, let out by a clock."""
    return [math.ceil((one - past_s) / every_s) * every_s + past_s for one in items]


def _breaking(dice: random.Random, days: float, until: float) -> list[float]:
    """A newspaper with eight hours of much more, every few weeks."""
    breaks = [dice.uniform(START - BEFORE_S, until) for _ in range(max(1, round(days / 18)))]
    return _drawn(dice, 400, lambda at: 1.0 if any(0 <= at - one < 8 * HOUR for one in breaks) else 0.06, until)


def recorded(seed: int) -> Iterator[Source]:
    """The rhythms of recorded feeds and documents, by the dates of their items; nothing where none are."""
    for folder in sorted((SHARED / "seed-data" / "archive").glob("*")):
        texts = (path.read_bytes()[:40].decode("utf-8", "replace") for path in folder.glob("*.md"))
        stamps = [int(found[1]) / 1000 for text in texts if (found := re.match(r"<!--(\d{12,14})-->", text))]
        yield from _rhythm(f"documents of {folder.name}", stamps, seed)
    for path in sorted((SHARED / "feeds-dev").rglob("*")):
        if path.is_file() and path.stat().st_size >= 8192 and path.suffix != ".json":
            yield from _rhythm(f"feed {path.parent.name}/{path.name}", _dates(path), seed)


def _dates(path: Path) -> list[float]:
    try:
        parsed = parse_feed(
            path.read_bytes(), content_type=None, url="https://news.example/", now=datetime(2040, 1, 1, tzinfo=UTC)
        )
    except QuarantineError:
        return []
    return [entry.published_at.timestamp() for entry in parsed.entries if entry.published_at is not None]


def _rhythm(name: str, stamps: Sequence[float], seed: int) -> Iterator[Source]:
    items = tuple(sorted(stamps))
    if len(items) >= LEAST_RECORDED and items[-1] - items[0] >= LEAST_DAYS * DAY:
        first_at = items[0] + random.Random(f"{seed} {name}").uniform(0, HOUR)
        yield Source(
            name=name,
            kind="recorded",
            items=items,
            stamps=items,
            window=40,
            first_at=first_at,
            until=items[-1] + DAY,
        )
