"""What is known about single sites' templates: where the article stands, and what stands in it without being of it.

A profile only spares the general rules their guesses; a page that does not look like its profile goes the general way.
One file of ``config/sites`` holds a family of sites that share a template. All are read when this module is imported:
a wrong one stops the process at its start.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from datetime import date, datetime
from importlib.resources import files
from typing import Any
from urllib.parse import urlsplit

import lxml.etree
import lxml.html

from worker.errors import UsageError
from worker.extract.document import elements_at, short_text
from worker.text import clean_line

MAX_AREAS = 2_000  # paragraphs of an article, where a layout names them one by one: more is no article
MAX_SAID = 20  # elements read for one fact: authors
MAX_LINE = 1_000  # characters of a title, a caption
PROSE_CHARS = 40  # in one piece, of a <p> that is running text
MOST_ELSEWHERE = 2  # times as many such paragraphs outside the chosen elements: then the template has changed

_KEYS = ("domains", "layout")
_SELECTORS = ("body", "drop", "title", "author", "published", "picture", "caption")
_DATES = ("valid_from", "valid_until")
_DOMAIN = re.compile(r"(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z][a-z0-9-]+")

_NAME = r"[A-Za-z_][\w-]*"
_TAG = re.compile(rf"\*|{_NAME}")
_BETWEEN = re.compile(r"\s*>\s*|\s+")
_COMPOUND = re.compile(rf"(?:\*|{_NAME})?(?:[.#][\w-]+|\[[^\[\]]+\])*")
_PART = re.compile(
    rf"\#(?P<id>[\w-]+)|\.(?P<name>[\w-]+)"
    rf"|\[\s*(?P<attribute>{_NAME})\s*(?:(?P<how>[~^$*]?=)\s*(?:\"(?P<a>[^\"']*)\"|'(?P<b>[^\"']*)'|(?P<c>[\w-]+))\s*)?\]"
)
_HAS_WORD = "contains({attribute}, '{value}') and contains(concat(' ', normalize-space({attribute}), ' '), ' {value} ')"
_COMPARED = {
    None: "{attribute}",
    "=": "{attribute}='{value}'",
    "~=": _HAS_WORD,
    "^=": "starts-with({attribute}, '{value}')",
    "*=": "contains({attribute}, '{value}')",
    "$=": "substring({attribute}, string-length({attribute}) - {but_last})='{value}'",
}
_PROSE = lxml.etree.XPath(f"//p[text()[string-length() > {PROSE_CHARS}]]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """One template of a site, as compiled paths; ``None`` where the file does not name any."""

    body: lxml.etree.XPath
    drop: lxml.etree.XPath | None = None  # seen from an element of the body: what is around and below it
    title: lxml.etree.XPath | None = None
    author: lxml.etree.XPath | None = None
    published: lxml.etree.XPath | None = None
    picture: lxml.etree.XPath | None = None
    caption: lxml.etree.XPath | None = None
    valid_from: date | None = None  # of the article, not of its fetching
    valid_until: date | None = None  # this day included

    def is_valid_on(self, day: date | None) -> bool:
        """Whether articles of this day may have this layout; those without a date may have any."""
        if day is None:
            return True
        return (self.valid_from or day) <= day <= (self.valid_until or day)


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteProfile:
    name: str  # of its file, without ``.toml``
    domains: tuple[str, ...]  # and everything below them
    layouts: tuple[Layout, ...]  # in the order they are tried


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """What a profile points at in one page. The elements are the page's own; whoever has to change them copies them."""

    profile: str  # its name
    areas: tuple[lxml.html.HtmlElement, ...]  # in document order, none within another
    dropped: frozenset[lxml.html.HtmlElement]  # what within them is not of the article
    title: str | None = None
    authors: tuple[str, ...] = ()
    published: str | None = None  # as it is written there
    picture: lxml.html.HtmlElement | None = None
    caption: str | None = None


def profile_of(url: str | None, published_on: date | None = None) -> SiteProfile | None:
    """The profile of the site an article's URL belongs to, with the layouts that were in use on the article's day.

    Args:
        url: Of the article; any string.
        published_on: The article's day; None when unknown: every layout may be.
    """
    try:
        host = urlsplit(url or "").hostname or ""
    except ValueError:
        return None
    labels = host.split(".")
    names = (".".join(labels[start:]) for start in range(len(labels) - 1))
    profile = next((PROFILES[name] for name in names if name in PROFILES), None)
    if profile is None:
        return None
    layouts = tuple(layout for layout in profile.layouts if layout.is_valid_on(published_on))
    return replace(profile, layouts=layouts) if layouts else None


