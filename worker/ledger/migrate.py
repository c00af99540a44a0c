"""The schema to its head, and how far it is from there."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

from worker.errors import UnavailableError, UsageError
from worker.ledger.session import Ledger

MIGRATION_LOCK = 0x6E657774
UPGRADE = "install the newsmill that made it, or a newer one"


def migrate(ledger: Ledger) -> tuple[str | None, str]:
    """Bring the schema to its head; safe to run twice and from two processes at once.

    Returns: the revisions before and after.
    Raises: UnavailableError: the database does not answer, or its file cannot be made.
        UsageError: a newer newsmill was here.
    """
    if ledger.dialect == "sqlite":
        _prepare_file(ledger)
    with ledger.transaction() as connection:
        if ledger.dialect == "postgresql":
            connection.execute(sa.text("SET LOCAL statement_timeout = 0"))  # an index of years of news takes its time
            connection.execute(sa.select(sa.func.pg_advisory_xact_lock(MIGRATION_LOCK)))
        before = MigrationContext.configure(connection).get_current_revision()
        if is_newer(before):
            raise UsageError(f"The database's schema {before} is newer than this program: {UPGRADE}.")
        config = _config()
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
        return before, head()


def _prepare_file(ledger: Ledger) -> None:
    """Write-ahead logging is a property of the file: children that race to set it find the database locked."""
    path = Path(ledger.engine.url.database or "")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        raw = ledger.engine.raw_connection()
        try:
            raw.cursor().execute("PRAGMA journal_mode=WAL")
        finally:
            raw.close()
    except (OSError, sa.exc.DBAPIError, sqlite3.Error) as error:
        said = error.strerror if isinstance(error, OSError) else getattr(error, "orig", error)
        raise UnavailableError(
            f"The database file {path} cannot be made or opened: {said}. NEWSMILL_HOME names another folder, "
            "DATABASE_URL another database."
        ) from error


def current(ledger: Ledger) -> str | None:
    """The schema's revision; None: there is no schema yet."""
    with ledger.reading() as connection:
        return MigrationContext.configure(connection).get_current_revision()


def head() -> str:
    """The newest revision that this code knows."""
    return ScriptDirectory.from_config(_config()).get_current_head() or ""


def is_newer(revision: str | None) -> bool:
    """Is this a schema that only a later version of this program knows?"""
    return revision is not None and revision not in {
        known.revision for known in ScriptDirectory.from_config(_config()).walk_revisions()
    }


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).with_name("migrations")))
    return config
