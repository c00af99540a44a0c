"""The article rows: found, claimed, begun, saved, let go, explained.

Three rules keep late, doubled and dead workers harmless: a claim gives rows a token; beginning a stage needs the
token, the expected state and that nobody is at it; saving needs the token, the state and the attempt it began with.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from worker.ledger.among import among
from worker.ledger.hosts import NOW, Pace, PaceOf, ensure, open_hosts, opened, reserve
from worker.ledger.session import insert_new
from worker.ledger.tables import (
    AFTER_THE_NEWS,
    Row,
    aliases,
    articles,
    entries,
    feeds,
    hosts,
    publications,
    records,
    sightings,
    slots,
)
from worker.model import OPEN_STATES, TERMINAL_STATES, State

TROUBLES_KEPT = 10
TURNS_APART_S = 1.0  # at least, in a site's line: also where a site is asked without a pause
LONGEST_LATE = timedelta(
    days=3
)  # a site's line is never so far behind that what is new goes before all older than this
LINED_UP_AT_ONCE = 1000
INPUT_LOST = ("store-lost", "damaged-warc", "no-record")  # reasons for which only the page itself helps

# In the words of the partial indexes: no parameters.
_OF_NEWS = articles.c.priority > sa.literal_column(str(AFTER_THE_NEWS))
_BEHIND_NEWS = articles.c.priority <= sa.literal_column(str(AFTER_THE_NEWS))
_LINED = articles.c.turn_at.is_not(None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ready:
    """A row that dispatch may start now."""

    id: int
    state: State
    host: str
    alone: bool  # its last attempt vanished with its worker: it must not drag others along
    label: str
    behind: bool = False  # it is no news: it waits until none does


def insert_discovered(
    connection: Connection, rows: Sequence[Mapping[str, Any]], bodies: Mapping[str, bytes]
) -> list[Row]:
    """Insert first revisions; articles that are known already do not come back.

    Args:
        rows: ``articles`` values: article_id, feed_id, host and so on; without a state they are ``discovered``.
        bodies: article_id -> packed entry.

    Returns: (id, article_id) of the rows that are really new.
    """
    first = {"revision": 1, "state": State.DISCOVERED, "troubles": []}
    inserted = insert_new(
        connection, articles, [{**first, **row} for row in rows], returning=[articles.c.id, articles.c.article_id]
    )
    if inserted:
        connection.execute(entries.insert(), [{"id": row.id, "body": bodies[row.article_id]} for row in inserted])
    return inserted


def with_turns(
    connection: Connection, rows: Sequence[Mapping[str, Any]], *, now: datetime, pace_of: PaceOf
) -> list[dict[str, Any]]:
    """Give the new rows of one feed their turns in their sites' lines.

    A site with a line longer than its pace takes is shared fairly: of each feed, what is newest goes first, and of n
    feeds with a backlog each gets an n-th. So a feed that brings 5,000 old items holds up no other one's news, nor its
    own. A turn is a moment in the line's own time: the first row has its turn at once, with what is first in the line
    now, each further row of the same site a start later. Turns order the line only; ``ready_at`` says when a row may
    start, and a row with nobody before it starts whatever its turn. Nothing waits for ever: what is new gets no turn
    from before LONGEST_LATE.

    Args:
        connection: In the transaction that will insert the rows.
        rows: ``articles`` values of one feed, the newest first, with hosts that have their rows.
        now: Aware, UTC.
        pace_of: How often a site may be asked.

    Returns: the same rows, those that wait for their download with ``turn_at``, the others with None.
    """
    waiting = [row for row in rows if row.get("state", State.DISCOVERED) == State.DISCOVERED]
    turns: dict[str, datetime] = {}
    apart: dict[str, timedelta] = {}
    if waiting:
        given = {"names": sorted({row["host"] for row in waiting}), "priority": waiting[0]["priority"]}
        for site in connection.execute(_HEADS, given):
            turns[site.host] = max(site.head, now - LONGEST_LATE) if site.head is not None else now
            apart[site.host] = timedelta(seconds=max(pace_of(site).delay_s, TURNS_APART_S))
    lined = []
    for row in rows:
        host, turn_at = row["host"], None
        if row.get("state", State.DISCOVERED) == State.DISCOVERED:
            turn_at = turns[host]
            turns[host] = turn_at + apart[host]
        lined.append({**row, "turn_at": turn_at})
    return lined


_HEADS = sa.select(
    hosts,
    sa.select(articles.c.turn_at)
    .where(
        articles.c.host == hosts.c.host,
        articles.c.priority == sa.bindparam("priority", type_=sa.Integer()),
        _LINED,
        _OF_NEWS,
    )
    .order_by(articles.c.turn_at)
    .limit(1)
    .correlate(hosts)
    .scalar_subquery()
    .label("head"),
).where(among(hosts.c.host, "names"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How the leases stand.

    ``in_flight``: rows in a queue or a worker; ``queued``: news that waits for a worker, and not for so long that its
    message may be lost; ``lost``: rows that lost their worker in every attempt they had; ``behind``: those in flight
    that are no news.
    """

    in_flight: int
    queued: int
    lost: int
    behind: int


