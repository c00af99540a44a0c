"""RSS 0.9x to 2.0, RDF and Atom, from a parsed tree. Elements are told by their names: feeds get namespaces wrong,
leave them out and make them up, and the names hardly clash. Some write them in capitals.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Collection, Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from html import escape
from itertools import islice

from lxml import etree

from worker.feeds.dates import LONGEST_DATE, read_date
from worker.model import LONGEST_TITLE, Enclosure, Entry, ParsedFeed
from worker.text import clean_line, strip_tags
from worker.urls import usable_url

ATOM = "atom"
MEDIA = "media"
DUBLIN_CORE = "dc"
ITUNES = "itunes"
SYNDICATION = "sy"
CONTENT = "content"
OTHER = "other"

# The namespaces that matter, by a part of their address, or by prefix where none is declared.
_NAMESPACES = (
    ("www.w3.org/2005/atom", ATOM),
    ("purl.org/atom", ATOM),
    ("search.yahoo.com/mrss", MEDIA),
    ("purl.org/dc/", DUBLIN_CORE),
    ("itunes.com/dtds", ITUNES),
    ("purl.org/rss/1.0/modules/syndication", SYNDICATION),
    ("purl.org/rss/1.0/modules/content", CONTENT),
    ("my.netscape.com", ""),
    ("purl.org/rss/1.0/", ""),
    ("channel.netscape.com", ""),
    ("backend.userland.com", ""),
    ("blogs.law.harvard.edu", ""),
    ("w3.org/1999/02/22-rdf", ""),
)
_PREFIXES = {"atom": ATOM, "media": MEDIA, "dc": DUBLIN_CORE, "itunes": ITUNES, "sy": SYNDICATION, "content": CONTENT}
XML = "{http://www.w3.org/XML/1998/namespace}"
XML_BASE = f"{XML}base"
XML_LANG = f"{XML}lang"
XLINK = "{http://www.w3.org/1999/xlink}"
_HAS_BASES = etree.XPath("boolean(//@xml:base)")
RDF_ABOUT = "{http://www.w3.org/1999/02/22-rdf-syntax-ns#}about"

_PERIODS_S = {"hourly": 3600.0, "daily": 86_400.0, "weekly": 604_800.0, "monthly": 2_592_000.0, "yearly": 31_536_000.0}
_DAYS = {day: place for place, day in enumerate(("mon", "tue", "wed", "thu", "fri", "sat", "sun"))}
# No two parts that stand side by side can hold the same character, or a long author costs its square.
_MAIL_AND_NAME = re.compile(r"[^\s@]+@[^\s()]+ ?\((.+)\)")
_NAME_AND_MAIL = re.compile(r"([^<>()]+)(?:<[^\s<>@]+@[^\s<>@]+>|\([^\s()@]+@[^\s()@]+\))")
_PLAIN_KINDS = frozenset({"text", "text/plain"})
_HTML_TAG = re.compile(r"<[A-Za-z][^<>]*>")
_DECLARATION = re.compile(r'\sxmlns:[\w.-]+="[^"]*"')
_PICTURE_NAME = re.compile(r"\.(?:jpe?g|png|webp|gif|avif)(?:$|\?)", re.IGNORECASE)
_ABSOLUTE = re.compile(r"https?://", re.IGNORECASE)
_TELLING = frozenset({ATOM, DUBLIN_CORE, ITUNES})  # a picture's description is not the item's
_SUMMARY_RANKS = {"": 5, ATOM: 5, DUBLIN_CORE: 4, ITUNES: 3, MEDIA: 2}
LONGEST_GUID = 2000
_PAGE_TYPES = frozenset({"text/html", "application/xhtml+xml"})
_FEED_TYPES = frozenset({"application/atom+xml", "application/rss+xml", "application/rdf+xml", "application/feed+json"})
MOST_CHILDREN = 20_000  # of one element; no feed has more, and looking at each takes time
DEEPEST_MEDIA = 4  # a group, a content, a thumbnail; what nests deeper is no description of a picture


def read(
    root: etree._Element,
    *,
    url: str,
    max_entries: int,
    now: datetime,
    damaged: bool,
    last_is_cut: bool,
    left_out: int,
    warnings: tuple[str, ...],
) -> ParsedFeed:
    """The feed in a tree.

    Args:
        damaged: Something was lost before; goes into the result.
        last_is_cut: The document ends inside its last item, which is left out.
        left_out: How many were left out before.
    """
    kind = _name(root)[1]
    if kind in {"item", "entry"}:
        heads, items = [], [root]
    else:
        heads = [child for child in _elements(root) if _name(child)[1] == "channel"] or [root]
        items = list(root.iter("{*}item", "{*}entry")) or _oddly_named_items(root)
        _take_out(items, {root, *heads})
    if last_is_cut:
        del items[-1:]
    has_bases = bool(_HAS_BASES(root))
    base = _base(root, url)
    head = _Head()
    for element in heads:
        _read_head(head, element, _base(element, base))
    base = head.base or base
    return ParsedFeed(
        format=_format(root),
        title=head.title,
        language=head.language or root.get(XML_LANG),
        home_url=head.home_url,
        entries=tuple(
            _entry(item, _Place(url, _base(item, base), has_bases), now, damaged) for item in items[:max_entries]
        ),
        entries_left_out=left_out + max(0, len(items) - max_entries),
        ttl_s=head.ttl_s,
        update_period_s=head.period_s / head.frequency if head.period_s else None,
        skip_hours=frozenset(head.skip_hours),
        skip_days=frozenset(head.skip_days),
        hub_url=head.hub_url,
        topic_url=head.topic_url,
        damaged=damaged,
        warnings=warnings,
    )


def _oddly_named_items(root: etree._Element) -> list[etree._Element]:
    """Items in capitals, or with a prefix that nobody declared."""
    found = (one for one in root.iter(etree.Element) if str(one.tag).lower().endswith(("item", "entry")))
    return [one for one in found if _name(one)[1] in {"item", "entry"}]


def _take_out(items: Sequence[etree._Element], homes: Collection[etree._Element]) -> None:
    """Take items out of elements that never closed, or they count as those elements' text."""
    for item in reversed(items):
        parent = item.getparent()
        if parent is not None and parent not in homes:
            parent.remove(item)


