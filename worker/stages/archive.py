"""Archive: all of it -> the WARC bundle, the readable document, the texts by reference."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import msgspec
from sqlalchemy.engine import Connection

from worker.archive.bundle import bundle
from worker.archive.document import feed_document, render_document
from worker.archive.keys import document_key, html_key, text_key, warc_key
from worker.ledger import articles, feeds
from worker.ledger.tables import Row
from worker.model import ArticleRecord, Entry, State
from worker.stages.deps import Deps, Done, begin, released, save_done, settled, unpacked
from worker.stages.extract import load_record
from worker.stages.picture import picture_of

SOFTWARE = "newsmill/0.1.0"


def archive(deps: Deps, ids: Sequence[int], *, token: str) -> list[int]:
    """Write the articles' evidence and documents. Returns: the ids that went well, in order."""
    rows = begin(deps, ids, token=token, state=State.PICTURED)
    if not rows:
        return []
    records, entries, their_feeds = deps.loaded(
        lambda tx: (
            articles.record_bodies(tx, [row.id for row in rows]),
            articles.entry_bodies(tx, [row.id for row in rows]),
            feeds.by_ids(tx, sorted({row.feed_id for row in rows})),
        )
    )

    def one(row: Row) -> Done:
        if deps.stopping.is_set():
            return released(deps, row)
        try:
            record = load_record(records.get(row.id), row.article_id)
            entry = unpacked(entries[row.id], Entry) if row.id in entries else None
            kept = _archived(deps, row, record, entry, their_feeds[row.feed_id])
        except Exception as error:  # noqa: BLE001 - costs its own article only; logged, reported and settled
            return settled(deps, row, "archive", error)
        return {"archived_at": deps.clock(), "archive": kept}

    def save(tx: Connection, done: Sequence[tuple[Row, Done]]) -> list[bool]:
        return save_done(deps, tx, done, state=State.ARCHIVED)

    if deps.store.is_remote:
        went_well = deps.side_by_side(
            lambda row: partial(_save_one, save, row, one(row)),
            rows,
            give_up=lambda row: released(deps, row),
            failed=lambda row, error: settled(deps, row, "archive", error),
        )
    else:  # files gain nothing from threads, and these cost more than the writing
        done = [(row, one(row)) for row in rows]
        went_well = deps.saved_all(done, save, lambda pair, error: settled(deps, pair[0], "archive", error))
    return [row.id for row, well in zip(rows, went_well, strict=True) if well]


def _save_one(
    save: Callable[[Connection, Sequence[tuple[Row, Done]]], list[bool]], row: Row, done: Done, tx: Connection
) -> bool:
    return save(tx, [(row, done)])[0]


def _archived(deps: Deps, row: Row, record: ArticleRecord, entry: Entry | None, feed: Row) -> dict[str, Any]:
    """Write everything of one article; keys come from ids and digests, so a second writing is the same files."""
    html, text = record.html.encode("utf-8"), record.text.encode("utf-8")
    html_ref = html_key(hashlib.sha256(html).hexdigest())
    deps.store.put(html_ref, html, content_type="text/html; charset=utf-8")
    text_ref = None
    if len(msgspec.json.encode(record.text)) > deps.settings.message_cap_bytes // 4:  # it may not fit into the message
        text_ref = text_key(hashlib.sha256(text).hexdigest())
        deps.store.put(text_ref, text, content_type="text/plain; charset=utf-8")
    document_ref = document_key(feed.slug, row.article_id, row.discovered_at)
    deps.store.put(document_ref, _document(row, record, entry, feed), content_type="text/markdown; charset=utf-8")
    written = bundle(
        article_id=row.article_id,
        revision=row.revision,
        exchange_data=_spooled(deps, row.exchange),
        picture_data=_spooled(deps, {"key": row.picture["spool"]}) if row.picture and row.picture["spool"] else None,
        metadata=_metadata(row, record, feed),
        markdown=record.markdown,
        written_at=row.extracted_at,
        software=SOFTWARE,
        page_url=(row.exchange or {}).get("url_final") or row.url or f"urn:newsmill:{row.article_id}",
    )
    warc_ref = warc_key(row.article_id, row.revision, row.discovered_at)
    deps.store.put(warc_ref, written.data, content_type="application/warc")
    return {
        "warc": warc_ref,
        "record_id": written.record_id,
        "payload_sha256": written.payload_sha256,
        "document": document_ref,
        "html_ref": html_ref,
        "text_ref": text_ref,
    }


def _spooled(deps: Deps, note: dict[str, Any] | None) -> bytes:
    return deps.store.get(note["key"]) if note and note.get("key") else b""


def _metadata(row: Row, record: ArticleRecord, feed: Row) -> dict[str, Any]:
    """The article record as the bundle keeps it; the bodies are records of their own."""
    facts: dict[str, Any] = msgspec.to_builtins(record)
    picture = picture_of(row)
    return {
        "article_id": row.article_id,
        "revision": row.revision,
        "feed": feed.slug,
        "guid": row.guid,
        "url": row.url,
        "feed_date": row.feed_date.isoformat() if row.feed_date else None,
        "discovered_at": row.discovered_at.isoformat(),
        **{name: value for name, value in facts.items() if name not in {"html", "markdown", "image_candidates"}},
        "image": msgspec.to_builtins(picture) if picture else None,
    }


def _document(row: Row, record: ArticleRecord, entry: Entry | None, feed: Row) -> bytes:
    url = row.url or ""
    if feed.document_body == "feed" and entry is not None and entry.html:
        return feed_document(
            entry.html,
            title=entry.title or row.title or "",
            url=url,
            feed_date=row.feed_date,
            discovered_at=row.discovered_at,
        )
    return render_document(
        record,
        feed_date=row.feed_date,
        discovered_at=row.discovered_at,
        url=url,
        picture=picture_of(row),
        image_proxy=feed.image_proxy,
    )
