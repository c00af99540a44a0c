"""The line on each kind of store, with its real processes and a real consumer."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.newsserver import NewsServer
from tests.stack import KINDS, Stack, marks, stack
from worker import wiring


class Consumer:
    """Collects what the output exchange delivers, as a consumer of a user would."""

    def __init__(self, made: Stack) -> None:
        self.messages: list[dict[str, Any]] = []
        self.headers: list[dict[str, Any]] = []
        self._publisher = wiring.open_publisher(made.settings)
        self._publisher.declare()
        self._stop = threading.Event()
        self._bound = threading.Event()
        self._thread = threading.Thread(target=self._consume, daemon=True)
        self._thread.start()
        assert self._bound.wait(10)

    def _consume(self) -> None:
        while not self._stop.is_set():
            consumed = self._publisher.consume(["article.#"], queue="seen", timeout_s=0.3)
            self._bound.set()
            for headers, body in consumed:
                self.headers.append(dict(headers))
                self.messages.append(body if isinstance(body, dict) else json.loads(body))

    def close(self) -> None:
        self._stop.set()
        self._thread.join(10)
        self._publisher.close()


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
