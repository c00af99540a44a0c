"""Sitemaps as a source: news, plain ones, and indexes of them."""

from __future__ import annotations

import gzip
import time
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.errors import QuarantineError
from worker.feeds.parse import CAP_BYTES, MAX_MEMBERS, parse_feed
from worker.model import Enclosure, ParsedFeed, Sitemap

NOW = datetime(2026, 11, 24, tzinfo=UTC)
URL = "https://news.example/sitemaps/news.xml"
NAMESPACES = (
    'xmlns="http://www.sitemaps.org/schemas/sitemap/0.9" xmlns:news="http://www.google.com/schemas/sitemap-news/0.9"'
    ' xmlns:image="http://www.google.com/schemas/sitemap-image/1.1"'
)
MODIFIED = datetime(2026, 11, 23, 8, 30, tzinfo=UTC)


def parse(body: str | bytes, *, content_type: str | None = "application/xml", max_entries: int = 5000) -> ParsedFeed:
    encoded = body.encode() if isinstance(body, str) else body
    return parse_feed(encoded, content_type=content_type, url=URL, max_entries=max_entries, now=NOW)


def urlset(pages: str) -> str:
    return f'<?xml version="1.0" encoding="UTF-8"?>\n<urlset {NAMESPACES}>{pages}</urlset>'


def news(number: int, extra: str = "") -> str:
    return (
        f"<url><loc>https://news.example/{number}</loc><news:news><news:publication><news:name>The Daily</news:name>"
        "<news:language>zh-cn</news:language></news:publication>"
        f"<news:publication_date>2026-11-23T16:00:00+08:00</news:publication_date><news:title>Title {number}</news:title>"
        f"{extra}</news:news></url>"
    )


def plain(number: int, modified: datetime | None = MODIFIED) -> str:
    dated = f"<lastmod>{modified.isoformat()}</lastmod>" if modified else ""
    return f"<url><loc>https://news.example/{number}</loc>{dated}<changefreq>daily</changefreq></url>"


def index(*listed: str) -> str:
    return f"<sitemapindex {NAMESPACES}>{''.join(listed)}</sitemapindex>"


def test_a_news_sitemap_gives_titles_and_dates() -> None:
    page = (
        "<url><loc>/a?x=1&amp;y=2</loc><lastmod>2026-11-23T08:30:00Z</lastmod><news:news><news:publication>"
        "<news:name>每日新闻</news:name><news:language>zh-cn</news:language></news:publication><news:genres>Blog</news:genres>"
        "<news:publication_date>2026-11-23</news:publication_date><news:title>标题 &amp; more</news:title>"
        "<news:keywords>World, China,World</news:keywords></news:news>"
        "<image:image><image:loc>/1.jpg</image:loc><image:caption>A <![CDATA[<b>view</b>]]></image:caption></image:image>"
        "<image:image><image:loc>https://cdn.example/2</image:loc></image:image></url>"
    )
    feed = parse(urlset(page))
    assert (feed.format, feed.title, feed.language, feed.damaged) == ("sitemap-news", "每日新闻", "zh-cn", False)
    (entry,) = feed.entries
    assert (entry.guid, entry.url, entry.title) == (None, "https://news.example/a?x=1&y=2", "标题 & more")
    assert (entry.published_at, entry.updated_at) == (datetime(2026, 11, 23, tzinfo=UTC), MODIFIED)
    assert (entry.date_raw, entry.language, entry.categories) == ("2026-11-23", "zh-cn", ("World", "China"))
    assert entry.images == (
        Enclosure(url="https://news.example/1.jpg", title="A view"),
        Enclosure(url="https://cdn.example/2"),
    )


def test_a_plain_sitemap_gives_addresses_and_when_they_changed() -> None:
    feed = parse(urlset(plain(1) + plain(2, None)))
    assert (feed.format, feed.title) == ("sitemap", None)
    assert [(entry.url, entry.title, entry.published_at, entry.updated_at) for entry in feed.entries] == [
        ("https://news.example/1", None, None, MODIFIED),
        ("https://news.example/2", None, None, None),
    ]
    assert feed.entries[0].date_raw == MODIFIED.isoformat()


def test_pages_of_several_languages_have_each_their_own() -> None:
    feed = parse(urlset(news(1) + news(2).replace("zh-cn", "en")))
    assert feed.language is None
    assert [entry.language for entry in feed.entries] == ["zh-cn", "en"]


@pytest.mark.parametrize(
    ("found", "meant"),
    [
        pytest.param(NAMESPACES, "", id="nothing declared"),
        pytest.param("www.sitemaps.org/schemas/sitemap/0.9", "www.google.com/schemas/sitemap/0.84", id="that of 2005"),
        pytest.param("news:", "n:", id="another prefix, undeclared"),
    ],
)
def test_wrong_namespaces_cost_nothing(found: str, meant: str) -> None:
    (entry,) = parse(urlset(news(1)).replace(found, meant)).entries
    assert (entry.url, entry.title) == ("https://news.example/1", "Title 1")


def test_a_prefixed_sitemap_is_read() -> None:
    body = urlset(plain(1)).replace("xmlns=", "xmlns:s=")
    for name in ("urlset", "url", "loc", "lastmod"):
        body = body.replace(f"<{name}", f"<s:{name}").replace(f"</{name}", f"</s:{name}")
    assert parse(body).entries[0].updated_at == MODIFIED


@pytest.mark.parametrize(
    "page",
    [
        "<url/>",
        "<url><loc/></url>",
        "<url><loc>javascript:alert(1)</loc></url>",
        "<url><lastmod>2026-11-23</lastmod></url>",
    ],
)
def test_a_page_without_a_usable_address_is_left_out(page: str) -> None:
    assert [entry.url for entry in parse(urlset(page + plain(1))).entries] == ["https://news.example/1"]


