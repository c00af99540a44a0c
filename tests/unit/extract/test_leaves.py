"""One walk over a tree: what becomes a leaf, what is known of it, and what is left out."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.extract.document import parse_html
from worker.extract.leaves import (
    ARTICLE,
    ASIDE,
    BODY,
    CAPTION,
    HIDDEN,
    LINKED,
    MAX_TEXT,
    NAV,
    Leaf,
    Leaves,
    read_leaves,
)


def walked(body: str) -> Leaves:
    root = parse_html(f"<html><body>{body}</body></html>")
    assert not isinstance(root, str)
    return read_leaves(root)


def texts(body: str) -> list[str]:
    return [leaf.text for leaf in walked(body) if leaf.image is None]


def only(body: str) -> Leaf:
    (leaf,) = walked(body)
    return leaf


@pytest.mark.parametrize(
    ("html", "expected"),
    [
        ("<p>a <b>b</b>\n c</p>", ["a b c"]),
        ("<div>before<p>inner</p>after</div>", ["before", "inner", "after"]),
        ("<p>a<br>b</p>", ["a b"]),
        ("<div>a<br> <br>b<br><br><br>c</div>", ["a", "b", "c"]),
        ("<p>a</p><script>x()</script><style>p{}</style><noscript>n</noscript><p>b</p>", ["a", "b"]),
        ("<p>a<span class='sr-only'>for readers aloud</span> b</p>", ["a b"]),
        ("<p>a <span style='display: none'>unseen</span>b</p>", ["a b"]),
        ("<button>Menu</button><p>a</p>", ["a"]),
        ("<table><tr><td>a</td><td>b</td></tr><tr><td>c</td></tr></table>", ["a b", "c"]),
        ("<table><tr><td><p>a</p></td><td><p>b</p></td></tr></table>", ["a", "b"]),
        ("<pre>a\n  b</pre>", ["a b"]),
        ("<p> \n\t </p>", []),
    ],
    ids=[
        "inline", "mixed", "a break", "paragraphs by breaks", "no scripts", "not for eyes", "hidden inline", "controls",
        "rows", "layout tables", "preformatted", "blank",
    ],
)  # fmt: skip
def test_text_is_parted_at_blocks(html: str, expected: list[str]) -> None:
    assert texts(html) == expected


def test_a_page_that_an_unclosed_button_swallowed_is_read() -> None:
    html = "<button><span>Menu</span><div><article><h1>Harbour</h1><p>It is open.</p></article>"
    assert texts(html) == ["Menu", "Harbour", "It is open."]


def test_a_page_without_a_body_tag_is_read() -> None:
    root = parse_html(
        "<title>Harbour</title><meta charset=utf-8><script>x()</script><article><p>It is open.</p></article>"
    )
    assert not isinstance(root, str)
    assert [leaf.text for leaf in read_leaves(root)] == ["It is open."]


@pytest.mark.parametrize(
    ("html", "flag"),
    [
        ("<article><div><p>a</p></div></article>", ARTICLE),
        ("<aside><p>a</p></aside>", ASIDE),
        ("<div role='navigation'><p>a</p></div>", NAV),
        ("<div itemprop='articleBody'><p>a</p></div>", BODY),
        ("<div hidden><p>a</p></div>", HIDDEN),
        ("<div style='DISPLAY:none'><p>a</p></div>", HIDDEN),
        ("<div class='image-caption'><p>a</p></div>", CAPTION),
        ("<a href='/x'><div>a</div></a>", LINKED),
    ],
)
def test_a_leaf_knows_what_stands_around_it(html: str, flag: int) -> None:
    assert only(html).box.flags & flag
    assert not only("<div><p>a</p></div>").box.flags & flag


def test_links_and_marks_are_counted_in_characters_of_the_text() -> None:
    leaf = only("<p>abc <a href='/x'>de</a> <b>fgh</b> <a href='/y'>i</a></p>")
    assert (leaf.links, leaf.link_length, leaf.marked_length, len(leaf.text)) == (2, 3, 3, 12)


def test_items_know_their_depth_and_number() -> None:
    found = walked("<ol><li>a<ul><li>b</li></ul></li><li>c</li></ol>")
    assert [(leaf.text, leaf.level, leaf.number) for leaf in found] == [("a", 1, 1), ("b", 2, None), ("c", 1, 2)]


def test_a_box_spans_the_leaves_inside_of_it() -> None:
    found = walked("<p>a</p><div><p>b</p><p>c</p></div><p>d</p>")
    (box,) = [box for box in found.boxes if box.tag == "div"]
    assert [leaf.text for leaf in found.leaves[box.start : box.end]] == ["b", "c"]
    assert found.boxes[0].end == len(found.leaves)


def test_pictures_stand_in_order_and_know_their_link() -> None:
    found = walked("<p>a</p><a href='/big.jpg'><img src='/i.jpg'></a><picture><source srcset='/s.webp'><img></picture>")
    assert [leaf.kind for leaf in found] == ["paragraph", "figure", "figure"]
    assert [leaf.href for leaf in found] == [None, "/big.jpg", None]


def test_a_text_without_end_is_cut() -> None:
    assert sum(len(leaf.text) for leaf in walked("<p>" + "word " * 300_000)) <= MAX_TEXT


def test_tens_of_thousands_of_elements_take_linear_time() -> None:
    costs = []
    for count in (1_000, 8_000):
        html = "<div class='a b c'><p>one <a href='/x'>two</a> three</p></div>" * count
        root = parse_html(f"<html><body>{html}</body></html>")
        assert not isinstance(root, str)
        began = time.process_time()
        assert len(read_leaves(root).leaves) == count
        costs.append(time.process_time() - began)
    assert costs[1] < 30 * costs[0]


@given(st.lists(st.sampled_from(["<p>a", "</p>", "<div>", "</div>", "b", "<br>", "<b>", "</b>", "<li>c", "<ul>", "</ul>",
                                 "<table><tr><td>d", "</table>", "<img src=x>", "<a href=y>", "</a>", "<pre>\n"])))  # fmt: skip
def test_no_letter_is_lost_or_said_twice(pieces: list[str]) -> None:
    html = "".join(pieces)
    said = "".join(texts(html)).replace(" ", "")
    root = parse_html(f"<html><body>{html}</body></html>")
    assert not isinstance(root, str)
    assert said == "".join("".join(map(str, root.itertext())).split())
