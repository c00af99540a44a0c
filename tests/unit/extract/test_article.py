"""What the front door promises: one record, whatever comes in."""

from __future__ import annotations

import json
import random
import re
import time
from collections.abc import Callable
from datetime import UTC, datetime

import lxml.etree
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from worker.extract import extract_article
from worker.model import Enclosure, Entry

URL = "https://news.example/2024/harbour"
SENTENCE = "The harbour of Lindholm opened again on Tuesday after eleven quiet months of careful work by the crews. "


def page(*, head: str = "", body: str = "", paragraphs: int = 6) -> bytes:
    text = "".join(f"<p>Part {number}. {SENTENCE}{SENTENCE}</p>" for number in range(paragraphs))
    return (
        f"<!doctype html><html lang='en'><head><meta charset='utf-8'>{head}</head><body><nav><a href='/'>Home</a></nav>"
        f"<article><h1>Harbour opens again</h1>{body}{text}</article><footer>All rights reserved</footer></body></html>"
    ).encode()


def jsonld(**properties: object) -> str:
    return f'<script type="application/ld+json">{json.dumps({"@type": "NewsArticle", **properties})}</script>'


def entry(html: str | None = None, **fields: object) -> Entry:
    return Entry(**{"guid": "g", "url": URL, "title": "Harbour opens again", "summary_html": html, **fields})


FULL_TEXT = "".join(f"<p>Feed part {number}. {SENTENCE}{SENTENCE}</p>" for number in range(6))


def test_a_page_becomes_a_record_with_all_its_fields() -> None:
    head = jsonld(
        headline="Harbour opens again",
        author=[{"@type": "Person", "name": "Ada Lind"}, {"@type": "Person", "name": "Bo Ek"}],
        datePublished="2024-05-02T08:30:00+02:00",
        dateModified="2024-05-02T10:00:00Z",
        articleSection="Local",
        keywords="harbour, ships",
        description="Eleven months of work are over.",
        publisher={"name": "Lindholm Post"},
        license="https://creativecommons.org/licenses/by/4.0/",
    )
    head += '<link rel="canonical" href="https://news.example/harbour?x=1"><meta name="tdm-reservation" content="1">'
    record = extract_article(page(head=head), URL)
    assert record.not_article is None
    assert record.title == "Harbour opens again"
    assert record.authors == ("Ada Lind", "Bo Ek")
    assert record.published_at == datetime(2024, 5, 2, 6, 30, tzinfo=UTC)
    assert record.published_from == "json-ld"
    assert record.modified_at == datetime(2024, 5, 2, 10, 0, tzinfo=UTC)
    assert record.language == "en"
    assert record.section == "Local"
    assert record.tags == ("harbour", "ships")
    assert record.site_name == "Lindholm Post"
    assert record.summary == "Eleven months of work are over."
    assert record.canonical_url == "https://news.example/harbour?x=1"
    assert record.licence == "https://creativecommons.org/licenses/by/4.0/"
    assert record.tdm_reservation == "1"
    assert record.extraction.method == "page:leaves"


def test_text_is_paragraphs_with_one_blank_line_between_and_no_furniture_or_title() -> None:
    text = extract_article(page(), URL).text
    paragraphs = text.split("\n\n")
    assert len(paragraphs) == 6
    assert all(paragraph.startswith("Part ") for paragraph in paragraphs)


@pytest.mark.parametrize(
    "html", [b"", b" \n", b"<!-- -->", b"\x00\x00"], ids=["nothing", "blanks", "a comment", "NULs"]
)
def test_an_empty_page_without_feed_text_is_no_article(html: bytes) -> None:
    record = extract_article(html, URL, entry=entry("A teaser."))
    assert record.not_article == "empty"
    assert record.title == "Harbour opens again"


@pytest.mark.parametrize(
    "html",
    [b"%PDF-1.7 ...", b"PK\x03\x04....", b"\x00\x00\x00\x18ftypmp42", b"\x89PNG\r\n\x1a\n", random.Random(1).randbytes(200_000)],
    ids=["PDF", "ZIP", "MP4", "PNG", "noise"],
)  # fmt: skip
def test_bytes_that_are_no_text_are_named(html: bytes) -> None:
    assert extract_article(html, URL).not_article == "unsupported-type"


