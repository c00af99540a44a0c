"""Exports hold what was asked for, whole or not at all, and can be read where they lie."""

from __future__ import annotations

import json
import resource
import subprocess
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from threading import Event
from urllib.parse import unquote

import pytest
from markdown_it import MarkdownIt

from tests.tools.corpus import HOSTILE_TITLE, Corpus, made
from worker.archive.bundle import read_bundle
from worker.archive.document import read_document
from worker.archive.keys import document_key
from worker.archive.records import read_records
from worker.archive.verify import Promise, check_bundle
from worker.errors import UsageError
from worker.ledger.kept import Span
from worker.ledger.tables import articles as articles_table
from worker.ledger.tables import feeds as feeds_table
from worker.stages import export as exporting
from worker.stages.export import README, StoppedError, Wanted, export_documents, export_wacz, export_warc

NOW = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)


@pytest.fixture(scope="module", params=["loose", "compacted"])
def corpus(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Corpus]:
    with made(tmp_path_factory.mktemp("kept")) as corpus:
        if request.param == "compacted":
            corpus.compact()
        yield corpus


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Corpus]:
    """A corpus that a test may spoil."""
    with made(tmp_path / "own") as corpus:
        yield corpus


def wanted(corpus: Corpus, span: Span | None = None, stopping: Event | None = None) -> Wanted:
    deps = corpus.line.deps
    return Wanted(
        ledger=deps.ledger,
        store=deps.store,
        span=span or Span(),
        told=lambda _articles, _size: None,
        stopping=stopping or Event(),
    )


def only(corpus: Corpus, title: str, revision: int = 1) -> Span:
    return Span(pks=(corpus.row(title, revision).id,))


# ---------------------------------------------------------------- WARC


def test_a_warc_is_its_bundles_one_after_another(corpus: Corpus, tmp_path: Path) -> None:
    exported = export_warc(wanted(corpus), tmp_path / "all.warc.gz")
    assert (tmp_path / "all.warc.gz").read_bytes() == b"".join(map(corpus.bytes_of, corpus.bundle_keys()))
    assert (exported.articles, exported.bundles, exported.left_out) == (7, 7, [])
    assert check_bundle((tmp_path / "all.warc.gz").read_bytes(), Promise()) is None


def test_its_index_finds_every_capture(corpus: Corpus, tmp_path: Path) -> None:
    export_warc(wanted(corpus), tmp_path / "all.warc.gz")
    data = (tmp_path / "all.warc.gz").read_bytes()
    lines = (tmp_path / "all.warc.gz.cdxj").read_text().splitlines()
    assert lines == sorted(lines)
    found = []
    for line in lines:
        fields = json.loads(line.split(" ", 2)[2])
        start = int(fields["offset"])
        (record,) = read_records(data[start : start + int(fields["length"])])
        assert (record.url, fields["filename"]) == (fields["url"], "all.warc.gz")
        found.append(record.record_id)
    captures = [one.record_id for one in read_records(data) if one.type in {"response", "revisit"}]
    assert sorted(found) == sorted(captures)


def test_a_revision_brings_the_page_that_it_refers_to(corpus: Corpus, tmp_path: Path) -> None:
    export_warc(wanted(corpus, only(corpus, "The tram returns", 2)), tmp_path / "one.warc.gz")
    records = list(read_records((tmp_path / "one.warc.gz").read_bytes()))
    there = {record.record_id for record in records}
    referred = [record.fields["warc-refers-to"].strip("<>") for record in records if record.type == "revisit"]
    assert referred
    assert set(referred) <= there


def test_bundles_that_two_revisions_need_are_there_once(corpus: Corpus, tmp_path: Path) -> None:
    exported = export_warc(wanted(corpus), tmp_path / "all.warc.gz")
    ids = [record.record_id for record in read_records((tmp_path / "all.warc.gz").read_bytes())]
    assert len(ids) == len(set(ids))
    assert exported.bundles == len(corpus.bundle_keys())


