"""What a feed's server may do, and what its polls then learn: rows of the bad inputs are named where they are met."""

from __future__ import annotations

import dataclasses
import json
import socket
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from tests.newsserver import Answer, NewsServer, rss
from tests.unit.stages.conftest import Line
from tests.unit.stages.test_outcomes import item, one_article
from tests.unit.stages.test_troubles import Events, events, names
from worker import stages
from worker.fetch.guard import AddressGuard
from worker.fetch.http import Fetcher
from worker.ledger import feeds
from worker.ledger.feeds import Poll
from worker.ledger.tables import Row
from worker.stages import answer

__all__ = ["events"]

RSS = "application/rss+xml"
HOUR = timedelta(hours=1)


def news(*numbers: int, **said: Any) -> list[dict[str, Any]]:
    return [{"title": f"Report {n}", "guid": f"g{n}", "link": f"https://news.example/{n}", **said} for n in numbers]


def document(*numbers: int) -> bytes:
    return rss(news(*numbers)).encode()


def feed_of(line: Line, slug: str = "ferry") -> Row:
    with line.deps.ledger.reading() as tx:
        row = feeds.by_slug(tx, slug)
    assert row is not None
    return row


def history(line: Line, slug: str = "ferry") -> list[Poll]:
    with line.deps.ledger.reading() as tx:
        return feeds.polls_of(tx, feed_of(line, slug).id)


def ask(line: Line, *, unconditional: bool = False) -> dict[str, str]:
    """A person's re-poll, polled at once."""
    stages.repoll(line.deps, None, unconditional=unconditional)
    return line.poll()


def waits_s(line: Line) -> float:
    return float((feed_of(line).due_at - line.now()).total_seconds())


def serve(site: NewsServer, body: bytes, status: int = 200, **headers: str) -> None:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    site.routes["/feed.xml"] = Answer(body, status, {"Content-Type": RSS, **named})


def sent(site: NewsServer) -> dict[str, str]:
    """The headers of the last request for the feed."""
    return next(headers for _, path, headers in reversed(site.seen) if path == "/feed.xml")


# ---------------------------------------------------------------- HTTP status


def test_410_gone_on_a_feed_stops_its_polls_and_operators_are_told(
    line: Line, site: NewsServer, events: Events
) -> None:
    serve(site, b"", 410)
    line.follow("ferry", site.base + "/feed.xml")
    for _ in range(3):
        line.poll()
        line.later(days=30)
    assert site.requests["/feed.xml"] == 1
    assert names(events) == [("feed.gone", "410 Gone: polling stops")]
    serve(site, document(1))
    assert ask(line) == {"ferry": "new"}


@pytest.mark.parametrize(
    ("status", "headers", "least_s"), [(429, {}, 30), (503, {"Retry_After": "7200"}, 7200), (503, {}, 30)]
)
def test_429_and_503_of_a_feed_are_obeyed(
    line: Line, site: NewsServer, status: int, headers: dict[str, str], least_s: float
) -> None:
    serve(site, b"", status, **headers)
    line.follow("ferry", site.base + "/feed.xml")
    assert line.poll() == {"ferry": "failed"}
    assert waits_s(line) > least_s - 5
    line.later(seconds=least_s - 6)
    serve(site, document(1))
    assert line.poll() == {}
    line.later(hours=3)
    assert line.poll() == {"ferry": "new"}


@pytest.mark.parametrize("value", ["Fri, 01 Jan 2100 00:00:00 GMT", "yesterday, about noon"])
def test_last_modified_in_the_future_or_no_date_goes_back_verbatim(line: Line, site: NewsServer, value: str) -> None:
    serve(site, document(1), Last_Modified=value)
    line.follow("ferry", site.base + "/feed.xml")
    line.poll()
    line.later(hours=12)
    line.poll()
    assert sent(site)["If-Modified-Since"] == value


