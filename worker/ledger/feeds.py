"""The registry of feeds: what operators said about them, and what polling learnt."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from worker.ledger.hosts import PaceOf, ensure, open_hosts, reserve
from worker.ledger.session import insert_new
from worker.ledger.tables import Row, articles, feeds, hosts, polls, publications, sightings, slots

RHYTHM_KEPT = 50


def all_feeds(connection: Connection, *, with_removed: bool = False) -> list[Row]:
    statement = sa.select(feeds).order_by(feeds.c.slug)
    if not with_removed:
        statement = statement.where(feeds.c.removed_at.is_(None))
    return list(connection.execute(statement))


def by_slug(connection: Connection, slug: str) -> Row | None:
    """The feed of that name, also when it was removed."""
    return connection.execute(sa.select(feeds).where(feeds.c.slug == slug)).one_or_none()


def by_ids(connection: Connection, ids: Sequence[int]) -> dict[int, Row]:
    return {row.id: row for row in connection.execute(sa.select(feeds).where(feeds.c.id.in_(ids)))}


def insert(connection: Connection, values: Mapping[str, Any], *, origin: str, now: datetime) -> int:
    """Add a feed, due at once. Returns: its id. Raises: sqlalchemy IntegrityError: the slug is taken."""
    ensure(connection, [values["host"]], now=now)
    fresh = {"origin": origin, "created_at": now, "due_at": now, "rhythm": [], "wishes": {}}
    return int(connection.execute(feeds.insert().values(**values, **fresh).returning(feeds.c.id)).scalar_one())


def change(connection: Connection, feed_id: int, values: Mapping[str, Any], *, now: datetime) -> None:
    """Change what an operator said. A new URL starts without the old one's validators."""
    if "host" in values:
        ensure(connection, [values["host"]], now=now)
    connection.execute(feeds.update().where(feeds.c.id == feed_id).values(**values))


NEW_URL = {
    "lease_token": None,  # a poll of the old one that is under way must not save its validators
    "lease_until": None,
    "etag": None,
    "last_modified": None,
    "body_sha256": None,
    "gone_at": None,
    "failures": 0,
    "error": None,
}


def _may_poll(now: datetime) -> sa.ColumnElement[bool]:
    return sa.and_(
        feeds.c.enabled,
        feeds.c.removed_at.is_(None),
        feeds.c.gone_at.is_(None),
        feeds.c.due_at <= now,
        sa.or_(feeds.c.lease_until.is_(None), feeds.c.lease_until <= now),
    )


def due(
    connection: Connection, *, now: datetime, limit: int, pace_of: PaceOf, slugs: Sequence[str] | None = None
) -> list[Row]:
    """One due feed for each site that may be asked now; moves the sites' next start (call under the dispatch lock)."""
    wanted = _may_poll(now)
    if slugs is not None:
        wanted = sa.and_(wanted, feeds.c.slug.in_(slugs))
    first = (
        sa.select(feeds.c.id)
        .where(feeds.c.host == hosts.c.host, wanted)
        .order_by(feeds.c.priority.desc(), feeds.c.due_at)
        .limit(1)
        .correlate(hosts)
        .scalar_subquery()
    )
    has_one = hosts.c.host.in_(sa.select(feeds.c.host).where(wanted))
    picks = open_hosts(connection, first, has_one, now=now, pace_of=pace_of)[: max(0, limit)]
    if not picks:
        return []
    reserve(connection, picks, now=now)
    chosen = sa.select(feeds).where(feeds.c.id.in_([row.first_id for row, _ in picks])).order_by(feeds.c.due_at)
    return list(connection.execute(chosen))


def lease(connection: Connection, rows: Sequence[Row], *, token: str, until: datetime, slot_until: datetime) -> None:
    """Put feeds under a token, with a slot at each one's site (call under the dispatch lock)."""
    ids = [row.id for row in rows]
    connection.execute(feeds.update().where(feeds.c.id.in_(ids)).values(lease_token=token, lease_until=until))
    connection.execute(
        slots.insert(),
        [{"holder": holder(token, row.id), "host": row.host, "expires_at": slot_until} for row in rows],
    )


def unlease(connection: Connection, token: str, ids: Sequence[int]) -> None:
    """Take a lease back whose poll could not be started: its feeds are due as before, their sites free."""
    connection.execute(
        feeds.update()
        .where(feeds.c.id.in_(ids), feeds.c.lease_token == token)
        .values(lease_token=None, lease_until=None)
    )
    connection.execute(slots.delete().where(slots.c.holder.in_([holder(token, feed_id) for feed_id in ids])))


def in_flight(connection: Connection, *, now: datetime) -> int:
    """Feeds that are being polled, or wait for it in a queue."""
    return connection.scalar(sa.select(sa.func.count()).where(feeds.c.lease_until > now)) or 0


def holder(token: str, feed_id: int) -> str:
    """Who holds a poll's slot."""
    return f"{token}:f{feed_id}"


def begin(connection: Connection, ids: Sequence[int], *, token: str, until: datetime) -> list[Row]:
    """The feeds that are still ours to poll.

    A begun poll changes its token, so that the same message delivered again finds nothing.
    """
    statement = (
        feeds.update()
        .where(feeds.c.id.in_(ids), feeds.c.lease_token == token)
        .values(lease_token=begun(token), lease_until=until)
        .returning(feeds)
    )
    return list(connection.execute(statement))


def begun(token: str) -> str:
    """The token of a lease at work."""
    return f"at:{token[:32]}"


def held(connection: Connection, feed_id: int, *, token: str) -> Row | None:
    """The feed's row as it is now, locked, if its lease is still this poll's."""
    statement = sa.select(feeds).where(feeds.c.id == feed_id, feeds.c.lease_token == begun(token)).with_for_update()
    return connection.execute(statement).one_or_none()


