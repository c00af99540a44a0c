"""What can be seen of a page's leaves, as numbers: one row a leaf of text, one column a feature.

Counted in one pass over boxes and leaves; all that compares leaves with each other is done on whole columns.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from worker.extract.leaves import FLAGS, Box, Leaf, Leaves

Column = npt.NDArray[np.float32]
Matrix = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]

_TAGS = ("p", "h2", "div", "pre")
_SENTENCE_ENDS = frozenset(".!?…:;\"'”’»。！？」』）)؟।։።")
_SHORT = 160  # characters: of longer leaves the words are not looked up
MAX_WORDS = 14  # looked up of a short leaf
_TOKEN = re.compile(r"[A-Z]+[a-z]*|[a-z]+")
_WORD = re.compile(r"[^\W\d_]{2,}")
GOOD_LENGTH = 80  # characters of a leaf that looks like a paragraph
GOOD_LINKS = 0.3  # of them, at most, links
_LEAST_BODY = 200  # characters of an articleBody that is one
_LEAST_LIKE = 15  # characters of a line that may be part of the title
_LEAST_SHARED = 20  # characters of a line that may be part of a summary or of an articleBody
_COMPARED = 2_000  # characters of a leaf
_MIDDLE = 40  # characters out of a leaf's midst that are looked for
_FADING = 0.8  # of what the names around a box say, with each box in between
_FAR = 1_000  # rows: farther than anything counts


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What page and feed say about the article, blanks folded; empty where nothing is said."""

    title: str = ""
    summary: str = ""
    body: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Vocabulary:
    """Leanings in [-1, 1] learnt from pages: of tokens of class and id, and of words in short leaves."""

    tokens: Mapping[str, float]
    words: Mapping[str, float]


@lru_cache(maxsize=8192)
def name_tokens(names: str) -> tuple[str, ...]:
    """Class and id attributes -> their words, lower case: "c-articleBody__text" is c is none, article, body, text."""
    return tuple(dict.fromkeys(token.lower() for token in _TOKEN.findall(names) if len(token) > 1))[:24]


def words_of(text: str) -> tuple[str, ...]:
    """The words of a short leaf that are looked up, lower case."""
    if len(text) > _SHORT:
        return ()
    return tuple(word.lower() for word in _WORD.findall(text)[:MAX_WORDS])


@dataclass(slots=True)
class Page:
    """Columns that both passes use, of the leaves that are text."""

    rows: list[Leaf]
    boxes: list[Box]
    length: Column
    links: Column  # share
    good: Column  # characters of paragraph-like leaves
    leaf_box: Ints
    parent: Ints
    grand: Ints
    start: Ints  # of each box: rows[start:end]
    end: Ints
    kin: Ints  # group of equal signature of box and parent
    kin2: Ints  # of box, parent and grandparent
    heading: Ints  # the row of the heading before, -1 for none
    title_row: int


def _signature(box: Box | None, depth: int) -> tuple[object, ...]:
    out: list[object] = []
    while box is not None and depth:
        out += [box.tag, box.names]
        box, depth = box.parent, depth - 1
    return tuple(out)


def _groups(keys: Sequence[object]) -> Ints:
    seen: dict[object, int] = {}
    return np.array([seen.setdefault(key, len(seen)) for key in keys], dtype=np.int64)


def _shifted(column: Column, by: int) -> Column:
    """The value of the row so many before; 0 where there is none."""
    out = np.zeros_like(column)
    if by > 0:
        out[by:] = column[:-by] if by < len(column) else column[:0]
    else:
        out[:by] = column[-by:] if -by < len(column) else column[:0]
    return out


