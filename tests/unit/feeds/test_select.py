"""What of a document is new."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker import urls
from worker.feeds.parse import parse_feed
from worker.feeds.select import FirstPoll, KnownSighting, Selection, keys_of, select_new
from worker.model import Enclosure, Entry

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
SLUG = "daily"
HOME = "https://news.example/"
SECTION = "https://news.example/news/"


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
        self.known: list[KnownSighting] = []

    def poll(self, *entries: Entry) -> Selection:
        selection = select_new(
            list(zip(entries, keys_of(entries, SLUG), strict=True)),
            known=self.known,
            first_poll=self.first_poll,
            is_first=not self.known,
        )
        self.known += [
            KnownSighting(
                entry_key=seen.keys.entry_key,
                guid_key=seen.keys.guid_key,
                fingerprint=seen.keys.fingerprint,
                article_id=seen.article_id,
                title=seen.entry.title,
                published_at=seen.entry.published_at,
                url=seen.entry.url,
                skipped=seen.skipped,
            )
            for seen in selection.sightings
        ]
        return selection

    def announced(self, *entries: Entry) -> list[str | None]:
        return titles(self.poll(*entries))


def fingerprint(one: Entry) -> str:
    return keys_of([one], SLUG)[0].fingerprint


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


@pytest.mark.parametrize(
    ("guid", "edited"),
    [
        pytest.param("g", {}, id="with a guid"),
        pytest.param("g", {"title": "Corrected", "summary_html": "Corrected"}, id="with a guid, and edited meanwhile"),
        pytest.param(None, {}, id="without a guid"),
    ],
)
@pytest.mark.parametrize("grows", [True, False], ids=["the table grows", "the table shrinks"])
def test_another_table_of_tracking_parameters_announces_nothing_again(
    monkeypatch: pytest.MonkeyPatch, guid: str | None, edited: dict[str, Any], grows: bool
) -> None:
    tables = [lambda *_: False, lambda name, *_: name == "way"]
    before, after = tables if grows else reversed(tables)
    feed, url = Feed(), "https://news.example/1?way=rss"
    monkeypatch.setattr(urls, "is_tracking", before)
    first = feed.poll(entry(1, guid=guid, url=url))
    monkeypatch.setattr(urls, "is_tracking", after)
    again = feed.poll(entry(1, guid=guid, url=url, **edited))
    assert again.new == ()
    assert [seen.article_id for seen in again.sightings] == [first.new[0].article_id]
    later = feed.poll(entry(1, guid="other", url=url, title="Corrected again"), entry(2))
    assert titles(later) == ["Title 2"]


def test_an_edited_title_under_the_same_url_is_not_new() -> None:
    feed = Feed()
    feed.poll(entry(1))
    assert feed.announced(entry(1, title="Corrected")) == []
    assert fingerprint(entry(1)) != fingerprint(entry(1, title="Corrected"))
    assert fingerprint(entry(1)) != fingerprint(entry(1, summary_html="Other"))
    assert fingerprint(entry(1)) != fingerprint(entry(1, enclosures=(Enclosure(url=HOME),)))


def test_entries_left_out_although_they_say_something_else_are_counted() -> None:
    feed = Feed()
    assert feed.poll(entry(1), entry(2), entry(1, summary_html="Twice, and otherwise")).edited == 1
    later = feed.poll(entry(1), entry(2, title="Corrected"))
    assert (later.new, later.edited) == ((), 1)


def test_an_item_that_moved_stays_its_article() -> None:
    feed = Feed()
    first = feed.poll(entry(1))
    moved = feed.poll(entry(1, url="https://news.example/moved"))
    assert moved.new == ()
    assert moved.sightings[0].article_id == first.sightings[0].article_id


@pytest.mark.parametrize(
    "said",
    [
        pytest.param({"summary_html": "Edited"}, id="with another text"),
        pytest.param({"published_at": None}, id="without its date"),
    ],
)
def test_text_or_date_say_that_an_item_moved(said: dict[str, Any]) -> None:
    feed = Feed()
    feed.poll(entry(1))
    assert feed.announced(entry(1, url="https://news.example/moved", **said)) == []


@pytest.mark.parametrize(
    "said",
    [
        pytest.param({}, id="another text and date"),
        pytest.param({"summary_html": "The same"}, id="the same boilerplate"),
        pytest.param({"published_at": None}, id="another text, no date"),
        pytest.param({"summary_html": None, "published_at": None}, id="a title only"),
    ],
)
def test_the_next_briefing_under_one_guid_and_title_is_a_new_article(said: dict[str, Any]) -> None:
    feed = Feed()
    for day in range(3):
        briefing = {"guid": "briefing", "title": "Daily briefing", "published_at": NOON + timedelta(days=day), **said}
        assert len(feed.poll(entry(day, **briefing)).new) == 1


def test_briefings_of_one_batch_under_one_guid_and_title_are_articles_each() -> None:
    batch = [entry(number, guid="briefing", title="Daily briefing") for number in range(3)]
    assert len(Feed().poll(*batch).new) == 3


def test_an_item_that_moved_stays_skipped() -> None:
    feed = Feed("none")
    feed.poll(entry(1), entry(2))
    (moved,) = feed.poll(entry(1, url="https://news.example/moved")).sightings
    assert moved.skipped


def test_a_first_poll_skips_an_item_s_second_address_only_with_its_article() -> None:
    listed = [entry(1), entry(2), entry(1, url="https://news.example/other")]
    assert [seen.skipped for seen in Feed(1).poll(*listed).sightings] == [False, True, False]
    assert [seen.skipped for seen in Feed("none").poll(*listed).sightings] == [True, True, True]


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
    assert feed.announced(entry(1, url=HOME), entry(2, url=HOME), entry(3, url=HOME, guid=None)) == [
        "Title 1",
        "Title 2",
        "Title 3",
    ]
    assert feed.announced(entry(4, url=HOME), entry(2, url=HOME)) == ["Title 4"]


DIFFERENT = {
    "without guid, link and title": {"guid": None, "url": None, "title": None},
    "the same title without guid and link": {"guid": None, "url": None, "title": "Weather"},
    "one guid and the home page": {"guid": "show", "url": HOME},
    "one guid and no page": {"guid": "show", "url": None},
    "one guid without page and title": {"guid": "show", "url": None, "title": None},
    "a section's page": {"url": SECTION},
    "a section's page without guids": {"url": SECTION, "guid": None},
    "one guid and title, different pages": {"guid": "show", "title": "Daily briefing"},
}


@pytest.mark.parametrize("said", DIFFERENT.values(), ids=DIFFERENT.keys())
def test_different_items_of_a_document_stay_different_articles(said: dict[str, Any]) -> None:
    feed = Feed()
    listed = [entry(number, **said) for number in range(5)]
    first = feed.poll(*listed)
    assert len({seen.article_id for seen in first.new}) == 5
    assert feed.announced(*listed) == []
    assert len(feed.poll(entry(5, **said), *listed[:4]).new) == 1


@pytest.mark.parametrize("said", DIFFERENT.values(), ids=DIFFERENT.keys())
def test_an_item_stays_its_article_when_its_document_changes_what_names_it(said: dict[str, Any]) -> None:
    one, other = entry(1, **said), entry(2, **said)
    grown = Feed()
    assert [len(grown.poll(*listed).new) for listed in ([one], [other, one], [other])] == [1, 1, 0]
    shrunk = Feed()
    assert [len(shrunk.poll(*listed).new) for listed in ([one, other], [one], [other, one])] == [2, 0, 0]


@pytest.mark.parametrize("url", [None, HOME, SECTION])
@pytest.mark.parametrize(
    "said", [{}, {"published_at": None}, {"summary_html": None}, {"summary_html": None, "published_at": None}]
)
def test_guids_that_change_at_every_poll_make_no_new_items_without_a_page_either(
    url: str | None, said: dict[str, Any]
) -> None:
    if url is None and "summary_html" in said:
        return  # nothing to read
    feed = Feed()
    polls = [[entry(number, url=url, guid=f"{poll}-{number}", **said) for number in range(3)] for poll in range(3)]
    assert [len(feed.poll(*listed).new) for listed in polls] == [3, 0, 0]
    assert len(feed.known) == 3


@pytest.mark.parametrize("differing", ["date", "enclosure"])
def test_an_hourly_programme_is_new_each_hour(differing: str) -> None:
    feed = Feed()
    for hour in range(3):
        sound = (Enclosure(url=f"https://news.example/{hour}.mp3"),) if differing == "enclosure" else ()
        programme = entry(
            url=HOME,
            guid=f"hour-{hour}",
            title="The news",
            summary_html=None,
            published_at=NOON + timedelta(hours=hour if differing == "date" else 0),
            enclosures=sound,
        )
        assert len(feed.poll(programme).new) == 1


@pytest.mark.shared
@pytest.mark.parametrize(
    ("name", "count"), [("rust-rss/rss092.xml", 21), ("rss-parser/input/itunes-missing-image.rss", 131)]
)
def test_recorded_items_that_share_their_names_become_articles_each(shared: Path, name: str, count: int) -> None:
    body = (shared / "feeds-dev" / name).read_bytes()
    entries = parse_feed(body, content_type=None, url=HOME, now=NOON).entries
    feed = Feed()
    assert len(feed.poll(*entries).new) == len({(one.guid, fingerprint(one)) for one in entries}) == count
    assert feed.announced(*entries) == []


def test_a_feed_with_one_guid_for_all_its_items_takes_linear_time() -> None:
    feed = Feed()
    began = time.process_time()
    for _ in range(2):
        feed.poll(*(entry(number, guid="same", title=f"Title {number % 3}") for number in range(5_000)))
    assert time.process_time() - began < 2
    assert len(feed.known) == 5_000


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
