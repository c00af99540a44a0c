"""What sites and our own parts do wrong costs time, not articles; and no site pays for our troubles."""

from __future__ import annotations

import dataclasses
import json
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from tests.conftest import REPOSITORY
from tests.newsserver import Answer, NewsServer, article_page, paragraphs
from tests.unit.stages.conftest import Line
from tests.unit.stages.test_outcomes import (
    FULL_TEXT,
    BrokenStore,
    DeadPublisher,
    follow_one,
    item,
    large_article,
    one_article,
    picture,
    with_picture,
)
from worker import stages
from worker.ledger import articles, feeds, hosts
from worker.ledger.tables import articles as article_rows
from worker.ledger.tables import slots
from worker.model import State
from worker.publish.message import EVENTS_EXCHANGE
from worker.urls import gate_key

PAGE = "/news/ferry.html"
SCHEMAS = REPOSITORY / "config" / "schemas"


def redirect(to: str) -> Answer:
    return Answer(status=302, headers={"Location": to})


def redirect_without_end(site: NewsServer, other_site: NewsServer) -> None:
    """From ``/a`` to the other site and back."""
    site.routes["/a"] = redirect(other_site.base + "/b")
    other_site.routes["/b"] = redirect(site.base + "/a")


def slots_taken(line: Line) -> int:
    with line.deps.ledger.reading() as tx:
        return len(list(tx.execute(slots.select())))


# ---------------------------------------------------------------- sites


@pytest.mark.parametrize("status", [429, 503])
def test_a_site_that_asks_for_patience_gets_it_and_is_asked_again(line: Line, site: NewsServer, status: int) -> None:
    link = one_article(site, status=status)
    site.routes[PAGE] = Answer(b"later", status, {"Retry-After": "600"})
    follow_one(line, site, link)
    line.later(minutes=5)
    line.run()
    assert site.requests[PAGE] == 1
    one_article(site)
    line.later(minutes=6)
    line.run()
    assert line.ends() == [("published", None)]


def test_a_robots_txt_that_cannot_be_read_rejects_nothing(line: Line, site: NewsServer) -> None:
    site.routes["/robots.txt"] = Answer(b"", 500)
    follow_one(line, site, one_article(site))
    assert (line.row().state, line.row().attempts) == (State.DISCOVERED, 1)
    assert PAGE not in site.requests
    del site.routes["/robots.txt"]
    line.later(minutes=11)
    line.run()
    assert line.ends() == [("published", None)]


def test_a_robots_txt_kept_at_another_site_counts(line: Line, site: NewsServer, other_site: NewsServer) -> None:
    rules = other_site.page("/rules.txt", "User-agent: *\nDisallow: /news/\n", content_type="text/plain")
    site.routes["/robots.txt"] = redirect(rules)
    follow_one(line, site, one_article(site))
    assert line.ends() == [("rejected", "robots")]
    assert slots_taken(line) == 0


@pytest.mark.parametrize("target", ["mailto:us@example.com", "http://10.0.0.1/robots.txt", "/robots.txt"])
def test_a_robots_txt_that_leads_nowhere_is_as_good_as_none(line: Line, site: NewsServer, target: str) -> None:
    site.routes["/robots.txt"] = redirect(target)
    follow_one(line, site, one_article(site))
    assert line.ends() == [("published", None)]


def test_redirects_from_site_to_site_without_end_are_given_up(
    tmp_path: Path, site: NewsServer, other_site: NewsServer
) -> None:
    line = Line(tmp_path, NEWSMILL_HOST_DELAY_S="1")
    redirect_without_end(site, other_site)
    line.follow("ferry", site.feed("/feed.xml", [item(site.base + "/a")]))
    line.poll()
    for _ in range(40):
        line.later(seconds=3)
        line.run()
    assert line.ends() == [("quarantined", "redirect-loop")]
    assert site.requests["/a"] <= 10
    assert slots_taken(line) == 0
    line.close()


def test_what_redirects_left_in_the_spool_is_swept_too(
    tmp_path: Path, site: NewsServer, other_site: NewsServer
) -> None:
    line = Line(tmp_path, NEWSMILL_HOST_DELAY_S="20")
    site.routes["/go"] = redirect(one_article(other_site))
    line.follow("ferry", site.feed("/feed.xml", [item(site.base + "/go")]))
    line.poll()
    for _ in range(6):
        line.later(seconds=21)
        line.run()
    assert line.ends() == [("published", None)]
    assert len(line.in_hand()[0]) > 1
    line.later(hours=2)
    stages.upkeep(line.deps)
    assert line.in_hand() == (set(), set())
    line.close()


