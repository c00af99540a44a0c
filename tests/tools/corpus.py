"""An archive as the real line writes it, with everything in it that a reader of web archives may stumble over."""

from __future__ import annotations

import dataclasses
import gzip
import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

from tests.newsserver import Answer, NewsServer, article_page, paragraphs
from tests.unit.stages.conftest import Line
from worker.archive.bundle import PageRecord, bundle, find_payload, read_bundle
from worker.archive.exchange import exchange_records
from worker.archive.index import bundle_note
from worker.archive.keys import warc_key
from worker.fetch.http import FetchRequest
from worker.ledger import bundles
from worker.ledger.tables import Row
from worker.ledger.tables import articles as articles_table
from worker.stages import compact
from worker.stages.kept import kept_bytes

PICTURE = Path(__file__).resolve().parents[2] / "worker" / "sample" / "content" / "pictures" / "tram.jpg"
PAGE_CAP_BYTES = 40_000  # the longest page is cut
MESSAGE_CAP_BYTES = 16_384  # and its text is referenced
HOSTILE_TITLE = 'Tram](http://evil.example) | "café" <b>&amp;</b> \u200b\u00a0`$x$` 电车\r\nWARC/1.1'
HOSTILE_PATH = "/a%20b/%E7%94%B5?q=[x](y)|%22%27&z=%0d%0aWARC-Type:%20x;{}#top"
RECENT = datetime(2026, 11, 20, 8, 30, tzinfo=UTC)
FEED_TEXT = "<p>" + "</p><p>".join(paragraphs(9, 6)) + "</p>"


def chunked(title: str, number: int):
    """A page in chunks, as a server that does not know its length sends it."""

    def answer(handler: BaseHTTPRequestHandler) -> Answer:
        body = article_page(title, paragraphs(number)).encode()
        pieces = (body[at : at + 700] for at in range(0, len(body), 700))
        handler.wfile.write(
            b"HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\ntransfer-ENCODING: chunked\r\n"
            b"Set-Cookie: a=1\r\nSet-Cookie: b=2\r\nConnection: close\r\n\r\n"
            + b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces)
            + b"0\r\n\r\n"
        )
        handler.wfile.flush()
        raise ConnectionAbortedError  # that was all: the server must not answer besides

    return answer


def _gzipped(page: str) -> Answer:
    headers = {"Content-Type": "text/html; charset=utf-8", "Content-Encoding": "gzip", "Vary": "Accept-Encoding"}
    return Answer(gzip.compress(page.encode(), mtime=0), 200, headers)


def serve(site: NewsServer) -> str:
    """Everything on a site. Returns: the feed's URL."""
    site.routes["/tram.jpg"] = Answer(PICTURE.read_bytes(), 200, {"Content-Type": "image/jpeg"})
    page = article_page("The tram returns", paragraphs(1), image=f"{site.base}/tram.jpg")
    shown = page.replace("</h1>", f'</h1><img id="lead" src="{site.base}/tram.jpg" alt="A tram">')
    site.routes["/gzip"] = _gzipped(shown)
    site.routes["/moved"] = Answer(b"moved", 301, {"Location": "/moved-once"})
    site.routes["/moved-once"] = Answer(b"", 302, {"Location": f"{site.base}/here?x=1"})
    site.page("/here", article_page("The ferry moved", paragraphs(2)))
    site.routes["/chunked"] = chunked("The kites rose", 3)
    site.page("/cut", article_page("The long council meeting", paragraphs(4, 300)))
    site.page(HOSTILE_PATH.partition("?")[0], article_page(HOSTILE_TITLE, paragraphs(5)))
    items: list[dict[str, Any]] = [
        {"title": "The tram returns", "link": f"{site.base}/gzip", "guid": "1", "date": RECENT},
        {"title": "The ferry moved", "link": f"{site.base}/moved", "guid": "2", "date": RECENT},
        {"title": "The kites rose", "link": f"{site.base}/chunked", "guid": "3", "date": RECENT},
        {"title": "The long council meeting", "link": f"{site.base}/cut", "guid": "4", "date": RECENT},
        {"title": HOSTILE_TITLE, "link": f"{site.base}{HOSTILE_PATH}", "guid": "5", "date": RECENT},
        {"title": "Only in the feed", "guid": "6", "date": RECENT, "description": FEED_TEXT},
    ]
    return site.feed("/feed.xml", items, title="The Lower Quay [Courier]")