def _name(element: etree._Element) -> tuple[str, str]:
    """(what kind of namespace, local name in lower case), also where the prefix was never declared."""
    kind, local = _read_name(element.tag)
    if kind is None:
        prefix = element.prefix
        kind = _PREFIXES.get(prefix.lower(), OTHER) if prefix else ""
    return kind, local


@lru_cache(maxsize=1024)
def _read_name(tag: str) -> tuple[str | None, str]:
    """As ``_name``; the kind is None where a namespace does not tell it."""
    if tag.startswith("{"):
        namespace, _, local = tag[1:].partition("}")
        lowered = namespace.lower()
        return next((kind for part, kind in _NAMESPACES if part in lowered), None), local.lower()
    prefix, colon, local = tag.lower().partition(":")
    return (_PREFIXES.get(prefix, OTHER), local) if colon else ("", prefix)


def _format(root: etree._Element) -> str:
    local = _name(root)[1]
    if local in {"feed", "entry"}:
        old = root.get("version") == "0.3" or "purl.org/atom" in str(root.tag)
        return "atom-0.3" if old else "atom-1.0"
    if local == "rdf":
        return "rss-0.9x" if any("my.netscape.com" in str(child.tag) for child in root) else "rss-1.0"
    version = root.get("version") or ""
    return "rss-2.0" if version.startswith("2") or not version else "rss-0.9x"


def _base(element: etree._Element, outer: str) -> str:
    own = element.get(XML_BASE)
    return (usable_url(own, outer) or outer) if own else outer


# ---------------------------------------------------------------- the feed itself


@dataclass(slots=True)
class _Head:
    base: str | None = None
    title: str | None = None
    language: str | None = None
    home_url: str | None = None
    hub_url: str | None = None
    topic_url: str | None = None
    ttl_s: float | None = None
    period_s: float | None = None
    frequency: float = 1.0
    skip_hours: set[int] = field(default_factory=set)
    skip_days: set[int] = field(default_factory=set)


