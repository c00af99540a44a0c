"""What of a feed document is new. Pure: the ledger's knowledge comes in, decisions go out.

Dates play no part: feeds stamp whole batches alike, bring items late, and date some in the future.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal
from urllib.parse import urlsplit

from worker.model import Entry
from worker.text import clean_line
from worker.urls import article_id_of, canonical_url, identity_of

FirstPoll = Literal["all", "none"] | int
_OLDEST = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class EntryKeys:
    """The names under which an entry is known."""

    identity: str
    article_id: str
    entry_key: str  # this feed's entry, by its identity: guids that change at every poll make no new one
    guid_key: str | None
    fingerprint: str  # of title and body: another one means an edited entry


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownSighting:
    """An entry that this feed showed before."""

    article_id: str
    title: str | None
    published_at: datetime | None
    url: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """An entry that is noted now for the first time."""

    entry: Entry
    keys: EntryKeys
    article_id: str  # the article it belongs to: another one's when only its URL changed
    skipped: bool = False  # known from now on, never announced


@dataclass(frozen=True, slots=True, kw_only=True)
class Unusable:
    """An entry with nothing to read or to fetch."""

    title: str | None
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    new: tuple[Seen, ...]  # of these an article is made, unless another feed has brought it
    sightings: tuple[Seen, ...]  # all that is noted, ``new`` included
    unusable: tuple[Unusable, ...] = ()


def keys_of(entry: Entry, feed_slug: str) -> EntryKeys:
    """The names of an entry of a feed."""
    url = entry.url if entry.url and (_names_an_article(entry.url) or not (entry.guid or entry.title)) else None
    identity = identity_of(url, feed_slug, entry.guid, entry.title)
    return EntryKeys(
        identity=identity,
        article_id=article_id_of(identity),
        entry_key=_digest(identity),
        guid_key=_digest(entry.guid) if entry.guid else None,
        fingerprint=_digest(clean_line(entry.title or ""), entry.html or ""),
    )


def _names_an_article(url: str) -> bool:
    """Some feeds give every item the address of the home page; such items go by guid or title."""
    parts = urlsplit(canonical_url(url))
    return parts.path != "/" or bool(parts.query)


def _digest(*parts: str) -> str:
    return hashlib.blake2b("\x1f".join(parts).encode("utf-8", "replace"), digest_size=16).hexdigest()


def select_new(
    entries: Sequence[tuple[Entry, EntryKeys]],
    *,
    known: frozenset[str],
    by_guid: Mapping[str, Sequence[KnownSighting]],
    first_poll: FirstPoll,
    is_first: bool,
) -> Selection:
    """Decide what of a document's entries is new to its feed.

    Args:
        entries: In document order, with their keys.
        known: Entry keys that this feed showed before.
        by_guid: What this feed showed before under a guid: guid key -> sightings.
        first_poll: What a feed's first poll announces: everything, nothing, or the newest so many.
        is_first: This feed showed nothing before.
    """
    fresh: dict[str, Seen] = {}
    unusable: list[Unusable] = []
    shown = {guid_key: list(sightings) for guid_key, sightings in by_guid.items()}
    announced: set[str] = set()
    for entry, keys in entries:
        if keys.entry_key in known or keys.entry_key in fresh:
            continue
        if not entry.url and not entry.html:
            unusable.append(Unusable(title=entry.title, reason="neither a link nor a text"))
            continue
        same_guid = shown.setdefault(keys.guid_key, []) if keys.guid_key else []
        article_id = _article_of(entry, keys, same_guid)
        fresh[keys.entry_key] = Seen(entry=entry, keys=keys, article_id=article_id)
        same_guid.append(
            KnownSighting(article_id=article_id, title=entry.title, published_at=entry.published_at, url=entry.url)
        )
    new: list[Seen] = []
    for seen in fresh.values():
        if seen.article_id == seen.keys.article_id and seen.article_id not in announced:
            announced.add(seen.article_id)
            new.append(seen)
    if not is_first or first_poll == "all":
        return Selection(new=tuple(new), sightings=tuple(fresh.values()), unusable=tuple(unusable))
    wanted = {seen.keys.entry_key for seen in _newest(new, 0 if first_poll == "none" else int(first_poll))}
    return Selection(
        new=tuple(seen for seen in new if seen.keys.entry_key in wanted),
        sightings=tuple(
            Seen(entry=seen.entry, keys=seen.keys, article_id=seen.article_id, skipped=key not in wanted)
            for key, seen in fresh.items()
        ),
        unusable=tuple(unusable),
    )


def _article_of(entry: Entry, keys: EntryKeys, same_guid: Sequence[KnownSighting]) -> str:
    """The article of an entry: a known one under another URL, if guid and title say so.

    A guid alone proves nothing: some feeds use one for all their items. Nor does a date: batches share one.
    """
    if entry.title is None:
        return keys.article_id
    title = clean_line(entry.title)
    known = (sighting.article_id for sighting in same_guid if title == clean_line(sighting.title or ""))
    return next(known, keys.article_id)


def _newest(new: Sequence[Seen], count: int) -> Sequence[Seen]:
    """By date where there is one, else as the feed lists them: newest first."""
    ranked = sorted(enumerate(new), key=lambda pair: (pair[1].entry.published_at or _OLDEST, -pair[0]), reverse=True)
    return [seen for _, seen in ranked[:count]]
