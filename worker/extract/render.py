"""One tree -> a list of blocks; blocks -> plain text, clean HTML and Markdown.

The three always agree, because all are written from the same blocks. A block is a paragraph, heading, list item, table
row, preformatted piece or picture: whatever nesting of <div> it came out of is gone.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from html import escape
from itertools import groupby
from typing import Literal

import lxml.etree
import lxml.html
import nh3

from worker.extract.document import short_text
from worker.extract.image import is_hidden, largest_source
from worker.urls import usable_url

Kind = Literal["paragraph", "heading", "item", "row", "preformatted", "figure"]

SKIPPED = frozenset((
    "script", "style", "noscript", "template", "iframe", "object", "embed", "applet", "svg", "math", "canvas",
    "audio", "video", "map", "head", "title", "meta", "link", "base", "form", "button", "input", "select", "option",
    "textarea", "label", "dialog", "nav", "menu",
))  # fmt: skip
_BLOCK_TAGS = frozenset((
    "p", "div", "section", "article", "main", "header", "footer", "aside", "figure", "figcaption", "address",
    "center", "fieldset", "details", "summary", "hgroup", "dl", "dt", "dd", "table", "tbody", "thead", "tfoot",
    "caption", "body", "html", "li", "ul", "ol", "blockquote", "pre", "h1", "h2", "h3", "h4", "h5", "h6", "tr",
    "td", "th", "hr",
))  # fmt: skip
_HEADINGS = {f"h{level}": level for level in range(1, 7)}
_MARKS = {
    "b": "strong",
    "strong": "strong",
    "i": "em",
    "em": "em",
    "cite": "em",
    "code": "code",
    "kbd": "code",
    "tt": "code",
}
_CAPTION_CLASS = re.compile(
    r"(?:^|[\s_-])(?:image|img|media|photo|wp|figure)?[-_]?caption(?:$|[\s_-])|imagecaption"
    r"|(?:image|photo|picture)[-_]?(?:credit|copyright)",
    re.IGNORECASE,
)
MAX_TEXT = 1_000_000  # characters read of one tree: no article is longer
_MAX_CAPTION = 600  # characters: what is longer is text, whatever its class says
_BLANKS = re.compile(r"[\x00-\x20\x7f-\xa0\u2028\u2029]+")  # control characters too: no text may carry them
_LAYOUT_INSIDE_A_TABLE = ("p", "div", "h1", "h2", "h3", "ul", "ol", "table", "img")

_ALLOWED_TAGS = {
    "p", "h1", "h2", "h3", "h4", "h5", "h6", "ul", "ol", "li", "blockquote", "pre", "code", "strong", "em", "a",
    "br", "img", "figure", "figcaption", "table", "tr", "td",
}  # fmt: skip
_ALLOWED_ATTRIBUTES = {"a": {"href"}, "img": {"src", "alt", "width", "height"}}
# What nh3 is shown instead of these: its time grows with the square of their number, a million "&amp;" in one paragraph
# cost 10 s. No tree holds the stand-ins (see ``parse_html``).
_STAND_INS = (("&amp;", "\ufffe"), ("&nbsp;", "\uffff"))

_MARKDOWN_SPECIAL = re.compile(r"([\\`*_\[\]<>])")
_MARKDOWN_LINE_START = re.compile(r"^(\s*)(#{1,6}(?=\s)|[-+](?=\s)|\d{1,9}[.)](?=\s)|={3,}|-{3,})", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A stretch of text in one manner; a lone line feed is a line break, a tab in a row ends a cell."""

    text: str
    marks: frozenset[str] = frozenset()  # strong, em, code
    href: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    kind: Kind
    runs: tuple[Run, ...] = ()  # of a figure: its caption
    level: int = 0  # of a heading 1 to 6, of an item its depth from 1
    number: int | None = None  # of an item in an ordered list
    quoted: bool = False
    image_url: str | None = None
    image_alt: str = ""

    @property
    def text(self) -> str:
        """Without marks; line breaks kept."""
        return "".join(run.text for run in self.runs)


