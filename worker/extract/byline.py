"""Who wrote it: what the page declares, and the byline that readers see, weighed against each other."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import lxml.etree
import lxml.html

from worker.extract.document import Document, elements_at, short_text
from worker.extract.jsonld import JsonLd, Named
from worker.extract.leaves import ARTICLE, CAPTION, FIGURE, FOOTER, NAV, Box, Leaf, Leaves
from worker.extract.meta import Meta
from worker.extract.moments import days_in
from worker.extract.names import (
    MAX_NAME,
    author_names,
    begins_as_byline,
    is_byline_label,
    looks_like_organisation,
    looks_like_person,
)
from worker.extract.title import Site, plain

LEAVES_BEFORE = 6  # the title that may hold the byline
LEAVES_AFTER = 30
LONGEST_LINE = 250  # characters: what is longer is no byline
MAX_INSIDE = 20  # elements looked at inside of one line
SAME_BYLINE = 3  # leaves that names of one byline may stand apart
LONGEST_LABEL = 40  # characters of a line that says what the next one is, or of a short byline
MOST_WORDS = 4  # of a name that has no person's form
LEAVES_CLOSE = 6  # behind the title
MAX_BYLINES = 50  # lines read as one, on one page
MAX_NAMES = 500  # characters of a block's class and id
MAX_DECLARED = 100  # authors of one source
MAX_MARKED = 10  # elements that are marked as an author

_META = (
    "author", "article:author", "parsely-author", "dc.creator", "dcterms.creator", "sailthru.author", "byl",
    "cxenseparse:author", "article:author_name", "citation_author",
)  # fmt: skip
_WRITTEN_BY = re.compile(
    r"(?:written|posted) by|author|geschrieben|verfasst|autor|écrit|escrito|scritto|door", re.IGNORECASE
)
# Found by their attributes: most elements have neither, and are not even looked at then.
_MARKED = (lxml.etree.XPath("//@rel[.='author']/.."), lxml.etree.XPath("//@itemprop[.='author']/.."))
_MARKED_TRACES = ('="author"', "=author", "='author'")  # in the source; without one no path need be walked
_NAME_INSIDE = lxml.etree.XPath(".//@itemprop[.='name']/..")
_BYLINE_HINTS = (
    "uthor",
    "yline",
    "utor",
    "uteur",
    "riter",
    "-by",
    "ontributor",
    "ournalist",
    "eporter",
    "vcard",
    "redakt",
)
_BYLINE_NAMES = re.compile(
    r"(?:^|[\s_-])(?:by-?lines?|authors?|author-?names?|writer|autore?n?|auteurs?|autorin|contributors?"
    r"|journalist|reporters?"
    r"|posted-?by|written-?by|vcard|p-author|redakteur)(?:$|[\s_-])|[a-z](?:Author|Byline)|(?:author|byline)[A-Z]",
)
_NO_BYLINE_NAMES = re.compile(
    r"bio|descr|avatar|image|photo|social|share|follow|comment|related|role|job-?title|position|recirc"
    r"|newsletter|footer|more-from|twitter",
    re.IGNORECASE,
)
_READING_TIME = re.compile(r"\d\s?min\w*\.?\s(?:read|lesezeit|de lecture|de lectura|lettura)|min read", re.IGNORECASE)
_OTHER_ROLE = re.compile(
    r"review(?:ed|er)|edit(?:ed|or)\s*(?:by|:)|fact[- ]check|photo|illustrat|translat|narrat|hosted|sponsored"
    r"|approved|foto|bild|geprüft"
    r"|übersetz|fotografía|traducc",
    re.IGNORECASE,
)
_ENDS_AS_LABEL = re.compile(r"(?:\b(?:by|von|par|por|di)|:|^\w+)\s*\Z", re.IGNORECASE)
_LIST_TAGS = frozenset(("li", "span", "p"))
_AUTHOR_LINK = re.compile(
    r"/(?:authors?|autore?n?|auteurs?|autorin|people|staff|writers?|contributors?|profiles?|by|team"
    r"|journalists?|reporters?|redakteure?|experts?|bio|bloggers?|columnists?|users?|userprofile|members?"
    r"|author-?\w*)/",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class _Found:
    rank: int  # 0 is best
    index: int  # of the leaf
    names: tuple[str, ...]


def read_authors(
    document: Document, leaves: Leaves, meta: Meta, linked: JsonLd, *, title: Box | None, site: Site
) -> tuple[str, ...]:
    """People, as they are named first; where nobody is, the organisation that the page names as its author.

    Most trusted: JSON-LD, then meta elements, then elements marked as the author, then the byline that readers see near
    the title. A declared name without the form of a person's may be a user's of the editing system: a person in the
    byline goes before it.

    Args:
        title: The element that holds the title; without one the byline is looked for on the whole page.
        site: Whose own name is nobody's.
    """
    others: tuple[str, ...] = ()  # the first source's that named none with the form of a person's
    for source in _sources(document, leaves, meta, linked, title):
        people = tuple(one.name for one in source if not _is_organisation(one, site))
        if any(looks_like_person(name) for name in people):
            return people
        others = others or people or tuple(one.name for one in source)
    return others


def _sources(
    document: Document, leaves: Leaves, meta: Meta, linked: JsonLd, title: Box | None
) -> Iterator[Sequence[Named]]:
    yield _split(linked.named("author") or linked.named("creator") or linked.named("author", of_page=True))
    yield _split(Named(value) for value in _declared(meta))
    yield _split(Named(value) for value in _marked(document))
    yield _split(Named(value) for value in _visible(leaves, title))


def _split(raw: Iterable[Named]) -> tuple[Named, ...]:
    found: dict[str, Named] = {}
    for one in islice(raw, MAX_DECLARED):
        is_whole = one.is_person is False  # "Lind & Ek" is one company
        for name in (plain(one.name),) if is_whole else author_names([one.name]):
            found.setdefault(name.casefold(), Named(name, one.is_person))
    found.pop("", None)
    return tuple(found.values())


def _is_organisation(one: Named, site: Site) -> bool:
    if one.is_person and looks_like_person(one.name):
        return site.is_named(one.name)
    return one.is_person is False or site.is_called(one.name) or looks_like_organisation(one.name)


def _declared(meta: Meta) -> list[str]:
    for name in _META:
        if found := [value for value in meta.all(name) if author_names([value])]:
            return [_turned(value) for value in found] if name == "citation_author" else found
    return [
        value
        for number in "12"
        if (value := meta.first(f"twitter:data{number}"))
        and _WRITTEN_BY.search(meta.first(f"twitter:label{number}") or "")
    ]


def _turned(name: str) -> str:
    """Libraries write "Lind, Ada" for Ada Lind."""
    last, comma, first = name.partition(",")
    return f"{first.strip()} {last}" if comma and "," not in first else name


def _marked(document: Document) -> list[str]:
    """The first element that is marked as the author, and those that share its place: comments have authors too."""
    if not any(trace in document.source for trace in _MARKED_TRACES):
        return []
    for path in _MARKED:
        elements = elements_at(path, document.root)[:MAX_MARKED]
        places = [_place_of(element) for element in elements]
        texts = [_name_of(element) for element, place in zip(elements, places, strict=True) if place == places[0]]
        if found := [text for text in texts if text and text.strip()]:
            return found
    return []


def _place_of(element: lxml.html.HtmlElement) -> object:
    parent = element.getparent()
    return parent if parent is None or parent.tag not in _LIST_TAGS else parent.getparent()


def _name_of(element: lxml.html.HtmlElement) -> str | None:
    named = next(iter(elements_at(_NAME_INSIDE, element)), element)
    return named.get("content") or short_text(named, MAX_NAME)


def _visible(leaves: Leaves, title: Box | None) -> list[str]:
    """The byline near the title, as it is written; without one there, the only one that the page has."""
    near = sorted(_bylines(leaves, title), key=lambda one: (one.rank, one.index)) if title else []
    if near:
        return list(_together(near))
    anywhere: set[tuple[str, ...]] = set()
    for one in _bylines(leaves, None):
        anywhere.add(one.names)
        if len(anywhere) > 1:
            return []
    return list(anywhere.pop()) if anywhere else []


def _together(found: Sequence[_Found]) -> Iterator[str]:
    """The best, and what follows close by in the same manner."""
    best = found[0]
    last = best.index
    for one in found:
        if one.rank == best.rank and 0 <= one.index - last <= SAME_BYLINE:
            yield from one.names
            last = one.index


def _bylines(leaves: Leaves, title: Box | None) -> Iterator[_Found]:
    """Lines that name somebody, around the title; without one, those of the whole page that call themselves bylines."""
    called = _called_bylines(leaves)
    start = max(0, title.start - LEAVES_BEFORE) if title else 0
    end = title.end + LEAVES_AFTER if title else len(leaves.leaves)
    before = ""
    read = 0
    for index, leaf in enumerate(leaves.leaves[start:end], start):
        text = leaf.text
        if not text:
            continue
        if read == MAX_BYLINES:
            break
        if len(text) <= LONGEST_LINE and leaf.box is not title and not _is_outside(leaf):
            is_named = index in called
            is_labelled = is_byline_label(before)
            if title or is_named or is_labelled or begins_as_byline(text):
                read += 1
                found = list(_in_line(leaf, index, is_named=is_named, is_labelled=is_labelled))
                if title and 0 <= index - title.end < LEAVES_CLOSE and _stands_as_name(leaves, index):
                    found.append(_Found(4, index, (text,)))
                if found and not _is_of_another(text, before):
                    yield from found
        before = text


def _called_bylines(leaves: Leaves) -> frozenset[int]:
    """Leaves inside of small blocks whose class or id says byline or author."""
    return frozenset(
        index
        for box in _hinted(leaves)
        if box.end - box.start <= 2 * SAME_BYLINE and _is_byline_name(box.names[:MAX_NAMES])
        for index in range(box.start, box.end)
    )


def _hinted(leaves: Leaves) -> Iterator[Box]:
    """Blocks whose names hold one of the hints; looked for in all names at once, for a tenth of the cost."""
    names = "\0".join([box.names[:MAX_NAMES] for box in leaves.boxes])
    for hint in _BYLINE_HINTS:
        place, counted, index = names.find(hint), 0, 0
        while place >= 0:
            index += names.count("\0", counted, place)
            yield leaves.boxes[index]
            counted = names.find("\0", place)
            place = names.find(hint, counted) if counted >= 0 else -1


def _is_of_another(line: str, before: str) -> bool:
    """Whether a line, or the label before it, names who reviewed, edited or photographed."""
    is_label = _ENDS_AS_LABEL.search(before, max(0, len(before) - LONGEST_LABEL)) is not None
    return _OTHER_ROLE.search(line, 0, LONGEST_LABEL) is not None or (
        is_label and _OTHER_ROLE.search(before, 0, LONGEST_LABEL) is not None
    )


def _is_outside(leaf: Leaf) -> bool:
    flags = leaf.box.flags
    return bool(flags & (NAV | FIGURE | CAPTION)) or (bool(flags & FOOTER) and not flags & ARTICLE)


def _stands_as_name(leaves: Leaves, index: int) -> bool:
    """Whether a line is a person's name and no more, with a portrait before it or a date or reading time beside."""
    text = leaves.leaves[index].text
    if len(text) > LONGEST_LABEL or not looks_like_person(text):
        return False
    if index and leaves.leaves[index - 1].image is not None:
        return True
    beside = [one.text for one in leaves.leaves[max(0, index - 2) : index + 3] if 0 < len(one.text) <= LONGEST_LABEL]
    return any(_READING_TIME.search(line) or any(days_in(line, day_first=True)) for line in beside)


