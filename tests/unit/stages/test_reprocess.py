"""The archive read again: what is compared, what becomes of it, and what an interruption costs."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from datetime import timedelta
from itertools import accumulate
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from sqlalchemy import func, select, update
from sqlalchemy.engine import Connection

from tests.conftest import REPOSITORY
from tests.newsserver import Answer, NewsServer, article_page, paragraphs
from tests.unit.stages.conftest import Line
from tests.unit.stages.test_importing import URL, archive_of, document
from tests.unit.stages.test_outcomes import item, picture
from worker import stages
from worker.archive.bundle import bundle, find_payload, read_bundle
from worker.archive.exchange import exchange_records, read_exchange
from worker.errors import UnavailableError
from worker.ledger import articles, feeds, reprocessings, tables
from worker.ledger.reprocessings import Selection
from worker.ledger.tables import Row
from worker.model import Exchange, State
from worker.stages import reprocess as stage
from worker.stages.importing import import_documents
from worker.stages.kept import kept_bytes
from worker.stages.reprocess import Run, Tally, compare_all, finish, fresh_tally, noted, tally_of, write_all
from worker.stages.rewrite import Rewritten, rewrite_all

SCHEMA = Draft202012Validator(json.loads((REPOSITORY / "config" / "schemas" / "article-1.schema.json").read_text()))
FEED_TEXT = [f"The feed tells it in other words, sentence {n}: {text}" for n, text in enumerate(paragraphs(9, 8))]
FULL_TEXT = "".join(f"<p>{text}</p>" for text in FEED_TEXT)


def no_progress(_done: int, _total: int) -> None:
    pass


def reprocessed(line: Line, *, selection: Selection | None = None, refetch: bool = False, kept: bool = False) -> Tally:
    """One run to its end, whatever the comparison says."""
    tally, run = compared(line, selection=selection, refetch=refetch, kept=kept)
    return write_all(line.deps, run, tally, after=0, progress=no_progress)


def compared(
    line: Line, *, selection: Selection | None = None, refetch: bool = False, kept: bool = False
) -> tuple[Tally, Run]:
    run = Run(selection=selection or Selection(), refetch=refetch)
    tally = line.deps.loaded(lambda tx: fresh_tally(tx, run.selection, limit=None))
    if kept:
        row = line.deps.saved(lambda tx: reprocessings.begin(tx, "{}", tally=noted(tally), now=line.now()))
        run = replace(run, id=row.id)
    compare_all(line.deps, run, tally, after=0, progress=no_progress)
    return tally, run


def say(line: Line, slug: str = "ferry", **values: Any) -> None:
    """Change what the operator said of a feed: that changes what its articles are read to be."""
    with line.deps.ledger.transaction() as tx:
        feed = feeds.by_slug(tx, slug)
        assert feed is not None
        feeds.change(tx, feed.id, values, now=line.now())


def two_tongued(line: Line, site: NewsServer, count: int = 1, **page: Any) -> None:
    """Articles whose page says one thing and whose feed, at full length, another: ``fulltext`` decides."""
    items = []
    for n in range(count):
        link = site.page(f"/news/{n}.html", article_page(f"The ferry sails again {n}", paragraphs(n), **page))
        items.append(item(link, title=f"The ferry sails again {n}", description=f"{FULL_TEXT}<p>Story {n}.</p>"))
    line.follow("ferry", site.feed("/feed.xml", items), fulltext="never")
    line.poll()
    line.run(rounds=100)
    assert line.ends() == [("published", None)] * count


def balance(line: Line) -> dict[str, int]:
    with line.deps.ledger.reading() as tx:
        found = articles.audit(tx)
    return {
        name: found[name] for name in ("missing", "sequence_gaps", "published_without_confirm", "ended_without_time")
    }


def counts(line: Line) -> dict[str, int]:
    with line.deps.ledger.reading() as tx:
        return {t.name: tx.scalar(select(func.count()).select_from(t)) or 0 for t in tables.metadata.sorted_tables}


def contents(line: Line) -> dict[str, bytes]:
    return {key: line.deps.store.get(key) for key in line.deps.store.keys("")}


def revisions(line: Line) -> list[Row]:
    """All rows of the one article, oldest first."""
    return sorted(line.rows(), key=lambda row: row.revision)


def the_bundle(line: Line, row: Row) -> list[Any]:
    return read_bundle(kept_bytes(line.deps.ledger, line.deps.store, row.archive["warc"]))


# ---------------------------------------------------------------- what is compared


def test_what_was_just_read_is_read_the_same_again(line: Line, site: NewsServer) -> None:
    two_tongued(line, site, count=3, image=with_picture_url(site))
    tally, _ = compared(line)
    assert (tally.compared, tally.differing, tally.worse, tally.fields) == (3, 0, 0, {})
    assert tally.todo == []


def with_picture_url(site: NewsServer) -> str:
    site.routes["/ferry.jpg"] = Answer(picture(640, 360), 200, {"Content-Type": "image/jpeg"})
    return f"{site.base}/ferry.jpg"


def test_the_comparison_counts_each_field_and_shows_the_worst(line: Line, site: NewsServer) -> None:
    two_tongued(line, site, count=3)
    say(line, fulltext="always")
    tally, _ = compared(line)
    assert (tally.compared, tally.differing) == (3, 3)
    assert tally.fields["text"] == {"longer": 3}
    assert "title" not in tally.fields
    assert len(tally.worst) == 3
    assert tally.worst[0].shown == "text"
    assert "The feed tells it" in tally.worst[0].new
    assert "The feed tells it" not in tally.worst[0].old


def test_a_dry_run_leaves_no_trace(line: Line, site: NewsServer) -> None:
    two_tongued(line, site, count=2)
    say(line, fulltext="always")
    before = counts(line), contents(line), [tuple(row) for row in line.rows()]
    asked = site.requests.total()
    compared(line)
    assert (counts(line), contents(line), [tuple(row) for row in line.rows()]) == before
    assert site.requests.total() == asked


@pytest.mark.parametrize(
    ("values", "count"),
    [
        pytest.param({"feed": "ferry"}, 2, id="the feed"),
        pytest.param({"feed": "other"}, 0, id="another feed"),
        pytest.param({"since": 1}, 0, id="discovered later"),
        pytest.param({"until": -1}, 0, id="discovered before"),
        pytest.param({"since": -1, "until": 1}, 2, id="the period"),
    ],
)
def test_only_what_is_asked_for_is_looked_at(line: Line, site: NewsServer, values: dict[str, Any], count: int) -> None:
    two_tongued(line, site, count=2)
    moments = {
        name: line.rows()[0].discovered_at.replace(microsecond=0) for name in ("since", "until") if name in values
    }
    for name, at in moments.items():
        values[name] = at.replace(year=at.year + values[name])
    assert compared(line, selection=Selection(**values))[0].compared == count


@pytest.mark.parametrize("limit", [None, 5, 100])
def test_all_are_looked_at_however_many_are_found_at_once(
    line: Line, site: NewsServer, monkeypatch: pytest.MonkeyPatch, limit: int | None
) -> None:
    monkeypatch.setattr(stage, "FOUND_AT_ONCE", 3)
    monkeypatch.setattr(stage, "AT_ONCE", 2)
    two_tongued(line, site, count=7)
    run = Run(selection=Selection(), refetch=False, limit=limit)
    tally = line.deps.loaded(lambda tx: fresh_tally(tx, run.selection, limit=limit))
    compare_all(line.deps, run, tally, after=0, progress=no_progress)
    assert tally.looked_at == tally.total == min(7, limit or 7)
    assert tally.phase == "write"


def test_chosen_articles_only(line: Line, site: NewsServer) -> None:
    two_tongued(line, site, count=3)
    one = line.rows()[0].article_id
    assert compared(line, selection=Selection(article_ids=(one,)))[0].compared == 1


# ---------------------------------------------------------------- revisions


def test_what_really_changed_becomes_a_revision_and_an_updated_message(line: Line, site: NewsServer) -> None:
    two_tongued(line, site, image=with_picture_url(site))
    asked = site.requests.total()
    say(line, fulltext="always")
    line.later(hours=3)
    tally = reprocessed(line)
    assert (tally.phase, tally.revisions) == ("done", 1)
    line.run()
    first, second = revisions(line)
    assert (second.state, second.revision, second.priority) == ("published", 2, articles.AFTER_THE_NEWS)
    was, message = line.messages
    assert not list(SCHEMA.iter_errors(message))
    assert (message["kind"], message["id"]) == ("updated", f"{first.article_id}:2")
    assert (message["change"]["previous"], message["change"]["class"]) == (1, "rewrite")
    assert message["change"]["fields"] == ["text", "summary"]
    assert message["change"]["ratio"] > 0.5
    assert message["text"].startswith("The feed tells it in other words")
    assert (message["sequence"], was["sequence"]) == (2, 1)
    assert message["downloaded_at"] == was["downloaded_at"]
    assert message["url_final"] == was["url_final"]
    assert message["image"] == was["image"]
    assert message["archive"]["warc"] == was["archive"]["warc"], "the page lies where it lay"
    assert message["archive"]["record_id"] == was["archive"]["record_id"]
    assert site.requests.total() == asked, "no site was asked"
    assert set(balance(line).values()) == {0}


def test_both_revisions_stay_in_the_archive_and_refer_to_one_page(line: Line, site: NewsServer) -> None:
    two_tongued(line, site)
    say(line, fulltext="always")
    reprocessed(line)
    line.run()
    first, second = revisions(line)
    assert first.archive["page"] == second.archive["page"]
    assert first.archive["warc"] != second.archive["warc"]
    page = find_payload(line.deps.store.get(second.archive["page"]["warc"]), second.archive["page"]["record_id"])
    assert page.payload == site.routes["/news/0.html"].body  # type: ignore[union-attr]
    (facts,) = (record for record in the_bundle(line, second) if record.type == "metadata")
    assert facts.refers_to == second.archive["page"]["record_id"]
    assert "response" not in {record.type for record in the_bundle(line, second)}
    for row in (first, second):
        assert line.deps.store.get(row.archive["html_ref"])


def test_a_second_run_finds_nothing_to_do(line: Line, site: NewsServer) -> None:
    two_tongued(line, site, count=2)
    say(line, fulltext="always")
    reprocessed(line)
    waiting = reprocessed(line)
    assert (waiting.in_hand, waiting.revisions) == (2, 0), "they are on their way"
    line.run(rounds=20)
    again = reprocessed(line)
    assert (again.compared, again.differing, again.revisions) == (2, 0, 0)
    assert len(line.rows()) == 4


def test_a_third_revision_is_read_from_the_first_ones_page(line: Line, site: NewsServer) -> None:
    two_tongued(line, site)
    for fulltext in ("always", "never"):
        say(line, fulltext=fulltext)
        reprocessed(line)
        line.run()
    first, _, third = line.messages
    assert (third["revision"], third["change"]["previous"], third["kind"]) == (3, 2, "updated")
    assert third["text"] == first["text"]
    assert third["archive"]["warc"] == first["archive"]["warc"]


def test_two_runs_at_once_make_one_revision(line: Line, site: NewsServer) -> None:
    two_tongued(line, site)
    say(line, fulltext="always")
    one, run = compared(line)
    other, _ = compared(line)
    assert write_all(line.deps, run, one, after=0, progress=no_progress).revisions == 1
    late = write_all(line.deps, run, other, after=0, progress=no_progress)
    assert (late.revisions, late.overtaken) == (0, 1)
    line.run()
    assert len(line.messages) == 2


def test_a_revision_that_is_set_aside_and_retried_is_read_from_the_page_that_is_held(
    line: Line, site: NewsServer
) -> None:
    two_tongued(line, site)
    say(line, fulltext="always")
    reprocessed(line)
    say(line, fulltext="never")
    with line.deps.ledger.transaction() as tx:
        (_, second) = sorted(articles.by_article_id(tx, line.rows()[0].article_id), key=lambda row: row.revision)
        aside = {"state": State.QUARANTINED, "reason": "bug", "ended_at": line.now()}
        tx.execute(update(tables.articles).where(tables.articles.c.id == second.id).values(**aside))
        assert articles.retry(tx, [second.id], now=line.now(), host_of=lambda url: url) == [second.id]
    asked = site.requests.total()
    line.run()
    assert line.ends() == [("duplicate", "unchanged"), ("published", None)]
    assert site.requests.total() == asked


def test_another_picture_is_named_without_asking_any_site(line: Line, site: NewsServer) -> None:
    two_tongued(line, site, image=with_picture_url(site))
    of_yesterday(line, site, "/old.jpg")
    asked = site.requests.total()
    tally = reprocessed(line)
    assert tally.fields == {"image": {"other": 1}}
    line.run()
    message = line.messages[-1]
    assert (message["change"]["fields"], message["change"]["class"]) == (["image"], "picture")
    assert (message["image"]["url"], message["image"]["sha256"]) == (f"{site.base}/ferry.jpg", None)
    assert site.requests.total() == asked
    assert reprocessed(line).differing == 0


def test_another_picture_is_fetched_where_sites_may_be_asked(line: Line, site: NewsServer) -> None:
    two_tongued(line, site, image=with_picture_url(site))
    of_yesterday(line, site, "/old.jpg")
    reprocessed(line, refetch=True)
    line.run()
    assert line.messages[-1]["image"]["ref"]
    assert site.requests["/ferry.jpg"] == 2
    assert site.requests["/news/0.html"] == 1


def of_yesterday(line: Line, site: NewsServer, path: str) -> None:
    """Make the one article look as if earlier rules had found another picture."""
    row = line.row()
    was = {**row.picture, "url": site.base + path}
    image = {name: value for name, value in was.items() if name != "spool"}
    candidate = {"url": was["url"], "chosen_by": was["chosen_by"]}
    forge(line, row, facts={"image": image, "image_candidates": [candidate]})
    with line.deps.ledger.transaction() as tx:
        tx.execute(update(tables.articles).where(tables.articles.c.id == row.id).values(picture=was))


def forge(line: Line, row: Row, *, facts: dict[str, Any] | None = None, page: bytes | None = None) -> None:
    """Write an article's bundle as other rules, or another site, would have made it."""
    key = row.archive["warc"]
    data = kept_bytes(line.deps.ledger, line.deps.store, key)
    (metadata,) = (json.loads(record.payload) for record in read_bundle(data) if record.type == "metadata")
    hop = read_exchange(data).hops[0]
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\n\r\n"
    headers = (("Content-Type", "text/html; charset=utf-8"),)
    if page is not None:
        hop = replace(hop, body=page, response_head=head, headers=headers)
    written = bundle(
        article_id=row.article_id,
        revision=row.revision,
        exchange_data=exchange_records(Exchange(hops=(hop,))),
        picture_data=None,
        metadata={**metadata, **(facts or {})},
        markdown="",
        written_at=row.extracted_at,
        software="a test",
        page_url=row.url,
    )
    line.deps.store.put(key, written.data)
    with line.deps.ledger.transaction() as tx:
        page_note = {**row.archive["page"], "record_id": written.record_id}
        note = {**row.archive, "record_id": written.record_id, "page": page_note}
        tx.execute(update(tables.articles).where(tables.articles.c.id == row.id).values(archive=note))


