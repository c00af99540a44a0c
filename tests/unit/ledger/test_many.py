"""Many rows at once: what is written comes back, whichever way the database takes it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from tests.unit.ledger.conftest import NOW, add_feed
from worker.ledger.among import among
from worker.ledger.hosts import ensure
from worker.ledger.many import insert_many, update_many
from worker.ledger.session import Ledger, named
from worker.ledger.tables import feeds as feed_rows
from worker.ledger.tables import hosts, leases

TRICKY = [
    "plain",
    'a "b"',
    "back\\slash",
    "{a,b}",
    "NULL",
    "",
    " blank ",
    "it's",
    "渡轮",
    "line\nline",
    "\\\"'",
    "%s :x",
]
VALUES: dict[str, Any] = {
    "due_at": NOW + timedelta(days=1, microseconds=1),
    "etag": '"\\{,}渡轮\n\'"',
    "error": None,
    "failures": 2**31 - 1,
    "unconditional": True,
    "interval_s": 0.1,
    "rhythm": [1e9 + 0.123456, 1],
    "wishes": {"ttl_s": None, "skip_days": [0, 6], "a": '"\\'},
    "moved": None,
    "sitemaps": {"read": ["https://a.example/1"]},
    "sequence": 2**62,
}


def of_feed(ledger: Ledger, feed_id: int) -> dict[str, Any]:
    with ledger.reading() as tx:
        return tx.execute(sa.select(feed_rows).where(feed_rows.c.id == feed_id)).one()._asdict()


def test_values_of_every_kind_are_changed_to_what_was_given(ledger: Ledger) -> None:
    before = {feed_id: of_feed(ledger, feed_id) for feed_id in (add_feed(ledger, "a"), add_feed(ledger, "b"))}
    first, second = before
    with ledger.transaction() as tx:
        update_many(tx, feed_rows, [{"id": second, **VALUES}, {"id": first, **VALUES, "etag": None}])
    assert of_feed(ledger, second) == before[second] | VALUES
    assert of_feed(ledger, first) == before[first] | VALUES | {"etag": None}


def test_null_is_null_in_a_column_of_json(ledger: Ledger) -> None:
    feed_id = add_feed(ledger)
    with ledger.transaction() as tx:
        update_many(tx, feed_rows, [{"id": feed_id, "moved": {"days": [1]}}])
        update_many(tx, feed_rows, [{"id": feed_id, "moved": None}])
        assert tx.scalar(sa.select(sa.func.count()).where(feed_rows.c.moved.is_(None))) == 1


def test_rows_that_are_not_named_stay_as_they_are(ledger: Ledger) -> None:
    named_id, other_id = add_feed(ledger, "a"), add_feed(ledger, "b")
    before = of_feed(ledger, other_id)
    with ledger.transaction() as tx:
        update_many(tx, feed_rows, [{"id": named_id, "failures": 3}, {"id": 10**9, "failures": 4}])
        update_many(tx, feed_rows, [])
    assert (of_feed(ledger, named_id)["failures"], of_feed(ledger, other_id)) == (3, before)


def test_rows_are_inserted_as_given(ledger: Ledger) -> None:
    rows = [{"feed_id": number, "token": token, "until": NOW} for number, token in enumerate(TRICKY)]
    with ledger.transaction() as tx:
        insert_many(tx, leases, rows)
        insert_many(tx, leases, [])
        assert [row._asdict() for row in tx.execute(sa.select(leases).order_by(leases.c.feed_id))] == rows


def test_a_text_that_its_column_has_no_room_for_is_refused(ledger: Ledger) -> None:
    if ledger.dialect == "sqlite":
        pytest.skip("SQLite keeps texts of any length")
    with pytest.raises(sa.exc.DataError), ledger.transaction() as tx:
        insert_many(tx, leases, [{"feed_id": 1, "token": "t" * 37, "until": NOW}])


@pytest.mark.parametrize("chosen", [TRICKY, TRICKY[2:5], []], ids=["all", "some", "none"])
def test_a_value_is_among_others_whatever_is_in_it(ledger: Ledger, chosen: list[str]) -> None:
    with ledger.transaction() as tx:
        ensure(tx, TRICKY, now=NOW)
        which = sa.select(hosts.c.host).where(among(hosts.c.host, "names"))
        assert sorted(tx.scalars(which, {"names": chosen})) == sorted(chosen)


def test_a_named_row_is_read_by_name_and_by_place(ledger: Ledger) -> None:
    feed_id = add_feed(ledger, "a")
    with ledger.reading() as tx:
        (row,) = named(tx.execute(sa.select(feed_rows.c.id, feed_rows.c.slug, sa.literal(1).label("times"))))
    assert (row.id, row.slug, row.times) == tuple(row) == (feed_id, "a", 1)