def test_an_index_that_does_not_fit_into_memory_is_sorted_all_the_same(
    corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    export_warc(wanted(corpus), tmp_path / "all.warc.gz")
    whole = (tmp_path / "all.warc.gz.cdxj").read_bytes()
    monkeypatch.setattr(exporting, "LINES_IN_HAND", 2)
    export_warc(wanted(corpus), tmp_path / "all.warc.gz")
    assert (tmp_path / "all.warc.gz.cdxj").read_bytes() == whole


def test_nothing_is_put_anywhere_but_where_the_export_goes(
    corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A temporary folder is often in memory, and always somebody else's idea of enough room."""
    monkeypatch.setattr(exporting, "LINES_IN_HAND", 2)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "nowhere"))
    export_warc(wanted(corpus), tmp_path / "all.warc.gz")
    export_wacz(wanted(corpus), tmp_path / "all.wacz", now=NOW)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["all.wacz", "all.warc.gz", "all.warc.gz.cdxj"]


def test_what_is_damaged_is_left_out_and_named(own: Corpus, tmp_path: Path) -> None:
    missing, changed = own.row("The kites rose").archive["warc"], own.row("The ferry moved").archive["warc"]
    own.line.deps.store.delete(missing)
    data = bytearray(own.bytes_of(changed))
    data[len(data) // 2] ^= 1
    own.line.deps.store.put(changed, bytes(data))
    exported = export_warc(wanted(own), tmp_path / "all.warc.gz")
    assert {one.key for one in exported.left_out} == {missing, changed}
    assert exported.articles == 5
    assert check_bundle((tmp_path / "all.warc.gz").read_bytes(), Promise()) is None


def test_a_stopped_export_leaves_no_file(corpus: Corpus, tmp_path: Path) -> None:
    stopping = Event()
    asked = replace(wanted(corpus, stopping=stopping), told=lambda _articles, _size: stopping.set())
    for export in (
        lambda: export_warc(asked, tmp_path / "all.warc.gz"),
        lambda: export_wacz(asked, tmp_path / "all.wacz", now=NOW),
    ):
        stopping.clear()
        with pytest.raises(StoppedError):
            export()
        assert list(tmp_path.iterdir()) == []


def test_an_export_that_fails_leaves_what_was_there(corpus: Corpus, tmp_path: Path) -> None:
    (tmp_path / "all.warc.gz").write_bytes(b"older")

    def fail(_articles: int, _size: int) -> None:
        raise RuntimeError("the machine is on fire")

    with pytest.raises(RuntimeError):
        export_warc(replace(wanted(corpus), told=fail), tmp_path / "all.warc.gz")
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("all.warc.gz", b"older")]


def test_a_place_that_cannot_be_written_is_a_sentence(corpus: Corpus, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"Cannot write .*No such file"):
        export_warc(wanted(corpus), tmp_path / "nowhere" / "all.warc.gz")


def test_a_disk_that_takes_no_more_is_a_sentence_and_leaves_nothing(corpus: Corpus, tmp_path: Path) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, before[1]))
    try:
        with pytest.raises(UsageError, match=r"Cannot write .*all\.warc\.gz: File too large"):
            export_warc(wanted(corpus), tmp_path / "all.warc.gz")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert list(tmp_path.iterdir()) == []


# ---------------------------------------------------------------- WACZ


def test_a_wacz_lists_every_page_that_can_be_replayed(corpus: Corpus, tmp_path: Path) -> None:
    export_wacz(wanted(corpus), tmp_path / "all.wacz", now=NOW)
    with zipfile.ZipFile(tmp_path / "all.wacz") as packed:
        pages = [json.loads(line) for line in packed.read("pages/pages.jsonl").splitlines()[1:]]
        data = packed.read("archive/data.warc.gz")
    captures = {
        (record.url, record.fields["warc-date"][:19] + "Z")
        for record in read_records(data)
        if record.type in {"response", "revisit"}
    }
    assert {(page["url"], page["ts"]) for page in pages} <= captures
    titles = sorted(page["title"] for page in pages)
    assert titles == sorted(row.title for row in corpus.line.rows() if row.url)
    kites = next(page for page in pages if page["title"] == "The kites rose")
    facts = next(
        one
        for one in read_bundle(corpus.bytes_of(corpus.row("The kites rose").archive["warc"]))
        if one.type == "metadata"
    )
    assert kites["text"] == json.loads(facts.payload)["text"] != ""


