"""What becomes of an article, whatever its site, our own house or its feed do."""

from __future__ import annotations

import base64
import dataclasses
import io
import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.newsserver import Answer, NewsServer, article_page, paragraphs
from tests.unit.stages.conftest import Line
from worker import stages
from worker.archive.bundle import read_bundle
from worker.errors import UnavailableError
from worker.ledger import feeds
from worker.model import State
from worker.publish.lines import LinesPublisher

FULL_TEXT = "".join(f"<p>{text}</p>" for text in paragraphs(9, 8))


def item(link: str, **values: Any) -> dict[str, Any]:
    return {"title": "The ferry sails again", "link": link, "guid": link, "description": "One sentence.", **values}


def one_article(site: NewsServer, path: str = "/news/ferry.html", **page: Any) -> str:
    return site.page(path, article_page("The ferry sails again", paragraphs(1)), **page)


def large_article(site: NewsServer, path: str = "/news/ferry.html") -> str:
    """More than the ledger takes in hand, however well it is packed."""
    ballast = f"<!-- {base64.b64encode(random.Random(1).randbytes(400_000)).decode()} -->"
    return site.page(path, article_page("The ferry sails again", paragraphs(1)) + ballast)


def follow_one(line: Line, site: NewsServer, link: str, **values: Any) -> None:
    line.follow("ferry", site.feed("/feed.xml", [item(link, **values)]))
    line.poll()
    line.run()


# ---------------------------------------------------------------- what the site says


def test_an_article_is_archived_whole_and_published_once(line: Line, site: NewsServer) -> None:
    follow_one(line, site, one_article(site))
    (message,) = line.messages
    assert line.row().state == State.PUBLISHED
    assert message["text"].split("\n\n") == paragraphs(1)
    bundle = read_bundle(line.deps.store.get(message["archive"]["warc"]))
    page = next(record for record in bundle if record.record_id == message["archive"]["record_id"])
    assert page.payload == site.routes["/news/ferry.html"].body  # type: ignore[union-attr]
    assert {"warcinfo", "request", "response", "metadata", "conversion"} <= {record.type for record in bundle}
    assert line.deps.store.get(message["html_ref"])
    assert line.deps.store.get(message["archive"]["document"])


def test_robots_txt_is_obeyed(line: Line, site: NewsServer) -> None:
    site.page("/robots.txt", "User-agent: newsmill\nDisallow: /news/\n", content_type="text/plain")
    follow_one(line, site, one_article(site))
    assert line.ends() == [("rejected", "robots")]
    assert "/news/ferry.html" not in site.requests


def test_a_full_text_feed_s_article_is_published_although_its_page_may_not_be_asked(
    line: Line, site: NewsServer
) -> None:
    site.page("/robots.txt", "User-agent: *\nDisallow: /\n", content_type="text/plain")
    follow_one(line, site, one_article(site), description=FULL_TEXT)
    (message,) = line.messages
    assert message["extraction"]["method"] == "feed"
    assert message["rights"]["robots"] == "disallowed"
    assert message["text"].split("\n\n") == paragraphs(9, 8)


def test_robots_txt_is_read_once_for_many_articles(line: Line, site: NewsServer) -> None:
    links = [site.page(f"/news/{n}.html", article_page(f"Report {n}", paragraphs(n))) for n in range(5)]
    line.follow("ferry", site.feed("/feed.xml", [item(link, title=f"Report {n}") for n, link in enumerate(links)]))
    line.poll()
    line.run()
    assert line.ends() == [("published", None)] * 5
    assert site.requests["/robots.txt"] == 1


def test_a_redirect_to_another_site_is_followed_with_that_site_s_permission(
    line: Line, site: NewsServer, other_site: NewsServer
) -> None:
    target = one_article(other_site)
    site.routes["/go"] = Answer(status=302, headers={"Location": target})
    follow_one(line, site, site.base + "/go")
    (message,) = line.messages
    assert message["url_requested"] == site.base + "/go"
    assert message["url_final"] == target
    assert other_site.requests["/robots.txt"] == 1
    bundle = read_bundle(line.deps.store.get(message["archive"]["warc"]))
    assert [record.url for record in bundle if record.type == "response"] == [site.base + "/go", target]


