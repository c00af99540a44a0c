"""What ``newsmill up`` decides before it starts anything."""

from __future__ import annotations

import os
import signal
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from config.settings import Settings, SettingsError
from tests.unit.cli_run.conftest import Home
from worker.cli.launch import (
    follow_reviewed_list,
    follow_sample,
    launch_environment,
    make_home,
    own_name,
    shown_database,
    started_newsroom,
    stop_signals,
)
from worker.errors import UsageError
from worker.ledger import feeds
from worker.ledger.session import Ledger
from worker.sample.newsroom import Newsroom
from worker.wiring import now_utc

# ---------------------------------------------------------------- environment


@pytest.mark.parametrize(
    ("operator", "sample", "expected"),
    [
        pytest.param({}, False, {"NEWSMILL_TICK_S": "2"}, id="quick ticks on one machine"),
        pytest.param({"NEWSMILL_TICK_S": "30"}, True, {"NEWSMILL_TICK_S": "30"}, id="the operator's tick"),
        pytest.param(
            {},
            True,
            {"NEWSMILL_ALLOW_NETWORKS": "127.0.0.0/8", "NEWSMILL_HOST_DELAY_S": "0.2"},
            id="the sample may be fetched, quickly",
        ),
        pytest.param(
            {"NEWSMILL_ALLOW_NETWORKS": "10.0.0.0/8", "NEWSMILL_HOST_DELAY_S": "5"},
            True,
            {"NEWSMILL_ALLOW_NETWORKS": "10.0.0.0/8", "NEWSMILL_HOST_DELAY_S": "5"},
            id="what the operator says stays",
        ),
        pytest.param({"NEWSMILL_HOST_DELAY_S": " "}, True, {"NEWSMILL_HOST_DELAY_S": "0.2"}, id="blank is not said"),
        pytest.param({"OTHER": "kept"}, False, {"OTHER": "kept"}, id="foreign variables are handed on"),
    ],
)
def test_the_childrens_environment(operator: dict[str, str], sample: bool, expected: dict[str, str]) -> None:
    made = launch_environment(operator, sample=sample, port=None)
    assert made | expected == made


def test_without_the_sample_no_network_is_opened_and_no_site_hurried() -> None:
    made = launch_environment({}, sample=False, port=None)
    assert not {"NEWSMILL_ALLOW_NETWORKS", "NEWSMILL_HOST_DELAY_S"} & set(made)


def test_a_soft_shutdown_from_outside_is_not_handed_on() -> None:
    assert "REMAP_SIGTERM" not in launch_environment({"REMAP_SIGTERM": "SIGQUIT"}, sample=False, port=None)


@pytest.mark.parametrize(
    ("operator", "port", "expected"),
    [({}, None, "5555"), ({"PORT": "6000"}, None, "6000"), ({"PORT": "6000"}, 7000, "7000")],
)
def test_the_port_of_flower(operator: dict[str, str], port: int | None, expected: str) -> None:
    assert launch_environment(operator, sample=False, port=port)["PORT"] == expected


def test_the_home_is_absolute_wherever_children_run() -> None:
    made = launch_environment({"NEWSMILL_HOME": "./var"}, sample=False, port=None)
    assert Path(made["NEWSMILL_HOME"]).is_absolute()
    assert Settings.from_env(made).home == Path("var").absolute()


def test_a_wrong_setting_stops_before_anything_is_started() -> None:
    with pytest.raises(SettingsError, match="NEWSMILL_BATCH"):
        launch_environment({"NEWSMILL_BATCH": "many"}, sample=True, port=None)


# ---------------------------------------------------------------- screen


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("sqlite:////srv/the%20news/newsmill.db", "/srv/the news/newsmill.db"),
        (
            "postgresql+psycopg://me:secret@db.example:5432/news?sslmode=require",
            "postgresql+psycopg://db.example:5432/news",
        ),
    ],
)
def test_a_database_is_shown_without_its_secrets(url: str, shown: str) -> None:
    assert shown_database(url) == shown


def test_the_program_is_called_as_a_person_can_call_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = tmp_path / "newsmill"
    script.write_text("#!/bin/sh\n")
    script.chmod(0o755)
    monkeypatch.setattr(sys, "argv", [str(script), "up"])
    monkeypatch.setenv("PATH", "/usr/bin")
    assert own_name() == str(script)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert own_name() == "newsmill"


def test_a_home_that_cannot_be_made_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="name another folder"):
        make_home(tmp_path / "file" / "home")


