"""A feed document's bytes -> its entries. One parser for all kinds, with the decoding done first and by ourselves.

XML libraries believe labels and lose text over undefined entities and bare ampersands, silently. So: bytes become
text, known defects are mended in the text, and only then it is parsed, recovering, with nothing expanded or fetched.
"""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime

from lxml import etree

from worker.errors import QuarantineError
from worker.feeds import jsonfeed, sitemap, xmlfeed
from worker.feeds.mend import (
    declared_entities,
    ends_in_an_item,
    html_escaped,
    items_behind,
    items_named,
    mended,
    newest_only,
    root_of,
    without_depth,
    without_halves,
)
from worker.model import ParsedFeed
from worker.text import decode, escape_control, sniff_declared

CAP_BYTES = 16 * 1024 * 1024  # of a sitemap, 80,000 addresses; what is fetched has a limit of its own
MAX_TAGS = 600_000  # more in so few bytes is no feed, and would take more than ten times its size of memory,
TAGS_OF_AN_ITEM = 15  # unless so many items are wanted
MAX_BRACKETS = 600_000  # of JSON, likewise: each opens an object or a list
MAX_REFERENCES = 2_000_000  # an ampersand each; escaped HTML has one in ten characters at most
MAX_TAGS_AGAIN = 200_000  # up to here a document whose elements do not close, or nest too deep, is read again
DEEPEST = 200  # of elements inside an item; libxml2 stops reading at 2,048

_CHARSET = re.compile(r"charset\s*=\s*[\"']?([A-Za-z0-9._:-]{1,40})", re.IGNORECASE)
_JUNK_SHOWN = 60

_GZIP = b"\x1f\x8b"
MAX_MEMBERS = 1000

FOREIGN = {"html": "an HTML page", "opml": "an OPML list"}


def parse_feed(
    body: bytes, *, content_type: str | None, url: str, max_entries: int = 5000, now: datetime
) -> ParsedFeed:
    """Read a feed document of any kind, or a sitemap.

    Args:
        body: Content-decoded bytes, as served; a gzip file is inflated, within the same limit.
        content_type: The header; only its charset is asked, and that last.
        url: Where the document came from, for its relative links.
        max_entries: Of more than these the newest are taken (by their dates, else the first), the others counted.
        now: Dates in the future are clamped to it.

    Returns: The feed. Its warnings tell how it was decoded where labels did not say, of impossible dates, and of items
        behind the document's end.
    Raises: QuarantineError: ``not-a-feed`` (naming what it is instead), ``feed-too-large``, ``too-many-attributes``.
    """
    body, is_cut = _inflated(body) if body.startswith(_GZIP) else (body, False)
    if len(body) > CAP_BYTES:
        raise QuarantineError("feed-too-large", f"over the limit of {CAP_BYTES} bytes")
    if not body.strip():
        raise QuarantineError("not-a-feed", "the document is empty")
    charset = _CHARSET.search(content_type or "")
    decoded = decode(body, http_charset=charset[1] if charset else None, declared=sniff_declared(body))
    text = decoded.text.lstrip("\ufeff \t\r\n\x00")
    reading = () if decoded.how in {"utf-8", "bom", "declared"} else (f"encoding: {decoded.encoding} ({decoded.how})",)
    if text.startswith("{"):
        return _with_dates_told(_json(text, url=url, max_entries=max_entries, now=now, warnings=reading), now)
    found = root_of(text)
    if found is None:
        shown = escape_control(" ".join(text[:_JUNK_SHOWN].split()))
        raise QuarantineError("not-a-feed", f"there is no feed element in it; it begins with {shown!r}")
    kind, start = found
    if kind in FOREIGN:
        raise QuarantineError("not-a-feed", f"it is {FOREIGN[kind]}")
    named = items_named(kind)
    entities = declared_entities(text[:start])
    text, left_out = newest_only(text[start:], named, max_entries, now=now)
    most_tags = max(MAX_TAGS, TAGS_OF_AN_ITEM * max_entries)
    if text.count("<") > most_tags or text.count("&") > MAX_REFERENCES:
        raise QuarantineError("feed-too-large", f"over the limit of {most_tags} tags or {MAX_REFERENCES} references")
    root, damaged, has_more = _tree(text, entities)
    damaged = damaged or is_cut
    if has_more and (unread := items_behind(text, kind)):
        reading = (*reading, f"document: {unread} items behind its end, not read")
    read = sitemap.read if kind in {"urlset", "sitemapindex"} else xmlfeed.read
    feed = read(
        root,
        url=url,
        max_entries=max_entries,
        now=now,
        damaged=damaged,
        last_is_cut=damaged and kind not in {"item", "entry"} and ends_in_an_item(text, named),
        left_out=left_out,
        warnings=reading,
    )
    return _with_dates_told(feed, now)


