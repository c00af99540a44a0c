"""Celery's own commands against an installation, and two installations that share a broker."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
import redis

from config.settings import embedded_socket
from tests.conftest import REPOSITORY
from tests.newsserver import NewsServer
from tests.stack import Stack, stack
from tests.through_celery.test_operators import one_article_feed, until

pytestmark = pytest.mark.timeout(180)


def celery(made: Stack, *arguments: str) -> str:
    """What a command of Celery's prints, within the time that a person would give it."""
    ended = subprocess.run(
        [sys.executable, "-m", "celery", "-A", "tasks.main", *arguments],
        env=made.process_env(),
        cwd=REPOSITORY,
        capture_output=True,
        timeout=30,
        check=False,
    )
    return ended.stdout.decode()


def names(said: str) -> set[str]:
    """The workers that answered."""
    return set(re.findall(r"w[0-9a-f]{6}@", said))


def test_celery_s_own_commands_find_the_worker(installation: Stack) -> None:
    installation.start("worker")
    until(lambda: "ready" in installation.log("worker"), made=installation)
    (worker,) = names(celery(installation, "inspect", "ping"))
    assert names(celery(installation, "status")) == {worker}


def test_worker_and_beat_hold_few_connections(tmp_path: Path, site: NewsServer) -> None:
    """A mini plan of Redis allows 20, Flower's and the commands' among them."""
    with stack("sqlite-embedded", tmp_path) as made:
        made.follow("ferry", one_article_feed(site))
        made.start("worker", "beat")
        made.wait_for({"published": 1})
        time.sleep(2)
        with redis.Redis(unix_socket_path=str(embedded_socket(tmp_path.absolute()))) as client:
            assert len(client.client_list()) - 1 <= 16


@pytest.mark.postgres
@pytest.mark.rabbitmq
def test_installations_that_share_a_broker_do_not_hear_each_other(tmp_path: Path) -> None:
    (tmp_path / "theirs").mkdir()
    with stack("postgres-rabbitmq", tmp_path) as ours, stack("postgres-rabbitmq", tmp_path / "theirs") as theirs:
        for made in (ours, theirs):
            made.start("worker")
        until(lambda: all("ready" in made.log("worker") for made in (ours, theirs)), made=ours)
        answered = [names(celery(made, "inspect", "ping")) for made in (ours, theirs)]
    assert [len(found) for found in answered] == [1, 1]
    assert answered[0] != answered[1]
