"""The processes that ``newsmill up`` starts, watches and ends.

Each is the leader of a session of its own, so that Ctrl-C reaches only the launcher, and what a child starts itself can
be ended with it. Call everything from one thread that lives as long as the launcher: on Linux a child is told to end
when the thread that started it dies.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from worker.embedded import dies_with_parent
from worker.errors import UnavailableError

RESTARTS = 3  # in a row; a child that stayed up for STEADY_S begins to count anew
STEADY_S = 60.0
RESTART_AFTER_S = 1.0
LOOK_AGAIN_S = 0.05
WORDS_KEPT_BYTES = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class Death:
    """A child that ended although nobody asked it to."""

    name: str
    exit_code: int  # negative: the signal
    last_words: str  # the end of its log, a few lines
    restarts_left: int


@dataclass(slots=True)
class _Child:
    command: Sequence[str]
    log_path: Path
    process: subprocess.Popen[bytes]
    began_at: float  # monotonic
    restarts: int = 0
    start_again_at: float | None = None  # monotonic; None: it runs


@dataclass(slots=True, kw_only=True)
class Children:
    """A handful of processes with one environment, each writing to a log of its own.

    Args:
        environment: The children's, whole.
        log_folder: Made when missing. The log of an earlier start is kept as ``<name>.log.1``.
    """

    environment: Mapping[str, str]
    log_folder: Path
    _children: dict[str, _Child] = field(default_factory=dict)

    def start(self, name: str, command: Sequence[str]) -> None:
        """Raises: UnavailableError: the log cannot be written or the command not be run."""
        path = self.log_folder / f"{name}.log"
        try:
            self.log_folder.mkdir(parents=True, exist_ok=True)
            if path.exists():
                path.replace(path.with_name(f"{name}.log.1"))
        except OSError as error:
            raise UnavailableError(f"No log can be written at {path}: {error}") from error
        self._children[name] = _Child(command, path, self._launched(command, path), time.monotonic())

    def pids(self) -> dict[str, int]:
        """Name -> process id of what runs."""
        return {name: child.process.pid for name, child in self._children.items() if child.process.poll() is None}

    def watch(self) -> list[Death]:
        """Look once: who died since the last look, and start those again whose pause is over.

        A child without restarts left stays dead; its ``Death`` says so.
        """
        now = time.monotonic()
        deaths = []
        for name, child in self._children.items():
            if child.start_again_at is not None:
                if now >= child.start_again_at:
                    child.process, child.began_at, child.start_again_at = (
                        self._launched(child.command, child.log_path),
                        now,
                        None,
                    )
            elif (code := child.process.poll()) is not None:
                deaths.append(self._died(name, child, code, now))
        return deaths

    def _died(self, name: str, child: _Child, code: int, now: float) -> Death:
        _kill_group(child.process.pid)  # what it started and left behind
        if now - child.began_at >= STEADY_S:
            child.restarts = 0
        left = RESTARTS - child.restarts
        child.restarts += 1
        child.start_again_at = now + RESTART_AFTER_S if left else float("inf")
        return Death(name=name, exit_code=code, last_words=last_words(child.log_path), restarts_left=left)

    def stop(self, *, within_s: float, hurry: Callable[[], bool]) -> list[str]:
        """Ask all to end, wait, and kill the sessions of those that do not; nothing is left afterwards.

        Args:
            within_s: How long they may take, seconds.
            hurry: Asked while waiting; True ends the waiting at once.

        Returns: The names of those that had to be killed.
        """
        left = {name: child.process for name, child in self._children.items() if child.process.poll() is None}
        self._children.clear()
        for process in left.values():
            process.send_signal(signal.SIGTERM)
        give_up_at = time.monotonic() + within_s
        while left and not hurry() and time.monotonic() < give_up_at:
            time.sleep(LOOK_AGAIN_S)
            for name in [name for name, process in left.items() if process.poll() is not None]:
                _kill_group(left.pop(name).pid)
        for process in left.values():
            _kill_group(process.pid)
            process.wait()
        return list(left)

    def _launched(self, command: Sequence[str], log_path: Path) -> subprocess.Popen[bytes]:
        try:
            with log_path.open("ab") as log:
                return subprocess.Popen(  # noqa: S603 - our own command line, no shell
                    command,
                    env=dict(self.environment),
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                    preexec_fn=dies_with_parent(),  # noqa: PLW1509 - one system call, libc loaded before the fork
                )
        except OSError as error:
            raise UnavailableError(f"{command[0]} cannot be started: {error}") from error


def _kill_group(leader: int) -> None:
    """End whatever is left of a child's process group, while its leader runs or was only just seen to have ended."""
    try:
        os.killpg(leader, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):  # nobody left; macOS says EPERM when only zombies are
        return


def last_words(log_path: Path, lines: int = 8) -> str:
    """The last lines of a log, at most WORDS_KEPT_BYTES of them; why it cannot be read, when it cannot."""
    try:
        with log_path.open("rb") as log:
            log.seek(max(0, log.seek(0, os.SEEK_END) - WORDS_KEPT_BYTES))
            text = log.read().decode(errors="replace")
    except OSError as error:
        return f"(its log cannot be read: {error})"
    return "\n".join([line for line in text.splitlines() if line.strip()][-lines:]) or "(it said nothing)"
