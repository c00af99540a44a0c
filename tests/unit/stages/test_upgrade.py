"""An installation of schema 0001 is upgraded with articles in every state, and they finish."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy.engine import Connection

from tests.newsserver import NewsServer, article_page, paragraphs
from tests.unit.stages.conftest import Line
from tests.unit.stages.test_outcomes import item, picture
from worker import stages
from worker.archive.bundle import read_bundle
from worker.errors import UnavailableError
from worker.ledger import migrate, tables
from worker.ledger.session import Ledger
from worker.stages import spool


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def line(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Line]:
    settings = {"DATABASE_URL": request.getfixturevalue("postgres_url")} if request.param == "postgres" else {}
    made = Line(tmp_path, **settings)
    with made.deps.ledger.transaction() as tx:
        for table in reversed(tables.metadata.sorted_tables):
            tx.execute(table.delete())
    yield made
    made.close()


def alembic(ledger: Ledger, move: str, revision: str) -> None:
    config = migrate._config()
    with ledger.transaction() as connection:
        config.attributes["connection"] = connection
        getattr(command, move)(config, revision)


def as_schema_0001_had_it(line: Line) -> None:
    """Everything in hand lies in the store, a picture's exchange as its records, and only the articles know."""
    with line.deps.ledger.reading() as tx:
        notes = [row.picture["spool"] for row in line.rows() if row.picture]
        assert spool.held(tx, line.rows()) == {}
    for key in notes:
        line.deps.store.put(key, spool.picture_records(line.deps, {}, key))
    alembic(line.deps.ledger, "downgrade", "0001")


def test_the_migrations_make_the_tables_that_the_code_knows(line: Line) -> None:
    with line.deps.ledger.reading() as connection:
        assert compare_metadata(MigrationContext.configure(connection), tables.metadata) == []


def test_articles_in_every_state_finish_after_an_upgrade_without_another_fetch(
    line: Line, site: NewsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spool, "LEDGER_BYTES", -1)
    data = picture(640, 360)
    lead = site.page("/ferry.jpg", data, content_type="image/jpeg")
    for stop in ("extract", "picture", "archive", "publish", None):
        link = site.page(f"/{stop}.html", article_page(f"Ferry {stop}", paragraphs(len(str(stop))), image=lead))
        line.follow(str(stop).lower(), site.feed(f"/{stop}.xml", [item(link, title=f"Ferry {stop}")]))
        line.poll()
        (batch,) = stages.dispatch(line.deps).batches
        line.work(batch, until=stop)
    states = {row.state for row in line.rows()}
    assert states == {"downloaded", "extracted", "pictured", "archived", "published"}
    as_schema_0001_had_it(line)
    assert migrate.migrate(line.deps.ledger) == ("0001", migrate.head())
    asked = {path: count for path, count in site.requests.items() if path.endswith(".html")}

    line.later(minutes=15)
    line.run()
    assert line.ends() == [("published", None)] * 5
    assert {path: count for path, count in site.requests.items() if path.endswith(".html")} == asked
    line.later(hours=2)
    assert stages.upkeep(line.deps)["spool"] == 5
    assert line.in_hand() == (set(), set())
    for row in line.rows():
        assert data in [record.payload for record in read_bundle(line.deps.store.get(row.archive["warc"]))]


@pytest.mark.postgres
def test_an_upgrade_may_take_longer_than_any_other_statement(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def slow(connection: Connection) -> None:
        connection.execute(sa.text("SELECT pg_sleep(0.5)"))

    monkeypatch.setattr(command, "upgrade", lambda config, _: slow(config.attributes["connection"]))
    hasty = Ledger(postgres_url)
    sa.event.listen(hasty.engine, "connect", lambda raw, _: raw.execute("SET statement_timeout = 100"))
    with closing(hasty):
        migrate.migrate(hasty)
        with pytest.raises(UnavailableError), hasty.transaction() as connection:
            slow(connection)
