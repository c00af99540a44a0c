"""What a page says about itself in JSON-LD: the article's node, found in whatever shape it was written."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import lxml.html

MAX_SCRIPT = 1_000_000  # characters
MAX_NODES = 5_000  # looked at on one page

_ARTICLE_TYPE = re.compile(r"article$|^blogposting$|^liveblogposting$|^report$", re.IGNORECASE)
_WRAPPING = re.compile(
    r"^\s*(?:<!--|//\s*<!\[CDATA\[|/\*\s*<!\[CDATA\[\s*\*/|<!\[CDATA\[)"
    r"|(?:-->|//\s*\]\]>|/\*\s*\]\]>\s*\*/|\]\]>)\s*+;?\s*+$"
    r"|;\s*+$"
)
_TRAILING_COMMA = re.compile(r",(\s*[}\]])")

Node = dict[str, Any]


@dataclass(frozen=True, slots=True)
class JsonLd:
    """``article`` is the node of the article, empty when there is none."""

    article: Node = field(default_factory=dict)
    types: frozenset[str] = frozenset()  # of all top nodes, lower case
    by_id: dict[str, Node] = field(default_factory=dict)

    def names(self, key: str) -> tuple[str, ...]:
        """What a property names: strings, or the ``name`` of nodes; references are followed."""
        return tuple(name for value in _each(self.article.get(key)) for name in self._name(value))

    def string(self, *keys: str) -> str | None:
        """The first property of these that is a non-empty string (or a list that begins with one)."""
        for key in keys:
            first = next(iter(_each(self.article.get(key))), None)
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
        if len(node) == 1 and isinstance(reference, str):
            return self.by_id.get(reference, node)
        return node

    def _name(self, value: Any) -> tuple[str, ...]:
        if isinstance(value, str):
            return (value,)
        if isinstance(value, dict):
            return tuple(name for name in _each(self._resolved(value).get("name")) if isinstance(name, str))
        return ()


def read_jsonld(root: lxml.html.HtmlElement, *, url: str | None) -> JsonLd:
    """Read every script of the page; damaged ones are mended where that is plain, else passed over.

    Of several article nodes the one that names this page's URL is taken, else the one with the most to say.
    """
    nodes: list[Node] = []
    for script in root.iter("script"):
        if "ld+json" in (script.get("type") or "").lower():
            nodes.extend(_nodes(_loaded(script.text or "")))
        if len(nodes) > MAX_NODES:
            break
    by_id = {node["@id"]: node for node in nodes if isinstance(node.get("@id"), str) and len(node) > 1}
    articles = [node for node in nodes if any(_ARTICLE_TYPE.search(name) for name in types_of(node))]
    best = max(articles, key=lambda node: (_is_about(node, url), len(node)), default={})
    return JsonLd(best, frozenset(name for node in nodes for name in types_of(node)), by_id)


def types_of(node: Node) -> tuple[str, ...]:
    """A node's types, lower case, without the schema.org prefix."""
    return tuple(name.rsplit("/", 1)[-1].lower() for name in _each(node.get("@type")) if isinstance(name, str))


def _loaded(source: str) -> Any:
    if len(source) > MAX_SCRIPT:
        return None
    mended = _WRAPPING.sub("", _WRAPPING.sub("", source))
    for attempt in (source, mended, _TRAILING_COMMA.sub(r"\1", mended)):
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
