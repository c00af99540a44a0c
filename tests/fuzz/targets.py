"""What strangers send, and what must hold for any of it: no exception but the named ones, a bound on time, sound results.

A target takes bytes and raises what breaks its promise. Each begins with well-formed inputs of its own making, so that
mutations reach behind the first check.
"""

from __future__ import annotations

import gzip
import json
import math
import random
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from html import escape
from urllib.parse import urlsplit

import requests
from urllib3.util import parse_url

from tests.conftest import SHARED
from worker.errors import NewsmillError, QuarantineError, RefusedAddressError
from worker.feeds.dates import read_date
from worker.feeds.discover import MAX_CANDIDATES, candidates, guesses
from worker.feeds.parse import parse_feed
from worker.feeds.select import keys_of, select_new
from worker.fetch.classify import MAX_FRESHNESS_S, MAX_RETRY_AFTER_S, freshness_s, judge, media_kind, retry_after_s
from worker.fetch.coding import decoded_body
from worker.fetch.guard import AddressGuard
from worker.fetch.http import redirect_target
from worker.fetch.robots import MAX_CRAWL_DELAY_S, allowed, crawl_delay_s, read_robots, robots_tag
from worker.model import Entry, Hop
from worker.text import clean_line, decode, header_fields, sniff_declared
from worker.urls import (
    MAX_LABEL_CHARS,
    authority,
    canonical_url,
    display_url,
    gate_key,
    picture_identity,
    picture_key,
    unwrap_proxy,
    usable_url,
)
from worker.websub.links import advertised, header_links

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
FEED_URL = "https://news.example/feeds/all.xml"
AGENT = "newsmill/0.1 (+https://example.org/bot)"
CAP_BYTES = 1024 * 1024
MOST_ENTRIES = 200
RECORDED = 200  # so many recorded files at most

GUARD = AddressGuard((), (80, 443))


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """``share``: of the time; ``words``: what mutations may put in, beside what they find themselves."""

    run: Callable[[bytes], None]
    seeds: Callable[[], Iterator[bytes]]
    longest: int
    share: int
    words: tuple[str, ...] = ()


# ---------------------------------------------------------------- feeds


def feed(data: bytes) -> None:
    """Any document is a feed or is refused by name; whatever comes of it can be kept, and is new once."""
    try:
        parsed = parse_feed(data, content_type="text/xml", url=FEED_URL, max_entries=MOST_ENTRIES, now=NOW)
    except QuarantineError as error:
        if not error.reason:
            raise AssertionError("refused without a name") from error
        return
    assert len(parsed.entries) <= MOST_ENTRIES
    for entry in parsed.entries:
        _check_entry(entry)
    names = list(zip(parsed.entries, keys_of(parsed.entries, "feed"), strict=True))
    first = select_new(names, known=[], first_poll="all", is_first=True)
    assert len({seen.article_id for seen in first.new}) == len(first.new)
    assert len(first.new) <= len(parsed.entries)


def _check_entry(entry: Entry) -> None:
    assert entry.url is None or usable_url(entry.url) == entry.url, entry.url
    for text in (entry.guid, entry.title, entry.summary_html, entry.content_html, entry.date_raw, *entry.authors):
        if text is not None:
            assert "\x00" not in text, "PostgreSQL takes no NUL"
            text.encode()  # nor half a character
    assert entry.title is None or clean_line(entry.title) == entry.title, entry.title
    for moment in (entry.published_at, entry.updated_at):
        assert moment is None or moment <= NOW, moment


def _item(dice: random.Random, number: int) -> dict[str, str]:
    when = NOW - timedelta(minutes=dice.randint(0, 10**6))
    return {
        "title": dice.choice(["Ferry sails", "渡轮啟航", "Паром & <b>мост</b>", "عبّارة", ""]) + f" {number}",
        "link": dice.choice([f"https://news.example/{number}?utm_source=rss&a=1", f"/a/{number}", "javascript:x", ""]),
        "guid": dice.choice([f"g{number}", "same", f"https://news.example/{number}", ""]),
        "date": dice.choice([when.isoformat(), when.strftime("%a, %d %b %Y %H:%M:%S GMT"), "yesterday", ""]),
        "text": dice.choice(["<p>Text <img src='/a.jpg'> &nbsp; &mdash;</p>", "plain", "<![CDATA[x", "]]>", ""]),
    }


