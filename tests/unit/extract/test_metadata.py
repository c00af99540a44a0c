"""What a page says about itself, and whom to believe."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime

import pytest

from worker.extract.document import Document, read_document
from worker.extract.language import language_of, language_tag
from worker.extract.metadata import Metadata, read_metadata
from worker.extract.profiles import profile_of
from worker.model import Entry

URL = "https://www.news.example/2024/harbour"


def metadata(
    head: str = "", body: str = "", entry: Entry | None = None, headers: dict[str, str] | None = None
) -> Metadata:
    html = f"<html><head>{head}</head><body>{body}<p>text</p></body></html>"
    document = read_document(html.encode(), URL, headers)
    assert isinstance(document, Document)
    return read_metadata(document, entry)


def script(content: object) -> str:
    raw = content if isinstance(content, str) else json.dumps(content)
    return f'<script type="application/ld+json">{raw}</script>'


ARTICLE = {"@type": "NewsArticle", "headline": "Harbour opens again", "datePublished": "2024-05-02T08:30:00Z"}
AT = datetime(2024, 5, 2, 8, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    "content",
    [
        ARTICLE,
        [{"@type": "WebSite"}, ARTICLE],
        {"@graph": [{"@type": "Organization", "name": "x"}, ARTICLE]},
        {"@type": "WebPage", "mainEntity": ARTICLE},
        {**ARTICLE, "@type": ["Thing", "ReportageNewsArticle"]},
        {**ARTICLE, "@type": "http://schema.org/Article"},
        "<!--" + json.dumps(ARTICLE) + "-->",
        "//<![CDATA[\n" + json.dumps(ARTICLE) + "\n//]]>",
        json.dumps(ARTICLE)[:-1] + ",}",
        json.dumps(ARTICLE) + ";",
        json.dumps(ARTICLE).replace("again", "a\ngain"),
    ],
    ids=["plain", "list", "graph", "main entity", "several types", "type with prefix", "in a comment", "in CDATA",
         "trailing comma", "trailing semicolon", "line feed in a string"],
)  # fmt: skip
def test_jsonld_is_found_in_every_shape(content: object) -> None:
    found = metadata(script(content))
    assert (found.published_at, found.published_from, found.is_declared_article) == (AT, "json-ld", True)


@pytest.mark.parametrize(
    "content", ["", "{", "[" * 50_000, '{"@graph":' * 500 + "1" + "}" * 500, "null", '{"@type": 5, "author": 7}']
)
def test_broken_jsonld_is_passed_over(content: str) -> None:
    began = time.process_time()
    assert metadata(script(content), '<time datetime="2024-05-02T08:30:00Z"></time>').published_at == AT
    assert time.process_time() - began < 1


def test_of_several_articles_the_page_s_own_is_taken() -> None:
    other = {
        **ARTICLE,
        "headline": "Other",
        "url": "https://www.news.example/other",
        "author": "x",
        "image": "y",
        "a": 1,
    }
    own = {**ARTICLE, "headline": "Own", "url": URL + "/"}
    assert metadata(script([other, own])).title == "Own"


def test_authors_behind_references_are_followed() -> None:
    graph = [{**ARTICLE, "author": {"@id": "#ada"}}, {"@type": "Person", "@id": "#ada", "name": "Ada Lind"}]
    assert metadata(script({"@graph": graph})).authors == ("Ada Lind",)


@pytest.mark.parametrize(
    ("head", "body", "title"),
    [
        ('<title>Harbour opens | Post</title><meta property="og:site_name" content="Post">', "", "Harbour opens"),
        ("<title>Harbour opens</title>", "<h1>Harbour <b>opens</b>\n again</h1>", "Harbour opens again"),
        (
            '<meta property="og:title" content="Harbour opens"><title>Harbour opens</title>',
            "<h1>Latest</h1>",
            "Harbour opens",
        ),
        ('<meta property="og:title" content="A &lt;b&gt;bold&lt;/b&gt; word">', "", "A bold word"),
        ("<title>\u202eevil\u202c</title>", "", "evil"),
        ("", "", None),
    ],
    ids=["site taken off", "heading wins a tie", "outvoted heading", "tags inside", "bidi override", "none"],
)
def test_the_title_most_sources_agree_on(head: str, body: str, title: str | None) -> None:
    assert metadata(head, body).title == title


def test_a_title_of_megabytes_is_cut() -> None:
    assert len(metadata(f"<title>{'long ' * 200_000}</title>").title or "") <= 1_000


def test_the_feed_s_title_votes() -> None:
    head = '<title>One title here</title><meta property="og:title" content="Another title here">'
    said = Entry(guid=None, url=URL, title="Another title here")
    assert metadata(head, entry=said).title == "Another title here"


@pytest.mark.parametrize(
    ("href", "canonical"),
    [
        ("https://www.news.example/harbour", "https://www.news.example/harbour"),
        ("/harbour", "https://www.news.example/harbour"),
        ("https://amp.news.example/harbour", "https://amp.news.example/harbour"),
        ("https://elsewhere.example.org/harbour", None),
        ("https://www.news.example/", None),
        ("javascript:x", None),
        ("", None),
    ],
)
def test_a_canonical_url_is_believed_within_the_site(href: str, canonical: str | None) -> None:
    assert metadata(f'<link rel="canonical" href="{href}">').canonical_url == canonical


@pytest.mark.parametrize(
    ("free", "paywalled"),
    [(True, False), (False, True), ("False", True), ("http://schema.org/True", False), ("?", None), (None, None)],
)
def test_free_access_as_declared(free: object, paywalled: bool | None) -> None:
    assert metadata(script({**ARTICLE, "isAccessibleForFree": free})).paywalled is paywalled


def test_rights_reserved_in_a_header_are_kept() -> None:
    assert metadata(headers={"TDM-Reservation": "1"}).tdm_reservation == "1"


@pytest.mark.parametrize(
    ("raw", "tag"),
    [
        ("en", "en"),
        ("zh_CN", "zh-CN"),
        ("en-us", "en-US"),
        ("zh-hant-tw", "zh-Hant-TW"),
        ("de, en", "de"),
        ("und", None),
        ("x", None),
        ("English", None),
        (None, None),
    ],
)
def test_language_tags(raw: str | None, tag: str | None) -> None:
    assert language_tag(raw) == tag


@pytest.mark.parametrize(
    ("text", "declared", "language"),
    [
        ("港口在经过十一个月的修缮之后于星期二重新开放" * 3, ["en-US"], "zh"),
        ("港口在经过十一个月的修缮之后于星期二重新开放" * 3, ["zh-CN"], "zh-CN"),
        ("港は十一か月の修理をへて火曜日にふたたび開いた" * 3, ["en"], "ja"),
        ("Гавань снова открылась во вторник", ["en", "uk"], "uk"),
        ("Гавань снова открылась во вторник", ["en"], None),
        ("The harbour opened again on Tuesday", ["en-GB"], "en-GB"),
        ("The harbour opened again on Tuesday", [], None),
        ("", ["de"], "de"),
    ],
)
def test_a_text_s_script_overrules_a_template_s_language(text: str, declared: list[str], language: str | None) -> None:
    assert language_of(text, declared) == language


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("https://www.voachinese.com/a/1.html", "pangea"), ("https://voanews.com/a/1.html", "pangea"),
        ("https://notvoanews.com/a/1.html", None), ("https://[broken", None), (None, None),
    ],
)  # fmt: skip
def test_profiles_belong_to_domains(url: str | None, name: str | None) -> None:
    profile = profile_of(url)
    assert (profile.name if profile else None) == name