def test_a_wacz_of_what_only_the_feed_had_has_no_page(corpus: Corpus, tmp_path: Path) -> None:
    exported = export_wacz(wanted(corpus, only(corpus, "Only in the feed")), tmp_path / "one.wacz", now=NOW)
    assert exported.articles == 1
    with zipfile.ZipFile(tmp_path / "one.wacz") as packed:
        assert len(packed.read("pages/pages.jsonl").splitlines()) == 1


def test_the_same_wacz_is_the_same_file(corpus: Corpus, tmp_path: Path) -> None:
    first = export_wacz(wanted(corpus), tmp_path / "a.wacz", now=NOW).files
    second = export_wacz(wanted(corpus), tmp_path / "b.wacz", now=NOW).files
    assert list(first.values()) == list(second.values())


# ---------------------------------------------------------------- documents


def links_in(path: Path) -> list[str]:
    """As a viewer of Markdown finds them."""
    blocks = MarkdownIt("commonmark").parse(path.read_text())
    return [str(one.attrs["href"]) for block in blocks for one in block.children or () if one.type == "link_open"]


def links(folder: Path) -> list[tuple[Path, str]]:
    """Every link of every index document, and of the README."""
    indexes = [path for path in folder.rglob("*.md") if path.name in {"index.md", README}]
    return [(path, link) for path in indexes for link in links_in(path)]


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_every_link_leads_to_a_file(corpus: Corpus, tmp_path: Path) -> None:
    export_documents(wanted(corpus), tmp_path / "out")
    found = links(tmp_path / "out")
    assert found
    assert [(path, link) for path, link in found if not (path.parent / unquote(link)).is_file()] == []


