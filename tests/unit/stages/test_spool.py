"""Exchanges in hand: where they lie between the stages, and that they are gone when their article is at its end."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from tests.newsserver import NewsServer
from tests.unit.stages.conftest import Line
from tests.unit.stages.test_outcomes import follow_one, item, large_article, one_article, picture, with_picture
from worker import stages
from worker.archive.bundle import read_bundle
from worker.archive.store import Store
from worker.ledger import articles
from worker.model import State
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


def test_what_earlier_attempts_left_in_hand_is_swept_with_the_rest(line: Line, site: NewsServer) -> None:
    link = with_picture(site, picture(640, 360))
    line.follow("ferry", site.feed("/feed.xml", [item(link)]))
    line.poll()
    for _ in range(3):
        (batch,) = stages.dispatch(line.deps).batches
        line.work(batch, until="archive")
        row = line.row()
        with line.deps.ledger.transaction() as tx:
            assert articles.begin(tx, [row.id], token=batch.token, state=State.PICTURED, until=line.now())
        with line.deps.ledger.transaction() as tx:
            begun = articles.by_article_id(tx, row.article_id)[0]
            assert articles.end(tx, begun, state=State.QUARANTINED, now=line.now(), reason="bug")
        line.later(hours=2)
        stages.upkeep(line.deps)
        with line.deps.ledger.transaction() as tx:
            articles.retry(tx, [row.id], now=line.now(), host_of=gate_key)
    assert len(line.in_hand()[1]) == 1 + 3  # the page, and a picture's exchange of each attempt
    line.run()
    assert line.ends() == [("published", None)]
    line.later(hours=2)
    assert stages.upkeep(line.deps)["spool"] == 1
    assert line.in_hand() == (set(), set())


def test_a_store_that_answers_slowly_holds_upkeep_up_for_no_longer_than_its_time(line: Line, site: NewsServer) -> None:
    items = [item(site.page(f"/{number}.html", "<p>Soon.</p>")) for number in range(4)]
    line.follow("ferry", site.feed("/feed.xml", items))
    line.poll()
    line.run()
    line.later(hours=2)
    slow = dataclasses.replace(line.deps, store=Slow(line, line.deps.store))
    assert stages.upkeep(slow)["moved"] == 3
    assert len(line.in_hand()[0]) == 1
    assert stages.upkeep(slow)["moved"] == 1


class Slow:
    """A store whose every write takes its time."""

    def __init__(self, line: Line, store: Store) -> None:
        self.line = line
        self.store = store

    def put(self, key: str, data: bytes, **how: Any) -> bool:
        self.line.later(seconds=20)
        return self.store.put(key, data, **how)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.store, name)


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
