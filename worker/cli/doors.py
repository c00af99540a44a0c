"""The doors that commands open: only what a command needs, closed when it ends."""

# ruff: noqa: PLC0415 - the database's libraries take a quarter of a second: `--help` does without them

from __future__ import annotations

import logging
import signal
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from config.settings import Settings, sqlite_path
from worker.cli import context
from worker.errors import UsageError

if TYPE_CHECKING:
    from worker.ledger.session import Ledger
    from worker.stages import Deps

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


@contextmanager
def stopped_by_signals(stopping: threading.Event) -> Iterator[threading.Event]:
    """The first Ctrl-C or SIGTERM sets the event, so that what is in hand ends well; the second ends the process."""

    def ask(number: int, _frame: FrameType | None) -> None:
        stopping.set()
        signal.signal(number, before[signal.Signals(number)])

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stopping
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def opened_deps() -> Iterator[Deps]:
    """All doors of a working process, for a command that works until it is asked to stop (``Deps.stopping``).

    Raises: as ``opened_ledger``.
    """
    from worker import wiring

    logging.getLogger("newsmill").addHandler(logging.NullHandler())  # what is logged is told in sentences here
    with opened_ledger():  # says what to do when the schema is not ours
        pass
    deps = wiring.build(context.settings())
    with closing(deps.ledger), closing(deps.publisher), closing(deps.fetcher), stopped_by_signals(deps.stopping):
        try:
            yield deps
        finally:
            deps.threads.shutdown(wait=False, cancel_futures=True)


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
