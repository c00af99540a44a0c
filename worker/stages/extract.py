"""Extract: the stored answer and what the feed said -> the article record."""

from __future__ import annotations

import logging
import zlib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

import msgspec
from sqlalchemy.engine import Connection

from worker.archive.exchange import read_exchange
from worker.errors import QuarantineError
from worker.extract.compare import Comparison, compare
from worker.extract.habit import Tally
from worker.extract.sites import Furniture, PageLines, SiteMemory, SitePage, furniture_of, learnt, site_of
from worker.ledger import articles, feeds, reprocessings, sites
from worker.ledger.tables import Row
from worker.model import ArticleRecord, Entry, Hop, State
from worker.stages import spool
from worker.stages.deps import Deps, Done, Save, begin, end, packed, released, save_done, settled, unpacked
from worker.stages.revisions import Earlier, change_of, earlier_or_published, furniture_again, reading
from worker.text import text_sha256
from worker.urls import article_id_of, canonical_url

log = logging.getLogger("newsmill")

UNREAD = (State.DISCOVERED, State.DOWNLOADED)
TWIN_LOOKS = 3  # how often an article waits for the other one to be read, before it goes its own way
TWIN_WAIT_S = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Input:
    entry: bytes | None  # packed: one that cannot be read costs its own article only
    feed: Row
    spooled: Mapping[str, bytes]
    before: Row | None  # the revision that readers have; None: the article is new
    site: str | None  # that the page is of
    memory: bytes | None  # packed: what is remembered of it


def extract(deps: Deps, ids: Sequence[int], *, token: str) -> list[int]:
    """Read the articles out of their pages. Returns: the ids that went well, in order."""
    rows = begin(deps, ids, token=token, state=State.DOWNLOADED)
    if not rows:
        return []
    inputs = deps.loaded(lambda tx: _load(tx, rows))
    read = [_Read(row=row, outcome=_extract(deps, row, inputs[row.id])) for row in rows]
    went_well = deps.saved_all(
        read, lambda tx, some: _save_all(deps, tx, some), lambda one, error: settled(deps, one.row, "extract", error)
    )
    return [row.id for row, well in zip(rows, went_well, strict=True) if well]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Read:
    """One article, and what reading its page came to: its new state, or a save of its own."""

    row: Row
    outcome: _Found | Save[bool]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Found:
    """What was read."""

    record: ArticleRecord
    body: bytes  # the record as it is kept
    feed_was_whole: bool | None = None  # what the page said of the feed's text; None: nothing new
    site: _Site | None = None  # what the page teaches of its site; None: nothing
    before: Row | None = None
    comparison: Comparison | None = None  # with the revision before
    is_evidence: bool = False  # the archive has no page of the article yet


@dataclass(frozen=True, slots=True, kw_only=True)
class _Site:
    """A site as it was remembered, and one more page of it."""

    name: str
    memory: SiteMemory
    lines: PageLines


def _save_all(deps: Deps, tx: Connection, read: Sequence[_Read]) -> list[bool]:
    taken = _taken_names(tx, [one.row for one in read])
    done: list[tuple[Row, Done]] = []
    bodies: dict[int, bytes] = {}
    for one in read:
        if callable(one.outcome):
            done.append((one.row, one.outcome))
            continue
        bodies[one.row.id] = one.outcome.body
        done.append((one.row, _judged(deps, tx, one.row, one.outcome, taken)))
    went_well = save_done(deps, tx, done, state=State.EXTRACTED)
    going_on = {row.id for (row, _), well in zip(done, went_well, strict=True) if well}
    articles.save_records(tx, {article_pk: body for article_pk, body in bodies.items() if article_pk in going_on})
    _learn(tx, [one for one in read if one.row.id in going_on])
    _remember(deps, tx, [one for one in read if one.row.id in going_on])
    return went_well


def _learn(tx: Connection, read: Sequence[_Read]) -> None:
    """Remember, per feed, whether its texts were all that the pages had: judged by when there is no page."""
    verdicts = defaultdict[int, list[bool]](list)
    for one in read:
        if not callable(one.outcome) and one.outcome.feed_was_whole is not None:
            verdicts[one.row.feed_id].append(one.outcome.feed_was_whole)
    for feed_id, row in sorted(feeds.by_ids(tx, list(verdicts)).items()):
        before = tally = Tally(**(row.full_text or {}))
        for was_whole in verdicts[feed_id]:
            tally = tally.after(was_whole=was_whole)
        if tally != before:
            feeds.learn_full_text(tx, feed_id, asdict(tally))


