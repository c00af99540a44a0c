"""The readable document: byte for byte as its first writer made it, and read back with all its variants."""

from __future__ import annotations

import json
import re
import unicodedata
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from html import escape
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from worker.archive.document import (
    Document,
    converted_document,
    feed_document,
    is_exact,
    read_document,
    render_document,
    write_document,
)
from worker.errors import QuarantineError
from worker.extract.article import extract_article
from worker.extract.feedtext import read_feed_text
from worker.feeds.parse import parse_feed
from worker.model import ArticleRecord, Entry, Extraction, ImageCandidate, Picture
from worker.urls import usable_url

FEED_DATE = datetime(2025, 1, 17, 14, 59, 2, tzinfo=UTC)
FOUND = datetime(2025, 1, 17, 15, 20, 0, 500_000, tzinfo=UTC)
URL = "https://news.example/a/7940337.html"


def a_record(**changes) -> ArticleRecord:
    given = {
        "title": "渡轮回来了",
        "published_at": datetime(2025, 1, 17, 14, 50, 11, tzinfo=UTC),
        "html": "<p>The ferry.</p><p>Is back.</p>",
        "extraction": Extraction(method="page", version="1", confidence=1.0),
    }
    return ArticleRecord(**given | changes)


def rendered(record: ArticleRecord | None = None, **changes) -> str:
    given = {"feed_date": FEED_DATE, "discovered_at": FOUND, "url": URL}
    return render_document(record or a_record(), **given | changes).decode()


# ---------------------------------------------------------------- writing


def test_a_document_has_exactly_this_layout() -> None:
    picture = Picture(url="https://img.example/p.jpg?w=1&h=2", caption="At the pier, \n “today” <3", credit="AP")
    assert rendered(picture=picture) == (
        "<!--1737125942000-->\n"
        "[渡轮回来了](https://news.example/a/7940337.html)\n"
        "------\n"
        "\n"
        "<div><i>Fri, 17 Jan 2025 14:50:11 GMT</i></div>"
        '<img src="https://img.example/p.jpg?w=1&amp;h=2" width="100%">'
        '<div><small style="color: #999;">At the pier, “today” &lt;3 AP</small></div>'
        "<p>The ferry.</p><p>Is back.</p>\n"
    )


def test_what_is_unknown_is_left_out() -> None:
    assert rendered(a_record(published_at=None)).split("\n")[4] == "<p>The ferry.</p><p>Is back.</p>"


def test_without_a_feed_date_the_moment_of_discovery_serves() -> None:
    assert rendered(feed_date=None).startswith("<!--1737127200500-->\n")


@pytest.mark.parametrize(
    ("proxy", "source"),
    [
        (None, "https://img.example/p.jpg?w=1&amp;h=2%20"),
        ("https://images.weserv.nl?url={url}&w=900", "https://images.weserv.nl?url=https://img.example/p.jpg%3Fw%3D1%26h%3D2%2520&amp;w=900"),
    ],
    ids=["no proxy", "proxy"],
)  # fmt: skip
def test_a_picture_is_written_by_its_origin_or_by_the_feeds_proxy(proxy: str | None, source: str) -> None:
    picture = Picture(url="https://img.example/p.jpg?w=1&h=2%20")
    assert f'<img src="{source}" width="100%"><p>' in rendered(picture=picture, image_proxy=proxy)


def test_a_picture_nobody_fetched_yet_is_the_one_the_record_names() -> None:
    image = ImageCandidate(url="https://img.example/p.jpg", chosen_by="og:image", credit="AP")
    assert (
        '<img src="https://img.example/p.jpg" width="100%"><div><small style="color: #999;">AP</small></div>'
        in rendered(a_record(image=image))
    )


def test_a_proxy_is_for_the_pictures_within_the_article_too() -> None:
    html = '<figure><img src="https://wsrv.nl?url=https%3A%2F%2Fimg.example%2Fa.jpg%3Fw%3D1&amp;w=9" alt="a"></figure>'
    written = rendered(a_record(html=html), image_proxy="https://proxy.example/?u={url}")
    assert '<img src="https://proxy.example/?u=https://img.example/a.jpg%3Fw%3D1" alt="a">' in written


