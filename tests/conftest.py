"""What every test may ask for: the recorded data beside the repository, and the servers of this machine."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent
SHARED = Path(os.environ.get("NEWSMILL_TEST_SHARED", REPOSITORY.parent / "shared"))
REQUIRED = os.environ.get("NEWSMILL_TEST_REQUIRE", "")  # CI: "all"; a missing part is then an error, not a skip


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


NEEDS = {
    "shared": (lambda: SHARED.is_dir(), f"the recorded data is not at {SHARED}"),
    "postgres": (lambda: _answers(5432), "no PostgreSQL on 127.0.0.1:5432"),
    "redis": (lambda: _answers(6379), "no Redis on 127.0.0.1:6379"),
    "rabbitmq": (lambda: _answers(5672), "no RabbitMQ on 127.0.0.1:5672"),
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    missing = {name: reason for name, (there, reason) in NEEDS.items() if not there()}
    for item in items:
        for name, reason in missing.items():
            if item.get_closest_marker(name):
                if REQUIRED == "all":
                    raise pytest.UsageError(f"NEWSMILL_TEST_REQUIRE=all, but {reason}")
                item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture(scope="session")
def shared() -> Path:
    """The recorded data; use with ``@pytest.mark.shared``."""
    return SHARED
