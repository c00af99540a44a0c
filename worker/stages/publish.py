"""Publish: the outbox row first, then the message, then the mark that it was confirmed."""

from __future__ import annotations

import logging
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from sqlalchemy.engine import Connection

from worker.errors import QuarantineError, UnavailableError
from worker.ledger import articles, feeds, publications, reprocessings
from worker.ledger.tables import Row
from worker.model import ArticleRecord, State
from worker.publish.broker import Confirmed, Failed, Held, Outcome
from worker.publish.message import (
    ArchiveKeys,
    Change,
    Publication,
    Sighting,
    build_message,
    frozen_body,
    message_id,
    outgoing_article,
)
from worker.stages.deps import Deps, begin, end, released, settle, told
from worker.stages.extract import load_record
from worker.stages.picture import picture_of
from worker.text import simhash64, word_count

log = logging.getLogger("newsmill")


def publish(deps: Deps, ids: Sequence[int], *, token: str) -> list[int]:
    """Send the articles' messages. Returns: the ids whose message the broker confirmed, in order."""
    rows = begin(deps, ids, token=token, state=State.ARCHIVED)
    if deps.stopping.is_set():
        deps.saved(lambda tx: [released(deps, row)(tx) for row in rows])
        return []
    rows = _to_publish(deps, rows)
    if not rows:
        return []
    bodies = deps.loaded(lambda tx: articles.record_bodies(tx, [row.id for row in rows]))
    read = {row.id: _read(bodies.get(row.id), row) for row in rows}
    done = deps.saved(lambda tx: _freeze(deps, tx, rows, read))
    for row, error in done.spoiled:
        told(deps, row, "publish", error)
    frozen = done.messages
    unsent = [row for row in done.rows if frozen[row.id].confirmed_at is None]
    outcomes: dict[int, Outcome] = {
        row.id: Confirmed(frozen[row.id].message_id) for row in done.rows if frozen[row.id].confirmed_at is not None
    }
    try:
        messages = [outgoing_article(body_of(frozen[row.id]), frozen[row.id].feed_slug) for row in unsent]
        outcomes |= dict(zip((row.id for row in unsent), deps.publisher.publish(messages), strict=True))
    except UnavailableError as error:
        outcomes |= {row.id: Failed(frozen[row.id].message_id, str(error), retry=True) for row in unsent}
    return deps.saved(lambda tx: _marked(deps, tx, done.rows, outcomes))


def _to_publish(deps: Deps, rows: Sequence[Row]) -> list[Row]:
    """The rows less the later revisions that are only kept, which come to their end here.

    Those without a change brought a page that was not to be had before; of those whose article was imported and never
    published nobody asked to hear.
    """
    later = [row for row in rows if row.revision > 1]
    if not later:
        return list(rows)

    def end_kept(tx: Connection) -> set[int]:
        unchanged = {row.id for row in later if row.change is None}
        imported = reprocessings.never_published(tx, later) - unchanged
        for row in later:
            if row.id in unchanged:
                end(deps, tx, row, state=State.DUPLICATE, reason="unchanged", detail="its page is kept from now on")
        articles.end_all(tx, [row for row in later if row.id in imported], state=State.IMPORTED, now=deps.clock())
        return unchanged | imported

    kept = deps.saved(end_kept)
    return [row for row in rows if row.id not in kept]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Frozen:
    rows: Sequence[Row]
    messages: Mapping[int, Row]  # by row id
    spoiled: Sequence[tuple[Row, Exception]]  # no message can be made of these


@dataclass(frozen=True, slots=True, kw_only=True)
class _Read:
    """What a message is made of and what takes time to find out, before any lock is held."""

    record: ArticleRecord
    words: int
    simhash: str


def _read(body: bytes | None, row: Row) -> _Read | Exception:
    try:
        record = load_record(body, row.article_id)
    except (QuarantineError, msgspec.MsgspecError) as error:
        return error
    return _Read(record=record, words=word_count(record.text, record.language), simhash=simhash64(record.text))


