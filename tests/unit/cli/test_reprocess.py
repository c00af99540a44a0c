"""``newsmill reprocess``: the comparison, the threshold, and how an interrupted run is gone on with."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from typing import Any

import pytest

from tests.newsserver import NewsServer, article_page, paragraphs
from tests.stack import FAST
from tests.unit.cli.conftest import Answer, Newsmill
from worker.archive.filesystem import FileStore
from worker.cli.launch import follow_sample
from worker.ledger import articles, feeds
from worker.ledger.migrate import migrate
from worker.ledger.session import Ledger
from worker.ledger.tables import Row, reprocessings
from worker.sample.newsroom import Newsroom
from worker.stages import reprocess as stage
from worker.wiring import now_utc

FULL_TEXT = "".join(f"<p>The feed's own words: {text}</p>" for text in paragraphs(9, 16))


@pytest.fixture
def site() -> Iterator[NewsServer]:
    with NewsServer() as server:
        yield server


@pytest.fixture
def published(newsmill: Newsmill, site: NewsServer) -> Newsmill:
    """Three articles whose page and whose feed tell different things; the pages were read."""
    items: list[dict[str, Any]] = []
    for n in range(3):
        link = site.page(f"/{n}.html", article_page(f"Report {n}", paragraphs(n)))
        items.append({"title": f"Report {n}", "link": link, "guid": link, "description": f"{FULL_TEXT}<p>No. {n}</p>"})
    newsmill.environment |= FAST
    newsmill("migrate")
    added = newsmill("feeds", "add", site.feed("/feed.xml", items), "--slug", "ferry", "--fulltext", "never")
    assert added.code == 0, added.err
    assert newsmill("once").code == 0
    return newsmill


def change(newsmill: Newsmill, **values: str) -> None:
    """What the operator says of the feed: that changes what its articles are read to be."""
    ledger = Ledger(newsmill.database_url)
    with ledger.transaction() as tx:
        feed = feeds.by_slug(tx, "ferry")
        assert feed is not None
        feeds.change(tx, feed.id, values, now=now_utc())
    ledger.close()


def rows(newsmill: Newsmill) -> list[Row]:
    ledger = Ledger(newsmill.database_url)
    with ledger.reading() as tx:
        found = articles.select_rows(tx, limit=100)
    ledger.close()
    return found


def runs(newsmill: Newsmill) -> list[Row]:
    ledger = Ledger(newsmill.database_url)
    with ledger.reading() as tx:
        found = list(tx.execute(reprocessings.select()))
    ledger.close()
    return found


def said(answer: Answer) -> str:
    return " ".join(f"{answer.out} {answer.err}".replace("│", " ").split())


# ---------------------------------------------------------------- the comparison


def test_nothing_changes_for_nothing(published: Newsmill) -> None:
    answer = published("reprocess", "--json")
    assert answer.code == 0, answer.err
    assert (answer.json["compared"], answer.json["differing"], answer.json["revisions"]) == (3, 0, 0)
    assert answer.json["fields"] == {}


def test_a_dry_run_shows_each_field_and_the_worst_side_by_side_and_writes_nothing(published: Newsmill) -> None:
    change(published, fulltext="always")
    answer = published("reprocess", "--dry-run")
    assert answer.code == 0, answer.err
    assert "3 articles compared: 3 differ in text, title, date or picture." in answer.out
    heading = answer.out.splitlines()[1].split()
    assert heading == ["field", "changed", "longer", "shorter", "gained", "lost"]
    assert ["text", "3", "3", "0", "0", "0"] in [line.split() for line in answer.out.splitlines()]
    (row,) = (row for row in rows(published) if row.title == "Report 1")
    assert row.article_id[:12] in answer.out
    assert row.url in answer.out
    assert any(line.startswith("text: ") and " | " in line and "own words" in line for line in answer.out.splitlines())
    assert "3 revisions would be written" in answer.out
    assert "dry run" in answer.out
    assert len(rows(published)) == 3
    assert runs(published) == []


def test_then_revisions_are_written_and_the_line_publishes_them(published: Newsmill) -> None:
    change(published, fulltext="always")
    answer = published("reprocess")
    assert answer.code == 0, answer.err
    assert "3 revisions written" in answer.out
    assert "newsmill status" in answer.out
    sent = published("once")
    assert sent.code == 0, sent.err
    assert sent.out.count('"kind":"updated"') == 3
    assert published("audit").code == 0
    again = published("reprocess", "--json").json
    assert (again["compared"], again["differing"], again["revisions"]) == (3, 0, 0)


def test_above_the_threshold_nothing_is_written(published: Newsmill, site: NewsServer) -> None:
    change(published, fulltext="always")
    published("reprocess")
    published("once")
    change(published, fulltext="never")  # the pages are shorter by more than half
    refused = published("reprocess")
    assert refused.code == 1
    assert "3 of 3 articles (100.0%)" in refused.err
    assert "more than the threshold of 1 %. Nothing was written." in said(refused)
    assert "--threshold 100 lets it pass" in said(refused)
    assert len(rows(published)) == 6
    dry = published("reprocess", "--dry-run", "--json")
    assert (dry.code, dry.json["worse"], dry.json["worse_percent"]) == (1, 3, 100.0)
    allowed = published("reprocess", "--threshold", "100")
    assert allowed.code == 0, allowed.err
    assert len(rows(published)) == 9


@pytest.mark.parametrize(
    ("worse", "compared", "threshold", "code"),
    [
        pytest.param(7, 100, "7", 0, id="as many as are allowed, where floats say more"),
        pytest.param(8, 100, "7", 1, id="one more"),
        pytest.param(1, 3, "33.3", 1, id="a third"),
        pytest.param(1, 3, "33.4", 0, id="as it is advised"),
        pytest.param(1, 1, "99", 1, id="the only one"),
        pytest.param(0, 0, "0", 0, id="none at all"),
    ],
)
def test_the_threshold_is_a_share_of_what_was_compared(  # noqa: PLR0917
    published: Newsmill, monkeypatch: pytest.MonkeyPatch, worse: int, compared: int, threshold: str, code: int
) -> None:
    def compare_all(_deps: Any, _run: Any, tally: stage.Tally, **_: Any) -> None:
        tally.worse, tally.compared, tally.phase = worse, compared, "write"

    monkeypatch.setattr(stage, "compare_all", compare_all)
    assert published("reprocess", "--dry-run", "--threshold", threshold).code == code


def test_scripts_may_rely_on_these_facts(published: Newsmill) -> None:
    change(published, fulltext="always")
    facts = published("reprocess", "--json").json
    assert {name: type(value).__name__ for name, value in facts.items()} == {
        "dry_run": "bool",
        "threshold_percent": "float",
        "worse_percent": "float",
        "phase": "str",
        "total": "int",
        "looked_at": "int",
        "compared": "int",
        "worse": "int",
        "differing": "int",
        "fields": "dict",
        "worst": "list",
        "lost": "list",
        "lost_count": "int",
        "became": "list",
        "became_count": "int",
        "to_fetch": "int",
        "in_hand": "int",
        "asked_lately": "int",
        "problems": "list",
        "problem_count": "int",
        "revisions": "int",
        "retried": "int",
        "fetching": "int",
        "overtaken": "int",
    }
    assert set(facts["worst"][0]) == {"article_id", "url", "title", "fields", "ratio", "shown", "old", "new"}
    archive = published("reprocess", "--stage", "archive", "--json").json
    assert set(archive) == {"dry_run", "total", "looked_at", "documents", "restored", "problems", "problem_count"}


def test_what_could_not_be_read_is_listed(published: Newsmill) -> None:
    lost = rows(published)[0]
    FileStore(published.home / "archive").delete(lost.archive["warc"])
    answer = published("reprocess")
    assert answer.code == 1
    assert "1 article could not be read:" in answer.out
    assert lost.article_id[:12] in answer.out
    assert published("reprocess", "--json").json["problems"][0]["article_id"] == lost.article_id


@pytest.mark.parametrize(
    ("arguments", "count"),
    [
        pytest.param(("--feed", "ferry"), 3, id="feed"),
        pytest.param(("--since", "1h"), 3, id="since"),
        pytest.param(("--until", "1h"), 0, id="until"),
        pytest.param(("--limit", "2"), 2, id="limit"),
    ],
)
def test_only_what_is_asked_for(published: Newsmill, arguments: tuple[str, ...], count: int) -> None:
    assert published("reprocess", "--dry-run", "--json", *arguments).json["compared"] == count


def test_articles_are_named_by_the_beginning_of_their_ids(published: Newsmill) -> None:
    one, other, _ = (row.article_id for row in rows(published))
    assert published("reprocess", one[:8], other, "--dry-run", "--json").json["compared"] == 2


@pytest.mark.parametrize(
    ("arguments", "code", "advice"),
    [
        pytest.param(("--feed", "nobody"), 1, "newsmill feeds list", id="no such feed"),
        pytest.param(("abcdef12",), 1, "newsmill articles list", id="no such article"),
        pytest.param(("xyz",), 2, "is no article id", id="no id"),
        pytest.param(("--since", "yesterday"), 2, "is no time", id="no time"),
        pytest.param(("--stage", "publish"), 2, "extract", id="no such stage"),
        pytest.param(("--stage", "archive", "--refetch"), 2, "--refetch goes with --stage extract", id="refetch"),
    ],
)
def test_what_makes_no_sense_is_said(published: Newsmill, arguments: tuple[str, ...], code: int, advice: str) -> None:
    answer = published("reprocess", *arguments)
    assert answer.code == code
    assert advice in said(answer)
    assert runs(published) == []


def test_without_a_database_it_says_how_to_make_one(newsmill: Newsmill) -> None:
    answer = newsmill("reprocess")
    assert answer.code == 1
    assert "newsmill migrate" in answer.err


def test_the_sample_newsroom_is_read_the_same_again(newsmill: Newsmill) -> None:
    newsroom = Newsroom(clock=now_utc, slow_s=0.1)
    newsroom.start()
    try:
        newsmill.environment |= FAST
        ledger = Ledger(newsmill.database_url)
        migrate(ledger)
        follow_sample(ledger, newsroom)
        ledger.close()
        newsmill("once")
    finally:
        newsroom.stop()
    answer = newsmill("reprocess", "--dry-run", "--json").json
    assert answer["compared"] >= 10
    assert (answer["fields"], answer["lost_count"], answer["became_count"], answer["problem_count"]) == ({}, 0, 0, 0)


# ---------------------------------------------------------------- interruptions


@pytest.fixture
def interrupted(published: Newsmill, monkeypatch: pytest.MonkeyPatch) -> Answer:
    """A run that a SIGTERM reached while it read its second article."""
    change(published, fulltext="always")
    real, reads = stage._look, []

    def look(*arguments: Any) -> Any:
        reads.append(1)
        if len(reads) == 2:
            os.kill(os.getpid(), signal.SIGTERM)
        return real(*arguments)

    with monkeypatch.context() as patched:
        patched.setattr(stage, "_look", look)
        return published("reprocess")


def test_a_stop_ends_between_articles_and_says_how_to_go_on(interrupted: Answer, published: Newsmill) -> None:
    assert interrupted.code == 1
    assert "Stopped: 2 articles of 3 compared. The same command goes on where this one stopped." in interrupted.err
    assert len(rows(published)) == 3


def test_the_same_command_goes_on(interrupted: Answer, published: Newsmill) -> None:
    answer = published("reprocess")
    assert answer.code == 0, answer.err
    assert "Going on with the run of" in answer.err
    assert "2 articles of 3 compared" in answer.err
    assert "3 revisions written" in answer.out
    (run,) = runs(published)
    assert run.ended_at is not None


@pytest.mark.parametrize("arguments", [("--anew",), ("--since", "24h"), ("--limit", "3")], ids=lambda a: a[0])
def test_other_words_or_anew_begin_from_the_start(
    interrupted: Answer, published: Newsmill, arguments: tuple[str, ...]
) -> None:
    answer = published("reprocess", *arguments)
    assert answer.code == 0, answer.err
    assert "Going on" not in answer.err
    assert "3 revisions written" in answer.out
    assert len(runs(published)) == 2


def test_the_threshold_is_no_part_of_what_is_asked_for(interrupted: Answer, published: Newsmill) -> None:
    assert "Going on" in published("reprocess", "--threshold", "50").err


# ---------------------------------------------------------------- documents


def test_documents_are_written_again_without_a_message(published: Newsmill) -> None:
    before = published("reprocess", "--stage", "archive", "--json")
    assert (before.code, before.json["documents"]) == (0, 0)
    change(published, document_body="feed")
    assert published("reprocess", "--stage", "archive", "--dry-run", "--json").json["documents"] == 3
    answer = published("reprocess", "--stage", "archive")
    assert answer.code == 0, answer.err
    assert "3 articles: 3 documents written with other bytes" in answer.out
    document = (published.home / "archive" / rows(published)[0].archive["document"]).read_text()
    assert "The feed's own words" in document
    assert published("reprocess", "--stage", "archive", "--json").json["documents"] == 0
    assert published("once").out == ""
