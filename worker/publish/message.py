"""What is said to consumers: the article message, operators' events, the heartbeat. Pure.

A message is built as a dict (``build_message``), frozen once as bytes (``frozen_body``) and kept in the outbox; headers
and routing key follow from it, so that a message sent again is the same message.
Its form is promised in ``config/schemas/``; a change there is a change of contract.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Literal, get_args

import msgspec

from worker.errors import QuarantineError
from worker.model import ArticleRecord, ImageCandidate, Outgoing, Picture, require_utc

EXCHANGE = "newsmill"
EVENTS_EXCHANGE = "newsmill.events"
LINE_ADDS = 12 * 1024  # bytes of a message beside what was read: URLs, keys, digests, some forty sightings
HOLDING = "newsmill.unroutable"  # exchange and queue of the messages that nobody was bound for

ARTICLE_SCHEMA = "newsmill.article/1"
EVENT_SCHEMA = "newsmill.event/1"
HEARTBEAT_SCHEMA = "newsmill.heartbeat/1"

Kind = Literal["published", "updated", "withdrawn"]
EventName = Literal[
    "item.discovered",
    "item.rejected",
    "article.quarantined",
    "feed.failing",
    "feed.silent",
    "feed.recovered",
    "feed.gone",
    "feed.moved",
]

_TYPES = {  # CloudEvents' type, less the kind or the event's name
    ARTICLE_SCHEMA: "newsmill.article",
    EVENT_SCHEMA: "newsmill",
    HEARTBEAT_SCHEMA: "newsmill",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Sighting:
    """One feed that carried the article."""

    feed: str  # slug
    feed_date: datetime | None  # what the feed says; None when it says nothing
    seen_at: datetime

    def __post_init__(self) -> None:
        require_utc("feed_date", self.feed_date)
        require_utc("seen_at", self.seen_at)


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchiveKeys:
    """Where the originals lie; keys of the archive."""

    warc: str
    record_id: str  # urn:uuid:… of the final response
    document: str | None = None
    payload_sha256: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What a revision changed."""

    previous: int  # revision
    fields: tuple[str, ...]
    ratio: float  # of the text, [0, 1]; 1 is another text
    change_class: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Publication:
    """What the line knows of one (article, revision) beside what was read out of its page."""

    article_id: str
    revision: int  # from 1
    kind: Kind
    sequence: int  # dense per feed slug, from 1
    url: str | None  # canonical; None: the feed gave none, its text is the article
    url_requested: str | None = None
    url_final: str | None = None  # None when no page was had and the feed's text serves
    guid: str | None = None
    sightings: tuple[Sighting, ...]
    discovered_at: datetime
    downloaded_at: datetime | None = None
    text_ref: str | None = None
    html_ref: str | None = None
    word_count: int | None = None
    text_sha256: str | None = None
    simhash: str | None = None
    near_duplicate_of: str | None = None  # article id
    robots: str | None = None
    x_robots_tag: str | None = None
    archive: ArchiveKeys
    change: Change | None = None
    replay: bool = False

    def __post_init__(self) -> None:
        require_utc("discovered_at", self.discovered_at)
        require_utc("downloaded_at", self.downloaded_at)
        if self.kind not in get_args(Kind):
            raise ValueError(f"kind must be one of {', '.join(get_args(Kind))}, got {self.kind!r}")
        if self.revision < 1 or self.sequence < 1:
            raise ValueError(f"revision and sequence count from 1, got {self.revision} and {self.sequence}")


def message_id(article_id: str, revision: int) -> str:
    """The same on every attempt: consumers drop repeats by it."""
    return f"{article_id}:{revision}"


