"""Index documents: readable in any viewer, their links right in any copy of the folder."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from posixpath import dirname, join, normpath

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from worker.archive.keys import document_key, document_place, index_key
from worker.archive.listing import Listed, day_index, feed_index, listed_by_day, read_feed_index

DAY = date(2025, 1, 17)
NOON = datetime(2025, 1, 17, 12, tzinfo=UTC)


def listed(number: int, title: str | None = "A title", *, found_at: datetime = NOON) -> Listed:
    return Listed(key=document_key("voa", f"{number:032x}", found_at), title=title, found_at=found_at)


def links(document: bytes) -> list[tuple[str, str]]:
    """(text, address) of every link, as a viewer shows them."""
    found: list[tuple[str, str]] = []
    for block in MarkdownIt("commonmark").parse(document.decode()):
        inside: str | None = None
        for token in block.children or []:
            if token.type == "link_open":
                inside, address = "", str(token.attrs["href"])
            elif token.type == "link_close":
                found.append((inside or "", address))
                inside = None
            elif inside is not None:
                assert token.type in {"text", "text_special"}
                inside += token.content
    return found


def test_a_day_lists_its_articles_newest_first_with_their_times() -> None:
    articles = [listed(1, "Noon"), listed(2, "Evening", found_at=NOON + timedelta(hours=8, minutes=5)), listed(3, None)]
    assert day_index("voa", DAY, articles).decode() == (
        "# voa, 2025-01-17\n"
        "\n"
        "[All days](../../../index.md). Times are UTC.\n"
        "\n"
        f"- 20:05 [Evening]({2:032x}.md)\n"
        f"- 12:00 [(untitled)]({3:032x}.md)\n"
        f"- 12:00 [Noon]({1:032x}.md)\n"
    )


def test_a_feed_lists_its_days_newest_first_with_their_counts() -> None:
    days = {DAY: 12, date(2025, 1, 18): 1, date(2024, 12, 31): 3, date(2024, 12, 30): 0}
    assert feed_index("voa", "VOA *Chinese*", days).decode() == (
        "# VOA \\*Chinese\\*\n"
        "\n"
        "Days are UTC.\n"
        "\n"
        "- [2025-01-18](2025/01/18/index.md): 1 article\n"
        "- [2025-01-17](2025/01/17/index.md): 12 articles\n"
        "- [2024-12-31](2024/12/31/index.md): 3 articles\n"
    )


def test_links_lead_where_the_documents_are() -> None:
    article = listed(1)
    day, feed = index_key("voa", DAY), index_key("voa")
    to_feed, to_article = (address for _, address in links(day_index("voa", DAY, [article])))
    ((_, to_day),) = links(feed_index("voa", None, {DAY: 1}))
    assert normpath(join(dirname(day), to_article)) == article.key
    assert normpath(join(dirname(day), to_feed)) == feed
    assert normpath(join(dirname(feed), to_day)) == day


@pytest.mark.parametrize(
    "title",
    [
        "[a](b)", "a ] b [ c", "a | b", "<b>a</b>", "a\\", "`a` ``b``", "*a* _b_ ~~c~~", "![a](b)", "a &amp; b", "$a$", "# a",
        "&#10;", "https://a.example/_b_",
    ],
)  # fmt: skip
def test_a_title_is_shown_as_it_is(title: str) -> None:
    assert links(day_index("voa", DAY, [listed(1, title)]))[1] == (title, f"{1:032x}.md")


@given(st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=60))
def test_no_title_breaks_its_line(title: str) -> None:
    shown, address = links(day_index("voa", DAY, [listed(1, title)]))[1]
    assert address == f"{1:032x}.md"
    assert shown == (" ".join(title.split()) or "(untitled)")


@given(st.dictionaries(st.dates(date(1990, 1, 1), date(2199, 12, 31)), st.integers(1, 10**6), max_size=20))
def test_a_feeds_days_can_be_read_back(days: dict[date, int]) -> None:
    assert read_feed_index(feed_index("voa", "VOA", days)) == days


@pytest.mark.parametrize("data", [b"", b"\xff\xfe\n", b"- [2025-02-30](x): 1 article\n", b"- [2025-02-3](x): 1 a\n"])
def test_lines_of_other_hands_are_skipped(data: bytes) -> None:
    assert read_feed_index(data) == {}


def test_documents_belong_to_the_slug_and_day_of_their_keys() -> None:
    renamed = Listed(key=document_key("voa-zh", "a" * 32, NOON), title="t", found_at=NOON)
    assert listed_by_day([listed(1), renamed, listed(2)]) == {
        ("voa", DAY): [listed(1), listed(2)],
        ("voa-zh", DAY): [renamed],
    }


@pytest.mark.parametrize(
    "key", ["documents/voa/2025/01/17/index.md", "warc/2025/01/17/a.warc.gz", "documents/voa/a.md"]
)
def test_other_keys_have_no_day(key: str) -> None:
    with pytest.raises(ValueError, match="no key of a readable document"):
        document_place(key)
