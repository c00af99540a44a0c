"""A fetch becomes WARC records and comes back; secrets do not; public tools find nothing wrong."""

from __future__ import annotations

import contextlib
import gzip
import io
import logging
import zlib
from datetime import UTC, datetime, timedelta

import pytest
from fastwarc.warc import ArchiveIterator, WarcRecordType
from hypothesis import given
from hypothesis import strategies as st
from warcio.archiveiterator import ArchiveIterator as WarcioIterator
from warcio.indexer import Indexer

from tests.warcio_check import exit_code
from worker.archive.exchange import exchange_records, fields_of, read_exchange
from worker.archive.records import read_records
from worker.errors import QuarantineError
from worker.model import Exchange, Hop
from worker.text import header_fields

BEGAN = datetime(2025, 1, 17, 14, 59, 2, 123456, tzinfo=UTC)
REQUEST = b"GET /a HTTP/1.1\r\nHost: news.example\r\nUser-Agent: newsmill\r\nAccept: text/html\r\n\r\n"
PAGE = gzip.compress("<p>Die Fähre fährt wieder.</p>".encode() * 200, mtime=0)


def a_hop(
    *,
    url: str = "https://news.example/a",
    lines: tuple[bytes, ...] = (b"HTTP/1.1 200 OK", b"Content-Type: text/html", b"Content-Encoding: gzip"),
    body: bytes = PAGE,
    request: bytes = REQUEST,
    truncated: str | None = None,
    ip: str | None = "203.0.113.7",
    began_at: datetime = BEGAN,
) -> Hop:
    head = b"\r\n".join(lines) + b"\r\n\r\n"
    return Hop(
        url=url,
        method="GET",
        request_head=request,
        status=int(lines[0].split()[1]),
        response_head=head,
        headers=fields_of(head),
        body=body,
        began_at=began_at,
        ended_at=began_at + timedelta(milliseconds=420),
        ip=ip,
        truncated=truncated,
    )


REDIRECT = a_hop(
    url="http://news.example/a",
    lines=(b"HTTP/1.1 301 Moved Permanently", b"Location: https://news.example/a", b"Content-Length: 154"),
    body=b"",
    began_at=BEGAN - timedelta(seconds=1),
)
CHUNKED = a_hop(lines=(b"HTTP/1.1 200 OK", b"transfer-encoding: chunked", b"Content-Encoding: gzip", b"X-Last: 1"))

HOPS = {
    "plain": a_hop(lines=(b"HTTP/1.1 200 OK", b"Content-Length: 5"), body=b"hello"),
    "gzip": a_hop(lines=(b"HTTP/1.1 200 OK", b"Content-Encoding: gzip", b"Content-Length: %d" % len(PAGE))),
    "chunked": CHUNKED,
    "identity beside a length": a_hop(lines=(b"HTTP/1.1 200 OK", b"Transfer-Encoding: identity", b"Content-Length: 9")),
    "redirect": REDIRECT,
    "chunked redirect": a_hop(lines=(b"HTTP/1.1 302 Found", b"Location: /b", b"Transfer-Encoding: chunked"), body=b""),
    "not modified": a_hop(lines=(b"HTTP/1.1 304 Not Modified", b'ETag: "x"', b"Content-Length: 99"), body=b""),
    "no reason, no headers": a_hop(lines=(b"HTTP/1.1 200",), body=b""),
    "duplicates and case": a_hop(lines=(b"HTTP/1.0 404 No", b"x-A: 1", b"X-a: 2", b"Set-Cookie: a=b", b"set-cookie: c=d")),
    "folded": a_hop(lines=(b"HTTP/1.1 200 OK", b"X-Long: one", b"\ttwo", b"X-After: 3")),
    "latin-1 and odd lines": a_hop(lines=(b"HTTP/1.1 200 OK", b"X-Name: caf\xe9", b"no colon here", b"X-After: 3")),
    "body that looks like a head": a_hop(body=b"\r\n\r\nHTTP/1.1 200 OK\r\n\r\nWARC/1.1\r\n\r\n\r\n"),
    "cut at the cap": a_hop(lines=(b"HTTP/1.1 200 OK", b"Content-Length: 9000"), body=b"half", truncated="length"),
    "broken off": a_hop(lines=(b"HTTP/1.1 500 Oh", b"Transfer-Encoding: chunked"), body=b"ha", truncated="disconnect"),
    "IPv6": a_hop(ip="2001:db8::1"),
    "no address": a_hop(ip=None),
    "a foreign archive's headers": a_hop(lines=(b"HTTP/1.1 200 OK", b"x-archive-orig-transfer-encoding: chunked", b"A: b")),
    "blanks before colons": a_hop(lines=(b"HTTP/1.1 200 OK", b"Transfer-Encoding : chunked", b"X-B : c")),
    "many headers": a_hop(lines=(b"HTTP/1.1 200 OK", b"Transfer-Encoding: chunked", *[b"X-%d: y" % n for n in range(98)])),
}  # fmt: skip


