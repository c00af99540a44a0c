"""What a site's recent pages teach about its furniture: what stands on many of them is the text of none. Pure.

Of each of the last RECENT pages of a site the keys of their lines are kept: of those that were taken for text, and of
those that were left out. A line of a new page's text is furniture if its siblings say so, which takes LEAST_SIBLINGS of
them that tell other stories: on one page alone nobody can tell a house's promotion from the house's prose.

The cautious side is to keep a line. What looks alike on a site's pages and is text all the same: paragraphs of
background that follow-ups repeat, a story that grows under several URLs, the teasers of this very article on its
siblings, headings of a series ("Ingredients"), agencies' names and credits, which are short.
"""

from __future__ import annotations

import re
import zlib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import chain
from urllib.parse import urlsplit

from worker.model import require_utc

RECENT = 8  # pages of a site that are remembered
REFRESHED_AFTER = timedelta(minutes=30)  # what stands on a site changes by the month
LEAST_SIBLINGS = 3  # other stories, so that with the page itself there are four
MOST = 0.75  # of the siblings: half of a recipe site's pages may say the same in their midst
AGREEING = 2  # siblings that tell other stories
SAME_STORY = 0.8  # of the shorter page's lines of text: a revision, another version of a live blog, a copy
RELATED = 0.3  # of them, furniture apart: a follow-up, which repeats what was known before
MOST_CUT = 0.5  # of a text's characters: more, and the memory is wrong about this page

LEAST_BYTES = (
    20  # of letters and digits as UTF-8: shorter lines that pages share are mostly text ("Pros", "Background")
)
KEYED_CHARS = 150  # of a line: what begins alike for so long is alike
MAX_KEYS = 200  # of each kind on a page

_LETTERS = re.compile(r"[^\W_]+").findall  # not what is between them: "it's" is written with either apostrophe


def line_key(text: str) -> int | None:
    """What a line is recognised by on another page: 32 bits of its letters and digits, without case.

    Returns: None for a line that is too short to tell anything.
    """
    if len(text) < LEAST_BYTES and text.isascii():
        return None  # most lines of a page
    folded = "".join(_LETTERS(text[:KEYED_CHARS].lower())).encode("utf-8", "replace")
    return zlib.crc32(folded) if len(folded) >= LEAST_BYTES else None


@dataclass(frozen=True, slots=True, kw_only=True)
class PageLines:
    """The lines of one page by their keys, before the site's furniture was cut; at most MAX_KEYS of each kind."""

    chosen: frozenset[int] = frozenset()  # taken for text
    others: frozenset[int] = frozenset()  # left out


def page_lines(chosen: Sequence[int | None], others: Sequence[int | None]) -> PageLines:
    """A page's lines for the memory of its site; of too many the first and the last, as furniture stands around a text.

    Args:
        chosen: The ``line_key`` of each leaf that the general rules take for the article's, in order; with those that
            are cut afterwards because of the memory, so that it never confirms itself.
        others: Of each that they leave out.
    """
    taken = _bounded(chosen)
    return PageLines(chosen=taken, others=_bounded(others) - taken)


