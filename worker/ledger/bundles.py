"""The WARC bundles: what is in each, and whether it is an object of its own or part of a large file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from worker.ledger.session import upsert
from worker.ledger.tables import Row, articles, bundles, warcs
from worker.model import State

PLANNERS_LOCK = 0x77617263  # "warc": every compaction of one database asks for this advisory lock
AT_ONCE = 500  # keys in one statement


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a bundle's bytes are: from ``start``, ``length`` bytes of the object ``key``; None: all of it."""

    key: str
    start: int = 0
    length: int | None = None


def keep(
    connection: Connection,
    *,
    key: str,
    article_pk: int | None,
    bytes_count: int,
    sha256: str,
    lines: bytes,
    now: datetime,
) -> None:
    """Note a bundle that was written as an object of its own, in place of what an earlier writing left under its key.

    Args:
        article_pk: The row it belongs to; None: it holds a feed document.
        lines: Packed, see ``worker.archive.index``.
    """
    written = {"bytes": bytes_count, "sha256": sha256, "lines": lines}
    facts = {"key": key, "article_pk": article_pk, "kept_at": now, **written}
    upsert(connection, bundles, {**facts, "file": None, "position": None, "problem": None}, key="key")


def place_of(connection: Connection, key: str) -> Place:
    """Where the bytes under a bundle's key are now. A key that is no bundle's is its own place."""
    statement = (
        sa.select(bundles.c.file, bundles.c.position, bundles.c.bytes)
        .join(warcs, warcs.c.key == bundles.c.file)
        .where(bundles.c.key == key, warcs.c.kept_at.is_not(None))
    )
    row = connection.execute(statement).one_or_none()
    return Place(key=key) if row is None else Place(key=row.file, start=row.position, length=row.bytes)


# ---------------------------------------------------------------- large files: planned, written, kept, cleaned


def planners_lock(connection: Connection) -> None:
    """Wait for the planners' lock and hold it until the transaction ends. On SQLite the transaction is the lock."""
    if connection.dialect.name != "sqlite":
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(PLANNERS_LOCK)))


def _loose(kept_before: datetime) -> sa.ColumnElement[bool]:
    """Bundles that nobody writes any more, are objects of their own, and have nothing wrong with them.

    A published or imported row stays what it is; one that was set aside may be retried, and then writes it again.
    """
    return sa.and_(
        bundles.c.file.is_(None),
        bundles.c.problem.is_(None),
        bundles.c.kept_at < kept_before,
        sa.or_(bundles.c.article_pk.is_(None), articles.c.state.in_((State.PUBLISHED, State.IMPORTED))),
    )


def loose(connection: Connection, *, kept_before: datetime, limit: int) -> list[Row]:
    """Bundles that may go into a large file (key, bytes, kept_at), those kept longest first."""
    statement = (
        sa.select(bundles.c.key, bundles.c.bytes, bundles.c.kept_at)
        .outerjoin(articles, articles.c.id == bundles.c.article_pk)
        .where(_loose(kept_before))
        .order_by(bundles.c.kept_at, bundles.c.key)
        .limit(limit)
    )
    return list(connection.execute(statement))


def to_compact(connection: Connection, *, kept_before: datetime) -> tuple[int, int]:
    """How many bundles wait for a large file or are planned for one that is not kept yet, and their bytes."""
    waiting = sa.or_(_loose(kept_before), sa.and_(bundles.c.file.is_not(None), warcs.c.kept_at.is_(None)))
    statement = (
        sa.select(sa.func.count(), sa.func.coalesce(sa.func.sum(bundles.c.bytes), 0))
        .select_from(bundles)
        .outerjoin(articles, articles.c.id == bundles.c.article_pk)
        .outerjoin(warcs, warcs.c.key == bundles.c.file)
        .where(waiting)
    )
    count, size = connection.execute(statement).one()
    return count, int(size)


def plan(
    connection: Connection,
    positions: Mapping[str, int],
    *,
    file: str,
    bytes_count: int,
    token: str,
    now: datetime,
    until: datetime,
) -> None:
    """Lease a new large file, to be made of these bundles (key -> position). Call under the planners' lock."""
    row = {"key": file, "bytes": bytes_count, "planned_at": now, "lease_token": token, "lease_until": until}
    connection.execute(warcs.insert().values(**row))
    statement = (
        bundles.update()
        .where(bundles.c.key == sa.bindparam("its_key"))
        .values(file=file, position=sa.bindparam("its_position"))
    )
    connection.execute(statement, [{"its_key": key, "its_position": position} for key, position in positions.items()])


def unfinished(connection: Connection, *, now: datetime) -> Row | None:
    """The large file planned first that is not finished and nobody's at the moment."""
    statement = (
        sa.select(warcs)
        .where(warcs.c.cleaned_at.is_(None), sa.or_(warcs.c.lease_until.is_(None), warcs.c.lease_until <= now))
        .order_by(warcs.c.planned_at, warcs.c.key)
        .limit(1)
    )
    return connection.execute(statement).one_or_none()


def held_by_others(connection: Connection, *, now: datetime) -> int:
    """How many large files somebody is at work on."""
    statement = sa.select(sa.func.count()).where(warcs.c.cleaned_at.is_(None), warcs.c.lease_until > now)
    return connection.scalar(statement) or 0


def take(connection: Connection, file: str, *, token: str, until: datetime) -> None:
    """Lease a large file. Call under the planners' lock, where it was seen to be free."""
    connection.execute(warcs.update().where(warcs.c.key == file).values(lease_token=token, lease_until=until))