def test_a_redirect_goes_on_where_it_stopped_when_the_other_site_is_busy(
    tmp_path: Path, site: NewsServer, other_site: NewsServer
) -> None:
    line = Line(tmp_path, NEWSMILL_HOST_DELAY_S="20")
    target = one_article(other_site)
    site.routes["/go"] = Answer(status=302, headers={"Location": target})
    line.follow("ferry", site.feed("/feed.xml", [item(site.base + "/go")]))
    line.poll()
    for _ in range(6):
        line.later(seconds=21)
        line.run()
    (message,) = line.messages
    assert site.requests["/go"] == 1
    bundle = read_bundle(line.deps.store.get(message["archive"]["warc"]))
    assert [record.url for record in bundle if record.type == "response"] == [site.base + "/go", target]
    line.close()


def test_two_links_that_lead_to_one_page_are_one_article(line: Line, site: NewsServer) -> None:
    target = one_article(site)
    for name in ("/a", "/b"):
        site.routes[name] = Answer(status=301, headers={"Location": target})
    items = [item(site.base + name) for name in ("/a", "/b")]
    line.follow("ferry", site.feed("/feed.xml", items))
    line.poll()
    for _ in range(4):
        line.run()
        line.later(seconds=10)
    assert line.ends() == [("duplicate", "same-page"), ("published", None)]
    assert len(line.messages) == 1


@pytest.mark.parametrize(("status", "reason"), [(404, "gone"), (410, "gone"), (403, "forbidden"), (451, "forbidden")])
def test_a_page_that_says_no_is_rejected_by_name(line: Line, site: NewsServer, status: int, reason: str) -> None:
    follow_one(line, site, one_article(site, status=status))
    assert line.ends() == [("rejected", reason)]


def test_a_soft_404_is_no_article(line: Line, site: NewsServer) -> None:
    page = "<html><head><title>Page doesn't exist</title></head><body><h1>Page doesn't exist</h1></body></html>"
    follow_one(line, site, site.page("/news/lost.html", page))
    assert line.ends() == [("rejected", "soft-404")]


def test_a_pdf_behind_a_link_is_named_and_not_parsed(line: Line, site: NewsServer) -> None:
    follow_one(line, site, site.page("/report.html", b"%PDF-1.7\n" + b"\x00" * 5000))
    assert line.ends() == [("rejected", "unsupported-pdf")]


def test_a_site_that_is_busy_is_asked_again_later(line: Line, site: NewsServer) -> None:
    link = one_article(site, status=500)
    follow_one(line, site, link)
    waiting = line.row()
    assert (waiting.state, waiting.attempts) == (State.DISCOVERED, 1)
    one_article(site)
    line.run()
    assert site.requests["/news/ferry.html"] == 1
    line.later(seconds=61)
    line.run()
    assert line.ends() == [("published", None)]


def test_a_site_that_never_answers_well_ends_in_quarantine_with_its_story(line: Line, site: NewsServer) -> None:
    follow_one(line, site, one_article(site, status=500))
    for _ in range(line.deps.settings.max_attempts):
        line.later(hours=2)
        line.run()
    row = line.row()
    assert (row.state, row.reason) == (State.QUARANTINED, "attempts-exhausted")
    assert site.requests["/news/ferry.html"] == line.deps.settings.max_attempts
    assert [trouble["stage"] for trouble in row.troubles] == ["download"] * (line.deps.settings.max_attempts - 1)


def test_a_full_text_article_waits_for_its_page_two_attempts_only(line: Line, site: NewsServer) -> None:
    follow_one(line, site, one_article(site, status=500), description=FULL_TEXT)
    assert line.messages == []
    line.later(minutes=5)
    line.run()
    assert line.messages[0]["extraction"]["method"] == "feed"


# ---------------------------------------------------------------- what the feed says


def test_one_article_in_two_feeds_is_one_article_with_two_sightings(line: Line, site: NewsServer) -> None:
    link = one_article(site)
    line.follow("first", site.feed("/1.xml", [item(link)]))
    line.follow("second", site.feed("/2.xml", [item(f"{link}?utm_source=second")]))
    line.poll()
    line.poll()
    line.run()
    (message,) = line.messages
    assert {sighting["feed"] for sighting in message["sightings"]} == {"first", "second"}


