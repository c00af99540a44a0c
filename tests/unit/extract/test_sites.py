"""What a site's recent pages teach: its furniture goes, and nothing else does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.extract.sites import (
    MAX_KEYS,
    NOTHING_KNOWN,
    RECENT,
    BodyLine,
    Furniture,
    PageLines,
    SiteMemory,
    SitePage,
    furniture_among,
    furniture_of,
    keys_at,
    learnt,
    line_key,
    page_lines,
    site_of,
)

NOON = datetime(2026, 11, 25, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)

PROMO = "Our newsletter brings the five stories of the day to your desk, every morning at six."
ABOUT = "The Harbour Gazette is written by forty people above the old fish market, since 1911."
OPENING = "This piece first appeared in Sunday's printed edition, on the pages of the magazine."


def story(name: str, lines: int = 8) -> list[str]:
    """The paragraphs of one article, like no other's."""
    return [f"Paragraph {n} of the story about {name} tells what nobody has told before." for n in range(lines)]


@dataclass(frozen=True)
class Page:
    """What the general rules made of a page: its text line by line, headings marked by ``#``, and what they left out."""

    text: Sequence[str]
    left_out: Sequence[str] = ()

    @property
    def lines(self) -> list[BodyLine]:
        return [BodyLine(key=line_key(one), chars=len(one), is_heading=one.startswith("#")) for one in self.text]

    @property
    def remembered(self) -> PageLines:
        return page_lines([line_key(one) for one in self.text], [line_key(one) for one in self.left_out])

    def read_beside(self, *siblings: Page) -> list[str]:
        """The text as it is read by who knows these pages of the site."""
        furniture = Furniture(siblings=tuple(one.remembered for one in siblings))
        cut = furniture_among(self.lines, furniture)
        return [one for place, one in enumerate(self.text) if place not in cut]


def others(count: int, *, text: Sequence[str] = (), left_out: Sequence[str] = ()) -> list[Page]:
    """Pages of other stories with these lines around, in their text or not."""
    return [Page([*story(f"number {n}"), *text], left_out) for n in range(count)]


# ---------------------------------------------------------------- what is cut


def test_a_site_s_template_goes_and_every_article_stays_whole() -> None:
    top = [f"Line {n} of all that the house writes above each of its articles." for n in range(20)]
    bottom = [f"Line {n} of all that the house writes below each of its articles." for n in range(20)]
    whole = [story(f"number {n}") for n in range(9)]
    # the general rules let a few of forty lines through, never quite the same ones
    site = [
        Page([*top[17 + n % 2 :], *text, *bottom[: 3 + n % 2]], [*top[: 17 + n % 2], *bottom[3 + n % 2 :]])
        for n, text in enumerate(whole)
    ]
    for n, page in enumerate(site):
        siblings = [one for one in site if one is not page]
        assert page.read_beside(*siblings[:8]) == whole[n]


@pytest.mark.parametrize("place", [0, 4, 8], ids=["before", "inside", "behind"])
def test_what_nearly_every_page_has_in_its_text_is_cut_wherever_it_stands(place: int) -> None:
    text = story("ours")
    text.insert(place, PROMO)
    assert Page(text).read_beside(*others(4, text=[PROMO])) == story("ours")


def test_two_siblings_that_left_a_line_out_are_enough_inside_the_text() -> None:
    text = [*story("ours", 4), PROMO, *story("ours")[4:]]
    siblings = [*others(2, left_out=[PROMO]), *others(2)[:1], Page(story("another"))]
    assert Page(text).read_beside(*siblings) == story("ours")


def test_two_siblings_are_enough_behind_the_text() -> None:
    siblings = [*others(2, text=[ABOUT]), Page(story("a third")), Page(story("a fourth"))]
    assert Page([*story("ours"), ABOUT]).read_beside(*siblings) == story("ours")


def test_a_heading_goes_with_all_that_stood_below_it() -> None:
    text = [*story("ours"), "# About us", ABOUT]
    assert Page(text).read_beside(*others(4, text=[ABOUT])) == story("ours")


