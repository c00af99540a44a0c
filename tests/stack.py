"""A whole installation for a test: its settings, its stores, its real processes."""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
import redis as redis_client
from kombu import Connection

from config.settings import Settings, embedded_socket
from tests.conftest import POSTGRES, RABBITMQ, REPOSITORY
from worker import wiring
from worker.embedded import EmbeddedRedis
from worker.ledger import articles, feeds
from worker.ledger.migrate import migrate
from worker.ledger.session import Ledger
from worker.ledger.tables import Row
from worker.stages import Deps
from worker.urls import gate_key

KINDS = ("sqlite-embedded", "postgres-redis", "postgres-rabbitmq")
# each process of a parallel test run has a database of its own: some tests flush theirs
REDIS = f"redis://127.0.0.1:6379/{9 + int(os.environ.get('PYTEST_XDIST_WORKER', 'gw0')[2:]) % 5}"
FAST = {
    "NEWSMILL_ALLOW_NETWORKS": "127.0.0.0/8",
    "NEWSMILL_HOST_DELAY_S": "0",
    "NEWSMILL_HOST_CONNECTIONS": "8",
    "NEWSMILL_RETRY_BASE_S": "0.2",
    "NEWSMILL_RETRY_CAP_S": "1",
    "NEWSMILL_TICK_S": "1",
    "NEWSMILL_LOG_LEVEL": "info",
}


@dataclass(slots=True)
class Stack:
    kind: str
    home: Path
    env: dict[str, str]
    embedded: EmbeddedRedis | None = None
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    _ledger: Ledger | None = None

    @property
    def settings(self) -> Settings:
        return Settings.from_env(self.env)

    @property
    def ledger(self) -> Ledger:
        if self._ledger is None:
            self._ledger = Ledger(self.settings.database_url)
        return self._ledger

    def deps(self) -> Deps:
        """Doors of the test's own process."""
        return wiring.build(self.settings)

    # ------------------------------------------------------------ processes

    def command(self, name: str) -> list[str]:
        celery = [sys.executable, "-m", "celery", "-A", "tasks.main"]
        return {
            "worker": [*celery, "worker", "--without-gossip", "--without-mingle", "-n", f"w{secrets.token_hex(3)}@%h"],
            "beat": [*celery, "beat", "--schedule", str(self.home / "beat"), "--pidfile="],
            "flower": [sys.executable, "-m", "tasks.flower"],
        }[name.split("-", 1)[0]]

    def start(self, *names: str, extra: Mapping[str, str] | None = None) -> None:
        for name in names:
            with (self.home / f"{name}.log").open("ab") as log:
                self.processes[name] = subprocess.Popen(
                    self.command(name),
                    env={**self.process_env(), **(extra or {})},
                    cwd=REPOSITORY,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )

    def process_env(self) -> dict[str, str]:
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
        return {**kept, **self.env}

    def stop(self, *names: str, number: int = signal.SIGTERM, timeout_s: float = 40) -> None:
        chosen = names or tuple(self.processes)
        for name in chosen:
            if self.processes[name].poll() is None:
                self.processes[name].send_signal(number)
        for name in chosen:
            process = self.processes.pop(name)
            try:
                process.wait(timeout_s)
            finally:
                kill_session(process.pid)

    def kill(self, *names: str) -> None:
        """As a platform that lost patience: every process of these at once."""
        for name in names:
            process = self.processes.pop(name)
            kill_session(process.pid)
            process.wait()

    def log(self, name: str) -> str:
        return (self.home / f"{name}.log").read_text()

    # ------------------------------------------------------------ the ledger, as a test asks it

    def follow(self, slug: str, url: str, **values: Any) -> None:
        row = {"slug": slug, "url": url, "host": gate_key(url), "headers": {}, "first_poll": "all", **values}
        with self.ledger.transaction() as tx:
            feeds.insert(tx, row, origin="cli", now=wiring.now_utc())

    def repoll(self, *slugs: str) -> None:
        with self.ledger.transaction() as tx:
            feeds.ask(tx, slugs or None, unconditional=False, now=wiring.now_utc())

    def rows(self, **chosen: Any) -> list[Row]:
        with self.ledger.reading() as tx:
            return articles.select_rows(tx, limit=100_000, **chosen)

    def counts(self) -> dict[str, int]:
        with self.ledger.reading() as tx:
            return {state: count for state, count in articles.counts(tx).items() if count}

    def wait_until(self, true: Callable[[], bool], timeout_s: float = 60) -> None:
        end = time.monotonic() + timeout_s
        while not true():
            if time.monotonic() > end:
                raise AssertionError(f"not within {timeout_s} s\n{self.story()}")
            time.sleep(0.1)

    def wait_for(self, wanted: Mapping[str, int], timeout_s: float = 60) -> None:
        """Until the rows by state are just these."""
        end = time.monotonic() + timeout_s
        while (found := self.counts()) != dict(wanted):
            if time.monotonic() > end:
                raise AssertionError(f"after {timeout_s} s: {found}, not {dict(wanted)}\n{self.story()}")
            time.sleep(0.1)

    def story(self) -> str:
        logs = "\n".join(f"--- {name}\n{self.log(name)[-4000:]}" for name in self.processes)
        open_rows = [
            (row.url, row.state, row.reason, row.troubles[-1:]) for row in self.rows() if row.state != "published"
        ]
        return f"{open_rows[:10]}\n{logs}"