# ---------------------------------------------------------------- what is worse, lost, or an article at last


@pytest.mark.parametrize(
    "facts",
    [
        pytest.param({"published_at": "2026-11-20T09:30:00Z"}, id="its date is lost"),
        pytest.param({"image": {"url": "https://a.example/1.jpg"}}, id="its picture is lost"),
        pytest.param({"text": "\n\n".join(paragraphs(1, 40))}, id="most of its text is lost"),
    ],
)
def test_a_reading_that_loses_something_is_counted_as_worse(
    line: Line, site: NewsServer, facts: dict[str, Any]
) -> None:
    two_tongued(line, site)
    forge(line, line.row(), facts=facts)
    tally, _ = compared(line)
    assert (tally.compared, tally.worse, tally.worse_share) == (1, 1, 1.0)


def test_what_is_no_article_any_more_is_listed_and_stays(line: Line, site: NewsServer) -> None:
    two_tongued(line, site)
    forge(line, line.row(), page=article_page("Page not found", ["Sorry, this page does not exist."]).encode())
    tally = reprocessed(line)
    assert (tally.lost_count, tally.lost[0].article_id, tally.worse) == (1, line.row().article_id, 1)
    assert tally.lost[0].what == "soft-404"
    assert tally.revisions == 0
    line.run()
    assert line.ends() == [("published", None)]