def _in_line(leaf: Leaf, index: int, *, is_named: bool, is_labelled: bool) -> Iterator[_Found]:
    says_by = is_labelled or begins_as_byline(leaf.text)
    linked = [part.text for part in leaf.parts if part.manner.href and _AUTHOR_LINK.search(part.manner.href)]
    if linked and (names := _named(linked, is_sure=True)):
        yield _Found(0 if says_by or is_named else 2, index, names)
    if (inside := _named_inside(leaf.box)) and (names := _named(inside, is_sure=True)):
        yield _Found(0, index, names)
    if says_by and (names := _named([leaf.text], is_sure=len(leaf.text) <= LONGEST_LABEL)):
        yield _Found(1, index, names)
    if is_named and (names := _named([leaf.text], is_sure=False)):
        yield _Found(3, index, names)


def _named(raw: Iterable[str], *, is_sure: bool) -> tuple[str, ...]:
    """Names with the form of a person's; where the page is clear that here stands a name, also short ones of others."""
    names = author_names(raw)
    if people := tuple(name for name in names if looks_like_person(name)):
        return people
    return tuple(name for name in names if is_sure and len(name.split()) <= MOST_WORDS and name[0].isupper())


def _named_inside(box: Box) -> list[str]:
    """Inline elements that are called the author's name."""
    if box.end - box.start != 1 or not len(box.element):
        return []
    found: list[str] = []
    for element in islice(
        box.element.iterdescendants("a", "span", "b", "strong", "em", "i", "address", "cite"), MAX_INSIDE
    ):
        names = element.get("class") or element.get("data-testid") or ""
        if (element.get("rel") == "author" or (names and _is_byline_name(names))) and (
            text := short_text(element, MAX_NAME)
        ):
            found.append(text)
    return found


def _is_byline_name(names: str) -> bool:
    return _BYLINE_NAMES.search(names) is not None and not _NO_BYLINE_NAMES.search(names)