def test_an_unreachable_page_leaves_the_article_to_the_full_text_feed() -> None:
    record = extract_article(b"", URL, entry=entry(FULL_TEXT))
    assert record.not_article is None
    assert record.extraction.method == "feed"
    assert record.text.startswith("Feed part 0.")


def test_a_teaser_does_not_pass_for_an_article_but_is_kept() -> None:
    record = extract_article(b"", URL, entry=entry(f"<p>{SENTENCE} Read more</p>"))
    assert record.not_article == "empty"
    assert record.access.partial
    assert record.text


@pytest.mark.parametrize(
    ("fulltext", "feed_html", "method"),
    [
        ("auto", FULL_TEXT, "feed"),
        ("auto", f"<p>{SENTENCE}</p>", "page:leaves"),
        ("never", FULL_TEXT, "page:leaves"),
        ("always", f"<p>{SENTENCE}</p>", "feed"),
    ],
    ids=["a feed with as much as the page", "a teaser", "told never", "told always"],
)
def test_page_or_feed(fulltext: str, feed_html: str, method: str) -> None:
    assert extract_article(page(), URL, entry=entry(feed_html), fulltext=fulltext).extraction.method == method


def test_the_feed_s_text_keeps_the_page_s_facts() -> None:
    head = jsonld(author={"name": "Ada Lind"}, datePublished="2024-05-02T08:30:00Z", articleSection="Local")
    record = extract_article(page(head=head), URL, entry=entry(FULL_TEXT, authors=("somebody else",)))
    assert (record.extraction.method, record.authors, record.section) == ("feed", ("Ada Lind",), "Local")
    assert record.published_at == datetime(2024, 5, 2, 8, 30, tzinfo=UTC)


def test_a_wall_in_front_of_the_page_leaves_the_article_to_the_feed() -> None:
    wall = b"<html><head><title>Just a moment...</title></head><body><p>Checking your browser</p></body></html>"
    record = extract_article(wall, URL, entry=entry(FULL_TEXT))
    assert record.not_article is None
    assert record.extraction.warnings == ("page-challenge",)
    assert record.title == "Harbour opens again"


def test_the_feed_fills_what_the_page_does_not_say() -> None:
    at = datetime(2024, 5, 2, tzinfo=UTC)
    said = entry("x", published_at=at, authors=("Ada Lind",), categories=("Ships",), language="en-GB")
    record = extract_article(page(), URL, entry=said)
    assert (record.published_at, record.published_from) == (at, "feed")
    assert (record.authors, record.tags) == (("Ada Lind",), ("Ships",))


def test_a_page_clock_that_is_off_by_whole_hours_is_flagged() -> None:
    said = entry("x", published_at=datetime(2024, 5, 2, 0, 30, 12, tzinfo=UTC))
    head = jsonld(datePublished="2024-05-02T08:30:00Z")
    assert extract_article(page(head=head), URL, entry=said).extraction.warnings == ("date-off-by-whole-hours",)


def test_unknown_is_none_and_not_a_guess() -> None:
    record = extract_article(page(head=jsonld(datePublished="some day in May")), URL)
    assert record.published_at is None
    assert record.published_from is None
    assert record.image is None
    assert record.access.paywalled is None


def test_a_bare_day_is_its_first_moment_unless_the_feed_knows_the_hour() -> None:
    html = page(head=jsonld(datePublished="2024-05-02"))
    alone = extract_article(html, URL)
    assert (alone.published_at, alone.published_from) == (datetime(2024, 5, 2, tzinfo=UTC), "json-ld")
    hour = datetime(2024, 5, 2, 9, 30, tzinfo=UTC)
    fed = extract_article(html, URL, entry=entry(published_at=hour))
    assert (fed.published_at, fed.published_from) == (hour, "feed")


def test_a_moment_keeps_the_zone_it_was_written_in() -> None:
    record = extract_article(page(head=jsonld(datePublished="2024-05-02T00:30:00+02:00")), URL)
    assert record.published_at is not None
    assert record.published_at.isoformat() == "2024-05-02T00:30:00+02:00"


