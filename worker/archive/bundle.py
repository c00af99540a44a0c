"""Everything about one (article, revision) in one WARC file."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from worker.archive.exchange import fields_of, split_http
from worker.archive.index import IndexLine, lines_of
from worker.archive.records import (
    StoredRecord,
    WrittenRecord,
    digest,
    read_heads,
    read_records,
    record_id_of,
    write_record,
    written_moment,
)
from worker.archive.store import MissingObjectError
from worker.errors import QuarantineError

_CONFORMS_TO = "http://iipc.github.io/warc-specifications/specifications/warc-format/warc-1.1/"
_SAME_PAYLOAD = "http://netpreserve.org/warc/1.1/revisit/identical-payload-digest"
_HTTP = frozenset({"request", "response", "revisit"})


@dataclass(frozen=True, slots=True, kw_only=True)
class PageRecord:
    """The response that holds a page's payload."""

    record_id: str  # urn:uuid:…
    url: str
    date: datetime  # of the record
    payload_sha256: str  # of the body as stored: content coding kept


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundle:
    """A written bundle."""

    data: bytes
    lines: Sequence[IndexLine]
    record_id: str  # urn:uuid:… of the page's final response or revisit; of the metadata when there is no page in it
    page: PageRecord | None  # where the payload is: in here, or the one that was held; None: there never was a page

    @property
    def payload_sha256(self) -> str | None:
        return self.page.payload_sha256 if self.page else None


@dataclass(frozen=True, slots=True, kw_only=True)
class BundleRecord:
    """One record of a bundle, taken apart. ``payload`` of an exchange is the body as stored: content coding kept."""

    type: str
    record_id: str
    refers_to: str | None  # the id of the record that this one is about; of a revisit: that has the payload
    url: str | None
    date: datetime
    content_type: str | None  # of the record; an exchange's own is in ``headers``
    http_head: bytes  # empty unless request, response or revisit
    headers: tuple[tuple[str, str], ...]
    payload: bytes  # empty of a revisit


def bundle(
    *,
    article_id: str,
    revision: int,
    exchange_data: bytes,
    picture_data: bytes | None,
    metadata: Mapping[str, Any],
    markdown: str,
    written_at: datetime,
    software: str,
    page_url: str,
    held: PageRecord | None = None,
) -> Bundle:
    """warcinfo, the page's exchange, the picture's, the article record (JSON) and its text (Markdown).

    The same arguments give the same bytes. Exchanges are copied as they were spooled, except for a payload that is held
    already: then the final response becomes a ``revisit``. Without an exchange the article record refers to what is
    held.

    The article record and the text are no captures of the page's URL, and have URIs of their own: else tools that index
    the file themselves would replay them in place of the page.

    Args:
        exchange_data: From ``exchange_records``; empty when this revision has no page of its own.
        picture_data: From ``exchange_records``, or any records to be copied; None or empty without a picture.
        metadata: JSON types only.
        markdown: Empty: no conversion record.
        written_at: A moment of the article's, not the clock's: writing again must give the same file.
        page_url: What the article record is about; any URI.
        held: The page that an earlier revision has.
    Raises: QuarantineError: ``damaged-warc``: an exchange cannot be read.
    """
    file = _File(named=f"{article_id}-{revision}", software=software, written_at=written_at)
    page_id, page = _add_page(file, exchange_data, held) if exchange_data else (None, held)
    if picture_data:
        file.copy(read_heads(picture_data), picture_data)
    facts = json.dumps(metadata, ensure_ascii=False, allow_nan=False, sort_keys=True).encode("utf-8", "replace")
    about = page_id or (page.record_id if page else None)
    facts_id = file.add("metadata", facts, "application/json", url=f"urn:metadata:{page_url}", refers_to=about)
    if markdown:
        text = markdown.encode("utf-8", "replace")
        kind = "text/markdown; charset=utf-8"
        file.add("conversion", text, kind, url=f"urn:text:{page_url}", refers_to=about or facts_id, payload_start=0)
    return Bundle(data=b"".join(file.parts), lines=file.lines, record_id=page_id or facts_id, page=page)


def feed_bundle(*, slug: str, name: str, exchange_data: bytes, written_at: datetime, software: str) -> Bundle:
    """What says who wrote it (warcinfo), and the exchange that brought a feed document, from ``exchange_records``.

    Args:
        name: Of the file, without ``.warc.gz``.
    Raises: QuarantineError: ``damaged-warc``: the exchange cannot be read.
    """
    file = _File(named=name, part_of=slug, software=software, written_at=written_at)
    page_id, page = _add_page(file, exchange_data, None)
    return Bundle(data=b"".join(file.parts), lines=file.lines, record_id=page_id, page=page)


def read_bundle(data: bytes) -> list[BundleRecord]:
    """All records, in order. Raises: QuarantineError: ``damaged-warc``."""
    return [_taken_apart(record) for record in read_records(data)]


