"""An older archive's documents become articles: kept, known to later polls, published only when asked."""

from __future__ import annotations

import hashlib
import json
import re
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from html import unescape
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from tests.newsserver import NewsServer, article_page, paragraphs
from tests.seeddata import as_item
from tests.seeddata import read as read_recorded
from tests.unit.stages.conftest import Line
from worker.archive.bundle import read_bundle
from worker.archive.document import read_document
from worker.archive.index import bundle_note
from worker.extract.moments import moment
from worker.ledger import articles, feeds, imports
from worker.ledger.migrate import migrate
from worker.ledger.session import Ledger
from worker.ledger.tables import Row, metadata
from worker.ledger.tables import articles as articles_table
from worker.model import State
from worker.stages import importing
from worker.stages.importing import AT_ONCE, Imported, import_documents, slug_of
from worker.text import text_sha256
from worker.urls import article_id_of, canonical_url, picture_identity

URL = "https://news.example/a/ferry/17.html"
FEED_MS = 1737125942000
FEED_DATE = datetime(2025, 1, 17, 14, 59, 2, tzinfo=UTC)
TRUE_DATE = datetime(2025, 1, 17, 14, 50, 11, tzinfo=UTC)
TEXT = paragraphs(1)
BODY = (
    "<div><i>Fri, 17 Jan 2025 14:50:11 GMT</i></div>"
    '<img src="https://images.weserv.nl?url=img.example/pier.jpg" width="100%">'
    '<div><small style="color: #999;">At the pier</small></div>' + "".join(f"<p>{text}</p>" for text in TEXT)
)


def document(
    url: str = URL, *, title: str = "The ferry sails again", ms: int | str = FEED_MS, body: str = BODY
) -> bytes:
    return f"<!--{ms}-->\n[{title}]({url})\n------\n\n{body}\n".encode()


def archive_of(folder: Path, files: dict[str, bytes]) -> Path:
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "old"


def imported(line: Line, folder: Path, **options: Any) -> dict[str, Imported]:
    return {str(one.path): one for one in import_documents(line.deps, folder, **options)}


def outcomes(line: Line, folder: Path, **options: Any) -> dict[str, str]:
    return {path: one.outcome.value for path, one in imported(line, folder, **options).items()}


def books(line: Line) -> dict[str, list[tuple[Any, ...]]]:
    with line.deps.ledger.reading() as tx:
        return {name: sorted(map(repr, tx.execute(sa.select(table)))) for name, table in metadata.tables.items()}


def objects(line: Line) -> dict[str, str]:
    store = line.deps.store
    return {key: hashlib.sha256(store.get(key)).hexdigest() for key in store.keys("")}


def revisions(line: Line) -> list[Row]:
    return sorted(line.rows(), key=lambda row: row.revision)


# ---------------------------------------------------------------- what becomes of a document


def test_a_document_becomes_an_article_with_all_it_says(line: Line, folder: Path) -> None:
    assert outcomes(line, archive_of(folder, {"voa/1.md": document()})) == {"voa/1.md": "imported"}
    row = line.row()
    assert (row.state, row.url, row.title, row.slug) == (State.IMPORTED, URL, "The ferry sails again", "voa")
    assert (row.feed_date, row.discovered_at, row.ended_at is None) == (FEED_DATE, FEED_DATE, False)
    assert row.article_id == article_id_of(canonical_url(URL))
    assert row.text_sha256 == text_sha256("\n\n".join(TEXT))
    assert (row.picture["url"], row.picture["caption"]) == ("https://img.example/pier.jpg", "At the pier")


def test_nothing_is_published_by_itself(line: Line, folder: Path) -> None:
    imported(line, archive_of(folder, {"voa/1.md": document()}))
    line.run()
    assert (line.row().state, line.messages) == (State.IMPORTED, [])


def test_the_original_is_kept_byte_for_byte_and_is_the_document(line: Line, folder: Path) -> None:
    imported(line, archive_of(folder, {"voa/1.md": document()}))
    kept, store = line.row().archive, line.deps.store
    assert kept["document"] == f"documents/voa/2025/01/17/{line.row().article_id}.md"
    assert store.get(kept["document"]) == document()
    assert kept["document_sha256"] == hashlib.sha256(document()).hexdigest()
    assert kept["page"] is None
    records = {record.type: record for record in read_bundle(store.get(kept["warc"]))}
    assert records["resource"].payload == document()
    assert records["metadata"].record_id == kept["record_id"]
    assert TEXT[0].encode() in records["conversion"].payload
    assert TEXT[0].encode() in store.get(kept["html_ref"])


