"""A look at a feed before it is followed: what is asked, how politely, and what is made of the answers."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from config.settings import Settings
from tests.newsserver import Answer, NewsServer, article_page, paragraphs, rss
from worker import wiring
from worker.feeds.feedlist import read_feedlist
from worker.stages.asking import Doors
from worker.stages.trial import discover, try_feed
from worker.stages.trialreport import Report, Validators, shown_url, validators_verdict

NOW = datetime.now(UTC).replace(microsecond=0)
FEED = {"Content-Type": "application/rss+xml"}


@pytest.fixture
def site() -> Iterator[NewsServer]:
    with NewsServer() as server:
        yield server


@pytest.fixture
def other_site() -> Iterator[NewsServer]:
    with NewsServer() as server:
        yield server


class Looker:
    """The doors of a look, with pauses that are noted instead of kept."""

    def __init__(self, home: Path) -> None:
        self.slept: list[float] = []
        self.told: list[str] = []
        self.home = home

    def doors(self, **settings: str) -> Doors:
        env = {"NEWSMILL_HOME": str(self.home), "NEWSMILL_ALLOW_NETWORKS": "127.0.0.0/8", "NEWSMILL_HOST_DELAY_S": "0"}
        made = Settings.from_env({**env, **settings})
        return Doors(
            settings=made,
            fetcher=wiring.open_fetcher(made),
            gates=wiring.open_gates(made),
            clock=wiring.now_utc,
            pause=self.slept.append,
            tell=self.told.append,
        )

    def look(self, url: str, *, samples: int = 0, headers: dict[str, str] | None = None, **settings: str) -> Report:
        doors = self.doors(**settings)
        try:
            return try_feed(doors, url, headers=headers or {}, samples=samples)
        finally:
            doors.fetcher.close()


@pytest.fixture
def looker(tmp_path: Path) -> Looker:
    return Looker(tmp_path)


def items(site: NewsServer, count: int = 3, *, in_feed: int = 1, of: int = 6) -> list[dict[str, Any]]:
    return [
        {
            "title": f"Report {n}",
            "link": site.page(f"/news/{n}.html", article_page(f"Report {n}", paragraphs(n, of))),
            "guid": f"guid-{n}",
            "date": NOW - timedelta(hours=6 * n),
            "description": "".join(f"<p>{text}</p>" for text in paragraphs(n, in_feed)),
        }
        for n in range(count)
    ]


def serves(site: NewsServer, answer: Callable[[BaseHTTPRequestHandler, int], Answer], path: str = "/feed.xml") -> str:
    """Serve what a function makes of each request and its number."""
    numbers = itertools.count()
    site.routes[path] = lambda handler: answer(handler, next(numbers))
    return site.base + path


# ---------------------------------------------------------------- a feed


def test_a_feed_is_looked_at_from_all_sides_and_nothing_is_written(looker: Looker, site: NewsServer) -> None:
    entries = items(site, in_feed=6)
    body = rss(entries, title="The Test Times").encode()
    headers = {**FEED, "ETag": '"1"', "Cache-Control": "max-age=600", "Link": '<https://hub.example/>; rel="hub"'}

    def honest(handler: BaseHTTPRequestHandler, _: int) -> Answer:
        return Answer(status=304, headers=headers) if handler.headers["If-None-Match"] else Answer(body, 200, headers)

    report = looker.look(serves(site, honest), samples=2)
    assert report.error is None
    found = report.found
    assert found is not None
    assert (found.document.format, found.document.title, found.entries.count) == ("rss-2.0", "The Test Times", 3)
    assert (found.dates.readable, found.dates.order, found.dates.newest) == (3, "newest first", NOW)
    assert (found.guids.present, found.guids.seen_again, found.guids.changed) == (3, 3, 0)
    assert (found.validators.status, found.validators.verdict) == (304, "work")
    assert (found.freshness.max_age_s, found.hub_url) == (600, "https://hub.example/")
    assert found.rights.robots == "allowed"
    assert found.rhythm.median_gap_s == 6 * 3600
    assert 600 <= (found.pace.next_poll_s or 0) <= 6 * 3600
    assert (found.full_text, found.full_text_share) == ("whole", 1.0)
    first = found.samples[0]
    assert (first.title, first.feed_is_whole, first.method, first.problem) == ("Report 0", True, "feed", None)
    assert first.first_lines == "\n".join(paragraphs(0, 3))
    assert first.rights.robots == "allowed"
    assert report.requests == sum(site.requests.values()) == 6
    assert report.problems == ()
    assert list(looker.home.iterdir()) == []


def test_the_entry_is_one_that_the_reviewed_list_takes(looker: Looker, site: NewsServer) -> None:
    report = looker.look(
        site.feed("/feed.xml", items(site, 60, in_feed=6), title='A "quoted" \\ title\t港口'), samples=2
    )
    assert report.toml is not None
    (entry,) = read_feedlist(report.toml)
    assert (entry.slug, entry.title, entry.language) == ("a-quoted-title", 'A "quoted" \\ title 港口', "en")
    assert (entry.url, entry.fulltext, entry.first_poll) == (site.base + "/feed.xml", "always", 50)


@pytest.mark.parametrize(
    ("in_feed", "of", "verdict", "fulltext"),
    [(6, 6, "whole", "always"), (1, 6, "excerpts", "never"), (4, 6, "excerpts", "auto")],
    ids=["whole", "excerpts", "long excerpts"],
)  # fmt: skip
def test_full_text_is_judged_by_the_pages(
    looker: Looker, site: NewsServer, *, in_feed: int, of: int, verdict: str, fulltext: str
) -> None:
    report = looker.look(site.feed("/feed.xml", items(site, in_feed=in_feed, of=of)), samples=2)
    assert report.found is not None
    assert report.found.full_text == verdict
    (entry,) = read_feedlist(report.toml or "")
    assert entry.fulltext == fulltext


def test_guids_made_up_at_every_request_are_seen(looker: Looker, site: NewsServer) -> None:
    entries = items(site)

    def changing(_: BaseHTTPRequestHandler, number: int) -> Answer:
        return Answer(rss([{**one, "guid": f"{one['guid']}?s={number}"} for one in entries]).encode(), 200, FEED)

    report = looker.look(serves(site, changing))
    assert report.found is not None
    assert (report.found.guids.seen_again, report.found.guids.changed) == (3, 3)
    assert any("3 of 3 guids were different" in problem for problem in report.problems)


def test_a_server_that_lies_with_304_is_caught(looker: Looker, site: NewsServer) -> None:
    entries = items(site)

    def lying(handler: BaseHTTPRequestHandler, number: int) -> Answer:
        if handler.headers["If-None-Match"]:
            return Answer(status=304)
        return Answer(rss(entries[1:] if number == 0 else entries).encode(), 200, {**FEED, "ETag": '"1"'})

    report = looker.look(serves(site, lying))
    assert report.found is not None
    assert (report.found.validators.verdict, report.found.validators.new_items) == ("lie", 1)
    assert any("may answer wrongly" in problem for problem in report.problems)


@pytest.mark.parametrize(
    ("validators", "status", "same_body", "new_items", "verdict"),
    [
        (False, None, True, 0, "none"),
        (True, 304, True, 0, "work"),
        (True, 304, False, 2, "lie"),
        (True, 200, True, 0, "ignored"),
        (True, 200, False, 0, "moving"),
        (True, 200, False, 3, "unclear"),
        (True, None, None, None, "unclear"),
    ],
)  # fmt: skip
def test_what_a_conditional_request_shows(
    *, validators: bool, status: int | None, same_body: bool | None, new_items: int | None, verdict: Validators
) -> None:
    found = validators_verdict(has_validators=validators, status=status, same_body=same_body, new_items=new_items)
    assert found == verdict


def test_an_encoding_that_is_not_the_declared_one_is_said(looker: Looker, site: NewsServer) -> None:
    text = rss([{"title": "港口在经过十一个月的修缮之后重新开放", "link": f"{site.base}/a"}]).encode("gb18030")
    site.routes["/feed.xml"] = Answer(text, 200, FEED)
    report = looker.look(site.base + "/feed.xml")
    assert report.found is not None
    assert report.found.document.encoding.startswith("gb")
    assert any("declared as" in problem.lower() for problem in report.problems)


def test_a_feed_that_moved_for_good_is_suggested_where_it_is(
    looker: Looker, site: NewsServer, other_site: NewsServer
) -> None:
    target = other_site.feed("/new.xml", items(site))
    site.routes["/old.xml"] = Answer(status=301, headers={"Location": target})
    report = looker.look(site.base + "/old.xml")
    assert [one.status for one in report.redirects] == [301]
    assert read_feedlist(report.toml or "")[0].url == target
    site.routes["/old.xml"] = Answer(status=302, headers={"Location": target})
    assert read_feedlist(looker.look(site.base + "/old.xml").toml or "")[0].url == site.base + "/old.xml"


def test_an_index_of_sitemaps_is_looked_at_by_its_latest(looker: Looker, site: NewsServer) -> None:
    site.page("/index.xml", f"<sitemapindex><sitemap><loc>{site.base}/1.xml</loc><lastmod>2026-01-01</lastmod></sitemap>"
              f"<sitemap><loc>{site.base}/2.xml</loc><lastmod>2026-02-01</lastmod></sitemap></sitemapindex>", content_type="text/xml")  # fmt: skip
    site.page("/2.xml", f"<urlset><url><loc>{site.base}/a.html</loc></url></urlset>", content_type="text/xml")
    report = looker.look(site.base + "/index.xml")
    assert report.found is not None
    assert (report.found.entries.sitemaps, report.found.entries.count) == (2, 1)
    assert site.requests["/1.xml"] == 0


# ---------------------------------------------------------------- politeness


def test_requests_to_a_site_keep_its_pace_and_others_do_not_wait(
    looker: Looker, site: NewsServer, other_site: NewsServer
) -> None:
    looker.look(site.feed("/feed.xml", items(other_site)), samples=1, NEWSMILL_HOST_DELAY_S="5")
    assert len(looker.slept) == 3  # the feed again, its robots.txt; the other site's page after its robots.txt
    assert all(4 < slept <= 5 for slept in looker.slept)
    assert looker.told[0] == f"asking {site.base}/feed.xml"


def test_a_site_that_wants_minutes_between_requests_is_looked_at_less_closely(looker: Looker, site: NewsServer) -> None:
    site.page("/robots.txt", "User-agent: *\nCrawl-delay: 120\n", content_type="text/plain")
    report = looker.look(site.feed("/feed.xml", items(site)), samples=2)
    assert report.found is not None
    assert report.found.pace.crawl_delay_s == 120
    assert site.requests == {"/feed.xml": 1, "/robots.txt": 1}
    assert any("not waited for" in note for note in report.found.notes)
    assert any("asks for 120 s" in problem for problem in report.problems)


def test_a_site_that_asks_to_be_left_alone_is(looker: Looker, site: NewsServer) -> None:
    body = rss(items(site)).encode()
    url = serves(site, lambda _, number: Answer(body, 200, FEED) if number == 0 else Answer(status=429))
    report = looker.look(url, samples=2)
    assert report.found is not None
    assert site.requests == {"/feed.xml": 2, "/robots.txt": 1}
    assert [one.problem for one in report.found.samples] == ["unreachable"] * 2
    assert any("asked to be left alone (HTTP 429)" in note for note in report.found.notes)


def test_robots_txt_is_obeyed_for_pages_and_told_for_the_feed(looker: Looker, site: NewsServer) -> None:
    site.page("/robots.txt", "User-agent: newsmill\nDisallow: /\n", content_type="text/plain")
    report = looker.look(site.feed("/feed.xml", items(site)), samples=2)
    assert report.found is not None
    assert report.found.rights.robots == "disallowed"
    assert [(one.rights.robots, one.problem) for one in report.found.samples] == [("disallowed", "robots")] * 2
    assert not [path for path in site.requests if path.startswith("/news/")]


def test_reserved_rights_are_told(looker: Looker, site: NewsServer) -> None:
    headers = {**FEED, "X-Robots-Tag": "noarchive, googlebot: noindex", "TDM-Reservation": "1"}
    site.routes["/feed.xml"] = Answer(rss(items(site)).encode(), 200, headers)
    report = looker.look(site.base + "/feed.xml")
    assert report.found is not None
    assert (report.found.rights.x_robots_tag, report.found.rights.tdm_reservation) == ("noarchive", "1")
    assert [problem for problem in report.problems if "TDM" in problem or "noarchive" in problem]


def test_addresses_that_are_not_public_are_refused(looker: Looker, site: NewsServer) -> None:
    report = looker.look(site.feed("/feed.xml", items(site)), NEWSMILL_ALLOW_NETWORKS="")
    assert (report.error and report.error.reason, site.requests) == ("refused-address", {})


# ---------------------------------------------------------------- secrets


def test_no_secret_is_in_the_report(looker: Looker, site: NewsServer) -> None:
    site.feed("/feed.xml", items(site))
    seen: list[str | None] = []

    def guarded(handler: BaseHTTPRequestHandler, _: int) -> Answer:
        seen.append(handler.headers["Authorization"])
        return Answer(rss(items(site)).encode(), 200, FEED)

    serves(site, guarded, "/private.xml?token=s3cret-t0ken&page=2")
    headers = {"Authorization": "Bearer ${FEED_TOKEN}", "X-Key": "s3cret-key"}
    report = looker.look(
        f"{site.base}/private.xml?token=s3cret-t0ken&page=2", headers=headers, samples=1, FEED_TOKEN="s3cret-env"
    )
    assert report.error is None
    assert set(seen) == {"Bearer s3cret-env"}
    said = f"{report!r} {looker.told}"
    assert "s3cret" not in said
    assert 'X-Key = "${A_FEED_X_KEY}"' in (report.toml or "")
    assert 'Authorization = "Bearer ${FEED_TOKEN}"' in (report.toml or "")
    assert "page=2" in (report.url or "")
    assert any("secret in its query" in problem for problem in report.problems)


def test_a_header_goes_to_no_other_site(looker: Looker, site: NewsServer, other_site: NewsServer) -> None:
    target = other_site.feed("/feed.xml", items(site))
    site.routes["/go"] = Answer(status=302, headers={"Location": target})
    looker.look(site.base + "/go", headers={"X-Key": "s3cret"})
    assert all("X-Key" in headers for _, path, headers in site.seen if path == "/go")
    assert not [headers for _, _, headers in other_site.seen if "X-Key" in headers]


def test_a_missing_variable_is_named(looker: Looker, site: NewsServer) -> None:
    report = looker.look(site.feed("/feed.xml", items(site)), headers={"X-Key": "${NO_SUCH}"})
    assert report.error is not None
    assert (report.error.reason, "NO_SUCH" in report.error.message) == ("missing-variable", True)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://me:pw@n.example/a?id=3#x", "https://n.example/a?id=3#x"),
        ("https://n.example/a?api_key=abc&x=1&X-Amz-Signature=f", "https://n.example/a?api_key=…&x=1&X-Amz-Signature=…"),
        ("https://n.example/a?keyword=tram&author=jo", "https://n.example/a?keyword=tram&author=jo"),
        ("https://[bad/", "…"),
    ],
)  # fmt: skip
def test_urls_are_shown_without_secrets(url: str, shown: str) -> None:
    assert shown_url(url) == shown


# ---------------------------------------------------------------- no feed


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (Answer(status=404), "http-404"),
        (Answer(status=410), "http-410"),
        (Answer(status=500), "http-500"),
        (Answer(b"", 200, FEED), "not-a-feed"),
        (Answer(b"<opml><body/></opml>", 200, FEED), "not-a-feed"),
        (Answer(b"%PDF-1.4", 200, FEED), "not-a-feed"),
    ],
    ids=["missing", "gone", "broken", "empty", "OPML", "PDF"],
)
def test_what_is_no_feed_is_named(looker: Looker, site: NewsServer, answer: Answer, reason: str) -> None:
    site.routes["/feed.xml"] = answer
    report = looker.look(site.base + "/feed.xml")
    assert report.error is not None
    assert (report.error.reason, report.found, report.toml) == (reason, None, None)
    assert site.requests["/feed.xml"] == 1


def test_a_host_that_is_not_there_is_named(looker: Looker) -> None:
    report = looker.look("http://127.0.0.1:9/feed.xml")
    assert report.error is not None
    assert report.error.reason == "connect"


# ---------------------------------------------------------------- home pages


def home(site: NewsServer, head: str, body: str = "") -> str:
    return site.page("/", f"<!doctype html><html><head>{head}</head><body>{body}</body></html>")


RSS = 'rel="alternate" type="application/rss+xml"'


def test_of_a_home_page_s_feeds_the_likeliest_is_looked_at(looker: Looker, site: NewsServer) -> None:
    site.feed("/feed.xml", items(site))
    report = looker.look(
        home(site, f'<link {RSS} href="/comments/feed/" title="Comments"><link {RSS} href="/feed.xml">')
    )
    assert report.url == site.base + "/feed.xml"
    assert [(one.url, one.outcome) for one in report.candidates] == [
        (site.base + "/feed.xml", "feed"),
        (site.base + "/comments/feed/", None),
    ]
    assert site.requests["/comments/feed/"] == 0


def test_a_link_header_names_a_feed(looker: Looker, site: NewsServer) -> None:
    site.feed("/feed.xml", items(site))
    link = '</feed.xml>; rel="alternate"; type="application/rss+xml"'
    site.routes["/"] = Answer(b"<html><body>Hello</body></html>", 200, {"Content-Type": "text/html", "Link": link})
    assert looker.look(site.base + "/").url == site.base + "/feed.xml"


def test_a_page_of_feeds_that_the_home_page_links_to_is_read(looker: Looker, site: NewsServer) -> None:
    site.feed("/api/zm_yq.xml", items(site))
    site.page("/rssfeeds", '<html><body><a href="/api/zm_yq.xml">RSS: News</a></body></html>')
    report = looker.look(home(site, "", '<a href="/rssfeeds">RSS</a>'))
    assert report.url == site.base + "/api/zm_yq.xml"


def test_a_news_sitemap_that_robots_txt_names_is_a_feed(looker: Looker, site: NewsServer) -> None:
    site.page(
        "/robots.txt", f"Sitemap: {site.base}/all.xml\nSitemap: {site.base}/news.xml\n", content_type="text/plain"
    )
    site.page("/news.xml", '<urlset xmlns:n="http://www.google.com/schemas/sitemap-news/0.9"><url>'
              f"<loc>{site.base}/a.html</loc><n:news><n:title>A</n:title></n:news></url></urlset>", content_type="text/xml")  # fmt: skip
    report = looker.look(home(site, ""))
    assert report.found is not None
    assert (report.url, report.found.document.format) == (site.base + "/news.xml", "sitemap-news")
    assert site.requests["/all.xml"] == 0


def test_a_page_that_names_no_feed_is_asked_for_the_usual_ones(looker: Looker, site: NewsServer) -> None:
    site.feed("/rss.xml", items(site))
    report = looker.look(home(site, ""))
    assert [(one.url, one.how, one.outcome) for one in report.candidates] == [(site.base + "/rss.xml", "guess", "feed")]
    del site.routes["/rss.xml"]
    nothing = looker.look(home(site, ""))
    assert (nothing.error and nothing.error.reason, nothing.candidates) == ("no-feed", ())
    assert nothing.requests <= 10


@pytest.mark.parametrize(
    ("head", "choice"),
    [
        (f'<link {RSS} href="/1.xml">', "/1.xml"),
        (f'<link {RSS} href="/1.xml"><link {RSS} href="/2.xml" title="Comments">', "/1.xml"),
        (f'<link {RSS} href="/1.xml"><link {RSS} href="/2.xml">', None),
        (f'<link {RSS} href="/broken.xml"><link {RSS} href="/2.xml">', "/2.xml"),
    ],
    ids=["one", "one and its comments", "two", "one that works"],
)
def test_only_a_page_s_one_feed_is_chosen_for_a_person(
    looker: Looker, site: NewsServer, head: str, choice: str | None
) -> None:
    site.feed("/1.xml", items(site))
    site.feed("/2.xml", items(site))
    doors = looker.doors()
    came = discover(doors, home(site, head), headers={})
    doors.fetcher.close()
    assert came.found is not None
    assert (came.choice and came.choice.url) == (choice and site.base + choice)


def test_a_feed_itself_needs_no_choice(looker: Looker, site: NewsServer) -> None:
    doors = looker.doors()
    came = discover(doors, site.feed("/1.xml", items(site)), headers={})
    doors.fetcher.close()
    assert (came.found is not None, came.candidates) == (True, ())
