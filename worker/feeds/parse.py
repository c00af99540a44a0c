"""A feed document's bytes -> its entries. One parser for all kinds, with the decoding done first and by ourselves.

XML libraries believe labels and lose text over undefined entities and bare ampersands, silently. So: bytes become
text, known defects are mended in the text, and only then it is parsed, recovering, with nothing expanded or fetched.
"""

from __future__ import annotations

import json
import re
from datetime import datetime

from lxml import etree

from worker.errors import QuarantineError
from worker.feeds import jsonfeed, xmlfeed
from worker.feeds.mend import ends_in_an_item, html_escaped, mended, root_of, without_depth
from worker.model import ParsedFeed
from worker.text import decode, escape_control, sniff_declared

CAP_BYTES = 10 * 1024 * 1024
MAX_ATTRIBUTES = 256
MAX_TAGS = 1_200_000  # 100,000 ordinary items; more in so few bytes is no feed and costs seconds
MAX_REFERENCES = 2_000_000  # an ampersand each; escaped HTML has one in ten characters at most
MAX_TAGS_AGAIN = 200_000  # up to here a document whose elements do not close, or nest too deep, is read again
DEEPEST = 200  # of elements inside an item; libxml2 stops reading at 2,048

_CHARSET = re.compile(r"charset\s*=\s*[\"']?([A-Za-z0-9._:-]+)", re.IGNORECASE)
_LONG_TAG = re.compile(r"<[A-Za-z][^<>]{1000,}+>")
_ATTRIBUTE = re.compile(r"=\s*[\"']")
_JUNK_SHOWN = 60

FOREIGN = {"html": "an HTML page", "opml": "an OPML list", "urlset": "a sitemap", "sitemapindex": "a sitemap index"}


def parse_feed(
    body: bytes, *, content_type: str | None, url: str, max_entries: int = 5000, now: datetime
) -> ParsedFeed:
    """Read a feed document of any kind.

    Args:
        body: Content-decoded bytes, as served.
        content_type: The header; only its charset is asked, and that last.
        url: Where the document came from, for its relative links.
        max_entries: Further ones are counted, not taken.
        now: Dates in the future are clamped to it.

    Raises: QuarantineError: ``not-a-feed`` (naming what it is instead), ``feed-too-large``, ``too-many-attributes``.
    """
    if len(body) > CAP_BYTES:
        raise QuarantineError("feed-too-large", f"{len(body)} bytes, over the limit of {CAP_BYTES}")
    if not body.strip():
        raise QuarantineError("not-a-feed", "the document is empty")
    charset = _CHARSET.search(content_type or "")
    decoded = decode(body, http_charset=charset[1] if charset else None, declared=sniff_declared(body))
    text = decoded.text.lstrip("\ufeff \t\r\n\x00")
    reading = () if decoded.how in {"utf-8", "bom", "declared"} else (f"encoding: {decoded.encoding} ({decoded.how})",)
    if text.startswith("{"):
        return _json(text, url=url, max_entries=max_entries, now=now, warnings=reading)
    if text.count("<") > MAX_TAGS or text.count("&") > MAX_REFERENCES:
        raise QuarantineError("feed-too-large", f"over the limit of {MAX_TAGS} tags or {MAX_REFERENCES} references")
    found = root_of(text)
    if found is None:
        shown = escape_control(" ".join(text[:_JUNK_SHOWN].split()))
        raise QuarantineError("not-a-feed", f"there is no feed element in it; it begins with {shown!r}")
    kind, start = found
    if kind in FOREIGN:
        raise QuarantineError("not-a-feed", f"it is {FOREIGN[kind]}")
    text = text[start:]
    _refuse_many_attributes(text)
    root, damaged = _tree(text)
    cut = damaged and kind not in {"item", "entry"} and ends_in_an_item(text)
    return xmlfeed.read(
        root, url=url, max_entries=max_entries, now=now, damaged=damaged, last_is_cut=cut, warnings=reading
    )


def _json(text: str, *, url: str, max_entries: int, now: datetime, warnings: tuple[str, ...]) -> ParsedFeed:
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise QuarantineError("not-a-feed", f"it begins like JSON and is none: {type(error).__name__}") from error
    return jsonfeed.read(document, url=url, max_entries=max_entries, now=now, warnings=warnings)


def _refuse_many_attributes(text: str) -> None:
    """Some parsers take minutes over an element with 100,000 attributes; nobody needs one."""
    for tag in _LONG_TAG.finditer(text):
        if sum(1 for _ in _ATTRIBUTE.finditer(tag[0])) > MAX_ATTRIBUTES:
            raise QuarantineError("too-many-attributes", f"an element has more than {MAX_ATTRIBUTES} attributes")


def _tree(text: str) -> tuple[etree._Element, bool]:
    """The root element, and whether the document was cut or broken in a way that may have cost content."""
    whole = mended(text)
    text = whole.text
    root, log = _parsed(text)
    may_read_again = text.count("<") <= MAX_TAGS_AGAIN
    if may_read_again and _met(log, etree.ErrorTypes.ERR_TAG_NAME_MISMATCH):
        text = html_escaped(text)
        root, log = _parsed(text)
    if may_read_again and _met(log, etree.ErrorTypes.ERR_RESOURCE_LIMIT):
        root, _ = _parsed(without_depth(text, DEEPEST))
    return root, whole.damaged or any(entry.type not in _HARMLESS for entry in log)


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
        root = etree.fromstring(text.encode("utf-8", "replace"), parser)
    except (etree.XMLSyntaxError, ValueError) as error:
        raise QuarantineError("not-a-feed", f"it cannot be read as XML: {error}") from error
    if root is None:
        raise QuarantineError("not-a-feed", "it cannot be read as XML")
    return root, list(parser.error_log)


# What the parser forgives without losing anything that matters here: namespaces nobody declared, an attribute twice.
_HARMLESS = frozenset(
    {
        etree.ErrorTypes.NS_ERR_UNDEFINED_NAMESPACE,
        etree.ErrorTypes.NS_ERR_XML_NAMESPACE,
        etree.ErrorTypes.NS_ERR_QNAME,
        etree.ErrorTypes.NS_ERR_ATTRIBUTE_REDEFINED,
        etree.ErrorTypes.ERR_ATTRIBUTE_REDEFINED,
        etree.ErrorTypes.WAR_NS_URI,
        etree.ErrorTypes.WAR_NS_URI_RELATIVE,
        etree.ErrorTypes.ERR_DOCUMENT_END,  # something after the root
    }
)
