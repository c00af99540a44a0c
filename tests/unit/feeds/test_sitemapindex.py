"""A sitemap index: which of its sitemaps are read, in which order, and which never."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

from worker.feeds.sitemapindex import (
    MOST_DATED,
    MOST_REMEMBERED,
    MOST_UNDATED,
    Round,
    began,
    began_unchanged,
    round_of,
)
from worker.model import Sitemap

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
HOME = "https://www.news.example/sitemap.xml"


def sitemap(name: str, days_ago: int | None = None, host: str = "www.news.example") -> Sitemap:
    at = None if days_ago is None else NOW - timedelta(days=days_ago)
    return Sitemap(url=f"https://{host}/{name}.xml", modified_at=at)


def begin(*listed: Sitemap, before: Round | None = None) -> Round:
    return began(before, listed, home=HOME, now=NOW)


def urls(one: Round) -> list[str]:
    return [waiting.url.rpartition("/")[2].removesuffix(".xml") for waiting in one.waiting]


def finished(one: Round) -> Round:
    while one.next is not None:
        one = one.done(announced=0)
    return one


def test_those_that_changed_last_come_first_and_those_without_a_date_last() -> None:
    assert urls(begin(sitemap("old", 9), sitemap("undated"), sitemap("new", 1))) == ["new", "old", "undated"]


def test_only_changed_ones_are_read_again_and_undated_ones_each_time() -> None:
    first = finished(begin(sitemap("a", 3), sitemap("b", 2), sitemap("c")))
    assert urls(begin(sitemap("a", 3), sitemap("b", 0), sitemap("c"), before=first)) == ["b", "c"]
    assert urls(began_unchanged(first, now=NOW)) == ["c"]


def test_sitemaps_of_other_sites_and_the_index_itself_are_not_followed() -> None:
    listed = [
        sitemap("evil", 0, host="evil.example"),
        sitemap("sitemap", 0),
        sitemap("sub", 0, host="static.news.example"),
    ]
    assert urls(begin(*listed)) == ["sub"]


def test_an_index_of_thousands_costs_a_bounded_number_of_requests_a_round() -> None:
    dated = [sitemap(f"d{n}", n) for n in range(5000)]
    undated = [sitemap(f"u{n}") for n in range(5000)]
    one = begin(*dated, *undated)
    assert len(one.waiting) == MOST_DATED + MOST_UNDATED
    assert urls(one)[:2] == ["d0", "d1"]
    assert urls(one)[-MOST_UNDATED:] == ["u0", "u1", "u2", "u3", "u4", "u4995", "u4996", "u4997", "u4998", "u4999"]
    again = begin(*dated, before=finished(one))
    assert again.waiting == ()  # the older ones are never reached, so that old news is none


def test_memory_is_bounded() -> None:
    one: Round | None = None
    for turn in range(30):
        one = finished(begin(*(sitemap(f"{turn}-{n}", n) for n in range(MOST_DATED)), before=one))
    assert one is not None
    assert len(one.read) == MOST_REMEMBERED


def test_an_index_in_an_index_is_followed_once_and_no_deeper() -> None:
    one = begin(sitemap("years", 1)).done(announced=0, listed=[sitemap("2026", 1), sitemap("2025", 300)])
    assert urls(one) == ["2026", "2025"]
    assert urls(one.done(announced=0, listed=[sitemap("months", 1)])) == ["2025"]


def test_the_first_round_lasts_until_its_last_sitemap_was_read() -> None:
    first = begin(sitemap("a", 1), sitemap("b", 2))
    assert first.is_first
    broken_off = begin(sitemap("a", 1), sitemap("b", 2), before=first.done(announced=3))
    assert (broken_off.is_first, broken_off.announced, urls(broken_off)) == (True, 3, ["b"])
    assert not begin(sitemap("a", 0), before=finished(first)).is_first


def test_the_ledger_keeps_a_round_as_it_was() -> None:
    one = begin(sitemap("a", 1), sitemap("b")).done(announced=2)
    assert round_of(json.loads(json.dumps(one.as_json()))) == one
    assert round_of(None) is None
