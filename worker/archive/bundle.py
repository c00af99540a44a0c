"""Everything about one (article, revision) in one WARC file."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from worker.archive.exchange import header_fields, split_http
from worker.archive.records import StoredRecord, digest, read_records, record_id_of, write_record, written_moment
from worker.archive.store import MissingObjectError

_CONFORMS_TO = "http://iipc.github.io/warc-specifications/specifications/warc-format/warc-1.1/"


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundle:
    """A written bundle."""

    data: bytes
    record_id: str  # urn:uuid:… of the page's final response; of the metadata when there is no page
    payload_sha256: str | None  # of the final response's body as stored; None without a page


@dataclass(frozen=True, slots=True, kw_only=True)
class BundleRecord:
    """One record of a bundle, taken apart. ``payload`` of an exchange is the body as stored: content coding kept."""

    type: str
    record_id: str
    url: str | None
    date: datetime
    content_type: str | None  # of the record; an exchange's own is in ``headers``
    http_head: bytes  # empty unless request or response
    headers: tuple[tuple[str, str], ...]
    payload: bytes


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
) -> Bundle:
    """warcinfo, the page's exchange, the picture's, the article record (JSON) and its text (Markdown).

    The same arguments give the same bytes. Exchanges are copied as they were spooled.

    Args:
        exchange_data: From ``exchange_records``; empty when the article never had a page of its own.
        picture_data: From ``exchange_records``; None or empty without a picture.
        metadata: JSON types only.
        markdown: Empty: no conversion record.
        written_at: A moment of the article's, not the clock's: writing again must give the same file.
        page_url: What the article record is about; any URI.
    Raises: QuarantineError: ``damaged-warc``: the exchange cannot be read.
    """
    page = _final_response(exchange_data)
    named = f"{article_id}-{revision}"
    written = written_moment(written_at)
    facts = json.dumps(metadata, ensure_ascii=False, allow_nan=False, sort_keys=True)
    facts_block = facts.encode("utf-8", "replace")
    facts_id = record_id_of("metadata", named, written, digest(facts_block))
    info_block = (
        f"software: {software}\r\nformat: WARC File Format 1.1\r\nconformsTo: {_CONFORMS_TO}\r\nisPartOf: {named}\r\n"
    ).encode()
    parts = [
        write_record(
            "warcinfo",
            record_id=record_id_of("warcinfo", named, written, digest(info_block)),
            captured_at=written_at,
            content_type="application/warc-fields",
            block=info_block,
            fields={"WARC-Filename": f"{named}.warc.gz"},
        ),
        exchange_data,
        picture_data or b"",
        write_record(
            "metadata",
            record_id=facts_id,
            captured_at=written_at,
            content_type="application/json",
            block=facts_block,
            url=page_url,
            fields={"WARC-Refers-To": f"<{page.record_id}>"} if page else {},
        ),
    ]
    if markdown:
        text_block = markdown.encode("utf-8", "replace")
        parts.append(
            write_record(
                "conversion",
                record_id=record_id_of("conversion", named, written, digest(text_block)),
                captured_at=written_at,
                content_type="text/markdown; charset=utf-8",
                block=text_block,
                url=page_url,
                payload_start=0,
                fields={"WARC-Refers-To": f"<{page.record_id if page else facts_id}>"},
            )
        )
    return Bundle(
        data=b"".join(parts),
        record_id=page.record_id if page else facts_id,
        payload_sha256=hashlib.sha256(split_http(page.block)[1]).hexdigest() if page else None,
    )


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


def _final_response(exchange_data: bytes) -> StoredRecord | None:
    responses = [record for record in read_records(exchange_data) if record.type == "response"]
    return responses[-1] if responses else None


def _taken_apart(record: StoredRecord) -> BundleRecord:
    is_http = record.type in {"request", "response"}
    head, payload = split_http(record.block) if is_http else (b"", record.block)
    return BundleRecord(
        type=record.type,
        record_id=record.record_id,
        url=record.url,
        date=record.moment("warc-date"),
        content_type=record.fields.get("content-type"),
        http_head=head,
        headers=header_fields(head) if is_http else (),
        payload=payload,
    )
