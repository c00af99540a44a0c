"""What of a feed document is new. Pure: the ledger's knowledge comes in, decisions go out.

Dates alone decide nothing: feeds stamp whole batches alike, bring items late, and date some in the future.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
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
    fingerprint: str  # of title, body and enclosures: another one means an edited entry
    has_page: bool  # its URL is its own; else it goes by guid or text
    guid_is_shared: bool  # its document has the guid at another title or URL too

    @property
    def goes_by_text(self) -> bool:
        """Without a page, or with one that a later document may take from it, and no guid beside."""
        return not self.has_page or self.guid_key is None


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownSighting:
    """An entry that this feed showed before."""

    entry_key: str
    guid_key: str | None
    fingerprint: str
    article_id: str
    title: str | None
    published_at: datetime | None
    url: str | None
    skipped: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """An entry that is noted now for the first time."""

    entry: Entry
    keys: EntryKeys
    article_id: str  # the article it belongs to: another one's when only its URL changed
    skipped: bool = False  # known from now on, never announced

    @property
    def also_known_as(self) -> str | None:
        """The id under which other feeds may show the article, at an address that it has too."""
        return self.keys.article_id if self.keys.has_page and self.keys.article_id != self.article_id else None


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
    edited: int = 0  # entries left out as known ones although they say something else


# ---------------------------------------------------------------- names


@dataclass(frozen=True, slots=True)
class _Names:
    """What an entry alone can be told by."""

    entry: Entry
    page: str | None
    fingerprint: str
    heading: str


def keys_of(entries: Sequence[Entry], feed_slug: str) -> tuple[EntryKeys, ...]:
    """The names of a document's entries, in their order.

    A name counts for as much as its document lets it. A URL that stands at entries with different guids and titles (a
    section's page, a page of fragments) names no article, no more than a home page does; a guid that stands at
    different titles or URLs does not name one alone.
    """
    names = [_names_of(entry) for entry in entries]
    sections, shared_guids = _sections(names), _shared_guids(names)
    return tuple(
        _keys(
            one,
            feed_slug,
            has_page=one.page is not None and one.page not in sections,
            guid_is_shared=one.entry.guid in shared_guids,
        )
        for one in names
    )


def _names_of(entry: Entry) -> _Names:
    page = canonical_url(entry.url) if entry.url else None
    if page is not None and _is_home(page) and (entry.guid or entry.title or _has_content(entry)):
        page = None
    fingerprint = _fingerprint(entry)
    return _Names(entry, page, fingerprint, _heading(entry.title, fingerprint))


def _sections(names: Sequence[_Names]) -> frozenset[str]:
    guids, headings = defaultdict[str, set[str]](set), defaultdict[str, set[str]](set)
    for one in names:
        if one.page is not None:
            guids[one.page].add(one.entry.guid or one.fingerprint)
            headings[one.page].add(one.heading)
    # two guids and two titles at one page are always at two entries that differ in both
    return frozenset(page for page in guids if len(guids[page]) > 1 and len(headings[page]) > 1)


def _shared_guids(names: Sequence[_Names]) -> frozenset[str]:
    uses = defaultdict[str, set[tuple[str, str | None]]](set)
    for one in names:
        if one.entry.guid:
            uses[one.entry.guid].add((one.heading, one.page))
    return frozenset(guid for guid, uses_of_it in uses.items() if len(uses_of_it) > 1)


def _keys(names: _Names, feed_slug: str, *, has_page: bool, guid_is_shared: bool) -> EntryKeys:
    guid = names.entry.guid
    identity = identity_of(
        names.page if has_page else None,
        feed_slug,
        guid,
        names.heading if guid_is_shared else None,
        names.fingerprint,
    )
    return EntryKeys(
        identity=identity,
        article_id=article_id_of(identity),
        entry_key=_digest(identity),
        guid_key=_digest(guid) if guid else None,
        fingerprint=names.fingerprint,
        has_page=has_page,
        guid_is_shared=guid_is_shared,
    )


def _is_home(page: str) -> bool:
    """Some feeds give every item the address of the home page; such items go by guid or text."""
    parts = urlsplit(page)
    return parts.path == "/" and not parts.query


def _has_content(entry: Entry) -> bool:
    """A title alone proves nothing: "Weather" comes every day."""
    return bool(entry.html or entry.enclosures)


def _fingerprint(entry: Entry) -> str:
    """With the enclosures: a station's hourly news differ in nothing else."""
    return _digest(clean_line(entry.title or ""), entry.html or "", *(one.url for one in entry.enclosures))


def _heading(title: str | None, fingerprint: str) -> str:
    return clean_line(title or "") or fingerprint


def _digest(*parts: str) -> str:
    return hashlib.blake2b("\x1f".join(parts).encode("utf-8", "replace"), digest_size=16).hexdigest()


# ---------------------------------------------------------------- what is new


def select_new(
    entries: Sequence[tuple[Entry, EntryKeys]],
    *,
    known: Iterable[KnownSighting],
    first_poll: FirstPoll,
    is_first: bool,
) -> Selection:
    """Decide what of a document's entries is new to its feed.

    Args:
        entries: In document order, with their keys.
        known: What this feed showed before under these entry keys and guid keys, and under the fingerprints of those
            that go by their text.
        first_poll: What a feed's first poll announces: everything, nothing, or the newest so many.
        is_first: This feed showed nothing before.
    """
    memory = _Memory()
    for sighting in known:
        memory.keep(sighting)
    new: list[Seen] = []
    noted: list[Seen] = []
    unusable: list[Unusable] = []
    edited = 0
    for entry, keys in entries:
        if (before := memory.by_key.get(keys.entry_key)) is not None:
            edited += before.fingerprint != keys.fingerprint
            continue
        if not entry.url and not entry.html:
            unusable.append(Unusable(title=entry.title, reason="neither a link nor a text"))
            continue
        if memory.repeats(entry, keys):
            continue
        same = memory.same_article(entry, keys)
        seen = Seen(entry=entry, keys=keys, article_id=same.article_id if same else keys.article_id)
        if same is None:
            new.append(seen)
        else:
            seen = replace(seen, skipped=same.skipped)
        noted.append(seen)
        memory.keep(sighting_of(seen))
    if is_first and first_poll != "all":
        new = newest_first(new)[: 0 if first_poll == "none" else int(first_poll)]
        wanted = {seen.article_id for seen in new}
        noted = [replace(seen, skipped=seen.article_id not in wanted) for seen in noted]
    return Selection(new=tuple(new), sightings=tuple(noted), unusable=tuple(unusable), edited=edited)


_Place = tuple[str | None, str, str | None]


def _place(guid_key: str | None, heading: str, fingerprint: str, url: str | None) -> _Place:
    return guid_key, fingerprint if guid_key is None else heading, url


class _Memory:
    """What this feed showed, in earlier documents and in this one so far, by all that it may be known by again."""

    def __init__(self) -> None:
        self.by_key: dict[str, KnownSighting] = {}
        self._texts: set[str] = set()
        self._dated_texts: set[tuple[str, datetime | None]] = set()
        self._places: dict[_Place, KnownSighting] = {}
        self._addresses: dict[tuple[str, str | None], KnownSighting] = {}
        self._guid_texts: dict[tuple[str, str], dict[datetime | None, KnownSighting]] = {}
        self._guid_dates: dict[tuple[str, str, datetime], KnownSighting] = {}

    def keep(self, sighting: KnownSighting) -> None:
        """The first sighting of a kind stays."""
        text, date = sighting.fingerprint, sighting.published_at
        self.by_key.setdefault(sighting.entry_key, sighting)
        self._texts.add(text)
        self._dated_texts.add((text, date))
        heading = _heading(sighting.title, text)
        self._places.setdefault(_place(sighting.guid_key, heading, text, sighting.url), sighting)
        if sighting.guid_key is None:
            return
        self._addresses.setdefault((sighting.guid_key, sighting.url), sighting)
        self._guid_texts.setdefault((sighting.guid_key, text), {}).setdefault(date, sighting)
        if date is not None:
            self._guid_dates.setdefault((sighting.guid_key, heading, date), sighting)

    def repeats(self, entry: Entry, keys: EntryKeys) -> bool:
        """Is this, under a new guid, what was shown before?

        Only asked of entries without a page: some feeds make up new guids at every poll. A title alone needs its date.
        """
        if keys.has_page:
            return False
        if _has_content(entry):
            return keys.fingerprint in self._texts
        return (keys.fingerprint, entry.published_at) in self._dated_texts

    def same_article(self, entry: Entry, keys: EntryKeys) -> KnownSighting | None:
        """The sighting of the article that this entry is under another name, if there is one.

        Guid and title (without guid: the text) must be the same, but prove nothing: some feeds use one guid for all
        their items, and a "Daily briefing" is another one each day. So either the address is the same too (then only
        its document changed what names the entry), or the article moved, and text or date say so. Two different dates
        deny it even where the texts are equal: to announce a moved article again is seen and mended, to lose the next
        day's is not. The date alone is no proof where several entries share the guid: batches have one date. An address
        of its own under the same guid needs no title: only the table of tracking parameters changed what names it.
        """
        heading, date = _heading(entry.title, keys.fingerprint), entry.published_at
        stayed = self._places.get(_place(keys.guid_key, heading, keys.fingerprint, entry.url))
        if stayed is not None or keys.guid_key is None:
            return stayed
        if keys.has_page and (renamed := self._addresses.get((keys.guid_key, entry.url))) is not None:
            return renamed
        if _has_content(entry) and (texts := self._guid_texts.get((keys.guid_key, keys.fingerprint))):
            moved = texts.get(date) or texts.get(None) or (next(iter(texts.values())) if date is None else None)
            if moved is not None:
                return moved
        if date is None or keys.guid_is_shared:
            return None
        return self._guid_dates.get((keys.guid_key, heading, date))


def sighting_of(seen: Seen) -> KnownSighting:
    """What is remembered of an entry."""
    return KnownSighting(
        entry_key=seen.keys.entry_key,
        guid_key=seen.keys.guid_key,
        fingerprint=seen.keys.fingerprint,
        article_id=seen.article_id,
        title=seen.entry.title,
        published_at=seen.entry.published_at,
        url=seen.entry.url,
        skipped=seen.skipped,
    )


def newest_first(listed: Sequence[Seen]) -> list[Seen]:
    """By date where there is one, else as the feed lists them."""
    ranked = sorted(enumerate(listed), key=lambda pair: (pair[1].entry.published_at or _OLDEST, -pair[0]), reverse=True)
    return [seen for _, seen in ranked]
