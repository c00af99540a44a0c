"""The reviewed list of feeds against the registry: what has to change so that they agree. Pure.

The list decides about what it names; of the rest only feeds that once came from a list are taken off. Feeds added by
hand stay, and nothing is ever deleted: a feed that was taken off keeps its history and may come back.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Literal

from worker.errors import UsageError
from worker.feeds.feedlist import FeedConfig

FROM_FILE = "file"
BY_HAND = "cli"


@dataclass(frozen=True, slots=True, kw_only=True)
class Registered:
    """A feed as the registry has it."""

    slug: str
    origin: str  # FROM_FILE or BY_HAND
    removed: bool
    moved_from: str | None = None  # its address before a permanent redirect was believed
    said: Mapping[str, Any]  # what an operator said, by the names of FeedConfig's fields


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One feed's way to agreement.

    ``values`` are what has to be written, by the names of FeedConfig's fields; ``before`` is what stood there.
    """

    slug: str
    kind: Literal["added", "changed", "returned", "removed"]
    values: Mapping[str, Any]
    before: Mapping[str, Any]


def reconcile(listed: Sequence[FeedConfig], registered: Sequence[Registered]) -> tuple[Step, ...]:
    """What has to change, in the order of the list, removals last; nothing when they agree already.

    A feed added by hand that the list names too is the list's from then on. A title that the list leaves open is not
    taken away: the feed's own may stand there. A feed that moved stays where it is while the list has its last address
    (``left_behind``): else each sync would send it back to be redirected again.

    Args:
        listed: Slugs are unique.
        registered: All feeds, those that were removed too.

    Raises: UsageError: the list follows an address that a feed from elsewhere follows already, under another name.
    """
    known = {feed.slug: feed for feed in registered}
    named = {config.slug for config in listed}
    followed = {
        feed.said.get("url"): feed.slug
        for feed in registered
        if feed.slug not in named and feed.origin != FROM_FILE and not feed.removed and feed.said.get("enabled")
    }
    for config in listed:
        if config.enabled and config.url in followed:
            raise UsageError(_followed_twice(config, followed[config.url]))
    steps = [step for config in listed if (step := _step(config, known.get(config.slug))) is not None]
    vanished = [feed for feed in registered if feed.slug not in named and feed.origin == FROM_FILE and not feed.removed]
    return (*steps, *(Step(slug=feed.slug, kind="removed", values={}, before=feed.said) for feed in vanished))


def _followed_twice(config: FeedConfig, slug: str) -> str:
    return (
        f"The list of feeds follows {config.url} as {config.slug}, but it is followed already as {slug}, which was not "
        f"in the list: call it {slug} in the list too, or `newsmill feeds remove {slug}` first."
    )


def left_behind(listed: Sequence[FeedConfig], registered: Sequence[Registered]) -> dict[str, str]:
    """Feeds whose last address the list still has, by slug, with the one where they are followed."""
    moved = {feed.slug: feed for feed in registered if feed.moved_from is not None and not feed.removed}
    return {
        config.slug: moved[config.slug].said["url"]
        for config in listed
        if config.slug in moved and moved[config.slug].moved_from == config.url
    }


def said_by(config: FeedConfig) -> dict[str, Any]:
    """What a list says about a feed, by field, in the types that the registry keeps; the slug is its name."""
    values = {field.name: getattr(config, field.name) for field in fields(config) if field.name != "slug"}
    return {name: dict(value) if isinstance(value, Mapping) else value for name, value in values.items()}


def _step(config: FeedConfig, feed: Registered | None) -> Step | None:
    wanted = said_by(config)
    if feed is None:
        return Step(slug=config.slug, kind="added", values=wanted, before={})
    differing = {
        name: value
        for name, value in wanted.items()
        if value != feed.said.get(name)
        and not (name == "title" and value is None)
        and not (name == "url" and value == feed.moved_from)
    }
    before = {name: feed.said.get(name) for name in differing}
    if feed.removed:
        return Step(slug=config.slug, kind="returned", values=differing, before=before)
    if differing or feed.origin != FROM_FILE:
        return Step(slug=config.slug, kind="changed", values=differing, before=before)
    return None