@pytest.mark.parametrize("hop", HOPS.values(), ids=HOPS.keys())
def test_what_was_fetched_comes_back_exactly(hop: Hop) -> None:
    assert read_exchange(exchange_records(Exchange(hops=(hop,)))) == Exchange(hops=(hop,))


@given(
    body=st.binary(max_size=2000),
    chunked=st.booleans(),
    lines=st.lists(st.from_regex(rb"X-[A-Za-z-]{1,20}: [\x21-\x7e\x80-\xff]{0,50}", fullmatch=True), max_size=8),
    microseconds=st.integers(0, 10**9),
)
def test_any_exchange_survives(body: bytes, chunked: bool, lines: list[bytes], microseconds: int) -> None:
    framing = b"Transfer-Encoding: chunked" if chunked else b"Content-Length: %d" % len(body)
    hop = a_hop(
        lines=(b"HTTP/1.1 200 OK", framing, *lines), body=body, began_at=BEGAN + timedelta(microseconds=microseconds)
    )
    assert read_exchange(exchange_records(Exchange(hops=(REDIRECT, hop)))).hops == (REDIRECT, hop)


def test_the_same_exchange_gives_the_same_bytes() -> None:
    exchange = Exchange(hops=(REDIRECT, CHUNKED))
    assert exchange_records(exchange) == exchange_records(exchange)


def test_every_record_has_an_id_of_its_own() -> None:
    again = a_hop(began_at=BEGAN + timedelta(microseconds=1))
    data = exchange_records(Exchange(hops=(REDIRECT, a_hop(), again, CHUNKED)))
    ids = [record.record_id for record in read_records(data)]
    assert len(set(ids)) == len(ids) == 8
    assert all(one.startswith("urn:uuid:") for one in ids)


def test_a_visit_continued_later_reads_as_one_exchange() -> None:
    first, second = Exchange(hops=(REDIRECT,)), Exchange(hops=(CHUNKED,))
    assert read_exchange(exchange_records(first) + exchange_records(second)).hops == (REDIRECT, CHUNKED)


def test_heads_are_stored_with_the_line_ends_that_readers_expect() -> None:
    hop = a_hop()
    crooked = Hop(
        **{name: getattr(hop, name) for name in Hop.__slots__ if name != "response_head"},
        response_head=b"HTTP/1.1 200 OK\nContent-Type: text/html\r\nContent-Encoding: gzip\n\n",
    )
    assert read_exchange(exchange_records(Exchange(hops=(crooked,)))) == Exchange(hops=(hop,))


@pytest.mark.parametrize("blank", [b" ", b"\t ", b"\r", b"\xa0", b"\x0c", b"\x1f\x85", "\u3000".encode()])
def test_a_line_of_blanks_ends_no_head_before_its_end(blank: bytes, tmp_path) -> None:
    hop = a_hop(lines=(b"HTTP/1.1 200 OK", b"X-Before: 1", blank, b"Content-Encoding: gzip"))
    data = exchange_records(Exchange(hops=(hop,)))
    assert read_exchange(data).final.headers == (("X-Before", "1"), ("Content-Encoding", "gzip"))
    path = tmp_path / "a.warc.gz"
    assert exit_code(path, data) == 0


