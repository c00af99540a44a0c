"""WARC records, one gzip member each. Writing is our own, so that the same facts give the same bytes; FastWARC reads.

Source: WARC 1.1 (ISO 28500:2017); https://iipc.github.io/warc-specifications/specifications/warc-format/warc-1.1/
"""

from __future__ import annotations

import base64
import hashlib
import io
import re
import uuid
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import quote

from fastwarc.warc import ArchiveIterator

from worker.errors import QuarantineError

_GZIP_FRAMING = 31  # of zlib: no name, no time, so nothing but the content decides the bytes
_SAMPLE_BYTES = 4096
_DENSE = 0.9
_IDENTITIES = uuid.UUID("5b0f3f0e-6a3c-5d7e-9a51-3f1f0c7e2d44")  # the name space of our record ids
_NOT_IN_A_FIELD = re.compile(r"[^\x21-\x7e]")


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredRecord:
    """One record as it was read, its block checked against its digest."""

    fields: Mapping[str, str]  # of the record itself; names in lower case
    block: bytes

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


def write_record(
    kind: str,
    *,
    record_id: str,
    captured_at: datetime,
    content_type: str,
    block: bytes,
    url: str | None = None,
    payload_start: int | None = None,
    fields: Mapping[str, str] | None = None,
) -> bytes:
    """One record, complete, as a gzip member.

    What is packed already (pages come gzipped, pictures always are) is framed and not deflated again: that would cost
    thirty times as much and win nothing.

    Args:
        kind: WARC-Type.
        record_id: ``urn:uuid:…``
        captured_at: UTC.
        payload_start: Where in the block an HTTP payload begins; None: no payload digest.
        fields: Further ones; whatever cannot stand in a field is percent-encoded.
    """
    head = {
        "WARC-Type": kind,
        "WARC-Record-ID": f"<{record_id}>",
        "WARC-Date": written_moment(captured_at),
        **({"WARC-Target-URI": url} if url is not None else {}),
        **(fields or {}),
        "WARC-Block-Digest": digest(block),
        **({"WARC-Payload-Digest": digest(memoryview(block)[payload_start:])} if payload_start is not None else {}),
    }
    lines = [f"{name}: {_NOT_IN_A_FIELD.sub(_quoted, value)}" for name, value in head.items()]
    lines += [f"Content-Type: {content_type}", f"Content-Length: {len(block)}"]
    packer = zlib.compressobj(0 if _is_dense(block) else 1, zlib.DEFLATED, _GZIP_FRAMING)
    written = "WARC/1.1\r\n" + "\r\n".join(lines) + "\r\n\r\n"
    return b"".join(
        (packer.compress(written.encode("ascii")), packer.compress(block), packer.compress(b"\r\n\r\n"), packer.flush())
    )


def read_records(data: bytes) -> Iterator[StoredRecord]:
    """The records of one or several files' bytes, one after another.

    Raises: QuarantineError: ``damaged-warc``: cut, changed, or no WARC.
    """
    try:
        for record in ArchiveIterator(io.BytesIO(data), parse_http=False):
            fields = {name.lower(): value for name, value in record.headers.items()}
            stored = StoredRecord(fields=fields, block=record.reader.read())
            if stored.fields.get("warc-block-digest") not in {None, digest(stored.block)}:
                raise QuarantineError("damaged-warc", f"{stored.record_id} is not what was written")
            yield stored
    except (OSError, ValueError) as error:
        raise QuarantineError("damaged-warc", str(error)) from error


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
