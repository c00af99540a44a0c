"""The manual re-poll: asked in the ledger, told by what the ledger says next."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from tests.unit.cli_run.conftest import Home
from worker.cli.main import main
from worker.ledger import articles, feeds, hosts
from worker.ledger.session import Ledger
from worker.wiring import now_utc

LATER = timedelta(hours=1)


@pytest.fixture
def ledger(home: Home) -> Iterator[Ledger]:
    opened = home.ledger()
    with opened.transaction() as tx:
        for slug, enabled in {"voa-chinese": True, "courier": True, "asleep": False}.items():
            row = {"slug": slug, "url": f"https://{slug}.example/feed", "host": f"{slug}.example", "enabled": enabled}
            feeds.insert(tx, {**row, "headers": {}, "first_poll": "all"}, origin="cli", now=now_utc())
            feed = feeds.by_slug(tx, slug)
            feeds.change(tx, feed.id, {"due_at": now_utc() + LATER}, now=now_utc())
    yield opened
    opened.close()


def due(ledger: Ledger) -> set[str]:
    with ledger.reading() as connection:
        return {row.slug for row in feeds.all_feeds(connection) if row.due_at <= now_utc()}


@pytest.mark.parametrize(
    ("arguments", "asked"),
    [
        pytest.param(["courier"], {"courier"}, id="one"),
        pytest.param(["courier", "voa-chinese", "courier"], {"courier", "voa-chinese"}, id="two, one of them twice"),
        pytest.param(["--all"], {"courier", "voa-chinese"}, id="all that are on"),
    ],
)
def test_named_feeds_become_due(home: Home, ledger: Ledger, arguments: list[str], asked: set[str]) -> None:
    assert main(["repoll", *arguments], home.environment) == 0
    assert due(ledger) == asked


def test_the_promise_names_beats_tick(home: Home, ledger: Ledger, capsys: pytest.CaptureFixture[str]) -> None:
    main(["repoll", "courier"], home.environment)
    assert "within 1 s" in capsys.readouterr().out


def test_unconditional_is_kept_for_the_poll(home: Home, ledger: Ledger) -> None:
    main(["repoll", "courier", "--unconditional"], home.environment)
    with ledger.reading() as connection:
        assert {row.slug: row.unconditional for row in feeds.all_feeds(connection)} == {
            "asleep": False,
            "courier": True,
            "voa-chinese": False,
        }


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        pytest.param([], (2, "--all"), id="nothing named"),
        pytest.param(["courier", "--all"], (2, "--all"), id="some and all"),
        pytest.param(["voa-chines"], (1, "did you mean voa-chinese?"), id="nearly right"),
        pytest.param(["nowhere-at-all"], (1, "newsmill feeds list"), id="nothing like it"),
        pytest.param(["asleep"], (1, "newsmill feeds enable asleep"), id="switched off"),
    ],
)
def test_what_cannot_be_polled_says_what_can(
    home: Home, ledger: Ledger, capsys: pytest.CaptureFixture[str], arguments: list[str], told: tuple[int, str]
) -> None:
    code, advice = told
    assert main(["repoll", *arguments], home.environment) == code
    assert advice in " ".join(capsys.readouterr().err.replace("│", " ").split())
    assert due(ledger) == set()


def test_without_a_database_the_cure_is_named(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["repoll", "--all"], home.environment) == 1
    assert "newsmill migrate" in capsys.readouterr().err


def test_with_nothing_to_poll_the_cure_is_named(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    home.ledger().close()
    assert main(["repoll", "--all"], home.environment) == 1
    assert "newsmill feeds add" in capsys.readouterr().err


# ---------------------------------------------------------------- waiting


class Poller:
    """Stands for beat and worker: polls whatever is asked for, a moment later."""

    def __init__(self, ledger: Ledger, outcome: str, *, article_ends_after_s: float | None = None) -> None:
        self._ledger = ledger
        self._outcome = outcome
        self._article_ends_after_s = article_ends_after_s
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._thread.join()

    def _run(self) -> None:
        done = threading.Event()
        while not (asked := self._asked()):
            done.wait(0.05)
        new = int(self._article_ends_after_s is not None)
        with self._ledger.transaction() as tx:
            for row in asked:
                now = now_utc()
                values = {"polled_at": now, "due_at": now + LATER, "outcome": self._outcome, "asked_at": None}
                line = {"at": now, "outcome": self._outcome, "status": 200, "new": new, "detail": "so"}
                feeds.save_polls(tx, [feeds.Learnt(feed_id=row.id, values=values, lines=[line])])
                if new:
                    self._discover(tx, row.id)
        if self._article_ends_after_s is not None:
            done.wait(self._article_ends_after_s)
            with self._ledger.transaction() as tx:
                tx.execute(articles.articles.update().values(state="rejected", reason="gone", ended_at=now_utc()))

    def _asked(self) -> list[Any]:
        with self._ledger.reading() as connection:
            return [row for row in feeds.all_feeds(connection) if row.asked_at is not None]

    def _discover(self, tx: Any, feed_id: int) -> None:
        hosts.ensure(tx, ["courier.example"], now=now_utc())
        row = {
            "article_id": "a" * 32,
            "feed_id": feed_id,
            "host": "courier.example",
            "url": "https://courier.example/a",
        }
        moments = {"ready_at": now_utc(), "discovered_at": now_utc()}
        articles.insert_discovered(tx, [{**row, **moments}], {"a" * 32: b""})


@pytest.mark.parametrize(("outcome", "code"), [("not-modified", 0), ("unchanged", 0), ("failed", 1), ("gone", 1)])
def test_waiting_tells_how_the_poll_ended(
    home: Home, ledger: Ledger, capsys: pytest.CaptureFixture[str], outcome: str, code: int
) -> None:
    with Poller(ledger, outcome):
        assert main(["repoll", "courier", "--wait", "--json"], home.environment) == code
    (end,) = json.loads(capsys.readouterr().out)
    assert (end["slug"], end["outcome"], end["status"], end["detail"]) == ("courier", outcome, 200, "so")


def test_waiting_lasts_until_the_new_articles_ended(
    home: Home, ledger: Ledger, capsys: pytest.CaptureFixture[str]
) -> None:
    with Poller(ledger, "new", article_ends_after_s=1.0):
        assert main(["repoll", "courier", "--wait", "--json"], home.environment) == 0
    (end,) = json.loads(capsys.readouterr().out)
    assert (end["new"], end["open_count"]) == (1, 0)


def test_when_nobody_polls_the_likely_cause_is_named(
    home: Home, ledger: Ledger, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["repoll", "courier", "--wait", "--timeout", "1"], home.environment) == 1
    said = capsys.readouterr()
    assert "unpolled" in said.out
    assert "beat" in said.err