def test_a_dek_is_the_summary_and_no_part_of_the_text() -> None:
    dek = "After eleven months of work the first ferry is back, and the town has come to see it."
    html = page(head=f'<meta property="og:description" content="{dek}">')
    shown = html.replace(b"</h1>", f'</h1><p class="article-dek">{dek}</p>'.encode())
    record = extract_article(shown, URL)
    assert (record.summary, record.summary_from) == (dek, "dek")
    assert dek not in record.text
    assert extract_article(html, URL).summary_from == "meta"


def test_a_summary_that_is_the_texts_own_beginning_is_none() -> None:
    text = extract_article(page(), URL).text
    record = extract_article(page(head=f'<meta property="og:description" content="{text[:100]}…">'), URL)
    assert (record.summary, record.summary_from) == (None, None)


def test_a_paywalled_teaser_is_flagged_partial() -> None:
    record = extract_article(page(head=jsonld(isAccessibleForFree=False), paragraphs=3), URL)
    assert record.access.paywalled is True
    assert record.access.partial is True


def test_article_body_in_jsonld_is_used_when_the_elements_hold_less() -> None:
    body = "\n".join(f"Said part {number}. {SENTENCE}{SENTENCE}" for number in range(8))
    html = page(head=jsonld(articleBody=body), paragraphs=0, body="<p>Loading the story for you now.</p>")
    record = extract_article(html, URL)
    assert record.extraction.method == "page:json-ld"
    assert len(record.text.split("\n\n")) == 8


def test_the_lead_picture_is_not_shown_twice() -> None:
    figure = "<figure><img src='/lead.jpg'><figcaption>The harbour</figcaption></figure>"
    record = extract_article(b"", URL, entry=entry(figure + FULL_TEXT))
    assert record.image is not None
    assert (record.image.url, record.image.caption) == ("https://news.example/lead.jpg", "The harbour")
    assert "lead.jpg" not in record.html
    assert "The harbour\n" not in record.text


def test_pictures_of_page_and_feed_are_ranked() -> None:
    head = '<meta property="og:image" content="https://img.example/ferry.jpg">'
    said = entry(
        "x", enclosures=(Enclosure(url="https://img.example/enclosed.jpg", media_type="image/jpeg", length=0),)
    )
    record = extract_article(
        page(head=head, body="<figure><img src='/body.jpg' width='800'></figure>"), URL, entry=said
    )
    assert [one.chosen_by for one in record.image_candidates] == ["body", "og:image", "feed-enclosure"]


def test_a_chinese_text_in_an_english_template_is_chinese() -> None:
    paragraph = "<p>港口在经过十一个月的修缮之后，于星期二重新开放。许多居民一早来到码头，迎接第一艘渡轮。</p>"
    html = f"<html lang='en'><body><article>{paragraph * 6}</article></body></html>".encode()
    assert extract_article(html, URL).language == "zh"


@pytest.mark.parametrize("sign", ["\x01", "\x0c", "\x1f", "\ufffe", "\uffff", "&#12;", "&#x1", "&#65535;", "\ud800"])
def test_a_character_that_nobody_may_write_costs_its_own_place(sign: str) -> None:
    marked = f"<p>One paragraph{sign}has it, and is long enough to be taken for one.</p>"
    from_page = extract_article(page(body="{}").replace(b"{}", marked.encode("utf-8", "surrogatepass")), URL)
    from_feed = extract_article(b"", URL, entry=entry(marked + FULL_TEXT))
    for record in (from_page, from_feed):
        assert record.not_article is None
        assert re.match(r"One paragraph.{1,3}has it, and is", record.text)
        assert len(record.text.split("\n\n")) == 7


@pytest.mark.parametrize("url", ["http://[", "http://a.example:x/", "mailto:a@b.example", ""])
def test_an_unusable_url_counts_as_none(url: str) -> None:
    assert extract_article(page(), url) == extract_article(page(), None)
    assert extract_article(page(), url, entry=entry()) == extract_article(page(), URL, entry=entry())


AREA = "".join(f"<p>Part {number}. {SENTENCE}</p>" for number in range(12))


