"""``newsmill archive get``: the bytes of what was kept."""

from __future__ import annotations

import gzip
from datetime import timedelta
from pathlib import Path

import pytest
import requests

from tests import s3
from tests.unit.cli.conftest import NOW, Books, Newsmill
from worker.archive.bundle import bundle
from worker.archive.exchange import exchange_records
from worker.archive.filesystem import FileStore
from worker.archive.index import bundle_note
from worker.archive.objectstore import S3Store
from worker.archive.store import Store
from worker.ledger import articles, bundles, spool
from worker.ledger.tables import articles as article_rows
from worker.ledger.tables import bundles as bundle_rows
from worker.ledger.tables import warcs
from worker.model import Exchange, Hop

HTML = "<p>Die Straßenbahn fährt wieder.</p>".encode()
URL = "https://harbour.example/tram"


@pytest.fixture
def store(newsmill: Newsmill, books: Books) -> FileStore:
    return FileStore(newsmill.home / "archive")


def exchange() -> bytes:
    """As spooled: the page came gzipped."""
    body = gzip.compress(HTML, mtime=0)
    head = f"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    hop = Hop(
        url=URL,
        method="GET",
        request_head=b"GET /tram HTTP/1.1\r\nHost: harbour.example\r\n\r\n",
        status=200,
        response_head=head,
        headers=(("Content-Encoding", "gzip"), ("Content-Length", str(len(body)))),
        body=body,
        began_at=NOW,
        ended_at=NOW + timedelta(seconds=1),
        ip="192.0.2.1",
    )
    return exchange_records(Exchange(hops=(hop,)))


def archived(store: Store, books: Books) -> str:
    written = bundle(
        article_id="a" * 32,
        revision=1,
        exchange_data=exchange(),
        picture_data=None,
        metadata={"title": "Tram"},
        markdown="Tram",
        written_at=NOW,
        software="newsmill/0",
        page_url=URL,
    )
    store.put("warc/a.warc.gz", written.data)
    store.put("documents/a.md", b"[Tram](https://harbour.example/tram)\n")
    store.put("pictures/a.jpg", b"\xff\xd8\xff")
    kept = {
        "warc": "warc/a.warc.gz",
        "record_id": written.record_id,
        "payload_sha256": written.payload_sha256,
        "page": {"warc": "warc/a.warc.gz", "record_id": written.record_id, "url": URL, "date": NOW.isoformat()},
        "document": "documents/a.md",
    }
    return books.article(books.feed(), URL, state="archived", archive=kept, picture={"ref": "pictures/a.jpg"})


def test_a_key_gives_its_bytes(newsmill: Newsmill, store: FileStore) -> None:
    store.put("text/ab.txt", HTML)
    assert newsmill("archive", "get", "text/ab.txt").out.encode() == HTML


def test_an_archived_article_gives_its_page_as_the_site_meant_it(
    newsmill: Newsmill, store: FileStore, books: Books
) -> None:
    article_id = archived(store, books)
    assert newsmill("archive", "get", article_id[:8]).out.encode() == HTML


@pytest.mark.parametrize("in_ledger", [False, True], ids=["in the store", "in the ledger"])
def test_before_the_bundle_the_page_comes_from_the_spool(
    newsmill: Newsmill, store: FileStore, books: Books, *, in_ledger: bool
) -> None:
    article_id = books.article(books.feed(), URL, state="downloaded", exchange={"key": "spool/ab"}, spooled=True)
    if in_ledger:
        with books.ledger.transaction() as tx:
            spool.put(tx, articles.by_article_id(tx, article_id)[0].id, key="spool/ab", body=exchange())
    else:
        store.put("spool/ab", exchange())
    assert newsmill("archive", "get", article_id).out.encode() == HTML


def test_a_later_revision_without_a_page_of_its_own_gives_the_one_it_was_read_from(
    newsmill: Newsmill, store: FileStore, books: Books
) -> None:
    article_id = archived(store, books)
    with books.ledger.transaction() as tx:
        (row,) = articles.by_article_id(tx, article_id)
        theirs = {**row.archive, "warc": "warc/b.warc.gz", "record_id": "urn:uuid:0"}
        tx.execute(article_rows.update().values(archive=theirs))
    assert newsmill("archive", "get", article_id).out.encode() == HTML


def test_a_bundle_that_became_part_of_a_large_file_is_found_by_its_key_and_by_its_article(
    newsmill: Newsmill, store: FileStore, books: Books
) -> None:
    article_id = archived(store, books)
    data = store.get("warc/a.warc.gz")
    compacted(store, books, data)
    assert newsmill("archive", "get", article_id).out.encode() == HTML
    output = newsmill.home / "bundle"
    answer = newsmill("archive", "get", "warc/a.warc.gz", "-o", str(output))
    assert (answer.code, output.read_bytes()) == (0, data)


