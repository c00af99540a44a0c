"""How answers look."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest

from worker.cli import show

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)


def test_a_moment_in_json_is_rfc_3339_with_z(capsys: pytest.CaptureFixture[str]) -> None:
    show.as_json({"at": NOW + timedelta(milliseconds=1)})
    assert json.loads(capsys.readouterr().out) == {"at": "2026-11-23T12:00:00.001000Z"}


def test_a_lone_surrogate_does_not_break_json(capsys: pytest.CaptureFixture[str]) -> None:
    show.as_json(["\ud800 新闻"])
    assert json.loads(capsys.readouterr().out) == ["\ud800 新闻"]


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(0, "0 s"), (0.5, "0.5 s"), (59.6, "60 s"), (600, "10 min"), (7200, "2 h"), (200_000, "2 d"), (-90, "90 s")],
)
def test_a_length_of_time_has_one_sensible_unit(seconds: float, shown: str) -> None:
    assert show.span(seconds) == shown


@pytest.mark.parametrize(
    ("at", "shown"),
    [(None, None), (NOW, "0 s ago"), (NOW - timedelta(minutes=5), "5 min ago"), (NOW + timedelta(hours=3), "in 3 h")],
)
def test_a_moment_is_as_far_away_as_it_is(at: datetime | None, shown: str | None) -> None:
    assert show.distance(at, NOW) == shown


def test_facts_that_are_not_known_are_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    show.facts([("title", "[b]Tram\x07[/b]"), ("detail", None)])
    out = capsys.readouterr().out
    assert out.startswith("title  [b]Tram")
    assert "\x07" not in out
    assert "detail" not in out


@pytest.mark.parametrize(("number", "shown"), [(0, "0 articles"), (1, "1 article"), (2, "2 articles")])
def test_one_is_singular(number: int, shown: str) -> None:
    assert show.count(number, "article") == shown