def test_a_page_that_said_no_is_asked_again_on_retry(line: Line, site: NewsServer) -> None:
    follow_one(line, site, one_article(site, status=404))
    assert line.ends() == [("rejected", "gone")]
    one_article(site)
    with line.deps.ledger.transaction() as tx:
        articles.retry(tx, [line.row().id], now=line.now(), host_of=gate_key)
    line.run()
    assert line.ends() == [("published", None)]


def test_one_page_reached_under_two_names_is_one_article_also_when_the_other_name_is_late(
    line: Line, site: NewsServer, other_site: NewsServer
) -> None:
    target = one_article(other_site)
    site.routes["/short"] = redirect(target)
    line.follow("late", other_site.feed("/feed.xml", [item(target)]))
    line.poll()
    with line.deps.ledger.transaction() as tx:
        tx.execute(article_rows.update().values(ready_at=line.now() + timedelta(hours=1)))
    line.follow("first", site.feed("/feed.xml", [item(site.base + "/short")]))
    line.poll()
    for _ in range(5):
        line.run()
        line.later(seconds=6)
    assert len(line.messages) == 1
    line.later(hours=2)
    line.run()
    assert line.ends() == [("duplicate", "same-page"), ("published", None)]
    assert len(line.messages) == 1


def test_a_duplicate_needs_an_original_that_is_published(line: Line, site: NewsServer, other_site: NewsServer) -> None:
    target = one_article(other_site)
    line.follow("original", other_site.feed("/feed.xml", [item(target)]))
    line.poll()
    with line.deps.ledger.transaction() as tx:
        aside = {"state": State.QUARANTINED, "reason": "bug", "ended_at": line.now(), "text_sha256": "x"}
        tx.execute(article_rows.update().values(title="The ferry sails again", **aside))
    site.routes["/short"] = redirect(target)
    line.follow("second", site.feed("/feed.xml", [item(site.base + "/short")]))
    line.poll()
    line.run()
    assert line.ends() == [("published", None), ("quarantined", "bug")]


# ---------------------------------------------------------------- feeds


def test_a_feed_that_leads_back_to_its_own_site_for_ever_fails(
    tmp_path: Path, site: NewsServer, other_site: NewsServer
) -> None:
    line = Line(tmp_path, NEWSMILL_HOST_DELAY_S="1")
    site.routes["/feed.xml"] = redirect(other_site.base + "/feed.xml")
    other_site.routes["/feed.xml"] = redirect(site.base + "/feed.xml")
    line.follow("ferry", site.base + "/feed.xml")
    for _ in range(5):
        line.later(seconds=3)
        line.poll()
    with line.deps.ledger.reading() as tx:
        row = feeds.by_slug(tx, "ferry")
    assert row is not None
    assert (row.outcome, row.failures >= 1) == ("failed", True)
    assert site.requests["/feed.xml"] <= 2
    line.close()


def test_a_feed_at_a_busy_site_books_its_turn(tmp_path: Path, site: NewsServer, other_site: NewsServer) -> None:
    line = Line(tmp_path, NEWSMILL_HOST_DELAY_S="5", NEWSMILL_HOST_CONNECTIONS="1")
    pages = [other_site.page(f"/news/{n}.html", article_page(f"Report {n}", paragraphs(n))) for n in range(30)]
    line.follow("busy", other_site.feed("/busy.xml", [item(page, title=f"Report {n}") for n, page in enumerate(pages)]))
    line.poll()
    real = other_site.feed("/real.xml", [item(one_article(site))])
    site.routes["/feed.xml"] = redirect(real)
    line.follow("ferry", site.base + "/feed.xml")
    for _ in range(12):
        line.poll()
        line.run(rounds=1)
        line.later(seconds=5.1)
        if other_site.requests["/real.xml"]:
            break
    assert other_site.requests["/real.xml"] == 1
    assert site.requests["/feed.xml"] <= 4
    line.close()


def test_a_feed_s_secret_goes_to_its_own_address_only(tmp_path: Path, site: NewsServer, other_site: NewsServer) -> None:
    line = Line(tmp_path, HARBOUR_TOKEN="open sesame")
    elsewhere = site.feed("/elsewhere.xml", [])
    other_site.routes["/hop"] = redirect(elsewhere)
    site.routes["/feed.xml"] = redirect(other_site.base + "/hop")
    line.follow("ferry", site.base + "/feed.xml", headers={"X-Key": "${HARBOUR_TOKEN}"})
    line.poll()
    line.later(minutes=5)
    line.poll()
    told = [path for _, path, headers in (*site.seen, *other_site.seen) if "X-Key" in headers]
    assert set(told) == {"/feed.xml"}
    line.close()


