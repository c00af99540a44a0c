"""The polls' benchmark asks for what is there, and notices when it does not get it."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench import seen
from bench.newsserver import NewsServer
from bench.polling import conditional, installation, listed, read_once, with_door, with_requests, with_urllib3_door
from bench.registry import fill, rounds

DATABASES = ["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)]


@pytest.mark.parametrize("database", DATABASES)
def test_known_keys_are_found_and_unknown_ones_are_a_fault(database: str, tmp_path: Path) -> None:
    with installation(database, tmp_path, {}) as (deps, _):
        seen.prepare(deps.ledger)
        for start, stop in ((0, 60), (60, 100)):
            seen.fill(deps.ledger, start=start, stop=stop, feeds=5)
        faults: list[str] = []
        for check in (seen.entries_known, seen.articles_known):
            check(deps, 100, 5, seed=1, faults=faults)
        assert faults == []
        seen.entries_known(deps, 200, 5, seed=1, faults=faults)
        assert "were not found" in faults[0]


@pytest.mark.parametrize("database", DATABASES)
def test_all_due_feeds_of_a_registry_are_claimed_and_rescheduled(database: str, tmp_path: Path) -> None:
    with installation(database, tmp_path, {}) as (deps, clock):
        fill(deps, count=100, sites=20, now=clock())
        assert rounds(deps, clock, due=20, every=5, until=20).feeds == 20
        assert rounds(deps, clock, due=100, every=1, until=100).feeds == 100
        assert rounds(deps, clock, due=0, every=1, until=1).feeds == 0


def test_polls_and_the_other_clients_are_answered_304(tmp_path: Path) -> None:
    with NewsServer(sites=2) as server:
        given = listed(server, sites=2, feeds_each=3)
        with installation("sqlite", tmp_path, given.addresses) as (deps, clock):
            read_once(deps, clock, given.named)
            assert conditional(deps, clock).result == {"not-modified": 6}
            assert with_requests(given).result == {304: 6}
            assert with_door(given, deps.fetcher).result == {304: 6}
            assert with_urllib3_door(given, deps.fetcher).result == {304: 6}