def choose(profile: SiteProfile, root: lxml.html.HtmlElement) -> Chosen | None:
    """What the first layout that the page looks like points at; None when it looks like none.

    It does not when nothing is where the article should be, or when far more running text stands elsewhere.
    """
    return next((chosen for layout in profile.layouts if (chosen := _by_layout(profile.name, layout, root))), None)


def copied_areas(chosen: Chosen) -> list[lxml.html.HtmlElement]:
    """Copies of the areas, less what is dropped."""
    return [_copied(area, chosen.dropped) for area in chosen.areas]


def _copied(area: lxml.html.HtmlElement, dropped: frozenset[lxml.html.HtmlElement]) -> lxml.html.HtmlElement:
    twin = deepcopy(area)
    twin.tail = None
    pairs = zip(area.iter(), list(twin.iter()), strict=True)
    for one in [copy for original, copy in pairs if original in dropped]:
        one.drop_tree()
    return twin


def _by_layout(name: str, layout: Layout, root: lxml.html.HtmlElement) -> Chosen | None:
    found, inside = _outermost(elements_at(layout.body, root))
    if not found or len(found) > MAX_AREAS:
        return None
    unwanted = [one for area in found for one in elements_at(layout.drop, area)] if layout.drop else []
    dropped, gone = _outermost(unwanted)
    areas = tuple(one for one in found if one not in gone)
    if not areas or not _looks_right(root, inside - gone):
        return None
    pictures = elements_at(layout.picture, root) if layout.picture else []
    return Chosen(
        profile=name,
        areas=areas,
        dropped=frozenset(dropped),
        title=next(_said(layout.title, root), None),
        authors=tuple(_said(layout.author, root)),
        published=next(_said(layout.published, root), None),
        picture=pictures[0] if pictures else None,
        caption=next(_said(layout.caption, root), None),
    )


def _outermost(
    elements: Iterable[lxml.html.HtmlElement],
) -> tuple[list[lxml.html.HtmlElement], set[lxml.etree._Element]]:
    """Those that stand in none of the others, which come after them; and all that stands in them, themselves too."""
    outer: list[lxml.html.HtmlElement] = []
    inside: set[lxml.etree._Element] = set()
    for element in elements:
        if element not in inside:
            outer.append(element)
            inside.update(element.iter())
    return outer, inside


def _looks_right(root: lxml.html.HtmlElement, inside: set[lxml.etree._Element]) -> bool:
    """Whether the text stands where the layout has it: running text elsewhere is teasers, captions, a newsletter."""
    paragraphs = elements_at(_PROSE, root)
    here = sum(paragraph in inside for paragraph in paragraphs)
    if paragraphs:
        return len(paragraphs) - here <= MOST_ELSEWHERE * here
    return any((one.text or "").strip() or (one.tail or "").strip() for one in inside)


def _said(path: lxml.etree.XPath | None, root: lxml.html.HtmlElement) -> Iterator[str]:
    """What the first elements say: <meta> by its content, <time> by its datetime, others by their text."""
    for element in elements_at(path, root)[:MAX_SAID] if path else ():
        text = element.get("content") or element.get("datetime") or short_text(element, MAX_LINE) or ""
        if line := clean_line(text, MAX_LINE):
            yield line


# ---------------------------------------------------------------- reading the files


def read_profiles(texts: Mapping[str, str]) -> dict[str, SiteProfile]:
    """Profiles by each of their domains.

    Args:
        texts: TOML by file name; see ``docs/sites.md`` for what a file holds.

    Raises: UsageError: naming the file, the key and what to write instead.
    """
    profiles: dict[str, SiteProfile] = {}
    for file, text in sorted(texts.items()):
        profile = _profile(file, text)
        for domain in profile.domains:
            if domain in profiles:
                raise UsageError(f"{file}: domains: {domain} is in {profiles[domain].name}.toml too: keep one of them.")
            profiles[domain] = profile
    return profiles


def _profile(file: str, text: str) -> SiteProfile:
    try:
        said = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{file}: this is not TOML: {error}.") from error
    _only_known(file, said, _KEYS)
    domains = _strings(file, "domains", said.get("domains"), 'host names, such as ["news.example"]')
    for domain in domains:
        if not _DOMAIN.fullmatch(domain):
            raise UsageError(f"{file}: domains: {domain!r} is no host name in lower case; leave paths out.")
    tables = said.get("layout")
    if not isinstance(tables, list) or not tables or not all(isinstance(table, dict) for table in tables):
        raise UsageError(f"{file}: layout: write a table [[layout]], with double brackets, for each template.")
    layouts = tuple(_layout(f"{file}: layout {number}", table) for number, table in enumerate(tables, 1))
    return SiteProfile(name=file.removesuffix(".toml"), domains=domains, layouts=layouts)