def test_a_poll_asked_for_during_a_poll_is_not_forgotten(line: Line, site: NewsServer) -> None:
    line.follow("ferry", site.feed("/feed.xml", [item(one_article(site))], etag='"1"'))
    line.poll()
    line.later(hours=2)
    (batch,) = stages.due(line.deps).batches
    fetch = line.deps.fetcher.fetch

    def asked_meanwhile(*given: Any, **named: Any) -> Any:
        stages.repoll(line.deps, ["ferry"], unconditional=True)
        return fetch(*given, **named)

    line.deps.fetcher.fetch = asked_meanwhile  # type: ignore[method-assign]
    (polled,) = stages.poll(line.deps, batch.ids, token=batch.token)
    line.deps.fetcher.fetch = fetch  # type: ignore[method-assign]
    assert polled.outcome == "not-modified"
    assert line.poll() == {"ferry": "unchanged"}  # asked without validators, as the person wished


def test_a_poll_s_history_says_what_no_article_was_made_of(line: Line, site: NewsServer) -> None:
    link = one_article(site)
    line.follow("ferry", site.feed("/feed.xml", [item(link)]))
    line.poll()
    line.later(hours=2)
    nothing = {"title": "Neither link nor text"}
    site.feed("/feed.xml", [item(link, description="It says something else now."), nothing])
    line.poll()
    with line.deps.ledger.reading() as tx:
        row = feeds.by_slug(tx, "ferry")
        assert row is not None
        last = feeds.polls_of(tx, row.id)[0]
    assert last.detail == "1 items had neither a link nor a text; 1 known items now say something else"


# ---------------------------------------------------------------- pictures


def test_time_in_the_queue_is_not_time_spent_on_a_picture(line: Line, site: NewsServer) -> None:
    line.follow("ferry", site.feed("/feed.xml", [item(with_picture(site, picture(640, 360)))]))
    line.poll()
    (batch,) = stages.dispatch(line.deps).batches
    ids = line.work(batch, until="picture")
    line.later(seconds=60)
    for _, name, stage in stages.LINE[2:]:
        ids = stage(line.deps, ids, token=batch.token)
        assert ids, name
    assert line.messages[0]["image"]["width"] == 640


def test_an_unforeseen_error_costs_the_picture_and_not_the_article(
    line: Line, site: NewsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any, **__: Any) -> Any:
        raise KeyError("MPO")

    monkeypatch.setattr(sys.modules["worker.stages.picture"], "check_picture", broken)
    follow_one(line, site, with_picture(site, picture(640, 360)))
    assert line.ends() == [("published", None)]
    assert line.messages[0]["image"]["ref"] is None


# ---------------------------------------------------------------- our own house


class ForgetfulStore:
    """Takes pages, and does not have them."""

    def __init__(self, real: Any) -> None:
        self.real = real

    def put(self, key: str, data: bytes, **named: Any) -> None:
        if not key.startswith("spool/"):
            self.real.put(key, data, **named)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.real, name)


def test_sites_do_not_pay_for_an_outage_of_our_own_store(line: Line, site: NewsServer) -> None:
    line.follow("ferry", site.feed("/feed.xml", [item(large_article(site))]))
    line.poll()
    store = BrokenStore(line.deps.store)
    line.deps = dataclasses.replace(line.deps, store=store)
    for _ in range(60):
        line.run()
        line.later(seconds=10)
    assert site.requests[PAGE] <= 8
    store.down = False
    line.later(minutes=10)
    line.run()
    assert line.ends() == [("published", None)]


def test_what_the_store_lost_is_fetched_again(line: Line, site: NewsServer) -> None:
    line.follow("ferry", site.feed("/feed.xml", [item(large_article(site))]))
    line.poll()
    (batch,) = stages.dispatch(line.deps).batches
    line.work(batch, until="extract")
    (key,) = line.deps.store.keys("spool/")
    line.deps.store.delete(key)
    line.later(minutes=11)
    line.run()
    assert line.ends() == [("published", None)]
    assert site.requests[PAGE] == 2


