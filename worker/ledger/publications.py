"""The outbox: each message is frozen here before it is sent, and stays for replay."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from worker.ledger.session import upsert
from worker.ledger.tables import Row, articles, beats, feeds, publications

TICKS = ("feeds.due", "articles.dispatch")  # what beat ticks and notes; other names in the table are marks


def existing(connection: Connection, ids: Sequence[int]) -> dict[int, Row]:
    """Messages that an earlier attempt froze, by row id."""
    return {row.id: row for row in connection.execute(sa.select(publications).where(publications.c.id.in_(ids)))}


def locked_sequences(connection: Connection, feed_ids: Iterable[int]) -> dict[int, int]:
    """The last number of each feed's dense sequence, locked until the transaction ends.

    Numbers that are not kept (``save_sequences``) are given out again, so no gap can stay.
    """
    chosen = sa.select(feeds.c.id, feeds.c.sequence).where(feeds.c.id.in_(sorted(set(feed_ids))))
    locked = chosen.order_by(feeds.c.id).with_for_update()  # always in the same order: no deadlock
    return {row.id: row.sequence for row in connection.execute(locked)}


def save_sequences(connection: Connection, last: Mapping[int, int]) -> None:
    """Keep the numbers given out."""
    if last:
        numbered = feeds.update().where(feeds.c.id == sa.bindparam("of")).values(sequence=sa.bindparam("number"))
        connection.execute(numbered, [{"of": feed_id, "number": number} for feed_id, number in last.items()])


def freeze(connection: Connection, rows: Sequence[Mapping[str, Any]]) -> None:
    """Put messages into the outbox. Raises: sqlalchemy IntegrityError: an article's message is there already."""
    if rows:
        connection.execute(publications.insert(), rows)


def confirm(connection: Connection, ids: Sequence[int], *, held: Sequence[int], now: datetime) -> None:
    """Mark messages as confirmed by the broker, once; ``held``: those that no consumer had asked for."""
    connection.execute(
        publications.update()
        .where(publications.c.id.in_(ids), publications.c.confirmed_at.is_(None))
        .values(confirmed_at=now, held=publications.c.id.in_(held))
    )


def confirmed_since(connection: Connection, *, after: datetime, limit: int) -> list[Row]:
    """Messages confirmed after a moment, oldest first, with what a terminal shows of their articles."""
    statement = (
        sa.select(
            publications,
            articles.c.article_id,
            articles.c.discovered_at,
            articles.c.ended_at,
            articles.c.title,
            articles.c.priority,
        )
        .join(articles, articles.c.id == publications.c.id)
        .where(publications.c.confirmed_at > after)
        .order_by(publications.c.confirmed_at, publications.c.id)
        .limit(limit)
    )
    return list(connection.execute(statement))


def last_confirmed_at(connection: Connection) -> datetime | None:
    found: datetime | None = connection.scalar(sa.select(sa.func.max(publications.c.confirmed_at)))
    return found


def of_article(connection: Connection, article_pk: int) -> Row | None:
    return connection.execute(sa.select(publications).where(publications.c.id == article_pk)).one_or_none()


def tick(connection: Connection, name: str, *, now: datetime) -> None:
    """Note that a clock of ours ran."""
    upsert(connection, beats, {"name": name, "at": now}, key="name")


def ticks(connection: Connection) -> dict[str, datetime]:
    """When each clock of ours last ran."""
    return {row.name: row.at for row in connection.execute(sa.select(beats).where(beats.c.name.in_(TICKS)))}
