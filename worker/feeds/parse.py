"""A feed document's bytes -> its entries. One parser for all kinds, with the decoding done first and by ourselves.

XML libraries believe labels and lose text over undefined entities and bare ampersands, silently. So: bytes become
text, known defects are mended in the text, and only then it is parsed, recovering, with nothing expanded or fetched.
"""

from __future__ import annotations

import html.entities
import json
import re
from collections.abc import Iterator
from datetime import datetime

from lxml import etree

from worker.errors import QuarantineError
from worker.feeds import jsonfeed, xmlfeed
from worker.model import ParsedFeed
from worker.text import decode, sniff_declared

CAP_BYTES = 10 * 1024 * 1024
MAX_ATTRIBUTES = 256
MAX_DEPTH = 250  # libxml2 drops what lies deeper than 256

_CHARSET = re.compile(r"charset\s*=\s*[\"']?([A-Za-z0-9._:-]+)", re.IGNORECASE)
_CONTROLS = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff\ud800-\udfff]")
_DOCTYPE = re.compile(r"<!DOCTYPE(?:[^\[>\"']|\"[^\"]*\"|'[^']*')*(?:\[.*?\]\s*)?>", re.DOTALL | re.IGNORECASE)
_CDATA_OR_AMP = re.compile(
    r"<!\[CDATA\[.*?(?:\]\]>|\Z)|&(?:#(\d{1,7});|#[xX]([0-9a-fA-F]{1,6});|([A-Za-z][A-Za-z0-9]{1,31});)?", re.DOTALL
)
_OWN_ENTITIES = frozenset({"lt", "gt", "amp", "quot", "apos"})
_ROOT = re.compile(
    r"<([A-Za-z_][\w.-]*:)?(rss|feed|RDF|rdf|channel|entry|item|html|opml|urlset|sitemapindex|HTML)\b", re.IGNORECASE
)
_TAG_WITH_MANY = re.compile(r"<[A-Za-z][^<>]{4000,}>")
_ATTRIBUTE = re.compile(r"[\w:.-]+\s*=\s*[\"']")
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
    root, damaged = _tree(text)
    kind = etree.QName(root).localname.lower()
    if kind in FOREIGN:
        raise QuarantineError("not-a-feed", f"it is {FOREIGN[kind]}")
    return xmlfeed.read(root, url=url, max_entries=max_entries, now=now, damaged=damaged, warnings=reading)


def _json(text: str, *, url: str, max_entries: int, now: datetime, warnings: tuple[str, ...]) -> ParsedFeed:
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise QuarantineError("not-a-feed", f"it begins like JSON and is none: {type(error).__name__}") from error
    return jsonfeed.read(document, url=url, max_entries=max_entries, now=now, warnings=warnings)


def _tree(text: str) -> tuple[etree._Element, bool]:
    """The root element, and whether the document was cut or broken in a way that may have cost content."""
    found = _ROOT.search(text)
    if found is None:
        shown = " ".join(text[:_JUNK_SHOWN].split())
        raise QuarantineError("not-a-feed", f"there is no feed element in it; it begins with {shown!r}")
    _refuse_many_attributes(text)
    body, mended = _mended(_CONTROLS.sub("", text[found.start() :]))
    parser = etree.XMLParser(
        recover=True, resolve_entities=False, no_network=True, load_dtd=False, huge_tree=True, remove_comments=True,
        remove_pis=True, strip_cdata=True,
    )  # fmt: skip
    try:
        root = etree.fromstring(body.encode("utf-8", "replace"), parser)
    except (etree.XMLSyntaxError, ValueError) as error:
        raise QuarantineError("not-a-feed", f"it cannot be read as XML: {error}") from error
    if root is None:
        raise QuarantineError("not-a-feed", "it cannot be read as XML")
    return root, mended or any(_costly(entry) for entry in parser.error_log)


def _refuse_many_attributes(text: str) -> None:
    """Some parsers take minutes over an element with 100,000 attributes; nobody needs one."""
    for tag in _TAG_WITH_MANY.finditer(text):
        count = sum(1 for _ in _up_to(_ATTRIBUTE.finditer(tag[0]), MAX_ATTRIBUTES + 1))
        if count > MAX_ATTRIBUTES:
            raise QuarantineError("too-many-attributes", f"an element has more than {MAX_ATTRIBUTES} attributes")


def _up_to(found: Iterator[re.Match[str]], limit: int) -> Iterator[re.Match[str]]:
    for count, one in enumerate(found):
        if count >= limit:
            return
        yield one


def _mended(text: str) -> tuple[str, bool]:
    """Document types go, undefined entities become their characters, bare ampersands are escaped."""
    if "<!DOCTYPE" in text[:100_000]:
        text = _DOCTYPE.sub("", text, count=1)
    cut = text.count("<![CDATA[") > text.count("]]>")
    return _CDATA_OR_AMP.sub(_character, text) + ("]]>" if cut else ""), cut


def _character(found: re.Match[str]) -> str:
    whole = found[0]
    if whole.startswith("<"):
        return whole
    decimal, hexadecimal, name = found.groups()
    if name is not None:
        if name in _OWN_ENTITIES:
            return whole
        known = html.entities.html5.get(f"{name};")
        return known if known is not None else f"&amp;{name};"
    if decimal is None and hexadecimal is None:
        return "&amp;"
    number = int(decimal) if decimal is not None else int(hexadecimal, 16)
    if number in {0x26, 0x3C, 0x3E} or (number >= 0x20 and not 0xD800 <= number <= 0xDFFF and number <= 0x10FFFF):  # noqa: PLR2004
        return whole if number not in {0xFFFE, 0xFFFF} else "\ufffd"
    # Windows punctuation written as a character reference; a half surrogate; a control character
    if 0x80 <= number <= 0x9F:  # noqa: PLR2004
        return bytes([number]).decode("cp1252", "replace")
    return "\n" if number in {0x9, 0xA, 0xD} else "\ufffd"


# What the parser forgives without losing anything that matters here: namespaces nobody declared, a name in wrong case.
_HARMLESS = frozenset(
    {
        etree.ErrorTypes.NS_ERR_UNDEFINED_NAMESPACE,
        etree.ErrorTypes.NS_ERR_XML_NAMESPACE,
        etree.ErrorTypes.NS_ERR_QNAME,
        etree.ErrorTypes.NS_ERR_ATTRIBUTE_REDEFINED,
        etree.ErrorTypes.ERR_ATTRIBUTE_REDEFINED,
        etree.ErrorTypes.WAR_UNDECLARED_ENTITY,
        etree.ErrorTypes.WAR_NS_URI,
        etree.ErrorTypes.WAR_NS_URI_RELATIVE,
        etree.ErrorTypes.ERR_DOCUMENT_END,
    }
)


def _costly(entry: etree._LogEntry) -> bool:
    return entry.type not in _HARMLESS
