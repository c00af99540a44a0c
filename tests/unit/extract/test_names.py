"""Bylines become names; what stands around a name is none."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.extract.names import (
    author_names,
    begins_as_byline,
    is_byline_label,
    looks_like_organisation,
    looks_like_person,
)


@pytest.mark.parametrize(
    ("raw", "names"),
    [
        (["By Ada Lind and Bo Ek"], ("Ada Lind", "Bo Ek")),
        (["Von Ada Lind, Bo Ek"], ("Ada Lind", "Bo Ek")),
        (["Par Ada Lind et Bo Ek"], ("Ada Lind", "Bo Ek")),
        (["作者：林安、王博"], ("林安", "王博")),
        (["Ada Lind", "ADA LIND"], ("Ada Lind",)),
        (["BILL MCCARTHY"], ("BILL MCCARTHY",)),
        (["By Ada Lind, Science Correspondent | Updated 3 May 2024"], ("Ada Lind",)),
        (["Ada Lind, May 3, 2024"], ("Ada Lind",)),
        (["Ada Lind, Ph.D., Bo Ek, MD"], ("Ada Lind, Ph.D.", "Bo Ek, MD")),
        (["Ada Lind, dpa"], ("Ada Lind", "dpa")),
        (["Ada Lind (ada@news.example)"], ("Ada Lind",)),
        (["Ada Lind (ali), Bo Ek (bek)"], ("Ada Lind", "Bo Ek")),
        (["Amanda De La O", "Davide Ek"], ("Amanda De La O", "Davide Ek")),
        (["Ada Lind &amp;amp; Bo Ek"], ("Ada Lind", "Bo Ek")),
        (["Barack Obama, Jr."], ("Barack Obama, Jr.",)),
        (["https://www.facebook.com/ada", "ada@news.example", "admin", "7 minutes", "page.extra.author"], ()),
        (["x" * 500], ()),
        (["one two three four five six seven eight nine"], ()),
    ],
)
def test_bylines_become_names(raw: list[str], names: tuple[str, ...]) -> None:
    assert author_names(raw) == names


@pytest.mark.parametrize("name", ["Ada Lind", "Ludwig van Ek", "J. R. Lind", "ADA LIND", "Ada Lind, Ph.D.", "林安"])
def test_people_are_seen_by_the_form_of_their_names(name: str) -> None:
    assert looks_like_person(name)


@pytest.mark.parametrize("name", ["Ada", "Read more here", "Harbour News", "Top 10", "Ada Lind wrote this", "ada lind"])
def test_other_words_are_no_person(name: str) -> None:
    assert not looks_like_person(name)


@pytest.mark.parametrize("name", ["dpa", "Reuters", "Editorial Team", "Redaktion", "Lind & Ek LLC", "news.example.com"])
def test_newsrooms_and_agencies_are_no_people(name: str) -> None:
    assert looks_like_organisation(name)


@pytest.mark.parametrize(
    ("line", "begins"), [("By Ada Lind", True), ("Von Ada", True), ("Byron left", False), ("", False)]
)
def test_a_byline_begins_with_its_word(line: str, begins: bool) -> None:
    assert begins_as_byline(line) is begins


@pytest.mark.parametrize(("line", "is_label"), [("By", True), ("Written by:", True), ("By Ada", False), ("", False)])
def test_a_label_is_the_word_alone(line: str, is_label: bool) -> None:
    assert is_byline_label(line) is is_label


@pytest.mark.parametrize("raw", ["By " * 100_000, "a, " * 100_000, "((" * 100_000, "&amp;" * 100_000, "@" * 100_000])
def test_hostile_bylines_cost_little(raw: str) -> None:
    began = time.process_time()
    author_names([raw])
    assert time.process_time() - began < 0.2


@given(st.lists(st.text(max_size=80), max_size=4))
def test_no_byline_raises(raw: list[str]) -> None:
    for name in author_names(raw):
        looks_like_person(name)
        looks_like_organisation(name)
