"""What was written is found to be whole; whatever is changed in it is found."""

from __future__ import annotations

import gzip
import hashlib
import zlib
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.newsserver import article_page, paragraphs
from worker.archive.bundle import Bundle, bundle
from worker.archive.document import Document, write_document
from worker.archive.exchange import exchange_records
from worker.archive.keys import html_key, picture_key, text_key
from worker.archive.verify import (
    Fault,
    Kind,
    Part,
    Promise,
    check_bundle,
    check_digest,
    check_document,
    digest_in,
    remedy,
)
from worker.model import Exchange, Hop

AT = datetime(2026, 11, 25, 8, 30, tzinfo=UTC)


def exchange(url: str, body: bytes, head: bytes = b"Content-Type: text/html\r\n") -> bytes:
    hop = Hop(
        url=url,
        method="GET",
        request_head=b"GET / HTTP/1.1\r\nHost: quay.example\r\n\r\n",
        status=200,
        response_head=b"HTTP/1.1 200 OK\r\n" + head + b"\r\n",
        headers=(),
        body=body,
        began_at=AT,
        ended_at=AT,
        ip="192.0.2.1",
    )
    return exchange_records(Exchange(hops=(hop,)))


def written() -> Bundle:
    page = gzip.compress(article_page("The tram", paragraphs(1)).encode(), mtime=0)
    picture = b"".join(hashlib.sha256(bytes((number,))).digest() for number in range(200))
    return bundle(
        article_id="a" * 32,
        revision=1,
        exchange_data=exchange("https://quay.example/tram", page),
        picture_data=exchange("https://quay.example/tram.jpg", picture, b"Content-Type: image/jpeg\r\n"),
        metadata={"text": "\n\n".join(paragraphs(1)), "title": "The tram        returns"},
        markdown="\n\n".join(paragraphs(1)),
        written_at=AT,
        software="newsmill/0.1.0",
        page_url="https://quay.example/tram",
    )


WRITTEN = written()
WHOLE = Promise(
    bytes_count=len(WRITTEN.data),
    sha256=hashlib.sha256(WRITTEN.data).hexdigest(),
    lines=WRITTEN.lines,
    payloads={WRITTEN.record_id: WRITTEN.payload_sha256},
)
WITHOUT_DIGEST = replace(WHOLE, sha256=None)
FROM_BEFORE = Promise(payloads=WHOLE.payloads)
bits = st.integers(0, len(WRITTEN.data) * 8 - 1)


