"""Whether a server's validators, and its "not modified", are worth anything. Pure.

Caches in front of feeds answer 304 for hours or for ever although items were added. A poll without validators now and
then finds that out; how often depends on how often it did. Other servers never answer 304: they ignore validators,
which costs a body each time and no more, or name the same document differently at each answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

USUALLY_EVERY_S = 86_400.0
LIES_KNOWN = 3  # from so many on, no validators are sent at all
FORGIVEN_AFTER_S = 30 * 86_400.0  # without another lie, one is forgotten
SURELY_BEFORE_S = 3600.0  # an item dated so long before a 304 was there when it was sent; later ones may be late


@dataclass(frozen=True, slots=True, kw_only=True)
class Validators:
    """What a document's next request can be made conditional with, as the server wrote it."""

    etag: str | None
    last_modified: str | None


def worth_sending(*, before: Validators, now: Validators, same_body: bool) -> Validators:
    """The validators to keep of an answer that brought a document.

    An ETag that changes while the document does not (several machines behind one name) keeps a good Last-Modified from
    being looked at: then only the latter is kept, until the document changes.

    Args:
        before: What was kept until now.
        now: What the answer says.
        same_body: Its bytes are those of the answer before.

    Source: RFC 9110 13.1.3: with If-None-Match, If-Modified-Since is ignored.
    """
    if same_body and now.last_modified and now.last_modified == before.last_modified and now.etag != before.etag:
        return Validators(etag=None, last_modified=now.last_modified)
    return now


def was_lie(*, unmodified_at: datetime | None, has_same_validator: bool, new_dates: Sequence[datetime | None]) -> bool:
    """Did the last 304 hide what a poll without validators now found?

    Args:
        unmodified_at: When the poll before this one was answered 304; None: it was not.
        has_same_validator: The document came under the ETag, or else the Last-Modified, that the 304 was for.
        new_dates: Of the items that are new with it, as the feed dates them.
    """
    if unmodified_at is None or not new_dates:
        return False
    surely = unmodified_at - timedelta(seconds=SURELY_BEFORE_S)
    return has_same_validator or all(one is not None and one < surely for one in new_dates)


def remembered(*, lies: int, lied_at: datetime | None, now: datetime) -> int:
    """How many of the lies found so far still count: one is forgotten each FORGIVEN_AFTER_S since the last."""
    forgiven = int((now - lied_at).total_seconds() // FORGIVEN_AFTER_S) if lied_at else 0
    return max(lies - max(forgiven, 0), 0)


def without_validators(*, last_at: datetime | None, lies: int, lied_at: datetime | None, now: datetime) -> bool:
    """Shall this poll go without validators? Once a day, oftener for a server that lied, always after LIES_KNOWN lies.

    Args:
        last_at: When one last did; None: never.
        lies: How many were found, as ``remembered`` has it.
        lied_at: When the last one was found.
    """
    if last_at is None:
        return True
    known = remembered(lies=lies, lied_at=lied_at, now=now)
    if known >= LIES_KNOWN:
        return True
    passed_s = (now - last_at).total_seconds()
    return not 0 <= passed_s < USUALLY_EVERY_S / 4.0**known  # a time to come is a wrong clock's
