"""Our index has the captures that public tools find, in their words, and finds every other record besides."""

from __future__ import annotations

import gzip
import json
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.conftest import TOOLS
from worker.archive.exchange import exchange_records
from worker.archive.index import as_cdxj, index_lines, pack_lines, unpack_lines
from worker.archive.records import digest, record_id_of, write_record
from worker.archive.surt import surt_key
from worker.errors import QuarantineError
from worker.model import Exchange, Hop

BEGAN = datetime(2025, 1, 17, 14, 59, 2, 999999, tzinfo=UTC)

SESSION = "0123456789abcdef0123456789ABCDEF"
URLS = {
    "https://news.example/a": "example,news)/a",
    "http://NEWS.example:80/A/": "example,news)/a",
    "https://www.news.example:443": "example,news)/",
    "https://www12.news.example:8443/": "example,news:8443)/",
    "http://news.example:443/": "example,news:443)/",
    "http://news.example:/": "example,news)/",
    "https://user:secret@news.example/x": "example,news)/x",
    "http://[2001:DB8::1]:8080/": "2001:db8::1:8080)/",
    "http://192.0.2.1/": "1,2,0,192)/",
    "http://3221225985/": "1,2,0,192)/",
    "https://bücher.example/ä": "example,xn--bcher-kva)/%c3%a4",
    "https://b%C3%BCcher.example/": "example,xn--bcher-kva)/",
    "https://news.example/%7Ea/%2541%20b": "example,news)/~a/a%20b",
    "https://news.example/100%": "example,news)/100%25",
    "https://news.example/a/./b//c/../d": "example,news)/a/b/d",
    "https://news.example/../a": "example,news)/../a",
    "https://news.example/?b=2&A=1&a&a=": "example,news)/?a&a=&a=1&b=2",
    "https://news.example/?": "example,news)/",
    f"https://news.example/?x=1&PHPSESSID={SESSION}": "example,news)/?&x=1",
    f"https://news.example/?jsessionid={SESSION}&x=1": "example,news)/?x=1",
    "https://news.example/?cfid=1&cftoken=2": "example,news)/",
    "https://news.example/(a(012345678901234567890123))/x.aspx": "example,news)/x.aspx",
    "https://news.example/a#part": "example,news)/a",
    "http://https://news.example/": "example,news)/",
    "http:///news.example/a": "example,news)/a",
    "news.example/a": "example,news)/a",
    "urn:newsmill:0A1B": "urn:newsmill:0a1b",
    "urn:text:https://news.example/A?b": "urn:text:https://news.example/a?b",
    "https://news.example:port/a b": "https://news.example:port/a%20b",
}  # fmt: skip


@pytest.mark.parametrize(("url", "key"), URLS.items(), ids=URLS.keys())
def test_a_url_has_its_key(url: str, key: str) -> None:
    assert surt_key(url) == key


@given(st.text(max_size=60) | st.text(max_size=60).map("https://news.example/{}".format))
def test_a_key_is_one_word_whatever_the_url(url: str) -> None:
    key = surt_key(url)
    assert key.isascii()
    assert len(key.split(" ")) == 1
    assert key.isprintable()


def test_escapes_upon_escapes_end() -> None:
    assert len(surt_key("https://news.example/%" + "25" * 20_000)) < 50_000


# ---------------------------------------------------------------- against the public tools' own

HOSTS = [
    *"abc",
    "WWW.a.example",
    "a.example:8080",
    "u:p@b.example:443",
    "[::1]:99",
    "ü.example",
    "a..b.",
    "127.1",
    "x:0",
]
PIECES = st.sampled_from([*"aB/.?&=;:@#% ü~[]()'\"\\^`{|}\x01", "%41", "%2541", "%C3", "../", "//", "id=1", ".aspx"])
ANY_URLS = st.builds(
    "{}{}{}".format,
    st.sampled_from(["http://", "https://", "HTTP://", "ftp://", "", "urn:", "dns:", "http://http://"]),
    st.sampled_from(HOSTS) | st.just(""),
    st.lists(PIECES, max_size=12).map(lambda parts: "".join(["/", *parts])),
)
ORACLE = """
import json, surt, sys
for url in json.load(sys.stdin):
    try:
        print(json.dumps(surt.surt(url)))
    except Exception:
        print("null")
"""