def test_a_credit_within_the_caption_is_not_repeated() -> None:
    assert ">A ferry (AP)</small>" in rendered(
        picture=Picture(url="https://a.example/", caption="A ferry (AP)", credit="AP")
    )


def test_line_breaks_inside_the_article_keep_their_meaning_on_one_line() -> None:
    assert rendered(a_record(html="<pre>a\nb\r\nc</pre>")).endswith("<pre>a&#10;b&#10;c</pre>\n")


@pytest.mark.parametrize(
    ("title", "written"),
    [
        (None, ""),
        (" \u3000Two\r\n  lines\u2028three\x85 ", "Two lines three"),
        ("[live] a](b) c", "[live] a](b) c"),
        ("a)\n------\n\nb", "a) ------  b"),
        ("\x1b[31mred\x00\x07", "[31mred"),
        ("-->\n<!--1-->", "--> <!--1-->"),
        ("lone \ud800", "lone ?"),
    ],
    ids=["none", "line breaks", "brackets", "a rule", "control characters", "comments", "lone surrogate"],
)  # fmt: skip
def test_a_hostile_title_stays_in_its_place(title: str | None, written: str) -> None:
    text = rendered(a_record(title=title))
    assert text.split("\n")[1] == f"[{written}]({URL})"
    assert read_document(text.encode()).title == written


def test_a_hostile_url_stays_in_its_place() -> None:
    read = read_document(rendered(url="https://a.example/x](y)\n------\n\n é").encode())
    assert read.url == "https://a.example/x%5D(y)%0A------%0A%0A%20%C3%A9"
    assert read.title == "渡轮回来了"


# ---------------------------------------------------------------- as a Markdown viewer shows it

SIGNS = "*a* _b_ `c` [d](e) ![f](g) ~~h~~ # i | j \\* &amp;amp; &lt;k&gt; 1. l"


def shown(document: str) -> list[tuple[str, str]]:
    return [(token.type, token.content) for token in MarkdownIt("commonmark").parse(document)]


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"published_at": None},
        {"published_at": None, "image": ImageCandidate(url="https://a.example/*b*_c_.jpg", chosen_by="body")},
        {"html": f"<pre>a\n\n\n    b\n{SIGNS}</pre><p>{SIGNS}</p>", "published_at": None},
        {"html": "", "published_at": None, "image": ImageCandidate(url="https://a.example/b.jpg", chosen_by="body")},
        *({"html": f"<{tag}>{SIGNS}</{tag}>", "published_at": None} for tag in ("h2", "ul", "ol", "blockquote", "table", "figure")),
    ],
    ids=["all", "no date", "no date, but a picture", "preformatted", "no text", "heading", "list", "numbers", "quote", "table", "figure"],
)  # fmt: skip
def test_a_viewer_shows_the_heading_and_below_it_the_article_as_it_is(changes: dict[str, object]) -> None:
    document = rendered(a_record(**{"html": f"<p>{SIGNS}</p>", **changes}))
    tokens = shown(document)
    assert [kind for kind, _ in tokens] == [
        "html_block", "heading_open", "inline", "heading_close", "html_block"
    ]  # fmt: skip
    assert tokens[0][1].strip() == "<!--1737125942000-->"
    assert tokens[-1][1].strip() == document.split("\n")[4]


def test_the_date_stands_empty_where_none_is_known_and_a_picture_would_come_first() -> None:
    record = a_record(published_at=None, image=ImageCandidate(url="https://a.example/b.jpg", chosen_by="body"))
    assert rendered(record).split("\n")[4].startswith('<div></div><img src="https://a.example/b.jpg" width="100%"><p>')


# ---------------------------------------------------------------- reading back

