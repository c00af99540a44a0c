"""The pictures a page names for its article where readers do not see it: meta elements, links, JSON-LD."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

import lxml.etree
import lxml.html

from worker.extract.image import candidate, pixels
from worker.model import ImageCandidate

MAX_OF_A_KIND = 4  # a gallery's page declares all of its pictures

_OPEN_GRAPH = ("og:image", "og:image:secure_url", "og:image:url")
_TWITTER = ("twitter:image", "twitter:image:src")
_OTHER_METAS = ("image", "parsely-image-url", "sailthru.image.full")
_LINKED = lxml.etree.XPath("//link[@rel='image_src']/@href | //link[@itemprop='image']/@href")
_CREDITS = ("creditText", "copyrightNotice", "creator", "author", "copyrightHolder")


def declared_pictures(
    root: lxml.html.HtmlElement,
    metas: Mapping[str, Sequence[str]],
    nodes: Iterable[Mapping[str, Any]],
    *,
    base_url: str | None,
) -> tuple[ImageCandidate, ...]:
    """All that are named, most trusted first; one picture may be named several times.

    Args:
        metas: Contents of meta elements by name, lower case, in document order.
        nodes: JSON-LD's pictures of the article, each with ``url``.
    """
    found = (
        *_open_graph(metas, base_url),
        *_named(_values(metas, _TWITTER), "twitter:image", base_url),
        *_of_nodes(islice(nodes, MAX_OF_A_KIND), base_url),
        *_named([*_values(metas, _OTHER_METAS), *_hrefs(root)], "meta", base_url),
    )
    return tuple(one for one in found if one)


def _open_graph(metas: Mapping[str, Sequence[str]], base_url: str | None) -> Iterator[ImageCandidate | None]:
    """Several og:image may follow one another, each with its own sizes where all have some.

    Source: https://ogp.me/#array
    """
    urls = next((metas[name] for name in _OPEN_GRAPH if metas.get(name)), ())
    widths, heights = metas.get("og:image:width", ()), metas.get("og:image:height", ())
    for number, url in enumerate(urls[:MAX_OF_A_KIND]):
        yield candidate(
            url, base_url, "og:image", width=_side(widths, number, len(urls)), height=_side(heights, number, len(urls))
        )


def _side(sides: Sequence[str], number: int, pictures: int) -> int | None:
    if len(sides) == pictures:
        return pixels(sides[number])
    return pixels(sides[0]) if sides and number == 0 else None


def _of_nodes(nodes: Iterable[Mapping[str, Any]], base_url: str | None) -> Iterator[ImageCandidate | None]:
    for node in nodes:
        yield candidate(
            node["url"],
            base_url,
            "json-ld",
            caption=_text(node.get("caption")) or _text(node.get("description")),
            credit=next((text for key in _CREDITS if (text := _text(node.get(key)))), None),
            width=pixels(_text(node.get("width"))),
            height=pixels(_text(node.get("height"))),
        )


def _named(urls: Sequence[str], chosen_by: str, base_url: str | None) -> Iterator[ImageCandidate | None]:
    return (candidate(url, base_url, chosen_by) for url in urls[:MAX_OF_A_KIND])


def _values(metas: Mapping[str, Sequence[str]], names: Iterable[str]) -> list[str]:
    return [value for name in names for value in metas.get(name, ())]


def _hrefs(root: lxml.html.HtmlElement) -> list[str]:
    found = _LINKED(root)
    assert isinstance(found, list)
    return [str(one) for one in found[:MAX_OF_A_KIND]]


def _text(value: Any) -> str | None:
    """A property as text: a number, a string, or the name or value of a node (the first of several)."""
    if isinstance(value, list):
        value = value[0] if value else None
    if isinstance(value, dict):
        value = value.get("name") or value.get("value")
    return str(value) if isinstance(value, str | int) and not isinstance(value, bool) and value else None