def test_a_line_is_recognised_in_other_letters_and_with_other_blanks() -> None:
    written = "  HERE'S   how to reach the newsroom — by day and by night "
    assert line_key(written) == line_key("Here\u2019s how to reach the newsroom: by day and by night")


# ---------------------------------------------------------------- what is kept


def test_three_pages_of_a_site_teach_nothing() -> None:
    text = [*story("ours"), ABOUT]
    assert Page(text).read_beside(*others(2, text=[ABOUT])) == text


def test_one_sibling_alone_proves_nothing() -> None:
    text = [*story("ours"), ABOUT]
    assert Page(text).read_beside(*others(1, text=[ABOUT]), *others(4)[1:]) == text


def test_what_half_of_the_pages_say_in_their_midst_is_kept() -> None:
    """A baker's recipes: "Heat the oven to 180 degrees" is a step of each."""
    step = "Heat the oven to 180 degrees and line the tin with baking paper."
    text = [*story("ours", 4), step, *story("ours")[4:]]
    siblings = [*others(4, text=[step, "And then the rest of the recipe, which nobody shares."]), *others(8)[4:]]
    assert Page(text).read_beside(*siblings) == text


def test_headings_that_every_page_has_are_kept_above_a_text() -> None:
    text = [
        "# What you will need for this recipe",
        *story("ours", 3),
        "# How it is done, step by step",
        *story("it", 3),
    ]
    headings = [one for one in text if one.startswith("#")]
    assert Page(text).read_beside(*others(8, text=headings)) == text


@pytest.mark.parametrize("short", ["Advertisement", "AFP", "Pros", "Ingredients", "AP / Reuters", "新华社记者"])
def test_short_lines_are_kept_whoever_has_them(short: str) -> None:
    text = [short, *story("ours"), short]
    assert Page(text).read_beside(*others(8, text=[short], left_out=[])) == text


def test_the_article_s_own_teaser_on_its_siblings_does_not_cost_it_its_first_paragraph() -> None:
    text = story("ours")
    assert Page(text).read_beside(*others(8, left_out=text[:2])) == text


def test_an_endless_page_that_goes_on_with_this_article_does_not_cost_it_its_text() -> None:
    text = story("ours")
    assert Page(text).read_beside(*others(8, left_out=text)) == text


def test_follow_ups_keep_the_background_that_they_have_in_common() -> None:
    background = story("how it all began", 4)
    chain = [Page([*story(f"day {n}", 3), *background]) for n in range(3)]
    text = [*story("day 3", 3), *background]
    assert Page(text).read_beside(*chain, *others(4)) == text


def test_copies_of_a_page_under_other_urls_teach_nothing_about_it() -> None:
    text = story("ours", 12)
    copies = [Page(text), Page([*text[:11], "One line is new."]), *others(4)]
    assert Page(text).read_beside(*copies) == text


def test_most_of_a_text_is_never_cut() -> None:
    text = [*story("ours", 2), *story("the house", 3)]
    assert Page(text).read_beside(*others(8, text=story("the house", 3))) == text


def test_a_page_without_any_line_of_text_is_no_trouble() -> None:
    assert Page([]).read_beside(*others(8, text=[PROMO])) == []


@given(
    st.lists(st.sampled_from([*story("ours"), PROMO, ABOUT, OPENING, "AFP", "# More about this", ""]), max_size=12),
    st.lists(st.lists(st.sampled_from([*story("ours"), PROMO, ABOUT, OPENING, *story("it")]), max_size=9), max_size=9),
)
def test_never_more_than_half_of_a_text_goes_and_never_a_line_that_no_sibling_has(
    text: list[str], siblings: list[list[str]]
) -> None:
    kept = Page(text).read_beside(*(Page(one[::2], one[1::2]) for one in siblings))
    assert 2 * sum(map(len, kept)) >= sum(map(len, text))
    elsewhere = {one for sibling in siblings for one in sibling}
    assert [one for one in text if one not in elsewhere and not one.startswith("#")] == [
        one for one in kept if one not in elsewhere and not one.startswith("#")
    ]


# ---------------------------------------------------------------- read again