@pytest.mark.parametrize("area", ["<main>{}</main>", "<article>{}</article>", "<div role=main>{}</div>"])
def test_a_main_area_is_read_whole_where_nothing_in_it_was_thought_worth_reading(
    monkeypatch: pytest.MonkeyPatch, area: str
) -> None:
    monkeypatch.setattr("worker.extract.body.CONTENT_FROM", 2.0)
    html = "<html><body><div class='comments'>{}</div></body></html>"
    record = extract_article(html.format(area.format(AREA)).encode(), URL)
    assert (record.not_article, record.extraction.method) == (None, "page:main-area")
    assert len(record.text.split("\n\n")) == 12
    assert extract_article(html.format(AREA).encode(), URL).not_article == "empty"
    assert extract_article(html.format(area.format(SENTENCE)).encode(), URL).not_article == "empty"


def raising(error: BaseException) -> Callable[..., None]:
    def broken(*_: object) -> None:
        raise error

    return broken


@pytest.mark.parametrize("error", [RecursionError(), KeyError("x"), lxml.etree.LxmlError("x")])
def test_a_bug_of_ours_is_told_from_an_empty_page(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    monkeypatch.setattr("worker.extract.article.read_document", raising(error))
    record = extract_article(page(), URL, entry=entry())
    assert record.not_article == "failed"
    assert record.extraction.warnings == (f"failed-{type(error).__name__}",)
    assert record.title == "Harbour opens again"


def test_a_time_limit_is_no_trouble_of_the_page(monkeypatch: pytest.MonkeyPatch) -> None:
    class SoftTimeLimitExceeded(Exception):  # noqa: N818 - billiard's name and base
        pass

    monkeypatch.setattr("worker.extract.article.read_document", raising(SoftTimeLimitExceeded()))
    with pytest.raises(SoftTimeLimitExceeded):
        extract_article(page(), URL)


@pytest.mark.parametrize(
    "html",
    [
        "<p>" + SENTENCE * 30_000,
        "<p>hello my dear</p>" * 19_000,
        "<table><tr><td>" * 600 + SENTENCE,
        "<span class=author>" * 1_500 + SENTENCE * 2_000,
        "<figure>" + "<img src=/a.jpg><b class=x></b>" * 12_000,
        "<img src=/a.jpg srcset='" + "a" * 9_000 + " b'>" * 300,
        '<script type="application/ld+json">-->' + " " * 500_000 + "x</script>" + f"<p>{SENTENCE}",
        "<b><i>" * 900 + SENTENCE,
        "<p>" + "&" * 1_000_000,
        "<pre>" + "a&nbsp;&nbsp;&nbsp;" * 300_000,
    ],
    ids=["one paragraph of 3 MB", "19,000 paragraphs", "600 nested tables", "nested bylines", "12,000 pictures", "long srcset",
         "blanks in JSON-LD", "nested marks", "a million ampersands", "a million hard blanks"],
)  # fmt: skip
def test_cost_is_bounded_whatever_the_page(html: str) -> None:
    began = time.process_time()
    extract_article(html.encode(), URL)
    extract_article(b"", URL, entry=entry(html), fulltext="always")
    assert time.process_time() - began < 5  # about 1 on an idle machine


MARKUP = st.sampled_from(
    ["<p>", "</p>", "<div class='a", "'>", "<br>", "<li>", "<ul>", "</div>", "<script>", "</script>", "<!--", "-->", "&#xD800;",
     "<table><tr><td>", "<img src=//x/", "<a href='javascript:x'>", "text here ", "港口", "\x00", "<svg onload=x>", "<title>", '"']
)  # fmt: skip


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(MARKUP | st.text(max_size=8), max_size=40).map("".join))
def test_no_soup_raises_or_leaves_a_script_behind(soup: str) -> None:
    html = soup.encode("utf-8", "surrogatepass")
    for record in (
        extract_article(html, URL),
        extract_article(b"", URL, entry=entry(soup), fulltext="always"),
    ):
        assert not any(warning.startswith("failed-") for warning in record.extraction.warnings)
        lowered = record.html.lower()
        assert "<script" not in lowered
        assert "<svg" not in lowered
        assert 'href="javascript' not in lowered
        json.dumps([record.title, record.text, record.html, record.markdown], ensure_ascii=False).encode()
