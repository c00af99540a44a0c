"""The line in one process: feeds of the sample newsroom to messages on standard output, without a broker."""

from __future__ import annotations

import json
import signal
import socket
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import redis
from jsonschema import Draft202012Validator

from tests.conftest import REPOSITORY
from tests.unit.cli_run.conftest import Home
from worker.cli.launch import follow_sample
from worker.ledger import articles, feeds, publications, spool
from worker.ledger.tables import articles as article_rows
from worker.sample.newsroom import Newsroom
from worker.urls import gate_key
from worker.wiring import now_utc

SCHEMA = json.loads((REPOSITORY / "config" / "schemas" / "article-1.schema.json").read_text())


@pytest.fixture
def following(home: Home, newsroom: Newsroom) -> Iterator[Home]:
    """A home that follows the newsroom."""
    ledger = home.ledger()
    follow_sample(ledger, newsroom)
    yield home
    with ledger.reading() as connection:
        assert {name: count for name, count in articles.audit(connection).items() if count and "_" in name} == {}
    ledger.close()


def follow(home: Home, slug: str, url: str) -> None:
    ledger = home.ledger()
    with ledger.transaction() as tx:
        row = {"slug": slug, "url": url, "host": gate_key(url), "headers": {}, "first_poll": "all"}
        feeds.insert(tx, row, origin="cli", now=now_utc())
    ledger.close()


def messages(out: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in out.splitlines()]


@pytest.mark.timeout(180)
def test_every_article_becomes_one_valid_line_and_a_second_run_prints_nothing(
    following: Home, newsroom: Newsroom
) -> None:
    code, out, err = following.run("once")
    assert code == 0, err
    published = messages(out)
    assert len(published) >= 10
    validator = Draft202012Validator(SCHEMA)
    assert [error.message for message in published for error in validator.iter_errors(message)] == []
    assert len({message["id"] for message in published}) == len(published)
    assert {sighting["feed"] for message in published for sighting in message["sightings"]} == {
        entry["slug"] for entry in newsroom.feeds()
    }
    assert all(message["title"] in err for message in published)
    assert "soft-404" in err

    code, out, err = following.run("once", *[entry["slug"] for entry in newsroom.feeds()])
    new = messages(out)  # the newsroom goes on writing: what it wrote meanwhile may come, nothing else
    assert code == 0, err
    assert not {message["id"] for message in published} & {message["id"] for message in new}
    assert all("/wire/" in message["url"] for message in new)


def test_what_is_in_hand_is_swept_though_no_beat_runs(following: Home) -> None:
    assert following.run("once")[0] == 0
    ledger = following.ledger()
    with ledger.transaction() as tx:
        published = [row.id for row in articles.select_rows(tx, states=["published"])]
        assert spool.of_articles(tx, published)
        tx.execute(article_rows.update().values(ended_at=now_utc() - timedelta(hours=2)))
    assert following.run("once")[0] == 0
    with ledger.reading() as tx:
        assert (spool.of_articles(tx, published), spool.in_store(tx, published)) == ({}, [])
    ledger.close()


def test_named_feeds_are_polled_and_no_others(following: Home) -> None:
    code, out, err = following.run("once", "sample-fulltext")
    assert code == 0, err
    assert len(messages(out)) == 3
    assert "sample-fulltext: new (200), 3 new" in err
    assert "sample-english" not in err


def test_a_fresh_machine_makes_its_own_database(home: Home) -> None:
    code, out, err = home.run("once")
    assert (code, out) == (0, "")
    assert "newsmill feeds add" in err
    assert (home.path / "newsmill.db").exists()


@pytest.mark.parametrize(
    ("slug", "advice"), [("sample-englisch", "did you mean sample-english"), ("zzz", "newsmill feeds list")]
)
def test_an_unknown_feed_names_its_neighbours(following: Home, slug: str, advice: str) -> None:
    code, out, err = following.run("once", slug)
    assert (code, out) == (1, "")
    assert advice in err


def test_a_feed_that_fails_is_told_and_counts(home: Home) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    follow(home, "dead", f"http://127.0.0.1:{port}/feed")
    code, out, err = home.run("once", "dead")
    assert (code, out) == (1, "")
    assert "dead: failed" in err


def test_a_newsmill_at_work_on_the_same_ledger_keeps_its_articles(following: Home) -> None:
    ledger = following.ledger()
    with ledger.transaction() as tx:
        publications.tick(tx, "feeds.due", now=now_utc())
    ledger.close()
    code, out, err = following.run("once")
    assert (code, out) == (1, "")
    assert "newsmill repoll" in err


@pytest.mark.redis
def test_with_a_broker_set_the_messages_go_there(following: Home) -> None:
    url, namespace = "redis://127.0.0.1:6379/9", f"t{time.monotonic_ns()}"
    code, out, err = following.run("once", "sample-fulltext", PUBLISH_URL=url, NEWSMILL_NAMESPACE=namespace)
    assert (code, out) == (0, ""), err
    with redis.Redis.from_url(url) as client:
        assert client.llen(f"{namespace}.newsmill.unroutable") == 3
        client.delete(*client.scan_iter(match=f"*{namespace}*"))


def test_a_reader_that_goes_away_ends_the_run(following: Home) -> None:
    with following.start("once") as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        said = process.stderr.read().decode()
        assert process.wait(30) == 1
    assert "standard output takes no more messages" in said
    assert "Traceback" not in said
    assert "Exception ignored" not in said


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_a_full_disk_behind_standard_output_ends_the_run_and_the_next_one_prints_all(following: Home) -> None:
    with Path("/dev/full").open("wb") as full, following.start("once", stdout=full) as process:
        _, err = process.communicate(timeout=60)
    assert process.returncode == 1
    assert b"standard output takes no more messages" in err
    code, out, err_later = following.run("once", "--wait", "20")
    assert code == 0, err_later
    assert len(messages(out)) >= 10


def test_a_broker_that_is_away_is_not_waited_for_without_end(following: Home) -> None:
    code, _, err = following.run("once", "--wait", "3", PUBLISH_URL="redis://127.0.0.1:1/0", timeout_s=60)
    assert code == 1
    assert "held up by trouble of our own" in err


def test_a_stop_gives_back_what_is_in_hand(home: Home, tmp_path: Path) -> None:
    newsroom = Newsroom(clock=now_utc, slow_s=0.1, latency_s=0.5)
    newsroom.start()
    ledger = home.ledger()
    follow_sample(ledger, newsroom)
    with home.start("once", NEWSMILL_HOST_CONNECTIONS="1") as process:
        end = time.monotonic() + 30
        while time.monotonic() < end:
            with ledger.reading() as connection:
                if articles.counts(connection)["published"]:
                    break
            time.sleep(0.05)
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=25)
    newsroom.stop()
    with ledger.reading() as connection:
        assert articles.counts(connection)["discovered"]
        assert articles.in_flight(connection, now=now_utc()) == 0
    ledger.close()
