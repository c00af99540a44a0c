"""What polls came to, saved together: a transaction for all that ended at about the same time."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy.engine import Connection

from worker.ledger import feeds, hosts
from worker.ledger.tables import Row
from worker.stages.deps import Deps, Save, note
from worker.stages.visit import Lesson, learn

log = logging.getLogger("newsmill")

QUIET = frozenset({"not-modified", "unchanged"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Polled:
    """How one poll ended."""

    slug: str
    outcome: str  # new | unchanged | not-modified | failed | gone | waiting
    status: int | None = None
    entries: int = 0
    new: int = 0
    detail: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Came:
    """What a poll came to.

    ``values``: the feed's columns, ``due_at`` among them; ``document``: where the archive has what it brought.
    """

    polled: Polled
    values: Mapping[str, Any]
    document: str | None = None
    happened: Sequence[Mapping[str, Any]] = ()  # what operators are told


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """A poll that is over and waits to be saved.

    ``came``: decides what it came to, once it is sure that the feed is still ours; may write what is new.
    """

    deps: Deps
    feed: Row
    token: str
    at: datetime
    came: Callable[[Connection], Came]
    lessons: Sequence[Lesson] = ()
    sites: Mapping[str, Row] = field(default_factory=dict)  # of its whole task, as they were a moment ago

    def __call__(self, tx: Connection) -> Polled:
        return _saved(tx, [self])[0]


def saved_together(tx: Connection, saves: Sequence[Save[Polled]]) -> list[Polled]:
    """Save what ended polls of one batch came to, in a few statements for all of them."""
    ended = {place: save for place, save in enumerate(saves) if isinstance(save, Ended)}
    polled = dict(zip(ended, _saved(tx, list(ended.values())), strict=True))
    return [polled[place] if place in polled else save(tx) for place, save in enumerate(saves)]


def _saved(tx: Connection, ended: Sequence[Ended]) -> list[Polled]:
    if not ended:
        return []
    deps, token = ended[0].deps, ended[0].token
    hosts.give_back_all_of(tx, [feeds.holder(token, one.feed.id) for one in ended])
    sites = next((one.sites for one in ended if one.sites), {})  # they are of one task
    learn(deps, tx, [lesson for one in ended for lesson in one.lessons], known=sites)
    held = feeds.held(tx, [one.feed.id for one in ended], token=token)
    results, learnt = [], []
    for one in ended:
        feed = one.feed
        if feed.id not in held:
            results.append(Polled(slug=feed.slug, outcome="waiting", detail="another poll took over"))
            continue
        came = one.came(tx)
        for happening in came.happened:
            note(tx, happening)
        values, lines = _written(one, came)
        again = held[feed.id] != feed.asked_at
        learnt.append(feeds.Learnt(feed_id=feed.id, values=_changed(feed, values), lines=lines, asked_again=again))
        results.append(came.polled)
    feeds.save_polls(tx, learnt)
    return results


def _written(one: Ended, came: Came) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The feed's columns, and lines of its history. A poll like the last one that brought nothing is only counted."""
    feed, polled = one.feed, came.polled
    values = {
        "asked_at": None,
        "unconditional": False,
        "polled_at": one.at,
        "outcome": polled.outcome,
        "status": polled.status,
        **came.values,
    }
    if polled.outcome in QUIET and polled.detail is None and came.document is None:
        goes_on = feed.quiet_polls > 0 and (feed.outcome, feed.status) == (polled.outcome, polled.status)
        values["quiet_since"] = feed.quiet_since if goes_on else one.at
        values["quiet_polls"] = feed.quiet_polls + 1 if goes_on else 1
        return values, [] if goes_on else feeds.quiet_lines(feed)
    line = {
        "at": one.at,
        "outcome": polled.outcome,
        "status": polled.status,
        "entries": polled.entries,
        "new": polled.new,
        "detail": polled.detail,
        "document": came.document,
    }
    return {**values, "quiet_since": None, "quiet_polls": 0}, [*feeds.quiet_lines(feed), line]


def _changed(feed: Row, values: Mapping[str, Any]) -> dict[str, Any]:
    """What differs from what the poll began with: a quiet poll moves a few dates."""
    return {name: value for name, value in values.items() if getattr(feed, name) != value}
