"""A site's line: fair between the feeds that wait in it, and cheap to look at however long it is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from tests.unit.ledger.conftest import NOW, add_feed
from worker.ledger import articles, hosts
from worker.ledger.migrate import migrate
from worker.ledger.session import Ledger
from worker.ledger.tables import Row
from worker.ledger.tables import articles as article_rows
from worker.model import State

SITE = "news.example"
SECOND = timedelta(seconds=1)
DAY = timedelta(days=1)


class Site:
    """A site that is asked once a ``delay_s``, with a clock of its own."""

    def __init__(self, ledger: Ledger, *, delay_s: float = 1.0) -> None:
        self.ledger, self.delay_s, self.now = ledger, delay_s, NOW
        self.feeds: dict[str, int] = {}
        self.started: list[tuple[str, timedelta]] = []
        self.found = self.claims = 0

    def pace_of(self, _row: Row) -> hosts.Pace:
        return hosts.Pace(delay_s=self.delay_s, connections=4)

    def brings(self, feed: str, count: int = 1, *, priority: int = 0) -> None:
        """A poll of a feed finds new items, the newest first."""
        if feed not in self.feeds:
            self.feeds[feed] = add_feed(self.ledger, feed)
        rows: list[dict[str, Any]] = [
            {
                "article_id": f"{self.found + place:032x}",
                "feed_id": self.feeds[feed],
                "url": f"https://{SITE}/{self.found + place}",
                "host": SITE,
                "title": f"{feed} {place}",
                "priority": priority,
                "ready_at": self.now,
                "discovered_at": self.now,
            }
            for place in range(count)
        ]
        self.found += count
        with self.ledger.transaction() as tx:
            hosts.ensure(tx, [SITE], now=self.now)
            rows = articles.with_turns(tx, rows, now=self.now, pace_of=self.pace_of)
            articles.insert_discovered(tx, rows, {row["article_id"]: b"{}" for row in rows})

    def claim(self) -> Row | None:
        """What dispatch starts now, its work begun; None: nothing may."""
        with self.ledger.transaction() as tx:
            ready = articles.ready_by_host(tx, now=self.now, limit=10, pace_of=self.pace_of)
            if not ready:
                return None
            self.claims += 1
            token, until = f"t{self.claims}", self.now + timedelta(minutes=10)
            ids = articles.lease(tx, ready, token=token, now=self.now, until=until, slot_until=self.now)
            (row,) = articles.begin(tx, ids, token=token, state=State.DISCOVERED, until=until)
            return row

    def asked(self, times: int = 1) -> list[str]:
        """Let a site's time pass: an article starts, and ends, at each start that its pace allows."""
        titles = []
        for _ in range(times):
            row = self.claim()
            if row is not None:
                with self.ledger.transaction() as tx:
                    articles.end(tx, row, state=State.PUBLISHED, now=self.now)
                titles.append(row.title)
                self.started.append((row.title, self.now - row.discovered_at))
            self.now += timedelta(seconds=self.delay_s)
        return titles

    def waits(self, feed: str) -> list[timedelta]:
        return [waited for title, waited in self.started if title.startswith(feed)]


@pytest.fixture
def site(ledger: Ledger) -> Site:
    return Site(ledger)


def of_feeds(titles: Sequence[str]) -> Counter[str]:
    return Counter(title.split()[0] for title in titles)


def test_a_feed_with_a_long_backlog_holds_up_no_other_one_s_news(site: Site) -> None:
    site.brings("old", 100)
    for _ in range(10):
        site.asked(8)
        site.brings("fresh")
    site.asked(50)
    assert len(site.waits("fresh")) == 10
    assert max(site.waits("fresh")) <= 3 * SECOND
    assert len(site.waits("old")) == 100


def test_nor_its_own_news(site: Site) -> None:
    site.brings("feed", 50)
    site.asked(10)
    site.brings("feed", 2)
    assert site.asked(5) == ["feed 10", "feed 0", "feed 11", "feed 1", "feed 12"]


def test_of_a_backlog_the_newest_goes_first(site: Site) -> None:
    site.brings("feed", 20)
    assert site.asked(20) == [f"feed {place}" for place in range(20)]


def test_feeds_with_a_backlog_each_get_their_share_whoever_was_first(site: Site) -> None:
    site.brings("one", 100)
    site.asked(20)
    site.brings("two", 100)
    site.asked(10)
    site.brings("three", 100)
    assert min(of_feeds(site.asked(30)).values()) >= 9


def test_a_site_that_became_slower_than_its_line_was_made_for_stays_fair(site: Site) -> None:
    site.brings("old", 100)
    site.delay_s = 60.0
    site.asked(20)
    site.brings("fresh")
    assert "fresh 0" in site.asked(3)


def test_a_site_without_a_pause_is_shared_too(ledger: Ledger) -> None:
    site = Site(ledger, delay_s=0.0)
    site.brings("old", 50)
    site.asked(10)
    site.brings("fresh")
    assert "fresh 0" in site.asked(3)