def _read_head(head: _Head, element: etree._Element, base: str) -> None:
    head.base = base
    for child in islice(_elements(element), MOST_CHILDREN):
        space, local = _name(child)
        if local == "title" and head.title is None and space in {"", ATOM, DUBLIN_CORE}:
            head.title = _line(child)
        elif local == "link":
            _read_head_link(head, child, base)
        elif local == "language" and head.language is None:
            head.language = _line(child)
        elif local == "ttl":
            minutes = _number(child)
            head.ttl_s = minutes * 60 if minutes else None
        elif local == "updateperiod":
            head.period_s = _PERIODS_S.get((_plain(child) or "").strip().lower())
        elif local == "updatefrequency":
            head.frequency = max(1.0, _number(child) or 1.0)
        elif local == "skiphours":
            head.skip_hours |= {int(hour) % 24 for one in _elements(child) if (hour := _number(one)) is not None}
        elif local == "skipdays":
            named = ((_plain(one) or "").strip().lower()[:3] for one in _elements(child))
            head.skip_days |= {_DAYS[day] for day in named if day in _DAYS}


def _read_head_link(head: _Head, link: etree._Element, base: str) -> None:
    rel = (link.get("rel") or "alternate").lower()
    target = usable_url(link.get("href") or _plain(link) or "", base)
    if rel == "hub":
        head.hub_url = head.hub_url or target
    elif rel == "self":
        head.topic_url = head.topic_url or target
    elif rel == "alternate" and head.home_url is None:
        head.home_url = target


def _number(element: etree._Element) -> float | None:
    """A number as feeds write it, bounded; None: there is none."""
    text = (_plain(element) or "").strip()
    return float(text) if re.fullmatch(r"\d{1,7}(\.\d{1,6})?", text) else None


# ---------------------------------------------------------------- an entry


@dataclass(slots=True)
class _Item:
    """What was met so far; for texts the better of several is kept, by rank."""

    guid: str | None = None
    permalink: str | None = None  # the guid, where it is a link too
    link: str | None = None
    link_rank: int = 0
    title: str | None = None
    title_raw: str | None = None
    title_rank: int = 0
    summary: str | None = None
    summary_rank: int = 0
    summary_base: str | None = None
    other_summary: str | None = None  # of another vocabulary
    content: str | None = None
    content_base: str | None = None
    dates: dict[str, str] = field(default_factory=dict)
    authors: list[str] = field(default_factory=list)
    categories: list[str] = field(default_factory=list)
    language: str | None = None
    enclosures: list[Enclosure] = field(default_factory=list)
    images: list[Enclosure] = field(default_factory=list)


_PUBLISHED = ("pubdate", "published", "issued", "date", "created")
_UPDATED = ("updated", "modified", "lastbuilddate")
_IN_ORDER = (*_PUBLISHED, *_UPDATED)
_DATES = frozenset(_IN_ORDER)


@dataclass(slots=True)
class _Place:
    """Where an item's links start from, and whether elements inside may say otherwise."""

    document_url: str
    base: str
    has_bases: bool


def _entry(element: etree._Element, place: _Place, now: datetime, damaged: bool) -> Entry:
    base = place.base
    item = _Item(language=element.get(XML_LANG))
    for child in islice(_elements(element), MOST_CHILDREN):
        _read_child(item, child, _base(child, base) if place.has_bases else base)
    if about := clean_line(element.get(RDF_ABOUT) or "", LONGEST_GUID):
        item.guid = about
    _read_cdf(item, element, base)
    link = item.link or item.permalink
    if link is None and damaged:
        link = _swallowed_link(element, base)
    if item.content is None and len(item.other_summary or "") > len(item.summary or ""):
        item.content = item.other_summary
    base_of_html = item.content_base or item.summary_base or place.document_url
    published_at, published = _date(item, _IN_ORDER, now)
    return Entry(
        guid=item.guid,
        url=link,
        title=item.title,
        title_raw=item.title_raw,
        summary_html=item.summary,
        content_html=item.content,
        base_url=None if base_of_html == place.document_url else base_of_html,
        published_at=published_at,
        updated_at=None if item.dates.keys().isdisjoint(_UPDATED) else _date(item, _UPDATED, now)[0],
        date_raw=clean_line(published, LONGEST_DATE) if published else None,
        authors=tuple(dict.fromkeys(item.authors)),
        categories=tuple(dict.fromkeys(item.categories)),
        language=item.language,
        enclosures=tuple(item.enclosures),
        images=tuple(item.images),
    )


def _read_cdf(item: _Item, element: etree._Element, base: str) -> None:
    """Microsoft's Channel Definition Format says it in attributes."""
    if item.link is None and (href := element.get("href") or element.get("HREF")):
        item.link = usable_url(href, base)
    if not item.dates and (modified := element.get("lastmod") or element.get("LASTMOD")):
        item.dates["modified"] = modified


