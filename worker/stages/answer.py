"""What a server's answer to a poll means: for the feed, for the archive, and for when to ask again."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from http import HTTPStatus
from typing import Any

from sqlalchemy.engine import Connection

from worker.archive.bundle import feed_bundle
from worker.archive.exchange import exchange_records, read_exchange
from worker.archive.index import bundle_note, index_lines
from worker.archive.keys import feed_key
from worker.archive.store import MissingObjectError
from worker.errors import NewsmillError, QuarantineError, RetryableError
from worker.extract.endings import MAX_ENDINGS
from worker.extract.habit import document_habit
from worker.feeds.cadence import CadencePolicy, Outcome, Pattern, learnt, next_poll
from worker.feeds.honesty import Validators, remembered, was_lie, without_validators, worth_sending
from worker.feeds.moves import believed, permanent_target, sighted
from worker.feeds.parse import parse_feed
from worker.feeds.sitemapindex import Round, Waiting, began, began_unchanged, round_of
from worker.fetch.classify import VerdictKind, freshness_s, judge, retry_after_s
from worker.fetch.coding import decoded_body
from worker.fetch.http import SENDABLE
from worker.ledger import bundles, feeds, hosts, pages
from worker.ledger.tables import Row
from worker.model import Entry, Exchange, Hop, ParsedFeed
from worker.publish.message import event_message
from worker.stages.archive import SOFTWARE
from worker.stages.deps import Deps
from worker.stages.newfound import Found, insert_new
from worker.stages.polled import Came, Polled
from worker.stages.visit import Visited
from worker.stages.websub import is_pushed
from worker.urls import authority, display_url
from worker.websub.links import advertised

log = logging.getLogger("newsmill")

FAILING_AFTER = 3  # failures in a row, until operators are told
DETAIL_CHARS = 500

Decision = Callable[[Connection], Came]  # made once it is sure that the feed is still ours


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What a poll asks for: the feed's own document, or (``part``) a sitemap of the index that it is."""

    url: str
    unconditional: bool
    round: Round | None
    part: Waiting | None


def asked_of(feed: Row, now: datetime) -> Asked:
    """What the feed's next request is for."""
    under_way = round_of(feed.sitemaps)
    part = under_way.next if under_way is not None and feed.asked_at is None else None
    lies = {"last_at": feed.unconditional_at, "lies": feed.lies, "lied_at": feed.lied_at}
    return Asked(
        url=feed.url if part is None else part.url,
        unconditional=part is not None or feed.unconditional or without_validators(**lies, now=now),
        round=under_way,
        part=part,
    )


def answered(deps: Deps, feed: Row, asked: Asked, seen: Visited) -> Decision:
    """What the server said. Raises: NewsmillError: nothing that a feed could be."""
    now = deps.clock()
    hop = seen.exchange.final
    answer = judge(hop.status, hop.headers, now=now, sent_validators=not asked.unconditional)
    if answer.kind is VerdictKind.NOT_MODIFIED:
        polled = Polled(slug=feed.slug, outcome="not-modified", status=hop.status)
        return _well(deps, feed, asked, seen, polled)
    if answer.permanent and asked.part is None:
        polled = Polled(slug=feed.slug, outcome="gone", status=hop.status, detail="410 Gone: polling stops")
        return _gone(feed, polled, now)
    if answer.kind is VerdictKind.GONE and asked.part is not None:
        raise QuarantineError("gone", f"HTTP {hop.status}")
    if answer.kind is not VerdictKind.OK:
        raise RetryableError(f"HTTP {hop.status}: {display_url(hop.url)}", retry_after_s=answer.retry_after_s)
    return _read(deps, feed, asked, seen)


def _gone(feed: Row, polled: Polled, now: datetime) -> Decision:
    about = {"feed": feed.slug, "url": display_url(feed.url), "reason": polled.detail}
    told = event_message("feed.gone", at=now, **about)
    values = {"error": polled.detail, "failures": 0, "gone_at": now}
    return lambda _: Came(polled=polled, values=values, happened=[told])


