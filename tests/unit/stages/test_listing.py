"""Index documents of what was archived lately: complete, written when something changed, cheap when nothing did."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.newsserver import NewsServer, article_page, paragraphs
from tests.unit.stages.conftest import Line
from worker import stages
from worker.archive.keys import document_key
from worker.errors import UnavailableError
from worker.ledger import feeds, listings, publications
from worker.ledger.session import Ledger
from worker.ledger.tables import articles as articles_table
from worker.model import State
from worker.stages import listing
from worker.stages.listing import list_documents

DAY = datetime(2025, 1, 17, 12, tzinfo=UTC)


def archived(line: Line, numbers: Sequence[int], *, slug: str = "voa", found_at: datetime = DAY, **values: Any) -> None:
    """Rows as the archive stage leaves them."""
    with line.deps.ledger.transaction() as tx:
        feed = feeds.by_slug(tx, slug)
        assert feed is not None
        for number in numbers:
            article_id = f"{number:032x}"
            row = {
                "article_id": article_id, "revision": 1, "feed_id": feed.id, "host": "a.example", "title": f"No {number}",
                "state": State.PUBLISHED, "ready_at": line.now(), "archived_at": line.now(), "ended_at": line.now(),
                "discovered_at": found_at, "troubles": [],
                "archive": {"document": document_key(slug, article_id, found_at)},
            }  # fmt: skip
            tx.execute(articles_table.insert().values({**row, **values}))


def index(line: Line, key: str) -> list[str]:
    """The lines of an index document that list something."""
    lines = line.deps.store.get(f"documents/{key}").decode().splitlines()
    return [listed for listed in lines if listed.startswith("- ")]


def keys(line: Line) -> list[str]:
    return [key for key in line.deps.store.keys("documents/") if key.endswith("index.md")]


@pytest.fixture
def voa(line: Line) -> Line:
    line.follow("voa", "https://a.example/feed.xml")
    return line


def settled(line: Line) -> int:
    line.later(minutes=6)
    return list_documents(line.deps)


def test_a_published_article_is_listed_with_its_day_and_feed(line: Line, site: NewsServer) -> None:
    url = site.page("/ferry.html", article_page("The ferry *sails* again", paragraphs(1)))
    line.follow("ferry", site.feed("/feed.xml", [{"title": "T", "link": url, "guid": url}]), title="Ferry news")
    line.poll()
    line.run()
    assert settled(line) == 2
    row = line.row()
    day = row.discovered_at
    assert index(line, f"ferry/{day:%Y/%m/%d}/index.md") == [
        f"- {day:%H:%M} [The ferry \\*sails\\* again]({row.article_id}.md)"
    ]
    assert index(line, "ferry/index.md") == [f"- [{day:%Y-%m-%d}]({day:%Y/%m/%d}/index.md): 1 article"]


def test_upkeep_lists(voa: Line) -> None:
    archived(voa, [1])
    voa.later(minutes=6)
    assert stages.upkeep(voa.deps)["listed"] == 2


def test_how_far_it_is_listed_is_not_taken_for_beat_s_tick(voa: Line) -> None:
    archived(voa, [1])
    settled(voa)
    with voa.deps.ledger.reading() as connection:
        assert publications.ticks(connection) == {}


def test_only_days_with_something_new_are_written(voa: Line) -> None:
    archived(voa, [1, 2])
    archived(voa, [3], found_at=DAY + timedelta(days=1))
    assert settled(voa) == 3
    with counted(voa) as written:
        assert settled(voa) == 0
        archived(voa, [4])
        assert settled(voa) == 2
    assert written == ["documents/voa/2025/01/17/index.md", "documents/voa/index.md"]
    assert index(voa, "voa/index.md") == [
        "- [2025-01-18](2025/01/18/index.md): 1 article",
        "- [2025-01-17](2025/01/17/index.md): 3 articles",
    ]


def test_a_day_is_written_once_in_five_minutes(voa: Line) -> None:
    archived(voa, [1])
    assert settled(voa) == 2
    archived(voa, [2])
    for _ in range(4):
        voa.later(minutes=1)
        assert list_documents(voa.deps) == 0
    voa.later(minutes=1)
    assert list_documents(voa.deps) == 2


def test_what_is_not_archived_is_not_listed(voa: Line) -> None:
    archived(voa, [1], state=State.PICTURED, archive=None, archived_at=None)
    archived(voa, [2], state=State.REJECTED, archive=None, archived_at=None, reason="gone")
    assert settled(voa) == 0
    assert keys(voa) == []


def test_what_is_younger_than_a_transaction_may_last_waits(voa: Line) -> None:
    archived(voa, [1])
    assert list_documents(voa.deps) == 0
    assert settled(voa) == 2


def test_a_later_revision_takes_the_place_of_the_first(voa: Line) -> None:
    archived(voa, [1])
    archived(voa, [1], revision=2, title="New title")
    settled(voa)
    assert index(voa, "voa/2025/01/17/index.md") == [f"- 12:00 [New title]({1:032x}.md)"]


def test_articles_stay_in_the_folder_of_the_slug_that_their_feed_had(voa: Line) -> None:
    archived(voa, [1])
    with voa.deps.ledger.transaction() as tx:
        feed = feeds.by_slug(tx, "voa")
        assert feed is not None
        feeds.change(tx, feed.id, {"slug": "voa-zh"}, now=voa.now())
    archived(voa, [2], slug="voa-zh")
    settled(voa)
    assert index(voa, "voa/2025/01/17/index.md") == [f"- 12:00 [No 1]({1:032x}.md)"]
    assert index(voa, "voa-zh/2025/01/17/index.md") == [f"- 12:00 [No 2]({2:032x}.md)"]


def test_a_long_backlog_is_listed_round_by_round(voa: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listing, "MOST_DAYS", 3)
    monkeypatch.setattr(listing, "MOST_ROWS", 4)
    for number in range(10):
        archived(voa, [number], found_at=DAY + timedelta(days=number))
        voa.later(seconds=1)
    archived(voa, range(20, 26), found_at=DAY, ready_at=voa.now())  # more at one moment than a round takes
    voa.later(minutes=6)
    rounds = []
    while written := list_documents(voa.deps):
        rounds.append(written)
    assert max(rounds) <= 3 + 1
    assert len(index(voa, "voa/index.md")) == 10
    assert len(index(voa, "voa/2025/01/17/index.md")) == 7


def test_a_round_that_broke_off_is_repeated(voa: Line) -> None:
    archived(voa, [1])
    archived(voa, [2], found_at=DAY + timedelta(days=1))
    voa.later(minutes=6)
    with counted(voa, fail_after=1), pytest.raises(UnavailableError):
        list_documents(voa.deps)
    assert list_documents(voa.deps) == 3
    assert len(index(voa, "voa/index.md")) == 2


def test_a_clock_that_was_set_back_holds_nothing_up(voa: Line) -> None:
    archived(voa, [1])
    voa.later(days=400)
    assert list_documents(voa.deps) == 2
    voa.later(days=-400)
    archived(voa, [2])
    assert settled(voa) == 2
    assert len(index(voa, "voa/2025/01/17/index.md")) == 2
    assert list_documents(voa.deps) == 0


def test_a_stop_ends_a_round_that_is_repeated_later(voa: Line) -> None:
    archived(voa, [1])
    voa.later(minutes=6)
    voa.deps.stopping.set()
    assert list_documents(voa.deps) == 0
    voa.deps.stopping.clear()
    assert list_documents(voa.deps) == 2


@contextmanager
def counted(line: Line, *, fail_after: int = 1000) -> Iterator[list[str]]:
    """The keys that are written, by a store that gives out after some of them."""
    store, written = line.deps.store, list[str]()
    put = store.put

    def counting(key: str, data: bytes, **options: Any) -> bool:
        if len(written) == fail_after:
            raise UnavailableError("the store is away")
        written.append(key)
        return put(key, data, **options)

    store.put = counting  # type: ignore[method-assign]
    try:
        yield written
    finally:
        store.put = put  # type: ignore[method-assign]


# ---------------------------------------------------------------- the mark, on either database


@pytest.mark.parametrize("was", [None, DAY], ids=["first", "later"])
def test_of_two_runs_at_once_the_second_has_everything_listed_again(ledger: Ledger, was: datetime | None) -> None:
    with ledger.transaction() as tx:
        if was is not None:
            listings.move_mark(tx, was=None, to=was)
        listings.move_mark(tx, was=was, to=DAY + timedelta(hours=2))
        assert listings.mark(tx) == DAY + timedelta(hours=2)
        listings.move_mark(tx, was=was, to=DAY + timedelta(hours=1))
        assert listings.mark(tx) == was


def test_rows_are_found_by_the_moment_they_were_archived(ledger: Ledger) -> None:
    with ledger.transaction() as tx:
        feed = {"slug": "voa", "url": "https://a.example/", "host": "a.example", "headers": {}, "first_poll": "all"}
        feed_id = feeds.insert(tx, feed, origin="cli", now=DAY)
        for number, state in enumerate((State.PUBLISHED, State.IMPORTED, State.EXTRACTED)):
            at = DAY + timedelta(minutes=number)
            row = {"article_id": f"{number:032x}", "revision": 1, "feed_id": feed_id, "host": "a", "state": state}
            moments = {"ready_at": at, "discovered_at": at, "troubles": [], "archive": {"document": f"d{number}"}}
            tx.execute(articles_table.insert().values({**row, **moments}))
        found = listings.archived_since(tx, after=None, until=DAY + timedelta(hours=1), limit=9)
        assert [(row.document, row.at) for row in found] == [("d0", DAY), ("d1", DAY + timedelta(minutes=1))]
        assert listings.archived_since(tx, after=DAY, until=DAY, limit=None) == []
        of_day = listings.documents_of(tx, feed_id, since=DAY, until=DAY + timedelta(minutes=1))
        assert [(row.title, row.document) for row in of_day] == [(None, "d0")]
        assert listings.feed_titles(tx, ["voa", "none"]) == {"voa": None}
