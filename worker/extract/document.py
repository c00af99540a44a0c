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
Refusal = Literal["empty", "unsupported-type", "too-large", "too-deep", "too-many-attributes"]

_COUNT_ELEMENTS = lxml.etree.XPath("count(//*)")
_FOREIGN_MAGIC = (
    b"%PDF-", b"PK\x03\x04", b"\x1f\x8b", b"\x89PNG", b"\xff\xd8\xff", b"GIF8", b"RIFF", b"ID3", b"OggS", b"\x7fELF",
    b"Rar!", b"7z\xbc\xaf", b"\xd0\xcf\x11\xe0", b"\x1aE\xdf\xa3", b"wOFF", b"wOF2",
)  # fmt: skip
_MP4_BRAND = slice(4, 8)
_CHARSET = re.compile(r"charset\s*=\s*[\"']?\s*([\w.:-]+)", re.IGNORECASE)
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
    source = _parseable(decoded.text)
    if not source.strip():
        return "empty"
    if source.count("<") > 3 * MAX_ELEMENTS:  # an element has two tags, and scripts have some too
        return "too-large"
    if has_crowded_tag(source):
        return "too-many-attributes"
    root = parse_html(source)
    if not isinstance(root, lxml.html.HtmlElement):
        return root
    warnings = [f"decoded-{decoded.how}"] if decoded.how == "replaced" else []
    if len(html) > MAX_BYTES:
        warnings.append("cut-at-size-cap")
    return Document(
        root=root, source=source, url=url, base_url=_base_url(root, url), headers=pairs, warnings=tuple(warnings)
    )


def parse_html(source: str) -> lxml.html.HtmlElement | Literal["empty", "too-deep", "too-large"]:
    """One lenient parse of a whole page or a fragment; comments and processing instructions are left out."""
    parser = lxml.html.HTMLParser(huge_tree=True, remove_comments=True, remove_pis=True)
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
    """Without byte order mark and XML declaration (lxml refuses one in a str), NUL and lone surrogates."""
    source = text.lstrip("\ufeff").replace("\x00", "")
    if declaration := _XML_DECLARATION.match(source):
        source = source[declaration.end() :]
    return source.encode("utf-8", "replace").decode("utf-8")


def element_count(root: lxml.html.HtmlElement) -> int:
    """All elements of the tree, counted by libxml2."""
    count = _COUNT_ELEMENTS(root)
    assert isinstance(count, float)
    return int(count)


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
