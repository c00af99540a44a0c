"""Processes that are started, watched, restarted and ended, without a trace."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import pytest

from worker.cli.children import RESTARTS, Children, Death, last_words

T = TypeVar("T")

PATIENCE_S = 20.0


@pytest.fixture
def children(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Children]:
    monkeypatch.setattr("worker.cli.children.RESTART_AFTER_S", 0.05)
    made = Children(environment={"PATH": os.environ["PATH"], "MARK": "theirs"}, log_folder=tmp_path / "log")
    yield made
    made.stop(within_s=0, hurry=lambda: True)


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def until(found: Callable[[], T]) -> T:
    end = time.monotonic() + PATIENCE_S
    while not (answer := found()):
        assert time.monotonic() < end
        time.sleep(0.02)
    return answer


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def never() -> bool:
    return False


def test_a_child_has_the_given_environment_and_a_session_of_its_own(children: Children, tmp_path: Path) -> None:
    children.start("one", python("import os; print(os.environ['MARK'], os.getsid(0) == os.getpid(), flush=True)"))
    until(children.watch)
    assert (tmp_path / "log" / "one.log").read_text().splitlines()[0] == "theirs True"


def test_a_death_tells_the_exit_code_and_the_last_words(children: Children) -> None:
    children.start("one", python("print('the reason'); raise SystemExit(7)"))
    (death,) = until(children.watch)
    assert death == Death(name="one", exit_code=7, last_words="the reason", restarts_left=RESTARTS)


def test_a_dead_child_is_started_again(children: Children) -> None:
    children.start("one", python("import time; time.sleep(60)"))
    first = children.pids()["one"]
    os.kill(first, signal.SIGKILL)
    (death,) = until(children.watch)
    assert death.exit_code == -signal.SIGKILL
    assert until(lambda: not children.watch() and children.pids())["one"] != first


def test_a_child_that_dies_every_time_is_given_up(children: Children) -> None:
    children.start("one", python("raise SystemExit(1)"))
    deaths: list[Death] = []
    until(lambda: deaths.extend(children.watch()) or (deaths and not deaths[-1].restarts_left))
    assert [death.restarts_left for death in deaths] == [3, 2, 1, 0]
    assert children.watch() == []


def test_a_child_that_was_up_for_long_counts_anew(children: Children, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("worker.cli.children.STEADY_S", 0.0)
    children.start("one", python("raise SystemExit(1)"))
    deaths: list[Death] = []
    until(lambda: deaths.extend(children.watch()) or len(deaths) > RESTARTS + 1)
    assert {death.restarts_left for death in deaths} == {RESTARTS}


def test_what_a_dead_child_left_behind_is_ended_with_it(children: Children, tmp_path: Path) -> None:
    note = tmp_path / "grandchild"
    code = (
        "import pathlib, subprocess, sys\n"
        "left = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
        f"pathlib.Path({str(note)!r}).write_text(str(left.pid))\n"
        "import os; os._exit(1)"
    )
    children.start("one", python(code))
    until(children.watch)
    until(lambda: not is_alive(int(note.read_text())))


POLITE = "import signal, sys, time; signal.signal(15, lambda *_: sys.exit(0)); print('up', flush=True); time.sleep(60)"
DEAF = "import signal, time; signal.signal(15, signal.SIG_IGN); print('up', flush=True); time.sleep(60)"


def started(children: Children, tmp_path: Path, name: str, code: str) -> int:
    children.start(name, python(code))
    until((tmp_path / "log" / f"{name}.log").read_text)
    return children.pids()[name]


def test_children_that_listen_end_by_themselves(children: Children, tmp_path: Path) -> None:
    pids = [started(children, tmp_path, name, POLITE) for name in ("one", "two")]
    assert children.stop(within_s=PATIENCE_S, hurry=never) == []
    assert not any(map(is_alive, pids))


@pytest.mark.parametrize(
    ("within_s", "hurry"),
    [pytest.param(0.3, never, id="time is over"), pytest.param(60, lambda: True, id="in a hurry")],
)
def test_children_that_do_not_listen_are_killed(
    children: Children, tmp_path: Path, within_s: float, hurry: Callable[[], bool]
) -> None:
    pid = started(children, tmp_path, "deaf", DEAF)
    assert children.stop(within_s=within_s, hurry=hurry) == ["deaf"]
    assert not is_alive(pid)


def test_stopping_twice_is_fine(children: Children, tmp_path: Path) -> None:
    started(children, tmp_path, "one", POLITE)
    children.stop(within_s=PATIENCE_S, hurry=never)
    assert children.stop(within_s=PATIENCE_S, hurry=never) == []


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child of its parent's death")
def test_a_killed_launcher_takes_its_children_with_it(tmp_path: Path) -> None:
    code = (
        "import os, pathlib, sys, time\n"
        "from worker.cli.children import Children\n"
        f"children = Children(environment=dict(os.environ), log_folder=pathlib.Path({str(tmp_path)!r}))\n"
        "children.start('one', [sys.executable, '-c', 'import time; time.sleep(60)'])\n"
        "print(children.pids()['one'], flush=True)\n"
        "time.sleep(60)"
    )
    with subprocess.Popen(python(code), stdout=subprocess.PIPE) as launcher:
        assert launcher.stdout is not None
        pid = int(launcher.stdout.readline())
        launcher.kill()
    until(lambda: not is_alive(pid))


def test_the_log_of_an_earlier_start_is_kept_aside(tmp_path: Path, children: Children) -> None:
    folder = tmp_path / "log"
    folder.mkdir()
    (folder / "one.log").write_text("yesterday")
    children.start("one", python("print('today')"))
    until(children.watch)
    assert (folder / "one.log.1").read_text() == "yesterday"
    assert (folder / "one.log").read_text().startswith("today")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        pytest.param(b"", "(it said nothing)", id="empty"),
        pytest.param(b"a\n\nb\n", "a\nb", id="blank lines left out"),
        pytest.param(
            "\n".join(map(str, range(100))).encode(), "\n".join(map(str, range(92, 100))), id="the last eight"
        ),
        pytest.param(b"\xff\xfe", "\ufffd\ufffd", id="no text at all"),
    ],
)
def test_last_words(tmp_path: Path, content: bytes, words: str) -> None:
    (tmp_path / "log").write_bytes(content)
    assert last_words(tmp_path / "log") == words


def test_last_words_of_a_huge_log_are_short(tmp_path: Path) -> None:
    (tmp_path / "log").write_bytes(b"x" * 1_000_000)
    assert len(last_words(tmp_path / "log")) <= 4096


def test_last_words_without_a_log_say_so(tmp_path: Path) -> None:
    assert "cannot be read" in last_words(tmp_path / "none")
