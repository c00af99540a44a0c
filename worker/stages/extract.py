"""Extract: the stored answer and what the feed said -> the article record."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy.engine import Connection

from worker.archive.exchange import read_exchange
from worker.errors import QuarantineError
from worker.extract.article import extract_article
from worker.fetch.coding import decoded_body
from worker.ledger import articles, feeds
from worker.ledger.tables import Row
from worker.model import ArticleRecord, Entry, State
from worker.stages.deps import Deps, begin, packed, released, settle, told, unpacked
from worker.stages.download import without_page
from worker.text import text_sha256
from worker.urls import article_id_of, canonical_url

UNREAD = (State.DISCOVERED, State.DOWNLOADED)
TWIN_LOOKS = 3  # how often an article waits for the other one to be read, before it goes its own way
TWIN_WAIT_S = 5.0

Outcome = ArticleRecord | Exception | None  # None: not worked, because this process is asked to stop


@dataclass(frozen=True, slots=True, kw_only=True)
class _Input:
    entry: bytes | None  # packed: one that cannot be read costs its own article only
    feed: Row


def extract(deps: Deps, ids: Sequence[int], *, token: str) -> list[int]:
    """Read the articles out of their pages. Returns: the ids that went well, in order."""
    rows = begin(deps, ids, token=token, state=State.DOWNLOADED)
    if not rows:
        return []
    inputs = _load(deps, rows)
    outcomes = [_extract(deps, row, inputs[row.id]) for row in rows]

    def save(tx: Connection) -> list[int]:
        saved = {row.id: outcome for row, outcome in zip(rows, outcomes, strict=True) if _save(deps, tx, row, outcome)}
        articles.save_records(tx, {article_pk: packed(record) for article_pk, record in saved.items()})
        return list(saved)

    went_well = deps.saved(save)
    released(deps, [row for row, outcome in zip(rows, outcomes, strict=True) if outcome is None])
    return went_well


def _load(deps: Deps, rows: Sequence[Row]) -> dict[int, _Input]:
    with deps.ledger.reading() as connection:
        bodies = articles.entry_bodies(connection, [row.id for row in rows])
        their_feeds = feeds.by_ids(connection, sorted({row.feed_id for row in rows}))
    return {row.id: _Input(entry=bodies.get(row.id), feed=their_feeds[row.feed_id]) for row in rows}


def _extract(deps: Deps, row: Row, given: _Input) -> Outcome:
    if deps.stopping.is_set():
        return None
    try:
        html, url = b"", row.url
        headers: tuple[tuple[str, str], ...] = ()
        if row.exchange.get("key") and row.exchange.get("problem") is None:
            final = read_exchange(deps.store.get(row.exchange["key"])).final
            html = decoded_body(final, deps.settings.page_cap_bytes)
            url, headers = final.url, final.headers
        fulltext = given.feed.fulltext if html else without_page(given.feed)
        entry = unpacked(given.entry, Entry) if given.entry is not None else None
        return extract_article(html, url, headers, entry, fulltext=fulltext)
    except Exception as error:  # noqa: BLE001 - costs its own article only; logged, reported and settled below
        told(deps, row, "extract", error)
        return error


def _save(deps: Deps, tx: Connection, row: Row, outcome: Outcome) -> bool:
    if outcome is None:
        return False
    if isinstance(outcome, Exception):
        settle(deps, tx, row, "extract", outcome)
        return False
    now = deps.clock()
    if outcome.not_article is not None:
        detail = "; ".join(outcome.extraction.warnings)[:500] or outcome.title
        articles.end(tx, row, state=State.REJECTED, now=now, reason=outcome.not_article, detail=detail)
        return False
    digest = text_sha256(outcome.text)
    owner = _owner(tx, row)
    if owner is not None:
        if owner.text_sha256 is None and owner.state in UNREAD and row.attempts < TWIN_LOOKS:
            articles.let_go(tx, row, ready_at=now + timedelta(seconds=TWIN_WAIT_S), counted=True)
            return False
        if owner.text_sha256 == digest or (owner.text_sha256 is not None and owner.title == outcome.title):
            reason = "same-page"
            articles.end(tx, row, state=State.DUPLICATE, now=now, reason=reason, detail=owner.article_id)
            return False
    return articles.advance(
        tx,
        row,
        state=State.EXTRACTED,
        now=now,
        until=deps.queued_until(now),
        values={"extracted_at": now, "text_sha256": digest, "title": outcome.title or row.title},
    )


def _owner(tx: Connection, row: Row) -> Row | None:
    """The other article whose URL this one's page turned out to have, if any.

    Its text or title must agree before the two are one: sites send dead links to their front page.
    """
    final = row.exchange.get("url_final")
    if final is None or row.exchange.get("problem") is not None:
        return None
    alias = article_id_of(canonical_url(final))
    if alias == row.article_id:
        return None
    owner = articles.claim_alias(tx, alias, row.article_id)
    return articles.newest(tx, owner) if owner != row.article_id else None


def load_record(body: bytes | None, article_id: str) -> ArticleRecord:
    """The record as extraction left it. Raises: QuarantineError: the ledger has none."""
    if body is None:
        raise QuarantineError("no-record", f"the ledger holds no record of {article_id}; retry it from its page")
    return unpacked(body, ArticleRecord)