def _layout(where: str, said: Mapping[str, Any]) -> Layout:
    _only_known(where, said, (*_SELECTORS, *_DATES))
    if "body" not in said:
        raise UsageError(f'{where}: body is missing: the selectors of the text, such as body = ["article .text"].')
    for key in _DATES:
        if key in said and (not isinstance(said[key], date) or isinstance(said[key], datetime)):
            raise UsageError(f"{where}: {key}: write a day without quotes, such as {key} = 2023-05-31.")
    first, last = said.get("valid_from"), said.get("valid_until")
    if first and last and first > last:
        raise UsageError(f"{where}: valid_from is after valid_until.")
    asked = {key: _condition(f"{where}: {key}", said[key]) for key in _SELECTORS if key in said}
    paths = {key: lxml.etree.XPath(f"//*[{condition}]") for key, condition in asked.items() if key != "drop"}
    around = f"ancestor-or-self::*[{asked['drop']}] | descendant::*[{asked['drop']}]" if "drop" in asked else None
    drop = lxml.etree.XPath(around) if around else None
    return Layout(**paths, drop=drop, valid_from=first, valid_until=last)


def _only_known(where: str, said: Mapping[str, Any], known: Sequence[str]) -> None:
    unknown = sorted(set(said) - set(known))
    if unknown:
        raise UsageError(f"{where}: {', '.join(unknown)} is not known; keys are {', '.join(known)}.")


def _strings(where: str, key: str, said: object, what: str) -> tuple[str, ...]:
    if not isinstance(said, list) or not said or not all(isinstance(one, str) for one in said):
        raise UsageError(f"{where}: {key}: write an array of {what}.")
    return tuple(said)


def _condition(where: str, said: object) -> str:
    """What XPath has to ask of an element, so that it is one of these selectors' elements."""
    where, _, key = where.rpartition(": ")
    selectors = _strings(where, key, said, 'selectors, such as ["article .text", "#story"]')
    return " or ".join(_asked(f"{where}: {key}", one) for one in selectors)


def _asked(where: str, selector: str) -> str:
    """CSS, as much of it as tells templates apart: tag, ``*``, ``.class``, ``#id``, ``[attribute]`` with ``=``, ``~=``,
    ``^=``, ``$=``, ``*=``, descendants and ``>``.

    Asked from right to left, as browsers do: of the element itself first, then of what is around it.
    """
    rest = selector.strip()
    asked, axis, position = "", "self", 0
    while compound := _COMPOUND.match(rest, position):
        if not compound[0]:
            break
        around = f"[{asked}]" if asked else ""
        asked = f"%s::{_step(where, selector, compound[0])}{around}"
        if compound.end() == len(rest):
            return asked % axis
        position = compound.end()
        between = _BETWEEN.match(rest, position)
        if between is None:
            break
        asked %= "parent" if ">" in between[0] else "ancestor"
        position = between.end()
    trouble = f"cannot be read from {rest[position:]!r} on" if rest[position:] else "ends too early"
    raise UsageError(
        f"{where}: {selector!r} {trouble}: write tag, *, .class, #id, [attribute], [attribute=value] (also ~= ^= $="
        " *=), blanks and >; one selector a string, no commas."
    )


def _step(where: str, selector: str, compound: str) -> str:
    tag = _TAG.match(compound)
    tests = compound[tag.end() :] if tag else compound
    step, position = tag[0].lower() if tag else "*", 0
    while position < len(tests):
        part = _PART.match(tests, position)
        if part is None:
            raise UsageError(f"{where}: {selector!r}: {tests[position:]} is no test: write [attribute=value].")
        step += f"[{_test(part)}]"
        position = part.end()
    return step


def _test(part: re.Match[str]) -> str:
    if part["id"]:
        return f"@id='{part['id']}'"
    if part["name"]:
        return _HAS_WORD.format(attribute="@class", value=part["name"])
    attribute = part["attribute"].lower()
    value = next((part[name] for name in ("a", "b", "c") if part[name] is not None), "")
    return _COMPARED[part["how"]].format(attribute=f"@{attribute}", value=value, but_last=len(value) - 1)


PROFILES = read_profiles(
    {one.name: one.read_text("utf-8") for one in (files("config") / "sites").iterdir() if one.name.endswith(".toml")}
)