def _bounded(keys: Sequence[int | None]) -> frozenset[int]:
    some = [key for key in keys if key is not None]
    return frozenset(some if len(some) <= MAX_KEYS else some[: MAX_KEYS // 2] + some[-MAX_KEYS // 2 :])


# ---------------------------------------------------------------- the memory of a site


@dataclass(frozen=True, slots=True, kw_only=True)
class SitePage:
    """One page as its site remembers it."""

    article_id: str
    read_at: datetime  # aware, UTC
    lines: PageLines

    def __post_init__(self) -> None:
        require_utc("read_at", self.read_at)


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteMemory:
    """The last pages of a site, newest first; at most RECENT, each of another story. An empty one knows nothing."""

    pages: tuple[SitePage, ...] = ()


def site_of(url: str | None) -> str | None:
    """The name under which a page's site is remembered: its host, less ``www``. None: there is none.

    Not the registrable domain: a host of many blogs has as many templates.
    """
    try:
        host = urlsplit(url or "").hostname
    except ValueError:
        return None
    return host.removeprefix("www.") if host else None


def learnt(memory: SiteMemory, page: SitePage) -> SiteMemory:
    """The memory with one more page in it.

    An article's own earlier reading makes way, and so does a page that tells the same story under another URL: a live
    blog must not push every other page out.

    Returns: ``memory`` itself when the page is not worth a write: the memory would not grow by it, and was refreshed a
        short while ago; or there is no text on the page.
    """
    kept = [
        one
        for one in memory.pages
        if one.article_id != page.article_id and not _shares(SAME_STORY, one.lines.chosen, page.lines.chosen)
    ]
    pages = (page, *kept[: RECENT - 1])
    is_fresh = len(pages) == len(memory.pages) and page.read_at - memory.pages[0].read_at < REFRESHED_AFTER
    return memory if is_fresh or not page.lines.chosen else SiteMemory(pages=pages)


def _shares(share: float, one: frozenset[int], other: frozenset[int]) -> bool:
    """Is that share of the shorter page found in the longer?"""
    return len(one & other) >= max(1.0, share * min(len(one), len(other)))


# ---------------------------------------------------------------- cutting


@dataclass(frozen=True, slots=True, kw_only=True)
class Furniture:
    """What is known of a page's furniture before it is read."""

    siblings: tuple[PageLines, ...] = ()  # other pages of the site
    known: frozenset[int] = frozenset()  # keys of what an earlier reading cut from this page: cut again


NOTHING_KNOWN = Furniture()


def furniture_of(memory: SiteMemory, article_id: str) -> Furniture:
    """What the site's other pages say about a page."""
    return Furniture(siblings=tuple(one.lines for one in memory.pages if one.article_id != article_id))


@dataclass(frozen=True, slots=True, kw_only=True)
class BodyLine:
    """One line of a page's text as the general rules chose it."""

    key: int | None  # ``line_key`` of its text
    chars: int
    is_heading: bool


def furniture_among(lines: Sequence[BodyLine], furniture: Furniture) -> frozenset[int]:
    """Which lines of a page's text are its site's furniture, by their places.

    A heading stands or falls with what is below it.

    Args:
        lines: The text's lines in order.

    Returns: Places in ``lines``. None at all if that were more than MOST_CUT of the text.
    """
    if not furniture.known and not furniture.siblings:
        return frozenset()
    said = _said(frozenset(line.key for line in lines if line.key is not None), furniture.siblings)
    anywhere = furniture.known | said.anywhere
    begins, ends = _text_within(lines, anywhere | said.before | said.inside | said.behind)
    cut = {
        place
        for place, line in enumerate(lines)
        if not line.is_heading
        and (
            line.key in anywhere
            or (line.key in said.before and place < begins)
            or (line.key in said.inside and place > begins)
            or (line.key in said.behind and place > ends)
        )
    }
    cut |= _bare_headings(lines, cut)
    is_too_much = sum(lines[place].chars for place in cut) > MOST_CUT * sum(line.chars for line in lines)
    return frozenset() if is_too_much else frozenset(cut)


def keys_at(lines: Sequence[BodyLine], places: Iterable[int]) -> tuple[int, ...]:
    """The keys of lines that were cut, for the record: a later reading is told them as ``known``."""
    return tuple(sorted({key for place in places if (key := lines[place].key) is not None}))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Said:
    """Keys of furniture by where in a text siblings are believed."""

    anywhere: frozenset[int] = frozenset()
    before: frozenset[int] = frozenset()  # where the text has not begun: siblings show teasers of this very article
    inside: frozenset[int] = frozenset()  # from its beginning on
    behind: frozenset[int] = frozenset()  # where nothing else follows


_NOTHING_SAID = _Said()


def _said(keys: frozenset[int], siblings: Sequence[PageLines]) -> _Said:
    """What siblings say of a page's lines; nothing while they are few.

    What most of them have as their text is none: anywhere if MOST do, around the text if half do. A related story has
    text in common with this one; of siblings that tell another, AGREEING ones are enough: for what they left out, also
    inside the text; for what they did not, behind it.
    """
    if len(siblings) < LEAST_SIBLINGS:
        return _NOTHING_SAID
    chosen = _counted(keys & one.chosen for one in siblings)
    half = _on(max(LEAST_SIBLINGS, len(siblings) / 2), chosen)
    rest = keys - half
    others = [one for one in siblings if not _shares(RELATED, rest, one.chosen - half)]
    return _Said(
        anywhere=_on(max(LEAST_SIBLINGS, len(siblings) * MOST), chosen),
        before=half,
        inside=_on(AGREEING, _counted(keys & one.others for one in others)),
        behind=half | _on(AGREEING, _counted(keys & (one.others | one.chosen) for one in others)),
    )


def _counted(pages: Iterable[frozenset[int]]) -> Counter[int]:
    return Counter(chain.from_iterable(pages))


def _on(enough: float, pages_of: Counter[int]) -> frozenset[int]:
    """The keys that are on so many pages."""
    return frozenset(key for key, pages in pages_of.items() if pages >= enough)


def _text_within(lines: Sequence[BodyLine], doubtful: frozenset[int]) -> tuple[int, int]:
    """The places of the first and the last line that are text for certain: headings and short lines do not tell."""
    certain = [
        place
        for place, line in enumerate(lines)
        if line.key is not None and not line.is_heading and line.key not in doubtful
    ]
    return (certain[0], certain[-1]) if certain else (len(lines), len(lines))


def _bare_headings(lines: Sequence[BodyLine], cut: set[int]) -> set[int]:
    """Headings below which there were lines, and none is left."""
    bare: set[int] = set()
    left, had = 0, 0  # lines below, up to the next heading
    for place in range(len(lines) - 1, -1, -1):
        if not lines[place].is_heading:
            had, left = had + 1, left + (place not in cut)
            continue
        if had and not left:
            bare.add(place)
        left = had = 0
    return bare
