"""What crosses from one room to another: frozen facts, checked once, trusted afterwards.

All moments are aware and UTC. ``None`` means unknown, never a guess.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum


def require_aware(name: str, moment: datetime | None) -> None:
    """Raises: ValueError: the moment is naive."""
    if moment is not None and moment.utcoffset() is None:
        raise ValueError(f"{name} must be aware, got {moment!r}")


def require_utc(name: str, moment: datetime | None) -> None:
    """Raises: ValueError: the moment is naive or not UTC."""
    if moment is not None and moment.utcoffset() != timedelta(0):
        raise ValueError(f"{name} must be aware and UTC, got {moment!r}")


# ---------------------------------------------------------------- feeds

LONGEST_TITLE = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Enclosure:
    """A file or picture that a feed item points at; ``length`` is what the feed claims, never to be trusted."""

    url: str
    media_type: str | None = None
    length: int | None = None
    title: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One item of a feed, as the feed said it; links resolved, text not yet cleaned."""

    guid: str | None
    url: str | None  # absolute http(s) or None
    title: str | None  # plain text, one line, at most LONGEST_TITLE characters
    title_raw: str | None = None  # as the feed wrote it, blanks and markup kept; None: as ``title``, or longer
    summary_html: str | None = None  # description / atom:summary
    content_html: str | None = None  # content:encoded / atom:content
    base_url: str | None = None  # what relative links in its HTML start from, where the feed says so (xml:base)
    published_at: datetime | None = None
    updated_at: datetime | None = None
    date_raw: str | None = None  # as written, also when it could not be read
    authors: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    language: str | None = None
    enclosures: tuple[Enclosure, ...] = ()
    images: tuple[Enclosure, ...] = ()  # media:content / media:thumbnail / itunes:image that are pictures

    def __post_init__(self) -> None:
        require_utc("published_at", self.published_at)
        require_utc("updated_at", self.updated_at)

    @property
    def html(self) -> str | None:
        """The longer of the two bodies: full-text feeds put the article in either."""
        return max((self.content_html, self.summary_html), key=lambda h: len(h or ""))


@dataclass(frozen=True, slots=True, kw_only=True)
class Sitemap:
    """One of the sitemaps that a sitemap index lists."""

    url: str
    modified_at: datetime | None = None

    def __post_init__(self) -> None:
        require_utc("modified_at", self.modified_at)


@dataclass(frozen=True, slots=True, kw_only=True)
class ParsedFeed:
    """A feed document: its own facts and its items, in document order."""

    format: (
        str  # rss-2.0, rss-1.0, rss-0.9x, atom-1.0, atom-0.3, json-1, json-1.1, sitemap-news, sitemap, sitemap-index
    )
    title: str | None
    language: str | None
    home_url: str | None
    entries: tuple[Entry, ...]
    ttl_s: float | None = None
    update_period_s: float | None = None  # sy:updatePeriod / sy:updateFrequency
    skip_hours: frozenset[int] = frozenset()  # UTC
    skip_days: frozenset[int] = frozenset()  # 0 = Monday
    hub_url: str | None = None
    topic_url: str | None = None  # the feed's own address as it gives it (rel=self, feed_url): what a hub knows it by
    sitemaps: tuple[Sitemap, ...] = ()  # of a sitemap index, which has no entries
    damaged: bool = False  # cut or broken: what was complete is in entries, validators must not be kept
    entries_left_out: int = 0  # over the cap
    warnings: tuple[str, ...] = ()


# ---------------------------------------------------------------- http


