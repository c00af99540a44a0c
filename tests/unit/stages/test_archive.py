"""What the archive keeps of an article and of a feed, written by the line from a real server's answers."""

from __future__ import annotations

import dataclasses
import gzip
import hashlib
import io
import json
import re
from datetime import datetime, timedelta
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from fastwarc.warc import ArchiveIterator, WarcRecordType

from tests.newsserver import Answer, NewsServer, article_page, paragraphs
from tests.unit.stages.conftest import Line
from tests.unit.stages.test_outcomes import follow_one, item, one_article, picture, with_picture
from tests.warcio_check import exit_code
from worker import stages
from worker.archive.bundle import BundleRecord, find_payload, read_bundle
from worker.archive.index import index_lines, unpack_lines
from worker.archive.store import checked_key
from worker.ledger import articles
from worker.ledger.tables import Row, bundles, polls
from worker.ledger.tables import articles as articles_table
from worker.model import Entry, State
from worker.stages.archive import SOFTWARE
from worker.stages.deps import packed
from worker.stages.kept import kept_bytes

PAGE = article_page("The ferry sails again", paragraphs(1))


def kept(line: Line, key: str) -> bytes:
    return kept_bytes(line.deps.ledger, line.deps.store, key)


def records(line: Line, row: Row) -> list[BundleRecord]:
    return read_bundle(kept(line, row.archive["warc"]))


def noted(line: Line) -> list[Row]:
    with line.deps.ledger.reading() as tx:
        return list(tx.execute(sa.select(bundles).order_by(bundles.c.kept_at)))


def raw(head: bytes, body: bytes = b"") -> Any:
    """A route that sends exactly these bytes."""

    def answer(handler: BaseHTTPRequestHandler) -> Answer:
        handler.wfile.write(head + b"\r\n\r\n" + body)
        handler.wfile.flush()
        raise ConnectionAbortedError  # that was all: the server must not answer besides

    return answer


def nothing_is_wrong(tmp_path: Path, data: bytes) -> None:
    """Neither for warcio nor for FastWARC."""
    path = tmp_path / "checked.warc.gz"
    assert exit_code(path, data) == 0
    for record in ArchiveIterator(io.BytesIO(data), parse_http=False):
        assert record.verify_block_digest()
        if record.is_http and record.record_type is not WarcRecordType.revisit:
            record.parse_http()
            assert record.verify_payload_digest()


# ---------------------------------------------------------------- one article


def test_the_row_says_where_everything_is(line: Line, site: NewsServer) -> None:
    follow_one(line, site, one_article(site))
    row = line.row()
    archive, day = row.archive, row.discovered_at.strftime("%Y/%m/%d")
    assert archive["warc"] == f"warc/{day}/{row.article_id}-1.warc.gz"
    page = find_payload(kept(line, archive["page"]["warc"]), archive["page"]["record_id"])
    assert page.payload == PAGE.encode()
    assert archive["page"] == {
        "warc": archive["warc"],
        "record_id": archive["record_id"],
        "url": site.base + "/news/ferry.html",
        "date": page.date.isoformat(),
    }
    assert datetime.fromisoformat(archive["page"]["date"]).tzinfo is not None
    assert archive["payload_sha256"] == hashlib.sha256(PAGE.encode()).hexdigest()
    assert archive["document_sha256"] == hashlib.sha256(kept(line, archive["document"])).hexdigest()
    assert kept(line, archive["html_ref"]).startswith(b"<")


def test_the_bundle_is_noted_with_its_index(line: Line, site: NewsServer) -> None:
    follow_one(line, site, one_article(site))
    row, data = line.row(), kept(line, line.row().archive["warc"])
    (note,) = (one for one in noted(line) if one.article_pk is not None)
    assert (note.key, note.article_pk, note.bytes) == (row.archive["warc"], row.id, len(data))
    assert unpack_lines(note.lines) == index_lines(data)


def test_a_row_that_was_taken_over_meanwhile_notes_no_bundle(line: Line, site: NewsServer) -> None:
    line.follow("ferry", site.feed("/feed.xml", [item(one_article(site))]))
    line.poll()
    (batch,) = stages.dispatch(line.deps).batches
    ids = line.work(batch, until="archive")
    store = line.deps.store

    class Slow:
        """While it writes the bundle, somebody else takes the row."""

        def __getattr__(self, name: str) -> Any:
            return getattr(store, name)

        def put(self, key: str, data: bytes, **named: Any) -> bool:
            if key.startswith("warc/"):
                with line.deps.ledger.transaction() as tx:
                    tx.execute(articles_table.update().values(lease_token="somebody else's"))
            return store.put(key, data, **named)

    deps = dataclasses.replace(line.deps, store=Slow())
    assert stages.archive(deps, ids, token=batch.token) == []
    assert (line.row().state, line.row().archive) == (State.PICTURED, None)
    assert [note.key for note in noted(line) if note.article_pk is not None] == []