def standing(connection: Connection, *, now: datetime, queued_until: datetime, max_attempts: int) -> Standing:
    """One look at the leases; a row that is queued until before ``queued_until`` has been so for long."""
    live = articles.c.lease_until > now
    behind = sa.and_(live, _BEHIND_NEWS)
    queued = sa.and_(live, sa.not_(articles.c.begun), articles.c.lease_until > queued_until, sa.not_(behind))
    vanished = sa.and_(articles.c.lease_until <= now, articles.c.begun, articles.c.attempts >= max_attempts)
    counts = [sa.func.count().filter(condition) for condition in (live, queued, vanished, behind)]
    row = connection.execute(sa.select(*counts).where(articles.c.lease_until.is_not(None))).one()
    return Standing(in_flight=row[0], queued=row[1], lost=row[2], behind=row[3])


def in_flight(connection: Connection, *, now: datetime) -> int:
    """Rows that sit in a queue or a worker."""
    return connection.scalar(sa.select(sa.func.count()).where(articles.c.lease_until > now)) or 0


def _free(now: datetime) -> sa.ColumnElement[bool]:
    return sa.or_(articles.c.lease_until.is_(None), articles.c.lease_until <= now)


def give_up_lost(connection: Connection, *, now: datetime, max_attempts: int) -> list[Row]:
    """Quarantine rows whose every attempt vanished with its worker: nobody was left to say so. Returns: the rows.

    Looks only at expired leases; call under the dispatch lock.
    """
    statement = (
        articles.update()
        .where(articles.c.lease_until <= now, articles.c.begun, articles.c.attempts >= max_attempts)
        .values(
            state=State.QUARANTINED,
            reason="worker-lost",
            detail=f"the worker vanished in each of {max_attempts} attempts",
            ended_at=now,
            turn_at=None,
            lease_token=None,
            lease_until=None,
            begun=False,
        )
        .returning(articles)
    )
    return list(connection.execute(statement))


_READY_COLUMNS = (
    articles.c.id,
    articles.c.state,
    articles.c.host,
    articles.c.begun,
    articles.c.url,
    articles.c.priority,
    feeds.c.slug,
)


def _as_ready(row: Row) -> Ready:
    return Ready(
        id=row.id,
        state=State(row.state),
        host=row.host,
        alone=row.begun,
        label=f"{row.slug} {_without_query(row.url)}",
        behind=row.priority <= AFTER_THE_NEWS,
    )


def _without_query(url: str | None) -> str:
    return (url or "(feed text)").split("?", 1)[0].split("#", 1)[0]


def _in_none_of(states: Sequence[State]) -> sa.ColumnElement[bool]:
    """In the words of a partial index, or neither database takes it: negated, and no parameters."""
    values = [state.value for state in states]
    return articles.c.state.not_in(sa.bindparam("others", values, expanding=True, literal_execute=True, unique=True))


_IN_LINE = (articles.c.priority.desc(), articles.c.turn_at, articles.c.id)
_AWAY = sa.and_(_in_none_of([*OPEN_STATES[1:], *TERMINAL_STATES]), ~_LINED)  # ix_articles_away
_FURTHER = _in_none_of([State.DISCOVERED, *TERMINAL_STATES])  # ix_articles_further


