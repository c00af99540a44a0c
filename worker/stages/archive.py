"""Archive: all of it -> the WARC bundle, the readable document, the texts by reference."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from importlib.metadata import version
from typing import Any

from sqlalchemy.engine import Connection

from worker.archive.bundle import Bundle, PageRecord, bundle, find_payload
from worker.archive.index import bundle_note
from worker.archive.keys import warc_key
from worker.archive.store import MissingObjectError
from worker.archive.verify import check_bundle
from worker.errors import QuarantineError
from worker.ledger import articles, bundles, feeds, kept, pages
from worker.ledger.tables import Row
from worker.model import Entry, State
from worker.stages import spool
from worker.stages.deps import Deps, Done, Save, begin, released, save_done, settled, unpacked
from worker.stages.extract import load_record
from worker.stages.kept import kept_bytes, page_place
from worker.stages.readable import bundled_facts, document_of, readable
from worker.stages.verify import promise_of

SOFTWARE = f"newsmill/{version('newsmill')}"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Input:
    """What the articles of a chain are written from, by row id; feeds by their own."""

    records: Mapping[int, bytes]
    entries: Mapping[int, bytes]
    feeds: Mapping[int, Row]
    earlier: Mapping[int, Mapping[str, Any]]  # ``articles.archive`` of the revision whose page is held
    spooled: Mapping[str, bytes]  # by key


@dataclass(frozen=True, slots=True, kw_only=True)
class _Written:
    """One article's evidence and documents, in the store; ``note`` is what the ledger keeps of the bundle."""

    values: Mapping[str, Any]
    note: Mapping[str, Any]


def archive(deps: Deps, ids: Sequence[int], *, token: str) -> list[int]:
    """Write the articles' evidence and documents. Returns: the ids that went well, in order.

    The row's ``archive`` is then: ``warc`` (key of this revision's bundle), ``record_id`` (of the page's response or
    revisit in it; of the article record where there is none), ``page`` (where the response with the payload is: warc,
    record_id, url, date; None: there never was a page), ``payload_sha256`` (of the page's body as stored),
    ``document``, ``document_sha256``, ``html_ref``, ``text_ref`` (None: the text fits into the message).
    """
    rows = begin(deps, ids, token=token, state=State.PICTURED)
    if not rows:
        return []
    given = deps.loaded(lambda tx: _load(tx, rows))

    def one(row: Row) -> _Written | Save[bool]:
        if deps.stopping.is_set():
            return released(deps, row)
        try:
            return _archived(deps, row, given)
        except Exception as error:  # noqa: BLE001 - costs its own article only; logged, reported and settled
            return settled(deps, row, "archive", error)

    def save(tx: Connection, done: Sequence[tuple[Row, _Written | Save[bool]]]) -> list[bool]:
        return _save(deps, tx, done)

    if deps.store.is_remote:
        went_well = deps.side_by_side(
            lambda row: partial(_save_one, save, row, one(row)),
            rows,
            give_up=lambda row: released(deps, row),
            failed=lambda row, error: settled(deps, row, "archive", error),
        )
    else:  # files gain nothing from threads, and these cost more than the writing
        done = [(row, one(row)) for row in rows]
        went_well = deps.saved_all(done, save, lambda pair, error: settled(deps, pair[0], "archive", error))
    return [row.id for row, well in zip(rows, went_well, strict=True) if well]


def _load(tx: Connection, rows: Sequence[Row]) -> _Input:
    ids = [row.id for row in rows]
    return _Input(
        records=articles.record_bodies(tx, ids),
        entries=articles.entry_bodies(tx, ids),
        feeds=feeds.by_ids(tx, sorted({row.feed_id for row in rows})),
        earlier=pages.of_earlier_revisions(tx, rows),
        spooled=spool.held(tx, rows),
    )


def _save_one(
    save: Callable[[Connection, Sequence[tuple[Row, _Written | Save[bool]]]], list[bool]],
    row: Row,
    came_to: _Written | Save[bool],
    tx: Connection,
) -> bool:
    return save(tx, [(row, came_to)])[0]


