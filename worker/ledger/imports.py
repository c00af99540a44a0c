"""The rows of imported documents: reserved first, finished when everything of theirs is written.

A reserved row has no archive yet. Nobody else works it, a poll that meets its article finds it known, and an import
that broke off finds it again and goes on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from worker.ledger import bundles
from worker.ledger.articles import known_under, save_records
from worker.ledger.feeds import by_slug, insert
from worker.ledger.session import insert_new
from worker.ledger.tables import Row, articles
from worker.model import State

ORIGIN = "import"
FROM_ARCHIVE = "imported"  # the problem in ``exchange``: there never was a page to fetch


def is_imported(row: Row) -> bool:
    """Did this revision come from an older archive, whatever became of it since?"""
    return (row.exchange or {}).get("problem") == FROM_ARCHIVE


def feed_for(connection: Connection, slug: str, *, title: str | None, now: datetime) -> Row:
    """The feed that a slug names; one that is made here has no address and is switched off: nobody polls it."""
    found = by_slug(connection, slug)
    if found is not None:
        return found
    made: dict[str, Any] = {"slug": slug, "url": f"urn:newsmill:import:{slug}", "host": "", "title": title}
    values = {**made, "headers": {}, "first_poll": "all", "enabled": False}
    with suppress(sa.exc.IntegrityError), connection.begin_nested():  # somebody else made it just now
        insert(connection, values, origin=ORIGIN, now=now)
    feed = by_slug(connection, slug)
    assert feed is not None
    return feed


def known(connection: Connection, article_ids: Sequence[str]) -> dict[str, list[Row]]:
    """The revisions of each article that is known by one of these ids or by an alias, oldest first."""
    owners = {article_id: article_id for article_id in article_ids} | known_under(connection, article_ids)
    chosen = sa.select(articles).where(articles.c.article_id.in_(set(owners.values()))).order_by(articles.c.revision)
    found: dict[str, list[Row]] = {}
    for row in connection.execute(chosen):
        found.setdefault(row.article_id, []).append(row)
    return {article_id: found[owner] for article_id, owner in owners.items() if owner in found}


def reserve(connection: Connection, rows: Sequence[Mapping[str, Any]]) -> list[Row]:
    """Insert rows that nobody has yet. Returns: those; what is missing was somebody's meanwhile."""
    fresh = {"state": State.IMPORTED, "troubles": [], "exchange": {"problem": FROM_ARCHIVE}}
    return insert_new(connection, articles, [{**fresh, **row} for row in rows], returning=list(articles.c))


def take_over(connection: Connection, row: Row, values: Mapping[str, Any]) -> Row | None:
    """Make a row that somebody reserved and abandoned another document's. Returns: None: it was no longer theirs."""
    statement = articles.update().where(_is_reserved_as(row)).values(**values).returning(articles)
    return connection.execute(statement).one_or_none()


def finish(connection: Connection, row: Row, values: Mapping[str, Any], *, bundle: Mapping[str, Any]) -> bool:
    """Note what was written of a reserved row. Returns: False: it was finished, or taken over, meanwhile.

    Args:
        bundle: As ``bundles.keep`` takes it.
    """
    if connection.execute(articles.update().where(_is_reserved_as(row)).values(**values)).rowcount == 0:
        return False
    bundles.keep(connection, article_pk=row.id, **bundle)
    return True


def _is_reserved_as(row: Row) -> sa.ColumnElement[bool]:
    reserved = sa.and_(articles.c.id == row.id, articles.c.archive.is_(None))
    return sa.and_(reserved, articles.c.extracted_at == row.extracted_at)


def hand_over(connection: Connection, bodies: Mapping[int, bytes], *, priority: int, now: datetime) -> set[int]:
    """Give finished rows to the line, which publishes them. Returns: the ids of those that were still at rest.

    Args:
        bodies: Row id -> packed article record.
    """
    statement = (
        articles.update()
        .where(articles.c.id.in_(list(bodies)), articles.c.state == State.IMPORTED, articles.c.archive.is_not(None))
        .values(state=State.ARCHIVED, ended_at=None, ready_at=now, attempts=0, priority=priority, spooled=True)
        .returning(articles.c.id)
    )
    handed = set(connection.scalars(statement))
    save_records(connection, {article_pk: body for article_pk, body in bodies.items() if article_pk in handed})
    return handed
