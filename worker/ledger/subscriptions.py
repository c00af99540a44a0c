"""WebSub subscriptions: which feeds want one, which hubs are to be asked now, what hubs said and pushed.

A feed has at most one subscription in force; beside it may stand some in the state ``leaving``, of hubs that are still
to be told that it is over.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from worker.ledger.among import among
from worker.ledger.feeds import is_begun
from worker.ledger.session import insert_new
from worker.ledger.tables import Row, feeds, subscriptions

WANTED, ACTIVE, DENIED, LEAVING = "wanted", "active", "denied", "leaving"

LOOKED_AT = 16  # for each one that may be asked: those due longest are often at one hub

_IN_FORCE = subscriptions.c.state != LEAVING
_FOLLOWED = sa.and_(feeds.c.enabled, feeds.c.removed_at.is_(None), feeds.c.gone_at.is_(None))
_HAS_HUB = sa.and_(_FOLLOWED, feeds.c.hub_url.is_not(None), feeds.c.topic_url.is_not(None))


def outdated(connection: Connection, *, public_url: str, now: datetime, limit: int) -> list[Row]:
    """Subscriptions whose feed has another hub or topic by now, or is followed no more; or we live elsewhere."""
    as_advertised = sa.and_(
        _HAS_HUB,
        feeds.c.hub_url == subscriptions.c.hub_url,
        feeds.c.topic_url == subscriptions.c.topic_url,
        subscriptions.c.public_url == public_url,
    )
    statement = (
        sa.select(subscriptions)
        .where(_IN_FORCE, _is_free(now), ~sa.exists().where(feeds.c.id == subscriptions.c.feed_id, as_advertised))
        .limit(limit)
    )
    return list(connection.execute(statement))


def leave(connection: Connection, rows: Sequence[Row], *, now: datetime) -> None:
    """Have these hubs told that it is over; those that were never asked need not know."""
    still = sa.and_(subscriptions.c.id.in_([row.id for row in rows]), _IN_FORCE, _is_free(now))
    connection.execute(subscriptions.delete().where(still, subscriptions.c.asked_at.is_(None)))
    connection.execute(
        subscriptions.update().where(still).values(state=LEAVING, due_at=now, asked_at=None, failures=0, error=None)
    )


def unsubscribed_feeds(connection: Connection, *, limit: int) -> list[Row]:
    """Feeds that name a hub and have no subscription in force: id, hub_url, topic_url."""
    has_one = sa.exists().where(subscriptions.c.feed_id == feeds.c.id, _IN_FORCE)
    statement = sa.select(feeds.c.id, feeds.c.hub_url, feeds.c.topic_url).where(_HAS_HUB, ~has_one).limit(limit)
    return list(connection.execute(statement))


def want(connection: Connection, rows: Sequence[Mapping[str, Any]], *, now: datetime) -> None:
    """New subscriptions, to be asked for now; a feed that got one meanwhile keeps it."""
    fresh = [{"state": WANTED, "due_at": now, **row} for row in rows]
    insert_new(connection, subscriptions, fresh, returning=[subscriptions.c.id])


def claim(
    connection: Connection, *, now: datetime, until: datetime, limit: int, closed: Collection[str] = ()
) -> list[Row]:
    """For each hub's site one that is to be asked for now, as it was, with its feed's ``slug``; nobody else gets them
    until then.

    From now on each counts as asked, since a hub may verify before its answer is here.

    Args:
        closed: Sites that must not be asked now: what waits for them is left alone, however much it is.
    """
    is_due = sa.and_(subscriptions.c.due_at <= now, _is_free(now))
    longest = (
        sa.select(subscriptions.c.host, subscriptions.c.id)
        .where(is_due, sa.not_(_AT_SITES))
        .order_by(subscriptions.c.due_at)
        .limit(limit * LOOKED_AT)
    )
    first: dict[str, int] = {}
    for host, subscription_id in connection.execute(longest, {"sites": list(closed)}):
        first.setdefault(host, subscription_id)
    statement = (
        sa.select(subscriptions, feeds.c.slug)
        .join(feeds, feeds.c.id == subscriptions.c.feed_id)
        .where(subscriptions.c.id.in_(list(first.values())[:limit]), is_due)
        .with_for_update(of=subscriptions, skip_locked=True)
    )
    rows = list(connection.execute(statement))
    connection.execute(
        subscriptions.update()
        .where(subscriptions.c.id.in_([row.id for row in rows]))
        .values(
            lease_until=until,
            asked_at=now,
            state=sa.case((subscriptions.c.state == DENIED, WANTED), else_=subscriptions.c.state),
        )
    )
    return rows


_AT_SITES = among(subscriptions.c.host, "sites")


def _is_free(now: datetime) -> sa.ColumnElement[bool]:
    return sa.or_(subscriptions.c.lease_until.is_(None), subscriptions.c.lease_until <= now)


def held(connection: Connection, subscription_id: int, *, until: datetime) -> Row | None:
    """The row as it is now, locked, if it is still asked for under this lease."""
    statement = sa.select(subscriptions).where(
        subscriptions.c.id == subscription_id, subscriptions.c.lease_until == until
    )
    return connection.execute(statement.with_for_update()).one_or_none()


def save(connection: Connection, subscription_id: int, **values: Any) -> None:
    connection.execute(subscriptions.update().where(subscriptions.c.id == subscription_id).values(**values))


def forget(connection: Connection, ids: Sequence[int]) -> None:
    connection.execute(subscriptions.delete().where(subscriptions.c.id.in_(ids)))


def next_due_at(
    connection: Connection, *, now: datetime, horizon: datetime, closed: Collection[str]
) -> datetime | None:
    """The next moment before ``horizon`` at which a hub is to be asked that is not at one of these sites, if any."""
    statement = sa.select(sa.func.min(subscriptions.c.due_at)).where(
        subscriptions.c.due_at <= horizon, _is_free(now), sa.not_(_AT_SITES)
    )
    moment: datetime | None = connection.scalar(statement, {"sites": list(closed)})
    return moment


# ---------------------------------------------------------------- what hubs say and push


def by_callback(connection: Connection, callback: str) -> Row | None:
    """The subscription behind a callback, with its feed's ``slug``."""
    return connection.execute(_by_callback(callback)).one_or_none()