HOSTILE = ("](", ")", "\n------\n", "|", '"', "\xa0", "\u200b", "\ufeff", "\r\n", "\u2028", "<!--1-->", "\\", "\x07")
TITLES = st.lists(st.characters(codec="utf-8") | st.sampled_from(HOSTILE), max_size=30).map("".join)
_PART = st.text(st.sampled_from('abc%20%E4()[]|~_*&=/.-é渡]"<> '), max_size=20)
URLS = (
    st.builds("https://news.example/{}?q={}".format, _PART, _PART).map(usable_url).filter(bool)
)  # as feeds' links are
MOMENTS = st.datetimes(datetime(1990, 1, 1), datetime(2099, 12, 31), timezones=st.just(UTC))  # noqa: DTZ001 - extraction reads no others


def bare(title: str) -> str:
    """What of a title comes back whatever it is: all but white space and control characters."""
    return "".join(
        character
        for character in title
        if unicodedata.category(character) != "Cc" and not character.isspace() and character != "\ufeff"
    )


@given(title=TITLES, url=URLS, dates=st.tuples(MOMENTS, st.none() | MOMENTS))
def test_any_article_can_be_read_back(title: str, url: str, dates: tuple[datetime, datetime | None]) -> None:
    feed_date, true_date = dates
    record = a_record(title=title, published_at=true_date)
    data = render_document(record, feed_date=feed_date, discovered_at=FOUND, url=url)
    read = read_document(data)
    assert is_exact(data, read)
    assert bare(read.title) == bare(title)
    assert read.url == url
    assert timedelta(0) <= feed_date - read.feed_date < timedelta(milliseconds=1)
    found = read_feed_text(Entry(guid=None, url=read.url, title=read.title, content_html=read.body))
    assert found.published_at == (true_date and true_date.replace(microsecond=0))