def _rss(dice: random.Random, items: list[dict[str, str]]) -> str:
    version = dice.choice(["2.0", "0.91", "0.92"])
    shown = "".join(
        f"<item><title>{escape(one['title'])}</title><link>{escape(one['link'])}</link><guid isPermaLink='false'>"
        f"{escape(one['guid'])}</guid><pubDate>{one['date']}</pubDate><description><![CDATA[{one['text']}]]></description>"
        f"<enclosure url='{escape(one['link'])}.mp3' length='0' type='audio/mpeg'/><media:content url='/m.jpg'/>"
        f"<content:encoded>{escape(one['text'])}</content:encoded><dc:creator>A</dc:creator></item>"
        for one in items
    )
    spaces = (
        "xmlns:content='http://purl.org/rss/1.0/modules/content/' xmlns:dc='http://purl.org/dc/elements/1.1/'"
        " xmlns:media='http://search.yahoo.com/mrss/' xmlns:sy='http://purl.org/rss/1.0/modules/syndication/'"
    )
    return (
        f"<rss version='{version}' {spaces}><channel><title>F</title><link>https://news.example/</link><ttl>60</ttl>"
        f"<sy:updatePeriod>hourly</sy:updatePeriod><skipHours><hour>3</hour></skipHours>{shown}</channel></rss>"
    )


def _atom(dice: random.Random, items: list[dict[str, str]]) -> str:
    space = dice.choice(["http://www.w3.org/2005/Atom", "http://purl.org/atom/ns#", ""])
    kind = dice.choice(["html", "text", "xhtml"])
    shown = "".join(
        f"<entry><title type='html'>{escape(one['title'])}</title><link rel='alternate' href='{escape(one['link'])}'/>"
        f"<link rel='self' href='/s'/><id>{escape(one['guid'])}</id><updated>{one['date']}</updated>"
        f"<content type='{kind}' xml:base='/b/'>{escape(one['text'])}</content><author><name>A</name></author></entry>"
        for one in items
    )
    return f"<feed xmlns='{space}' xml:lang='en'><title>F</title><link rel='hub' href='https://hub.example/'/>{shown}</feed>"


def _rdf(_: random.Random, items: list[dict[str, str]]) -> str:
    shown = "".join(
        f"<item rdf:about='{escape(one['link'])}'><title>{escape(one['title'])}</title><link>{escape(one['link'])}</link>"
        f"<dc:date>{one['date']}</dc:date></item>"
        for one in items
    )
    return (
        "<rdf:RDF xmlns:rdf='http://www.w3.org/1999/02/22-rdf-syntax-ns#' xmlns='http://purl.org/rss/1.0/'"
        f" xmlns:dc='http://purl.org/dc/elements/1.1/'><channel><title>F</title></channel>{shown}</rdf:RDF>"
    )


def _sitemap(dice: random.Random, items: list[dict[str, str]]) -> str:
    if dice.random() < 0.3:
        shown = "".join(f"<sitemap><loc>{escape(one['link'])}</loc></sitemap>" for one in items)
        return f"<sitemapindex xmlns='http://www.sitemaps.org/schemas/sitemap/0.9'>{shown}</sitemapindex>"
    shown = "".join(
        f"<url><loc>{escape(one['link'])}</loc><lastmod>{one['date']}</lastmod><news:news><news:title>"
        f"{escape(one['title'])}</news:title><news:publication_date>{one['date']}</news:publication_date></news:news></url>"
        for one in items
    )
    return (
        "<urlset xmlns='http://www.sitemaps.org/schemas/sitemap/0.9'"
        f" xmlns:news='http://www.google.com/schemas/sitemap-news/0.9'>{shown}</urlset>"
    )