def ready_past_download(connection: Connection, *, now: datetime, limit: int, behind: int) -> list[Ready]:
    """Rows whose next stage needs no site: the oldest first, most urgent feeds before; of those that are no news at
    most ``behind``, and only where news leaves room.
    """
    news = _further(connection, _OF_NEWS, now=now, limit=limit)
    return news + _further(connection, _BEHIND_NEWS, now=now, limit=min(behind, limit - len(news)))


def _further(connection: Connection, which: sa.ColumnElement[bool], *, now: datetime, limit: int) -> list[Ready]:
    if limit <= 0:
        return []
    statement = (
        sa.select(*_READY_COLUMNS)
        .join(feeds, feeds.c.id == articles.c.feed_id)
        .where(_FURTHER, which, articles.c.ready_at <= now, _free(now))
        .order_by(articles.c.priority.desc(), articles.c.ready_at)
        .limit(limit)
    )
    return [_as_ready(row) for row in connection.execute(statement)]


def ready_by_host(
    connection: Connection, *, now: datetime, limit: int, pace_of: PaceOf, behind: int | None = None
) -> list[Ready]:
    """One article to download for each site that may be asked now: the first in its line, urgent feeds' before.

    Hosts first, since article-first claims let a site with the oldest 2,000 rows starve all others. The sites' next
    start is moved here, so the caller's claim must be in the same transaction. Of articles that are no news at most
    ``behind`` (None: any number), and only where news leaves room.
    """
    connection.execute(_LINE_UP, {"now": now})
    news = _first_of_sites(connection, _OF_NEWS, now=now, limit=limit, pace_of=pace_of)
    room = limit - len(news)
    room = room if behind is None else min(behind, room)
    taken = {row.host for row, _ in news}
    others = _first_of_sites(connection, _BEHIND_NEWS, now=now, limit=room, pace_of=pace_of, but=taken)
    picks = news + others
    if not picks:
        return []
    reserve(connection, picks, now=now)
    firsts = (
        sa.select(*_READY_COLUMNS)
        .join(feeds, feeds.c.id == articles.c.feed_id)
        .where(articles.c.id.in_([row.first_id for row, _ in picks]))
        .order_by(*_IN_LINE)
    )
    return [_as_ready(row) for row in connection.execute(firsts)]


# What its pause kept out of its site's line comes back: to the front if it only had to wait, but not if it failed, or
# what fails again and again would go before all others each time. It is kept out, since dispatch would have to look at
# each of such rows before it came to one that may start.
_LINE_UP = (
    articles.update()
    .where(
        articles.c.id.in_(
            sa.select(articles.c.id)
            .where(_AWAY, articles.c.ready_at <= NOW)
            .order_by(articles.c.ready_at)
            .limit(LINED_UP_AT_ONCE)
        )
    )
    .values(turn_at=sa.case((articles.c.attempts > 0, articles.c.ready_at), else_=articles.c.discovered_at))
)


def _first_of_sites(
    connection: Connection,
    which: sa.ColumnElement[bool],
    *,
    now: datetime,
    limit: int,
    pace_of: PaceOf,
    but: Collection[str] = (),
) -> list[tuple[Row, Pace]]:
    """Sites that may be asked now, with their pace and the ``first_id`` of such articles; none of those in ``but``."""
    if limit <= 0:
        return []
    site = hosts.alias("site")
    longest_free = (
        sa.select(site.c.host)
        .where(
            site.c.host.in_(sa.select(_sites_with_a_line(which).c.host)),
            site.c.host.not_in(but),
            site.c.next_start_at <= now,
            sa.or_(site.c.blocked_until.is_(None), site.c.blocked_until <= now),
        )
        .order_by(site.c.next_start_at)
        .limit(limit + _held_places(connection, now=now))  # so many of them may have no place left
    )
    wanted, first = hosts.c.host.in_(longest_free), _first_of_site(which, _free(now))
    return opened(connection, open_hosts(first, wanted), {"now": now}, pace_of=pace_of, limit=limit)


def _sites_with_a_line(which: sa.ColumnElement[bool]) -> sa.CTE:
    """From one site to the next along the index: their lines may be long."""
    first = sa.select(sa.func.min(articles.c.host).label("host")).where(_LINED, which)
    lined = first.cte("lined", recursive=True)
    after = sa.select(sa.func.min(articles.c.host)).where(_LINED, which, articles.c.host > lined.c.host)
    return lined.union_all(sa.select(after.correlate(lined).scalar_subquery()).where(lined.c.host.is_not(None)))