def test_what_was_no_article_and_is_one_now_goes_down_the_line(line: Line, site: NewsServer) -> None:
    link = site.page("/news/thin.html", article_page("The ferry", ["Soon."]))
    line.follow("ferry", site.feed("/feed.xml", [item(link, description=FULL_TEXT)]), fulltext="never")
    line.poll()
    line.run()
    ((state, reason),) = line.ends()
    assert state == "rejected"
    unread, _ = compared(line)
    assert unread.became_count == 0
    say(line, fulltext="always")
    asked = site.requests.total()
    tally = reprocessed(line)
    assert (tally.became_count, tally.retried) == (1, 1)
    assert tally.became[0].what == f"was set aside as {reason}"
    assert line.row().priority == articles.AFTER_THE_NEWS
    line.run()
    assert line.ends() == [("published", None)]
    assert line.messages[0]["kind"] == "published"
    assert site.requests.total() == asked
    assert set(balance(line).values()) == {0}


def test_what_a_person_dropped_is_not_looked_at(line: Line, site: NewsServer) -> None:
    two_tongued(line, site)
    with line.deps.ledger.transaction() as tx:
        tx.execute(update(tables.articles).values(state=State.REJECTED, reason="dropped", archive=None))
    assert compared(line)[0].looked_at == 0


