"""The front door: a page's bytes and what the feed said -> one article record. Pure, no network."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from itertools import islice

import lxml.etree

from worker.extract.blocks import Block
from worker.extract.body import Body, read_body
from worker.extract.document import Document, Headers, read_document
from worker.extract.features import Said
from worker.extract.feedtext import UNKNOWN, FeedText, Fulltext, Habit, is_whole, page_says, read_feed_text
from worker.extract.image import candidate, feed_candidates, largest_source
from worker.extract.language import language_of
from worker.extract.lead import lead_pictures
from worker.extract.leaves import FOOTER, HEADER, HIDDEN, MAX_TEXT, NAV, Leaves, read_leaves
from worker.extract.metadata import Metadata, read_metadata
from worker.extract.moments import moment
from worker.extract.names import author_names
from worker.extract.profiles import Chosen, choose, profile_of
from worker.extract.quality import confidence_of, not_article_reason
from worker.extract.render import to_html, to_markdown, to_text
from worker.extract.sites import NOTHING_KNOWN, Furniture, PageLines
from worker.model import Access, ArticleRecord, Entry, Extraction, ImageCandidate
from worker.text import clean_line, strip_tags, word_count
from worker.urls import picture_key, usable_url

VERSION = "2"  # of the rules in this room: raised when the same page would give another record
PARTIAL_BELOW = 250  # words: a paywalled page that gives fewer gives its teaser
TEXT_IS_CUT = MAX_TEXT // 2  # characters: folding blanks shortens what was read
MAX_SUMMARY = 2_000  # characters
MAX_SHOWN = 40  # lines of a page that holds no article
MAX_WITNESS = 200_000  # characters of an articleBody that the page's text is compared with
_NOTHING_SAID = Metadata()
WHOLE_HOURS = range(1, 15)  # by which a page's clock may be off from the feed's: a wrong zone
CLOCK_TOLERANCE_S = 90
COMPARED_CHARS = 120  # of a summary
OPENING_CHARS = 5_000  # of a text, where its own words may be its summary
A_DAY = timedelta(days=1)

# What code raises when it meets input that nobody thought of. Not Exception: what comes from outside and is about no
# page, as Celery's time limit is, has to get through.
_OF_READING = (
    ValueError, TypeError, LookupError, AttributeError, ArithmeticError, AssertionError, RuntimeError, MemoryError,
    lxml.etree.LxmlError,
)  # fmt: skip


def extract_article(
    html: bytes,
    url: str | None = None,
    headers: Headers | None = None,
    entry: Entry | None = None,
    *,
    fulltext: Fulltext = "auto",
    habit: Habit = UNKNOWN,
    furniture: Furniture = NOTHING_KNOWN,
) -> ArticleRecord:
    """Read the article out of a page, out of the feed's item, or out of both.

    Args:
        html: The page, content coding undone; empty when it could not be fetched.
        url: Where the page came from, absolute; the entry's URL when None or unusable.
        headers: Of the page's response.
        entry: What the feed said: its text may be the article, its title, date and authors fill gaps.
        fulltext: Whether the feed's own text is the article: ``always``, ``never``, or ``auto`` by evidence.
        habit: What the feed's earlier items showed of its texts.
        furniture: What other pages of the site showed of its furniture.

    Returns: The record; ``not_article`` is set when there is none, and what could be read is there all the same.
        No input raises: ``not_article="failed"`` and a warning that names the error's type tell of a bug of ours, which
        says nothing about the page.
    """
    try:
        return read_article(html, url, headers, entry, fulltext=fulltext, habit=habit, furniture=furniture).record
    except _OF_READING as error:
        title = clean_line(entry.title) if entry and entry.title else None
        failed = Extraction(
            method="none", version=VERSION, confidence=0.0, warnings=(f"failed-{type(error).__name__}",)
        )
        return ArticleRecord(title=title or None, extraction=failed, not_article="failed")


def _usable(*urls: str | None) -> str | None:
    """The first that is a URL at all, as it was written."""
    return next((url for url in urls if url and usable_url(url)), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """The record, and what the page said about the feed's text: all of the article, or less; None: nothing."""

    record: ArticleRecord
    feed_was_whole: bool | None = None
    lines: PageLines | None = None  # of the page, for the memory of its site; None: there was no page


