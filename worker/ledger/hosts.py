"""The host gate's rows: who may start a request to which site, and what robots.txt said.

How long a site must be left alone is decided elsewhere (``pace``: a pure function of the site's row); here its answer
is kept so that every process of an installation obeys it. A slot is a row with an expiry: a killed worker's slot comes
back by itself.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from worker.ledger.among import among
from worker.ledger.session import insert_new, named, upsert
from worker.ledger.tables import Moment, Row, hosts, robots, slots


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """What a site may be asked for at the moment."""

    delay_s: float  # between two starts
    connections: int


PaceOf = Callable[[Row], Pace]


def ensure(connection: Connection, names: Sequence[str], *, now: datetime) -> None:
    """Make sure that every site has its row."""
    fresh = {"next_start_at": now, "start_after": now}
    insert_new(connection, hosts, [{"host": name, **fresh} for name in sorted(set(names))], returning=[hosts.c.host])


def load(connection: Connection, names: Sequence[str]) -> dict[str, Row]:
    """The rows of these sites, locked until the transaction ends (always in the same order: no deadlock)."""
    return {row.host: row for row in named(connection.execute(_LOAD, {"names": sorted(set(names))}))}


_LOAD = sa.select(hosts).where(among(hosts.c.host, "names")).order_by(hosts.c.host).with_for_update()


NOW = sa.bindparam("now", type_=Moment())  # given to a statement when it runs


def open_hosts(first: sa.ScalarSelect[Any], wanted: sa.ColumnElement[bool]) -> sa.Select[Any]:
    """The sites that may be asked NOW and have something to be asked for, longest free first; for ``opened``.

    Args:
        first: The id of what a site would be asked for first, as a subquery on ``hosts``.
        wanted: A cheap test that a site is worth looking at.
    """
    held = (
        sa.select(sa.func.count())
        .where(slots.c.host == hosts.c.host, slots.c.expires_at > NOW)
        .correlate(hosts)
        .scalar_subquery()
    )
    open_now = (
        sa.select(hosts, first.label("first_id"), held.label("held"))
        .where(
            wanted,
            hosts.c.next_start_at <= NOW,
            sa.or_(hosts.c.blocked_until.is_(None), hosts.c.blocked_until <= NOW),
        )
        .subquery()
    )
    told = [column for column in open_now.c if column.name not in {"next_start_at", "start_after"}]
    return sa.select(*told).where(open_now.c.first_id.is_not(None)).order_by(open_now.c.next_start_at)


def opened(
    connection: Connection, statement: sa.Select[Any], given: Mapping[str, Any], *, pace_of: PaceOf, limit: int
) -> list[tuple[Row, Pace]]:
    """Run a statement of ``open_hosts`` in a transaction that holds the dispatchers' lock.

    Returns: the first sites' rows that have a place left, less the moments of their starts, each with ``first_id``, and
        their pace.
    """
    paced = ((row, pace_of(row)) for row in named(connection.execute(statement, given)))
    return list(islice(((row, pace) for row, pace in paced if row.held < pace.connections), limit))


def reserve(connection: Connection, picks: Sequence[tuple[Row, Pace]], *, now: datetime) -> None:
    """Book a start at each of these sites for now: the next one lies its delay ahead."""
    names = [row.host for row, pace in picks if pace.delay_s > 0]
    if names:
        connection.execute(_LOCK, {"names": sorted(names)})  # as ``load`` locks them: no deadlock
        for delay_s, of_delay in _by_delay(picks).items():
            connection.execute(_RESERVE, {"names": of_delay, "at": now + timedelta(seconds=delay_s)})


def _by_delay(picks: Sequence[tuple[Row, Pace]]) -> dict[float, list[str]]:
    """Most sites have the same: a statement for each delay, not for each site. None where there is none."""
    names: dict[float, list[str]] = defaultdict(list)
    for row, pace in picks:
        if pace.delay_s > 0:
            names[pace.delay_s].append(row.host)
    return names


def _not_before(column: sa.ColumnElement[Any], moment: sa.ColumnElement[Any]) -> sa.ColumnElement[Any]:
    """The later of the two: a booking or a hold made meanwhile is never moved back."""
    return sa.case((column < moment, moment), else_=column)


_NAMED = among(hosts.c.host, "names")
_AT = sa.bindparam("at", type_=Moment())
_LOCK = sa.select(hosts.c.host).where(_NAMED).order_by(hosts.c.host).with_for_update()
_RESERVE = hosts.update().where(_NAMED).values(next_start_at=_not_before(hosts.c.next_start_at, _AT))


def take(
    connection: Connection,
    host: str,
    *,
    holder: str,
    now: datetime,
    expires_at: datetime,
    pace_of: PaceOf,
    book_until: datetime | None = None,
) -> datetime | None:
    """Ask for one request to a site, now.

    Args:
        connection: In a transaction.
        host: The site.
        holder: Who asks; gets the slot.
        now: Aware, UTC.
        expires_at: When the slot of a holder that vanished comes back.
        pace_of: What the site may be asked for.
        book_until: Who is refused books the site's next free start, if it lies before this moment: else whoever asks
            at the right instant would go first, and that is always dispatch. None: no booking.

    Returns: None: granted, a slot is held until ``give_back`` or its expiry. Else when to ask again.
    """
    ensure(connection, [host], now=now)
    row = load(connection, [host])[host]
    pace = pace_of(row)
    free_at: datetime = max(row.start_after, row.blocked_until or now)
    if free_at > now:
        booked: datetime = max(free_at, row.next_start_at)
        if book_until is None or booked >= book_until:
            return free_at if book_until is None else booked
        again_at = booked + timedelta(seconds=pace.delay_s)
        connection.execute(hosts.update().where(hosts.c.host == host).values(next_start_at=again_at))
        return booked
    held = connection.scalar(
        sa.select(sa.func.count()).where(slots.c.host == host, slots.c.expires_at > now, slots.c.holder != holder)
    )
    if (held or 0) >= pace.connections:
        return now + timedelta(seconds=max(pace.delay_s, 0.25))
    connection.execute(slots.delete().where(slots.c.holder == holder, slots.c.host == host))
    connection.execute(slots.insert().values(holder=holder, host=host, expires_at=expires_at))
    _started(connection, [(row, pace)], now)
    return None


def start(
    connection: Connection, names: Sequence[str], *, now: datetime, pace_of: PaceOf
) -> tuple[dict[str, Row], dict[str, datetime]]:
    """Really start the requests that dispatch reserved: a chain may have waited in the queue since.

    Returns: the sites' rows; and for each site that must not be asked yet, the moment when it may.
    """
    rows = load(connection, names)
    free_at = {host: max(row.start_after, row.blocked_until or now) for host, row in rows.items()}
    wait = {host: at for host, at in free_at.items() if at > now}
    _started(connection, [(row, pace_of(row)) for host, row in rows.items() if host not in wait], now)
    return rows, wait


_STARTED = hosts.update().where(_NAMED).values(start_after=_AT, next_start_at=_not_before(hosts.c.next_start_at, _AT))


def _started(connection: Connection, starts: Sequence[tuple[Row, Pace]], now: datetime) -> None:
    for delay_s, names in _by_delay(starts).items():
        connection.execute(_STARTED, {"names": names, "at": now + timedelta(seconds=delay_s)})


def at_work(connection: Connection, holders: Sequence[str], *, expires_at: datetime) -> None:
    """Work has begun: from now on a vanished holder's slot comes back with its working lease."""
    if holders:
        connection.execute(_AT_WORK, {"holders": list(holders), "until": expires_at})