def test_what_is_always_new_does_not_let_a_backlog_wait_for_ever(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(articles, "LONGEST_LATE", timedelta(hours=10))
    site.delay_s = 3600.0
    site.brings("old", 3)
    started: list[str] = []
    while site.now < NOW + 2 * timedelta(hours=10 + 4):  # twice as much as the site can be asked for: twice as late
        site.brings("fresh")
        site.brings("fresh")
        started += site.asked()
    assert of_feeds(started)["old"] == 3


def test_the_most_urgent_feed_goes_first_whatever_waits(site: Site) -> None:
    site.brings("old", 5)
    site.asked(2)
    site.brings("urgent", 2, priority=10)
    assert site.asked(3) == ["urgent 0", "urgent 1", "old 2"]


def test_an_article_comes_back_from_its_pause_to_the_front(site: Site) -> None:
    site.brings("feed", 6)
    row = site.claim()
    assert row is not None
    with site.ledger.transaction() as tx:
        articles.let_go(tx, row, ready_at=site.now + 3 * SECOND, counted=True)
    site.now += SECOND
    assert site.asked(4) == ["feed 1", "feed 2", "feed 0", "feed 3"]


def test_rows_of_an_older_schema_are_lined_up_by_their_age(site: Site) -> None:
    site.brings("feed", 3)
    with site.ledger.transaction() as tx:
        place = article_rows.c.id
        tx.execute(article_rows.update().values(turn_at=None))
        oldest_last = [{"of": row.id, "at": NOW - row.id * SECOND} for row in tx.execute(sa.select(place))]
        aged = article_rows.update().where(place == sa.bindparam("of")).values(discovered_at=sa.bindparam("at"))
        tx.execute(aged, oldest_last)
    assert site.asked(3) == ["feed 2", "feed 1", "feed 0"]


# ---------------------------------------------------------------- what a look costs


def in_pause(site: Site, but: int) -> None:
    """All rows but the last so many wait for a moment to come."""
    with site.ledger.transaction() as tx:
        later = article_rows.update().where(article_rows.c.id <= site.found - but)
        tx.execute(later.values(turn_at=None, ready_at=NOW + DAY))


def steps_of_a_claim(site: Site) -> int:
    """In hundreds, as SQLite counts what it does."""
    steps = 0

    def count() -> int:
        nonlocal steps
        steps += 1
        return 0

    with site.ledger.transaction() as tx:
        connection = tx.connection.driver_connection
        assert connection is not None
        connection.set_progress_handler(count, 100)
        assert articles.ready_by_host(tx, now=NOW, limit=10, pace_of=site.pace_of)
        articles.next_ready_at(tx, now=NOW, horizon=NOW + timedelta(seconds=10))
        connection.set_progress_handler(None, 100)
    return steps


@pytest.mark.parametrize("paused", [False, True], ids=["in line", "in a pause"])
def test_a_look_at_a_line_takes_no_longer_however_long_it_is(tmp_path: Path, *, paused: bool) -> None:
    steps = []
    for count in (50, 3000):
        ledger = Ledger(f"sqlite:///{tmp_path / f'{count}.db'}")
        migrate(ledger)
        site = Site(ledger)
        site.brings("feed", count)
        if paused:
            in_pause(site, but=10)
        steps.append(steps_of_a_claim(site))
        ledger.close()
    assert steps[1] <= steps[0] + 5


@pytest.mark.postgres
def test_postgresql_looks_along_the_line_s_index(postgres_url: str) -> None:
    ledger = Ledger(postgres_url)
    migrate(ledger)
    site = Site(ledger)
    site.brings("feed", 3000)
    in_pause(site, but=1000)
    plans: list[str] = []

    def explain(connection: Any, _cursor: Any, statement: str, given: Any, *_: Any) -> None:
        if statement.startswith(("WITH RECURSIVE", "UPDATE articles")):
            plan = connection.exec_driver_sql(f"EXPLAIN {statement}", given)
            plans.append("\n".join(line for (line,) in plan))

    with ledger.transaction() as tx:
        tx.execute(sa.text("ANALYZE"))
        sa.event.listen(ledger.engine, "before_cursor_execute", explain)
        assert articles.ready_by_host(tx, now=NOW, limit=10, pace_of=site.pace_of)
    sa.event.remove(ledger.engine, "before_cursor_execute", explain)
    ledger.close()
    away, line, _ = plans
    assert "ix_articles_away" in away
    assert "ix_articles_line" in line
    assert "Seq Scan on articles" not in line


@pytest.mark.parametrize("count", [1, 3])
def test_turns_are_moments(site: Site, count: int) -> None:
    site.brings("feed", count)
    with site.ledger.reading() as tx:
        turns: list[datetime] = list(tx.scalars(sa.select(article_rows.c.turn_at).order_by(article_rows.c.id)))
    assert turns == [NOW + place * SECOND for place in range(count)]