def test_signals_are_wishes_and_their_handlers_come_back() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with stop_signals() as stop:
        os.kill(os.getpid(), signal.SIGTERM)
        assert stop.heard.wait(5)
        assert not stop.insisted()
        os.kill(os.getpid(), signal.SIGINT)
        while not stop.insisted():
            pass
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_closed_terminal_asks_once_however_often_it_is_told() -> None:
    with stop_signals() as stop:
        for _ in range(2):
            os.kill(os.getpid(), signal.SIGHUP)
            stop.wish()
        assert stop.heard.is_set()
        assert not stop.insisted()
        os.kill(os.getpid(), signal.SIGINT)
        while not stop.insisted():
            pass


# ---------------------------------------------------------------- newsroom


def test_the_newsroom_comes_back_at_its_port(tmp_path: Path) -> None:
    memory = tmp_path / "sample-port"
    first = started_newsroom(memory)
    address = first.base_url
    first.stop()
    second = started_newsroom(memory)
    assert second.base_url == address
    second.stop()


def test_a_first_newsroom_takes_another_port_when_its_usual_one_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        monkeypatch.setattr("worker.cli.launch.DEFAULT_PORT", port)
        started_newsroom(tmp_path / "sample-port").stop()
    assert int((tmp_path / "sample-port").read_text()) != port


def test_a_remembered_port_that_is_taken_is_not_replaced(tmp_path: Path) -> None:
    memory = tmp_path / "sample-port"
    with socket.create_server(("127.0.0.1", 0)) as taken:
        memory.write_text(str(taken.getsockname()[1]))
        with pytest.raises(UsageError, match="is taken"):
            started_newsroom(memory)


def test_an_unreadable_memory_is_written_anew(tmp_path: Path) -> None:
    memory = tmp_path / "sample-port"
    memory.write_text("a lighthouse")
    started_newsroom(memory).stop()
    assert int(memory.read_text()) > 0


# ---------------------------------------------------------------- feeds


@pytest.fixture
def ledger(home: Home) -> Iterator[Ledger]:
    opened = home.ledger()
    yield opened
    opened.close()


def registry(ledger: Ledger) -> dict[str, tuple[str, bool]]:
    with ledger.reading() as connection:
        return {row.slug: (row.url, row.enabled) for row in feeds.all_feeds(connection)}


def test_the_newsrooms_feeds_are_followed_and_due(ledger: Ledger, newsroom: Newsroom) -> None:
    follow_sample(ledger, newsroom)
    assert registry(ledger) == {entry["slug"]: (entry["url"], True) for entry in newsroom.feeds()}
    with ledger.reading() as connection:
        assert all(row.due_at <= now_utc() for row in feeds.all_feeds(connection))


def test_following_twice_is_following_once(ledger: Ledger, newsroom: Newsroom) -> None:
    follow_sample(ledger, newsroom)
    before = registry(ledger)
    follow_sample(ledger, newsroom)
    assert registry(ledger) == before


def test_without_the_newsroom_its_feeds_rest_and_others_do_not(ledger: Ledger, newsroom: Newsroom) -> None:
    follow_sample(ledger, newsroom)
    with ledger.transaction() as tx:
        row = {"slug": "courier", "url": "https://courier.example/feed", "host": "courier.example"}
        feeds.insert(tx, {**row, "headers": {}, "first_poll": "all"}, origin="cli", now=now_utc())
    follow_sample(ledger, None)
    assert {slug for slug, (_, enabled) in registry(ledger).items() if enabled} == {"courier"}
    follow_sample(ledger, newsroom)
    assert all(enabled for _, enabled in registry(ledger).values())


LIST = """
[[feed]]
slug = "courier"
url = "https://courier.example/feed.xml"
enabled = {enabled}
"""


@pytest.mark.parametrize(("enabled", "slugs"), [("true", {"courier"}), ("false", set())])
def test_the_reviewed_list_is_taken_when_something_in_it_is_on(
    ledger: Ledger, tmp_path: Path, enabled: str, slugs: set[str]
) -> None:
    path = tmp_path / "feeds.toml"
    path.write_text(LIST.format(enabled=enabled))
    follow_reviewed_list(ledger, path)
    assert set(registry(ledger)) == slugs


def test_the_list_that_comes_with_newsmill_switches_nothing_on(ledger: Ledger, home: Home) -> None:
    follow_reviewed_list(ledger, home.settings.feeds_path)
    assert registry(ledger) == {}
