"""``newsmill doctor``: what it finds, and that it tells no secret."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from tests.unit.cli.conftest import Answer, Books, Newsmill
from worker.cli import doctor, show

AGENT = {"NEWSMILL_USER_AGENT": "harbour-mill/1.0 (+https://harbour.example/bot)"}
LOCAL = {"PUBLISH_URL": "memory://", **AGENT}  # kombu's in-process broker: always there


def marks(answer: Answer) -> dict[str, str]:
    """Name -> the worst mark under it."""
    order = ["ok", "warn", "fail"]
    found: dict[str, str] = {}
    for check in answer.json["checks"]:
        found[check["name"]] = max(found.get(check["name"], "ok"), check["mark"], key=order.index)
    return found


def test_a_sound_installation_has_no_failure(newsmill: Newsmill, books: Books) -> None:
    books.tick(datetime.now(UTC))
    answer = newsmill("doctor", "--json", **LOCAL)
    assert answer.code == 0, answer.out
    assert marks(answer) == {
        "user agent": "ok",
        "Flower": "ok",
        "WebSub": "ok",
        "database": "ok",
        "beat": "ok",
        "archive": "ok",
        "list of feeds": "ok",
        "list of gates": "ok",
        "broker": "warn",  # the embedded one does not run
        "output broker": "ok",
    }


def test_every_trouble_has_its_cure(newsmill: Newsmill) -> None:
    environment = {
        "ARCHIVE_URL": "file:///proc/no-such-folder",
        "BROKER_URL": "redis://:hush@127.0.0.1:1/0",
        "NEWSMILL_FEEDS": "/nowhere/feeds.toml",
        "NEWSMILL_GATES": "/nowhere/gates.toml",
    }
    answer = newsmill("doctor", "--json", **environment)
    assert answer.code == 1
    found = marks(answer)
    assert {name for name, mark in found.items() if mark == "fail"} == {
        "database",
        "archive",
        "list of feeds",
        "list of gates",
        "broker",
    }
    assert found["user agent"] == "warn"
    assert all(check["cure"] for check in answer.json["checks"] if check["mark"] != "ok")
    assert "hush" not in answer.out + answer.err
    shown = newsmill("doctor", **environment)
    assert shown.code == 1
    assert "newsmill migrate" in shown.out


def test_a_database_without_schema_is_a_failure(newsmill: Newsmill) -> None:
    newsmill.home.mkdir()
    (newsmill.home / "newsmill.db").touch()
    answer = newsmill("doctor", "--json", **LOCAL)
    assert marks(answer)["database"] == "fail"


def test_a_database_that_does_not_answer_hides_no_other_check(newsmill: Newsmill) -> None:
    answer = newsmill("doctor", "--json", DATABASE_URL="postgres://u:hush@127.0.0.1:1/none", **LOCAL)
    found = marks(answer)
    assert answer.code == 1
    assert (found["database"], found["archive"]) == ("fail", "ok")
    assert "hush" not in answer.out


@pytest.mark.redis
def test_a_redis_is_asked_what_it_does_when_memory_is_short(newsmill: Newsmill, books: Books) -> None:
    answer = newsmill(
        "doctor", "--json", NEWSMILL_NAMESPACE="test-doctor", BROKER_URL="redis://127.0.0.1:6379/15", **AGENT
    )
    assert any("maxmemory-policy" in check["found"] for check in answer.json["checks"])


def test_no_secret_is_shown(newsmill: Newsmill, books: Books) -> None:
    secrets = {
        "PUBLISH_URL": "memory://",
        "SENTRY_DSN": "https://hushhush@sentry.example/1",
        "FLOWER_BASIC_AUTH": "reader:hushhush",
    }
    for options in ((), ("--json",)):
        answer = newsmill("doctor", *options, **secrets)
        assert "hushhush" not in answer.out + answer.err
    shown = newsmill("doctor", "--json", **secrets).json["settings"]
    assert shown["SENTRY_DSN"] == "https://sentry.example/1"
    assert shown["FLOWER_BASIC_AUTH"] == "set"


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        (
            "postgresql+psycopg://me:hush@db.example:5432/news?sslmode=require",
            "postgresql+psycopg://db.example:5432/news",
        ),
        ("amqp://me:p%40ss@broker.example//", "amqp://broker.example//"),
        ("redis+socket:///var/redis.sock?virtual_host=0", "redis+socket:///var/redis.sock"),
        ("amqp://u:hush@one.example//;amqp://u:hush@two.example//", "amqp://one.example//;amqp://two.example//"),
        ("redis://:hu/sh@host.example:6379/0", "redis://…"),
        ("redis://:hu#sh@host.example:6379/0", "redis://…"),
        ("redis://:hu?sh@host.example:6379/0", "redis://…"),
        ("redis://:12/hush@host.example:6379/0", "redis://…"),
        ("redis://host.example:6379/0?password=hush", "redis://host.example:6379/0"),
        ("redis://:hu;sh@host.example:6379/0", "set"),
        ("postgresql+psycopg://me:hu/sh@db.example/news", "postgresql+psycopg://…"),
        ("user:password", "set"),
        ("http://[", "http://…"),
    ],
)
def test_a_url_is_shown_without_what_it_hides(url: str, shown: str) -> None:
    assert show.bare_url(url) == shown


@pytest.mark.parametrize(
    ("environment", "flower", "websub"),
    [
        ({"NEWSMILL_PUBLIC_URL": "https://mill.example"}, "warn", "ok"),
        ({"NEWSMILL_PUBLIC_URL": "http://mill.example", "FLOWER_BASIC_AUTH": "ops:hush"}, "ok", "warn"),
    ],
)
def test_what_hubs_and_others_reach_is_said(
    newsmill: Newsmill, books: Books, environment: dict[str, str], flower: str, websub: str
) -> None:
    answer = newsmill("doctor", "--json", **LOCAL, **environment)
    assert (marks(answer)["Flower"], marks(answer)["WebSub"]) == (flower, websub)
    assert answer.json["settings"]["NEWSMILL_PUBLIC_URL"] == environment["NEWSMILL_PUBLIC_URL"]
    assert "hush" not in answer.out


def test_several_hosts_of_a_broker_are_shown_without_their_passwords(newsmill: Newsmill, books: Books) -> None:
    url = "amqp://u:hush@127.0.0.1:1//;amqp://u:hush@127.0.0.1:2//"
    for options in ((), ("--json",)):
        answer = newsmill("doctor", *options, BROKER_URL=url)
        assert answer.code == 1
        assert "hush" not in answer.out + answer.err


def test_an_examination_that_breaks_hides_no_other(
    newsmill: Newsmill, books: Books, monkeypatch: pytest.MonkeyPatch
) -> None:
    def _broken(_settings: object) -> None:
        raise RuntimeError("hush")

    monkeypatch.setattr(doctor, "EXAMINATIONS", (_broken, *doctor.EXAMINATIONS))
    answer = newsmill("doctor", "--json", **LOCAL)
    assert answer.code == 1
    assert marks(answer)["broken"] == "fail"
    assert marks(answer)["archive"] == "ok"
    assert "hush" not in answer.out