def read_blocks(root: lxml.html.HtmlElement, base_url: str | None) -> list[Block]:
    """Walk a tree once, at any depth of nesting, in document order.

    Scripts, forms, players and hidden elements are left out; links and pictures are resolved against ``base_url`` and
    dropped when unusable; two line breaks in a row end a paragraph.
    """
    reader = _Reader(base_url)
    walk = lxml.etree.iterwalk(root, events=("start", "end"))
    for event, element in walk:
        if event == "end":
            reader.end(element, is_root=element is root)
        elif not reader.start(element):
            walk.skip_subtree()
    reader.flush()
    return reader.blocks


class _Reader:
    """The walk's state: what is open, and the runs since the last block ended."""

    def __init__(self, base_url: str | None) -> None:
        self.blocks: list[Block] = []
        self._base_url = base_url
        self._runs: list[Run] = []
        self._marks: list[str] = []
        self._hrefs: list[str | None] = []
        self._lists: list[int | None] = []  # of an open list: the next number, or None when unordered
        self._heading = 0
        self._quotes = 0
        self._preformatted = 0
        self._item: tuple[int, int | None] | None = None
        self._in_row = False
        self._length = 0
        self._captions: list[lxml.etree._Element] = []
        self._skipped: lxml.etree._Element | None = None

    def start(self, element: lxml.etree._Element) -> bool:
        """Returns: whether to go inside."""
        tag = element.tag
        if not isinstance(tag, str) or tag in SKIPPED or is_hidden(element):
            self._skipped = element
            return False
        if _is_caption(element):
            self.flush()
            self._captions.append(element)
        elif tag in _BLOCK_TAGS:
            self._start_block(tag, element)
        elif tag == "br":
            self._runs.append(Run(text="\n"))
        elif tag == "img":
            self._picture(element)
        elif tag == "a":
            self._hrefs.append(usable_url(element.get("href") or "", self._base_url))
        elif tag in _MARKS:
            self._marks.append(_MARKS[tag])
        self._add(element.text)
        return True

    def end(self, element: lxml.etree._Element, *, is_root: bool) -> None:
        tag = element.tag
        if element is self._skipped:
            self._skipped = None
        elif self._captions and element is self._captions[-1]:
            self.flush()
            self._captions.pop()
        elif tag in _BLOCK_TAGS:
            self._end_block(tag)
        elif tag == "a":
            self._hrefs.pop()
        elif tag in _MARKS:
            self._marks.pop()
        if not is_root:
            self._add(element.tail)

    def flush(self) -> None:
        """End the block that is open, if it holds anything."""
        runs, self._runs = self._runs, []
        if not any(run.text.strip() for run in runs):
            return
        if self._preformatted:
            self.blocks.append(
                Block(kind="preformatted", runs=(Run(text="".join(run.text for run in runs).strip("\n")),))
            )
            return
        for part in _paragraphs(runs, in_row=self._in_row):
            if self._captions:
                self._caption(part)
            else:
                self.blocks.append(self._shaped(part))

    def _caption(self, runs: tuple[Run, ...]) -> None:
        """To the picture before it; a caption without a picture (of a film, a map) is no text either."""
        if self.blocks and self.blocks[-1].kind == "figure":
            before = self.blocks[-1].runs
            self.blocks[-1] = replace(self.blocks[-1], runs=(*before, Run(text=" "), *runs) if before else runs)

    def _shaped(self, runs: tuple[Run, ...]) -> Block:
        quoted = self._quotes > 0
        if self._heading:
            return Block(kind="heading", runs=runs, level=self._heading, quoted=quoted)
        if self._in_row:
            return Block(kind="row", runs=runs, quoted=quoted)
        if self._item is not None:
            (level, number), self._item = self._item, None
            return Block(kind="item", runs=runs, level=level, number=number, quoted=quoted)
        return Block(kind="paragraph", runs=runs, quoted=quoted)

    def _start_block(self, tag: str, element: lxml.etree._Element) -> None:
        if tag in {"td", "th"} and self._in_row:
            return
        self.flush()
        if tag in _HEADINGS:
            self._heading = _HEADINGS[tag]
        elif tag == "blockquote":
            self._quotes += 1
        elif tag == "pre":
            self._preformatted += 1
        elif tag in {"ul", "ol"}:
            self._lists.append(1 if tag == "ol" else None)
        elif tag == "li":
            self._item = self._next_item()
        elif tag == "tr":
            self._in_row = next(element.iter(*_LAYOUT_INSIDE_A_TABLE), None) is None

    def _end_block(self, tag: str) -> None:
        if tag in {"td", "th"} and self._in_row:
            self._runs.append(Run(text="\t"))
            return
        self.flush()
        if tag in _HEADINGS:
            self._heading = 0
        elif tag == "blockquote":
            self._quotes -= 1
        elif tag == "pre":
            self._preformatted -= 1
        elif tag in {"ul", "ol"}:
            self._lists.pop()
        elif tag == "li":
            self._item = None
        elif tag == "tr":
            self._in_row = False

    def _next_item(self) -> tuple[int, int | None]:
        if not self._lists:
            return 1, None
        number = self._lists[-1]
        if number is not None:
            self._lists[-1] = number + 1
        return len(self._lists), number

    def _picture(self, element: lxml.etree._Element) -> None:
        source = largest_source(element, self._base_url)
        if source is None or self._heading or self._in_row:
            return
        self.flush()
        alt = _BLANKS.sub(" ", element.get("alt") or "").strip()
        self.blocks.append(Block(kind="figure", image_url=source.url, image_alt=alt, quoted=self._quotes > 0))

    def _add(self, text: str | None) -> None:
        if not text or self._length > MAX_TEXT:
            return
        text = text[:MAX_TEXT]
        self._length += len(text)
        href = self._hrefs[-1] if self._hrefs else None
        folded = text if self._preformatted else _BLANKS.sub(" ", text)
        self._runs.append(Run(text=folded, marks=frozenset(self._marks), href=href))


