"""An archive of many articles, made by the line's own archive stage; what compaction, verification, import cost."""

from __future__ import annotations

import dataclasses
import io
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from bench.keeping import BEGAN_AT, Kept
from config.settings import Settings
from worker import wiring
from worker.archive.exchange import exchange_records
from worker.archive.keys import picture_key
from worker.ledger import articles, feeds
from worker.ledger.kept import Span
from worker.ledger.migrate import migrate
from worker.ledger.tables import Row
from worker.ledger.tables import articles as article_rows
from worker.model import Entry, Picture, State
from worker.publish.lines import LinesPublisher
from worker.stages import Deps, spool
from worker.stages.archive import archive
from worker.stages.compact import compact
from worker.stages.deps import packed
from worker.stages.importing import import_documents
from worker.stages.kept import kept_bytes
from worker.stages.verify import verify

TOKEN = "bench"
BATCH = 16
IMAGE_TYPE = "image/jpeg"


@dataclass(frozen=True, slots=True, kw_only=True)
class Spent:
    """CPU and wall seconds of one piece of work, and what came of it."""

    cpu_s: float
    wall_s: float
    result: Any


def spent(work: Callable[[], Any]) -> Spent:
    began_s, began_cpu_s = time.monotonic(), time.process_time()
    result = work()
    return Spent(cpu_s=time.process_time() - began_cpu_s, wall_s=time.monotonic() - began_s, result=result)


@contextmanager
def installation(home: Path) -> Iterator[Deps]:
    """Doors of an installation with SQLite and a folder as archive."""
    made = wiring.build(Settings.from_env({"NEWSMILL_HOME": str(home)}))
    made.publisher.close()
    deps = dataclasses.replace(made, publisher=LinesPublisher(io.BytesIO()))
    migrate(deps.ledger)
    try:
        yield deps
    finally:
        deps.fetcher.close()
        deps.threads.shutdown()
        deps.ledger.close()


def archived(deps: Deps, kept: Sequence[Kept]) -> Spent:
    """Bring these articles through the archive stage and to their end. Returns: what the stage alone took."""
    ids = _pictured(deps, kept)
    batches = [ids[start : start + BATCH] for start in range(0, len(ids), BATCH)]
    took = spent(lambda: [archive(deps, batch, token=TOKEN) for batch in batches])
    ended = {"state": State.PUBLISHED, "ended_at": deps.clock(), "lease_token": None, "lease_until": None}
    with deps.ledger.transaction() as tx:
        tx.execute(article_rows.update().values(**ended, begun=False))
    return took


def _pictured(deps: Deps, kept: Sequence[Kept]) -> list[int]:
    """Rows as the stages before the archive leave them."""
    feed = {"slug": "bench", "url": "https://bench.example/feed.xml", "host": "bench.example", "headers": {}}
    with deps.ledger.transaction() as tx:
        feed_id = feeds.insert(tx, {**feed, "first_poll": "all"}, origin="cli", now=BEGAN_AT)
        rows = articles.insert_discovered(
            tx,
            [_row(one, feed_id) for one in kept],
            {one.article_id: packed(Entry(guid=None, url=one.url, title=one.record.title)) for one in kept},
        )
        found = {row.article_id: row for row in tx.execute(sa.select(article_rows))}
        for one in kept:
            _spool(deps, tx, found[one.article_id], one)
        articles.save_records(tx, {found[one.article_id].id: packed(one.record) for one in kept})
    return [row.id for row in rows]


def _row(one: Kept, feed_id: int) -> dict[str, Any]:
    now = one.page.fetched_at
    return {
        "article_id": one.article_id,
        "feed_id": feed_id,
        "url": one.url,
        "host": "bench.example",
        "title": one.record.title,
        "state": State.PICTURED,
        "ready_at": now,
        "discovered_at": now,
        "extracted_at": now,
        "feed_date": now,
        "lease_token": TOKEN,
        "lease_until": now + timedelta(days=3650),
    }


def _spool(deps: Deps, tx: Any, row: Row, one: Kept) -> None:
    data = one.picture.final.body
    sha256 = one.picture_sha256
    ref = picture_key(sha256, IMAGE_TYPE)
    deps.store.put(ref, data, content_type=IMAGE_TYPE)
    page = spool.keep(deps, row, exchange_records(one.page))
    lead = spool.keep_picture(deps, row, one.picture, ref=ref, data=data)
    page.save(tx, row)
    lead.save(tx, row)
    picture = dataclasses.asdict(Picture(url=f"{one.url}.jpg", sha256=sha256, ref=ref, media_type=IMAGE_TYPE))
    note = {"key": page.key, "status": 200, "url_final": one.url, "robots": None, "problem": None}
    values = {"exchange": note, "picture": {**picture, "spool": lead.key}}
    tx.execute(article_rows.update().where(article_rows.c.id == row.id).values(**values))


# ---------------------------------------------------------------- what is done with it


def compacted(deps: Deps) -> Spent:
    """All bundles into large files; each is verified by reading it again, as always."""
    later = dataclasses.replace(deps, clock=lambda: wiring.now_utc() + timedelta(hours=2))
    return spent(lambda: compact(later))


def verified(deps: Deps) -> Spent:
    return spent(lambda: verify(deps.ledger, deps.store, Span()))


def imported(deps: Deps, folder: Path) -> Spent:
    return spent(lambda: list(import_documents(deps, folder)))


def bundles_of(deps: Deps) -> dict[str, bytes]:
    """Every article's bundle, wherever it is now."""
    with deps.ledger.reading() as connection:
        keys = [row.archive["warc"] for row in articles.select_rows(connection, limit=1_000_000) if row.archive]
    return {key: kept_bytes(deps.ledger, deps.store, key) for key in keys}
