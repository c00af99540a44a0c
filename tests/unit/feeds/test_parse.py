"""Feed documents of every kind, whole and broken."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from email.utils import format_datetime
from html import escape
from pathlib import Path

import feedparser
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.seeddata import Recorded, read
from worker.errors import QuarantineError
from worker.feeds.parse import CAP_BYTES, parse_feed
from worker.model import Entry, ParsedFeed

NOW = datetime(2026, 11, 24, tzinfo=UTC)
URL = "https://news.example/feeds/all.xml"
NAMESPACES = (
    'xmlns:content="http://purl.org/rss/1.0/modules/content/" xmlns:dc="http://purl.org/dc/elements/1.1/"'
    ' xmlns:media="http://search.yahoo.com/mrss/" xmlns:atom="http://www.w3.org/2005/Atom"'
    ' xmlns:sy="http://purl.org/rss/1.0/modules/syndication/" xmlns:itunes="http://www.itunes.com/dtds/podcast-1.0.dtd"'
    ' xmlns:feedburner="http://rssnamespace.org/feedburner/ext/1.0"'
)


def parse(body: str | bytes, *, content_type: str | None = None, max_entries: int = 5000) -> ParsedFeed:
    encoded = body.encode() if isinstance(body, str) else body
    return parse_feed(encoded, content_type=content_type, url=URL, max_entries=max_entries, now=NOW)


def rss(items: str, head: str = "") -> str:
    return (
        f'<?xml version="1.0" encoding="UTF-8"?>\n<rss version="2.0" {NAMESPACES}><channel><title>Daily</title>'
        f"<link>https://news.example/</link>{head}{items}</channel></rss>"
    )


def item(number: int, extra: str = "") -> str:
    return (
        f"<item><title>Title {number}</title><link>https://news.example/{number}</link><guid>g{number}</guid>"
        f"<description>Text {number}</description>{extra}</item>"
    )


def only(items: str) -> Entry:
    (entry,) = parse(rss(items)).entries
    return entry


TEN = rss("".join(item(number) for number in range(10)))


# ---------------------------------------------------------------- kinds

RDF = """<?xml version="1.0"?>
<r:RDF xmlns:r="http://www.w3.org/1999/02/22-rdf-syntax-ns#" xmlns:x="http://purl.org/rss/1.0/"
 xmlns:d="http://purl.org/dc/elements/1.1/">
<x:channel r:about="https://news.example/"><x:title>Daily</x:title><x:link>https://news.example/</x:link></x:channel>
<x:item r:about="https://news.example/1"><x:title>Title 1</x:title><x:link>https://news.example/1</x:link>
<x:description>Text 1</x:description><d:date>2020-07-16T10:00:00+08:00</d:date></x:item></r:RDF>"""
RSS_090 = """<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#" xmlns="http://my.netscape.com/rdf/simple/0.9/">
<channel><title>Daily</title><link>https://news.example/</link></channel>
<item><title>Title 1</title><link>https://news.example/1</link><description>Text 1</description></item></rdf:RDF>"""
RSS_091 = (
    '<!DOCTYPE rss PUBLIC "-//Netscape//DTD RSS 0.91//EN" "http://my.netscape.com/publish/formats/rss-0.91.dtd">'
    '<rss version="0.91"><channel><title>Daily</title><link>https://news.example/</link>' + item(1) + "</channel></rss>"
)
ATOM = """<feed xmlns="http://www.w3.org/2005/Atom" xml:lang="en"><title>Daily</title>
<link rel="self" href="https://news.example/feed"/><link href="/"/><link rel="hub" href="https://hub.example/"/>
<entry><id>urn:1</id><title>Title 1</title><link rel="self" href="/self"/><link rel="replies" href="/replies"/>
<link rel="alternate" href="/1"/><link rel="enclosure" href="/1.mp3" type="audio/mpeg" length="12"/>
<published>2020-07-16T02:00:00Z</published><updated>2020-07-17T02:00:00Z</updated>
<author><name>A. Writer</name><email>a@news.example</email></author><category term="world" label="World"/>
<summary>Text 1</summary></entry></feed>"""
ATOM_03 = """<feed version="0.3" xmlns="http://purl.org/atom/ns#"><title>Daily</title>
<link rel="alternate" type="text/html" href="https://news.example/"/><entry><id>urn:1</id><title>Title 1</title>
<link rel="alternate" type="text/html" href="https://news.example/1"/><issued>2020-07-16T02:00:00Z</issued>
<content type="text/html" mode="escaped">Text 1</content></entry></feed>"""
JSON_FEED = json.dumps(
    {
        "version": "https://jsonfeed.org/version/1.1",
        "title": "Daily",
        "home_page_url": "https://news.example/",
        "items": [
            {"id": 1, "url": "/1", "title": "Title 1", "content_text": "Text 1", "authors": [{"name": "A. Writer"}]}
        ],
    }
)


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        pytest.param(rss(item(1)), "rss-2.0", id="RSS 2.0"),
        pytest.param(RDF, "rss-1.0", id="RSS 1.0 with made-up prefixes"),
        pytest.param(RSS_090, "rss-0.9x", id="RSS 0.90"),
        pytest.param(RSS_091, "rss-0.9x", id="RSS 0.91 with a document type"),
        pytest.param(ATOM, "atom-1.0", id="Atom 1.0"),
        pytest.param(ATOM.replace(' xmlns="http://www.w3.org/2005/Atom"', ""), "atom-1.0", id="Atom without namespace"),
        pytest.param(ATOM_03, "atom-0.3", id="Atom 0.3"),
        pytest.param(JSON_FEED, "json-1.1", id="JSON Feed"),
    ],
)
def test_every_kind_of_feed_is_read(body: str, kind: str) -> None:
    feed = parse(body)
    assert (feed.format, feed.title, feed.home_url) == (kind, "Daily", "https://news.example/")
    (entry,) = feed.entries
    assert (entry.title, entry.url) == ("Title 1", "https://news.example/1")
    assert "Text 1" in (entry.html or "")
    assert not feed.damaged


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ("", "empty"),
        (" \n\t", "empty"),
        ("<!doctype html><html><head><title>Log in</title>", "an HTML page"),
        ('<?xml version="1.0"?><!DOCTYPE html><html xmlns="http://www.w3.org/1999/xhtml"/>', "an HTML page"),
        ('<opml version="2.0"><body/></opml>', "an OPML list"),
        ('{"error": "no such feed"}', "not a JSON Feed"),
        ('{"items": [', "JSON and is none"),
        ("[" * 5, "begins with '[["),
        ('{"a":' * 100_000, "JSON and is none"),
        ("<svg/>", "begins with '<svg/>'"),
        ("Not found\x1b[2J", "begins with 'Not found"),
        (bytes(range(256)), "begins with"),
    ],
)  # fmt: skip
def test_what_is_no_feed_is_named(body: str | bytes, named: str) -> None:
    with pytest.raises(QuarantineError, match="not-a-feed") as caught:
        parse(body)
    assert named in str(caught.value)
    assert "\x1b" not in str(caught.value)


