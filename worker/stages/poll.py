"""Poll: feeds that are due -> sightings and new article rows, committed before anything is announced."""

from __future__ import annotations

import hashlib
import logging
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy.engine import Connection

from worker.archive.bundle import feed_bundle
from worker.archive.exchange import exchange_records, read_exchange
from worker.archive.index import bundle_note, index_lines
from worker.archive.keys import feed_key
from worker.archive.store import MissingObjectError
from worker.errors import NewsmillError, QuarantineError, RetryableError, UnavailableError
from worker.extract.feedtext import is_full_text
from worker.feeds.cadence import CadencePolicy, Outcome, next_poll
from worker.feeds.parse import parse_feed
from worker.feeds.select import KnownSighting, Seen, Selection, keys_of, select_new
from worker.fetch.classify import VerdictKind, freshness_s, judge, retry_after_s
from worker.fetch.coding import decoded_body
from worker.fetch.http import SENDABLE, FetchRequest
from worker.ledger import articles, bundles, feeds, hosts, pages
from worker.ledger.session import dispatch_lock
from worker.ledger.tables import Row
from worker.model import Entry, Exchange, Hop, ParsedFeed, State
from worker.publish.message import event_message
from worker.stages.archive import SOFTWARE
from worker.stages.deps import Deps, Save, note, packed
from worker.stages.visit import BOOKED_AHEAD_S, NotYetError, RobotsSayNo, Visited, pace_of, save_lesson, visit
from worker.urls import display_url, gate_key

log = logging.getLogger("newsmill")

FEED_ACCEPT = (
    "application/atom+xml,application/rss+xml,application/feed+json,application/rdf+xml;q=0.9,"
    "application/xml;q=0.9,text/xml;q=0.9,*/*;q=0.5"
)
VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
FAILING_AFTER = 3  # failures in a row, until operators are told
UNCONDITIONAL_EVERY = timedelta(days=1)  # servers that answer 304 wrongly are caught by a poll without validators


@dataclass(frozen=True, slots=True, kw_only=True)
class Polls:
    """Feeds that share a task: different sites, one token."""

    ids: tuple[int, ...]
    token: str
    label: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DuePolls:
    """The polls to start, and when a look would be worth it again."""

    batches: tuple[Polls, ...]
    look_again_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Polled:
    """How one poll ended."""

    slug: str
    outcome: str  # new | unchanged | not-modified | failed | gone | waiting
    status: int | None = None
    entries: int = 0
    new: int = 0
    detail: str | None = None


def due(deps: Deps, *, slugs: Sequence[str] | None = None) -> DuePolls:
    """Claim the feeds that are due and whose sites may be asked now. The caller starts every batch."""
    return deps.saved(lambda tx: _due(deps, tx, slugs))