def _is_caption(element: lxml.etree._Element) -> bool:
    if element.tag == "figcaption":
        return True
    name = element.get("class")
    if not name or element.tag in {"img", "a"} or not _CAPTION_CLASS.search(name):
        return False
    if next(element.iter("img"), None) is not None:  # the figure, not its caption
        return False
    return short_text(element, _MAX_CAPTION) is not None


def _paragraphs(runs: Sequence[Run], *, in_row: bool) -> Iterator[tuple[Run, ...]]:
    """Split at two line breaks in a row; fold blanks across runs; drop what is empty."""
    part: list[Run] = []
    pending_breaks = 0
    for run in runs:
        if run.text == "\n":
            pending_breaks += 1
        elif run.text.strip() or (in_row and run.text == "\t"):
            if pending_breaks > 1 and not in_row:
                yield from _folded(part)
                part = []
            elif pending_breaks:
                part.append(Run(text="\n"))
            pending_breaks = 0
            part.append(run)
        elif not pending_breaks:
            part.append(run)
    yield from _folded(part)


def _folded(part: Iterable[Run]) -> Iterator[tuple[Run, ...]]:
    runs: list[Run] = []
    for (marks, href), group in groupby(part, key=lambda run: (run.marks, run.href)):
        text = "".join(run.text for run in group)
        text = re.sub(r" *\n *", "\n", re.sub(r" {2,}", " ", text))
        if text.startswith(" ") and (not runs or runs[-1].text.endswith((" ", "\n", "\t"))):
            text = text[1:]
        if text.startswith("\n") and runs:
            runs[-1] = replace(runs[-1], text=runs[-1].text.rstrip(" "))
        if text:
            runs.append(Run(text=text, marks=marks, href=href))
    while runs and not runs[-1].text.strip():
        runs.pop()
    if runs:
        runs[-1] = replace(runs[-1], text=runs[-1].text.rstrip())
        runs[0] = replace(runs[0], text=runs[0].text.lstrip())
    if any(run.text.strip() for run in runs):
        yield tuple(run for run in runs if run.text)