def test_an_index_lists_sitemaps_and_has_no_entries() -> None:
    feed = parse(
        index(
            "<sitemap><loc>https://news.example/a.xml.gz</loc><lastmod>2026-11-23T08:30:00Z</lastmod></sitemap>",
            "<sitemap><loc>/b.xml</loc></sitemap>",
            "<sitemap><loc>ftp://news.example/c.xml</loc></sitemap>",
        )
    )
    assert (feed.format, feed.entries) == ("sitemap-index", ())
    assert feed.sitemaps == (
        Sitemap(url="https://news.example/a.xml.gz", modified_at=MODIFIED),
        Sitemap(url="https://news.example/b.xml"),
    )


def test_of_too_many_pages_the_newest_are_taken_in_their_order() -> None:
    pages = [plain(number, MODIFIED - timedelta(hours=number)) for number in (5, 1, 4, 2, 3)]
    feed = parse(urlset("".join(pages)), max_entries=2)
    assert [entry.url for entry in feed.entries] == ["https://news.example/1", "https://news.example/2"]
    assert feed.entries_left_out == 3


def test_of_too_many_sitemaps_the_newest_are_taken() -> None:
    listed = [f"<sitemap><loc>/{day}.xml</loc><lastmod>2026-11-{day}</lastmod></sitemap>" for day in (10, 20, 15)]
    feed = parse(index(*listed), max_entries=2)
    assert [one.url[-6:] for one in feed.sitemaps] == ["20.xml", "15.xml"]
    assert feed.entries_left_out == 1


# ---------------------------------------------------------------- packed


@pytest.mark.parametrize("content_type", ["application/gzip", "application/xml", None])
def test_a_gzip_file_is_inflated_whatever_it_is_served_as(content_type: str | None) -> None:
    packed = gzip.compress(urlset(news(1)).encode())
    assert parse(packed, content_type=content_type).entries == parse(urlset(news(1))).entries


def test_a_gzip_file_of_several_members_is_read_whole() -> None:
    body = urlset(plain(1) + plain(2)).encode()
    packed = gzip.compress(body[:100]) + gzip.compress(b"") + gzip.compress(body[100:]) + b"\x00" * 512
    assert parse(packed).entries == parse(body).entries


def test_a_cut_gzip_file_gives_its_complete_pages() -> None:
    body = urlset("".join(plain(number, MODIFIED - timedelta(minutes=number**3)) for number in range(200)))
    feed = parse(gzip.compress(body.encode())[:-300])
    assert 0 < len(feed.entries) < 200
    assert feed.entries == parse(body).entries[: len(feed.entries)]
    assert feed.damaged


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        pytest.param(gzip.compress(bytes(200 * 1024 * 1024)), "feed-too-large", id="a bomb"),
        pytest.param(gzip.compress(b"<urlset>") + gzip.compress(b"") * MAX_MEMBERS, "feed-too-large", id="members"),
        pytest.param(gzip.compress(gzip.compress(b"<urlset/>")), "not-a-feed", id="packed twice"),
        pytest.param(b"\x1f\x8bnothing", "not-a-feed", id="no gzip"),
        pytest.param(b"\x1f\x8b", "not-a-feed", id="two bytes"),
        pytest.param(gzip.compress(b"<html>"), "not-a-feed", id="a page"),
    ],
)
def test_what_comes_out_of_a_gzip_file_is_bounded_and_named(body: bytes, reason: str) -> None:
    began = time.process_time()
    with pytest.raises(QuarantineError) as caught:
        parse(body)
    assert caught.value.reason == reason
    assert time.process_time() - began < 1


# ---------------------------------------------------------------- broken and hostile


@pytest.mark.parametrize("end", ["<lastmod>2026", "</loc>", "</changefreq></ur", "</url>"])
def test_a_cut_sitemap_gives_its_complete_pages(end: str) -> None:
    whole = urlset(plain(1) + plain(2))
    feed = parse(whole[: whole.rindex(end) + len(end)])
    assert len(feed.entries) == (2 if end == "</url>" else 1)
    assert feed.damaged


def test_an_empty_sitemap_is_one() -> None:
    assert (parse(urlset("")).format, parse(urlset("")).entries) == ("sitemap", ())


@pytest.mark.parametrize(
    "piece",
    ["<url>", "<url/>", "<url><loc>/1</loc></url>", "<loc>/1</loc>", "<image:image>", "<![CDATA[", "<!--", "</url>"],
)
@pytest.mark.parametrize("start", ["<urlset>", "<urlset><url>", "<sitemapindex>"])
def test_a_hostile_sitemap_takes_bounded_time(start: str, piece: str) -> None:
    began = time.process_time()
    try:
        feed = parse(start + piece * (1_000_000 // len(piece)))
    except QuarantineError:
        pass
    else:
        assert len(feed.entries) <= 5000
    assert time.process_time() - began < 2


def test_a_full_sitemap_of_old_pages_takes_bounded_time() -> None:
    pages = "".join(plain(number, MODIFIED - timedelta(hours=number)) for number in range(50_000))
    body = urlset(pages).encode()
    assert len(body) < CAP_BYTES
    began = time.process_time()
    feed = parse(body)
    assert (len(feed.entries), feed.entries_left_out) == (5000, 45_000)
    assert time.process_time() - began < 2


@given(st.binary(max_size=300))
def test_no_bytes_make_parsing_a_sitemap_raise_anything_else(body: bytes) -> None:
    for document in (b"<urlset><url><loc>" + body, b"<sitemapindex>" + body, b"\x1f\x8b\x08" + body):
        try:
            parse(document)
        except QuarantineError:
            continue
