"""A document's way into the ledger: what is noted of it, and what is sent back to its server."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from tests.newsserver import Answer, NewsServer, paragraphs, rss
from tests.unit.stages.conftest import Line
from worker.ledger import articles, feeds
from worker.ledger.tables import Row
from worker.model import Hop
from worker.stages.answer import _validators

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
FULL_TEXT = "".join(f"<p>{text}</p>" for text in paragraphs(9, 8))


def item(number: int, **said: Any) -> dict[str, Any]:
    return {"title": f"Report {number}", "guid": f"g{number}", "description": f"<p>{number}</p>{FULL_TEXT}", **said}


def poll(line: Line, site: NewsServer, *items: dict[str, Any]) -> Row:
    site.feed("/feed.xml", list(items))
    with line.deps.ledger.transaction() as tx:
        feeds.ask(tx, None, unconditional=True, now=line.now())
    line.poll()
    line.run()
    with line.deps.ledger.reading() as tx:
        (feed,) = feeds.all_feeds(tx)
        return feeds.polls_of(tx, feed.id, limit=1)[0]


def test_guids_that_change_at_every_poll_are_known_by_their_text(line: Line, site: NewsServer) -> None:
    line.follow("ferry", site.base + "/feed.xml")
    for number in range(3):
        polled = poll(line, site, *(item(one, guid=f"{number}-{one}") for one in range(3)))
        assert polled.new == (3 if number == 0 else 0)
        line.later(days=1)
    assert len(line.messages) == 3


@pytest.mark.parametrize(
    ("values", "first"),
    [
        pytest.param({"first_poll": "none"}, "/one.html", id="left out at the first poll"),
        pytest.param({"offsite": "skip"}, "https://elsewhere.example/one.html", id="at another site"),
    ],
)
def test_a_skipped_item_that_moves_leaves_the_books_in_order(
    line: Line, site: NewsServer, values: dict[str, Any], first: str
) -> None:
    line.follow("ferry", site.base + "/feed.xml", **values)
    link = first if first.startswith("https") else site.base + first
    poll(line, site, item(1, link=link, date=NOON))
    line.later(days=1)
    assert poll(line, site, item(1, link=site.base + "/moved.html", date=NOON)).new == 0
    with line.deps.ledger.reading() as tx:
        assert articles.audit(tx)["sightings_without_article"] == 0


def test_an_item_of_another_site_listed_twice_leaves_the_books_in_order(line: Line, site: NewsServer) -> None:
    line.follow("ferry", site.base + "/feed.xml", offsite="skip")
    poll(line, site, *(item(1, link=f"https://elsewhere.example/{way}", date=NOON) for way in ("a", "b")))
    with line.deps.ledger.reading() as tx:
        assert articles.audit(tx)["sightings_without_article"] == 0


def hop(**headers: str) -> Hop:
    return Hop(
        url="https://news.example/",
        method="GET",
        request_head=b"",
        status=200,
        response_head=b"",
        headers=tuple((name.replace("_", "-"), value) for name, value in headers.items()),
        body=b"",
        began_at=NOON,
        ended_at=NOON,
        ip=None,
    )


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        ('"a"', '"a"'),
        (' W/"\xe9" ', 'W/"\xe9"'),
        ('"a\x00"', None),
        ('"a\r\nX: y"', None),
        ('"\u4e2d"', None),
        ("a" * 1001, None),
        ("", None),
    ],
    ids=lambda value: ascii(value)[:20],
)
def test_a_validator_is_kept_if_it_can_be_sent_back(value: str, kept: str | None) -> None:
    assert _validators(hop(ETag=value, Last_Modified=value)) == {"etag": kept, "last_modified": kept}
    assert _validators(hop()) == {"etag": None, "last_modified": None}


def test_a_validator_that_cannot_be_kept_does_not_cost_the_poll(line: Line, site: NewsServer) -> None:
    line.follow("ferry", site.base + "/feed.xml")
    site.routes["/feed.xml"] = Answer(
        rss([item(1)]).encode(), 200, {"Content-Type": "application/rss+xml", "ETag": '"a\x00b"'}
    )
    assert line.poll() == {"ferry": "new"}
