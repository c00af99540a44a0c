"""A page -> the blocks of its article. The only file that imports trafilatura."""

from __future__ import annotations

import logging
from copy import deepcopy
from dataclasses import dataclass

import lxml.etree
import lxml.html
import trafilatura
from trafilatura.settings import Extractor

from worker.extract.document import Document, element_count, parse_html
from worker.extract.metadata import Metadata, folded
from worker.extract.render import Block, read_blocks, to_text
from worker.extract.sites import SiteProfile, profile_of
from worker.text import word_count

MIN_BODY_WORDS = 50  # of a JSON-LD articleBody: shorter ones are teasers
LESS_THAN = 0.6  # of its words: then the elements hold less than the article

MAX_WEIGHED_ELEMENTS = 12_000  # trafilatura's time grows faster than the page: 55,000 paragraphs cost it 6 s,
MAX_WEIGHED_DEPTH = 200  # and 600 nested tables 4 s
_IS_DEEPER = lxml.etree.XPath(f"boolean({'/*' * (MAX_WEIGHED_DEPTH + 1)})")
_MAIN_AREAS = (".//article", ".//main", ".//*[@role='main']")
_WHOLE = (".//body", ".")
MIN_AREA_WORDS = 150  # of a main area in which trafilatura finds nothing: less may be a teaser, a form, a list
_TAGS = {
    "list": "ul", "item": "li", "ref": "a", "lb": "br", "graphic": "img", "quote": "blockquote", "row": "tr",
    "cell": "td", "del": "span",
}  # fmt: skip
_HIGHLIGHTS = {"#b": "strong", "#i": "em", "#t": "code"}
_OPTIONS = Extractor(
    output_format="python", fast=True, comments=False, images=True, links=True, formatting=True
)  # made once: it reads a configuration
_NO_TEXT = "//script | //style"  # what JSON-LD says, we read ourselves
_OPENING_BLOCKS = 3  # where a repeated title or dek would stand

# It warns about every page it finds nothing on, with the URL as the page wrote it; we say so ourselves.
logging.getLogger("trafilatura").setLevel(logging.CRITICAL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Body:
    blocks: tuple[Block, ...]
    text: str
    words: int
    method: str  # page:<profile>, page:trafilatura, page:main-area, page:json-ld


def read_body(document: Document, metadata: Metadata) -> Body:
    """The site's profile where it fits, else the general extraction; JSON-LD where the elements hold less."""
    profile = profile_of(document.url)
    body = _by_profile(document, profile) if profile else None
    if body is None:
        body = _by_rules(document, profile)
    said = _said(metadata.article_body)
    if said and said.words >= MIN_BODY_WORDS and body.words < LESS_THAN * said.words:
        body = said
    return _without_repeats(body, metadata.title)


def _by_rules(document: Document, profile: SiteProfile | None) -> Body:
    """What trafilatura chooses; the main area as it is where the page is too much for it, or where it finds nothing."""
    if element_count(document.root) > MAX_WEIGHED_ELEMENTS or _IS_DEEPER(document.root):
        return _unweighed(document, *_MAIN_AREAS, *_WHOLE)
    body = _general(document, profile)
    if body.words:
        return body
    area = _unweighed(document, *_MAIN_AREAS)
    return area if area.words >= MIN_AREA_WORDS else body


def _made(blocks: list[Block], method: str) -> Body:
    text = to_text(blocks)
    return Body(blocks=tuple(blocks), text=text, words=word_count(text), method=method)


def _by_profile(document: Document, profile: SiteProfile) -> Body | None:
    """The profile's body elements, in order; None when the page has none or they hold no text."""
    for element_id in profile.body_ids:
        area = next((one for one in document.root.iter() if one.get("id") == element_id), None)
        if area is None:
            continue
        area = deepcopy(area)
        area.tail = None
        _drop(area, profile)
        parts = [one for one in area.iterdescendants() if _has_class(one, profile.body_classes)]
        within = set(parts)
        outer = [one for one in parts if within.isdisjoint(one.iterancestors())]
        body = _made([block for one in outer for block in read_blocks(one, document.base_url)], f"page:{profile.name}")
        if body.words:
            return body
    return None


def _has_class(element: lxml.html.HtmlElement, names: tuple[str, ...]) -> bool:
    return isinstance(element.tag, str) and not set(names).isdisjoint((element.get("class") or "").split())


def _drop(area: lxml.html.HtmlElement, profile: SiteProfile) -> None:
    unwanted = [
        one
        for one in area.iterdescendants()
        if one.get("id") in profile.drop_ids or not profile.drop_classes.isdisjoint((one.get("class") or "").split())
    ]
    for one in unwanted:
        one.drop_tree()


def _general(document: Document, profile: SiteProfile | None) -> Body:
    root = document.root  # of which trafilatura makes a copy
    if profile:
        root = deepcopy(root)
        _drop(root, profile)
    found = trafilatura.bare_extraction(root, options=_OPTIONS, prune_xpath=_NO_TEXT)
    if not isinstance(found, trafilatura.settings.Document):
        return _made([], "page:trafilatura")
    return _made(read_blocks(_as_html(found.body), document.base_url), "page:trafilatura")


def _unweighed(document: Document, *paths: str) -> Body:
    """All text of the first of these areas that there is, without weighing one part against another."""
    areas = (document.root.find(path) for path in paths)
    area = next((one for one in areas if one is not None), None)
    return _made(read_blocks(area, document.base_url) if area is not None else [], "page:main-area")


def _as_html(body: lxml.html.HtmlElement) -> lxml.html.HtmlElement:
    """Its TEI-like tree as HTML elements, in place: the tree is ours alone."""
    for element in body.iter():
        rend = element.get("rend") or ""
        if element.tag == "head":
            element.tag = rend if rend in {"h1", "h2", "h3", "h4", "h5", "h6"} else "h2"
        elif element.tag == "hi":
            element.tag = _HIGHLIGHTS.get(rend, "span")
        elif element.tag == "code":
            element.tag = "pre" if "\n" in "".join(element.itertext()) else "code"
        elif element.tag in _TAGS:
            element.tag = "ol" if rend == "ol" else _TAGS[element.tag]
        if target := element.get("target"):
            element.set("href", target)
    return body


def _said(article_body: str | None) -> Body | None:
    """A JSON-LD articleBody: plain text with line breaks, or HTML in spite of its definition."""
    if not article_body:
        return None
    source = article_body if "</p>" in article_body.lower() else article_body.replace("\n", "<br><br>")
    root = parse_html(f"<html><body>{source}</body></html>")
    return _made(read_blocks(root, None), "page:json-ld") if isinstance(root, lxml.html.HtmlElement) else None


def _without_repeats(body: Body, title: str | None) -> Body:
    """The title is not part of the text, and a dek is so once."""
    seen = {folded(title)} if title else set()
    opening: list[Block] = []
    for block in body.blocks[:_OPENING_BLOCKS]:
        key = folded(block.text)
        if block.kind == "figure" or not key or key not in seen:
            opening.append(block)
            seen.add(key)
    if len(opening) == min(len(body.blocks), _OPENING_BLOCKS):
        return body
    return _made([*opening, *body.blocks[_OPENING_BLOCKS:]], body.method)