@given(title=TITLES, url=URLS, feed_date=MOMENTS, html=st.text(st.characters(codec="utf-8"), max_size=80))
def test_a_document_with_the_feeds_own_body_can_be_read_back(
    title: str, url: str, feed_date: datetime, html: str
) -> None:
    data = feed_document(html, title=title, url=url, feed_date=feed_date, discovered_at=FOUND)
    read = read_document(data)
    assert is_exact(data, read)
    assert bare(read.title) == bare(title)
    assert read.url == url
    assert read.feed_date == feed_date.replace(microsecond=feed_date.microsecond // 1000 * 1000)


@pytest.mark.parametrize("proxy", [None, "https://images.weserv.nl?url={url}&w=900"], ids=["plain", "proxied"])
def test_a_clean_document_holds_the_article_it_was_made_of(proxy: str | None) -> None:
    picture = Picture(url="https://img.example/p.jpg", caption="At the pier")
    data = rendered(picture=picture, image_proxy=proxy)
    read = read_document(data.encode())
    entry = Entry(guid=None, url=read.url, title=read.title, content_html=read.body)
    again = extract_article(b"", read.url, None, entry, fulltext="always")
    assert (again.title, again.published_at) == (a_record().title, a_record().published_at)
    assert again.text == "The ferry.\n\nIs back."
    assert (again.image.url, again.image.caption) == ("https://img.example/p.jpg", "At the pier")


@pytest.mark.parametrize("epoch_ms", [None, 10**15, -(10**15)])
def test_a_number_that_is_in_no_calendar_is_no_date(epoch_ms: int | None) -> None:
    assert Document(epoch_ms=epoch_ms, title="t", url="u", body="b").feed_date is None


@given(title=st.text(max_size=60), url=st.text(max_size=60), html=st.text(max_size=200))
def test_whatever_is_written_can_be_read(title: str, url: str, html: str) -> None:
    data = render_document(a_record(title=title, html=html), feed_date=None, discovered_at=FOUND, url=url)
    assert data.count(b"\n") == 5
    assert b"<!--NaN-->" not in data.splitlines()[:1]
    read = read_document(data)
    assert read.epoch_ms == 1737127200500
    assert write_document(read) == data


def test_a_feeds_own_body_has_its_lines_stripped_and_joined() -> None:
    html = "\n  <div>a</div> \r\n\u3000<p>b\n c</p>\ufeff\n\n<br>\t"
    assert feed_document(html, title=" T ", url=URL, feed_date=FEED_DATE, discovered_at=FOUND).decode() == (
        f"<!--1737125942000-->\n[T]({URL})\n------\n\n<div>a</div><p>bc</p><br>\n"
    )


@pytest.mark.parametrize("body", ["<p>one\ntwo</p>\r\n<pre>a\n b</pre>", "\n<p>one\ntwo</p>\r<pre>a\n b</pre>\n"])
def test_a_variant_on_several_lines_keeps_its_words_apart(body: str) -> None:
    variant = Document(epoch_ms=None, title="T", url=URL, body=body)
    assert converted_document(variant, feed_date=FEED_DATE, discovered_at=FOUND).decode() == (
        f"<!--1737125942000-->\n[T]({URL})\n------\n\n<p>one&#10;two</p>&#10;<pre>a&#10; b</pre>\n"
    )


# ---------------------------------------------------------------- reading


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("<!--1-->\n[t](u)\n------\n\n<p>b</p>\n", Document(epoch_ms=1, title="t", url="u", body="<p>b</p>")),
        ("<!--NaN-->\n[t](u)\n------\n\nb\n", Document(epoch_ms=None, title="t", url="u", body="b")),
        ("<!--1-->\n[a](b](u)\n------\n\nb\n", Document(epoch_ms=1, title="a](b", url="u", body="b")),
        ("<!--1-->\n[t](u(1))\n------\n\nb\n", Document(epoch_ms=1, title="t", url="u(1)", body="b")),
        ("[t](u)\n------\n日期：Thu, 01 Jan 1970 00:00:01 +0000\n\nb\n", Document(epoch_ms=1000, title="t", url="u", body="b")),
        ("[t](u)\n------\n日期：gestern\n\nb\n", Document(epoch_ms=None, title="t", url="u", body="b")),
        (f"[t](u)\n------\n日期：Thu, 01 Jan {10**20} 00:00:00 GMT\n\nb\n", Document(epoch_ms=None, title="t", url="u", body="b")),
        ("---\nlayout: post\n---\n<!--1-->\n[t](u)\n------\n\nb\n", Document(epoch_ms=1, title="t", url="u", body="b")),
        ("<!--1-->\n[t](u)\n------\n\n<div>\nb\n</div>\n", Document(epoch_ms=1, title="t", url="u", body="b")),
        ("<!--1-->\n[t](u)\n------\n\n\n", Document(epoch_ms=1, title="t", url="u", body="")),
        ("<!--1-->\n[t](u)\n------\n", Document(epoch_ms=1, title="t", url="u", body="")),
        ("\ufeff<!--1-->\r\n[t](u)\r\n------\r\n\r\nb\r\n", Document(epoch_ms=1, title="t", url="u", body="b")),
        ('<!--1-->\n[t](u)\n------\n\n<p title="a\rb">c</p>\n', Document(epoch_ms=1, title="t", url="u", body='<p title="a\rb">c</p>')),
    ],
    ids=[
        "the layout", "NaN", "bracket in the title", "bracket in the URL", "date line", "date line nobody can read", "a year in no calendar",
        "front matter", "wrapped body", "empty body", "nothing under the rule", "Windows", "carriage return",
    ],
)  # fmt: skip
def test_a_document_is_read(text: str, expected: Document) -> None:
    assert read_document(text.encode()) == expected


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff\xfe",
        b"# A note\n",
        b"<!-- a note -->\n[t](u)\n------\n\nb\n",
        b"t](u)\n------\n\nb\n",
        b"[t](u)\n",
        b"[![a badge](b.svg)](c)\n\nA tool (of sorts)\n------\n\nb\n",
    ],
)
def test_what_is_no_document_is_said_so(data: bytes) -> None:
    with pytest.raises(QuarantineError) as caught:
        read_document(data)
    assert caught.value.reason == "not-a-document"


