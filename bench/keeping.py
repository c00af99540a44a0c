"""What is kept of an article, written by us and in warcio's usual way: the same records from the same facts."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
from warcio.statusandheaders import StatusAndHeaders
from warcio.warcwriter import WARCWriter

from bench.pages import picture
from worker.archive.bundle import Bundle, bundle
from worker.archive.document import render_document
from worker.archive.exchange import exchange_records
from worker.extract.article import extract_article
from worker.model import ArticleRecord, Exchange, Hop

BEGAN_AT = datetime(2026, 11, 25, 6, 0, tzinfo=UTC)
SOFTWARE = "newsmill/bench"
PICTURES = 50  # different ones; drawing a thousand would take longer than what is measured


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """One article as the archive stage has it: its exchanges and its record."""

    article_id: str
    url: str
    page: Exchange
    picture: Exchange
    record: ArticleRecord

    @property
    def picture_sha256(self) -> str:
        return hashlib.sha256(self.picture.final.body).hexdigest()

    def metadata(self) -> dict[str, Any]:
        facts: dict[str, Any] = msgspec.to_builtins(self.record)
        return {name: value for name, value in facts.items() if name not in {"html", "markdown", "image_candidates"}}

    def document(self) -> bytes:
        return render_document(self.record, feed_date=BEGAN_AT, discovered_at=BEGAN_AT, url=self.url)


def kept_articles(pages: Sequence[bytes]) -> list[Kept]:
    """The pages as if fetched, gzipped as most sites send them, each with a picture."""
    pictures = [picture(number) for number in range(min(PICTURES, len(pages)))]
    return [_kept(number, html, pictures[number % len(pictures)]) for number, html in enumerate(pages)]


def _kept(number: int, html: bytes, image: bytes) -> Kept:
    url = f"https://site-{number % 50}.example/news/{number}.html"
    began_at = BEGAN_AT + timedelta(seconds=number)
    page = _hop(url, gzip.compress(html, 6, mtime=0), "text/html; charset=utf-8", began_at, coding="gzip")
    lead = _hop(f"{url}.jpg", image, "image/jpeg", began_at + timedelta(seconds=1))
    return Kept(
        article_id=hashlib.sha256(url.encode()).hexdigest()[:32],
        url=url,
        page=Exchange(hops=(page,)),
        picture=Exchange(hops=(lead,)),
        record=extract_article(html, url),
    )


def _hop(url: str, body: bytes, content_type: str, began_at: datetime, *, coding: str | None = None) -> Hop:
    host, _, path = url.removeprefix("https://").partition("/")
    headers = [
        ("Date", "Wed, 25 Nov 2026 06:00:00 GMT"),
        ("Content-Type", content_type),
        *([("Content-Encoding", coding)] if coding else []),
        ("Content-Length", str(len(body))),
        ("Server", "nginx"),
        ("Cache-Control", "max-age=60"),
        ("ETag", f'"{hashlib.sha256(body).hexdigest()[:16]}"'),
    ]
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers)
    return Hop(
        url=url,
        method="GET",
        request_head=f"GET /{path} HTTP/1.1\r\nHost: {host}\r\nAccept-Encoding: gzip\r\n\r\n".encode(),
        status=200,
        response_head=f"HTTP/1.1 200 OK\r\n{lines}\r\n".encode(),
        headers=tuple(headers),
        body=body,
        began_at=began_at,
        ended_at=began_at + timedelta(milliseconds=200),
        ip="192.0.2.1",
    )


def our_bundles(kept: Sequence[Kept]) -> Iterator[bytes]:
    """All that the line does for it: exchanges as records, then the bundle of them."""
    for one in kept:
        yield bundle_of(one).data


def bundle_of(one: Kept) -> Bundle:
    return bundle(
        article_id=one.article_id,
        revision=1,
        exchange_data=exchange_records(one.page),
        picture_data=exchange_records(one.picture),
        metadata=one.metadata(),
        markdown=one.record.markdown,
        written_at=one.page.fetched_at,
        software=SOFTWARE,
        page_url=one.url,
    )


# ---------------------------------------------------------------- the peer


def warcio_records(kept: Sequence[Kept]) -> Iterator[bytes]:
    """The same records as warcio's documentation writes them: one writer, gzip at its default level."""
    for one in kept:
        out = io.BytesIO()
        writer = WARCWriter(out, gzip=True, warc_version="1.1")
        named = f"{one.article_id}-1.warc.gz"
        info = {"software": SOFTWARE, "format": "WARC File Format 1.1"}
        writer.write_record(writer.create_warcinfo_record(named, info))
        response = _exchanged(writer, one.page)
        _exchanged(writer, one.picture)
        facts = json.dumps(one.metadata(), ensure_ascii=False, sort_keys=True)
        for kind, text, content_type in (
            ("metadata", facts, "application/json"),
            ("conversion", one.record.markdown, "text/markdown; charset=utf-8"),
        ):
            record = writer.create_warc_record(
                one.url,
                kind,
                payload=io.BytesIO(text.encode("utf-8", "replace")),
                warc_content_type=content_type,
                warc_headers_dict={"WARC-Refers-To": response},
            )
            writer.write_record(record)
        yield out.getvalue()


def _exchanged(writer: WARCWriter, exchange: Exchange) -> str:
    hop = exchange.final
    status = hop.response_head.split(b"\r\n", 1)[0].decode().split(" ", 1)
    response = writer.create_warc_record(
        hop.url,
        "response",
        payload=io.BytesIO(hop.body),
        http_headers=StatusAndHeaders(status[1], list(hop.headers), protocol=status[0]),
    )
    first, *lines = hop.request_head.decode().strip().split("\r\n")
    request = writer.create_warc_record(
        hop.url,
        "request",
        http_headers=StatusAndHeaders(first, [tuple(line.split(": ", 1)) for line in lines], is_http_request=True),
    )
    writer.write_request_response_pair(request, response)
    return str(response.rec_headers.get_header("WARC-Record-ID"))
