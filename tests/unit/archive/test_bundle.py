"""A bundle holds all of one article, is the same file each time, and any WARC tool reads it."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from fastwarc.warc import ArchiveIterator
from warcio.checker import Checker

from worker.archive.bundle import Bundle, bundle, find_payload, read_bundle
from worker.archive.exchange import exchange_records
from worker.archive.store import MissingObjectError
from worker.errors import QuarantineError
from worker.model import Exchange, Hop

BEGAN = datetime(2025, 1, 17, 14, 59, 2, tzinfo=UTC)
PAGE = gzip.compress(b"<p>The ferry is back.</p>" * 100, mtime=0)
PICTURE = b"\xff\xd8\xff" + hashlib.sha256(b"picture").digest() * 40


def an_exchange(url: str, body: bytes, *lines: bytes, status: bytes = b"200 OK") -> bytes:
    head = b"\r\n".join((b"HTTP/1.1 " + status, *lines, b"Content-Length: %d" % len(body))) + b"\r\n\r\n"
    hop = Hop(
        url=url,
        method="GET",
        request_head=b"GET /a HTTP/1.1\r\nHost: news.example\r\n\r\n",
        status=int(status.split()[0]),
        response_head=head,
        headers=(),
        body=body,
        began_at=BEGAN,
        ended_at=BEGAN + timedelta(seconds=1),
        ip="203.0.113.7",
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
        ("metadata", "https://news.example/a"),
        ("conversion", "https://news.example/a"),
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
    assert records[-1].url == "https://a.example/%0D%0AWARC-Type:%20x"


def test_a_record_that_is_not_there_is_named() -> None:
    with pytest.raises(MissingObjectError, match="urn:uuid:0"):
        find_payload(a_bundle().data, "urn:uuid:0")


def test_a_spooled_exchange_that_was_damaged_is_not_bundled() -> None:
    with pytest.raises(QuarantineError) as caught:
        a_bundle(exchange_data=EXCHANGE[:-40])
    assert caught.value.reason == "damaged-warc"


def test_public_tools_read_joined_bundles_without_complaint(
    tmp_path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "large.warc.gz"
    data = a_bundle().data + a_bundle(article_id="c4d2", exchange_data=b"", picture_data=None).data
    path.write_bytes(data)

    class Arguments:
        inputs = (str(path),)
        verbose = True

    checker = Checker(Arguments())
    checker.process_all()
    assert checker.exit_value == 0
    assert capsys.readouterr().out.count("digest pass") == 12
    assert not caplog.records
    for record in ArchiveIterator(io.BytesIO(data), parse_http=False):
        assert record.verify_block_digest()
        if record.is_http:
            record.parse_http()
            assert record.verify_payload_digest()