def test_polling_again_announces_nothing_twice(line: Line, site: NewsServer) -> None:
    link = one_article(site)
    line.follow("ferry", site.feed("/feed.xml", [item(link)]))
    assert line.poll() == {"ferry": "new"}
    site.feed("/feed.xml", [item(link), item(link, guid="another")], title="Changed")
    line.later(days=2)
    assert line.poll() == {"ferry": "unchanged"}
    assert len(line.rows()) == 1


def test_a_feed_that_is_not_modified_is_not_read(line: Line, site: NewsServer) -> None:
    line.follow("ferry", site.feed("/feed.xml", [item(one_article(site))], etag='"1"'))
    line.poll()
    line.later(hours=20)
    assert line.poll() == {"ferry": "not-modified"}


def test_once_a_day_a_feed_is_polled_without_validators(line: Line, site: NewsServer) -> None:
    line.follow("ferry", site.feed("/feed.xml", [item(one_article(site))], etag='"1"'))
    line.poll()
    line.later(days=1, hours=1)
    assert line.poll() == {"ferry": "unchanged"}


def test_an_item_without_a_link_is_published_from_its_text(line: Line, site: NewsServer) -> None:
    line.follow("ferry", site.feed("/feed.xml", [{"title": "No link", "guid": "7", "description": FULL_TEXT}]))
    line.poll()
    line.run()
    (message,) = line.messages
    assert message["url"] is None
    assert message["guid"] == "7"


def test_a_link_that_leaves_the_site_is_skipped_where_the_operator_says_so(
    line: Line, site: NewsServer, other_site: NewsServer
) -> None:
    items = [item(one_article(other_site)), item(one_article(site), title="Here")]
    line.follow("ferry", site.feed("/feed.xml", items), offsite="skip")
    line.poll()
    line.run()
    assert [row.title for row in line.rows()] == ["The ferry sails again"]
    assert other_site.requests == {}


def test_a_first_poll_that_shall_announce_nothing_only_takes_note(line: Line, site: NewsServer) -> None:
    link = one_article(site)
    line.follow("ferry", site.feed("/feed.xml", [item(link)]), first_poll="none")
    line.poll()
    assert line.rows() == []
    fresh = one_article(site, "/news/new.html")
    site.feed("/feed.xml", [item(fresh, title="New"), item(link)])
    line.later(days=2)
    line.poll()
    assert [row.url for row in line.rows()] == [fresh]


def test_a_gone_feed_stops_and_a_failing_one_backs_off(line: Line, site: NewsServer) -> None:
    site.routes["/gone.xml"] = Answer(b"", 410)
    line.follow("gone", site.base + "/gone.xml")
    line.follow("failing", site.base + "/missing.xml")
    outcomes = line.poll() | line.poll()
    assert outcomes == {"gone": "gone", "failing": "failed"}
    waits = []
    for _ in range(3):
        line.later(days=30)
        asked_at = line.now()
        line.poll()
        with line.deps.ledger.reading() as tx:
            row = feeds.by_slug(tx, "failing")
        assert row is not None
        waits.append((row.due_at - asked_at).total_seconds())
    assert waits == sorted(waits)
    assert site.requests["/gone.xml"] == 1


def test_a_configured_header_is_filled_from_the_environment_and_sent(tmp_path: Path, site: NewsServer) -> None:
    line = Line(tmp_path, HARBOUR_TOKEN="open sesame")
    line.follow("ferry", site.feed("/feed.xml", []), headers={"X-Key": "Bearer ${HARBOUR_TOKEN}"})
    line.poll()
    assert [headers["X-Key"] for _, path, headers in site.seen if path == "/feed.xml"] == ["Bearer open sesame"]
    line.close()


# ---------------------------------------------------------------- pictures


def picture(width: int, height: int) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (width, height), (30, 90, 140)).save(out, "JPEG")
    return out.getvalue()


def with_picture(site: NewsServer, data: bytes) -> str:
    image = site.page("/ferry.jpg", data, content_type="image/jpeg")
    return site.page("/news/ferry.html", article_page("The ferry sails again", paragraphs(1), image=image))


def test_a_lead_picture_is_fetched_checked_and_kept(line: Line, site: NewsServer) -> None:
    data = picture(640, 360)
    follow_one(line, site, with_picture(site, data))
    image = line.messages[0]["image"]
    assert (image["width"], image["height"], image["media_type"]) == (640, 360, "image/jpeg")
    assert line.deps.store.get(image["ref"]) == data
    warc = line.deps.store.get(line.messages[0]["archive"]["warc"])
    assert data in [record.payload for record in read_bundle(warc)]


