"""Which wording is the article's title: what readers see above it, checked against what the page declares."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from urllib.parse import urlsplit

from worker.extract.jsonld import JsonLd
from worker.extract.leaves import FOOTER, HIDDEN, NAV, Box, Leaves
from worker.extract.meta import Meta
from worker.text import clean_line, strip_tags, unescape

MAX_HEADINGS = 12  # <h1> looked at
MAX_HEADING = 400  # characters: more is a text set large
MAX_INSIDE = 20  # elements looked at inside of a heading
ENOUGH_SUPPORT = 0.5  # likeness to a declared title, 0 to 1
SHORTEST_HOST_WORD = 4  # characters: shorter ones stand in any host name

_SEPARATOR = re.compile(r"\s+[|\-–—·•:»«/~]{1,2}\s+|\s*[|｜：]\s*|_(?=[^\s_]*$)|\s+_\s+")
_SITE_BEFORE_COLON = re.compile(r"[:：]\s+")
_WORD = re.compile(r"\w+")
_NO_LETTERS = re.compile(r"[\W_]+")
_KICKER_NAMES = re.compile(
    r"(?:^|[\s_-])(?:kicker|over-?line|overtitle|eyebrow|top-?line|roofline|roof|dachzeile|spitzmarke"
    r"|pre-?title|pretitle|antetitulo|"
    r"surtitle|super-?title|label|badge|tag|category|rubrik|section|flag|meta|date|time|byline|author"
    r"|sub-?title|sub-?head(?:line|ing)?)"
    r"(?:$|[\s_-])",
    re.IGNORECASE,
)
_SECTION_WORDS = frozenset((
    "news", "blog", "blogs", "home", "homepage", "nachrichten", "aktuell", "actualités", "noticias", "notizie",
    "nieuws",
    "opinion", "article", "articles", "magazine", "resources", "insights", "новости",
))  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Title:
    """``box`` is the heading that stands where readers see the title, also where it words it differently."""

    text: str
    box: Box | None = None


@dataclass(frozen=True, slots=True)
class Site:
    """What a site is called: names, folded, and the letters of its host."""

    names: frozenset[str]
    host: str

    def is_named(self, text: str) -> bool:
        """Whether this is a name that the site gives itself, or its host."""
        key = folded(text)
        return key in self.names or (bool(key) and key in {self.host, f"{self.host}com"})

    def is_called(self, text: str) -> bool:
        """Whether a piece of a title is the site's name, or says no more than the host does."""
        key = folded(text)
        if not key or key in self.names:
            return True
        words = [word for word in _WORD.findall(text.casefold()) if len(word) > 2]  # noqa: PLR2004 - "of", "le"
        return (
            any(len(word) >= SHORTEST_HOST_WORD for word in words) and all(word in self.host for word in words)
        ) or key.removesuffix("com") == self.host


def site_of(url: str | None, names: Iterable[str | None]) -> Site:
    """The site by its declared names and the host of its pages."""
    host = (urlsplit(url).hostname or "").lower() if url else ""
    labels = [label for label in host.split(".")[:-1] if label not in {"www", "m", "amp"}]
    keys = {key for name in names if (key := folded(name))}
    return Site(frozenset(keys | {key.removeprefix("the") for key in keys}), "".join(labels).replace("-", ""))


def folded(title: str | None) -> str:
    """A title for comparison: letters and digits only, lower case."""
    return _NO_LETTERS.sub("", title.casefold()) if title else ""


def read_title(
    leaves: Leaves,
    meta: Meta,
    linked: JsonLd,
    *,
    page_title: str | None,
    site: Site,
    url: str | None,
    entry_title: str | None,
) -> Title | None:
    """The heading that the page's own declarations support; without one, what most declarations agree on.

    Args:
        page_title: The whole <title>.
        site: Whose name is cut off at either end.
        url: The page's, whose path names sections.
        entry_title: What the feed calls it: one declaration among the others.
    """
    sections = _SECTION_WORDS | frozenset(_path_words(url))
    voices = (linked.string("headline"), meta.first("og:title"), meta.first("twitter:title"), page_title)
    written = [plain(voice) if voice else "" for voice in (*voices, entry_title)]
    bare = [without_site(voice, site, sections) for voice in written]
    declared = [title for title in bare if folded(title)]
    headings = headings_of(leaves, site)
    found = _heading_of(headings, [*declared, *filter(None, written)])
    box = found[1] if found else headings[0][1] if headings else None
    headline, shared = bare[:2]
    if linked.is_news and headline and folded(headline) == folded(shared):
        return Title(text=_finished(headline), box=box)
    if found:
        return Title(text=_finished(without_site(found[0], site, sections)), box=box)
    if not declared:
        return None
    text = _finished(_most_agreed(declared))
    return Title(text=text, box=box or _line_that_says(text, leaves))


