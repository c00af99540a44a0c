"""WARC records, one gzip member each, written and read. Writing is our own, so that the same facts give the same bytes.

Source: WARC 1.1 (ISO 28500:2017); https://iipc.github.io/warc-specifications/specifications/warc-format/warc-1.1/
"""

from __future__ import annotations

import base64
import hashlib
import re
import uuid
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from urllib.parse import quote

from worker.errors import QuarantineError

HEAD_END = b"\r\n\r\n"  # of an HTTP head, and of a record's own
MAX_BLOCK_BYTES = 256 * 1024 * 1024  # of a record that is read; bodies are at most 100 MiB, whatever is configured

_GZIP_FRAMING = 31  # of zlib: no name, no time, so nothing but the content decides the bytes
_SAMPLE_BYTES = 4096
_RECORD_END = b"\r\n\r\n"
_HTTP = "application/http"
_MAX_HEAD_BYTES = 256 * 1024  # of a record's own head, and of an HTTP message's, which is fetched up to half of that
_FIRST_PIECE_BYTES = 4096
_PIECE_BYTES = 64 * 1024
_MOST_UNPACKED_BYTES = 1024 * 1024  # at a time, whatever a piece claims to hold
_DENSE = 0.9
_IDENTITIES = uuid.UUID("5b0f3f0e-6a3c-5d7e-9a51-3f1f0c7e2d44")  # the name space of our record ids
_NOT_IN_A_FIELD = re.compile(r"[^\x21-\x7e]")
_NOT_IN_A_URI = re.compile(r"[\"<>\\^`{|}]")  # RFC 3986, besides what is in no field


class CutRecordError(QuarantineError):
    """``damaged-warc``: the file ends within a record."""


class _CutError(ValueError):
    """A member that does not end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredRecord:
    """One record as it was read."""

    fields: Mapping[str, str]  # of the record itself; names in lower case
    block: bytes
    start: int  # where its gzip member begins, bytes from the beginning of what it was read from
    end: int

    @property
    def type(self) -> str:
        return self.fields.get("warc-type", "")

    @property
    def record_id(self) -> str:
        """``urn:uuid:…``, without the angle brackets."""
        return self.fields.get("warc-record-id", "").strip("<>")

    @property
    def url(self) -> str | None:
        return self.fields.get("warc-target-uri")

    def moment(self, name: str) -> datetime:
        """Raises: QuarantineError: ``damaged-warc``: no such field, or no UTC time in it."""
        try:
            moment = datetime.fromisoformat(self.fields[name])
        except (KeyError, ValueError) as error:
            raise QuarantineError("damaged-warc", f"{self.record_id} has no {name}") from error
        if moment.utcoffset() != timedelta(0):
            raise QuarantineError("damaged-warc", f"{self.record_id}: {name} is not UTC")
        return moment


@dataclass(frozen=True, slots=True, kw_only=True)
class WrittenRecord:
    """One record as it was written."""

    fields: Mapping[str, str]  # of the record itself; names in lower case
    data: bytes  # a whole gzip member


def write_record(
    kind: str,
    *,
    record_id: str,
    captured_at: datetime,
    content_type: str,
    block: bytes,
    block_digest: str,
    url: str | None = None,
    payload_start: int | None = None,
    fields: Mapping[str, str] | None = None,
) -> WrittenRecord:
    """One record, complete, as a gzip member.

    An answer that is packed already (pages come gzipped, pictures always are) is framed and not deflated again: that
    would cost thirty times as much and win nothing.

    Args:
        kind: WARC-Type.
        record_id: ``urn:uuid:…``
        captured_at: UTC.
        block_digest: From ``digest``.
        payload_start: Where in the block the payload begins; None: no payload digest.
        fields: Further ones; whatever cannot stand in a field is percent-encoded.
    """
    head = {
        "WARC-Type": kind,
        "WARC-Record-ID": f"<{record_id}>",
        "WARC-Date": written_moment(captured_at),
        **({"WARC-Target-URI": _NOT_IN_A_URI.sub(_quoted, url)} if url is not None else {}),
        **(fields or {}),
        "WARC-Block-Digest": block_digest,
    }
    if payload_start is not None:
        head["WARC-Payload-Digest"] = digest(memoryview(block)[payload_start:]) if payload_start else block_digest
    head = {name: _NOT_IN_A_FIELD.sub(_quoted, value) for name, value in head.items()}
    head |= {"Content-Type": content_type, "Content-Length": str(len(block))}
    lines = [f"{name}: {value}" for name, value in head.items()]
    level = 0 if kind == "response" and _is_dense(block) else 1
    packer = zlib.compressobj(level, zlib.DEFLATED, _GZIP_FRAMING)
    written = "WARC/1.1\r\n" + "\r\n".join(lines) + "\r\n\r\n"
    data = b"".join(
        (packer.compress(written.encode("ascii")), packer.compress(block), packer.compress(b"\r\n\r\n"), packer.flush())
    )
    return WrittenRecord(fields={name.lower(): value for name, value in head.items()}, data=data)


def read_records(data: bytes) -> Iterator[StoredRecord]:
    """The records of one or several files' bytes, one after another, each block checked against its digest.

    Raises:
        QuarantineError: ``damaged-warc``: cut, changed, over MAX_BLOCK_BYTES, or no WARC as we write it.
        CutRecordError: of these, cut.
    """
    for record in _read(data, heads_only=False):
        if record.fields.get("warc-block-digest") not in {None, digest(record.block)}:
            raise QuarantineError("damaged-warc", f"the block of {record.record_id} is not what was written")
        yield record


def read_heads(data: bytes) -> Iterator[StoredRecord]:
    """As ``read_records``, but each block is only its beginning, with the whole head if it is HTTP; unchecked.

    Raises: QuarantineError: as ``read_records``.
    """
    return _read(data, heads_only=True)


def _read(data: bytes, *, heads_only: bool) -> Iterator[StoredRecord]:
    """A reader of our own, too: FastWARC 2.0 takes a file that was cut in a record's head for one that ends before."""
    start = 0
    try:
        while start < len(data):
            record = _record(_Member(data, start), start, heads_only=heads_only)
            yield record
            start = record.end
    except _CutError as error:
        raise CutRecordError("damaged-warc", f"the record at byte {start} does not end") from error
    except (ValueError, zlib.error) as error:
        raise QuarantineError("damaged-warc", f"no record at byte {start}: {error}") from error


