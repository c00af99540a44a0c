"""One walk over a page's tree -> its leaves: stretches of text that no block element divides, and pictures.

Scorer, metadata, pictures and rendering all work on these, so that a tree is walked once. Nothing is judged here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Literal, NamedTuple

import lxml.etree
import lxml.html

MAX_TEXT = 1_000_000  # characters read of one tree: no article is longer

Kind = Literal["paragraph", "heading", "item", "row", "preformatted", "figure"]

# What stands around an element, inherited by everything inside of it; one bit each.
ARTICLE: Final = 1 << 0
MAIN: Final = 1 << 1
ASIDE: Final = 1 << 2
FOOTER: Final = 1 << 3
HEADER: Final = 1 << 4
NAV: Final = 1 << 5
FORM: Final = 1 << 6
FIGURE: Final = 1 << 7
CAPTION: Final = 1 << 8
TABLE: Final = 1 << 9
LIST: Final = 1 << 10
QUOTE: Final = 1 << 11
HIDDEN: Final = 1 << 12
BODY: Final = 1 << 13  # declared the article's body by itemprop
LINKED: Final = 1 << 14  # the block stands inside of a link
DEFINITION: Final = 1 << 15
FLAGS: Final = 16

# Not <head>: where a page writes no <body>, as it may, libxml2 leaves an <article> in it.
SKIPPED = frozenset((
    "script", "style", "noscript", "template", "iframe", "object", "embed", "applet", "svg", "math", "canvas",
    "audio", "video", "map", "title", "meta", "link", "base", "button", "input", "select", "option",
    "textarea", "dialog", "datalist", "progress", "meter", "frameset", "noframes",
))  # fmt: skip
_BLOCK_FLAGS = {
    "article": ARTICLE, "main": MAIN, "aside": ASIDE, "footer": FOOTER, "header": HEADER, "nav": NAV, "menu": NAV,
    "form": FORM, "fieldset": FORM, "label": FORM, "figure": FIGURE, "figcaption": CAPTION, "table": TABLE, "ul": LIST,
    "ol": LIST, "blockquote": QUOTE, "dl": DEFINITION,
} | dict.fromkeys((
    "p", "div", "section", "address", "center", "details", "summary", "hgroup", "dt", "dd", "tbody", "thead", "tfoot",
    "caption", "body", "html", "head", "li", "pre", "h1", "h2", "h3", "h4", "h5", "h6", "tr", "td", "th", "hr",
), 0)  # fmt: skip
_ROLES = {"navigation": NAV, "main": MAIN, "contentinfo": FOOTER, "complementary": ASIDE, "banner": HEADER,
          "article": ARTICLE, "menu": NAV, "search": FORM, "dialog": HIDDEN}  # fmt: skip
_HEADINGS = {f"h{level}": level for level in range(1, 7)}
_MARKS = {
    "b": "strong", "strong": "strong", "i": "em", "em": "em", "cite": "em", "code": "code", "kbd": "code",
    "tt": "code",
}  # fmt: skip
_LAYOUT_INSIDE_A_TABLE = ("p", "div", "h1", "h2", "h3", "ul", "ol", "table", "img")
_CAPTION_NAMES = re.compile(
    r"(?:^|[\s_-])(?:image|img|media|photo|wp|figure|picture)?[-_]?caption(?:$|[\s_-]|text)|imagecaption"
    r"|(?:image|photo|picture|media|img)[-_]{0,2}(?:credit|copyright|source)",
    re.IGNORECASE,
)
# Written for screen readers alone: what sighted readers see without it is all of the article.
_UNSEEN_NAMES = frozenset((
    "sr-only", "screen-reader-text", "visually-hidden", "visuallyhidden", "screen-reader-only", "u-visually-hidden",
    "screenreader", "show-for-sr", "a11y-hidden", "is-visually-hidden",
))  # fmt: skip
# libxml2 does not end a <button> at </button> where a <div> inside was left open, as HTML5 does: all is in it.
_SWALLOWING = frozenset(("button", "svg", "select", "dialog", "object", "audio", "video"))
_SWALLOWED = ("article", "main", "h1", "figure")
_HIDDEN_STYLE = re.compile(r"display\s*:\s*none|visibility\s*:\s*hidden", re.IGNORECASE)


class Manner(NamedTuple):
    """How a stretch of text is written."""

    marks: frozenset[str] = frozenset()  # strong, em, code
    href: str | None = None  # as the page wrote it


class Part(NamedTuple):
    """Text as the page wrote it, blanks and all; a lone line feed is a line break, a lone tab ends a row's cell."""

    text: str
    manner: Manner


PLAIN = Manner()
BREAK = Part("\n", PLAIN)
CELL_END = Part("\t", PLAIN)