_OF_HOLDERS = among(slots.c.holder, "holders")
_AT_WORK = slots.update().where(_OF_HOLDERS).values(expires_at=sa.bindparam("until"))
_GIVE_ALL_BACK = slots.delete().where(_OF_HOLDERS)


_GIVE_BACK = slots.delete().where(  # built once: it runs for every request
    slots.c.holder == sa.bindparam("by"), slots.c.host == sa.bindparam("at")
)


def give_back(connection: Connection, host: str, *, holder: str) -> None:
    connection.execute(_GIVE_BACK, {"by": holder, "at": host})


def give_back_at(connection: Connection, names: Sequence[str], *, holder: str) -> None:
    connection.execute(slots.delete().where(slots.c.holder == holder, slots.c.host.in_(names)))


def give_back_all(connection: Connection, *, holder: str) -> None:
    """Whatever places somebody holds, at any site."""
    give_back_all_of(connection, [holder])


def give_back_all_of(connection: Connection, holders: Sequence[str]) -> None:
    """Whatever places these hold, at any site."""
    if holders:
        connection.execute(_GIVE_ALL_BACK, {"holders": list(holders)})


def save_state(connection: Connection, host: str, state: Mapping[str, Any], *, hold_until: datetime | None) -> None:
    """Keep what a response taught about a site; ``hold_until`` moves its next start, never back."""
    values: dict[str, Any] = dict(state)
    if hold_until is not None:
        until = sa.literal(hold_until, Moment())
        values |= {name: _not_before(hosts.c[name], until) for name in ("start_after", "next_start_at")}
    connection.execute(hosts.update().where(hosts.c.host == host).values(**values))


def sweep_slots(connection: Connection, *, now: datetime) -> int:
    """Remove the slots of holders that vanished."""
    return connection.execute(slots.delete().where(slots.c.expires_at <= now)).rowcount


def robots_of(connection: Connection, authority: str) -> Row | None:
    return connection.execute(sa.select(robots).where(robots.c.authority == authority)).one_or_none()


def save_robots(connection: Connection, authority: str, values: Mapping[str, Any]) -> None:
    upsert(connection, robots, {"authority": authority, **values}, key="authority")