def kill_session(leader: int) -> None:
    """Every process of a session that a test started; prefork children stay in their parent's."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                session = int((entry / "stat").read_text().rpartition(")")[2].split()[3])
            except (FileNotFoundError, ProcessLookupError):
                continue
            if session == leader:
                try:
                    os.kill(int(entry.name), signal.SIGKILL)
                except ProcessLookupError:
                    continue


@contextmanager
def stack(kind: str, home: Path, **settings: str) -> Iterator[Stack]:
    """A fresh installation of one kind, migrated; everything is gone afterwards."""
    namespace = f"t{secrets.token_hex(4)}"
    env = {"NEWSMILL_HOME": str(home), "NEWSMILL_NAMESPACE": namespace, **FAST, **settings}
    made = Stack(kind=kind, home=home, env=env)
    database: str | None = None
    try:
        if kind.startswith("postgres"):
            database = f"newsmill_{namespace}"
            with psycopg.connect(POSTGRES, autocommit=True) as admin:
                admin.execute(f"CREATE DATABASE {database}")
            env["DATABASE_URL"] = f"{POSTGRES.rpartition('/')[0]}/{database}"
        if kind.endswith("redis"):
            env["REDIS_URL"] = REDIS
        elif kind.endswith("rabbitmq"):
            env["CLOUDAMQP_URL"] = RABBITMQ
        else:
            made.embedded = EmbeddedRedis(home / "broker", embedded_socket(home.absolute()))
            made.embedded.start()
        migrate(made.ledger)
        yield made
    finally:
        made.kill(*made.processes)
        if made._ledger is not None:
            made._ledger.close()
        if made.embedded is not None:
            made.embedded.stop()
        if database is not None:
            with psycopg.connect(POSTGRES, autocommit=True) as admin:
                admin.execute(f"DROP DATABASE {database} WITH (FORCE)")
        if kind.endswith("redis"):
            _forget_redis(namespace)
        elif kind.endswith("rabbitmq"):
            _forget_rabbitmq(namespace)


def _forget_redis(namespace: str) -> None:
    with redis_client.Redis.from_url(REDIS) as client:
        keys = list(client.scan_iter(match=f"*{namespace}*", count=1000))
        if keys:
            client.delete(*keys)


def _forget_rabbitmq(namespace: str) -> None:
    with Connection(RABBITMQ) as connection:
        channel = connection.channel()
        for name in ("control", "work", "fetch", "newsmill.unroutable", "seen"):
            channel.queue_delete(f"{namespace}.{name}")
            channel = connection.channel()
        for name in ("tasks", "newsmill", "newsmill.events", "newsmill.unroutable", "celeryev", "celery.pidbox"):
            channel.exchange_delete(f"{namespace}.{name}")
            channel = connection.channel()
        channel.exchange_delete(f"reply.{namespace}.celery.pidbox")


def purge(made: Stack) -> None:
    """Everything of this installation that the broker held is gone, as after FLUSHALL; what is others' stays."""
    if made.kind.endswith("rabbitmq"):
        with Connection(RABBITMQ) as connection:
            for name in ("control", "work", "fetch"):
                connection.channel().queue_purge(f"{made.env['NEWSMILL_NAMESPACE']}.{name}")
    elif made.embedded is not None:
        with redis_client.Redis(unix_socket_path=str(embedded_socket(made.home.absolute()))) as client:
            client.flushall()
    else:
        _forget_redis(made.env["NEWSMILL_NAMESPACE"])


def marks(kind: str) -> Sequence[str]:
    return {
        "sqlite-embedded": (),
        "postgres-redis": ("postgres", "redis"),
        "postgres-rabbitmq": ("postgres", "rabbitmq"),
    }[kind]
