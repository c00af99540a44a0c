"""What the archive keeps, asked for by people: articles with their bundles by time, feed and id; feed documents."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from worker.ledger.articles import discovered_within
from worker.ledger.tables import Row, articles, bundles, feeds, polls, warcs


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """Which articles are meant; None: any. Moments are of discovery, ``until`` excluded, aware, UTC."""

    since: datetime | None = None
    until: datetime | None = None
    feed: str | None = None  # slug
    pks: tuple[int, ...] | None = None


def _wanted(span: Span) -> sa.ColumnElement[bool]:
    told = [articles.c.archive.is_not(None), *discovered_within(span.since, span.until, span.feed)]
    if span.pks is not None:
        told.append(articles.c.id.in_(span.pks))
    return sa.and_(*told)


def count(connection: Connection, span: Span) -> int:
    """How many archived (article, revision) rows are meant."""
    statement = sa.select(sa.func.count()).select_from(articles).join(feeds, feeds.c.id == articles.c.feed_id)
    return connection.scalar(statement.where(_wanted(span))) or 0


def names(connection: Connection, span: Span, *, after: int, limit: int) -> list[Row]:
    """(id, article_id, revision) of archived rows beyond ``after``, by id."""
    statement = (
        sa.select(articles.c.id, articles.c.article_id, articles.c.revision)
        .join(feeds, feeds.c.id == articles.c.feed_id)
        .where(_wanted(span), articles.c.id > after)
        .order_by(articles.c.id)
        .limit(limit)
    )
    return list(connection.execute(statement))


def archived(connection: Connection, span: Span, *, after: int, limit: int) -> list[Row]:
    """Archived rows beyond ``after``, by id, each with its feed's slug and title.

    ``is_newest``: no later revision of the article is archived, so that the readable document is this one's.
    """
    later = articles.alias()
    is_newest = sa.not_(
        sa.exists().where(
            later.c.article_id == articles.c.article_id,
            later.c.revision > articles.c.revision,
            later.c.archive.is_not(None),
        )
    )
    statement = (
        sa.select(
            articles.c.id,
            articles.c.article_id,
            articles.c.revision,
            articles.c.url,
            articles.c.title,
            articles.c.feed_date,
            articles.c.discovered_at,
            articles.c.picture,
            articles.c.archive,
            feeds.c.slug,
            feeds.c.title.label("feed_title"),
            is_newest.label("is_newest"),
        )
        .join(feeds, feeds.c.id == articles.c.feed_id)
        .where(_wanted(span), articles.c.id > after)
        .order_by(articles.c.id)
        .limit(limit)
    )
    return list(connection.execute(statement))


def bundles_by_key(connection: Connection, keys: Sequence[str]) -> dict[str, Row]:
    """What is known of these bundles; one that was written before bundles were noted is not there."""
    return {row.key: row for row in connection.execute(sa.select(bundles).where(bundles.c.key.in_(keys)))}


def feed_bundles(connection: Connection, span: Span, *, after: str, limit: int) -> list[Row]:
    """Bundles of feed documents beyond the key ``after``, by key; of a span the ones kept in it."""
    told: list[sa.ColumnElement[bool]] = [bundles.c.article_pk.is_(None), bundles.c.key > after]
    if span.since is not None:
        told.append(bundles.c.kept_at >= span.since)
    if span.until is not None:
        told.append(bundles.c.kept_at < span.until)
    if span.feed is not None:
        told.append(bundles.c.key.startswith(f"feeds/{span.feed}/", autoescape=True))
    return list(connection.execute(sa.select(bundles).where(*told).order_by(bundles.c.key).limit(limit)))


def polled_documents(connection: Connection, span: Span, *, after: int, limit: int) -> list[Row]:
    """(id, document) of polls beyond ``after`` whose document is not a bundle: kept as it came, before bundles were."""
    told: list[sa.ColumnElement[bool]] = [
        polls.c.id > after,
        polls.c.document.is_not(None),
        sa.not_(sa.exists().where(bundles.c.key == polls.c.document)),
    ]
    if span.since is not None:
        told.append(polls.c.at >= span.since)
    if span.until is not None:
        told.append(polls.c.at < span.until)
    if span.feed is not None:
        told.append(feeds.c.slug == span.feed)
    statement = (
        sa.select(polls.c.id, polls.c.document)
        .join(feeds, feeds.c.id == polls.c.feed_id)
        .where(*told)
        .order_by(polls.c.id)
        .limit(limit)
    )
    return list(connection.execute(statement))


def large_files(connection: Connection) -> list[Row]:
    """(key, bytes) of the large files that bundles are read in."""
    statement = sa.select(warcs.c.key, warcs.c.bytes).where(warcs.c.kept_at.is_not(None)).order_by(warcs.c.key)
    return list(connection.execute(statement))


def feed_titles(connection: Connection) -> Mapping[str, Any]:
    """Slug -> title or None, of every feed that ever was."""
    return {row.slug: row.title for row in connection.execute(sa.select(feeds.c.slug, feeds.c.title))}
