"""Which bundles make up a large WARC file, under which name, and what can be seen of a bundle without inflating it."""

from __future__ import annotations

import gzip
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.archive.compact import (
    MAX_BUNDLES,
    Choice,
    Loose,
    Part,
    choose,
    day_of,
    index_key,
    index_text,
    is_whole,
    large_key,
    problem_of,
)
from worker.archive.index import IndexLine, bundle_note
from worker.archive.store import is_key

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)


def loose(name: str, size: int = 10, *, day: str = "2026/11/23", after_s: int = 0) -> Loose:
    return Loose(key=f"warc/{day}/{name}-1.warc.gz", size=size, kept_at=NOON + timedelta(seconds=after_s))


def names(choice: Choice) -> list[str]:
    return [bundle.key.rpartition("/")[2].partition("-")[0] for bundle in choice.bundles]


def part(data: bytes, *offsets: int, position: int = 0) -> Part:
    lines = [
        IndexLine(urlkey="example,news)/a", timestamp="20261123120000", fields={"offset": str(offset), "length": "9"})
        for offset in offsets
    ]
    note = bundle_note("warc/2026/11/23/a-1.warc.gz", data, lines)
    return Part(
        key=note["key"], size=note["bytes_count"], position=position, sha256=note["sha256"], lines=note["lines"]
    )


def test_the_day_of_discovery_comes_first_then_when_a_bundle_was_kept_then_its_key() -> None:
    late = loose("late", day="2026/11/22", after_s=9)
    choice = choose([loose("c", after_s=2), loose("b", after_s=1), loose("a", after_s=1), late], most_bytes=100)
    assert names(choice) == ["late", "a", "b", "c"]


def test_a_file_takes_what_fits_and_is_full_when_something_is_left_over() -> None:
    choice = choose([loose("a", 40), loose("b", 40), loose("c", 40)], most_bytes=100)
    assert names(choice) == ["a", "b"]
    assert choice.is_full
    assert choice.size == 80


def test_a_file_with_room_left_is_not_full() -> None:
    assert not choose([loose("a", 40), loose("b", 40)], most_bytes=100).is_full
    assert choose([loose("a", 40), loose("b", 60)], most_bytes=100).is_full


def test_a_bundle_larger_than_a_file_gets_one_of_its_own() -> None:
    choice = choose([loose("a", 500), loose("b", 1)], most_bytes=100)
    assert names(choice) == ["a"]
    assert choice.is_full


def test_many_tiny_bundles_fill_a_file_by_their_number() -> None:
    choice = choose([loose(f"{number:05d}", 1) for number in range(MAX_BUNDLES)], most_bytes=10**9)
    assert len(choice.bundles) == MAX_BUNDLES
    assert choice.is_full


@given(st.lists(st.integers(1, 60), min_size=1, max_size=30), st.integers(1, 100))
def test_bundles_follow_each_other_without_a_gap_and_none_is_lost(sizes: list[int], most_bytes: int) -> None:
    left = [loose(f"{number:02d}", size) for number, size in enumerate(sizes)]
    everything = {bundle.key for bundle in left}
    placed: set[str] = set()
    while left:
        choice = choose(left, most_bytes=most_bytes)
        assert choice.size <= most_bytes or len(choice.bundles) == 1
        parts = [
            Part(key=one.key, size=one.size, position=choice.positions[one.key], sha256="", lines=b"")
            for one in choice.bundles
        ]
        assert is_whole(parts, choice.size)
        assert not placed & set(choice.positions)
        placed |= set(choice.positions)
        left = [bundle for bundle in left if bundle.key not in placed]
    assert placed == everything


def test_a_gap_a_missing_bundle_and_a_wrong_end_are_no_whole_file() -> None:
    first, second = part(b"12345"), part(b"123", position=5)
    assert is_whole([first, second], 8)
    assert not is_whole([first, second], 9)
    assert not is_whole([first], 8)
    assert not is_whole([second], 3)


def test_a_file_lies_under_the_day_of_its_first_bundle_and_its_index_beside_the_others() -> None:
    choice = choose([loose("a", day="2026/01/02"), loose("b")], most_bytes=100)
    key = large_key(choice, "token")
    assert key.startswith("warc/2026/01/02/newsmill-20260102-")
    assert index_key(key) == f"index/2026/01/02/{key.rpartition('/')[2].removesuffix('.warc.gz')}.cdxj"
    assert is_key(key)
    assert is_key(index_key(key))


def test_a_feed_document_s_day_is_in_its_key_too() -> None:
    assert day_of(f"feeds/2024/2026/11/23/{'0' * 64}.warc.gz") == "2026/11/23"


def test_no_two_plans_share_a_key() -> None:
    choice = choose([loose("a")], most_bytes=100)
    assert large_key(choice, "one") != large_key(choice, "two")
    assert large_key(choice, "one") != large_key(choose([loose("b")], most_bytes=100), "one")


MEMBERS = gzip.compress(b"first", mtime=0), gzip.compress(b"second", mtime=0)
SECOND = len(MEMBERS[0])
BUNDLE = b"".join(MEMBERS)


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        pytest.param(BUNDLE, None, id="as written"),
        pytest.param(None, "missing", id="gone"),
        pytest.param(b"", "changed", id="empty"),
        pytest.param(BUNDLE[:-1], "changed", id="cut"),
        pytest.param(BUNDLE + b"\0", "changed", id="longer"),
        pytest.param(b"x" + BUNDLE[1:], "changed", id="another beginning"),
        pytest.param(BUNDLE[:SECOND] + b"x" + BUNDLE[SECOND + 1 :], "changed", id="one byte is another"),
    ],
)
def test_a_bundle_that_is_not_what_was_written_is_seen(data: bytes | None, problem: str | None) -> None:
    assert problem_of(part(BUNDLE, 0, SECOND), data) == problem


def test_the_index_is_sorted_names_the_file_and_counts_from_its_beginning() -> None:
    text = index_text([part(BUNDLE, 0, 40), part(BUNDLE, 0, position=1000)], "warc/2026/11/23/large.warc.gz")
    lines = text.decode().splitlines()
    assert text.endswith(b"\n")
    assert lines == sorted(lines)
    assert sorted(line.partition('"offset": "')[2].partition('"')[0] for line in lines) == ["0", "1000", "40"]
    assert all('"filename": "warc/2026/11/23/large.warc.gz"' in line for line in lines)
