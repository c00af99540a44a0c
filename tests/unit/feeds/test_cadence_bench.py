"""The simulation of polling counts right."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bench.cadence import EntryFrequency, Figures, Fixed, Ours, beaten, figures, polled
from bench.rhythms import DAY, HOUR, MINUTE, START, WEEK, Source, made


def source(items: list[float], *, window: int = 40, days: float = 1) -> Source:
    at = tuple(START + one for one in items)
    return Source(name="x", kind="x", items=at, stamps=at, window=window, first_at=START, until=START + days * DAY)


def test_an_item_waits_until_the_poll_after_it() -> None:
    year = polled(source([-HOUR, 5 * MINUTE, 15 * MINUTE, 46 * MINUTE]), Fixed(15 * MINUTE))
    assert year.polls == 96
    assert year.delays == (10 * MINUTE, 0, 14 * MINUTE)
    assert year.unseen == 0


def test_what_a_short_document_lost_between_two_polls_is_unseen() -> None:
    year = polled(source([one * MINUTE for one in range(1, 31)], window=4), Fixed(15 * MINUTE))
    assert (len(year.delays), year.unseen) == (8, 22)


@pytest.mark.parametrize(
    ("ages_s", "interval_s"),
    [
        pytest.param([], DAY, id="nothing"),
        pytest.param([HOUR], DAY, id="one entry"),
        pytest.param([HOUR, HOUR], DAY, id="two at once"),
        pytest.param([HOUR * one for one in range(21)], WEEK / 168, id="one an hour"),
        pytest.param([MINUTE * one for one in range(21)], 5 * MINUTE, id="one a minute: the least interval"),
        pytest.param([WEEK * 0.9, 0], DAY, id="two a week: the greatest"),
        pytest.param([WEEK * 1.1, 0], DAY, id="one of them too old"),
    ],
)
def test_the_entry_frequency_is_miniflux_s(ages_s: list[float], interval_s: float) -> None:
    rule = EntryFrequency()
    assert rule(START, sorted(START - age for age in ages_s), 40) == pytest.approx(START + interval_s)


def test_ours_is_the_product_s_rule() -> None:
    lively = polled(source([one * 10 * MINUTE for one in range(-400, 144)]), Ours(300.0, 1))
    patient = polled(source([one * 10 * MINUTE for one in range(-400, 144)]), Ours(3000.0, 1))
    assert 200 > lively.polls > 2 * patient.polls
    assert len(lively.delays) > 130


def test_items_count_alike_or_feeds_do() -> None:
    busy = polled(source([one * MINUTE for one in range(1, 1001)]), Fixed(10 * MINUTE))
    rare = polled(source([45 * MINUTE]), Fixed(HOUR))
    both = figures("x", "all", [busy, rare])
    assert both.polls_per_item == pytest.approx((144 + 24) / 1001)
    assert both.polls_per_day == pytest.approx((144 + 24) / 2)
    assert both.median == pytest.approx(5, abs=1)
    assert both.feeds_median == pytest.approx((4.5 + 15) / 2, abs=0.5)


def test_a_rule_is_beaten_by_fewer_polls_only_if_nothing_comes_later() -> None:
    other = figures("other", "all", [polled(source([45 * MINUTE]), Fixed(HOUR))])
    fewer: Figures = replace(other, polls_per_item=other.polls_per_item / 2, polls_per_day=other.polls_per_day / 2)
    later = replace(fewer, median=fewer.median + 1, feeds_median=fewer.feeds_median + 1)
    found = beaten(other, {1.0: other, 2.0: fewer, 3.0: later})
    assert (found.by_items, found.by_feeds) == ((2.0,), (2.0,))


def test_feeds_are_made_alike_each_time_and_in_order() -> None:
    once, again = list(made(3, seed=1)), list(made(3, seed=1))
    assert once == again
    assert once != list(made(3, seed=2))
    assert all(list(one.items) == sorted(one.items) and len(one.items) == len(one.stamps) for one in once)