@dataclass(frozen=True, slots=True, kw_only=True)
class Hop:
    """One request and its response as they crossed the wire; content coding as sent, chunk framing undone."""

    url: str
    method: str
    request_head: bytes  # request line and headers as sent, ending in an empty line
    status: int
    response_head: bytes  # status line and header block as received, ending in an empty line
    headers: tuple[tuple[str, str], ...]  # order, case and duplicates kept
    body: bytes  # as sent, less chunk framing; empty on redirects (their bodies are not read)
    began_at: datetime
    ended_at: datetime
    ip: str | None
    truncated: str | None = None  # WARC-Truncated: length | time | disconnect | unspecified

    def __post_init__(self) -> None:
        require_utc("began_at", self.began_at)
        require_utc("ended_at", self.ended_at)

    def header(self, name: str) -> str | None:
        """The first value of a header, or None."""
        wanted = name.lower()
        return next((value for key, value in self.headers if key.lower() == wanted), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """All hops of one fetch, in order; the last one holds the answer."""

    hops: tuple[Hop, ...]

    @property
    def final(self) -> Hop:
        return self.hops[-1]

    @property
    def requested_url(self) -> str:
        return self.hops[0].url

    @property
    def final_url(self) -> str:
        return self.hops[-1].url

    @property
    def fetched_at(self) -> datetime:
        return self.hops[-1].ended_at


# ---------------------------------------------------------------- article


class State(StrEnum):
    """Where an (article, revision) stands. The first five have work left; the others are the end.

    ``imported``: kept from an older archive, and nobody asked to publish it.
    """

    DISCOVERED = "discovered"
    DOWNLOADED = "downloaded"
    EXTRACTED = "extracted"
    PICTURED = "pictured"
    ARCHIVED = "archived"
    PUBLISHED = "published"
    DUPLICATE = "duplicate"
    REJECTED = "rejected"
    QUARANTINED = "quarantined"
    IMPORTED = "imported"


OPEN_STATES = (State.DISCOVERED, State.DOWNLOADED, State.EXTRACTED, State.PICTURED, State.ARCHIVED)
TERMINAL_STATES = (State.PUBLISHED, State.DUPLICATE, State.REJECTED, State.QUARANTINED, State.IMPORTED)


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageCandidate:
    """A picture somebody named for the article; ``url`` is the origin, proxies already unwrapped."""

    url: str
    chosen_by: str  # og:image, twitter:image, json-ld, body, feed-body, feed-enclosure, feed-media
    proxied_url: str | None = None
    caption: str | None = None
    credit: str | None = None
    width: int | None = None  # as claimed by the page
    height: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """A lead picture's checked bytes, or the fact that there are none."""

    url: str  # origin: the picture's identity
    fetched_url: str | None = None  # where the bytes came from (origin or proxy)
    sha256: str | None = None
    ref: str | None = None
    media_type: str | None = None
    width: int | None = None  # after EXIF rotation
    height: int | None = None
    chosen_by: str | None = None
    proxied_url: str | None = None
    caption: str | None = None
    credit: str | None = None
    problem: str | None = None  # why there are no bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    paywalled: bool | None = None
    partial: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Extraction:
    method: str  # page, page:leaves, page:json-ld, feed, ...
    version: str
    confidence: float  # [0, 1]
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ArticleRecord:
    """What was read out of one page (or feed item). Field names are those of the message.

    ``not_article`` names why this is no article (``soft-404``, ``error-page``, ``consent-wall``, ``challenge``,
    ``login``, ``paywall``, ``geo-blocked``, ``age-gate``, ``needs-script``, ``index``, ``video``, ``empty``,
    ``too-large``, ``too-deep``, ``too-many-attributes``, ``unsupported-type``; ``failed``: a bug of ours); then the
    other fields hold whatever could be read.
    """

    title: str | None
    authors: tuple[str, ...] = ()
    published_at: datetime | None = None  # aware, in the zone it was written in; of a bare day its beginning
    published_from: str | None = None  # feed-body, profile, json-ld, meta, time, text, url, script, feed
    modified_at: datetime | None = None
    language: str | None = None  # BCP 47 primary tag, lower case, region kept when declared
    section: str | None = None
    tags: tuple[str, ...] = ()
    site_name: str | None = None
    summary: str | None = None
    summary_from: str | None = None  # dek (shown between title and text), meta, feed
    text: str = ""  # paragraphs separated by one blank line
    html: str = ""  # allow-listed tags, absolute URLs
    markdown: str = ""
    image: ImageCandidate | None = None
    image_candidates: tuple[ImageCandidate, ...] = ()  # best first; image is the first of them
    canonical_url: str | None = None
    licence: str | None = None
    tdm_reservation: str | None = None
    access: Access = field(default_factory=Access)
    extraction: Extraction
    not_article: str | None = None
    furniture: tuple[int, ...] = ()  # keys of lines that the site's other pages gave away: later readings cut them

    def __post_init__(self) -> None:
        require_aware("published_at", self.published_at)
        require_aware("modified_at", self.modified_at)


# ---------------------------------------------------------------- publishing


@dataclass(frozen=True, slots=True, kw_only=True)
class Outgoing:
    """One frozen message on its way to the output broker."""

    message_id: str  # <article_id>:<revision>
    exchange: str  # without namespace
    routing_key: str
    body: bytes  # JSON, UTF-8
    headers: Mapping[str, str]
