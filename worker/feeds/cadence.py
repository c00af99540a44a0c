"""When to ask a feed again. Pure.

A feed's own rhythm is how many items it brings, at which hours of the day, on which days of the week and in which
minutes of the hour (many are made by a clock), and how that is going at the moment. From it follows how long the items
that have probably appeared since the last poll have waited for us, all together; when that sum reaches the policy's
patience, a poll is worth its cost. So a busy feed is asked often, by day more than by night, and a quiet one seldom.
With a steady rate r that is every sqrt(2 patience / r) seconds: for a number of polls over all feeds, no other spacing
has items wait less on average, each poll gains the same everywhere. It leans a little towards busy feeds (LEANING),
since half of all items come from a few of them.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import chain, pairwise
from typing import Any, Literal, Self

WISH_CAP_S = 86_400.0  # a server's wish holds for a day at most: one bad header must not silence a feed for a year
RHYTHM_KNOWN = 5  # moments with something new before a feed's silence means anything
SILENCE_GAPS = 3.0  # a feed is silent after so many times its longest gap
SILENCE_FLOOR_S = 86_400.0
SKIP_LOOKS = 24 * 8  # hours looked ahead for one that the feed does not ask to be skipped
HINT_S = 3600.0  # up to so long a hint (how long to cache, how often it changes) holds against all that was learnt
PUSHED_S = 6 * 3600.0  # a feed whose hub pushes is asked only so often, to notice when it stops
RETRY_S = 900.0  # the first retry of a feed that is asked more seldom: a failed poll has told nothing
JITTER_SHARE = 0.1
JITTER_CAP_S = 60.0  # a feed made by a clock is asked right after it

HOUR_S = 3600.0
DAY_S = 24 * HOUR_S
SLOTS = 12  # of an hour
SLOT_S = HOUR_S / SLOTS
MEMORY_S = 42 * DAY_S  # time constant of what is usual for a feed
MOMENT_S = 12 * HOUR_S  # and of how it is going now
FIRST_LOOK_S = 60 * DAY_S  # older dates of a first document teach nothing
BUSY_S = 1800.0  # a feed with more than an item in so much time is met with less than the policy's patience
LEANING = 0.3  # towards such feeds. 0: the least mean wait of all items; 1: as many polls for an item of whatever feed
UNKNOWN_S = 3 * HOUR_S  # an item in so much time is expected of a feed that nothing is known of
HOURS_PRIOR = 8.0  # items that count as evenly spread over the day, until real ones outweigh them
DAYS_PRIOR = 7.0
SLOTS_PRIOR = 36.0
HOURS_KNOWN_S = 2 * DAY_S  # so much of a rhythm must have been seen before its hours, and its days, count in full
DAYS_KNOWN_S = 14 * DAY_S
LEAST_SHARE = 0.04  # of the usual rate, at the quietest hour: surprises come at night
MOST_ACTIVITY = 4.0  # how far the present may differ from what is usual
LEAST_ACTIVITY = 0.25
ACTIVITY_PRIOR = 2.0
WINDOW_SHARE = 0.5  # of a document's items may be new at the next poll, or some would be gone unseen
MOST_PARTS = 12 * 24 + 7  # undated items are spread over at most so many moments; with no hour or slot in step
MOST_LEARNT = 1000  # dates looked at of one document
ABSURD = 1e12  # no count or time of a pattern
QUIET_S = 3600.0  # nothing new need not be learnt oftener: once for all such polls comes to the same

Outcome = Literal["new", "unchanged", "failed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class CadencePolicy:
    """Bounds of the adaptive interval, and how much waiting is worth a poll.

    ``floor_s``, ``ceiling_s``: seconds; ``patience_s``: item-seconds, of a feed with less than an item each BUSY_S.
    """

    floor_s: float
    ceiling_s: float
    patience_s: float = 360.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Pattern:
    """What polling learnt of a feed's rhythm. Counts are of items, and fade with time.

    ``hours``, ``days``, ``slots``: by hour (UTC), weekday (0 is Monday) and five minutes of the hour, fading over
    MEMORY_S; ``span_s``: the time they were counted in, fading alike; ``recent``, ``expected``: items that came and
    that were expected, fading over MOMENT_S;
    ``window``: items of the last document that had any.
    """

    at_s: float = 0.0  # epoch seconds when it last learnt; 0: never
    last_s: float = 0.0  # and of the last item; 0: none yet
    span_s: float = 0.0
    hours: tuple[float, ...] = (0.0,) * 24
    days: tuple[float, ...] = (0.0,) * 7
    slots: tuple[float, ...] = (0.0,) * SLOTS
    recent: float = 0.0
    expected: float = 0.0
    window: int = 0

    @property
    def count(self) -> float:
        return sum(self.hours)

    def to_json(self) -> dict[str, Any]:
        return {
            "at_s": round(self.at_s),
            "last_s": round(self.last_s),
            "span_s": round(self.span_s),
            "hours": [round(one, 3) for one in self.hours],
            "days": [round(one, 3) for one in self.days],
            "slots": [round(one, 3) for one in self.slots],
            "recent": round(self.recent, 3),
            "expected": round(self.expected, 3),
            "window": self.window,
        }

    @classmethod
    def from_json(cls, kept: Mapping[str, Any]) -> Self:
        """What ``to_json`` gave; nothing learnt yet from anything else."""
        try:
            numbers = {name: float(kept[name]) for name in ("at_s", "last_s", "span_s", "recent", "expected", "window")}
            hours, days, slots = (tuple(float(one) for one in kept[name]) for name in ("hours", "days", "slots"))
        except (KeyError, TypeError, ValueError, OverflowError):
            return cls()
        sound = all(0 <= one < ABSURD for one in (*numbers.values(), *hours, *days, *slots))
        if not sound or (len(hours), len(days), len(slots)) != (24, 7, SLOTS):
            return cls()
        window = int(numbers.pop("window"))
        return cls(hours=hours, days=days, slots=slots, window=window, **numbers)


def learnt(
    pattern: Pattern,
    *,
    item_dates: Sequence[datetime | None],
    window: int,
    polled_at: datetime,
) -> Pattern:
    """The pattern after a poll that was answered; the same one when nothing new is worth learning yet.

    An item is taken to have appeared at its date where that lies between the last time of learning and this one; a
    date from before is a late item's, a default's or a wrong clock's, and no date says nothing: such items count
    evenly for that time. The first time, the dates themselves say how old the rhythm is; there a stamp that several
    items share counts once, since it may be that of the document, and the oldest tenth may have been kept on purpose.

    Args:
        item_dates: Of the items that are new with this poll, as the feed dates them; of the first
            document at most MOST_LEARNT, the newest, are learnt from, of a later one so many are looked at.
        window: How many items the document holds; 0: there was none to read (not modified, unchanged).
        polled_at: Aware, UTC.
    """
    now_s = polled_at.timestamp()
    if not item_dates and not window and 0 <= now_s - pattern.at_s < QUIET_S:
        return pattern
    is_first = not pattern.at_s
    looked_at = item_dates if is_first else item_dates[:MOST_LEARNT]
    dates_s = [None if one is None else one.timestamp() for one in looked_at]
    if is_first:
        known_s = sorted({one for one in dates_s if one is not None and now_s - FIRST_LOOK_S < one <= now_s})
        known_s = known_s[-MOST_LEARNT:]
        times_s = known_s[len(known_s) // 10 :]
        since_s = times_s[0] if times_s else now_s
        undated = 0
    else:
        since_s = min(pattern.at_s, now_s)
        times_s = [one for one in dates_s if one is not None and since_s <= one <= now_s]
        undated = len(dates_s) - len(times_s)
    fading = math.exp(-(now_s - since_s) / MEMORY_S)
    fading_now = math.exp(-(now_s - since_s) / MOMENT_S)
    hours, days, slots = ([one * fading for one in kept] for kept in (pattern.hours, pattern.days, pattern.slots))
    recent = pattern.recent * fading_now
    for one, weight in chain(((one, 1.0) for one in times_s), _evenly(undated, since_s, now_s)):
        lasting = weight * math.exp(-(now_s - one) / MEMORY_S)
        hours[int(one % DAY_S // HOUR_S)] += lasting
        days[_weekday(one)] += lasting
        slots[int(one % HOUR_S // SLOT_S)] += lasting
        recent += weight * math.exp(-(now_s - one) / MOMENT_S)
    after = Pattern(
        at_s=now_s,
        last_s=max(times_s, default=now_s if undated else pattern.last_s),
        span_s=pattern.span_s * fading + MEMORY_S * (1 - fading),
        hours=tuple(hours),
        days=tuple(days),
        slots=tuple(slots),
        recent=recent,
        expected=pattern.expected * fading_now,
        window=window or pattern.window,
    )
    # what was usual before says what was to be expected; the first time only what was seen then can say it
    return replace(after, expected=after.expected + _expected(after if is_first else pattern, since_s, now_s))


def _evenly(count: int, since_s: float, until_s: float) -> Iterator[tuple[float, float]]:
    """Moments and weights that spread items over a time: over its slots, or over hours where it is long."""
    if count:
        length_s = until_s - since_s
        parts = min(max(math.ceil(length_s / SLOT_S), 1), MOST_PARTS)
        for part in range(parts):
            yield since_s + length_s * (part + 0.5) / parts, count / parts


def next_poll(
    policy: CadencePolicy,
    *,
    interval_s: float | None,
    now: datetime,
    pattern: Pattern,
    outcome: Outcome,
    failures: int,
    retry_after_s: float = 0.0,
    max_age_s: float = 0.0,
    ttl_s: float = 0.0,
    update_period_s: float = 0.0,
    skip_hours: frozenset[int] = frozenset(),
    skip_days: frozenset[int] = frozenset(),
    gap: bool = False,
    pushed: bool = False,
    jitter: float,
) -> datetime:
    """The moment of the next poll.

    Args:
        policy: Bounds of the adaptive interval, and how often is worth it.
        interval_s: A fixed interval; None: the feed's own rhythm.
        now: Aware, UTC.
        pattern: What the feed's rhythm is, this poll included.
        outcome: Of the poll that just ended.
        failures: Polls that failed in a row, this one included.
        retry_after_s: ``Retry-After``; obeyed up to WISH_CAP_S, also with a fixed interval.
        max_age_s: ``Cache-Control: max-age`` or ``Expires``; like the next two a hint that makes polls rarer, never
            more frequent, up to WISH_CAP_S. Beyond HINT_S it does not hold where the document would have turned over.
        ttl_s: RSS ``ttl``.
        update_period_s: ``sy:updatePeriod`` over ``sy:updateFrequency``.
        skip_hours: Hours (UTC) in which the feed asks not to be polled.
        skip_days: Days (0 is Monday) in which it asks not to be.
        gap: The document held nothing that was known: items may have come and gone unseen, so the next poll is as soon
            as the bounds and the server's wishes allow.
        pushed: A hub tells us of news: the poll only makes sure that it still does, before the document turns over.
        jitter: In [0, 1); spreads polls over a tenth of their interval, over JITTER_CAP_S at most where the rhythm
            decides or a skipped time has ended.

    Source: RFC 9110 10.2.3, RFC 9111 5.2.2.1, RSS 2.0 (ttl, skipHours, skipDays), RSS 1.0 syndication module.
    """
    fixed = interval_s is not None
    wait_s = interval_s if interval_s is not None else _adaptive_s(policy, pattern, now, gap=gap, pushed=pushed)
    if outcome == "failed":
        cap_s = max(policy.ceiling_s, wait_s)
        wait_s = min(min(wait_s, max(RETRY_S, policy.floor_s)) * 2.0 ** min(max(failures - 1, 0), 30), cap_s)
    if not fixed:
        hint_s = min(max(max_age_s, ttl_s, update_period_s), WISH_CAP_S)
        if hint_s > max(wait_s, HINT_S):
            hint_s = max(HINT_S, _rhythm_s(pattern, now, patience_s=math.inf, horizon_s=hint_s))
        wait_s = max(wait_s, hint_s)
    wait_s = max(wait_s, min(retry_after_s, WISH_CAP_S))
    spread_s = wait_s * JITTER_SHARE
    if not fixed and outcome != "failed":
        spread_s = min(spread_s, JITTER_CAP_S)
    moment = now + timedelta(seconds=wait_s + jitter * spread_s)
    allowed = _past_skips(moment, skip_hours, skip_days)
    return allowed if allowed == moment else allowed + timedelta(seconds=jitter * JITTER_CAP_S)


def _adaptive_s(policy: CadencePolicy, pattern: Pattern, now: datetime, *, gap: bool, pushed: bool) -> float:
    if gap:
        return policy.floor_s
    wait_s = _rhythm_s(pattern, now, patience_s=policy.patience_s, horizon_s=policy.ceiling_s)
    if pushed:
        horizon_s = min(PUSHED_S, policy.ceiling_s)
        wait_s = max(wait_s, _rhythm_s(pattern, now, patience_s=math.inf, horizon_s=horizon_s))
    return max(wait_s, policy.floor_s)


def _rhythm_s(pattern: Pattern, now: datetime, *, patience_s: float, horizon_s: float) -> float:
    """How long until the items that are expected from now on have waited ``patience_s`` together, or until too much of
    the document may be new; at most ``horizon_s``.

    After t seconds of one rate, ``items + rate t`` are waiting, and have waited ``waited + items t + rate t²/2``.
    """
    rates = _Rates(pattern)
    patience_s *= max(rates.usual * BUSY_S, 1.0) ** -LEANING
    most_items = pattern.window * WINDOW_SHARE if pattern.window else math.inf
    items = waited_s = 0.0
    at_s = start_s = now.timestamp()
    end_s = start_s + horizon_s
    while at_s < end_s:
        rate = rates.at(at_s)
        until_s = min((at_s // HOUR_S + 1) * HOUR_S, end_s)
        more = rate * (until_s - at_s)
        # wherever in a whole hour its items come, they wait at most twice as long as evenly spread ones
        is_far = waited_s + (items + more) * HOUR_S < patience_s and items + more < most_items
        spans = [(until_s, rate)] if is_far and until_s - at_s == HOUR_S else rates.slots(at_s, until_s, rate)
        for span_end_s, span_rate in spans:
            span_s = span_end_s - at_s
            due_s = (most_items - items) / span_rate
            if patience_s < math.inf:
                left_s = patience_s - waited_s
                due_s = min(due_s, (math.sqrt(items * items + 2 * span_rate * left_s) - items) / span_rate)
            if due_s <= span_s:
                return at_s + due_s - start_s
            waited_s += items * span_s + span_rate * span_s * span_s / 2
            items += span_rate * span_s
            at_s = span_end_s
    return horizon_s


class _Rates:
    """A pattern as items a second, hour by hour."""

    def __init__(self, pattern: Pattern) -> None:
        self._pattern = pattern
        self._count = pattern.count
        usual = (self._count + 1.0) / (pattern.span_s + UNKNOWN_S)
        silence_s = pattern.at_s - pattern.last_s
        if pattern.last_s and silence_s > MEMORY_S:  # all counts have faded, but not what they say
            usual = min(usual, 1.0 / silence_s)
        activity = (pattern.recent + ACTIVITY_PRIOR) / (pattern.expected + ACTIVITY_PRIOR)
        self.usual = usual  # items a second, of all hours
        self._hours_known = min(pattern.span_s / HOURS_KNOWN_S, 1.0)
        self._days_known = min(pattern.span_s / DAYS_KNOWN_S, 1.0)
        self._now = min(max(activity, LEAST_ACTIVITY), MOST_ACTIVITY)
        self._from_s = pattern.at_s

    def usual_at(self, moment_s: float) -> float:
        """The usual rate of an hour; more than 0. A neighbouring hour's items count for half of its own."""
        hours, hour, day = self._pattern.hours, int(moment_s % DAY_S // HOUR_S), _weekday(moment_s)
        near = (hours[hour - 1] + 2 * hours[hour] + hours[(hour + 1) % 24]) / 4
        by_hour = (24 * near - self._count) / (self._count + HOURS_PRIOR) * self._hours_known
        by_day = (7 * self._pattern.days[day] - self._count) / (self._count + DAYS_PRIOR) * self._days_known
        return self.usual * max((1 + by_hour) * (1 + by_day), LEAST_SHARE)

    def slots(self, since_s: float, until_s: float, rate: float) -> Iterator[tuple[float, float]]:
        """The parts of an hour of this rate: when each ends, and its own rate."""
        counts, at_s = self._pattern.slots, since_s
        while at_s < until_s:
            share = (SLOTS * counts[int(at_s % HOUR_S // SLOT_S)] + SLOTS_PRIOR) / (self._count + SLOTS_PRIOR)
            at_s = min((at_s // SLOT_S + 1) * SLOT_S, until_s)
            yield at_s, rate * max(share, LEAST_SHARE)

    def at(self, moment_s: float) -> float:
        """The usual rate, raised or lowered by how it is going, which fades."""
        fading = math.exp(-max(moment_s - self._from_s, 0.0) / MOMENT_S)
        return self.usual_at(moment_s) * math.pow(self._now, fading)


def _expected(pattern: Pattern, since_s: float, until_s: float) -> float:
    """Items that were usual in a time, fading as ``recent`` does; what is older than a few fadings adds nothing."""
    rates = _Rates(pattern)
    at_s = max(since_s, until_s - 6 * MOMENT_S)
    total = 0.0
    while at_s < until_s:
        step_s = min(HOUR_S - at_s % HOUR_S, until_s - at_s)
        total += rates.usual_at(at_s) * step_s * math.exp(-(until_s - at_s - step_s / 2) / MOMENT_S)
        at_s += step_s
    return total


def _weekday(moment_s: float) -> int:
    return int(moment_s // DAY_S + 3) % 7  # the epoch began on a Thursday


def _past_skips(moment: datetime, hours: frozenset[int], days: frozenset[int]) -> datetime:
    """The first moment from here on that the feed does not ask to be skipped; a feed that skips all is not obeyed."""
    candidate = moment
    for _ in range(SKIP_LOOKS):
        if candidate.hour not in hours and candidate.weekday() not in days:
            return candidate
        candidate = candidate.replace(minute=0, second=0, microsecond=0) + timedelta(hours=1)
    return moment


def is_silent(rhythm: Sequence[float], now: datetime) -> bool:
    """Has a feed shown nothing new for much longer than ever before?

    Args:
        rhythm: When something new was seen, seconds since the epoch, oldest first.
        now: Aware, UTC.
    """
    if len(rhythm) < RHYTHM_KNOWN:
        return False
    longest_s = max(later - earlier for earlier, later in pairwise(rhythm))
    return now.timestamp() - rhythm[-1] > max(SILENCE_GAPS * longest_s, SILENCE_FLOOR_S)
