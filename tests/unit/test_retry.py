from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.errors import QuarantineError, RefusedAddressError, RetryableError, UnavailableError
from worker.retry import Pause, RetryAt, RetryPolicy, SetAside, verdict

NOON = datetime(2025, 1, 17, 12, tzinfo=UTC)
POLICY = RetryPolicy(max_attempts=5, base_s=30.0, cap_s=600.0)


def wait_s(exc: Exception, attempt: int, jitter: float = 0.0) -> float:
    decided = verdict(exc, attempt, POLICY, NOON, jitter)
    assert isinstance(decided, RetryAt)
    return (decided.at - NOON).total_seconds()


def test_wait_doubles_with_each_attempt() -> None:
    assert [wait_s(RetryableError("timeout"), attempt) for attempt in (1, 2, 3, 4)] == [30.0, 60.0, 120.0, 240.0]


def test_server_may_ask_for_more_but_not_beyond_the_cap() -> None:
    assert wait_s(RetryableError("busy", 100.0), 1) == 100.0
    assert wait_s(RetryableError("busy", 1.0), 1) == 30.0
    assert wait_s(RetryableError("busy", 9e9), 1) == 600.0


def test_last_attempt_sets_aside() -> None:
    assert verdict(RetryableError("timeout"), 5, POLICY, NOON, 0.0) == SetAside(
        reason="attempts-exhausted", detail="timeout"
    )


@pytest.mark.parametrize(
    ("exc", "reason"),
    [
        (QuarantineError("unsupported-type", "a PDF"), "unsupported-type"),
        (RefusedAddressError("no"), "refused-address"),
    ],
)
def test_input_that_will_never_work_is_set_aside_at_once(exc: Exception, reason: str) -> None:
    decided = verdict(exc, 1, POLICY, NOON, 0.0)
    assert isinstance(decided, SetAside)
    assert (decided.reason, decided.is_bug) == (reason, False)


@pytest.mark.parametrize("attempt", [1, 5, 500])
def test_our_own_outage_counts_nothing(attempt: int) -> None:
    assert verdict(UnavailableError("database is down"), attempt, POLICY, NOON, 0.0) == Pause(reason="database is down")


def test_unknown_error_is_retried_and_marked_as_a_bug() -> None:
    first, last = (verdict(KeyError("x"), attempt, POLICY, NOON, 0.0) for attempt in (1, 5))
    assert isinstance(first, RetryAt)
    assert first.is_bug
    assert isinstance(last, SetAside)
    assert (last.reason, last.is_bug) == ("bug", True)


@given(st.integers(1, 10**6), st.floats(0, 1, exclude_max=True), st.none() | st.floats(0, 1e12))
def test_wait_is_always_between_base_and_cap(attempt: int, jitter: float, asked_s: float | None) -> None:
    patient = RetryPolicy(max_attempts=10**7, base_s=30.0, cap_s=600.0)
    decided = verdict(RetryableError("x", asked_s), attempt, patient, NOON, jitter)
    assert isinstance(decided, RetryAt)
    assert 30.0 <= (decided.at - NOON).total_seconds() <= 600.0


@pytest.mark.parametrize("numbers", [(0, 1.0, 2.0), (1, 0.0, 2.0), (1, 3.0, 2.0)])
def test_impossible_policy_is_refused(numbers: tuple[int, float, float]) -> None:
    with pytest.raises(ValueError, match="must be"):
        RetryPolicy(max_attempts=numbers[0], base_s=numbers[1], cap_s=numbers[2])
