"""The benchmark of parsing says what is so."""

from __future__ import annotations

from bench.feeds import Outcome, Reading, faults, feed_items, hostile, made, read_by_both, rss


def reading(ours_ms: float, theirs_ms: float) -> Reading:
    return Reading(name="x", kilobytes=9, entries=1, ours_ms=ours_ms, theirs_ms=theirs_ms)


def outcome(cpu_s: float) -> Outcome:
    return Outcome(name="x", megabytes=1, outcome="feed-too-large", cpu_s=cpu_s, peak_mb=1)


def test_both_read_the_same_feeds_and_ours_at_less_cost() -> None:
    readings = read_by_both(made(), passes=2)
    assert [one.entries for one in readings] == [60, 30, 30]
    assert all(0 < one.ratio < 1 for one in readings)


def test_what_is_above_its_limit_is_a_fault() -> None:
    assert faults([reading(1, 9)], [outcome(1.9)]) == []
    assert faults([reading(2, 9), reading(1, 9)], []) == ["0.167 of feedparser's CPU"]
    assert faults([reading(1, 9)], [outcome(2.1)]) == ["x: 2.1 s CPU"]


def test_hostile_documents_are_what_their_names_say() -> None:
    assert rss(feed_items(3)).count(b"<item>") == 3
    assert len(hostile()["a description of 20 MB"]()) > 20_000_000
