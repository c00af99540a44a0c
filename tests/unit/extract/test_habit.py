"""What a feed's earlier items teach about its texts."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.newsserver import paragraphs
from worker.extract import extract_article
from worker.extract.feedtext import Gives, Habit, read_feed_text
from worker.extract.habit import Tally, document_habit, habit_of
from worker.feeds.parse import parse_feed
from worker.model import Entry

URL = "https://harbour.example/a"


def entry(number: int, *, ending: str = "", count: int = 4, title: str | None = None) -> Entry:
    text = "".join(f"<p>{one}</p>" for one in paragraphs(number, count))
    return Entry(guid=None, url=URL, title=title or f"The harbour's report {number}", content_html=text + ending)


def tallied(*comparisons: bool) -> Tally:
    tally = Tally()
    for was_whole in comparisons:
        tally = tally.after(was_whole=was_whole)
    return tally


@pytest.mark.parametrize(
    ("comparisons", "gives"),
    [
        ((), "unknown"),
        ((True, True), "unknown"),
        ((True, True, True), "whole"),
        ((False, False, False), "excerpts"),
        ((True, False, True, False, True), "unknown"),
        ((False,) * 12 + (True,) * 20, "whole"),
        ((True,) * 40 + (False,), "whole"),
        ((True,) * 40 + (False,) * 20, "excerpts"),
    ],
    ids=["none", "two", "three whole", "three excerpts", "mixed", "it changed", "one exception", "it became one of excerpts"],
)  # fmt: skip
def test_a_feed_gives_what_its_latest_pages_showed(comparisons: tuple[bool, ...], gives: Gives) -> None:
    assert tallied(*comparisons).gives == gives


def test_a_settled_feed_needs_no_more_writes() -> None:
    settled = tallied(*[True] * 50)
    assert settled.after(was_whole=True) is settled
    assert settled.after(was_whole=False) != settled


@pytest.mark.parametrize(
    ("comparisons", "share", "gives"),
    [((), 0.9, "whole"), ((), 0.5, "unknown"), ((False,), 0.9, "unknown"), ((False,) * 3, 0.9, "excerpts")],
    ids=["looks whole", "looks mixed", "looks whole, one page had more", "looks whole, its pages have more"],
)
def test_pages_weigh_more_than_looks(comparisons: tuple[bool, ...], share: float, gives: Gives) -> None:
    assert habit_of(tallied(*comparisons), full_text_share=share, endings=()).gives == gives


SIGNED = "<p>The post <a href='/x'>{title}</a> can be read in full at <a href='/'>the Harbour Post</a>.</p>"
LETTER = "<p>Every morning in your mailbox: our letter.</p><p><a href='/letter'>Subscribe</a></p>"


def test_lines_that_end_most_texts_are_found_whatever_title_they_name() -> None:
    said = [entry(n, ending=SIGNED.format(title=f"The harbour's report {n}") + LETTER) for n in range(6)]
    _, endings = document_habit([*said, entry(7), entry(8)])
    assert endings == (
        "subscribe",
        "every morning in your mailbox: our letter.",
        "the post \ufffc can be read in full at the harbour post.",
    )
    text = read_feed_text(said[3], endings)
    assert text is not None
    assert text.text.split("\n\n") == paragraphs(3, 4)


@pytest.mark.parametrize(
    "said",
    [
        [entry(n, ending="<p>(AP)</p>") for n in range(6)],
        [entry(n, ending=LETTER) for n in range(2)],
        [entry(n, ending=LETTER if n < 3 else "") for n in range(6)],
        [entry(1, ending=LETTER)] * 6,
        [entry(n, count=0, ending="<p>Nothing but this one line in each of the items.</p>") for n in range(6)],
        [entry(n, ending=f"<p>{'A closing paragraph that somebody wrote. ' * 9}</p>") for n in range(6)],
    ],
    ids=["a credit", "two items", "half of them", "one item six times", "all there is", "too long"],
)
def test_what_is_no_ending(said: list[Entry]) -> None:
    assert document_habit(said)[1] == ()


def test_an_ending_elsewhere_in_a_text_is_the_article_s() -> None:
    line = "Every morning in your mailbox: our letter."
    said = Entry(guid=None, url=URL, title="A", content_html=f"<p>{line}</p><p>{line}</p><p>So it was written.</p>")
    text = read_feed_text(said, [line.lower()])
    assert text is not None
    assert text.text.count(line) == 2
    alone = read_feed_text(
        Entry(guid=None, url=URL, title="A", content_html=f"<p>{line}</p><img src='/x.png'>"), [line.lower()]
    )
    assert alone is not None
    assert alone.text == line


def test_a_cut_off_text_stays_one_when_its_mark_is_taken_off() -> None:
    said = [entry(n, ending="<p><a href='/x'>Continue reading</a></p>") for n in range(6)]
    share, endings = document_habit(said)
    assert (share, endings) == (0.0, ("continue reading",))
    record = extract_article(b"", URL, entry=said[2], habit=Habit(gives="whole", endings=frozenset(endings)))
    assert (record.not_article, record.access.partial) == ("empty", True)
    assert "Continue" not in record.text


def test_a_teaser_behind_a_paywall_does_not_make_an_excerpt_whole() -> None:
    teaser = "".join(f"<p>{one}</p>" for one in paragraphs(1, 1))
    page = (
        '<html><head><script type="application/ld+json">{"@type": "NewsArticle", "isAccessibleForFree": false}</script>'
        f"</head><body><article><h1>Report</h1>{teaser}</article></body></html>"
    ).encode()
    record = extract_article(page, URL, entry=entry(1, count=1))
    assert record.extraction.method.startswith("page")
    assert record.access.partial
    assert extract_article(page, URL, entry=entry(1, count=6)).extraction.method == "feed"


def test_a_document_of_thousands_of_items_costs_no_more_than_its_first_hundred() -> None:
    said = [entry(n) for n in range(5000)]
    started = time.process_time()
    document_habit(said)
    assert time.process_time() - started < 1


@pytest.mark.shared
def test_recorded_feeds_of_whole_articles_are_told_from_those_of_excerpts(shared: Path) -> None:
    """Judged by eye: no text of a feed of excerpts, comments, lists or podcasts passes for an article by itself."""
    whole = {
        "fastfeedparser/integration/fwrarejazzvinylcollector.xml": 20,
        "rss-parser/input/content-encoded.rss": 7,
        "rss-parser/input/customfields.rss": 14,
        "miniflux/parser/testdata/large_atom.xml": 17,
        "fastfeedparser/integration/kagi.xml": 17,
        "fastfeedparser/integration/davidbau.xml": 11,
    }
    excerpts = (
        "miniflux/parser/testdata/encoding_ISO-8859-1.xml",
        "miniflux/parser/testdata/rdf_UTF8.xml",
        "nextcloud-news/test_helper/feeds/heise.xml",
        "rss-parser/input/heise.atom",
        "rss-parser/input/craigslist.rss",
        "rss-parser/input/itunes-keywords-astext.rss",
        "rome/rome-modules/src/test/resources/data/geo-rss-issue-27.rss",
        "rome/rome-modules/src/test/resources/xml/at.xml",
        "fastfeedparser/integration/osm.xml",
    )
    found = {}
    for name in (*whole, *excerpts):
        feed = parse_feed(
            (shared / "feeds-dev" / name).read_bytes(),
            content_type=None,
            url="https://feed.example/",
            now=datetime(2026, 11, 25, tzinfo=UTC),
        )
        texts = [one for one in feed.entries if one.html]
        found[name] = round(document_habit(texts)[0] * len(texts))
    assert found == {**whole, **dict.fromkeys(excerpts, 0)}