@pytest.mark.parametrize("line_bytes", [1_000, 100_000])
def test_a_long_head_is_kept_whole_and_read_as_a_record(line_bytes: int) -> None:
    hop = a_hop(lines=(b"HTTP/1.1 200 OK", *[b"X-%d: " % n + b"y" * line_bytes for n in range(100_000 // line_bytes)]))
    data = exchange_records(Exchange(hops=(hop,)))
    assert read_exchange(data) == Exchange(hops=(hop,))
    assert all(record.verify_block_digest() for record in ArchiveIterator(io.BytesIO(data), parse_http=False))


@given(
    st.lists(
        st.sampled_from([b"A: 1", b"A : 1", b"no header", b"", b" fold", b"\tX: 2", b"A: \xe9\x85", b"B:", b": x", b"A: 1\rB: 2"])
        | st.binary(max_size=12),
        max_size=6,
    ),
    st.sampled_from([b"\r\n", b"\n"]),
)  # fmt: skip
def test_headers_are_read_from_the_archive_as_they_were_when_they_came(lines: list[bytes], end: bytes) -> None:
    lines = [line.replace(b"\n", b"") for line in lines]
    block = end.join([*(line for line in lines if line.strip(b"\r")), b"Content-Encoding: gzip"]) + end * 2
    found = fields_of(b"HTTP/1.1 200 OK" + end + block)
    assert found == header_fields(block)
    assert found[-1] == ("Content-Encoding", "gzip")


def test_a_line_that_is_no_header_hides_none_of_those_behind_it() -> None:
    hop = a_hop(lines=(b"HTTP/1.1 200 OK", b"no colon here", b"X-Odd : 1", b"Content-Encoding: gzip"))
    read = read_exchange(exchange_records(Exchange(hops=(hop,)))).final
    assert read.headers == (("X-Odd", "1"), ("Content-Encoding", "gzip"))


def test_undone_transfer_coding_is_told_in_a_renamed_header() -> None:
    _, response = read_records(exchange_records(Exchange(hops=(CHUNKED,))))
    assert (
        response.block
        == (
            b"HTTP/1.1 200 OK\r\nX-Archive-Orig-transfer-encoding: chunked\r\nContent-Encoding: gzip\r\nX-Last: 1\r\n"
            b"Content-Length: %d\r\n\r\n" % len(PAGE)
        )
        + PAGE
    )


def test_a_redirect_says_that_its_body_was_left() -> None:
    for name, expected in (("redirect", "unspecified"), ("chunked redirect", "unspecified"), ("not modified", None)):
        _, response = read_records(exchange_records(Exchange(hops=(HOPS[name],))))
        assert response.fields.get("warc-truncated") == expected


def test_a_url_cannot_break_a_record() -> None:
    hop = a_hop(url="https://news.example/a\r\nWARC-Type: warcinfo\r\n\r\nx ü")
    data = exchange_records(Exchange(hops=(hop,)))
    assert [record.type for record in read_records(data)] == ["request", "response"]
    assert read_exchange(data).final.url == "https://news.example/a%0D%0AWARC-Type:%20warcinfo%0D%0A%0D%0Ax%20%C3%BC"


# ---------------------------------------------------------------- secrets

SECRET_REQUEST = (
    b"GET /a HTTP/1.1\r\nHost: news.example\r\nauthorization: Bearer s3cret\r\nCookie: id=s3cret\r\n"
    b"X-Api-Key: s3cret\r\n\ts3cret\r\nAccept: text/html\r\n\r\n"
)


def test_secrets_we_sent_are_not_archived() -> None:
    answer = a_hop(lines=(b"HTTP/1.1 200 OK", b"Set-Cookie: session=s3cret", b"X: y"), request=SECRET_REQUEST)
    data = exchange_records(Exchange(hops=(answer,)), redact=frozenset({"x-api-KEY"}))
    assert b"s3cret" not in b"".join(record.block for record in read_records(data))
    hop = read_exchange(data).final
    assert hop.request_head == (
        b"GET /a HTTP/1.1\r\nHost: news.example\r\nauthorization: redacted\r\nCookie: redacted\r\n"
        b"X-Api-Key: redacted\r\nAccept: text/html\r\n\r\n"
    )
    assert hop.headers == (("Set-Cookie", "redacted"), ("X", "y"))


def test_a_cookie_given_where_a_secret_led_to_is_one_itself() -> None:
    asked = a_hop(
        lines=(b"HTTP/1.1 302 Found", b"Location: /b"),
        body=b"",
        request=b"GET /a HTTP/1.1\r\nX-Api-Key: s3cret\r\n\r\n",
    )
    there = a_hop(lines=(b"HTTP/1.1 200 OK", b"Set-Cookie: session=s3cret-too"))
    data = exchange_records(Exchange(hops=(asked, there)), redact=frozenset({"x-api-key"}))
    assert b"s3cret" not in b"".join(record.block for record in read_records(data))
    assert read_exchange(data).final.header("Set-Cookie") == "redacted"


def test_a_cookie_given_to_anybody_is_evidence_and_stays() -> None:
    hop = HOPS["duplicates and case"]
    assert read_exchange(exchange_records(Exchange(hops=(hop,)))).final.headers == hop.headers


# ---------------------------------------------------------------- public tools


@pytest.mark.parametrize("hop", HOPS.values(), ids=HOPS.keys())
def test_fastwarc_verifies_every_digest(hop: Hop) -> None:
    data = exchange_records(Exchange(hops=(hop,)))
    seen = []
    for record in ArchiveIterator(io.BytesIO(data), parse_http=False):
        assert record.verify_block_digest()
        record.parse_http()
        assert record.verify_payload_digest()
        seen.append(record.record_type)
    assert seen == [WarcRecordType.request, WarcRecordType.response]


def test_fastwarc_decodes_a_chunked_and_gzipped_page() -> None:
    data = exchange_records(Exchange(hops=(CHUNKED,)))
    for record in ArchiveIterator(io.BytesIO(data), WarcRecordType.response, auto_decode="all"):
        assert record.reader.read() == zlib.decompress(PAGE, 31)


def test_warcio_finds_nothing_wrong(
    tmp_path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "all.warc.gz"
    data = exchange_records(Exchange(hops=tuple(HOPS.values())))
    with caplog.at_level(logging.WARNING):
        assert exit_code(path, data, verbose=True) == 0
    printed = capsys.readouterr().out
    assert printed.count("digest pass") == 2 * len(HOPS)
    assert not caplog.records


def test_warcio_indexes_every_record_and_decodes_the_page(tmp_path) -> None:
    path, index = tmp_path / "a.warc.gz", tmp_path / "a.index"
    path.write_bytes(exchange_records(Exchange(hops=(REDIRECT, CHUNKED))))
    Indexer(["offset", "warc-type", "warc-target-uri", "http:status"], [str(path)], str(index)).process_all()
    assert len(index.read_text().splitlines()) == 4
    with path.open("rb") as file:
        pages = [record.content_stream().read() for record in WarcioIterator(file) if record.rec_type == "response"]
    assert pages == [b"", zlib.decompress(PAGE, 31)]


# ---------------------------------------------------------------- damage

WHOLE = exchange_records(Exchange(hops=(REDIRECT, CHUNKED)))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"junk",
        b"\x1f\x8b",
        PAGE,
        WHOLE[: len(WHOLE) // 2],
        WHOLE[:-30],
        WHOLE[:-4] + b"\0\0\0\0",
        WHOLE + b"junk",
        exchange_records(Exchange(hops=(CHUNKED,)))[: len(gzip.compress(b"")) + 3],
    ],
    ids=["empty", "junk", "two bytes", "other gzip", "cut", "cut body", "wrong size", "junk behind", "cut first head"],
)  # fmt: skip
def test_damage_is_named(data: bytes) -> None:
    with pytest.raises(QuarantineError) as caught:
        read_exchange(data)
    assert caught.value.reason == "damaged-warc"


@given(st.integers(1, len(WHOLE) - 1))
def test_a_file_cut_anywhere_is_noticed_or_ends_between_visits(size: int) -> None:
    try:
        assert read_exchange(WHOLE[:size]).hops == (REDIRECT,)
    except QuarantineError:
        return
    assert size == len(exchange_records(Exchange(hops=(REDIRECT,))))


@given(position=st.integers(0, len(WHOLE) - 1), flip=st.integers(1, 255))
def test_a_changed_byte_changes_nothing_or_is_noticed(position: int, flip: int) -> None:
    changed = bytearray(WHOLE)
    changed[position] ^= flip
    with contextlib.suppress(QuarantineError):
        assert read_exchange(bytes(changed)).hops == (REDIRECT, CHUNKED)


@given(st.binary(max_size=300))
def test_nothing_but_a_named_error_comes_out_of_noise(noise: bytes) -> None:
    with pytest.raises(QuarantineError):
        read_exchange(noise)


def test_a_packed_page_is_not_packed_again() -> None:
    packed = gzip.compress("".join(str(number) for number in range(15_000)).encode(), mtime=0)
    assert packed in exchange_records(Exchange(hops=(a_hop(body=packed),)))


def test_a_plain_page_is_packed() -> None:
    plain = zlib.decompress(PAGE, 31)
    assert len(exchange_records(Exchange(hops=(a_hop(body=plain),)))) < len(plain) / 2
