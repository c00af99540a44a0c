"""Runs over the archive: which articles they look at, how far they are, and the revisions that come of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from worker.ledger import hosts
from worker.ledger.articles import discovered_within, lock
from worker.ledger.session import insert_new
from worker.ledger.tables import AFTER_THE_NEWS, Row, articles, entries, feeds, records, reprocessings
from worker.model import OPEN_STATES, State

STANDING = (State.PUBLISHED, State.IMPORTED)  # revisions that readers have


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Which articles a run is about; None and empty: any."""

    since: datetime | None = None  # discovered since
    until: datetime | None = None  # discovered before
    feed: str | None = None  # slug
    article_ids: tuple[str, ...] = ()
    with_rejected: bool = True  # also what was no article when its page was read


# ---------------------------------------------------------------- which articles

_newer = articles.alias("newer")
_is_newer = sa.and_(_newer.c.article_id == articles.c.article_id, _newer.c.revision > articles.c.revision)


def _of_newer(value: sa.ColumnElement[Any], *conditions: sa.ColumnElement[bool]) -> sa.ScalarSelect[Any]:
    return sa.select(value).where(_is_newer, *conditions).correlate(articles).scalar_subquery()


_CHOSEN = (
    sa.select(
        articles,
        feeds.c.slug,
        sa.exists()
        .where(_is_newer, _newer.c.state.in_([*OPEN_STATES, State.QUARANTINED]))
        .correlate(articles)
        .label("in_hand"),  # a later revision is on its way, or stuck
        _of_newer(sa.func.max(_newer.c.revision)).label("last_revision"),  # None: this one
        _of_newer(sa.func.max(_newer.c.ended_at)).label("asked_at"),  # when a re-fetch last brought nothing new
        _of_newer(sa.func.max(_newer.c.archived_at)).label("reached_at"),  # but the page, which is kept since
    )
    .join(feeds, feeds.c.id == articles.c.feed_id)
    .order_by(articles.c.id)
)


def _matching(selection: Selection) -> sa.ColumnElement[bool]:
    """The newest revision that readers have of each article, and pages that were read and found to be none."""
    matching = sa.and_(articles.c.state.in_(STANDING), articles.c.archive.is_not(None))
    if selection.with_rejected:
        problem = articles.c.exchange["problem"].as_string()
        was_read = sa.or_(problem.is_(None), articles.c.url.is_(None))
        held = sa.and_(articles.c.spooled, articles.c.exchange.is_not(None), was_read)
        rejected = sa.and_(articles.c.state == State.REJECTED, articles.c.reason != "dropped")
        matching = sa.or_(matching, sa.and_(rejected, held))
    replaced = sa.exists().where(_is_newer, _newer.c.state.in_(STANDING)).correlate(articles)
    conditions = [matching, ~replaced, *discovered_within(selection.since, selection.until, selection.feed)]
    if selection.article_ids:
        conditions.append(articles.c.article_id.in_(selection.article_ids))
    return sa.and_(*conditions)


def chosen(connection: Connection, selection: Selection, *, after: int, up_to: int, limit: int) -> list[int]:
    """The next rows of a run, by id. Many at a time: either database may sort all that is left to find them."""
    statement = (
        sa.select(articles.c.id)
        .join(feeds, feeds.c.id == articles.c.feed_id)
        .where(_matching(selection), articles.c.id > after, articles.c.id <= up_to)
        .order_by(articles.c.id)
        .limit(limit)
    )
    return list(connection.scalars(statement))


def load(connection: Connection, selection: Selection, ids: Sequence[int]) -> list[Row]:
    """Those of these rows that are to be looked at (still), by id, with what ``_CHOSEN`` adds."""
    return list(connection.execute(_CHOSEN.where(_matching(selection), articles.c.id.in_(ids))))


def count(connection: Connection, selection: Selection, *, up_to: int) -> int:
    """How many rows a run is about."""
    statement = (
        sa.select(sa.func.count())
        .select_from(articles.join(feeds, feeds.c.id == articles.c.feed_id))
        .where(_matching(selection), articles.c.id <= up_to)
    )
    return connection.scalar(statement) or 0


def last_row(connection: Connection) -> int:
    """The newest row's id: a run ends there, and so never meets its own revisions."""
    return connection.scalar(sa.select(sa.func.max(articles.c.id))) or 0


def archived_revisions(connection: Connection, article_id: str) -> list[Row]:
    """All revisions of an article that have a bundle, newest first."""
    chosen = sa.select(articles).where(articles.c.article_id == article_id, articles.c.archive.is_not(None))
    return list(connection.execute(chosen.order_by(articles.c.revision.desc())))


def standing(connection: Connection, article_ids: Sequence[str]) -> dict[str, Row]:
    """The newest revision that readers have of each article, by article id."""
    statement = (
        sa.select(articles)
        .where(articles.c.article_id.in_(article_ids), articles.c.state.in_(STANDING))
        .order_by(articles.c.revision)
    )
    return {row.article_id: row for row in connection.execute(statement)}


