"""Which feeds a page names."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.feeds.discover import (
    MAX_CANDIDATES,
    MAX_GUESSES,
    Candidate,
    HeaderLink,
    candidates,
    clear_choice,
    guesses,
    news_sitemaps,
)

HOME = "https://harbour.example/"
RSS = 'rel="alternate" type="application/rss+xml"'


def urls(head: str, *, url: str = HOME) -> list[str]:
    return [one.url for one in candidates(f"<!doctype html><html><head>{head}</head></html>".encode(), url=url)]


@pytest.mark.parametrize(
    ("head", "found"),
    [
        (f'<link {RSS} href="/feed.xml">', ["https://harbour.example/feed.xml"]),
        ('<LINK REL="Alternate" TYPE="Application/Atom+XML; charset=utf-8" HREF=/a>', ["https://harbour.example/a"]),
        ('<link rel="alternate" type="application/feed+json" href="a.json"/>', ["https://harbour.example/a.json"]),
        ('<link rel="alternate" type="application/json" href="a.json">', ["https://harbour.example/a.json"]),
        ("<link rel=' home  alternate\n' type=' application/rss+xml ' href=' /a '>", ["https://harbour.example/a"]),
        ('<link rel="feed" href="/a">', ["https://harbour.example/a"]),
        ('<link rel="feed stylesheet" type="application/rss+xml" href="/a">', ["https://harbour.example/a"]),
        (f'<base href="https://cdn.example/x/"><link {RSS} href="a">', ["https://cdn.example/x/a"]),
        (f'<link {RSS} href="a"><base href="/x/"><base href="/y/">', ["https://harbour.example/x/a"]),
        (f'<link {RSS} href="feed:https://harbour.example/a">', ["https://harbour.example/a"]),
        (f'<link {RSS} href="feed://harbour.example/a">', ["https://harbour.example/a"]),
        (f'<link {RSS} href="/a?x=1&amp;y=2">', ["https://harbour.example/a?x=1&y=2"]),
        (f'<link {RSS} href="/a"><link {RSS} href="/a#top">', ["https://harbour.example/a"]),
        (f"<link {RSS} href=/a title=it's><link {RSS} href=/b>", ["https://harbour.example/a", "https://harbour.example/b"]),
        (f'<link {RSS} href="/a" href="/b">', ["https://harbour.example/a"]),
        (f'<body><p><link {RSS} href="/a">', ["https://harbour.example/a"]),
    ],
    ids=[
        "RSS", "any case, no quotes", "JSON Feed", "JSON by its older type", "blanks", "rel=feed", "feed and stylesheet",
        "base", "the first base, wherever it stands", "feed: before https", "feed: as a scheme", "escaped", "twice",
        "a quote in a value", "an attribute twice", "in the body",
    ],
)  # fmt: skip
def test_declared_feeds_are_found(head: str, found: list[str]) -> None:
    assert urls(head) == found


@pytest.mark.parametrize(
    "head",
    [
        f'<!-- <link {RSS} href="/a"> -->',
        f'<script>var x = \'<link {RSS} href="/a">\'</script>',
        f"<style>/* <link {RSS} href='/a'> */</style>",
        f'<textarea><link {RSS} href="/a"></textarea>',
        f'<template><link {RSS} href="/a"></template>',
        f"<meta content='<link {RSS} href=/a>'>",
        '<link rel="alternate stylesheet" type="text/xml" href="/a">',
        '<link rel="alternate" hreflang="de" href="/de/">',
        '<link rel="alternate" type="application/json+oembed" href="/oembed?url=x">',
        '<link rel="alternate" type="application/json" href="/wp-json/wp/v2/posts/1">',
        '<link rel="alternate" type="text/html" href="/amp">',
        '<link rel="feed" type="text/html" href="/h-feed">',
        '<link rel="alternates" type="application/rss+xml" href="/a">',
        '<link type="application/rss+xml" href="/a">',
        f"<link {RSS}>",
        f'<link {RSS} href="">',
        f'<link {RSS} href="javascript:alert(1)">',
        f'<link {RSS} href="{HOME}">',
        '<a href="/news/feeding-the-gulls.html">Feeding the gulls</a>',
        '<a href="https://reader.example/add?feed=rss2&url=https://harbour.example/feed/">Add</a>',
        '<a href="/feeds/subscriptions.opml">OPML</a>',
    ],
    ids=[
        "in a comment", "in a script", "in a style", "in a text area", "in a template", "in an attribute",
        "a style sheet", "a translation", "oEmbed", "an API", "AMP", "h-feed", "no such relation", "no relation",
        "no address", "an empty address", "a script for an address", "the page itself", "an article", "a reader", "OPML",
    ],
)  # fmt: skip
def test_what_is_no_feed(head: str) -> None:
    assert urls(head) == []


@pytest.mark.parametrize(
    ("href", "text"),
    [
        ("/rss.xml", ""), ("/rss/world.xml", ""), ("/feed", ""), ("/feed/", ""), ("/blog/atom.xml", ""), ("/index.rdf", ""),
        ("/?feed=rss2", ""), ("/index.php?format=feed&type=rss", ""), ("/feeds/posts/default", ""), ("/all.rss", ""),
        ("/api/zm_yqebbyi.xml", "RSS"), ("/rssfeeds", ""), ("https://feeds.feedburner.com/harbour", ""),
        ("https://feeds.harbour.example/top", ""), ("/news.xml", "订阅"),
    ],
)  # fmt: skip
def test_links_that_look_like_feeds_are_found(href: str, text: str) -> None:
    (one,) = candidates(f'<a class=x href="{href}"><b>{text}</b></a>'.encode(), url=HOME)
    assert one.how == "anchor"
    assert one.title == (text or None)


def test_declared_feeds_come_first_and_comments_last() -> None:
    head = (
        f'<a href="/rss.xml">RSS</a><link {RSS} title="Harbour » Comments Feed" href="/comments/feed/">'
        f'<link {RSS} title="Harbour » Feed" href="/feed/"><link {RSS} title="Sport" href="/sport.xml">'
    )
    found = candidates(head.encode(), url=HOME)
    assert [(one.url.removeprefix(HOME), one.is_comments) for one in found] == [
        ("feed/", False),
        ("sport.xml", False),
        ("rss.xml", False),
        ("comments/feed/", True),
    ]


def test_headers_name_feeds_too() -> None:
    links = [
        HeaderLink(frozenset({"alternate"}), "https://harbour.example/a", "application/atom+xml", "News"),
        HeaderLink(frozenset({"alternate"}), "https://harbour.example/de", None, None),
        HeaderLink(frozenset({"preload"}), "https://harbour.example/x.rss", "application/rss+xml", None),
    ]
    (one,) = candidates(b"", url=HOME, links=links)
    assert (one.url, one.how, one.title) == ("https://harbour.example/a", "link", "News")


def test_titles_are_read_in_the_page_s_own_encoding() -> None:
    page = f'<html><head><meta charset="gb2312"><link {RSS} title="港口新闻" href="/a">'.encode("gb18030")
    assert candidates(page, url=HOME)[0].title == "港口新闻"


@pytest.mark.parametrize(
    ("found", "choice"),
    [
        ([("Harbour", "application/rss+xml", False)], 0),
        ([("Harbour » Feed", "application/rss+xml", False), ("Harbour » Comments Feed", "application/rss+xml", True)], 0),
        ([("Harbour RSS 2.0", "application/rss+xml", False), ("Harbour Atom 1.0", "application/atom+xml", False)], 0),
        ([(None, "application/rss+xml", False), (None, "application/atom+xml", False)], 0),
        ([(None, "application/rss+xml", False), (None, "application/rss+xml", False)], None),
        ([("News", "application/rss+xml", False), ("Sport", "application/atom+xml", False)], None),
        ([("Comments", "application/rss+xml", True)], None),
        ([], None),
    ],
    ids=["one", "one and its comments", "one in two formats", "two formats, untitled", "two, untitled", "two", "comments", "none"],
)  # fmt: skip
def test_only_one_feed_is_a_clear_choice(found: list[tuple[str | None, str, bool]], choice: int | None) -> None:
    named = [
        Candidate(url=f"{HOME}{n}", how="link", title=title, media_type=kind, is_comments=is_comments)
        for n, (title, kind, is_comments) in enumerate(found)
    ]
    assert clear_choice(named) == (None if choice is None else named[choice])


def test_the_news_sitemaps_of_robots_txt() -> None:
    text = "User-agent: *\nDisallow: /x\nSITEMAP : /news-sitemap.xml\nSitemap: https://harbour.example/sitemap.xml\n"
    assert [one.url for one in news_sitemaps(text, HOME)] == ["https://harbour.example/news-sitemap.xml"]


def test_guesses_go_by_the_cms_first_and_begin_in_the_page_s_folder() -> None:
    page = b'<meta name="Generator" content="WordPress 6.5">'
    found = [one.url for one in guesses(page, url="https://harbour.example/blog/")]
    assert found[:2] == ["https://harbour.example/blog/feed/", "https://harbour.example/feed/"]
    assert len(found) == len(set(found)) == MAX_GUESSES
    assert guesses(b"", url="https://harbour.example/")[0].url == "https://harbour.example/feed/"


@given(st.binary(max_size=2000))
def test_no_page_raises(html: bytes) -> None:
    candidates(html, url=HOME)
    guesses(html, url=HOME)


@given(
    st.lists(
        st.sampled_from(
            ["<link ", "<a ", RSS, " href=", '"', "'", ">", "<!--", "-->", "<script>", "</", "=", "/", "x", "<base "]
        )
    )
)
def test_no_soup_raises(parts: list[str]) -> None:
    candidates("".join(parts).encode(), url=HOME)


@pytest.mark.parametrize(
    "html",
    [
        b"<!--" * 500_000, b"<a " * 700_000, b"<script>" * 250_000, b"<a href='" * 250_000, b"<" * 2_000_000,
        b"<link " + b"a=b " * 500_000 + b">", b"<div>" * 400_000, b'<a b="' * 300_000, b"<title>" * 300_000,
        f'<link {RSS} href="/a">'.encode() * 40_000, b'<a href="/rss/' + b"a/" * 900_000 + b'">', b"<a href=/x>" * 180_000,
    ],
    ids=["comments", "tags", "scripts", "quotes", "brackets", "attributes", "depth", "values", "titles", "feeds", "a path", "links"],
)  # fmt: skip
def test_a_hostile_page_costs_its_length(html: bytes) -> None:
    started = time.process_time()
    assert len(candidates(html, url=HOME)) <= MAX_CANDIDATES
    assert time.process_time() - started < 2