def _json_feed(dice: random.Random, items: list[dict[str, str]]) -> str:
    shown = [
        {
            "id": dice.choice([one["guid"], 7, None]),
            "url": one["link"],
            "title": one["title"],
            "content_html": one["text"],
            "date_published": one["date"],
            "attachments": [{"url": one["link"], "mime_type": "audio/mpeg", "size_in_bytes": -1}],
            "authors": [{"name": "A"}],
        }
        for one in items
    ]
    document = {"version": "https://jsonfeed.org/version/1.1", "title": "F", "feed_url": FEED_URL, "items": shown}
    return json.dumps(document, ensure_ascii=dice.random() < 0.5)


def _documents(kinds: tuple[Callable[[random.Random, list[dict[str, str]]], str], ...], count: int) -> Iterator[bytes]:
    dice = random.Random(0)
    for kind in kinds:
        for _ in range(count):
            text = kind(dice, [_item(dice, number) for number in range(dice.randint(0, 6))])
            encoding = dice.choice(["utf-8", "utf-8", "gb18030", "utf-16", "windows-1251", "big5", "shift_jis"])
            label = dice.choice([encoding, "utf-8", ""])
            declared = f"<?xml version='1.0' encoding='{label}'?>" if label and not text.startswith("{") else ""
            body = (declared + text).encode(encoding, "xmlcharrefreplace")
            yield gzip.compress(body) if dice.random() < 0.1 else body


def _feeds() -> Iterator[bytes]:
    yield from _documents((_rss, _atom, _rdf, _sitemap, _json_feed), 12)
    recorded = sorted((SHARED / "feeds-dev").rglob("*.*")) if SHARED.is_dir() else []
    kept = [path for path in recorded if path.is_file() and path.stat().st_size < FEED.longest]
    for path in random.Random(0).sample(kept, min(RECORDED, len(kept))):
        yield path.read_bytes()


def charset(data: bytes) -> None:
    """Any bytes become text that every part of the house can hold."""
    for declared in (None, sniff_declared(data)):
        for http in (None, "gbk", "nonsense"):
            decoded = decode(data, http_charset=http, declared=declared)
            decoded.text.encode()
            clean_line(decoded.text).encode()


def _texts() -> Iterator[bytes]:
    for text in (
        "渡轮今天啟航，市长说",
        "フェリーが出航した",
        "Паром отплыл сегодня",
        "أبحرت العبّارة اليوم",
        "Fähre für alle",
    ):
        for encoding in ("utf-8", "gb18030", "big5", "shift_jis", "euc_kr", "windows-1251", "windows-1256", "utf-16"):
            with suppress(UnicodeError):
                yield (text * 3).encode(encoding)
                yield b"<?xml version='1.0' encoding='utf-8'?>" + text.encode(encoding)


def date(data: bytes) -> None:
    """What a feed calls a date is none, or one that has been."""
    moment = read_date(data.decode("utf-8", "replace"), now=NOW)
    assert moment is None or (moment.utcoffset() == timedelta(0) and moment <= NOW), moment


def _dates() -> Iterator[bytes]:
    for shape in (
        "%a, %d %b %Y %H:%M:%S GMT",
        "%Y-%m-%dT%H:%M:%S.%f+09:30",
        "%d. %B %Y",
        "%Y年%m月%d日 %H:%M",
        "%s",
        "%Y%m%d",
    ):
        yield NOW.strftime(shape).encode()
    yield from (
        b"Thu, 31 Dec 1969 23:59:60 EST",
        b"2026-02-30",
        b"0000-00-00T00:00:00Z",
        b"9" * 400,
        b"-1",
        b"May",
        "十月".encode(),
    )


def page(data: bytes) -> None:
    """A home page names feeds, or none."""
    found = candidates(data, url="https://news.example/", content_type="text/html")
    assert len(found) <= MAX_CANDIDATES
    for one in (*found, *guesses(data, url="https://news.example/a/b", content_type=None)):
        assert usable_url(one.url) == one.url, one


