"""What is a change of an article, and how large is it."""

from __future__ import annotations

import time
import unicodedata
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.newsserver import paragraphs
from worker.extract.compare import changed_share, compare, is_same_picture, plain, side_by_side
from worker.model import ArticleRecord, Extraction, ImageCandidate, Picture

TEXT = "\n\n".join(paragraphs(4, 6))
AT = datetime(2026, 11, 20, 9, 30, tzinfo=UTC)


def named(url: str, **values: Any) -> ImageCandidate:
    return ImageCandidate(url=url, chosen_by="og:image", **values)


def record(**values: Any) -> ArticleRecord:
    known = {"title": "The ferry sails again", "published_at": AT, "text": TEXT, "language": "en"}
    return ArticleRecord(**{**known, **values}, extraction=Extraction(method="page", version="1", confidence=0.9))


def pictured(*urls: str, **values: Any) -> ArticleRecord:
    candidates = tuple(named(url) for url in urls)
    return record(image=candidates[0], image_candidates=candidates, **values)


def changes(old: ArticleRecord, new: ArticleRecord, picture: Picture | None = None) -> dict[str, str]:
    return dict(compare(old, new, picture=picture).changes)


# ---------------------------------------------------------------- what is no change


@pytest.mark.parametrize(
    ("one", "other"),
    [
        pytest.param("“Sail,” they said", '"Sail," they said', id="quotation marks"),
        pytest.param("it’s late", "it's late", id="apostrophe"),
        pytest.param("north—south", "north -- south", id="dashes"),
        pytest.param("a\u00a0b\u200b c", "a b c", id="blanks and invisible characters"),
        pytest.param("one\n\ntwo", "one two", id="paragraphs joined"),
        pytest.param("华盛顿 — 你好", "华盛顿—你好", id="a blank at a line's end"),
        pytest.param("ＡＢＣ１２３…", "ABC123...", id="full width"),
        pytest.param("cafe\u0301", "café", id="composed and decomposed"),
        pytest.param("soft\u00adhyphen", "softhyphen", id="soft hyphen"),
        pytest.param("\ud800 half", "? half", id="half a surrogate pair, as the archive keeps it"),
    ],
)
def test_layout_and_typography_are_no_change(one: str, other: str) -> None:
    assert plain(one) == plain(other)
    assert not compare(record(text=one, title=other), record(text=other, title=one), picture=None).changes


@pytest.mark.parametrize(
    ("one", "other"),
    [
        pytest.param("Polish", "polish", id="case"),
        pytest.param("He said no.", "He said no!", id="punctuation"),
        pytest.param("10 dead", "11 dead", id="a digit"),
        pytest.param("not guilty", "guilty", id="a word"),
    ],
)
def test_wording_is(one: str, other: str) -> None:
    comparison = compare(record(text=one), record(text=other), picture=None)
    assert comparison.is_revision
    assert comparison.ratio > 0


@given(st.text(), st.sampled_from([" ", "\n\n", "\u00a0", "\u200b", ""]))
def test_white_space_between_pieces_never_matters(text: str, blank: str) -> None:
    assert plain(blank.join(text.split())) == plain(text)


# ---------------------------------------------------------------- how much


@pytest.mark.parametrize(
    ("new", "low", "high"),
    [
        pytest.param(TEXT.replace("patience", "impatience", 1), 0.0001, 0.02, id="one word"),
        pytest.param(TEXT + "\n\n" + TEXT.upper(), 0.45, 0.55, id="as much again"),
        pytest.param("\n\n".join(paragraphs(4, 3)), 0.4, 0.6, id="half of it gone"),
        pytest.param("Completely different words about another matter altogether.", 0.99, 1.0, id="another text"),
        pytest.param("", 1.0, 1.0, id="nothing left"),
        pytest.param(TEXT, 0.0, 0.0, id="nothing changed"),
    ],
)
def test_the_ratio_is_the_share_of_the_text_that_changed(new: str, low: float, high: float) -> None:
    assert low <= compare(record(), record(text=new), picture=None).ratio <= high


@pytest.mark.parametrize(
    ("one", "other", "share"),
    [
        pytest.param("a" * 40 + "X" + "b" * 40, "a" * 40 + "b" * 40, 8 / 81, id="one character out of the middle"),
        pytest.param("abcdefgh" * 9, "abcdefgh" * 10, 8 / 80, id="more of the same"),
        pytest.param("x" * 50, "y" * 50, 1.0, id="nothing in common"),
        pytest.param("aa", "aaa", 1 / 3, id="begins and ends alike with the same letters"),
        pytest.param("", "abc", 1.0, id="from nothing"),
    ],
)
def test_only_the_stretch_between_common_ends_counts(one: str, other: str, share: float) -> None:
    assert changed_share(one, other) == changed_share(other, one) == round(share, 4)


