"""What is refused before and after the one parse, and what is mended."""

from __future__ import annotations

import time

import lxml.html
import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.extract.document import MAX_ATTRIBUTES, Document, has_crowded_tag, parse_html, read_document

URL = "https://news.example/a"
CROWD = "b " * (MAX_ATTRIBUTES + 5)


def text_of(html: bytes, headers: dict[str, str] | None = None) -> str:
    document = read_document(html, URL, headers)
    assert isinstance(document, Document)
    return "".join(map(str, document.root.itertext())).strip()


@pytest.mark.parametrize("depth", [255, 1_500, 2_000])
def test_text_after_deep_nesting_is_kept(depth: int) -> None:
    assert "after" in text_of(b"<body>" + b"<div>" * depth + b"deep" + b"</div>" * depth + b"<p>after</p>")


@pytest.mark.parametrize("depth", [2_100, 30_000])
def test_nesting_beyond_the_parser_is_refused_and_never_an_empty_article(depth: int) -> None:
    assert read_document(b"<body>" + b"<div>" * depth + b"deep", URL, None) == "too-deep"


def test_a_million_elements_are_refused_at_once() -> None:
    began = time.process_time()
    assert read_document(b"<div>" * 1_000_000, URL, None) == "too-large"
    assert time.process_time() - began < 2


@pytest.mark.parametrize(
    "html",
    [
        f"<p {CROWD}>x",
        f"<p {'=1 c=2 '.join(map(str, range(2000)))}>x",
        "<p " + 'a=">" ' * 2000 + ">x",
        f"<!--><p {CROWD}>",
        f"<title><script></title><p {CROWD}>",
        f"<textarea><!--</textarea><p {CROWD}>",
        f"<!x <script><p {CROWD}>",
        f"</x <script><p {CROWD}>",
        f"<script {CROWD}></script>",
        f"<!-- --!><p {CROWD}>",
        f"<p {CROWD}",
        "<p " + "b\x1b" * (MAX_ATTRIBUTES + 5) + ">x",
        "<p " + "b&#1;" * (MAX_ATTRIBUTES + 5) + ">x",
    ],
    ids=[
        "bare names", "with values", "quoted brackets", "behind an empty comment", "behind a title", "behind a textarea",
        "behind a bogus comment", "behind an end tag", "on a script", "behind a badly closed comment", "never closed",
        "parted by what becomes blanks", "parted by references to it",
    ],
)  # fmt: skip
def test_a_crowded_tag_is_found_wherever_it_hides(html: str) -> None:
    assert read_document(html.encode(), URL, None) == "too-many-attributes"


@pytest.mark.parametrize(
    "html",
    [
        f"<script>if (a<b {CROWD}) {{}}</script><p>x</p>",
        f"<!-- <p {CROWD}> --><p>x</p>",
        f"<p>{CROWD}</p>",
        f"a < {CROWD}",
        f"<style>a<b {CROWD}</style>",
    ],
    ids=["in a script", "in a comment", "as text", "after a lone bracket", "in a style"],
)
def test_many_words_that_are_no_attributes_are_let_through(html: str) -> None:
    assert not has_crowded_tag(html)


@pytest.mark.parametrize(
    "unit", ["<a", "<", "<!--", "<script ", "<a ", "</", "<!", "<a b='", '<a b="<', "<p " + "b " * 900 + ">"]
)
def test_the_scan_for_crowds_is_linear(unit: str) -> None:
    source = unit * (2_000_000 // len(unit))
    began = time.process_time()
    has_crowded_tag(source)
    assert time.process_time() - began < 1.5


@pytest.mark.parametrize(
    ("html", "text"),
    [
        (b"<p>a\x00b</p>", "ab"),
        (b"<?xml version='1.0' encoding='utf-8'?><html><body><p>ab</p>", "ab"),
        ("\ufeff<p>港口</p>".encode(), "港口"),
        ("<meta charset=gb2312><p>港口镕</p>".encode("gb18030"), "港口镕"),
    ],
    ids=["NUL", "XML declaration", "byte order mark", "gb2312 with GB18030 bytes"],
)
def test_what_parsers_stumble_over_is_mended(html: bytes, text: str) -> None:
    assert text_of(html) == text


def test_the_header_s_charset_is_heard_when_the_page_has_none() -> None:
    html = "<p>港口在经过十一个月的修缮之后重新开放</p>".encode("big5", "ignore")
    expected = html.decode("big5")[3:-4]
    assert text_of(html, {"Content-Type": "text/html; charset=Big5"}) == expected


@given(
    st.lists(
        st.sampled_from(["&#", "&#x", "0", "1", "c", "F", "65535", ";", "<p title='", "'>", "a", "\ufffe"])
        | st.characters(max_codepoint=0x20, exclude_characters="\0")
        | st.characters(categories=["Cs", "Cn"])
    ).map("".join)
)
def test_every_tree_can_be_written_again(soup: str) -> None:
    root = parse_html(f"<html><body>{soup}<p title='{soup}'>{soup}")
    assert isinstance(root, lxml.html.HtmlElement)
    for element in root.iter():
        element.text, element.tail = element.text, element.tail
        for name, value in element.attrib.items():
            if name == "title":
                element.set(name, value)


@pytest.mark.parametrize("unit", ["\x01", "&#", "&#0", "&#x0", "&#1;", "\ufffe"])
def test_blanking_is_linear(unit: str) -> None:
    source = unit * (3_000_000 // len(unit))
    began = time.process_time()
    parse_html(source)
    assert time.process_time() - began < 2


def test_a_lone_surrogate_reference_is_harmless() -> None:
    text_of(b"<p>a&#xD800;b</p>").encode("utf-8")


def test_a_foreign_base_is_used_for_resolving_only() -> None:
    document = read_document(b"<base href='https://cdn.example/x/'><p>a", URL, None)
    assert isinstance(document, Document)
    assert (document.base_url, document.url) == ("https://cdn.example/x/", URL)