def _first_of_site(*conditions: sa.ColumnElement[bool]) -> sa.ScalarSelect[Any]:
    """The id of the first in a site's line, as a subquery on ``hosts``. By its order SQLite knows the index."""
    return (
        sa.select(articles.c.id)
        .where(articles.c.host == hosts.c.host, _LINED, *conditions)
        .order_by(*_IN_LINE)
        .limit(1)
        .correlate(hosts)
        .scalar_subquery()
    )


def _held_places(connection: Connection, *, now: datetime) -> int:
    return connection.scalar(sa.select(sa.func.count()).where(slots.c.expires_at > now)) or 0


def lease(
    connection: Connection, ready: Sequence[Ready], *, token: str, now: datetime, until: datetime, slot_until: datetime
) -> list[int]:
    """Put rows under a token; rows that somebody else took meanwhile do not come back. Downloads get a slot each."""
    state = ready[0].state
    statement = (
        articles.update()
        .where(articles.c.id.in_([row.id for row in ready]), articles.c.state == state, _free(now))
        .values(lease_token=token, lease_until=until, begun=False)
        .returning(articles.c.id)
    )
    taken = set(connection.scalars(statement))
    chosen = [row for row in ready if row.id in taken]
    if state is State.DISCOVERED and chosen:
        connection.execute(
            slots.insert(),
            [{"holder": holder(token, row.id), "host": row.host, "expires_at": slot_until} for row in chosen],
        )
    return [row.id for row in chosen]


def unlease(connection: Connection, token: str, ids: Sequence[int]) -> None:
    """Take a chain's lease back that could not be started: its rows are ready again, their sites free."""
    connection.execute(
        articles.update()
        .where(articles.c.id.in_(ids), articles.c.lease_token == token, sa.not_(articles.c.begun))
        .values(lease_token=None, lease_until=None)
    )
    connection.execute(slots.delete().where(slots.c.holder.in_([holder(token, article_pk) for article_pk in ids])))


def holder(token: str, article_pk: int) -> str:
    """Who holds a slot: the lease and the article, so that a lost lease's slot is nobody else's."""
    return f"{token}:{article_pk}"


def next_ready_at(connection: Connection, *, now: datetime, horizon: datetime) -> datetime | None:
    """The next moment before ``horizon`` at which a waiting row may start, if any."""
    later = connection.scalar(
        sa.select(sa.func.min(articles.c.ready_at)).where(
            articles.c.state.in_(OPEN_STATES), articles.c.ready_at > now, articles.c.ready_at <= horizon
        )
    )
    paced = connection.scalar(
        sa.select(sa.func.min(hosts.c.next_start_at)).where(
            hosts.c.next_start_at > now,
            hosts.c.next_start_at <= horizon,
            sa.or_(hosts.c.blocked_until.is_(None), hosts.c.blocked_until <= horizon),
            sa.or_(*(_first_of_site(which, _free(now)).is_not(None) for which in (_OF_NEWS, _BEHIND_NEWS))),
        )
    )
    return min((moment for moment in (later, paced) if moment is not None), default=None)


# ---------------------------------------------------------------- a stage's work


def begin(connection: Connection, ids: Sequence[int], *, token: str, state: State, until: datetime) -> list[Row]:
    """Start a stage on the rows that are still ours: counts the attempt, takes the working lease.

    A message delivered again, late, or after its rows were given to another chain finds nothing here. Nor does one
    whose worker vanished: dispatch starts those rows anew, each alone.
    """
    statement = (
        articles.update()
        .where(
            articles.c.id.in_(ids),
            articles.c.lease_token == token,
            articles.c.state == state,
            sa.not_(articles.c.begun),
        )
        .values(attempts=articles.c.attempts + 1, begun=True, lease_until=until)
        .returning(articles)
    )
    order = {article_pk: place for place, article_pk in enumerate(ids)}
    return sorted(connection.execute(statement), key=lambda row: order[row.id])


