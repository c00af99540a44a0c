"""A page -> the blocks of its article: which leaves are taken, and what is done where none convince."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

import lxml.html
import numpy as np
import numpy.typing as npt

from worker.extract.blocks import Block, blocks_of, is_caption, read_blocks
from worker.extract.document import Document, parse_html
from worker.extract.features import Said, name_tokens
from worker.extract.image import is_junk
from worker.extract.leaves import ASIDE, FOOTER, HIDDEN, NAV, Leaf, Leaves
from worker.extract.metadata import Metadata
from worker.extract.profiles import Chosen, copied_areas
from worker.extract.render import to_text
from worker.extract.scorer import CONTENT_FROM, DEK_FROM, Scored, score
from worker.extract.sites import (
    NOTHING_KNOWN,
    BodyLine,
    Furniture,
    PageLines,
    furniture_among,
    keys_at,
    line_key,
    page_lines,
)
from worker.extract.title import folded
from worker.text import clean_line, word_count
from worker.urls import picture_key

STATED_SURENESS = 0.96  # of an articleBody: it may be cut short, and says nothing of headings and lists
AREA_SURENESS = 0.9  # of a main area that was taken as it stands
MIN_BODY_WORDS = 50  # of a JSON-LD articleBody: shorter ones are teasers
LESS_THAN = 0.6  # of its words: then the elements hold less than the article
MIN_AREA_WORDS = 150  # of a main area of which nothing was taken: less may be a teaser, a form, a list
MAX_DEK = 700  # characters: what is longer is the article's beginning
DEK_NAMES = frozenset(("dek", "standfirst", "strapline", "subheadline", "chapo", "vorspann"))
_MAIN_AREAS = (".//article", ".//main", ".//*[@role='main']")
_OPENING_BLOCKS = 3  # where a repeated title or dek would stand
_NEAR = 2  # leaves of text between a picture and the article's text that it belongs to, at most


@dataclass(frozen=True, slots=True, kw_only=True)
class Body:
    blocks: tuple[Block, ...]
    text: str
    words: int
    method: str  # page:<profile>, page:leaves, page:main-area, page:json-ld
    dek: str | None = None  # the line between title and text, where the page shows one; it is not part of the text
    sureness: float | None = None  # F1 to expect of what was chosen, in [0, 1]; None: a site's profile chose
    span: range | None = None  # from the first to the last leaf taken, in the page's leaves
    lines: PageLines = field(default_factory=PageLines)  # for the memory of the site, before its furniture was cut
    cut: tuple[int, ...] = ()  # keys of the furniture that was cut


def read_body(
    document: Document,
    metadata: Metadata,
    leaves: Leaves,
    said: Said,
    *,
    furniture: Furniture = NOTHING_KNOWN,
    chosen: Chosen | None = None,
) -> Body:
    """The site's profile where it fits, else the leaves that score; JSON-LD where the elements hold less.

    Args:
        document: The page.
        metadata: What it says of itself.
        leaves: Of the document's tree.
        said: What page and feed say the article says.
        furniture: What the site's other pages taught.
        chosen: What the site's profile points at, where the page looks like it.
    """
    body = _as_chosen(document, chosen) if chosen else None
    if body is None:
        body = _by_score(document, leaves, said, furniture)
        if not body.words:
            area = _main_area(document)
            body = area if area.words >= MIN_AREA_WORDS or metadata.is_declared_article else body
    stated = _stated(metadata.article_body)
    if stated and stated.words >= MIN_BODY_WORDS and body.words < LESS_THAN * stated.words:
        body = stated
    return _without_repeats(body, metadata.title)


def _made(blocks: list[Block], method: str, sureness: float | None = None) -> Body:
    text = to_text(blocks)
    return Body(blocks=tuple(blocks), text=text, words=word_count(text), method=method, sureness=sureness)


def _as_chosen(document: Document, chosen: Chosen) -> Body | None:
    """The profile's elements, in order; None when they hold no text."""
    blocks = [block for one in copied_areas(chosen) for block in read_blocks(one, document.base_url)]
    body = _made(blocks, f"page:{chosen.profile}")
    return body if body.words else None


# ---------------------------------------------------------------- the leaves that score


def _by_score(document: Document, leaves: Leaves, said: Said, furniture: Furniture) -> Body:
    scored = score(leaves, said)
    if scored is None:
        return _made([], "page:leaves")
    keep = _seen(scored, scored.body >= CONTENT_FROM)
    is_dek = _dek(scored, keep)
    keep &= ~is_dek
    keys = [line_key(leaf.text) for leaf in scored.rows]
    lines = page_lines(
        [key for key, kept in zip(keys, keep, strict=True) if kept],
        [key for key, kept in zip(keys, keep, strict=True) if not kept],
    )
    cut = _cut(scored, keep, keys, furniture)
    taken = {id(leaf) for leaf, kept in zip(scored.rows, keep, strict=True) if kept}
    blocks = blocks_of(_with_pictures(leaves.leaves, taken), document.base_url, captions_are_text=True)
    text = to_text(blocks)
    places = [place for place, leaf in enumerate(leaves.leaves) if id(leaf) in taken]
    dek = " ".join(leaf.text for leaf, one in zip(scored.rows, is_dek, strict=True) if one)
    return Body(
        blocks=tuple(_each_picture_once(blocks)),
        text=text,
        words=word_count(text),
        method="page:leaves",
        dek=clean_line(dek, MAX_DEK) or None,
        sureness=_sureness(scored, keep),
        span=range(places[0], places[-1] + 1) if places else None,
        lines=lines,
        cut=cut,
    )


