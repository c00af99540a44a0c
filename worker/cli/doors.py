"""The doors that commands open: only what a command needs, closed when it ends."""

# ruff: noqa: PLC0415 - the database's libraries take a quarter of a second: `--help` does without them

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from config.settings import Settings, sqlite_path
from worker.cli import context
from worker.errors import UsageError

if TYPE_CHECKING:
    from worker.ledger.session import Ledger

MIGRATE = "run `newsmill migrate` first"


def now_utc() -> datetime:
    """The clock of the commands."""
    return datetime.now(UTC)


@contextmanager
def opened_ledger() -> Iterator[Ledger]:
    """The ledger, when its schema is the one that this code knows.

    Raises: UsageError: there is no schema, or another one. UnavailableError: the database does not answer.
    """
    from worker.ledger.migrate import current
    from worker.ledger.session import Ledger

    settings = context.settings()
    if missing := missing_file(settings):
        raise UsageError(f"There is no database at {missing} yet: {MIGRATE}.")
    ledger = Ledger(settings.database_url)
    try:
        if (trouble := schema_trouble(current(ledger))) is not None:
            what, cure = trouble
            raise UsageError(f"{what}: {cure}.")
        yield ledger
    finally:
        ledger.close()


def schema_trouble(revision: str | None) -> tuple[str, str] | None:
    """Why this program cannot work with a database of this schema, and what to do; None: it can."""
    from worker.ledger.migrate import UPGRADE, head, is_newer

    if revision is None:
        return "The database has no schema", MIGRATE
    if is_newer(revision):
        return f"The database's schema {revision} is newer than this program", UPGRADE
    if revision != head():
        return f"The database's schema is {revision}, this program needs {head()}", MIGRATE
    return None


def missing_file(settings: Settings) -> Path | None:
    """The SQLite file that is not there: opening it would make an empty one."""
    path = sqlite_path(settings.database_url)
    try:
        return None if path is None or path.exists() else path
    except OSError:  # we may not even look: opening it says so
        return None
