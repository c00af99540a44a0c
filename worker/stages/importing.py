"""Import: a folder of readable documents -> articles, with their originals in the archive; published only when asked.

Each file has its outcome and costs nobody else anything. An article's rows are reserved first, then everything of it is
written, then its row says so: a run that broke off is simply run again.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
from sqlalchemy.engine import Connection

from worker.archive.bundle import bundle
from worker.archive.document import Document, read_document
from worker.archive.folder import Found, files_below
from worker.archive.index import bundle_note
from worker.archive.keys import warc_key
from worker.archive.records import digest, record_id_of, write_record
from worker.errors import NewsmillError, QuarantineError, UnavailableError
from worker.extract.article import read_article
from worker.extract.compare import compare
from worker.feeds.dates import EARLIEST
from worker.feeds.feedlist import slug_from
from worker.feeds.select import EntryKeys, keys_of
from worker.ledger import feeds, imports
from worker.ledger.tables import AFTER_THE_NEWS, Row
from worker.model import ArticleRecord, Entry, State
from worker.stages.archive import SOFTWARE
from worker.stages.deps import Deps, packed
from worker.stages.picture import named, picture_of
from worker.stages.readable import bundled_facts, imported_document, readable
from worker.stages.revisions import change_of, earlier
from worker.text import clean_line, strip_tags, text_sha256
from worker.urls import gate_key, usable_url

log = logging.getLogger("newsmill")

AT_ONCE = 200  # files that share their transactions
AT_ONCE_BYTES = 16 * 1024 * 1024  # of them; each is in memory several times
ABANDONED = timedelta(hours=1)  # no batch takes so long: whoever reserved a row and did not finish it broke off
NOT_ASKED_FOR = "not fetched: the article was imported"
NO_TEXT = "there is no text in it"
_EMPTY_HEADER = "<div></div><img"  # how our own documents begin where no date is known


class Outcome(StrEnum):
    """What became of a file."""

    IMPORTED = "imported"
    PUBLISHED = "published"  # handed to the line, which publishes it
    REVISION = "revision"  # another text of an article that was imported before
    KNOWN = "known"
    NOT_A_DOCUMENT = "not-a-document"
    DAMAGED = "damaged"
    UNREADABLE = "unreadable"
    NO_URL = "no-url"
    FAILED = "failed"  # a bug of ours


FAILURES = frozenset({Outcome.DAMAGED, Outcome.UNREADABLE, Outcome.NO_URL, Outcome.FAILED})


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """One file and its outcome."""

    path: Path  # below the folder
    outcome: Outcome
    detail: str | None = None
    article_id: str | None = None
    revision: int | None = None


def import_documents(
    deps: Deps, folder: Path, *, feed: str | None = None, publish: bool = False, dry_run: bool = False
) -> Iterator[Imported]:
    """Import every document below a folder; each outcome comes when it is committed.

    Args:
        feed: Slug of the feed that the articles belong to; None: each file's folder names it. One that is not known is
            made, switched off.
        publish: Hand the articles to the line, also those that an earlier import kept to itself.
        dry_run: Say what would become of each file, and write nothing.
    Raises: UnavailableError: the ledger or the store is away; what was told is done, and the next run goes on.
    """
    run = _Run(deps=deps, publish=publish, dry_run=dry_run)
    batch: list[_Read | Imported] = []
    for found in files_below(folder):
        slug = (feed, None) if feed is not None else slug_of(folder.resolve().name, found.path)
        read = _read(deps, found, *slug)
        if _is_full(batch) or (isinstance(read, _Read) and any(_is_same(read, other) for other in batch)):
            yield from run.finish(batch)
            batch = []
            if deps.stopping.is_set():
                return
        batch.append(read)
    yield from run.finish(batch)


def slug_of(folder: str, path: Path) -> tuple[str, str]:
    """The slug and title of the feed that a file belongs to, by the folder that it is in.

    Folders that are numbers are the parts of a date: the one above counts, up to the folder that is imported.

    Args:
        folder: Name of the folder that is imported.
        path: The file's, below it.
    """
    names = [name for name in (folder, *path.parts[:-1]) if name and not name.isdigit()]
    name = names[-1] if names else "documents"
    title = clean_line(name, 200) or "documents"
    return slug_from(name) or f"import-{hashlib.sha256(name.encode('utf-8', 'replace')).hexdigest()[:8]}", title


# ---------------------------------------------------------------- reading


@dataclass(frozen=True, slots=True, kw_only=True)
class _Read:
    """A document that was read: what the feed said, and the article in it."""

    path: Path
    slug: str
    feed_title: str | None
    data: bytes
    document: Document
    entry: Entry
    keys: EntryKeys
    record: ArticleRecord
    text_sha256: str

    @property
    def is_publishable(self) -> bool:
        return self.record.not_article is None


def _is_full(batch: Sequence[_Read | Imported]) -> bool:
    size = sum(len(one.data) for one in batch if isinstance(one, _Read))
    return len(batch) >= AT_ONCE or size >= AT_ONCE_BYTES


def _is_same(read: _Read, other: _Read | Imported) -> bool:
    return isinstance(other, _Read) and other.keys.article_id == read.keys.article_id


def _read(deps: Deps, found: Found, slug: str, feed_title: str | None) -> _Read | Imported:
    if found.problem is not None:
        outcome = Outcome.UNREADABLE if found.is_failure else Outcome.NOT_A_DOCUMENT
        return Imported(path=found.path, outcome=outcome, detail=found.problem)
    try:
        document = read_document(found.data)
    except QuarantineError as error:
        outcome = Outcome.DAMAGED if error.reason == "damaged-document" else Outcome.NOT_A_DOCUMENT
        return Imported(path=found.path, outcome=outcome, detail=error.message)
    entry = _entry_of(document, deps.clock())
    if entry.url is None:
        return Imported(path=found.path, outcome=Outcome.NO_URL, detail="its address is none that can be requested")
    try:
        record = read_article(b"", entry.url, None, entry, fulltext="always").record
    except Exception as error:  # noqa: BLE001 - a bug of ours costs this file only; reported
        deps.report(error, stage="import", tags={"path": str(found.path)})
        return Imported(path=found.path, outcome=Outcome.FAILED, detail=f"{type(error).__name__}: please report it")
    return _Read(
        path=found.path,
        slug=slug,
        feed_title=feed_title,
        data=found.data,
        document=document,
        entry=entry,
        keys=keys_of([entry], slug)[0],
        record=record,
        text_sha256=text_sha256(record.text),
    )


def _entry_of(document: Document, now: datetime) -> Entry:
    """What a feed would have said. A date before there were feeds is none, one in the future is now, as with feeds."""
    date = document.feed_date
    title = clean_line(strip_tags(document.title)) or None
    raw = document.title.strip()
    return Entry(
        guid=None,
        url=usable_url(document.url),
        title=title,
        title_raw=raw if raw and raw != title else None,
        content_html=document.body.removeprefix("<div></div>" if document.body.startswith(_EMPTY_HEADER) else ""),
        published_at=min(date, now) if date is not None and date >= EARLIEST else None,
    )


# ---------------------------------------------------------------- deciding


@dataclass(frozen=True, slots=True, kw_only=True)
class _Plan:
    """What is to be done about a document."""

    read: _Read
    outcome: Outcome
    row: Row | None = None  # the revision that has this text; None: it is still to be made
    before: Row | None = None  # the revision that a new one follows
    abandoned: Row | None = None  # the reserved row whose place a new one takes
    change: Mapping[str, Any] | None = None  # of that
    article_id: str
    revision: int

    @property
    def is_new(self) -> bool:
        return self.row is None and self.outcome is not Outcome.KNOWN

    @property
    def is_unwritten(self) -> bool:
        """Was the row reserved by a run that broke off?"""
        return self.row is not None and self.row.archive is None and self.outcome is not Outcome.KNOWN


def _planned(read: _Read, rows: Sequence[Row], *, publish: bool, now: datetime) -> _Plan:
    """Args: rows: The revisions that are known of the article, oldest first."""
    publish = publish and read.is_publishable
    outcome = Outcome.PUBLISHED if publish else Outcome.IMPORTED
    plan = partial(_Plan, read=read)
    if not rows:
        return plan(outcome=outcome, article_id=read.keys.article_id, revision=1)
    same = next((row for row in rows if imports.is_imported(row) and _is_of(row, read)), None)
    if same is not None:
        return _settled(plan(outcome=outcome, article_id=same.article_id, revision=same.revision), same)
    last = rows[-1]
    plan = partial(plan, article_id=last.article_id)
    if not imports.is_imported(last):
        return plan(outcome=Outcome.KNOWN, row=last, revision=last.revision)
    if last.archive is not None:
        return plan(outcome=Outcome.REVISION, before=last, revision=last.revision + 1)
    if now - last.extracted_at < ABANDONED:
        return plan(outcome=Outcome.KNOWN, row=last, revision=last.revision)
    before = rows[-2] if len(rows) > 1 else None
    outcome = outcome if before is None else Outcome.REVISION
    return plan(outcome=outcome, before=before, abandoned=last, revision=last.revision)


def _is_of(row: Row, read: _Read) -> bool:
    """Was this revision made of this document? Also when its text was read otherwise by an older newsmill."""
    if row.text_sha256 == read.text_sha256:
        return True
    document = imported_document(read.data, read.document, row)
    return row.archive is not None and row.archive["document_sha256"] == hashlib.sha256(document).hexdigest()


def _settled(plan: _Plan, row: Row) -> _Plan:
    """What is left to do about a document that a row has: nothing, as a rule."""
    outcome = plan.outcome
    is_due = row.state == State.IMPORTED and (row.archive is None or outcome is Outcome.PUBLISHED)
    if not is_due:
        outcome = Outcome.KNOWN
    elif row.archive is None and row.change is not None:
        outcome = Outcome.REVISION
    return replace(plan, outcome=outcome, row=row, before=None, abandoned=None, revision=row.revision)


# ---------------------------------------------------------------- doing


@dataclass(slots=True, kw_only=True)
class _Run:
    deps: Deps
    publish: bool
    dry_run: bool
    pretended: dict[str, set[str]] = field(default_factory=dict)  # of a dry run: article id -> texts it would have now

    def finish(self, batch: Sequence[_Read | Imported]) -> Iterator[Imported]:
        """Import what was read; one outcome for each, in order."""
        reads = [one for one in batch if isinstance(one, _Read)]
        done = dict(zip(map(id, reads), self._imported(reads), strict=True)) if reads else {}
        for one in batch:
            yield one if isinstance(one, Imported) else done[id(one)]

    def _imported(self, reads: Sequence[_Read]) -> list[Imported]:
        deps = self.deps
        known = deps.loaded(lambda tx: imports.known(tx, [read.keys.article_id for read in reads]))
        plans = [self._compared(self._planned(read, known.get(read.keys.article_id, ()))) for read in reads]
        if self.dry_run:
            return [self._pretended(plan) for plan in plans]
        plans = deps.saved(lambda tx: _reserved(tx, plans, deps.clock()))
        ids = sorted({plan.row.feed_id for plan in plans if plan.row is not None and plan.is_unwritten})
        slugs = {feed_id: feed.slug for feed_id, feed in deps.loaded(lambda tx: feeds.by_ids(tx, ids)).items()}
        written = list(deps.threads.map(lambda plan: self._written(plan, slugs, known), plans))
        return deps.saved(lambda tx: self._noted(tx, written))

    def _planned(self, read: _Read, rows: Sequence[Row]) -> _Plan:
        return _planned(read, rows, publish=self.publish, now=self.deps.clock())

    def _compared(self, plan: _Plan) -> _Plan:
        """What a new text changed: typography alone makes no revision."""
        if plan.before is None:
            return plan
        try:
            before = earlier(self.deps, plan.before)
        except QuarantineError as error:
            log.warning("import.no_earlier", extra={"article_id": plan.article_id, "error": str(error)})
            lost = {"previous": plan.before.revision, "fields": ["text"], "ratio": 1.0, "class": "rewrite"}
            return replace(plan, change=lost)
        found = compare(before.record, plan.read.record, picture=picture_of(plan.before))
        if not found.is_revision:
            publish = self.publish and plan.read.is_publishable
            return _settled(replace(plan, outcome=Outcome.PUBLISHED if publish else Outcome.IMPORTED), plan.before)
        return replace(plan, change=change_of(found, previous=plan.before.revision))

    def _pretended(self, plan: _Plan) -> Imported:
        texts = self.pretended.setdefault(plan.article_id, set())
        outcome = plan.outcome
        if texts and plan.is_new:
            outcome = Outcome.KNOWN if plan.read.text_sha256 in texts else Outcome.REVISION
        if outcome is not Outcome.KNOWN:
            texts.add(plan.read.text_sha256)
        return _told(replace(plan, outcome=outcome))

    def _written(self, plan: _Plan, slugs: Mapping[int, str], known: Mapping[str, Sequence[Row]]) -> _Written:
        written, row = _Written(plan=plan), plan.row
        if row is None or plan.outcome is Outcome.KNOWN:
            return written
        try:
            if plan.is_unwritten:
                written = _write(self.deps, plan, row, slugs[row.feed_id])
            if self.publish and plan.read.is_publishable:
                older = [other for other in known.get(plan.read.keys.article_id, ()) if other.revision < row.revision]
                written = replace(written, bodies=self._to_hand_over(plan.read, row, older))
        except UnavailableError:
            raise
        except Exception as error:  # noqa: BLE001 - costs this file only; reported
            if not isinstance(error, NewsmillError):
                self.deps.report(error, stage="import", tags={"path": str(plan.read.path)})
            return replace(written, problem=f"{type(error).__name__}: {error}"[:300])
        return written

    def _to_hand_over(self, read: _Read, row: Row, older: Sequence[Row]) -> dict[int, bytes]:
        """The packed records of rows that the line shall publish, by row id.

        Who is told of a later revision has to be told of the earlier ones. Raises: QuarantineError: one is lost.
        """
        as_archived = [one for one in older if one.state == State.IMPORTED and one.archive]
        bodies = {one.id: packed(earlier(self.deps, one).record) for one in as_archived}
        is_this_text = row.text_sha256 == read.text_sha256
        return bodies | {row.id: packed(read.record if is_this_text else earlier(self.deps, row).record)}

    def _noted(self, tx: Connection, written: Sequence[_Written]) -> list[Imported]:
        now = self.deps.clock()
        told: list[Imported] = []
        bodies: dict[int, bytes] = {}
        for one in written:
            plan = one.plan
            if plan.row is not None and one.values:
                values = {**one.values, "archived_at": now, "ready_at": now, "ended_at": now}
                if not imports.finish(tx, plan.row, values, bundle={**one.bundle, "now": now}):
                    plan = replace(plan, outcome=Outcome.KNOWN)  # another import was faster
            if plan.outcome is not Outcome.KNOWN:
                bodies |= one.bodies
            told.append(_told(plan, one.problem))
        if bodies:
            imports.hand_over(tx, bodies, priority=AFTER_THE_NEWS, now=now)
        return told


def _told(plan: _Plan, problem: str | None = None) -> Imported:
    detail = problem
    if detail is None and plan.outcome is Outcome.KNOWN and plan.row is not None:
        detail = None if imports.is_imported(plan.row) else f"it is {plan.row.state}"
    elif detail is None and not plan.read.is_publishable:
        detail = NO_TEXT
    return Imported(
        path=plan.read.path,
        outcome=plan.outcome if problem is None else Outcome.FAILED,
        detail=detail,
        article_id=plan.article_id,
        revision=plan.revision,
    )


# ---------------------------------------------------------------- rows


def _reserved(tx: Connection, plans: Sequence[_Plan], now: datetime) -> list[_Plan]:
    """Make the rows of what is new. What somebody else made meanwhile is known."""
    new = [plan for plan in plans if plan.is_new]
    slugs = {plan.read.slug: plan.read.feed_title for plan in new}
    their_feeds = {slug: imports.feed_for(tx, slug, title=title, now=now) for slug, title in slugs.items()}
    rows = [_row(plan, their_feeds[plan.read.slug], now) for plan in new]
    taken = [imports.take_over(tx, plan.abandoned, row) for plan, row in zip(new, rows, strict=True) if plan.abandoned]
    fresh = imports.reserve(tx, rows)  # of what was taken over there is a row
    reserved = {(row.article_id, row.revision): row for row in (*filter(None, taken), *fresh)}
    feeds.insert_sightings(
        tx,
        [
            _sighting(plan, their_feeds[plan.read.slug], now)
            for plan in new
            if (plan.article_id, plan.revision) in reserved
        ],
    )
    done = []
    for plan in plans:
        row = reserved.get((plan.article_id, plan.revision))
        if not plan.is_new:
            done.append(plan)
        else:
            done.append(replace(plan, row=row) if row is not None else replace(plan, outcome=Outcome.KNOWN))
    return done


def _row(plan: _Plan, feed: Row, now: datetime) -> dict[str, Any]:
    """A later revision stays where the first one is: its document takes the place of that one's."""
    read, before = plan.read, plan.before
    return {
        "article_id": plan.article_id,
        "revision": plan.revision,
        "feed_id": before.feed_id if before is not None else feed.id,
        "url": read.entry.url,
        "title": read.record.title,
        "host": gate_key(read.entry.url or ""),
        "priority": AFTER_THE_NEWS,
        "feed_date": read.entry.published_at,
        "ready_at": now,
        "discovered_at": before.discovered_at if before is not None else read.entry.published_at or now,
        "extracted_at": now,
        "ended_at": now,
        "text_sha256": read.text_sha256,
        "picture": _picture(read.record),
        "change": dict(plan.change) if plan.change is not None else None,
    }


