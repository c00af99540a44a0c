"""When a feed is taken to have moved."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from worker.feeds.moves import believed, permanent_target, sighted

NOW = datetime(2026, 11, 24, 23, 30, tzinfo=UTC)
OLD, NEW, OTHER = "https://a.example/feed", "https://b.example/feed", "https://c.example/feed"
PLAIN_OLD, PLAIN_NEW = "http://a.example/feed", "http://b.example/feed"


@pytest.mark.parametrize(
    ("hops", "target"),
    [
        pytest.param([(200, OLD)], None, id="no redirect"),
        pytest.param([(301, OLD), (200, NEW)], NEW, id="moved permanently"),
        pytest.param([(308, OLD), (304, NEW)], NEW, id="permanently, not modified"),
        pytest.param([(302, OLD), (200, NEW)], None, id="found: for now only"),
        pytest.param([(307, OLD), (301, NEW), (200, OTHER)], None, id="permanent only behind a temporary one"),
        pytest.param([(301, OLD), (302, NEW), (200, OTHER)], NEW, id="temporary only behind a permanent one"),
        pytest.param([(301, OLD), (308, NEW), (200, OTHER)], OTHER, id="twice"),
        pytest.param([(301, OLD), (200, PLAIN_NEW)], None, id="without TLS from now on"),
        pytest.param([(301, OLD), (301, NEW), (200, PLAIN_NEW)], NEW, id="without TLS in the end"),
        pytest.param([(301, PLAIN_OLD), (200, OLD)], OLD, id="with TLS from now on"),
        pytest.param([(301, PLAIN_OLD), (200, PLAIN_NEW)], PLAIN_NEW, id="without TLS as before"),
        pytest.param([(301, OLD), (301, NEW), (200, OLD)], None, id="there and back"),
        pytest.param([], None, id="nothing was asked"),
    ],
)
def test_only_permanent_redirects_at_the_beginning_name_a_new_address(
    hops: list[tuple[int, str]], target: str | None
) -> None:
    assert permanent_target(hops) == target


def remembered(*targets: str | None) -> dict[str, Any] | None:
    """What is remembered after a poll on each day."""
    moved = None
    for day, target in enumerate(targets):
        moved = sighted(moved, target=target, at=NOW + timedelta(days=day))
    return moved


def test_a_move_is_believed_on_the_third_day() -> None:
    assert believed(remembered(NEW)) is None
    assert believed(remembered(NEW, NEW)) is None
    assert believed(remembered(NEW, NEW, NEW)) == NEW


def test_many_sightings_on_one_day_are_one() -> None:
    moved = None
    for minute in range(20):
        moved = sighted(moved, target=NEW, at=NOW + timedelta(minutes=minute))
    assert believed(moved) is None
    assert moved == {"url": NEW, "days": ["2026-11-24"]}


def test_an_answer_from_the_old_address_or_another_target_starts_over() -> None:
    assert remembered(NEW, NEW, None) is None
    assert believed(remembered(NEW, NEW, OTHER)) is None
    assert believed(remembered(NEW, NEW, None, NEW)) is None
    assert believed(remembered(NEW, OTHER, OTHER, OTHER)) == OTHER


def test_what_is_remembered_does_not_grow() -> None:
    moved = remembered(*[NEW] * 40)
    assert moved is not None
    assert len(moved["days"]) == 3


def test_a_document_with_nothing_known_speaks_for_no_move_and_against_none() -> None:
    assert sighted(None, target=NEW, at=NOW, is_known=False) is None
    two_days = remembered(NEW, NEW)
    assert sighted(two_days, target=NEW, at=NOW + timedelta(days=2), is_known=False) == two_days
    assert sighted(two_days, target=OTHER, at=NOW + timedelta(days=2), is_known=False) is None
