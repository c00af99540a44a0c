"""When to ask a feed again."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.feeds.cadence import WISH_CAP_S, CadencePolicy, is_silent, next_poll

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)  # a Tuesday
POLICY = CadencePolicy(floor_s=300, ceiling_s=86_400)


def wait_s(**said: Any) -> float:
    values: dict[str, Any] = {
        "interval_s": None,
        "now": NOW,
        "recent_new_at": [],
        "outcome": "unchanged",
        "failures": 0,
        "jitter": 0.0,
    }
    return (next_poll(POLICY, **(values | said)) - NOW).total_seconds()


def every(gap_s: float, count: int = 10) -> list[datetime]:
    return [NOW - timedelta(seconds=gap_s * place) for place in reversed(range(count))]


def test_a_fixed_interval_is_kept() -> None:
    assert wait_s(interval_s=900, recent_new_at=every(60), ttl_s=7200, max_age_s=7200) == 900


def test_a_lively_feed_is_asked_more_often_than_a_sleepy_one() -> None:
    assert wait_s(recent_new_at=every(1200)) == 600
    assert wait_s(recent_new_at=every(7200)) == 3600
    assert wait_s(recent_new_at=every(10)) == POLICY.floor_s
    assert wait_s(recent_new_at=every(30 * 86_400)) == POLICY.ceiling_s


def test_a_feed_that_fell_silent_is_asked_less_often() -> None:
    lively = every(1200)
    silent = [moment - timedelta(days=10) for moment in lively]
    assert wait_s(recent_new_at=silent) > 10 * wait_s(recent_new_at=lively)


@pytest.mark.parametrize("wish", ["retry_after_s", "max_age_s", "ttl_s", "update_period_s"])
def test_a_server_s_wish_is_obeyed_up_to_a_day(wish: str) -> None:
    lively = every(1200)
    assert wait_s(recent_new_at=lively, **{wish: 7200.0}) == 7200
    assert wait_s(recent_new_at=lively, **{wish: 1.0}) == 600
    assert wait_s(recent_new_at=lively, **{wish: 400 * 86_400.0}) == WISH_CAP_S


def test_retry_after_is_obeyed_with_a_fixed_interval_too() -> None:
    assert wait_s(interval_s=900, retry_after_s=3600) == 3600


def test_failures_double_the_wait_up_to_the_ceiling_and_never_end() -> None:
    waits = [wait_s(interval_s=900, outcome="failed", failures=failures) for failures in (1, 2, 3, 20, 100_000)]
    assert waits == [900, 1800, 3600, 86_400, 86_400]


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


@given(
    st.lists(st.floats(0, 1e8), max_size=8).map(sorted),
    st.sampled_from(["new", "unchanged", "failed"]),
    st.integers(0, 10_000),
    st.floats(0, 1e9),
    st.floats(0, 0.999),
)
def test_the_next_poll_is_neither_at_once_nor_never(
    ages_s: list[float], outcome: str, failures: int, wish_s: float, jitter: float
) -> None:
    recent = [NOW - timedelta(seconds=age) for age in reversed(ages_s)]
    waited = wait_s(recent_new_at=recent, outcome=outcome, failures=failures, ttl_s=wish_s, jitter=jitter)
    assert POLICY.floor_s <= waited <= max(POLICY.ceiling_s, WISH_CAP_S) * 1.1


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
