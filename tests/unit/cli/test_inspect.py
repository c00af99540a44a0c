"""``newsmill migrate``, ``status``, ``audit``, and what all commands do when something is wrong."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.cli.conftest import NOW, Books, Newsmill
from worker.cli.inspect import beat_trouble, percentile
from worker.ledger.migrate import head
from worker.model import OPEN_STATES, TERMINAL_STATES

READERS = (
    ("status",),
    ("audit",),
    ("why", "https://harbour.example/tram"),
    ("feeds", "list"),
    ("articles", "list"),
    ("quarantine", "list"),
)


def test_migrating_says_from_where_to_where_and_twice_is_fine(newsmill: Newsmill) -> None:
    assert newsmill("migrate").out == f"Migrated the schema from nothing to {head()}.\n"
    assert newsmill("migrate").out == f"The schema was up to date: {head()}.\n"


@pytest.mark.parametrize("command", READERS, ids=" ".join)
def test_without_a_database_commands_say_how_to_make_one(newsmill: Newsmill, command: tuple[str, ...]) -> None:
    answer = newsmill(*command)
    assert answer.code == 1
    assert "run `newsmill migrate` first" in answer.err
    assert not newsmill.home.exists()


def test_an_empty_database_says_so_too(newsmill: Newsmill) -> None:
    newsmill.home.mkdir()
    (newsmill.home / "newsmill.db").touch()
    answer = newsmill("status")
    assert answer.code == 1
    assert "has no schema: run `newsmill migrate` first" in answer.err


def test_a_file_that_is_no_database_is_named(newsmill: Newsmill) -> None:
    newsmill.home.mkdir()
    path = newsmill.home / "newsmill.db"
    path.write_text("The tram returns. " * 100)
    for command in ("status", "migrate"):
        answer = newsmill(command)
        assert answer.code == 1
        assert f"{path}" in answer.err
        assert "file is not a database" in answer.err


def test_a_database_that_is_a_folder_is_named(newsmill: Newsmill) -> None:
    (newsmill.home / "newsmill.db").mkdir(parents=True)
    answer = newsmill("migrate")
    assert answer.code == 1
    assert "unable to open database file" in answer.err
    assert "NEWSMILL_HOME" in answer.err


@pytest.mark.parametrize("home", ["/proc/nowhere", "/dev/null"])
def test_a_home_that_cannot_be_is_named(newsmill: Newsmill, home: str) -> None:
    answer = newsmill("migrate", NEWSMILL_HOME=home)
    assert answer.code == 1
    assert f"The database file {home}/newsmill.db cannot be made" in answer.err


@pytest.mark.parametrize("name", ["a%20b", "what?", "no #1", "50%"])
def test_the_database_lies_in_its_home_whatever_that_is_called(newsmill: Newsmill, tmp_path: Path, name: str) -> None:
    home = tmp_path / name
    assert newsmill("migrate", NEWSMILL_HOME=str(home)).code == 0
    assert (home / "newsmill.db").exists()
    assert newsmill("status", NEWSMILL_HOME=str(home)).code == 0
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_the_schema_of_a_newer_newsmill_asks_for_it(newsmill: Newsmill, books: Books) -> None:
    with books.ledger.transaction() as tx:
        tx.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    for command in ("status", "migrate", "once"):
        answer = newsmill(command)
        assert answer.code == 1
        assert "9999 is newer than this program: install" in answer.err
    assert "9999 is newer" in newsmill("doctor").out


@pytest.mark.postgres
@pytest.mark.parametrize(
    ("url", "said"),
    [
        pytest.param("postgres://root:hush@127.0.0.1:5432/nowhere", 'database "nowhere" does not exist', id="none"),
        pytest.param("postgres://nobody:hush@127.0.0.1:5432/postgres", 'role "nobody"', id="unknown user"),
        pytest.param("postgres://root:hush@127.0.0.1:1/postgres", "Connection refused", id="down"),
        pytest.param("postgres://root:hush@127.0.0.1:5432/postgres?sslmod=x", 'option "sslmod"', id="unknown option"),
    ],
)
def test_what_the_database_server_says_is_told(newsmill: Newsmill, url: str, said: str) -> None:
    answer = newsmill("status", DATABASE_URL=url)
    assert answer.code == 1
    assert said in answer.err
    assert "hush" not in answer.err
    assert len(answer.err.splitlines()) == 1


def test_a_database_that_does_not_answer_points_to_the_doctor(newsmill: Newsmill) -> None:
    answer = newsmill("status", DATABASE_URL="postgres://nobody@127.0.0.1:1/none")
    assert answer.code == 1
    assert "newsmill doctor" in answer.err


@pytest.mark.parametrize(
    ("environment", "sentence"),
    [
        pytest.param({"NEWSMILL_BATCH": "many"}, "NEWSMILL_BATCH", id="no number"),
        pytest.param({"NEWSMILL_BACTH": "3"}, "Unknown setting NEWSMILL_BACTH", id="no setting"),
        pytest.param({"DATABASE_URL": "mysql://x"}, "use postgres:// or sqlite:///", id="no such database"),
    ],
)
def test_a_wrong_setting_ends_in_a_sentence(newsmill: Newsmill, environment: dict[str, str], sentence: str) -> None:
    answer = newsmill("status", **environment)
    assert answer.code == 1
    assert sentence in answer.err
    assert answer.out == ""


@pytest.mark.parametrize("arguments", [("nonsense",), ("status", "--nonsense"), ("why",)], ids=" ".join)
def test_wrong_usage_is_code_2(newsmill: Newsmill, arguments: tuple[str, ...]) -> None:
    assert newsmill(*arguments).code == 2


@pytest.mark.parametrize("arguments", [("--help",), ("--version",), ("feeds", "--help")], ids=" ".join)
def test_help_and_version_need_no_right_settings(newsmill: Newsmill, arguments: tuple[str, ...]) -> None:
    answer = newsmill(*arguments, NEWSMILL_BATCH="many")
    assert answer.code == 0
    assert "newsmill" in answer.out


def test_status_counts_what_waits_and_what_ended(newsmill: Newsmill, books: Books) -> None:
    feed = books.feed()
    books.article(feed, "https://harbour.example/a")
    books.set_aside(feed, "https://harbour.example/b")
    books.publish(books.article(feed, "https://harbour.example/c"))
    found = newsmill("status", "--json").json
    assert found["articles"]["discovered"] == 1
    assert found["articles"]["quarantined"] == 1
    assert found["articles"]["published"] == 1
    assert found["published_last_hour"] == 1
    assert found["lag_p50_s"] == found["lag_p95_s"] == 5
    assert found["feeds"]["due"] == 1
    assert newsmill("status").code == 0


def test_status_names_the_feeds_that_need_a_look(newsmill: Newsmill, books: Books) -> None:
    books.feed("fine")
    books.feed("broken", failures=3)
    books.feed("ended", gone_at=NOW)
    books.feed("off", enabled=False, failures=1)
    books.feed("quiet", rhythm=[(NOW - timedelta(days=days)).timestamp() for days in (30, 29, 28, 27, 26)])
    found = newsmill("status", "--json").json["feeds"]
    assert found["total"] == 5
    assert found["enabled"] == 4
    assert (found["failing"], found["silent"], found["gone"]) == (["broken"], ["quiet"], ["ended"])
    shown = newsmill("status").out
    assert all(slug in shown for slug in ("broken", "quiet", "ended"))


def test_status_says_when_beat_does_not_tick(newsmill: Newsmill, books: Books) -> None:
    assert "Beat has not ticked yet" in newsmill("status").out
    books.tick(datetime.now(UTC) - timedelta(minutes=10))
    assert "Beat has not ticked for 10 min: is it running" in newsmill("status").out
    books.tick(datetime.now(UTC))
    assert newsmill("status", "--json").json["beat"] is None


def test_a_beat_that_missed_a_tick_is_not_called_dead() -> None:
    ticks = {"feeds.due": NOW - timedelta(seconds=25), "articles.dispatch": NOW - timedelta(seconds=95)}
    assert beat_trouble(ticks, now=NOW, tick_s=10) is None


@given(st.lists(st.floats(min_value=0, max_value=1e6), min_size=1), st.floats(min_value=0.01, max_value=1))
def test_a_percentile_is_one_of_the_values(values: list[float], share: float) -> None:
    found = percentile(values, share)
    assert found in {round(value, 3) for value in values}
    assert sum(round(value, 3) <= found for value in values) >= share * len(values) - 1e-9  # type: ignore[operator]


def test_balanced_books_exit_0(newsmill: Newsmill, books: Books) -> None:
    feed = books.feed()
    books.publish(books.article(feed))
    books.set_aside(feed)
    answer = newsmill("audit", "--json")
    assert answer.code == 0
    assert answer.json["balanced"] is True
    assert answer.json["items"] == 2
    assert "The books balance." in newsmill("audit").out


@pytest.mark.parametrize(
    ("values", "fault"),
    [
        pytest.param({"state": "published", "ended_at": NOW}, "published_without_confirm", id="nobody confirmed"),
        pytest.param({"state": "rejected", "reason": "gone"}, "ended_without_time", id="no end"),
        pytest.param({"state": "rejected", "ended_at": NOW}, "ended_without_reason", id="no reason"),
    ],
)
def test_a_fault_in_the_books_exits_1_and_is_named(
    newsmill: Newsmill, books: Books, values: dict[str, object], fault: str
) -> None:
    books.article(books.feed(), **values)
    answer = newsmill("audit", "--json")
    assert answer.code == 1
    assert answer.json[fault] == 1
    assert answer.json["balanced"] is False
    assert "do not balance" in newsmill("audit").out


def test_a_sighting_without_its_article_is_a_fault_unless_it_was_skipped(newsmill: Newsmill, books: Books) -> None:
    feed = books.feed()
    books.sighting(feed, "https://harbour.example/skipped", skipped=True)
    assert newsmill("audit").code == 0
    books.sighting(feed, "https://harbour.example/lost")
    assert newsmill("audit", "--json").json["sightings_without_article"] == 1


def test_every_state_is_shown_by_status(newsmill: Newsmill, books: Books) -> None:
    shown = newsmill("status", "--json").json["articles"]
    assert set(shown) == {state.value for state in (*OPEN_STATES, *TERMINAL_STATES)}


@pytest.mark.postgres
def test_the_commands_speak_postgresql_too(newsmill: Newsmill, postgres_url: str) -> None:
    newsmill.environment["DATABASE_URL"] = postgres_url
    assert newsmill("migrate").code == 0
    books = Books(postgres_url)
    feed = books.feed("pg-tram", url="https://pg-tram.example/rss")
    waiting = books.article(feed, "https://pg-tram.example/a")
    failed = books.set_aside(feed, "https://pg-tram.example/b")
    books.ledger.close()
    assert newsmill("why", waiting[:10]).code == 0
    assert newsmill("status").code == 0
    assert newsmill("feeds", "list", "--json").code == 0
    assert newsmill("quarantine", "retry", "--feed", "pg-tram", "--json").json == {"retried": [failed]}
    assert newsmill("feeds", "add", "https://pg-ferry.example/rss", "--slug", "pg-ferry").code == 0
    assert newsmill("feeds", "remove", "pg-ferry", "pg-tram").code == 0
    assert newsmill("audit", "--json").json["missing"] == 0
