"""A home of one's own, and ``newsmill`` as a process in it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import pytest

from config.settings import Settings
from tests.conftest import REPOSITORY
from worker.ledger.migrate import migrate
from worker.ledger.session import Ledger
from worker.sample.newsroom import Newsroom
from worker.wiring import now_utc


@dataclass(frozen=True, slots=True, kw_only=True)
class Home:
    """Where one test's newsmill lives, and the environment that leads there."""

    path: Path

    @property
    def environment(self) -> dict[str, str]:
        return {
            "NEWSMILL_HOME": str(self.path),
            "NEWSMILL_ALLOW_NETWORKS": "127.0.0.0/8",
            "NEWSMILL_HOST_DELAY_S": "0",
            "NEWSMILL_HOST_CONNECTIONS": "4",
            "NEWSMILL_RETRY_BASE_S": "0.2",
            "NEWSMILL_TICK_S": "1",
        }

    @property
    def settings(self) -> Settings:
        return Settings.from_env(self.environment)

    def ledger(self) -> Ledger:
        """Migrated; the caller closes it."""
        opened = Ledger(self.settings.database_url)
        migrate(opened)
        return opened

    def start(
        self, *arguments: str, stdout: IO[bytes] | int = subprocess.PIPE, **environment: str
    ) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, "-m", "worker.cli.main", *arguments],
            env={"PATH": os.environ["PATH"], **self.environment, **environment},
            cwd=REPOSITORY,
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )

    def run(self, *arguments: str, timeout_s: float = 90, **environment: str) -> tuple[int, str, str]:
        """Exit code, standard output, standard error."""
        with self.start(*arguments, **environment) as process:
            try:
                out, err = process.communicate(timeout=timeout_s)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                raise
        return process.returncode, out.decode(), err.decode()


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(path=tmp_path / "home")


@pytest.fixture
def newsroom() -> Iterator[Newsroom]:
    made = Newsroom(clock=now_utc, slow_s=0.1)
    made.start()
    yield made
    made.stop()
