"""A sitemap index as a feed: which of its sitemaps are to be read, one after the other. Pure.

An index lists every page that a site ever had, in thousands of sitemaps. News is in those that changed last, so only
these are followed, and of them only those that changed since they were read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Self

from worker.model import Sitemap, require_utc
from worker.urls import gate_key

MOST_DATED = 50  # sitemaps of one index that are followed: those that changed last
MOST_UNDATED = 10  # and of those that do not say when they changed: the first and the last ones, each time
MOST_REMEMBERED = 500  # with those of indexes that an index lists
DEEPEST = 2  # an index may list indexes, which list sitemaps


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """A sitemap that is to be read; ``depth``: 1 for one of the feed's own index."""

    url: str
    modified_at: datetime | None
    depth: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """One round through an index, as the ledger keeps it between two polls.

    ``began_at``: when the index was read; ``first_at``: when that was done for the first time; ``is_first``: this is
    the first round; ``announced``: articles that the first round brought so far; ``read``: sitemaps with the
    modification for which they were read.
    """

    began_at: datetime
    first_at: datetime
    is_first: bool
    announced: int = 0
    read: Mapping[str, datetime | None]
    waiting: tuple[Waiting, ...] = ()

    def __post_init__(self) -> None:
        require_utc("began_at", self.began_at)
        require_utc("first_at", self.first_at)

    @property
    def next(self) -> Waiting | None:
        """The sitemap to read now; None: the round is over, and the index is next."""
        return self.waiting[0] if self.waiting else None

    def as_json(self) -> dict[str, Any]:
        """For the ledger; ``round_of`` reads it."""
        return {
            "began_at": self.began_at.isoformat(),
            "first_at": self.first_at.isoformat(),
            "is_first": self.is_first,
            "announced": self.announced,
            "read": {url: _text(at) for url, at in self.read.items()},
            "waiting": [[one.url, _text(one.modified_at), one.depth] for one in self.waiting],
        }

    def done(self, *, announced: int, listed: Sequence[Sitemap] = ()) -> Self:
        """The sitemap that was next is read, or given up until it changes.

        Args:
            announced: How many articles it brought.
            listed: What it lists if it is an index itself.
        """
        one = self.waiting[0]
        read = {**self.read, one.url: one.modified_at}
        further = _to_read(listed, read, home=one.url, depth=one.depth + 1) if one.depth < DEEPEST else ()
        return replace(
            self,
            announced=self.announced + announced,
            read=dict(list(read.items())[-MOST_REMEMBERED:]),
            waiting=(*self.waiting[1:], *further),
        )


def began(before: Round | None, listed: Sequence[Sitemap], *, home: str, now: datetime) -> Round:
    """A new round, after the index was read.

    Args:
        before: The last round; None: this is the first.
        listed: What the index lists.
        home: The index's address: sitemaps of other sites are not followed.
    """
    read = before.read if before is not None else {}
    return Round(
        began_at=now,
        first_at=before.first_at if before is not None else now,
        is_first=before is None or (before.is_first and before.next is not None),
        announced=before.announced if before is not None else 0,
        read=read,
        waiting=_to_read(listed, read, home=home, depth=1),
    )


def began_unchanged(before: Round, *, now: datetime) -> Round:
    """A new round with an index that says what it said last time: what still waits, and what is never dated."""
    still = {one.url for one in before.waiting}
    undated = [url for url, at in before.read.items() if at is None and url not in still][:MOST_UNDATED]
    return replace(
        before,
        began_at=now,
        is_first=before.is_first and before.next is not None,
        waiting=(*before.waiting, *(Waiting(url=url, modified_at=None, depth=1) for url in undated)),
    )


def _to_read(
    listed: Sequence[Sitemap], read: Mapping[str, datetime | None], *, home: str, depth: int
) -> tuple[Waiting, ...]:
    """Those that changed last first, then those without a date."""
    site = gate_key(home)
    ours = {one.url: one for one in listed if gate_key(one.url) == site and one.url != home}
    dated = [one for one in ours.values() if one.modified_at is not None]
    dated.sort(key=lambda one: one.modified_at or datetime.min.replace(tzinfo=UTC), reverse=True)
    undated = [one for one in ours.values() if one.modified_at is None]
    half = MOST_UNDATED // 2
    chosen = undated if len(undated) <= MOST_UNDATED else undated[:half] + undated[-half:]
    changed = [one for one in dated[:MOST_DATED] if one.url not in read or read[one.url] != one.modified_at]
    return tuple(Waiting(url=one.url, modified_at=one.modified_at, depth=depth) for one in (*changed, *chosen))


def round_of(kept: Mapping[str, Any] | None) -> Round | None:
    """What ``as_json`` gave, read again."""
    if kept is None:
        return None
    return Round(
        began_at=datetime.fromisoformat(kept["began_at"]),
        first_at=datetime.fromisoformat(kept["first_at"]),
        is_first=kept["is_first"],
        announced=kept["announced"],
        read={url: _moment(at) for url, at in kept["read"].items()},
        waiting=tuple(Waiting(url=url, modified_at=_moment(at), depth=depth) for url, at, depth in kept["waiting"]),
    )


def _text(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat()


def _moment(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)
