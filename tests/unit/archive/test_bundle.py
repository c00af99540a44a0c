"""A bundle holds all of one article, is the same file each time, and any WARC tool reads it."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from fastwarc.warc import ArchiveIterator, WarcRecordType

from tests.warcio_check import exit_code
from worker.archive.bundle import Bundle, PageRecord, bundle, feed_bundle, find_payload, read_bundle
from worker.archive.exchange import exchange_records
from worker.archive.index import index_lines
from worker.archive.records import read_records
from worker.archive.store import MissingObjectError
from worker.errors import QuarantineError
from worker.model import Exchange, Hop

BEGAN = datetime(2025, 1, 17, 14, 59, 2, tzinfo=UTC)
PAGE = gzip.compress(b"<p>The ferry is back.</p>" * 100, mtime=0)
NO_BYTES = hashlib.sha256(b"").hexdigest()
PICTURE = b"\xff\xd8\xff" + hashlib.sha256(b"picture").digest() * 40


def an_exchange(
    url: str,
    body: bytes,
    *lines: bytes,
    status: bytes = b"200 OK",
    began_at: datetime = BEGAN,
    truncated: str | None = None,
) -> bytes:
    head = b"\r\n".join((b"HTTP/1.1 " + status, *lines, b"Content-Length: %d" % len(body))) + b"\r\n\r\n"
    hop = Hop(
        url=url,
        method="GET",
        request_head=b"GET /a HTTP/1.1\r\nHost: news.example\r\n\r\n",
        status=int(status.split()[0]),
        response_head=head,
        headers=(),
        body=body,
        began_at=began_at,
        ended_at=began_at + timedelta(seconds=1),
        ip="203.0.113.7",
        truncated=truncated,
    )
    return exchange_records(Exchange(hops=(hop,)))


EXCHANGE = an_exchange(
    "http://news.example/a", b"", b"Location: https://news.example/a", status=b"301 Moved"
) + an_exchange("https://news.example/a", PAGE, b"Content-Type: text/html", b"Content-Encoding: gzip")
PICTURE_EXCHANGE = an_exchange("https://img.example/p.jpg", PICTURE, b"Content-Type: image/jpeg")


def a_bundle(**changes: Any) -> Bundle:
    given: dict[str, Any] = {
        "article_id": "b3f1",
        "revision": 1,
        "exchange_data": EXCHANGE,
        "picture_data": PICTURE_EXCHANGE,
        "metadata": {"title": "渡轮回来了", "authors": ["A"], "published_at": None},
        "markdown": "# The ferry\n\nis back. 渡轮",
        "written_at": BEGAN + timedelta(seconds=5),
        "software": "newsmill/0.1.0",
        "page_url": "https://news.example/a",
    }
    return bundle(**given | changes)


def test_a_bundle_holds_all_of_one_article() -> None:
    records = read_bundle(a_bundle().data)
    assert [(record.type, record.url) for record in records] == [
        ("warcinfo", None),
        ("request", "http://news.example/a"),
        ("response", "http://news.example/a"),
        ("request", "https://news.example/a"),
        ("response", "https://news.example/a"),
        ("request", "https://img.example/p.jpg"),
        ("response", "https://img.example/p.jpg"),
        ("metadata", "urn:metadata:https://news.example/a"),
        ("conversion", "urn:text:https://news.example/a"),
    ]
    assert records[6].payload == PICTURE
    assert json.loads(records[7].payload)["title"] == "渡轮回来了"
    assert records[8].payload.decode() == "# The ferry\n\nis back. 渡轮"
    assert records[8].content_type == "text/markdown; charset=utf-8"


def test_writing_again_gives_the_same_file() -> None:
    assert a_bundle() == a_bundle()
    shuffled = {"published_at": None, "authors": ["A"], "title": "渡轮回来了"}
    assert a_bundle(metadata=shuffled) == a_bundle()


def test_another_revision_shares_only_the_records_of_its_exchanges() -> None:
    first, second = (read_bundle(a_bundle(revision=revision).data) for revision in (1, 2))
    shared = {record.record_id for record in first} & {record.record_id for record in second}
    assert shared == {record.record_id for record in first if record.type in {"request", "response"}}


def test_a_message_leads_to_the_bytes_of_its_page() -> None:
    written = a_bundle()
    record = find_payload(written.data, written.record_id)
    assert record.payload == PAGE
    assert hashlib.sha256(record.payload).hexdigest() == written.payload_sha256
    assert ("Content-Encoding", "gzip") in record.headers
    assert record.date == BEGAN


@pytest.mark.parametrize("picture", [None, b""])
def test_an_article_from_its_feed_alone_is_named_by_its_record(picture: bytes | None) -> None:
    written = a_bundle(exchange_data=b"", picture_data=picture, page_url="urn:newsmill:b3f1")
    assert [record.type for record in read_bundle(written.data)] == ["warcinfo", "metadata", "conversion"]
    assert find_payload(written.data, written.record_id).type == "metadata"
    assert written.payload_sha256 is None


def test_an_article_without_text_has_no_conversion() -> None:
    assert read_bundle(a_bundle(markdown="").data)[-1].type == "metadata"


def test_lone_surrogates_and_hostile_urls_are_written_harmlessly() -> None:
    written = a_bundle(markdown="a\ud800b", metadata={"t": "\udfff"}, page_url="https://a.example/\r\nWARC-Type: x")
    records = read_bundle(written.data)
    assert records[-1].payload == b"a?b"
    assert records[-1].url == "urn:text:https://a.example/%0D%0AWARC-Type:%20x"


def test_a_record_that_is_not_there_is_named() -> None:
    with pytest.raises(MissingObjectError, match="urn:uuid:0"):
        find_payload(a_bundle().data, "urn:uuid:0")


def test_a_spooled_exchange_that_was_damaged_is_not_bundled() -> None:
    with pytest.raises(QuarantineError) as caught:
        a_bundle(exchange_data=EXCHANGE[:-40])
    assert caught.value.reason == "damaged-warc"


# ---------------------------------------------------------------- a payload that is held already


def refetched(body: bytes = PAGE, *, later: timedelta = timedelta(days=1), truncated: str | None = None) -> bytes:
    """Another fetch of the page: a redirect, then the page."""
    there = ("https://news.example/a", body, b"Content-Type: text/html", b"Content-Encoding: gzip")
    moved = an_exchange("http://news.example/a", b"", b"Location: /a", status=b"301 Moved", began_at=BEGAN + later)
    return moved + an_exchange(*there, began_at=BEGAN + later, truncated=truncated)


def held() -> PageRecord:
    page = a_bundle().page
    assert page is not None
    return page


def a_revision(**changes: Any) -> Bundle:
    return a_bundle(**{"revision": 2, "exchange_data": refetched(), "picture_data": None, "held": held(), **changes})


def test_the_first_bundle_says_where_its_page_is() -> None:
    first = a_bundle()
    assert first.page == PageRecord(
        record_id=first.record_id,
        url="https://news.example/a",
        date=BEGAN,
        payload_sha256=hashlib.sha256(PAGE).hexdigest(),
    )


def test_a_payload_that_is_held_is_not_written_again() -> None:
    first, second = a_bundle(), a_revision()
    records = read_bundle(second.data)
    assert [record.type for record in records] == [
        "warcinfo", "request", "response", "request", "revisit", "metadata", "conversion",
    ]  # fmt: skip
    revisit = records[4]
    assert revisit.record_id == second.record_id != first.record_id
    assert revisit.refers_to == first.record_id
    assert (revisit.payload, revisit.date) == (b"", BEGAN + timedelta(days=1))
    assert ("Content-Encoding", "gzip") in revisit.headers
    assert second.page == first.page
    assert second.payload_sha256 == first.payload_sha256
    assert {record.refers_to for record in records[5:]} == {revisit.record_id}
    assert find_payload(second.data, second.record_id) == revisit


def test_a_revisit_has_the_fields_that_its_profile_asks_for() -> None:
    (revisit,) = (record for record in read_records(a_revision().data) if record.type == "revisit")
    original = next(record for record in read_records(a_bundle().data) if record.record_id == held().record_id)
    expected = {
        "warc-profile": "http://netpreserve.org/warc/1.1/revisit/identical-payload-digest",
        "warc-refers-to": f"<{held().record_id}>",
        "warc-refers-to-target-uri": "https://news.example/a",
        "warc-refers-to-date": "2025-01-17T14:59:02.000000Z",
        "warc-payload-digest": original.fields["warc-payload-digest"],
        "warc-truncated": "length",
        "warc-ip-address": "203.0.113.7",
    }
    assert {name: revisit.fields.get(name) for name in expected} == expected


def test_the_request_of_a_revisit_refers_to_it() -> None:
    records = list(read_records(a_revision().data))
    place = next(number for number, record in enumerate(records) if record.type == "revisit")
    assert records[place - 1].fields["warc-concurrent-to"] == f"<{records[place].record_id}>"


@pytest.mark.parametrize(
    ("exchange_data", "page"),
    [
        (refetched(PAGE + b"!"), held()),
        (refetched(truncated="length"), held()),
        (refetched(b""), PageRecord(record_id="urn:uuid:1", url="x:", date=BEGAN, payload_sha256=NO_BYTES)),
    ],
    ids=["another payload", "cut", "empty"],
)
def test_what_is_not_the_same_or_not_all_of_it_stays_a_response(exchange_data: bytes, page: PageRecord) -> None:
    second = a_revision(exchange_data=exchange_data, held=page)
    assert "revisit" not in {record.type for record in read_bundle(second.data)}
    assert second.page is not None
    assert second.page.record_id == second.record_id
    assert exchange_data in second.data


def test_a_revision_without_a_fetch_refers_to_the_page_that_is_held() -> None:
    second = a_revision(exchange_data=b"")
    records = read_bundle(second.data)
    assert [record.type for record in records] == ["warcinfo", "metadata", "conversion"]
    assert {record.refers_to for record in records[1:]} == {held().record_id}
    assert second.record_id == records[1].record_id
    assert second.page == held()


def test_a_revision_written_again_is_the_same_file() -> None:
    assert a_revision() == a_revision()


# ---------------------------------------------------------------- the index

BUNDLES = {"a page and its picture": a_bundle(), "a revisit": a_revision(), "no page": a_bundle(exchange_data=b"")}


@pytest.mark.parametrize("written", BUNDLES.values(), ids=BUNDLES.keys())
def test_a_bundle_s_lines_are_those_of_its_bytes(written: Bundle) -> None:
    assert list(written.lines) == index_lines(written.data)


@pytest.mark.parametrize("written", BUNDLES.values(), ids=BUNDLES.keys())
def test_every_record_is_found_by_its_id(written: Bundle) -> None:
    by_id = {line.urlkey: line for line in written.lines if not line.is_capture}
    records = read_bundle(written.data)
    assert by_id.keys() == {record.record_id for record in records}
    for record in records:
        offset, length = by_id[record.record_id].place
        assert read_bundle(written.data[offset : offset + length]) == [record]


# ---------------------------------------------------------------- a feed document


def test_a_feed_document_is_kept_with_its_exchange() -> None:
    written = feed_bundle(
        slug="ferry", name="0a" * 32, exchange_data=EXCHANGE, written_at=BEGAN, software="newsmill/0.1.0"
    )
    records = read_bundle(written.data)
    assert [record.type for record in records] == ["warcinfo", "request", "response", "request", "response"]
    assert b"isPartOf: ferry\r\n" in records[0].payload
    assert find_payload(written.data, written.record_id).payload == PAGE
    assert list(written.lines) == index_lines(written.data)


def test_an_exchange_without_an_answer_makes_no_bundle() -> None:
    only_request = EXCHANGE[: index_lines(EXCHANGE)[0].place[1]]
    for make in (
        lambda: a_bundle(exchange_data=only_request),
        lambda: feed_bundle(slug="a", name="b", exchange_data=only_request, written_at=BEGAN, software="x"),
    ):
        with pytest.raises(QuarantineError, match="without a response"):
            make()


# ---------------------------------------------------------------- public tools

HOSTILE = "https://a.example/" + "x](y)" * 2000 + "?\r\nWARC-Type: response\r\n\r\n\x00\u2028<>"


def test_public_tools_read_joined_bundles_without_complaint(
    tmp_path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "large.warc.gz"
    hostile = a_bundle(
        article_id="d5e3",
        exchange_data=an_exchange(HOSTILE, PAGE, b"X-Odd: a\rb\x00c"),
        page_url=HOSTILE,
        metadata={"title": HOSTILE.encode("utf-8", "replace").decode()},
    )
    bundles = [a_bundle(), a_revision(), a_bundle(article_id="c4d2", exchange_data=b"", picture_data=None), hostile]
    data = b"".join(one.data for one in bundles)
    assert exit_code(path, data, verbose=True) == 0
    printed = capsys.readouterr().out
    assert printed.count("digest present but not checked (revisit)") == 1
    assert printed.count("digest pass") == sum(len(read_bundle(one.data)) for one in bundles) - 1
    assert not caplog.records
    for record in ArchiveIterator(io.BytesIO(data), parse_http=False):
        assert record.verify_block_digest()
        if record.is_http and record.record_type is not WarcRecordType.revisit:  # which has no payload to check
            record.parse_http()
            assert record.verify_payload_digest()
