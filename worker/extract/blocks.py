"""Leaves of a tree -> the blocks of a text: what is written as plain text, HTML and Markdown.

A block is a paragraph, heading, list item, table row, preformatted piece or picture: whatever nesting of elements it
came out of is gone.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import groupby
from operator import attrgetter

import lxml.html

from worker.extract.image import largest_source
from worker.extract.leaves import BREAK, CAPTION, CELL_END, FORM, HIDDEN, NAV, Kind, Leaf, Manner, Part, read_leaves
from worker.urls import usable_url

MAX_CAPTION = 600  # characters: what is longer is text, whatever its class says
# Control characters too: no text may carry them.
_BLANKS = re.compile(r"[\x00-\x20\x7f-\xa0\u2028\u2029]+")
_SPACED = re.compile(r" *\n[ \n]*| {2,}")
_manner_of = attrgetter("manner")


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
    """All blocks of a tree, less what it hides, navigation, forms, and captions of what is no picture.

    Links and pictures are resolved against ``base_url`` and dropped when unusable.
    """
    return blocks_of((leaf for leaf in read_leaves(root) if not leaf.box.flags & (HIDDEN | NAV | FORM)), base_url)


def blocks_of(leaves: Iterable[Leaf], base_url: str | None, *, captions_are_text: bool = False) -> list[Block]:
    """The blocks that these leaves make.

    Args:
        leaves: In document order.
        base_url: What links and pictures are resolved against.
        captions_are_text: Whether a caption that follows no picture is a paragraph; else it is left out.
    """
    blocks: list[Block] = []
    for leaf in leaves:
        if leaf.image is not None:
            if figure := _figure(leaf, base_url):
                blocks.append(figure)
            continue
        block = Block(
            kind=leaf.kind, runs=_runs(leaf, base_url), level=leaf.level, number=leaf.number, quoted=leaf.quoted
        )
        if not block.runs:
            continue
        if not is_caption(leaf):
            blocks.append(block)
        elif blocks and blocks[-1].kind == "figure":
            before = blocks[-1].runs
            blocks[-1] = replace(blocks[-1], runs=(*before, Run(text=" "), *block.runs) if before else block.runs)
        elif captions_are_text:
            blocks.append(block)
    return blocks


def is_caption(leaf: Leaf) -> bool:
    """Whether a leaf of text says what a picture shows."""
    return bool(leaf.box.flags & CAPTION) and len(leaf.text) <= MAX_CAPTION


def _figure(leaf: Leaf, base_url: str | None) -> Block | None:
    assert leaf.image is not None
    source = largest_source(leaf.image, base_url)
    if source is None:
        return None
    alt = _BLANKS.sub(" ", leaf.image.get("alt") or "").strip()
    return Block(kind="figure", image_url=source.url, image_alt=alt, quoted=leaf.quoted)


def _runs(leaf: Leaf, base_url: str | None) -> tuple[Run, ...]:
    if leaf.kind == "preformatted":
        text = "".join(part.text for part in leaf.parts).strip("\n")
        return (Run(text=text),) if text.strip() else ()
    runs: list[Run] = []
    for manner, written in _stretches(leaf.parts):
        text = _SPACED.sub(_one_blank, written)
        before = runs[-1].text[-1] if runs else " "
        if text[0] == " " and before in " \n\t":
            text = text[1:]
        elif text[0] == "\n" and before == " " and runs:
            runs[-1] = replace(runs[-1], text=runs[-1].text.rstrip(" "))
        if text:
            href = usable_url(manner.href, base_url) if manner.href else None
            runs.append(Run(text=text, marks=manner.marks, href=href))
    return _trimmed(runs)


def _stretches(parts: Iterable[Part]) -> Iterator[tuple[Manner, str]]:
    """Neighbours of one manner joined, the page's own blanks as single ones, breaks and ends of cells as they are."""
    for manner, group in groupby(parts, key=_manner_of):
        yield (
            manner,
            "".join(
                [part.text if part is BREAK or part is CELL_END else _BLANKS.sub(" ", part.text) for part in group]
            ),
        )


def _one_blank(blanks: re.Match[str]) -> str:
    return "\n" if "\n" in blanks[0] else " "


def _trimmed(runs: list[Run]) -> tuple[Run, ...]:
    while runs and not runs[-1].text.strip():
        runs.pop()
    if not runs:
        return ()
    runs[-1] = replace(runs[-1], text=runs[-1].text.rstrip())
    runs[0] = replace(runs[0], text=runs[0].text.lstrip())
    return tuple(run for run in runs if run.text)
