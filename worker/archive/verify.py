"""What the archive holds against what was promised of it. Pure: bytes and a promise in, what is wrong with them out.

A bundle's SHA-256 finds every flipped bit. Where none was noted (bundles from before the ledger kept it), its records
are the witnesses: their checksums and digests find whatever changes a byte of what they say. Deflate can say the same
in several ways, so that a few bits of such a bundle may flip unseen, and unfelt.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from worker.archive.document import read_document
from worker.archive.exchange import split_http
from worker.archive.index import IndexLine
from worker.archive.records import CutRecordError, StoredRecord, digest, read_records
from worker.errors import QuarantineError

_GZIP_HEAD = b"\x1f\x8b\x08\0\0\0\0\0"  # deflate, no name, no time: as we write it
_NAMED_BY_DIGEST = re.compile(r"(?:text|html|pictures)/[0-9a-f]{2}/([0-9a-f]{64})\.[a-z]+|feeds/[^\n]+/([0-9a-f]{64})")


class Kind(StrEnum):
    """How an object differs from what was written."""

    MISSING = "missing"
    CUT = "cut"  # its end is not there
    CHANGED = "changed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """What is wrong with one object."""

    kind: Kind
    detail: str  # for people; no sentence


class Part(StrEnum):
    """What of an article an object is. ``page``: the bundle of an earlier revision, which holds the page."""

    BUNDLE = "bundle"
    PAGE = "page"
    DOCUMENT = "document"
    HTML = "html"
    TEXT = "text"
    PICTURE = "picture"


@dataclass(frozen=True, slots=True, kw_only=True)
class Promise:
    """What the ledger says of a bundle."""

    bytes_count: int | None = None  # None: it was written before the ledger kept that; so below
    sha256: str | None = None
    lines: Sequence[IndexLine] = ()
    payloads: Mapping[str, str | None] = field(default_factory=dict)  # by id of a record in it; None: any payload


@dataclass(frozen=True, slots=True, kw_only=True)
class Remedy:
    """How an article's damaged parts come back. ``command``: what the operator runs; None: nothing helps."""

    command: str | None
    reason: str  # for people


class _FoundError(Exception):
    """The first thing that is wrong: nothing behind it can be trusted."""

    def __init__(self, kind: Kind, detail: str) -> None:
        super().__init__(kind, detail)
        self.fault = Fault(kind=kind, detail=detail)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Record:
    """What its promises are held against."""

    start: int  # of its gzip member
    end: int
    record_id: str
    digests: tuple[str | None, str]  # of its payload and its block, as its index line may have them
    sha256: str | None  # of its payload; None: a revisit, whose payload is elsewhere


def check_bundle(data: bytes, promise: Promise) -> Fault | None:
    """What is wrong with a bundle's bytes; None: it is whole, and what was promised."""
    if promise.bytes_count is not None and len(data) != promise.bytes_count:
        kind = Kind.CUT if len(data) < promise.bytes_count else Kind.CHANGED
        return Fault(kind=kind, detail=f"{len(data)} bytes instead of {promise.bytes_count}")
    if promise.sha256 is not None and (fault := check_digest(hashlib.sha256(data).hexdigest(), promise.sha256)):
        return fault
    try:
        records = _records(data)
        _check_lines(promise.lines, records)
        _check_payloads(promise.payloads, records)
    except _FoundError as found:
        return found.fault
    return None


def check_digest(found_sha256: str, promised_sha256: str) -> Fault | None:
    """What is wrong with an object that has this digest and should have that."""
    if found_sha256 == promised_sha256:
        return None
    return Fault(kind=Kind.CHANGED, detail=f"its SHA-256 is {found_sha256[:12]}…, not {promised_sha256[:12]}…")


def check_document(data: bytes, promised_sha256: str | None) -> Fault | None:
    """What is wrong with a readable document; without a promised digest, whether it can be read at all."""
    if promised_sha256 is not None:
        return check_digest(hashlib.sha256(data).hexdigest(), promised_sha256)
    try:
        read_document(data)
    except QuarantineError as error:
        return Fault(kind=Kind.CHANGED, detail=error.message)
    return None


