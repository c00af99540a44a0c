from __future__ import annotations

import gzip
import time
import zlib
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.errors import QuarantineError
from worker.fetch import coding
from worker.fetch.coding import MAX_MEMBERS, Inflater, content_codings, decoded_body
from worker.fetch.trouble import FetchFailedError
from worker.model import Hop

NOON = datetime(2025, 1, 17, 12, tzinfo=UTC)
TEXT = b"news and more news " * 50
EMPTY_MEMBER = gzip.compress(b"")


def hop(body: bytes, *codings: str, truncated: str | None = None) -> Hop:
    return Hop(
        url="http://e.example/", method="GET", request_head=b"", status=200, response_head=b"", body=body,
        headers=tuple(("content-ENCODING", coding) for coding in codings), began_at=NOON, ended_at=NOON, ip=None,
        truncated=truncated,
    )  # fmt: skip


def bare_deflate(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(data) + packer.flush()


@pytest.mark.parametrize(
    ("body", "codings"),
    [
        pytest.param(TEXT, (), id="plain"),
        pytest.param(TEXT, ("identity",), id="identity"),
        pytest.param(TEXT, ("UTF-8",), id="a charset in the wrong header"),
        pytest.param(gzip.compress(TEXT), ("gzip",), id="gzip"),
        pytest.param(gzip.compress(TEXT), ("X-GZIP",), id="x-gzip"),
        pytest.param(gzip.compress(TEXT[:100]) + gzip.compress(TEXT[100:]), ("gzip",), id="two members"),
        pytest.param(gzip.compress(TEXT) + bytes(100), ("gzip",), id="padding behind"),
        pytest.param(gzip.compress(TEXT) + b"\x1f", ("gzip",), id="half a start behind"),
        pytest.param(zlib.compress(TEXT), ("deflate",), id="deflate with zlib wrapper"),
        pytest.param(bare_deflate(TEXT), ("deflate",), id="bare deflate"),
        pytest.param(gzip.compress(zlib.compress(TEXT)), ("deflate, gzip",), id="two codings"),
        pytest.param(gzip.compress(gzip.compress(TEXT)), ("gzip", "gzip"), id="twice the same, in two headers"),
    ],
)
def test_codings_are_undone(body: bytes, codings: tuple[str, ...]) -> None:
    assert decoded_body(hop(body, *codings), 10_000) == TEXT
    assert decoded_body(hop(body, *codings), 30) == TEXT[:30]


def test_empty_body_is_empty_in_any_coding() -> None:
    assert decoded_body(hop(b"", "gzip"), 10) == b""


@pytest.mark.parametrize("name", ["br", "zstd", "compress", "gzip, gzip, gzip", "nonsense"])
def test_coding_we_do_not_read_is_set_aside(name: str) -> None:
    with pytest.raises(QuarantineError, match="bad-encoding"):
        decoded_body(hop(b"x", name), 10)


@pytest.mark.parametrize("keep_bytes", [1, 5, 30, -1, -8])
def test_cut_stream_is_told_from_a_whole_one(keep_bytes: int) -> None:
    cut = gzip.compress(TEXT)[:keep_bytes]
    with pytest.raises(FetchFailedError) as caught:
        decoded_body(hop(cut, "gzip"), 10_000)
    assert caught.value.cause == "truncated"


def test_stream_that_the_fetch_cut_gives_what_it_has() -> None:
    assert TEXT.startswith(decoded_body(hop(gzip.compress(TEXT)[:-20], "gzip", truncated="length"), 10_000))


def test_bomb_in_a_bomb_costs_no_more_than_the_cap() -> None:
    bomb = gzip.compress(gzip.compress(bytes(30_000_000)))
    assert decoded_body(hop(bomb, "gzip", "gzip"), 1000) == bytes(1000)


def test_wrapper_of_a_small_page_is_read_to_the_cap_only(monkeypatch: pytest.MonkeyPatch) -> None:
    inflated_bytes = count_inflated(monkeypatch)
    body = gzip.compress(gzip.compress(TEXT) + bytes(30_000_000))
    inflater = Inflater(("gzip", "gzip"), 100_000)
    assert b"".join(inflater.feed(body)) == TEXT
    assert b"".join(inflater.feed(body)) == b""
    assert inflater.is_full
    assert sum(inflated_bytes) < 300_000
    assert decoded_body(hop(body, "gzip", "gzip"), 100_000) == TEXT


def test_page_that_ends_at_the_cap_is_whole() -> None:
    inflater = Inflater(("gzip",), len(TEXT))
    assert b"".join(inflater.feed(gzip.compress(TEXT))) == TEXT
    assert not inflater.is_full
    inflater.finish()


def test_members_without_number_are_damage() -> None:
    assert decoded_body(hop(EMPTY_MEMBER * (MAX_MEMBERS - 1) + gzip.compress(TEXT), "gzip"), 10_000) == TEXT
    with pytest.raises(FetchFailedError) as caught:
        decoded_body(hop(EMPTY_MEMBER * MAX_MEMBERS + gzip.compress(TEXT), "gzip"), 10_000)
    assert caught.value.cause == "damaged"


def test_small_members_before_a_long_rest_stay_cheap() -> None:
    body = EMPTY_MEMBER * (MAX_MEMBERS - 1) + bytes(16_000_000)
    began = time.process_time()
    assert decoded_body(hop(body, "gzip"), 4096) == b""
    assert time.process_time() - began < 2  # it takes 0.04 s; copying the rest for each member took 20


def count_inflated(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The size of each piece that any layer gives from now on."""
    sizes: list[int] = []
    inflated = coding._inflated

    def counting(engine: Any, data: bytes) -> Iterator[bytes]:
        for piece in inflated(engine, data):
            sizes.append(len(piece))
            yield piece

    monkeypatch.setattr(coding, "_inflated", counting)
    return sizes


@given(st.binary(max_size=2000), st.lists(st.integers(1, 50), min_size=1, max_size=5), st.sampled_from([31, 15, -15]))
def test_pieces_of_any_size_give_the_same(data: bytes, sizes: list[int], wbits: int) -> None:
    packer = zlib.compressobj(wbits=wbits)
    packed = packer.compress(data) + packer.flush()
    inflater = Inflater(("gzip",) if wbits == 31 else ("deflate",), 10**9)
    got, position, turn = b"", 0, 0
    while position < len(packed):
        size = sizes[turn % len(sizes)]
        got += b"".join(inflater.feed(packed[position : position + size]))
        position, turn = position + size, turn + 1
    inflater.finish()
    assert got == data


@given(st.binary(max_size=200), st.sampled_from(["gzip", "deflate"]))
def test_any_bytes_give_bytes_or_a_named_failure(data: bytes, name: str) -> None:
    outcome = "bytes"
    try:
        assert len(decoded_body(hop(data, name), 100)) <= 100
    except FetchFailedError as failed:
        outcome = failed.cause
    assert outcome in {"bytes", "damaged", "truncated"}


def test_order_of_codings_is_that_of_their_application() -> None:
    assert content_codings([("Content-Encoding", "deflate"), ("content-encoding", "GZIP, identity")]) == (
        "deflate",
        "gzip",
    )