# ---------------------------------------------------------------- text


def to_text(blocks: Iterable[Block]) -> str:
    """Paragraphs separated by one blank line; items of a list and rows of a table on lines of their own.

    Pictures and their captions are no text.
    """
    pieces: list[str] = []
    previous: Kind | None = None
    for block in blocks:
        if block.kind == "figure":
            continue
        if pieces:
            pieces.append("\n" if block.kind == previous and block.kind in {"item", "row"} else "\n\n")
        pieces.append(_row_text(block) if block.kind == "row" else block.text)
        previous = block.kind
    return "".join(pieces)


def _row_text(block: Block) -> str:
    return " | ".join(cell.strip() for cell in block.text.split("\t") if cell.strip())


def paragraph_count(blocks: Iterable[Block]) -> int:
    return sum(1 for block in blocks if block.kind == "paragraph")


# ---------------------------------------------------------------- HTML


def to_html(blocks: Sequence[Block]) -> str:
    """The blocks as HTML on one line: allow-listed tags and attributes, http(s) links, no script, style or handler.

    Written with everything escaped, and passed through nh3 besides: no mistake here may reach a reader's browser.
    """
    written = "".join(
        f"<blockquote>{_html_of(list(group))}</blockquote>" if quoted else _html_of(list(group))
        for quoted, group in groupby(blocks, key=lambda block: block.quoted)
    )
    for reference, stand_in in _STAND_INS:
        written = written.replace(reference, stand_in)
    cleaned = nh3.clean(
        written, tags=_ALLOWED_TAGS, attributes=_ALLOWED_ATTRIBUTES, url_schemes={"http", "https"}, link_rel=None
    )
    for reference, stand_in in _STAND_INS:
        cleaned = cleaned.replace(stand_in, reference)
    return cleaned


def _html_of(blocks: list[Block]) -> str:
    pieces: list[str] = []
    for kind, group in groupby(blocks, key=lambda block: block.kind):
        if kind == "item":
            pieces.append(_html_lists(list(group)))
        elif kind == "row":
            pieces.append("<table>" + "".join(_html_row(block) for block in group) + "</table>")
        else:
            pieces.extend(_html_block(block) for block in group)
    return "".join(pieces)


def _html_block(block: Block) -> str:
    if block.kind == "figure":
        caption = f"<figcaption>{_html_runs(block.runs)}</figcaption>" if block.runs else ""
        alt = f' alt="{escape(block.image_alt)}"' if block.image_alt else ""
        return f'<figure><img src="{escape(block.image_url or "")}"{alt}>{caption}</figure>'
    if block.kind == "preformatted":
        code = escape(block.text, quote=False).replace("\xa0", "&nbsp;")
        return f"<pre>{code}</pre>"
    tag = f"h{block.level}" if block.kind == "heading" else "p"
    return f"<{tag}>{_html_runs(block.runs)}</{tag}>"


def _html_lists(items: list[Block]) -> str:
    pieces: list[str] = []
    open_tags: list[str] = []
    for item in items:
        depth = max(1, min(item.level, len(open_tags) + 1))
        while len(open_tags) > depth:
            pieces.append(f"</li></{open_tags.pop()}>")
        if len(open_tags) == depth:
            pieces.append("</li>")
        else:
            open_tags.append("ul" if item.number is None else "ol")
            pieces.append(f"<{open_tags[-1]}>")
        pieces.append(f"<li>{_html_runs(item.runs)}")
    pieces.extend(f"</li></{tag}>" for tag in reversed(open_tags))
    return "".join(pieces)


def _html_row(block: Block) -> str:
    return "<tr>" + "".join(f"<td>{_html_runs(cell)}</td>" for cell in _cells(block)) + "</tr>"


