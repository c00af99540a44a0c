"""Rows to claim, made by hand."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from worker.ledger import articles, feeds, hosts
from worker.ledger.session import Ledger

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)


def add_feed(ledger: Ledger, slug: str = "feed", host: str = "feeds.example") -> int:
    values = {"slug": slug, "url": f"https://{host}/{slug}", "host": host, "headers": {}, "first_poll": "all"}
    with ledger.transaction() as tx:
        return feeds.insert(tx, values, origin="cli", now=NOW)


def add_articles(ledger: Ledger, count: int, *, host_of: Callable[[int], str] = lambda n: f"h{n}.example") -> list[int]:
    feed_id = add_feed(ledger)
    rows: list[dict[str, Any]] = [
        {
            "article_id": f"{n:032x}",
            "feed_id": feed_id,
            "url": f"https://{host_of(n)}/{n}",
            "host": host_of(n),
            "title": f"Article {n}",
            "ready_at": NOW,
            "turn_at": NOW,
            "discovered_at": NOW,
        }
        for n in range(count)
    ]
    with ledger.transaction() as tx:
        hosts.ensure(tx, [row["host"] for row in rows], now=NOW)
        inserted = articles.insert_discovered(tx, rows, {row["article_id"]: b"{}" for row in rows})
    return [row.id for row in sorted(inserted, key=lambda row: row.article_id)]


@pytest.fixture
def now() -> datetime:
    return NOW
