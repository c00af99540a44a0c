"""When to ask a feed again. Pure."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Literal

WISH_CAP_S = 86_400.0  # a server's wish holds for a day at most: one bad header must not silence a feed for a year
QUIET_FACTOR = 0.5  # twice per typical gap between new items
RHYTHM_KNOWN = 5  # moments with something new before a feed's silence means anything
SILENCE_GAPS = 3.0  # a feed is silent after so many times its longest gap
SILENCE_FLOOR_S = 86_400.0
SKIP_LOOKS = 24 * 8  # hours looked ahead for one that the feed does not ask to be skipped

Outcome = Literal["new", "unchanged", "failed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class CadencePolicy:
    """Bounds of the adaptive interval, seconds."""

    floor_s: float
    ceiling_s: float


def next_poll(
    policy: CadencePolicy,
    *,
    interval_s: float | None,
    now: datetime,
    recent_new_at: Sequence[datetime],
    outcome: Outcome,
    failures: int,
    retry_after_s: float = 0.0,
    max_age_s: float = 0.0,
    ttl_s: float = 0.0,
    update_period_s: float = 0.0,
    skip_hours: frozenset[int] = frozenset(),
    skip_days: frozenset[int] = frozenset(),
    jitter: float,
) -> datetime:
    """The moment of the next poll.

    Args:
        policy: Bounds of the adaptive interval.
        interval_s: A fixed interval; None: the feed's own rhythm.
        now: Aware, UTC.
        recent_new_at: When polls found something new, oldest first.
        outcome: Of the poll that just ended.
        failures: Polls that failed in a row, this one included.
        retry_after_s: ``Retry-After``; obeyed up to WISH_CAP_S also with a fixed interval.
        max_age_s: ``Cache-Control: max-age`` or ``Expires``.
        ttl_s: RSS ``ttl``.
        update_period_s: ``sy:updatePeriod`` over ``sy:updateFrequency``.
        skip_hours: Hours (UTC) in which the feed asks not to be polled.
        skip_days: Days (0 is Monday) in which it asks not to be.
        jitter: In [0, 1); spreads polls over a tenth of their interval.

    Source: RFC 9110 10.2.3, RFC 9111 5.2.2.1, RSS 2.0 (ttl, skipHours, skipDays), RSS 1.0 syndication module.
    """
    base_s = interval_s if interval_s is not None else _rhythm_s(policy, now, recent_new_at)
    if outcome == "failed":
        cap_s = max(policy.ceiling_s, base_s)
        base_s = min(base_s * 2.0 ** min(max(failures - 1, 0), 30), cap_s)
    wishes = (retry_after_s,) if interval_s is not None else (retry_after_s, max_age_s, ttl_s, update_period_s)
    wait_s = max(base_s, min(max(wishes), WISH_CAP_S)) * (1 + jitter / 10)
    return _past_skips(now + timedelta(seconds=wait_s), skip_hours, skip_days)


def _rhythm_s(policy: CadencePolicy, now: datetime, recent_new_at: Sequence[datetime]) -> float:
    """Half the typical gap between new items; a silence longer than that makes it longer."""
    if len(recent_new_at) < 2:  # noqa: PLR2004 - one moment has no gap
        start_s = policy.floor_s * 3
        silence_s = (now - recent_new_at[-1]).total_seconds() if recent_new_at else 0.0
        return min(max(start_s, silence_s * QUIET_FACTOR / 4), policy.ceiling_s)
    gaps = [(later - earlier).total_seconds() for earlier, later in pairwise(recent_new_at)]
    silence_s = (now - recent_new_at[-1]).total_seconds()
    typical_s = max(statistics.median(gaps), silence_s / 4)
    return min(max(typical_s * QUIET_FACTOR, policy.floor_s), policy.ceiling_s)


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
