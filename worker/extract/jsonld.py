"""What a page says about itself in JSON-LD: the article's node, found in whatever shape it was written."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import lxml.html

MAX_SCRIPT = 1_000_000  # characters
MAX_NODES = 5_000  # looked at on one page
MAX_REFERENCES = 4  # followed from one to the next

_ARTICLE_TYPE = re.compile(r"article$|^blogposting$|^liveblogposting$|^report$", re.IGNORECASE)
# What may stand for the page where no node calls itself an article, best last; not what is listed on it.
_PAGE_TYPES = (
    "creativework", "videoobject", "webpage", "medicalwebpage", "itempage", "qapage", "faqpage", "howto", "recipe",
    "review", "criticreview", "posting", "discussionforumposting", "socialmediaposting",
)  # fmt: skip
_PERSON_TYPES = frozenset(("person", "patient"))
_WRAPPING = re.compile(
    r"^\s*(?:<!--|//\s*<!\[CDATA\[|/\*\s*<!\[CDATA\[\s*\*/|<!\[CDATA\[)"
    r"|(?:-->|//\s*\]\]>|/\*\s*\]\]>\s*\*/|\]\]>)\s*+;?\s*+$"
    r"|;\s*+$"
)
_TRAILING_COMMA = re.compile(r",(\s*[}\]])")

Node = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Named:
    """Somebody or something by name; ``is_person`` is None where the page does not say what it is."""

    name: str
    is_person: bool | None = None


@dataclass(frozen=True, slots=True)
class JsonLd:
    """``article`` is the node of the article, empty when there is none."""

    article: Node = field(default_factory=dict)
    types: frozenset[str] = frozenset()  # of all top nodes, lower case
    by_id: dict[str, Node] = field(default_factory=dict)
    page: Node = field(default_factory=dict)  # of the page, where it is another than the article's; empty: none
    site_names: tuple[str, ...] = ()  # what WebSite and publisher nodes are called

    @property
    def is_news(self) -> bool:
        """Whether the article's node calls itself news."""
        return any("news" in name for name in types_of(self.article))

    def names(self, key: str) -> tuple[str, ...]:
        """What a property of the article names: strings, or the ``name`` of nodes; references are followed."""
        return tuple(one.name for one in self.named(key))

    def named(self, key: str, *, of_page: bool = False) -> tuple[Named, ...]:
        """The same, with what the page says each of them is."""
        node = self.page if of_page else self.article
        return tuple(named for value in _each(node.get(key)) for named in self._named(value))

    def string(self, *keys: str, of_page: bool = False) -> str | None:
        """The first property of these that is a non-empty string (or a list that begins with one)."""
        node = self.page if of_page else self.article
        for key in keys:
            first = next(iter(_each(node.get(key))), None)
            if isinstance(first, str) and first.strip():
                return first.strip()
        return None

    def images(self) -> Iterator[Node]:
        """Each with ``url`` and what else the page said; a bare string becomes ``{"url": …}``."""
        for key in ("image", "thumbnailUrl", "primaryImageOfPage"):
            for value in _each(self.article.get(key)):
                node = self._resolved(value) if isinstance(value, dict) else {"url": value}
                url = next(iter(_each(node.get("url") or node.get("contentUrl") or node.get("@id"))), None)
                if isinstance(url, str):
                    yield {**node, "url": url}

    def _resolved(self, node: Node) -> Node:
        reference = node.get("@id")
        if isinstance(reference, str) and not node.get("name") and not node.get("url"):
            return self.by_id.get(reference, node)
        return node

    def _named(self, value: Any, depth: int = 0) -> Iterator[Named]:
        if isinstance(value, str):
            yield Named(value)
        elif isinstance(value, dict) and depth < MAX_REFERENCES:
            node = self._resolved(value)
            types = types_of(node)
            is_person = not _PERSON_TYPES.isdisjoint(types) if types else None
            names = [name for name in _each(node.get("name")) if isinstance(name, str) and name.strip()]
            for name in names or _given_and_family(node):
                yield Named(name, is_person)
            for nested in () if names else _each(node.get("name")):  # "name" that is a node of its own
                if isinstance(nested, dict):
                    yield from self._named(nested, depth + 1)