def digest_in(key: str) -> str | None:
    """The SHA-256 that an object's bytes must have because its key says so; None: the key is not made of one."""
    named = _NAMED_BY_DIGEST.fullmatch(key)
    return (named[1] or named[2]) if named else None


def remedy(damaged: Collection[str], *, article_id: str, url: str | None, is_newest: bool) -> Remedy:
    """What brings an article's damaged parts back.

    Args:
        damaged: Of ``Part``, at least one.
        url: Where its page can be fetched again; None: the feed's text was all there was.
        is_newest: No later revision of the article is archived: ``reprocess`` only reads that again.
    """
    if not is_newest:
        return Remedy(command=None, reason="a later revision has its place: what this one had, only a backup has")
    if not {Part.BUNDLE, Part.PAGE} & set(damaged):
        return Remedy(
            command=f"newsmill reprocess --stage archive {article_id}",
            reason="its bundle is good: the rest is written again from it",
        )
    if url is not None:
        return Remedy(command=f"newsmill reprocess --refetch {article_id}", reason="its page can be fetched again")
    return Remedy(command=None, reason="it had no page: what the feed said is gone, unless a backup has it")


# ---------------------------------------------------------------- records


def _records(data: bytes) -> list[_Record]:
    """All records, each checked against its own digests. Raises: _FoundError."""
    if not data:
        raise _FoundError(Kind.CUT, "it is empty")
    records: list[_Record] = []
    try:
        for record in read_records(data):
            if not data.startswith(_GZIP_HEAD, record.start):
                raise _FoundError(Kind.CHANGED, f"the record at byte {record.start} is not packed as it was written")
            records.append(_checked(record))
    except CutRecordError as error:
        raise _FoundError(Kind.CUT, error.message) from error
    except QuarantineError as error:
        raise _FoundError(Kind.CHANGED, error.message) from error
    return records


def _checked(record: StoredRecord) -> _Record:
    """The record without its block: the next one needs the memory. Raises: _FoundError."""
    payload = _payload(record)
    if "warc-block-digest" not in record.fields:
        raise _FoundError(Kind.CHANGED, f"{record.record_id} has no digest")
    if payload is not None and record.fields.get("warc-payload-digest") not in {None, digest(payload)}:
        raise _FoundError(Kind.CHANGED, f"the payload of {record.record_id} is not what was written")
    return _Record(
        start=record.start,
        end=record.end,
        record_id=record.record_id,
        digests=(record.fields.get("warc-payload-digest"), record.fields["warc-block-digest"]),
        sha256=None if payload is None else hashlib.sha256(payload).hexdigest(),
    )


def _payload(record: StoredRecord) -> memoryview | None:
    """None: a revisit, whose payload is elsewhere."""
    if record.type == "revisit":
        return None
    is_http = record.fields.get("content-type", "").startswith("application/http")
    return split_http(record.block)[1] if is_http else memoryview(record.block)


def _check_lines(lines: Sequence[IndexLine], records: Sequence[_Record]) -> None:
    """Every line points at a record, which is the one it describes, and every record has its line."""
    there = {record.start: record for record in records}
    for line in lines:
        start, length = line.place
        record = there.get(start)
        if record is None or record.end != start + length or not _describes(line, record):
            raise _FoundError(Kind.CHANGED, f"the index has a record at byte {start} that is not there")
    if lines and there.keys() - {line.place[0] for line in lines}:
        raise _FoundError(Kind.CHANGED, "it holds records that the index does not know")


def _describes(line: IndexLine, record: _Record) -> bool:
    return line.fields.get("digest") in record.digests if line.is_capture else line.urlkey == record.record_id


def _check_payloads(payloads: Mapping[str, str | None], records: Sequence[_Record]) -> None:
    there = {record.record_id: record.sha256 for record in records}
    for record_id, promised in payloads.items():
        if record_id not in there:
            raise _FoundError(Kind.CHANGED, f"the record {record_id} is not in it")
        if promised is not None and there[record_id] != promised:
            raise _FoundError(Kind.CHANGED, f"the page in {record_id} is not the one that was served")
