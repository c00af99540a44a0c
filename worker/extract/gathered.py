"""The elements that speak about a page rather than in it, gathered in one pass: a path for each would cost as much."""

from __future__ import annotations

from dataclasses import dataclass

import lxml.html

MAX_OF_A_KIND = 2_000  # kept of a page: honest ones have up to 300


@dataclass(frozen=True, slots=True, kw_only=True)
class Gathered:
    """In document order."""

    metas: tuple[lxml.html.HtmlElement, ...]
    scripts: tuple[lxml.html.HtmlElement, ...]
    links: tuple[lxml.html.HtmlElement, ...]
    times: tuple[lxml.html.HtmlElement, ...]  # <time>, and <abbr>, which microformats use for it
    title: lxml.html.HtmlElement | None


def gather(root: lxml.html.HtmlElement) -> Gathered:
    """Of each kind the first MAX_OF_A_KIND."""
    found: dict[str, list[lxml.html.HtmlElement]] = {
        tag: [] for tag in ("meta", "script", "link", "time", "abbr", "title")
    }
    for element in root.iter(*found):
        if isinstance(element, lxml.html.HtmlElement) and len(kind := found[str(element.tag)]) < MAX_OF_A_KIND:
            kind.append(element)
    return Gathered(
        metas=tuple(found["meta"]),
        scripts=tuple(found["script"]),
        links=tuple(found["link"]),
        times=(*found["time"], *found["abbr"]),
        title=next(iter(found["title"]), None),
    )
