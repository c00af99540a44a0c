"""Records are read within bounds, whatever was stored: what is no record as we write it is named, and costs little."""

from __future__ import annotations

import gzip
import io
import re
import tracemalloc
import zlib
from collections.abc import Callable, Iterable
from datetime import UTC, datetime

import pytest

from worker.archive import records
from worker.archive.records import (
    CutRecordError,
    StoredRecord,
    digest,
    read_heads,
    read_records,
    record_id_of,
    write_record,
)
from worker.errors import QuarantineError

AT = datetime(2026, 11, 25, 8, 30, tzinfo=UTC)
MIB = 1024 * 1024
READERS = pytest.mark.parametrize("read", [read_records, read_heads])
Reader = Callable[[bytes], Iterable[StoredRecord]]


def a_record(block: bytes = b"Good morning.", **changes: object) -> bytes:
    given = {
        "record_id": record_id_of("a"),
        "captured_at": AT,
        "content_type": "text/plain",
        "block": block,
        "block_digest": digest(block),
        "url": "https://news.example/a",
    }
    return write_record("resource", **given | changes).data  # type: ignore[arg-type]


def said(size: int, content: Iterable[bytes], *, end: bytes = b"\r\n\r\n", head: bytes = b"") -> bytes:
    """A record that says it has so many bytes, and what it has."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    begin = b"WARC/1.1\r\nWARC-Type: resource\r\n%bContent-Length: %d\r\n\r\n" % (head, size)
    return b"".join(packer.compress(piece) for piece in (begin, *content, end)) + packer.flush()


def zeros(mebibytes: int) -> Iterable[bytes]:
    return (bytes(MIB) for _ in range(mebibytes))


HTTP = b"Content-Type: application/http; msgtype=response\r\n"
BOMBS = {
    "that says its size": said(300 * MIB, zeros(64)),
    "that says another size": said(100, zeros(64)),
    "that says it is HTTP": said(100, zeros(64), head=HTTP),
    "without a head": gzip.compress(bytes(64 * MIB), mtime=0),
    "in a field": said(100, (), head=b"X: " + b"a" * 64 * MIB),
}


@READERS
@pytest.mark.parametrize("bomb", BOMBS.values(), ids=BOMBS.keys())
def test_a_small_member_that_holds_much_is_refused_before_it_is_unpacked(read: Reader, bomb: bytes) -> None:
    assert len(bomb) < MIB
    tracemalloc.start()
    try:
        with pytest.raises(QuarantineError) as caught:
            list(read(bomb))
        assert tracemalloc.get_traced_memory()[1] < 16 * MIB
    finally:
        tracemalloc.stop()
    assert caught.value.reason == "damaged-warc"


def test_heads_are_read_without_keeping_what_is_behind_them() -> None:
    data = said(64 * MIB, zeros(64), head=HTTP)
    tracemalloc.start()
    (record,) = read_heads(data)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert (record.start, record.end) == (0, len(data))
    assert peak < 16 * MIB


@READERS
def test_the_largest_body_that_can_be_fetched_is_read(read: Reader) -> None:
    block = b"HTTP/1.1 200 OK\r\n\r\n" + bytes(100 * MIB)
    (record,) = read(a_record(block, content_type="application/http; msgtype=response"))
    assert record.block[:20] == block[:20]


DAMAGED = {
    "a length over the cap": said(records.MAX_BLOCK_BYTES + 1, [b"x"]),
    "more than it has": said(1000, [b"x"]),
    "less than it has": said(1, [b"xyz"]),
    "a negative one": said(-1, [b""]),
    "no end": said(3, [b"xyz"], end=b""),
    "another end": said(3, [b"xyz"], end=b"\r\n\n\n"),
    "two records in one member": gzip.compress(gzip.decompress(a_record()) * 2, mtime=0),
    "something behind it": a_record() + b"\0\0\0\0",
    "an empty member": gzip.compress(b"", mtime=0),
}


@READERS
@pytest.mark.parametrize("data", DAMAGED.values(), ids=DAMAGED.keys())
def test_what_is_no_record_is_named(read: Reader, data: bytes) -> None:
    with pytest.raises(QuarantineError) as caught:
        list(read(data))
    assert caught.value.reason == "damaged-warc"


@READERS
def test_a_cut_is_told_from_a_change(read: Reader) -> None:
    data = a_record()
    for length in range(1, len(data)):
        with pytest.raises(CutRecordError):
            list(read(data[:length]))
    with pytest.raises(QuarantineError) as caught:
        list(read(data[:-1] + bytes((data[-1] ^ 1,))))
    assert not isinstance(caught.value, CutRecordError)


@READERS
def test_members_that_other_tools_packed_are_read(read: Reader) -> None:
    """With a name, a time, and extra fields in their framing, as after ``warcio recompress``."""
    content, named = gzip.decompress(a_record()), io.BytesIO()
    with gzip.GzipFile("a.warc", "wb", fileobj=named, mtime=1_700_000_000) as file:
        file.write(content)
    framing, rest = a_record()[:10], a_record()[10:]
    extra = framing[:3] + b"\x04" + framing[4:] + b"\x05\0sl\x01\0x" + rest
    for data in (named.getvalue(), extra):
        (record,) = read(data)
        assert (record.record_id, record.start, record.end) == (record_id_of("a"), 0, len(data))


@pytest.mark.parametrize("moment", ["2026-11-25T08:30:00+05:00", "2026-11-25T08:30:00", "yesterday", None])
def test_a_moment_that_is_not_utc_is_named(moment: str | None) -> None:
    fields = {} if moment is None else {"warc-date": moment}
    with pytest.raises(QuarantineError, match="warc-date"):
        StoredRecord(fields=fields, block=b"", start=0, end=0).moment("warc-date")


def test_a_target_is_written_as_a_uri() -> None:
    """Source: WARC 1.1 section 5.13, RFC 3986 section 2."""
    url = 'urn:text:https://news.example/a|b "c"/{d}\\<e>^`[f]?é=100%25#g\r\nWARC-Type: x\x00'
    (record,) = read_records(a_record(url=url))
    assert record.url is not None
    assert re.fullmatch(r"(?:[A-Za-z0-9._~:/?#\[\]@!$&'()*+,;=-]|%[0-9A-F]{2})+", record.url)
    assert record.url.startswith(
        "urn:text:https://news.example/a%7Cb%20%22c%22/%7Bd%7D%5C%3Ce%3E%5E%60[f]?%C3%A9=100%25#g"
    )
