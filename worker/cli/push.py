"""What a feed's hub does, as ``newsmill feeds show`` tells it."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from worker.cli import show
from worker.websub.subscription import is_trusted

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

    from worker.ledger.tables import Row


def push_facts(connection: Connection, feed: Row, *, now: datetime) -> dict[str, Any] | None:
    """A feed's hub and subscription as JSON shows them, without callback and secret; None: it names no hub."""
    from worker.ledger.subscriptions import in_force  # noqa: PLC0415 - the database's libraries: not for `--help`

    if feed.hub_url is None:
        return None
    row = in_force(connection, feed.id)
    learnt = ("state", "asked_at", "verified_at", "expires_at", "due_at", "pushes", "ignored", "error")
    return {
        "hub_url": feed.hub_url,
        "topic_url": feed.topic_url,
        "pushed_at": feed.pushed_at,
        **{name: None if row is None else getattr(row, name) for name in learnt},
        "trusted": row is not None
        and is_trusted(state=row.state, expires_at=row.expires_at, pushes=row.pushes, missed=row.missed, now=now),
    }


def push_lines(facts: dict[str, Any] | None, *, public_url: str, now: datetime) -> list[tuple[str, str | None]]:
    """The same for people."""
    if facts is None:
        return []
    ignored = f"; {facts['ignored']} ignored, their signature was not right" if facts["ignored"] else ""
    last = show.distance(facts["pushed_at"], now)
    return [
        ("hub", facts["hub_url"]),
        ("topic", facts["topic_url"]),
        ("subscription", _standing(facts, public_url, now)),
        ("pushes", f"{facts['pushes']}{f', the last one {last}' if last else ''}{ignored}" if facts["state"] else None),
    ]


def _standing(facts: dict[str, Any], public_url: str, now: datetime) -> str:
    if facts["state"] is None:
        return "wanted" if public_url else "none: NEWSMILL_PUBLIC_URL is not set, so the feed is only polled"
    standing: str = facts["state"]
    if standing == "active":
        over = facts["expires_at"] <= now
        standing = f"{'was ' if over else ''}active, its lease {'ended' if over else 'ends'} " + (
            show.distance(facts["expires_at"], now) or ""
        )
        standing += ", trusted: polled rarely" if facts["trusted"] else ", polled as ever"
    again = show.distance(facts["due_at"], now)
    return f"{standing}; the hub is asked again {again}" + (f" ({facts['error']})" if facts["error"] else "")
