"""A feed's text before any XML parser sees it: where it begins, and the defects that would cost text without a word.

libxml2 recovers from nearly everything, but what it drops on the way (an undefined entity, a bare ampersand, every
``&amp;`` after the first error, all items inside a CDATA section that nobody closed) it drops silently.
"""

from __future__ import annotations

import html.entities
import re
from bisect import bisect_left
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from itertools import accumulate, islice

from worker.errors import QuarantineError
from worker.feeds.dates import newest, read_date

_CDATA = "<![CDATA["
_CDATA_END = "]]>"
_COMMENT = "<!--"
_COMMENT_END = "-->"
_SECTION = re.compile(r"<!\[CDATA\[|<!--")
_WHOLE_CDATA = re.compile(r"(<!\[CDATA\[.*?\]\]>)", re.DOTALL)
_OPENED = re.compile(r"<([A-Za-z_][\w:.-]{0,100})(?:\s[^<>]{0,1000})?>\s*")
_TAG_ROOM = 1200  # how far before a CDATA section its element's tag is looked for

_MEANT = {byte: bytes([byte]).decode("cp1252", "replace") for byte in range(0x80, 0xA0)} | {0xFFFE: "", 0xFFFF: ""}
_CONTROLS = bytes(byte for byte in range(0x20) if byte not in b"\t\n\r")
_C1 = re.compile(rb"\xc2[\x80-\x9f]")
_NO_TAG = re.compile(r"<(?![A-Za-z_/!?:])")
_REFERENCE = re.compile(
    r"&(?!(?:amp|lt|gt|quot|apos|#(?:13|34|38|39|60|62));)"
    r"(?:(?:#(\d{1,7})|#[xX]([0-9a-fA-F]{1,6})|([A-Za-z][A-Za-z0-9]{1,31}));)?"
)
# The numbers of NUL and of surrogates, wherever they stand.
_NO_CHARACTER = re.compile(
    r"&#(?:0++|0*+(?:55(?:29[6-9]|[3-9]\d\d)|56\d{3}|57(?:[0-2]\d\d|3(?:[0-3]\d|4[0-3])))"
    r"|[xX](?:0++|0*+[dD][89a-fA-F][0-9a-fA-F]{2}));"
)
# After the first error in a document libxml2 loses &amp; and its like; their numbers it keeps.
_OWN_ENTITIES = {"&amp;": "&#38;", "&lt;": "&#60;", "&gt;": "&#62;", "&quot;": "&#34;", "&apos;": "&#39;"}
_ENTITY = re.compile(
    r"<!ENTITY\s{1,9}([A-Za-z][A-Za-z0-9]{1,31})\s{1,9}"
    r"(\"(?:[^\"<&%]|&#x?[0-9a-fA-F]{1,6};){0,100}\"|'(?:[^'<&%]|&#x?[0-9a-fA-F]{1,6};){0,100}')\s{0,9}>"
)
MAX_ATTRIBUTES = 256
MOST_EQUALS = 500_000  # of a document; each may be an attribute, or an error to be logged, of hundreds of bytes
_LONG_TAG_CHARS = 1000
_LONG_TAG = re.compile(rf"<[A-Za-z][^<>]{{{_LONG_TAG_CHARS},}}+>")
_ATTRIBUTE = re.compile(r"=\s*[\"']")
MOST_ENTITIES = 300
MOST_EXPANDED = 10_000
_MARKUP_CHARACTERS = {ord(character): f"&#{ord(character)};" for character in "<>&\"'\r"}
_TAG_OR_RETURN = re.compile(r"<[^<>]*>|\r")
MOST_RETURNS = 100_000  # a reference is longer than its character
_RETURN_IN_CDATA = f"{_CDATA_END}&#13;{_CDATA}"

_PROLOG = re.compile(
    r"[\s\ufeff\x00]+|<\?.*?\?>|<!--.*?-->|<!DOCTYPE[^<>\[]*(?:\[.*?\]\s*)?>", re.DOTALL | re.IGNORECASE
)
_ROOT = re.compile(
    r"<(?:[A-Za-z_][\w.-]{0,40}:)?(rss|feed|rdf|channel|entry|item|html|opml|urlset|sitemapindex)(?=[\s/>])",
    re.IGNORECASE,
)

