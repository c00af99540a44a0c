"""The readable document: byte for byte as its first writer made it, and read back with all its variants."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.archive.document import Document, feed_document, read_document, render_document, write_document
from worker.errors import QuarantineError
from worker.model import ArticleRecord, Extraction, ImageCandidate, Picture

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


@given(title=st.text(max_size=60), url=st.text(max_size=60), html=st.text(max_size=200))
def test_whatever_is_written_can_be_read(title: str, url: str, html: str) -> None:
    data = render_document(a_record(title=title, html=html), feed_date=None, discovered_at=FOUND, url=url)
    assert data.count(b"\n") == 5
    read = read_document(data)
    assert read.epoch_ms == 1737127200500
    assert write_document(read) == data


def test_a_feeds_own_body_has_its_lines_stripped_and_joined() -> None:
    html = "\n  <div>a</div> \r\n\u3000<p>b\n c</p>\ufeff\n\n<br>\t"
    assert feed_document(html, title=" T ", url=URL, feed_date=FEED_DATE, discovered_at=FOUND).decode() == (
        f"<!--1737125942000-->\n[T]({URL})\n------\n\n<div>a</div><p>bc</p><br>\n"
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
        ("---\nlayout: post\n---\n<!--1-->\n[t](u)\n------\n\nb\n", Document(epoch_ms=1, title="t", url="u", body="b")),
        ("<!--1-->\n[t](u)\n------\n\n<div>\nb\n</div>\n", Document(epoch_ms=1, title="t", url="u", body="b")),
        ("<!--1-->\n[t](u)\n------\n\n\n", Document(epoch_ms=1, title="t", url="u", body="")),
        ("<!--1-->\n[t](u)\n------\n", Document(epoch_ms=1, title="t", url="u", body="")),
    ],
    ids=[
        "the layout", "NaN", "bracket in the title", "bracket in the URL", "date line", "date line nobody can read",
        "front matter", "wrapped body", "empty body", "nothing under the rule",
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
        b"<!--1-->\n",
        b"<!--1-->\n[t]\n------\n\nb\n",
        b"t](u)\n------\n\nb\n",
        b"[t](u)\n",
    ],
)
def test_what_is_no_document_is_said_so(data: bytes) -> None:
    with pytest.raises(QuarantineError) as caught:
        read_document(data)
    assert caught.value.reason == "not-a-document"


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
def test_recorded_feed_bodies_come_out_byte_for_byte(shared: Path) -> None:
    """What the first writer made of a feed item, made again from the item's facts."""
    for path in sorted((shared / "seed-data" / "archive").glob("*/*.md")):
        data = path.read_bytes()
        if not data.startswith(b"<!--"):
            continue
        read = read_document(data)
        date = datetime.fromtimestamp(read.epoch_ms / 1000, UTC)
        broken_up = read.body.replace("><", "> \n\t<")
        again = feed_document(broken_up, title=read.title, url=read.url, feed_date=date, discovered_at=FOUND)
        assert again == write_document(replace(read, title=read.title.strip())), path.name  # one has a blank at its end


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
