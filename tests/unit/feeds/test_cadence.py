"""When to ask a feed again."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.feeds.cadence import (
    BUSY_S,
    LEANING,
    MOST_LEARNT,
    PUSHED_S,
    RETRY_S,
    WISH_CAP_S,
    CadencePolicy,
    Pattern,
    is_silent,
    learnt,
    next_poll,
)

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)  # a Tuesday
POLICY = CadencePolicy(floor_s=300, ceiling_s=86_400)
HOUR = timedelta(hours=1)


def wait_s(pattern: Pattern | None = None, *, policy: CadencePolicy = POLICY, **said: Any) -> float:
    values: dict[str, Any] = {"interval_s": None, "now": NOW, "outcome": "unchanged", "failures": 0, "jitter": 0.0}
    values |= said
    return (next_poll(policy, pattern=pattern or Pattern(), **values) - values["now"]).total_seconds()


def every(gap: timedelta, *, days: float = 28, window: int = 0, until: datetime = NOW) -> Pattern:
    """A feed that brought an item in each gap until a moment, seen at once in its first document."""
    count = int(timedelta(days=days) / gap)
    return learnt(Pattern(), item_dates=[until - gap * place for place in range(count)], window=window, polled_at=until)


def quiet(pattern: Pattern, *, until: datetime) -> Pattern:
    """The same feed, polled each hour without anything new."""
    at = datetime.fromtimestamp(pattern.at_s, UTC)
    while (at := at + HOUR) <= until:
        pattern = learnt(pattern, item_dates=(), window=0, polled_at=at)
    return pattern


LIVELY = every(timedelta(minutes=30))


def test_a_fixed_interval_is_kept() -> None:
    assert wait_s(LIVELY, interval_s=900, ttl_s=7200, max_age_s=7200, gap=True, pushed=True) == 900


def test_the_livelier_a_feed_the_oftener_it_is_asked() -> None:
    gaps = [timedelta(minutes=1), timedelta(minutes=30), timedelta(hours=3), timedelta(hours=29), timedelta(hours=151)]
    waits = [wait_s(every(gap)) for gap in gaps]
    assert waits == sorted(waits)
    assert waits[0] == POLICY.floor_s
    assert 1800 < waits[-1] < 6 * 3600


@pytest.mark.parametrize(("gap_s", "days"), [(211.0, 2.4), (1787.0, 28), (9973.0, 28)])
def test_a_steady_feed_s_items_wait_as_long_together_as_the_policy_has_patience(gap_s: float, days: float) -> None:
    policy = CadencePolicy(floor_s=1, ceiling_s=86_400, patience_s=450)
    patience_s = 450 * min(gap_s / BUSY_S, 1) ** LEANING
    waited_s = wait_s(every(timedelta(seconds=gap_s), days=days), policy=policy)
    assert waited_s == pytest.approx((2 * patience_s * gap_s) ** 0.5, rel=0.15)


def test_more_patience_means_fewer_polls() -> None:
    waits = [wait_s(LIVELY, policy=replace(POLICY, patience_s=patience_s)) for patience_s in (10, 100, 1000, 10_000)]
    assert waits == sorted(waits)
    assert waits[-1] > 4 * waits[0]


def test_nothing_known_is_asked_within_the_hour() -> None:
    assert POLICY.floor_s < wait_s() < 3600


def office_hours() -> Pattern:
    days = [NOW - timedelta(days=back) for back in range(28)]
    dates = [
        day.replace(hour=hour, minute=minute)
        for day in days
        if day.weekday() < 5
        for hour in range(8, 18)
        for minute in (5, 35)
        if day.replace(hour=hour, minute=minute) <= NOW
    ]
    return learnt(Pattern(), item_dates=dates, window=0, polled_at=NOW)


def test_a_feed_of_office_hours_is_asked_by_day_and_hardly_by_night_or_at_the_weekend() -> None:
    pattern = office_hours()
    at_night = wait_s(pattern, now=NOW.replace(hour=22))
    on_sunday = wait_s(pattern, now=NOW + timedelta(days=5))
    assert wait_s(pattern) < 1000
    assert at_night > 3 * wait_s(pattern)
    assert on_sunday > 2 * wait_s(pattern)


def test_a_burst_is_followed_closely_and_forgotten_in_a_day() -> None:
    usual = every(timedelta(hours=3))
    later = NOW + HOUR
    burst = learnt(usual, item_dates=[later - timedelta(minutes=3 * n) for n in range(20)], window=0, polled_at=later)
    assert wait_s(burst, now=later) < 0.6 * wait_s(usual)
    calm = quiet(burst, until=later + timedelta(days=2))
    assert wait_s(calm, now=later + timedelta(days=2)) > 0.9 * wait_s(usual)


def test_a_feed_that_fell_silent_is_asked_less_and_less_but_always_again() -> None:
    waits = []
    pattern = LIVELY
    for days in (1, 7, 28, 120):
        until = NOW + timedelta(days=days)
        pattern = quiet(pattern, until=until)
        waits.append(wait_s(pattern, now=until))
    assert all(earlier < later for earlier, later in pairwise(waits))
    assert waits[-1] > 10 * wait_s(LIVELY)
    assert waits[-1] <= POLICY.ceiling_s


def test_a_short_document_is_asked_before_it_can_have_turned_over() -> None:
    gap = timedelta(minutes=30)
    patient = replace(POLICY, patience_s=86_400)
    assert wait_s(every(gap, window=4), policy=patient) == pytest.approx(2 * gap.total_seconds(), rel=0.1)
    assert wait_s(every(gap, window=100), policy=patient) > 4 * gap.total_seconds()


def test_after_a_gap_the_next_poll_is_as_soon_as_may_be() -> None:
    assert wait_s(every(timedelta(days=1)), gap=True) == POLICY.floor_s
    assert wait_s(every(timedelta(days=1)), gap=True, ttl_s=1800) == 1800


@pytest.mark.parametrize("minute", [2, 33, 56])
def test_a_feed_made_by_a_clock_is_asked_soon_after_its_minute(minute: int) -> None:
    made = [NOW + HOUR * hour + timedelta(minutes=minute) for hour in range(96)]
    pattern, seen, polls, delays = Pattern(), 0, 0, []
    at = NOW
    while seen < len(made):
        new = [one for one in made[seen:] if one <= at]
        pattern = learnt(pattern, item_dates=new * 2, window=40 if new else 0, polled_at=at)
        if seen >= 48:  # it had two days to learn
            polls += 1
            delays += [at - one for one in new]
        seen += len(new)
        at += timedelta(seconds=wait_s(pattern, now=at, policy=replace(POLICY, patience_s=200), jitter=0.5))
    assert max(delays) < timedelta(minutes=7)
    assert polls < 4 * len(delays)


def test_a_feed_that_pushes_is_asked_rarely() -> None:
    assert wait_s(LIVELY, pushed=True) == PUSHED_S
    assert wait_s(LIVELY, pushed=True, gap=True) == POLICY.floor_s
    assert wait_s(LIVELY, pushed=True, policy=CadencePolicy(floor_s=300, ceiling_s=3600)) == 3600
    assert wait_s(every(timedelta(days=20), days=60), pushed=True) >= PUSHED_S


def test_a_feed_that_pushes_is_asked_before_items_can_be_lost_should_it_stop() -> None:
    assert wait_s(every(timedelta(minutes=30), window=10), pushed=True) == pytest.approx(5 * 1800, rel=0.15)


@pytest.mark.parametrize("wish", ["retry_after_s", "max_age_s", "ttl_s", "update_period_s"])
def test_a_server_s_wish_to_be_asked_later_is_obeyed_up_to_a_day(wish: str) -> None:
    assert wait_s(LIVELY, **{wish: 7200.0}) == 7200
    assert wait_s(LIVELY, **{wish: 1.0}) == wait_s(LIVELY)
    assert wait_s(LIVELY, **{wish: 400 * 86_400.0}) == WISH_CAP_S


@pytest.mark.parametrize("hint", ["max_age_s", "ttl_s", "update_period_s"])
def test_a_hint_of_more_than_an_hour_does_not_let_a_document_turn_over(hint: str) -> None:
    short = every(timedelta(minutes=30), window=10)
    assert wait_s(short, **{hint: 3600.0}) == 3600
    assert wait_s(short, **{hint: 86_400.0}) == pytest.approx(5 * 1800, rel=0.15)
    assert wait_s(short, retry_after_s=86_400.0) == 86_400
    assert wait_s(every(timedelta(minutes=3), window=10), **{hint: 86_400.0}) == 3600


def test_retry_after_is_obeyed_with_a_fixed_interval_too() -> None:
    assert wait_s(interval_s=900, retry_after_s=3600) == 3600


def test_failures_double_the_wait_up_to_the_ceiling_and_never_end() -> None:
    waits = [wait_s(interval_s=900, outcome="failed", failures=failures) for failures in (1, 2, 3, 20, 100_000)]
    assert waits == [900, 1800, 3600, 86_400, 86_400]


def test_a_quiet_feed_that_failed_is_tried_again_soon_at_first() -> None:
    quiet_one = every(timedelta(days=9), days=60)
    assert wait_s(quiet_one) > 3 * RETRY_S
    assert [wait_s(quiet_one, outcome="failed", failures=failures) for failures in (1, 2)] == [RETRY_S, 2 * RETRY_S]
    assert wait_s(every(timedelta(minutes=1)), outcome="failed", failures=1) == POLICY.floor_s


@pytest.mark.parametrize(
    ("skip_hours", "skip_days", "wanted"),
    [
        ({12}, set(), datetime(2026, 11, 24, 13, tzinfo=UTC)),
        (set(range(12, 24)), set(), datetime(2026, 11, 25, 0, tzinfo=UTC)),
        (set(), {1}, datetime(2026, 11, 25, 0, tzinfo=UTC)),
        (set(), {1, 2, 3}, datetime(2026, 11, 27, 0, tzinfo=UTC)),
        ({0}, {1}, datetime(2026, 11, 25, 1, tzinfo=UTC)),
        (set(range(24)), set(), NOW + timedelta(seconds=900)),
        (set(), set(range(7)), NOW + timedelta(seconds=900)),
    ],
)
def test_hours_and_days_that_a_feed_skips_are_left_out(
    skip_hours: set[int], skip_days: set[int], wanted: datetime
) -> None:
    waited = wait_s(interval_s=900, skip_hours=frozenset(skip_hours), skip_days=frozenset(skip_days))
    assert NOW + timedelta(seconds=waited) == wanted


def test_jitter_spreads_polls() -> None:
    assert wait_s(interval_s=900, jitter=0.0) < wait_s(interval_s=900, jitter=0.5) < wait_s(interval_s=900, jitter=0.99)


def test_jitter_spreads_polls_after_what_feeds_skip() -> None:
    skipped = {"interval_s": 900, "skip_hours": frozenset({12})}
    assert wait_s(**skipped, jitter=0.0) == 3600 < wait_s(**skipped, jitter=0.99) < 3700


MOMENTS = st.datetimes(datetime(1970, 1, 1), datetime(2200, 1, 1)).map(lambda one: one.replace(tzinfo=UTC))  # noqa: DTZ001
POLLS = st.lists(
    st.tuples(st.floats(1, 1e7), st.lists(st.none() | MOMENTS, max_size=5), st.integers(0, 5000)), max_size=8
)


def after(polls: list[tuple[float, list[datetime | None], int]]) -> tuple[Pattern, datetime]:
    pattern, at = Pattern(), NOW
    for passed_s, dates, window in polls:
        at += timedelta(seconds=passed_s)
        pattern = learnt(pattern, item_dates=dates, window=window, polled_at=at)
    return pattern, at


@given(
    POLLS,
    st.sampled_from(["new", "unchanged", "failed"]),
    st.integers(0, 10_000),
    st.floats(0, 1e9),
    st.floats(0, 0.999),
    st.booleans(),
)
def test_the_next_poll_is_neither_at_once_nor_never(  # noqa: PLR0917 - one for each strategy
    polls: list[Any], outcome: str, failures: int, wish_s: float, jitter: float, gap: bool
) -> None:
    pattern, at = after(polls)
    waited = wait_s(pattern, now=at, outcome=outcome, failures=failures, ttl_s=wish_s, jitter=jitter, gap=gap)
    assert POLICY.floor_s <= waited <= max(POLICY.ceiling_s, WISH_CAP_S) * 1.1


@given(POLLS, st.integers(1, 50), st.floats(0, 0.999))
def test_more_failures_never_mean_an_earlier_poll(polls: list[Any], failures: int, jitter: float) -> None:
    pattern, at = after(polls)
    said: dict[str, Any] = {"now": at, "outcome": "failed", "jitter": jitter}
    assert wait_s(pattern, failures=failures, **said) <= wait_s(pattern, failures=failures + 1, **said)


@given(
    POLLS,
    st.frozensets(st.integers(0, 23), max_size=24),
    st.frozensets(st.integers(0, 6), max_size=7),
    st.integers(0, 10**7),
)
def test_no_poll_falls_into_what_a_feed_skips_unless_it_skips_all(
    polls: list[Any], hours: frozenset[int], days: frozenset[int], past_s: int
) -> None:
    pattern, at = after(polls)
    now = at + timedelta(seconds=past_s)
    moment = now + timedelta(seconds=wait_s(pattern, now=now, skip_hours=hours, skip_days=days))
    assert now < moment < now + timedelta(days=9)
    skips_all = len(hours) == 24 or len(days) == 7
    assert skips_all or (moment.hour not in hours and moment.weekday() not in days)


@given(POLLS)
def test_a_pattern_is_kept_as_json_and_read_again(polls: list[Any]) -> None:
    pattern, at = after(polls)
    kept = json.loads(json.dumps(pattern.to_json()))
    again = Pattern.from_json(kept)
    assert again.to_json() == kept
    assert wait_s(again, now=at) == pytest.approx(wait_s(pattern, now=at), rel=0.02)
    assert len(json.dumps(kept)) < 700


@pytest.mark.parametrize(
    "kept",
    [
        {},
        {"hours": []},
        {**LIVELY.to_json(), "hours": ["x"] * 24},
        {**LIVELY.to_json(), "days": [1.0] * 6},
        {**LIVELY.to_json(), "slots": 5},
        {**LIVELY.to_json(), "recent": -1},
        {**LIVELY.to_json(), "span_s": "nan"},
        {**LIVELY.to_json(), "span_s": 1e300},
        {**LIVELY.to_json(), "window": "inf"},
        {**LIVELY.to_json(), "at_s": None},
        {**LIVELY.to_json(), "at_s": 10**400},
    ],
)
def test_what_is_no_pattern_is_nothing_learnt_yet(kept: dict[str, Any]) -> None:
    assert Pattern.from_json(kept) == Pattern()


def test_dates_that_cannot_be_are_spread_over_the_time_between_two_polls() -> None:
    later = NOW + 2 * HOUR
    odd = [None, NOW - timedelta(days=4000), datetime(1990, 1, 1, tzinfo=UTC), later + timedelta(days=9)]
    quiet_then = learnt(LIVELY, item_dates=(), window=9, polled_at=later)
    busy_then = learnt(LIVELY, item_dates=odd, window=9, polled_at=later)
    more = [after - before for before, after in zip(quiet_then.hours, busy_then.hours, strict=True)]
    assert [hour for hour, grown in enumerate(more) if grown > 0.001] == [12, 13]
    assert more[12] == pytest.approx(more[13], rel=0.01)
    assert sum(more) == pytest.approx(4, rel=0.01)
    grown = [after - before for before, after in zip(quiet_then.slots, busy_then.slots, strict=True)]
    assert grown == pytest.approx([4 / 12] * 12, rel=0.01)


def test_of_a_first_document_a_stamp_that_all_items_share_counts_once() -> None:
    assert learnt(Pattern(), item_dates=[NOW] * 40, window=40, polled_at=NOW).count == 1


def test_an_old_item_kept_in_a_first_document_does_not_slow_its_rhythm() -> None:
    lately = [NOW - timedelta(minutes=37 * n) for n in range(30)]
    kept = [*lately, NOW - timedelta(days=50)]
    with_it, without = (
        learnt(Pattern(), item_dates=dates, window=len(dates), polled_at=NOW) for dates in (kept, lately)
    )
    assert wait_s(with_it) == pytest.approx(wait_s(without), rel=0.1)


def test_nothing_new_is_learnt_once_an_hour_and_comes_to_the_same() -> None:
    at = NOW
    for _ in range(12):
        at += timedelta(minutes=4)
        assert learnt(LIVELY, item_dates=(), window=0, polled_at=at) is LIVELY
    often = LIVELY
    for minutes in range(70, 24 * 60, 70):
        often = learnt(often, item_dates=(), window=0, polled_at=NOW + timedelta(minutes=minutes))
    once = learnt(LIVELY, item_dates=(), window=0, polled_at=datetime.fromtimestamp(often.at_s, UTC))
    assert (once.count, once.span_s) == pytest.approx((often.count, often.span_s), rel=1e-6)
    assert once.expected == pytest.approx(often.expected, rel=0.05)


def test_of_a_first_document_old_dates_teach_nothing() -> None:
    old = [NOW - timedelta(days=400 + n) for n in range(50)]
    assert learnt(Pattern(), item_dates=old, window=50, polled_at=NOW).count == 0


def test_a_huge_document_is_not_looked_at_whole() -> None:
    dates = [NOW - timedelta(seconds=n) for n in range(50_000)]
    pattern = learnt(Pattern(), item_dates=dates, window=50_000, polled_at=NOW)
    assert MOST_LEARNT * 0.8 < pattern.count <= MOST_LEARNT
    assert wait_s(pattern) == POLICY.floor_s


def test_of_a_first_document_the_newest_dates_teach_wherever_they_stand() -> None:
    newest_first = [NOW - timedelta(minutes=7 * n) for n in range(5000)]
    both = (
        learnt(Pattern(), item_dates=dates, window=5000, polled_at=NOW) for dates in (newest_first, newest_first[::-1])
    )
    assert wait_s(next(both)) == wait_s(next(both))


@pytest.mark.parametrize(
    ("days_ago", "silent"),
    [
        pytest.param((5, 4, 3, 2, 1), False, id="daily, yesterday"),
        pytest.param((20, 19, 18, 17, 16), True, id="daily, then nothing for 16 days"),
        pytest.param((40, 30, 20, 19, 18), False, id="gaps of 10 days, nothing for 18"),
        pytest.param((90, 80), False, id="too little known"),
    ],
)
def test_a_feed_is_silent_by_its_own_rhythm(days_ago: tuple[int, ...], silent: bool) -> None:
    assert is_silent([(NOW - timedelta(days=days)).timestamp() for days in days_ago], NOW) is silent