def build_message(record: ArticleRecord, picture: Picture | None, publication: Publication) -> dict[str, Any]:
    """The article message with its text inline, whatever its length; ``frozen_body`` makes it fit.

    Args:
        record: What was read out of the page or the feed item.
        picture: The lead picture's outcome; None when no candidate was tried, then the record's first choice is named.
        publication: The rest.

    Source: SPEC section 4; ``config/schemas/article-1.schema.json``.
    """
    return {
        "schema": ARTICLE_SCHEMA,
        "id": message_id(publication.article_id, publication.revision),
        "article_id": publication.article_id,
        "revision": publication.revision,
        "kind": publication.kind,
        "sequence": publication.sequence,
        "url": publication.url,
        "url_requested": publication.url_requested,
        "url_final": publication.url_final,
        "guid": publication.guid,
        "sightings": [
            {"feed": s.feed, "feed_date": rfc3339(s.feed_date), "seen_at": rfc3339(s.seen_at)}
            for s in publication.sightings
        ],
        "title": record.title,
        "authors": list(record.authors),
        "published_at": rfc3339(in_utc(record.published_at)),
        "published_from": record.published_from,
        "modified_at": rfc3339(in_utc(record.modified_at)),
        "discovered_at": rfc3339(publication.discovered_at),
        "downloaded_at": rfc3339(publication.downloaded_at),
        "language": record.language,
        "section": record.section,
        "tags": list(record.tags),
        "site_name": record.site_name,
        "summary": record.summary,
        "text": record.text,
        "word_count": publication.word_count,
        "text_ref": publication.text_ref,
        "html_ref": publication.html_ref,
        "image": _image(record.image, picture),
        "access": {"paywalled": record.access.paywalled, "partial": record.access.partial},
        "rights": {
            "robots": publication.robots,
            "x_robots_tag": publication.x_robots_tag,
            "licence": record.licence,
            "tdm_reservation": record.tdm_reservation,
        },
        "fingerprint": {
            "text_sha256": publication.text_sha256,
            "simhash": publication.simhash,
            "near_duplicate_of": publication.near_duplicate_of,
        },
        "extraction": {
            "method": record.extraction.method,
            "version": record.extraction.version,
            "confidence": _share(record.extraction.confidence),
            "warnings": list(record.extraction.warnings),
        },
        "archive": {
            "warc": publication.archive.warc,
            "record_id": publication.archive.record_id,
            "document": publication.archive.document,
            "payload_sha256": publication.archive.payload_sha256,
        },
        "change": _change(publication.change),
        "replay": publication.replay,
    }


def _image(candidate: ImageCandidate | None, picture: Picture | None) -> dict[str, Any] | None:
    """A picture that cannot be fetched is still named; what its page said of it fills what its bytes do not say."""
    named = candidate if picture is None or (candidate and candidate.url == picture.url) else None
    if picture is None and named is None:
        return None
    said = {key: getattr(named, key, None) for key in _SAID_BY_BOTH}
    seen = {key: getattr(picture, key, None) for key in _SAID_BY_BOTH}
    return {
        **{key: said[key] if seen[key] is None else seen[key] for key in _SAID_BY_BOTH},
        "media_type": picture.media_type if picture else None,
        "sha256": picture.sha256 if picture else None,
        "ref": picture.ref if picture else None,
    }


_SAID_BY_BOTH = ("url", "proxied_url", "caption", "credit", "width", "height", "chosen_by")


def _change(change: Change | None) -> dict[str, Any] | None:
    if change is None:
        return None
    return {
        "previous": change.previous,
        "fields": list(change.fields),
        "ratio": _share(change.ratio),
        "class": change.change_class,
    }


def _share(value: float) -> float:
    """JSON has no NaN, and a share lies in [0, 1]."""
    return min(max(value, 0.0), 1.0) if math.isfinite(value) else 0.0


def in_utc(moment: datetime | None) -> datetime | None:
    """The same moment in UTC; records keep the zone that the page wrote."""
    return moment.astimezone(UTC) if moment else None


def rfc3339(moment: datetime | None) -> str | None:
    """RFC 3339 in UTC with a Z; fractions only when there are any.

    Raises: ValueError: the moment is not UTC.
    """
    if moment is None:
        return None
    require_utc("moment", moment)
    return moment.isoformat().replace("+00:00", "Z")


# ---------------------------------------------------------------- freezing