def test_an_old_variant_is_written_anew_in_the_layout(line: Line, folder: Path) -> None:
    variant = f"[The ferry]({URL})\n------\n日期：Fri, 17 Jan 2025 14:59:02 GMT\n\n<div>\n{BODY}\n</div>\n".encode()
    imported(line, archive_of(folder, {"voa/1.md": variant}))
    kept, store = line.row().archive, line.deps.store
    assert store.get(kept["document"]).startswith(b"<!--1737125942000-->\n[The ferry](")
    records = {record.type: record for record in read_bundle(store.get(kept["warc"]))}
    assert records["resource"].payload == variant


@pytest.mark.parametrize("ms", ["NaN", 0, 10**15], ids=["NaN", "before there were feeds", "in no calendar"])
def test_a_date_that_is_none_is_left_out_and_never_written(line: Line, folder: Path, ms: int | str) -> None:
    before = line.now()
    imported(line, archive_of(folder, {"voa/1.md": document(ms=ms)}))
    row = line.row()
    assert row.feed_date is None
    assert row.discovered_at >= before.replace(microsecond=0)
    assert b"NaN" not in line.deps.store.get(row.archive["document"])


def test_an_empty_feed_title_and_an_empty_text_are_no_failure(line: Line, folder: Path) -> None:
    found = imported(line, archive_of(folder, {"voa/1.md": document(title="", body="")}), publish=True)["voa/1.md"]
    assert (found.outcome, found.detail) == ("imported", "there is no text in it")
    assert line.row().state == State.IMPORTED


def test_our_own_document_without_a_date_gives_its_picture_back(line: Line, folder: Path) -> None:
    body = BODY.replace("<i>Fri, 17 Jan 2025 14:50:11 GMT</i>", "")
    imported(line, archive_of(folder, {"voa/1.md": document(body=body)}))
    row = line.row()
    assert (row.picture["url"], row.picture["caption"]) == ("https://img.example/pier.jpg", "At the pier")
    assert row.text_sha256 == text_sha256("\n\n".join(TEXT))


# ---------------------------------------------------------------- what a folder may hold


def test_each_file_has_its_outcome_and_costs_nobody_else_anything(line: Line, folder: Path) -> None:
    archive_of(
        folder,
        {
            "voa/1.md": document(),
            "voa/README.md": b"# Lists\n\n- [voa](lists/voa.md)\n",
            "voa/.hidden": document("https://news.example/b"),
            "voa/cut.md": document("https://news.example/c")[:-30],
            "voa/binary": bytes(range(256)),
            "voa/script.md": document("javascript:alert(1)"),
            "voa/no-extension": document("https://news.example/d"),
        },
    )
    found = imported(line, folder)
    assert {path: one.outcome.value for path, one in found.items()} == {
        "voa/1.md": "imported",
        "voa/README.md": "not-a-document",
        "voa/.hidden": "not-a-document",
        "voa/cut.md": "damaged",
        "voa/binary": "not-a-document",
        "voa/script.md": "no-url",
        "voa/no-extension": "imported",
    }
    assert all(one.detail for one in found.values() if one.outcome != "imported")
    assert len(line.rows()) == 2


@pytest.mark.parametrize(
    ("path", "slug"),
    [
        ("voa/1.md", "voa"),
        ("articles/VOA Chinese/1.md", "voa-chinese"),
        ("1.md", "old-archive"),
        ("documents/voa/2025/01/17/1.md", "voa"),
        ("2025/01/1.md", "old-archive"),
        ("美国之音/1.md", "import-" + hashlib.sha256("美国之音".encode()).hexdigest()[:8]),
    ],
)
def test_a_files_folder_names_its_feed(path: str, slug: str) -> None:
    assert slug_of("Old archive", Path(path))[0] == slug


