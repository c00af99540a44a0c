"""A site that takes long holds nobody up: its batch goes on without it, and what it answers at last is not lost."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from threading import Event

import pytest

from tests.newsserver import Answer, NewsServer, article_page, paragraphs
from tests.unit.stages.conftest import Line
from tests.unit.stages.test_outcomes import item, one_article, picture
from worker import stages
from worker.ledger.tables import slots
from worker.model import State

COMPANY_S = 0.3
SLOW_S = 1.2


@pytest.fixture
def hasty(line: Line) -> Line:
    """Its batches wait for nobody."""
    line.deps = dataclasses.replace(line.deps, company_s=COMPANY_S)
    return line


def slowly(site: NewsServer, path: str) -> str:
    """Let a page take its time. Returns: its URL."""
    route = site.routes[path]
    assert isinstance(route, Answer)
    route.delay_s = SLOW_S
    return site.base + path


def until(true: Callable[[], object]) -> None:
    end = time.monotonic() + 5
    while not true():
        assert time.monotonic() < end
        time.sleep(0.02)


def batch_of_two(line: Line, site: NewsServer, other_site: NewsServer) -> stages.Batch:
    """A chain of a page of each site; the second site has been asked for its robots.txt before."""
    pages = [
        host.page("/news/a.html", article_page(f"Report {number}", paragraphs(number)))
        for number, host in enumerate((site, other_site))
    ]
    line.deps = dataclasses.replace(line.deps, settings=dataclasses.replace(line.deps.settings, concurrency=1))
    line.follow("ferry", site.feed("/feed.xml", [item(page, title=f"Report {n}") for n, page in enumerate(pages)]))
    line.poll()
    (batch,) = stages.dispatch(line.deps).batches
    assert len(batch.ids) == 2
    return batch


def places_taken(line: Line) -> int:
    with line.deps.ledger.reading() as tx:
        return len(list(tx.execute(slots.select())))


def test_a_slow_page_leaves_its_chain_and_goes_on_by_itself(
    hasty: Line, site: NewsServer, other_site: NewsServer
) -> None:
    batch = batch_of_two(hasty, site, other_site)
    slowly(other_site, "/news/a.html")
    further = Event()
    began = time.monotonic()
    (quick,) = stages.download(hasty.deps, batch.ids, token=batch.token, further=further.set)
    assert time.monotonic() - began < SLOW_S
    slow = next(row for row in hasty.rows() if row.id != quick)
    assert (slow.state, slow.begun, places_taken(hasty)) == (State.DISCOVERED, True, 1)
    assert further.wait(5)
    slow = next(row for row in hasty.rows() if row.id != quick)
    assert (slow.state, slow.lease_token, places_taken(hasty)) == (State.DOWNLOADED, None, 0)
    for _, _, stage in stages.LINE[1:]:
        stage(hasty.deps, [quick], token=batch.token)
    hasty.run()
    assert hasty.ends() == [("published", None)] * 2
    assert other_site.requests["/news/a.html"] == 1


def test_a_slow_page_that_fails_at_last_has_its_outcome(hasty: Line, site: NewsServer, other_site: NewsServer) -> None:
    batch = batch_of_two(hasty, site, other_site)
    other_site.routes["/news/a.html"] = Answer(b"", 404, delay_s=SLOW_S)
    further = Event()
    stages.download(hasty.deps, batch.ids, token=batch.token, further=further.set)
    assert further.wait(5)
    assert ("rejected", "gone") in hasty.ends()


def test_a_slow_picture_keeps_its_own_article_only(hasty: Line, site: NewsServer, other_site: NewsServer) -> None:
    image = other_site.page("/ferry.jpg", picture(640, 360), content_type="image/jpeg")
    slowly(other_site, "/ferry.jpg")
    page = article_page("The ferry sails again", paragraphs(1), image=image)
    hasty.follow("ferry", site.feed("/feed.xml", [item(site.page("/news/ferry.html", page))]))
    hasty.poll()
    hasty.run()
    assert hasty.row().state == State.EXTRACTED
    until(lambda: hasty.row().state == State.PICTURED and hasty.row().lease_token is None)
    hasty.run()
    assert hasty.messages[0]["image"]["width"] == 640


def test_a_slow_feed_is_polled_all_the_same(hasty: Line, site: NewsServer, other_site: NewsServer) -> None:
    hasty.follow("quick", site.feed("/feed.xml", [item(one_article(site))]))
    hasty.follow("slow", other_site.feed("/feed.xml", [item(one_article(other_site), title="Late")]))
    slowly(other_site, "/feed.xml")
    found: list[float] = []
    outcomes = {}
    for batch in stages.due(hasty.deps).batches:
        polled = stages.poll(hasty.deps, batch.ids, token=batch.token, found=lambda: found.append(time.monotonic()))
        outcomes |= {one.slug: one.outcome for one in polled}
    assert outcomes == {"quick": "new", "slow": "waiting"}
    until(lambda: len(hasty.rows()) == 2)
    until(lambda: len(found) == 2)


def test_a_process_that_stops_lets_go_of_what_slow_sites_keep(
    hasty: Line, site: NewsServer, other_site: NewsServer
) -> None:
    batch = batch_of_two(hasty, site, other_site)
    slowly(other_site, "/news/a.html")
    (quick,) = stages.download(hasty.deps, batch.ids, token=batch.token)
    hasty.deps.give_up_left()
    slow = next(row for row in hasty.rows() if row.id != quick)
    assert (slow.state, slow.lease_token, slow.attempts, places_taken(hasty)) == (State.DISCOVERED, None, 0, 0)
    time.sleep(SLOW_S)
    slow = next(row for row in hasty.rows() if row.id != quick)
    assert (slow.state, slow.lease_token) == (State.DISCOVERED, None)  # whatever its thread did was done for nobody


def test_where_there_is_no_room_for_more_a_batch_waits(hasty: Line, site: NewsServer, other_site: NewsServer) -> None:
    batch = batch_of_two(hasty, site, other_site)
    slowly(other_site, "/news/a.html")
    hasty.deps.left.update({number: lambda _tx: None for number in range(hasty.deps.settings.batch)})
    assert len(stages.download(hasty.deps, batch.ids, token=batch.token)) == 2


def test_a_command_waits_for_every_site(line: Line, site: NewsServer, other_site: NewsServer) -> None:
    batch = batch_of_two(line, site, other_site)
    slowly(other_site, "/news/a.html")
    assert len(stages.download(line.deps, batch.ids, token=batch.token)) == 2
