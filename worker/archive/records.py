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
from datetime import datetime
from urllib.parse import quote

from worker.errors import QuarantineError

HEAD_END = b"\r\n\r\n"  # of an HTTP head

_GZIP_FRAMING = 31  # of zlib: no name, no time, so nothing but the content decides the bytes
_SAMPLE_BYTES = 4096
_RECORD_END = b"\r\n\r\n"
_HEADS = 2  # the record's own and, in a record of HTTP, that of its message
_FIRST_PIECE_BYTES = 4096
_PIECE_BYTES = 64 * 1024
_DENSE = 0.9
_IDENTITIES = uuid.UUID("5b0f3f0e-6a3c-5d7e-9a51-3f1f0c7e2d44")  # the name space of our record ids
_NOT_IN_A_FIELD = re.compile(r"[^\x21-\x7e]")


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredRecord:
    """One record as it was read."""

    fields: Mapping[str, str]  # of the record itself; names in lower case
    block: bytes
    start: int  # where its gzip member begins, bytes from the beginning of what it was read from

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
        if moment.tzinfo is None:
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
        **({"WARC-Target-URI": url} if url is not None else {}),
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

    Raises: QuarantineError: ``damaged-warc``: cut, changed, or no WARC as we write it.
    """
    for record in _read(data, heads_only=False):
        if record.fields.get("warc-block-digest") not in {None, digest(record.block)}:
            raise QuarantineError("damaged-warc", f"{record.record_id} is not what was written")
        yield record


def read_heads(data: bytes) -> Iterator[StoredRecord]:
    """As ``read_records``, but each block is only its beginning, with the whole HTTP head if it has one; unchecked.

    Raises: QuarantineError: ``damaged-warc``: cut, changed, or no WARC as we write it.
    """
    return _read(data, heads_only=True)


def _read(data: bytes, *, heads_only: bool) -> Iterator[StoredRecord]:
    """A reader of our own, too: FastWARC 2.0 takes a file that was cut in a record's head for one that ends before."""
    start = 0
    try:
        while start < len(data):
            content, size, end = _member(data, start, heads_only=heads_only)
            yield _record(content, size, start)
            start = end
    except (ValueError, zlib.error) as error:
        raise QuarantineError("damaged-warc", f"no record at byte {start}: {error}") from error


def _record(content: bytes, size: int, start: int) -> StoredRecord:
    """Args: content: What the member holds, or its beginning. size: Of all it holds. Raises: ValueError."""
    head_end = content.find(HEAD_END)
    lines = content[:head_end].decode("utf-8").split("\r\n")
    if head_end < 0 or lines[0] != "WARC/1.1":
        raise ValueError("it has another form")
    fields = {name.lower(): value.strip() for name, _, value in [line.partition(":") for line in lines[1:]]}
    block_start, block_size = head_end + len(HEAD_END), int(fields.get("content-length", "-1"))
    if size != block_start + block_size + len(_RECORD_END):
        raise ValueError("it has another length than it says")
    return StoredRecord(fields=fields, block=content[block_start : block_start + block_size], start=start)


def _member(data: bytes, start: int, *, heads_only: bool) -> tuple[bytes, int, int]:
    """What a gzip member holds (or its beginning, as far as there are heads), the size of that, and where it ends.

    Raises: ValueError: it does not end. zlib.error: it is none, or its checksum is not that of what it holds.
    """
    view = memoryview(data)
    inflater = zlib.decompressobj(_GZIP_FRAMING)
    parts: list[bytes] = []
    size, at, piece_bytes = 0, start, _FIRST_PIECE_BYTES  # what is given beyond the end is copied back: not too much
    wanted = True
    while not inflater.eof:
        if at >= len(data):
            raise ValueError("it is cut")
        part = inflater.decompress(view[at : at + piece_bytes])
        at, piece_bytes = at + piece_bytes, _PIECE_BYTES
        size += len(part)
        if wanted:
            parts.append(part)
            wanted = not heads_only or b"".join(parts).count(HEAD_END) < _HEADS
    return b"".join(parts), size, min(at, len(data)) - len(inflater.unused_data)


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
