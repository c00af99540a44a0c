"""Many rows written at once. Of the time that SQLAlchemy's own way takes, most goes into each row's parameters.

Values are what their columns hold, but no bytes; None is NULL.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection, Dialect

_STATEMENTS_KEPT = 256  # of all that may be changed together, mostly the same few are
_WHICH = "which"


def insert_many(connection: Connection, table: sa.Table, rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert rows; each gives the same columns, in the same order."""
    if rows and connection.dialect.name == "postgresql":
        connection.execute(_insert_given(table, tuple(rows[0])), {"rows": rows})
    elif rows:
        _insert_each(connection.dialect, table, tuple(rows[0])).run(connection, rows)


def update_many(connection: Connection, table: sa.Table, rows: Sequence[Mapping[str, Any]]) -> None:
    """Change rows; each gives its ``id`` first, and then the same columns in the same order."""
    if rows and connection.dialect.name == "postgresql":
        connection.execute(_update_given(table, tuple(rows[0])), {"rows": rows})
    elif rows:
        _update_each(connection.dialect, table, tuple(rows[0])).run(connection, rows)


# ---------------------------------------------------------------- PostgreSQL: one statement, given all rows as JSON


class _Rows(sa.types.TypeDecorator[Sequence[Mapping[str, Any]]]):
    """One JSON document; what a column keeps as JSON is a part of it."""

    impl = sa.JSON
    cache_ok = True

    def bind_processor(self, dialect: Dialect) -> Callable[[Any], str]:  # noqa: ARG002
        return lambda rows: msgspec.json.encode(rows).decode()


def _given(table: sa.Table, names: Sequence[str]) -> sa.FromClause:
    columns = (sa.column(name, _unbounded(table.c[name].type)) for name in names)
    document = sa.func.json_to_recordset(sa.bindparam("rows", type_=_Rows()))
    return document.table_valued(*columns).render_derived(name="given", with_types=True)


def _unbounded(kind: sa.types.TypeEngine[Any]) -> sa.types.TypeEngine[Any]:
    return sa.Text() if isinstance(kind, sa.String) else kind  # what is too long is refused as ever, by the column


@lru_cache(maxsize=_STATEMENTS_KEPT)
def _insert_given(table: sa.Table, names: tuple[str, ...]) -> sa.Insert:
    return table.insert().from_select(names, sa.select(*_given(table, names).c))


@lru_cache(maxsize=_STATEMENTS_KEPT)
def _update_given(table: sa.Table, names: tuple[str, ...]) -> sa.Update:
    rows = _given(table, names)
    return table.update().where(table.c.id == rows.c.id).values({name: rows.c[name] for name in names[1:]})


# ---------------------------------------------------------------- SQLite: a row's statement, run for each


@dataclass(frozen=True, slots=True)
class _Each:
    """A statement, and how the database writes the values that it takes, in their order."""

    text: str
    written: tuple[tuple[str, Callable[[Any], Any] | None], ...]

    def run(self, connection: Connection, rows: Sequence[Mapping[str, Any]]) -> None:
        columns = (
            [write(row[name]) for row in rows] if write else [row[name] for row in rows] for name, write in self.written
        )
        connection.exec_driver_sql(self.text, list(zip(*columns, strict=True)))


@lru_cache(maxsize=_STATEMENTS_KEPT)
def _insert_each(dialect: Dialect, table: sa.Table, names: tuple[str, ...]) -> _Each:
    return _each(table.insert().compile(dialect=dialect, column_keys=list(names)), table, dialect)


@lru_cache(maxsize=_STATEMENTS_KEPT)
def _update_each(dialect: Dialect, table: sa.Table, names: tuple[str, ...]) -> _Each:
    chosen = table.update().where(table.c.id == sa.bindparam(_WHICH, type_=table.c.id.type))
    return _each(chosen.compile(dialect=dialect, column_keys=list(names[1:])), table, dialect)


def _each(compiled: sa.Compiled, table: sa.Table, dialect: Dialect) -> _Each:
    assert isinstance(compiled, sa.sql.compiler.SQLCompiler)
    names = ["id" if name == _WHICH else name for name in compiled.positiontup or ()]
    kinds = (table.c[name].type.dialect_impl(dialect) for name in names)
    return _Each(str(compiled), tuple(zip(names, (kind.bind_processor(dialect) for kind in kinds), strict=True)))
