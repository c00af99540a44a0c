"""The registry of feeds: what operators said about them, and what polling learnt."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from worker.ledger.among import among
from worker.ledger.hosts import NOW, PaceOf, ensure, give_back_all_of, open_hosts, opened, reserve
from worker.ledger.many import insert_many, update_many
from worker.ledger.session import insert_new, named
from worker.ledger.tables import Id, Moment, Row, articles, feeds, hosts, leases, polls, publications, sightings, slots

RHYTHM_KEPT = 50


def all_feeds(connection: Connection, *, with_removed: bool = False) -> list[Row]:
    statement = sa.select(feeds).order_by(feeds.c.slug)
    if not with_removed:
        statement = statement.where(feeds.c.removed_at.is_(None))
    return list(connection.execute(statement))


def by_slug(connection: Connection, slug: str) -> Row | None:
    """The feed of that name, also when it was removed."""
    return connection.execute(sa.select(feeds).where(feeds.c.slug == slug)).one_or_none()


def following(connection: Connection, url: str) -> str | None:
    """The slug of a feed with this address, if one is followed."""
    chosen = sa.select(feeds.c.slug).where(feeds.c.url == url, feeds.c.removed_at.is_(None)).limit(1)
    found: str | None = connection.scalar(chosen)
    return found


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
    if "url" in values:  # a poll of the old one that is under way must not save its validators
        connection.execute(leases.delete().where(leases.c.feed_id == feed_id))
    connection.execute(feeds.update().where(feeds.c.id == feed_id).values(**values))


def learn_full_text(connection: Connection, feed_id: int, tally: Mapping[str, float]) -> None:
    """Keep what the pages of a feed's articles said about its texts."""
    connection.execute(feeds.update().where(feeds.c.id == feed_id).values(full_text=dict(tally)))


NEW_URL = {
    "etag": None,
    "last_modified": None,
    "body_sha256": None,
    "gone_at": None,
    "failures": 0,
    "error": None,
    "moved": None,
    "moved_from": None,
    "sitemaps": None,
    "hub_url": None,
    "topic_url": None,
}


_FOLLOWED = sa.and_(feeds.c.enabled, feeds.c.removed_at.is_(None), feeds.c.gone_at.is_(None))
_LEASED = sa.exists().where(leases.c.feed_id == feeds.c.id, leases.c.until > NOW)
_MAY_POLL = sa.and_(_FOLLOWED, feeds.c.due_at <= NOW, sa.not_(_LEASED))
_CHOSEN = among(feeds.c.slug, "slugs")
_IDS = among(feeds.c.id, "ids")

LOOKED_AT = 4  # feeds, for each one that may be started: those due longest are mostly at different sites


_SITE = hosts.alias("site")
_MANY = sa.bindparam("many", type_=Id)
_MOST = sa.bindparam("most", type_=Id)


def _of_sites(wanted: sa.ColumnElement[bool], at: sa.Select[tuple[str]]) -> sa.Select[Any]:
    """Those of the sites ``at`` that may be asked now, with the ``first_id`` of their wanted feeds.

    Of the ``most`` that are free longest: which feed a site begins with is looked up for these only.
    """
    free = (
        sa.select(_SITE.c.host)
        .where(
            _SITE.c.host.in_(at),
            _SITE.c.next_start_at <= NOW,
            sa.or_(_SITE.c.blocked_until.is_(None), _SITE.c.blocked_until <= NOW),
        )
        .order_by(_SITE.c.next_start_at)
        .limit(_MOST)
    )
    first = (
        sa.select(feeds.c.id)
        .where(feeds.c.host == hosts.c.host, wanted)
        .order_by(feeds.c.priority.desc(), feeds.c.due_at)
        .limit(1)
        .correlate(hosts)
        .scalar_subquery()
    )
    return open_hosts(first, hosts.c.host.in_(free))


# Built once: putting these together takes longer than running them.
_LONGEST = sa.select(feeds.c.host).where(_MAY_POLL).order_by(feeds.c.due_at, feeds.c.id).limit(_MANY)
_CHOSEN_TOO = sa.and_(_MAY_POLL, _CHOSEN)
_OF_LONGEST = _of_sites(_MAY_POLL, _LONGEST)
_OF_ALL = _of_sites(_MAY_POLL, sa.select(feeds.c.host).where(_MAY_POLL))
_OF_CHOSEN = _of_sites(_CHOSEN_TOO, sa.select(feeds.c.host).where(_CHOSEN_TOO))
_HOW_MANY = sa.select(sa.func.count()).select_from(_LONGEST.subquery())
_CLAIMED = sa.select(feeds.c.id, feeds.c.slug, feeds.c.url, feeds.c.host).where(_IDS).order_by(feeds.c.due_at)


