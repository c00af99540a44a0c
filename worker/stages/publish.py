"""Publish: the outbox row first, then the message, then the mark that it was confirmed."""

from __future__ import annotations

import logging
import zlib
from collections.abc import Sequence
from typing import Any

import msgspec
from sqlalchemy.engine import Connection

from worker.errors import QuarantineError, UnavailableError
from worker.ledger import articles, feeds, publications
from worker.ledger.tables import Row
from worker.model import ArticleRecord, State
from worker.publish.broker import Confirmed, Failed, Held, Outcome
from worker.publish.message import (
    ArchiveKeys,
    Publication,
    Sighting,
    build_message,
    frozen_body,
    message_id,
    outgoing_article,
)
from worker.stages.deps import Deps, begin, released, settle, told
from worker.stages.extract import load_record
from worker.stages.picture import picture_of
from worker.text import simhash64, word_count

log = logging.getLogger("newsmill")


def publish(deps: Deps, ids: Sequence[int], *, token: str) -> list[int]:
    """Send the articles' messages. Returns: the ids whose message the broker confirmed, in order."""
    rows = begin(deps, ids, token=token, state=State.ARCHIVED)
    if deps.stopping.is_set():
        released(deps, rows)
        return []
    if not rows:
        return []
    rows, frozen = deps.saved(lambda tx: _frozen(deps, tx, rows))
    unsent = [row for row in rows if frozen[row.id].confirmed_at is None]
    outcomes: dict[int, Outcome] = {row.id: Confirmed(frozen[row.id].message_id) for row in rows if row not in unsent}
    try:
        messages = [outgoing_article(body_of(frozen[row.id]), frozen[row.id].feed_slug) for row in unsent]
        outcomes |= dict(zip((row.id for row in unsent), deps.publisher.publish(messages), strict=True))
    except UnavailableError as error:
        outcomes |= {row.id: Failed(frozen[row.id].message_id, str(error), retry=True) for row in unsent}
    return deps.saved(lambda tx: _marked(deps, tx, rows, outcomes))


def _frozen(deps: Deps, tx: Connection, rows: Sequence[Row]) -> tuple[list[Row], dict[int, Row]]:
    """Freeze the messages that are not frozen yet, with their numbers, in one transaction.

    A message whose article changed hands meanwhile is frozen all the same: whoever publishes it sends these bytes.
    """
    known = publications.existing(tx, [row.id for row in rows])
    fresh = [row for row in rows if row.id not in known]
    prepared, spoiled = _prepared(tx, fresh)
    sequences = publications.locked_sequences(tx, [row.feed_id for row, _ in prepared])
    slugs = {feed_id: feed.slug for feed_id, feed in feeds.by_ids(tx, list(sequences)).items()}
    sightings = articles.sightings_of(tx, [row.article_id for row, _ in prepared])
    frozen: list[dict[str, Any]] = []
    for row, record in prepared:
        number = sequences[row.feed_id] + 1
        try:
            publication = _publication(row, record, number, sightings[row.article_id])
            frozen.append(_outbox_row(deps, row, record, publication, slugs[row.feed_id]))
        except QuarantineError as error:
            spoiled.append((row, error))
        else:
            sequences[row.feed_id] = number
    publications.save_sequences(tx, sequences)
    publications.freeze(tx, frozen)
    for row, spoilt in spoiled:
        told(deps, row, "publish", spoilt)
        settle(deps, tx, row, "publish", spoilt)
    lost = {row.id for row, _ in spoiled}
    kept = [row for row in rows if row.id not in lost]
    return kept, publications.existing(tx, [row.id for row in kept])


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


def _prepared(
    tx: Connection, rows: Sequence[Row]
) -> tuple[list[tuple[Row, ArticleRecord]], list[tuple[Row, Exception]]]:
    bodies = articles.record_bodies(tx, [row.id for row in rows])
    prepared: list[tuple[Row, ArticleRecord]] = []
    spoiled: list[tuple[Row, Exception]] = []
    for row in rows:
        try:
            prepared.append((row, load_record(bodies.get(row.id), row.article_id)))
        except (QuarantineError, msgspec.MsgspecError) as error:
            spoiled.append((row, error))
    return prepared, spoiled


def _publication(row: Row, record: ArticleRecord, sequence: int, sightings: Sequence[Row]) -> Publication:
    exchange, kept = row.exchange or {}, row.archive
    url_final = exchange.get("url_final") if exchange.get("problem") is None else None
    return Publication(
        article_id=row.article_id,
        revision=row.revision,
        kind="published" if row.revision == 1 else "updated",
        sequence=sequence,
        url=record.canonical_url or url_final or row.url,
        url_requested=row.url,
        url_final=url_final,
        guid=row.guid,
        sightings=tuple(Sighting(feed=seen.slug, feed_date=seen.feed_date, seen_at=seen.seen_at) for seen in sightings),
        discovered_at=row.discovered_at,
        downloaded_at=row.downloaded_at,
        text_ref=kept["text_ref"],
        html_ref=kept["html_ref"],
        word_count=word_count(record.text, record.language),
        text_sha256=row.text_sha256,
        simhash=simhash64(record.text),
        robots=exchange.get("robots"),
        archive=ArchiveKeys(
            warc=kept["warc"],
            record_id=kept["record_id"],
            document=kept["document"],
            payload_sha256=kept["payload_sha256"],
        ),
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
    ended = {row.id for row in rows if row.id in went_well and articles.end(tx, row, state=State.PUBLISHED, now=now)}
    return [article_pk for article_pk in went_well if article_pk in ended]


def _as_error(outcome: Failed) -> UnavailableError | QuarantineError:
    """A broker that is away is our own trouble; a message that it will never take is the message's."""
    return UnavailableError(outcome.reason) if outcome.retry else QuarantineError("message-refused", outcome.reason)


def body_of(row: Row) -> bytes:
    """The frozen message of an outbox row, as it is sent."""
    return zlib.decompress(row.body)
