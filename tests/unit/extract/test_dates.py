"""Which date is the article's: what says so, in what language, and what a page says by mistake."""

from __future__ import annotations

import json
import time
from datetime import UTC, date, datetime

import pytest

from worker.extract.dates import is_day_first
from worker.extract.document import Document, read_document
from worker.extract.metadata import Metadata, read_metadata
from worker.model import Entry

URL = "https://www.news.example/harbour"
DAY = date(2024, 5, 2)
TITLE = "<h1>Harbour opens</h1>"


def metadata(
    head: str = "",
    body: str = "",
    *,
    url: str = URL,
    lang: str = "en",
    at: datetime | None = None,
    headers: dict[str, str] | None = None,
    node: dict[str, object] | None = None,
) -> Metadata:
    if node is not None:
        head += f'<script type="application/ld+json">{json.dumps(node)}</script>'
    html = f'<html lang="{lang}"><head>{head}</head><body>{body}<p>{"Words of the harbour. " * 30}</p></body></html>'
    document = read_document(html.encode(), url, headers)
    assert isinstance(document, Document)
    entry = Entry(guid=None, url=url, title=None, published_at=at) if at else None
    return read_metadata(document, entry)


@pytest.mark.parametrize(
    ("line", "lang"),
    [
        ("Published on May 2, 2024", "en"), ("Thursday 2 May 2024, 10:15", "en"), ("Posted 5/2/2024", "en-US"),
        ("2/5/2024 10:15", "fr"), ("Veröffentlicht am 2. Mai 2024", "de"), ("02.05.2024, 10:15 Uhr", "de"),
        ("Publié le 2 mai 2024 à 10h15", "fr"), ("2 de mayo de 2024", "es"), ("2 мая 2024 г.", "ru"),
        ("2024年5月2日", "zh"), ("2024년 5월 2일", "ko"), ("2 Mayıs 2024", "tr"), ("ngày 2 tháng 5 năm 2024", "vi"),
        ("٢ مايو ٢٠٢٤", "ar"), ("2024. május 2.", "hu"), ("By Ada Lind | May 2nd, 2024 | 5 min read", "en"),
    ],
)  # fmt: skip
def test_a_date_below_the_title_is_read(line: str, lang: str) -> None:
    found = metadata(body=f"{TITLE}<p>{line}</p>", lang=lang)
    assert (found.published_on, found.published_at, found.published_from) == (DAY, None, "text")


@pytest.mark.parametrize("line", ["Updated: May 2, 2024", "Zuletzt aktualisiert: 2. Mai 2024", "更新：2024年5月2日"])
def test_the_day_of_a_change_is_not_that_of_publication(line: str) -> None:
    found = metadata(body=f"{TITLE}<p>{line}</p>")
    assert (found.published_on, found.modified_on) == (None, DAY)


def test_both_days_in_one_line_are_told_apart() -> None:
    found = metadata(body=f"{TITLE}<p>Published May 2, 2024 · Updated June 3, 2024</p>")
    assert (found.published_on, found.modified_on) == (DAY, date(2024, 6, 3))


@pytest.mark.parametrize(
    "line",
    [
        "© May 2, 2024 Harbour Post", "Copyright 2024", "Deadline: May 2, 2024", "Since 2 May 2024",
        "The harbour, which had been closed for repairs since the spring floods, was opened by the mayor on May 2, 2024 again.",
    ],
)  # fmt: skip
def test_other_dates_are_not_the_article_s(line: str) -> None:
    assert metadata(body=f"{TITLE}<p>{line}</p>").published_on is None