def _save(deps: Deps, tx: Connection, done: Sequence[tuple[Row, _Written | Save[bool]]]) -> list[bool]:
    """Bring the rows to their next state, and note the bundles of those that were still ours."""
    steps: list[tuple[Row, Done]] = [
        (row, came_to.values if isinstance(came_to, _Written) else came_to) for row, came_to in done
    ]
    went_well = save_done(deps, tx, steps, state=State.ARCHIVED)
    for (row, came_to), well in zip(done, went_well, strict=True):
        if well and isinstance(came_to, _Written):
            bundles.keep(tx, article_pk=row.id, now=deps.clock(), **came_to.note)
    return went_well


def _archived(deps: Deps, row: Row, given: _Input) -> _Written:
    """Write everything of one article; keys come from ids and digests, so a second writing is the same files."""
    record = load_record(given.records.get(row.id), row.article_id)
    entry = unpacked(given.entries[row.id], Entry) if row.id in given.entries else None
    feed = given.feeds[row.feed_id]
    document = document_of(row, record, entry, feed)
    beside = readable(row, record, document, slug=feed.slug, message_cap_bytes=deps.settings.message_cap_bytes)
    for key, one in beside.objects.items():
        deps.store.put(key, one.data, content_type=one.content_type)
    held = _held(deps, row, given.earlier[row.id]) if row.id in given.earlier else None
    written = bundle(
        article_id=row.article_id,
        revision=row.revision,
        exchange_data=_page_records(deps, row, given.spooled),
        picture_data=_picture_records(deps, row, given.spooled),
        metadata=bundled_facts(row, record, entry, feed.slug),
        markdown=record.markdown,
        written_at=row.extracted_at,
        software=SOFTWARE,
        page_url=(row.exchange or {}).get("url_final") or row.url or f"urn:newsmill:{row.article_id}",
        held=held.record if held else None,
    )
    warc_ref = warc_key(row.article_id, row.revision, row.discovered_at)
    deps.store.put(warc_ref, written.data, content_type="application/warc")
    refs = {
        "warc": warc_ref,
        "record_id": written.record_id,
        "payload_sha256": written.payload_sha256,
        "page": _page_note(written, warc_ref, held),
        **beside.refs,
    }
    return _Written(
        values={"archived_at": deps.clock(), "archive": refs},
        note=bundle_note(warc_ref, written.data, written.lines),
    )


# ---------------------------------------------------------------- the page


@dataclass(frozen=True, slots=True, kw_only=True)
class _Held:
    """The page that an earlier revision has, and the key of the bundle it is in."""

    warc: str
    record: PageRecord


def _held(deps: Deps, row: Row, earlier: Mapping[str, Any]) -> _Held | None:
    """The page that an earlier revision has; None: its bundle is not there any more, or not whole.

    A page that was fetched anew may be fetched because that one is damaged: nothing must lead to it before all of its
    bundle was read, as ``archive verify`` does. Nor is it known where newsmill 0.1 put it.
    """
    at, sha256 = page_place(earlier), earlier["payload_sha256"]
    if at is None:
        return None
    if "date" in at and not (row.exchange or {}).get("key"):
        date = datetime.fromisoformat(at["date"])
        record = PageRecord(record_id=at["record_id"], url=at["url"], date=date, payload_sha256=sha256)
        return _Held(warc=at["warc"], record=record)
    with suppress(MissingObjectError, QuarantineError):
        data = kept_bytes(deps.ledger, deps.store, at["warc"])
        noted = deps.loaded(lambda tx: kept.bundles_by_key(tx, [at["warc"]])).get(at["warc"])
        if check_bundle(data, promise_of(noted, {at["record_id"]: sha256})) is not None:
            return None
        found = find_payload(data, at["record_id"])
        record = PageRecord(record_id=found.record_id, url=found.url or "", date=found.date, payload_sha256=sha256)
        return _Held(warc=at["warc"], record=record)
    return None


def _page_note(written: Bundle, warc_ref: str, held: _Held | None) -> dict[str, Any] | None:
    page = written.page
    if page is None:
        return None
    return {
        "warc": held.warc if held and page is held.record else warc_ref,
        "record_id": page.record_id,
        "url": page.url,
        "date": page.date.isoformat(),
    }


def _page_records(deps: Deps, row: Row, spooled: Mapping[str, bytes]) -> bytes:
    key = (row.exchange or {}).get("key")
    return spool.read(deps, spooled, key) if key else b""


def _picture_records(deps: Deps, row: Row, spooled: Mapping[str, bytes]) -> bytes | None:
    key = (row.picture or {}).get("spool")
    return spool.picture_records(deps, spooled, key) if key else None
