"""What the archive holds against what was promised of it. Pure: bytes and a promise in, what is wrong with them out.

A bundle's SHA-256 finds every flipped bit. Where none was noted (bundles from before the ledger kept it), its records
are the witnesses: their checksums and digests find whatever changes a byte of what they say. Deflate can say the same
in several ways, so that a few bits of such a bundle may flip unseen, and unfelt.
"""

from __future__ import annotations

import hashlib
import re
import zlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from worker.archive.document import read_document
from worker.archive.index import IndexLine
from worker.archive.records import digest
from worker.errors import QuarantineError

_GZIP_FRAMING = 31  # of zlib
_GZIP_HEAD = b"\x1f\x8b\x08\0\0\0\0\0"  # deflate, no name, no time: as we write it
_PIECE_BYTES = 64 * 1024
_HEAD_END = b"\r\n\r\n"
_WARC = b"WARC/1.1\r\n"
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
    start: int
    length: int  # as packed
    fields: Mapping[str, str]
    payload: bytes | None  # None: a revisit, whose payload is elsewhere

    @property
    def record_id(self) -> str:
        return self.fields.get("warc-record-id", "").strip("<>")


def check_bundle(data: bytes, promise: Promise) -> Fault | None:
    """What is wrong with a bundle's bytes; None: it is whole, and what was promised."""
    if promise.bytes_count is not None and len(data) != promise.bytes_count:
        kind = Kind.CUT if len(data) < promise.bytes_count else Kind.CHANGED
        return Fault(kind=kind, detail=f"{len(data)} bytes instead of {promise.bytes_count}")
    if promise.sha256 is not None and (fault := check_digest(hashlib.sha256(data).hexdigest(), promise.sha256)):
        return fault
    try:
        records = {record.start: _described(record) for record in _records(data)}
        _check_lines(promise.lines, records)
        _check_payloads(promise.payloads, records.values())
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


def remedy(damaged: Collection[str], *, article_id: str, url: str | None) -> Remedy:
    """What brings an article's damaged parts back.

    Args:
        damaged: Of ``Part``, at least one.
        url: Where its page can be fetched again; None: the feed's text was all there was.
    """
    if not {Part.BUNDLE, Part.PAGE} & set(damaged):
        return Remedy(
            command=f"newsmill reprocess --stage archive {article_id}",
            reason="its bundle is good: the rest is written again from it",
        )
    if url is not None:
        return Remedy(command=f"newsmill reprocess --refetch {article_id}", reason="its page can be fetched again")
    return Remedy(command=None, reason="it had no page: what the feed said is gone, unless a backup has it")


# ---------------------------------------------------------------- records


def _described(record: _Record) -> tuple[_Record, str | None]:
    """The record without its payload, and the payload's SHA-256: the next record needs the memory."""
    sha256 = hashlib.sha256(record.payload).hexdigest() if record.payload is not None else None
    return _Record(start=record.start, length=record.length, fields=record.fields, payload=None), sha256


def _records(data: bytes) -> Iterator[_Record]:
    """All records, each checked against its own digests. Raises: _FoundError."""
    start = 0
    if not data:
        raise _FoundError(Kind.CUT, "it is empty")
    while start < len(data):
        if not data.startswith(_GZIP_HEAD, start):
            raise _FoundError(Kind.CHANGED, f"no record begins at byte {start}")
        content, end = _member(data, start)
        yield _record(content, start, end - start)
        start = end


def _record(content: bytes, start: int, length: int) -> _Record:
    head, end, rest = content.partition(_HEAD_END)
    lines = head.removeprefix(_WARC).decode("utf-8", "replace").split("\r\n")
    fields = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    size = fields.get("content-length", "")
    if not (head.startswith(_WARC) and end and size.isdigit() and rest[int(size) :] == _HEAD_END):
        raise _FoundError(Kind.CHANGED, f"what begins at byte {start} is no WARC record")
    block = rest[: int(size)]
    if fields.get("warc-block-digest") != digest(block):
        raise _FoundError(Kind.CHANGED, f"the block of the record at byte {start} is not what was written")
    payload = None if fields.get("warc-type") == "revisit" else _payload(block, fields)
    if payload is not None and fields.get("warc-payload-digest") not in {None, digest(payload)}:
        raise _FoundError(Kind.CHANGED, f"the payload of the record at byte {start} is not what was written")
    return _Record(start=start, length=length, fields=fields, payload=payload)


def _payload(block: bytes, fields: Mapping[str, str]) -> bytes:
    if fields.get("content-type", "").startswith("application/http"):
        return block.partition(_HEAD_END)[2]
    return block


def _check_lines(lines: Sequence[IndexLine], records: Mapping[int, tuple[_Record, str | None]]) -> None:
    """Every line points at a record, which is the one it describes, and every record has its line."""
    for line in lines:
        start, length = line.place
        record = records[start][0] if start in records else None
        if record is None or record.length != length or not _describes(line, record):
            raise _FoundError(Kind.CHANGED, f"the index has a record at byte {start} that is not there")
    if lines and records.keys() - {line.place[0] for line in lines}:
        raise _FoundError(Kind.CHANGED, "it holds records that the index does not know")


def _describes(line: IndexLine, record: _Record) -> bool:
    if not line.is_capture:
        return line.urlkey == record.record_id
    witnesses = (record.fields.get("warc-payload-digest"), record.fields.get("warc-block-digest"))
    return line.fields.get("digest") in witnesses


def _check_payloads(payloads: Mapping[str, str | None], records: Collection[tuple[_Record, str | None]]) -> None:
    there = {record.record_id: sha256 for record, sha256 in records}
    for record_id, promised in payloads.items():
        if record_id not in there:
            raise _FoundError(Kind.CHANGED, f"the record {record_id} is not in it")
        if promised is not None and there[record_id] != promised:
            raise _FoundError(Kind.CHANGED, f"the page in {record_id} is not the one that was served")


# ---------------------------------------------------------------- gzip members


def _member(data: bytes, start: int) -> tuple[bytes, int]:
    """What a gzip member holds, and where it ends; zlib checks its CRC and its length. Raises: _FoundError."""
    inflater = zlib.decompressobj(_GZIP_FRAMING)
    parts: list[bytes] = []
    at = start
    try:
        while not inflater.eof:
            piece = data[at : at + _PIECE_BYTES]
            if not piece:
                raise _FoundError(Kind.CUT, f"the record at byte {start} does not end")
            parts.append(inflater.decompress(piece))
            at += len(piece)
    except zlib.error as error:
        raise _FoundError(Kind.CHANGED, f"the record at byte {start} cannot be unpacked") from error
    return b"".join(parts), at - len(inflater.unused_data)