def test_the_article_record_holds_what_the_feed_said(line: Line, site: NewsServer) -> None:
    follow_one(line, site, one_article(site))
    metadata = next(record for record in records(line, line.row()) if record.type == "metadata")
    facts = json.loads(metadata.payload)
    assert facts["text"].split("\n\n") == paragraphs(1)
    assert facts["entry"]["summary_html"] == "One sentence."
    assert facts["entry"]["url"] == site.base + "/news/ferry.html"
    assert not facts.keys() & {"html", "markdown"}
    assert metadata.refers_to == line.row().archive["record_id"]


def test_the_version_stands_in_one_place(line: Line, site: NewsServer) -> None:
    follow_one(line, site, one_article(site))
    assert f"software: {SOFTWARE}\r\n".encode() in records(line, line.row())[0].payload
    assert re.fullmatch(r"newsmill/\d+\.\d+\.\d+\S*", SOFTWARE)


def test_an_article_of_its_feed_alone_has_no_page(line: Line, site: NewsServer) -> None:
    text = "".join(f"<p>{paragraph}</p>" for paragraph in paragraphs(9, 8))
    line.follow("ferry", site.feed("/feed.xml", [{"title": "Only here", "guid": "1", "description": text}]))
    line.poll()
    line.run()
    archive = line.row().archive
    assert (archive["page"], archive["payload_sha256"]) == (None, None)
    assert find_payload(kept(line, archive["warc"]), archive["record_id"]).type == "metadata"


# ---------------------------------------------------------------- what crossed the wire