# Built once: putting this statement together for every row costs as much as running it.
_SAVE_OURS = articles.update().where(
    articles.c.id == sa.bindparam("our_id"),
    articles.c.lease_token == sa.bindparam("our_token"),
    articles.c.state == sa.bindparam("our_state"),
    articles.c.attempts == sa.bindparam("our_attempts"),
    articles.c.begun,
)


def _save_ours(connection: Connection, row: Row, changes: Mapping[str, Any]) -> bool:
    """Save to a row, if it is still ours: the same lease, state and attempt as when its stage began."""
    return connection.execute(_SAVE_OURS, {**changes, **_ours(row)}).rowcount == 1


def _ours(row: Row) -> dict[str, Any]:
    return {
        "our_id": row.id,
        "our_token": row.lease_token,
        "our_state": row.state,
        "our_attempts": row.attempts,
    }


def _save_all_ours(connection: Connection, changed: Sequence[tuple[Row, Mapping[str, Any]]]) -> set[int]:
    """As ``_save_ours`` for several rows of one lease and state, all with the same fields. Returns: the ids saved."""
    if not changed:
        return set()
    first = changed[0][0]
    still_ours = sa.select(articles.c.id).where(
        articles.c.id.in_([row.id for row, _ in changed]),
        sa.tuple_(articles.c.id, articles.c.attempts).in_([(row.id, row.attempts) for row, _ in changed]),
        articles.c.lease_token == first.lease_token,
        articles.c.state == first.state,
        articles.c.begun,
    )
    saved = set(connection.scalars(still_ours.order_by(articles.c.id).with_for_update()))
    changes = [{**values, **_ours(row)} for row, values in changed if row.id in saved]
    if changes:
        connection.execute(_SAVE_OURS, changes)
    return saved


def advance(
    connection: Connection, row: Row, *, state: State, until: datetime, now: datetime, values: Mapping[str, Any]
) -> bool:
    """Save a stage's result and the new state together; the chain keeps the lease.

    Returns: False: the row is somebody else's by now; nothing was saved and nothing must be done for it.
    """
    return _save_ours(connection, row, {**_step(state, until, now), **values})


def advance_all(
    connection: Connection,
    changed: Sequence[tuple[Row, Mapping[str, Any]]],
    *,
    state: State,
    until: datetime,
    now: datetime,
) -> set[int]:
    """As ``advance`` for the rows of one chain, all with values for the same fields. Returns: the ids saved."""
    step = _step(state, until, now)
    return _save_all_ours(connection, [(row, {**step, **values}) for row, values in changed])


def _step(state: State, until: datetime, now: datetime) -> dict[str, Any]:
    return {"state": state, "attempts": 0, "begun": False, "ready_at": now, "turn_at": None, "lease_until": until}


def end(
    connection: Connection,
    row: Row,
    *,
    state: State,
    now: datetime,
    reason: str | None = None,
    detail: str | None = None,
    values: Mapping[str, Any] | None = None,
) -> bool:
    """Bring a row to its terminal state. Returns: False: it is somebody else's by now."""
    closed = {**_closed(state, now), "reason": reason, "detail": detail}
    return _save_ours(connection, row, {**closed, **(values or {})})


def end_all(connection: Connection, rows: Sequence[Row], *, state: State, now: datetime) -> set[int]:
    """Bring the rows of one chain to a terminal state that needs no reason. Returns: the ids that were still ours."""
    closed = _closed(state, now)
    return _save_all_ours(connection, [(row, closed) for row in rows])


def _closed(state: State, now: datetime) -> dict[str, Any]:
    return {"state": state, "ended_at": now, "turn_at": None, "lease_token": None, "lease_until": None, "begun": False}


def let_go(
    connection: Connection,
    row: Row,
    *,
    ready_at: datetime,
    counted: bool,
    trouble: Mapping[str, Any] | None = None,
    values: Mapping[str, Any] | None = None,
) -> bool:
    """Give a row back to dispatch, to be ready at a moment; ``counted``: this attempt was the article's own.

    Returns: False: it is somebody else's by now.
    """
    changes: dict[str, Any] = {
        "lease_token": None,
        "lease_until": None,
        "begun": False,
        "ready_at": ready_at,
        "turn_at": None,
        **(values or {}),
    }
    if not counted:
        changes["attempts"] = row.attempts - 1
    if trouble is not None:
        changes["troubles"] = [*row.troubles, dict(trouble)][-TROUBLES_KEPT:]
    return _save_ours(connection, row, changes)