def test_a_store_that_loses_everything_ends_in_quarantine(line: Line, site: NewsServer) -> None:
    line.deps = dataclasses.replace(line.deps, store=ForgetfulStore(line.deps.store))
    follow_one(line, site, large_article(site))
    assert line.ends() == [("quarantined", "store-lost")]
    assert site.requests[PAGE] == 4


def test_a_broker_s_outage_does_not_go_on_in_its_articles(line: Line, site: NewsServer) -> None:
    alive = line.deps.publisher
    line.deps = dataclasses.replace(line.deps, publisher=DeadPublisher(line.stream))
    follow_one(line, site, one_article(site))
    for _ in range(10):
        line.later(seconds=11)
        line.run()
    line.deps = dataclasses.replace(line.deps, publisher=alive)
    line.later(seconds=11)
    line.run()
    assert line.ends() == [("published", None)]


def test_a_redirect_loop_is_done_without_where_the_feed_has_the_text(
    tmp_path: Path, site: NewsServer, other_site: NewsServer
) -> None:
    line = Line(tmp_path, NEWSMILL_HOST_DELAY_S="1")
    redirect_without_end(site, other_site)
    line.follow("ferry", site.feed("/feed.xml", [item(site.base + "/a", description=FULL_TEXT)]))
    line.poll()
    for _ in range(40):
        line.later(seconds=3)
        line.run()
    assert line.ends() == [("published", None)]
    assert line.messages[0]["extraction"]["method"] == "feed"
    line.close()