def test_a_picture_that_is_none_is_named_without_bytes(line: Line, site: NewsServer) -> None:
    follow_one(line, site, with_picture(site, b"<html>no picture</html>"))
    image = line.messages[0]["image"]
    assert image["url"] == site.base + "/ferry.jpg"
    assert (image["ref"], image["sha256"]) == (None, None)


def test_a_picture_that_hangs_holds_its_article_up_ten_seconds_at_most(line: Line, site: NewsServer) -> None:
    link = with_picture(site, picture(640, 360))
    site.routes["/ferry.jpg"].delay_s = 25  # type: ignore[union-attr]
    began = time.monotonic()
    follow_one(line, site, link)
    assert line.ends() == [("published", None)]
    assert time.monotonic() - began < 20  # without a bound of its own it would take the fetch's 30 s
    assert line.messages[0]["image"]["ref"] is None


def test_a_picture_at_a_busy_site_is_waited_for_and_then_done_without(tmp_path: Path, site: NewsServer) -> None:
    line = Line(tmp_path, NEWSMILL_HOST_DELAY_S="60")
    follow_one(line, site, with_picture(site, picture(640, 360)))
    for _ in range(6):
        line.later(seconds=61)
        line.run()
    assert line.ends() == [("published", None)]
    assert line.messages[0]["image"]["ref"] is None
    assert site.requests["/ferry.jpg"] == 0
    line.close()


# ---------------------------------------------------------------- our own house


class BrokenStore:
    """A store that is down."""

    def __init__(self, real: Any) -> None:
        self.real, self.down = real, True

    def __getattr__(self, name: str) -> Any:
        if self.down and name != "is_remote":
            raise UnavailableError("the store is down")
        return getattr(self.real, name)


@pytest.mark.parametrize(
    ("page", "gets_to"), [(one_article, State.PICTURED), (large_article, State.DISCOVERED)], ids=["small", "large"]
)
def test_an_outage_of_our_own_store_counts_nothing_against_an_article(
    line: Line, site: NewsServer, page: Callable[[NewsServer], str], gets_to: State
) -> None:
    line.follow("ferry", site.feed("/feed.xml", [item(page(site))]))
    line.poll()
    store = BrokenStore(line.deps.store)
    line.deps = dataclasses.replace(line.deps, store=store)
    for _ in range(10):
        line.run()
        line.later(seconds=11)
    assert (line.row().state, line.row().attempts) == (gets_to, 0)
    store.down = False
    line.later(minutes=10)
    line.run()
    assert line.ends() == [("published", None)]


class DeadPublisher(LinesPublisher):
    def publish(self, messages: Any) -> Any:
        raise UnavailableError("nobody listens")


def test_a_broker_that_is_away_delays_a_message_and_does_not_change_it(line: Line, site: NewsServer) -> None:
    alive = line.deps.publisher
    line.deps = dataclasses.replace(line.deps, publisher=DeadPublisher(line.stream))
    follow_one(line, site, one_article(site))
    assert (line.row().state, line.row().attempts) == (State.ARCHIVED, 0)
    line.deps = dataclasses.replace(line.deps, publisher=alive)
    line.later(seconds=11)
    line.run()
    assert [message["sequence"] for message in line.messages] == [1]


class CutPublisher(LinesPublisher):
    """Sends, and dies before it can say so."""

    def publish(self, messages: Any) -> Any:
        super().publish(messages)
        raise SystemExit


def test_a_publisher_cut_between_confirm_and_mark_repeats_the_same_message(line: Line, site: NewsServer) -> None:
    alive = line.deps.publisher
    line.follow("ferry", site.feed("/feed.xml", [item(one_article(site))]))
    line.poll()
    line.deps = dataclasses.replace(line.deps, publisher=CutPublisher(line.stream))
    with pytest.raises(SystemExit):
        line.run()
    line.deps = dataclasses.replace(line.deps, publisher=alive)
    line.run()
    assert len(line.messages) == 1  # the lease is still the dead one's
    line.later(seconds=line.deps.settings.lease_s + 1)
    line.run()
    first, second = line.stream.getvalue().splitlines()
    assert first == second
    assert line.ends() == [("published", None)]


