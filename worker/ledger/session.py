"""The door to the database: transactions, their dialect's quirks, and one word for "it is down"."""

from __future__ import annotations

import json
import sqlite3
from collections import namedtuple
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Connection, Engine

from worker.errors import UnavailableError
from worker.ledger.tables import Row

BUSY_TIMEOUT_S = 10
SAID_CHARS = 300
DISPATCH_LOCK = 0x6E657773  # "news": every dispatcher of one database asks for this advisory lock


class Ledger:
    """Transactions on one database. Build one per process, after the fork: connections must not be shared."""

    def __init__(self, url: str, *, pool_size: int = 3) -> None:
        self.engine = _engine(url, pool_size)
        self.dialect = self.engine.dialect.name

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """A read-write transaction, committed at the end of the block.

        Raises: UnavailableError: the database cannot be reached, is full, or gave way in a deadlock; nothing was saved.
        """
        with self._translated(), self._connected() as connection, connection.begin():
            yield connection

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A transaction that only reads: on SQLite it takes no write lock.

        Raises: UnavailableError: as ``transaction``.
        """
        with (
            self._translated(),
            self._connected().execution_options(newsmill_reads=True) as connection,
            connection.begin(),
        ):
            yield connection

    def _connected(self) -> Connection:
        try:
            return self.engine.connect()
        except sa.exc.ProgrammingError as error:  # before the server is asked anything: an option that nobody knows
            raise UnavailableError(f"DATABASE_URL: {_said(error)}") from error

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except (sa.exc.OperationalError, sa.exc.InterfaceError, sa.exc.TimeoutError) as error:
            raise UnavailableError(f"{self._name}: {_said(error)}") from error
        except sa.exc.DBAPIError as error:
            is_no_file_of_sqlite = type(error.orig) is sqlite3.DatabaseError  # or a broken one
            if error.connection_invalidated or is_no_file_of_sqlite:
                raise UnavailableError(f"{self._name}: {_said(error)}") from error
            raise

    @property
    def _name(self) -> str:
        return f"database file {self.engine.url.database}" if self.dialect == "sqlite" else "database"

    def close(self) -> None:
        self.engine.dispose()


def _said(error: sa.exc.SQLAlchemyError) -> str:
    """The first line of what the server or its library says: names of hosts, users and databases, never a password."""
    cause = error.__cause__ or error
    said = next(iter(str(cause).strip().splitlines()), "")[:SAID_CHARS]
    return f"{type(cause).__name__}: {said}" if said else type(cause).__name__


def _engine(url: str, pool_size: int) -> Engine:
    if url.startswith("sqlite"):
        engine = sa.create_engine(
            url,
            hide_parameters=True,
            json_serializer=_json,
            json_deserializer=msgspec.json.decode,
            connect_args={"timeout": BUSY_TIMEOUT_S, "isolation_level": None, "check_same_thread": False},
            pool_size=pool_size,
            max_overflow=0,
            poolclass=sa.pool.QueuePool,
        )
        sa.event.listen(engine, "connect", _sqlite_connected)
        sa.event.listen(engine, "begin", _sqlite_begin)
        return engine
    engine = sa.create_engine(
        url,
        hide_parameters=True,  # an error's text goes into logs and reports, a row's values do not
        json_serializer=_json,
        json_deserializer=msgspec.json.decode,
        pool_size=pool_size,
        max_overflow=0,
        pool_timeout=30,
        pool_recycle=1800,
        connect_args={
            "connect_timeout": 10,
            "application_name": "newsmill",
            "options": "-c timezone=UTC -c statement_timeout=60000 -c idle_in_transaction_session_timeout=20000",
        },
    )
    engine.dialect.use_insertmanyvalues_wo_returning = True  # many rows in one statement, not a statement for each
    return engine


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _sqlite_connected(connection: sqlite3.Connection, _record: object) -> None:
    connection.execute("PRAGMA foreign_keys=ON")
    connection.execute("PRAGMA synchronous=FULL")  # what was committed survives a power cut
    connection.execute("PRAGMA cache_size=-8000")
    connection.execute("PRAGMA secure_delete=OFF")  # zeros over swept pages cost five times their deletion


def _sqlite_begin(connection: Connection) -> None:
    """A deferred transaction that writes later may fail at once with "database is locked"; an immediate one waits."""
    reads = connection.get_execution_options().get("newsmill_reads", False)
    connection.exec_driver_sql("BEGIN" if reads else "BEGIN IMMEDIATE")


def dispatch_lock(connection: Connection) -> bool:
    """Take the dispatchers' lock until the transaction ends; False: another dispatcher is at work.

    On SQLite the transaction itself is the lock.
    """
    if connection.dialect.name == "sqlite":
        return True
    return bool(connection.scalar(sa.select(sa.func.pg_try_advisory_xact_lock(DISPATCH_LOCK))))


def named(result: sa.CursorResult[Any]) -> list[Row]:
    """All rows, as named tuples: to read a column of SQLAlchemy's own rows by its name takes a microsecond."""
    made = _named_tuple(tuple(result.keys()))
    return [made._make(row) for row in result.all()]


@lru_cache(maxsize=256)
def _named_tuple(names: tuple[str, ...]) -> Any:
    return namedtuple("Row", names)  # noqa: PYI024 - whoever reads this knows the fields no sooner


def insert_new(
    connection: Connection, table: sa.Table, rows: Sequence[Mapping[str, Any]], *, returning: Sequence[sa.Column[Any]]
) -> list[Row]:
    """Insert what is not there yet (by any unique key); only rows that were really inserted return."""
    if not rows:
        return []
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    statement = dialect.insert(table).on_conflict_do_nothing().returning(*returning)
    inserted: list[Row] = []
    for start in range(0, len(rows), 500):
        inserted.extend(connection.execute(statement, list(rows[start : start + 500])))
    return inserted


def upsert(connection: Connection, table: sa.Table, row: Mapping[str, Any], *, key: str) -> None:
    """Insert a row, or overwrite the one with the same key."""
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    statement = dialect.insert(table).values(**row)
    changed = {name: statement.excluded[name] for name in row if name != key}
    connection.execute(statement.on_conflict_do_update(index_elements=[key], set_=changed))