def _remember(deps: Deps, tx: Connection, read: Sequence[_Read]) -> None:
    """Remember, per site, what its pages look like. Another worker's page of the same moment may be lost by that."""
    now = deps.clock()
    memories: dict[str, SiteMemory] = {}
    for one in read:
        if callable(one.outcome) or one.outcome.site is None:
            continue
        site = one.outcome.site
        before = memories.get(site.name, site.memory)
        after = learnt(before, SitePage(article_id=one.row.article_id, read_at=now, lines=site.lines))
        if after is not before:
            memories[site.name] = after
    sites.keep(tx, {name: packed(memory) for name, memory in memories.items()}, now=now)


def _load(tx: Connection, rows: Sequence[Row]) -> dict[int, _Input]:
    bodies = articles.entry_bodies(tx, [row.id for row in rows])
    their_feeds = feeds.by_ids(tx, sorted({row.feed_id for row in rows}))
    spooled = spool.held(tx, rows)
    before = reprocessings.standing(tx, [row.article_id for row in rows if row.revision > 1])
    site_by_row = {row.id: site_of(row.exchange.get("url_final")) for row in rows}
    memories = sites.memories(tx, [site for site in site_by_row.values() if site is not None])
    return {
        row.id: _Input(
            entry=bodies.get(row.id),
            feed=their_feeds[row.feed_id],
            spooled=spooled,
            before=before.get(row.article_id),
            site=(site := site_by_row[row.id]),
            memory=memories.get(site) if site is not None else None,
        )
        for row in rows
    }


def _extract(deps: Deps, row: Row, given: _Input) -> _Found | Save[bool]:
    if deps.stopping.is_set():
        return released(deps, row)
    try:
        was = earlier_or_published(deps, given.before) if given.before is not None else None
        entry = unpacked(given.entry, Entry) if given.entry is not None else None
        cap_bytes = deps.settings.page_cap_bytes
        page = _page(deps, row, given, was)
        memory = _memory(given)
        furniture = _furniture(row, was, memory)
        was_read = reading(page, entry, row, given.feed, cap_bytes=cap_bytes, furniture=furniture)
        record = was_read.record
        if was is None:
            lesson = _lesson(given.feed, was_read.feed_was_whole)
            site = _site(given, memory, was_read.lines)
            return _Found(record=record, body=packed(record), feed_was_whole=lesson, site=site)
        return _Found(
            record=record,
            body=packed(record),
            before=given.before,
            comparison=compare(was.record, record, picture=was.picture),
            is_evidence=page is not None and was.page is None,
        )
    except Exception as error:  # noqa: BLE001 - costs its own article only; logged, reported and settled
        return settled(deps, row, "extract", error)


def _memory(given: _Input) -> SiteMemory:
    """What is remembered of the page's site; nothing, where a newsmill of another version wrote it in its own way."""
    if given.memory is None:
        return SiteMemory()
    try:
        return unpacked(given.memory, SiteMemory)
    except (zlib.error, msgspec.MsgspecError) as error:
        log.warning("site.forgotten", extra={"site": given.site, "error": f"{type(error).__name__}: {error}"[:300]})
        return SiteMemory()


def _furniture(row: Row, was: Earlier | None, memory: SiteMemory) -> Furniture:
    """What is known of a page's furniture: of one that was read before, what was known then."""
    return furniture_of(memory, row.article_id) if was is None or was.page is None else furniture_again(was)


def _site(given: _Input, memory: SiteMemory, lines: PageLines | None) -> _Site | None:
    return None if given.site is None or lines is None else _Site(name=given.site, memory=memory, lines=lines)


def _lesson(feed: Row, feed_was_whole: bool | None) -> bool | None:
    """What the page said of the feed's text, if that is worth remembering."""
    tally = Tally(**(feed.full_text or {}))
    is_news = feed_was_whole is not None and tally.after(was_whole=feed_was_whole) != tally
    return feed_was_whole if is_news else None


