"""``newsmill feeds try`` and ``newsmill feeds add --discover``, as a person has them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.newsserver import NewsServer, article_page, paragraphs
from tests.unit.cli.conftest import Answer, Books, Newsmill
from worker.feeds.feedlist import read_feedlist

OPEN = {"NEWSMILL_ALLOW_NETWORKS": "127.0.0.0/8", "NEWSMILL_HOST_DELAY_S": "0"}
NOW = datetime.now(UTC).replace(microsecond=0)
FOUND = {
    "document", "entries", "dates", "guids", "links", "full_text", "full_text_share", "endings", "validators",
    "freshness", "hub_url", "topic_url", "rights", "pace", "rhythm", "samples", "notes",
}  # fmt: skip
SAMPLE = {
    "url", "title", "published_at", "published_from", "feed_date", "authors", "language", "words", "picture",
    "first_lines", "method", "not_article", "warnings", "rights", "paywalled", "problem", "feed_words", "page_words",
    "feed_is_whole",
}  # fmt: skip


@pytest.fixture
def site() -> Iterator[NewsServer]:
    with NewsServer() as server:
        yield server


def items(site: NewsServer, count: int = 3) -> list[dict[str, Any]]:
    return [
        {
            "title": f"Report {n}",
            "link": site.page(f"/news/{n}.html", article_page(f"Report {n}", paragraphs(n))),
            "guid": f"{n}",
            "date": NOW - timedelta(days=n),
            "description": "".join(f"<p>{text}</p>" for text in paragraphs(n)),
        }
        for n in range(count)
    ]


def home(site: NewsServer, *paths: str) -> str:
    links = "".join(f'<link rel="alternate" type="application/rss+xml" title="{path}" href="{path}">' for path in paths)
    return site.page("/", f"<!doctype html><html><head>{links}</head><body></body></html>")


def test_a_look_prints_what_it_saw_and_leaves_nothing_behind(newsmill: Newsmill, site: NewsServer) -> None:
    answer = newsmill("feeds", "try", site.feed("/feed.xml", items(site), title="[red]The Times\x1b[31m"), **OPEN)
    assert answer.code == 0, answer.err
    for said in ("rss-2.0", "3 readable", "the feed's text is the article", "Report 0", "allowed", "1 items a day"):
        assert said in answer.out
    assert "\x1b" not in answer.out
    assert "[red]The Times" in answer.out
    entry = answer.out[answer.out.index("[[feed]]") :]
    assert read_feedlist(entry)[0].url == site.base + "/feed.xml"
    assert f"asking {site.base}/feed.xml" in answer.err
    assert not newsmill.home.exists()


def test_json_has_one_shape(newsmill: Newsmill, site: NewsServer) -> None:
    report = newsmill("feeds", "try", site.feed("/feed.xml", items(site)), "--samples", "1", "--json", **OPEN).json
    assert set(report) == {
        "asked", "url", "error", "redirects", "candidates", "found", "problems", "suggested", "toml", "requests",
    }  # fmt: skip
    assert set(report["found"]) == FOUND
    assert [set(sample) for sample in report["found"]["samples"]] == [SAMPLE]
    assert report["found"]["dates"]["newest"] == NOW.isoformat().replace("+00:00", "Z")
    assert report["suggested"] == {
        "slug": "a-feed",
        "url": site.base + "/feed.xml",
        "title": "A feed",
        "language": "en",
    }
    failed = newsmill("feeds", "try", site.base + "/nothing", "--json", **OPEN)
    assert failed.code == 1
    assert set(failed.json) == set(report)
    assert (failed.json["error"]["reason"], failed.json["found"]) == ("http-404", None)


def test_a_home_page_s_feeds_are_listed(newsmill: Newsmill, site: NewsServer) -> None:
    site.feed("/1.xml", items(site))
    answer = newsmill("feeds", "try", home(site, "/1.xml", "/2.xml"), "--samples", "0", **OPEN)
    assert answer.code == 0
    assert f"{site.base}/2.xml" in answer.out


def test_no_feed_exits_1_with_its_cause_and_a_cure(newsmill: Newsmill, site: NewsServer) -> None:
    answer = newsmill("feeds", "try", site.page("/", "<html><body>Hello</body></html>"), **OPEN)
    assert (answer.code, answer.out) == (1, "")
    assert "names no feed" in answer.err
    assert "RSS on the site" in answer.err
    refused = newsmill("feeds", "try", site.base)
    assert (refused.code, "refused-address" in refused.err, "NEWSMILL_ALLOW_NETWORKS" in refused.err) == (1, True, True)


@pytest.mark.parametrize(
    "arguments",
    [
        ("http://me:s3cret@n.example/feed",),
        ("javascript:alert(1)",),
        ("http://n.example/", "--header", "s3cret"),
        ("http://n.example/", "--header", "X Y=s3cret"),
        ("http://n.example/", "--samples", "11"),
    ],
    ids=["a password", "no address", "no header", "no header's name", "too many samples"],
)  # fmt: skip
def test_wrong_usage_exits_2_and_repeats_no_secret(newsmill: Newsmill, arguments: tuple[str, ...]) -> None:
    answer = newsmill("feeds", "try", *arguments)
    assert answer.code == 2
    assert answer.out + answer.err
    assert "s3cret" not in answer.out + answer.err


def followed(newsmill: Newsmill) -> list[tuple[str, str]]:
    return [(row["url"], row["title"]) for row in newsmill("feeds", "list", "--json").json]


def add(newsmill: Newsmill, url: str, *arguments: str) -> Answer:
    return newsmill("feeds", "add", url, "--discover", *arguments, **OPEN)


@pytest.mark.usefixtures("books")
def test_the_one_feed_of_a_home_page_is_followed_when_that_is_asked_for(newsmill: Newsmill, site: NewsServer) -> None:
    site.feed("/1.xml", items(site), title="The Test Times")
    answer = add(newsmill, home(site, "/1.xml", "/comments/feed/"))
    assert answer.code == 0, answer.err
    assert f"names one feed: {site.base}/1.xml" in answer.out
    assert followed(newsmill) == [(site.base + "/1.xml", "The Test Times")]


@pytest.mark.usefixtures("books")
def test_a_feed_s_own_address_is_followed_as_it_is(newsmill: Newsmill, site: NewsServer) -> None:
    answer = add(newsmill, site.feed("/1.xml", items(site)), "--slug", "times", "--json")
    assert (answer.code, answer.json["slug"], answer.json["title"]) == (0, "times", "A feed")


@pytest.mark.usefixtures("books")
def test_nobody_chooses_among_several_feeds_for_a_person(newsmill: Newsmill, site: NewsServer) -> None:
    site.feed("/1.xml", items(site))
    site.feed("/2.xml", items(site))
    answer = add(newsmill, home(site, "/1.xml", "/2.xml"))
    assert answer.code == 1
    assert f"{site.base}/2.xml" in answer.out
    assert "`newsmill feeds add` the one you want" in answer.err
    as_json = add(newsmill, home(site, "/1.xml", "/2.xml"), "--json").json
    assert [one["url"] for one in as_json["candidates"]] == [site.base + "/1.xml", site.base + "/2.xml"]
    assert as_json["added"] is None
    assert followed(newsmill) == []


@pytest.mark.usefixtures("books")
def test_nothing_is_followed_where_there_is_no_feed(newsmill: Newsmill, site: NewsServer) -> None:
    answer = add(newsmill, site.base + "/nothing")
    assert (answer.code, "http-404" in answer.err, followed(newsmill)) == (1, True, [])


@pytest.mark.usefixtures("books")
def test_without_being_asked_to_look_the_registry_asks_nobody(newsmill: Newsmill, site: NewsServer) -> None:
    assert newsmill("feeds", "add", site.base + "/", **OPEN).code == 0
    assert site.requests == {}


def test_a_page_at_a_feed_s_address_comes_with_advice(newsmill: Newsmill, books: Books) -> None:
    books.feed("harbour", failures=1, error="not-a-feed: it is an HTML page")
    assert "`newsmill feeds try https://harbour.example/rss.xml`" in newsmill("feeds", "show", "harbour").out
    books.feed("tram", failures=1, error="connect: refused")
    assert "feeds try" not in newsmill("feeds", "show", "tram").out
