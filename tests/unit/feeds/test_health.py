"""How well a feed document is kept."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from worker.feeds.dates import read_date
from worker.feeds.health import Order, dates_of, guids_of, links_of, rhythm_of
from worker.model import Entry

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)


def dated(*raws: str | None) -> list[Entry]:
    return [
        Entry(guid=None, url=f"https://n.example/{n}", title=f"{n}", date_raw=raw, published_at=read_date(raw, now=NOW))
        for n, raw in enumerate(raws)
    ]


def test_dates_are_counted_by_how_they_come() -> None:
    entries = dated(
        "Wed, 25 Nov 2026 09:00:00 +0100",
        "Wed, 25 Nov 2026 08:00:00 GMT",
        "2027-01-01T00:00:00Z",
        "next Tuesday",
        None,
        "2026-11-20 10:00",
    )
    dates = dates_of(entries, NOW)
    assert (dates.readable, dates.unreadable, dates.missing, dates.future, dates.equal) == (4, 1, 1, 1, 2)
    assert (dates.newest, dates.oldest) == (NOW, datetime(2026, 11, 20, 10, tzinfo=UTC))
    assert set(dates.zones) == {"+0100", "GMT", "Z", "none"}
    assert dates.age_s(NOW + timedelta(hours=1)) == 3600


@pytest.mark.parametrize(
    ("days", "order"),
    [((3, 2, 2, 1), "newest first"), ((1, 2, 3), "oldest first"), ((1, 3, 2), "mixed"), ((2, 2), "unknown"), ((), "unknown")],
)  # fmt: skip
def test_the_order_of_a_document(days: tuple[int, ...], order: Order) -> None:
    assert dates_of(dated(*(f"2026-11-0{day}T00:00:00Z" for day in days)), NOW).order == order


def test_guids_are_held_against_those_of_a_moment_later() -> None:
    def entries(*guids: str | None) -> list[Entry]:
        return [Entry(guid=guid, url=f"https://n.example/{n}", title="T") for n, guid in enumerate(guids)]

    guids = guids_of(entries("a", "a", None, "https://n.example/3", "s=1"), entries("a", "a", None, "x", "s=2", "new"))
    assert (guids.present, guids.missing, guids.repeated, guids.same_as_url) == (4, 1, 2, 1)
    assert (guids.seen_again, guids.changed) == (4, 2)
    assert guids_of(entries("a"), None).seen_again == 0


def test_links_are_sorted_by_where_they_lead() -> None:
    urls = (
        "https://n.example/1?utm_source=rss",
        "https://www.n.example/2",
        "https://other.example/3?id=4",
        "https://n.example/",
        "https://n.example/1",
        None,
    )
    links = links_of([Entry(guid=None, url=url, title=None) for url in urls], "https://feeds.n.example/rss")
    assert (links.present, links.missing, links.offsite, links.elsewhere) == (5, 1, 1, 1)
    assert (links.main_site, links.home_page, links.repeated, links.tracking) == ("n.example", 1, 2, 1)


def test_a_feed_that_is_kept_elsewhere_has_one_main_site() -> None:
    entries = [Entry(guid=None, url=f"https://n.example/{n}", title=None) for n in range(3)]
    links = links_of(entries, "https://feedx.net/rss/n.xml")
    assert (links.offsite, links.elsewhere, links.main_site) == (3, 0, "n.example")


def test_the_rhythm_is_that_of_moments_with_something_new() -> None:
    rhythm = rhythm_of(
        dated("2026-11-01T00:00:00Z", "2026-11-02T00:00:00Z", "2026-11-02T00:00:00Z", "2026-11-03T00:00:00Z")
    )
    assert (rhythm.items_per_day, rhythm.median_gap_s) == (1.5, 86_400)
    assert rhythm_of(dated("2026-11-01T00:00:00Z", None)).items_per_day is None
