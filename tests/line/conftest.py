"""The line on each kind of store, with its real processes and a real consumer."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import pytest
from kombu import Connection, Exchange, Message, Queue

from tests.newsserver import NewsServer
from tests.stack import KINDS, Stack, marks, stack
from worker import wiring


class Consumer:
    """Collects what the output exchange delivers, with kombu alone, as a consumer of a user would."""

    def __init__(self, made: Stack) -> None:
        self.messages: list[dict[str, Any]] = []
        self.headers: list[dict[str, Any]] = []
        namespace = made.env["NEWSMILL_NAMESPACE"]
        with wiring.open_publisher(made.settings) as publisher:
            publisher.declare()
        # RabbitMQ knows the exchange, with arguments that are not a consumer's business; Redis keeps no exchanges
        known = made.kind.endswith("rabbitmq")
        exchange = Exchange(f"{namespace}.newsmill", type="topic", durable=True, no_declare=known)
        self._queue = Queue(f"{namespace}.seen", exchange, routing_key="article.#", durable=True)
        self._url = made.settings.publish_url
        self._stop = threading.Event()
        self._bound = threading.Event()
        self._thread = threading.Thread(target=self._consume, daemon=True)
        self._thread.start()
        assert self._bound.wait(10)

    def _consume(self) -> None:
        with Connection(self._url) as connection, connection.Consumer(self._queue, callbacks=[self._received]):
            self._bound.set()
            while not self._stop.is_set():
                with suppress(TimeoutError):
                    connection.drain_events(timeout=0.2)

    def _received(self, body: Any, message: Message) -> None:
        self.headers.append(dict(message.headers))
        self.messages.append(body if isinstance(body, dict) else json.loads(body))
        message.ack()

    def wait_for(self, count: int, timeout_s: float = 20) -> None:
        """Until so many messages have come, and a moment longer: one too many must be seen."""
        end = time.monotonic() + timeout_s
        while len(self.messages) < count and time.monotonic() < end:
            time.sleep(0.05)
        time.sleep(0.5)
        assert len(self.messages) == count

    def wait_for_ids(self, count: int, timeout_s: float = 20) -> None:
        """Until so many different messages have come; repeats of a cut attempt carry the same id."""
        end = time.monotonic() + timeout_s
        while len({message["id"] for message in self.messages}) < count and time.monotonic() < end:
            time.sleep(0.05)
        assert len({message["id"] for message in self.messages}) == count

    def close(self) -> None:
        self._stop.set()
        self._thread.join(10)


@pytest.fixture(
    params=[pytest.param(kind, marks=[getattr(pytest.mark, mark) for mark in marks(kind)]) for kind in KINDS]
)
def installation(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Stack]:
    with stack(request.param, tmp_path) as made:
        yield made


@pytest.fixture
def site() -> Iterator[NewsServer]:
    with NewsServer() as server:
        yield server


@pytest.fixture
def sites() -> Iterator[list[NewsServer]]:
    """Six that a batch may ask side by side."""
    with ExitStack() as opened:
        yield [opened.enter_context(NewsServer(f"127.0.0.{number}")) for number in range(11, 17)]


@pytest.fixture
def consumer(installation: Stack) -> Iterator[Consumer]:
    made = Consumer(installation)
    yield made
    made.close()