@pytest.mark.parametrize(
    "data",
    [
        b"<!--1-->\n",
        b"<!--1-->\n[t]\n------\n\nb\n",
        b"<!--1-->\n[t](u)\n------\n\n<p>b",
        "<!--1-->\n[t](u)\n------\n\n<p>渡</p>\n".encode()[:-6],
    ],
    ids=["a comment only", "no URL", "cut in a word", "cut in a character"],
)
def test_what_begins_as_a_document_and_is_none_is_damaged(data: bytes) -> None:
    with pytest.raises(QuarantineError) as caught:
        read_document(data)
    assert caught.value.reason == "damaged-document"


@given(st.text(max_size=80), st.text(max_size=80))
def test_no_date_line_raises(before: str, after: str) -> None:
    read = read_document(f"[t](u)\n------\n日期：{before}, 1{after}\n\nb\n".encode("utf-8", "replace"))
    assert read.title == "t"


# ---------------------------------------------------------------- the recorded archive


@pytest.mark.shared
def test_recorded_documents_of_the_layout_come_out_byte_for_byte(shared: Path) -> None:
    archive = shared / "seed-data" / "archive"
    documents = [path.read_bytes() for path in sorted(archive.glob("*/*.md"))]
    documents += [path.read_bytes() for path in (shared / "seed-data" / "seed").iterdir()]
    layout = [data for data in documents if data.startswith(b"<!--")]
    assert len(layout) > 650
    for data in layout:
        read = read_document(data)
        assert write_document(read) == data
        assert read.url.startswith("http")


@pytest.mark.shared
@pytest.mark.parametrize("manner", ["CDATA", "escaped"])
def test_a_feed_rebuilt_from_recorded_documents_gives_them_back_byte_for_byte(shared: Path, manner: str) -> None:
    """From XML to document, as the line does it for a feed with ``document_body = "feed"``."""
    archive = shared / "seed-data" / "archive"
    documents = [path.read_bytes() for path in sorted(archive.glob("*/*.md"))]
    documents += [path.read_bytes() for path in (shared / "seed-data" / "seed").iterdir()]
    layout = [data for data in documents if is_exact(data, read_document(data))]
    assert len(layout) > 700
    for data in layout:
        read = read_document(data)
        body = f"<![CDATA[{read.body}]]>" if manner == "CDATA" else escape(read.body)
        feed = (
            '<?xml version="1.0" encoding="UTF-8"?><rss version="2.0"><channel><title>A feed</title><item>'
            f"<title>{escape(read.title, quote=False)}</title><link>{escape(read.url)}</link>"
            f"<pubDate>{format_datetime(read.feed_date, usegmt=True)}</pubDate>"
            f"<description>{body}</description></item></channel></rss>"
        )
        (entry,) = parse_feed(feed.encode(), content_type=None, url="https://feedx.net/rss/x.xml", now=FOUND).entries
        again = feed_document(
            entry.html or "",
            title=entry.title_raw or entry.title or "",
            url=entry.url or "",
            feed_date=entry.published_at,
            discovered_at=FOUND,
        )
        expected = write_document(replace(read, title=read.title.strip()))  # one has a blank at its end
        assert again == expected, read.url


@pytest.mark.shared
def test_recorded_bodies_broken_into_lines_come_out_on_one(shared: Path) -> None:
    for path in sorted((shared / "seed-data" / "archive").glob("voa/*.md")):
        read = read_document(path.read_bytes())
        broken_up = re.sub("><", "> \n\t<", read.body)
        again = feed_document(broken_up, title=read.title, url=read.url, feed_date=read.feed_date, discovered_at=FOUND)
        assert again == path.read_bytes(), path.name


@pytest.mark.shared
def test_recorded_documents_have_the_url_and_date_of_the_index(shared: Path) -> None:
    for line in (shared / "seed-data" / "archive" / "index.jsonl").read_text().splitlines():
        expected = json.loads(line)
        read = read_document((shared / "seed-data" / expected["file"]).read_bytes())
        assert read.title
        assert read.url == expected["url"]
        if expected["epoch_ms"]:
            assert read.epoch_ms == int(expected["epoch_ms"])
        assert not read.body.startswith(("日期", "\n"))
