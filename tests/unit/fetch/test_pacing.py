from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.fetch.pacing import (
    BACKOFF_BASE_S,
    BREAKER_AFTER,
    BREAKER_BASE_S,
    BREAKER_CAP_S,
    MAX_DELAY_S,
    MAX_LEVEL,
    HostPolicy,
    HostState,
    Outcome,
    after_response,
    effective_connections,
    effective_delay_s,
)

NOON = datetime(2025, 1, 17, 12, tzinfo=UTC)
POLICY = HostPolicy(delay_s=1.0, connections=4)


def after(state: HostState, *outcomes: str, **more: Any) -> HostState:
    facts = {"retry_after_s": None, "latency_s": None, "now": NOON, "jitter": 0.0} | more
    for outcome in outcomes:
        state = after_response(state, outcome=outcome, **facts)  # type: ignore[arg-type]
    return state


def test_delay_doubles_with_each_complaint_and_returns_step_by_step() -> None:
    slowed = after(HostState(), "slow_down", "refused", "slow_down")
    assert effective_delay_s(POLICY, slowed) == 8.0
    assert effective_connections(POLICY, slowed) == 1
    assert [effective_delay_s(POLICY, after(slowed, *["ok"] * n)) for n in range(1, 5)] == [4.0, 2.0, 1.0, 1.0]


def test_retry_after_blocks_until_then() -> None:
    assert after(HostState(), "slow_down", retry_after_s=90.0).blocked_until == NOON + timedelta(seconds=90)


def test_complaint_without_a_time_blocks_for_a_doubling_while() -> None:
    once, twice = after(HostState(), "slow_down"), after(HostState(), "slow_down", "slow_down")
    assert once.blocked_until == NOON + timedelta(seconds=BACKOFF_BASE_S)
    assert twice.blocked_until == NOON + timedelta(seconds=2 * BACKOFF_BASE_S)


def test_one_refused_page_slows_the_site_but_does_not_block_it() -> None:
    assert after(HostState(), "refused") == HostState(level=1)


def test_breaker_opens_after_a_row_of_failures_and_waits_longer_each_time() -> None:
    state, pauses_s = HostState(), []
    for _ in range(BREAKER_AFTER + 8):
        state = after(state, "unreachable")
        pauses_s.append((state.blocked_until - NOON).total_seconds() if state.blocked_until else 0.0)
    assert pauses_s[: BREAKER_AFTER + 1] == [0.0, 0.0, BREAKER_BASE_S, 2 * BREAKER_BASE_S]
    assert pauses_s[-1] == BREAKER_CAP_S
    assert effective_connections(POLICY, state) == 1


def test_one_success_closes_the_breaker() -> None:
    state = after(HostState(failures=9), "ok")
    assert (state.failures, effective_connections(POLICY, state)) == (0, 4)


def test_an_answer_of_any_kind_shows_that_the_host_is_there() -> None:
    assert after(HostState(failures=2, level=1), "error") == HostState(level=1)


def test_slow_site_is_given_time_to_breathe() -> None:
    assert effective_delay_s(POLICY, HostState(latency_s=5.0)) == 10.0
    assert effective_delay_s(POLICY, HostState(latency_s=0.8)) == 1.0


def test_robots_may_ask_for_more_delay_never_for_less() -> None:
    assert effective_delay_s(POLICY, HostState(), 20.0) == 20.0
    assert effective_delay_s(POLICY, HostState(), 0.1) == 1.0


def test_site_without_a_delay_can_be_slowed_too() -> None:
    assert effective_delay_s(HostPolicy(delay_s=0.0, connections=1), HostState(level=3)) == 4.0
    assert effective_delay_s(HostPolicy(delay_s=0.0, connections=1), HostState()) == 0.0


def test_latency_is_a_running_mean() -> None:
    state = after(after(HostState(), "ok", latency_s=1.0), "ok", latency_s=2.0)
    assert state.latency_s == pytest.approx(1.3)
    assert after(state, "ok").latency_s == state.latency_s


@given(
    st.lists(
        st.tuples(st.sampled_from(get_args(Outcome)), st.none() | st.floats(0, 86400), st.none() | st.floats(0, 100)),
        max_size=60,
    ),
    st.floats(0, 1, exclude_max=True),
)
def test_whatever_happens_the_state_stays_within_bounds(row: list[Any], jitter: float) -> None:
    state = HostState()
    for outcome, retry_after_s, latency_s in row:
        state = after(state, outcome, retry_after_s=retry_after_s, latency_s=latency_s, jitter=jitter)
        assert 0 <= state.level <= MAX_LEVEL
        assert state.blocked_until is None or state.blocked_until <= NOON + timedelta(days=1)
        assert POLICY.delay_s <= effective_delay_s(POLICY, state) <= MAX_DELAY_S
        assert 1 <= effective_connections(POLICY, state) <= POLICY.connections


@pytest.mark.parametrize(("delay_s", "connections"), [(-1.0, 1), (1.0, 0)])
def test_impossible_policy_is_refused(delay_s: float, connections: int) -> None:
    with pytest.raises(ValueError, match="must be"):
        HostPolicy(delay_s=delay_s, connections=connections)