def plain(markup: str) -> str:
    """A declared title as a line of text: markup and entities gone, also those that were escaped twice."""
    return clean_line(strip_tags(unescape(markup)) if "&" in markup else strip_tags(markup))


def without_site(title: str, site: Site, sections: frozenset[str] = frozenset()) -> str:
    """A title less the site's name at its end or start, and less a section's name where the site's stood behind it."""
    cleaned = clean_line(title)
    marks = list(islice(_SEPARATOR.finditer(cleaned), 20))
    end = len(cleaned)
    for mark in reversed(marks):
        piece = cleaned[mark.end() : end]
        if not (site.is_called(piece) or folded(piece) in sections):
            break
        end = mark.start()
    start = 0
    for mark in marks:
        if mark.end() >= end or not site.is_named(cleaned[start : mark.start()]):
            break
        start = mark.end()
    rest = cleaned[start:end].strip()
    colon = _SITE_BEFORE_COLON.search(rest)
    if colon and site.is_called(rest[: colon.start()]):
        rest = rest[colon.end() :]
    return rest if folded(rest) else cleaned


def _path_words(url: str | None) -> Iterator[str]:
    for segment in (urlsplit(url).path if url else "").split("/")[:-1]:
        if key := folded(segment):
            yield key


def headings_of(leaves: Leaves, site: Site) -> list[tuple[str, Box]]:
    """The page's first headings that could be a title: not the site's name, not what the page hides."""
    found: list[tuple[str, Box]] = []
    for box in leaves.boxes:
        if box.tag == "h1" and box.end > box.start and not box.flags & (NAV | FOOTER | HIDDEN):
            text = " ".join(leaf.text for leaf in leaves.leaves[box.start : box.end])
            if text and len(text) <= MAX_HEADING and not site.is_called(text):
                found.append((clean_line(text), box))
                if len(found) == MAX_HEADINGS:
                    break
    return found


def _line_that_says(title: str, leaves: Leaves) -> Box | None:
    """The element whose text is the title, on pages that use another than <h1>."""
    key = folded(title)
    lines = (leaf for leaf in leaves.leaves if 0 < len(leaf.text) <= 2 * len(title) and leaf.text[:1] == title[:1])
    return next((leaf.box for leaf in lines if folded(leaf.text) == key), None)


def _heading_of(headings: Sequence[tuple[str, Box]], declared: Sequence[str]) -> tuple[str, Box] | None:
    """The heading that shares most with some declaration; None when the page declares something else altogether."""
    if not headings:
        return None
    keys = {folded(title): title for title in declared}
    for text, box in headings:
        if folded(text) in keys:
            return text, box
    for text, box in headings:
        if part := next((part for part in _parts(text, box) if folded(part) in keys), None):
            return part, box
    support = [max((_likeness(text, title) for title in declared), default=0.0) for text, _ in headings]
    best = max(support)
    if best < ENOUGH_SUPPORT and len(keys) < len(declared) - 1:
        return None
    text, box = headings[support.index(best)] if best >= ENOUGH_SUPPORT else headings[0]
    return _without_kicker(text, box), box


def _parts(text: str, box: Box) -> Iterator[str]:
    """What elements inside of a heading set apart: a kicker above the title, a date behind it."""
    for element in islice(box.element.iterdescendants(), MAX_INSIDE):
        if isinstance(element.tag, str):
            part = clean_line("".join(str(piece) for piece in element.itertext()))
            yield part
            if text.startswith(part):
                yield text[len(part) :]
            elif text.endswith(part):
                yield text[: -len(part)]


def _without_kicker(text: str, box: Box) -> str:
    for element in islice(box.element.iterdescendants(), MAX_INSIDE):
        names = element.get("class")
        if names and _KICKER_NAMES.search(names):
            part = clean_line("".join(str(piece) for piece in element.itertext()))
            rest = text.removeprefix(part) if text.startswith(part) else text.removesuffix(part)
            if folded(part) and folded(rest) and len(rest) > len(part):
                text = rest.strip(" :|/-–—·")
    return text


def _likeness(a: str, b: str) -> float:
    """Dice's coefficient of the two titles' words; of their characters where words are not separated."""
    one, other = _tokens(a), _tokens(b)
    total = len(one) + len(other)
    return 2 * len(one & other) / total if total else 0.0


def _tokens(text: str) -> frozenset[str]:
    return frozenset(_WORD.findall(text.casefold())) if text.isascii() or " " in text else frozenset(text)


def _most_agreed(titles: Sequence[str]) -> str:
    keys = [folded(title) for title in titles]
    votes = [sum(_agree(key, other) for other in keys) for key in keys]
    return titles[votes.index(max(votes))]


def _agree(a: str, b: str) -> bool:
    return a == b or (min(len(a), len(b)) > 15 and (a.startswith(b) or b.startswith(a)))  # noqa: PLR2004 - a cut or suffixed title still agrees


def _finished(text: str) -> str:
    return clean_line(text).replace("\xad", "")
