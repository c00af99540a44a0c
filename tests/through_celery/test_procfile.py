"""The Procfile's processes, as a platform runs them: a shell, ``$PORT``, SIGTERM to every process at once."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY
from tests.newsserver import NewsServer
from tests.stack import KINDS, Stack, kill_session, marks, stack
from tests.through_celery.test_operators import ask, free_port, one_article_feed, until
from tests.through_celery.test_recovery import children_of


def procfile() -> dict[str, str]:
    lines = (REPOSITORY / "Procfile").read_text().splitlines()
    return {name: command.strip() for name, command in (line.split(":", 1) for line in lines if line.strip())}


def everyone_below(leader: int) -> list[int]:
    found = [leader]
    for child in children_of(leader):
        found += everyone_below(child)
    return found


@pytest.fixture(
    params=[pytest.param(kind, marks=[getattr(pytest.mark, mark) for mark in marks(kind)]) for kind in KINDS[1:]]
)
def platform(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Stack]:
    with stack(request.param, tmp_path) as made:
        made.env |= {"PORT": str(free_port()), "FLOWER_BASIC_AUTH": "ops:harbour"}
        made.env |= {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
        yield made


@pytest.mark.timeout(180)
def test_the_procfile_s_processes_run_it_for_real_and_stop_in_time(platform: Stack, site: NewsServer) -> None:
    commands = procfile()
    assert set(commands) == {"release", "web", "worker", "beat"}
    environment = platform.process_env() | platform.env
    released = subprocess.run(
        ["bash", "-c", commands["release"]],
        env=environment,
        cwd=REPOSITORY,
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert released.returncode == 0, released.stdout + released.stderr
    platform.follow("ferry", one_article_feed(site))
    running: dict[str, subprocess.Popen[bytes]] = {}
    try:
        for name in ("web", "worker", "beat"):
            with (platform.home / f"{name}.log").open("ab") as log:
                running[name] = subprocess.Popen(
                    ["bash", "-c", commands[name]],
                    env=environment,
                    cwd=REPOSITORY,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
        platform.wait_for({"published": 1})
        address = f"http://127.0.0.1:{platform.env['PORT']}/api/workers"
        until(lambda: ask(address, password="ops:harbour")[0] == 200, made=platform)
        assert ask(address)[0] == 401
        began = time.monotonic()
        for process in running.values():
            for one in everyone_below(process.pid):
                try:
                    os.kill(one, signal.SIGTERM)
                except ProcessLookupError:
                    continue
        for name, process in running.items():
            process.wait(max(0.1, 25 - (time.monotonic() - began)))
            assert not everyone_below(process.pid)[1:], name
    finally:
        for process in running.values():
            kill_session(process.pid)
            process.wait()