def _freeze(deps: Deps, tx: Connection, rows: Sequence[Row], read: Mapping[int, _Read | Exception]) -> _Frozen:
    """Freeze the messages that are not frozen yet, with their numbers, in one transaction.

    A message whose article changed hands meanwhile is frozen all the same: whoever publishes it sends these bytes.
    """
    sequences = publications.locked_sequences(
        tx, [row.feed_id for row in rows]
    )  # before looking: one freezes at a time
    known = publications.existing(tx, [row.id for row in rows])
    fresh = [row for row in rows if row.id not in known]
    slugs = {feed_id: feed.slug for feed_id, feed in feeds.by_ids(tx, list(sequences)).items()} if fresh else {}
    sightings = articles.sightings_of(tx, [row.article_id for row in fresh])
    frozen: list[dict[str, Any]] = []
    spoiled: list[tuple[Row, Exception]] = []
    given: dict[int, int] = {}
    for row in fresh:
        number = given.get(row.feed_id, sequences[row.feed_id]) + 1
        found = read[row.id]
        if isinstance(found, Exception):
            spoiled.append((row, found))
            continue
        try:
            publication = _publication(row, found, number, sightings[row.article_id])
            frozen.append(_outbox_row(deps, row, found.record, publication, slugs[row.feed_id]))
        except Exception as error:  # noqa: BLE001 - costs its own article only: settled below
            spoiled.append((row, error))
        else:
            given[row.feed_id] = number
    publications.save_sequences(tx, given)
    publications.freeze(tx, frozen)
    for row, spoilt in spoiled:
        settle(deps, tx, row, "publish", spoilt)
    lost = {row.id for row, _ in spoiled}
    kept = [row for row in rows if row.id not in lost]
    return _Frozen(rows=kept, messages=publications.existing(tx, [row.id for row in kept]), spoiled=spoiled)


def _outbox_row(deps: Deps, row: Row, record: ArticleRecord, publication: Publication, slug: str) -> dict[str, Any]:
    body = frozen_body(build_message(record, picture_of(row), publication), deps.settings.message_cap_bytes)
    return {
        "id": row.id,
        "message_id": message_id(row.article_id, row.revision),
        "kind": publication.kind,
        "feed_slug": slug,
        "sequence": publication.sequence,
        "body": zlib.compress(body, 1),
        "created_at": deps.clock(),
    }


def _publication(row: Row, read: _Read, sequence: int, sightings: Sequence[Row]) -> Publication:
    exchange, kept = row.exchange or {}, row.archive
    page = kept.get("page") or kept  # what the message points at: the page itself where there is one
    was_had = exchange.get("problem") is None  # else the feed's text is all there is
    url_final = exchange.get("url_final") if was_had else None
    return Publication(
        article_id=row.article_id,
        revision=row.revision,
        kind="published" if row.change is None else "updated",
        sequence=sequence,
        url=read.record.canonical_url or url_final or row.url,
        url_requested=row.url,
        url_final=url_final,
        guid=row.guid,
        sightings=tuple(Sighting(feed=seen.slug, feed_date=seen.feed_date, seen_at=seen.seen_at) for seen in sightings),
        discovered_at=row.discovered_at,
        downloaded_at=row.downloaded_at if was_had else None,
        text_ref=kept["text_ref"],
        html_ref=kept["html_ref"],
        word_count=read.words,
        text_sha256=row.text_sha256,
        simhash=read.simhash,
        robots=exchange.get("robots"),
        x_robots_tag=exchange.get("x_robots_tag"),
        archive=ArchiveKeys(
            warc=page["warc"],
            record_id=page["record_id"],
            document=kept["document"],
            payload_sha256=kept["payload_sha256"],
        ),
        change=_change(row.change),
    )


def _change(noted: Mapping[str, Any] | None) -> Change | None:
    if noted is None:
        return None
    return Change(
        previous=noted["previous"],
        fields=tuple(noted["fields"]),
        ratio=noted["ratio"],
        change_class=noted["class"],
    )


def _marked(deps: Deps, tx: Connection, rows: Sequence[Row], outcomes: dict[int, Outcome]) -> list[int]:
    """Mark what was confirmed; what was not stays in the outbox and is sent again, the same bytes."""
    now = deps.clock()
    went_well, held = [], []
    for row in rows:
        outcome = outcomes[row.id]
        if isinstance(outcome, Failed):
            log.warning("message.unconfirmed", extra={"article_id": row.article_id, "reason": outcome.reason})
            settle(deps, tx, row, "publish", _as_error(outcome))
            continue
        if isinstance(outcome, Held):
            held.append(row.id)
        went_well.append(row.id)
    publications.confirm(tx, went_well, held=held, now=now)
    confirmed = set(went_well)
    ended = articles.end_all(tx, [row for row in rows if row.id in confirmed], state=State.PUBLISHED, now=now)
    return [article_pk for article_pk in went_well if article_pk in ended]


def _as_error(outcome: Failed) -> UnavailableError | QuarantineError:
    """A broker that is away is our own trouble; a message that it will never take is the message's."""
    return UnavailableError(outcome.reason) if outcome.retry else QuarantineError("message-refused", outcome.reason)


def body_of(row: Row) -> bytes:
    """The frozen message of an outbox row, as it is sent."""
    return zlib.decompress(row.body)
