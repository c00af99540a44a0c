"""Links in HTTP headers; and by them, or by the document, where a feed's pushes come from: its hub and its topic."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from worker.urls import usable_url

MAX_LINKS = 100

# Possessive quantifiers: a header that is no list of links costs its length, not the square of it.
_LINK = re.compile(
    r'<(?P<target>[^<>]*+)>(?P<parameters>(?:\s*+;\s*+[^\s=;,"<]*+(?:\s*+=\s*+(?:"(?:[^"\\]|\\.)*+"|[^\s;,"]*+))?+)*+)'
)
_PARAMETER = re.compile(r';\s*+(?P<name>[^\s=;,"<]++)\s*+=\s*+(?:"(?P<quoted>(?:[^"\\]|\\.)*+)"|(?P<bare>[^\s;,"]*+))')


class Advertised(NamedTuple):
    """The hub and the topic to subscribe to there; both None: nobody pushes this feed."""

    hub_url: str | None
    topic_url: str | None


def advertised(
    headers: Iterable[tuple[str, str]], *, url: str, hub_url: str | None, topic_url: str | None
) -> Advertised:
    """What a feed's answer says of its hub. Headers win over the document; of several hubs the first one is taken.

    A feed that names a hub and no ``rel=self`` is known there by the address it was found at.

    Args:
        headers: Of the answer, names in any case.
        url: Where the answer was found, after redirects.
        hub_url: ``rel=hub`` of the document, absolute.
        topic_url: ``rel=self`` of the document, absolute.

    Source: section 4 (discovery), RFC 8288.
    """
    found: dict[str, str] = {}
    for link in header_links(headers, url):
        for rel in link.rels:
            found.setdefault(rel, link.target)
    hub = found.get("hub") or hub_url
    return Advertised(hub, found.get("self") or topic_url or url) if hub else Advertised(None, None)


class Link(NamedTuple):
    """One link of a ``Link`` header."""

    rels: tuple[str, ...]  # lower-case
    target: str  # absolute
    parameters: Mapping[str, str]  # names in lower case


def header_links(headers: Iterable[tuple[str, str]], url: str) -> Iterator[Link]:
    """Every link of the ``Link`` headers whose subject is this document; at most MAX_LINKS are looked at."""
    seen = 0
    for name, value in headers:
        if name.lower() != "link":
            continue
        for link in _LINK.finditer(value):
            seen += 1
            if seen > MAX_LINKS:
                return
            parameters = _parameters(link["parameters"])
            target = usable_url(link["target"], url)
            anchor = parameters.get("anchor")
            if target is None or (anchor is not None and usable_url(anchor, url) != usable_url(url)):
                continue
            yield Link(tuple(parameters.get("rel", "").lower().split()), target, parameters)


def _parameters(text: str) -> dict[str, str]:
    """Of parameters with one name the first counts: RFC 8288, section 3.3."""
    found: dict[str, str] = {}
    for parameter in _PARAMETER.finditer(text):
        quoted = parameter["quoted"]
        value = parameter["bare"] if quoted is None else re.sub(r"\\(.)", r"\1", quoted)
        found.setdefault(parameter["name"].lower(), value)
    return found
