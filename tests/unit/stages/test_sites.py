"""What a site's pages teach about its furniture, from page to page, and what that never costs."""

from __future__ import annotations

import json
from typing import Any

import pytest
from sqlalchemy import select, update

from tests.newsserver import NewsServer, article_page, paragraphs
from tests.unit.stages.conftest import Line
from tests.unit.stages.test_outcomes import item
from tests.unit.stages.test_reprocess import reprocessed, rewritten, the_bundle
from worker import stages
from worker.ledger import sites, tables
from worker.ledger.tables import Row
from worker.model import State

# Among the paragraphs, and written like one of them: no single page gives it away.
HOUSE = (
    "Forty people work for the paper of Lower Quay, above the old fish market, and since the flood of 1911 all of them "
    "have walked along the river every morning before they wrote a word about it."
)


def report(number: int) -> list[str]:
    return paragraphs(number, 7)


def with_house(number: int) -> list[str]:
    text = report(number)
    return [*text[:4], HOUSE, *text[4:]]


def published(line: Line, site: NewsServer, count: int) -> list[list[str]]:
    """As many articles of one site as they come, one after the other. Returns: the paragraphs of each."""
    for n in range(count):
        link = site.page(f"/news/{n}.html", article_page(f"Report {n} from the river", with_house(n)))
        line.follow(f"river-{n}", site.feed(f"/{n}.xml", [item(link, title=f"Report {n} from the river")]))
        line.poll()
        line.run()
    assert [row.state for row in line.rows()] == [State.PUBLISHED] * count
    return [message["text"].split("\n\n") for message in line.messages]


def learnt_of(line: Line) -> list[Row]:
    with line.deps.ledger.reading() as tx:
        return list(tx.execute(select(tables.sites)))


def facts(line: Line, row: Row) -> dict[str, Any]:
    """The article's record in its bundle."""
    (payload,) = (record.payload for record in the_bundle(line, row) if record.type == "metadata")
    said: dict[str, Any] = json.loads(payload)
    return said


def by_order(line: Line) -> list[Row]:
    return sorted(line.rows(), key=lambda row: row.id)


def test_from_the_fourth_page_on_a_site_s_own_lines_are_cut(line: Line, site: NewsServer) -> None:
    texts = published(line, site, 5)
    assert texts == [*map(with_house, range(3)), *map(report, (3, 4))]
    assert [row.site for row in learnt_of(line)] == ["127.0.0.1"]


def test_the_archive_says_what_was_cut_and_why_it_is_not_in_the_text(line: Line, site: NewsServer) -> None:
    published(line, site, 4)
    assert [len(facts(line, row)["furniture"]) for row in by_order(line)] == [0, 0, 0, 1]


def test_reading_the_archive_again_changes_no_text_whatever_was_learnt_since(line: Line, site: NewsServer) -> None:
    published(line, site, 6)
    tally = reprocessed(line)
    assert (tally.compared, tally.differing, tally.problem_count) == (6, 0, 0)


def test_lost_html_is_read_again_from_the_page_without_what_was_cut(line: Line, site: NewsServer) -> None:
    published(line, site, 4)
    row = by_order(line)[-1]
    html = line.deps.store.get(row.archive["html_ref"])
    assert HOUSE.encode() not in html
    line.deps.store.delete_all([row.archive["html_ref"]])
    with line.deps.ledger.transaction() as tx:
        sites.forget(tx, before=line.now())
    assert rewritten(line).restored == 1
    assert line.deps.store.get(row.archive["html_ref"]) == html


@pytest.mark.parametrize("memory", [b"", b"no longer what it was"], ids=["empty", "damaged"])
def test_a_damaged_memory_only_means_knowing_nothing(line: Line, site: NewsServer, memory: bytes) -> None:
    published(line, site, 4)
    with line.deps.ledger.transaction() as tx:
        tx.execute(update(tables.sites).values(memory=memory))
    link = site.page("/news/9.html", article_page("Report 9 from the river", with_house(9)))
    line.follow("river-9", site.feed("/9.xml", [item(link, title="Report 9 from the river")]))
    line.poll()
    line.run()
    assert line.messages[-1]["text"].split("\n\n") == with_house(9)
    assert learnt_of(line)[0].memory != memory


def test_what_is_no_article_teaches_nothing(line: Line, site: NewsServer) -> None:
    gone = site.page("/news/gone.html", article_page("Page not found", ["This page does not exist any more."]))
    line.follow("river", site.feed("/feed.xml", [item(gone, title="Page not found")]))
    line.poll()
    line.run()
    assert line.row().state == State.REJECTED
    assert learnt_of(line) == []


def test_a_site_that_is_read_no_more_is_forgotten(line: Line, site: NewsServer) -> None:
    published(line, site, 1)
    line.later(days=59)
    assert stages.upkeep(line.deps)["sites"] == 0
    line.later(days=2)
    assert stages.upkeep(line.deps)["sites"] == 1
    assert learnt_of(line) == []
