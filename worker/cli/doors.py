"""The doors that commands open: only what a command needs, closed when it ends."""

# ruff: noqa: PLC0415 - the database's libraries take a quarter of a second: `--help` does without them

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from config.settings import Settings
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
    from worker.ledger.migrate import current, head
    from worker.ledger.session import Ledger

    settings = context.settings()
    if missing := missing_file(settings):
        raise UsageError(f"There is no database at {missing} yet: {MIGRATE}.")
    ledger = Ledger(settings.database_url)
    try:
        found = current(ledger)
        if found is None:
            raise UsageError(f"The database has no schema: {MIGRATE}.")
        if found != head():
            raise UsageError(f"The database's schema is {found}, this program needs {head()}: {MIGRATE}.")
        yield ledger
    finally:
        ledger.close()


def missing_file(settings: Settings) -> Path | None:
    """The SQLite file that is not there: opening it would make an empty one."""
    scheme, _, path = settings.database_url.partition(":///")
    if scheme != "sqlite" or path in {"", ":memory:"} or Path(path).exists():
        return None
    return Path(path)
