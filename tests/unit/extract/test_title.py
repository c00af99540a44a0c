"""Which wording is the title, and what is cut off it."""

from __future__ import annotations

import json

import pytest

from worker.extract.document import Document, read_document
from worker.extract.metadata import Metadata, read_metadata
from worker.extract.title import plain, site_of, without_site

URL = "https://www.harbourpost.example/opinion/2024/harbour"


def metadata(head: str = "", body: str = "") -> Metadata:
    html = f"<html><head>{head}</head><body>{body}<p>text</p></body></html>"
    document = read_document(html.encode(), URL, None)
    assert isinstance(document, Document)
    return read_metadata(document, None)


@pytest.mark.parametrize(
    "title",
    [
        "Harbour opens", "Harbour opens | Post", "Harbour opens - Post", "Post: Harbour opens", "Harbour opens | Harbour Post",
        "Harbour opens | Opinion | Post", "Harbour opens | Opinion", "Harbour opens – News – The Post", "Post | Harbour opens",
    ],
)  # fmt: skip
def test_a_title_is_freed_of_its_site(title: str) -> None:
    site = site_of(URL, ["The Post"])
    assert without_site(title, site, frozenset(("opinion", "news"))) == "Harbour opens"


@pytest.mark.parametrize("title", ["Post", "Harbour - reopened", "A: B", "Harbour | Nine ferries", "", "|", " - "])
def test_what_is_no_site_stays(title: str) -> None:
    assert without_site(title, site_of(URL, ["Post"])) == title.strip()


def test_entities_escaped_twice_are_decoded() -> None:
    assert plain("Lind &amp;amp; Ek&amp;#039;s harbour") == "Lind & Ek's harbour"


@pytest.mark.parametrize(
    "heading",
    [
        "<h1><span>Ferries</span><span>Harbour opens again</span></h1>",
        '<h1><span class="kicker">Ferries</span> Harbour opens again</h1>',
        "<h1>Harbour opens again <small>May 2, 2024</small></h1>",
        "<h1><a href='/'>Harbour Post</a></h1><h1>Harbour opens again</h1>",
        "<nav><h1>Menu of ferries</h1></nav><h1>Harbour opens again</h1>",
    ],
    ids=["kicker", "kicker by class", "date inside", "the site's logo first", "in the navigation"],
)
def test_the_heading_without_what_stands_beside_it(heading: str) -> None:
    assert metadata('<meta property="og:title" content="Harbour opens again">', heading).title == "Harbour opens again"


def test_a_heading_is_kept_as_readers_see_it() -> None:
    head = "<title>30 years of br tags | Post</title>"
    assert metadata(head, "<h1>30 years of &lt;br&gt; tags</h1>").title == "30 years of <br> tags"


def test_a_heading_that_nothing_supports_gives_way_to_what_the_page_declares() -> None:
    head = '<title>Harbour opens again</title><meta property="og:title" content="Harbour opens again">'
    found = metadata(head, "<h1>Article details</h1>")
    assert found.title == "Harbour opens again"
    assert found.title_box is not None


def test_news_that_declares_one_headline_twice_is_called_so() -> None:
    node = {"@type": "NewsArticle", "headline": "Ferries sail from the harbour"}
    head = (
        f'<script type="application/ld+json">{json.dumps(node)}</script>'
        '<meta property="og:title" content="Ferries sail from the harbour">'
    )
    assert metadata(head, "<h1>Ferries sail again</h1>").title == "Ferries sail from the harbour"
