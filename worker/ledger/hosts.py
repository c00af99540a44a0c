"""The host gate's rows: who may start a request to which site, and what robots.txt said.

How long a site must be left alone is decided elsewhere (``pace``: a pure function of the site's row); here its answer
is kept so that every process of an installation obeys it. A slot is a row with an expiry: a killed worker's slot comes
back by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from worker.ledger.session import insert_new, upsert
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
    chosen = sa.select(hosts).where(hosts.c.host.in_(sorted(set(names)))).order_by(hosts.c.host)
    return {row.host: row for row in connection.execute(chosen.with_for_update())}


def open_hosts(
    connection: Connection,
    first: sa.ScalarSelect[Any],
    wanted: sa.ColumnElement[bool],
    *,
    now: datetime,
    pace_of: PaceOf,
) -> list[tuple[Row, Pace]]:
    """The sites that may be asked now and have something to be asked for, longest free first.

    Args:
        connection: In a transaction that holds the dispatchers' lock.
        first: The id of what a site would be asked for first, as a subquery on ``hosts``.
        wanted: A cheap test that a site is worth looking at.
        now: Aware, UTC.
        pace_of: What a site may be asked for.

    Returns: the sites' rows, each with ``first_id``, and their pace.
    """
    held = (
        sa.select(sa.func.count())
        .where(slots.c.host == hosts.c.host, slots.c.expires_at > now)
        .correlate(hosts)
        .scalar_subquery()
    )
    open_now = (
        sa.select(hosts, first.label("first_id"), held.label("held"))
        .where(
            wanted,
            hosts.c.next_start_at <= now,
            sa.or_(hosts.c.blocked_until.is_(None), hosts.c.blocked_until <= now),
        )
        .subquery()
    )
    chosen = sa.select(open_now).where(open_now.c.first_id.is_not(None)).order_by(open_now.c.next_start_at)
    return [(row, pace) for row in connection.execute(chosen) if row.held < (pace := pace_of(row)).connections]


def reserve(connection: Connection, picks: Sequence[tuple[Row, Pace]], *, now: datetime) -> None:
    """Book a start at each of these sites for now: the next one lies its delay ahead."""
    booked = [
        {"at_host": row.host, "at": now + timedelta(seconds=pace.delay_s)}
        for row, pace in sorted(picks, key=lambda pick: pick[0].host)  # as ``load`` locks them: no deadlock
        if pace.delay_s > 0
    ]
    if booked:
        connection.execute(_RESERVE, booked)


def _not_before(column: sa.ColumnElement[Any], moment: sa.ColumnElement[Any]) -> sa.ColumnElement[Any]:
    """The later of the two: a booking or a hold made meanwhile is never moved back."""
    return sa.case((column < moment, moment), else_=column)


_RESERVE = (
    hosts.update()
    .where(hosts.c.host == sa.bindparam("at_host"))
    .values(next_start_at=_not_before(hosts.c.next_start_at, sa.bindparam("at", type_=Moment())))
)


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
    _started(connection, row, now, pace)
    return None


def start(
    connection: Connection, names: Sequence[str], *, now: datetime, pace_of: PaceOf
) -> tuple[dict[str, Row], dict[str, datetime]]:
    """Really start the requests that dispatch reserved: a chain may have waited in the queue since.

    Returns: the sites' rows; and for each site that must not be asked yet, the moment when it may.
    """
    rows = load(connection, names)
    wait: dict[str, datetime] = {}
    for host, row in rows.items():
        free_at = max(row.start_after, row.blocked_until or now)
        if free_at > now:
            wait[host] = free_at
        else:
            _started(connection, row, now, pace_of(row))
    return rows, wait


def _started(connection: Connection, row: Row, now: datetime, pace: Pace) -> None:
    if pace.delay_s <= 0:
        return
    again_at = now + timedelta(seconds=pace.delay_s)
    connection.execute(
        hosts.update()
        .where(hosts.c.host == row.host)
        .values(start_after=again_at, next_start_at=max(row.next_start_at, again_at))
    )


def at_work(connection: Connection, holders: Sequence[str], *, expires_at: datetime) -> None:
    """Work has begun: from now on a vanished holder's slot comes back with its working lease."""
    if holders:
        connection.execute(slots.update().where(slots.c.holder.in_(holders)).values(expires_at=expires_at))


_GIVE_BACK = slots.delete().where(  # built once: it runs for every request
    slots.c.holder == sa.bindparam("by"), slots.c.host == sa.bindparam("at")
)


def give_back(connection: Connection, host: str, *, holder: str) -> None:
    connection.execute(_GIVE_BACK, {"by": holder, "at": host})


def give_back_at(connection: Connection, names: Sequence[str], *, holder: str) -> None:
    connection.execute(slots.delete().where(slots.c.holder == holder, slots.c.host.in_(names)))


def give_back_all(connection: Connection, *, holder: str) -> None:
    """Whatever places somebody holds, at any site."""
    connection.execute(slots.delete().where(slots.c.holder == holder))


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
