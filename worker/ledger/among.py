"""``column IN (list)`` in one text whatever the list's length: it is put together, and planned, once."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement


class among(FunctionElement[Any]):  # noqa: N801 - a function of SQL
    """Is a column's value in the list that the statement is given as ``name`` when it runs? A list, not a tuple."""

    type = sa.types.NullType()  # of a Boolean SQLite would be asked whether it equals 1, and use no index
    inherit_cache = True

    def __init__(self, column: sa.Column[Any], name: str) -> None:
        item = sa.Text() if isinstance(column.type, sa.String) else column.type  # a cast to its length would cut values
        kind = postgresql.ARRAY(item).with_variant(sa.JSON(), "sqlite")
        super().__init__(column, sa.bindparam(name, type_=kind))


@compiles(among, "postgresql")
def _in_array(element: among, compiler: SQLCompiler, **options: Any) -> str:
    column, values = element.clauses
    return f"{compiler.process(column, **options)} = ANY ({compiler.process(values, **options)})"


@compiles(among, "sqlite")
def _in_json(element: among, compiler: SQLCompiler, **options: Any) -> str:
    column, values = (compiler.process(clause, **options) for clause in element.clauses)
    return f"{column} IN (SELECT value FROM json_each({values}))"  # noqa: S608 - no words of others
