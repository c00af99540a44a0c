"""The line that a published article gets on the terminal."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from worker.cli import announce
from worker.cli.announce import Announcement, Confirmations, line_of
from worker.ledger import feeds, hosts
from worker.ledger.migrate import migrate
from worker.ledger.session import Ledger
from worker.ledger.tables import articles, publications

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


def announcement(**changes: Any) -> Announcement:
    values = {
        "published_at": NOW,
        "feed": "courier",
        "title": "The lamp of Gannet Point",
        "words": 1812,
        "picture": "1200×675",
        "lag_s": 1.26,
    }
    return Announcement(**{**values, **changes})


def test_a_line_tells_feed_title_words_picture_and_lag() -> None:
    line = line_of(announcement(), None).plain
    assert line.split(maxsplit=2)[1:] == ["courier", line.split(maxsplit=2)[2]]
    assert line.rstrip().endswith("1,812 words  1200×675        1.3 s")
    assert "The lamp of Gannet Point" in line


def test_a_pipe_gets_the_whole_title() -> None:
    assert "x" * 500 in line_of(announcement(title="x" * 500), None).plain


def test_lines_of_different_scripts_are_aligned() -> None:
    lines = [line_of(announcement(title=title), 110).plain for title in ("Short", "黎明时分的灯塔", "x" * 500)]
    assert {cell_len(line) for line in lines} == {110}


@given(title=st.text(), width=st.integers(90, 200))
def test_a_line_never_leaves_its_terminal(title: str, width: int) -> None:
    line = line_of(announcement(title=title), width).plain
    assert cell_len(line) <= width
    assert "\n" not in line
    assert "\x1b" not in line


def test_markup_in_a_title_is_shown_as_it_is() -> None:
    assert "[bold]not bold[/bold]" in line_of(announcement(title="[bold]not bold[/bold]"), None).plain


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    opened = Ledger(f"sqlite:///{tmp_path / 'ledger.db'}")
    migrate(opened)
    with opened.transaction() as tx:
        row = {"slug": "courier", "url": "https://courier.example/feed", "host": "courier.example"}
        feeds.insert(tx, {**row, "headers": {}, "first_poll": "all"}, origin="cli", now=NOW)
        hosts.ensure(tx, ["courier.example"], now=NOW)
    yield opened
    opened.close()


IMAGE = {"ref": "pictures/ab.jpg", "width": 900, "height": 506}


def published(
    ledger: Ledger,
    number: int,
    at: datetime,
    *,
    image: dict[str, Any] | None = None,
    problem: str | None = None,
    title: str | None = "A title",
) -> None:
    body = json.dumps({"title": title, "word_count": 12, "image": image}).encode()
    with ledger.transaction() as tx:
        tx.execute(
            articles.insert().values(
                id=number,
                article_id=f"{number:032x}",
                revision=1,
                feed_id=1,
                host="courier.example",
                title="What the feed said",
                state="published",
                ready_at=NOW,
                troubles=[],
                discovered_at=at - timedelta(seconds=2),
                picture={"problem": problem} if problem else None,
            )
        )
        tx.execute(
            publications.insert().values(
                id=number,
                message_id=f"{number}:1",
                kind="published",
                feed_slug="courier",
                sequence=number,
                body=zlib.compress(body),
                created_at=at,
                confirmed_at=at,
            )
        )


def seconds(count: float) -> datetime:
    return NOW + timedelta(seconds=count)


def test_each_article_is_announced_once(ledger: Ledger) -> None:
    news = Confirmations(ledger=ledger, since=NOW)
    assert news.look() == []
    published(ledger, 1, seconds(1))
    assert len(news.look()) == 1
    published(ledger, 2, seconds(2))
    assert len(news.look()) == 1
    assert news.look() == []


def test_what_was_published_before_is_not_announced(ledger: Ledger) -> None:
    published(ledger, 1, seconds(-1))
    assert Confirmations(ledger=ledger, since=NOW).look() == []


def test_a_confirmation_that_becomes_visible_late_is_announced(ledger: Ledger) -> None:
    news = Confirmations(ledger=ledger, since=NOW)
    published(ledger, 1, seconds(20))
    news.look()
    published(ledger, 2, seconds(15))
    assert len(news.look()) == 1
    assert news.look() == []


def test_more_articles_than_one_look_holds_are_all_announced(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(announce, "LOOK_LIMIT", 3)
    news = Confirmations(ledger=ledger, since=NOW)
    for number in range(1, 12):
        published(ledger, number, seconds(number / 10))
    seen = [one for _ in range(12) for one in news.look()]
    assert len(seen) == 11


@pytest.mark.parametrize(
    ("image", "problem", "told"),
    [
        pytest.param(IMAGE, None, "900×506", id="fetched"),
        pytest.param(None, None, "no picture", id="none named"),
        pytest.param({**IMAGE, "ref": None}, "late", "no picture (late)", id="named, with its problem"),
        pytest.param({**IMAGE, "ref": None}, None, "no picture (not fetched)", id="named, problem unknown"),
    ],
)
def test_the_picture_or_why_there_is_none(
    ledger: Ledger, image: dict[str, Any] | None, problem: str | None, told: str
) -> None:
    published(ledger, 1, seconds(1), image=image, problem=problem)
    (one,) = Confirmations(ledger=ledger, since=NOW).look()
    assert one.picture == told


def test_an_article_without_a_title_of_its_own_has_the_feeds(ledger: Ledger) -> None:
    published(ledger, 1, seconds(1), title=None)
    (one,) = Confirmations(ledger=ledger, since=NOW).look()
    assert (one.title, one.words, one.lag_s) == ("What the feed said", 12, 2.0)