def _seen(scored: Scored, keep: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Less what the page hides, unless that is most of it: then a script shows it to readers."""
    hidden = np.array([bool(leaf.box.flags & HIDDEN) for leaf in scored.rows])
    length = np.array([len(leaf.text) for leaf in scored.rows])
    return keep & ~hidden if length[keep & hidden].sum() < length[keep & ~hidden].sum() else keep


def _dek(scored: Scored, keep: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """The rows that are the dek: by the model or by their names, above the body, and not longer than a dek is."""
    by_name = np.array([not DEK_NAMES.isdisjoint(name_tokens(leaf.box.names)) for leaf in scored.rows])
    is_dek = by_name | ((scored.dek >= DEK_FROM) & (scored.dek > scored.body))
    body = np.flatnonzero(keep & ~is_dek)
    if len(body):  # a box of the text may be named like that too
        is_dek[body[0] + 1 :] = False
    is_dek &= keep | (scored.dek >= DEK_FROM)
    chars = 0
    for place in np.flatnonzero(is_dek):
        chars += len(scored.rows[place].text)
        is_dek[place] = chars <= MAX_DEK
    return is_dek


def _cut(
    scored: Scored, keep: npt.NDArray[np.bool_], keys: Sequence[int | None], furniture: Furniture
) -> tuple[int, ...]:
    """Take the site's furniture out of what was kept.

    Returns: The keys of what was cut.
    """
    rows = np.flatnonzero(keep).tolist()
    lines = [
        BodyLine(
            key=keys[row], chars=len(scored.rows[row].text), is_heading=scored.rows[row].kind == "heading"
        )
        for row in rows
    ]  # fmt: skip
    places = furniture_among(lines, furniture)
    keep[[rows[place] for place in places]] = False
    return keys_at(lines, places)


def _sureness(scored: Scored, keep: npt.NDArray[np.bool_]) -> float:
    """The F1 to expect if each probability is right: what is kept and right, against what is kept and what is right."""
    length = np.array([len(leaf.text) for leaf in scored.rows], dtype=np.float64)
    right = length * scored.body
    both = float(length[keep].sum() + right.sum())
    return float(2 * right[keep].sum() / both) if both else 0.0


def _with_pictures(leaves: Sequence[Leaf], taken: set[int]) -> Iterator[Leaf]:
    """The leaves taken, and between them the pictures that belong to them, with their captions."""
    texts = [place for place, leaf in enumerate(leaves) if id(leaf) in taken]
    if not texts:
        return
    first, last = texts[0], texts[-1]
    captioned = False
    for place in range(max(0, first - _NEAR), last + 1):
        leaf = leaves[place]
        if id(leaf) in taken:
            captioned = False
            yield leaf
        elif leaf.image is not None:
            captioned = _belongs(leaves, place, taken)
            if captioned:
                yield leaf
        elif captioned and is_caption(leaf):
            yield leaf


def _belongs(leaves: Sequence[Leaf], place: int, taken: set[int]) -> bool:
    """Whether a picture stands beside text that was taken, and is no other page's."""
    picture = leaves[place]
    if picture.box.flags & (NAV | ASIDE | FOOTER | HIDDEN):
        return False
    around = (_texts(leaves, range(place - 1, -1, -1)), _texts(leaves, range(place + 1, len(leaves))))
    return any(id(leaf) in taken for near in around for leaf in near)


def _texts(leaves: Sequence[Leaf], places: range) -> list[Leaf]:
    """The nearest leaves of text that are no captions, in that direction."""
    near: list[Leaf] = []
    for place in places[: 4 * _NEAR]:
        leaf = leaves[place]
        if leaf.image is None and not is_caption(leaf):
            near.append(leaf)
            if len(near) == _NEAR:
                break
    return near


def _each_picture_once(blocks: Iterable[Block]) -> Iterator[Block]:
    seen: set[str] = set()
    for block in blocks:
        if block.image_url is not None:
            key = picture_key(block.image_url)
            if key in seen or is_junk(block.image_url):
                continue
            seen.add(key)
        yield block


# ---------------------------------------------------------------- where no leaf convinces


def _main_area(document: Document) -> Body:
    """All text of the first main area that there is, without weighing one part against another."""
    areas = (document.root.find(path) for path in _MAIN_AREAS)
    area = next((one for one in areas if one is not None), None)
    blocks = read_blocks(area, document.base_url) if area is not None else []
    return _made(blocks, "page:main-area", AREA_SURENESS)


def _stated(article_body: str | None) -> Body | None:
    """A JSON-LD articleBody: plain text with line breaks, or HTML in spite of its definition."""
    if not article_body:
        return None
    source = article_body if "</p>" in article_body.lower() else article_body.replace("\n", "<br><br>")
    root = parse_html(f"<html><body>{source}</body></html>")
    if not isinstance(root, lxml.html.HtmlElement):
        return None
    return _made(read_blocks(root, None), "page:json-ld", STATED_SURENESS)


def _without_repeats(body: Body, title: str | None) -> Body:
    """The title is not part of the text, and a dek is so once."""
    seen = {folded(title)} if title else set()
    opening: list[Block] = []
    for block in body.blocks[:_OPENING_BLOCKS]:
        key = folded(block.text)
        if block.kind == "figure" or not key or key not in seen:
            opening.append(block)
            seen.add(key)
    if len(opening) == min(len(body.blocks), _OPENING_BLOCKS):
        return body
    blocks = (*opening, *body.blocks[_OPENING_BLOCKS:])
    text = to_text(blocks)
    return replace(body, blocks=blocks, text=text, words=word_count(text))