def test_a_rejected_revision_that_a_later_one_came_after_is_not_looked_at(line: Line, site: NewsServer) -> None:
    unreached(line, site, "closed")
    site.page("/news/ferry.html", article_page("Page not found", ["Sorry."]))
    say(line, fulltext="never")
    reprocessed(line, refetch=True)
    line.run()
    assert [state for state, _ in line.ends()] == ["published", "rejected"]
    forge_text(line, revisions(line)[0], "Another text altogether, as yesterday's rules read it. " * 20)
    say(line, fulltext="always")
    assert reprocessed(line).revisions == 1
    line.run()
    later = reprocessed(line)
    line.run()
    assert (later.looked_at, later.became_count) == (1, 0)
    assert [message["revision"] for message in line.messages] == [1, 3]


def forge_text(line: Line, row: Row, text: str) -> None:
    """As ``forge``, of an article without a page."""
    key = row.archive["warc"]
    records = read_bundle(kept_bytes(line.deps.ledger, line.deps.store, key))
    (facts,) = (json.loads(record.payload) for record in records if record.type == "metadata")
    written = bundle(
        article_id=row.article_id,
        revision=row.revision,
        exchange_data=b"",
        picture_data=None,
        metadata={**facts, "text": text},
        markdown="",
        written_at=row.extracted_at,
        software="a test",
        page_url=row.url,
    )
    line.deps.store.put(key, written.data)


