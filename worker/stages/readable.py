"""What lies beside an article's bundle for readers and for messages to refer to: document, HTML, long text. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from worker.archive.document import Document, converted_document, feed_document, is_exact, render_document
from worker.archive.keys import document_key, html_key, text_key
from worker.ledger.tables import Row
from worker.model import ArticleRecord, Entry
from worker.publish.message import may_outgrow
from worker.stages.picture import picture_of

DOCUMENT_TYPE = "text/markdown; charset=utf-8"


@dataclass(frozen=True, slots=True, kw_only=True)
class Object:
    """An object to be put into the archive store."""

    data: bytes
    content_type: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Readable:
    """``objects`` by key; ``refs``: their part of the row's ``archive``."""

    objects: Mapping[str, Object]
    refs: Mapping[str, Any]

    @property
    def document(self) -> str:
        """The document's key."""
        return str(self.refs["document"])


def readable(row: Row, record: ArticleRecord, document: bytes, *, slug: str, message_cap_bytes: int) -> Readable:
    """All of it; keys come from ids and digests, so a second writing is the same objects.

    Args:
        document: See ``document_of`` and ``imported_document``.
        message_cap_bytes: A text that may not fit into such a message is an object of its own.
    """
    html, text = record.html.encode("utf-8"), record.text.encode("utf-8")
    html_ref = html_key(hashlib.sha256(html).hexdigest())
    document_ref = document_key(slug, row.article_id, row.discovered_at)
    objects = {html_ref: Object(data=html, content_type="text/html; charset=utf-8")}
    text_ref = None
    if may_outgrow(record, message_cap_bytes):
        text_ref = text_key(hashlib.sha256(text).hexdigest())
        objects[text_ref] = Object(data=text, content_type="text/plain; charset=utf-8")
    objects[document_ref] = Object(data=document, content_type=DOCUMENT_TYPE)
    document_sha256 = hashlib.sha256(document).hexdigest()
    refs = {"document": document_ref, "document_sha256": document_sha256, "html_ref": html_ref, "text_ref": text_ref}
    return Readable(objects=objects, refs=refs)


def document_of(row: Row, record: ArticleRecord, entry: Entry | None, feed: Row) -> bytes:
    """The readable document as the feed's settings want it."""
    url = row.url or ""
    if feed.document_body == "feed" and entry is not None and entry.html:
        return feed_document(
            entry.html,
            title=entry.title_raw or entry.title or row.title or "",
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


def imported_document(file: bytes, document: Document, row: Row) -> bytes:
    """The readable document of an imported file: its own bytes where they are of the layout, else written anew in it.

    Args:
        document: What was read out of ``file``.
    """
    if is_exact(file, document):
        return file
    return converted_document(document, feed_date=row.feed_date, discovered_at=row.discovered_at)


def bundled_facts(row: Row, record: ArticleRecord, entry: Entry | None, slug: str) -> dict[str, Any]:
    """The article record as the bundle keeps it, and what the feed said; HTML and Markdown are kept elsewhere."""
    facts: dict[str, Any] = msgspec.to_builtins(record)
    picture = picture_of(row)
    return {
        "article_id": row.article_id,
        "revision": row.revision,
        "feed": slug,
        "guid": row.guid,
        "url": row.url,
        "feed_date": row.feed_date.isoformat() if row.feed_date else None,
        "discovered_at": row.discovered_at.isoformat(),
        **{name: value for name, value in facts.items() if name not in {"html", "markdown"}},
        "image": msgspec.to_builtins(picture) if picture else None,
        "entry": msgspec.to_builtins(entry) if entry else None,
    }