# ---------------------------------------------------------------- what an item says


@pytest.mark.parametrize(
    ("markup", "url"),
    [
        ("<link>/a?b=1&amp;c=2</link>", "https://news.example/a?b=1&c=2"),
        ("<link>/a?b=1&c=2</link>", "https://news.example/a?b=1&c=2"),
        ("<link>/a?b=1&amp;amp;c=2</link>", "https://news.example/a?b=1&c=2"),
        ("<link>\n  https://news.example/a \n</link>", "https://news.example/a"),
        ("<link><![CDATA[https://news.example/a]]></link>", "https://news.example/a"),
        ("<link>//cdn.example/a#x</link>", "https://cdn.example/a"),
        ("<link>新闻/a b</link>", "https://news.example/feeds/%E6%96%B0%E9%97%BB/a%20b"),
        ('<link href="/a"/>', "https://news.example/a"),
        ('<atom:link rel="self" href="/feed"/><link>/a</link>', "https://news.example/a"),
        ('<atom:link href="/a"/>', "https://news.example/a"),
        ("<link>https://counter.example/~r/1</link><feedburner:origLink>/a</feedburner:origLink>", "https://news.example/a"),
        ("<guid>https://news.example/a</guid>", "https://news.example/a"),
        ('<guid isPermaLink="true">https://news.example/a</guid>', "https://news.example/a"),
        ('<guid isPermaLink="false">https://news.example/a</guid>', None),
        ("<guid>a</guid>", None),
        ("<link>javascript:alert(1)</link>", None),
        ("<link>data:text/html,x</link>", None),
        ("<link>mailto:a@news.example</link>", None),
        ("<link>feed:https://news.example/</link>", None),
        ("<link/>", None),
    ],
)  # fmt: skip
def test_an_item_s_link_is_usable_or_absent(markup: str, url: str | None) -> None:
    assert only(f"<item><title>T</title>{markup}</item>").url == url


def test_atom_links_start_from_xml_base() -> None:
    feed = parse('<feed xml:base="https://b.example/x/"><entry xml:base="y/"><link href="z"/></entry></feed>')
    assert feed.entries[0].url == "https://b.example/x/y/z"
    feed = parse('<feed xml:base="http://[bad"><entry><link href="z"/></entry></feed>')
    assert feed.entries[0].url == "https://news.example/feeds/z"


