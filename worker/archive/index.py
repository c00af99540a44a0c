"""CDXJ: one line for each capture, by its URL's key, and one for each record, by its id. Pure.

Captures (response, revisit, resource) have the line that cdxj-indexer writes of them, so that public tools replay them
from our index. Every record, whatever its type, has another one besides: its key is the record's id, which no URL has.
A record is found by its id, then; a replay never comes across these lines.

Source: https://specs.webrecorder.net/cdxj/0.1.0/
"""

from __future__ import annotations

import hashlib
import json
import re
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from worker.archive.records import HEAD_END, StoredRecord, read_heads
from worker.archive.surt import surt_key

_CAPTURES = frozenset({"response", "revisit", "resource"})
_DATE_CHARS = len("2025-01-17T14:59:02")
_NOT_DIGITS = str.maketrans("", "", "-T:Z")
_MIME = re.compile(rb"\ncontent-type[ \t]*:([^\n]*)", re.IGNORECASE)
_MIME_END = re.compile(r"[;\s]")
_SAID = (("mime", "content-type"), ("digest", "warc-payload-digest"))


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexLine:
    """One line; ``fields`` are text, as the format wants them, also the numbers.

    As far as the record has them ``url``, ``mime`` and ``digest``, that of its payload; of a capture its HTTP
    ``status``, of a record by its id its ``type``; ``length`` and ``offset`` of its gzip member, bytes from the
    beginning of the data that was indexed.
    """

    urlkey: str
    timestamp: str  # 14 digits
    fields: Mapping[str, str]

    @property
    def is_capture(self) -> bool:
        return "type" not in self.fields

    @property
    def place(self) -> tuple[int, int]:
        """Offset and length of the record's gzip member."""
        return int(self.fields["offset"]), int(self.fields["length"])


def index_lines(data: bytes) -> list[IndexLine]:
    """The lines of all records of a WARC, in the order of the records.

    Raises: QuarantineError: ``damaged-warc``.
    """
    return lines_of(read_heads(data))


def lines_of(records: Iterable[StoredRecord], *, shift: int = 0) -> list[IndexLine]:
    """The lines of records; of their blocks, the HTTP heads are enough.

    Args:
        shift: How far from the beginning of the data, as it will be, that of these records is.
    """
    return [line for record in records for line in _lines(record, shift)]


def pack_lines(lines: Sequence[IndexLine]) -> bytes:
    """As the ledger keeps them."""
    facts = [(line.urlkey, line.timestamp, line.fields) for line in lines]
    return zlib.compress(json.dumps(facts, separators=(",", ":")).encode("ascii"), 1)


def unpack_lines(packed: bytes) -> list[IndexLine]:
    """What ``pack_lines`` packed."""
    facts = json.loads(zlib.decompress(packed))
    return [IndexLine(urlkey=urlkey, timestamp=timestamp, fields=fields) for urlkey, timestamp, fields in facts]


def bundle_note(key: str, data: bytes, lines: Sequence[IndexLine]) -> dict[str, Any]:
    """What the ledger keeps of a bundle that was written under a key."""
    digest = hashlib.sha256(data).hexdigest()
    return {"key": key, "bytes_count": len(data), "sha256": digest, "lines": pack_lines(lines)}


def as_cdxj(lines: Iterable[IndexLine], *, filename: str, shift: int = 0) -> list[str]:
    """The lines as text, without their LF, in the order given; a CDXJ file has them sorted by code point.

    Args:
        filename: Of the WARC, as whoever replays from the index finds it.
        shift: Where in that file the data begins that was indexed.
    """
    return [
        f"{line.urlkey} {line.timestamp} {json.dumps(_shifted(line.fields, shift) | {'filename': filename})}"
        for line in lines
    ]


def _shifted(fields: Mapping[str, str], shift: int) -> dict[str, str]:
    return {**fields, "offset": str(int(fields["offset"]) + shift)}


def _lines(record: StoredRecord, shift: int) -> list[IndexLine]:
    """The capture's line, if it is one, and the one by its id."""
    fields, url = record.fields, record.url
    timestamp = fields.get("warc-date", "")[:_DATE_CHARS].translate(_NOT_DIGITS)
    about = {} if url is None else {"url": url}
    place = {"length": str(record.end - record.start), "offset": str(record.start + shift)}
    said = {name: fields[field] for name, field in _SAID if field in fields}
    by_id = IndexLine(
        urlkey=record.record_id, timestamp=timestamp, fields={"type": record.type, **about, **said, **place}
    )
    if url is None or record.type not in _CAPTURES:
        return [by_id]
    capture = IndexLine(urlkey=surt_key(url), timestamp=timestamp, fields={**about, **_answer(record), **place})
    return [capture, by_id]


def _answer(record: StoredRecord) -> dict[str, str]:
    """What a capture holds: type, status and digest of its payload."""
    digest = record.fields.get("warc-payload-digest")
    if record.type == "resource":
        digest = digest or record.fields.get("warc-block-digest")  # its block is its payload
        found = {"mime": _MIME_END.split(record.fields.get("content-type", ""), maxsplit=1)[0]}
    else:
        head = record.block.partition(HEAD_END)[0]
        mime = "warc/revisit" if record.type == "revisit" else _mime(head)
        found = {**({} if mime is None else {"mime": mime}), "status": _status(head)}
    return {**found, **({"digest": digest} if digest else {})}


def _mime(head: bytes) -> str | None:
    found = _MIME.search(head)
    return None if found is None else _MIME_END.split(_decoded(found[1]).strip(), maxsplit=1)[0]


def _status(head: bytes) -> str:
    _, _, rest = _decoded(head.partition(b"\n")[0]).strip().partition(" ")
    return rest.strip().partition(" ")[0]


def _decoded(line: bytes) -> str:
    """As readers of WARC do."""
    try:
        return line.decode("utf-8")
    except UnicodeDecodeError:
        return line.decode("latin-1")