def _pages() -> Iterator[bytes]:
    link = "<link rel='alternate feed' type='application/rss+xml' title='T' href='/feed?a=1&amp;b'>"
    yield f"<!doctype html><html><head><base href='/b/'>{link}<meta name=generator content='WordPress 6'></head>".encode()
    yield b"<html><body><a href=/rss.xml title=RSS>RSS</a><a href='feed://x/atom'>Atom</a><script><link></script><!-- <link -->"


# ---------------------------------------------------------------- addresses


def url(data: bytes) -> None:
    """A string is no address, or one on which everybody who reads it agrees."""
    text = data.decode("utf-8", "surrogateescape")
    raw, _, base = text.partition("\n")
    usable = usable_url(raw, base or None)
    if usable is not None:
        assert usable.isascii()
        assert usable_url(usable) == usable, usable
        host = urlsplit(usable).hostname
        assert host
        with suppress(RefusedAddressError):
            GUARD.check_url(usable)
            assert _dialled(usable) == host, (usable, _dialled(usable))
        assert canonical_url(usable) == canonical_url(canonical_url(usable)), usable
        assert usable_url(canonical_url(usable)) == canonical_url(usable), usable
        assert gate_key(usable)
        assert urlsplit(authority(usable)).hostname == host
    with suppress(RefusedAddressError):
        GUARD.check_url(raw)
        _dialled(raw)
    assert canonical_url(canonical_url(raw)) == canonical_url(raw), raw
    origin, proxied = unwrap_proxy(raw)
    assert origin == raw or usable_url(origin) == origin, origin
    assert proxied is None or usable_url(proxied) == proxied
    named = picture_identity(raw)
    assert unwrap_proxy(named)[1] or picture_identity(named) == named, raw  # proxies are unwrapped twice at most
    picture_key(raw)
    shown = display_url(raw)
    assert len(shown) <= MAX_LABEL_CHARS
    assert shown.isprintable() or not any(ord(character) < 0x20 for character in shown), shown


def _dialled(address: str) -> str | None:
    """Where the fetching room would go, if it does: to what it checked, by whichever parser.

    Raises: RefusedAddressError: it does not, as it is refused in the spelling that goes out.
    """
    prepared = requests.PreparedRequest()
    try:
        prepared.prepare_url(address, None)
    except requests.RequestException as error:
        raise RefusedAddressError(str(error)) from error
    assert prepared.url is not None
    if prepared.url != address:
        GUARD.check_url(prepared.url)
    host = urlsplit(prepared.url).hostname
    assert (parse_url(prepared.url).host or "").strip("[]").lower() == host, prepared.url
    return host


def _urls() -> Iterator[bytes]:
    hosts = [
        "news.example",
        "例え.jp",
        "[::1]",
        "[::ffff:7f00:1]",
        "127.0.0.1",
        "0x7f.1",
        "2130706433",
        "www.voachinese.com",
        "a_b.example.",
    ]
    paths = ["/", "/a/slug/7940361.html", "/a;jsessionid=1", "/%7e/%zz/../b", "//a//b/", "/a\\b", "/中", ""]
    queries = [
        "",
        "?utm_source=rss&id=1",
        "?ref=rss",
        "?a=1&amp;b=2",
        "?url=https%3A%2F%2Fa.example%2F1.jpg%3Fv%3D2&w=9",
        "?a?b#c",
        "#!/x",
    ]
    dice = random.Random(0)
    for host in hosts:
        for path in paths:
            user, port = (
                dice.choice(["", "", "u:p@", "u@v@"]),
                dice.choice(["", "", ":80", ":443", ":0", ":99999", ":"]),
            )
            yield f"{dice.choice(['http', 'https', 'HTTP'])}://{user}{host}{port}{path}{dice.choice(queries)}".encode()
    yield b"../x?y\nhttps://news.example/a/b/c"
    yield b"https://images.weserv.nl?url=ssl:wsrv.nl/?url=a.example/1.jpg?v=1&s=2&w=3"
    yield b"http://127.0.0.1\\@e.example/"
    yield b"javascript:alert(1)"