@pytest.mark.parametrize(
    ("markup", "title"),
    [
        ("A &amp; B", "A & B"),
        ("A & B &nbsp; C &hellip; D &copy E", "A & B C … D © E"),
        ("A &amp;amp; B &lt;b&gt;bold&lt;/b&gt;", "A & B bold"),
        ("<![CDATA[A & <i>B</i> &amp; C]]>", "A & B & C"),
        ("A <b>real</b> tag", "A real tag"),
        ("a < b &LT; c &AMP; d", "a < b < c & d"),
        ("&#8220;A&#8221; &#x4e2d; &#146; &#0; &#xD800;", "“A” 中 ’ � �"),
        ("one\n two\u202e\u200b\x07", "one two"),
        ("&undefined;", "&undefined;"),
        ("List&lt;String&gt;", "List<String>"),
        ("", None),
        ("a" * 5_000_000, "a" * 999 + "…"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_a_title_is_one_line_of_plain_text(markup: str, title: str | None) -> None:
    assert only(f"<item><title>{markup}</title><link>/1</link></item>").title == title


@pytest.mark.parametrize(
    ("markup", "raw"),
    [
        ("<title>plain</title>", None),
        ("<title>\n plain\n</title>", None),
        ("<title>two\xa0 blanks</title>", "two\xa0 blanks"),
        ("<title>unseen\u200b</title>", "unseen\u200b"),
        ("<title><![CDATA[a &amp; b]]></title>", "a &amp; b"),
        ("<title>a &lt;b&gt;bold&lt;/b&gt; one</title>", "a <b>bold</b> one"),
        (f"<title>{'long ' * 300} </title>", None),
        ("<dc:title>two  blanks</dc:title>", None),
    ],
    ids=["plain", "around", "blanks", "invisible", "escaped twice", "markup", "too long", "not RSS's own"],
)
def test_a_title_is_kept_as_it_was_written_where_that_differs(markup: str, raw: str | None) -> None:
    assert only(f"<item>{markup}<link>/a</link></item>").title_raw == raw


@pytest.mark.parametrize(
    ("kind", "raw"),
    [("", "two\xa0 blanks"), (' type="text"', "two\xa0 blanks"), (' type="html"', None)],
    ids=["untold", "text", "HTML"],
)
def test_atom_s_plain_titles_are_kept_as_they_were_written(kind: str, raw: str | None) -> None:
    entry = f'<entry><title{kind}>two\xa0 blanks</title><link href="/a"/></entry>'
    (read,) = parse(f'<feed xmlns="http://www.w3.org/2005/Atom">{entry}</feed>').entries
    assert (read.title, read.title_raw) == ("two blanks", raw)


@pytest.mark.parametrize(
    ("title", "raw"),
    [
        ("plain", None),
        (" two\xa0 blanks ", "two\xa0 blanks"),
        ("half \ud800", "half ?"),
        ("long  " * 300, None),
        (7, None),
    ],
    ids=["plain", "blanks", "half a pair", "too long", "no text"],
)
def test_json_feed_s_titles_are_kept_as_they_were_written(title: object, raw: str | None) -> None:
    feed = {"version": "https://jsonfeed.org/version/1.1", "items": [{"url": "/a", "title": title}]}
    assert parse(json.dumps(feed)).entries[0].title_raw == raw


@pytest.mark.parametrize(
    "body",
    ["<![CDATA[<p title='a\rb'>c\r\nd</p>]]>", "&lt;p title='a\rb'&gt;c\r\nd&lt;/p&gt;", "&lt;p title='a&#13;b'&gt;c\nd&lt;/p&gt;"],
    ids=["CDATA", "escaped", "reference"],
)  # fmt: skip
def test_a_carriage_return_alone_is_the_item_s_own(body: str) -> None:
    assert only(f"<item\r><link>/a</link><description>{body}</description></item>").html == "<p title='a\rb'>c\nd</p>"


def test_a_document_with_the_line_ends_of_old_macs_is_read() -> None:
    again = parse(TEN.replace("><", ">\r<"))
    assert [entry.title for entry in again.entries] == [f"Title {number}" for number in range(10)]
    assert not again.damaged


@pytest.mark.parametrize(
    ("markup", "html"),
    [
        ("<description>&lt;p&gt;A &amp;amp; B&lt;/p&gt;</description>", "<p>A &amp; B</p>"),
        ("<description><![CDATA[<p>A &amp; B</p>]]></description>", "<p>A &amp; B</p>"),
        ("<description><p>A &amp; <b>B</b></p></description>", "<p>A &amp; <b>B</b></p>"),
        ("<description>short</description><content:encoded>the long one</content:encoded>", "the long one"),
        ("<description>the long one</description><content:encoded>short</content:encoded>", "the long one"),
        ("<description>A &hellip; B</description>", "A … B"),
        ("<description>&lt;!DOCTYPE x [&lt;!ENTITY e 'x'&gt;]&gt;&amp;e;</description>", "<!DOCTYPE x [<!ENTITY e 'x'>]>&e;"),
    ],
)  # fmt: skip
def test_an_item_s_body_is_its_html(markup: str, html: str) -> None:
    assert only(f"<item>{markup}<link>/1</link></item>").html == html


@pytest.mark.parametrize(
    ("content", "html"),
    [
        ('<content type="html">&lt;p&gt;x&lt;/p&gt;</content>', "<p>x</p>"),
        (
            '<content type="xhtml"><div xmlns="http://www.w3.org/1999/xhtml"><p>Hi <b>x</b></p></div></content>',
            "<p>Hi <b>x</b></p>",
        ),
        (
            '<content type="xhtml" xmlns:h="http://www.w3.org/1999/xhtml"><h:div><h:p>Hi</h:p></h:div></content>',
            "<p>Hi</p>",
        ),
        ('<content type="text">a &lt; b</content>', "a &lt; b"),
        ('<content src="https://elsewhere.example/"/>', None),
    ],
)
def test_atom_content_is_html_whatever_its_type(content: str, html: str | None) -> None:
    feed = parse(f'<feed xmlns="http://www.w3.org/2005/Atom"><entry><id>1</id>{content}</entry></feed>')
    assert feed.entries[0].html == html


@pytest.mark.parametrize(
    ("body", "topic"),
    [
        pytest.param(
            rss(item(1), '<atom:link rel="self" href="/self.xml"/>'), "https://news.example/self.xml", id="RSS"
        ),
        pytest.param(ATOM, "https://news.example/feed", id="Atom"),
        pytest.param(
            '{"feed_url": "https://news.example/f.json", "items": []}', "https://news.example/f.json", id="JSON"
        ),
        pytest.param(rss(item(1)), None, id="none"),
    ],
)
def test_a_feed_says_what_its_own_address_is(body: str, topic: str | None) -> None:
    assert parse(body).topic_url == topic


def test_an_item_s_html_starts_from_the_xml_base_that_the_feed_gives() -> None:
    entry = '<entry><summary>s</summary><content type="html" xml:base="c/">x</content></entry>'
    feed = f'<feed xmlns="http://www.w3.org/2005/Atom" xml:base="https://b.example/">{entry}<entry><summary>s</summary></entry></feed>'
    assert [one.base_url for one in parse(feed).entries] == ["https://b.example/c/", "https://b.example/"]
    assert only("<item><link>/1</link><description>x</description></item>").base_url is None


@pytest.mark.parametrize(
    ("inside", "field", "wanted"),
    [
        pytest.param(
            '<title type="application/octet-stream">QSAmIEI=</title>', "title", "A & B", id="base64 by its type"
        ),
        pytest.param(
            '<content mode="base64" type="text/html">PHA+QTwvcD4=</content>', "html", "<p>A</p>", id="base64 by mode"
        ),
        pytest.param(
            '<content mode="base64">PHA+QTwvcD4=</content>', "html", "&lt;p&gt;A&lt;/p&gt;", id="base64 of plain text"
        ),
        pytest.param(
            '<content type="image/png">iVBORw0KGgo=</content>', "html", "iVBORw0KGgo=", id="base64 of a picture"
        ),
        pytest.param("<id>https://news.example/1</id>", "url", "https://news.example/1", id="an id that is an address"),
        pytest.param("<id>urn:uuid:1</id>", "url", None, id="an id that is none"),
        pytest.param('<link rel="related" href="/r"/>', "url", "https://news.example/r", id="only a related page"),
        pytest.param('<link rel="enclosure">/e</link>', "url", None, id="an enclosure as text"),
        pytest.param(
            '<link type="application/atom+xml" href="/e.atom"/>', "url", None, id="an alternate that is a feed"
        ),
    ],
)
def test_what_atom_entries_may_say(inside: str, field: str, wanted: str | None) -> None:
    (entry,) = parse(f'<feed xmlns="http://www.w3.org/2005/Atom"><entry>{inside}</entry></feed>').entries
    assert getattr(entry, field) == wanted


@pytest.mark.parametrize(
    ("inside", "field", "wanted"),
    [
        pytest.param('<guid isPermaLink="true">a</guid>', "url", "https://news.example/feeds/a", id="a relative permalink"),
        pytest.param("<itunes:summary>the long one</itunes:summary><description>short</description>", "html", "the long one",
                     id="a longer summary in another vocabulary"),
        pytest.param("<media:description>a long caption</media:description><description>short</description>", "html", "short",
                     id="a picture's description beside the item's"),
        pytest.param("<media:group><media:description>of the film</media:description></media:group>", "html", "of the film",
                     id="a film's description alone"),
        pytest.param('<x:description xmlns:x="u:x">a long stranger</x:description><description>short</description>', "html",
                     "short", id="a stranger of the same name"),
        pytest.param("<author>A. Writer (a@news.example)</author>", "authors", ("A. Writer",), id="an address after a name"),
    ],
)  # fmt: skip
def test_what_rss_items_may_say(inside: str, field: str, wanted: object) -> None:
    assert getattr(only(f"<item><title>T</title>{inside}</item>"), field) == wanted


def test_an_rdf_item_is_named_by_what_it_is_about() -> None:
    (entry,) = parse(
        RDF.replace("<x:item ", '<x:item r:about="urn:1" ', 1).replace('r:about="https://news.example/1"', "")
    ).entries
    assert (entry.guid, entry.url) == ("urn:1", "https://news.example/1")


def test_channel_definitions_are_read() -> None:
    (entry,) = parse(
        '<CHANNEL><ITEM HREF="/1" LASTMOD="2020-07-16T02:00"><TITLE>T</TITLE><ABSTRACT>A</ABSTRACT></ITEM></CHANNEL>'
    ).entries
    assert (entry.url, entry.title, entry.html) == ("https://news.example/1", "T", "A")
    assert entry.published_at == datetime(2020, 7, 16, 2, tzinfo=UTC)


def test_small_entities_that_the_document_declares_are_read() -> None:
    declared = '<!DOCTYPE rss [<!ENTITY paper "The &#68;aily"><!ENTITY nested "&paper;"><!ENTITY file SYSTEM "x">]>'
    (entry,) = parse(declared + rss("<item><title>&paper; &nested; &file;</title></item>").partition("?>")[2]).entries
    assert entry.title == "The Daily &nested; &file;"
    many = rss(f"<item><title>T</title><description>{'&paper;' * 20_000}</description></item>").partition("?>")[2]
    assert (parse(declared + many).entries[0].html or "").startswith("&paper;&paper;")


def test_all_other_facts_of_an_item_are_read() -> None:
    entry = only(
        "<item><title>T</title><link>/1</link><dc:creator>A. Writer</dc:creator>"
        "<author>b@news.example (B. Writer)</author><category>World</category><category>World</category>"
        "<category>China</category><pubDate>Thu, 16 Jul 2020 10:00:00 +0800</pubDate><dc:language>zh</dc:language>"
        '<enclosure url="/1.jpg" length="0" type="image/jpeg"/><enclosure url="/1.mp3" length="12" type="audio/mpeg"/>'
        '<media:group><media:content url="/2.png" medium="image"/><media:content url="/2.mp4" type="video/mp4"/>'
        '</media:group><media:thumbnail url="/3.jpg"/></item>'
    )
    assert entry.authors == ("A. Writer", "B. Writer")
    assert entry.categories == ("World", "China")
    assert entry.published_at == datetime(2020, 7, 16, 2, tzinfo=UTC)
    assert entry.date_raw == "Thu, 16 Jul 2020 10:00:00 +0800"
    assert entry.language == "zh"
    assert [one.url.rpartition("/")[2] for one in entry.enclosures] == ["1.jpg", "1.mp3", "2.mp4"]
    assert [one.length for one in entry.enclosures] == [None, 12, None]
    assert [one.url.rpartition("/")[2] for one in entry.images] == ["1.jpg", "2.png", "3.jpg"]


@pytest.mark.parametrize(
    ("author", "name"),
    [
        ("b@news.example (B. Writer)", "B. Writer"),
        ("B. Writer &lt;b@news.example&gt;", "B. Writer"),
        ("B. Writer <![CDATA[<b@news.example>]]>", "B. Writer"),
        ("b@news.example", "b@news.example"),
        ("B. Writer (Daily)", "B. Writer (Daily)"),
    ],
)
def test_an_author_is_a_name_without_the_address_beside_it(author: str, name: str) -> None:
    assert only(f"<item><link>/1</link><author>{author}</author></item>").authors == (name,)


@pytest.mark.parametrize(
    "piece", ["@", "<@", " <a@", "a@b", "a@b (", ")", "a ", "<a@b", " (", "&#", "&#9", "&lt;@"], ids=str.strip
)
@pytest.mark.parametrize("start", ["", "x", "a@b (", "x <"], ids=str.strip)
def test_a_hostile_author_takes_no_time(start: str, piece: str) -> None:
    author = start + piece * (1_000_000 // len(piece))
    began = time.process_time()
    only(f"<item><link>/1</link><author><![CDATA[{author}]]></author></item>")
    assert time.process_time() - began < 1


def test_element_names_in_capitals_are_read() -> None:
    entry = only(
        "<ITEM><TITLE>T</TITLE><LINK>/1</LINK><GUID>g</GUID><DESCRIPTION>Text</DESCRIPTION>"
        "<PUBDATE>2020-07-16</PUBDATE><DC:CREATOR>A. Writer</DC:CREATOR></ITEM>"
    )
    assert (entry.title, entry.url, entry.guid, entry.html) == ("T", "https://news.example/1", "g", "Text")
    assert (entry.published_at, entry.authors) == (datetime(2020, 7, 16, tzinfo=UTC), ("A. Writer",))


def test_names_of_other_vocabularies_do_not_hide_an_item_s_own() -> None:
    entry = only(
        "<item><media:title>Picture</media:title><itunes:title>Sound</itunes:title><title>T</title>"
        "<media:description>Caption</media:description><itunes:summary>S</itunes:summary><link>/1</link>"
        "<image><title>I</title><url>/i.png</url></image><source><title>Other</title></source></item>"
    )
    assert (entry.title, entry.html, entry.url) == ("T", "S", "https://news.example/1")


def test_the_first_readable_date_counts_and_the_raw_one_is_kept() -> None:
    entry = only("<item><link>/1</link><pubDate>NaN</pubDate><dc:date>2020-07-16T02:00:00Z</dc:date></item>")
    assert entry.published_at == datetime(2020, 7, 16, 2, tzinfo=UTC)
    entry = only("<item><link>/1</link><pubDate>soon</pubDate></item>")
    assert (entry.published_at, entry.date_raw) == (None, "soon")


def test_the_feed_s_own_facts_are_read() -> None:
    feed = parse(
        rss(
            item(1),
            "<language>zh-cn</language><ttl>60</ttl><sy:updatePeriod>hourly</sy:updatePeriod>"
            "<sy:updateFrequency>2</sy:updateFrequency><skipHours><hour>0</hour><hour>24</hour><hour>5</hour></skipHours>"
            '<skipDays><day>Sunday</day><day>x</day></skipDays><atom:link rel="hub" href="https://hub.example/"/>'
            "<image><title>I</title><link>https://logo.example/</link></image>",
        )
    )
    assert (feed.language, feed.ttl_s, feed.update_period_s) == ("zh-cn", 3600, 1800)
    assert (feed.skip_hours, feed.skip_days) == (frozenset({0, 5}), frozenset({6}))
    assert (feed.hub_url, feed.home_url) == ("https://hub.example/", "https://news.example/")


def test_a_json_feed_s_half_surrogates_and_wrong_types_do_no_harm() -> None:
    feed = parse('{"items": [{"id": "\\ud800", "title": "\\ud800", "url": 7, "tags": 3, "authors": ["x"]}, 5]}')
    (entry,) = feed.entries
    assert (entry.guid, entry.title, entry.url) == ("\ufffd", "\ufffd", None)
    assert feed.damaged


# ---------------------------------------------------------------- broken documents


@pytest.mark.parametrize(
    ("end", "count"),
    [
        pytest.param("Text 9", 9, id="in a text"),
        pytest.param("/9</link>", 9, id="after a link"),
        pytest.param("<description>Text 9</descr", 9, id="in a closing tag"),
        pytest.param("<description>Text 9</description></item", 9, id="in the item's closing tag"),
        pytest.param("<description>Text 9</description></item>", 10, id="between items"),
        pytest.param("</channel>", 10, id="before the root's end"),
    ],
)
def test_a_cut_document_gives_its_complete_items(end: str, count: int) -> None:
    feed = parse(TEN[: TEN.rindex(end) + len(end)])
    assert [entry.title for entry in feed.entries] == [f"Title {number}" for number in range(count)]
    assert feed.damaged


def test_a_document_cut_anywhere_never_gives_half_an_item() -> None:
    whole = parse(TEN).entries
    for end in range(TEN.index("<item>"), len(TEN), 7):
        assert parse(TEN[:end]).entries == whole[: TEN[:end].count("</item>")]


@pytest.mark.parametrize(
    "before",
    ["\n\n  ", "\ufeff\ufeff", "<br />\n<b>Warning</b>: include(x.php) in /var/www on line 3<br />\n", "<!-- <rss> -->", "\x00"],
)  # fmt: skip
def test_junk_before_the_root_is_stepped_over(before: str) -> None:
    feed = parse(before + TEN)
    assert len(feed.entries) == 10
    assert not feed.damaged


def test_junk_after_the_root_does_no_damage() -> None:
    assert not parse(TEN + "\n<!-- cached --><script>x()</script>").damaged


def test_an_error_does_not_cost_the_ampersands_behind_it() -> None:
    feed = parse(
        rss(
            "<item><title>a</b></title><link>/1</link></item><item><title>A &amp; B</title><link>/2?a&amp;b</link></item>"
        )
    )
    assert (feed.entries[-1].title, feed.entries[-1].url) == ("A & B", "https://news.example/2?a&b")


@pytest.mark.parametrize("rest", ["", "<content:encoded><![CDATA[<p>two</p>]]></content:encoded>"])
def test_an_unclosed_cdata_section_costs_nothing(rest: str) -> None:
    feed = parse(rss(item(1, "<content:encoded><![CDATA[<p>the first body</p></content:encoded>") + item(2, rest)))
    assert [entry.title for entry in feed.entries] == ["Title 1", "Title 2"]
    assert feed.entries[0].html == "<p>the first body</p>"
    assert feed.damaged


BEHIND = "<link>/9</link><guid>g9</guid><description>Text 9</description></item>"


@pytest.mark.parametrize(
    ("broken", "title", "html"),
    [
        (f"<item><title>a <b>x</title>{BEHIND}", "a x", "Text 9"),
        (f"<item><title>a</b> x</title>{BEHIND}", "a x", "Text 9"),
        (f"<item><title>T</title><br>{BEHIND}", "T", "Text 9"),
        (f"<item><title>T</title><br></br>{BEHIND}", "T", "Text 9"),
        (f"<item><title>T</title><summary><p>A<br>B &amp;amp; C</summary>{BEHIND}", "T", "<p>A<br>B &#38;amp; C"),
        (f"<item><title>T</title><summary><p>A<br><![CDATA[<i>B</i>]]></summary>{BEHIND}", "T", "<p>A<br><i>B</i>"),
        (f"<item><title>T</title><summary><b><i>A</b></i> B</summary>{BEHIND}", "T", "<b><i>A</b></i> B"),
    ],
)
def test_html_that_is_no_xml_costs_neither_its_item_nor_the_next(broken: str, title: str, html: str) -> None:
    feed = parse(rss(item(1) + broken + item(2)))
    assert [entry.title for entry in feed.entries] == ["Title 1", title, "Title 2"]
    assert (feed.entries[1].url, feed.entries[1].guid) == ("https://news.example/9", "g9")
    assert feed.entries[1].html == html
    assert (feed.entries[0], feed.entries[2]) == parse(rss(item(1) + item(2))).entries
    assert not feed.damaged


def test_an_element_that_never_closes_costs_neither_the_link_nor_the_next_item() -> None:
    feed = parse(rss(f"<item><title>T</title><p>{BEHIND}" + item(2)))
    assert [(entry.title, entry.url) for entry in feed.entries] == [
        ("T", "https://news.example/9"),
        ("Title 2", "https://news.example/2"),
    ]
    assert feed.damaged


def test_the_link_of_a_source_is_not_the_item_s() -> None:
    feed = parse(rss("<item><title>T</title><source><title>S</title><link>/s</link></source><p></item>" + item(2)))
    assert feed.entries[0].url is None


@pytest.mark.parametrize("later", ["", "<description><![CDATA[<!-- more --> x]]></description>", "<!-- end -->"])
def test_an_unclosed_comment_costs_nothing(later: str) -> None:
    feed = parse(
        rss(f"<item><title>T</title><description>a <!-- b</description><link>/9</link></item>{item(2, later)}")
    )
    assert [entry.title for entry in feed.entries] == ["T", "Title 2"]
    assert (feed.entries[0].html, feed.entries[0].url) == ("a <!-- b", "https://news.example/9")
    assert feed.damaged


def test_what_is_commented_out_is_left_out() -> None:
    out = f"<!-- {item(1, '<content:encoded><![CDATA[x]]></content:encoded>')} <item/> -->"
    feed = parse(rss(out + item(2, "<!-- <link>/no</link> -->") + out))
    assert [entry.url for entry in feed.entries] == ["https://news.example/2"]
    assert not feed.damaged


def test_a_broken_name_inside_a_body_costs_nothing() -> None:
    entry = only('<item><link>/1</link><summary xmlns="u:a"><b:>x</b:> y</summary><title>T</title></item>')
    assert (entry.title, entry.html) == ("T", "<span>x</span> y")


def test_prefixes_that_nobody_declared_are_read() -> None:
    entry = only("<item><link>/1</link><undeclared:x>y</undeclared:x><title>T</title></item>")
    assert entry.title == "T"
    feed = parse("<rss><channel><item><link>/1</link><content:encoded>body</content:encoded></item></channel></rss>")
    assert feed.entries[0].content_html == "body"
    assert not feed.damaged


# ---------------------------------------------------------------- charsets

CHINESE = "中国和俄罗斯的关系在过去一年中发展很快，镕喆"


@pytest.mark.parametrize(
    ("declared", "encoding", "content_type"),
    [
        ("UTF-8", "gb18030", "text/xml; charset=utf-8"),
        ("gb2312", "gb18030", None),
        ("Big5", "utf-8", None),
        ("GBK", "gb18030", "text/xml; charset=iso-8859-1"),
        ("UTF-16", "utf-16", None),
        ("UTF-8", "utf-16-le", None),
        ("UTF-8", "utf-32", None),
        ("x-foo", "utf-8", "text/xml; charset=utf-7"),
        ("IBM037", "gb18030", None),
    ],
)
def test_chinese_text_is_right_whatever_is_declared(declared: str, encoding: str, content_type: str | None) -> None:
    body = rss(f"<item><title>{CHINESE}</title><link>/1</link></item>").replace("UTF-8", declared, 1).encode(encoding)
    assert parse(body, content_type=content_type).entries[0].title == CHINESE


def test_a_guessed_encoding_is_told() -> None:
    body = rss(f"<item><title>{CHINESE}</title><link>/1</link></item>").encode("gb18030")
    assert parse(body).warnings == ("encoding: gb18030 (guessed)",)


# ---------------------------------------------------------------- hostile documents


def bomb() -> str:
    levels = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 10))
    return f'<!DOCTYPE x [<!ENTITY l0 "lol">{levels}]>' + rss("<item><title>&l9;</title><link>/1</link></item>")


@pytest.mark.parametrize(
    ("body", "title"),
    [
        pytest.param(bomb(), "&l9;", id="billion laughs"),
        pytest.param(
            f'<!DOCTYPE x [<!ENTITY e "{"a" * 50_000}">]>'
            + rss(f"<item><title>{'&e;' * 50_000}</title><link>/1</link></item>"),
            "&e;" * 333 + "…",
            id="quadratic entities",
        ),
        pytest.param(
            '<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd"><!ENTITY % p SYSTEM "http://127.0.0.1:9/"> %p;]>'
            + rss("<item><title>&e;</title><link>/1</link></item>"),
            "&e;",
            id="external entities",
        ),
    ],
)
def test_declared_entities_stay_text(body: str, title: str) -> None:
    began = time.process_time()
    feed = parse(body)
    assert feed.entries[0].title == title
    assert time.process_time() - began < 0.5


NOT_A_CHARACTER = ["&#xD800;", "&#57343;", "&#x00dfff;", "&#0;"]
TAKEN_FOR_MARKUP = {  # each has a CDATA section to us, and none to libxml2
    "a prefix' namespace": "<rss xmlns:sy='http<![CDATA[{}'><channel>]]><sy:x>1</sy:x>",
    "the default namespace": "<rss xmlns='http<![CDATA[{}'>]]><channel>",
    "a namespace that only an attribute has": "<rss xmlns:a='<![CDATA[{}' a:b='1'>]]><channel>",
    "an attribute": "<rss version='<![CDATA[{}'><channel>]]>",
    "an attribute of an item's element": "<rss><channel><item><guid isPermaLink='<![CDATA[{}'>]]>g</guid></item>",
    "a tag": "<rss><channel <![CDATA[{}]]>>",
}


@pytest.mark.parametrize("number", NOT_A_CHARACTER)
@pytest.mark.parametrize("start", TAKEN_FOR_MARKUP.values(), ids=TAKEN_FOR_MARKUP.keys())
def test_the_number_of_no_character_costs_no_later_item_wherever_it_stands(start: str, number: str) -> None:
    feed = parse(start.format(number) + item(1) + "</channel></rss>")
    assert [(entry.title, entry.url) for entry in feed.entries][-1:] == [("Title 1", "https://news.example/1")]


@pytest.mark.parametrize("start", ["<rss version='<![CDATA['>&a;<channel>", "<rss version='<![CDATA['><channel>&a;"])
def test_an_unknown_entity_in_what_the_parser_takes_for_markup_costs_no_item(start: str) -> None:
    assert [entry.title for entry in parse(start + item(1) + "</channel></rss>").entries] == ["Title 1"]


@pytest.mark.parametrize("number", NOT_A_CHARACTER)
def test_the_number_of_no_character_in_html_is_what_html_reads(number: str) -> None:
    assert (
        only(f"<item><description><![CDATA[<p>a{number}b</p>]]></description></item>").summary_html == "<p>a\ufffdb</p>"
    )


@pytest.mark.parametrize(
    ("body", "titles", "warnings"),
    [
        pytest.param(rss(item(1)) + rss(item(2) + item(3)), ["Title 1"], 2, id="a second feed"),
        pytest.param(rss(item(1)) + item(2), ["Title 1"], 1, id="an item"),
        pytest.param("<rss/>" + rss(item(1)), [], 1, id="a feed behind an empty one"),
        pytest.param(f"<a:feed xmlns:a='http://www.w3.org/2005/Atom'/><entry>{'<title/>' * 3}</entry>", [], 1, id="an entry"),
        pytest.param(rss(item(1) + "<?xml version='1.0'?>" + item(2)), ["Title 1", "Title 2"], 0, id="a declaration inside"),
        pytest.param(rss(item(1)) + "<p>Generated in 1 s</p> --> &", ["Title 1"], 0, id="mere junk"),
        pytest.param(rss(item(1)) + "<!-- <item/> --> \n<?item <item/>?>", ["Title 1"], 0, id="nothing"),
    ],
)  # fmt: skip
def test_items_behind_the_end_are_told_not_dropped_without_a_word(body: str, titles: list[str], warnings: int) -> None:
    feed = parse(body)
    assert [entry.title for entry in feed.entries] == titles
    assert feed.warnings == ((f"document: {warnings} items behind its end, not read",) if warnings else ())


FLOODS = {
    "tags": "<a",
    "angle brackets": "<",
    "items": "<item>",
    "empty items": "<item/>",
    "ampersands": "&",
    "references": "&#65;",
    "zeros": "&#0",
    "a number of zeros": "0",
    "entities": "&lt;",
    "document types": "<!DOCTYPE ",
    "CDATA": "<![CDATA[",
    "CDATA and ends": "<a><![CDATA[</a>",
    "comments": "<!--",
    "instructions": "<?",
    "attributes": " a='1'",
    "a name": "a",
    "prefixes": "<a:b:",
    "nested": "<b>",
    "nested in items": "<item><b><b>",
    "items in comments": "<!--</item>",
    "titles": "<title>",
    "titles that do not close": "<title><b></title>",
    "breaks": "<br>",
    "carriage returns": "\r",
    "carriage returns in tags": "<a\r",
}


@pytest.mark.parametrize("piece", FLOODS.values(), ids=FLOODS.keys())
@pytest.mark.parametrize("start", ["", "<rss><channel>", "<rss><channel><item><title>", "<rss><channel><item "])
def test_a_hostile_document_takes_bounded_time(start: str, piece: str) -> None:
    body = (start + piece * (500_000 // len(piece))).encode()
    began = time.process_time()
    try:
        feed = parse(body)
    except QuarantineError:
        pass
    else:
        assert len(feed.entries) <= 5000
    assert time.process_time() - began < 1.5


@pytest.mark.parametrize("piece", ["<link>/a</link>", "<enclosure url='/a'/>", "<media:content url='/a'/>"])
def test_an_item_of_countless_elements_takes_bounded_time(piece: str) -> None:
    began = time.process_time()
    parse(rss(f"<item><title>T</title>{piece * 290_000}</item>"))
    assert time.process_time() - began < 2


@pytest.mark.parametrize("name", ["media:group", "media:thumbnail"])
def test_media_may_nest_only_so_deep(name: str) -> None:
    nested = f"<{name}>" * 1_500 + '<media:content url="/1.jpg"/>' + f"</{name}>" * 1_500
    entry = only(f"<item><title>T</title><link>/1</link>{nested}</item>")
    assert (entry.title, entry.images) == ("T", ())


def test_an_element_with_too_many_attributes_is_refused() -> None:
    attributes = " ".join(f'a{n}="1"' for n in range(257))
    with pytest.raises(QuarantineError, match="too-many-attributes"):
        parse(rss(f"<item {attributes}><link>/1</link></item>"))
    assert parse(rss(f'<item {" ".join(f"""a{n}="1" """ for n in range(200))}><link>/1</link></item>')).entries


@pytest.mark.parametrize(
    ("body", "outcome"),
    [
        pytest.param(rss("<item>" + ("<b " + "c='' " * 180 + "/>") * 3000), "too-many-attributes", id="errors"),
        pytest.param('{"items": [' + "{}," * 700_000 + "{}]}", "feed-too-large", id="objects"),
        pytest.param('{"items": [' + "[]," * 700_000 + "{}]}", "feed-too-large", id="lists"),
    ],
)
def test_what_would_take_many_times_its_size_of_memory_is_refused(body: str, outcome: str) -> None:
    with pytest.raises(QuarantineError, match=outcome):
        parse(body)


def test_namespaces_of_the_document_are_not_repeated_in_each_element_of_a_body() -> None:
    declared = " ".join(f'xmlns:n{n}="urn:{"n" * 1000}"' for n in range(200))
    began = time.process_time()
    feed = parse(
        f"<rss {declared}><channel><item><description>{'<n1:b/>' * 15_000}</description></item></channel></rss>"
    )
    assert len(feed.entries[0].html or "") < 200_000
    assert time.process_time() - began < 1


def test_declarations_in_the_text_of_a_body_are_its_own() -> None:
    body = '<content type="xhtml"><div xmlns="http://www.w3.org/1999/xhtml"><code>&lt;svg xmlns="a"&gt;</code></div></content>'
    feed = parse(f'<feed xmlns="http://www.w3.org/2005/Atom"><entry>{body}</entry></feed>')
    assert feed.entries[0].html == '<code>&lt;svg xmlns="a"&gt;</code>'


def test_a_document_over_the_cap_is_refused() -> None:
    with pytest.raises(QuarantineError, match="feed-too-large"):
        parse(rss(f"<item><title>{'a' * CAP_BYTES}</title></item>"))


def test_items_over_the_limit_are_counted() -> None:
    feed = parse(TEN, max_entries=4)
    assert [entry.guid for entry in feed.entries] == ["g0", "g1", "g2", "g3"]
    assert feed.entries_left_out == 6


def test_a_text_of_nine_megabytes_is_read() -> None:
    assert (
        len(only(f"<item><link>/1</link><description>{'中' * 3_000_000}</description></item>").html or "") == 3_000_000
    )


@pytest.mark.parametrize("closing", ["</b>" * 20_000, ""])
def test_an_item_that_nests_too_deep_does_not_cost_the_others(closing: str) -> None:
    deep = f"<item><description>{'<b>' * 20_000}{closing}</description><title>Deep</title><link>/deep</link></item>"
    feed = parse(rss(item(1) + deep + item(2)))
    titles = [entry.title for entry in feed.entries]
    assert titles == (["Title 1", "Deep", "Title 2"] if closing else ["Title 1", "Title 2"])
    assert feed.damaged


@given(st.binary(max_size=300) | st.text(max_size=300).map(lambda text: text.encode("utf-8", "surrogatepass")))
def test_no_bytes_make_parsing_raise_anything_else(body: bytes) -> None:
    for document in (body, b"<rss><channel><item>" + body, b"{" + body):
        try:
            parse(document)
        except QuarantineError:
            continue


MARKUP = st.sampled_from(
    [
        *("<item>", "</item>", "<title>", "</title>", "<link>", "</link>", "/1", "&", "&amp;", "&nbsp;", "<![CDATA["),
        *("]]>", "<b", ">", "<", "text", '<a x="', "</", "<!--", "-->", "<media:content url='/1.jpg'/>", "<entry>"),
    ]
)


@given(st.lists(MARKUP, max_size=40))
def test_no_soup_of_markup_makes_parsing_raise_anything_else(pieces: list[str]) -> None:
    parse("<rss><channel>" + "".join(pieces))


# ---------------------------------------------------------------- beside others


@pytest.mark.parametrize("body", [TEN, RDF, ATOM, ATOM_03, RSS_091], ids=["RSS", "RDF", "Atom", "Atom 0.3", "RSS 0.91"])
def test_well_formed_feeds_read_as_feedparser_reads_them(body: str) -> None:
    theirs = feedparser.parse(body.encode(), response_headers={"content-location": URL}).entries
    ours = parse(body).entries
    assert [(entry.url, entry.title) for entry in ours] == [(entry.link, entry.title) for entry in theirs]


def as_item(recorded: Recorded) -> str:
    """A feedx item: the whole article is the description."""
    return (
        f"<item><title>{escape(recorded.title)}</title><link>{escape(recorded.url)}</link>"
        f"<pubDate>{format_datetime(recorded.date)}</pubDate>"
        f"<description><![CDATA[{recorded.body}]]></description></item>"
    )


@pytest.mark.shared
@pytest.mark.parametrize("name", ["voa", "bbc", "dw", "rfi", "nyt"])
def test_recorded_full_text_items_come_out_as_they_went_in(shared: Path, name: str) -> None:
    recorded = [read(path) for path in sorted((shared / "seed-data" / "archive" / name).glob("*.md"))]
    feed = parse(rss("".join(map(as_item, recorded))))
    assert len(feed.entries) == len(recorded) >= 60
    assert not feed.damaged
    for entry, one in zip(feed.entries, recorded, strict=True):
        assert entry.html == one.body
        assert entry.url is not None
        assert entry.published_at == one.date