def due(
    connection: Connection, *, now: datetime, limit: int, pace_of: PaceOf, slugs: Sequence[str] | None = None
) -> list[Row]:
    """One due feed for each site that may be asked now; moves the sites' next start (call under the dispatch lock).

    Looks at the feeds that are due longest; at all of them, from the sites that are free longest, only where that finds
    too few: a site with very many feeds must not hide the others.

    Returns: id, slug, url and host of the feeds, those that are due longest first.
    """
    if limit <= 0:
        return []
    given = {"now": now, "many": limit * LOOKED_AT, "most": limit + limit // 4 + 1}  # some may have no place left
    if slugs is not None:
        picks = opened(connection, _OF_CHOSEN, {**given, "slugs": list(slugs)}, pace_of=pace_of, limit=limit)
    else:
        picks = opened(connection, _OF_LONGEST, given, pace_of=pace_of, limit=limit)
        if len(picks) < limit and connection.scalar(_HOW_MANY, given) == given["many"]:
            picks = opened(connection, _OF_ALL, given, pace_of=pace_of, limit=limit)
    if not picks:
        return []
    reserve(connection, picks, now=now)
    return named(connection.execute(_CLAIMED, {"ids": [row.first_id for row, _ in picks]}))


def lease(connection: Connection, groups: Mapping[str, Sequence[Row]], *, until: datetime) -> None:
    """Put feeds under tokens, with a slot at each one's site (call under the dispatch lock)."""
    held_by = [(token, row) for token, rows in groups.items() for row in rows]
    if held_by:
        connection.execute(_FORGET_LEASES, {"ids": [row.id for _, row in held_by]})  # run out
    insert_many(connection, leases, [{"feed_id": row.id, "token": token, "until": until} for token, row in held_by])
    places = [{"holder": holder(token, row.id), "host": row.host, "expires_at": until} for token, row in held_by]
    insert_many(connection, slots, places)


_LEASES = among(leases.c.feed_id, "ids")
_FORGET_LEASES = leases.delete().where(_LEASES)
_UNLEASE = leases.delete().where(_LEASES, leases.c.token == sa.bindparam("ours"))


def unlease(connection: Connection, token: str, ids: Sequence[int]) -> None:
    """Take a lease back whose poll could not be started: its feeds are due as before, their sites free."""
    connection.execute(_UNLEASE, {"ids": list(ids), "ours": token})
    give_back_all_of(connection, [holder(token, feed_id) for feed_id in ids])


def in_flight(connection: Connection, *, now: datetime) -> int:
    """Feeds that are being polled, or wait for it in a queue."""
    return connection.scalar(sa.select(sa.func.count()).where(leases.c.until > now)) or 0


def holder(token: str, feed_id: int) -> str:
    """Who holds a poll's slot."""
    return f"{token}:f{feed_id}"


_NOT_FOR_POLLS = {  # what a poll needs not know of its feed
    "language", "fulltext", "document_body", "image_proxy", "origin", "created_at", "removed_at", "full_text",
    "sequence",
}  # fmt: skip
_FOR_POLLS = sa.select(*(column for column in feeds.c if column.name not in _NOT_FOR_POLLS)).where(_IDS)
_BEGIN = (
    leases.update()
    .where(_LEASES, leases.c.token == sa.bindparam("ours"))
    .values(token=sa.bindparam("begun"), until=sa.bindparam("at"))
    .returning(leases.c.feed_id)
)


def begin(connection: Connection, ids: Sequence[int], *, token: str, until: datetime) -> list[Row]:
    """The feeds that are still ours to poll.

    A begun poll changes its token, so that the same message delivered again finds nothing.
    """
    given = {"ids": list(ids), "ours": token, "begun": begun(token), "at": until}
    ours = connection.scalars(_BEGIN, given).all()
    return named(connection.execute(_FOR_POLLS, {"ids": ours})) if ours else []


_BEGUN = "at:"


def begun(token: str) -> str:
    """The token of a lease at work."""
    return f"{_BEGUN}{token[:32]}"


def is_begun(connection: Connection, feed_id: int, *, now: datetime) -> bool:
    """Is a poll of the feed under way, begun and not only waiting in a queue?"""
    token = connection.scalar(sa.select(leases.c.token).where(leases.c.feed_id == feed_id, leases.c.until > now))
    return token is not None and token.startswith(_BEGUN)


_HELD = (
    sa.select(feeds.c.id, feeds.c.asked_at)
    .join(leases, leases.c.feed_id == feeds.c.id)
    .where(_LEASES, leases.c.token == sa.bindparam("ours"))
    .order_by(feeds.c.id)
    .with_for_update()
)


def held(connection: Connection, ids: Sequence[int], *, token: str) -> dict[int, datetime | None]:
    """Those of the feeds whose lease is still this poll's, locked; with the moment when a person asked for a poll."""
    found = connection.execute(_HELD, {"ids": list(ids), "ours": begun(token)}).all()
    return {feed_id: asked_at for feed_id, asked_at in found}  # noqa: C416 - a pair, to mypy, only once it is taken apart


@dataclass(frozen=True, slots=True, kw_only=True)
class Learnt:
    """What a poll leaves behind.

    ``values``: the feed's columns; ``line``: of its history (None: a poll that is only counted); ``asked_again``: a
    person asked for a poll while this one was under way, and gets another one.
    """

    feed_id: int
    values: Mapping[str, Any]
    lines: Sequence[Mapping[str, Any]] = ()
    asked_again: bool = False


def save_polls(connection: Connection, learnt: Sequence[Learnt]) -> None:
    """Keep what polls learnt, give their leases back and write their history."""
    alike: dict[tuple[str, ...], list[dict[str, Any]]] = defaultdict(list)
    for one in learnt:
        values = {name: value for name, value in one.values.items() if not (one.asked_again and name in ASKED)}
        alike[tuple(values)].append({"id": one.feed_id, **values})
    for rows in alike.values():
        update_many(connection, feeds, rows)
    if learnt:
        connection.execute(_FORGET_LEASES, {"ids": [one.feed_id for one in learnt]})
    lines = [{**_LINE, "feed_id": one.feed_id, **line} for one in learnt for line in one.lines]
    if lines:
        connection.execute(polls.insert(), lines)


_LINE = {"since": None, "times": 1, "status": None, "entries": 0, "new": 0, "detail": None, "document": None}
ASKED = frozenset({"asked_at", "unconditional", "due_at", "gone_at"})  # what a person's wish for a poll is made of


def let_go(
    connection: Connection, feed_id: int, *, token: str, due_at: datetime, values: Mapping[str, Any] | None = None
) -> None:
    """Give a feed back unpolled, as it was asked for."""
    if connection.execute(_UNLEASE, {"ids": [feed_id], "ours": begun(token)}).rowcount:
        connection.execute(feeds.update().where(feeds.c.id == feed_id).values(due_at=due_at, **(values or {})))


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


SOUGHT_AT_ONCE = 500
_SIGHTING = [column for column in sightings.c if column.name not in {"feed_id", "seen_at"}]
_KNOWN_BY = {
    name: sa.select(*_SIGHTING).where(sightings.c.feed_id == sa.bindparam("of"), among(sightings.c[name], "keys"))
    for name in ("entry_key", "guid_key", "fingerprint")
}


def sightings_by(connection: Connection, feed_id: int, name: str, keys: Sequence[str]) -> list[Row]:
    """What this feed showed before under any of these, by ``name``: entry_key, guid_key or fingerprint."""
    return [
        row
        for start in range(0, len(keys), SOUGHT_AT_ONCE)
        for row in connection.execute(
            _KNOWN_BY[name], {"of": feed_id, "keys": list(keys[start : start + SOUGHT_AT_ONCE])}
        )
    ]


def insert_sightings(connection: Connection, rows: Sequence[Mapping[str, Any]]) -> int:
    """Remember what a feed showed. Returns: how many sightings are new."""
    return len(insert_new(connection, sightings, rows, returning=[sightings.c.entry_key]))


def has_sightings(connection: Connection, feed_id: int) -> bool:
    chosen = sa.select(sightings.c.entry_key).where(sightings.c.feed_id == feed_id).limit(1)
    return connection.execute(chosen).one_or_none() is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Poll:
    """A line of a feed's history: one poll, or several in a row that ended alike, the last one ``at``."""

    at: datetime
    since: datetime | None
    times: int
    outcome: str
    status: int | None
    entries: int
    new: int
    detail: str | None
    document: str | None


_POLL = [polls.c[name] for name in Poll.__dataclass_fields__]


def polls_of(connection: Connection, feed_id: int, *, limit: int = 20) -> list[Poll]:
    """The last polls of a feed, newest first."""
    chosen = sa.select(*_POLL).where(polls.c.feed_id == feed_id).order_by(polls.c.at.desc(), polls.c.id.desc())
    told = [Poll(**row._asdict()) for row in connection.execute(chosen.limit(limit))]
    feed = connection.execute(sa.select(feeds).where(feeds.c.id == feed_id)).one()
    return [*(Poll(**{**_LINE, **line}) for line in quiet_lines(feed)), *told][:limit]


def quiet_lines(feed: Row) -> list[dict[str, Any]]:
    """The line of history of the polls in a row that brought nothing, the last one included; none: there are none."""
    if not feed.quiet_polls:
        return []
    since = feed.quiet_since if feed.quiet_polls > 1 else None
    return [
        {
            "at": feed.polled_at,
            "since": since,
            "times": feed.quiet_polls,
            "outcome": feed.outcome,
            "status": feed.status,
        }
    ]


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


_LATER = sa.select(sa.func.min(feeds.c.due_at)).where(
    _FOLLOWED, feeds.c.due_at > NOW, feeds.c.due_at <= sa.bindparam("horizon", type_=Moment())
)
_PACED = sa.select(sa.func.min(hosts.c.next_start_at)).where(
    hosts.c.next_start_at > NOW,
    hosts.c.next_start_at <= sa.bindparam("horizon", type_=Moment()),
    hosts.c.host.in_(_LONGEST),
)


def next_due_at(connection: Connection, *, now: datetime, horizon: datetime, looked_at: int) -> datetime | None:
    """The next moment before ``horizon`` at which a feed is due, or the site free of one of those due longest."""
    moments = (
        connection.scalar(_LATER, {"now": now, "horizon": horizon}),
        connection.scalar(_PACED, {"now": now, "horizon": horizon, "many": looked_at * LOOKED_AT}),
    )
    return min((moment for moment in moments if moment is not None), default=None)