def test_a_later_reading_cuts_what_the_first_one_cut_without_any_memory() -> None:
    text = [OPENING, *story("ours", 4), PROMO, *story("ours")[4:], "# About us", ABOUT]
    lines = Page(text).lines
    siblings = others(4, text=[OPENING, PROMO, ABOUT])
    cut = furniture_among(lines, Furniture(siblings=tuple(one.remembered for one in siblings)))
    assert [text[place] for place in sorted(cut)] == [OPENING, PROMO, "# About us", ABOUT]
    assert furniture_among(lines, Furniture(known=frozenset(keys_at(lines, cut)))) == cut


def test_who_knows_nothing_cuts_nothing() -> None:
    assert furniture_among(Page([*story("ours"), ABOUT]).lines, NOTHING_KNOWN) == frozenset()


# ---------------------------------------------------------------- the memory


def seen(page: Page, *, article: str, at: datetime = NOON) -> SitePage:
    return SitePage(article_id=article, read_at=at, lines=page.remembered)


def memory_of(pages: Sequence[Page], *, apart: timedelta = HOUR) -> SiteMemory:
    memory = SiteMemory()
    for n, page in enumerate(pages):
        memory = learnt(memory, seen(page, article=f"a{n}", at=NOON + n * apart))
    return memory


def names(memory: SiteMemory) -> list[str]:
    return [one.article_id for one in memory.pages]


def test_the_last_pages_are_remembered_newest_first() -> None:
    assert names(memory_of(others(RECENT + 2))) == [f"a{n}" for n in range(RECENT + 1, 1, -1)]


def test_a_full_memory_takes_a_page_every_half_hour() -> None:
    memory = memory_of(others(RECENT), apart=timedelta())
    page = seen(Page(story("the next")), article="next", at=NOON + timedelta(minutes=29))
    assert learnt(memory, page) is memory
    assert names(learnt(memory, replace(page, read_at=NOON + timedelta(minutes=30))))[0] == "next"


def test_an_article_read_again_makes_its_earlier_reading_forgotten() -> None:
    memory = memory_of(others(3))
    again = seen(Page(story("its second version")), article="a1", at=NOON + 4 * HOUR)
    assert names(learnt(memory, again)) == ["a1", "a2", "a0"]


def test_a_live_blog_under_many_urls_is_one_page() -> None:
    entries = story("the night of the election", 60)
    memory = memory_of([*others(4), *(Page(entries[: 10 + 10 * n]) for n in range(5))])
    assert names(memory) == ["a8", "a3", "a2", "a1", "a0"]


def test_a_site_whose_pages_all_look_the_same_is_not_written_for_each() -> None:
    memory = memory_of([Page(story("the one"))])
    same = seen(Page(story("the one")), article="b", at=NOON + timedelta(minutes=1))
    assert learnt(memory, same) is memory


def test_a_page_without_text_teaches_nothing() -> None:
    memory = memory_of(others(2))
    assert learnt(memory, seen(Page([], [PROMO]), article="empty", at=NOON + 9 * HOUR)) is memory


def test_a_page_is_judged_by_the_others_not_by_itself() -> None:
    pages = others(4)
    assert furniture_of(memory_of(pages), "a1").siblings == tuple(pages[n].remembered for n in (3, 2, 0))
    assert furniture_of(SiteMemory(), "a1") == NOTHING_KNOWN


def test_a_page_of_a_hundred_thousand_lines_is_remembered_by_its_ends() -> None:
    keys = list(range(100_000))
    lines = page_lines(keys, [key + 100_000 for key in keys])
    assert (len(lines.chosen), len(lines.others)) == (MAX_KEYS, MAX_KEYS)
    assert {0, 99_999} <= lines.chosen


@pytest.mark.parametrize(
    ("url", "site"),
    [
        ("https://www.Example.com:8080/a", "example.com"),
        ("https://anna.blog.example/a", "anna.blog.example"),
        ("https://[::1]/a", "::1"),
        ("https://[/a", None),
        ("", None),
        (None, None),
    ],
)
def test_a_site_is_a_host(url: str | None, site: str | None) -> None:
    assert site_of(url) == site
