"""Exchanges in hand: small ones with their bytes, saved with the state they belong to; of large ones where they lie."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from worker.ledger.session import insert_new
from worker.ledger.tables import Row, articles, spool
from worker.model import State


def put(connection: Connection, article_pk: int, *, key: str, body: bytes | None) -> None:
    """Note what is in hand of an article, until ``forget``. ``key``: made of its digest; ``body``: None: it lies in the
    archive store.
    """
    insert_new(connection, spool, [{"key": key, "article_pk": article_pk, "body": body}], returning=[spool.c.key])


def of_articles(connection: Connection, article_pks: Sequence[int]) -> dict[str, bytes]:
    """All bytes that are held of these rows, by key."""
    chosen = sa.select(spool.c.key, spool.c.body).where(spool.c.article_pk.in_(article_pks), spool.c.body.is_not(None))
    return {row.key: row.body for row in connection.execute(chosen)}


def in_store(connection: Connection, article_pks: Sequence[int]) -> list[str]:
    """The keys of what lies in the archive store for these rows, also of what an earlier attempt left there."""
    chosen = sa.select(spool.c.key).where(spool.c.article_pk.in_(article_pks), spool.c.body.is_(None))
    return list(connection.scalars(chosen))


def forget(connection: Connection, article_pks: Sequence[int]) -> None:
    """Let go of all that is in hand of these rows."""
    connection.execute(spool.delete().where(spool.c.article_pk.in_(article_pks)))


def set_aside(connection: Connection, *, ended_before: datetime, limit: int) -> list[Row]:
    """What is held of rows that were set aside: (key, body). It may have to be kept for weeks."""
    statement = (
        sa.select(spool.c.key, spool.c.body)
        .join(articles, articles.c.id == spool.c.article_pk)
        .where(
            articles.c.state.in_([State.REJECTED, State.QUARANTINED]),
            articles.c.ended_at <= ended_before,
            spool.c.body.is_not(None),
        )
        .limit(limit)
    )
    return list(connection.execute(statement))


def moved(connection: Connection, keys: Sequence[str]) -> None:
    """Let go of the bytes that lie in the archive store by now."""
    connection.execute(spool.update().where(spool.c.key.in_(keys)).values(body=None))
