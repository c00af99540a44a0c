"""What is taken of the leaves that score: what is hidden, the dek, pictures and their captions."""

from __future__ import annotations

import pytest

from worker.extract.article import said_of
from worker.extract.body import Body, read_body
from worker.extract.document import Document, read_document
from worker.extract.leaves import read_leaves
from worker.extract.metadata import read_metadata

URL = "https://news.example/2024/harbour"
SENTENCE = "The harbour opened again on Tuesday after eleven quiet months of careful work, and people came to see it. "
TEXT = "".join(f"<p>Part {number}. {SENTENCE * 2}</p>" for number in range(6))
DEK = "After eleven months the first ferry is back, and the whole town has come down to see it."


def body_of(article: str, head: str = "", around: str = "{}") -> Body:
    html = f"<html><head><title>Harbour opens</title>{head}</head><body>{around.format(article)}</body></html>"
    document = read_document(html.encode(), URL, None)
    assert isinstance(document, Document)
    leaves = read_leaves(document.root)
    metadata = read_metadata(document, None, leaves)
    return read_body(document, metadata, leaves, said_of(metadata, None))


def parts(body: Body) -> list[str]:
    return [text.partition(".")[0] for text in body.text.split("\n\n")]


ALL = [f"Part {number}" for number in range(6)]


def test_the_paragraphs_are_taken_and_the_title_is_not() -> None:
    body = body_of(f"<article><h1>Harbour opens</h1>{TEXT}</article>")
    assert (parts(body), body.method, body.dek) == (ALL, "page:leaves", None)
    assert body.sureness is not None
    assert body.sureness > 0.9


def test_what_the_page_hides_is_left_out() -> None:
    hidden = f"<div hidden><p>Hidden. {SENTENCE * 2}</p></div>"
    assert parts(body_of(f"<article><h1>Harbour opens</h1>{TEXT}{hidden}</article>")) == ALL


def test_an_article_that_a_script_would_show_is_read() -> None:
    assert parts(body_of(f"<article><h1>Harbour opens</h1><div style='display:none'>{TEXT}</div></article>")) == ALL


@pytest.mark.parametrize(
    "top",
    [
        f"<header><h1>Harbour opens</h1><p>{DEK}</p></header>",
        f"<h1>Harbour opens</h1><p class='article__dek'>{DEK}</p>",
        f"<h1>Harbour opens</h1><div class='standfirst'>{DEK}</div>",
    ],
)
def test_the_dek_is_no_part_of_the_text(top: str) -> None:
    body = body_of(f"<article>{top}{TEXT}</article>", head=f'<meta name="description" content="{DEK}">')
    assert (body.dek, parts(body)) == (DEK, ALL)


def test_a_summary_that_stands_among_the_paragraphs_is_text() -> None:
    body = body_of(
        f"<article><h1>Harbour opens</h1>{TEXT}<p>{DEK}</p>{TEXT.replace('Part', 'More')}</article>",
        head=f'<meta name="description" content="{DEK}">',
    )
    assert body.dek is None
    assert DEK in body.text


def figures(body: Body) -> list[tuple[str | None, str]]:
    return [(block.image_url, block.text) for block in body.blocks if block.kind == "figure"]


def test_pictures_among_the_paragraphs_bring_their_captions() -> None:
    figure = "<figure><img src='/ship.jpg'><figcaption>A ship comes in</figcaption></figure>"
    body = body_of(f"<article><h1>Harbour opens</h1>{TEXT}{figure}{TEXT.replace('Part', 'More')}</article>")
    assert figures(body) == [("https://news.example/ship.jpg", "A ship comes in")]
    assert "A ship comes in" not in body.text


def test_a_picture_is_shown_once_and_an_aside_s_is_not_the_article_s() -> None:
    picture = "<figure><img src='/ship.jpg'></figure>"
    aside = "<aside><img src='/offer.jpg'></aside>"
    more = TEXT.replace("Part", "More")
    body = body_of(f"<article><h1>Harbour opens</h1>{picture}{TEXT}{picture}{aside}{more}</article>")
    assert figures(body) == [("https://news.example/ship.jpg", "")]


def test_the_span_reaches_from_the_first_leaf_taken_to_the_last() -> None:
    body = body_of(f"<article><h1>Harbour opens</h1>{TEXT}</article>", around="<nav><a href='/'>Home</a></nav>{}")
    assert body.span == range(2, 8)