def read_page(leaves: Leaves, said: Said) -> Page | None:
    """Lay a page's leaves out in columns. None: it has no text."""
    rows = [leaf for leaf in leaves.leaves if leaf.kind != "figure"]
    if not rows:
        return None
    boxes = leaves.boxes
    number = np.cumsum([0] + [leaf.kind != "figure" for leaf in leaves.leaves])
    length = np.array([len(leaf.text) for leaf in rows], dtype=np.float32)
    links = np.array([leaf.link_length for leaf in rows], dtype=np.float32) / length
    up = np.array([box.parent.index if box.parent else 0 for box in boxes], dtype=np.int64)
    leaf_box = np.array([leaf.box.index for leaf in rows], dtype=np.int64)
    parent = up[leaf_box]
    return Page(
        rows=rows,
        boxes=boxes,
        length=length,
        links=links,
        good=np.where((length >= GOOD_LENGTH) & (links <= GOOD_LINKS), length, 0).astype(np.float32),
        leaf_box=leaf_box,
        parent=parent,
        grand=up[parent],
        start=number[[box.start for box in boxes]],
        end=number[[box.end for box in boxes]],
        kin=_groups([_signature(leaf.box, 2) for leaf in rows]),
        kin2=_groups([_signature(leaf.box, 3) for leaf in rows]),
        heading=np.maximum.accumulate(np.where([leaf.kind == "heading" for leaf in rows], np.arange(len(rows)), -1)),
        title_row=_title_row(rows, said.title.casefold()),
    )


def _title_row(rows: Sequence[Leaf], title: str) -> int:
    """The row that says the title, a heading rather than a line; else the first <h1>; -1: neither is there."""
    headings = [row for row, leaf in enumerate(rows) if leaf.box.tag == "h1"]
    if not title:
        return headings[0] if headings else -1
    same = [row for row, leaf in enumerate(rows) if leaf.text.casefold() == title]
    best = max(same, key=lambda row: (rows[row].box.tag == "h1", rows[row].kind == "heading", -row), default=None)
    return best if best is not None else headings[0] if headings else -1


def columns_of(page: Page, said: Said, vocabulary: Vocabulary) -> dict[str, npt.ArrayLike]:
    """Every feature by its name: a value for each row."""
    written = _written(page, said, vocabulary)
    ends, lean = np.asarray(written["ends"]), np.asarray(written["lean"])
    return {
        **written,
        **_of_elements(page),
        **_of_names(page, vocabulary),
        **_of_containers(page),
        **_of_kin(page, ends),
        **_of_place(page, lean),
        **_of_neighbours(page),
    }


def _written(page: Page, said: Said, vocabulary: Vocabulary) -> dict[str, npt.ArrayLike]:
    """What the text itself shows, and how it agrees with what is said of the article."""
    witness = _Witness(
        title=said.title.casefold(),
        summary=said.summary.casefold(),
        body=said.body.casefold(),
    )
    times = Counter(leaf.text for leaf in page.rows)
    table = np.array(
        [
            (times[leaf.text], *_marks(leaf.text), *_leaning(leaf.text, vocabulary), *_agreement(leaf.text, witness))
            for leaf in page.rows
        ],
        dtype=np.float32,
    )
    return {
        "length": np.log1p(page.length),
        "links": page.links,
        "link_count": [leaf.links for leaf in page.rows],
        "marked": np.array([leaf.marked_length for leaf in page.rows]) / page.length,
        **dict(zip(("repeated", *_MARKS, *_LEANINGS, *_AGREEMENTS), table.T, strict=True)),
        "has_body": np.full(len(page.rows), len(witness.body) > _LEAST_BODY),
    }


_MARKS = ("words", "commas", "sentences", "ends")


def _marks(text: str) -> tuple[float, ...]:
    return (
        text.count(" ") + 1,
        text.count(",") + text.count("，") + text.count("、"),
        text.count(". ") + text.count("。") + text.count("? ") + text.count("! "),
        text[-1] in _SENTENCE_ENDS,
    )


_LEANINGS = ("lean", "lean_min", "lean_max")