def save_poll(
    connection: Connection,
    feed_id: int,
    values: Mapping[str, Any],
    poll: Mapping[str, Any],
    *,
    asked_again: bool = False,
) -> None:
    """Keep what a poll learnt, give its lease back and write its line of history.

    ``asked_again``: a person asked for a poll while this one was under way, and gets another one.
    """
    learnt: dict[str, Any] = {"lease_token": None, "lease_until": None, "asked_at": None, "unconditional": False}
    learnt |= values
    if asked_again:
        learnt = {name: value for name, value in learnt.items() if name not in ASKED}
    connection.execute(feeds.update().where(feeds.c.id == feed_id).values(**learnt))
    connection.execute(polls.insert().values(feed_id=feed_id, **poll))


ASKED = frozenset({"asked_at", "unconditional", "due_at", "gone_at"})  # what a person's wish for a poll is made of


def let_go(connection: Connection, feed_id: int, *, token: str, due_at: datetime) -> None:
    """Give a feed back unpolled, as it was asked for."""
    connection.execute(
        feeds.update()
        .where(feeds.c.id == feed_id, feeds.c.lease_token == begun(token))
        .values(lease_token=None, lease_until=None, due_at=due_at)
    )


def ask(connection: Connection, slugs: Sequence[str] | None, *, unconditional: bool, now: datetime) -> list[str]:
    """Make feeds due now, all of them when no slug is given. A gone feed is tried again.

    Returns: the slugs that will be polled: disabled and removed feeds are not.
    """
    statement = (
        feeds.update()
        .where(feeds.c.enabled, feeds.c.removed_at.is_(None))
        .values(
            due_at=now,
            asked_at=now,
            gone_at=None,
            unconditional=sa.or_(feeds.c.unconditional, sa.literal(unconditional)),
        )
        .returning(feeds.c.slug)
    )
    if slugs is not None:
        statement = statement.where(feeds.c.slug.in_(slugs))
    return sorted(connection.scalars(statement))


def known_sightings(
    connection: Connection,
    feed_id: int,
    *,
    entry_keys: Sequence[str],
    guid_keys: Sequence[str],
    fingerprints: Sequence[str],
) -> list[Row]:
    """What this feed showed before under any of these."""
    found: dict[str, Row] = {}
    wanted = (
        (sightings.c.entry_key, entry_keys),
        (sightings.c.guid_key, guid_keys),
        (sightings.c.fingerprint, fingerprints),
    )
    for column, keys in wanted:
        for start in range(0, len(keys), 500):
            chosen = sa.select(sightings).where(sightings.c.feed_id == feed_id, column.in_(keys[start : start + 500]))
            found.update((row.entry_key, row) for row in connection.execute(chosen))
    return list(found.values())


def insert_sightings(connection: Connection, rows: Sequence[Mapping[str, Any]]) -> int:
    """Remember what a feed showed. Returns: how many sightings are new."""
    return len(insert_new(connection, sightings, rows, returning=[sightings.c.entry_key]))


def has_sightings(connection: Connection, feed_id: int) -> bool:
    chosen = sa.select(sightings.c.entry_key).where(sightings.c.feed_id == feed_id).limit(1)
    return connection.execute(chosen).one_or_none() is not None


def polls_of(connection: Connection, feed_id: int, *, limit: int = 20) -> list[Row]:
    """The last polls of a feed, newest first."""
    chosen = sa.select(polls).where(polls.c.feed_id == feed_id).order_by(polls.c.at.desc(), polls.c.id.desc())
    return list(connection.execute(chosen.limit(limit)))


def gone_quiet(connection: Connection, *, before: datetime) -> list[Row]:
    """Feeds that showed something new before, but not since a moment, and of which nobody was told anything yet."""
    live = sa.and_(feeds.c.enabled, feeds.c.removed_at.is_(None), feeds.c.gone_at.is_(None))
    return list(connection.execute(sa.select(feeds).where(live, feeds.c.told.is_(None), feeds.c.new_at < before)))


def tell(connection: Connection, ids: Sequence[int], what: str) -> None:
    """Remember what operators are told of these feeds."""
    connection.execute(feeds.update().where(feeds.c.id.in_(ids)).values(told=what))


def prune_polls(connection: Connection, *, before: datetime) -> int:
    """Forget old lines of polling history."""
    return connection.execute(polls.delete().where(polls.c.at < before)).rowcount


def published_counts(connection: Connection) -> dict[int, tuple[int, int]]:
    """Feed id -> (articles known, messages confirmed)."""
    statement = (
        sa.select(
            articles.c.feed_id,
            sa.func.count(),
            sa.func.count(publications.c.confirmed_at),
        )
        .outerjoin(publications, publications.c.id == articles.c.id)
        .group_by(articles.c.feed_id)
    )
    return {feed_id: (known, confirmed) for feed_id, known, confirmed in connection.execute(statement)}


def next_due_at(connection: Connection, *, now: datetime, horizon: datetime) -> datetime | None:
    """The next moment before ``horizon`` at which a feed is due or its site free again, if any."""
    live = sa.and_(feeds.c.enabled, feeds.c.removed_at.is_(None), feeds.c.gone_at.is_(None))
    later = connection.scalar(
        sa.select(sa.func.min(feeds.c.due_at)).where(live, feeds.c.due_at > now, feeds.c.due_at <= horizon)
    )
    paced = connection.scalar(
        sa.select(sa.func.min(hosts.c.next_start_at)).where(
            hosts.c.next_start_at > now,
            hosts.c.next_start_at <= horizon,
            sa.exists().where(feeds.c.host == hosts.c.host, _may_poll(now)),
        )
    )
    return min((moment for moment in (later, paced) if moment is not None), default=None)