def _with_dates_told(feed: ParsedFeed, now: datetime) -> ParsedFeed:
    """With a warning of dates that were clamped or could not be read."""
    future = sum(entry.published_at == now for entry in feed.entries)
    unknown = sum(bool(entry.date_raw) and (entry.published_at or entry.updated_at) is None for entry in feed.entries)
    told = {"in the future, taken for now": future, "unreadable or before 1990": unknown}
    warnings = tuple(f"dates: {count} {what}" for what, count in told.items() if count)
    return replace(feed, warnings=(*feed.warnings, *warnings)) if warnings else feed


def _inflated(body: bytes) -> tuple[bytes, bool]:
    """What a gzip file holds, and whether it was cut: sitemaps are often put up packed, and served as they are.

    Raises: QuarantineError: ``feed-too-large``, ``not-a-feed``.
    """
    kept: list[bytes] = []
    room = CAP_BYTES
    for _ in range(MAX_MEMBERS):
        member = zlib.decompressobj(wbits=31)
        try:
            kept.append(member.decompress(body, room + 1))
        except zlib.error as error:
            raise QuarantineError("not-a-feed", f"it begins like gzip and is none: {error}") from error
        room -= len(kept[-1])
        if room < 0:
            raise QuarantineError("feed-too-large", f"inflated, over the limit of {CAP_BYTES} bytes")
        body = member.unused_data
        if not member.eof or not body.startswith(_GZIP):
            return b"".join(kept), not member.eof
    raise QuarantineError("feed-too-large", f"over the limit of {MAX_MEMBERS} gzip members")


def _json(text: str, *, url: str, max_entries: int, now: datetime, warnings: tuple[str, ...]) -> ParsedFeed:
    if text.count("{") + text.count("[") > MAX_BRACKETS:
        raise QuarantineError("feed-too-large", f"over the limit of {MAX_BRACKETS} brackets")
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise QuarantineError("not-a-feed", f"it begins like JSON and is none: {type(error).__name__}") from error
    return jsonfeed.read(document, url=url, max_entries=max_entries, now=now, warnings=warnings)


def _tree(text: str, entities: Mapping[str, str]) -> tuple[etree._Element, bool, bool]:
    """The root element; whether the document was cut or broken in a way that may have cost content; and whether
    something stands behind its end.
    """
    may_read_again = text.count("<") <= MAX_TAGS_AGAIN
    whole = mended(text, entities, numbered=not may_read_again)
    root, log = _parsed(whole.text)
    if may_read_again and any(entry.type not in _WELL_FORMED for entry in log):
        whole = mended(text, entities, numbered=True)
        root, log = _parsed(whole.text)
    text = whole.text
    if may_read_again and _met(log, etree.ErrorTypes.ERR_TAG_NAME_MISMATCH):
        text = html_escaped(text)
        root, log = _parsed(text)
    if may_read_again and _met(log, etree.ErrorTypes.ERR_RESOURCE_LIMIT):
        root, _ = _parsed(without_depth(text, DEEPEST))
    damaged = whole.damaged or any(entry.type not in _HARMLESS for entry in log)
    return root, damaged, any(entry.type in _BEHIND for entry in log)


def _met(log: list[etree._LogEntry], error: int) -> bool:
    return any(entry.type == error for entry in log)


def _parsed(text: str) -> tuple[etree._Element, list[etree._LogEntry]]:
    """Entities cannot be declared any more (the document type is gone), so nothing is left for huge_tree to guard."""
    parser = etree.XMLParser(
        recover=True,
        resolve_entities=False,
        no_network=True,
        load_dtd=False,
        huge_tree=True,
        remove_comments=True,
        remove_pis=True,
    )
    try:
        root = etree.fromstring(without_halves(text).encode("utf-8", "replace"), parser)
    except (etree.XMLSyntaxError, ValueError) as error:
        raise QuarantineError("not-a-feed", f"it cannot be read as XML: {error}") from error
    if root is None:
        raise QuarantineError("not-a-feed", "it cannot be read as XML")
    return root, list(parser.error_log)


# What the parser forgives: namespaces nobody declared, something after the root.
_WELL_FORMED = frozenset(
    {
        etree.ErrorTypes.NS_ERR_UNDEFINED_NAMESPACE,
        etree.ErrorTypes.NS_ERR_XML_NAMESPACE,
        etree.ErrorTypes.NS_ERR_QNAME,
        etree.ErrorTypes.WAR_NS_URI,
        etree.ErrorTypes.WAR_NS_URI_RELATIVE,
        etree.ErrorTypes.ERR_DOCUMENT_END,
    }
)
_BEHIND = frozenset(  # something after the root; its own XML declaration, if that begins it
    {etree.ErrorTypes.ERR_DOCUMENT_END, etree.ErrorTypes.ERR_RESERVED_XML_NAME}
)
_HARMLESS = _WELL_FORMED | {  # nothing that matters here is lost: an attribute twice
    etree.ErrorTypes.NS_ERR_ATTRIBUTE_REDEFINED,
    etree.ErrorTypes.ERR_ATTRIBUTE_REDEFINED,
}