def _leaning(text: str, vocabulary: Vocabulary) -> tuple[float, float, float]:
    get = vocabulary.words.get
    leans = [get(word, 0.0) for word in words_of(text)]
    return (sum(leans), min(leans), max(leans)) if leans else (0.0, 0.0, 0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Witness:
    """``Said`` for comparison: without case."""

    title: str
    summary: str
    body: str


_AGREEMENTS = ("is_title", "like_title", "in_summary", "is_summary", "in_body")


def _agreement(text: str, witness: _Witness) -> tuple[bool, ...]:
    size = len(text)
    low = text[:_COMPARED].casefold()
    middle = low[size // 3 : size // 3 + _MIDDLE] if size >= 1.5 * _MIDDLE else low
    title, summary, body = witness.title, witness.summary, witness.body
    return (
        bool(title) and low == title,
        bool(title) and size > _LEAST_LIKE and (low in title or title in low),
        bool(summary) and size > _LEAST_SHARED and middle in summary,
        bool(summary) and low == summary,
        bool(body) and size >= _LEAST_SHARED and middle in body,
    )


def _of_elements(page: Page) -> dict[str, npt.ArrayLike]:
    rows = page.rows
    flags = np.array([leaf.box.flags for leaf in rows], dtype=np.int64)
    return {
        "depth": [leaf.box.depth for leaf in rows],
        **{f"tag_{tag}": [leaf.box.tag == tag for leaf in rows] for tag in _TAGS},
        "level": [leaf.level if leaf.kind == "heading" else 0 for leaf in rows],
        "item": [leaf.level if leaf.kind == "item" else 0 for leaf in rows],
        **{f"flag_{bit}": (flags >> bit) & 1 for bit in range(FLAGS)},
        "article_no": np.minimum(_ordinal(page, "article"), 8),
    }


def _of_names(page: Page, vocabulary: Vocabulary) -> dict[str, npt.ArrayLike]:
    """What class and id say, of a leaf's box and of all around it."""
    get = vocabulary.tokens.get
    leanings: dict[str, tuple[float, float, bool]] = {}
    own: list[tuple[float, float]] = []
    path: list[tuple[float, float, float, bool]] = []  # least, most, all of them fading; whether comments are around
    for box in page.boxes:
        found = leanings.get(box.names)
        if found is None:
            tokens = name_tokens(box.names)
            values = [get(token, 0.0) for token in tokens]
            found = leanings[box.names] = (
                min(values, default=0.0),
                max(values, default=0.0),
                not _COMMENTS.isdisjoint(tokens),
            )
        least, most, is_of_comments = found
        own.append((least, most))
        if box.parent is None or box.tag == "body":
            path.append((0.0, 0.0, 0.0, False))
        else:
            low, high, faded, commented = path[box.parent.index]
            faded = faded * _FADING + least + most
            path.append((min(low, least), max(high, most), faded, commented or is_of_comments))
    owns, paths = np.array(own, dtype=np.float32), np.array(path, dtype=np.float32)
    columns: dict[str, npt.ArrayLike] = {}
    for label, box_of in (("own", page.leaf_box), ("up", page.parent), ("grand", page.grand)):
        columns[f"{label}_min"], columns[f"{label}_max"] = owns[box_of].T
    around = paths[page.leaf_box].T
    columns["path_min"], columns["path_max"], columns["path_sum"], columns["commented"] = around
    return columns


def _of_containers(page: Page) -> dict[str, npt.ArrayLike]:
    """What stands in the same box, in the one around it and in that around both; and where most paragraphs stand."""
    start, end = page.start, page.end
    chars, linked, good = (_running(one) for one in (page.length, page.length * page.links, page.good))
    box_chars = chars[end] - chars[start]
    box_links = (linked[end] - linked[start]) / np.maximum(box_chars, 1)
    box_good = (good[end] - good[start]) / max(good[-1], 1.0)
    columns: dict[str, npt.ArrayLike] = {}
    for label, box in (("box", page.leaf_box), ("up", page.parent), ("grand", page.grand)):
        columns[f"{label}_chars"] = np.log1p(box_chars[box])
        columns[f"{label}_links"] = box_links[box]
        columns[f"{label}_good"] = box_good[box]
        columns[f"{label}_n"] = np.log1p((end - start)[box])
    place = np.arange(len(page.rows))
    for least in (0.5, 0.75, 0.95):
        holding = np.flatnonzero(box_good >= least)  # the last is the smallest: it stands in all others
        main = int(holding[-1]) if len(holding) else 0
        columns[f"inside_{least}"] = (place >= start[main]) & (place < end[main])
        columns[f"past_{least}"] = (place - end[main]) / len(page.rows)
    return columns


def _of_kin(page: Page, ends: npt.NDArray[Any]) -> dict[str, npt.ArrayLike]:
    """What leaves of the same make are like: paragraphs of one text are siblings, teasers are too."""
    columns: dict[str, npt.ArrayLike] = {}
    total_good = max(float(page.good.sum()), 1.0)
    for label, group in (("kin", page.kin), ("kin2", page.kin2)):
        sizes = np.bincount(group)[group]
        length = np.bincount(group, weights=page.length)[group]
        columns[f"{label}_n"] = np.log1p(sizes)
        columns[f"{label}_len"] = np.log1p(length / sizes)
        columns[f"{label}_links"] = np.bincount(group, weights=page.length * page.links)[group] / length
        columns[f"{label}_good"] = np.bincount(group, weights=page.good)[group] / total_good
        columns[f"{label}_ends"] = np.bincount(group, weights=ends)[group] / sizes
    return columns


def _of_place(page: Page, lean: npt.NDArray[Any]) -> dict[str, npt.ArrayLike]:
    """Where a leaf stands on the page: from title, heading and paragraphs."""
    n = len(page.rows)
    place = np.arange(n)
    is_good = page.good > 0
    chars, good = _running(page.length), _running(page.good)
    total_good = max(good[-1], 1.0)
    last_good = np.maximum.accumulate(np.where(is_good, place, -_FAR))
    next_good = np.minimum.accumulate(np.where(is_good, place, n + _FAR)[::-1])[::-1]
    has_heading = page.heading >= 0
    return {
        "at": place / n,
        "at_chars": chars[:-1] / max(chars[-1], 1.0),
        "good_before": good[:-1] / total_good,
        "good_after": 1 - good[1:] / total_good,
        "from_title": np.clip(place - page.title_row, -60, 200) if page.title_row >= 0 else np.full(n, -100),
        "common_title": _common(page, page.title_row),
        "common_good": _common(page, int(np.argmax(is_good)) if is_good.any() else -1),
        "h1_before": np.minimum(np.cumsum([leaf.level == 1 and leaf.kind == "heading" for leaf in page.rows]), 5),
        "since_good": np.minimum(place - last_good, 60),
        "until_good": np.minimum(next_good - place, 60),
        "n": np.full(n, math.log1p(n)),
        "total": np.full(n, math.log1p(total_good)),
        "since_heading": np.minimum(place - page.heading, 40),
        "heading_lean": np.where(has_heading, lean[page.heading], 0),
        "heading_len": np.where(has_heading, np.log1p(page.length)[page.heading], 0),
    }


def _of_neighbours(page: Page) -> dict[str, npt.ArrayLike]:
    columns: dict[str, npt.ArrayLike] = {}
    length = np.log1p(page.length)
    for by in (1, 2, -1, -2):
        columns[f"length{by:+}"] = _shifted(length, by)
        columns[f"links{by:+}"] = _shifted(page.links, by)
    depth = np.array([leaf.box.depth for leaf in page.rows], dtype=np.float32)
    columns["depth_prev"] = depth - _shifted(depth, 1)
    columns["depth_next"] = depth - _shifted(depth, -1)
    columns["same_parent_next"] = page.parent == np.concatenate((page.parent[1:], [-1]))
    return columns


def _running(column: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """Sums from the first row to each border between rows: one more than there are rows."""
    return np.concatenate(([0.0], np.cumsum(column, dtype=np.float64)))


_COMMENTS = frozenset(
    ("comment", "comments", "commentlist", "disqus", "respond", "replies", "kommentare", "commentaires")
)


def _ordinal(page: Page, tag: str) -> Ints:
    """The how manieth outermost element of this kind a leaf stands in; 0: in none."""
    out = np.zeros(len(page.rows), dtype=np.int64)
    count = last = 0
    for box in page.boxes:
        if box.tag == tag and page.start[box.index] >= last:
            count += 1
            last = int(page.end[box.index])
            out[page.start[box.index] : last] = count
    return out


def _common(page: Page, row: int) -> Column:
    """Of the boxes around that row, the share that is around each leaf too."""
    out = np.zeros(len(page.rows), dtype=np.float32)
    if row < 0:
        return out
    box: Box | None = page.rows[row].box
    depth = page.rows[row].box.depth + 1
    while box is not None:
        out[page.start[box.index] : page.end[box.index]] += 1
        box = box.parent
    return (out / depth).astype(np.float32)