def held_by_callback(connection: Connection, callback: str) -> Row | None:
    """As ``by_callback``, locked until the transaction ends; its feed too, and first, as polls do it: no deadlock."""
    whose = sa.select(subscriptions.c.feed_id).where(subscriptions.c.callback == callback).scalar_subquery()
    connection.execute(sa.select(feeds.c.id).where(feeds.c.id == whose).with_for_update(key_share=True))
    return connection.execute(_by_callback(callback).with_for_update(of=subscriptions)).one_or_none()


def _by_callback(callback: str) -> sa.Select[*tuple[Any, ...]]:
    return (
        sa.select(subscriptions, feeds.c.slug)
        .join(feeds, feeds.c.id == subscriptions.c.feed_id)
        .where(subscriptions.c.callback == callback)
    )


def pushed(connection: Connection, row: Row, *, now: datetime, due_at: Callable[[Row], datetime], missed: int) -> bool:
    """Make the feed of a subscription (held) due, because its hub says so.

    Args:
        due_at: Its row -> when it shall be due.
        missed: The hub's standing from now on.

    Returns: False: a poll is wanted and has not begun, so this push is served by it; or the feed is followed no more.
    """
    save(connection, row.id, pushes=row.pushes + 1, missed=missed)
    feed = connection.execute(sa.select(feeds).where(feeds.c.id == row.feed_id, _FOLLOWED)).one_or_none()
    if feed is None:
        return False
    is_wanted = feed.asked_at is not None and not is_begun(connection, feed.id, now=now)
    values: dict[str, Any] = {"pushed_at": now}
    if not is_wanted:  # as a person's wish: a poll that is under way may have read the feed before the news was in it
        values |= {"asked_at": now, "due_at": due_at(feed)}
    connection.execute(feeds.update().where(feeds.c.id == row.feed_id).values(**values))
    return not is_wanted


def in_force(connection: Connection, feed_id: int) -> Row | None:
    """A feed's subscription, if it has one, with the feed's ``pushed_at``."""
    statement = (
        sa.select(subscriptions, feeds.c.pushed_at)
        .join(feeds, feeds.c.id == subscriptions.c.feed_id)
        .where(subscriptions.c.feed_id == feed_id, _IN_FORCE)
    )
    return connection.execute(statement).one_or_none()
