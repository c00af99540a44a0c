"""Whether a server's 304 is believed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from worker.feeds.honesty import FORGIVEN_AFTER_S, Validators, was_lie, without_validators, worth_sending

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
DAY = timedelta(days=1)


@pytest.mark.parametrize(
    ("unmodified_at", "has_same_validator", "new_dates", "lie"),
    [
        pytest.param(NOW, True, [NOW], True, id="something new under the very validator of the 304"),
        pytest.param(NOW, False, [NOW - DAY, NOW - 2 * DAY], True, id="all of it was there when the 304 was sent"),
        pytest.param(NOW, False, [NOW - DAY, NOW], False, id="some of it is newer"),
        pytest.param(NOW, False, [None], False, id="nobody knows since when"),
        pytest.param(NOW, True, [], False, id="nothing new"),
        pytest.param(None, True, [NOW - DAY], False, id="the last answer was no 304"),
    ],
)
def test_a_304_that_hid_something_is_a_lie(
    unmodified_at: datetime | None, has_same_validator: bool, new_dates: list[datetime | None], lie: bool
) -> None:
    found = was_lie(unmodified_at=unmodified_at, has_same_validator=has_same_validator, new_dates=new_dates)
    assert found is lie


def goes_without(hours: float, *, lies: int = 0, lied: timedelta = DAY) -> bool:
    lied_at = NOW - lied if lies else None
    return without_validators(last_at=NOW - timedelta(hours=hours), lies=lies, lied_at=lied_at, now=NOW)


def test_an_honest_server_is_asked_without_validators_once_a_day() -> None:
    assert not goes_without(23.9)
    assert goes_without(24)
    assert without_validators(last_at=None, lies=0, lied_at=None, now=NOW)


def test_each_lie_makes_it_oftener_until_no_validator_is_sent() -> None:
    assert (goes_without(5.9, lies=1), goes_without(6, lies=1)) == (False, True)
    assert (goes_without(1.4, lies=2), goes_without(1.5, lies=2)) == (False, True)
    assert goes_without(0, lies=3)


def test_a_clock_that_was_wrong_once_does_not_keep_a_server_from_being_checked() -> None:
    assert goes_without(-24 * 365)


def test_lies_are_forgiven_one_by_one() -> None:
    month = timedelta(seconds=FORGIVEN_AFTER_S)
    assert goes_without(0.1, lies=3, lied=month - DAY)
    assert not goes_without(0.1, lies=3, lied=month)
    assert not goes_without(23.9, lies=3, lied=3 * month)


@pytest.mark.parametrize(
    ("before", "now", "same_body", "kept"),
    [
        pytest.param(("a", "Mon"), ("a", "Mon"), True, ("a", "Mon"), id="nothing changed"),
        pytest.param(("a", "Mon"), ("b", "Tue"), False, ("b", "Tue"), id="another document"),
        pytest.param(("a", "Mon"), ("b", "Mon"), True, (None, "Mon"), id="only the ETag changed"),
        pytest.param((None, "Mon"), ("c", "Mon"), True, (None, "Mon"), id="and did so before"),
        pytest.param((None, "Mon"), ("c", "Tue"), False, ("c", "Tue"), id="until the document changes"),
        pytest.param(("a", "Mon"), ("b", "Tue"), True, ("b", "Tue"), id="both change at each answer"),
        pytest.param(("a", None), ("b", None), True, ("b", None), id="there is nothing but the ETag"),
        pytest.param((None, None), (None, None), True, (None, None), id="there is none"),
    ],
)
def test_an_etag_that_changes_for_nothing_is_not_sent_in_the_place_of_a_good_date(
    before: tuple[str | None, str | None],
    now: tuple[str | None, str | None],
    same_body: bool,
    kept: tuple[str | None, str | None],
) -> None:
    was, says, wanted = (Validators(etag=etag, last_modified=date) for etag, date in (before, now, kept))
    assert worth_sending(before=was, now=says, same_body=same_body) == wanted