def test_every_document_is_reached_from_the_readme(corpus: Corpus, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    export_documents(wanted(corpus), folder)
    reached, todo = set(), [folder / README]
    while todo:
        path = todo.pop().resolve()
        if path in reached:
            continue
        reached.add(path)
        if path.name in {"index.md", README}:
            todo += [path.parent / unquote(link) for link in links_in(path)]
    assert reached == {path.resolve() for path in folder.rglob("*") if path.is_file()}


def test_documents_are_as_they_are_kept(corpus: Corpus, tmp_path: Path) -> None:
    exported = export_documents(wanted(corpus), tmp_path / "out")
    newest = [row for row in corpus.line.rows() if row.revision == 2 or row.title != "The tram returns"]
    for row in newest:
        key = document_key("quay", row.article_id, row.discovered_at)
        data = (tmp_path / "out" / key.removeprefix("documents/")).read_bytes()
        assert data == corpus.line.deps.store.get(key)
    assert (exported.articles, exported.left_out) == (len(newest), [])


def test_the_readme_has_the_feeds_with_their_counts(corpus: Corpus, tmp_path: Path) -> None:
    export_documents(wanted(corpus), tmp_path / "out")
    (line,) = [line for line in (tmp_path / "out" / README).read_text().splitlines() if line.startswith("- ")]
    day = corpus.row("The kites rose").discovered_at.date().isoformat()
    assert line == rf"- [The Lower Quay \[Courier\]](quay/index.md): 6 articles, the newest of {day}"


def test_what_a_feed_left_under_an_earlier_slug_is_found_too(own: Corpus, tmp_path: Path) -> None:
    export_documents(wanted(own), tmp_path / "out")
    with own.line.deps.ledger.transaction() as tx:
        tx.execute(feeds_table.update().where(feeds_table.c.slug == "quay").values(slug="lower-quay"))
    export_documents(wanted(own), tmp_path / "out")
    assert "- [quay](quay/index.md): 6 articles" in (tmp_path / "out" / README).read_text()


def test_a_second_export_changes_nothing(corpus: Corpus, tmp_path: Path) -> None:
    first = export_documents(wanted(corpus), tmp_path / "out")
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*")}
    second = export_documents(wanted(corpus), tmp_path / "out")
    assert (first.changed, second.changed) == (6 + 3, 0)
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*")} == before


def test_parts_make_up_the_whole(corpus: Corpus, tmp_path: Path) -> None:
    """Whatever is exported first: the index is of all that is there."""
    export_documents(wanted(corpus), tmp_path / "whole")
    export_documents(wanted(corpus, only(corpus, "The kites rose")), tmp_path / "parts")
    assert "1 article," in (tmp_path / "parts" / README).read_text()
    rest = tuple(row.id for row in corpus.line.rows() if row.title != "The kites rose")
    export_documents(wanted(corpus, Span(pks=rest)), tmp_path / "parts")
    assert content(tmp_path / "parts") == content(tmp_path / "whole")


def test_only_what_changed_is_written(own: Corpus, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    export_documents(wanted(own), folder)
    row = own.row("The kites rose")
    with own.line.deps.ledger.transaction() as tx:
        tx.execute(articles_table.update().where(articles_table.c.id == row.id).values(title="The kites rose again"))
    before = content(folder)
    assert export_documents(wanted(own), folder).changed == 1
    changed = {path for path, data in content(folder).items() if data != before[path]}
    assert changed == {f"quay/{row.discovered_at:%Y/%m/%d}/index.md"}


def test_what_is_others_stays(corpus: Corpus, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    (folder / "quay").mkdir(parents=True)
    for name in ("LICENSE", "quay/notes.md", ".gitignore"):
        (folder / name).write_text("mine")
    export_documents(wanted(corpus), folder)
    assert {(folder / name).read_text() for name in ("LICENSE", "quay/notes.md", ".gitignore")} == {"mine"}


def test_nobodys_readme_is_written_over(corpus: Corpus, tmp_path: Path) -> None:
    (tmp_path / README).write_text("# My notes\n")
    with pytest.raises(UsageError, match="another folder"):
        export_documents(wanted(corpus), tmp_path)
    assert content(tmp_path) == {README: b"# My notes\n"}


def test_a_damaged_document_is_left_out_and_named(own: Corpus, tmp_path: Path) -> None:
    key = own.row("The kites rose").archive["document"]
    own.line.deps.store.put(key, b"half")
    exported = export_documents(wanted(own), tmp_path / "out")
    assert [one.key for one in exported.left_out] == [key]
    assert not (tmp_path / "out" / key.removeprefix("documents/")).exists()
    assert [(path, link) for path, link in links(tmp_path / "out") if not (path.parent / link).is_file()] == []


def test_a_stopped_export_has_an_index_of_what_it_wrote(corpus: Corpus, tmp_path: Path) -> None:
    stopping = Event()
    asked = replace(wanted(corpus, stopping=stopping), told=lambda _articles, _size: stopping.set())
    assert export_documents(asked, tmp_path / "out").articles == 1
    assert "1 article," in (tmp_path / "out" / README).read_text()
    assert [(path, link) for path, link in links(tmp_path / "out") if not (path.parent / link).is_file()] == []


def test_a_hostile_title_is_text_in_the_index(corpus: Corpus, tmp_path: Path) -> None:
    export_documents(wanted(corpus), tmp_path / "out")
    row = corpus.row(HOSTILE_TITLE[:4])
    index = (tmp_path / "out" / "quay" / f"{row.discovered_at:%Y/%m/%d}" / "index.md").read_text()
    assert "evil.example" in index
    assert not any("evil.example" in link for _, link in links(tmp_path / "out"))
    document = read_document(corpus.line.deps.store.get(row.archive["document"]))
    assert "evil.example" in document.title


def test_the_folder_can_be_committed(corpus: Corpus, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    export_documents(wanted(corpus), folder)

    def git(*arguments: str) -> str:
        settings = ["-c", "user.name=a", "-c", "user.email=a@b.example", "-c", "core.autocrlf=input"]
        done = subprocess.run(
            ["git", *settings, *arguments], cwd=folder, capture_output=True, text=True, timeout=30, check=True
        )
        return done.stdout

    git("init", "-q")
    git("add", "-A")
    git("commit", "-qm", "as exported")
    assert sorted(git("ls-files").splitlines()) == sorted(
        name for name in content(folder) if not name.startswith(".git/")
    )
    export_documents(wanted(corpus), folder)
    assert git("status", "--porcelain") == ""