class Box:
    """A block element of the walk. Mutable while the walk lasts, by the walk alone."""

    __slots__ = ("depth", "element", "end", "flags", "index", "names", "parent", "start", "tag")

    def __init__(  # noqa: PLR0917 - made for each block element: keywords would cost
        self, element: lxml.etree._Element, tag: str, names: str, parent: Box | None, flags: int, index: int, start: int
    ) -> None:
        self.element = element
        self.tag = tag
        self.names = names  # its class and id attributes, lower case as written
        self.parent = parent
        self.flags = flags
        self.index = index  # in Leaves.boxes: document order
        self.depth: int = parent.depth + 1 if parent else 0
        self.start = start  # leaves inside: leaves[start:end]
        self.end = start


@dataclass(slots=True, kw_only=True)
class Leaf:
    """Text between two block borders, or a picture. Made by the walk, and left as it is by all others."""

    kind: Kind
    box: Box  # the nearest block element
    text: str  # blanks folded, one line; empty for a picture
    parts: list[Part]
    link_length: int = 0  # characters of the text that are links
    links: int = 0  # stretches of it
    marked_length: int = 0  # characters that are strong or em
    level: int = 0  # of a heading 1 to 6, of an item its depth from 1
    number: int | None = None  # of an item in an ordered list
    quoted: bool = False
    image: lxml.etree._Element | None = None  # the <img>
    href: str | None = None  # of the link around a picture


@dataclass(frozen=True, slots=True, kw_only=True)
class Leaves:
    """In document order."""

    leaves: list[Leaf]
    boxes: list[Box]

    def __iter__(self) -> Iterator[Leaf]:
        return iter(self.leaves)


def _is_caption_name(names: str) -> bool:
    """Whether class and id say that here stands a picture's caption or credit."""
    lower = names.lower()
    return ("caption" in lower or "credit" in lower or "copyright" in lower or "source" in lower) and (
        _CAPTION_NAMES.search(names) is not None
    )


@lru_cache(maxsize=4096)
def _is_unseen(names: str) -> bool:
    return not _UNSEEN_NAMES.isdisjoint(names.split())


def _has_swallowed(element: lxml.etree._Element, tag: str) -> bool:
    return tag in _SWALLOWING and next(element.iter(*_SWALLOWED), None) is not None


def read_leaves(root: lxml.etree._Element) -> Leaves:
    """Walk a tree once, at any depth of nesting.

    Scripts, players and form controls are left out, and so is what only screen readers are meant to read; what the page
    hides until a script shows it is kept and flagged. Two line breaks in a row end a leaf.
    """
    walker = _Walker()
    walk = lxml.etree.iterwalk(root, events=("start", "end"))
    skip = walk.skip_subtree
    start, end = walker.start, walker.end
    for event, element in walk:
        if event == "end":
            end(element, is_root=element is root)
        elif not start(element):
            skip()
    walker.flush()
    for box in walker.open_boxes():
        box.end = len(walker.leaves)
    return Leaves(leaves=walker.leaves, boxes=walker.boxes)