# ---------------------------------------------------------------- answers


def headers(data: bytes) -> None:
    """An answer's headers are read, and what follows of them is within its bounds."""
    fields = header_fields(data)
    for name, value in fields:
        assert name.isascii()
        assert "\n" not in name + value
    status = 100 + int.from_bytes(data[:2], "big") % 900
    verdict = judge(status, fields, now=NOW, sent_validators=True)
    assert verdict.retry_after_s is None or 0 <= verdict.retry_after_s <= MAX_RETRY_AFTER_S
    assert 0 <= freshness_s(fields, NOW) <= MAX_FRESHNESS_S
    for _, value in fields:
        asked_s = retry_after_s(value, NOW)
        assert asked_s is None or 0 <= asked_s <= MAX_RETRY_AFTER_S
        media_kind(value, data[:512])
    robots_tag(fields, AGENT)
    for link in header_links(fields, FEED_URL):
        assert usable_url(link.target) == link.target
    hub, topic = advertised(fields, url=FEED_URL, hub_url=None, topic_url=None)
    assert (hub is None) == (topic is None)
    with suppress(NewsmillError):
        decoded = decoded_body(_hop(fields, data), CAP_BYTES)
        assert len(decoded) <= CAP_BYTES
    with suppress(NewsmillError):
        target = redirect_target(_hop(fields, b""))
        assert usable_url(target) is not None or target, target


def _hop(fields: tuple[tuple[str, str], ...], body: bytes) -> Hop:
    return Hop(
        url=FEED_URL,
        method="GET",
        request_head=b"GET /feeds/all.xml HTTP/1.1\r\n\r\n",
        status=302,
        response_head=b"HTTP/1.1 302 Found\r\n\r\n",
        headers=fields,
        body=body,
        began_at=NOW,
        ended_at=NOW,
        ip=None,
    )


def _blocks() -> Iterator[bytes]:
    lines = [
        "Content-Type: application/rss+xml; charset=gbk; q=1",
        "Cache-Control: max-age=600, no-cache, max-age=-1",
        "Retry-After: 120",
        "Retry-After: Tue, 24 Nov 2026 12:10:00 GMT",
        "Expires: 0",
        "Age: 99999999999999999999",
        "Location: ../b?x=中#f",
        'Link: <https://hub.example/>; rel=hub, </self>; rel="self"; anchor="#x", <a>;rel=',
        "X-Robots-Tag: googlebot: noindex, newsmill: unavailable_after: 25 Jun 2026 15:00:00 PST, none",
        "Content-Encoding: gzip, deflate",
        "Folded: a\r\n b",
        "no header at all",
        "Set-Cookie: a=b; Path=/",
    ]
    dice = random.Random(0)
    for _ in range(40):
        yield "\r\n".join(dice.sample(lines, dice.randint(1, len(lines)))).encode()
    yield "\r\n".join(lines * 20).encode()


def coding(data: bytes) -> None:
    """A compressed body gives no more than the cap, or is refused by name."""
    for named in ("gzip", "deflate", "gzip, deflate"):
        with suppress(NewsmillError):
            assert len(decoded_body(_hop((("Content-Encoding", named),), data), CAP_BYTES)) <= CAP_BYTES


def _bodies() -> Iterator[bytes]:
    body = b"<rss>" + b"news " * 500
    yield from (gzip.compress(body), zlib.compress(body), zlib.compress(body)[2:-4], gzip.compress(body) * 3)
    yield from (zlib.compress(gzip.compress(body)), gzip.compress(body)[:-9], gzip.compress(b"\0" * 4 * CAP_BYTES))


