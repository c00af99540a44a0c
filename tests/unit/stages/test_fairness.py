"""Feeds of one site share it fairly, from the poll to the download."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.newsserver import NewsServer, article_page, paragraphs
from tests.unit.stages.conftest import Line
from tests.unit.stages.test_outcomes import item
from worker import stages

TODAY = datetime(2026, 11, 24, 12, tzinfo=UTC)


@pytest.fixture
def line(tmp_path: Path) -> Iterator[Line]:
    made = Line(tmp_path, NEWSMILL_HOST_DELAY_S="1")
    yield made
    made.close()


def next_done(line: Line) -> str:
    for _ in range(3):  # a page may have to wait since robots.txt was asked for first
        line.later(seconds=2)
        (batch,) = stages.dispatch(line.deps).batches
        if line.work(batch):
            break
    (title,) = [row.title for row in line.rows() if row.id in batch.ids]
    return str(title)


def test_a_long_backlog_gives_way_to_another_feed_s_news(line: Line, site: NewsServer) -> None:
    def listed(name: str, number: int) -> dict[str, object]:
        link = site.page(f"/{name}{number}.html", article_page(f"{name} {number}", paragraphs(number)))
        return item(link, title=f"{name} {number}", date=TODAY - timedelta(days=30 - number))

    line.follow("old", site.feed("/old.xml", [listed("Old", number) for number in range(5)]))
    line.poll()
    assert [next_done(line) for _ in range(2)] == ["Old 4", "Old 3"]
    line.follow("fresh", site.feed("/fresh.xml", [listed("Fresh", 9)]))
    line.later(seconds=2)
    assert line.poll() == {"fresh": "new"}
    assert [next_done(line) for _ in range(4)] == ["Old 2", "Fresh 9", "Old 1", "Old 0"]
