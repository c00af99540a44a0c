"""What sites taught: one row each, whoever wrote last, and none for ever."""

from __future__ import annotations

from datetime import timedelta

from tests.unit.ledger.conftest import NOW
from worker.ledger import sites
from worker.ledger.session import Ledger


def keep(ledger: Ledger, *, days_ago: int = 0, **memories: bytes) -> None:
    with ledger.transaction() as tx:
        sites.keep(tx, memories, now=NOW - timedelta(days=days_ago))


def kept(ledger: Ledger, *names: str) -> dict[str, bytes]:
    with ledger.reading() as tx:
        return sites.memories(tx, names)


def test_sites_are_remembered_and_strangers_are_not_there(ledger: Ledger) -> None:
    keep(ledger, harbour=b"\x00\xff1", hill=b"2")
    assert kept(ledger, "hill", "harbour", "harbour", "nobody") == {"harbour": b"\x00\xff1", "hill": b"2"}
    assert kept(ledger) == {}


def test_the_last_writer_s_memory_stays(ledger: Ledger) -> None:
    keep(ledger, harbour=b"first", hill=b"hill")
    keep(ledger, harbour=b"second")
    assert kept(ledger, "harbour", "hill") == {"harbour": b"second", "hill": b"hill"}


def test_sites_that_nobody_learns_of_are_forgotten(ledger: Ledger) -> None:
    keep(ledger, old=b"1", again=b"1", days_ago=61)
    keep(ledger, again=b"2", days_ago=3)
    with ledger.transaction() as tx:
        assert sites.forget(tx, before=NOW - timedelta(days=60)) == 1
    assert kept(ledger, "old", "again") == {"again": b"2"}