def test_a_feed_that_is_made_is_never_polled(line: Line, folder: Path) -> None:
    imported(line, archive_of(folder, {"美国之音/1.md": document()}))
    with line.deps.ledger.reading() as tx:
        (feed,) = feeds.all_feeds(tx)
    assert (feed.enabled, feed.title, feed.url) == (False, "美国之音", f"urn:newsmill:import:{feed.slug}")
    assert line.poll() == {}


def test_a_feed_may_be_named_for_all(line: Line, folder: Path) -> None:
    imported(line, archive_of(folder, {"a/1.md": document(), "b/2.md": document("https://news.example/b")}), feed="voa")
    assert {row.slug for row in line.rows()} == {"voa"}


# ---------------------------------------------------------------- again


def test_a_second_import_changes_nothing(line: Line, folder: Path) -> None:
    archive_of(folder, {"voa/1.md": document(), "rfa/2.md": document("https://news.example/b")})
    imported(line, folder)
    before = books(line), objects(line)
    line.later(days=3)
    assert outcomes(line, folder) == {"rfa/2.md": "known", "voa/1.md": "known"}
    assert (books(line), objects(line)) == before


def test_a_dry_run_says_the_same_and_writes_nothing(line: Line, folder: Path) -> None:
    other = BODY.replace(TEXT[0], "Another beginning altogether.")
    archive_of(
        folder, {"voa/1.md": document(), "voa/2.md": document(), "voa/3.md": document(body=other), "voa/4.md": b"none"}
    )
    before = books(line), objects(line)
    pretended = outcomes(line, folder, dry_run=True)
    assert (books(line), objects(line)) == before
    assert pretended == outcomes(line, folder)
    assert Counter(pretended.values()) == {"imported": 1, "known": 1, "revision": 1, "not-a-document": 1}


