"""What index documents are made of: which articles were archived since they were last written, and what a day has.

How far they are written is a mark in ``beats``. It only goes on with what was written; who finds at the end that
another run moved it sets it back, since of two runs at once the later writer may have known less.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from worker.ledger.session import insert_new
from worker.ledger.tables import Row, articles, beats, feeds
from worker.model import State

MARK = "documents.listed"
_ARCHIVED = (State.ARCHIVED, State.PUBLISHED, State.IMPORTED, State.QUARANTINED)


def mark(connection: Connection) -> datetime | None:
    """Up to when everything archived is listed; None: nothing ever was."""
    found: datetime | None = connection.scalar(sa.select(beats.c.at).where(beats.c.name == MARK))
    return found


def move_mark(connection: Connection, *, was: datetime | None, to: datetime) -> None:
    """Say that everything up to ``to`` is listed, by a run that began at ``was``."""
    if was is None:
        moved = bool(insert_new(connection, beats, [{"name": MARK, "at": to}], returning=[beats.c.name]))
    else:
        ours = beats.update().where(beats.c.name == MARK, beats.c.at == was).values(at=to)
        moved = connection.execute(ours).rowcount == 1
    if moved:
        return
    if was is None:
        connection.execute(beats.delete().where(beats.c.name == MARK))
    else:
        connection.execute(beats.update().where(beats.c.name == MARK, beats.c.at > was).values(at=was))


def archived_since(connection: Connection, *, after: datetime | None, until: datetime, limit: int | None) -> list[Row]:
    """(feed_id, document, at) of the rows that were archived after one moment and up to another, by time.

    ``at`` is when the row last became ready for a stage: that of its archiving or, for one that waited since, a later
    one. There is an index for it; none for ``archived_at``.
    """
    told = [articles.c.state.in_(_ARCHIVED), articles.c.ready_at <= until, articles.c.archive.is_not(None)]
    if after is not None:
        told.append(articles.c.ready_at > after)
    statement = (
        sa.select(articles.c.feed_id, _document().label("document"), articles.c.ready_at.label("at"))
        .where(*told)
        .order_by(articles.c.ready_at, articles.c.id)
        .limit(limit)
    )
    return list(connection.execute(statement))


def documents_of(connection: Connection, feed_id: int, *, since: datetime, until: datetime) -> list[Row]:
    """(article_id, title, discovered_at, document) of a feed's archived articles of a time, ``until`` excluded: of each
    its newest revision.
    """
    statement = (
        sa.select(articles.c.article_id, articles.c.title, articles.c.discovered_at, _document().label("document"))
        .where(
            articles.c.feed_id == feed_id,
            articles.c.discovered_at >= since,
            articles.c.discovered_at < until,
            articles.c.archive.is_not(None),
        )
        .order_by(articles.c.article_id, articles.c.revision)
    )
    return list({row.article_id: row for row in connection.execute(statement)}.values())


def feed_titles(connection: Connection, slugs: Sequence[str]) -> dict[str, str | None]:
    """Title by slug, of the feeds that have one of these."""
    chosen = sa.select(feeds.c.slug, feeds.c.title).where(feeds.c.slug.in_(slugs))
    return {row.slug: row.title for row in connection.execute(chosen)}


def _document() -> sa.ColumnElement[str]:
    document: sa.ColumnElement[str] = articles.c.archive["document"].as_string()
    return document
