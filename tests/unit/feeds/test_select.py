"""What of a document is new."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.feeds.select import FirstPoll, KnownSighting, Selection, keys_of, select_new
from worker.model import Entry

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
SLUG = "daily"


def entry(number: int = 1, **said: Any) -> Entry:
    values: dict[str, Any] = {
        "guid": f"g{number}",
        "url": f"https://news.example/{number}",
        "title": f"Title {number}",
        "summary_html": f"Text {number}",
        "published_at": NOON,
    }
    return Entry(**(values | said))


class Feed:
    """A feed with a memory, as the ledger keeps it."""

    def __init__(self, first_poll: FirstPoll = "all") -> None:
        self.first_poll = first_poll
        self.known: set[str] = set()
        self.by_guid: dict[str, list[KnownSighting]] = {}

    def poll(self, *entries: Entry) -> Selection:
        selection = select_new(
            [(one, keys_of(one, SLUG)) for one in entries],
            known=frozenset(self.known),
            by_guid=self.by_guid,
            first_poll=self.first_poll,
            is_first=not self.known,
        )
        for seen in selection.sightings:
            self.known.add(seen.keys.entry_key)
            if seen.keys.guid_key is not None:
                sighting = KnownSighting(
                    article_id=seen.article_id,
                    title=seen.entry.title,
                    published_at=seen.entry.published_at,
                    url=seen.entry.url,
                )
                self.by_guid.setdefault(seen.keys.guid_key, []).append(sighting)
        return selection

    def announced(self, *entries: Entry) -> list[str | None]:
        return titles(self.poll(*entries))


def titles(selection: Selection) -> list[str | None]:
    return [seen.entry.title for seen in selection.new]


def test_each_item_is_new_once() -> None:
    feed = Feed()
    assert feed.announced(entry(1), entry(2)) == ["Title 1", "Title 2"]
    assert feed.announced(entry(3), entry(2), entry(1)) == ["Title 3"]
    assert feed.announced(entry(1), entry(3)) == []


@given(st.lists(st.lists(st.integers(1, 8), max_size=8), max_size=6))
def test_whatever_is_polled_in_whatever_order_is_announced_exactly_once(polls: list[list[int]]) -> None:
    feed = Feed()
    announced = [title for numbers in polls for title in feed.announced(*map(entry, numbers))]
    assert sorted(map(str, announced)) == sorted({f"Title {number}" for numbers in polls for number in numbers})


def test_equal_and_late_dates_lose_nothing() -> None:
    feed = Feed()
    assert feed.announced(entry(1), entry(2)) == ["Title 1", "Title 2"]
    assert feed.announced(entry(3, published_at=NOON - timedelta(days=900)), entry(4)) == ["Title 3", "Title 4"]


def test_a_guid_that_changes_at_every_poll_makes_no_new_item() -> None:
    feed = Feed()
    feed.poll(entry(1, guid="session-1"))
    later = feed.poll(entry(1, guid="session-2"))
    assert (later.new, later.sightings) == ((), ())


def test_tracking_parameters_make_no_new_item() -> None:
    feed = Feed()
    feed.poll(entry(1, guid=None))
    assert feed.announced(entry(1, guid=None, url="http://news.example/1?utm_source=rss")) == []


def test_an_edited_title_under_the_same_url_is_not_new() -> None:
    feed = Feed()
    feed.poll(entry(1))
    assert feed.announced(entry(1, title="Corrected")) == []
    assert keys_of(entry(1), SLUG).fingerprint != keys_of(entry(1, title="Corrected"), SLUG).fingerprint
    assert keys_of(entry(1), SLUG).fingerprint != keys_of(entry(1, summary_html="Other"), SLUG).fingerprint


def test_an_item_that_moved_stays_its_article() -> None:
    feed = Feed()
    first = feed.poll(entry(1))
    moved = feed.poll(entry(1, url="https://news.example/moved"))
    assert moved.new == ()
    assert moved.sightings[0].article_id == first.sightings[0].article_id


def test_a_reused_guid_with_another_title_is_a_new_article() -> None:
    feed = Feed()
    feed.poll(entry(1, guid="same"))
    assert feed.announced(entry(2, guid="same"), entry(3, guid="same")) == ["Title 2", "Title 3"]


@pytest.mark.parametrize(
    "twice",
    [
        pytest.param([entry(1), entry(1)], id="the same item"),
        pytest.param([entry(1), entry(1, guid="other")], id="another guid"),
        pytest.param([entry(1), entry(1, url="https://news.example/other")], id="another URL"),
    ],
)
def test_an_item_listed_twice_is_announced_once(twice: Sequence[Entry]) -> None:
    assert Feed().announced(*twice) == ["Title 1"]


def test_items_without_a_page_are_told_by_guid_or_title() -> None:
    feed = Feed()
    assert feed.announced(entry(1, url=None), entry(2, url=None, guid=None)) == ["Title 1", "Title 2"]
    assert feed.announced(entry(1, url=None, title="Edited"), entry(2, url=None, guid=None)) == []


def test_items_that_all_link_to_the_home_page_stay_apart() -> None:
    feed = Feed()
    home = "https://news.example/"
    assert feed.announced(entry(1, url=home), entry(2, url=home), entry(3, url=home, guid=None)) == [
        "Title 1",
        "Title 2",
        "Title 3",
    ]
    assert feed.announced(entry(4, url=home), entry(2, url=home)) == ["Title 4"]


def test_an_item_with_nothing_to_read_is_told_and_not_made() -> None:
    selection = Feed().poll(entry(1, url=None, summary_html=None))
    assert (selection.new, selection.sightings) == ((), ())
    assert [(one.title, one.reason) for one in selection.unusable] == [("Title 1", "neither a link nor a text")]


@pytest.mark.parametrize(("first_poll", "wanted"), [("all", 3), ("none", 0), (0, 0), (2, 2), (9, 3)])
def test_the_first_poll_announces_what_the_operator_wants(first_poll: FirstPoll, wanted: int) -> None:
    feed = Feed(first_poll)
    first = feed.poll(entry(1), entry(2), entry(3))
    assert len(first.new) == wanted
    assert len(first.sightings) == 3
    assert sum(seen.skipped for seen in first.sightings) == 3 - wanted
    assert feed.announced(entry(1), entry(2), entry(3), entry(4)) == ["Title 4"]


def test_the_newest_are_told_by_date_then_by_place() -> None:
    old, newer = NOON - timedelta(days=1), NOON
    feed = Feed(2)
    listed = [entry(1, published_at=None), entry(2, published_at=old), entry(3, published_at=newer), entry(4)]
    assert feed.announced(*listed) == ["Title 3", "Title 4"]
    assert Feed(2).announced(*(entry(number, published_at=None) for number in (1, 2, 3))) == ["Title 1", "Title 2"]
