"""``column IN (list)`` in one text whatever the list's length: it is put together, and planned, once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.engine import Dialect
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement


class among(FunctionElement[Any]):  # noqa: N801 - a function of SQL
    """Is a column's value in the list that the statement is given as ``name`` when it runs? A list, not a tuple."""

    type = sa.types.NullType()  # of a Boolean SQLite would be asked whether it equals 1, and use no index
    inherit_cache = True

    def __init__(self, column: sa.Column[Any], name: str) -> None:
        super().__init__(column, sa.bindparam(name, type_=_Array().with_variant(sa.JSON(), "sqlite")))


class _Array(sa.types.TypeDecorator[Sequence[str | int]]):
    """A list as PostgreSQL writes arrays. The driver's own lists of names take it longer than the server's work."""

    impl = sa.Text
    cache_ok = True

    def bind_processor(self, dialect: Dialect) -> Callable[[Any], str]:  # noqa: ARG002
        return _as_array


def _as_array(values: Sequence[str | int]) -> str:
    """Source: PostgreSQL's manual, section 8.15.6: what is in quotes is text, whatever it says."""
    quoted = (value.replace("\\", "\\\\").replace('"', '\\"') if isinstance(value, str) else value for value in values)
    return "{" + ",".join(f'"{value}"' for value in quoted) + "}"


@compiles(among, "postgresql")
def _in_array(element: among, compiler: SQLCompiler, **options: Any) -> str:
    column, values = element.clauses
    item = sa.Text() if isinstance(column.type, sa.String) else column.type  # a cast to its length would cut values
    array = sa.cast(values, postgresql.ARRAY(item))
    return f"{compiler.process(column, **options)} = ANY ({compiler.process(array, **options)})"


@compiles(among, "sqlite")
def _in_json(element: among, compiler: SQLCompiler, **options: Any) -> str:
    column, values = (compiler.process(clause, **options) for clause in element.clauses)
    return f"{column} IN (SELECT value FROM json_each({values}))"  # noqa: S608 - no words of others
