"""Rewrite: documents, HTML, texts and lost pictures again from what the bundles keep. No revision, no message.

For when a feed's ``document_body`` or ``image_proxy`` was changed, and when objects beside a good bundle were damaged.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

from worker.archive.bundle import read_bundle
from worker.archive.document import read_document
from worker.archive.store import MissingObjectError
from worker.errors import QuarantineError, UnavailableError
from worker.fetch.coding import decoded_body
from worker.ledger import feeds, reprocessings
from worker.ledger.imports import is_imported
from worker.ledger.tables import Row
from worker.stages.deps import Deps
from worker.stages.kept import kept_bytes
from worker.stages.readable import DOCUMENT_TYPE, Object, document_of, imported_document, readable
from worker.stages.reprocess import LISTED, Named, Progress, Run, in_parts, problem_of
from worker.stages.revisions import Earlier, as_hop, earlier, read_again


@dataclass(slots=True, kw_only=True)
class Rewritten:
    """What was done, or would be."""

    looked_at: int = 0
    documents: int = 0  # whose bytes are others now
    restored: int = 0  # objects that were lost or damaged
    problems: list[Named] = field(default_factory=list)  # could not be written
    problem_count: int = 0


def rewrite_all(deps: Deps, run: Run, *, up_to: int, total: int, dry_run: bool, progress: Progress) -> Rewritten:
    """Go over the articles of a run. What is as it should be is not written; done twice, nothing is.

    Args:
        up_to: The newest row to look at.
        total: How many articles that are, for ``progress``.
        dry_run: Count only.
    Raises: UnavailableError: the database or the store is away.
    """
    done = Rewritten()
    thorough = bool(run.selection.article_ids)
    for rows in in_parts(deps, run, up_to=up_to):
        their_feeds = deps.loaded(lambda tx: feeds.by_ids(tx, sorted({row.feed_id for row in rows})))  # noqa: B023 - called at once
        notes: dict[int, Mapping[str, Any]] = {}
        for row in rows:
            if deps.stopping.is_set():
                break
            came_to = _rewrite(deps, row, their_feeds[row.feed_id], thorough=thorough, dry_run=dry_run)
            _count(done, row, came_to)
            if came_to.note is not None and came_to.note != row.archive:
                notes[row.id] = came_to.note
        if notes and not dry_run:
            deps.saved(lambda tx: reprocessings.rewritten(tx, notes))  # noqa: B023 - called at once
        progress(done.looked_at, total)
    return done


@dataclass(frozen=True, slots=True, kw_only=True)
class _CameTo:
    """What became of one article: its row's new note, and how many objects were wrong; or a problem."""

    note: Mapping[str, Any] | None = None
    is_other: bool = False  # its document has other bytes now
    restored: int = 0
    problem: str | None = None


def _count(done: Rewritten, row: Row, came_to: _CameTo) -> None:
    done.looked_at += 1
    done.documents += came_to.is_other
    done.restored += came_to.restored
    if came_to.problem is not None:
        done.problem_count += 1
        if len(done.problems) < LISTED:
            named = Named(article_id=row.article_id, url=row.url, title=row.title, what=came_to.problem)
            done.problems.append(named)


def _rewrite(deps: Deps, row: Row, feed: Row, *, thorough: bool, dry_run: bool) -> _CameTo:
    """Write one article's again; what is wrong with it costs only this one. Raises: UnavailableError."""
    try:
        wanted = _wanted(deps, row, feed, thorough=thorough)
        wrong = {key: one for key, one in wanted.objects.items() if _is_wrong(deps, key, one)}
        if not dry_run:
            for key, one in wrong.items():
                deps.store.put(key, one.data, content_type=one.content_type)
    except UnavailableError:
        raise
    except Exception as error:  # noqa: BLE001 - costs its own article only; logged, listed, and reported when a surprise
        return _CameTo(problem=problem_of(deps, row, error))
    is_other = wanted.note["document_sha256"] != row.archive.get("document_sha256")
    restored = len(wrong) - (is_other and wanted.document in wrong)
    return _CameTo(note=wanted.note, is_other=is_other, restored=restored)