@pytest.mark.parametrize(
    ("head", "body", "url", "source"),
    [
        ('<meta name="dc.date.issued" content="2024-05-02">', "", URL, "meta"),
        ("", '<time class="entry-date" datetime="2024-05-02">x</time>', URL, "time"),
        ("", '<span itemprop="datePublished" content="2024-05-02"></span>', URL, "time"),
        ("", "", "https://www.news.example/2024/05/02/harbour", "url"),
        ("", "", "https://www.news.example/2024/may/02/harbour", "url"),
        ('<script>var a = {"publishedAt":"2024-05-02"}</script>', "", URL, "script"),
        ('<script>self.push(\'{\\"datePublished\\":\\"2024-05-02\\"}\')</script>', "", URL, "script"),
    ],
)
def test_every_place_that_names_the_day_is_asked(head: str, body: str, url: str, source: str) -> None:
    found = metadata(head, body, url=url)
    assert (found.published_on, found.published_from) == (DAY, source)


def test_the_moment_may_come_from_a_later_source_of_the_same_day() -> None:
    head = '<meta property="article:published_time" content="2024-05-02T08:30:00Z">'
    found = metadata(head, node={"@type": "NewsArticle", "datePublished": "2024-05-02"})
    assert (found.published_at, found.published_from) == (datetime(2024, 5, 2, 8, 30, tzinfo=UTC), "meta")


def test_a_moment_of_another_day_is_not_the_day_s() -> None:
    head = '<meta property="article:published_time" content="2024-06-09T08:30:00Z">'
    found = metadata(head, node={"@type": "NewsArticle", "datePublished": "2024-05-02"})
    assert (found.published_on, found.published_at) == (DAY, None)


def test_the_day_is_the_writer_s_own() -> None:
    found = metadata(node={"@type": "NewsArticle", "datePublished": "2024-05-02T01:30:00+08:00"})
    assert found.published_on == DAY
    assert found.published_at == datetime(2024, 5, 1, 17, 30, tzinfo=UTC)


def test_an_earlier_day_that_readers_see_goes_before_that_of_a_later_edition() -> None:
    node = {"@type": "Article", "datePublished": "2025-06-24T10:00:00Z", "dateModified": "2025-06-24T10:00:00Z"}
    assert metadata(body=f"{TITLE}<p>May 2, 2024</p>", node=dict(node)).published_on == DAY
    assert metadata(body=f"{TITLE}<p>May 2, 2024</p>", node={**node, "@type": "NewsArticle"}).published_on != DAY


def test_a_day_behind_the_response_s_own_is_passed_over() -> None:
    head = '<meta name="date" content="2024-09-09"><meta name="pubdate" content="2024-05-02">'
    assert metadata(head, headers={"Date": "Fri, 03 May 2024 10:00:00 GMT"}).published_on == DAY


def test_the_feed_tells_which_number_is_the_month() -> None:
    head = '<meta name="pubdate" content="02/05/2024">'
    assert metadata(head, lang="en-US").published_on == date(2024, 2, 5)
    assert metadata(head, lang="en-US", at=datetime(2024, 5, 2, 9, tzinfo=UTC)).published_on == DAY


@pytest.mark.parametrize(
    ("url", "languages", "is_first"),
    [
        ("https://news.com/", ("en",), False), ("https://a.example.co.uk/", ("en",), True),
        ("https://a.example.com/", ("en-GB",), True), ("https://a.example.com/", ("en-US",), False),
        ("https://a.example.com/", ("de",), True), (None, (), False),
    ],
)  # fmt: skip
def test_the_month_comes_first_in_american_english_alone(
    url: str | None, languages: tuple[str, ...], is_first: bool
) -> None:
    assert is_day_first(url, languages) is is_first


@pytest.mark.parametrize(
    "body",
    [
        '<time datetime="2024-05-02">x</time>' * 9_000, "<p>May 2, 2024</p>" * 12_000,
        "<script>" + '"datePublished":' * 60_000 + "</script>", '<i itemprop="datePublished">x</i>' * 9_000,
    ],
    ids=["times", "lines", "keys", "marked"],
)  # fmt: skip
def test_crowds_of_dates_cost_little(body: str) -> None:
    document = read_document(f"<html><body>{TITLE}{body}</body></html>".encode(), URL, None)
    assert isinstance(document, Document)
    began = time.process_time()
    read_metadata(document, None)
    assert time.process_time() - began < 1
