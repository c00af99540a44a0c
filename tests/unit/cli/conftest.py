"""The command line as a person has it: arguments and environment in, exit code and two streams out."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from worker.cli.main import main
from worker.ledger import articles, feeds, hosts, publications
from worker.ledger.migrate import migrate
from worker.ledger.session import Ledger
from worker.ledger.tables import articles as articles_table
from worker.model import State
from worker.urls import article_id_of, canonical_url, gate_key

NOW = datetime.now(UTC).replace(microsecond=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a command said."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


class Newsmill:
    """``newsmill`` with a home of its own."""

    def __init__(self, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.home = home
        self.environment = {"NEWSMILL_HOME": str(home)}
        self._capsys = capsys

    def __call__(self, *arguments: str, **environment: str) -> Answer:
        self._capsys.readouterr()
        code = main(arguments, {**self.environment, **environment})
        said = self._capsys.readouterr()
        return Answer(code=code, out=said.out, err=said.err)

    @property
    def database_url(self) -> str:
        return f"sqlite:///{self.home / 'newsmill.db'}"


@pytest.fixture
def newsmill(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Newsmill:
    """The command line, its database not yet made."""
    return Newsmill(tmp_path / "home", capsys)


class Books:
    """The ledger of that home, and rows to look at."""

    def __init__(self, url: str) -> None:
        self.ledger = Ledger(url)
        migrate(self.ledger)

    def feed(self, slug: str = "harbour", **values: Any) -> int:
        url = values.pop("url", f"https://{slug}.example/rss.xml")
        origin = values.pop("origin", "cli")
        learnt = {name: values.pop(name) for name in LEARNT & values.keys()}
        said = {"slug": slug, "url": url, "host": gate_key(url), "headers": {}, "first_poll": "all", **values}
        with self.ledger.transaction() as tx:
            feed_id = feeds.insert(tx, said, origin=origin, now=NOW)
            if learnt:
                feeds.change(tx, feed_id, learnt, now=NOW)
        return feed_id

    def article(self, feed_id: int, url: str = "https://harbour.example/tram", **values: Any) -> str:
        """Returns: its id."""
        article_id = article_id_of(canonical_url(url))
        row = {
            "article_id": article_id,
            "feed_id": feed_id,
            "url": url,
            "host": gate_key(url),
            "title": "The tram returns",
            "ready_at": NOW - timedelta(seconds=5),
            "discovered_at": NOW - timedelta(seconds=5),
        }
        with self.ledger.transaction() as tx:
            hosts.ensure(tx, [row["host"]], now=NOW)
            articles.insert_discovered(tx, [row], {article_id: zlib.compress(b"{}")})
            if values:
                tx.execute(articles_table.update().where(articles_table.c.article_id == article_id).values(**values))
        return article_id

    def set_aside(self, feed_id: int, url: str = "https://harbour.example/ferry", **values: Any) -> str:
        quarantined = {
            "state": State.QUARANTINED,
            "reason": "attempts-exhausted",
            "detail": "HTTP 503",
            "ended_at": NOW,
            "troubles": [
                {"at": NOW.isoformat(), "stage": "download", "reason": "RetryableError", "detail": "HTTP 503"}
            ],
        }
        return self.article(feed_id, url, **{**quarantined, **values})

    def publish(self, article_id: str, *, sequence: int = 1, confirmed: bool = True) -> None:
        with self.ledger.transaction() as tx:
            row = articles.newest(tx, article_id)
            assert row is not None
            body = json.dumps({"id": f"{article_id}:1", "title": row.title}).encode()
            frozen = {
                "id": row.id,
                "message_id": f"{article_id}:1",
                "kind": "published",
                "feed_slug": feeds.by_ids(tx, [row.feed_id])[row.feed_id].slug,
                "sequence": sequence,
                "body": zlib.compress(body),
                "created_at": NOW,
            }
            publications.freeze(tx, [frozen])
            publications.save_sequences(tx, {row.feed_id: sequence})
            if confirmed:
                publications.confirm(tx, [row.id], held=[], now=NOW)
            tx.execute(
                articles_table.update().where(articles_table.c.id == row.id).values(state=State.PUBLISHED, ended_at=NOW)
            )

    def sighting(self, feed_id: int, url: str, **values: Any) -> None:
        seen = {
            "feed_id": feed_id,
            "entry_key": article_id_of(url),
            "article_id": article_id_of(canonical_url(url)),
            "url": url,
            "title": "Seen",
            "seen_at": NOW,
            "fingerprint": "f",
            "skipped": False,
        }
        with self.ledger.transaction() as tx:
            feeds.insert_sightings(tx, [{**seen, **values}])

    def state_of(self, article_id: str) -> str:
        with self.ledger.reading() as connection:
            row = articles.newest(connection, article_id)
            assert row is not None
            return str(row.state)

    def tick(self, at: datetime) -> None:
        with self.ledger.transaction() as tx:
            publications.tick(tx, "feeds.due", now=at)


LEARNT = frozenset({"failures", "gone_at", "polled_at", "outcome", "error", "removed_at", "rhythm", "due_at"})


@pytest.fixture
def books(newsmill: Newsmill) -> Iterator[Books]:
    """A migrated ledger in the command line's home."""
    opened = Books(newsmill.database_url)
    yield opened
    opened.ledger.close()