def test_a_damaged_or_missing_bundle_costs_only_its_article(line: Line, site: NewsServer) -> None:
    two_tongued(line, site, count=3)
    say(line, fulltext="always")
    lost, cut, _ = sorted(line.rows(), key=lambda row: row.id)
    line.deps.store.delete(lost.archive["warc"])
    line.deps.store.put(cut.archive["warc"], line.deps.store.get(cut.archive["warc"])[:900])
    tally = reprocessed(line)
    assert tally.revisions == 1
    assert {one.article_id for one in tally.problems} == {lost.article_id, cut.article_id}
    assert tally.problem_count == 2
    assert "nothing is stored under" in next(one.what for one in tally.problems if one.article_id == lost.article_id)


def test_a_store_that_is_away_ends_the_run_and_nothing_is_said_of_articles(line: Line, site: NewsServer) -> None:
    two_tongued(line, site)
    blocked = replace(line.deps, store=Away())  # type: ignore[arg-type]
    run = Run(selection=Selection(), refetch=False)
    tally = line.deps.loaded(lambda tx: fresh_tally(tx, run.selection, limit=None))
    with pytest.raises(UnavailableError):
        compare_all(blocked, run, tally, after=0, progress=no_progress)
    assert tally.problem_count == 0


class Away:
    """A store that does not answer."""

    is_remote = False

    def get(self, key: str) -> bytes:
        raise UnavailableError(f"no answer: {key}")


# ---------------------------------------------------------------- imported articles


def test_imported_documents_are_read_the_same_again(line: Line, tmp_path: Path) -> None:
    folder = archive_of(tmp_path / "old", {"voa/1.md": document(), "voa/2.md": document(f"{URL}?id=2", title="Two")})
    list(import_documents(line.deps, folder))
    tally, _ = compared(line)
    assert (tally.compared, tally.fields, tally.problem_count) == (2, {}, 0)
    assert line.ends() == [("imported", None)] * 2


def test_a_revision_of_what_was_only_imported_is_kept_and_not_published(line: Line, site: NewsServer) -> None:
    two_tongued(line, site)
    with line.deps.ledger.transaction() as tx:  # as an import leaves it
        tx.execute(tables.publications.delete())
        tx.execute(update(tables.feeds).values(sequence=0))
        tx.execute(update(tables.articles).values(state=State.IMPORTED))
    say(line, fulltext="always")
    assert reprocessed(line).revisions == 1
    line.run()
    assert line.ends() == [("imported", None), ("imported", None)]
    assert len(line.messages) == 1, "the one from before"
    assert set(balance(line).values()) == {0}
    assert reprocessed(line).differing == 0


# ---------------------------------------------------------------- pages that were never reached


def unreached(line: Line, site: NewsServer, page: str, *, status: int = 403) -> None:
    """An article that the feed told, because its page was closed to us."""
    site.page("/news/ferry.html", page, status=status)
    line.follow("ferry", site.feed("/feed.xml", [item(f"{site.base}/news/ferry.html", description=FULL_TEXT)]))
    line.poll()
    line.run()
    assert line.ends() == [("published", None)]


def test_without_refetch_no_page_is_fetched(line: Line, site: NewsServer) -> None:
    unreached(line, site, "closed")
    asked = site.requests.total()
    tally = reprocessed(line)
    line.run()
    assert (tally.compared, tally.fetching, site.requests.total()) == (1, 0, asked)


def test_a_page_that_is_reached_at_last_and_says_more_is_an_update(line: Line, site: NewsServer) -> None:
    unreached(line, site, "closed")
    site.page("/news/ferry.html", article_page("The ferry sails again", [*FEED_TEXT, "And more."]))
    say(line, fulltext="never")
    tally = reprocessed(line, refetch=True)
    assert (tally.fetching, tally.revisions) == (1, 0)
    line.run()
    assert line.ends() == [("published", None), ("published", None)]
    message = line.messages[-1]
    assert not list(SCHEMA.iter_errors(message))
    assert (message["kind"], message["change"]["previous"]) == ("updated", 1)
    assert message["text"].endswith("And more.")
    assert message["downloaded_at"]
    assert set(balance(line).values()) == {0}


def test_a_page_that_is_reached_at_last_and_says_the_same_is_kept_and_not_published(
    line: Line, site: NewsServer
) -> None:
    unreached(line, site, "closed")
    site.page("/news/ferry.html", article_page("The ferry sails again", FEED_TEXT))
    reprocessed(line, refetch=True)
    line.run()
    assert line.ends() == [("duplicate", "unchanged"), ("published", None)]
    assert len(line.messages) == 1
    _, kept = revisions(line)
    assert kept.archive["page"]["warc"] == kept.archive["warc"]
    assert set(balance(line).values()) == {0}
    line.later(days=3)
    assert reprocessed(line, refetch=True).fetching == 0, "it is there now"


def test_a_page_that_is_still_closed_changes_nothing_and_is_left_alone_for_a_day(line: Line, site: NewsServer) -> None:
    unreached(line, site, "closed")
    reprocessed(line, refetch=True)
    line.run()
    assert line.ends() == [("duplicate", "unchanged"), ("published", None)]
    assert site.requests["/news/ferry.html"] == 2
    at_once = reprocessed(line, refetch=True)
    assert (at_once.fetching, at_once.asked_lately) == (0, 1)
    line.later(days=2)
    assert reprocessed(line, refetch=True).fetching == 1