def test_a_server_that_ignores_validators_costs_no_parsing(
    line: Line, site: NewsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    serve(site, document(1), ETag='"one"')
    line.follow("ferry", site.base + "/feed.xml")
    line.poll()
    site.routes["/feed.xml"] = lambda _: Answer(document(1), 200, {"Content-Type": RSS, "Last-Modified": "now"})
    monkeypatch.setattr(answer, "parse_feed", None)  # the same bytes are not looked at
    line.later(hours=12)
    assert line.poll() == {"ferry": "unchanged"}
    assert len(list(line.deps.store.keys("feeds/"))) == 1


def test_a_304_forever_though_items_changed_is_found_out_within_a_day(line: Line, site: NewsServer) -> None:
    serve(site, document(1), ETag='"same"')
    line.follow("ferry", site.base + "/feed.xml", interval_s=HOUR.total_seconds())
    line.poll()
    serve(site, document(1, 2), ETag='"same"')
    outcomes = []
    for _ in range(25):
        line.later(hours=1, seconds=1)
        outcomes += line.poll().values()
    assert outcomes == ["not-modified"] * 23 + ["new", "not-modified"]
    assert (feed_of(line).lies, feed_of(line).lied_at is not None) == (1, True)
    assert "the last 304 hid 1 items" in (history(line)[1].detail or "")
    serve(site, document(1, 2, 3), ETag='"same"')
    outcomes.clear()
    for _ in range(8):  # a server that lied is asked without validators oftener
        line.later(hours=1, seconds=1)
        outcomes += line.poll().values()
    assert "new" in outcomes


def test_304_without_prior_validators_is_an_error_and_the_feed_is_fetched_without_them(
    line: Line, site: NewsServer
) -> None:
    serve(site, b"", 304)
    line.follow("ferry", site.base + "/feed.xml")
    assert line.poll() == {"ferry": "failed"}
    assert "odd-304" in (history(line)[0].detail or "")
    serve(site, document(1), ETag='"one"')
    line.later(hours=1)
    assert line.poll() == {"ferry": "new"}
    assert "If-None-Match" not in sent(site)


def test_an_html_page_served_as_feed_is_no_feed_and_stays_subscribed_with_backoff(line: Line, site: NewsServer) -> None:
    serve(site, b"<!doctype html><html><head><title>Log in</title></head><body><form></form></body></html>")
    line.follow("ferry", site.base + "/feed.xml")
    waits = []
    for _ in range(3):
        assert line.poll() == {"ferry": "failed"}
        waits.append(waits_s(line))
        line.later(seconds=waits[-1] + 1)
    assert "not a feed" in (history(line)[0].detail or "").lower().replace("-", " ")
    assert waits[0] < waits[1] < waits[2]
    serve(site, document(1))
    assert line.poll() == {"ferry": "new"}


def test_a_cut_feed_keeps_no_validators_and_is_read_whole_next_time(line: Line, site: NewsServer) -> None:
    whole = document(1, 2)
    serve(site, whole[: whole.index(b"Report 2")], ETag='"cut"')
    line.follow("ferry", site.base + "/feed.xml")
    assert line.poll() == {"ferry": "new"}
    assert "damaged" in (history(line)[0].detail or "")
    row = feed_of(line)
    assert (row.etag, row.last_modified, row.body_sha256) == (None, None, None)
    serve(site, whole, ETag='"cut"')
    line.later(hours=12)
    assert line.poll() == {"ferry": "new"}
    assert sorted(str(row.title) for row in line.rows()) == ["Report 1", "Report 2"]


# ---------------------------------------------------------------- names


def no_such_host(_host: str, _port: int) -> Sequence[str]:
    raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")


def try_again(_host: str, _port: int) -> Sequence[str]:
    raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")


def test_nxdomain_backs_off_slowly_and_other_resolver_troubles_fast(line: Line) -> None:
    waits = []
    for resolve in (no_such_host, try_again):
        fetcher = Fetcher(
            user_agent="test",
            guard=AddressGuard((), frozenset({80})),
            connect_timeout_s=5,
            clock=line.now,
            resolve=resolve,
        )
        deps = dataclasses.replace(line.deps, fetcher=fetcher)
        slug = resolve.__name__.replace("_", "-")
        line.follow(slug, f"http://{slug}.example/feed.xml", interval_s=600)
        for batch in stages.due(deps).batches:
            (polled,) = stages.poll(deps, batch.ids, token=batch.token)
            assert polled.outcome == "failed"
            assert "dns" in str(polled.detail)
        waits.append((feed_of(line, slug).due_at - line.now()).total_seconds())
        fetcher.close()
    assert waits[0] > 1790
    assert waits[1] < 610


# ---------------------------------------------------------------- where a feed has moved to


def moves(site: NewsServer, other: NewsServer, status: int = 301) -> None:
    site.routes["/feed.xml"] = Answer(status=status, headers={"Location": other.base + "/new.xml"})
    other.routes["/new.xml"] = Answer(document(1), 200, {"Content-Type": RSS, "ETag": '"one"'})


@pytest.mark.parametrize("status", [301, 308])
def test_a_permanent_redirect_is_believed_on_its_third_day(
    line: Line, site: NewsServer, other_site: NewsServer, events: Events, status: int
) -> None:
    moves(site, other_site, status)
    line.follow("ferry", site.base + "/feed.xml")
    for day in range(3):
        assert feed_of(line).url == site.base + "/feed.xml"
        for _ in range(2):  # twice a day is not oftener
            ask(line, unconditional=True)
            line.later(minutes=5)
        if day < 2:
            line.later(days=1)
    row = feed_of(line)
    assert (row.url, row.moved_from) == (other_site.base + "/new.xml", site.base + "/feed.xml")
    assert row.host == line.deps.gates.key(row.url)
    assert names(events)[-1] == ("feed.moved", site.base + "/feed.xml")
    assert events.told[-1]["url"] == other_site.base + "/new.xml"
    asked = site.requests["/feed.xml"]
    line.later(hours=12)
    assert line.poll() == {"ferry": "not-modified"}
    assert site.requests["/feed.xml"] == asked


def test_a_redirect_that_was_taken_back_is_forgotten(line: Line, site: NewsServer, other_site: NewsServer) -> None:
    line.follow("ferry", site.base + "/feed.xml")
    for day in range(4):
        if day == 2:
            serve(site, document(1))
        else:
            moves(site, other_site)
        ask(line, unconditional=True)
        line.later(days=1)
    assert feed_of(line).url == site.base + "/feed.xml"
    assert len(feed_of(line).moved["days"]) == 1


def test_a_feed_with_secrets_does_not_move_them_to_another_site(
    tmp_path: Path, site: NewsServer, other_site: NewsServer
) -> None:
    line = Line(tmp_path, TOKEN="s3cret")
    moves(site, other_site)
    line.follow("ferry", site.base + "/feed.xml", headers={"X-Key": "${TOKEN}"})
    for _ in range(4):
        ask(line, unconditional=True)
        line.later(days=1)
    assert feed_of(line).url == site.base + "/feed.xml"
    assert "change its url" in (history(line)[0].detail or "")
    assert not any("X-Key" in headers for _, _, headers in other_site.seen)
    line.close()


def test_a_feed_does_not_move_onto_another(line: Line, site: NewsServer, other_site: NewsServer) -> None:
    moves(site, other_site)
    line.follow("ferry", site.base + "/feed.xml")
    line.follow("new-ferry", other_site.base + "/new.xml")
    for _ in range(4):
        ask(line, unconditional=True)
        line.later(days=1)
    assert feed_of(line).url == site.base + "/feed.xml"
    assert "followed already, as new-ferry" in (history(line)[0].detail or "")


# ---------------------------------------------------------------- what documents hold


def test_a_poll_that_overlaps_nothing_of_the_last_one_is_a_gap_and_the_next_comes_soon(
    line: Line, site: NewsServer
) -> None:
    serve(site, document(1, 2))
    line.follow("ferry", site.base + "/feed.xml")
    line.poll()
    assert feed_of(line).gaps == 0
    serve(site, document(8, 9))
    line.later(days=2)
    assert line.poll() == {"ferry": "new"}
    row = feed_of(line)
    assert row.gaps == 1
    assert row.gap_at is not None
    assert "items may have come and gone" in (history(line)[0].detail or "")
    assert waits_s(line) <= line.deps.settings.poll_floor_s
    serve(site, document(9, 10))
    line.later(days=2)
    line.poll()
    assert feed_of(line).gaps == 1


def test_a_feed_that_shrinks_from_40_to_2_items_loses_nothing_and_grows_back_without_news(
    line: Line, site: NewsServer
) -> None:
    line.follow("ferry", site.base + "/feed.xml")
    for count in (40, 2, 40):
        serve(site, document(*range(count)))
        line.poll()
        line.later(days=2)
    assert len(line.rows()) == 40
    assert [poll.new for poll in history(line)] == [0, 0, 40]


def test_a_feed_with_100_000_items_gives_its_newest_and_says_how_many_were_left_out(
    tmp_path: Path, site: NewsServer
) -> None:
    line = Line(tmp_path, NEWSMILL_MAX_ENTRIES="50", NEWSMILL_PAGE_CAP_BYTES="100000000")
    items = "".join(f"<item><title>Report {n}</title><guid>g{n}</guid></item>" for n in range(100_000))
    serve(site, f'<?xml version="1.0"?><rss version="2.0"><channel><title>All</title>{items}</channel></rss>'.encode())
    line.follow("ferry", site.base + "/feed.xml", first_poll="none")
    line.poll()
    (polled,) = history(line)
    assert polled.entries == 50
    assert "99950 items over the limit were left out" in (polled.detail or "")
    line.close()


def test_a_feed_is_known_by_its_hours_after_some_polls(line: Line, site: NewsServer) -> None:
    line.follow("ferry", site.base + "/feed.xml")
    for number in range(6):
        serve(site, rss(news(*range(number), date=line.now() - timedelta(minutes=5))).encode())
        ask(line)
        line.later(hours=2)
    pattern = feed_of(line).pattern
    assert sum(pattern["hours"]) > 4
    assert pattern["window"] == 5


# ---------------------------------------------------------------- history


def test_polls_alike_that_bring_nothing_are_one_line_of_history(line: Line, site: NewsServer) -> None:
    serve(site, document(1), ETag='"one"')
    line.follow("ferry", site.base + "/feed.xml", interval_s=HOUR.total_seconds())
    line.poll()
    for _ in range(5):
        line.later(hours=1, seconds=1)
        line.poll()
    quiet, first = history(line)
    assert (quiet.outcome, quiet.status, quiet.times) == ("not-modified", 304, 5)
    assert quiet.since is not None
    assert quiet.at - quiet.since > 3.9 * HOUR
    assert (first.outcome, first.times, first.since) == ("new", 1, None)
    serve(site, document(1, 2), ETag='"two"')
    line.later(hours=1, seconds=1)
    line.poll()
    assert [(one.outcome, one.times) for one in history(line)] == [("new", 1), ("not-modified", 5), ("new", 1)]
    serve(site, b"", 500)
    line.later(hours=1, seconds=1)
    line.poll()
    assert [one.outcome for one in history(line)] == ["failed", "new", "not-modified", "new"]


# ---------------------------------------------------------------- robots.txt, for the feed document itself


def test_a_feed_is_polled_whatever_robots_txt_says_unless_its_operator_wants_otherwise(
    line: Line, site: NewsServer
) -> None:
    site.page("/robots.txt", "User-agent: *\nDisallow: /feed.xml\n", content_type="text/plain")
    serve(site, document(1))
    line.follow("ferry", site.base + "/feed.xml")
    assert line.poll() == {"ferry": "new"}
    with line.deps.ledger.transaction() as tx:
        feeds.change(tx, feed_of(line).id, {"robots": "obey"}, now=line.now())
    line.later(days=1)
    assert line.poll() == {"ferry": "failed"}
    assert site.requests["/feed.xml"] == 1
    error = feed_of(line).error
    assert error.startswith("robots: robots.txt keeps us from")
    assert "robots = ignore" in error
    site.page("/robots.txt", "User-agent: *\nAllow: /\n", content_type="text/plain")
    line.later(days=2)
    assert line.poll() == {"ferry": "unchanged"}


# ---------------------------------------------------------------- feeds that share a task


def test_a_poll_that_cannot_be_saved_costs_its_companions_nothing(
    line: Line, site: NewsServer, other_site: NewsServer
) -> None:
    for slug, at in (("good", site), ("bad", other_site)):
        at.feed("/feed.xml", news(1 if slug == "good" else 2))
        line.follow(slug, at.base + "/feed.xml")
    with line.deps.ledger.transaction() as tx:
        tx.execute(
            sa.text(
                "CREATE TRIGGER refuses BEFORE UPDATE OF ok_at ON feeds WHEN NEW.slug = 'bad' "
                "BEGIN SELECT RAISE(ABORT, 'not this one'); END"
            )
        )
    (batch,) = stages.due(dataclasses.replace(line.deps, settings=one_child(line))).batches
    polled = stages.poll(line.deps, batch.ids, token=batch.token)
    assert {one.slug: one.outcome for one in polled} == {"good": "new", "bad": "failed"}
    assert [row.title for row in line.rows()] == ["Report 1"]


def one_child(line: Line) -> Any:
    return dataclasses.replace(line.deps.settings, concurrency=1)


def test_new_articles_need_not_wait_for_a_slow_companion(line: Line, site: NewsServer, other_site: NewsServer) -> None:
    site.feed("/feed.xml", [item(one_article(site))])
    other_site.routes["/feed.xml"] = Answer(document(1), 200, {"Content-Type": RSS}, delay_s=0.6)
    line.follow("quick", site.base + "/feed.xml")
    line.follow("slow", other_site.base + "/feed.xml")
    (batch,) = stages.due(dataclasses.replace(line.deps, settings=one_child(line))).batches
    found: list[int] = []
    stages.poll(line.deps, batch.ids, token=batch.token, found=lambda: found.append(len(line.rows())))
    assert found == [1, 2]


def test_a_message_delivered_twice_polls_once(line: Line, site: NewsServer) -> None:
    serve(site, document(1))
    line.follow("ferry", site.base + "/feed.xml")
    (batch,) = stages.due(line.deps).batches
    outcomes = [[one.outcome for one in stages.poll(line.deps, batch.ids, token=batch.token)] for _ in range(2)]
    assert outcomes == [["new"], []]
    assert site.requests["/feed.xml"] == 1


def test_an_address_that_is_changed_during_a_poll_keeps_nothing_of_the_old_one(line: Line, site: NewsServer) -> None:
    def changes_meanwhile(_: BaseHTTPRequestHandler) -> Answer:
        values = {"url": site.base + "/other.xml", **feeds.NEW_URL}
        with line.deps.ledger.transaction() as tx:
            feeds.change(tx, feed_of(line).id, values, now=line.now())
        return Answer(document(1), 200, {"Content-Type": RSS, "ETag": '"old"'})

    site.routes["/feed.xml"] = changes_meanwhile
    line.follow("ferry", site.base + "/feed.xml")
    assert line.poll() == {"ferry": "waiting"}
    assert feed_of(line).etag is None
    assert line.rows() == []


def test_what_a_poll_leaves_is_json_that_both_databases_take(line: Line, site: NewsServer) -> None:
    serve(site, document(1))
    line.follow("ferry", site.base + "/feed.xml")
    line.poll()
    row = feed_of(line)
    assert json.dumps([row.pattern, row.wishes, row.rhythm])
    assert datetime.fromtimestamp(row.rhythm[-1], UTC) <= line.now()
