"""Public tools read what we write, without a complaint, and find in it what we do."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from fastwarc.warc import ArchiveIterator

from tests.tools.conftest import Given, exported, tool, wanted
from tests.tools.corpus import HOSTILE_TITLE, Corpus
from worker.archive.index import as_cdxj, index_lines
from worker.archive.records import read_records
from worker.ledger.kept import Span
from worker.stages.export import export_wacz
from worker.wiring import now_utc

pytestmark = pytest.mark.tools


def captures(given: Given) -> list[str]:
    """Our index of the files, as one sorted CDXJ."""
    return sorted(
        line
        for file in given.files
        for line in as_cdxj([line for line in index_lines(file.read_bytes()) if line.is_capture], filename=file.name)
    )


def taken_apart(lines: list[str]) -> list[tuple[str, str, dict[str, str]]]:
    split = (line.split(" ", 2) for line in lines)
    return [(key, timestamp, json.loads(fields)) for key, timestamp, fields in split]


def test_the_corpus_holds_what_the_tests_are_about(given: Given) -> None:
    records = list(read_records(given.data))
    assert {record.type for record in records} == {
        "warcinfo", "request", "response", "revisit", "metadata", "conversion",
    }  # fmt: skip
    assert any("warc-truncated" in record.fields for record in records if record.type == "response")
    heads = [record.block.partition(b"\r\n\r\n")[0].lower() for record in records if record.type == "response"]
    assert any(b"content-encoding: gzip" in head for head in heads)
    assert any(b"x-archive-orig-transfer-encoding: chunked" in head for head in heads)
    assert any(b"content-type: image/jpeg" in head for head in heads)
    assert any(head.startswith(b"http/1.1 301") for head in heads)


def test_warcio_finds_every_digest_right(given: Given) -> None:
    done = tool("warcio", "check", "-v", *given.files)
    said = done.stdout + done.stderr
    assert (done.returncode, said.count("digest pass")) != (0, 0), said
    assert done.returncode == 0, said
    assert "digest failed" not in said
    assert "unknown" not in said.lower()


def test_warcio_lists_every_record(given: Given) -> None:
    done = tool("warcio", "index", "-f", "warc-type,warc-record-id,offset", *given.files)
    assert done.stderr == ""
    listed = [json.loads(line) for line in done.stdout.splitlines()]
    assert [(one["warc-type"], one["warc-record-id"].strip("<>")) for one in listed] == [
        (record.type, record.record_id) for record in read_records(given.data)
    ]


def test_warcio_writes_the_same_content_again(given: Given, tmp_path: Path) -> None:
    for file in given.files:
        target = tmp_path / file.name
        done = tool("warcio", "recompress", file, target)
        assert done.returncode == 0, done.stderr
        before, after = read_records(file.read_bytes()), read_records(target.read_bytes())
        assert [(one.record_id, one.block) for one in after] == [(one.record_id, one.block) for one in before]


def test_fastwarc_verifies_every_digest(given: Given) -> None:
    count = 0
    for file in given.files:
        with file.open("rb") as stream:
            for record in ArchiveIterator(stream, parse_http=False):
                assert record.verify_block_digest(consume=False), record.record_id
                count += 1
    assert count == len(list(read_records(given.data)))


def test_fastwarc_verifies_every_payload(given: Given) -> None:
    seen = set()
    for file in given.files:
        with file.open("rb") as stream:
            for record in ArchiveIterator(stream, parse_http=True):
                kind = record.headers["WARC-Type"]
                if kind in {"request", "response"}:  # FastWARC knows payloads of HTTP only
                    assert record.verify_payload_digest(), record.record_id
                    seen.add(kind)
    assert seen == {"request", "response"}


def test_cdxj_indexer_has_our_lines(given: Given) -> None:
    """Of captures: it also lists metadata, which is none; what a person looks for is a capture."""
    done = tool("cdxj-indexer", "--records", "response,revisit,resource", "--sort", *given.files)
    assert done.returncode == 0, done.stderr
    assert taken_apart(done.stdout.splitlines()) == taken_apart(captures(given))


def test_pywbs_indexer_finds_the_same_captures(given: Given) -> None:
    done = tool("cdx-indexer", "--cdxj", "--sort", *given.files)
    assert done.returncode == 0, done.stderr
    theirs = taken_apart([line for line in done.stdout.splitlines() if not line.startswith(("!meta", "urn:"))])
    names = ("url", "digest", "length", "offset", "filename")
    assert [(key, at, *(fields[name] for name in names)) for key, at, fields in theirs] == [
        (key, at, *(fields[name].removeprefix("sha1:") for name in names))
        for key, at, fields in taken_apart(captures(given))
    ]


def test_the_exported_index_is_the_one_cdxj_indexer_makes(corpus: Corpus, tmp_path: Path) -> None:
    exported(corpus, tmp_path / "all.warc.gz")
    done = tool("cdxj-indexer", "--records", "response,revisit,resource", "--sort", tmp_path / "all.warc.gz")
    ours = (tmp_path / "all.warc.gz.cdxj").read_text().splitlines()
    assert taken_apart(ours) == taken_apart(done.stdout.splitlines())


@pytest.mark.parametrize("title", ["", HOSTILE_TITLE[:4], "Only in the feed"], ids=["all", "hostile", "without a page"])
def test_wacz_validates_the_exported_one(corpus: Corpus, tmp_path: Path, title: str) -> None:
    target = tmp_path / "all.wacz"
    span = Span(pks=(corpus.row(title).id,)) if title else Span()
    export_wacz(wanted(corpus, span), target, now=now_utc())
    done = tool("wacz", "validate", "-f", target)
    assert (done.returncode, done.stdout.splitlines()[-1:]) == (
        0,
        ["Validation succeeded, the passed WACZ is valid"],
    ), done.stdout + done.stderr


def test_wacz_finds_a_changed_one(corpus: Corpus, tmp_path: Path) -> None:
    """The test above could fail."""
    target = tmp_path / "all.wacz"
    export_wacz(wanted(corpus), target, now=now_utc())
    data = bytearray(target.read_bytes())
    at = data.index(b"archive/data.warc.gz") + 2000
    data[at] ^= 1
    target.write_bytes(data)
    assert tool("wacz", "validate", "-f", target).returncode != 0