def read_article(
    html: bytes,
    url: str | None = None,
    headers: Headers | None = None,
    entry: Entry | None = None,
    *,
    fulltext: Fulltext = "auto",
    habit: Habit = UNKNOWN,
    furniture: Furniture = NOTHING_KNOWN,
) -> Reading:
    """``extract_article`` for whoever reports bugs of ours: they come out as they were raised."""
    document = read_document(html, _usable(url, entry.url if entry else None), headers)
    feed_text = read_feed_text(entry, habit.endings) if entry and fulltext != "never" else None
    if not isinstance(document, Document):
        if feed_text and is_whole(feed_text, fulltext=fulltext, page_text=None, gives=habit.gives):
            refused = () if document == "empty" else (f"page-{document}",)
            return Reading(record=_record(entry, feed_text=feed_text, warnings=refused))
        return Reading(record=_record(entry, feed_text=feed_text, not_article=document))
    leaves = read_leaves(document.root)
    declared = read_metadata(document, entry, leaves)
    profile = profile_of(document.url, declared.published_on)
    chosen = choose(profile, document.root) if profile else None
    metadata = _as_profiled(declared, chosen, document.base_url) if chosen else declared
    body = read_body(document, metadata, leaves, said_of(metadata, entry), furniture=furniture, chosen=chosen)
    reason = not_article_reason(document, metadata, text=body.text or _shown(leaves), words=body.words)
    is_teaser = bool(metadata.paywalled) and body.words < PARTIAL_BELOW
    page_text = body.text if reason is None and not is_teaser else None
    verdict = page_says(feed_text, page_text) if feed_text and page_text is not None else None
    warnings = document.warnings
    if feed_text and is_whole(feed_text, fulltext=fulltext, page_text=page_text, gives=habit.gives):
        if reason is None:
            record = _record(
                entry, document=document, leaves=leaves, metadata=metadata, feed_text=feed_text, warnings=warnings
            )
        else:
            record = _record(entry, feed_text=feed_text, warnings=(*warnings, f"page-{reason}"))
    else:
        record = _record(
            entry,
            document=document,
            leaves=leaves,
            metadata=metadata,
            body=body,
            warnings=warnings,
            not_article=reason,
        )
    return Reading(record=record, feed_was_whole=verdict, lines=body.lines)


def _as_profiled(metadata: Metadata, chosen: Chosen, base_url: str | None) -> Metadata:
    """What the site's profile points at counts before what the page declares."""
    at = moment(chosen.published)
    source = largest_source(chosen.picture, base_url) if chosen.picture is not None else None
    picture = candidate(source.url, base_url, "profile", caption=chosen.caption) if source else None
    return replace(
        metadata,
        title=chosen.title or metadata.title,
        authors=author_names(chosen.authors) or metadata.authors,
        published_at=at or metadata.published_at,
        published_on=at.date() if at else metadata.published_on,
        published_from="profile" if at else metadata.published_from,
        images=(picture, *metadata.images) if picture else metadata.images,
    )


def _shown(leaves: Leaves) -> str:
    """What a page without an article says instead, navigation and footer apart."""
    texts = (leaf.text for leaf in leaves if leaf.text and not leaf.box.flags & (NAV | FOOTER | HEADER | HIDDEN))
    return "\n\n".join(islice(texts, MAX_SHOWN))


def said_of(metadata: Metadata, entry: Entry | None) -> Said:
    """What page and feed say the article says: evidence for the choice of its text."""
    summary = metadata.summary or _feed_summary(entry, None) or ""
    return Said(
        title=metadata.title or "",
        summary=" ".join(summary.split()),
        body=" ".join((metadata.article_body or "")[:MAX_WITNESS].split()),
    )


def _record(
    entry: Entry | None,
    *,
    document: Document | None = None,
    leaves: Leaves | None = None,
    metadata: Metadata = _NOTHING_SAID,
    body: Body | None = None,
    feed_text: FeedText | None = None,
    warnings: Iterable[str] = (),
    not_article: str | None = None,
) -> ArticleRecord:
    """Put together what page and feed say; the text is the feed's where ``feed_text`` is given, else the page's."""
    images = _images(entry, document=document, leaves=leaves, metadata=metadata, body=body, feed_text=feed_text)
    blocks = _without_lead(feed_text.blocks if feed_text else body.blocks if body else (), images)
    text = to_text(blocks)
    words = word_count(text)
    published_at, published_from = _published(metadata, entry, feed_text)
    cut = ["text-cut"] if len(text) >= TEXT_IS_CUT else []
    summary, summary_from = _summary(metadata, entry, body, feed_text)
    if summary and summary_from != "dek" and _is_told_by(summary, text):
        summary = summary_from = None
    found_warnings = [*warnings, *cut, *_date_warnings(published_at, published_from, entry)]
    return ArticleRecord(
        title=metadata.title or (clean_line(strip_tags(entry.title)) or None if entry and entry.title else None),
        authors=_authors(metadata, entry, feed_text),
        published_at=published_at,
        published_from=published_from,
        modified_at=metadata.modified_at or (entry.updated_at if entry else None) or _beginning(metadata.modified_on),
        language=language_of(text, [*metadata.languages, entry.language if entry else None]),
        section=metadata.section,
        tags=metadata.tags or (tuple(filter(None, map(clean_line, entry.categories))) if entry else ()),
        site_name=metadata.site_name,
        summary=summary,
        summary_from=summary_from,
        text=text,
        html=to_html(blocks),
        markdown=to_markdown(blocks),
        image=images[0] if images else None,
        image_candidates=images,
        canonical_url=metadata.canonical_url,
        licence=metadata.licence,
        tdm_reservation=metadata.tdm_reservation,
        access=_access(
            metadata, words, is_feed=feed_text is not None, is_excerpt=feed_text is not None and not_article is not None
        ),
        extraction=Extraction(
            method="feed" if feed_text else body.method if body else "none",
            version=VERSION,
            confidence=0.0
            if not_article
            else confidence_of(
                metadata,
                words=words,
                is_feed=feed_text is not None,
                published=published_at is not None,
                warnings=len(found_warnings),
                sureness=body.sureness if body and not feed_text else None,
            ),
            warnings=tuple(found_warnings),
        ),
        not_article=not_article,
        furniture=body.cut if body and not feed_text else (),
    )