def robots(data: bytes) -> None:
    """Any robots.txt answers, at once, whether a URL may be asked for."""
    body, _, path = data.partition(b"\x00")
    decision = read_robots(200, body, now=NOW)
    address = usable_url("/" + path.decode("latin-1"), "https://news.example/") or "https://news.example/"
    assert allowed(decision.text, AGENT, address) in {True, False}
    delay_s = crawl_delay_s(decision.text, AGENT)
    assert delay_s is None or (math.isfinite(delay_s) and 0 <= delay_s <= MAX_CRAWL_DELAY_S), delay_s


def _robots() -> Iterator[bytes]:
    yield b"User-agent: *\nDisallow: /a*b*c$\nAllow: /a\nCrawl-delay: 1e9\nSitemap: /s.xml\n\x00a/b?c"
    yield b"User-agent: newsmill\nUser-agent: x\nDisallow:\nCrawl-delay: 0.5\r\nRequest-rate: 1/5\n\x00x"
    yield "\ufeffuser-agent : *\ndisallow : /中/%e4%b8%ad/*?*&$\n\x00%E4%B8%AD/".encode()
    yield b"Disallow: /" + b"*a" * 400 + b"\n\x00" + b"a" * 400
    yield b"<html>not here</html>"


XML_WORDS = (
    "<item>", "</item>", "<entry>", "<![CDATA[", "]]>", "<!DOCTYPE x [<!ENTITY a 'b'>]>", "&a;", "&#0;", "&#xD800;",
    "<?xml version='1.0' encoding='gb2312'?>", "xml:base='http://[", "xmlns='", "<link>", "<title>", "<guid>", "<!--", "-->",
    "<content:encoded>", "type='xhtml'", "<pubDate>", "rel='alternate'", "\ufeff", "\x00",
)  # fmt: skip
URL_WORDS = (
    "http://", "https://", "//", "@", "\\", "[::1]", "%2e", "%00", "..", ";jsessionid=", "utm_source=", "&amp;", "xn--", "。",
    "①", "?url=", "images.weserv.nl", "wsrv.nl", "/a/1.html", "voachinese.com", "#!", "\u202e", ":80", "ssl:",
)  # fmt: skip
HEADER_WORDS = (
    "\r\n", "Retry-After: ", "Cache-Control: ", "max-age=", "Link: <", ">; rel=hub", "Location: ", "X-Robots-Tag: ", "GMT",
    "Content-Encoding: gzip", "Expires: ", "Age: ", "anchor=", '"',
)  # fmt: skip
ROBOTS_WORDS = (
    "User-agent: ",
    "Disallow: ",
    "Allow: ",
    "Crawl-delay: ",
    "*",
    "$",
    "\n",
    "newsmill",
    "%2a",
    "\x00",
    "Request-rate: ",
)

FEED = Target(run=feed, seeds=_feeds, longest=20_000, share=8, words=XML_WORDS)
TARGETS = {
    "feed": FEED,
    "json-feed": Target(
        run=feed,
        seeds=lambda: _documents((_json_feed,), 30),
        longest=5_000,
        share=2,
        words=('"items":[', "null", "1e999", "[[[[", '"\\ud800"', '"url":', '"id":', "{}"),
    ),
    "charset": Target(run=charset, seeds=_texts, longest=2_000, share=2),
    "date": Target(
        run=date, seeds=_dates, longest=200, share=2, words=("GMT", "+0900", "T", "年", "a.m.", "Sept", "٣")
    ),
    "page": Target(
        run=page, seeds=_pages, longest=5_000, share=2, words=("<link ", "rel=", "href=", "<base ", "<!--", "<script>")
    ),
    "url": Target(run=url, seeds=_urls, longest=600, share=6, words=URL_WORDS),
    "headers": Target(run=headers, seeds=_blocks, longest=4_000, share=4, words=HEADER_WORDS),
    "coding": Target(run=coding, seeds=_bodies, longest=8_000, share=2),
    "robots": Target(run=robots, seeds=_robots, longest=5_000, share=3, words=ROBOTS_WORDS),
}