def test_a_stop_releases_what_is_not_begun_without_counting_an_attempt(line: Line, site: NewsServer) -> None:
    line.follow("ferry", site.feed("/feed.xml", [item(one_article(site))]))
    line.poll()
    (batch,) = stages.dispatch(line.deps).batches
    line.deps.stopping.set()
    assert line.work(batch) == []
    row = line.row()
    assert (row.lease_token, row.begun, row.attempts) == (None, False, 0)
    line.deps.stopping.clear()
    line.run()
    assert line.ends() == [("published", None)]


def test_a_page_once_fetched_is_not_fetched_again_because_something_later_failed(line: Line, site: NewsServer) -> None:
    line.follow("ferry", site.feed("/feed.xml", [item(one_article(site))]))
    line.poll()
    (batch,) = stages.dispatch(line.deps).batches
    line.work(batch, until="archive")
    line.later(minutes=11)
    line.run()
    assert line.ends() == [("published", None)]
    assert site.requests["/news/ferry.html"] == 1


# ---------------------------------------------------------------- what a feed's texts are


def reports(site: NewsServer, numbers: range, *, of: int, in_feed: int) -> list[dict[str, Any]]:
    """Articles whose pages have so many paragraphs, and whose feed gives the first so many of them."""
    return [
        item(
            site.page(f"/report/{n}.html", article_page(f"Report {n}", paragraphs(n, of))),
            title=f"Report {n}",
            description="".join(f"<p>{text}</p>" for text in paragraphs(n, in_feed)),
        )
        for n in numbers
    ]


def unreachable(site: NewsServer, number: int, *, in_feed: int) -> dict[str, Any]:
    return {**reports(site, range(number, number + 1), of=1, in_feed=in_feed)[0], "link": site.base + "/forbidden.html"}


@pytest.mark.parametrize(
    ("of", "in_feed", "tally", "last_in_feed", "end"),
    [(2, 2, {"whole": 2.71, "part": 0}, 1, "published"), (8, 4, {"whole": 0, "part": 2.71}, 4, "rejected")],
    ids=["whole articles, and then a short one", "excerpts, and then a long one"],
)
def test_without_its_page_an_article_is_judged_by_what_the_pages_before_it_showed(
    line: Line, site: NewsServer, *, of: int, in_feed: int, tally: dict[str, float], last_in_feed: int, end: str
) -> None:
    site.page("/forbidden.html", "no", status=403)
    items = reports(site, range(3), of=of, in_feed=in_feed)
    line.follow("ferry", site.feed("/feed.xml", items))
    line.poll()
    line.run()
    with line.deps.ledger.reading() as tx:
        learnt = feeds.by_slug(tx, "ferry")
    assert learnt is not None
    assert learnt.full_text == pytest.approx(tally)
    site.feed("/feed.xml", [unreachable(site, 9, in_feed=last_in_feed), *items])
    line.later(days=2)
    line.poll()
    line.run()
    assert [row.state for row in line.rows() if "forbidden" in row.url] == [end]


def test_lines_that_end_every_text_of_a_feed_are_in_no_article(line: Line, site: NewsServer) -> None:
    letter = '<p>Every morning in your mailbox: <a href="/letter">our letter</a>.</p>'
    items = reports(site, range(4), of=5, in_feed=5)
    for one in items:
        one["description"] += letter
    line.follow("ferry", site.feed("/feed.xml", items))
    line.poll()
    line.run()
    assert {message["extraction"]["method"] for message in line.messages} == {"feed"}
    assert not [message["text"] for message in line.messages if "mailbox" in message["text"]]


def test_a_page_at_a_feed_s_address_is_no_feed_and_what_it_names_is_not_followed_by_itself(
    line: Line, site: NewsServer
) -> None:
    """bad-inputs: XML feed, an HTML page served as a feed."""
    target = site.feed("/real.xml", [item(one_article(site))])
    line.follow(
        "ferry", site.page("/feed.xml", f'<html><link rel="alternate" type="application/rss+xml" href="{target}">')
    )
    assert line.poll() == {"ferry": "failed"}
    with line.deps.ledger.reading() as tx:
        row = feeds.by_slug(tx, "ferry")
    assert row is not None
    assert (row.error, row.url, row.enabled) == ("not-a-feed: it is an HTML page", site.base + "/feed.xml", True)
    assert row.due_at > line.now()
    assert site.requests["/real.xml"] == 0