class _Member:
    """A gzip member, unpacked piece by piece: a small one may hold gigabytes."""

    def __init__(self, data: bytes, start: int) -> None:
        self._view = memoryview(data)
        self.end = start  # once all pieces were taken; until then, how far they were read

    def pieces(self) -> Iterator[bytes]:
        """Raises: _CutError: it does not end. zlib.error: it is none, or its checksum is not that of what it holds."""
        inflater = zlib.decompressobj(_GZIP_FRAMING)
        packed_bytes = _FIRST_PIECE_BYTES  # what is given beyond the end is copied back: not too much
        while not inflater.eof:
            packed: bytes | memoryview = inflater.unconsumed_tail
            if not packed:
                packed = self._view[self.end : self.end + packed_bytes]
                self.end, packed_bytes = self.end + len(packed), _PIECE_BYTES
            if not packed:
                raise _CutError
            yield inflater.decompress(packed, _MOST_UNPACKED_BYTES)
        self.end -= len(inflater.unused_data)


def _record(member: _Member, start: int, *, heads_only: bool) -> StoredRecord:
    """Raises: _CutError. ValueError, zlib.error: it is no record as we write it."""
    pieces = member.pieces()
    content, begin = _head(pieces)
    fields = _fields(content[: begin - len(HEAD_END)])
    size = int(fields.get("content-length", "-1"))
    if not 0 <= size <= MAX_BLOCK_BYTES:
        raise ValueError(f"a block of {size} bytes")
    wanted, found = begin + size, len(content)
    if heads_only:
        wanted = begin + (_MAX_HEAD_BYTES if fields.get("content-type", "").startswith(_HTTP) else 0)
    kept, end = [content], content[-len(_RECORD_END) :]
    for piece in pieces:
        if found < wanted:
            kept.append(piece)
        found += len(piece)
        end = (end + piece[-len(_RECORD_END) :])[-len(_RECORD_END) :]
        if found > begin + size + len(_RECORD_END):
            break
    if found != begin + size + len(_RECORD_END) or end != _RECORD_END:
        raise ValueError("it has another length than it says")
    return StoredRecord(fields=fields, block=b"".join(kept)[begin : begin + size], start=start, end=member.end)


def _head(pieces: Iterator[bytes]) -> tuple[bytes, int]:
    """The beginning of a record, with the whole of its own head, and where that ends. Raises: ValueError."""
    content = b""
    for piece in pieces:
        content += piece
        end = content.find(HEAD_END)
        if end >= 0:
            return content, end + len(HEAD_END)
        if len(content) > _MAX_HEAD_BYTES:
            break
    raise ValueError("it has another form")


def _fields(head: bytes) -> dict[str, str]:
    """Names in lower case. Raises: ValueError."""
    version, *lines = head.decode("utf-8").split("\r\n")
    if version != "WARC/1.1":
        raise ValueError("it has another form")
    return {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}


def record_id_of(*identity: str) -> str:
    """The id that these facts always give."""
    return uuid.uuid5(_IDENTITIES, "\n".join(identity)).urn


def digest(data: bytes | memoryview) -> str:
    """The labelled form that every WARC tool reads: integrity against accidents, not against forgers."""
    return "sha1:" + base64.b32encode(hashlib.sha1(data, usedforsecurity=False).digest()).decode("ascii")


def written_moment(moment: datetime) -> str:
    """RFC 3339 with microseconds and Z; WARC 1.1 allows fractions."""
    return moment.isoformat(timespec="microseconds").replace("+00:00", "Z")


def _quoted(match: re.Match[str]) -> str:
    return quote(match.group().encode("utf-8", "replace"))


def _is_dense(block: bytes) -> bool:
    middle = len(block) // 2
    sample = memoryview(block)[middle : middle + _SAMPLE_BYTES]
    return len(zlib.compress(sample, 1)) > _DENSE * len(sample)
