"""``newsmill why``: one URL's story."""

from __future__ import annotations

from datetime import timedelta

import pytest

from tests.unit.cli.conftest import NOW, Books, Newsmill
from worker.ledger import articles, hosts
from worker.urls import article_id_of, canonical_url

URL = "https://harbour.example/tram"
SOON = timedelta(minutes=30)


def test_a_published_article_tells_each_stage_with_its_time(newsmill: Newsmill, books: Books) -> None:
    feed = books.feed()
    article_id = books.article(
        feed,
        URL,
        downloaded_at=NOW - timedelta(seconds=4),
        extracted_at=NOW - timedelta(seconds=3),
        pictured_at=NOW - timedelta(seconds=2),
        archived_at=NOW - timedelta(seconds=1),
        exchange={"key": "spool/x", "status": 200, "url_final": "https://harbour.example/tram-2"},
        archive={"warc": "warc/x.warc.gz"},
    )
    books.sighting(feed, URL)
    books.publish(article_id, sequence=7)
    answer = newsmill("why", URL, "--json")
    assert answer.code == 0
    revision = answer.json["revisions"][0]
    told = [event["what"] for event in revision["events"]]
    assert [what.split(":")[0].split(" ")[0] for what in told[:5]] == [
        "discovered",
        "downloaded",
        "extracted",
        "pictured",
        "archived",
    ]
    assert any("number 7 of harbour" in what for what in told)
    assert any("confirmed by the broker" in what for what in told)
    shown = newsmill("why", URL).out
    for part in ("seen in harbour", "HTTP 200 from https://harbour.example/tram-2", "Published."):
        assert part in shown


@pytest.mark.parametrize(
    "said",
    [
        pytest.param(URL, id="as in the feed"),
        pytest.param("http://HARBOUR.example/tram?utm_source=x#top", id="as people paste it"),
        pytest.param(article_id_of(canonical_url(URL)), id="id"),
        pytest.param(article_id_of(canonical_url(URL))[:10].upper(), id="beginning of the id"),
    ],
)
def test_an_article_is_found_however_it_is_named(newsmill: Newsmill, books: Books, said: str) -> None:
    books.article(books.feed(), URL)
    assert newsmill("why", said, "--json").json["known"] is True


def test_an_article_is_found_by_where_its_redirect_led(newsmill: Newsmill, books: Books) -> None:
    article_id = books.article(books.feed(), URL)
    with books.ledger.transaction() as tx:
        articles.claim_alias(tx, article_id_of(canonical_url("https://harbour.example/final")), article_id)
    assert newsmill("why", "https://harbour.example/final", "--json").json["article_id"] == article_id


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        pytest.param({}, "Ready for its download", id="ready"),
        pytest.param({"ready_at": NOW + SOON, "attempts": 2}, "2 attempts failed so far", id="waits for a retry"),
        pytest.param({"lease_until": NOW + SOON, "lease_token": "t"}, "In the queue for its download", id="queued"),
        pytest.param(
            {"lease_until": NOW + SOON, "lease_token": "t", "begun": True, "attempts": 1},
            "A worker is at its download, attempt 1",
            id="at work",
        ),
        pytest.param({"state": "archived"}, "Ready for its publish: dispatch", id="almost there"),
        pytest.param(
            {"state": "pictured", "priority": articles.AFTER_THE_NEWS},
            "Ready for its archive, behind all news",
            id="came of the archive",
        ),
        pytest.param(
            {"state": "rejected", "reason": "soft-404", "ended_at": NOW},
            "the page says that it does not exist",
            id="rejected",
        ),
        pytest.param({"state": "rejected", "reason": "unsupported-pdf", "ended_at": NOW}, "no page (pdf)", id="a PDF"),
        pytest.param(
            {"state": "quarantined", "reason": "worker-lost", "ended_at": NOW},
            "newsmill quarantine retry",
            id="quarantined",
        ),
        pytest.param(
            {"state": "rejected", "reason": "new-reason", "ended_at": NOW}, "Rejected: new-reason.", id="other"
        ),
    ],
)
def test_the_end_of_the_story_says_where_it_stands(
    newsmill: Newsmill, books: Books, values: dict[str, object], sentence: str
) -> None:
    books.article(books.feed(), URL, **values)
    answer = newsmill("why", URL)
    assert answer.code == 0
    assert sentence in answer.out


def test_a_later_revision_says_what_it_is_there_for(newsmill: Newsmill, books: Books) -> None:
    change = {"previous": 1, "fields": ["text", "summary"], "ratio": 0.04, "class": "correction"}
    books.article(books.feed(), URL, revision=2, state="extracted", extracted_at=NOW, change=change)
    assert "extracted: text, summary changed since revision 1 (correction)" in newsmill("why", URL).out


def test_a_site_that_is_left_alone_is_named(newsmill: Newsmill, books: Books) -> None:
    books.article(books.feed(), URL)
    with books.ledger.transaction() as tx:
        hosts.save_state(tx, "harbour.example", {"blocked_until": NOW + SOON, "failures": 5}, hold_until=None)
        facts = {"available": "disallow-all", "text": "", "status": 503, "fetched_at": NOW, "expires_at": NOW + SOON}
        hosts.save_robots(tx, "https://harbour.example", facts)
    answer = newsmill("why", URL)
    assert "Waits for harbour.example, which we leave alone until" in answer.out
    assert "robots.txt of its site: disallow-all" in answer.out


def test_failures_are_told_in_their_place(newsmill: Newsmill, books: Books) -> None:
    books.set_aside(books.feed(), URL)
    events = newsmill("why", URL, "--json").json["revisions"][0]["events"]
    assert any(event["what"] == "download failed: RetryableError: HTTP 503" for event in events)
    assert [event["at"] for event in events] == sorted(event["at"] for event in events)


def test_what_the_first_poll_left_out_is_known_and_said(newsmill: Newsmill, books: Books) -> None:
    books.sighting(books.feed(), URL, skipped=True)
    answer = newsmill("why", URL)
    assert answer.code == 0
    assert "left out by the feed's first_poll" in answer.out


def test_an_unknown_url_of_a_followed_site_names_its_feeds(newsmill: Newsmill, books: Books) -> None:
    books.feed("harbour")
    answer = newsmill("why", "https://harbour.example/unseen")
    assert answer.code == 1
    assert "Nothing is known of" in answer.out
    assert "Feed harbour of this site: never polled" in answer.out
    assert "newsmill repoll harbour" in answer.out
    assert newsmill("why", "https://harbour.example/unseen", "--json").json["feeds_of_site"] == ["harbour"]


def test_an_unknown_url_of_an_unknown_site_says_how_to_follow_it(newsmill: Newsmill, books: Books) -> None:
    answer = newsmill("why", "https://elsewhere.example/a")
    assert answer.code == 1
    assert "newsmill feeds add URL" in answer.out


@pytest.mark.parametrize("said", ["tram", "javascript:alert(1)", "", "12345"])
def test_what_is_neither_url_nor_id_says_what_would_be(newsmill: Newsmill, books: Books, said: str) -> None:
    answer = newsmill("why", said)
    assert answer.code == 2
    assert "neither an http(s) URL nor an article's id" in answer.err