def frozen_body(message: Mapping[str, Any], cap_bytes: int) -> bytes:
    """The message as compact JSON of at most ``cap_bytes`` UTF-8 bytes.

    The text goes first, if it is in the archive under ``text_ref``, then what is least missed, in the order of
    ``_CUTS``; what was cut besides the text is named in ``extraction.warnings``. URLs are dropped, never shortened.
    Half surrogate pairs, which no UTF-8 can hold, become U+FFFD.

    Raises: QuarantineError: ``message-too-large``: not even the bare bones fit (a URL of thousands of characters).
    """
    body = _encoded(message)
    if len(body) <= cap_bytes:
        return body
    if message["text"] is not None and message["text_ref"] is not None:
        message = {**message, "text": None}
        body = _encoded(message)
    cut: list[str] = []
    for path, shorten in _CUTS:
        if len(body) <= cap_bytes:
            return body
        shorter = _with(message, path, shorten)
        if shorter != message:
            cut.append(".".join(path))
            body = _encoded(_with(shorter, _WARNINGS, _and(cut)))
            message = shorter
    if len(body) > cap_bytes:
        raise QuarantineError("message-too-large", f"{len(body)} bytes after every cut, over the cap of {cap_bytes}")
    return body


def may_outgrow(record: ArticleRecord, cap_bytes: int) -> bool:
    """Whether a message of this record may be over the cap with its text inline, so that the archive must have it.

    Known before the message is: what was read, as JSON, and room for what the line adds to it.
    """
    said = replace(record, html="", markdown="", image_candidates=())
    return len(msgspec.json.encode(said)) + LINE_ADDS > cap_bytes


def _first(count: int, characters: int) -> Callable[[Any], Any]:
    def shorten(values: list[Any]) -> list[Any]:
        return [value[:characters] if isinstance(value, str) else value for value in values[:count]]

    return shorten


def _start(characters: int) -> Callable[[Any], Any]:
    return lambda value: value if value is None or len(value) <= characters else value[: characters - 1] + "…"


def _nothing(_: Any) -> None:
    return None


def _and(cut: list[str]) -> Callable[[Any], Any]:
    return lambda warnings: [*warnings, "cut-to-fit:" + ",".join(dict.fromkeys(cut))]


_WARNINGS = ("extraction", "warnings")

_CUTS: tuple[tuple[tuple[str, ...], Callable[[Any], Any]], ...] = (
    (_WARNINGS, _first(10, 100)),
    (("tags",), _first(20, 100)),
    (("authors",), _first(20, 100)),
    (("summary",), _start(500)),
    (("image", "caption"), _start(300)),
    (("image", "credit"), _start(100)),
    (("rights", "licence"), _start(200)),
    (("sightings",), _first(10, 0)),
    (("tags",), _first(0, 0)),
    (("authors",), _first(3, 100)),
    (("summary",), _nothing),
    (("section",), _start(60)),
    (("site_name",), _start(60)),
    (("image", "proxied_url"), _nothing),
    (("image",), _nothing),
    (("guid",), _nothing),
    (("url_requested",), _nothing),
    (("url_final",), _nothing),
    (("rights", "licence"), _nothing),
    (("rights", "tdm_reservation"), _nothing),
    (("rights", "x_robots_tag"), _nothing),
    (("sightings",), _first(1, 0)),
    (("title",), _start(100)),
    (_WARNINGS, _first(0, 0)),
)


def _with(message: Mapping[str, Any], path: tuple[str, ...], change: Callable[[Any], Any]) -> dict[str, Any]:
    """A copy with one value changed; a branch that is null stays null."""
    key, *rest = path
    if not rest:
        return {**message, key: change(message[key])}
    return {**message, key: message[key] and _with(message[key], tuple(rest), change)}


