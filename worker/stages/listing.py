"""List documents: what was archived lately -> the index documents of its days and feeds."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta
from itertools import groupby

from worker.archive.keys import document_place, index_key
from worker.archive.listing import Listed, day_index, feed_index, listed_by_day, read_feed_index
from worker.archive.store import MissingObjectError
from worker.ledger import listings
from worker.ledger.tables import Row
from worker.stages.deps import Deps

LIST_EVERY = timedelta(minutes=5)
EARLY = timedelta(seconds=10)  # by which a tick may come before its time
SETTLED = timedelta(minutes=1)  # what is younger may belong to a transaction that is not committed yet
LOOKED_BACK = timedelta(days=1)  # when nobody knows what was listed since the clock was set back
MOST_DAYS = 200  # a round; more wait for the next one
MOST_ROWS = 10_000
MARKDOWN = "text/markdown; charset=utf-8"

Day = tuple[int, str, date]  # of a feed, by its id and by the slug that its documents' keys have


def list_documents(deps: Deps) -> int:
    """Write the index documents of the days, and of their feeds, to which articles were added since the last time.

    Does nothing within LIST_EVERY of the last time that it was up to date. A round that breaks off is repeated.
    Returns: how many documents were written.
    """
    now = deps.clock()
    was = deps.loaded(listings.mark)
    is_ahead = was is not None and was > now + LIST_EVERY  # the clock was set back
    if was is not None and not is_ahead and now - was < LIST_EVERY + SETTLED - EARLY:
        return 0
    until = now - SETTLED
    after = now - LOOKED_BACK if is_ahead else was
    rows = deps.loaded(lambda tx: listings.archived_since(tx, after=after, until=until, limit=MOST_ROWS))
    if len(rows) == MOST_ROWS:  # others may have come at the last one's moment
        until = rows[-1].at
        rows = deps.loaded(lambda tx: listings.archived_since(tx, after=after, until=until, limit=None))
    days, until = _bounded(rows, until)
    counts: dict[str, dict[date, int]] = {}
    for feed_id, slug, day in days:
        if deps.stopping.is_set():
            return 0
        counts.setdefault(slug, {})[day] = _write_day(deps, feed_id, slug, day)
    for slug, found in counts.items():
        _write_feed(deps, slug, found)
    deps.saved(lambda tx: listings.move_mark(tx, was=was, to=until))
    return len(days) + len(counts)


def _bounded(rows: Sequence[Row], until: datetime) -> tuple[list[Day], datetime]:
    """The days of the rows, in their order, as many as one round takes; and up to when they are all."""
    days: dict[Day, None] = {}
    reached = until
    for at, together in groupby(rows, key=lambda row: row.at):
        found = {(row.feed_id, *document_place(row.document)): None for row in together}
        if days and len(days | found) > MOST_DAYS:
            return list(days), reached
        days |= found
        reached = at
    return list(days), until


def _write_day(deps: Deps, feed_id: int, slug: str, day: date) -> int:
    """Returns: how many articles the day has."""
    since = datetime.combine(day, time(), UTC)
    rows = deps.loaded(lambda tx: listings.documents_of(tx, feed_id, since=since, until=since + timedelta(days=1)))
    by_day = listed_by_day(Listed(key=row.document, title=row.title, found_at=row.discovered_at) for row in rows)
    listed = by_day.get((slug, day), [])
    deps.store.put(index_key(slug, day), day_index(slug, day, listed), content_type=MARKDOWN)
    return len(listed)


def _write_feed(deps: Deps, slug: str, found: dict[date, int]) -> None:
    """Days that were not touched stay as they are listed: nobody counts a feed's whole past for one new article."""
    key = index_key(slug)
    try:
        known = read_feed_index(deps.store.get(key))
    except MissingObjectError:
        known = {}
    title = deps.loaded(lambda tx: listings.feed_titles(tx, [slug])).get(slug)
    deps.store.put(key, feed_index(slug, title, known | found), content_type=MARKDOWN)