def renew(connection: Connection, file: str, *, token: str, until: datetime) -> bool:
    """Keep the lease. Returns: False: it is somebody else's by now, or the plan is undone."""
    return _change(connection, file, token, lease_until=until)


def let_go(connection: Connection, file: str, *, token: str) -> None:
    """Give the lease back, if it is still ours."""
    _change(connection, file, token, lease_token=None, lease_until=None)


def parts(connection: Connection, file: str) -> list[Row]:
    """The bundles of a large file, in order."""
    return list(connection.execute(sa.select(bundles).where(bundles.c.file == file).order_by(bundles.c.position)))


def confirm(connection: Connection, file: str, *, token: str, now: datetime) -> bool:
    """From now on the bundles of this large file are read in it.

    Returns: False: it is not ours any more, or its bundles are not what was planned; nothing was changed.
    """
    size = sa.select(sa.func.sum(bundles.c.bytes)).where(bundles.c.file == file).scalar_subquery()
    ours = _ours(file, token)
    statement = warcs.update().where(ours, warcs.c.kept_at.is_(None), warcs.c.bytes == size).values(kept_at=now)
    return connection.execute(statement).rowcount == 1


def cleaned(connection: Connection, file: str, *, token: str, now: datetime) -> bool:
    """The bundles of this large file are no objects of their own any more. Returns: False: it is not ours any more."""
    return _change(connection, file, token, cleaned_at=now, lease_token=None, lease_until=None)


def undo(connection: Connection, file: str, *, token: str, problems: Mapping[str, str]) -> bool:
    """Give a plan up that is not kept: its bundles are loose again, but for those with a problem (key -> what).

    The large file stays known, without bundles, until what may be stored of it is removed: see ``forget``.
    Returns: False: it is not ours any more; nothing was changed.
    """
    statement = warcs.update().where(_ours(file, token), warcs.c.kept_at.is_(None)).values(lease_token=token)
    if connection.execute(statement).rowcount == 0:  # the update holds the row until the transaction ends
        return False
    its_bundles = bundles.c.file == file
    _set_problems(connection, problems, its_bundles)
    connection.execute(bundles.update().where(its_bundles).values(file=None, position=None))
    return True


def forget(connection: Connection, file: str) -> None:
    """A large file that was given up, and of which nothing is stored any more."""
    given_up = sa.not_(sa.exists().where(bundles.c.file == file))
    connection.execute(warcs.delete().where(warcs.c.key == file, warcs.c.kept_at.is_(None), given_up))


def is_planned(connection: Connection, file: str) -> bool:
    """Whether a large file of this name is, or will be, there; one that was given up never comes back."""
    has_bundles = sa.exists().where(bundles.c.file == file)
    is_kept = sa.exists().where(warcs.c.key == file, warcs.c.kept_at.is_not(None))
    return connection.scalar(sa.select(sa.or_(has_bundles, is_kept))) or False


def _ours(file: str, token: str) -> sa.ColumnElement[bool]:
    return sa.and_(warcs.c.key == file, warcs.c.lease_token == token)


def _change(connection: Connection, file: str, token: str, **values: datetime | str | None) -> bool:
    return connection.execute(warcs.update().where(_ours(file, token)).values(**values)).rowcount == 1


# ---------------------------------------------------------------- bundles with a problem


def with_problems(connection: Connection) -> list[Row]:
    """All bundles that compaction leaves alone because of a problem."""
    return list(connection.execute(sa.select(bundles).where(bundles.c.problem.is_not(None)).order_by(bundles.c.key)))


def some_with_problems(connection: Connection, limit: int) -> list[Row]:
    """As ``with_problems``, others each time: whoever looks often enough has seen them all."""
    chosen = sa.select(bundles).where(bundles.c.problem.is_not(None)).order_by(sa.func.random()).limit(limit)
    return list(connection.execute(chosen))


def count_problems(connection: Connection) -> int:
    """How many there are."""
    counted = sa.select(sa.func.count()).select_from(bundles).where(bundles.c.problem.is_not(None))
    return connection.scalar(counted) or 0


def looked_again(connection: Connection, problems: Mapping[str, str | None]) -> None:
    """Note what is wrong by now with bundles that had a problem (key -> what); None: nothing any more."""
    _set_problems(connection, problems, bundles.c.problem.is_not(None))


def _set_problems(connection: Connection, problems: Mapping[str, str | None], which: sa.ColumnElement[bool]) -> None:
    """Only of ``which``: one that was written again meanwhile is another's business."""
    is_it = sa.and_(bundles.c.key == sa.bindparam("its_key"), which)
    statement = bundles.update().where(is_it).values(problem=sa.bindparam("its_problem"))
    if problems:
        connection.execute(statement, [{"its_key": key, "its_problem": what} for key, what in problems.items()])


def owners(connection: Connection, keys: Sequence[str]) -> dict[str, Row]:
    """Bundle key -> (key, article_id, revision) of its article; a feed document's is not among them."""
    found: dict[str, Row] = {}
    for start in range(0, len(keys), AT_ONCE):
        statement = (
            sa.select(bundles.c.key, articles.c.article_id, articles.c.revision)
            .join(articles, articles.c.id == bundles.c.article_pk)
            .where(bundles.c.key.in_(keys[start : start + AT_ONCE]))
        )
        found.update((row.key, row) for row in connection.execute(statement))
    return found
