"""When hubs are asked, when pushes poll, how far a hub is believed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.websub import subscription
from worker.websub.subscription import (
    DISTRUST_FROM,
    WORST,
    after_miss,
    after_push,
    ask_again_at,
    denied_until,
    hub_request_url,
    is_trusted,
    poll_at,
    renew_at,
    request_form,
)

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
jitters = st.floats(0, 1, exclude_max=True)


@given(st.integers(1, 365 * 86_400), jitters)
def test_a_renewal_leaves_time_for_a_hub_that_is_away(lease_s: int, jitter: float) -> None:
    wait_s = (renew_at(NOW, lease_s, jitter=jitter) - NOW).total_seconds()
    assert wait_s >= subscription.SHORTEST_RENEWAL_S
    if lease_s > 100:
        counted_s = min(lease_s, subscription.LEASE_S)  # a hub that forgot us is asked again within the week
        assert 0.59 * counted_s <= wait_s <= 0.7 * counted_s + 1e-3


def test_a_hub_that_is_away_when_a_lease_of_ten_days_should_be_renewed_is_asked_ten_times_before_it_ends() -> None:
    at = renew_at(NOW, subscription.LEASE_S, jitter=0.0)
    tries = 0
    while at < NOW + timedelta(seconds=subscription.LEASE_S):
        tries += 1
        at = ask_again_at(at, tries, refused=False, jitter=0.99)
    assert tries >= 10


@given(st.integers(1, 10_000), st.booleans(), st.floats(0, 86_400), jitters)
def test_a_hub_is_asked_again_without_end_and_within_bounds(
    failures: int, refused: bool, retry_after_s: float, jitter: float
) -> None:
    wait_s = (
        ask_again_at(NOW, failures, refused=refused, retry_after_s=retry_after_s, jitter=jitter) - NOW
    ).total_seconds()
    assert wait_s >= (86_400 if refused else 300) - 1e-3
    assert wait_s >= retry_after_s - 1e-3
    assert wait_s <= 1.25 * (30 * 86_400 if refused else 86_400)


def test_a_denial_holds_for_a_month() -> None:
    assert denied_until(NOW, jitter=0.0) == NOW + timedelta(days=30)


@pytest.mark.parametrize(
    ("hub", "failures", "asked"),
    [
        ("https://hub.example/", 0, "https://hub.example/"),
        ("https://hub.example/", 1, "https://hub.example/"),
        ("http://hub.example/a?b=c", 0, "https://hub.example/a?b=c"),
        ("http://hub.example/a?b=c", 1, "http://hub.example/a?b=c"),
        ("http://hub.example/a?b=c", 2, "https://hub.example/a?b=c"),
        ("http://hub.example:8080/", 0, "http://hub.example:8080/"),
    ],
)
def test_https_is_tried_first_and_then_in_turn(hub: str, failures: int, asked: str) -> None:
    assert hub_request_url(hub, failures) == asked


def test_the_secret_is_told_to_subscribe_only() -> None:
    given = {"callback": "https://us.example/websub/x", "topic": "https://news.example/feed", "secret": "s"}
    assert dict(request_form("subscribe", **given))["hub.secret"] == "s"
    leaving = dict(request_form("unsubscribe", **given))
    assert set(leaving) == {"hub.mode", "hub.topic", "hub.callback", "hub.verify"}


@pytest.mark.parametrize(
    ("polled_s_ago", "in_vain", "wait_s"),
    [
        (None, 0, 0),
        (3600, 0, 0),
        (10, 0, 0),
        (4, 0, 6),
        (0, 0, 10),
        (0, 1, 20),
        (15, 2, 25),
        (0, 5000, 300),
        (300, 5000, 0),
    ],
)
def test_a_push_polls_at_once_unless_the_last_poll_was_only_just_or_the_last_ones_brought_nothing(
    polled_s_ago: int | None, in_vain: int, wait_s: int
) -> None:
    polled_at = None if polled_s_ago is None else NOW - timedelta(seconds=polled_s_ago)
    assert poll_at(NOW, polled_at, in_vain=in_vain) == NOW + timedelta(seconds=wait_s)


@pytest.mark.parametrize(
    ("change", "trusted"),
    [
        ({}, True),
        ({"state": "wanted"}, False),
        ({"state": "denied"}, False),
        ({"expires_at": None}, False),
        ({"expires_at": NOW}, False),
        ({"pushes": 0}, False),
        ({"missed": DISTRUST_FROM - 1}, True),
        ({"missed": DISTRUST_FROM}, False),
    ],
)
def test_a_hub_is_trusted_while_its_lease_runs_and_its_pushes_come(change: dict[str, object], trusted: bool) -> None:
    facts = {"state": "active", "expires_at": NOW + timedelta(days=1), "pushes": 1, "missed": 0, "now": NOW, **change}
    assert is_trusted(**facts) is trusted  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("announced", "trusted"), [(0, False), (1, False), (2, False), (3, True), (5, True), (9, True)]
)
def test_a_hub_that_keeps_every_fourth_item_to_itself_may_do_so_and_no_more(announced: int, trusted: bool) -> None:
    """For each item that polls find by themselves, so many came with a push."""
    missed, worst = 0, 0
    for _ in range(50):
        missed = after_miss(missed)
        worst = max(worst, missed)
        for _ in range(announced):
            missed = after_push(missed)
    assert 0 <= missed <= worst <= WORST
    assert (worst < DISTRUST_FROM) is trusted
