from __future__ import annotations

import gzip
import http.cookiejar
import pickle
import random
import re
import socket
import time
import tracemalloc
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime
from ipaddress import ip_network
from typing import Any

import pytest

from worker.errors import NewsmillError, QuarantineError, RefusedAddressError, RetryableError
from worker.fetch.coding import decoded_body
from worker.fetch.guard import AddressGuard
from worker.fetch.http import MAX_HOPS, Fetcher, FetchRequest, RedirectStopped
from worker.fetch.trouble import FetchFailedError
from worker.model import Exchange

OK = b"HTTP/1.1 200 OK\r\n"
CAP = 100_000


def anywhere(url: str) -> None:
    """No robots, no gate."""


def get(fetcher: Fetcher, url: str, may_visit: Callable[[str], None] = anywhere, **more: Any) -> Exchange:
    wanted = {"accept": "*/*", "cap_bytes": CAP, "total_timeout_s": 5.0} | more
    return fetcher.fetch(FetchRequest(url=url, **wanted), may_visit=may_visit)


def failing(fetcher: Fetcher, url: str, **more: Any) -> FetchFailedError:
    with pytest.raises(FetchFailedError) as caught:
        get(fetcher, url, **more)
    return caught.value


def sending(*pieces: bytes, pause_s: float = 0.0) -> Callable[[socket.socket], None]:
    """Send the pieces, then close the connection."""

    def answer(connection: socket.socket) -> None:
        for piece in pieces:
            connection.sendall(piece)
            time.sleep(pause_s)

    return answer


# ---------------------------------------------------------------- what is recorded


def test_body_and_heads_are_kept_as_they_crossed_the_wire(site: Any, fetcher: Fetcher) -> None:
    head = b"HTTP/1.1 200 Very Fine\r\nX-b: 1\r\nx-A:  two \r\nX-B: 3\r\nCONTENT-LENGTH: 5\r\nX-Bytes: \xc3\xa9\r\n\r\n"
    site.pages["/a"] = head + b"hello"
    hop = get(fetcher, site.url("/a")).final
    assert hop.response_head == head
    assert hop.body == b"hello"
    assert [name for name, _ in hop.headers] == ["X-b", "x-A", "X-B", "CONTENT-LENGTH", "X-Bytes"]
    assert hop.request_head == site.requests[0]
    assert (hop.status, hop.ip, hop.truncated) == (200, "127.0.0.1", None)


def test_compressed_body_is_kept_compressed(site: Any, fetcher: Fetcher) -> None:
    packed = gzip.compress(b"news " * 1000)
    site.pages["/a"] = site.whole(packed, "Content-Encoding: gzip")
    hop = get(fetcher, site.url("/a")).final
    assert hop.body == packed
    assert decoded_body(hop, CAP) == b"news " * 1000


def test_chunk_framing_is_undone(site: Any, fetcher: Fetcher) -> None:
    site.pages["/a"] = (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nT: 1\r\n\r\n"
    )
    assert get(fetcher, site.url("/a")).final.body == b"abcde"
    assert get(fetcher, site.url("/a")).final.body == b"abcde"
    assert site.dial_count == 1


@pytest.mark.parametrize(
    ("line", "fields"),
    [
        pytest.param(b"X: a\r\n\t b\r\n c", [("X", "a b c")], id="folded"),
        pytest.param(b"X: a\n b", [("X", "a b")], id="folded, bare LF"),
        pytest.param(b"X:", [("X", "")], id="empty"),
        pytest.param(b"X : \t a \t", [("X", "a")], id="blanks around"),
        pytest.param(b"X: a\rY: b", [("X", "a Y: b")], id="bare CR"),
        pytest.param(b"no header\r\n X: folded\r\nY: b", [("Y", "b")], id="no colon"),
        pytest.param(b"Two Words: x\r\nY: b", [("Y", "b")], id="blank in the name"),
        pytest.param(b": x\r\nY: b", [("Y", "b")], id="no name"),
        pytest.param(b"From x\r\nY: b", [("Y", "b")], id="a mail's envelope"),
        pytest.param("X: é\x85\u00a0".encode("latin-1"), [("X", "é\x85\u00a0")], id="latin-1"),
        pytest.param(b"Set-Cookie2: a\r\nset-cookie2: a", [("Set-Cookie2", "a"), ("set-cookie2", "a")], id="set-cookie2"),
        pytest.param(b"Content-Type: multipart/x; boundary=y", [("Content-Type", "multipart/x; boundary=y")], id="multipart"),
    ],
)  # fmt: skip
def test_headers_are_read_as_browsers_do(
    site: Any, fetcher: Fetcher, line: bytes, fields: list[tuple[str, str]]
) -> None:
    head = b"HTTP/1.1 200 OK\r\n" + line + b"\r\nContent-Length: 1\r\n\r\n"
    site.pages["/a"] = head + b"x"
    hop = get(fetcher, site.url("/a")).final
    assert hop.headers == (*fields, ("Content-Length", "1"))
    assert (hop.response_head, hop.body) == (head, b"x")