_TAG = re.compile(r"<(/?)[A-Za-z_][^<>]*?(/?)>")
_ITEM_TAG = re.compile(r"<(/?)(?:[A-Za-z_][\w.-]{0,40}:)?(?:item|entry)(?=[\s/>]|\Z)", re.IGNORECASE)
_ITEM_NAMES = {"urlset": "url", "sitemapindex": "sitemap"}
_DATED = re.compile(
    r"<(?:[A-Za-z_][\w.-]{0,40}:)?(?:pubdate|published|issued|date|publication_date|updated|modified|created|lastmod)"
    r"(?:\s[^<>]{0,200})?>\s{0,100}(?:<!\[CDATA\[)?([^<\]]{4,100})",
    re.IGNORECASE,
)
_NAMED_TAG = re.compile(r"<!\[CDATA\[.*?\]\]>|<(/?)([A-Za-z_][\w:.-]*+)[^<>]*?(/?)>", re.DOTALL)
_HOLD_HTML = frozenset(
    {"title", "subtitle", "tagline", "description", "summary", "abstract", "content", "encoded", "body", "fullitem"}
)
# Not link and source: in a feed these are elements of its own, with an end tag.
_VOID = frozenset({"area", "br", "col", "embed", "hr", "img", "input", "param", "track", "wbr"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Mended:
    """Text to parse, and whether mending had to guess (a CDATA section or a comment without an end)."""

    text: str
    damaged: bool


def root_of(text: str) -> tuple[str, int] | None:
    """The root element's local name in lower case and where its tag begins; None: nothing here is a feed or a relative.

    The XML declaration, comments and the document type are stepped over, and so is junk before the root (a warning of
    the program that wrote the feed).
    """
    position = 0
    while prolog := _PROLOG.match(text, position):
        position = prolog.end()
    root = _ROOT.search(text, position)
    return (root[1].lower(), root.start()) if root else None


def declared_entities(prolog: str) -> Mapping[str, str]:
    """The entities that a document type declares as a few plain characters; all others stay what they are, text."""
    found = _ENTITY.finditer(prolog) if "<!ENTITY" in prolog else ()
    return {one[1]: html.unescape(one[2][1:-1]) for one in islice(found, MOST_ENTITIES)}


def mended(text: str, entities: Mapping[str, str], *, numbered: bool) -> Mended:
    """The text with its defects repaired and without comments; what CDATA sections hold stays as it is.

    HTML's named entities, those in ``entities`` (unless there are very many references) and numeric references become
    their characters, other entities and bare ampersands plain text, a ``<`` that opens nothing becomes ``&#60;``;
    control characters go, but for Windows' punctuation in their place; half surrogates become U+FFFD. A lone carriage
    return becomes a reference: it is the item's own, and XML would make a line feed of it. A CDATA section
    that swallows the end of its own element is closed there; a comment that swallows the end of its item is text. One
    pass, linear in the text.

    Args:
        entities: As the document type declares them.
        numbered: Write XML's own five entities as numbers, which survive an error before them.
    Raises: QuarantineError: ``too-many-attributes``.
    """
    parts: list[str] = []
    damaged = False
    text = _without_controls(text)
    if "\r" in text:
        text = text.replace("\r\n", "\n")
    if entities and text.count("&") > MOST_EXPANDED:
        entities = {}
    if text.count("\r") > MOST_RETURNS:
        text = text.replace("\r", "\n")
    attributes = 0
    for kind, piece in _pieces(text):
        if kind == "markup":
            attributes += piece.count("=")
            if len(piece) > _LONG_TAG_CHARS:
                _refuse_many_attributes(piece)
        parts.append(_markup(piece, entities, numbered) if kind == "markup" else piece.replace("\r", _RETURN_IN_CDATA))
        damaged = damaged or kind == "unclosed"
    if attributes > MOST_EQUALS:
        raise QuarantineError("too-many-attributes", f"more than {MOST_EQUALS} equals signs outside CDATA sections")
    return Mended(text="".join(parts), damaged=damaged)


def _refuse_many_attributes(markup: str) -> None:
    """Some parsers take minutes over an element with 100,000 attributes; nobody needs one."""
    for tag in _LONG_TAG.finditer(markup):
        if sum(1 for _ in _ATTRIBUTE.finditer(tag[0])) > MAX_ATTRIBUTES:
            raise QuarantineError("too-many-attributes", f"an element has more than {MAX_ATTRIBUTES} attributes")


def _without_controls(text: str) -> str:
    """Byte by byte, which is quicker than a look at every character."""
    whole = text.encode("utf-8", "replace")
    kept = whole.translate(None, _CONTROLS)
    if not text.isascii() and (_C1.search(kept) or "\ufffe" in text or "\uffff" in text):
        return kept.decode().translate(_MEANT)
    return text if len(kept) == len(whole) else kept.decode()


def _pieces(text: str) -> Iterator[tuple[str, str]]:
    """(``markup`` | ``cdata`` | ``unclosed``, text) in order, less comments; what is unclosed comes out harmless."""
    position = 0
    known_end = comment_end = 0  # looked up once, or a text full of openings costs its square
    item_tags: _ItemTags | None = None
    while section := _SECTION.search(text, position):
        start, inside = section.span()
        yield "markup", text[position:start]
        if section[0] == _COMMENT:
            item_tags = item_tags or _ItemTags(text)
            if 0 <= comment_end < inside:
                comment_end = text.find(_COMMENT_END, inside)
            if comment_end >= 0 and item_tags.are_whole(inside, comment_end):
                position = comment_end + len(_COMMENT_END)
            else:
                position = inside
                yield "unclosed", "&#60;!--"
            continue
        if 0 <= known_end < inside:
            known_end = text.find(_CDATA_END, inside)
        cut = _own_end(text, start, known_end)
        if cut is not None or known_end < 0:
            position = len(text) if cut is None else cut
            yield "unclosed", text[start:position] + _CDATA_END
        else:
            position = known_end + len(_CDATA_END)
            yield "cdata", text[start:position]
    yield "markup", text[position:]


class _ItemTags:
    """Where a text's item tags are."""

    def __init__(self, text: str) -> None:
        tags = [tag for tag in _ITEM_TAG.finditer(text) if not text.startswith("/", tag.end())]
        self._starts = [tag.start() for tag in tags]
        self._depths = [0, *accumulate(-1 if tag[1] else 1 for tag in tags)]

    def are_whole(self, start: int, end: int) -> bool:
        """Does every item between two places begin and end there?"""
        first, last = bisect_left(self._starts, start), bisect_left(self._starts, end)
        begins_well = first == last or self._depths[first + 1] > self._depths[first]
        return begins_well and self._depths[first] == self._depths[last]


def _own_end(text: str, start: int, end: int) -> int | None:
    """Where the section's own element ends, if the section swallows that: it has no end, or another opening in it."""
    inside = start + len(_CDATA)
    limit = len(text) if end < 0 else end
    another = text.find(_CDATA, inside, limit)
    if another < 0 and end >= 0:
        return None
    opened = _OPENED.fullmatch(text, max(0, text.rfind("<", max(0, start - _TAG_ROOM), start)), start)
    if opened is None:
        return None
    close = text.find(f"</{opened[1]}>", inside, limit if another < 0 else another)
    return close if close >= 0 else None


def _markup(piece: str, entities: Mapping[str, str], numbered: bool) -> str:
    if "&" in piece:
        if numbered:
            for entity, number in _OWN_ENTITIES.items():
                piece = piece.replace(entity, number)
        piece = _REFERENCE.sub(lambda found: _character(found, entities), piece)
    piece = _NO_TAG.sub("&#60;", piece)
    if "\r" in piece:
        piece = _TAG_OR_RETURN.sub(lambda found: "&#13;" if found[0] == "\r" else found[0], piece)
    return piece


def _character(found: re.Match[str], entities: Mapping[str, str]) -> str:
    """What a reference stands for, escaped where it would be markup; an unknown entity and a mere ``&`` are text."""
    decimal, hexadecimal, name = found.groups()
    if len(found[0]) == 1:
        return "&#38;"
    if name is None:
        plain = _numbered(int(decimal) if decimal is not None else int(hexadecimal, 16))
    else:
        plain = entities.get(name) or html.entities.html5.get(f"{name};", found[0])
    return plain.translate(_MARKUP_CHARACTERS)


def _numbered(number: int) -> str:
    if 0x80 <= number <= 0x9F:  # noqa: PLR2004 - the C1 block: Windows punctuation by its byte
        return bytes([number]).decode("cp1252", "replace")
    is_character = number in {0x9, 0xA, 0xD} or 0x20 <= number <= 0xD7FF or 0xE000 <= number <= 0xFFFD  # noqa: PLR2004
    return chr(number) if is_character or 0x10000 <= number <= 0x10FFFF else "\ufffd"  # noqa: PLR2004


def without_halves(text: str) -> str:
    """The text with U+FFFD for each number of NUL or of half a surrogate pair, in CDATA sections too.

    In a broken document libxml2 may take a CDATA section for a part of something else, an attribute or a namespace. It
    ends there at a NUL, and of half a pair it makes a name or a text that is no UTF-8, which lxml cannot give back.
    What is HTML loses nothing: these numbers mean U+FFFD there.

    Source: HTML Standard section 13.2.5.80 (numeric character references).
    """
    return _NO_CHARACTER.sub("\ufffd", text) if "&#" in text else text


def items_named(root: str) -> str:
    """The names of the elements that are items below a root, as a part of a pattern."""
    return _ITEM_NAMES.get(root, "item|entry")


def newest_only(text: str, named: str, most: int, *, now: datetime) -> tuple[str, int]:
    """The text with its ``most`` newest items, and how many were taken out: no parser need see those.

    A text whose items do not begin and end in turn stays as it is. One pass, linear in the text.
    """
    if text.count("<") <= 2 * most:
        return text, 0
    spans = _spans(text, named)
    if spans is None or len(spans) <= most:
        return text, 0
    dates = (_DATED.search(text, start, end) for start, end in spans)
    kept = set(newest([read_date(found[1], now=now) if found else None for found in dates], most))
    pieces: list[str] = []
    position = 0
    for place, (start, end) in enumerate(spans):
        pieces.append(text[position : end if place in kept else start])
        position = end
    return "".join((*pieces, text[position:])), len(spans) - most


def _spans(text: str, named: str) -> list[tuple[int, int]] | None:
    """Where the items begin and end; None: they do not do so in turn."""
    token = re.compile(rf"<(?:!\[CDATA\[|!--|(/?)(?:[A-Za-z_][\w.-]{{0,40}}:)?(?:{named})(?=[\s/>]))", re.IGNORECASE)
    spans: list[tuple[int, int]] = []
    start: int | None = None
    found = token.search(text)
    while found is not None:
        section_end = {"<![CDATA[": _CDATA_END, "<!--": _COMMENT_END}.get(found[0].upper(), ">")
        end = text.find(section_end, found.end())
        if end < 0:
            break  # cut here, or not closed: what follows stays as it is
        if section_end == ">":
            is_empty = text[end - 1] == "/"
            if (start is None) == bool(found[1]):
                return None
            start = found.start() if start is None else start
            if found[1] or is_empty:
                spans.append((start, end + 1))
                start = None
        found = token.search(text, end + len(section_end))
    return spans


def items_behind(text: str, root: str) -> int:
    """How many items stand behind the end of the root element, with whose tag the text begins."""
    end = re.match(r"<[^<>]*/>", text) or re.search(rf"</(?:[\w.-]{{0,40}}:)?{root}\s*>", text, re.IGNORECASE)
    if end is None:
        return 0
    tag = re.compile(rf"<(?:[A-Za-z_][\w.-]{{0,40}}:)?(?:{items_named(root)})(?=[\s/>])", re.IGNORECASE)
    return sum(1 for _ in tag.finditer(text, end.end()))


def without_depth(text: str, deepest: int) -> str:
    """Mended text in which no item's elements nest deeper than ``deepest``: one that does ends libxml2's reading.

    What is deeper loses its tags and keeps its text; an item whose elements do not close again is left out.
    """
    kept: list[str] = []
    position = 0
    for start, end in _items(text):
        if end - start > deepest * len("<a>"):
            kept += (text[position:start], _flattened(text, start, end, deepest))
            position = end
    kept.append(text[position:])
    return "".join(kept)


def _items(text: str) -> Iterator[tuple[int, int]]:
    """Where items begin and end; one without an end reaches to the next one, or to the end of the text."""
    start: int | None = None
    for tag in _ITEM_TAG.finditer(text):
        if not tag[1]:
            if start is not None:
                yield start, tag.start()
            start = tag.start()
        elif start is not None:
            end = text.find(">", tag.end())
            yield start, len(text) if end < 0 else end + 1
            start = None
    if start is not None:
        yield start, len(text)


def _flattened(text: str, start: int, end: int, deepest: int) -> str:
    kept: list[str] = []
    depth = most = 0
    position = start
    for tag in _TAG.finditer(text, start, end):
        depth += 1 if not tag[1] else 0
        if depth > deepest:
            kept.append(text[position : tag.start()])
            position = tag.end()
        most = max(most, depth)
        depth -= 1 if tag[1] or tag[2] else 0
    kept.append(text[position:end])
    if most <= deepest:
        return text[start:end]
    return "".join(kept) if depth == 0 else ""


def html_escaped(text: str) -> str:
    """Mended text in which HTML that is no XML does not take in what comes behind it.

    Some feeds write HTML into their elements as it is, and HTML need not close its tags. Such an element's content is
    escaped, and so becomes what escaped HTML is elsewhere; outside of these, elements that HTML never closes are
    closed. One pass, linear in the text.
    """
    kept: list[str] = []
    position = 0
    holder: _Holder | None = None
    for tag in _NAMED_TAG.finditer(text):
        if tag[2] is None:  # a CDATA section
            continue
        local = tag[2].lower().rpartition(":")[2]
        if local in {"item", "entry"}:
            holder = None
        elif holder is not None:
            if holder.ends_at(tag):
                if not holder.is_xml:
                    kept += (text[position : holder.inside], _escaped(text[holder.inside : tag.start()]))
                    position = tag.start()
                holder = None
        elif local in _HOLD_HTML and not tag[1] and not tag[3]:
            holder = _Holder(tag[2].lower(), tag.end())
        elif tag[2].lower() in _VOID and not tag[3]:
            kept += (text[position : tag.start()], "" if tag[1] else f"{tag[0][:-1]}/>")
            position = tag.end()
    kept.append(text[position:])
    return "".join(kept)


@dataclass(slots=True)
class _Holder:
    """An element that may hold HTML, as far as it was read."""

    name: str
    inside: int  # where its content begins
    within: list[str] = field(default_factory=list)  # what is open in it
    is_xml: bool = True

    def ends_at(self, tag: re.Match[str]) -> bool:
        name = tag[2].lower()
        if not tag[1]:
            self.within += [] if tag[3] else [name]
        elif self.within and self.within[-1] == name:
            self.within.pop()
        elif name == self.name:
            self.is_xml = self.is_xml and not self.within
            return True
        else:
            self.is_xml = False
        return False


def _escaped(markup: str) -> str:
    pieces = _WHOLE_CDATA.split(markup)
    pieces[::2] = [piece.replace("&", "&#38;").replace("<", "&#60;") for piece in pieces[::2]]
    return "".join(pieces)


def ends_in_an_item(text: str, named: str) -> bool:
    """Was the document cut inside its last item? Then that item is only half here."""
    ends = r"</(?:[\w.-]{0,40}:)?(?:rss|feed|rdf|channel|urlset|sitemapindex)\s*>"
    if re.search(ends, text[-4096:], re.IGNORECASE):
        return False
    last = None
    for tag in re.finditer(rf"<(/?)(?:[A-Za-z_][\w.-]{{0,40}}:)?(?:{named})(?=[\s/>]|\Z)", text, re.IGNORECASE):
        last = tag
    return last is not None and (not last[1] or ">" not in text[last.end() :])