def test_a_very_long_difference_is_judged_by_its_beginning() -> None:
    shares = []
    for size in (90_000, 900_000):
        numbers = [f"{number:09d}" for number in range(size // 9)]
        one = "".join(numbers)
        shares.append(
            changed_share(f"<{one}>", "".join(f"{text}!" if n % 2 else text for n, text in enumerate(numbers)))
        )
    assert shares[0] == pytest.approx(shares[1], abs=0.05)
    assert shares[0] > 0.4


@pytest.mark.parametrize(
    "heap",
    [
        pytest.param("\u0301\u0316", id="marks of two classes in turn"),
        pytest.param("\u00a8\u0316", id="blanks with marks, as compatibility forms have them"),
        pytest.param("\uff9e\u0301", id="marks that are letters until they are folded"),
        pytest.param("word ", id="words"),
    ],
)
def test_a_megabyte_is_compared_in_seconds_whatever_is_in_it(heap: str) -> None:
    text = "a" + heap * (1_000_000 // len(heap))
    old, new = record(text=text), record(text="b" + text)
    began = time.process_time()
    side_by_side(old, new, compare(old, new, picture=None), picture=None)
    assert time.process_time() - began < 10


def test_as_many_marks_as_writing_has_are_kept() -> None:
    assert plain("z" + "\u0301\u0316" * 15) == unicodedata.normalize("NFC", "z" + "\u0301\u0316" * 15)
    assert plain("Việt Nam, ๏ก็ ज़िंदगी") == plain(unicodedata.normalize("NFD", "Việt Nam, ๏ก็ ज़िंदगी"))


@given(st.text(max_size=60), st.text(max_size=60))
def test_the_ratio_lies_between_0_and_1_and_is_0_only_for_what_hardly_differs(one: str, other: str) -> None:
    assert 0 <= changed_share(one, other) <= 1
    assert changed_share(one, one) == 0
    assert changed_share(one, other) == changed_share(other, one)


@pytest.mark.parametrize(
    ("values", "name"),
    [
        pytest.param({"text": TEXT.replace("patience", "time", 1)}, "correction", id="a word"),
        pytest.param({"text": TEXT[: len(TEXT) // 2]}, "rewrite", id="half the text"),
        pytest.param({"title": "The ferry stays"}, "metadata", id="title"),
        pytest.param({"published_at": None}, "metadata", id="date"),
        pytest.param(
            {"title": "New", "text": TEXT.replace("patience", "time", 1)}, "correction", id="the text weighs more"
        ),
    ],
)
def test_a_change_has_a_class(values: dict[str, Any], name: str) -> None:
    assert compare(record(), record(**values), picture=None).change_class == name


def test_another_picture_has_a_class_of_its_own() -> None:
    old, new = pictured("https://a.example/1.jpg"), pictured("https://a.example/2.jpg")
    assert compare(old, new, picture=Picture(url="https://a.example/1.jpg")).change_class == "picture"


# ---------------------------------------------------------------- field by field


@pytest.mark.parametrize(
    ("old", "new", "found"),
    [
        pytest.param({}, {}, {}, id="nothing"),
        pytest.param({"title": None}, {}, {"title": "gained"}, id="title gained"),
        pytest.param({}, {"title": None}, {"title": "lost"}, id="title lost"),
        pytest.param({}, {"published_at": None}, {"published_at": "lost"}, id="date lost"),
        pytest.param({}, {"published_at": AT.replace(hour=1)}, {"published_at": "other"}, id="another date"),
        pytest.param({}, {"text": TEXT + " More."}, {"text": "longer"}, id="longer"),
        pytest.param({}, {"text": TEXT[:-20]}, {"text": "shorter"}, id="shorter"),
        pytest.param({"summary": "A"}, {"summary": "B"}, {"summary": "other"}, id="of the same length"),
        pytest.param({"authors": ("A",)}, {"authors": ("A", "B")}, {"authors": "longer"}, id="one more author"),
        pytest.param({"language": None}, {}, {"language": "gained"}, id="language"),
        pytest.param({"tags": ("x",)}, {}, {"tags": "lost"}, id="tags"),
    ],
)
def test_each_field_is_compared(old: dict[str, Any], new: dict[str, Any], found: dict[str, str]) -> None:
    assert changes(record(**old), record(**new)) == found


@pytest.mark.parametrize("field", ["authors", "tags"])
def test_what_is_no_text_title_date_or_picture_makes_no_revision(field: str) -> None:
    assert not compare(record(), record(**{field: ("New",)}), picture=None).is_revision


@pytest.mark.parametrize(
    ("new", "worse"),
    [
        pytest.param({"text": TEXT[: int(len(TEXT) * 0.45)]}, True, id="more than half the text is gone"),
        pytest.param({"text": TEXT[: int(len(TEXT) * 0.55)]}, False, id="less than half is"),
        pytest.param({"text": ""}, True, id="text lost"),
        pytest.param({"title": ""}, True, id="title lost"),
        pytest.param({"published_at": None}, True, id="date lost"),
        pytest.param({"language": None}, False, id="language lost"),
        pytest.param({"title": "Another"}, False, id="title changed"),
    ],
)
def test_what_was_lost_makes_it_worse(new: dict[str, Any], *, worse: bool) -> None:
    assert compare(record(), record(**new), picture=None).is_worse is worse


def test_a_lost_picture_makes_it_worse() -> None:
    comparison = compare(pictured("https://a.example/1.jpg"), record(), picture=Picture(url="https://a.example/1.jpg"))
    assert comparison.is_worse
    assert comparison.changes == {"image": "lost"}


def test_a_caption_alone_is_no_revision() -> None:
    url = "https://a.example/1.jpg"
    new = record(image=named(url, caption="At the quay"), image_candidates=(named(url, caption="At the quay"),))
    comparison = compare(pictured(url), new, picture=Picture(url=url))
    assert comparison.changes == {"image.caption": "gained"}
    assert not comparison.is_revision


# ---------------------------------------------------------------- which picture

A, B, C = (f"https://a.example/{name}.jpg" for name in "abc")


@pytest.mark.parametrize(
    ("picture", "old", "new", "same"),
    [
        pytest.param(None, (), (), True, id="none before, none now"),
        pytest.param(None, (), (A,), False, id="gained"),
        pytest.param(A, (A,), (), False, id="lost"),
        pytest.param(A, (A,), (A, B), True, id="the same"),
        pytest.param(A, (A,), ("https://a.example/a-640x360.jpg",), True, id="another size of it"),
        pytest.param(A, (A,), (f"https://wsrv.nl/?url={A}",), True, id="through a proxy"),
        pytest.param(A, (A, B), (B, A), False, id="another one comes first"),
        pytest.param(B, (A, B), (A, B), True, id="a later one, because the first could not be had"),
        pytest.param(B, (A, B), (B, A), True, id="that later one comes first now"),
        pytest.param(B, (), (A, B), True, id="nobody knows the candidates, and it is still one"),
        pytest.param(C, (), (A, B), False, id="nobody knows the candidates, and it is none any more"),
    ],
)
def test_a_picture_is_the_same_if_the_choice_would_end_there(
    picture: str | None, old: tuple[str, ...], new: tuple[str, ...], *, same: bool
) -> None:
    found = Picture(url=picture, sha256="0" * 64) if picture else None
    assert is_same_picture(found, tuple(map(named, old)), tuple(map(named, new))) is same


def test_a_picture_that_was_only_named_is_the_same_only_as_the_first() -> None:
    assert not is_same_picture(Picture(url=B), (), (named(A), named(B)))


# ---------------------------------------------------------------- side by side


def test_the_first_difference_is_shown_on_both_sides() -> None:
    old = record(text=TEXT)
    new = record(
        text=TEXT.replace("in paragraph 3", "in paragraph 3").replace("paragraph 3", "section 3").replace("'", "’")
    )
    field, before, after = side_by_side(old, new, compare(old, new, picture=None), picture=None)
    assert field == "text"
    assert "paragraph 3 of report" in before
    assert "section 3 of report" in after
    assert before.startswith("…")
    assert before.endswith("…")
    assert len(before) < 200


def test_differences_of_typography_before_it_are_passed_over() -> None:
    old = record(text="“One” — two\n\nthree four")
    new = record(text='"One" - two three five')
    _, before, after = side_by_side(old, new, compare(old, new, picture=None), picture=None)
    assert before.endswith("three four")
    assert after.endswith("three five")


@pytest.mark.parametrize(
    ("values", "shown"),
    [
        pytest.param({"title": "Stays"}, ("title", "The ferry sails again", "Stays"), id="title"),
        pytest.param({"published_at": None}, ("published_at", "2026-11-20T09:30:00Z", ""), id="date"),
        pytest.param({"authors": ("A", "B")}, ("authors", "", "A, B"), id="nothing weightier"),
    ],
)
def test_other_fields_are_shown_as_they_are(values: dict[str, Any], shown: tuple[str, str, str]) -> None:
    new = record(**values)
    assert side_by_side(record(), new, compare(record(), new, picture=None), picture=None) == shown


def test_pictures_are_shown_by_their_addresses() -> None:
    old, new = pictured(A), pictured(B)
    picture = Picture(url=A)
    assert side_by_side(old, new, compare(old, new, picture=picture), picture=picture) == ("image", A, B)


def test_the_worst_comes_first() -> None:
    news = [record(title=""), record(title="X"), record(text=TEXT[:200]), replace(record(), text=TEXT + " Y")]
    order = sorted(news, key=lambda new: compare(record(), new, picture=None).badness, reverse=True)
    assert order == [news[2], news[0], news[3], news[1]]
