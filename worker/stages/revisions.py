"""What an article was, as its archive has it, and what a new reading of it changed."""

from __future__ import annotations

import zlib
from dataclasses import dataclass, replace
from typing import Any

import msgspec

from worker.archive.bundle import BundleRecord, find_payload, read_bundle
from worker.archive.store import MissingObjectError
from worker.errors import QuarantineError
from worker.extract.article import Reading, read_article
from worker.extract.compare import Comparison
from worker.extract.feedtext import Fulltext
from worker.extract.sites import NOTHING_KNOWN, Furniture
from worker.fetch.coding import decoded_body
from worker.ledger import publications
from worker.ledger.imports import is_imported
from worker.ledger.tables import Row
from worker.model import ArticleRecord, Entry, Hop, Picture
from worker.stages.deps import Deps
from worker.stages.download import habit_of_feed
from worker.stages.kept import kept_bytes, page_place


@dataclass(frozen=True, slots=True, kw_only=True)
class Earlier:
    """An archived revision: what was read, what the feed said, and the page, where one was had and read."""

    record: ArticleRecord  # without html, markdown and image; of what was lost, what its message says
    picture: Picture | None  # what was found for it; None: it named none
    entry: Entry | None
    page: Hop | None


def earlier(deps: Deps, row: Row) -> Earlier:
    """Read an archived revision back from its bundle, its page from that of the revision that has it.

    Raises: QuarantineError: ``store-lost``, ``damaged-warc``: the archive does not give it back. UnavailableError.
    """
    try:
        records = read_bundle(kept_bytes(deps.ledger, deps.store, row.archive["warc"]))
        page = _page(deps, row, records)
    except MissingObjectError as error:
        raise QuarantineError("store-lost", str(error)) from error
    facts = next((record.payload for record in records if record.type == "metadata"), None)
    if facts is None:
        raise QuarantineError("damaged-warc", f"{row.archive['warc']} has no record of its article")
    try:
        said = msgspec.json.decode(facts)
        entry = msgspec.convert(said["entry"], Entry | None) if "entry" in said else _entry_of(row)
        record, picture = _record(said), msgspec.convert(said["image"], Picture | None)
    except (msgspec.MsgspecError, KeyError, TypeError) as error:
        raise QuarantineError("damaged-warc", f"{row.archive['warc']}: {error}") from error
    return Earlier(record=record, picture=picture, entry=entry, page=page)


def earlier_or_published(deps: Deps, row: Row) -> Earlier:
    """As ``earlier``; where the archive does not give it back, what is in its message, and no page.

    Raises: QuarantineError: there is no message either. UnavailableError.
    """
    try:
        return earlier(deps, row)
    except QuarantineError as lost:
        publication = deps.loaded(lambda tx: publications.of_article(tx, row.id))
        if publication is None:
            raise
        said = msgspec.json.decode(zlib.decompress(publication.body))
        if said["text"] is None:
            try:
                said["text"] = deps.store.get(said["text_ref"]).decode("utf-8", "replace")
            except MissingObjectError:
                raise lost from None
        picture = msgspec.convert(said["image"], Picture | None)
        return Earlier(record=_record(said), picture=picture, entry=_entry_of(row), page=None)


def _record(said: dict[str, Any]) -> ArticleRecord:
    """Raises: msgspec.MsgspecError, TypeError: these are no facts of a record."""
    return msgspec.convert({**said, "image": None}, ArticleRecord)


def has_page(row: Row) -> bool:
    """Was the article's page had, and was it one? Else the feed's text is all there is."""
    return page_place(row.archive or {}) is not None and (row.exchange or {}).get("problem") is None


def _page(deps: Deps, row: Row, records: list[BundleRecord]) -> Hop | None:
    page = page_place(row.archive or {})
    if page is None or not has_page(row):
        return None
    if page["warc"] == row.archive["warc"]:
        found = next((record for record in records if record.record_id == page["record_id"]), None)
        if found is None:
            raise QuarantineError("damaged-warc", f"{page['warc']} has no {page['record_id']}")
    else:
        found = find_payload(kept_bytes(deps.ledger, deps.store, page["warc"]), page["record_id"])
    hop = as_hop(found, truncated=row.exchange.get("truncated"))
    return replace(hop, url=row.exchange.get("url_final") or hop.url or row.url)


def as_hop(record: BundleRecord, *, truncated: str | None = None) -> Hop:
    """An archived response, as far as reading its body goes."""
    return Hop(
        url=record.url or "",
        method="GET",
        request_head=b"",
        status=200,
        response_head=record.http_head,
        headers=record.headers,
        body=record.payload,
        began_at=record.date,
        ended_at=record.date,
        ip=None,
        truncated=truncated,
    )


def _entry_of(row: Row) -> Entry:
    """What the ledger still knows of the feed's item: bundles of newsmill 0.1 did not keep it."""
    return Entry(guid=row.guid, url=row.url, title=row.title, published_at=row.feed_date)


def furniture_again(was: Earlier) -> Furniture:
    """What the archived reading cut from the page because of its siblings: all that a new reading may know of them.

    What the site's pages taught since is no change of the article: readers would get a revision of each.
    """
    return Furniture(known=frozenset(was.record.furniture))


def read_again(was: Earlier, row: Row, feed: Row, *, cap_bytes: int) -> ArticleRecord:
    """As ``reading``: the record of what the archive has."""
    return reading(was.page, was.entry, row, feed, cap_bytes=cap_bytes, furniture=furniture_again(was)).record


def reading(
    page: Hop | None,
    entry: Entry | None,
    row: Row,
    feed: Row,
    *,
    cap_bytes: int,
    furniture: Furniture = NOTHING_KNOWN,
) -> Reading:
    """Read the article out of its page and the feed's item, as the feed's settings and its habits want it.

    Raises: RetryableError, QuarantineError: the body cannot be read. Whatever a bug of ours raises.
    """
    html = decoded_body(page, cap_bytes) if page is not None else b""
    url, headers = (page.url, page.headers) if page is not None else (row.url, ())
    fulltext: Fulltext = "always" if is_imported(row) else feed.fulltext
    habit = habit_of_feed(feed)
    return read_article(html, url, headers, entry, fulltext=fulltext, habit=habit, furniture=furniture)


def change_of(comparison: Comparison, *, previous: int) -> dict[str, Any]:
    """A revision's note of what it changed. Args: previous: The revision that it follows."""
    return {
        "previous": previous,
        "fields": list(comparison.changes),
        "ratio": comparison.ratio,
        "class": comparison.change_class,
    }