def _swallowed_link(element: etree._Element, base: str) -> str | None:
    """A link that an element which never closed took in; not the one of a picture or of the feed it was taken from."""
    for parent in islice(element.iter(etree.Element), MOST_CHILDREN):
        if _name(parent)[1] not in {"source", "image"}:
            links = (child for child in _elements(parent) if _name(child) == ("", "link"))
            target = next((found for link in links if (found := usable_url(link.text or "", base))), None)
            if target is not None:
                return target
    return None


def _date(item: _Item, names: tuple[str, ...], now: datetime) -> tuple[datetime | None, str | None]:
    """The first date under these names that can be read, and how it was written; else the first one as written."""
    written = [item.dates[name] for name in names if name in item.dates]
    readable = ((moment, raw) for raw in written if (moment := read_date(raw, now=now)) is not None)
    return next(readable, (None, written[0] if written else None))


def _read_child(item: _Item, child: etree._Element, base: str) -> None:
    space, local = _name(child)
    if space == MEDIA:
        _read_media(item, child, local, base)
    elif space == ITUNES:
        if local == "image" and (picture := usable_url(child.get("href") or "", base)):
            item.images.append(Enclosure(url=picture))
        elif local == "author" and not item.authors:
            _add_author(item, child)
        elif local == "summary":
            _read_summary(item, _Child(child, base, space))
    elif local in _DATES:
        text = (_plain(child) or "").strip()
        if text:
            item.dates.setdefault(local, text)
    elif local in _READERS:
        _READERS[local](item, _Child(child, base, space))


@dataclass(slots=True)
class _Child:
    """An element inside an item: where its links start from, and what kind of namespace it is in."""

    element: etree._Element
    base: str
    space: str


def _read_title(item: _Item, child: _Child) -> None:
    rank = 2 if child.space in {"", ATOM} else 1
    if rank > item.title_rank and (title := _line(child.element)) is not None:
        item.title, item.title_rank = title, rank
        item.title_raw = _raw_title(child, title)


def _raw_title(child: _Child, title: str) -> str | None:
    """A title word for word: readable documents keep its blanks and invisible characters.

    In RSS nobody knows whether it is HTML; in Atom it is told.
    """
    is_whole = child.space == "" or (child.space == ATOM and _kind(child.element) in {"", *_PLAIN_KINDS})
    text = (child.element.text or "").strip() if is_whole and not len(child.element) else ""
    return text if text not in {"", title} and len(text) <= LONGEST_TITLE else None


def _read_link(item: _Item, child: _Child) -> None:
    href = child.element.get("href")
    if href is None:
        if _rel(child.element) != "alternate":
            return
        target, rank = usable_url(_plain(child.element) or "", child.base), 2 if child.space in {"", ATOM} else 1
    else:
        rel = _rel(child.element)
        target = usable_url(href, child.base)
        if rel == "enclosure" and target is not None:
            length, media_type = _length(child.element.get("length")), child.element.get("type")
            _add_enclosure(
                item, Enclosure(url=target, media_type=media_type, length=length, title=child.element.get("title"))
            )
            return
        media_type = (child.element.get("type") or "text/html").lower()
        if rel not in {"alternate", "related"} or media_type in _FEED_TYPES:
            return
        rank = 1 if rel == "related" else 5 if media_type in _PAGE_TYPES else 4
        rank = rank - 3 if child.space == ATOM and rel == "alternate" and item.link_rank else rank
    if target is not None and rank > item.link_rank:
        item.link, item.link_rank = target, rank


def _rel(link: etree._Element) -> str:
    return (link.get("rel") or "alternate").strip().lower().rpartition("/")[2]


def _read_original(item: _Item, child: _Child) -> None:
    """The article's own address where a counting service put its redirect into ``link`` (feedburner:origLink)."""
    target = usable_url(_plain(child.element) or "", child.base)
    if target is not None:
        item.link, item.link_rank = target, 6


def _read_guid(item: _Item, child: _Child) -> None:
    """A guid is a link unless it says that it is none; one that does not say so and is relative is seldom meant so.

    An Atom id may be the page's address too.
    """
    text = clean_line(_plain(child.element) or "", LONGEST_GUID)
    if not text or (item.guid is not None and child.space not in {"", ATOM}):
        return
    item.guid = text
    said = (child.element.get("isPermaLink") or child.element.get("ispermalink") or "").strip().lower()
    if said == "true" or (said != "false" and _ABSOLUTE.match(text)):
        item.permalink = item.permalink or usable_url(text, child.base)