GZIPPED = gzip.compress(PAGE.encode(), mtime=0)
CHUNKS = b"".join(
    b"%x\r\n%b\r\n" % (len(GZIPPED[at : at + 300]), GZIPPED[at : at + 300]) for at in range(0, len(GZIPPED), 300)
)
HEADS = {
    "gzipped": (b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\ncontent-ENCODING: gzip\r\nContent-Length: %d" % len(GZIPPED), GZIPPED),
    "chunked": (
        b"HTTP/1.1 200 Fine\r\nContent-Type: text/html\r\nContent-Encoding: gzip\r\nTransfer-Encoding: chunked", CHUNKS + b"0\r\n\r\n"
    ),
    "duplicates": (
        b"HTTP/1.1 200 OK\r\nx-b: 2\r\nX-A: 1\r\nSet-Cookie: a=1\r\nset-cookie: b=2\r\nX-a: 3\r\nContent-Type: text/html\r\n"
        b"Content-Encoding: gzip\r\nContent-Length: %d" % len(GZIPPED), GZIPPED,
    ),
    "odd lines": (
        b"HTTP/1.1 200\r\nno colon here\r\nX-Odd : 1\r\nX-Long: one\r\n\ttwo\r\nX-Name: caf\xe9\r\nContent-Type: text/html\r\n"
        b"Content-Encoding: gzip\r\nContent-Length: %d" % len(GZIPPED), GZIPPED,
    ),
    "until closed": (b"HTTP/1.0 200 OK\r\nContent-Type: text/html\r\nContent-Encoding: gzip", GZIPPED),
}  # fmt: skip


@pytest.mark.parametrize(("head", "body"), HEADS.values(), ids=HEADS.keys())
def test_an_answer_is_kept_as_it_came(line: Line, site: NewsServer, tmp_path: Path, head: bytes, body: bytes) -> None:
    site.routes["/news/ferry.html"] = raw(head, body)
    follow_one(line, site, site.base + "/news/ferry.html")
    (message,) = line.messages
    page = find_payload(kept(line, message["archive"]["warc"]), message["archive"]["record_id"])
    assert page.payload == GZIPPED
    stored = re.sub(rb"X-Archive-Orig-(Transfer-Encoding: chunked)\r\nContent-Length: \d+", rb"\1", page.http_head)
    assert stored == head + b"\r\n\r\n"
    nothing_is_wrong(tmp_path, kept(line, message["archive"]["warc"]))


def test_redirects_and_the_picture_are_kept_hop_by_hop(line: Line, site: NewsServer, tmp_path: Path) -> None:
    with_picture(site, picture(640, 360))
    site.routes["/go"] = Answer(b"moved", 301, {"Location": "/on"})
    site.routes["/on"] = Answer(b"", 302, {"Location": "/news/ferry.html"})
    follow_one(line, site, site.base + "/go")
    found = [(one.type, (one.url or "").removeprefix(site.base)) for one in records(line, line.row())]
    hops = ["/go", "/on", "/news/ferry.html", "/ferry.jpg"]
    assert found[1:9] == [(kind, path) for path in hops for kind in ("request", "response")]
    nothing_is_wrong(tmp_path, kept(line, line.row().archive["warc"]))


def test_a_page_that_was_cut_says_so(tmp_path: Path, site: NewsServer) -> None:
    line = Line(tmp_path, NEWSMILL_PAGE_CAP_BYTES="65536")
    site.page("/news/ferry.html", PAGE + "<!-- " + "x" * 100_000)
    follow_one(line, site, site.base + "/news/ferry.html")
    row = line.row()
    assert row.archive is not None, (row.state, row.reason)
    page = find_payload(kept(line, row.archive["warc"]), row.archive["record_id"])
    assert len(page.payload) == 65536
    assert b"WARC-Truncated: length\r\n" in unpacked_head(line, row)
    nothing_is_wrong(tmp_path, kept(line, row.archive["warc"]))
    line.close()


def unpacked_head(line: Line, row: Row) -> bytes:
    """The WARC fields of the page's record."""
    data = kept(line, row.archive["warc"])
    start, length = next(one.place for one in index_lines(data) if one.urlkey == row.archive["record_id"])
    return gzip.decompress(data[start : start + length]).partition(b"\r\n\r\n")[0] + b"\r\n"


HOSTILE_TITLES = [
    "a](http://evil.example)\r\nWARC-Type: response",
    "\x7f\x85 odd\u2028ones",
    "t" * 10_000,
    "../../etc/passwd",
    "电车 \u202e",
]
HOSTILE_PATHS = [
    "/a](b)|%22%27",
    "/%0d%0aWARC-Type:%20response",
    "/%00/..%2f..%2fetc",
    "/" + "x" * 1900,
    "/电车?q=%e7%94",
]


@pytest.mark.parametrize(
    ("title", "path"), [*zip(HOSTILE_TITLES, HOSTILE_PATHS, strict=True)], ids=["header", "nul", "long", "path", "bidi"]
)
def test_hostile_titles_and_urls_reach_no_key_and_break_no_record(
    line: Line, site: NewsServer, tmp_path: Path, title: str, path: str
) -> None:
    page = article_page(title, paragraphs(3))

    def any_page(handler: BaseHTTPRequestHandler) -> Answer:
        return Answer(page.encode("utf-8", "replace"), 200, {"Content-Type": "text/html; charset=utf-8"})

    class AnyPath(dict[str, Any]):
        def get(self, key: str, default: Any = None) -> Any:
            return super().get(key, default if key == "/robots.txt" or "feed" in key else any_page)

    site.routes = AnyPath(site.routes)
    entry = item(site.base + path, title=title)
    line.follow("ferry", site.feed("/feed.xml", [entry]))
    line.poll()
    line.run()
    assert line.row().state == State.PUBLISHED, (line.row().reason, line.row().detail)
    data = kept(line, line.row().archive["warc"])
    nothing_is_wrong(tmp_path, data)
    assert [record.type for record in read_bundle(data)] == [
        "warcinfo",
        "request",
        "response",
        "metadata",
        "conversion",
    ]
    assert all(len(one.urlkey.split()) == 1 for one in index_lines(data))
    for key in line.deps.store.keys(""):
        assert checked_key(key) == key
        assert re.fullmatch(r"(warc|documents|feeds|html|text|pictures|spool|index)/[a-z0-9/._-]+", key)


# ---------------------------------------------------------------- later revisions


def revise(line: Line, **values: Any) -> Row:
    """Another revision of the article, from the start or from where ``values`` put it: the feed has a new date for it.

    Returns: its row at the end.
    """
    first, now = line.row(), line.now()
    entry = packed(Entry(guid=first.guid, url=first.url, title=first.title, published_at=now))
    row = {
        **{name: getattr(first, name) for name in ("article_id", "feed_id", "url", "guid", "title", "host")},
        "priority": first.priority,
        "feed_date": first.feed_date,
        "discovered_at": now,
        "ready_at": now,
        "revision": 2,
        "state": State.DISCOVERED,
        **values,
    }
    with line.deps.ledger.transaction() as tx:
        articles.insert_discovered(tx, [row], {first.article_id: entry})
        if "state" in values:
            last = tx.scalar(sa.select(sa.func.max(articles_table.c.id)))
            body = articles.record_bodies(tx, [first.id])[first.id]
            articles.save_records(tx, {last: body})
    line.run()
    second = next(row for row in line.rows() if row.revision == 2)
    assert second.archive is not None, (second.state, second.reason, second.detail)
    return second


def test_a_page_fetched_again_unchanged_is_a_revisit_of_the_one_that_is_held(
    line: Line, site: NewsServer, tmp_path: Path
) -> None:
    follow_one(line, site, one_article(site))
    first, second = line.row(), revise(line)
    assert second.archive["warc"] != first.archive["warc"]
    revisit = find_payload(kept(line, second.archive["warc"]), second.archive["record_id"])
    assert (revisit.type, revisit.refers_to, revisit.payload) == ("revisit", first.archive["record_id"], b"")
    assert b"200 OK" in revisit.http_head
    assert second.archive["page"] == first.archive["page"]
    assert second.archive["payload_sha256"] == first.archive["payload_sha256"]
    nothing_is_wrong(tmp_path, kept(line, first.archive["warc"]) + kept(line, second.archive["warc"]))


def test_nothing_leads_into_a_bundle_that_is_damaged_anywhere(line: Line, site: NewsServer) -> None:
    """Its page may be good: but it is fetched again because its bundle is not."""
    follow_one(line, site, with_picture(site, picture(640, 360)))
    first = line.row()
    data = bytearray(kept(line, first.archive["warc"]))
    start, length = index_lines(bytes(data))[-1].place
    data[start + length // 2] ^= 1
    line.deps.store.put(first.archive["warc"], bytes(data))
    second = revise(line)
    assert second.archive["page"]["warc"] == second.archive["warc"]
    assert find_payload(kept(line, second.archive["warc"]), second.archive["record_id"]).type == "response"


def test_a_page_that_changed_is_kept_again(line: Line, site: NewsServer) -> None:
    follow_one(line, site, one_article(site))
    site.page("/news/ferry.html", PAGE.replace("All rights", "Some rights"))
    second = revise(line)
    assert second.archive["page"]["warc"] == second.archive["warc"]
    assert find_payload(kept(line, second.archive["warc"]), second.archive["record_id"]).type == "response"


def test_a_revision_out_of_the_archive_points_at_the_page_that_is_held(line: Line, site: NewsServer) -> None:
    follow_one(line, site, with_picture(site, picture(640, 360)))
    first = line.row()
    exchange = {"url_final": first.exchange["url_final"], "status": 200, "problem": None}
    moments = {"extracted_at": line.now(), "pictured_at": line.now(), "downloaded_at": first.downloaded_at}
    seen = {**first.picture, "spool": None}
    second = revise(line, state=State.PICTURED, exchange=exchange, picture=seen, **moments)
    archive = second.archive
    assert (archive["page"], archive["payload_sha256"]) == (first.archive["page"], first.archive["payload_sha256"])
    metadata = find_payload(kept(line, archive["warc"]), archive["record_id"])
    assert (metadata.type, metadata.refers_to) == ("metadata", first.archive["record_id"])
    assert {record.type for record in records(line, second)} == {"warcinfo", "metadata", "conversion"}
    assert json.loads(metadata.payload)["image"]["ref"] == first.picture["ref"]


def test_a_page_that_newsmill_0_1_kept_is_held_too(line: Line, site: NewsServer) -> None:
    follow_one(line, site, one_article(site))
    first = line.row()
    old = {name: value for name, value in first.archive.items() if name not in {"page", "document_sha256"}}
    with line.deps.ledger.transaction() as tx:
        tx.execute(articles_table.update().values(archive=old))
    second = revise(line)
    assert second.archive["page"] == first.archive["page"]


# ---------------------------------------------------------------- feed documents


def documents(line: Line) -> list[str]:
    with line.deps.ledger.reading() as tx:
        return list(tx.scalars(sa.select(polls.c.document).where(polls.c.document.is_not(None)).order_by(polls.c.id)))


def again(line: Line) -> None:
    line.later(hours=2)
    line.poll()


def test_a_feed_document_that_changed_is_kept_as_it_came(line: Line, site: NewsServer, tmp_path: Path) -> None:
    line.follow("ferry", site.feed("/feed.xml", [item(one_article(site))]))
    line.poll()
    again(line)
    first = site.routes["/feed.xml"].body  # type: ignore[union-attr]
    site.feed("/feed.xml", [item(one_article(site)), item(one_article(site, "/news/other.html"))])
    again(line)
    second = site.routes["/feed.xml"].body  # type: ignore[union-attr]
    keys = documents(line)
    assert [key.rpartition("/")[2] for key in keys] == [
        f"{hashlib.sha256(body).hexdigest()}.warc.gz" for body in (first, second)
    ]
    for key, body in zip(keys, (first, second), strict=True):
        data = kept(line, key)
        kinds = [record.type for record in read_bundle(data)]
        assert kinds == ["warcinfo", "request", "response"]
        assert read_bundle(data)[2].payload == body
        nothing_is_wrong(tmp_path, data)
    notes = {one.key: one for one in noted(line) if one.article_pk is None}
    assert notes.keys() == set(keys)
    assert [unpack_lines(notes[key].lines) for key in keys] == [index_lines(kept(line, key)) for key in keys]


def at_noon(line: Line) -> None:
    """So that the day is still the same some minutes later."""
    now = line.now()
    line.ahead += now.replace(hour=12, minute=0) + timedelta(days=1) - now


def test_a_document_that_comes_back_the_same_day_is_not_kept_twice(line: Line, site: NewsServer) -> None:
    at_noon(line)
    one, other = [item(one_article(site))], [item(one_article(site, "/news/other.html"))]
    line.follow("ferry", site.feed("/feed.xml", one))
    line.poll()
    (key,) = documents(line)
    data = kept(line, key)
    for items in (other, one):
        site.feed("/feed.xml", items)
        again(line)
    first, second, third = documents(line)
    assert first == third != second
    assert kept(line, key) == data
    assert len([note for note in noted(line) if note.article_pk is None]) == 2


def test_a_document_whose_poll_was_not_saved_is_noted_by_the_next_as_it_lies_there(
    line: Line, site: NewsServer
) -> None:
    at_noon(line)
    line.follow("ferry", site.feed("/feed.xml", [item(one_article(site))]))
    line.poll()
    (key,) = documents(line)
    data = kept(line, key)
    with line.deps.ledger.transaction() as tx:
        tx.execute(bundles.delete())
        tx.execute(sa.text("UPDATE feeds SET body_sha256 = NULL"))
    again(line)
    assert documents(line) == [key, key]
    assert kept(line, key) == data
    (note,) = noted(line)
    assert (note.bytes, unpack_lines(note.lines)) == (len(data), index_lines(data))


@pytest.mark.parametrize("cut", [0, 4, None, -30], ids=["nothing", "no record", "its first record", "all but its end"])
def test_a_damaged_document_of_a_poll_that_was_not_saved_does_not_keep_the_feed_from_being_polled(
    line: Line, site: NewsServer, cut: int | None
) -> None:
    at_noon(line)
    line.follow("ferry", site.feed("/feed.xml", [item(one_article(site))]))
    line.poll()
    (key,) = documents(line)
    whole = kept(line, key)
    end = index_lines(whole)[0].place[1] if cut is None else cut
    line.deps.store.put(key, whole[:end])
    with line.deps.ledger.transaction() as tx:
        tx.execute(bundles.delete())
        tx.execute(sa.text("UPDATE feeds SET body_sha256 = NULL"))
    again(line)
    assert documents(line) == [key, key]
    (note,) = noted(line)
    assert (note.bytes, unpack_lines(note.lines)) == (len(kept(line, key)), index_lines(kept(line, key)))
    assert [record.type for record in read_bundle(kept(line, key))] == ["warcinfo", "request", "response"]


def test_no_secret_of_a_feed_is_kept(tmp_path: Path, site: NewsServer) -> None:
    line = Line(tmp_path, FERRY_KEY="s3cret-value")
    site.feed("/there.xml", [item(one_article(site))])
    there = site.routes["/there.xml"]
    assert isinstance(there, Answer)
    site.routes["/there.xml"] = Answer(there.body, 200, {**there.headers, "Set-Cookie": "session=s3cret-cookie"})
    site.routes["/feed.xml"] = Answer(b"", 302, {"Location": "/there.xml", "set-cookie": "first=s3cret-too"})
    headers = {"X-Api-Key": "${FERRY_KEY}", "X-Plain": "s3cret-plain"}
    line.follow("ferry", site.base + "/feed.xml", headers=headers)
    line.poll()
    assert "s3cret-value" in {sent.get("X-Api-Key") for _, path, sent in site.seen if path == "/feed.xml"}
    (key,) = documents(line)
    unpacked = b"".join(
        gzip.decompress(kept(line, key)[start : start + length])
        for start, length in {one.place for one in index_lines(kept(line, key))}
    )
    assert b"s3cret" not in unpacked
    assert unpacked.count(b"redacted") >= 3
    assert b"Location: /there.xml" in unpacked
    line.close()