def never_published(connection: Connection, rows: Sequence[Row]) -> set[int]:
    """Those of these later revisions whose article nobody asked to publish."""
    later = {row.article_id: row.id for row in rows if row.revision > 1}
    if not later:
        return set()
    found = standing(connection, list(later))
    return {article_pk for article_id, article_pk in later.items() if _is_only_imported(found.get(article_id))}


def _is_only_imported(row: Row | None) -> bool:
    return row is not None and row.state == State.IMPORTED


# ---------------------------------------------------------------- revisions


@dataclass(frozen=True, slots=True, kw_only=True)
class Revision:
    """A revision to be made of ``base``, the newest one that readers have."""

    base: Row
    values: Mapping[str, Any]  # of its row, beside what all revisions of an article share
    record: bytes | None  # packed; None: it is still to be read
    entry: bytes | None  # packed; None: the feed said nothing


def add_revisions(
    connection: Connection, selection: Selection, revisions: Sequence[Revision], *, now: datetime
) -> list[Revision]:
    """Put revisions into the line, behind all news. Returns: those that are in it now.

    One whose article got another revision since it was looked at is left out: the other is the newer one.
    """
    lock(connection, [one.base.id for one in revisions])
    current = {row.id: row for row in load(connection, selection, [one.base.id for one in revisions])}
    fresh = [
        (one, _revision_row(one, current[one.base.id], now))
        for one in revisions
        if one.base.id in current and not current[one.base.id].in_hand
    ]
    asked = [values["host"] for _, values in fresh if values["state"] == State.DISCOVERED]
    hosts.ensure(connection, asked, now=now)
    rows = [values for _, values in fresh]
    inserted = insert_new(connection, articles, rows, returning=[articles.c.id, articles.c.article_id])
    new_ids = {row.article_id: row.id for row in inserted}
    added = [(new_ids[one.base.article_id], one) for one, _ in fresh if one.base.article_id in new_ids]
    for table, bodies in (
        (records, [{"id": new_id, "body": one.record} for new_id, one in added if one.record is not None]),
        (entries, [{"id": new_id, "body": one.entry} for new_id, one in added if one.entry is not None]),
    ):
        if bodies:
            connection.execute(table.insert(), bodies)
    return [one for _, one in added]


_SHARED = ("article_id", "feed_id", "url", "guid", "title", "host", "feed_date", "discovered_at", "text_sha256")
_EMPTY = dict.fromkeys(("downloaded_at", "extracted_at", "pictured_at", "exchange", "picture", "change"))


def _revision_row(one: Revision, current: Row, now: datetime) -> dict[str, Any]:
    """All rows have the same columns: they are inserted together."""
    return {
        **{name: getattr(current, name) for name in _SHARED},
        **_EMPTY,
        "revision": (current.last_revision or current.revision) + 1,
        "priority": AFTER_THE_NEWS,
        "ready_at": now,
        "troubles": [],
        "spooled": True,  # its record is swept like any other
        **one.values,
    }


def put_behind(connection: Connection, ids: Sequence[int]) -> None:
    """Let these rows wait until no news does."""
    connection.execute(articles.update().where(articles.c.id.in_(ids)).values(priority=AFTER_THE_NEWS))


def rewritten(connection: Connection, archives: Mapping[int, Mapping[str, Any]]) -> None:
    """Note what was written again for ended rows, by row id."""
    for article_pk, archive in archives.items():
        connection.execute(articles.update().where(articles.c.id == article_pk).values(archive=archive))


# ---------------------------------------------------------------- how far a run is


def unfinished(connection: Connection, wanted: str) -> Row | None:
    """The last run that was asked for in the same words and did not come to its end."""
    statement = (
        sa.select(reprocessings)
        .where(reprocessings.c.wanted == wanted, reprocessings.c.ended_at.is_(None))
        .order_by(reprocessings.c.id.desc())
        .limit(1)
    )
    return connection.execute(statement).one_or_none()


def begin(connection: Connection, wanted: str, *, tally: Mapping[str, Any], now: datetime) -> Row:
    """A new run; whoever left one with the same words unfinished will not go on with that."""
    connection.execute(
        reprocessings.update()
        .where(reprocessings.c.wanted == wanted, reprocessings.c.ended_at.is_(None))
        .values(ended_at=now)
    )
    started = reprocessings.insert().values(wanted=wanted, started_at=now, last_pk=0, tally=dict(tally))
    return connection.execute(started.returning(reprocessings)).one()


def keep(connection: Connection, run_id: int, *, last_pk: int, tally: Mapping[str, Any]) -> None:
    """How far it is: rows up to ``last_pk`` are done."""
    connection.execute(
        reprocessings.update().where(reprocessings.c.id == run_id).values(last_pk=last_pk, tally=dict(tally))
    )


def finish(connection: Connection, run_id: int, *, now: datetime) -> None:
    connection.execute(reprocessings.update().where(reprocessings.c.id == run_id).values(ended_at=now))