# ---------------------------------------------------------------- what goes with a row


def entry_bodies(connection: Connection, ids: Sequence[int]) -> dict[int, bytes]:
    """What the feed said, by row id."""
    chosen = sa.select(entries.c.id, entries.c.body).where(entries.c.id.in_(ids))
    return {row.id: row.body for row in connection.execute(chosen)}


def record_bodies(connection: Connection, ids: Sequence[int]) -> dict[int, bytes]:
    """What extraction read, by row id."""
    chosen = sa.select(records.c.id, records.c.body).where(records.c.id.in_(ids))
    return {row.id: row.body for row in connection.execute(chosen)}


def save_records(connection: Connection, bodies: Mapping[int, bytes]) -> None:
    """Keep what extraction read, by row id, in place of what an earlier attempt read."""
    if bodies:
        connection.execute(records.delete().where(records.c.id.in_(list(bodies))))
        connection.execute(records.insert(), [{"id": article_pk, "body": body} for article_pk, body in bodies.items()])


def sightings_of(connection: Connection, article_ids: Sequence[str]) -> dict[str, list[Row]]:
    """In which feeds each article was seen, oldest sighting first."""
    found: dict[str, list[Row]] = {article_id: [] for article_id in article_ids}
    statement = (
        sa.select(sightings, feeds.c.slug)
        .join(feeds, feeds.c.id == sightings.c.feed_id)
        .where(sightings.c.article_id.in_(article_ids))
        .order_by(sightings.c.seen_at, sightings.c.feed_id)
    )
    for row in connection.execute(statement):
        found[row.article_id].append(row)
    return found


def lock(connection: Connection, ids: Sequence[int]) -> None:
    """Nobody else saves to these rows until the transaction ends. On SQLite nobody could anyway."""
    if connection.dialect.name != "sqlite":
        chosen = sa.select(articles.c.id).where(articles.c.id.in_(ids)).order_by(articles.c.id)
        connection.execute(chosen.with_for_update())


def claim_alias(connection: Connection, alias_id: str, article_id: str) -> str:
    """Say that an article is also known under another identity. Returns: whose identity that is now.

    An article of that identity stays its owner, and is locked.
    """
    chosen = sa.select(articles.c.article_id).where(articles.c.article_id == alias_id).limit(1)
    owner = connection.scalar(chosen.with_for_update())
    if owner is not None:
        return str(owner)
    add_alias(connection, alias_id, article_id)
    return str(connection.scalar(sa.select(aliases.c.article_id).where(aliases.c.alias_id == alias_id)))


def add_alias(connection: Connection, alias_id: str, article_id: str) -> None:
    """Make an article known under another identity, if nobody is yet."""
    insert_new(connection, aliases, [{"alias_id": alias_id, "article_id": article_id}], returning=[aliases.c.alias_id])


def known_under(connection: Connection, article_ids: Sequence[str]) -> dict[str, str]:
    """Identity -> the article that is known under it by another name."""
    rows = connection.execute(_ALIASES, {"ids": list(article_ids)}).all() if article_ids else []
    return {row.alias_id: row.article_id for row in rows}


def known(connection: Connection, article_ids: Sequence[str]) -> set[str]:
    """Those of the articles that there are, whichever feed brought them."""
    return set(connection.scalars(_KNOWN, {"ids": list(article_ids)}).all()) if article_ids else set()


_ALIASES = sa.select(aliases).where(among(aliases.c.alias_id, "ids"))
_KNOWN = sa.select(articles.c.article_id).where(among(articles.c.article_id, "ids"))


def newest(connection: Connection, article_id: str) -> Row | None:
    """An article's newest revision."""
    chosen = sa.select(articles).where(articles.c.article_id == article_id)
    return connection.execute(chosen.order_by(articles.c.revision.desc()).limit(1)).one_or_none()


# ---------------------------------------------------------------- people's questions