class _Walker:
    """The walk's state: what is open, and the parts since the last leaf ended."""

    def __init__(self) -> None:
        self.leaves: list[Leaf] = []
        self.boxes: list[Box] = []
        self._box: Box | None = None
        self._parts: list[Part] = []
        self._manner = PLAIN
        self._manners: list[Manner] = []  # those to come back to
        self._lists: list[int | None] = []  # of an open list: the next number, or None when unordered
        self._item: tuple[int, int | None] | None = None
        self._row: Box | None = None
        self._length = 0
        self._skipped: lxml.etree._Element | None = None

    def open_boxes(self) -> Iterator[Box]:
        box = self._box
        while box is not None:
            yield box
            box = box.parent

    def start(self, element: lxml.etree._Element) -> bool:
        """Returns: whether to go inside."""
        tag = element.tag
        if (tag in SKIPPED and not _has_swallowed(element, tag)) or not isinstance(tag, str):
            self._skipped = element
            return False
        flags = _BLOCK_FLAGS.get(tag)
        if flags is not None:
            if not self._start_block(element, tag, flags):
                self._skipped = element
                return False
        elif tag == "br":
            self._parts.append(BREAK)
            return True
        elif tag == "img":
            self._picture(element)
            return True
        elif not self._start_inline(element, tag):
            self._skipped = element
            return False
        if text := element.text:
            self._add(text)
        return True

    def end(self, element: lxml.etree._Element, *, is_root: bool) -> None:
        if element is self._skipped:
            self._skipped = None
        else:
            tag = element.tag
            if tag in _BLOCK_FLAGS:
                self._end_block(tag)
            elif tag not in {"br", "img"}:
                self._manner = self._manners.pop()
        if not is_root and (tail := element.tail):
            self._add(tail)

    def _add(self, text: str) -> None:
        if self._length < MAX_TEXT and (self._parts or not text.isspace()):
            text = text[:MAX_TEXT]
            self._length += len(text)
            self._parts.append(Part(text, self._manner))

    def _start_inline(self, element: lxml.etree._Element, tag: str) -> bool:
        manner = self._manner
        if tag == "a":
            manner = Manner(manner.marks, element.get("href") or "")
        elif tag in _MARKS:
            manner = Manner(manner.marks | {_MARKS[tag]}, manner.href)
        elif ((names := element.get("class")) and _is_unseen(names)) or (
            (style := element.get("style")) and _HIDDEN_STYLE.search(style)
        ):
            return False
        self._manners.append(self._manner)
        self._manner = manner
        return True

    def _start_block(self, element: lxml.etree._Element, tag: str, flags: int) -> bool:
        if self._row is not None and tag in {"td", "th"}:
            return True
        names = element.get("class") or ""
        if names and _is_unseen(names):
            return False
        if self._parts:
            self.flush()
        if name := element.get("id"):
            names = f"{names} {name}"
        if names and _is_caption_name(names):
            flags |= CAPTION
        parent = self._box
        flags |= self._said(element) | (parent.flags if parent else 0)
        if self._manner.href is not None:
            flags |= LINKED
        box = Box(element, tag, names, parent, flags, len(self.boxes), len(self.leaves))
        self.boxes.append(box)
        self._box = box
        if tag in {"ul", "ol"}:
            self._lists.append(1 if tag == "ol" else None)
        elif tag == "li":
            self._item = self._next_item()
        elif tag == "tr" and next(element.iter(*_LAYOUT_INSIDE_A_TABLE), None) is None:
            self._row = box
        return True

    def _said(self, element: lxml.etree._Element) -> int:
        """What an element's attributes say of it."""
        flags = 0
        if role := element.get("role"):
            flags |= _ROLES.get(role, 0)
        if (item := element.get("itemprop")) and item.lower() == "articlebody":
            flags |= BODY
        if (
            element.get("hidden") is not None
            or element.get("aria-hidden") == "true"
            or ((style := element.get("style")) and _HIDDEN_STYLE.search(style))
        ):
            flags |= HIDDEN
        return flags

    def _end_block(self, tag: str) -> None:
        if self._row is not None and tag in {"td", "th"}:
            self._parts.append(CELL_END)
            return
        if self._parts:
            self.flush()
        if tag in {"ul", "ol"}:
            self._lists.pop()
        elif tag == "li":
            self._item = None
        elif tag == "tr":
            self._row = None
        box = self._box
        assert box is not None  # every end had its start
        box.end = len(self.leaves)
        self._box = box.parent

    def _next_item(self) -> tuple[int, int | None]:
        if not self._lists:
            return 1, None
        number = self._lists[-1]
        if number is not None:
            self._lists[-1] = number + 1
        return len(self._lists), number

    def _picture(self, element: lxml.etree._Element) -> None:
        if self._row is not None or self._box is None:
            return
        if self._parts:
            self.flush()
        self.leaves.append(
            Leaf(kind="figure", box=self._box, text="", parts=[], image=element, href=self._manner.href,
                 quoted=bool(self._box.flags & QUOTE))
        )  # fmt: skip

    def flush(self) -> None:
        """End the leaf that is open, if it holds anything."""
        parts, self._parts = self._parts, []
        if self._box is None:
            return
        if self._row is None and self._box.tag != "pre" and parts.count(BREAK) > 1:
            for some in _split_at_breaks(parts):
                self._leaf(some)
        else:
            self._leaf(parts)

    def _leaf(self, parts: list[Part]) -> None:
        text = " ".join("".join([part.text for part in parts]).split())
        if not text:
            return
        box = self._box
        assert box is not None
        links = link_length = marked = 0
        for written, manner in parts:
            if manner is PLAIN:
                continue
            length = len(written.strip())
            if manner.href is not None and length:
                links += 1
                link_length += length
            if manner.marks:
                marked += length
        leaf = Leaf(
            kind="paragraph", box=box, text=text, parts=parts, links=links, link_length=min(link_length, len(text)),
            marked_length=min(marked, len(text)), quoted=bool(box.flags & QUOTE),
        )  # fmt: skip
        level = _HEADINGS.get(box.tag)
        if level is not None:
            leaf.kind, leaf.level = "heading", level
        elif box.tag == "pre":
            leaf.kind = "preformatted"
        elif self._row is not None:
            leaf.kind = "row"
        elif self._item is not None:
            leaf.kind = "item"
            (leaf.level, leaf.number), self._item = self._item, None
        self.leaves.append(leaf)


def _split_at_breaks(parts: list[Part]) -> Iterator[list[Part]]:
    """Two line breaks with nothing but blanks between them end a paragraph."""
    some: list[Part] = []
    breaks = 0
    for part in parts:
        if part is BREAK:
            breaks += 1
        elif part.text.isspace():
            if not breaks:
                some.append(part)
        else:
            if breaks > 1:
                yield some
                some = []
            elif breaks:
                some.append(BREAK)
            breaks = 0
            some.append(part)
    yield some