def find_payload(data: bytes, record_id: str) -> BundleRecord:
    """The record that a message's ``archive.record_id`` names.

    Raises: MissingObjectError: no such record. QuarantineError: ``damaged-warc``.
    """
    for record in read_records(data):
        if record.record_id == record_id:
            return _taken_apart(record)
    raise MissingObjectError(record_id)


class _File:
    """A WARC in the making: its members so far, their size, and the index lines of what is in them."""

    def __init__(self, *, named: str, software: str, written_at: datetime, part_of: str | None = None) -> None:
        self.parts: list[bytes] = []
        self.lines: list[IndexLine] = []
        self._size = 0
        self._named = named
        self._written_at = written_at
        facts = {
            "software": software,
            "format": "WARC File Format 1.1",
            "conformsTo": _CONFORMS_TO,
            "isPartOf": part_of or named,
        }
        block = "".join(f"{name}: {value}\r\n" for name, value in facts.items()).encode()
        self.add("warcinfo", block, "application/warc-fields")  # no WARC-Filename: compaction would make it a lie

    def add(
        self,
        kind: str,
        block: bytes,
        content_type: str,
        *,
        url: str | None = None,
        refers_to: str | None = None,
        payload_start: int | None = None,
    ) -> str:
        """Write a record of our own. Returns: its id, derived from what it is part of, says, and when that was read."""
        block_digest = digest(block)
        record_id = record_id_of(kind, self._named, written_moment(self._written_at), block_digest)
        self.put(
            write_record(
                kind,
                record_id=record_id,
                captured_at=self._written_at,
                content_type=content_type,
                block=block,
                block_digest=block_digest,
                url=url,
                payload_start=payload_start,
                fields={"WARC-Refers-To": f"<{refers_to}>"} if refers_to else {},
            )
        )
        return record_id

    def put(self, written: WrittenRecord, *, block: bytes = b"") -> None:
        """Add a record that was just written. ``block``: for the index; nothing but an answer's head is read of it."""
        record = StoredRecord(fields=written.fields, block=block, start=0, end=len(written.data))
        self.copy([record], written.data)

    def copy(self, records: Iterable[StoredRecord], data: bytes) -> None:
        """Add members as they are; ``records``: what was read of them."""
        self.lines += lines_of(records, shift=self._size)
        self.parts.append(data)
        self._size += len(data)


def _add_page(file: _File, exchange_data: bytes, held: PageRecord | None) -> tuple[str, PageRecord]:
    """Add the page's exchange. Returns: the id of its final response or revisit, and where its payload is.

    Raises: QuarantineError: ``damaged-warc``.
    """
    records = list(read_records(exchange_data))
    if not records or records[-1].type != "response":
        raise QuarantineError("damaged-warc", "an exchange without a response at its end")
    final = records[-1]
    head, body = split_http(final.block)
    page = PageRecord(
        record_id=final.record_id,
        url=final.url or "",
        date=final.moment("warc-date"),
        payload_sha256=hashlib.sha256(body).hexdigest(),
    )
    if held is None or not body or page.payload_sha256 != held.payload_sha256 or "warc-truncated" in final.fields:
        file.copy(records, exchange_data)
        return page.record_id, page
    file.copy(records[:-1], exchange_data[: final.start])
    file.put(_revisit(final, head, held), block=head)
    return page.record_id, held


def _revisit(response: StoredRecord, head: bytes, held: PageRecord) -> WrittenRecord:
    """The response without its payload. It keeps the response's id, since its request refers to that.

    Source: WARC 1.1 section 6.7.2, which also asks for ``WARC-Truncated: length``.
    """
    kept = ("WARC-IP-Address", "X-Newsmill-Ended-At", "WARC-Payload-Digest")
    return write_record(
        "revisit",
        record_id=response.record_id,
        captured_at=response.moment("warc-date"),
        content_type=response.fields["content-type"],
        block=head,
        block_digest=digest(head),
        url=response.url,
        fields={
            "WARC-Profile": _SAME_PAYLOAD,
            "WARC-Refers-To": f"<{held.record_id}>",
            "WARC-Refers-To-Target-URI": held.url,
            "WARC-Refers-To-Date": written_moment(held.date),
            "WARC-Truncated": "length",
            **{name: response.fields[name.lower()] for name in kept if name.lower() in response.fields},
        },
    )


def _taken_apart(record: StoredRecord) -> BundleRecord:
    is_http = record.type in _HTTP
    head, payload = split_http(record.block) if is_http else (b"", memoryview(record.block))
    return BundleRecord(
        type=record.type,
        record_id=record.record_id,
        refers_to=record.fields.get("warc-refers-to", "").strip("<>") or None,
        url=record.url,
        date=record.moment("warc-date"),
        content_type=record.fields.get("content-type"),
        http_head=head,
        headers=fields_of(head) if is_http else (),
        payload=bytes(payload),
    )
