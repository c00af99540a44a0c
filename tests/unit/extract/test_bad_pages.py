"""What the world sends as a page, and what each must get: one named row a test, and at most 2 s of CPU for the worst."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator

import pytest

from worker.extract import extract_article
from worker.model import ArticleRecord, Entry

URL = "https://news.example/2024/harbour"
SENTENCE = "The harbour opened again on Tuesday after eleven quiet months of careful work by the crews. "
TEXT = "".join(f"<p>Part {number}. {SENTENCE * 2}</p>" for number in range(6))
ARTICLE = f"<article><h1>Harbour opens</h1>{TEXT}</article>"
FEED_TEXT = "".join(f"<p>Feed part {number}. {SENTENCE * 2}</p>" for number in range(6))
CPU_S = 2.0


@pytest.fixture(autouse=True)
def _bounded() -> Iterator[None]:
    began = time.process_time()
    yield
    assert time.process_time() - began < CPU_S


def read(html: str | bytes, *, url: str = URL) -> ArticleRecord:
    record = extract_article(html if isinstance(html, bytes) else html.encode("utf-8", "surrogatepass"), url)
    assert not [warning for warning in record.extraction.warnings if warning.startswith("failed-")]
    return record


def page(body: str, head: str = "") -> str:
    return f"<!doctype html><html lang=en><head><title>Harbour opens</title>{head}</head><body>{body}</body></html>"


def is_whole(record: ArticleRecord) -> bool:
    return record.not_article is None and all(f"Part {number}." in record.text for number in range(6))


@pytest.mark.parametrize("depth", [255, 600, 1_900])
def test_elements_nested_255_deep_and_more_keep_the_text_behind_them(depth: int) -> None:
    record = read(page("<div>" * depth + "deep" + "</div>" * depth + ARTICLE))
    assert is_whole(record)


@pytest.mark.parametrize("depth", [2_100, 20_000])
def test_elements_nested_beyond_the_parser_are_told_and_never_an_empty_article(depth: int) -> None:
    assert read(page("<div>" * depth + ARTICLE)).not_article == "too-deep"


def test_a_million_nested_elements_are_refused() -> None:
    assert read("<div>" * 1_000_000).not_article in {"too-large", "too-deep"}


@pytest.mark.parametrize("count", [40_000, 200_000])
def test_very_many_attributes_on_one_tag_are_refused(count: int) -> None:
    crowd = " ".join(f"a{number}=1" for number in range(count))
    assert read(page(f"<p {crowd}>x</p>{ARTICLE}")).not_article == "too-many-attributes"


def test_zero_bytes_and_lone_surrogates_are_removed() -> None:
    record = read(page(ARTICLE.replace("Part 3.", "Pa\x00rt 3.\ud800&#xD800;")))
    assert is_whole(record)
    json.dumps([record.text, record.html, record.markdown], ensure_ascii=False).encode()


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "gb18030", "latin-1"])
def test_an_xml_declaration_before_the_page_is_cut(encoding: str) -> None:
    html = f"<?xml version='1.0' encoding='{encoding}'?>{page(ARTICLE)}"
    assert is_whole(read(html.encode(encoding)))


@pytest.mark.parametrize(
    "attack",
    [
        "<script>alert(1)</script>",
        "<style>@import 'javascript:alert(1)'</style>",
        "<iframe src='javascript:alert(1)' srcdoc='<script>alert(1)</script>'></iframe>",
        "<img src=x onerror=alert(1)>",
        "<p onmouseover='alert(1)'>Part x.</p>",
        "<svg onload=alert(1)><a xlink:href='javascript:alert(1)'><text>x</text></a></svg>",
        "<math><mtext><table><mglyph><style><!--</style><img title='--&gt;&lt;img src=1 onerror=alert(1)&gt;'>",
        "<svg></p><style><g title='</style><img src onerror=alert(1)>'></svg>",
        "<noscript><p title='</noscript><img src=x onerror=alert(1)>'>x</p></noscript>",
        "<form><math><mtext></form><form><mglyph><style></math><img src onerror=alert(1)>",
        "<a href='java&#10;script:alert(1)'>x</a><a href=' javascript:alert(1)'>x</a><a href='data:text/html,x'>x</a>",
        "<object data='javascript:alert(1)'></object><embed src='javascript:alert(1)'>",
        "<base href='javascript:alert(1)//'>",
    ],
    ids=["script", "style", "iframe", "handler", "handler in text", "svg", "mutation by math", "mutation by svg", "mutation by noscript",
         "mutation by forms", "links", "objects", "base"],
)  # fmt: skip
def test_no_script_handler_or_frame_is_published(attack: str) -> None:
    record = read(page(f"<article><h1>Harbour opens</h1>{attack}{TEXT}</article>"))
    lowered = record.html.lower()
    assert not [
        one for one in ("<script", "<style", "<iframe", "<svg", "<object", "<embed", "<math", "<form") if one in lowered
    ]
    assert not [
        one for one in ("onerror=", "onload=", "onmouseover=", 'href="javascript', 'href="data:') if one in lowered
    ]


@pytest.mark.parametrize(
    "title",
    ["A harbour " * 500_000, "Harbour &lt;b&gt;opens&lt;/b&gt;", "Harbour\n\r\n opens\t", "Harbour &lt;script&gt;x&lt;/script&gt;opens", "Har\u202ebour\u200b"],
    ids=["5 MB", "markup", "line feeds", "a script", "characters that mislead"],
)  # fmt: skip
def test_a_title_is_one_short_line_without_tags(title: str) -> None:
    head = f"<meta property='og:title' content='{title}'>"
    record = read(f"<html><head><title>{title}</title>{head}</head><body><article>{TEXT}</article></body></html>")
    assert record.title
    assert len(record.title) <= 1_000
    assert not set(record.title) & set("<>\n\r\t\u202e\u200b")


def test_a_base_of_another_site_resolves_links_and_is_no_identity() -> None:
    head = "<base href='https://cdn.example/x/'><link rel=canonical href='y'>"
    record = read(page(f"<article><h1>Harbour opens</h1><p>See <a href='z'>it</a>.</p>{TEXT}</article>", head))
    assert "https://cdn.example/x/z" in record.html
    assert "cdn.example" not in (record.canonical_url or "")


@pytest.mark.parametrize(
    ("head", "body"),
    [
        ("<meta http-equiv=refresh content='0; url=https://other.example/a'>", ""),
        ("", "<script>location.href='https://other.example/a'</script>"),
        ("<meta http-equiv=refresh content='0; url=https://other.example/a'>", "<p>You are being redirected…</p>"),
    ],
    ids=["meta refresh", "a script's redirect", "with a word"],
)  # fmt: skip
def test_a_page_that_only_leads_elsewhere_is_no_article(head: str, body: str) -> None:
    assert read(page(body, head)).not_article == "empty"


def test_a_page_that_refreshes_itself_is_an_article() -> None:
    assert is_whole(read(page(ARTICLE, "<meta http-equiv=refresh content=300>")))


def test_an_amp_page_is_read_and_names_the_page_it_stands_for() -> None:
    html = page(ARTICLE, "<link rel=canonical href='https://news.example/2024/harbour'>").replace(
        "<html ", "<html amp "
    )
    record = read(html, url="https://amp.news.example/2024/harbour")
    assert is_whole(record)
    assert record.canonical_url == URL


def test_a_page_of_several_is_read_as_it_is_and_nothing_is_joined() -> None:
    body = ARTICLE + "<nav><a rel=prev href='?page=1'>Back</a><a rel=next href='?page=3'>Next</a></nav>"
    record = read(page(body, "<link rel=next href='?page=3'>"), url=f"{URL}?page=2")
    assert is_whole(record)
    assert "Next" not in record.text


def test_text_that_only_json_ld_holds_is_used() -> None:
    said = {
        "@type": "NewsArticle",
        "headline": "Harbour opens",
        "articleBody": "\n".join(f"Part {n}. {SENTENCE * 2}" for n in range(6)),
    }
    record = read(page("<div id=root></div>", f"<script type='application/ld+json'>{json.dumps(said)}</script>"))
    assert is_whole(record)
    assert record.extraction.method == "page:json-ld"


# ---------------------------------------------------------------- the feed's text steps in

WALLS = {
    "consent-wall": page(
        "<p>We use cookies.</p><button>Accept all</button><p>Before you continue</p><p>Reject all</p>"
    ),
    "challenge": page("<p>Enable JavaScript and cookies to continue</p>"),
    "soft-404": page("<h1>Page not found</h1>").replace("Harbour opens", "Page not found"),
    "error-page": page("<h1>502</h1>").replace("Harbour opens", "502 Bad Gateway"),
    "needs-script": page("<div id=root></div><script>x()</script>"),
    "geo-blocked": page("<p>This content is not available in your region.</p>"),
    "paywall": page("<p>Subscribe to continue reading.</p>"),
    "video": page(f"<p>{SENTENCE}</p>", "<meta property='og:type' content='video.other'>"),
    "too-deep": page("<div>" * 3_000),
    "too-large": "<b>" * 200_000,
    "unsupported-type": "%PDF-1.7 ...",
}


@pytest.mark.parametrize(("reason", "html"), WALLS.items(), ids=WALLS)
def test_a_full_text_feed_steps_in_for_a_page_that_is_no_article(reason: str, html: str) -> None:
    entry = Entry(guid="g", url=URL, title="Harbour opens", content_html=FEED_TEXT)
    record = extract_article(html.encode(), URL, entry=entry)
    assert record.not_article is None
    assert record.extraction.method == "feed"
    assert record.extraction.warnings == (f"page-{reason}",)
    assert record.text.startswith("Feed part 0.")


@pytest.mark.parametrize(("reason", "html"), WALLS.items(), ids=WALLS)
def test_a_teaser_does_not_step_in(reason: str, html: str) -> None:
    entry = Entry(guid="g", url=URL, title="Harbour opens", summary_html=f"<p>{SENTENCE}…</p>")
    record = extract_article(html.encode(), URL, entry=entry)
    assert record.not_article == reason
    assert record.extraction.confidence == 0