@pytest.mark.tools
def test_any_url_has_the_key_that_public_tools_give_it() -> None:
    urls: list[str] = []

    @given(st.lists(ANY_URLS, min_size=50, max_size=50))
    def collect(some: list[str]) -> None:
        urls.extend(some)

    collect()
    asked = sorted({url for url in [*URLS, *urls] if url.strip()})
    python = [str(TOOLS / "python"), "-W", "ignore", "-c", ORACLE]
    run = subprocess.run(python, input=json.dumps(asked), capture_output=True, text=True, check=True)
    theirs = dict(zip(asked, map(json.loads, run.stdout.splitlines()), strict=True))
    known = {url: key for url, key in theirs.items() if key is not None}
    assert len(known) > len(URLS)
    assert {url: surt_key(url) for url in known} == known


def a_hop(url: str, *lines: bytes, body: bytes = b"hello") -> Hop:
    head = b"\r\n".join((b"HTTP/1.1 200 OK", *lines)) + b"\r\n\r\n"
    return Hop(
        url=url,
        method="GET",
        request_head=b"GET / HTTP/1.1\r\n\r\n",
        status=200,
        response_head=head,
        headers=(),
        body=body,
        began_at=BEGAN,
        ended_at=BEGAN + timedelta(seconds=1),
        ip=None,
    )


CONTENT_TYPES = [
    (), (b"Content-Type: text/html; charset=utf-8",), (b"CONTENT-TYPE:text/html",), (b"Content-Type :  a/b c",),
    (b"Content-Type:",), (b"Content-Type: ;x",), (b"Content-Type:", b" text/html"), (b"Content-Type: caf\xe9/x",),
    (b"X: Content-Type: a/b", b"content-type: c/d", b"Content-Type: e/f"), (b"Content-Type: t\xc3\xa9xt/\xc2\xa0html",),
]  # fmt: skip


def a_warc() -> bytes:
    hops = [a_hop(url) for url in URLS if url.startswith("http")]  # warcio reads no HTTP in others
    hops += [a_hop(f"https://news.example/{number}", *lines) for number, lines in enumerate(CONTENT_TYPES)]
    hops += [
        a_hop("https://news.example/long", *[b"X-%d: " % n + b"y" * 900 for n in range(100)], b"Content-Type: z/z")
    ]
    hops += [a_hop("https://news.example/large", b"Content-Type: a/b", body=gzip.compress(bytes(range(256)) * 900))]
    text = b"# Text"
    resource = write_record(
        "resource",
        record_id=record_id_of("resource", "1"),
        captured_at=BEGAN,
        content_type="text/markdown; charset=utf-8",
        block=text,
        block_digest=digest(text),
        url="urn:document:https://news.example/a",
        payload_start=0,
    )
    return exchange_records(Exchange(hops=tuple(hops))) + resource.data


@pytest.mark.tools
def test_our_captures_are_those_of_cdxj_indexer_to_the_letter(tmp_path: Path) -> None:
    file = tmp_path / "some.warc.gz"
    file.write_bytes(a_warc())
    theirs = subprocess.run([str(TOOLS / "cdxj-indexer"), str(file)], capture_output=True, text=True, check=True).stdout
    ours = as_cdxj([line for line in index_lines(file.read_bytes()) if line.is_capture], filename="some.warc.gz")
    assert ours == theirs.splitlines()


# ---------------------------------------------------------------- ours alone


def test_a_line_that_is_no_capture_has_a_key_that_no_url_has() -> None:
    lines = index_lines(a_warc())
    ids = {line.urlkey for line in lines if not line.is_capture}
    assert all(key.startswith("urn:uuid:") for key in ids)
    assert not ids & {line.urlkey for line in lines if line.is_capture}


def test_lines_say_where_their_record_is_and_when_it_was_made() -> None:
    data = exchange_records(Exchange(hops=(a_hop("https://news.example/a"),)))
    request, capture, response = index_lines(data)
    assert (request.fields["type"], response.fields["type"]) == ("request", "response")
    assert capture.place == response.place
    assert request.place == (0, response.place[0])
    assert sum(response.place) == len(data)
    assert {line.timestamp for line in (request, capture, response)} == {"20250117145902"}


def test_lines_survive_being_kept() -> None:
    lines = index_lines(a_warc())
    assert unpack_lines(pack_lines(lines)) == lines


def test_lines_are_shifted_to_where_their_data_begins_in_a_larger_file() -> None:
    data = exchange_records(Exchange(hops=(a_hop("https://news.example/a"),)))
    assert as_cdxj(index_lines(data), filename="x", shift=len(data)) == as_cdxj(
        index_lines(data + data)[3:], filename="x"
    )


def test_what_is_no_warc_has_no_index() -> None:
    assert index_lines(b"") == []
    for data in (b"junk", gzip.compress(b"no record"), a_warc()[:-1]):
        with pytest.raises(QuarantineError) as caught:
            index_lines(data)
        assert caught.value.reason == "damaged-warc"
