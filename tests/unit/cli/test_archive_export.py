"""``newsmill archive export``: files and folders at the names that were asked for."""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.tools.corpus import Corpus, made
from tests.unit.cli.conftest import Newsmill
from worker.archive.records import read_records


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Corpus]:
    with made(tmp_path_factory.mktemp("home")) as corpus:
        yield corpus


@pytest.fixture
def newsmill(corpus: Corpus, capsys: pytest.CaptureFixture[str]) -> Newsmill:
    return Newsmill(corpus.home, capsys)


def test_a_warc_and_its_index_are_written_and_named_with_their_digests(newsmill: Newsmill, tmp_path: Path) -> None:
    target = tmp_path / "all.warc.gz"
    answer = newsmill("archive", "export", "--warc", str(target))
    assert (answer.code, answer.err) == (0, "")
    assert answer.out.startswith("Exported 7 articles")
    for path in (target, tmp_path / "all.warc.gz.cdxj"):
        assert hashlib.sha256(path.read_bytes()).hexdigest() in answer.out


def test_a_wacz_is_written(newsmill: Newsmill, tmp_path: Path) -> None:
    target = tmp_path / "all.wacz"
    answer = newsmill("archive", "export", "--wacz", str(target), "--json")
    assert answer.code == 0
    assert answer.json["files"] == [{"path": str(target), "sha256": hashlib.sha256(target.read_bytes()).hexdigest()}]
    assert (answer.json["articles"], answer.json["left_out"]) == (7, [])
    with zipfile.ZipFile(target) as packed:
        assert packed.testzip() is None


def test_documents_are_written(newsmill: Newsmill, tmp_path: Path) -> None:
    answer = newsmill("archive", "export", "--documents", str(tmp_path / "out"))
    assert answer.code == 0
    assert f"to {tmp_path / 'out'}: 9 files new or changed." in answer.out
    assert "0 files new or changed" in newsmill("archive", "export", "--documents", str(tmp_path / "out")).out


def test_only_these_articles_are_exported(newsmill: Newsmill, corpus: Corpus, tmp_path: Path) -> None:
    row = corpus.row("The kites rose")
    newsmill("archive", "export", row.article_id[:8], "--warc", str(tmp_path / "one.warc.gz"))
    assert (tmp_path / "one.warc.gz").read_bytes() == corpus.bytes_of(row.archive["warc"])
    assert list(read_records((tmp_path / "one.warc.gz").read_bytes()))


def test_a_file_that_is_there_is_not_written_over(newsmill: Newsmill, tmp_path: Path) -> None:
    for option, name in (("--warc", "all.warc.gz"), ("--wacz", "all.wacz")):
        target = tmp_path / name
        target.write_bytes(b"older")
        answer = newsmill("archive", "export", option, str(target))
        assert answer.code == 1
        assert "--force" in answer.err
        assert target.read_bytes() == b"older"
        assert newsmill("archive", "export", option, str(target), "--force").code == 0
        assert target.read_bytes() != b"older"


def test_an_index_that_is_there_is_not_written_over(newsmill: Newsmill, tmp_path: Path) -> None:
    (tmp_path / "all.warc.gz.cdxj").write_text("older")
    assert newsmill("archive", "export", "--warc", str(tmp_path / "all.warc.gz")).code == 1
    assert [path.name for path in tmp_path.iterdir()] == ["all.warc.gz.cdxj"]


@pytest.mark.parametrize("options", [(), ("--warc", "a", "--wacz", "b")], ids=["none", "two"])
def test_one_form_has_to_be_said(newsmill: Newsmill, options: tuple[str, ...]) -> None:
    answer = newsmill("archive", "export", *options)
    assert answer.code == 2
    assert "say one of" in answer.err


def test_nothing_to_export_is_a_sentence(newsmill: Newsmill, tmp_path: Path) -> None:
    answer = newsmill("archive", "export", "--until", "7d", "--warc", str(tmp_path / "none.warc.gz"))
    assert answer.code == 1
    assert "No archived article matches" in answer.err
    assert list(tmp_path.iterdir()) == []


def test_what_had_to_be_left_out_is_said(newsmill: Newsmill, corpus: Corpus, tmp_path: Path) -> None:
    row = corpus.row("The kites rose")
    store = corpus.line.deps.store
    data = store.get(row.archive["warc"])
    store.delete(row.archive["warc"])
    try:
        answer = newsmill("archive", "export", "--warc", str(tmp_path / "rest.warc.gz"))
    finally:
        store.put(row.archive["warc"], data)
    assert answer.code == 1
    assert f"{row.article_id[:12]}:1 was left out" in answer.err
    assert (tmp_path / "rest.warc.gz").exists()


def test_somebody_elses_readme_is_left_alone(newsmill: Newsmill, tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("# Mine\n")
    answer = newsmill("archive", "export", "--documents", str(tmp_path))
    assert answer.code == 1
    assert "was not written by `newsmill archive export`" in answer.err
