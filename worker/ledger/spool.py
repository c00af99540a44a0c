"""Exchanges in hand that are small enough for the ledger: saved with the state they belong to, and gone with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from worker.ledger.session import insert_new
from worker.ledger.tables import Row, articles, spool
from worker.model import State


def put(connection: Connection, article_pk: int, bodies: Mapping[str, bytes]) -> None:
    """Keep bodies of one article under keys made of their digests."""
    rows = [{"key": key, "article_pk": article_pk, "body": body} for key, body in bodies.items()]
    insert_new(connection, spool, rows, returning=[spool.c.key])


def of_articles(connection: Connection, article_pks: Sequence[int]) -> dict[str, bytes]:
    """All that is held of these rows, by key."""
    chosen = sa.select(spool.c.key, spool.c.body).where(spool.c.article_pk.in_(article_pks))
    return {row.key: row.body for row in connection.execute(chosen)}


def keys_of(connection: Connection, article_pks: Sequence[int]) -> set[str]:
    """The keys under which something of these rows is held."""
    return set(connection.scalars(sa.select(spool.c.key).where(spool.c.article_pk.in_(article_pks))))


def forget(connection: Connection, article_pks: Sequence[int]) -> None:
    """Let go of all that is held of these rows."""
    connection.execute(spool.delete().where(spool.c.article_pk.in_(article_pks)))


def set_aside(connection: Connection, *, ended_before: datetime, limit: int) -> list[Row]:
    """What is held of rows that were set aside: (key, body). It may have to be kept for weeks."""
    statement = (
        sa.select(spool.c.key, spool.c.body)
        .join(articles, articles.c.id == spool.c.article_pk)
        .where(articles.c.state.in_([State.REJECTED, State.QUARANTINED]), articles.c.ended_at <= ended_before)
        .limit(limit)
    )
    return list(connection.execute(statement))


def moved(connection: Connection, keys: Sequence[str]) -> None:
    """Let go of what lies in the archive store by now."""
    connection.execute(spool.delete().where(spool.c.key.in_(keys)))
