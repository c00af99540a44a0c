"""What the world sends for a feed, and what each must get: one test for each known case, within its bounds."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from worker.errors import QuarantineError
from worker.feeds.parse import parse_feed
from worker.model import Entry, ParsedFeed

NOW = datetime(2026, 11, 24, tzinfo=UTC)
URL = "https://news.example/feeds/all.xml"
MOST_CPU_S = 2.0


def parse(body: str | bytes, *, content_type: str | None = None, max_entries: int = 5000) -> ParsedFeed:
    encoded = body.encode("utf-8", "surrogatepass") if isinstance(body, str) else body
    return parse_feed(encoded, content_type=content_type, url=URL, max_entries=max_entries, now=NOW)


def rss(items: str) -> str:
    return f'<?xml version="1.0"?><rss version="2.0"><channel><title>Daily</title>{items}</channel></rss>'


def item(title: str = "Title", link: str = "/1", extra: str = "") -> str:
    return f"<item><title>{title}</title><link>{link}</link>{extra}</item>"


def only(extra: str, link: str = "/1") -> Entry:
    (entry,) = parse(rss(item(link=link, extra=extra))).entries
    return entry


def titles(feed: ParsedFeed) -> list[str | None]:
    return [entry.title for entry in feed.entries]


# ---------------------------------------------------------------- documents

LAUGHS = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 10))
ATTRIBUTES = "".join(f' a{number}="1"' for number in range(100_000))
DEEP = "<b>" * 20_000
RDF = (
    '<R:RDF xmlns:R="http://www.w3.org/1999/02/22-rdf-syntax-ns#" xmlns:S="http://purl.org/rss/1.0/"><S:item>'
    "<S:title>Title</S:title><S:link>/1</S:link></S:item></R:RDF>"
)


@pytest.mark.parametrize(
    ("body", "wanted"),
    [
        pytest.param(
            f'<!DOCTYPE x [<!ENTITY l0 "lol">{LAUGHS}]>' + rss(item("&l9;")), ["&l9;"], id="billion laughs in a title"
        ),
        pytest.param(
            f'<!DOCTYPE x [<!ENTITY big "{"a" * 50_000}">]>' + rss(item("T &big;" + "&big;" * 50_000)),
            ["T " + "&big;" * 199 + "&b…"],
            id="one large entity 50,000 times",
        ),
        pytest.param(
            '<!DOCTYPE x [<!ENTITY file SYSTEM "file:///etc/passwd">]>' + rss(item("T &file;")),
            ["T &file;"],
            id="an external entity on a local file",
        ),
        pytest.param(rss(item() + item("Deep", extra=f"<description>{DEEP}</description>") + item("Last")), ["Title", "Last"],
                     id="20,000 elements that do not close inside an item"),
        pytest.param(
            rss(item() + item("Deep", extra=f"<summary>{DEEP}x{'</b>' * 20_000}</summary>") + item("Last")),
            ["Title", "Deep", "Last"],
            id="20,000 nested elements inside an item",
        ),
        pytest.param(rss(item("1") + item("2"))[:-40], ["1"], id="connection cut in the last item"),
        pytest.param("\n <b>Warning</b>: mysql_connect() in x.php\n" + rss(item()), ["Title"], id="a PHP warning before"),
        pytest.param("\ufeff\ufeff\n\n" + rss(item()), ["Title"], id="two byte order marks and blank lines before"),
        pytest.param(rss(item("A & B &nbsp; C &hellip;")), ["A & B C …"], id="bare ampersand and undefined entities"),
        pytest.param(rss(item("a &#xD800; b")), ["a \ufffd b"], id="a lone surrogate by its number"),
        pytest.param(json.dumps({"items": [{"id": 1, "title": "a \ud800 b"}]}), ["a \ufffd b"], id="a lone surrogate in JSON"),
        pytest.param(
            rss(item(extra="<description><![CDATA[<p>text</p></description>") + item("Last")),
            ["Title", "Last"],
            id="a CDATA section that is not closed",
        ),
        pytest.param(RDF, ["Title"], id="RDF with prefixes of its own"),
        pytest.param(rss(item("a\u202eb\u2066c\u200bd")), ["abcd"], id="bidirectional overrides and zero width in a title"),
    ],
)  # fmt: skip
def test_a_bad_document_costs_at_most_its_own_item(body: str, wanted: list[str]) -> None:
    began = time.process_time()
    assert titles(parse(body)) == wanted
    assert time.process_time() - began < 0.5


@pytest.mark.parametrize(
    ("body", "reason", "named"),
    [
        pytest.param(rss(f"<item{ATTRIBUTES}/>"), "too-many-attributes", "256", id="100,000 attributes on one element"),
        pytest.param("<!DOCTYPE html><html><body><form>Log in</form>", "not-a-feed", "HTML", id="a login page"),
        pytest.param('<opml version="2.0"><body/></opml>', "not-a-feed", "OPML", id="OPML at the URL"),
        pytest.param("<svg xmlns='http://www.w3.org/2000/svg'/>", "not-a-feed", "<svg", id="another root"),
        pytest.param('{"status": "error"}', "not-a-feed", "JSON", id="JSON that is no feed"),
        pytest.param("", "not-a-feed", "empty", id="nothing"),
        pytest.param(
            rss("<description>" + "text " * 4_000_000), "feed-too-large", "limit", id="a description of 20 MB"
        ),
    ],
)
def test_what_is_refused_is_named_at_little_cost(body: str, reason: str, named: str) -> None:
    began = time.process_time()
    with pytest.raises(QuarantineError) as caught:
        parse(body)
    assert time.process_time() - began < 0.5
    assert caught.value.reason == reason
    assert named in caught.value.message


def test_document_types_inside_a_description_are_text() -> None:
    bomb = "&lt;!DOCTYPE x [&lt;!ENTITY e 'x'>]>&amp;e;&lt;?php system('id') ?>"
    assert only(f"<description>{bomb}</description>").html == "<!DOCTYPE x [<!ENTITY e 'x'>]>&e;<?php system('id') ?>"
    assert only("<description>a<?php system('id') ?>b</description>").html == "ab"


@pytest.mark.parametrize("dated", [True, False], ids=["the newest by date", "the first where there are no dates"])
def test_of_100_000_items_so_many_are_taken_and_the_rest_is_counted(dated: bool) -> None:
    first = NOW - timedelta(days=100)

    def extra(number: int) -> str:
        return f"<pubDate>{format_datetime(first + timedelta(minutes=number))}</pubDate>" if dated else ""

    body = rss("".join(item(str(number), f"/{number}", extra(number)) for number in range(100_000)))
    began = time.process_time()
    feed = parse(body, max_entries=500)
    assert time.process_time() - began < MOST_CPU_S
    assert titles(feed) == list(map(str, range(99_500, 100_000) if dated else range(500)))
    assert feed.entries_left_out == 99_500


def test_of_too_many_json_items_the_newest_are_taken() -> None:
    items = [{"id": day, "title": str(day), "date_published": f"2026-11-{day:02}"} for day in (5, 20, 10, 15)]
    feed = parse(json.dumps({"items": items}), max_entries=2)
    assert (titles(feed), feed.entries_left_out) == (["20", "15"], 2)


def test_of_too_many_items_in_a_cut_document_the_newest_complete_ones_are_taken() -> None:
    dated = [item(str(day), extra=f"<pubDate>2026-11-{day:02}</pubDate>") for day in (3, 9, 4, 8, 20)]
    feed = parse(rss("".join(dated))[:-50], max_entries=2)
    assert (titles(feed), feed.damaged) == (["9", "8"], True)


# ---------------------------------------------------------------- charsets

CHINESE = "中国和俄罗斯的关系在过去一年中发展很快"


@pytest.mark.parametrize(
    ("declared", "encoding", "http"),
    [
        pytest.param("UTF-8", "gbk", None, id="declared UTF-8, written in GBK"),
        pytest.param("Big5", "utf-8", None, id="declared Big5, written in UTF-8"),
        pytest.param("GBK", "gbk", "iso-8859-1", id="the header says Latin-1, the document GBK"),
        pytest.param("UTF-32", "utf-32", None, id="UTF-32"),
        pytest.param("UTF-7", "gbk", None, id="declared UTF-7"),
        pytest.param("IBM037", "gb18030", None, id="declared EBCDIC"),
        pytest.param("x-foo", "gb18030", None, id="an unknown label"),
    ],
)
def test_a_lying_charset_costs_no_text(declared: str, encoding: str, http: str | None) -> None:
    body = rss(item(CHINESE)).replace('version="1.0"', f'version="1.0" encoding="{declared}"', 1).encode(encoding)
    feed = parse(body, content_type=f"text/xml; charset={http}" if http else None)
    assert titles(feed) == [CHINESE]


# ---------------------------------------------------------------- what items say


@pytest.mark.parametrize(
    ("raw", "wanted"),
    [
        pytest.param("Tue, 01 Dec 2026 00:00:00 GMT", NOW, id="next week"),
        pytest.param("2038-01-19T03:14:08Z", NOW, id="2038"),
        pytest.param("Thu, 01 Jan 1970 00:00:00 GMT", None, id="1970"),
        pytest.param("0000-00-00T00:00:00Z", None, id="the year 0"),
    ],
)
def test_an_impossible_date_is_clamped_or_unknown_and_told(raw: str, wanted: datetime | None) -> None:
    feed = parse(rss(item(extra=f"<pubDate>{raw}</pubDate>")))
    assert (feed.entries[0].published_at, feed.entries[0].date_raw) == (wanted, raw)
    (warning,) = feed.warnings
    assert warning.startswith("dates: 1 ")


def test_a_date_of_50_000_digits_takes_no_time() -> None:
    began = time.process_time()
    entry = only(f"<pubDate>{'9' * 50_000}</pubDate>")
    assert time.process_time() - began < 0.05
    assert (entry.published_at, len(entry.date_raw or "")) == (None, 100)


@pytest.mark.parametrize(
    ("attributes", "url", "length", "pictured"),
    [
        pytest.param('url="/1.jpg" length="0" type="image/jpeg"', "/1.jpg", None, True, id="a length of 0"),
        pytest.param('url="/1.jpg" length="-1" type="image/jpeg"', "/1.jpg", None, True, id="a length below 0"),
        pytest.param('url="/1.jpg" length="big" type="image/jpeg"', "/1.jpg", None, True, id="a length in words"),
        pytest.param('url="/1.jpg" type="text/html"', "/1.jpg", None, False, id="a wrong type"),
        pytest.param('url="../1.mp3" length="5"', "/1.mp3", 5, False, id="a relative address without a type"),
    ],
)
def test_an_enclosure_is_taken_whatever_it_claims(
    attributes: str, url: str, length: int | None, pictured: bool
) -> None:
    entry = only(f"<enclosure {attributes}/>")
    (enclosure,) = entry.enclosures
    assert (enclosure.url, enclosure.length) == (f"https://news.example{url}", length)
    assert bool(entry.images) == pictured


def test_an_enclosure_that_nobody_can_request_is_left_out() -> None:
    entry = only('<enclosure url="javascript:alert(1)" type="image/jpeg"/><enclosure type="image/jpeg"/>')
    assert (entry.enclosures, entry.images) == ((), ())


@pytest.mark.parametrize(
    ("link", "url"),
    [
        pytest.param("a/b", "https://news.example/feeds/a/b", id="relative"),
        pytest.param("//cdn.example/a", "https://cdn.example/a", id="without a scheme"),
        pytest.param("/a#part", "https://news.example/a", id="with a fragment"),
        pytest.param("/a?utm_source=rss&amp;id=7", "https://news.example/a?utm_source=rss&id=7", id="tracking is kept"),
        pytest.param(" \n/a b\t", "https://news.example/a%20b", id="with blanks"),
        pytest.param("/a?x=1&amp;amp;y=2", "https://news.example/a?x=1&y=2", id="escaped twice"),
        pytest.param("javascript:alert(1)", None, id="javascript:"),
        pytest.param("data:text/html,x", None, id="data:"),
        pytest.param("mailto:desk@news.example", None, id="mailto:"),
        pytest.param("feed:https://news.example/", None, id="feed:"),
        pytest.param("", None, id="empty"),
    ],
)
def test_a_link_is_usable_or_the_item_is_kept_without_one(link: str, url: str | None) -> None:
    entry = only("<guid isPermaLink='false'>g</guid>", link=link)
    assert (entry.title, entry.guid, entry.url) == ("Title", "g", url)


def atom(inside: str) -> Entry:
    (entry,) = parse(f'<feed xmlns="http://www.w3.org/2005/Atom"><entry><id>i</id>{inside}</entry></feed>').entries
    return entry


@pytest.mark.parametrize(
    ("inside", "told", "wanted"),
    [
        pytest.param(
            '<link rel="self" href="/s"/><link rel="replies" href="/r"/><link rel="enclosure" href="/e.mp3"/>'
            '<link rel="alternate" type="text/html" href="/a"/><link rel="related" href="/x"/>',
            lambda entry: entry.url,
            "https://news.example/a",
            id="several links: the alternate one",
        ),
        pytest.param(
            '<content type="xhtml"><div xmlns="http://www.w3.org/1999/xhtml"><p>A <b>b</b></p></div></content>',
            lambda entry: entry.html,
            "<p>A <b>b</b></p>",
            id="content in xhtml: as HTML",
        ),
        pytest.param(
            '<content src="https://elsewhere.example/a" type="text/html"/><summary>Short</summary>',
            lambda entry: entry.html,
            "Short",
            id="content elsewhere: not asked for",
        ),
    ],
)
def test_atom_entries_are_read(inside: str, told: Callable[[Entry], object], wanted: object) -> None:
    assert told(atom(inside)) == wanted
