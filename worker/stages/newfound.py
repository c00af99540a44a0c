"""What a feed document brings that was not known: sightings and article rows, in one transaction."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy.engine import Connection

from worker.feeds.select import EntryKeys, KnownSighting, Seen, Selection, keys_of, newest_first, select_new
from worker.feeds.sitemapindex import Round
from worker.ledger import articles, feeds, hosts
from worker.ledger.tables import Row
from worker.model import Entry, State
from worker.publish.message import event_message
from worker.stages.deps import Deps, note, packed
from worker.stages.visit import pace_of
from worker.urls import gate_key


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What a document brought.

    ``new``: articles that are really new; ``dates``: of the entries that the feed had not shown before; ``is_gap``: it
    holds nothing of what was shown before, so items may have come and gone between; ``notes``: what else was seen.
    """

    new: int = 0
    dates: tuple[datetime | None, ...] = ()
    is_gap: bool = False
    notes: tuple[str, ...] = ()


def insert_new(
    deps: Deps, tx: Connection, feed: Row, entries: Sequence[Entry], *, now: datetime, of_round: Round | None
) -> Found:
    """Sightings and new rows of one document.

    ``of_round``: it is one of the sitemaps of an index.
    """
    names = keys_of(entries, feed.slug)
    before = known(tx, feed.id, names)
    # an import into a feed that never answered leaves sightings, and its first poll is still the first
    is_first = feed.ok_at is None or (not before and not feeds.has_sightings(tx, feed.id))
    selection = _selection(feed, entries, names, before, is_first=is_first, of_round=of_round)
    aliases = articles.known_under(tx, [seen.article_id for seen in selection.new])
    fresh = [seen for seen in selection.new if seen.article_id not in aliases]
    unwanted = {seen.article_id for seen in fresh if not _wanted(feed, seen.entry, of_round)}
    brought = articles.known(tx, [seen.article_id for seen in fresh])
    wanted = newest_first([seen for seen in fresh if seen.article_id not in unwanted | brought])
    rows = [_article_row(deps, feed, seen, now) for seen in wanted]
    hosts.ensure(tx, [row["host"] for row in rows], now=now)
    rows = articles.with_turns(tx, rows, now=now, pace_of=pace_of(deps))
    inserted = articles.insert_discovered(tx, rows, {seen.article_id: packed(seen.entry) for seen in wanted})
    for seen in selection.sightings:
        if seen.also_known_as is not None:
            articles.claim_alias(tx, seen.also_known_as, seen.article_id)
    new = {row.article_id for row in inserted}
    for row in rows:
        if row["article_id"] in new:
            about = {"feed": feed.slug, "article_id": row["article_id"], "url": row["url"]}
            note(tx, event_message("item.discovered", at=now, **about))
    feeds.insert_sightings(
        tx,
        [
            {
                "feed_id": feed.id,
                "entry_key": seen.keys.entry_key,
                "guid_key": seen.keys.guid_key,
                "article_id": aliases.get(seen.article_id, seen.article_id),
                "url": seen.entry.url,
                "title": seen.entry.title,
                "feed_date": seen.entry.published_at,
                "seen_at": now,
                "fingerprint": seen.keys.fingerprint,
                "skipped": seen.skipped or seen.article_id in unwanted,
            }
            for seen in selection.sightings
        ],
    )
    return Found(
        new=len(inserted),
        dates=tuple(seen.entry.published_at for seen in selection.sightings),
        is_gap=bool(entries) and not before and not is_first and of_round is None,
        notes=_notes(selection),
    )


def _notes(selection: Selection) -> tuple[str, ...]:
    """What a poll's line of history says of items that no article is made of."""
    reasons = Counter(unusable.reason for unusable in selection.unusable)
    notes = [f"{count} items had {reason}" for reason, count in reasons.items()]
    edited = [f"{selection.edited} known items now say something else"] if selection.edited else []
    return (*notes, *edited)


def _selection(
    feed: Row,
    entries: Sequence[Entry],
    names: Sequence[EntryKeys],
    before: Sequence[Row],
    *,
    is_first: bool,
    of_round: Round | None,
) -> Selection:
    first_poll = feed.first_poll
    if of_round is not None:
        is_first = of_round.is_first
        if isinstance(first_poll, int):
            first_poll = max(0, first_poll - of_round.announced)
    return select_new(
        list(zip(entries, names, strict=True)),
        known=map(_known_sighting, before),
        first_poll=first_poll,
        is_first=is_first,
    )


def known(tx: Connection, feed_id: int, names: Sequence[EntryKeys]) -> list[Row]:
    """What the feed showed before of a document's entries.

    Nearly all of them are known by their own keys; only the others are looked for by guid and text.
    """
    found = {row.entry_key: row for row in feeds.sightings_by(tx, feed_id, "entry_key", [n.entry_key for n in names])}
    others = [keys for keys in names if keys.entry_key not in found]
    guids = dict.fromkeys(keys.guid_key for keys in others if keys.guid_key is not None)
    texts = dict.fromkeys(keys.fingerprint for keys in others if keys.goes_by_text)
    for name, keys in (("guid_key", list(guids)), ("fingerprint", list(texts))):
        found |= {row.entry_key: row for row in feeds.sightings_by(tx, feed_id, name, keys)}
    return list(found.values())


def _known_sighting(row: Row) -> KnownSighting:
    return KnownSighting(
        entry_key=row.entry_key,
        guid_key=row.guid_key,
        fingerprint=row.fingerprint,
        article_id=row.article_id,
        title=row.title,
        published_at=row.feed_date,
        url=row.url,
        skipped=row.skipped,
    )


def _wanted(feed: Row, entry: Entry, of_round: Round | None) -> bool:
    """Does the feed's operator want this link followed?"""
    if of_round is not None and not of_round.is_first and feed.first_poll != "all":
        changed_at = entry.published_at or entry.updated_at
        if changed_at is not None and changed_at < of_round.first_at:  # an old sitemap that was touched again
            return False
    return feed.offsite == "follow" or entry.url is None or gate_key(entry.url) == gate_key(feed.url)


def _article_row(deps: Deps, feed: Row, seen: Seen, now: datetime) -> dict[str, Any]:
    entry = seen.entry
    return {
        "article_id": seen.article_id,
        "feed_id": feed.id,
        "url": entry.url,
        "guid": entry.guid,
        "title": entry.title,
        "host": deps.gates.key(entry.url) if entry.url else feed.host,
        # without a link there is nothing to download: the feed's text is all there is
        "state": State.DISCOVERED if entry.url else State.DOWNLOADED,
        "exchange": None if entry.url else {"problem": "no-url"},
        "spooled": not entry.url,
        "priority": feed.priority,
        "feed_date": entry.published_at,
        "ready_at": now,
        "discovered_at": now,
    }