def _picture(record: ArticleRecord) -> dict[str, Any] | None:
    """The lead picture by its origin, as the picture stage would name one that it did not get."""
    image = record.image
    if image is None:
        return None
    return {**msgspec.to_builtins(named(image, problem=NOT_ASKED_FOR)), "spool": None}


def _sighting(plan: _Plan, feed: Row, now: datetime) -> dict[str, Any]:
    """As a poll would note it, so that one that meets this item later finds it known."""
    read = plan.read
    return {
        "feed_id": feed.id,
        "entry_key": read.keys.entry_key,
        "guid_key": read.keys.guid_key,
        "article_id": plan.article_id,
        "url": read.entry.url,
        "title": read.entry.title,
        "feed_date": read.entry.published_at,
        "seen_at": now,
        "fingerprint": read.keys.fingerprint,
        "skipped": False,
    }


# ---------------------------------------------------------------- objects


@dataclass(frozen=True, slots=True, kw_only=True)
class _Written:
    """What was written of a document, to be noted."""

    plan: _Plan
    values: Mapping[str, Any] = field(default_factory=dict)  # of its row
    bundle: Mapping[str, Any] = field(default_factory=dict)
    bodies: Mapping[int, bytes] = field(default_factory=dict)  # to hand over to the line, by row id
    problem: str | None = None


