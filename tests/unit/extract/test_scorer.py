"""The shipped model, and how it is asked: it knows the columns that are counted, and tells an article from a page."""

from __future__ import annotations

import json
from importlib.resources import files
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.extract.document import parse_html
from worker.extract.features import Said, columns_of, name_tokens, read_page, words_of
from worker.extract.leaves import Leaves, read_leaves
from worker.extract.scorer import CONTENT_FROM, Trees, read_model, score, shipped_model

SENTENCE = "The harbour opened again on Tuesday after eleven quiet months of careful work, and people came to see it. "
PAGE = (
    "<header class='site-header'><nav><ul>" + "".join(f"<li><a href='/{n}'>Section {n}</a></li>" for n in range(9)) +
    "</ul></nav></header><main><article class='article'><h1>Harbour opens</h1><div class='article-body'>"
    + "".join(f"<p>Part {n}. {SENTENCE * 2}</p>" for n in range(8))
    + "</div><div class='related-articles'><h3>Related articles</h3><ul>"
    + "".join(f"<li><a href='/r{n}'>Another story that was told, number {n}</a></li>" for n in range(6))
    + "</ul></div></article></main><footer class='footer'><p>© Example. All rights reserved.</p></footer>"
)  # fmt: skip


def leaves(body: str) -> Leaves:
    root = parse_html(f"<html><body>{body}</body></html>")
    assert not isinstance(root, str)
    return read_leaves(root)


def written() -> dict[str, Any]:
    return json.loads(files("worker.extract").joinpath("model.json").read_text("utf-8"))


def test_the_article_is_told_from_what_stands_around_it() -> None:
    scored = score(leaves(PAGE), Said(title="Harbour opens"))
    assert scored is not None
    taken = [leaf.text for leaf, likely in zip(scored.rows, scored.body, strict=True) if likely >= CONTENT_FROM]
    assert [text[:7] for text in taken] == [f"Part {n}." for n in range(8)]


def test_a_page_without_text_is_not_scored() -> None:
    assert score(leaves("<img src='/i.jpg'><div> </div>"), Said()) is None


def test_the_model_asks_for_columns_that_are_counted_and_for_no_others() -> None:
    page = read_page(leaves(PAGE), Said())
    assert page is not None
    model = shipped_model()
    assert set(columns_of(page, Said(), model.vocabulary)) == set(model.features)
    assert len(set(model.features)) == len(model.features)
    for trees in (model.body, model.dek):
        assert trees.features.min() >= 0
        assert trees.features.max() < len(model.features)


def test_the_vocabularies_are_what_the_page_is_parted_into() -> None:
    model = shipped_model()
    assert all(name_tokens(token) == (token,) for token in model.vocabulary.tokens)
    assert all(words_of(word) == (word,) for word in model.vocabulary.words)
    assert all(-1 <= lean <= 1 for lean in (*model.vocabulary.tokens.values(), *model.vocabulary.words.values()))


def asked(tree: dict[str, Any], row: list[float]) -> float:
    """A tree, question by question: the slow way."""
    number = sum(
        (row[feature] > border) << bit
        for bit, (feature, border) in enumerate(zip(tree["features"], tree["borders"], strict=True))
    )
    return tree["values"][number]


@given(st.integers(0, 2**32 - 1), st.integers(1, 5))
def test_all_trees_at_once_say_what_each_says_alone(seed: int, count: int) -> None:
    model = written()
    dice = np.random.default_rng(seed)
    matrix = dice.normal(0, 3, (len(model["features"]), count)).astype(np.float32)
    one = model["trees"]["dek"]
    sums = [sum(asked(tree, matrix[:, leaf].tolist()) for tree in one["trees"]) + one["bias"] for leaf in range(count)]
    assert read_model(model).dek.probability(matrix) == pytest.approx(1 / (1 + np.exp(-np.array(sums))), abs=1e-3)


def test_a_long_page_is_asked_piece_by_piece() -> None:
    trees = Trees(
        features=np.array([[0]]),
        borders=np.array([[0.5]], np.float32),
        values=np.array([[-9, 9]], np.float32),
        bias=0.0,
    )
    matrix = (np.arange(5_001) % 2).astype(np.float32)[np.newaxis]
    assert (trees.probability(matrix) > 0.5).tolist() == [bool(n % 2) for n in range(5_001)]


@pytest.mark.parametrize(
    ("names", "tokens"),
    [
        ("c-articleBody__text", ("article", "body", "text")),
        ("HTMLBody", ("htmlbody",)),
        ("col-md-8 p", ("col", "md")),
        ("css-1a2b3c", ("css",)),
        ("", ()),
    ],
)
def test_class_names_are_parted_into_words(names: str, tokens: tuple[str, ...]) -> None:
    assert name_tokens(names) == tokens


def test_no_number_is_left_open_on_an_odd_page() -> None:
    for html in ("x", "<p>.", "<h1>a</h1>", "<table><tr><td>1</td></tr></table>", "<p>" * 200 + "a"):
        page = read_page(leaves(html), Said(title="a", summary="b", body="c" * 300))
        assert page is not None
        columns = columns_of(page, Said(title="a", summary="b", body="c" * 300), shipped_model().vocabulary)
        assert all(np.isfinite(np.asarray(column, dtype=np.float32)).all() for column in columns.values())
