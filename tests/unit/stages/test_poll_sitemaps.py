"""A sitemap index as a feed: one request a poll, through the real stages."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from tests.newsserver import Answer, NewsServer
from tests.unit.stages.conftest import Line
from tests.unit.stages.test_poll import feed_of, history
from worker import stages

NEWS = 'xmlns="http://www.sitemaps.org/schemas/sitemap/0.9" xmlns:news="http://www.google.com/schemas/sitemap-news/0.9"'


def index(site: NewsServer, *listed: tuple[str, datetime | None], etag: str | None = None) -> None:
    items = "".join(
        f"<sitemap><loc>{path if path.startswith('http') else site.base + path}</loc>"
        f"{f'<lastmod>{at.isoformat()}</lastmod>' if at else ''}</sitemap>"
        for path, at in listed
    )
    body = f'<?xml version="1.0"?><sitemapindex {NEWS}>{items}</sitemapindex>'
    headers = {"Content-Type": "application/xml", **({"ETag": etag} if etag else {})}
    site.routes["/sitemap.xml"] = Answer(body.encode(), 200, headers)


def sitemap(site: NewsServer, path: str, *titles: str, at: datetime) -> None:
    items = "".join(
        f"<url><loc>{site.base}/{title}.html</loc><news:news><news:publication><news:name>Courier</news:name>"
        f"<news:language>en</news:language></news:publication><news:publication_date>{at.isoformat()}"
        f"</news:publication_date><news:title>{title}</news:title></news:news></url>"
        for title in titles
    )
    body = f'<?xml version="1.0"?><urlset {NEWS}>{items}</urlset>'
    site.routes[path] = Answer(body.encode(), 200, {"Content-Type": "application/xml", "ETag": '"ignored"'})


def follow(line: Line, site: NewsServer, **said: Any) -> None:
    line.follow("courier", site.base + "/sitemap.xml", interval_s=3600, **said)


def titles(line: Line) -> list[str]:
    return sorted(str(row.title) for row in line.rows())


def polls(line: Line, most: int = 20) -> list[str]:
    """Poll as long as the feed is due now."""
    outcomes: list[str] = []
    while len(outcomes) < most and (came := line.poll()):
        outcomes += came.values()
    return outcomes


def test_an_index_is_read_and_then_its_sitemaps_one_poll_each(line: Line, site: NewsServer) -> None:
    now = line.now().replace(microsecond=0)
    index(site, ("/a.xml", now - timedelta(days=1)), ("/b.xml", now), etag='"1"')
    sitemap(site, "/a.xml", "one", at=now)
    sitemap(site, "/b.xml", "two", "three", at=now)
    follow(line, site)
    assert line.poll() == {"courier": "unchanged"}
    assert site.requests == {"/sitemap.xml": 1}
    assert line.poll() == {"courier": "new"}
    assert site.requests == {"/sitemap.xml": 1, "/b.xml": 1}  # what changed last comes first
    assert line.poll() == {"courier": "new"}
    assert line.poll() == {}  # the index again at its own pace
    assert titles(line) == ["one", "three", "two"]
    assert [poll.detail for poll in history(line, "courier")] == [
        f"sitemap {site.base}/a.xml",
        f"sitemap {site.base}/b.xml; 1 sitemaps to read",
        "2 sitemaps to read",
    ]
    assert feed_of(line, "courier").title == "Courier"


def test_only_a_sitemap_that_changed_is_read_again(line: Line, site: NewsServer) -> None:
    now = line.now().replace(microsecond=0)
    index(site, ("/a.xml", now - timedelta(days=1)), ("/b.xml", now - timedelta(days=1)), etag='"1"')
    for path in ("/a.xml", "/b.xml"):
        sitemap(site, path, path[1], at=now)
    follow(line, site)
    polls(line)
    line.later(hours=20)
    assert polls(line) == ["not-modified"]
    index(site, ("/a.xml", now), ("/b.xml", now - timedelta(days=1)), etag='"2"')
    sitemap(site, "/a.xml", "a", "fresh", at=line.now())
    line.later(hours=3)
    assert polls(line) == ["unchanged", "new"]
    assert titles(line) == ["a", "b", "fresh"]
    assert (site.requests["/a.xml"], site.requests["/b.xml"]) == (2, 1)
    assert all("If-None-Match" not in headers for _, path, headers in site.seen if path == "/a.xml")


def test_a_sitemap_without_a_date_is_read_each_time_also_when_the_index_is_not_modified(
    line: Line, site: NewsServer
) -> None:
    index(site, ("/news.xml", None), etag='"1"')
    sitemap(site, "/news.xml", "one", at=line.now())
    follow(line, site)
    polls(line)
    sitemap(site, "/news.xml", "one", "two", at=line.now())
    line.later(hours=20)
    assert polls(line) == ["not-modified", "new"]
    assert titles(line) == ["one", "two"]


def test_a_first_poll_of_an_index_is_its_whole_first_round(line: Line, site: NewsServer) -> None:
    now = line.now().replace(microsecond=0)
    index(site, ("/a.xml", now - timedelta(days=1)), ("/b.xml", now - timedelta(days=2)))
    sitemap(site, "/a.xml", "a1", "a2", at=now - timedelta(days=1))
    sitemap(site, "/b.xml", "b1", "b2", at=now - timedelta(days=2))
    follow(line, site, first_poll=3)
    polls(line)
    assert titles(line)[:2] == ["a1", "a2"]
    assert len(titles(line)) == 3
    index(site, ("/a.xml", now), ("/b.xml", now - timedelta(days=2)))
    sitemap(site, "/a.xml", "a1", "a2", "a3", at=line.now() + timedelta(hours=1))
    line.later(days=1)
    polls(line)
    assert "a3" in titles(line)
    assert len(titles(line)) == 4


def test_an_old_sitemap_that_was_touched_brings_no_old_news(line: Line, site: NewsServer) -> None:
    now = line.now().replace(microsecond=0)
    index(site, ("/new.xml", now))
    sitemap(site, "/new.xml", "known", at=now - timedelta(hours=1))
    follow(line, site, first_poll="none")
    polls(line)
    index(site, ("/new.xml", now), ("/2019.xml", now + timedelta(minutes=1)))
    sitemap(site, "/2019.xml", "ancient", at=now - timedelta(days=2000))
    line.later(days=1)
    polls(line)
    assert titles(line) == []
    assert site.requests["/2019.xml"] == 1


def test_a_sitemap_that_will_not_be_read_is_left_out_and_the_others_go_on(line: Line, site: NewsServer) -> None:
    now = line.now().replace(microsecond=0)
    index(site, ("/gone.xml", now), ("/html.xml", now - timedelta(hours=1)), ("/good.xml", now - timedelta(hours=2)))
    site.routes["/gone.xml"] = Answer(b"", 410)
    site.page("/html.xml", "<!doctype html><html><body>Log in</body></html>")
    sitemap(site, "/good.xml", "good", at=now)
    follow(line, site)
    assert polls(line) == ["unchanged", "unchanged", "unchanged", "new"]
    row = feed_of(line, "courier")
    assert (row.gone_at, row.failures) == (None, 0)
    assert [str(poll.detail).split(":")[0] for poll in history(line, "courier")][1:3] == ["left out", "left out"]


def test_a_sitemap_whose_server_is_in_trouble_is_waited_for_three_times(line: Line, site: NewsServer) -> None:
    now = line.now().replace(microsecond=0)
    index(site, ("/bad.xml", now), ("/good.xml", now - timedelta(hours=2)))
    site.routes["/bad.xml"] = Answer(b"", 500)
    sitemap(site, "/good.xml", "good", at=now)
    follow(line, site)
    outcomes = []
    for _ in range(4):
        outcomes += polls(line)
        line.later(days=2)
    assert outcomes[:5] == ["unchanged", "failed", "failed", "unchanged", "new"]
    assert site.requests["/bad.xml"] == 3


def test_sitemaps_of_another_site_are_not_followed(line: Line, site: NewsServer, other_site: NewsServer) -> None:
    index(site, (other_site.base + "/a.xml", line.now()))
    follow(line, site)
    assert polls(line) == ["unchanged"]
    assert other_site.requests == {}


def test_a_person_s_repoll_asks_the_index_first(line: Line, site: NewsServer) -> None:
    now = line.now().replace(microsecond=0)
    index(site, ("/a.xml", now), ("/b.xml", now))
    for path in ("/a.xml", "/b.xml"):
        sitemap(site, path, path[1], at=now)
    follow(line, site)
    line.poll()
    stages.repoll(line.deps, ["courier"])
    line.poll()
    assert site.requests == {"/sitemap.xml": 2}
    polls(line)
    assert titles(line) == ["a", "b"]