def discovered_within(since: datetime | None, until: datetime | None, feed: str | None) -> list[sa.ColumnElement[bool]]:
    """Conditions on rows that are joined with their feed; None: any. ``until`` is excluded, ``feed`` a slug."""
    told: list[sa.ColumnElement[bool]] = []
    if since is not None:
        told.append(articles.c.discovered_at >= since)
    if until is not None:
        told.append(articles.c.discovered_at < until)
    if feed is not None:
        told.append(feeds.c.slug == feed)
    return told


def select_rows(
    connection: Connection,
    *,
    states: Sequence[str] = (),
    feed: str | None = None,
    reason: str | None = None,
    since: datetime | None = None,
    limit: int = 50,
) -> list[Row]:
    """Rows by state, feed slug, reason and time of discovery; newest first, each with its feed's slug."""
    statement = (
        sa.select(articles, feeds.c.slug)
        .join(feeds, feeds.c.id == articles.c.feed_id)
        .where(*discovered_within(since, None, feed))
        .order_by(articles.c.discovered_at.desc(), articles.c.id.desc())
        .limit(limit)
    )
    if states:
        statement = statement.where(articles.c.state.in_(states))
    if reason is not None:
        statement = statement.where(articles.c.reason == reason)
    return list(connection.execute(statement))


def by_article_id(connection: Connection, article_id: str) -> list[Row]:
    """All revisions of an article, newest first, each with its feed's slug. A prefix of at least 6 digits will do."""
    match = articles.c.article_id == article_id
    if len(article_id) < 32:  # noqa: PLR2004 - a full id has 32 digits
        match = sa.and_(articles.c.article_id >= article_id, articles.c.article_id < article_id + "g")
    statement = (
        sa.select(articles, feeds.c.slug)
        .join(feeds, feeds.c.id == articles.c.feed_id)
        .where(match)
        .order_by(articles.c.article_id, articles.c.revision.desc())
    )
    return list(connection.execute(statement))


def counts(connection: Connection) -> dict[str, int]:
    """Rows by state."""
    grouped = sa.select(articles.c.state, sa.func.count().label("count")).group_by(articles.c.state)
    found = {row.state: row[1] for row in connection.execute(grouped)}
    return {state.value: found.get(state.value, 0) for state in (*OPEN_STATES, *TERMINAL_STATES)}


def retry(connection: Connection, ids: Sequence[int], *, now: datetime, host_of: Callable[[str], str]) -> list[int]:
    """Send set-aside rows down the line again, from the latest stage whose input is still held.

    A page once fetched is not fetched again, unless it said no: a 404 or a wall may be gone by now.

    Args:
        host_of: The site of a URL: a page that is asked anew is asked where the feed said, not where it once led.

    Returns: the ids that are ready now. Not among them: rows that were not set aside (rejected or quarantined), and
        those of which nothing is left to go on with, neither a URL nor the feed's text.
    """
    problem = articles.c.exchange["problem"].as_string()
    is_whole = articles.c.reason.not_in(INPUT_LOST)
    is_held = sa.and_(is_whole, articles.c.spooled, articles.c.exchange.is_not(None))
    is_page = sa.and_(articles.c.fetch_url.is_(None), sa.or_(problem.is_(None), articles.c.url.is_(None)))
    resumed = sa.case(
        (sa.and_(is_whole, articles.c.archived_at.is_not(None), articles.c.spooled), State.ARCHIVED.value),
        (sa.and_(is_held, is_page), State.DOWNLOADED.value),
        else_=State.DISCOVERED.value,
    )
    statement = (
        articles.update()
        .where(
            articles.c.id.in_(ids),
            articles.c.state.in_([State.REJECTED, State.QUARANTINED]),
            sa.or_(articles.c.url.is_not(None), articles.c.spooled),
        )
        .values(state=resumed, reason=None, detail=None, ended_at=None, ready_at=now, attempts=0, fetch_url=None)
        .returning(articles.c.id, articles.c.state, articles.c.url, articles.c.host)
    )
    rows = list(connection.execute(statement))
    elsewhere = [(row, host_of(row.url)) for row in rows if row.state == State.DISCOVERED]
    moved = [{"of": row.id, "site": host} for row, host in elsewhere if host != row.host]
    if moved:
        ensure(connection, [one["site"] for one in moved], now=now)
        at_home = articles.update().where(articles.c.id == sa.bindparam("of")).values(host=sa.bindparam("site"))
        connection.execute(at_home, moved)
    return [row.id for row in rows]