def _write(deps: Deps, plan: _Plan, row: Row, slug: str) -> _Written:
    """Write everything of one article. The same row and document always give the same objects."""
    read, store = plan.read, deps.store
    document = imported_document(read.data, read.document, row)
    beside = readable(row, read.record, document, slug=slug, message_cap_bytes=deps.settings.message_cap_bytes)
    refs = dict(beside.refs)
    for key, one in beside.objects.items():
        may_be_later_s = key == beside.document and row.revision == 1
        if store.put(key, one.data, content_type=one.content_type, only_new=may_be_later_s):
            continue
        if _has_later(deps, row):  # another import was faster: the document is that revision's by now
            refs["document_sha256"] = hashlib.sha256(store.get(key)).hexdigest()
        else:  # what a run left that broke off
            store.put(key, one.data, content_type=one.content_type)
    original_id, original = _original(read, row)
    written = bundle(
        article_id=row.article_id,
        revision=row.revision,
        exchange_data=b"",
        picture_data=original,  # copied as it is, like a picture's exchange
        metadata=_metadata(read, row, slug, original_id),
        markdown=read.record.markdown,
        written_at=row.extracted_at,
        software=SOFTWARE,
        page_url=row.url,
    )
    warc = warc_key(row.article_id, row.revision, row.discovered_at)
    store.put(warc, written.data, content_type="application/warc")
    archive = {
        "warc": warc,
        "record_id": written.record_id,
        "payload_sha256": None,
        "page": None,
        **refs,
    }
    kept = bundle_note(warc, written.data, written.lines)
    return _Written(plan=plan, values={"archive": archive}, bundle=kept)


def _has_later(deps: Deps, row: Row) -> bool:
    newest = deps.loaded(lambda tx: imports.known(tx, [row.article_id]))[row.article_id][-1]
    return bool(newest.revision > row.revision)


def _original(read: _Read, row: Row) -> tuple[str, bytes]:
    """The file as a WARC record; it is no capture of the article's address, and so has a URI of its own."""
    record_id = record_id_of("resource", row.article_id, str(row.revision), hashlib.sha256(read.data).hexdigest())
    written = write_record(
        "resource",
        record_id=record_id,
        captured_at=row.extracted_at,
        content_type="text/markdown; charset=utf-8",
        block=read.data,
        block_digest=digest(read.data),
        url=f"urn:document:{row.url}",
        payload_start=0,
    )
    return record_id, written.data


def _metadata(read: _Read, row: Row, slug: str, original_id: str) -> dict[str, Any]:
    """The article record as a bundle of the line has it, and where it came from."""
    origin = {"record_id": original_id, "sha256": hashlib.sha256(read.data).hexdigest()}
    return {**bundled_facts(row, read.record, read.entry, slug), "imported": origin}