def compacted(store: Store, books: Books, data: bytes) -> None:
    """As compaction leaves it: the bundle 10 bytes into a large file, and no object of its own."""
    store.put("warc/large.warc.gz", b"0123456789" + data + b"after")
    store.delete("warc/a.warc.gz")
    kept = {"kept_at": NOW, "planned_at": NOW, "cleaned_at": NOW, "bytes": 15 + len(data)}
    with books.ledger.transaction() as tx:
        bundles.keep(tx, article_pk=None, now=NOW, **bundle_note("warc/a.warc.gz", data, []))
        tx.execute(warcs.insert(), {"key": "warc/large.warc.gz", **kept})
        tx.execute(bundle_rows.update().values(file="warc/large.warc.gz", position=10))


# ---------------------------------------------------------------- signed URLs


def test_a_signed_url_gives_the_bytes_to_whoever_has_it(
    newsmill: Newsmill, books: Books, s3_endpoint: str, bucket: str
) -> None:
    newsmill.environment |= s3.environment(s3_endpoint, bucket)
    store = S3Store(bucket, endpoint_url=s3_endpoint, credentials=s3.KEYS)
    article_id = archived(store, books)
    answer = newsmill("archive", "get", article_id, "--part", "picture", "--url", "--valid", "10min")
    assert answer.code == 0, answer.err
    assert requests.get(answer.out.strip(), timeout=10).content == b"\xff\xd8\xff"
    assert s3.KEYS.secret_access_key not in answer.out


def test_the_signed_url_of_a_compacted_bundle_says_which_bytes(
    newsmill: Newsmill, books: Books, s3_endpoint: str, bucket: str
) -> None:
    newsmill.environment |= s3.environment(s3_endpoint, bucket)
    store = S3Store(bucket, endpoint_url=s3_endpoint, credentials=s3.KEYS)
    archived(store, books)
    data = store.get("warc/a.warc.gz")
    compacted(store, books, data)
    answer = newsmill("archive", "get", "warc/a.warc.gz", "--url", "--json").json
    assert (answer["start"], answer["length"], answer["valid_s"]) == (10, len(data), 3600)
    wanted = {"Range": f"bytes={answer['start']}-{answer['start'] + answer['length'] - 1}"}
    assert requests.get(answer["url"], headers=wanted, timeout=10).content == data
    assert "bytes=10-" in newsmill("archive", "get", "warc/a.warc.gz", "--url").err


@pytest.mark.parametrize(
    ("arguments", "code", "advice"),
    [
        pytest.param(("text/ab.txt", "--url"), 1, "-o FILE", id="files have none"),
        pytest.param(("text/ab.txt", "--url", "--valid", "8d"), 2, "1s to 7d", id="too long"),
        pytest.param(("text/ab.txt", "--json"), 2, "--json goes with --url", id="json without"),
    ],
)
def test_a_signed_url_that_cannot_be_had_is_said(
    newsmill: Newsmill, store: FileStore, arguments: tuple[str, ...], code: int, advice: str
) -> None:
    store.put("text/ab.txt", HTML)
    answer = newsmill("archive", "get", *arguments)
    assert answer.code == code
    assert advice in " ".join(answer.err.replace("│", " ").split())


@pytest.mark.parametrize(
    ("part", "start"), [("picture", b"\xff\xd8\xff"), ("document", b"[Tram]("), ("warc", b"\x1f\x8b")]
)
def test_each_part_goes_into_a_file(
    newsmill: Newsmill, store: FileStore, books: Books, tmp_path: Path, *, part: str, start: bytes
) -> None:
    output = tmp_path / "part"
    answer = newsmill("archive", "get", archived(store, books), "--part", part, "-o", str(output))
    assert answer.code == 0, answer.err
    assert output.read_bytes().startswith(start)


@pytest.mark.parametrize(
    ("arguments", "code", "advice"),
    [
        pytest.param(("text/none.txt",), 1, "nothing is stored under text/none.txt", id="no such key"),
        pytest.param(("../../etc/passwd",), 2, "is no key of the archive", id="no key"),
        pytest.param(("abcdef12",), 1, "newsmill articles list", id="no such article"),
        pytest.param(("text/a.txt", "--part", "page"), 2, "goes with an article's id", id="part of a key"),
    ],
)
def test_what_is_not_there_is_said(
    newsmill: Newsmill, store: FileStore, arguments: tuple[str, ...], code: int, advice: str
) -> None:
    answer = newsmill("archive", "get", *arguments)
    assert answer.code == code
    assert advice in " ".join(answer.err.replace("│", " ").split())


@pytest.mark.parametrize("part", ["page", "picture", "document", "warc"])
def test_a_part_that_is_not_made_yet_says_where_the_article_stands(
    newsmill: Newsmill, store: FileStore, books: Books, part: str
) -> None:
    answer = newsmill("archive", "get", books.article(books.feed(), URL), "--part", part)
    assert answer.code == 1
    assert "it is discovered" in answer.err


def test_a_file_that_cannot_be_written_asks_for_another(newsmill: Newsmill, store: FileStore) -> None:
    store.put("text/ab.txt", HTML)
    answer = newsmill("archive", "get", "text/ab.txt", "-o", "/no/such/folder/file")
    assert answer.code == 1
    assert "Say another -o FILE" in answer.err