@pytest.mark.parametrize(
    ("head", "is_kept"),
    [
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n", True, id="HTTP/1.1"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nConnection: close\r\n\r\n", False, id="close"),
        pytest.param(b"HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\n", False, id="HTTP/1.0"),
        pytest.param(b"HTTP/1.0 200 OK\r\nContent-Length: 1\r\nConnection: keep-alive\r\n\r\n", True, id="1.0 kept"),
    ],
)  # fmt: skip
def test_connection_is_kept_when_both_sides_want_it(site: Any, fetcher: Fetcher, head: bytes, is_kept: bool) -> None:
    site.pages["/a"] = head + b"x"
    assert [get(fetcher, site.url("/a")).final.body for _ in range(2)] == [b"x", b"x"]
    assert site.dial_count == (1 if is_kept else 2)


def test_body_without_a_length_ends_with_the_connection(site: Any, fetcher: Fetcher) -> None:
    site.pages["/a"] = sending(b"HTTP/1.1 200 OK\r\n\r\nabc", b"def")
    assert get(fetcher, site.url("/a")).final.body == b"abcdef"


def test_interim_answers_are_not_the_answer(site: Any, fetcher: Fetcher) -> None:
    final = site.whole(b"x")
    site.pages["/a"] = b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n" + final
    hop = get(fetcher, site.url("/a")).final
    assert (hop.status, hop.body) == (200, b"x")
    assert hop.response_head + hop.body == final


def test_only_codings_we_can_cap_are_asked_for(site: Any, fetcher: Fetcher) -> None:
    site.pages["/a"] = site.whole(b"x")
    get(fetcher, site.url("/a"))
    assert b"Accept-Encoding: gzip, deflate\r\n" in site.requests[0]


# ---------------------------------------------------------------- connections


def test_many_requests_share_one_connection(site: Any, fetcher: Fetcher) -> None:
    site.pages["/a"] = site.whole(b"x" * 70_000)
    for _ in range(5):
        get(fetcher, site.url("/a"))
    assert (len(site.requests), site.dial_count) == (5, 1)


def test_a_kept_connection_that_died_is_replaced(site: Any, fetcher: Fetcher) -> None:
    def die(connection: socket.socket) -> None:
        site.pages["/second"] = site.whole(b"fine")

    site.pages |= {"/first": site.whole(b"x"), "/second": die}
    asked: list[str] = []
    get(fetcher, site.url("/first"))
    assert get(fetcher, site.url("/second"), asked.append).final.body == b"fine"
    assert site.dial_count == 2
    assert asked == [site.url("/second")]  # a second request: the site is owed its pace


def test_bytes_beyond_the_declared_length_are_not_taken_for_the_next_answer(site: Any, fetcher: Fetcher) -> None:
    smuggled = site.whole(b"forged")
    site.pages |= {"/a": site.whole(b"hello") + smuggled, "/b": site.whole(b"real")}
    assert get(fetcher, site.url("/a")).final.body == b"hello"
    assert get(fetcher, site.url("/b")).final.body == b"real"
    assert site.dial_count == 2