def _encoded(message: Mapping[str, Any]) -> bytes:
    text = json.dumps(message, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    try:
        return text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace").encode()


# ---------------------------------------------------------------- addressing

_WORD = re.compile(r"[A-Za-z0-9_-]{1,100}")  # one word of a routing key: no dot, no wildcard


def routing_key(kind: str, feed_slug: str) -> str:
    """``article.<kind>.<feed-slug>``.

    Raises: ValueError: no such kind, or a slug that is not one word.
    """
    if kind not in get_args(Kind):
        raise ValueError(f"kind must be one of {', '.join(get_args(Kind))}, got {kind!r}")
    if not _WORD.fullmatch(feed_slug):
        raise ValueError(f"a feed slug in a routing key is letters, digits, - and _, got {feed_slug!r}")
    return f"article.{kind}.{feed_slug}"


def headers(message: Mapping[str, Any], *, source: str = "newsmill") -> dict[str, str]:
    """CloudEvents 1.0 attributes of any of our messages, in binary mode: strings, printable, short.

    Args:
        message: As built, or read back from a frozen body.
        source: A URI reference that tells one installation from another.

    Source: CloudEvents 1.0.2 section 3.1; its AMQP binding 1.0.2 section 3.1.3.1 (``cloudEvents_`` prefix).
    """
    schema = message["schema"]
    name = message.get("kind") or message.get("event") or "heartbeat"
    attributes = {
        "specversion": "1.0",
        "id": message["id"],
        "source": source,
        "type": f"{_TYPES[schema]}.{name}.v1",
        "time": message.get("downloaded_at") or message.get("discovered_at") or message.get("at"),
        "subject": message.get("article_id") or message.get("feed"),
        "dataschema": "urn:" + schema.replace("/", ":").replace(".", ":"),
    }
    return {f"cloudEvents_{key}": value for key, value in attributes.items() if value}


def outgoing_article(body: bytes, feed_slug: str, *, source: str = "newsmill") -> Outgoing:
    """A frozen article message, addressed; the same bytes always give the same message.

    Args: body: What ``frozen_body`` returned, now or at any earlier time.
    """
    message = json.loads(body)
    return Outgoing(
        message_id=message["id"],
        exchange=EXCHANGE,
        routing_key=routing_key(message["kind"], feed_slug),
        body=body,
        headers=headers(message, source=source),
    )


# ---------------------------------------------------------------- for operators

_LONGEST_URL = 2000
_LONGEST_REASON = 500


def event_message(
    event: EventName,
    *,
    at: datetime,
    feed: str | None = None,
    article_id: str | None = None,
    url: str | None = None,
    reason: str | None = None,
) -> dict[str, Any]:
    """One happening for operators; small, and by ``id`` the same when told twice.

    Args:
        at: When it happened, UTC.
        feed: Slug.
        reason: A short stable name, or a sentence; cut at 500 characters.

    Raises: ValueError: no such event; it concerns neither a feed nor an article; ``at`` is not UTC.
    Source: SPEC section 4; ``config/schemas/event-1.schema.json``.
    """
    if event not in get_args(EventName):
        raise ValueError(f"event must be one of {', '.join(get_args(EventName))}, got {event!r}")
    if feed is None and article_id is None:
        raise ValueError("an event concerns a feed or an article")
    when = rfc3339(at)
    return {
        "schema": EVENT_SCHEMA,
        "id": f"{event}:{article_id or feed}:{when}",
        "event": event,
        "at": when,
        "feed": feed,
        "article_id": article_id,
        "url": url if url is None or len(url) <= _LONGEST_URL else None,  # half a URL is another URL
        "reason": reason if reason is None else reason[:_LONGEST_REASON],
    }


def heartbeat_message(*, at: datetime, counts: Mapping[str, int], last_published_at: datetime | None) -> dict[str, Any]:
    """That the line lives and how it stands, so that a quiet queue can be told from a broken one.

    Args: counts: Articles by state.
    """
    when = rfc3339(at)
    return {
        "schema": HEARTBEAT_SCHEMA,
        "id": f"heartbeat:{when}",
        "at": when,
        "counts": dict(counts),
        "last_published_at": rfc3339(last_published_at),
    }


def outgoing_event(message: Mapping[str, Any], *, source: str = "newsmill") -> Outgoing:
    """An event or a heartbeat, addressed: its routing key is its name."""
    return Outgoing(
        message_id=message["id"],
        exchange=EVENTS_EXCHANGE,
        routing_key=message.get("event", "heartbeat"),
        body=_encoded(message),
        headers=headers(message, source=source),
    )
