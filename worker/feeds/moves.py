"""When a feed has really moved: a permanent redirect is believed once it was met on several days. Pure.

Permanent redirects are sent by mistake, by captive portals and by half-done migrations, and a feed that followed the
first one would be lost for good. Until one is believed, each poll asks the old address and is redirected, which costs a
request and loses nothing: so whatever is doubtful is not believed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from itertools import pairwise
from typing import Any

DAYS_BELIEVED = 3
_PERMANENT = frozenset({301, 308})


def permanent_target(hops: Sequence[tuple[int, str]]) -> str | None:
    """Where the permanent redirects at the beginning of a visit lead; None: nowhere that a feed could move to.

    What lies behind a temporary redirect is no new address; nor is one that gives up TLS, nor the old one.

    Args:
        hops: Status and URL of each request, in order; the last one is the answer.

    Source: RFC 9110 15.4.2, 15.4.9.
    """
    target = None
    for (status, url), (_, following) in pairwise(hops):
        if status not in _PERMANENT or (url.startswith("https:") and not following.startswith("https:")):
            break
        target = following
    return None if hops and target == hops[0][1] else target


def sighted(
    moved: Mapping[str, Any] | None, *, target: str | None, at: datetime, is_known: bool = True
) -> dict[str, Any] | None:
    """What is remembered of a feed's move after a poll that brought a feed; None: nothing speaks for one.

    Another target, or an answer from the old address itself, starts all over.

    Args:
        moved: What was remembered before: ``{"url": …, "days": [ISO dates, ascending]}``.
        target: As ``permanent_target`` says.
        at: Aware, UTC.
        is_known: The document has items that this feed showed before. One that has none, at an address that was sold,
            of a portal, of the site as a whole, may be another feed, and speaks for no move.
    """
    if target is None:
        return None
    before = moved or {}
    days = list(before.get("days", ())) if before.get("url") == target else []
    today = at.date().isoformat()
    if is_known and today not in days:
        days = [*days, today][-DAYS_BELIEVED:]
    return {"url": target, "days": days} if days else None


def believed(moved: Mapping[str, Any] | None) -> str | None:
    """The address to follow from now on, if the move was met on DAYS_BELIEVED different days."""
    days = {date.fromisoformat(day) for day in (moved or {}).get("days", ())}
    return str(moved["url"]) if moved and len(days) >= DAYS_BELIEVED else None
