"""The whole line in one process, on a real ledger, store, fetcher and server, with a clock that a test can move."""

from __future__ import annotations

import dataclasses
import io
import json
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from config.settings import Settings
from tests.newsserver import NewsServer
from tests.stack import FAST
from worker import stages, wiring
from worker.ledger import articles, feeds
from worker.ledger.migrate import migrate
from worker.ledger.tables import Row, spool
from worker.publish.lines import LinesPublisher
from worker.stages import Deps
from worker.urls import gate_key


class Line:
    """Polls, dispatches and runs stages when told to."""

    def __init__(self, home: Path, **settings: str) -> None:
        self.ahead = timedelta()
        self.stream = io.BytesIO()
        env = {"NEWSMILL_HOME": str(home), **FAST, "NEWSMILL_RETRY_BASE_S": "30", "NEWSMILL_RETRY_CAP_S": "3600"}
        made = wiring.build(Settings.from_env({**env, **settings}))
        migrate(made.ledger)
        made.publisher.close()
        self.deps: Deps = dataclasses.replace(
            made,
            clock=self.now,
            publisher=LinesPublisher(self.stream),
            dice=lambda: 0.0,
        )

    def now(self) -> datetime:
        return wiring.now_utc() + self.ahead

    def later(self, **span: float) -> None:
        self.ahead += timedelta(**span)

    def follow(self, slug: str, url: str, **values: Any) -> None:
        row = {"slug": slug, "url": url, "host": gate_key(url), "headers": {}, "first_poll": "all", **values}
        with self.deps.ledger.transaction() as tx:
            feeds.insert(tx, row, origin="cli", now=self.now())

    def poll(self) -> dict[str, str]:
        outcomes = {}
        for batch in stages.due(self.deps).batches:
            for polled in stages.poll(self.deps, batch.ids, token=batch.token):
                outcomes[polled.slug] = polled.outcome
        return outcomes

    def run(self, rounds: int = 10) -> None:
        """Dispatch and work until nothing may start now."""
        for _ in range(rounds):
            batches = stages.dispatch(self.deps).batches
            if not batches:
                return
            for batch in batches:
                self.work(batch)

    def work(self, batch: stages.Batch, *, until: str | None = None) -> list[int]:
        ids, begun = list(batch.ids), False
        for takes, name, stage in stages.LINE:
            begun = begun or takes is batch.state
            if name == until:
                return ids
            if begun and ids:
                ids = stage(self.deps, ids, token=batch.token)
        return ids

    def rows(self) -> list[Row]:
        with self.deps.ledger.reading() as tx:
            return articles.select_rows(tx, limit=1000)

    def row(self) -> Row:
        (row,) = self.rows()
        return row

    def ends(self) -> list[tuple[str, str | None]]:
        return sorted((row.state, row.reason) for row in self.rows())

    def in_hand(self) -> tuple[set[str], set[str]]:
        """Keys of what is spooled: in the ledger, and in the archive store."""
        with self.deps.ledger.reading() as tx:
            in_ledger = tx.scalars(sa.select(spool.c.key).where(spool.c.body.is_not(None)))
            return set(in_ledger), set(self.deps.store.keys("spool/"))

    @property
    def messages(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.stream.getvalue().splitlines()]

    def close(self) -> None:
        self.deps.fetcher.close()
        self.deps.threads.shutdown()
        self.deps.ledger.close()


@pytest.fixture
def line(tmp_path: Path) -> Iterator[Line]:
    made = Line(tmp_path)
    yield made
    made.close()


@pytest.fixture
def site() -> Iterator[NewsServer]:
    with NewsServer() as server:
        yield server


@pytest.fixture
def other_site() -> Iterator[NewsServer]:
    with NewsServer("127.0.0.2") as server:
        yield server