def flipped(bit: int) -> bytes:
    data = bytearray(WRITTEN.data)
    data[bit // 8] ^= 1 << bit % 8
    return bytes(data)


def unpacked(data: bytes) -> bytes:
    """All that is in the members, whatever they are framed in."""
    found = b""
    while data:
        inflater = zlib.decompressobj(31)
        found += inflater.decompress(data)
        data = inflater.unused_data
    return found


@pytest.mark.parametrize("promise", [WHOLE, WITHOUT_DIGEST, FROM_BEFORE, Promise()])
def test_a_bundle_as_written_is_whole(promise: Promise) -> None:
    assert check_bundle(WRITTEN.data, promise) is None


@given(bits)
def test_any_flipped_bit_of_a_bundle_is_found(bit: int) -> None:
    fault = check_bundle(flipped(bit), WHOLE)
    assert fault is not None
    assert fault.kind is Kind.CHANGED


@given(bits)
def test_without_a_digest_any_flipped_bit_that_changes_a_record_is_found(bit: int) -> None:
    if check_bundle(flipped(bit), FROM_BEFORE) is None:
        assert unpacked(flipped(bit)) == unpacked(WRITTEN.data)


@given(st.integers(0, len(WRITTEN.data) - 1))
def test_a_bundle_cut_anywhere_is_found(length: int) -> None:
    fault = check_bundle(WRITTEN.data[:length], WITHOUT_DIGEST)
    assert fault is not None
    assert fault.kind is Kind.CUT
    assert str(length) in fault.detail


@given(st.integers(0, len(WRITTEN.data) - 1))
def test_without_its_length_a_bundle_cut_within_a_record_or_before_its_page_is_found(length: int) -> None:
    ends = {start + size for start, size in (line.place for line in WRITTEN.lines)}
    if length not in ends:
        assert check_bundle(WRITTEN.data[:length], FROM_BEFORE) is not None


def test_bytes_behind_the_end_are_found() -> None:
    assert check_bundle(WRITTEN.data + b"\0", WITHOUT_DIGEST) == Fault(
        kind=Kind.CHANGED, detail=f"{len(WRITTEN.data) + 1} bytes instead of {len(WRITTEN.data)}"
    )
    assert check_bundle(WRITTEN.data + b"\0", FROM_BEFORE) is not None


def test_a_record_written_anew_with_another_block_is_found() -> None:
    """Its checksum is right; its digest is not."""
    start, length = WRITTEN.lines[-1].place
    forged = unpacked(WRITTEN.data[start : start + length]).replace(b"Lower Quay", b"Upper Quay")
    data = WRITTEN.data[:start] + gzip.compress(forged, mtime=0) + WRITTEN.data[start + length :]
    fault = check_bundle(data, FROM_BEFORE)
    assert fault is not None
    assert "block" in fault.detail


def test_a_record_that_the_index_does_not_know_is_found() -> None:
    fault = check_bundle(WRITTEN.data, Promise(lines=WRITTEN.lines[:-1]))
    assert fault is not None
    assert "does not know" in fault.detail


def test_an_index_line_that_describes_another_record_is_found() -> None:
    first, second = [line for line in WRITTEN.lines if line.is_capture]
    place = {name: first.fields[name] for name in ("offset", "length")}
    fault = check_bundle(WRITTEN.data, Promise(lines=[replace(second, fields={**second.fields, **place})]))
    assert fault is not None
    assert "not there" in fault.detail


@pytest.mark.parametrize(
    "payloads", [{"urn:uuid:nobody": None}, {WRITTEN.record_id: "0" * 64}], ids=["another record", "another payload"]
)
def test_a_bundle_of_another_page_is_found(payloads: dict[str, str | None]) -> None:
    fault = check_bundle(WRITTEN.data, Promise(payloads=payloads))
    assert fault is not None
    assert fault.kind is Kind.CHANGED


@given(st.binary(max_size=200))
def test_bytes_that_are_no_bundle_are_a_fault_and_no_error(data: bytes) -> None:
    assert check_bundle(data, Promise()) is not None


def test_an_object_is_what_its_digest_says() -> None:
    assert check_digest("a" * 64, "a" * 64) is None
    fault = check_digest("b" * 64, "a" * 64)
    assert fault is not None
    assert fault.detail == "its SHA-256 is bbbbbbbbbbbb…, not aaaaaaaaaaaa…"


def test_a_document_is_held_against_its_digest_and_without_one_is_read() -> None:
    data = write_document(
        Document(epoch_ms=0, title="The tram", url="https://quay.example/tram", body="<p>It runs.</p>")
    )
    assert check_document(data, hashlib.sha256(data).hexdigest()) is None
    assert check_document(data, None) is None
    assert check_document(data + b" ", hashlib.sha256(data).hexdigest()) is not None
    assert check_document(data[:20], None) is not None


@pytest.mark.parametrize(
    ("key", "digest"),
    [
        (html_key("a" * 64), "a" * 64),
        (text_key("b" * 64), "b" * 64),
        (picture_key("c" * 64, "image/jpeg"), "c" * 64),
        (f"feeds/quay/2026/11/25/{'d' * 64}", "d" * 64),
        (f"feeds/quay/2026/11/25/{'d' * 64}.warc.gz", None),
        (f"documents/quay/2026/11/25/{'e' * 32}.md", None),
    ],
)
def test_a_key_says_what_its_object_must_be(key: str, digest: str | None) -> None:
    assert digest_in(key) == digest


@pytest.mark.parametrize(
    ("damaged", "url", "command"),
    [
        ({Part.DOCUMENT}, "https://quay.example/tram", "newsmill reprocess --stage archive abc"),
        ({Part.HTML, Part.PICTURE}, None, "newsmill reprocess --stage archive abc"),
        ({Part.BUNDLE}, "https://quay.example/tram", "newsmill reprocess --refetch abc"),
        ({Part.PAGE, Part.HTML}, "https://quay.example/tram", "newsmill reprocess --refetch abc"),
        ({Part.BUNDLE}, None, None),
    ],
    ids=["its document", "what is made of it", "its bundle", "its page", "all that the feed said"],
)
def test_what_is_damaged_decides_how_it_comes_back(damaged: set[Part], url: str | None, command: str | None) -> None:
    assert remedy(damaged, article_id="abc", url=url, is_newest=True).command == command


def test_an_older_revision_does_not_come_back() -> None:
    """``reprocess`` only reads the newest one again."""
    for part in Part:
        assert remedy({part}, article_id="abc", url="https://quay.example/tram", is_newest=False).command is None
