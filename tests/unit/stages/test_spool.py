"""Exchanges in hand: where they lie between the stages, and that they are gone when their article is at its end."""

from __future__ import annotations

import pytest

from tests.newsserver import NewsServer
from tests.unit.stages.conftest import Line
from tests.unit.stages.test_outcomes import follow_one, item, large_article, one_article, picture, with_picture
from worker import stages
from worker.archive.bundle import read_bundle
from worker.ledger import articles
from worker.urls import gate_key


def test_a_page_of_the_usual_size_costs_the_store_nothing_until_it_is_archived(line: Line, site: NewsServer) -> None:
    line.follow("ferry", site.feed("/feed.xml", [item(one_article(site))]))
    line.poll()
    (batch,) = stages.dispatch(line.deps).batches
    line.work(batch, until="archive")
    in_ledger, in_store = line.in_hand()
    assert len(in_ledger) == 1
    assert in_store == set()
    assert not list(line.deps.store.keys("html/"))


def test_a_large_page_waits_in_the_store(line: Line, site: NewsServer) -> None:
    follow_one(line, site, large_article(site))
    assert line.ends() == [("published", None)]
    in_ledger, in_store = line.in_hand()
    assert in_ledger == set()
    assert len(in_store) == 1


def test_a_picture_is_not_kept_twice_and_its_exchange_is_whole(line: Line, site: NewsServer) -> None:
    image = picture(640, 360)
    follow_one(line, site, with_picture(site, image))
    in_ledger, in_store = line.in_hand()
    assert len(in_ledger) == 2
    assert in_store == set()
    (message,) = line.messages
    responses = [one for one in read_bundle(line.deps.store.get(message["archive"]["warc"])) if one.type == "response"]
    assert [one.payload for one in responses][1:] == [image]
    assert line.deps.store.get(message["image"]["ref"]) == image


@pytest.mark.parametrize("page", [one_article, large_article], ids=["in the ledger", "in the store"])
def test_upkeep_sweeps_what_is_in_hand_after_the_article_s_end(line: Line, site: NewsServer, page) -> None:
    follow_one(line, site, page(site))
    assert any(line.in_hand())
    assert stages.upkeep(line.deps)["spool"] == 0
    line.later(hours=2)
    assert stages.upkeep(line.deps)["spool"] == 1
    assert line.in_hand() == (set(), set())


def test_what_was_set_aside_moves_to_the_store_and_a_retry_finds_it_there(line: Line, site: NewsServer) -> None:
    link = site.page("/news/ferry.html", "<html><body><p>Soon.</p></body></html>")
    follow_one(line, site, link)
    (state, reason) = line.ends()[0]
    assert state == "rejected", reason
    line.later(hours=2)
    assert stages.upkeep(line.deps)["moved"] == 1
    in_ledger, in_store = line.in_hand()
    assert in_ledger == set()
    assert len(in_store) == 1
    asked = site.requests["/news/ferry.html"]
    with line.deps.ledger.transaction() as tx:
        assert articles.retry(tx, [line.row().id], now=line.now(), host_of=gate_key)
    line.run()
    assert line.ends() == [(state, reason)]
    assert site.requests["/news/ferry.html"] == asked
    line.later(days=31)
    assert stages.upkeep(line.deps)["spool"] == 1
    assert line.in_hand() == (set(), set())
