"""What bodies, heads and statuses come over the wire in the wild, and what each must get: against real sockets."""

from __future__ import annotations

import gzip
import socket
import time
import tracemalloc
import zlib
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest

from tests.unit.fetch.test_http import CAP, OK, failing, get, sending
from worker.errors import QuarantineError
from worker.fetch.classify import MediaKind
from worker.fetch.coding import decoded_body
from worker.fetch.http import MAX_HOPS, Fetcher

PAGES: frozenset[MediaKind] = frozenset({"html", "xml", "text", "empty"})
SOCKET_BYTES = 12_000_000  # what the kernel may hold of a stream that nobody reads


class Flood:
    """Sends a head and then the same bytes again and again, until the other side goes; counts what it could send."""

    def __init__(self, head: bytes, block: bytes, *, pieces: int = 10_000) -> None:
        self._head, self._block, self._pieces = head, block, pieces
        self.sent_bytes = 0

    def __call__(self, connection: socket.socket) -> None:
        connection.settimeout(5)
        with suppress(OSError):
            connection.sendall(self._head)
            for _ in range(self._pieces):
                connection.sendall(self._block)
                self.sent_bytes += len(self._block)


def bomb(size_bytes: int, wbits: int = 31) -> bytes:
    packer = zlib.compressobj(9, wbits=wbits)
    return b"".join(packer.compress(bytes(1_000_000)) for _ in range(size_bytes // 1_000_000)) + packer.flush()


def peak_bytes(call: Callable[[], Any]) -> int:
    tracemalloc.start()
    try:
        call()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


# ---------------------------------------------------------------- bombs and floods


@pytest.mark.parametrize(
    ("coding", "wbits"), [("gzip", 31), ("deflate", 15), ("deflate", -15)], ids=["gzip", "zlib", "bare deflate"]
)
def test_bomb_of_200_mb_in_200_kb_stops_at_the_cap(site: Any, fetcher: Fetcher, coding: str, wbits: int) -> None:
    packed = bomb(200_000_000, wbits)
    site.pages["/a"] = site.whole(packed, f"Content-Encoding: {coding}")
    hops: list[Any] = []
    peak = peak_bytes(lambda: hops.append(get(fetcher, site.url("/a"), cap_bytes=1_000_000).final))
    assert hops[0].truncated == "length"
    assert len(hops[0].body) < len(packed)
    assert peak < 4_000_000


def test_bomb_beneath_a_redirect_is_neither_read_nor_inflated(site: Any, fetcher: Fetcher) -> None:
    head = b"HTTP/1.1 302 Found\r\nLocation: /b\r\nContent-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n"
    packed = bomb(20_000_000)
    flood = Flood(head, b"%x\r\n%b\r\n" % (len(packed), packed))
    site.pages |= {"/a": flood, "/b": site.whole(b"there")}
    hops: list[Any] = []
    peak = peak_bytes(lambda: hops.extend(get(fetcher, site.url("/a")).hops))
    assert [hop.body for hop in hops] == [b"", b"there"]
    assert flood.sent_bytes < SOCKET_BYTES
    assert peak < 500_000


def test_bomb_in_pieces_of_50_bytes_stops_at_the_cap(site: Any, fetcher: Fetcher) -> None:
    packed = bomb(50_000_000)
    pieces = [packed[at : at + 50] for at in range(0, len(packed), 50)]
    wire = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"
    site.pages["/a"] = OK + b"Content-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n" + wire
    hops: list[Any] = []
    peak = peak_bytes(lambda: hops.append(get(fetcher, site.url("/a")).final))
    assert hops[0].truncated == "length"
    assert len(decoded_body(hops[0], CAP)) == CAP
    assert peak < 2_000_000


@pytest.mark.parametrize("coding", ["br", "zstd"])
def test_coding_that_was_not_asked_for_is_kept_as_sent_and_named(site: Any, fetcher: Fetcher, coding: str) -> None:
    flood = Flood(OK + f"Content-Encoding: {coding}\r\n\r\n".encode(), b"\x28\xb5\x2f\xfd" * 4096)
    site.pages["/a"] = flood
    hop = get(fetcher, site.url("/a")).final
    assert (len(hop.body), hop.truncated) == (CAP, "length")
    assert flood.sent_bytes < SOCKET_BYTES
    with pytest.raises(QuarantineError, match=f"bad-encoding.*{coding}"):
        decoded_body(hop, CAP)


def test_page_of_50_mb_is_cut_at_the_cap_and_the_rest_not_read(site: Any, fetcher: Fetcher) -> None:
    flood = Flood(OK + b"Content-Length: 50000000\r\n\r\n", b"<p>news</p>" * 1000, pieces=4500)
    site.pages["/a"] = flood
    hop = get(fetcher, site.url("/a"), kinds=PAGES).final
    assert (len(hop.body), hop.truncated) == (CAP, "length")
    assert flood.sent_bytes < SOCKET_BYTES


# ---------------------------------------------------------------- bodies that are cut, long or doubtful


@pytest.mark.parametrize(
    ("wire", "cause"),
    [
        pytest.param(OK + b"Content-Encoding: gzip\r\nContent-Length: 100\r\n\r\n%b", "truncated", id="gzip cut"),
        pytest.param(OK + b"Content-Length: 1000000\r\n\r\n%b", "truncated", id="Content-Length longer than the body"),
        pytest.param(OK + b"Content-Length: 4\r\nContent-Length: 5\r\n\r\n%b", "bad-framing", id="two Content-Length"),
        pytest.param(
            OK + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n%b", "bad-framing", id="CL and TE together"
        ),
        pytest.param(OK + b"Transfer-Encoding: chunked\r\n\r\nff\r\n%b", "truncated", id="chunked cut"),
        pytest.param(OK + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n%b", "truncated", id="chunk size zz"),
        pytest.param(b"HTTP/1.1 200" + b"x" * 200_000 + b"\r\n\r\n", "bad-headers", id="status line of 200 KB"),
        pytest.param(OK + b"X-Long: " + b"x" * 200_000 + b"\r\n\r\n", "bad-headers", id="header line of 200 KB"),
        pytest.param(OK + b"".join(b"X-%d: y\r\n" % n for n in range(300)) + b"\r\n", "bad-headers", id="300 headers"),
        pytest.param(b"<html><title>0.9</title>", "bad-answer", id="HTTP/0.9"),
        pytest.param(b"ICY 200 OK\r\n\r\n", "bad-answer", id="another protocol's status line"),
        pytest.param(b"", "closed", id="closed without an answer"),
    ],
)
def test_answer_that_is_not_whole_is_an_error_worth_another_try(
    site: Any, fetcher: Fetcher, wire: bytes, cause: str
) -> None:
    body = gzip.compress(b"news " * 5000)[:100] + bytes(50)
    site.pages["/a"] = sending(wire.replace(b"%b", body[:60]))
    assert failing(fetcher, site.url("/a")).cause == cause


def test_body_longer_than_its_length_ends_there_and_its_connection_with_it(site: Any, fetcher: Fetcher) -> None:
    site.pages["/a"] = OK + b"Content-Length: 5\r\n\r\nhello and more"
    assert [get(fetcher, site.url("/a")).final.body for _ in range(2)] == [b"hello"] * 2
    assert site.dial_count == 2


def test_server_that_sends_a_byte_every_30_ms_ends_at_the_total_time(site: Any, fetcher: Fetcher) -> None:
    site.pages["/a"] = sending(OK + b"Content-Length: 100\r\n\r\n", *[b"x"] * 100, pause_s=0.03)
    began = time.monotonic()
    assert failing(fetcher, site.url("/a"), total_timeout_s=0.4).cause == "timeout"
    assert time.monotonic() - began < 0.8


def test_total_time_is_one_for_all_redirects(site: Any, fetcher: Fetcher) -> None:
    def slowly(connection: socket.socket) -> None:
        time.sleep(0.15)
        connection.sendall(site.redirect("/a"))

    site.pages["/a"] = slowly
    began = time.monotonic()
    assert failing(fetcher, site.url("/a"), total_timeout_s=0.5).cause == "timeout"
    assert time.monotonic() - began < 1.0
    assert len(site.requests) < MAX_HOPS


# ---------------------------------------------------------------- 304


def test_304_with_a_body_has_none_and_its_bytes_are_nobody_s_answer(site: Any, fetcher: Fetcher) -> None:
    site.pages |= {
        "/a": b'HTTP/1.1 304 Not Modified\r\nETag: "x"\r\nContent-Length: 60\r\n\r\n' + site.whole(b"forged"),
        "/b": site.whole(b"real"),
    }
    assert get(fetcher, site.url("/a"), etag='"x"').final.body == b""
    assert get(fetcher, site.url("/b")).final.body == b"real"


def test_304_to_who_has_nothing_is_an_error(site: Any, fetcher: Fetcher) -> None:
    site.pages["/a"] = b"HTTP/1.1 304 Not Modified\r\n\r\n"
    assert failing(fetcher, site.url("/a")).cause == "odd-304"


# ---------------------------------------------------------------- kinds


@pytest.mark.parametrize(
    ("declared", "start"),
    [
        pytest.param("text/html", b"%PDF-1.7\n", id="PDF"),
        pytest.param("text/html", b"\x00\x00\x00\x18ftypmp42", id="MP4"),
        pytest.param("text/html", b"PK\x03\x04", id="zip"),
        pytest.param("text/html", b"\xff\xd8\xff\xe0", id="JPEG"),
        pytest.param("application/json", b'{"a": "', id="JSON"),
    ],
)
@pytest.mark.parametrize("coding", ["identity", "gzip"])
def test_what_is_no_page_is_not_downloaded_to_its_end(
    site: Any, fetcher: Fetcher, declared: str, start: bytes, coding: str
) -> None:
    head = OK + f"Content-Type: {declared}\r\nContent-Encoding: {coding}\r\n\r\n".encode()
    packer = zlib.compressobj(1, wbits=31)
    first = start + b"x" * 300_000
    opening = packer.compress(first) + packer.flush(zlib.Z_FULL_FLUSH) if coding == "gzip" else first
    flood = Flood(head + opening, b"\x00" * 65536 if coding == "identity" else b"\x00\x00\x00\xff\xff" * 10_000)
    site.pages["/a"] = flood
    hop = get(fetcher, site.url("/a"), cap_bytes=100_000_000, kinds=PAGES).final
    assert hop.truncated == "unspecified"
    assert len(hop.body) <= 65536
    assert decoded_body(hop, 4096).startswith(start)
    assert flood.sent_bytes < SOCKET_BYTES


@pytest.mark.parametrize("declared", ["image/jpeg", "application/octet-stream", "text/plain"])
def test_page_under_a_wrong_label_is_read_whole(site: Any, fetcher: Fetcher, declared: str) -> None:
    page = b"<!doctype html><html><body>" + b"<p>news</p>" * 1000
    site.pages["/a"] = site.whole(page, f"Content-Type: {declared}")
    hop = get(fetcher, site.url("/a"), kinds=PAGES).final
    assert (hop.body, hop.truncated) == (page, None)


def test_small_body_of_an_unwanted_kind_is_whole_too(site: Any, fetcher: Fetcher) -> None:
    site.pages["/a"] = site.whole(b"%PDF-1.7\n" + bytes(2000))
    hop = get(fetcher, site.url("/a"), kinds=PAGES).final
    assert (len(hop.body), hop.truncated) == (2009, None)
