"""Who shares a chain with whom, and when a download's end is saved."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from tests.newsserver import Answer, NewsServer, article_page, paragraphs
from tests.unit.stages.conftest import Line
from tests.unit.stages.test_outcomes import item
from worker import stages
from worker.ledger.articles import Ready
from worker.model import State
from worker.stages.dispatch import chains, enough_queued, label


def ready(number: int, *, host: str = "", state: State = State.DISCOVERED, alone: bool = False) -> Ready:
    return Ready(id=number, state=state, host=host or f"site-{number}", alone=alone, label=f"feed {number}")


@pytest.mark.parametrize(
    ("rows", "idle", "sizes"),
    [
        pytest.param([ready(1)], 2, [1], id="one in quiet times"),
        pytest.param([ready(1), ready(2)], 2, [1, 1], id="each alone while children are idle"),
        pytest.param([ready(n) for n in range(6)], 2, [3, 3], id="spread over the idle children"),
        pytest.param([ready(n) for n in range(6)], 0, [4, 2], id="sharing when all are busy"),
        pytest.param([ready(n, host="same") for n in range(3)], 0, [1, 1, 1], id="one site, one download a chain"),
        pytest.param([ready(n, host="same", state=State.EXTRACTED) for n in range(3)], 0, [3], id="no site is asked"),
        pytest.param([ready(1, alone=True), ready(2), ready(3)], 0, [1, 2], id="whose worker vanished travels alone"),
        pytest.param([ready(1), ready(2, state=State.ARCHIVED)], 0, [1, 1], id="one state a chain"),
        pytest.param([], 2, [], id="nothing"),
    ],
)
def test_ready_rows_are_shared_out_to_chains(rows: list[Ready], idle: int, sizes: list[int]) -> None:
    shared = chains(rows, batch=4, idle_children=idle)
    assert [len(group) for group in shared] == sizes
    assert sorted(row.id for group in shared for row in group) == sorted(row.id for row in rows)


def test_the_queue_holds_a_batch_for_each_child() -> None:
    assert enough_queued(batch=16, children=2) == 32


@pytest.mark.parametrize(("more", "shown"), [(0, "bbc /1"), (2, "bbc /1, +2")])
def test_flower_shows_the_first_and_how_many_more(more: int, shown: str) -> None:
    assert label("bbc /1", more=more) == shown


def test_a_download_is_saved_when_it_ends_not_when_its_batch_does(
    tmp_path: Path, site: NewsServer, other_site: NewsServer
) -> None:
    line = Line(tmp_path, NEWSMILL_CONCURRENCY="1")
    answer_now = threading.Event()
    page = article_page("Slow", paragraphs(2)).encode()

    def slow(_: object) -> Answer:
        answer_now.wait(20)
        return Answer(page, 200, {"Content-Type": "text/html"})

    site.routes["/slow.html"] = slow
    quick = other_site.page("/quick.html", article_page("Quick", paragraphs(1)))
    links = [site.base + "/slow.html", quick]
    line.follow("ferry", site.feed("/feed.xml", [item(link, title=link) for link in links]))
    line.poll()
    (batch,) = stages.dispatch(line.deps).batches
    went_well: list[int] = []
    worker = threading.Thread(target=lambda: went_well.extend(stages.download(line.deps, batch.ids, token=batch.token)))
    worker.start()
    states: dict[str | None, str] = {}
    give_up_at = time.monotonic() + 20
    while states.get(quick) != State.DOWNLOADED and time.monotonic() < give_up_at:
        states = {row.url: row.state for row in line.rows()}
        time.sleep(0.02)
    assert states == {links[0]: State.DISCOVERED, quick: State.DOWNLOADED}
    answer_now.set()
    worker.join()
    assert sorted(went_well) == sorted(batch.ids)
    line.close()