@dataclasses.dataclass(slots=True)
class Corpus:
    """The archive, and the line that wrote it."""

    line: Line
    home: Path
    base: str  # of the site that it came from

    def row(self, title: str, revision: int = 1) -> Row:
        return next(row for row in self.line.rows() if row.title.startswith(title) and row.revision == revision)

    def bytes_of(self, key: str) -> bytes:
        return kept_bytes(self.line.deps.ledger, self.line.deps.store, key)

    def bundle_keys(self) -> list[str]:
        """Every bundle, in the order in which they were written."""
        rows = sorted(self.line.rows(), key=lambda row: row.id)
        return [row.archive["warc"] for row in rows]

    def revise(self, row: Row) -> Row:
        """Another revision of a row's article, from a page that is the same as before: a revisit."""
        deps = self.line.deps
        exchange = deps.fetcher.fetch(
            FetchRequest(url=row.url, accept="text/html", cap_bytes=PAGE_CAP_BYTES, total_timeout_s=10),
            may_visit=lambda _: None,
        )
        held = find_payload(self.bytes_of(row.archive["warc"]), row.archive["record_id"])
        page = PageRecord(
            record_id=held.record_id,
            url=held.url or "",
            date=held.date,
            payload_sha256=hashlib.sha256(held.payload).hexdigest(),
        )
        metadata = next(
            record for record in read_bundle(self.bytes_of(row.archive["warc"])) if record.type == "metadata"
        )
        written = bundle(
            article_id=row.article_id,
            revision=2,
            exchange_data=exchange_records(exchange),
            picture_data=None,
            metadata={"text": metadata.payload.decode()[:500]},
            markdown="The second revision.",
            written_at=row.extracted_at + timedelta(hours=1),
            software="newsmill/0.1.0",
            page_url=row.url,
            held=page,
        )
        key = warc_key(row.article_id, 2, row.discovered_at)
        deps.store.put(key, written.data)
        values = {name: value for name, value in row._mapping.items() if name in articles_table.c and name != "id"}
        archive = {
            **row.archive,
            "warc": key,
            "record_id": written.record_id,
            "payload_sha256": written.payload_sha256,
            "page": {
                "warc": row.archive["warc"],
                "record_id": page.record_id,
                "url": page.url,
                "date": page.date.isoformat(),
            },
        }
        with deps.ledger.transaction() as tx:
            pk = tx.execute(
                articles_table.insert().values({**values, "revision": 2, "archive": archive})
            ).inserted_primary_key[0]
            note = bundle_note(key, written.data, written.lines)
            bundles.keep(tx, article_pk=pk, now=self.line.now(), **note)
        return self.row(row.title, 2)

    def compact(self) -> list[str]:
        """Make large files of all bundles. Returns: their keys."""
        self.line.later(hours=3)
        return [file.key for file in compact(self.line.deps).files]


@contextmanager
def made(home: Path, **settings: str) -> Iterator[Corpus]:
    """The corpus, its site gone again."""
    caps = {"NEWSMILL_PAGE_CAP_BYTES": str(PAGE_CAP_BYTES), "NEWSMILL_MESSAGE_CAP_BYTES": str(MESSAGE_CAP_BYTES)}
    line = Line(home, **caps, **settings)
    try:
        with NewsServer() as site:
            line.follow("quay", serve(site), title="The Lower Quay [Courier]")
            line.poll()
            line.run()
            corpus = Corpus(line=line, home=home, base=site.base)
            corpus.revise(corpus.row("The tram returns"))
        yield corpus
    finally:
        line.close()