@pytest.mark.parametrize(
    ("answer", "truncated"),
    [
        pytest.param(OK + b"Content-Length: 5\r\n\r\nhello, world", "unspecified", id="Content-Length shorter than the body"),
        pytest.param(OK + b"Content-Length: 5\r\n\r\nhello\r\n", None, id="an empty line behind"),
        pytest.param(OK + b"Content-Length: 5\r\n\r\nhello", None, id="the right length"),
        pytest.param(OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\nx", None, id="behind chunks"),
    ],
)  # fmt: skip
def test_a_body_longer_than_its_declared_length_is_marked(
    site: Any, fetcher: Fetcher, answer: bytes, truncated: str | None
) -> None:
    site.pages["/a"] = answer
    final = get(fetcher, site.url("/a")).final
    assert (final.body, final.truncated) == (b"hello", truncated)


def test_proxies_of_the_environment_are_ignored(site: Any, fetcher: Fetcher, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    site.pages["/a"] = site.whole(b"x")
    assert get(fetcher, site.url("/a")).final.body == b"x"


# ---------------------------------------------------------------- sizes


def test_gzip_bomb_stops_at_the_cap_in_bounded_memory(site: Any, fetcher: Fetcher) -> None:
    packer = zlib.compressobj(9, wbits=31)
    packed = b"".join(packer.compress(bytes(1_000_000)) for _ in range(60)) + packer.flush()
    site.pages["/a"] = site.whole(packed, "Content-Encoding: gzip")
    tracemalloc.start()
    hop = get(fetcher, site.url("/a")).final
    body = decoded_body(hop, CAP)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (hop.truncated, len(body)) == ("length", CAP)
    assert peak < 2_000_000


def test_small_page_in_an_endless_wrapper_stops_at_the_cap(site: Any, fetcher: Fetcher) -> None:
    site.pages["/a"] = site.whole(
        gzip.compress(gzip.compress(b"news") + bytes(50 * CAP)), "Content-Encoding: gzip, gzip"
    )
    hop = get(fetcher, site.url("/a")).final
    assert (hop.truncated, decoded_body(hop, CAP)) == ("length", b"news")


def test_content_type_of_many_semicolons_is_cheap(site: Any, fetcher: Fetcher) -> None:
    semicolons = [" " + ";" * 10_000] * 12
    content_type = "\r\n".join(['Content-Type: multipart/mixed; boundary="', *semicolons])
    site.pages["/a"] = site.whole(b"x", content_type)
    began = time.process_time()
    assert get(fetcher, site.url("/a")).final.body == b"x"
    assert time.process_time() - began < 1  # 0.01 s; read as a mail's, 8 s


def test_plain_body_over_the_cap_is_cut_and_marked(site: Any, fetcher: Fetcher) -> None:
    site.pages |= {"/over": site.whole(b"x" * (CAP + 1)), "/just": site.whole(b"x" * CAP)}
    over, just = get(fetcher, site.url("/over")).final, get(fetcher, site.url("/just")).final
    assert (len(over.body), over.truncated) == (CAP, "length")
    assert (len(just.body), just.truncated) == (CAP, None)


def test_body_of_a_redirect_is_not_read(site: Any, fetcher: Fetcher) -> None:
    site.pages["/b"] = site.whole(b"there")
    site.pages["/a"] = sending(
        b"HTTP/1.1 302 Found\r\nLocation: /b\r\nContent-Encoding: gzip\r\nContent-Length: 99999999\r\n\r\n", b"x" * 1000
    )
    exchange = get(fetcher, site.url("/a"))
    assert [hop.body for hop in exchange.hops] == [b"", b"there"]


def test_error_body_that_breaks_off_does_not_hide_the_status(site: Any, fetcher: Fetcher) -> None:
    site.pages["/a"] = sending(b"HTTP/1.1 404 Not Found\r\nContent-Length: 100\r\n\r\nnot all")
    hop = get(fetcher, site.url("/a")).final
    assert (hop.status, hop.body, hop.truncated) == (404, b"not all", "disconnect")


# ---------------------------------------------------------------- answers that are none

PACKED = gzip.compress(bytes(range(256)) * 40)


@pytest.mark.parametrize(
    ("wire", "cause"),
    [
        pytest.param(OK + b"Content-Length: 100\r\n\r\nshort", "truncated", id="content-length longer than the body"),
        pytest.param(OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nab", "truncated", id="cut inside a chunk"),
        pytest.param(OK + b"Transfer-Encoding: chunked\r\n\r\n2\r\nab\r\n", "truncated", id="no last chunk"),
        pytest.param(OK + b"Transfer-Encoding: chunked\r\n\r\nzz\r\nab\r\n", "truncated", id="chunk size zz"),
        pytest.param(OK + b"Transfer-Encoding: chunked\r\n\r\n-1\r\nab\r\n", "bad-framing", id="chunk size -1"),
        pytest.param(OK + b"Content-Encoding: gzip\r\n\r\n" + PACKED[:-9], "truncated", id="gzip cut"),
        pytest.param(OK + b"Content-Encoding: gzip\r\n\r\nplain text", "damaged", id="gzip that is none"),
        pytest.param(OK + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello", "bad-framing", id="two lengths"),
        pytest.param(OK + b"Content-Length: 5, 6\r\n\r\nhello", "bad-framing", id="two lengths in one line"),
        pytest.param(OK + b"Content-Length: 5, 5\r\n\r\nhello", "bad-framing", id="one length, written twice"),
        pytest.param(OK + b"Content-Length: -5\r\n\r\nhello", "bad-framing", id="negative length"),
        pytest.param(
            OK + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            "bad-framing",
            id="length and chunks",
        ),
        pytest.param(
            OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", "bad-framing", id="unknown transfer coding"
        ),
        pytest.param(b"HTTP/1.1 100 Continue\r\n\r\n" * 1000, "bad-framing", id="interim answers without end"),
        pytest.param(b"<html>old</html>", "bad-answer", id="HTTP/0.9"),
        pytest.param(b"HTTP/9.9 200 OK\r\n\r\n", "bad-answer", id="unknown version"),
        pytest.param(b"HTTP/1.1 abc OK\r\n\r\n", "bad-answer", id="status that is no number"),
        pytest.param(b"\r\n\r\n", "bad-answer", id="empty status line"),
        pytest.param(b"", "closed", id="close without an answer"),
        pytest.param(OK + b"X: " + b"x" * 200_000 + b"\r\n\r\n", "bad-headers", id="header line of 200 KB"),
        pytest.param(OK + b"X: y\r\n" * 300 + b"\r\n", "bad-headers", id="300 headers"),
        pytest.param(
            OK + b"X: " + b"x" * 60_000 + b"\r\nY: " + b"y" * 60_000 + b"\r\nZ: " + b"z" * 12_000 + b"\r\n\r\n",
            "bad-headers",
            id="132 KB of headers",
        ),
        pytest.param(
            (b"HTTP/1.1 103 Early Hints\r\nX: " + b"x" * 50_000 + b"\r\n\r\n") * 3 + OK + b"\r\n",
            "bad-headers",
            id="150 KB of interim headers",
        ),
        pytest.param(
            OK + b"Transfer-Encoding: chunked\r\n\r\n0\r\nX: " + b"x" * 200_000 + b"\r\n\r\n",
            "bad-headers",
            id="trailer of 200 KB",
        ),
        pytest.param(OK + b"Content-Length: " + b"1" * 5000 + b"\r\n\r\nx", "bad-framing", id="length of 5000 digits"),
    ],
)
def test_broken_answer_is_named(site: Any, fetcher: Fetcher, wire: bytes, cause: str) -> None:
    site.pages["/a"] = sending(wire)
    error = failing(fetcher, site.url("/a"))
    assert error.cause == cause
    assert isinstance(error, RetryableError)


@pytest.mark.parametrize("seed", range(60))
def test_no_answer_however_garbled_escapes_by_another_name(site: Any, fetcher: Fetcher, seed: int) -> None:
    dice = random.Random(seed)
    wire = bytearray(
        b"HTTP/1.1 302 Found\r\nLocation: /b\r\nSet-Cookie: a=b; Path=/\r\nContent-Encoding: gzip\r\n"
        b"Transfer-Encoding: chunked\r\nContent-Type: text/html\r\n\r\n"
        + b"%x\r\n%b\r\n0\r\n\r\n"
        % (len(PACKED), PACKED)
    )
    wire[9:12] = dice.choice([b"200", b"302", b"304", b"404", b"101", b"204"])
    for _ in range(dice.randrange(1, 8)):
        wire[dice.randrange(len(wire) // dice.choice([1, 40]))] = dice.randrange(256)
    site.pages |= {"/a": sending(bytes(wire)), "/b": sending(bytes(wire))}
    with suppress(NewsmillError):
        get(fetcher, site.url("/a"), total_timeout_s=1.0)


@pytest.mark.parametrize(
    "pieces",
    [
        pytest.param([OK + b"Content-Length: 100\r\n\r\n", *[b"x"] * 100], id="body"),
        pytest.param([OK, *[b"X: y\r\n"] * 90], id="head"),
        pytest.param([OK + b"Transfer-Encoding: chunked\r\n\r\n", *[b"1\r\nx\r\n"] * 90], id="chunks"),
        pytest.param([b"", b""] * 50, id="silence"),
    ],
)
def test_dripping_server_ends_on_time(site: Any, fetcher: Fetcher, pieces: list[bytes]) -> None:
    site.pages["/a"] = sending(*pieces, pause_s=0.05)
    began = time.monotonic()
    assert failing(fetcher, site.url("/a"), total_timeout_s=0.5).cause == "timeout"
    assert time.monotonic() - began < 1.5


def test_nobody_listens(fetcher: Fetcher) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed_soon:
        port = closed_soon.getsockname()[1]
    error = failing(fetcher, f"http://127.0.0.1:{port}/")
    assert (error.cause, error.is_unreachable) == ("connect", True)


def test_failure_survives_pickling_and_shows_no_query(fetcher: Fetcher, site: Any) -> None:
    site.pages["/a?token=secret"] = sending(b"")
    error = failing(fetcher, site.url("/a?token=secret"))
    again = pickle.loads(pickle.dumps(error))
    assert (again.cause, str(again)) == (error.cause, str(error))
    assert "secret" not in str(error)


# ---------------------------------------------------------------- redirects


@pytest.mark.parametrize(
    ("location", "path"),
    [
        pytest.param("/b", "/b", id="absolute path"),
        pytest.param("b?x=1", "/dir/b?x=1", id="relative"),
        pytest.param("  /b  ", "/b", id="blanks around"),
        pytest.param("/b c", "/b%20c", id="blank inside"),
        pytest.param("/中".encode().decode("latin-1"), "/%E4%B8%AD", id="raw UTF-8"),
        pytest.param("/b#part", "/b", id="fragment"),
    ],
)
def test_location_is_resolved(site: Any, fetcher: Fetcher, location: str, path: str) -> None:
    site.pages |= {"/dir/a": site.redirect(location), path: site.whole(b"there")}
    exchange = get(fetcher, site.url("/dir/a"))
    assert exchange.final.body == b"there"
    assert exchange.final_url == site.url(path)


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(b"HTTP/1.1 302 Found\r\nLocation: \r\nContent-Length: 0\r\n\r\n", id="empty"),
        pytest.param(b"HTTP/1.1 301 Moved\r\nContent-Length: 0\r\n\r\n", id="absent"),
        pytest.param(b"HTTP/1.1 302 Found\r\nLocation: http://[::1\r\nContent-Length: 0\r\n\r\n", id="unreadable"),
    ],
)
def test_redirect_to_nowhere_is_an_error(site: Any, fetcher: Fetcher, answer: bytes) -> None:
    site.pages["/a"] = answer
    assert failing(fetcher, site.url("/a")).cause == "redirect"


@pytest.mark.parametrize(
    "location",
    ["file:///etc/passwd", "ftp://news.example/", "gopher://127.0.0.1/", "data:text/html,x", "javascript:alert(1)",
     "http://10.0.0.1/", "http://[::1]/", "http://2130706433/", "http://user@127.0.0.1/", "http://169.254.169.254/"],
)  # fmt: skip
def test_redirect_to_a_forbidden_place_is_refused(site: Any, fetcher: Fetcher, location: str) -> None:
    site.pages["/a"] = site.redirect(location)
    with pytest.raises(RefusedAddressError):
        get(fetcher, site.url("/a"))


def test_redirect_loop_ends(site: Any, fetcher: Fetcher) -> None:
    site.pages |= {"/a": site.redirect("/b", "Set-Cookie: n=1"), "/b": site.redirect("/a")}
    assert failing(fetcher, site.url("/a")).cause == "redirect"
    assert len(site.requests) == MAX_HOPS


def test_caller_is_asked_before_each_other_url_and_may_stop(site: Any, fetcher: Fetcher) -> None:
    site.pages |= {"/a": site.redirect("/b"), "/b": site.redirect("/c"), "/c": site.whole(b"x")}
    asked: list[str] = []

    def may_visit(url: str) -> None:
        asked.append(url)
        if url.endswith("/c"):
            raise RetryableError("the host is busy", 5.0)

    with pytest.raises(RedirectStopped) as caught:
        get(fetcher, site.url("/a"), may_visit)
    assert asked == [site.url("/b"), site.url("/c")]
    assert caught.value.next_url == site.url("/c")
    assert [hop.status for hop in caught.value.exchange_so_far.hops] == [302, 302]
    assert isinstance(caught.value.__cause__, RetryableError)
    assert pickle.loads(pickle.dumps(caught.value)).next_url == site.url("/c")


def test_cookies_serve_the_hops_of_one_fetch_only(site: Any, fetcher: Fetcher) -> None:
    def greet(connection: socket.socket) -> None:
        came_back = b"Cookie: seen=1" in site.requests[-1]
        connection.sendall(site.whole(b"in") if came_back else site.redirect("/a", "Set-Cookie: seen=1"))

    site.pages["/a"] = greet
    assert get(fetcher, site.url("/a")).final.body == b"in"
    get(fetcher, site.url("/a"))
    assert [b"Cookie:" in request for request in site.requests] == [False, True, False, True]


def test_cookie_that_a_later_hop_takes_back_is_gone(site: Any, fetcher: Fetcher) -> None:
    site.pages |= {
        "/a": site.redirect("/b", "Set-Cookie: a=1; Path=/", "Set-Cookie: b=2; Path=/"),
        "/b": site.redirect("/c", "Set-Cookie: a=; Path=/; Max-Age=0"),
        "/c": site.whole(b"x"),
    }
    get(fetcher, site.url("/a"))
    cookies = [re.findall(rb"Cookie: (.*)\r\n", request) for request in site.requests]
    assert cookies == [[], [b"a=1; b=2"], [b"b=2"]]


def test_set_cookie2_is_recorded_and_never_parsed(site: Any, fetcher: Fetcher, monkeypatch: pytest.MonkeyPatch) -> None:
    parsed: list[str] = []
    split = http.cookiejar.split_header_words
    monkeypatch.setattr(http.cookiejar, "split_header_words", lambda values: parsed.extend(values) or split(values))
    obsolete = [f"Set-Cookie2: {'a' * 1000}{n}" for n in range(90)]
    site.pages |= {"/a": site.redirect("/b", "Set-Cookie: seen=1", *obsolete), "/b": site.whole(b"x")}
    first, second = get(fetcher, site.url("/a")).hops
    assert parsed == []
    assert [name for name, _ in first.headers].count("Set-Cookie2") == 90
    assert b"Cookie: seen=1\r\n" in second.request_head


def test_configured_secrets_stay_with_their_host(site: Any, other_site: Any, fetcher: Fetcher) -> None:
    site.pages |= {"/a": site.redirect("/b"), "/b": site.redirect(other_site.url("/c"))}
    other_site.pages["/c"] = other_site.redirect(site.url("/d"))
    headers = (("X-Key", "s3cret"), ("Authorization", "Bearer s3cret"), ("X-Plain", "p"))
    exchange = get(fetcher, site.url("/a"), headers=headers, sensitive=frozenset({"x-key"}))
    assert [b"s3cret" in hop.request_head for hop in exchange.hops] == [True, True, False, False]
    assert all(b"X-Plain: p" in hop.request_head for hop in exchange.hops)


@pytest.mark.parametrize(
    "header", [("X-A", "a\r\nX-B: b"), ("Host", "other.example"), ("Bad Name\n", "x"), ("X", "中")]
)
def test_header_that_cannot_be_sent_is_set_aside(site: Any, fetcher: Fetcher, header: tuple[str, str]) -> None:
    with pytest.raises(QuarantineError, match="bad-header"):
        get(fetcher, site.url("/a"), headers=(header,))
    assert site.requests == []


# ---------------------------------------------------------------- 304


def test_validators_go_back_as_they_came(site: Any, fetcher: Fetcher) -> None:
    site.pages["/a"] = b'HTTP/1.1 304 Not Modified\r\nETag: W/"x"\r\n\r\n'
    exchange = get(fetcher, site.url("/a"), etag='W/"x"', last_modified="Sat, 32 Foo 2099")
    assert (exchange.final.status, exchange.final.body) == (304, b"")
    assert b'If-None-Match: W/"x"\r\nIf-Modified-Since: Sat, 32 Foo 2099\r\n' in site.requests[0]


def test_304_has_no_body_whatever_its_headers_say(site: Any, fetcher: Fetcher) -> None:
    site.pages["/a"] = b"HTTP/1.1 304 Not Modified\r\nTransfer-Encoding: chunked\r\n\r\n"
    for _ in range(2):
        hop = get(fetcher, site.url("/a"), etag='"x"', total_timeout_s=1.0).final
        assert (hop.body, hop.truncated) == (b"", None)
    assert site.dial_count == 1


@pytest.mark.parametrize("etag", [None, "", 'a\r\nX: "y"', "標"])
def test_304_without_validators_is_an_error(site: Any, fetcher: Fetcher, etag: str | None) -> None:
    site.pages["/a"] = b"HTTP/1.1 304 Not Modified\r\n\r\n"
    assert failing(fetcher, site.url("/a"), etag=etag).cause == "odd-304"


# ---------------------------------------------------------------- names


def test_name_is_resolved_once_and_sent_as_host(site: Any) -> None:
    asked: list[str] = []

    def resolve(host: str, port: int) -> list[str]:
        asked.append(host)
        return ["127.0.0.1"]

    door = make_fetcher(resolve)
    site.pages["/a"] = site.whole(b"x")
    for _ in range(3):
        get(door, site.url("/a", host="例え.example"))
    door.close()
    assert asked == ["xn--r8jz45g.example"]
    assert f"Host: xn--r8jz45g.example:{site.port}\r\n".encode() in site.requests[0]


@pytest.mark.parametrize(
    "answers",
    [
        ["127.0.0.1"], ["10.0.0.7"], ["100.64.0.1"], ["0.0.0.0"], ["224.0.0.1"], ["::1"], ["fe80::1%eth0"],
        ["::ffff:127.0.0.1"], ["64:ff9b::7f00:1"], ["93.184.216.34", "10.0.0.7"], ["not an address"],
    ],
    ids=" ".join,
)  # fmt: skip
def test_name_with_any_private_address_is_refused(answers: list[str]) -> None:
    door = make_fetcher(lambda host, port: answers, networks=())
    with pytest.raises(RefusedAddressError):
        get(door, "http://news.example/")


@pytest.mark.parametrize(
    ("error", "waits"),
    [
        (socket.gaierror(socket.EAI_NONAME, "Name or service not known"), True),
        (socket.gaierror(socket.EAI_AGAIN, "Temporary failure"), False),
        (UnicodeError("label too long"), False),
    ],
)
def test_name_that_does_not_resolve(error: Exception, waits: bool) -> None:
    def resolve(host: str, port: int) -> list[str]:
        raise error

    failed = failing(make_fetcher(resolve), "http://news.example/")
    assert (failed.cause, failed.retry_after_s is not None) == ("dns", waits)


def test_slow_resolver_holds_nobody_up() -> None:
    def resolve(host: str, port: int) -> list[str]:
        time.sleep(3)
        return []

    began = time.monotonic()
    assert failing(make_fetcher(resolve), "http://news.example/", total_timeout_s=0.3).cause == "dns"
    assert time.monotonic() - began < 1.0


def test_ports_follow_the_address(site: Any) -> None:
    door = make_fetcher(lambda host, port: ["93.184.216.34"])
    with pytest.raises(RefusedAddressError, match="port 6379"):
        get(door, "http://news.example:6379/")


def make_fetcher(resolve: Callable[[str, int], list[str]], networks: tuple[str, ...] = ("127.0.0.0/8",)) -> Fetcher:
    return Fetcher(
        user_agent="newsmill/0.1",
        guard=AddressGuard([ip_network(one) for one in networks], {80, 443}),
        connect_timeout_s=2.0,
        clock=lambda: datetime.now(UTC),
        resolve=resolve,
    )


def test_threads_share_one_fetcher(site: Any, fetcher: Fetcher) -> None:
    site.pages["/a"] = site.whole(b"x" * 5000)
    with ThreadPoolExecutor(8) as threads:
        exchanges = list(threads.map(lambda _: get(fetcher, site.url("/a")), range(80)))
    assert [len(exchange.final.body) for exchange in exchanges] == [5000] * 80
    assert site.dial_count <= 8