def _read_summary(item: _Item, child: _Child) -> None:
    """The feed's own description comes before another vocabulary's; where that says more, it counts as the content."""
    body = _markup(child.element)
    if body is None:
        return
    rank = _SUMMARY_RANKS.get(child.space, 1)
    if (rank, len(body)) > (item.summary_rank, len(item.summary or "")):
        item.summary, item.summary_rank, item.summary_base = body, rank, child.base
    is_telling = child.space in _TELLING and _name(child.element)[1] in {"description", "summary"}
    if is_telling and len(body) > len(item.other_summary or ""):
        item.other_summary = body


def _read_content(item: _Item, child: _Child) -> None:
    body = _markup(child.element)
    if body and len(body) > len(item.content or ""):
        item.content, item.content_base = body, child.base


def _read_author(item: _Item, child: _Child) -> None:
    _add_author(item, child.element)


def _read_category(item: _Item, child: _Child) -> None:
    name = clean_line(
        strip_tags(child.element.get("label") or child.element.get("term") or _plain(child.element) or ""), 200
    )
    if name:
        item.categories.append(name)


def _read_enclosure(item: _Item, child: _Child) -> None:
    target = usable_url(child.element.get("url") or child.element.get("href") or "", child.base)
    if target is not None:
        length = _length(child.element.get("length"))
        _add_enclosure(item, Enclosure(url=target, media_type=child.element.get("type"), length=length))


def _read_language(item: _Item, child: _Child) -> None:
    item.language = _line(child.element) or item.language


def _read_image(item: _Item, child: _Child) -> None:
    """No standard has it, many feeds do: an address as text, or in a ``url`` element or attribute."""
    inner = next((_plain(one) for one in _elements(child.element) if _name(one)[1] == "url"), None)
    target = usable_url(
        child.element.get("url") or child.element.get("href") or inner or _plain(child.element) or "", child.base
    )
    if target is not None:
        item.images.append(Enclosure(url=target))


_READERS = {
    "title": _read_title,
    "link": _read_link,
    "origlink": _read_original,
    "guid": _read_guid,
    "id": _read_guid,
    "identifier": _read_guid,
    "description": _read_summary,
    "summary": _read_summary,
    "abstract": _read_summary,
    "tagline": _read_summary,
    "encoded": _read_content,
    "content": _read_content,
    "body": _read_content,
    "fullitem": _read_content,
    "author": _read_author,
    "creator": _read_author,
    "category": _read_category,
    "subject": _read_category,
    "enclosure": _read_enclosure,
    "language": _read_language,
    "image": _read_image,
    "thumbnail": _read_image,
}


def _read_media(item: _Item, child: etree._Element, local: str, base: str, depth: int = 1) -> None:
    if depth > DEEPEST_MEDIA:
        return
    if local == "group":
        for one in islice(_elements(child), MOST_CHILDREN):
            _read_media(item, one, _name(one)[1], base, depth + 1)
        return
    if local not in {"content", "thumbnail"}:
        if local == "title" and item.title is None:
            item.title, item.title_rank = _line(child), 1
        elif local == "description":
            _read_summary(item, _Child(child, base, MEDIA))
        return
    target = usable_url(child.get("url") or "", base)
    if target is not None:
        media_type = child.get("type")
        picture = (
            local == "thumbnail"
            or (child.get("medium") or "").lower() == "image"
            or (media_type or "").lower().startswith("image/")
            or (media_type is None and bool(_PICTURE_NAME.search(target)))
        )
        found = Enclosure(url=target, media_type=media_type, length=_length(child.get("fileSize")))
        (item.images if picture else item.enclosures).append(found)
    for one in islice(_elements(child), MOST_CHILDREN):  # media:content may hold its own media:thumbnail
        if _name(one)[1] == "thumbnail":
            _read_media(item, one, "thumbnail", base, depth + 1)


def _add_enclosure(item: _Item, found: Enclosure) -> None:
    item.enclosures.append(found)
    if (found.media_type or "").lower().startswith("image/"):
        item.images.append(found)