def test_an_article_that_cannot_be_saved_costs_its_companions_nothing(
    tmp_path: Path, site: NewsServer, other_site: NewsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    line = Line(tmp_path, NEWSMILL_CONCURRENCY="1")
    links = [one_article(site), one_article(other_site)]
    line.follow("ferry", site.feed("/feed.xml", [item(link, title=f"Report {n}") for n, link in enumerate(links)]))
    line.poll()
    (batch,) = stages.dispatch(line.deps).batches
    assert len(batch.ids) == 2
    sick = next(row.id for row in line.rows() if row.url == links[0])
    advance = articles.advance

    def refuses(tx: Any, row: Any, **named: Any) -> bool:
        if row.id == sick:
            raise ValueError("cannot be saved")
        return advance(tx, row, **named)

    monkeypatch.setattr(articles, "advance", refuses)
    (well,) = stages.download(line.deps, batch.ids, token=batch.token)
    assert well != sick
    row = next(row for row in line.rows() if row.id == sick)
    assert (row.state, row.lease_token, row.troubles[-1]["reason"]) == (State.DISCOVERED, None, "ValueError")
    line.close()


def test_a_stop_gives_the_sites_back_with_the_articles(line: Line, site: NewsServer) -> None:
    line.follow("ferry", site.feed("/feed.xml", [item(one_article(site))]))
    line.poll()
    (batch,) = stages.dispatch(line.deps).batches
    assert slots_taken(line) == 1
    line.deps.stopping.set()
    stages.download(line.deps, batch.ids, token=batch.token)
    assert slots_taken(line) == 0


def test_the_place_of_a_vanished_worker_comes_back_with_its_lease(line: Line, site: NewsServer) -> None:
    line.follow("ferry", site.feed("/feed.xml", [item(one_article(site))]))
    line.poll()
    (batch,) = stages.dispatch(line.deps).batches
    expires = {}

    def looked(*_: Any, **__: Any) -> Any:
        with line.deps.ledger.reading() as tx:
            expires["at"] = tx.execute(slots.select()).one().expires_at
        raise SystemExit

    line.deps.fetcher.fetch = looked  # type: ignore[method-assign]
    with pytest.raises(SystemExit):
        stages.download(line.deps, batch.ids, token=batch.token)
    assert expires["at"] <= line.now() + timedelta(seconds=line.deps.settings.lease_s)


def test_a_text_that_fits_only_unescaped_is_published_by_reference(line: Line, site: NewsServer) -> None:
    quotes = ['He said "' + '"' * 32_300 + '" and nothing else, whoever asked him about it.', *paragraphs(3)]
    follow_one(line, site, site.page(PAGE, article_page("The ferry sails again", quotes)))
    (message,) = line.messages
    assert message["text"] is None
    assert line.deps.store.get(message["text_ref"])


def test_dispatch_and_hosts_lock_sites_in_one_order(line: Line) -> None:
    """By name: two transactions that lock the same two sites must not wait for each other."""
    with line.deps.ledger.transaction() as tx:
        hosts.ensure(tx, ["b.example", "a.example"], now=line.now())
        rows = hosts.load(tx, ["b.example", "a.example"])
    assert list(rows) == ["a.example", "b.example"]


def test_what_nobody_asked_is_not_claimed(tmp_path: Path, site: NewsServer) -> None:
    line = Line(tmp_path, NEWSMILL_OBEY_ROBOTS="0")
    follow_one(line, site, one_article(site))
    assert line.messages[0]["rights"]["robots"] is None
    line.close()


def test_a_page_that_was_never_had_was_not_downloaded_at_any_time(line: Line, site: NewsServer) -> None:
    follow_one(line, site, one_article(site, status=404), description=FULL_TEXT)
    (message,) = line.messages
    assert (message["url_final"], message["downloaded_at"]) == (None, None)
    assert message["rights"]["robots"] == "allowed"


# ---------------------------------------------------------------- what operators are told


class Events:
    """Stands where the publisher stands, and keeps what operators are told; promises nothing else."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner
        self.told: list[dict[str, Any]] = []

    def publish(self, messages: Any) -> Any:
        self.told += [json.loads(one.body) for one in messages if one.exchange == EVENTS_EXCHANGE]
        return self.inner.publish(messages)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)


@pytest.fixture
def events(line: Line) -> Events:
    kept = Events(line.deps.publisher)
    line.deps = dataclasses.replace(line.deps, publisher=kept)
    return kept


def names(events: Events) -> list[tuple[str, str | None]]:
    return [(one.get("event", "heartbeat"), one.get("reason")) for one in events.told]


def test_operators_are_told_what_was_discovered_rejected_and_quarantined(
    line: Line, site: NewsServer, events: Events
) -> None:
    links = [one_article(site), one_article(site, "/gone.html", status=404), "http://10.0.0.1/refused.html"]
    line.follow("ferry", site.feed("/feed.xml", [item(link, title=link) for link in links]))
    line.poll()
    line.run()
    assert names(events)[:3] == [("item.discovered", None)] * 3
    assert sorted(names(events)[3:]) == [("article.quarantined", "refused-address"), ("item.rejected", "gone")]
    assert {one["feed"] for one in events.told} == {"ferry"}
    assert {one["url"] for one in events.told} == set(links)
    schema = json.loads((SCHEMAS / "event-1.schema.json").read_text())
    for one in events.told:
        jsonschema.validate(one, schema)


def test_operators_are_told_once_that_a_feed_fails_and_once_that_it_recovered(
    line: Line, site: NewsServer, events: Events
) -> None:
    line.follow("ferry", site.base + "/feed.xml?key=secret")
    for _ in range(5):
        line.poll()
        line.later(days=10)
    site.feed("/feed.xml", [])
    line.poll()
    line.later(days=1)
    line.poll()
    assert [name for name, _ in names(events)] == ["feed.failing", "feed.recovered"]
    assert "secret" not in json.dumps(events.told)


def test_operators_are_told_once_that_a_feed_fell_silent(line: Line, site: NewsServer, events: Events) -> None:
    line.follow("ferry", site.feed("/feed.xml", []))
    for number in range(5):
        site.feed("/feed.xml", [item(f"{site.base}/{number}", title=f"Report {number}")])
        line.poll()
        line.later(hours=6)
    line.later(days=2)
    events.told.clear()
    for _ in range(2):
        stages.upkeep(line.deps)
    assert [name for name, _ in names(events)] == ["feed.silent", "heartbeat", "heartbeat"]
    site.feed("/feed.xml", [item(f"{site.base}/new", title="Report new")])
    line.poll()
    assert {"item.discovered", "feed.recovered"} == {name for name, _ in names(events)[3:]}


def test_the_heartbeat_says_how_the_line_stands(line: Line, site: NewsServer, events: Events) -> None:
    follow_one(line, site, one_article(site))
    stages.upkeep(line.deps)
    beat = events.told[-1]
    jsonschema.validate(beat, json.loads((SCHEMAS / "heartbeat-1.schema.json").read_text()))
    assert beat["counts"]["published"] == 1
    assert beat["last_published_at"] is not None


def test_no_article_waits_for_operators_to_be_told(line: Line, site: NewsServer) -> None:
    """The broker is away: nobody is told anything, and everything up to the publication goes on."""
    line.deps = dataclasses.replace(line.deps, publisher=DeadPublisher(line.stream))
    follow_one(line, site, one_article(site))
    assert line.row().state == State.ARCHIVED