def _cells(block: Block) -> list[tuple[Run, ...]]:
    cells: list[list[Run]] = [[]]
    for run in block.runs:
        for index, text in enumerate(run.text.split("\t")):
            if index:
                cells.append([])
            if text.strip():
                cells[-1].append(replace(run, text=text))
    return [tuple(cell) for cell in cells if cell]


def _html_runs(runs: Iterable[Run]) -> str:
    return "".join(_html_run(run) for run in runs)


def _html_run(run: Run) -> str:
    written = escape(run.text, quote=False).replace("\n", "<br>")
    for mark in sorted(run.marks):
        written = f"<{mark}>{written}</{mark}>"
    return f'<a href="{escape(run.href)}">{written}</a>' if run.href and run.text.strip() else written


# ---------------------------------------------------------------- Markdown


def to_markdown(blocks: Sequence[Block]) -> str:
    """The blocks as CommonMark; table rows as plain lines, since CommonMark has no tables."""
    pieces: list[str] = []
    previous: Block | None = None
    for block in blocks:
        if previous is not None:
            tight = block.kind == previous.kind and block.kind in {"item", "row"} and block.quoted == previous.quoted
            blank = ">\n" if block.quoted and previous.quoted else "\n"
            pieces.append("\n" if tight else f"\n{blank}")
        written = _markdown_block(block)
        pieces.append("\n".join(f"> {line}" for line in written.split("\n")) if block.quoted else written)
        previous = block
    return "".join(pieces)


def _markdown_block(block: Block) -> str:
    if block.kind == "figure":
        caption = f"\n*{_markdown_text(' '.join(block.text.split()))}*" if block.runs else ""
        return f"![{_markdown_text(block.image_alt)}]({_markdown_url(block.image_url or '')}){caption}"
    if block.kind == "preformatted":
        fence = "`" * max(3, 1 + max((len(ticks) for ticks in re.findall(r"`+", block.text)), default=0))
        return f"{fence}\n{block.text}\n{fence}"
    if block.kind == "heading":
        return f"{'#' * block.level} " + _markdown_runs(block.runs).replace("\\\n", " ")
    if block.kind == "item":
        bullet = "-" if block.number is None else f"{block.number}."
        indent = "   " * (block.level - 1)
        return f"{indent}{bullet} " + _markdown_runs(block.runs).replace("\n", f"\n{indent}   ")
    if block.kind == "row":
        return " | ".join(_markdown_runs(cell).replace("\\\n", " ") for cell in _cells(block)) + "  "
    return _MARKDOWN_LINE_START.sub(_escaped_line_start, _markdown_runs(block.runs))


def _escaped_line_start(match: re.Match[str]) -> str:
    blanks, sign = match.groups()
    return f"{blanks}{sign[:-1]}\\{sign[-1]}" if sign[0].isdigit() else f"{blanks}\\{sign}"


def _markdown_runs(runs: Iterable[Run]) -> str:
    return "".join(_markdown_run(run) for run in runs)


def _markdown_run(run: Run) -> str:
    core = run.text.strip()
    if not core:
        return run.text.replace("\n", "\\\n")
    before, after = run.text[: run.text.index(core)], run.text[run.text.index(core) + len(core) :]
    written = f"`{core}`" if "code" in run.marks and "`" not in core else _markdown_text(core)
    if "em" in run.marks:
        written = f"*{written}*"
    if "strong" in run.marks:
        written = f"**{written}**"
    if run.href:
        written = f"[{written}]({_markdown_url(run.href)})"
    return f"{before}{written}{after}".replace("\n", "\\\n")


def _markdown_text(text: str) -> str:
    return _MARKDOWN_SPECIAL.sub(r"\\\1", text)


def _markdown_url(url: str) -> str:
    return url.replace("(", "%28").replace(")", "%29").replace("<", "%3C").replace(">", "%3E").replace(" ", "%20")