def test_a_page_whose_payload_is_held_becomes_a_revisit(line: Line, site: NewsServer) -> None:
    page = article_page("The ferry sails again", [*FEED_TEXT, "And more."])
    unreached(line, site, page)
    site.page("/news/ferry.html", page)
    say(line, fulltext="never")
    reprocessed(line, refetch=True)
    line.run()
    first, second = revisions(line)
    assert second.state == "published"
    kinds = [record.type for record in the_bundle(line, second)]
    assert "revisit" in kinds
    assert second.archive["page"] == first.archive["page"]
    assert line.messages[-1]["archive"]["warc"] == first.archive["warc"]


def test_an_article_whose_bundle_is_lost_is_fetched_again_and_held_against_its_message(
    line: Line, site: NewsServer
) -> None:
    two_tongued(line, site)
    first = line.row()
    line.deps.store.delete(first.archive["warc"])
    tally = reprocessed(line, refetch=True)
    assert (tally.fetching, tally.problem_count) == (1, 0)
    line.run()
    assert line.ends() == [("duplicate", "unchanged"), ("published", None)]
    _, kept = revisions(line)
    assert line.deps.store.get(kept.archive["warc"])


def test_a_re_fetch_that_found_nothing_hides_the_article_from_no_twin(line: Line, site: NewsServer) -> None:
    unreached(line, site, "closed")
    site.page("/news/ferry.html", article_page("Page not found", ["Sorry."]))
    say(line, fulltext="never")
    reprocessed(line, refetch=True)
    line.run()
    assert [state for state, _ in line.ends()] == ["published", "rejected"]
    site.page("/news/ferry.html", article_page("The ferry sails again", FEED_TEXT))
    site.routes["/short"] = Answer(b"", 302, {"Location": "/news/ferry.html"})
    line.follow("second", site.feed("/second.xml", [item(f"{site.base}/short")]))
    line.later(minutes=1)
    line.poll()
    line.run()
    assert ("duplicate", "same-page") in line.ends()
    assert len(line.messages) == 1


# ---------------------------------------------------------------- behind all news


def test_news_goes_before_what_came_of_the_archive(line: Line, site: NewsServer) -> None:
    two_tongued(line, site, count=2)
    say(line, fulltext="always")
    reprocessed(line)
    line.later(hours=1)
    link = site.page("/news/new.html", article_page("A new ferry", paragraphs(30)))
    site.feed("/feed.xml", [item(link, title="A new ferry")])
    line.poll()
    first = stages.dispatch(line.deps)
    ready = {row.id: row for row in line.rows()}
    order = [ready[article_pk].priority for batch in first.batches for article_pk in batch.ids]
    assert 0 in order


def test_a_large_run_takes_a_quarter_of_the_places_in_flight(tmp_path: Path, site: NewsServer) -> None:
    line = Line(tmp_path, NEWSMILL_MAX_IN_FLIGHT="8")
    two_tongued(line, site, count=6)
    say(line, fulltext="always")
    assert reprocessed(line).revisions == 6
    claimed = [article_pk for batch in stages.dispatch(line.deps).batches for article_pk in batch.ids]
    assert len(claimed) == 2
    assert stages.dispatch(line.deps).batches == ()
    line.close()


def test_refetches_share_that_quarter(tmp_path: Path, site: NewsServer) -> None:
    line = Line(tmp_path, NEWSMILL_MAX_IN_FLIGHT="4")
    two_tongued(line, site, count=3)
    for row in line.rows()[:2]:
        line.deps.store.delete(row.archive["warc"])
    say(line, fulltext="always")
    tally = reprocessed(line, refetch=True)
    assert (tally.fetching, tally.revisions) == (2, 1)
    assert sum(len(batch.ids) for batch in stages.dispatch(line.deps).batches) == 1
    line.close()


# ---------------------------------------------------------------- interruptions


class StopsAfter:
    """The line's store, which asks the run to stop after so many bundles were read."""

    is_remote = False

    def __init__(self, line: Line, reads: int) -> None:
        self._real, self._line, self._left = line.deps.store, line, reads

    def get(self, key: str) -> bytes:
        self._left -= 1
        if self._left == 0:
            self._line.deps.stopping.set()
        return self._real.get(key)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)


def test_a_comparison_that_is_stopped_ends_between_articles_and_goes_on(line: Line, site: NewsServer) -> None:
    two_tongued(line, site, count=5)
    say(line, fulltext="always")
    run = Run(selection=Selection(), refetch=False)
    tally = line.deps.loaded(lambda tx: fresh_tally(tx, run.selection, limit=None))
    row = line.deps.saved(lambda tx: reprocessings.begin(tx, "{}", tally=noted(tally), now=line.now()))
    run = replace(run, id=row.id)
    stopped = replace(line.deps, store=StopsAfter(line, 2))  # type: ignore[arg-type]
    compare_all(stopped, run, tally, after=0, progress=no_progress)
    assert (tally.phase, tally.looked_at) == ("compare", 2)
    line.deps.stopping.clear()

    found = line.deps.loaded(lambda tx: reprocessings.unfinished(tx, "{}"))
    assert found is not None
    going_on = tally_of(found)
    assert going_on.looked_at == 2
    compare_all(line.deps, run, going_on, after=found.last_pk, progress=no_progress)
    assert (going_on.phase, going_on.looked_at, going_on.differing, len(going_on.todo)) == ("write", 5, 5, 5)
    assert len(going_on.worst) == 5