def _read(deps: Deps, feed: Row, asked: Asked, seen: Visited) -> Decision:
    now = deps.clock()
    hop = seen.exchange.final
    body = decoded_body(hop, deps.settings.page_cap_bytes)
    digest = hashlib.sha256(body).hexdigest()
    facts: dict[str, Any] = {}
    if asked.part is None:
        facts = {"body_sha256": digest, **_validators(hop)}
        if asked.unconditional:
            facts["unconditional_at"] = now
        if digest == feed.body_sha256 and not feed.unconditional:
            unchanged = Polled(slug=feed.slug, outcome="unchanged", status=hop.status)
            before = Validators(etag=feed.etag, last_modified=feed.last_modified)
            kept = worth_sending(before=before, now=Validators(**_validators(hop)), same_body=True)
            facts |= {"etag": kept.etag, "last_modified": kept.last_modified}
            return _well(deps, feed, asked, seen, unchanged, facts=facts)
    parsed = parse_feed(
        body,
        content_type=hop.header("Content-Type"),
        url=hop.url,
        max_entries=deps.settings.max_entries,
        now=now,
    )
    document = _archived(deps, feed, digest, seen.exchange)
    if asked.part is None:
        facts |= _learnt_of(feed, hop, parsed)
    if feed.title is None and parsed.title:
        facts["title"] = parsed.title
    polled = _told(feed, asked, hop, parsed)
    return _well(deps, feed, asked, seen, polled, facts=facts, parsed=parsed, document=document)


def _learnt_of(feed: Row, hop: Hop, parsed: ParsedFeed) -> dict[str, Any]:
    """What a feed's own document says of it."""
    facts: dict[str, Any] = {"wishes": {**_wishes(parsed), **_texts(feed, parsed.entries)}}
    if parsed.damaged or hop.truncated:  # the next poll must see the whole document
        return facts | {"etag": None, "last_modified": None, "body_sha256": None}
    hub, topic = advertised(hop.headers, url=hop.url, hub_url=parsed.hub_url, topic_url=parsed.topic_url)
    return facts | {"hub_url": hub, "topic_url": topic}


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


def _told(feed: Row, asked: Asked, hop: Hop, parsed: ParsedFeed) -> Polled:
    notes = [f"sitemap {display_url(asked.url)}"] if asked.part is not None else []
    notes += parsed.warnings
    if parsed.damaged:
        notes.append("damaged: only its complete items were taken")
    if parsed.entries_left_out:
        notes.append(f"{parsed.entries_left_out} items over the limit were left out")
    detail = "; ".join(notes)[:DETAIL_CHARS] or None
    return Polled(slug=feed.slug, outcome="unchanged", status=hop.status, entries=len(parsed.entries), detail=detail)


def _texts(feed: Row, entries: Sequence[Entry]) -> dict[str, Any]:
    """What the document shows of the feed's texts. Endings are remembered: too few items show none."""
    share, endings = document_habit(entries)
    known = dict.fromkeys((*endings, *feed.wishes.get("endings", ())))
    return {"full_text_share": share, "endings": list(known)[:MAX_ENDINGS]}


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


def _well(
    deps: Deps,
    feed: Row,
    asked: Asked,
    seen: Visited,
    polled: Polled,
    *,
    facts: Mapping[str, Any] | None = None,
    parsed: ParsedFeed | None = None,
    document: _Document | None = None,
) -> Decision:
    """A poll that was answered with a feed: what is new, what it taught, when to ask again."""
    now = deps.clock()
    hop = seen.exchange.final

    def came(tx: Connection) -> Came:
        if document is not None and document.note is not None:
            bundles.keep(tx, article_pk=None, now=now, **document.note)
        found = Found()
        if parsed is not None:
            of_round = asked.round if asked.part is not None else None
            found = insert_new(deps, tx, feed, parsed.entries, now=now, of_round=of_round)
        values: dict[str, Any] = {"ok_at": now, "error": None, "failures": 0, **(facts or {})}
        taught = [
            _told_well(feed, found, now),
            _rhythm_of(feed, asked, found, now),
            _honesty_of(feed, asked, values, found, now),
            _gap_of(feed, found, now),
            _round_of(feed, asked, parsed, found, now),
            _move_of(deps, tx, feed, asked, seen, is_known=_is_known(parsed, found)),
        ]
        for one in taught:
            values |= one.values
        before = Pattern.from_json(feed.pattern)
        pattern = _pattern(before, asked, parsed, found, now)
        if pattern is not before:
            values["pattern"] = pattern.to_json()
        notes = [*([polled.detail] if polled.detail else []), *found.notes, *(n for one in taught for n in one.notes)]
        done = replace(
            polled,
            new=found.new,
            outcome="new" if found.new else polled.outcome,
            detail="; ".join(notes)[:DETAIL_CHARS] or None,
        )
        if "due_at" not in values:
            values["due_at"] = _next(
                deps,
                feed,
                now=now,
                pattern=pattern,
                wishes=values.get("wishes", feed.wishes),
                outcome="new" if found.new else "unchanged",
                gap=found.is_gap,
                pushed=is_pushed(deps, tx, feed, now=now, found_new=found.new > 0),
                hop=hop,
            )
        key = document.key if document is not None else None
        happened = [happening for one in taught for happening in one.happened]
        return Came(polled=done, values=values, document=key, happened=happened)

    return came


