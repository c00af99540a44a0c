"""Which feeds are claimed: one for each site, those due longest, and no site hides the others."""

from __future__ import annotations

from datetime import timedelta

import pytest
import sqlalchemy as sa

from tests.unit.ledger.conftest import NOW, add_feed
from worker.ledger import feeds, hosts
from worker.ledger.session import Ledger
from worker.ledger.tables import Row, leases, slots
from worker.ledger.tables import feeds as feed_rows

MINUTE = timedelta(minutes=1)
LATER = NOW + 10 * MINUTE
PACE = hosts.Pace(delay_s=1, connections=2)


def pace_of(_row: Row) -> hosts.Pace:
    return PACE


def claim(ledger: Ledger, *, limit: int = 10, token: str = "t", slugs: list[str] | None = None) -> list[str]:
    with ledger.transaction() as tx:
        rows = feeds.due(tx, now=LATER, limit=limit, pace_of=pace_of, slugs=slugs)
        feeds.lease(tx, {token: rows} if rows else {}, until=LATER + MINUTE)
    return [row.slug for row in rows]


def due_at(ledger: Ledger, slug: str, minutes: int) -> None:
    with ledger.transaction() as tx:
        tx.execute(feed_rows.update().where(feed_rows.c.slug == slug).values(due_at=NOW + minutes * MINUTE))


def test_one_feed_for_each_site_the_one_that_is_due_longest(ledger: Ledger) -> None:
    for number, host in enumerate(["a.example", "a.example", "b.example", "c.example"]):
        add_feed(ledger, f"feed-{number}", host)
        due_at(ledger, f"feed-{number}", 4 - number)
    due_at(ledger, "feed-3", 60)
    assert claim(ledger) == ["feed-2", "feed-1"]
    assert claim(ledger) == []  # its sites have just been asked


def test_a_site_with_very_many_feeds_does_not_hide_the_others(ledger: Ledger) -> None:
    for number in range(4 * feeds.LOOKED_AT):
        add_feed(ledger, f"many-{number}", "many.example")
    add_feed(ledger, "one", "one.example")
    due_at(ledger, "one", 5)
    assert claim(ledger, limit=2) == ["many-0", "one"]


def test_a_claimed_feed_has_a_place_at_its_site(ledger: Ledger) -> None:
    feed_id = add_feed(ledger, "feed", "a.example")
    claim(ledger, token="t")
    with ledger.reading() as tx:
        (place,) = tx.execute(slots.select()).all()
    assert (place.holder, place.host) == (feeds.holder("t", feed_id), "a.example")
    assert place.expires_at == LATER + MINUTE


def test_only_chosen_feeds_are_claimed(ledger: Ledger) -> None:
    for slug in ("a", "b", "c"):
        add_feed(ledger, slug, f"{slug}.example")
    assert claim(ledger, slugs=["b", "nobody"]) == ["b"]


@pytest.mark.parametrize("values", [{"enabled": False}, {"removed_at": NOW}, {"gone_at": NOW}])
def test_feeds_that_are_not_followed_are_not_claimed(ledger: Ledger, values: dict[str, object]) -> None:
    feed_id = add_feed(ledger)
    with ledger.transaction() as tx:
        feeds.change(tx, feed_id, values, now=NOW)
    assert claim(ledger) == []


def test_a_lease_that_ran_out_is_claimed_again_and_its_late_poll_saves_nothing(ledger: Ledger) -> None:
    feed_id = add_feed(ledger)
    assert claim(ledger, token="late") == ["feed"]
    with ledger.transaction() as tx:
        assert len(feeds.begin(tx, [feed_id], token="late", until=LATER)) == 1
        assert feeds.is_begun(tx, feed_id, now=LATER - MINUTE)
        tx.execute(slots.delete())
        tx.execute(sa.update(leases).values(until=LATER - MINUTE))
        tx.execute(hosts.hosts.update().values(next_start_at=NOW))
    assert claim(ledger, token="new") == ["feed"]
    with ledger.transaction() as tx:
        assert feeds.held(tx, [feed_id], token="late") == {}
        assert not feeds.is_begun(tx, feed_id, now=LATER)
        assert [row.id for row in feeds.begin(tx, [feed_id], token="new", until=LATER)] == [feed_id]
        assert feeds.held(tx, [feed_id], token="new") == {feed_id: None}


def test_what_could_not_be_started_is_due_as_before(ledger: Ledger) -> None:
    feed_id = add_feed(ledger)
    claim(ledger)
    with ledger.transaction() as tx:
        feeds.unlease(tx, "t", [feed_id])
        assert feeds.in_flight(tx, now=NOW) == 0
        tx.execute(hosts.hosts.update().values(next_start_at=NOW))
    assert claim(ledger) == ["feed"]


def test_the_next_look_is_when_a_feed_is_due_or_its_site_free(ledger: Ledger) -> None:
    horizon = LATER + timedelta(hours=1)
    add_feed(ledger, "a", "a.example")
    add_feed(ledger, "b", "a.example")
    add_feed(ledger, "c", "c.example")
    due_at(ledger, "c", 30)
    claim(ledger)
    with ledger.reading() as tx:
        at = feeds.next_due_at(tx, now=LATER, horizon=horizon, looked_at=10)
        assert at == LATER + timedelta(seconds=PACE.delay_s)
        assert feeds.next_due_at(tx, now=LATER + MINUTE, horizon=horizon, looked_at=10) == NOW + 30 * MINUTE
        assert (
            feeds.next_due_at(tx, now=NOW + timedelta(days=9), horizon=NOW + timedelta(days=10), looked_at=10) is None
        )


def test_a_name_that_only_begins_like_a_feed_s_chooses_none(ledger: Ledger) -> None:
    add_feed(ledger, "a" * 63, "a.example")
    assert claim(ledger, slugs=["a" * 64]) == []