def _add_author(item: _Item, child: etree._Element) -> None:
    named = next((_plain(one) for one in _elements(child) if _name(one)[1] == "name"), None)
    raw = strip_tags(named or _plain(child) or "")
    found = (_MAIL_AND_NAME.fullmatch(raw) or _NAME_AND_MAIL.fullmatch(raw)) if "@" in raw else None
    name = clean_line(found[1] if found else raw, 200)
    if name:
        item.authors.append(name)


def _length(raw: str | None) -> int | None:
    """What a feed claims of a file's size; 0 and nonsense say nothing."""
    return (int(raw) or None) if raw and re.fullmatch(r"\d{1,15}", raw.strip()) else None


# ---------------------------------------------------------------- text


def _elements(element: etree._Element) -> Iterator[etree._Element]:
    return element.iterchildren(etree.Element)


def _plain(element: etree._Element) -> str | None:
    """The character data of an element and what is inside it."""
    return "".join(map(str, element.itertext())) if len(element) else element.text


def _line(element: etree._Element) -> str | None:
    """A title: markup off, whichever way it was put in, on one line."""
    markup = _markup(element) or ""
    is_plain = "<" not in markup and "&" not in markup and ">" not in markup
    return clean_line(markup if is_plain else strip_tags(markup)) or None


def _markup(element: etree._Element) -> str | None:
    """The HTML that an element carries: escaped, in CDATA, as real markup, in base64, or as plain text.

    What does not say its type is read as HTML, also in Atom, where that means plain text: who writes no type writes
    HTML as well.

    Source: RFC 4287 sections 3.1.1 (type) and 4.1.3.3 (base64), Atom 0.3 (mode), RSS 2.0 (escaped HTML).
    """
    if len(element):
        return _inner(element, unwrap=_kind(element) == "xhtml").strip() or None
    text = element.text
    if text is None or text.isspace():
        return None
    kind = _kind(element)
    if not kind and element.get("mode") is None:
        return text
    is_atom = _name(element)[0] in {ATOM, ""}
    is_packed = is_atom and (element.get("mode") == "base64" or _holds_bytes(kind))
    if is_packed and (unpacked := _unpacked(text)) is not None:
        return escape(unpacked, quote=False) if kind in {"", *_PLAIN_KINDS} else unpacked
    return escape(text, quote=False) if is_atom and kind in _PLAIN_KINDS else text


def _holds_bytes(kind: str) -> bool:
    return "/" in kind and not kind.startswith("text/") and not kind.endswith(("+xml", "/xml"))


def _unpacked(text: str) -> str | None:
    """The text in base64; None: it is none, or no text."""
    try:
        return base64.b64decode("".join(text.split()), validate=True).decode() or None
    except (binascii.Error, ValueError):
        return None


def _kind(element: etree._Element) -> str:
    return (element.get("type") or "").lower()


def _inner(element: etree._Element, *, unwrap: bool) -> str:
    """The markup inside an element, without an Atom xhtml construct's own ``div``; of a hostile one only the text."""
    if len(element) > MOST_CHILDREN:
        return escape(_plain(element) or "", quote=False)
    children = list(_elements(element))
    if unwrap and len(children) == 1 and _name(children[0])[1] == "div":
        return _inner(children[0], unwrap=False)
    parts = [escape(element.text or "", quote=False)]
    for child in element:
        if isinstance(child.tag, str):
            parts.append(_as_html(child))
        parts.append(escape(child.tail or "", quote=False))
    return "".join(parts)


def _as_html(element: etree._Element) -> str:
    """The element with HTML's plain names, whatever namespaces it was put into, and without attributes of others.

    A copy is written: where it stands, each element would declare all namespaces of the document again.
    """
    plain = deepcopy(element)
    for one in plain.iter(etree.Element):
        if one.tag.startswith("{"):
            try:
                one.tag = one.tag.rpartition("}")[2]
            except ValueError:  # what a broken document made of a name
                one.tag = "span"
        for name in [str(name) for name in one.attrib]:
            if name.startswith("{") and not name.startswith((XML, XLINK)):
                del one.attrib[name]
    etree.cleanup_namespaces(plain)
    written = etree.tostring(plain, encoding="unicode", method="html", with_tail=False)
    return _HTML_TAG.sub(lambda tag: _DECLARATION.sub("", tag[0]), written) if "xmlns:" in written else written