def test_a_writing_that_is_stopped_goes_on_and_doubles_nothing(line: Line, site: NewsServer) -> None:
    two_tongued(line, site, count=5)
    say(line, fulltext="always")
    tally, run = compared(line, kept=True)
    stopped = replace(line.deps, store=StopsAfter(line, 3))  # type: ignore[arg-type]
    tally = write_all(stopped, run, tally, after=0, progress=no_progress)
    assert (tally.phase, tally.revisions) == ("write", 3)
    assert len(line.rows()) == 8
    line.deps.stopping.clear()

    found = line.deps.loaded(lambda tx: reprocessings.unfinished(tx, "{}"))
    assert found is not None
    tally = write_all(line.deps, run, tally_of(found), after=found.last_pk, progress=no_progress)
    assert (tally.phase, tally.revisions, tally.overtaken) == ("done", 5, 0)
    assert line.deps.loaded(lambda tx: reprocessings.unfinished(tx, "{}")) is None
    line.run(rounds=50)
    assert line.ends() == [("published", None)] * 10
    assert set(balance(line).values()) == {0}


def test_revisions_and_how_far_the_run_is_are_saved_together(
    line: Line, site: NewsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    two_tongued(line, site, count=2)
    say(line, fulltext="always")
    tally, run = compared(line, kept=True)

    def fails(*_: Any, **__: Any) -> None:
        raise RuntimeError("the process died here")

    with monkeypatch.context() as patched:
        patched.setattr(reprocessings, "keep", fails)
        with pytest.raises(RuntimeError):
            write_all(line.deps, run, tally, after=0, progress=no_progress)
    assert len(line.rows()) == 2
    assert write_all(line.deps, run, tally, after=0, progress=no_progress).revisions == 2


def test_more_than_is_saved_at_once_is_written(line: Line, site: NewsServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stage, "AT_ONCE", 2)
    monkeypatch.setattr(stage, "SAVED_AT_ONCE", 3)
    two_tongued(line, site, count=7)
    say(line, fulltext="always")
    tally, run = compared(line, kept=True)
    done: list[int] = []
    tally = write_all(line.deps, run, tally, after=0, progress=lambda at, _of: done.append(at))
    assert (tally.phase, tally.revisions, tally.overtaken, done) == ("done", 7, 0, [3, 6, 7])


@given(st.lists(st.integers(1, 2**40), unique=True))
def test_a_tally_is_found_as_it_was_left(ids: list[int]) -> None:
    tally = Tally(up_to=7, todo=sorted(ids), fields={"text": {"longer": 3}}, worse=2)
    assert tally_of(SimpleNamespace(tally=json.loads(json.dumps(noted(tally))))) == tally  # type: ignore[arg-type]


def test_a_million_articles_that_differ_are_noted_in_a_megabyte() -> None:
    ids = list(accumulate(1 + number * number % 19 for number in range(1_000_000)))
    assert len(json.dumps(noted(Tally(up_to=ids[-1], todo=ids)))) < 1_500_000


def test_a_run_that_was_refused_does_not_go_on(line: Line, site: NewsServer) -> None:
    two_tongued(line, site)
    _, run = compared(line, kept=True)
    finish(line.deps, run)
    assert line.deps.loaded(lambda tx: reprocessings.unfinished(tx, "{}")) is None


# ---------------------------------------------------------------- afterwards


def test_upkeep_leaves_nothing_of_a_run_behind(line: Line, site: NewsServer) -> None:
    two_tongued(line, site, count=2)
    one = line.rows()[0].id
    with line.deps.ledger.transaction() as tx:
        tx.execute(tables.publications.delete().where(tables.publications.c.id == one))
        tx.execute(update(tables.articles).where(tables.articles.c.id == one).values(state=State.IMPORTED))
    say(line, fulltext="always")
    reprocessed(line)
    line.run(rounds=20)
    line.later(hours=2)
    stages.upkeep(line.deps)
    left = counts(line)
    assert (left["records"], left["entries"], left["spool"]) == (0, 0, 0)


def test_a_revision_of_an_old_article_is_no_lag(line: Line, site: NewsServer) -> None:
    two_tongued(line, site)
    say(line, fulltext="always")
    line.later(days=30)
    reprocessed(line)
    line.run()
    with line.deps.ledger.reading() as tx:
        assert articles.lags_s(tx, since=line.now() - timedelta(hours=1)) == []


@pytest.mark.shared
def test_recorded_documents_are_read_the_same_again(line: Line, shared: Path) -> None:
    imported = list(import_documents(line.deps, shared / "seed-data" / "archive" / "voa"))
    tally, _ = compared(line)
    assert tally.compared == len({one.article_id for one in imported if one.article_id})
    assert tally.compared > 0
    assert (tally.fields, tally.lost_count, tally.problem_count) == ({}, 0, 0)


# ---------------------------------------------------------------- documents written again


def rewritten(line: Line, *, dry_run: bool = False, **selection: Any) -> Rewritten:
    run = Run(selection=Selection(with_rejected=False, **selection), refetch=False)
    tally = line.deps.loaded(lambda tx: fresh_tally(tx, run.selection, limit=None))
    return rewrite_all(line.deps, run, up_to=tally.up_to, total=tally.total, dry_run=dry_run, progress=no_progress)


def test_what_is_as_it_should_be_is_not_written(line: Line, site: NewsServer) -> None:
    two_tongued(line, site, count=2, image=with_picture_url(site))
    before = contents(line), counts(line)
    done = rewritten(line)
    assert (done.looked_at, done.documents, done.restored, done.problem_count) == (2, 0, 0, 0)
    assert (contents(line), counts(line)) == before


@pytest.mark.parametrize(
    "values", [{"document_body": "feed"}, {"image_proxy": "https://proxy.example/?u={url}"}], ids=["body", "proxy"]
)
def test_documents_follow_their_feeds_settings(line: Line, site: NewsServer, values: dict[str, Any]) -> None:
    two_tongued(line, site, image=with_picture_url(site))
    before = contents(line)
    say(line, **values)
    assert rewritten(line, dry_run=True).documents == 1
    assert contents(line) == before
    done = rewritten(line)
    assert (done.documents, done.restored) == (1, 0)
    row = line.row()
    after = contents(line)
    assert {key for key in after if after[key] != before[key]} == {row.archive["document"]}
    assert hashlib.sha256(after[row.archive["document"]]).hexdigest() == row.archive["document_sha256"]
    assert rewritten(line).documents == 0
    assert len(line.messages) == 1


@pytest.mark.parametrize("part", ["document", "html", "picture"])
def test_what_was_lost_beside_a_good_bundle_comes_back(line: Line, site: NewsServer, part: str) -> None:
    two_tongued(line, site, image=with_picture_url(site))
    row = line.row()
    key = {"document": row.archive["document"], "html": row.archive["html_ref"], "picture": row.picture["ref"]}[part]
    before = contents(line)
    line.deps.store.delete(key)
    assert rewritten(line).restored == 1
    assert contents(line) == before
    line.deps.store.put(key, b"flipped")
    assert rewritten(line, article_ids=(row.article_id,)).restored == 1
    assert contents(line) == before


def test_an_imported_document_stays_what_it_was_in_its_archive(line: Line, tmp_path: Path) -> None:
    exact, variant = document(), document(f"{URL}?id=2", title="Two").replace(b"<!--", b"<!-- ", 1)
    list(import_documents(line.deps, archive_of(tmp_path / "old", {"voa/1.md": exact, "voa/2.md": variant})))
    before, rows = contents(line), line.rows()
    say(line, "voa", image_proxy="https://proxy.example/?u={url}")
    assert (rewritten(line).documents, contents(line)) == (0, before)
    for row in rows:
        line.deps.store.delete(row.archive["document"])
    done = rewritten(line)
    assert (done.restored, done.problem_count) == (len(rows), 0)
    assert contents(line) == before


def test_what_nothing_brings_back_is_listed(line: Line, site: NewsServer) -> None:
    two_tongued(line, site, count=2)
    lost = line.rows()[0]
    line.deps.store.delete(lost.archive["warc"])
    done = rewritten(line)
    assert (done.problem_count, done.problems[0].article_id) == (1, lost.article_id)


@pytest.mark.postgres
def test_the_ledgers_questions_are_postgresqls_too(tmp_path: Path, site: NewsServer, postgres_url: str) -> None:
    line = Line(tmp_path, DATABASE_URL=postgres_url)
    with line.deps.ledger.transaction() as tx:
        empty(tx)
    two_tongued(line, site, count=2, image=with_picture_url(site))
    say(line, fulltext="always")
    tally, run = compared(line, kept=True)
    assert write_all(line.deps, run, tally, after=0, progress=no_progress).revisions == 2
    assert reprocessed(line).in_hand == 2
    line.run(rounds=20)
    assert line.ends() == [("published", None)] * 4
    assert reprocessed(line, selection=Selection(since=line.rows()[0].discovered_at, feed="ferry")).differing == 0
    say(line, document_body="feed")
    assert rewritten(line).documents == 2
    with line.deps.ledger.transaction() as tx:
        empty(tx)
    line.close()


def empty(tx: Connection) -> None:
    for table in reversed(tables.metadata.sorted_tables):
        tx.execute(table.delete())