def _page(deps: Deps, row: Row, given: _Input, was: Earlier | None) -> Hop | None:
    """The page as it was fetched, or, for a revision that came of the archive, as an earlier one fetched it."""
    if row.exchange.get("problem") is not None:
        return None
    if row.exchange.get("key"):
        return read_exchange(spool.read(deps, given.spooled, row.exchange["key"])).final
    return was.page if was is not None else None


def _judged(deps: Deps, tx: Connection, row: Row, found: _Found, taken: dict[str, str]) -> Done:
    """Is it an article, and one of its own?"""
    now, record = deps.clock(), found.record
    if record.not_article is not None:
        detail = "; ".join(record.extraction.warnings)[:500] or record.title
        return _ended(deps, row, State.REJECTED, reason=record.not_article, detail=detail)
    digest = text_sha256(record.text)
    values = {"extracted_at": now, "text_sha256": digest, "title": record.title or row.title, "change": None}
    other = _other(tx, row, taken)
    if found.before is not None:  # it is one of its own, whoever its twin is
        return _judged_again(deps, row, found, values)
    if other is not None and other.state not in {State.REJECTED, State.QUARANTINED}:
        if other.text_sha256 is None and other.state in UNREAD:
            if row.attempts < TWIN_LOOKS:
                return _waiting(row, until=now + timedelta(seconds=TWIN_WAIT_S))
            articles.add_alias(tx, other.article_id, row.article_id)  # we go first: it will find us when it is read
            taken.setdefault(other.article_id, row.article_id)
        elif other.text_sha256 == digest or (other.text_sha256 is not None and other.title == record.title):
            return _ended(deps, row, State.DUPLICATE, reason="same-page", detail=other.article_id)
    return values


def _judged_again(deps: Deps, row: Row, found: _Found, values: dict[str, Any]) -> Done:
    """Is there anything in it that readers, or the archive, do not have?"""
    assert found.before is not None
    assert found.comparison is not None
    if found.comparison.is_revision:
        return {**values, "change": change_of(found.comparison, previous=found.before.revision)}
    if found.is_evidence:
        return values  # to be archived, not to be published
    return _ended(deps, row, State.DUPLICATE, reason="unchanged", detail=f"revision {found.before.revision}")


def _ended(deps: Deps, row: Row, state: State, *, reason: str, detail: str | None) -> Save[bool]:
    def save(tx: Connection) -> bool:
        end(deps, tx, row, state=state, reason=reason, detail=detail)
        return False

    return save


def _waiting(row: Row, *, until: datetime) -> Save[bool]:
    def save(tx: Connection) -> bool:
        articles.let_go(tx, row, ready_at=until, counted=True)
        return False

    return save


def _taken_names(tx: Connection, rows: Sequence[Row]) -> dict[str, str]:
    """Identity -> who was published under it, because its page was reached through a redirect first.

    Locks the rows: who takes one of their names locks the row as well, so that one of the two sees the other.
    """
    articles.lock(tx, [row.id for row in rows])
    return articles.known_under(tx, [row.article_id for row in rows])


def _other(tx: Connection, row: Row, taken: Mapping[str, str]) -> Row | None:
    """The other article that this page seems to be, if any: one page must not become two articles.

    Its text or title must agree before the two are one: sites send dead links to their front page.
    """
    taker = taken.get(row.article_id)
    if taker is not None and taker != row.article_id:
        return _newest(tx, taker)
    final = row.exchange.get("url_final")
    if final is None or row.exchange.get("problem") is not None:
        return None
    alias = article_id_of(canonical_url(final))
    if alias == row.article_id:
        return None
    owner = articles.claim_alias(tx, alias, row.article_id)
    return _newest(tx, owner) if owner != row.article_id else None


def _newest(tx: Connection, article_id: str) -> Row | None:
    """The revision that readers have, whatever became of later ones; else the newest."""
    return reprocessings.standing(tx, [article_id]).get(article_id) or articles.newest(tx, article_id)


def load_record(body: bytes | None, article_id: str) -> ArticleRecord:
    """The record as extraction left it. Raises: QuarantineError: the ledger has none."""
    if body is None:
        raise QuarantineError("no-record", f"the ledger holds no record of {article_id}; retry it from its page")
    return unpacked(body, ArticleRecord)