def _images(
    entry: Entry | None,
    *,
    document: Document | None,
    leaves: Leaves | None,
    metadata: Metadata,
    body: Body | None,
    feed_text: FeedText | None,
) -> tuple[ImageCandidate, ...]:
    fed: list[ImageCandidate] = []
    if entry is not None:
        in_text = feed_text or read_feed_text(entry)
        beside, inside = feed_candidates(entry), in_text.images if in_text else ()
        fed.extend([*inside, *beside] if feed_text else [*beside, *inside])
    return lead_pictures(
        leaves.leaves if leaves else (),
        metadata.images,
        fed,
        url=document.url if document else None,
        base_url=document.base_url if document else None,
        title=metadata.title,
        body=body.span if body else None,
    )


def _without_lead(blocks: Sequence[Block], images: tuple[ImageCandidate, ...]) -> Sequence[Block]:
    """The lead picture is a field of its own: where the text opens with it, it would be shown twice."""
    first = blocks[0] if blocks else None
    if first is None or not images or first.image_url is None:
        return blocks
    return blocks[1:] if picture_key(first.image_url) == picture_key(images[0].url) else blocks


def _published(
    metadata: Metadata, entry: Entry | None, feed_text: FeedText | None
) -> tuple[datetime | None, str | None]:
    """The text's own header knows best; then the page; then the feed, whose date may be that of its crawler.

    Where a page names a day alone, the feed may know the hour of it; else the day's first moment stands for it.
    """
    if feed_text and feed_text.published_at:
        return feed_text.published_at, "feed-body"
    if metadata.published_at:
        return metadata.published_at, metadata.published_from
    fed = entry.published_at if entry else None
    if metadata.published_on is None:
        return (fed, "feed") if fed else (None, None)
    if fed and abs(fed.date() - metadata.published_on) <= A_DAY:
        return fed, "feed"
    return _beginning(metadata.published_on), metadata.published_from


def _beginning(day: date | None) -> datetime | None:
    return datetime.combine(day, time(), UTC) if day else None


def _date_warnings(published_at: datetime | None, published_from: str | None, entry: Entry | None) -> list[str]:
    """A page whose clock is off from the feed's by whole hours has its zone wrong (seen on Pangea pages)."""
    if published_at is None or entry is None or entry.published_at is None or published_from in {"feed", "feed-body"}:
        return []
    apart_s = abs((published_at - entry.published_at).total_seconds())
    hours = round(apart_s / 3600)
    is_whole_hours = hours in WHOLE_HOURS and abs(apart_s - hours * 3600) <= CLOCK_TOLERANCE_S
    return ["date-off-by-whole-hours"] if is_whole_hours else []


def _authors(metadata: Metadata, entry: Entry | None, feed_text: FeedText | None) -> tuple[str, ...]:
    if metadata.authors:
        return metadata.authors
    if entry and (names := author_names(entry.authors)):
        return names
    return feed_text.authors if feed_text else ()


def _summary(
    metadata: Metadata, entry: Entry | None, body: Body | None, feed_text: FeedText | None
) -> tuple[str | None, str | None]:
    """The dek that the page shows; else what it declares of itself, or the feed of the item."""
    if body and body.dek:
        return body.dek, "dek"
    if metadata.summary:
        return metadata.summary, "meta"
    said = _feed_summary(entry, feed_text)
    return said, "feed" if said else None


def _is_told_by(summary: str, text: str) -> bool:
    """Whether a summary is only the text's own words, be they cut short."""
    said = " ".join(summary.rstrip(" .…").split())
    return said[:COMPARED_CHARS] in " ".join(text[:OPENING_CHARS].split())


def _feed_summary(entry: Entry | None, feed_text: FeedText | None) -> str | None:
    """The item's description, when it is not the article itself."""
    if entry is None or not entry.summary_html or (feed_text and entry.html == entry.summary_html):
        return None
    return clean_line(strip_tags(entry.summary_html), MAX_SUMMARY) or None


def _access(metadata: Metadata, words: int, *, is_feed: bool, is_excerpt: bool) -> Access:
    return Access(
        paywalled=metadata.paywalled,
        partial=is_excerpt or (bool(metadata.paywalled) and words < PARTIAL_BELOW and not is_feed),
    )