def _due(deps: Deps, tx: Connection, slugs: Sequence[str] | None) -> DuePolls:
    now = deps.clock()
    if not dispatch_lock(tx):
        return DuePolls(batches=(), look_again_at=now + timedelta(seconds=0.2))
    settings = deps.settings
    room = settings.max_in_flight - feeds.in_flight(tx, now=now)
    rows = feeds.due(tx, now=now, limit=room, pace_of=pace_of(deps), slugs=slugs)
    size = min(settings.batch, max(1, -(-len(rows) // settings.concurrency)))
    batches = []
    for start in range(0, len(rows), size):
        group = rows[start : start + size]
        token = deps.new_token()
        until = deps.queued_until(now)
        feeds.lease(tx, group, token=token, until=until, slot_until=until)
        more = f", +{len(group) - 1}" if len(group) > 1 else ""
        label = f"{group[0].slug} {display_url(group[0].url)}{more}"
        batches.append(Polls(ids=tuple(row.id for row in group), token=token, label=label))
    if len(rows) >= room:  # more may be due: there is room again as soon as some of these have ended
        return DuePolls(batches=tuple(batches), look_again_at=now + timedelta(seconds=1))
    horizon = now + timedelta(seconds=settings.tick_s)
    return DuePolls(batches=tuple(batches), look_again_at=feeds.next_due_at(tx, now=now, horizon=horizon))


def unpolled(deps: Deps, batches: Sequence[Polls]) -> None:
    """Take back polls that the broker did not take, so that they may start as soon as it is there again."""

    def take_back(tx: Connection) -> None:
        for batch in batches:
            feeds.unlease(tx, batch.token, batch.ids)

    deps.saved(take_back)


def repoll(deps: Deps, slugs: Sequence[str] | None, *, unconditional: bool = False) -> list[str]:
    """Make feeds (None: all) due now. Returns: the slugs that will be polled, as soon as their sites may be asked."""
    return deps.saved(lambda tx: feeds.ask(tx, slugs, unconditional=unconditional, now=deps.clock()))


def poll(deps: Deps, ids: Sequence[int], *, token: str) -> list[Polled]:
    """Poll these feeds side by side; each is committed when it ends."""
    now = deps.clock()

    def start(tx: Connection) -> tuple[list[Row], dict[str, datetime]]:
        until = deps.working_until(now)
        rows = feeds.begin(tx, ids, token=token, until=until)
        _, wait = hosts.start(tx, [row.host for row in rows], now=now, pace_of=pace_of(deps))
        for row in rows:
            if row.host in wait:
                feeds.let_go(tx, row.id, token=token, due_at=wait[row.host])
                hosts.give_back(tx, row.host, holder=feeds.holder(token, row.id))
        ready = [row for row in rows if row.host not in wait]
        hosts.at_work(tx, [feeds.holder(token, row.id) for row in ready], expires_at=until)
        return rows, wait

    rows, wait = deps.saved(start)
    ready = [row for row in rows if row.host not in wait]

    polled = deps.side_by_side(
        lambda row: _poll(deps, row, token),
        ready,
        give_up=lambda row: _come_back(row, token, deps.clock()),
        failed=lambda row, error: _failed(deps, row, token, error),
    )
    for one in polled:
        log.info("feed.polled", extra={"feed": one.slug, "outcome": one.outcome, "status": one.status, "new": one.new})
    return polled + [Polled(slug=row.slug, outcome="waiting") for row in rows if row.host in wait]


def _poll(deps: Deps, feed: Row, token: str) -> Save[Polled]:
    if deps.stopping.is_set():
        return _come_back(feed, token, deps.clock())
    unconditional = _unconditional(feed, deps.clock())
    try:
        return _answered(deps, feed, token, _fetch(deps, feed, token, unconditional), unconditional)
    except NotYetError as wait:
        if wait.hops and gate_key(wait.url) == feed.host:
            loop = QuarantineError("redirect-loop", f"leads back to its own site: {display_url(feed.url)}")
            return _failed(deps, feed, token, loop)
        return _come_back(feed, token, wait.at)


def _come_back(feed: Row, token: str, at: datetime) -> Save[Polled]:
    """Give the feed back unpolled; nothing is wrong with it."""

    def save(tx: Connection) -> Polled:
        feeds.let_go(tx, feed.id, token=token, due_at=at)
        hosts.give_back_all(tx, holder=feeds.holder(token, feed.id))
        return Polled(slug=feed.slug, outcome="waiting")

    return save


def _fetch(deps: Deps, feed: Row, token: str, unconditional: bool) -> Visited:
    settings = deps.settings
    own_headers = tuple(
        (name, _filled_in(feed.slug, value, settings.variables)) for name, value in feed.headers.items()
    )

    def request(url: str) -> FetchRequest:
        return FetchRequest(
            url=url,
            accept=FEED_ACCEPT,
            headers=own_headers if url == feed.url else (),  # a visit that left the site may come back by another
            sensitive=frozenset(name.lower() for name, _ in own_headers),
            etag=None if unconditional else feed.etag,
            last_modified=None if unconditional else feed.last_modified,
            cap_bytes=settings.page_cap_bytes,
            total_timeout_s=settings.fetch_timeout_s,
        )

    seen = visit(
        deps,
        request,
        feed.url,
        holder=feeds.holder(token, feed.id),
        permitted=True,
        obey_robots=False,
        book_until=deps.clock() + timedelta(seconds=BOOKED_AHEAD_S),
    )
    if isinstance(seen, RobotsSayNo):
        raise QuarantineError("robots", f"robots.txt keeps {seen.url} from us")
    return seen


def _filled_in(slug: str, value: str, variables: Mapping[str, str]) -> str:
    """A configured header with its secrets put in from the environment; the registry and its users see the names only.

    Raises: QuarantineError: a variable is not set.
    """

    def filled(found: re.Match[str]) -> str:
        if found[1] not in variables:
            raise QuarantineError("missing-variable", f"feed {slug} needs {found[1]} in the environment of the workers")
        return variables[found[1]]

    return VARIABLE.sub(filled, value)


def _unconditional(feed: Row, now: datetime) -> bool:
    """Shall this poll go without validators?"""
    return feed.unconditional or feed.unconditional_at is None or now - feed.unconditional_at >= UNCONDITIONAL_EVERY


def _answered(deps: Deps, feed: Row, token: str, seen: Visited, unconditional: bool) -> Save[Polled]:
    """What the server said, to be saved together with what it taught about its site."""
    now = deps.clock()
    hop = seen.exchange.final
    try:
        answer = judge(hop.status, hop.headers, now=now, sent_validators=not unconditional)
        if answer.kind is VerdictKind.NOT_MODIFIED:
            return _saved(deps, feed, token, seen, Polled(slug=feed.slug, outcome="not-modified", status=304))
        if answer.permanent:
            polled = Polled(slug=feed.slug, outcome="gone", status=hop.status, detail="410 Gone: polling stops")
            return _saved(deps, feed, token, seen, polled, facts={"gone_at": now})
        if answer.kind is not VerdictKind.OK:
            raise RetryableError(f"HTTP {hop.status}: {display_url(hop.url)}", retry_after_s=answer.retry_after_s)
        return _read(deps, feed, token, seen, unconditional)
    except NewsmillError:
        deps.saved(lambda tx: save_lesson(deps, tx, seen.lesson))
        raise


def _read(deps: Deps, feed: Row, token: str, seen: Visited, unconditional: bool) -> Save[Polled]:
    now = deps.clock()
    hop = seen.exchange.final
    body = decoded_body(hop, deps.settings.page_cap_bytes)
    digest = hashlib.sha256(body).hexdigest()
    facts: dict[str, Any] = {"body_sha256": digest, **_validators(hop)}
    if unconditional:
        facts["unconditional_at"] = now
    if digest == feed.body_sha256 and not feed.unconditional:
        unchanged = Polled(slug=feed.slug, outcome="unchanged", status=hop.status)
        return _saved(deps, feed, token, seen, unchanged, facts=facts)
    parsed = parse_feed(
        body,
        content_type=hop.header("Content-Type"),
        url=hop.url,
        max_entries=deps.settings.max_entries,
        now=now,
    )
    document = _archived(deps, feed, digest, seen.exchange)
    if parsed.damaged or hop.truncated:  # the next poll must see the whole document
        facts |= {"etag": None, "last_modified": None, "body_sha256": None}
    facts["wishes"] = {**_wishes(parsed), "full_text_share": _full_text_share(parsed.entries)}
    if feed.title is None and parsed.title:
        facts["title"] = parsed.title
    return _saved(deps, feed, token, seen, _told(feed, hop, parsed), facts=facts, parsed=parsed, document=document)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Document:
    """A feed document in the archive; ``note``: what the ledger keeps of it, None when it has that already."""

    key: str
    note: Mapping[str, Any] | None


def _archived(deps: Deps, feed: Row, digest: str, exchange: Exchange) -> _Document:
    """Write the exchange that brought a document, without its secrets, unless the same one was kept earlier today."""
    key = feed_key(feed.slug, digest, deps.clock())
    if deps.loaded(lambda tx: pages.is_noted(tx, key)):
        return _Document(key=key, note=None)
    written = feed_bundle(
        slug=feed.slug,
        name=digest,
        exchange_data=exchange_records(exchange, redact=frozenset(feed.headers)),
        written_at=exchange.fetched_at,
        software=SOFTWARE,
    )
    data, lines = written.data, written.lines
    if not deps.store.put(key, data, content_type="application/warc", only_new=True):
        left = _left_there(deps, key, digest)
        if left is None:  # damaged: it must not keep the feed from being polled
            deps.store.put(key, data, content_type="application/warc")
        else:  # whatever its worker still does, it stays as it is
            data, lines = left, index_lines(left)
    return _Document(key=key, note=bundle_note(key, data, lines))


def _left_there(deps: Deps, key: str, digest: str) -> bytes | None:
    """What a poll that was not saved has written of a document, by its digest; None: that is not whole."""
    with suppress(MissingObjectError, QuarantineError, RetryableError):
        data = deps.store.get(key)
        body = decoded_body(read_exchange(data).final, deps.settings.page_cap_bytes)
        if hashlib.sha256(body).hexdigest() == digest:
            return data
    return None


def _told(feed: Row, hop: Hop, parsed: ParsedFeed) -> Polled:
    notes = list(parsed.warnings)
    if parsed.damaged:
        notes.append("damaged: only its complete items were taken")
    if parsed.entries_left_out:
        notes.append(f"{parsed.entries_left_out} items over the limit were left out")
    detail = "; ".join(notes)[:500] or None
    return Polled(slug=feed.slug, outcome="unchanged", status=hop.status, entries=len(parsed.entries), detail=detail)


def _full_text_share(entries: Sequence[Entry]) -> float:
    """How many of a document's texts are whole articles, of those that have one; 0 when none has."""
    texts = [entry for entry in entries if entry.html]
    return sum(is_full_text(entry, fulltext="auto", page_text=None) for entry in texts) / len(texts) if texts else 0.0


def _validators(hop: Hop) -> dict[str, Any]:
    return {"etag": _sendable(hop.header("ETag")), "last_modified": _sendable(hop.header("Last-Modified"))}


def _sendable(value: str | None) -> str | None:
    """A header's value, if it can be sent back; what cannot is of no use, and PostgreSQL refuses a NUL."""
    return value.strip() if value is not None and SENDABLE.fullmatch(value.strip()) else None


def _wishes(parsed: ParsedFeed) -> dict[str, Any]:
    return {
        "ttl_s": parsed.ttl_s or 0.0,
        "update_period_s": parsed.update_period_s or 0.0,
        "skip_hours": sorted(parsed.skip_hours),
        "skip_days": sorted(parsed.skip_days),
    }


def _saved(
    deps: Deps,
    feed: Row,
    token: str,
    seen: Visited,
    polled: Polled,
    *,
    facts: Mapping[str, Any] | None = None,
    parsed: ParsedFeed | None = None,
    document: _Document | None = None,
) -> Save[Polled]:
    """A poll that was answered: new rows, sightings, the feed's state, its line of history, in one transaction."""
    now = deps.clock()
    hop = seen.exchange.final

    def save(tx: Connection) -> Polled:
        save_lesson(deps, tx, seen.lesson)
        held = feeds.held(tx, feed.id, token=token)
        if held is None:
            return replace(polled, outcome="waiting", detail="another poll took over")
        if document is not None and document.note is not None:
            bundles.keep(tx, article_pk=None, now=now, **document.note)
        new, notes = _insert(tx, feed, parsed, now) if parsed is not None else (0, [])
        detail = "; ".join([*([polled.detail] if polled.detail else []), *notes])[:500] or None
        done = replace(polled, new=new, outcome="new" if new else polled.outcome, detail=detail)
        rhythm = [*feed.rhythm, *([now.timestamp()] if new else [])][-feeds.RHYTHM_KEPT :]
        values: dict[str, Any] = {
            "polled_at": now,
            "ok_at": now,
            "outcome": done.outcome,
            "status": done.status,
            "error": None,
            "failures": 0,
            "rhythm": rhythm,
            **(facts or {}),
        }
        if new:
            values["new_at"] = now
        if feed.told == "failing" or (new and feed.told == "silent"):
            values["told"] = None
            note(
                tx, event_message("feed.recovered", at=now, feed=feed.slug, url=display_url(feed.url), reason=feed.told)
            )
        wishes = values.get("wishes", feed.wishes)
        values["due_at"] = _next(
            deps,
            feed,
            rhythm=rhythm,
            wishes=wishes,
            now=now,
            failures=0,
            outcome="new" if new else "unchanged",
            hop=hop,
        )
        line = {
            "at": now,
            "outcome": done.outcome,
            "status": done.status,
            "entries": done.entries,
            "new": new,
            "detail": done.detail,
            "document": document.key if document else None,
        }
        feeds.save_poll(tx, feed.id, values, line, asked_again=held.asked_at != feed.asked_at)
        return done

    return save


def _failed(deps: Deps, feed: Row, token: str, error: Exception) -> Save[Polled]:
    """A poll that came to nothing: later again, without end. Our own outages are not the feed's failures."""
    now = deps.clock()
    detail = str(error)[:500]
    if isinstance(error, UnavailableError):
        log.warning("feed.paused", extra={"feed": feed.slug, "error": detail})
        return _come_back(feed, token, now + timedelta(seconds=deps.settings.poll_floor_s))
    if not isinstance(error, NewsmillError):
        deps.report(error, stage="poll", tags={"feed": feed.slug, "host": feed.host})
        log.error("feed.trouble", extra={"feed": feed.slug}, exc_info=error)
        detail = f"{type(error).__name__}: {detail}"[:500]
    failures = feed.failures + 1
    log.warning("feed.failed", extra={"feed": feed.slug, "failures": failures, "error": detail[:300]})

    def save(tx: Connection) -> Polled:
        polled = Polled(slug=feed.slug, outcome="failed", detail=detail)
        hosts.give_back_all(tx, holder=feeds.holder(token, feed.id))
        held = feeds.held(tx, feed.id, token=token)
        if held is None:
            return polled
        due_at = _next(
            deps,
            feed,
            rhythm=feed.rhythm,
            wishes=feed.wishes,
            now=now,
            failures=failures,
            outcome="failed",
            hop=None,
            wanted_s=getattr(error, "retry_after_s", None) or 0.0,
        )
        values = {"polled_at": now, "outcome": "failed", "error": detail, "failures": failures, "due_at": due_at}
        if failures >= FAILING_AFTER and feed.told != "failing":
            values["told"] = "failing"
            note(tx, event_message("feed.failing", at=now, feed=feed.slug, url=display_url(feed.url), reason=detail))
        line = {"at": now, "outcome": "failed", "detail": detail}
        feeds.save_poll(tx, feed.id, values, line, asked_again=held.asked_at != feed.asked_at)
        return polled

    return save


def _next(
    deps: Deps,
    feed: Row,
    *,
    rhythm: Sequence[float],
    wishes: Mapping[str, Any],
    now: datetime,
    failures: int,
    outcome: Outcome,
    hop: Hop | None,
    wanted_s: float = 0.0,
) -> datetime:
    settings = deps.settings
    asked_s = retry_after_s(hop.header("Retry-After"), now) if hop is not None else None
    return next_poll(
        CadencePolicy(floor_s=settings.poll_floor_s, ceiling_s=settings.poll_ceiling_s),
        interval_s=feed.interval_s,
        now=now,
        recent_new_at=[datetime.fromtimestamp(moment, UTC) for moment in rhythm],
        outcome=outcome,
        failures=failures,
        retry_after_s=max(wanted_s, asked_s or 0.0),
        max_age_s=freshness_s(hop.headers, now) if hop is not None else 0.0,
        ttl_s=wishes.get("ttl_s", 0.0),
        update_period_s=wishes.get("update_period_s", 0.0),
        skip_hours=frozenset(wishes.get("skip_hours", ())),
        skip_days=frozenset(wishes.get("skip_days", ())),
        jitter=deps.dice(),
    )


# ---------------------------------------------------------------- what is new


def _insert(tx: Connection, feed: Row, parsed: ParsedFeed, now: datetime) -> tuple[int, list[str]]:
    """Sightings and new rows of one document. Returns: how many articles are really new, and what else was seen."""
    selection = _selection(tx, feed, parsed.entries)
    aliases = articles.known_under(tx, [seen.article_id for seen in selection.new])
    fresh = [seen for seen in selection.new if seen.article_id not in aliases]
    unwanted = {seen.article_id for seen in fresh if not _wanted(feed, seen.entry)}
    wanted = [seen for seen in fresh if seen.article_id not in unwanted]
    rows = [_article_row(feed, seen, now) for seen in wanted]
    hosts.ensure(tx, [row["host"] for row in rows], now=now)
    inserted = articles.insert_discovered(tx, rows, {seen.article_id: packed(seen.entry) for seen in wanted})
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
    return len(inserted), _notes(selection)


def _notes(selection: Selection) -> list[str]:
    """What a poll's line of history says of items that no article is made of."""
    reasons = Counter(unusable.reason for unusable in selection.unusable)
    notes = [f"{count} items had {reason}" for reason, count in reasons.items()]
    return [*notes, f"{selection.edited} known items now say something else"] if selection.edited else notes


def _selection(tx: Connection, feed: Row, entries: Sequence[Entry]) -> Selection:
    names = keys_of(entries, feed.slug)
    known = feeds.known_sightings(
        tx,
        feed.id,
        entry_keys=[keys.entry_key for keys in names],
        guid_keys=[keys.guid_key for keys in names if keys.guid_key is not None],
        fingerprints=[keys.fingerprint for keys in names if keys.goes_by_text],
    )
    return select_new(
        list(zip(entries, names, strict=True)),
        known=map(_known_sighting, known),
        first_poll=feed.first_poll,
        # an import into a feed that never answered leaves sightings, and its first poll is still the first
        is_first=feed.ok_at is None or (not known and not feeds.has_sightings(tx, feed.id)),
    )


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


def _wanted(feed: Row, entry: Entry) -> bool:
    """Does the feed's operator want this link followed?"""
    return feed.offsite == "follow" or entry.url is None or gate_key(entry.url) == feed.host


def _article_row(feed: Row, seen: Seen, now: datetime) -> dict[str, Any]:
    entry = seen.entry
    return {
        "article_id": seen.article_id,
        "feed_id": feed.id,
        "url": entry.url,
        "guid": entry.guid,
        "title": entry.title,
        "host": gate_key(entry.url) if entry.url else feed.host,
        # without a link there is nothing to download: the feed's text is all there is
        "state": State.DISCOVERED if entry.url else State.DOWNLOADED,
        "exchange": None if entry.url else {"problem": "no-url"},
        "spooled": not entry.url,
        "priority": feed.priority,
        "feed_date": entry.published_at,
        "ready_at": now,
        "discovered_at": now,
    }