@dataclass(frozen=True, slots=True, kw_only=True)
class _Taught:
    """One thing that a poll taught: columns of the feed, words for its history, what operators are told."""

    values: Mapping[str, Any] = field(default_factory=dict)
    notes: Sequence[str] = ()
    happened: Sequence[Mapping[str, Any]] = ()


def _told_well(feed: Row, found: Found, now: datetime) -> _Taught:
    if feed.told == "failing" or (found.new and feed.told == "silent"):
        about = {"feed": feed.slug, "url": display_url(feed.url), "reason": feed.told}
        return _Taught(values={"told": None}, happened=[event_message("feed.recovered", at=now, **about)])
    return _Taught()


def _rhythm_of(feed: Row, asked: Asked, found: Found, now: datetime) -> _Taught:
    """When the feed brings something new. The sitemaps of one round make one moment."""
    values: dict[str, Any] = {}
    if found.new:
        values["new_at"] = now
        began_at_s = (
            asked.round.began_at.timestamp() if asked.part is not None and asked.round is not None else now.timestamp()
        )
        if not feed.rhythm or feed.rhythm[-1] < began_at_s:
            values["rhythm"] = [*feed.rhythm, now.timestamp()][-feeds.RHYTHM_KEPT :]
    return _Taught(values=values)


def _pattern(before: Pattern, asked: Asked, parsed: ParsedFeed | None, found: Found, now: datetime) -> Pattern:
    """The hours and days at which the feed brings something. A sitemap that brought nothing says nothing of them."""
    if asked.part is not None and not found.dates:
        return before
    window = len(parsed.entries) if parsed is not None else 0
    return learnt(before, item_dates=found.dates, window=window, polled_at=now)


def _honesty_of(feed: Row, asked: Asked, values: Mapping[str, Any], found: Found, now: datetime) -> _Taught:
    """Did the server say "not modified" although something was new?"""
    if asked.part is not None or not asked.unconditional:
        return _Taught()
    same = values.get("etag") == feed.etag if feed.etag else values.get("last_modified") == feed.last_modified
    lied = was_lie(
        unmodified_at=feed.polled_at if feed.outcome == "not-modified" else None,
        has_same_validator=same,
        new_dates=found.dates,
    )
    if not lied:
        return _Taught()
    return _Taught(
        values={"lies": remembered(lies=feed.lies, lied_at=feed.lied_at, now=now) + 1, "lied_at": now},
        notes=[f"the last 304 hid {len(found.dates)} items: polled without validators oftener"],
    )


def _gap_of(feed: Row, found: Found, now: datetime) -> _Taught:
    if not found.is_gap:
        return _Taught()
    return _Taught(
        values={"gaps": feed.gaps + 1, "gap_at": now},
        notes=["nothing that was shown before: items may have come and gone between"],
    )


def _is_known(parsed: ParsedFeed | None, found: Found) -> bool:
    """Is the document surely this feed's: unchanged, with items that it showed before, or an index of its sitemaps?"""
    return parsed is None or bool(parsed.sitemaps) or (bool(parsed.entries) and not found.is_gap)


def _move_of(deps: Deps, tx: Connection, feed: Row, asked: Asked, seen: Visited, *, is_known: bool) -> _Taught:
    """Where permanent redirects lead, once they did so on several days."""
    now = deps.clock()
    target = permanent_target([(hop.status, hop.url) for hop in seen.exchange.hops])
    if asked.part is not None or (target is not None and seen.exchange.final.status == HTTPStatus.NOT_MODIFIED):
        return _Taught()
    moved = sighted(feed.moved, target=target, at=now, is_known=is_known)
    url = believed(moved)
    if url is None:
        return _Taught(values={"moved": moved})
    other = feeds.following(tx, url)
    if other is not None:
        why = f"which is followed already, as {other}: remove one of the two"
    elif feed.headers and authority(url) != authority(feed.url):
        why = "where its headers do not go by themselves: change its url"
    else:
        host = deps.gates.key(url)
        hosts.ensure(tx, [host], now=now)
        about = {"feed": feed.slug, "url": display_url(url), "reason": display_url(feed.url)}
        return _Taught(
            values={"url": url, "host": host, "moved": None, "moved_from": feed.url},
            notes=[f"moved from {display_url(feed.url)} to {display_url(url)}"],
            happened=[event_message("feed.moved", at=now, **about)],
        )
    return _Taught(values={"moved": moved}, notes=[f"moved to {display_url(url)}, {why}"])