def drop(connection: Connection, ids: Sequence[int]) -> list[int]:
    """Close quarantined rows for good: they end as rejected, reason ``dropped``, and stay in the books."""
    statement = (
        articles.update()
        .where(articles.c.id.in_(ids), articles.c.state == State.QUARANTINED)
        .values(state=State.REJECTED, reason="dropped")
        .returning(articles.c.id)
    )
    return list(connection.scalars(statement))


def audit(connection: Connection) -> dict[str, int]:
    """The balance of the books; every figure but ``items`` and the states is a number of faults.

    ``missing`` sums what the states do not account for: 0 when every discovered item is in exactly one state.
    """
    by_state = counts(connection)
    discovered = connection.scalar(sa.select(sa.func.count()).select_from(articles)) or 0
    published = articles.c.state == State.PUBLISHED
    confirmed = sa.exists().where(publications.c.id == articles.c.id, publications.c.confirmed_at.is_not(None))
    unsent = connection.scalar(sa.select(sa.func.count()).where(published, ~confirmed)) or 0
    unended = connection.scalar(
        sa.select(sa.func.count()).where(articles.c.state.in_(TERMINAL_STATES), articles.c.ended_at.is_(None))
    )
    unreasoned = connection.scalar(
        sa.select(sa.func.count()).where(
            articles.c.state.in_([State.DUPLICATE, State.REJECTED, State.QUARANTINED]), articles.c.reason.is_(None)
        )
    )
    orphans = connection.scalar(
        sa.select(sa.func.count())
        .select_from(sightings)
        .where(
            ~sightings.c.skipped,
            ~sa.exists().where(articles.c.article_id == sightings.c.article_id),
            ~sa.exists().where(aliases.c.alias_id == sightings.c.article_id),
        )
    )
    gaps = connection.scalar(
        sa.select(
            sa.func.coalesce(sa.func.sum(feeds.c.sequence), 0)
            - sa.select(sa.func.count()).select_from(publications).scalar_subquery()
        )
    )
    return {
        "items": discovered,
        **by_state,
        "missing": discovered - sum(by_state.values()),
        "published_without_confirm": unsent,
        "ended_without_time": unended or 0,
        "ended_without_reason": unreasoned or 0,
        "sightings_without_article": orphans or 0,
        "sequence_gaps": gaps or 0,
    }


def sweepable(connection: Connection, *, ended_before: datetime, set_aside_before: datetime, limit: int) -> list[Row]:
    """Ended rows whose working bodies may go; set-aside ones are kept longer, for a retry without a fetch."""
    for_good = [State.PUBLISHED, State.DUPLICATE, State.IMPORTED]
    ended = sa.and_(articles.c.state.in_(for_good), articles.c.ended_at <= ended_before)
    set_aside = sa.and_(
        articles.c.state.in_([State.REJECTED, State.QUARANTINED]), articles.c.ended_at <= set_aside_before
    )
    statement = sa.select(articles.c.id, articles.c.exchange, articles.c.picture)
    return list(connection.execute(statement.where(articles.c.spooled, sa.or_(ended, set_aside)).limit(limit)))


def swept(connection: Connection, ids: Sequence[int]) -> None:
    """Forget the working bodies of ended rows."""
    connection.execute(articles.update().where(articles.c.id.in_(ids)).values(spooled=False))
    connection.execute(entries.delete().where(entries.c.id.in_(ids)))
    connection.execute(records.delete().where(records.c.id.in_(ids)))


def lags_s(connection: Connection, *, since: datetime, limit: int = 2000) -> list[float]:
    """Seconds from discovery to publication of the articles published since a moment, newest first.

    Of news: what came of the archive was discovered long ago.
    """
    statement = (
        sa.select(articles.c.discovered_at, publications.c.confirmed_at)
        .join(publications, publications.c.id == articles.c.id)
        .where(publications.c.confirmed_at >= since, _OF_NEWS)
        .order_by(publications.c.confirmed_at.desc())
        .limit(limit)
    )
    return [(row.confirmed_at - row.discovered_at).total_seconds() for row in connection.execute(statement)]