def reserve_and_break_off(line: Line, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def killed(*_: Any, **__: Any) -> None:
        raise RuntimeError("killed")

    with monkeypatch.context() as broken:
        broken.setattr(imports, "finish", killed)
        with pytest.raises(RuntimeError, match="killed"):
            imported(line, folder)


def test_a_run_that_broke_off_goes_on(line: Line, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive_of(folder, {"voa/1.md": document(), "voa/2.md": document("https://news.example/b")})
    reserve_and_break_off(line, folder, monkeypatch)
    assert [row.archive for row in line.rows()] == [None, None]
    assert outcomes(line, folder) == {"voa/1.md": "imported", "voa/2.md": "imported"}
    assert all(line.deps.store.exists(row.archive["warc"]) for row in line.rows())
    assert outcomes(line, folder) == {"voa/1.md": "known", "voa/2.md": "known"}


def test_a_file_that_changed_after_a_run_broke_off_is_imported_as_it_is_now(
    line: Line, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reserve_and_break_off(line, archive_of(folder, {"voa/1.md": document()}), monkeypatch)
    changed = document(title="Now", body=BODY.replace(TEXT[0], "Another beginning altogether."))
    archive_of(folder, {"voa/1.md": changed})
    assert outcomes(line, folder) == {"voa/1.md": "known"}  # the other run may still be at work
    line.later(hours=2)
    assert outcomes(line, folder) == {"voa/1.md": "imported"}
    row = line.row()
    assert (row.title, line.deps.store.get(row.archive["document"])) == ("Now", changed)
    assert outcomes(line, folder) == {"voa/1.md": "known"}


def test_a_revision_that_changed_after_a_run_broke_off_is_imported_as_it_is_now(
    line: Line, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    imported(line, archive_of(folder, {"voa/1.md": document()}))
    archive_of(folder, {"voa/1.md": document(body=BODY.replace(TEXT[0], "Another beginning altogether."))})
    reserve_and_break_off(line, folder, monkeypatch)
    changed = document(body=BODY.replace(TEXT[0], "Nothing of it is as it was."))
    archive_of(folder, {"voa/1.md": changed})
    line.later(hours=2)
    assert outcomes(line, folder) == {"voa/1.md": "revision"}
    first, second = revisions(line)
    assert second.change["previous"] == first.revision
    assert line.deps.store.get(second.archive["document"]) == changed


@pytest.mark.parametrize("is_variant", [False, True], ids=["layout", "variant"])
def test_a_document_whose_text_was_read_otherwise_before_is_known_and_can_be_published(
    line: Line, folder: Path, *, is_variant: bool
) -> None:
    """As after an upgrade: another reading of the same file is no revision of the article."""
    file = document().replace(b"\n\n<div>", b"\n\n<div>\n<div>").replace(b"</p>\n", b"</p>\n</div>\n")
    imported(line, archive_of(folder, {"voa/1.md": file if is_variant else document()}))
    with line.deps.ledger.transaction() as tx:
        tx.execute(articles_table.update().values(text_sha256="0" * 64))
    before = books(line), objects(line)
    assert outcomes(line, folder) == {"voa/1.md": "known"}
    assert (books(line), objects(line)) == before
    assert outcomes(line, folder, publish=True) == {"voa/1.md": "published"}
    line.run()
    (message,) = line.messages
    assert message["text"].split("\n\n") == TEXT


def test_typography_alone_keeps_no_article_from_being_published(line: Line, folder: Path) -> None:
    imported(line, archive_of(folder, {"voa/1.md": document()}))
    archive_of(folder, {"voa/1.md": document(body=BODY.replace(". ", ".  ").replace(",", ",\u200b"))})
    assert outcomes(line, folder, publish=True) == {"voa/1.md": "published"}
    line.run()
    (message,) = line.messages
    assert (message["revision"], message["text"].split("\n\n")) == (1, TEXT)


def test_a_run_that_is_asked_to_stop_ends_after_its_batch(line: Line, folder: Path) -> None:
    archive_of(folder, {f"voa/{n}.md": document(f"https://news.example/{n}") for n in range(AT_ONCE + 1)})
    line.deps.stopping.set()
    assert len(imported(line, folder)) == AT_ONCE
    line.deps.stopping.clear()
    assert Counter(outcomes(line, folder).values()) == {"known": AT_ONCE, "imported": 1}


def test_large_files_share_a_batch_with_few(line: Line, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive_of(folder, {f"voa/{n}.md": document(f"https://news.example/{n}") for n in range(5)})
    monkeypatch.setattr(importing, "AT_ONCE_BYTES", 2 * len(document()))
    line.deps.stopping.set()
    assert 2 <= len(imported(line, folder)) <= 3


def test_equal_dates_lose_nothing(line: Line, folder: Path) -> None:
    """The first writer took what was not newer than the newest for known, and lost it."""
    archive_of(folder, {f"voa/{n}.md": document(f"https://news.example/{n}") for n in range(3)})
    assert set(outcomes(line, folder).values()) == {"imported"}


def test_another_text_at_the_same_address_is_a_revision(line: Line, folder: Path) -> None:
    other = BODY.replace(TEXT[0], "Another beginning altogether.")
    later = document(body=other, ms=FEED_MS + 60_000)
    archive_of(folder, {"voa/1.md": later, "voa/2.md": document()})  # ids count down: the newest comes first
    assert outcomes(line, folder) == {"voa/2.md": "imported", "voa/1.md": "revision"}
    first, second = revisions(line)
    assert (first.revision, first.change, second.revision) == (1, None, 2)
    assert (second.change["previous"], second.change["fields"]) == (1, ["text"])
    assert second.archive["document"] == first.archive["document"]
    assert line.deps.store.get(second.archive["document"]) == later
    before = books(line), objects(line)
    assert outcomes(line, folder) == {"voa/2.md": "known", "voa/1.md": "known"}
    assert (books(line), objects(line)) == before


def test_typography_alone_makes_no_revision(line: Line, folder: Path) -> None:
    imported(line, archive_of(folder, {"voa/1.md": document()}))
    archive_of(folder, {"voa/1.md": document(body=BODY.replace(". ", ".  ").replace(",", ",\u200b"))})
    before = books(line), objects(line)
    assert outcomes(line, folder) == {"voa/1.md": "known"}
    assert (books(line), objects(line)) == before


# ---------------------------------------------------------------- beside the line


def test_an_article_known_from_polling_is_left_alone(line: Line, site: NewsServer, folder: Path) -> None:
    url = site.page("/ferry.html", article_page("The ferry sails again", TEXT))
    line.follow("ferry", site.feed("/feed.xml", [{"title": "The ferry sails again", "link": url, "guid": url}]))
    line.poll()
    line.run()
    before = books(line), objects(line)
    found = imported(line, archive_of(folder, {"ferry/1.md": document(url)}), publish=True)["ferry/1.md"]
    assert (found.outcome, found.detail) == ("known", "it is published")
    assert (books(line), objects(line)) == before


def test_a_feed_that_still_shows_an_imported_article_announces_nothing(
    line: Line, site: NewsServer, folder: Path
) -> None:
    url = site.page("/ferry.html", article_page("The ferry sails again", TEXT))
    item = {"title": "The ferry sails again", "link": url, "guid": "17", "description": BODY}
    line.follow("ferry", site.feed("/feed.xml", [item]))
    imported(line, archive_of(folder, {"ferry/1.md": document(url)}))
    assert line.poll() == {"ferry": "unchanged"}
    line.run()
    assert (line.row().state, line.messages) == (State.IMPORTED, [])


def test_the_books_balance(line: Line, folder: Path) -> None:
    imported(line, archive_of(folder, {"voa/1.md": document(), "voa/2.md": document("https://news.example/b")}))
    with line.deps.ledger.reading() as tx:
        found = articles.audit(tx)
    assert (found["items"], found["imported"]) == (2, 2)
    faults = {"missing", "ended_without_time", "ended_without_reason", "sightings_without_article", "sequence_gaps"}
    assert {name: found[name] for name in faults} == dict.fromkeys(faults, 0)


# ---------------------------------------------------------------- publishing


@pytest.mark.parametrize("imported_before", [False, True], ids=["at once", "later"])
def test_publishing_sends_what_the_document_says(line: Line, folder: Path, *, imported_before: bool) -> None:
    archive_of(folder, {"voa/1.md": document()})
    if imported_before:
        imported(line, folder)
    assert outcomes(line, folder, publish=True) == {"voa/1.md": "published"}
    line.run()
    (message,) = line.messages
    assert (message["kind"], message["revision"], message["url"], message["url_requested"]) == (
        "published",
        1,
        URL,
        URL,
    )
    assert (message["published_at"], message["published_from"]) == ("2025-01-17T14:50:11Z", "feed-body")
    assert message["sightings"][0]["feed_date"] == "2025-01-17T14:59:02Z"
    assert message["text"].split("\n\n") == TEXT
    assert (message["image"]["url"], message["image"]["caption"]) == ("https://img.example/pier.jpg", "At the pier")
    assert (message["url_final"], message["downloaded_at"], message["archive"]["payload_sha256"]) == (None, None, None)
    assert line.deps.store.get(message["archive"]["document"]) == document()
    assert line.row().state == State.PUBLISHED
    assert outcomes(line, folder, publish=True) == {"voa/1.md": "known"}
    with line.deps.ledger.reading() as tx:
        assert articles.lags_s(tx, since=FEED_DATE) == []  # it is no news


def test_a_revision_is_published_behind_what_it_revises(line: Line, folder: Path) -> None:
    imported(line, archive_of(folder, {"voa/1.md": document()}))
    other = BODY.replace(TEXT[0], "Another beginning altogether.")
    (folder / "voa" / "1.md").write_bytes(document(body=other))
    assert outcomes(line, folder, publish=True) == {"voa/1.md": "revision"}
    line.run()
    assert sorted((message["revision"], message["kind"]) for message in line.messages) == [
        (1, "published"),
        (2, "updated"),
    ]
    assert {message["revision"]: message["text"].split("\n\n")[0] for message in line.messages} == {
        1: TEXT[0],
        2: "Another beginning altogether.",
    }


def test_an_earlier_revision_that_is_lost_keeps_only_its_own_article_from_being_published(
    line: Line, folder: Path
) -> None:
    imported(line, archive_of(folder, {"voa/1.md": document()}))
    line.deps.store.delete(line.row().archive["warc"])
    other = BODY.replace(TEXT[0], "Another beginning altogether.")
    archive_of(folder, {"voa/1.md": document(body=other), "voa/2.md": document("https://news.example/b")})
    found = imported(line, folder, publish=True)
    assert {path: one.outcome.value for path, one in found.items()} == {"voa/1.md": "failed", "voa/2.md": "published"}
    assert "store-lost" in (found["voa/1.md"].detail or "")
    line.run()
    assert [message["url"] for message in line.messages] == ["https://news.example/b"]


# ---------------------------------------------------------------- on either database


@pytest.mark.parametrize("ledger", [pytest.param("postgres", marks=pytest.mark.postgres)], indirect=True)
def test_postgres_keeps_the_same_books(ledger: Ledger, tmp_path: Path, folder: Path) -> None:
    line = Line(tmp_path, DATABASE_URL=ledger.engine.url.render_as_string(hide_password=False))
    try:
        other = BODY.replace(TEXT[0], "Another beginning altogether.")
        archive_of(folder, {"voa/1.md": document(), "voa/2.md": document(body=other), "voa/3.md": b"none"})
        expected = {"voa/1.md": "imported", "voa/2.md": "revision", "voa/3.md": "not-a-document"}
        assert outcomes(line, folder) == expected
        before = books(line), objects(line)
        assert outcomes(line, folder) == {**expected, "voa/1.md": "known", "voa/2.md": "known"}
        assert (books(line), objects(line)) == before
        assert outcomes(line, folder, publish=True) == {**expected, "voa/1.md": "published", "voa/2.md": "published"}
        line.run()
        assert sorted(message["revision"] for message in line.messages) == [1, 2]
    finally:
        line.close()


@pytest.mark.postgres
def test_two_imports_at_once_make_one_feed(postgres_url: str) -> None:
    """Each looks before either has committed. (On SQLite writers wait for one another.)"""
    ledger, now = Ledger(postgres_url), datetime(2026, 11, 25, tzinfo=UTC)
    migrate(ledger)

    def make() -> int:
        with ledger.transaction() as tx:
            return int(imports.feed_for(tx, "at-once", title=None, now=now).id)

    with ThreadPoolExecutor(1) as other, ledger.transaction() as tx:
        ours = imports.feed_for(tx, "at-once", title=None, now=now).id
        theirs = other.submit(make)
        while not waiting(ledger):
            time.sleep(0.01)
        tx.commit()
    assert theirs.result() == ours
    ledger.close()


def waiting(ledger: Ledger) -> bool:
    """Does a connection to this database wait for another's lock?"""
    with ledger.reading() as tx:
        asked = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        return bool(tx.scalar(sa.text(asked)))


def test_whoever_lost_a_row_to_another_import_does_not_finish_it(ledger: Ledger) -> None:
    now = datetime(2026, 11, 25, tzinfo=UTC)
    with ledger.transaction() as tx:
        feed = imports.feed_for(tx, "voa", title="VOA", now=now)
        row = {
            "article_id": "a" * 32, "revision": 1, "feed_id": feed.id, "url": URL, "host": "news.example", "ready_at": now,
            "discovered_at": now, "extracted_at": now, "ended_at": now, "picture": None, "change": None,
        }  # fmt: skip
        (reserved,) = imports.reserve(tx, [row])
        later = {"extracted_at": now + timedelta(hours=2), "title": "Mine"}
        taken = imports.take_over(tx, reserved, later)
        assert taken is not None
        assert imports.take_over(tx, reserved, later) is None
        kept = {**bundle_note("warc/a.warc.gz", b"a", []), "now": now}
        assert not imports.finish(tx, reserved, {"archive": {"document": "d"}}, bundle=kept)
        assert imports.finish(tx, taken, {"archive": {"document": "e"}}, bundle=kept)
        (found,) = imports.known(tx, ["a" * 32])["a" * 32]
    assert (found.title, found.archive) == ("Mine", {"document": "e"})


def test_rows_are_reserved_once(ledger: Ledger) -> None:
    now = datetime(2026, 11, 25, tzinfo=UTC)
    with ledger.transaction() as tx:
        feed = imports.feed_for(tx, "voa", title="VOA", now=now)
        assert imports.feed_for(tx, "voa", title=None, now=now) == feed
    row = {
        "article_id": "a" * 32, "revision": 1, "feed_id": feed.id, "url": URL, "host": "news.example", "ready_at": now,
        "discovered_at": now, "extracted_at": now, "ended_at": now, "picture": None, "change": None,
    }  # fmt: skip
    with ledger.transaction() as tx:
        (reserved,) = imports.reserve(tx, [row])
        assert imports.reserve(tx, [row]) == []
        assert (
            imports.hand_over(tx, {reserved.id: b"r"}, priority=0, now=now) == set()
        )  # there is nothing to publish yet
        kept = {**bundle_note("warc/a.warc.gz", b"a", []), "now": now}
        assert imports.finish(tx, reserved, {"archive": {"document": "d"}}, bundle=kept)
        assert not imports.finish(tx, reserved, {"archive": {"document": "e"}}, bundle=kept)
        assert imports.take_over(tx, reserved, {"title": "t"}) is None
    with ledger.transaction() as tx:
        assert imports.hand_over(tx, {reserved.id: b"r"}, priority=0, now=now) == {reserved.id}
        assert imports.hand_over(tx, {reserved.id: b"r"}, priority=0, now=now) == set()
    with ledger.reading() as connection:
        (found,) = imports.known(connection, ["a" * 32, "b" * 32])["a" * 32]
        assert articles.record_bodies(connection, [reserved.id]) == {reserved.id: b"r"}
    assert (found.state, found.ended_at, imports.is_imported(found)) == (State.ARCHIVED, None, True)


# ---------------------------------------------------------------- the recorded archive


@pytest.mark.shared
def test_the_recorded_archive_is_imported_whole(line: Line, shared: Path) -> None:
    archive = shared / "seed-data" / "archive"
    found = imported(line, archive)
    documents = [path for path in found if path.endswith(".md")]
    assert len(documents) > 700
    assert {found[path].outcome.value for path in documents} <= {"imported", "known", "revision"}
    assert outcomes(line, archive) == {path: "known" if path in documents else "not-a-document" for path in found}


@pytest.mark.shared
def test_recorded_voa_documents_have_date_picture_caption_and_text(line: Line, shared: Path) -> None:
    voa = shared / "seed-data" / "archive" / "voa"
    found = imported(line, voa)
    rows = {row.article_id: row for row in line.rows()}
    assert len(found) == len(rows) == 243
    for path, one in found.items():
        row = rows[one.article_id or ""]
        body = read_document((voa / path).read_bytes()).body
        header, _, rest = body.removeprefix("<div><i>").partition("</i></div>")
        shown = re.match(r'<(?:img src|video poster)="([^"]+)"', rest)
        assert shown is not None
        caption = unescape(rest.partition('<small style="color: #999;">')[2].partition("</small>")[0])
        assert row.picture["url"] == picture_identity(unescape(shown[1]))
        assert row.picture["caption"] == " ".join(caption.split())
        records = {record.type: record for record in read_bundle(line.deps.store.get(row.archive["warc"]))}
        text = records["conversion"].payload.decode()
        facts = json.loads(records["metadata"].payload)
        assert datetime.fromisoformat(facts["published_at"]) == moment(header)
        assert text.strip()
        assert not any(word in text for word in (header, "获取更多RSS", "feedx."))
        assert not text.startswith(caption)


def test_the_first_poll_after_an_import_is_still_the_first(line: Line, site: NewsServer, folder: Path) -> None:
    items = [{"title": f"Report {number}", "link": f"{site.base}/{number}"} for number in range(5)]
    line.follow("old", site.feed("/old.xml", items), first_poll="none")
    archive_of(folder, {"a.md": document(f"{site.base}/0")})
    assert outcomes(line, folder, feed="old") == {"a.md": "imported"}
    assert line.poll() == {"old": "unchanged"}
    site.feed("/old.xml", [{"title": "Report new", "link": f"{site.base}/new"}, *items])
    line.later(days=1)
    assert line.poll() == {"old": "new"}
    assert [row.title for row in line.rows() if row.state != "imported"] == ["Report new"]


@pytest.mark.shared
def test_a_feed_that_shows_the_imported_archive_has_nothing_new(line: Line, site: NewsServer, shared: Path) -> None:
    voa = shared / "seed-data" / "archive" / "voa"
    recorded = [read_recorded(path) for path in sorted(voa.iterdir())]
    line.follow("voa", site.feed("/voa.xml", [as_item(one, one.url) for one in recorded]))
    imported(line, voa)
    assert line.poll() == {"voa": "unchanged"}
