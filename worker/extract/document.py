"""A page's bytes -> one parsed tree, or the name of the reason why not.

Everything that could make the parser slow or lose text is looked at before or right after the one parse that metadata,
picture and body share.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import lxml.etree
import lxml.html

from worker.text import decode, sniff_declared
from worker.urls import usable_url

MAX_BYTES = 10 * 1024 * 1024
MAX_ATTRIBUTES = 1000  # per tag: libxml2 compares each new one with all before it, 20,000 cost 0.4 s
MAX_ELEMENTS = 40_000  # the longest honest pages have about 10,000

Headers = Sequence[tuple[str, str]] | Mapping[str, str]
Unparsed = Literal["empty", "too-large", "too-deep", "too-many-attributes"]
Refusal = Literal["unsupported-type"] | Unparsed

# One class for all elements, known to lxml's own code: lxml.html's parser calls Python for each element at each touch.
_ELEMENT_CLASS = lxml.etree.ElementDefaultClassLookup(element=lxml.html.HtmlElement)
_COUNT_ELEMENTS = lxml.etree.XPath("count(//*)")
_FOREIGN_MAGIC = (
    b"%PDF-", b"PK\x03\x04", b"\x1f\x8b", b"\x89PNG", b"\xff\xd8\xff", b"GIF8", b"RIFF", b"ID3", b"OggS", b"\x7fELF",
    b"Rar!", b"7z\xbc\xaf", b"\xd0\xcf\x11\xe0", b"\x1aE\xdf\xa3", b"wOFF", b"wOF2",
)  # fmt: skip
_MP4_BRAND = slice(4, 8)
_CHARSET = re.compile(r"charset\s*=\s*[\"']?\s*([\w.:-]+)", re.IGNORECASE)
# What lxml reads, raw or as a reference, and XML may not hold: no text may carry it.
# https://www.w3.org/TR/xml/#charsets
_UNWRITABLE = bytes(byte for byte in range(0x20) if byte not in b"\t\n\r")
_BLANKED = bytes.maketrans(_UNWRITABLE, b" " * len(_UNWRITABLE))
_UNWRITABLE_REFERENCE = re.compile(
    r"&#(?:0*+(?:[1-8]|1[124-9]|2\d|3[01]|6553[45])(?!\d)"
    r"|[xX]0*+(?:[1-8bcef]|1[\da-f]|fff[ef])(?![\da-f]));?",
    re.IGNORECASE,
)
# Of these a text has none or a few: not NUL (UTF-16 that nobody declared), not ESC (ISO-2022), not form feeds.
_BINARY = bytes(byte for byte in _UNWRITABLE if byte not in b"\0\v\f\x1b")
BINARY_SHARE = 0.02  # of the characters; in noise, and in whatever is packed, it is a tenth
NOISE_SAMPLE = 20_000  # characters looked at
MANY_BINARY = 20  # fewer are slips
_XML_DECLARATION = re.compile(r"\s*<\?xml[^>]{0,500}\?>", re.IGNORECASE)


def _any_case(name: str) -> str:
    return "".join(f"[{letter}{letter.upper()}]" for letter in name)


# The tokens of HTML, consumed from left to right in one linear match that stops at a crowded tag. What is mere text to
# the parser (scripts, titles, comments, …) has to be mere text here too, or a crowd could hide behind it.
# https://html.spec.whatwg.org/multipage/parsing.html#tokenization
_ATTRIBUTE = r"""[\s/]*+[^\s/>][^\s/>=]*+(?:\s*+=\s*+(?:"[^"]*+(?:"|\Z)|'[^']*+(?:'|\Z)|[^\s>"'][^\s>]*+)?+)?+"""
_TAG = rf"/?+[a-zA-Z][^\s/>]*+(?:{_ATTRIBUTE}){{0,{MAX_ATTRIBUTES}}}+[\s/]*+(?:>|\Z)"
_RAW_TEXT = "|".join(
    rf"(?={name}[\s/>]){_TAG}[^<]*+(?:<(?!/{name}[\s/>])[^<]*+)*+"
    for name in map(_any_case, ("script", "style", "title", "textarea", "iframe", "noframes", "noembed", "xmp"))
)
_DECLARATION = r"!--(?:-?>|(?:[^-]++|-(?!-!?>))*+)|[!?][^>]*+|/(?![a-zA-Z])[^>]*+"
_UNCROWDED = re.compile(rf"[^<]*+(?:<(?:{_RAW_TEXT}|{_TAG}|{_DECLARATION}|(?![a-zA-Z/!?]))[^<]*+)*+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """One parsed page. Readers leave ``root`` as it is; whoever has to change it, copies it."""

    root: lxml.html.HtmlElement
    source: str  # decoded, for markers that no element holds
    url: str | None
    base_url: str | None  # what relative links are resolved against: <base href>, else the page's URL
    headers: tuple[tuple[str, str], ...]
    warnings: tuple[str, ...] = ()

    def header(self, name: str) -> str | None:
        """The first value of a response header, or None."""
        return _header(self.headers, name)


def read_document(html: bytes, url: str | None, headers: Headers | None) -> Document | Refusal:
    """Decode and parse a page once.

    Args:
        html: The body, content coding undone; at most MAX_BYTES are read.
        url: Where it came from, absolute; None when unknown.
        headers: Of the response; only ``Content-Type`` matters here.

    Returns: The document, or why there is none: ``too-deep`` when elements are nested beyond the parser's limit of
        2,048 (libxml2 drops everything after), ``too-large`` beyond MAX_ELEMENTS, ``too-many-attributes`` beyond
        MAX_ATTRIBUTES on one tag, ``unsupported-type`` when the bytes are no text, ``empty`` without an element.
    """
    if _is_foreign(html):
        return "unsupported-type"
    pairs = _pairs(headers)
    charset = _CHARSET.search(_header(pairs, "content-type") or "")
    body = html[:MAX_BYTES]
    decoded = decode(body, http_charset=charset[1] if charset else None, declared=sniff_declared(body))
    if _is_noise(decoded.text):
        return "unsupported-type"
    root = parse_html(decoded.text)
    if not isinstance(root, lxml.html.HtmlElement):
        return root
    warnings = [f"decoded-{decoded.how}"] if decoded.how == "replaced" else []
    if len(html) > MAX_BYTES:
        warnings.append("cut-at-size-cap")
    return Document(
        root=root, source=decoded.text, url=url, base_url=_base_url(root, url), headers=pairs, warnings=tuple(warnings)
    )


def parse_html(text: str) -> lxml.html.HtmlElement | Unparsed:
    """One lenient parse of a whole page or a fragment; comments and processing instructions are left out.

    Returns: The root of a tree that can be written again, or why there is none (see ``read_document``).
    """
    source = _parseable(text)
    if refusal := _refused(source):
        return refusal
    parser = lxml.etree.HTMLParser(huge_tree=True, remove_comments=True, remove_pis=True)
    parser.set_element_class_lookup(_ELEMENT_CLASS)
    try:
        root = lxml.html.document_fromstring(source, parser=parser)
    except (lxml.etree.ParserError, lxml.etree.XMLSyntaxError, ValueError):
        return "empty"
    if any(entry.type == lxml.etree.ErrorTypes.ERR_RESOURCE_LIMIT for entry in parser.error_log):
        return "too-deep"
    if element_count(root) > MAX_ELEMENTS:
        return "too-large"
    return root


def _parseable(text: str) -> str:
    """Without byte order mark and XML declaration (lxml refuses one in a str), NUL and lone surrogates.

    Characters that cannot be written become blanks, before anything else looks at the source: to the parser they
    stand inside of names, and part them once they are blanks.
    """
    written = text.lstrip("\ufeff").encode("utf-8", "replace").translate(_BLANKED, b"\0").decode("utf-8")
    source = _UNWRITABLE_REFERENCE.sub(" ", written.replace("\ufffe", " ").replace("\uffff", " "))
    declaration = _XML_DECLARATION.match(source)
    return source[declaration.end() :] if declaration else source


def _refused(source: str) -> Unparsed | None:
    """What can be seen without parsing."""
    if not source.strip():
        return "empty"
    if source.count("<") > 3 * MAX_ELEMENTS:  # an element has two tags, and scripts have some too
        return "too-large"
    return "too-many-attributes" if has_crowded_tag(source) else None


def _is_noise(text: str) -> bool:
    """Whether this is no text in any encoding, but bytes of a kind we do not know."""
    sample = text[:NOISE_SAMPLE]
    encoded = sample.encode("utf-8", "replace")
    found = len(encoded) - len(encoded.translate(None, _BINARY))
    return found > MANY_BINARY and found > BINARY_SHARE * len(sample)


def element_count(root: lxml.html.HtmlElement) -> int:
    """All elements of the tree, counted by libxml2."""
    count = _COUNT_ELEMENTS(root)
    assert isinstance(count, float)
    return int(count)


def elements_at(path: lxml.etree.XPath, root: lxml.html.HtmlElement) -> list[lxml.html.HtmlElement]:
    """What a compiled path selects, which has to be elements: several times as fast as ``iterfind`` and ``find``."""
    found = path(root)
    assert isinstance(found, list)
    return [one for one in found if isinstance(one, lxml.html.HtmlElement)]


def short_text(element: lxml.etree._Element, limit: int) -> str | None:
    """An element's text with blanks folded; None when it is longer than ``limit`` characters. Reads no further."""
    parts: list[str] = []
    length = 0
    for part in element.itertext():
        parts.append(str(part))
        length += len(part)
        if length > 2 * limit:
            return None
    text = " ".join("".join(parts).split())
    return text if len(text) <= limit else None


def has_crowded_tag(source: str) -> bool:
    """Whether some tag has more than MAX_ATTRIBUTES attributes. Linear in the length of the source."""
    matched = _UNCROWDED.match(source)
    return matched is None or matched.end() != len(source)


def _is_foreign(html: bytes) -> bool:
    start = html[:16].lstrip()
    return start.startswith(_FOREIGN_MAGIC) or html[_MP4_BRAND] == b"ftyp"


def _pairs(headers: Headers | None) -> tuple[tuple[str, str], ...]:
    if headers is None:
        return ()
    items = headers.items() if isinstance(headers, Mapping) else headers
    return tuple((str(name), str(value)) for name, value in items)


def _header(headers: tuple[tuple[str, str], ...], name: str) -> str | None:
    return next((value for key, value in headers if key.lower() == name), None)


def _base_url(root: lxml.html.HtmlElement, url: str | None) -> str | None:
    base = root.find(".//base[@href]")
    return (usable_url(base.get("href", ""), url) if base is not None else None) or url
