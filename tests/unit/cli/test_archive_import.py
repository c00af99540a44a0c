"""``newsmill archive import``: a folder goes in, a list of outcomes comes out."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.newsserver import paragraphs
from tests.unit.cli.conftest import Books, Newsmill

URL = "https://news.example/a/ferry/17.html"


def document(url: str = URL) -> bytes:
    body = "".join(f"<p>{text}</p>" for text in paragraphs(1))
    return f"<!--1737125942000-->\n[The ferry sails again]({url})\n------\n\n{body}\n".encode()


@pytest.fixture
def folder(tmp_path: Path, books: Books) -> Path:
    voa = tmp_path / "old" / "voa"
    voa.mkdir(parents=True)
    (voa / "1.md").write_bytes(document())
    (voa / "README.md").write_bytes(b"# The lists\n")
    return voa.parent


def test_each_files_outcome_is_listed(newsmill: Newsmill, folder: Path) -> None:
    answer = newsmill("archive", "import", str(folder))
    assert answer.code == 0, answer.err
    first, second, sums, hint = answer.out.splitlines()
    assert first.split() == ["imported", "voa/1.md"]
    assert second.startswith("not-a-document  voa/README.md  (no [title](url)")
    assert sums.startswith("2 files in ")
    assert sums.endswith("/s): 1 imported, 1 not-a-document.")
    assert "--publish" in hint


def test_a_file_that_could_not_be_imported_makes_exit_code_1(newsmill: Newsmill, folder: Path) -> None:
    (folder / "voa" / "2.md").write_bytes(document("https://news.example/b")[:-40])
    answer = newsmill("archive", "import", str(folder))
    assert answer.code == 1
    assert "damaged         voa/2.md  (it is cut: it ends within a line)" in answer.out
    assert "imported        voa/1.md" in answer.out


def test_programs_get_one_json_value(newsmill: Newsmill, folder: Path) -> None:
    answer = newsmill("archive", "import", str(folder), "--feed", "voa-zh", "--json")
    first, second = answer.json["files"]
    assert (first["path"], first["outcome"], first["revision"], len(first["article_id"])) == (
        "voa/1.md",
        "imported",
        1,
        32,
    )
    assert (second["outcome"], second["article_id"]) == ("not-a-document", None)
    assert (answer.json["outcomes"], answer.json["dry_run"]) == ({"imported": 1, "not-a-document": 1}, False)
    assert newsmill("archive", "import", str(folder), "--json", "--dry-run").json["files"][0]["outcome"] == "known"


def test_an_empty_folder_gives_an_empty_list(newsmill: Newsmill, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "none").mkdir()
    assert newsmill("archive", "import", str(tmp_path / "none"), "--json").json["files"] == []


def test_a_dry_run_writes_nothing(newsmill: Newsmill, folder: Path) -> None:
    answer = newsmill("archive", "import", str(folder), "--dry-run")
    assert answer.out.splitlines()[-1] == "Nothing was written."
    assert newsmill("articles", "list", "--json").json == []


def test_other_commands_know_what_was_imported(newsmill: Newsmill, folder: Path) -> None:
    newsmill("archive", "import", str(folder))
    (row,) = newsmill("articles", "list", "--state", "imported", "--json").json
    assert newsmill("archive", "get", row["article_id"], "--part", "document").out.encode() == document()
    no_page = newsmill("archive", "get", row["article_id"])
    assert (no_page.code, "has no page of its own" in no_page.err) == (1, True)
    assert "Imported: " not in newsmill("why", URL).out
    assert "archive import FOLDER --publish" in newsmill("why", URL).out
    assert newsmill("audit").code == 0
    assert newsmill("status", "--json").json["articles"]["imported"] == 1
    (feed,) = newsmill("feeds", "list", "--json").json
    assert (feed["slug"], feed["condition"], feed["articles"]) == ("voa", "disabled", 1)
    assert "urn:newsmill:import:voa" in newsmill("feeds", "show", "voa").out


def test_the_reviewed_list_takes_an_imported_feed_over(newsmill: Newsmill, folder: Path, tmp_path: Path) -> None:
    newsmill("archive", "import", str(folder))
    (tmp_path / "feeds.toml").write_text('[[feed]]\nslug = "voa"\nurl = "https://voa.example/feed.xml"\n')
    assert newsmill("feeds", "sync", "--file", str(tmp_path / "feeds.toml")).code == 0
    (feed,) = newsmill("feeds", "list", "--json").json
    assert (feed["enabled"], feed["url"], feed["articles"]) == (True, "https://voa.example/feed.xml", 1)


def test_publishing_says_who_does_it(newsmill: Newsmill, folder: Path) -> None:
    answer = newsmill("archive", "import", str(folder), "--publish")
    assert "published       voa/1.md" in answer.out
    assert "`newsmill once`" in answer.out.splitlines()[-1]


def test_any_name_can_be_printed(newsmill: Newsmill, folder: Path) -> None:
    Path(os.fsdecode(os.fsencode(folder) + b"/voa/\xff\x1b.md")).write_bytes(document())
    answer = newsmill("archive", "import", str(folder), "--json")
    assert sorted(file["path"] for file in answer.json["files"]) == ["voa/1.md", "voa/README.md", "voa/\\xff\x1b.md"]
    assert "\x1b" not in newsmill("archive", "import", str(folder)).out


@pytest.mark.parametrize(
    ("arguments", "advice"),
    [(("/no/such/folder",), "is no folder"), ((".", "--feed", "V O A"), "a slug is a-z")],
    ids=["no folder", "no slug"],
)
def test_wrong_usage_is_said(newsmill: Newsmill, books: Books, arguments: tuple[str, ...], advice: str) -> None:
    answer = newsmill("archive", "import", *arguments)
    assert answer.code == 2
    assert advice in " ".join(answer.err.replace("│", " ").split())


def test_without_a_database_the_advice_is_to_make_one(newsmill: Newsmill, tmp_path: Path) -> None:
    answer = newsmill("archive", "import", str(tmp_path))
    assert (answer.code, "newsmill migrate" in answer.err) == (1, True)