# ---------------------------------------------------------------- what should be there


@dataclass(frozen=True, slots=True, kw_only=True)
class _Wanted:
    """What should lie in the store beside an article's bundle, and the row's note of it."""

    objects: Mapping[str, Object]  # by key
    document: str  # key
    note: Mapping[str, Any]  # ``articles.archive``


def _wanted(deps: Deps, row: Row, feed: Row, *, thorough: bool) -> _Wanted:
    """Raises: QuarantineError: the archive does not give back what it is made from. UnavailableError."""
    was = earlier(deps, row)
    record = replace(was.record, html=_html(deps, row, feed, was))
    document = document_of(row, record, was.entry, feed)
    beside = readable(row, record, document, slug=feed.slug, message_cap_bytes=deps.settings.message_cap_bytes)
    refs = beside.refs
    if refs["html_ref"] != row.archive["html_ref"]:
        raise QuarantineError("store-lost", "its HTML is lost, and today's rules read another one: --stage extract")
    objects = {**beside.objects, **_picture(deps, row, thorough=thorough)}
    note = {**row.archive, **refs, "text_ref": refs["text_ref"] or row.archive.get("text_ref")}
    imported = _from_file(deps, row)
    if imported is not None:  # it stays what it was in the older archive, whatever the feed's settings are
        objects.pop(beside.document)
        note |= {name: row.archive[name] for name in ("document", "document_sha256")}
        if hashlib.sha256(imported).hexdigest() == note["document_sha256"]:
            objects[note["document"]] = Object(data=imported, content_type=DOCUMENT_TYPE)
    return _Wanted(objects=objects, document=note["document"], note=note)


def _from_file(deps: Deps, row: Row) -> bytes | None:
    """The document that an import wrote from the file in the bundle; None: this revision was read here.

    Raises: QuarantineError: ``damaged-warc``, ``damaged-document``.
    """
    if not is_imported(row):
        return None
    records = read_bundle(kept_bytes(deps.ledger, deps.store, row.archive["warc"]))
    file = next((record.payload for record in records if record.type == "resource"), None)
    if file is None:
        return None
    return imported_document(file, read_document(file), row)


def _html(deps: Deps, row: Row, feed: Row, was: Earlier) -> str:
    """The article's HTML, read from its page again if the archive has lost it."""
    key = row.archive["html_ref"]
    with suppress(MissingObjectError):
        data = deps.store.get(key)
        if _is_named_for(key, data):
            return data.decode("utf-8")
    return read_again(was, row, feed, cap_bytes=deps.settings.page_cap_bytes).html


def _picture(deps: Deps, row: Row, *, thorough: bool) -> dict[str, Object]:
    """The lead picture's object, if it is lost, or damaged and looked at; it comes from the bundle that has it.

    Raises: QuarantineError: none has.
    """
    picture = row.picture or {}
    key = picture.get("ref")
    if key is None or (_is_there(deps, key) if thorough else deps.store.exists(key)):
        return {}
    revisions = deps.loaded(lambda tx: reprocessings.archived_revisions(tx, row.article_id))
    for revision in revisions:
        with suppress(MissingObjectError, QuarantineError):
            for record in read_bundle(kept_bytes(deps.ledger, deps.store, revision.archive["warc"])):
                if record.type != "response":
                    continue
                data = decoded_body(as_hop(record, truncated="unspecified"), deps.settings.picture_cap_bytes)
                if hashlib.sha256(data).hexdigest() == picture["sha256"]:
                    return {key: Object(data=data, content_type=picture["media_type"])}
    raise QuarantineError("store-lost", "its picture is lost, and no bundle has it")


def _is_there(deps: Deps, key: str) -> bool:
    """Is an object that is named by its digest there and whole?"""
    try:
        return _is_named_for(key, deps.store.get(key))
    except MissingObjectError:
        return False


def _is_named_for(key: str, data: bytes) -> bool:
    return hashlib.sha256(data).hexdigest() in key


def _is_wrong(deps: Deps, key: str, one: Object) -> bool:
    """Does the store have other bytes under this key, or none?"""
    try:
        return deps.store.get(key) != one.data
    except MissingObjectError:
        return True
