"""A WACZ holds its WARC, an index that finds everything in it, its pages, and the digests of them all."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import zipfile
from collections.abc import Iterator
from datetime import UTC, datetime

from worker.archive.wacz import WaczPage, page_line, write_wacz

AT = datetime(2026, 11, 25, 8, 30, 15, 250_000, tzinfo=UTC)
PAGE = WaczPage(id="a-1", url="https://quay.example/tram", at=AT, title="Tram \u2028 电车", text="It runs\nagain.")


def lines(count: int) -> list[str]:
    return sorted(f'example,quay)/{number} 20261125083015 {{"offset": "{number}"}}\n' for number in range(count))


def made(*, count: int = 3, pages: tuple[WaczPage, ...] = (PAGE,)) -> bytes:
    file = io.BytesIO()
    write_wacz(
        file,
        warc=[b"one ", b"two"],
        lines=lines(count),
        pages=map(page_line, pages),
        title="news",
        software="newsmill/0.1.0",
        created_at=AT,
    )
    return file.getvalue()


def opened(data: bytes) -> zipfile.ZipFile:
    return zipfile.ZipFile(io.BytesIO(data))


def test_its_parts_are_where_players_look_for_them() -> None:
    with opened(made()) as packed:
        assert packed.namelist() == [
            "archive/data.warc.gz",
            "indexes/index.cdx.gz",
            "indexes/index.idx",
            "pages/pages.jsonl",
            "datapackage.json",
            "datapackage-digest.json",
        ]
        assert packed.read("archive/data.warc.gz") == b"one two"


def test_what_players_read_in_parts_is_stored() -> None:
    with opened(made()) as packed:
        stored = [entry.filename for entry in packed.infolist() if entry.compress_type == zipfile.ZIP_STORED]
    assert stored == ["archive/data.warc.gz", "indexes/index.cdx.gz"]


def test_every_part_is_listed_with_its_digest_and_size() -> None:
    with opened(made()) as packed:
        described = json.loads(packed.read("datapackage.json"))
        assert {one["path"] for one in described["resources"]} == set(packed.namelist()[:-2])
        for one in described["resources"]:
            data = packed.read(one["path"])
            assert (one["hash"], one["bytes"]) == (f"sha256:{hashlib.sha256(data).hexdigest()}", len(data))
        witness = json.loads(packed.read("datapackage-digest.json"))
        assert witness["hash"] == f"sha256:{hashlib.sha256(packed.read('datapackage.json')).hexdigest()}"
    assert (described["wacz_version"], described["created"]) == ("1.1.1", "2026-11-25T08:30:15Z")


def test_the_index_is_found_through_its_heads() -> None:
    """As a player does: the last head before what is sought, and that one member."""
    with opened(made(count=2500)) as packed:
        index, heads = packed.read("indexes/index.cdx.gz"), packed.read("indexes/index.idx").decode().splitlines()
    assert heads[0].startswith("!meta 0 ")
    assert len(heads) == 4
    members = []
    for head in heads[1:]:
        place = json.loads(head.partition("{")[1] + head.partition("{")[2])
        member = index[place["offset"] : place["offset"] + place["length"]]
        assert place["digest"] == f"sha256:{hashlib.sha256(member).hexdigest()}"
        text = gzip.decompress(member).decode()
        assert text.startswith(head.partition(" {")[0])
        members.append(text)
    assert "".join(members) == "".join(lines(2500))


def test_a_head_has_the_whole_key_of_its_member_whatever_is_in_that() -> None:
    file, key = io.BytesIO(), "example,quay)/a{b}?c={d}"
    line = f'{key} 20261125083015 {{"offset": "0"}}\n'
    write_wacz(file, warc=[b"x"], lines=[line], pages=[], title="t", software="s", created_at=AT)
    with opened(file.getvalue()) as packed:
        head = packed.read("indexes/index.idx").decode().splitlines()[1]
    assert head.split(" ")[:2] == [key, "20261125083015"]


def test_pages_have_title_address_time_and_text() -> None:
    with opened(made()) as packed:
        head, page = packed.read("pages/pages.jsonl").decode().splitlines()
    assert json.loads(head)["format"] == "json-pages-1.0"
    assert json.loads(page) == {
        "id": "a-1",
        "url": PAGE.url,
        "ts": "2026-11-25T08:30:15Z",
        "title": PAGE.title,
        "text": PAGE.text,
    }


def test_nothing_at_all_makes_a_wacz_too() -> None:
    with opened(made(count=0, pages=())) as packed:
        assert packed.read("indexes/index.cdx.gz") == b""
        assert packed.testzip() is None


def test_the_same_arguments_give_the_same_bytes() -> None:
    assert made() == made()


def test_index_and_pages_are_asked_for_when_the_warc_is_written() -> None:
    """They are known only then."""
    order: list[str] = []

    def noted(name: str, value: bytes | str) -> Iterator[bytes | str]:
        order.append(name)
        yield value

    write_wacz(
        io.BytesIO(),
        warc=noted("warc", b"x"),
        lines=noted("lines", lines(1)[0]),
        pages=noted("pages", page_line(PAGE)),
        title="news",
        software="newsmill/0.1.0",
        created_at=AT,
    )
    assert order == ["warc", "lines", "pages"]