def _round_of(feed: Row, asked: Asked, parsed: ParsedFeed | None, found: Found, now: datetime) -> _Taught:
    """How far a sitemap index is read; the next of its sitemaps is due at once."""
    after = _round_after(feed, asked, parsed, new=found.new, now=now)
    if after is None:
        return _Taught(values={"sitemaps": None})
    if after.next is None:
        return _Taught(values={"sitemaps": after.as_json()})
    return _Taught(
        values={"sitemaps": after.as_json(), "due_at": now}, notes=[f"{len(after.waiting)} sitemaps to read"]
    )


def _round_after(feed: Row, asked: Asked, parsed: ParsedFeed | None, *, new: int, now: datetime) -> Round | None:
    """Where a sitemap index stands now; None: the feed is none."""
    if asked.part is not None and asked.round is not None:
        return asked.round.done(announced=new, listed=parsed.sitemaps if parsed is not None else ())
    if parsed is None:  # not modified, or the same bytes again
        return began_unchanged(asked.round, now=now) if asked.round is not None else None
    if not parsed.sitemaps:
        return None
    return began(asked.round, parsed.sitemaps, home=feed.url, now=now)


def failed(deps: Deps, feed: Row, asked: Asked, error: Exception) -> Decision:
    """A poll that came to nothing: later again, without end; a sitemap that will not be read is left out instead."""
    now = deps.clock()
    detail = str(error)[:DETAIL_CHARS]
    if not isinstance(error, NewsmillError):
        deps.report(error, stage="poll", tags={"feed": feed.slug, "host": feed.host})
        log.error("feed.trouble", extra={"feed": feed.slug}, exc_info=error)
        detail = f"{type(error).__name__}: {detail}"[:DETAIL_CHARS]
    failures = feed.failures + 1
    log.warning("feed.failed", extra={"feed": feed.slug, "failures": failures, "error": detail[:300]})
    if asked.part is not None:
        detail = f"sitemap {display_url(asked.url)}: {detail}"[:DETAIL_CHARS]
        if asked.round is not None and (isinstance(error, QuarantineError) or failures >= FAILING_AFTER):
            return _left_out(deps, feed, asked.round, detail, now)
    values: dict[str, Any] = {"error": detail, "failures": failures}
    values["due_at"] = _next(
        deps,
        feed,
        now=now,
        pattern=Pattern.from_json(feed.pattern),
        wishes=feed.wishes,
        outcome="failed",
        failures=failures,
        wanted_s=getattr(error, "retry_after_s", None) or 0.0,
    )
    happened = []
    if failures >= FAILING_AFTER and feed.told != "failing":
        values["told"] = "failing"
        about = {"feed": feed.slug, "url": display_url(feed.url), "reason": detail}
        happened.append(event_message("feed.failing", at=now, **about))
    polled = Polled(slug=feed.slug, outcome="failed", detail=detail)
    return lambda _: Came(polled=polled, values=values, happened=happened)


def _left_out(deps: Deps, feed: Row, under_way: Round, detail: str, now: datetime) -> Decision:
    """Go on without a sitemap, until it changes."""
    after = under_way.done(announced=0)
    due_at = now
    if after.next is None:
        pattern = Pattern.from_json(feed.pattern)
        due_at = _next(deps, feed, now=now, pattern=pattern, wishes=feed.wishes, outcome="unchanged")
    values = {"error": None, "failures": 0, "sitemaps": after.as_json(), "due_at": due_at}
    polled = Polled(slug=feed.slug, outcome="unchanged", detail=f"left out: {detail}"[:DETAIL_CHARS])
    return lambda _: Came(polled=polled, values=values)


def _next(
    deps: Deps,
    feed: Row,
    *,
    now: datetime,
    pattern: Pattern,
    wishes: Mapping[str, Any],
    outcome: Outcome,
    failures: int = 0,
    gap: bool = False,
    pushed: bool = False,
    hop: Hop | None = None,
    wanted_s: float = 0.0,
) -> datetime:
    settings = deps.settings
    asked_s = retry_after_s(hop.header("Retry-After"), now) if hop is not None else None
    return next_poll(
        CadencePolicy(
            floor_s=settings.poll_floor_s, ceiling_s=settings.poll_ceiling_s, patience_s=settings.poll_patience_s
        ),
        interval_s=feed.interval_s,
        now=now,
        pattern=pattern,
        outcome=outcome,
        failures=failures,
        retry_after_s=max(wanted_s, asked_s or 0.0),
        max_age_s=freshness_s(hop.headers, now) if hop is not None else 0.0,
        ttl_s=wishes.get("ttl_s", 0.0),
        update_period_s=wishes.get("update_period_s", 0.0),
        skip_hours=frozenset(wishes.get("skip_hours", ())),
        skip_days=frozenset(wishes.get("skip_days", ())),
        gap=gap,
        pushed=pushed,
        jitter=deps.dice(),
    )