def read_jsonld(scripts: Iterable[lxml.html.HtmlElement], *, url: str | None) -> JsonLd:
    """Read every script of its type; damaged ones are mended where that is plain, else passed over.

    Of several article nodes the one that names this page's URL is taken, else the one with the most to say.
    """
    nodes: list[Node] = []
    for script in scripts:
        if "ld+json" in (script.get("type") or "").lower():
            nodes.extend(_nodes(_loaded(script.text or "")))
        if len(nodes) > MAX_NODES:
            break
    by_id: dict[str, Node] = {}
    for node in nodes:
        key = node.get("@id")
        if isinstance(key, str) and len(node) > max(1, len(by_id.get(key, ()))):  # the fullest; a bare @id refers only
            by_id[key] = node
    articles = [node for node in nodes if any(_ARTICLE_TYPE.search(name) for name in types_of(node))]
    article = max(articles, key=lambda node: (_is_about(node, url), len(node)), default={})
    pages = [node for node in nodes if node is not article and _page_rank(node) >= 0]
    page = max(pages, key=lambda node: (_is_about(node, url), _page_rank(node)), default={})
    types = frozenset(name for node in nodes for name in types_of(node))
    return JsonLd(article, types, by_id, page, tuple(_site_names(nodes, article)))


def types_of(node: Node) -> tuple[str, ...]:
    """A node's types, lower case, without the schema.org prefix."""
    return tuple(name.rsplit("/", 1)[-1].lower() for name in _each(node.get("@type")) if isinstance(name, str))


def _loaded(source: str) -> Any:
    if len(source) > MAX_SCRIPT:
        return None
    try:
        return json.loads(source, strict=False)
    except (ValueError, RecursionError):
        mended = _WRAPPING.sub("", _WRAPPING.sub("", source))
    for attempt in (mended, _TRAILING_COMMA.sub(r"\1", mended)):
        try:
            return json.loads(attempt, strict=False)
        except (ValueError, RecursionError):
            continue
    return None


def _nodes(value: Any) -> Iterator[Node]:
    """All nodes that could be a thing of their own: top level, @graph, mainEntity; not every nested author."""
    stack = [value]
    seen = 0
    while stack and seen < MAX_NODES:
        seen += 1
        current = stack.pop()
        if isinstance(current, list):
            stack.extend(reversed(current))
        elif isinstance(current, dict):
            yield current
            stack.extend(
                current[key] for key in ("@graph", "mainEntity", "mainEntityOfPage", "hasPart") if key in current
            )


def _site_names(nodes: list[Node], article: Node) -> Iterator[str]:
    sites = [
        node for node in nodes if not {"website", "newsmediaorganization", "organization"}.isdisjoint(types_of(node))
    ]
    for node in [*_each(article.get("publisher")), *sites]:
        for name in _each(node.get("name")) + _each(node.get("alternateName")) if isinstance(node, dict) else ():
            if isinstance(name, str):
                yield name


def _given_and_family(node: Node) -> tuple[str, ...]:
    parts = [part for key in ("givenName", "familyName") if isinstance(part := node.get(key), str)]
    return (" ".join(parts),) if len(parts) > 1 else ()


def _page_rank(node: Node) -> int:
    return max((_PAGE_TYPES.index(name) for name in types_of(node) if name in _PAGE_TYPES), default=-1)


def _each(value: Any) -> list[Any]:
    if value is None:
        return []
    return value if isinstance(value, list) else [value]


def _is_about(node: Node, url: str | None) -> bool:
    if not url:
        return False
    main = node.get("mainEntityOfPage")
    named = [node.get("url"), node.get("@id"), main.get("@id") if isinstance(main, dict) else main]
    page = _comparable(url)
    return any(isinstance(one, str) and _comparable(one) == page for one in named)


def _comparable(url: str) -> str:
    return url.partition("://")[2].partition("#")[0].partition("?")[0].rstrip("/").lower()
