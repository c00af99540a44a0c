"""Published messages as a person follows them."""

from __future__ import annotations

import contextlib
import json
import secrets
import signal
import threading
from collections.abc import Iterator
from typing import Self

import pytest
import redis

from tests.unit.cli_run.conftest import Home
from worker.model import Outgoing
from worker.publish.broker import Publisher

URL = "redis://127.0.0.1:6379/9"

pytestmark = pytest.mark.redis


class Press:
    """Publishes the same few messages again and again, since nobody knows when a tail begins to listen."""

    def __init__(self) -> None:
        self.namespace = f"t{secrets.token_hex(4)}"
        self.environment = {"PUBLISH_URL": URL, "NEWSMILL_NAMESPACE": self.namespace}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        with redis.Redis.from_url(URL) as client:
            for key in client.scan_iter(match=f"*{self.namespace}*"):
                client.delete(key)

    def _run(self) -> None:
        with Publisher(URL, namespace=f"{self.namespace}.", holding_cap=100) as publisher:
            while not self._stop.wait(0.1):
                publisher.publish([self._message(slug) for slug in ("courier", "voa-chinese")])

    def _message(self, slug: str) -> Outgoing:
        body = {"id": f"{slug}:1", "title": f"From {slug} \x1b[31m", "url": "https://a.example/1"}
        return Outgoing(
            message_id=f"{slug}:1",
            exchange="newsmill",
            routing_key=f"article.published.{slug}",
            body=json.dumps({**body, "sightings": [{"feed": slug}]}).encode(),
            headers={},
        )

    def queues(self) -> list[bytes]:
        with redis.Redis.from_url(URL) as client:
            return list(client.scan_iter(match=f"{self.namespace}.newsmill.tail.*"))


@pytest.fixture
def press() -> Iterator[Press]:
    with Press() as made:
        yield made


def test_messages_are_printed_for_people(home: Home, press: Press) -> None:
    code, out, err = home.run("tail", "--count", "2", **press.environment)
    assert code == 0
    assert "article.#" in err
    assert {"courier", "voa-chinese"} == {line.split()[0] for line in out.splitlines()}
    assert "From courier" in out
    assert "https://a.example/1" in out
    assert "\x1b" not in out


def test_messages_are_printed_whole_for_programs(home: Home, press: Press) -> None:
    _, out, _ = home.run("tail", "--json", "--count", "3", **press.environment)
    assert [json.loads(line)["url"] for line in out.splitlines()] == ["https://a.example/1"] * 3


def test_a_key_chooses(home: Home, press: Press) -> None:
    _, out, _ = home.run("tail", "--json", "--count", "3", "--key", "article.*.courier", **press.environment)
    assert {json.loads(line)["id"] for line in out.splitlines()} == {"courier:1"}


def test_its_queue_goes_with_it(home: Home, press: Press) -> None:
    home.run("tail", "--count", "1", **press.environment)
    assert press.queues() == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_well(home: Home, press: Press, number: signal.Signals) -> None:
    with home.start("tail", **press.environment) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.send_signal(number)
        process.communicate(timeout=20)
    assert process.returncode == 0
    assert press.queues() == []


@pytest.mark.parametrize(("arguments", "code"), [([], 0), (["--count", "1"], 1)], ids=["all there was", "too few"])
def test_silence_ends_it_after_the_timeout(home: Home, press: Press, arguments: list[str], code: int) -> None:
    given = ["tail", "--key", "article.#.nobody", "--timeout", "1", *arguments]
    ended, out, _ = home.run(*given, **press.environment)
    assert (ended, out) == (code, "")


def test_without_a_broker_the_cure_is_named(home: Home) -> None:
    code, _, err = home.run("tail")
    assert code == 1
    assert "newsmill up" in err
    assert "PUBLISH_URL" in err


def test_a_reader_that_goes_away_is_no_disaster(home: Home, press: Press) -> None:
    with home.start("tail", "--json", **press.environment) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.stdout.close()
        with contextlib.suppress(ProcessLookupError):
            process.wait(20)
        assert process.stderr is not None
        assert b"Traceback" not in process.stderr.read()
