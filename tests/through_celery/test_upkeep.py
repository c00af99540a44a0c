"""Upkeep in a real worker: what it does to the archive, an object store behind a network."""

from __future__ import annotations

import subprocess
import sys
from datetime import timedelta

import pytest
import sqlalchemy as sa

from tests import s3
from tests.conftest import REPOSITORY
from tests.newsserver import NewsServer
from tests.stack import Stack
from tests.through_celery.test_operators import one_article_feed, until
from worker.ledger.tables import Row, bundles, warcs
from worker.wiring import now_utc, open_store

pytestmark = pytest.mark.timeout(180)


def call(made: Stack, task: str) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "celery", "-A", "tasks.main", "call", task],
        env=made.process_env(), cwd=REPOSITORY, capture_output=True, timeout=60, check=False,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr


def large_files(made: Stack) -> list[Row]:
    with made.ledger.reading() as tx:
        return list(tx.execute(sa.select(warcs)))


def test_bundles_are_compacted_in_the_object_store(
    installation: Stack, site: NewsServer, s3_endpoint: str, bucket: str
) -> None:
    installation.env |= s3.environment(s3_endpoint, bucket)
    installation.follow("ferry", one_article_feed(site))
    installation.start("worker", "beat")
    installation.wait_for({"published": 1})
    with installation.ledger.transaction() as tx:
        tx.execute(bundles.update().values(kept_at=now_utc() - timedelta(days=8)))
    call(installation, "upkeep.compact")
    until(lambda: any(file.cleaned_at for file in large_files(installation)), made=installation)
    (file,) = large_files(installation)
    (row,) = installation.rows()
    store = open_store(installation.settings)
    assert list(store.keys("warc/")) == [file.key]
    assert store.size(file.key) == file.bytes
    got = subprocess.run(
        [sys.executable, "-m", "worker.cli.main", "archive", "get", row.article_id, "--part", "warc"],
        env=installation.process_env(), cwd=REPOSITORY, capture_output=True, timeout=60, check=False,
    )  # fmt: skip
    assert got.returncode == 0, got.stderr
    assert got.stdout in store.get(file.key)
