"""Which picture stands for an article: candidates by name only, best first. No bytes are looked at here."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import islice

import lxml.etree
import lxml.html

from worker.extract.document import elements_at
from worker.model import Entry, ImageCandidate
from worker.text import clean_line
from worker.urls import picture_identity, picture_key, unwrap_proxy, usable_url

MAX_CANDIDATES = 6
MAX_CAPTION_ELEMENTS = 60  # looked through beside one picture
MAX_SRCSET = 10_000  # characters
MAX_BODY_IMAGES = 200  # looked at on one page
MIN_SIDE = 200  # pixels, where the page claims a size: below it is an icon or a portrait of the author
MAX_SRCSET_WIDTH = 2400  # pixels: more is for printing

_LAZY = ("data-src", "data-original", "data-lazy-src", "data-hi-res-src", "data-full-src", "data-image", "data-url")
_SRCSETS = ("srcset", "data-srcset", "data-lazy-srcset")
_SRCSET_COMMA = re.compile(r",\s+|(?<=[wx]),|,(?=https?://)")
_SRCSET_SIZE = re.compile(r"(\d{1,5}(?:\.\d{1,4})?)[wx]")
_PICTURE_JUNK = re.compile(
    r"(?:^|[/_.-])(?:logos?|spinner|loading|loader|placeholder|blank|spacer|pixel|sprite|icons?|favicon|avatar|gravatar"
    r"|emoji|smiley|1x1|transparent|default[-_](?:image|og|share|social)|og[-_]default|no[-_]?image|dummy)(?:[/_.@-]|\d|$)",
    re.IGNORECASE,
)
_FURNITURE = frozenset(("nav", "aside", "footer", "form"))
_ROOTS_OF_ARTICLES = tuple(
    lxml.etree.XPath(f"({path})[1]")
    for path in (
        "//@itemprop[.='articleBody']/..",
        "//article",
        "//main",
        "//@role[.='main']/..",
        "//@id[.='article-content']/..",
    )
)
_CAPTION_CLASS = re.compile(r"caption|legend", re.IGNORECASE)
_CREDIT_CLASS = re.compile(r"credit|copyright|photographer|source\b|image-author|byline", re.IGNORECASE)
_HIDDEN_CLASSES = frozenset((
    "off-screen", "visually-hidden", "visuallyhidden", "u-visually-hidden", "sr-only", "screen-reader-text",
    "screenreader-text",
))  # fmt: skip
_HIDDEN_STYLE = re.compile(r"display\s*:\s*none|visibility\s*:\s*hidden", re.IGNORECASE)
_WHOLE_NUMBER = re.compile(r"\s*(\d{1,5})(?:px)?\s*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """The best URL an <img> offers, absolute, and the width it claims in pixels."""

    url: str
    width: int | None = None
    height: int | None = None


def candidate(
    raw: str | None,
    base_url: str | None,
    chosen_by: str,
    *,
    caption: str | None = None,
    credit: str | None = None,
    width: int | None = None,
    height: int | None = None,
) -> ImageCandidate | None:
    """A named picture as a candidate, its proxy unwrapped; None when it is no picture of anything.

    That is: no usable http(s) URL, an SVG, something named like a logo or a spinner, or a claimed side below 2 pixels.
    """
    url = usable_url(raw, base_url) if raw and raw.strip() else None
    if url is None:
        return None
    origin, proxied = unwrap_proxy(url)
    if _is_junk(origin) or (width is not None and width < 2) or (height is not None and height < 2):  # noqa: PLR2004 - a tracking pixel
        return None
    return ImageCandidate(
        url=picture_identity(url) if proxied else origin,
        proxied_url=proxied,
        chosen_by=chosen_by,
        caption=clean_line(caption) or None if caption else None,
        credit=clean_line(credit) or None if credit else None,
        width=width,
        height=height,
    )


def largest_source(image: lxml.etree._Element, base_url: str | None) -> Source | None:
    """The largest usable version an <img> (in a <picture> or not, lazy or not) names; None for data:, SVG and junk."""
    width, height = pixels(image.get("width")), pixels(image.get("height"))
    if any(side is not None and side < 2 for side in (width, height)):  # noqa: PLR2004 - a tracking pixel
        return None
    for raw, claimed in sorted(_srcset(image), key=lambda item: -item[1]):
        if claimed <= MAX_SRCSET_WIDTH and (url := _usable(raw, base_url)):
            return Source(url=url, width=int(claimed) if claimed > 10 else width, height=height)  # noqa: PLR2004 - "2x" is a density
    for name in (*_LAZY, "src"):
        if url := _usable(image.get(name), base_url):
            return Source(url=url, width=width, height=height)
    return None


def body_candidates(root: lxml.html.HtmlElement, base_url: str | None) -> list[ImageCandidate]:
    """Pictures that stand in the article itself, in document order, with their captions and credits."""
    area = next((area for path in _ROOTS_OF_ARTICLES for area in elements_at(path, root)), root)
    found: list[ImageCandidate] = []
    for number, image in enumerate(area.iter("img")):
        if number >= MAX_BODY_IMAGES or len(found) >= MAX_CANDIDATES:
            break
        if any(parent.tag in _FURNITURE for parent in image.iterancestors()):
            continue
        source = largest_source(image, base_url)
        if source is None or _claims_to_be_small(source):
            continue
        caption, credit = caption_of(image)
        named = candidate(
            source.url, base_url, "body", caption=caption, credit=credit, width=source.width, height=source.height
        )
        if named:
            found.append(named)
    return found


def feed_candidates(entry: Entry) -> list[ImageCandidate]:
    """Pictures the feed item points at beside its text: enclosures first, then media elements."""
    named = [("feed-enclosure", item) for item in entry.enclosures if (item.media_type or "").startswith("image/")]
    named += [("feed-media", item) for item in entry.images]
    candidates = (candidate(item.url, entry.url, by, caption=item.title) for by, item in named)
    return [one for one in candidates if one]


def ranked(candidates: Iterable[ImageCandidate]) -> tuple[ImageCandidate, ...]:
    """Candidates of one picture merged, order kept.

    The first one's origin of choice stays; the larger claimed version gives the URL, and captions and credits that only
    another one knows are taken over.
    """
    merged: dict[str, ImageCandidate] = {}
    for one in candidates:
        key = picture_key(one.url)
        merged[key] = _merged(merged[key], one) if key in merged else one
    return tuple(merged.values())[:MAX_CANDIDATES]


def is_hidden(element: lxml.etree._Element) -> bool:
    """Whether the page itself hides the element from readers' eyes."""
    attributes = element.attrib
    if not attributes:
        return False
    if "hidden" in attributes or _HIDDEN_STYLE.search(attributes.get("style", "")):
        return True
    return not _HIDDEN_CLASSES.isdisjoint(attributes.get("class", "").split())


def caption_of(image: lxml.etree._Element) -> tuple[str | None, str | None]:
    """Caption and credit of an <img>, from its figure or from a caption element beside it."""
    holder = next(image.iterancestors("figure"), None)
    if holder is None:
        parent = image.getparent()
        holder = parent if parent is None or parent.tag not in {"a", "picture", "span"} else parent.getparent()
    if holder is None:
        return None, None
    caption = _first(holder, lambda element: element.tag == "figcaption")
    if caption is None:
        caption = _first(holder, lambda element: bool(_CAPTION_CLASS.search(element.get("class") or "")))
    credit = _first(holder, lambda element: bool(_CREDIT_CLASS.search(element.get("class") or "")))
    credit_text = _text(credit) if credit is not None else ""
    if caption is None:
        return None, credit_text or None
    text = _text(caption)
    if credit_text and credit is not caption and credit_text in text:
        text = text.replace(credit_text, " ").strip(" |—–-·")
    return clean_line(text) or None, credit_text or None


def pixels(raw: str | None) -> int | None:
    """A size attribute in pixels; None for percentages and nonsense."""
    match = _WHOLE_NUMBER.fullmatch(raw or "")
    return int(match[1]) if match else None


def _merged(first: ImageCandidate, other: ImageCandidate) -> ImageCandidate:
    larger = other if (other.width or 0) > (first.width or 0) and first.width else first
    return replace(
        first,
        url=larger.url,
        width=larger.width or other.width,
        height=larger.height or (other.height if larger.width is None else None),
        proxied_url=first.proxied_url or other.proxied_url,
        caption=first.caption or other.caption,
        credit=first.credit or other.credit,
    )


def _srcset(image: lxml.etree._Element) -> Iterator[tuple[str, float]]:
    """Every version with its width in pixels or its density, 1 when it claims neither.

    Source: https://html.spec.whatwg.org/multipage/images.html#srcset-attributes (a URL may hold commas, not end in one)
    """
    elements = [image]
    parent = image.getparent()
    if parent is not None and parent.tag == "picture":
        elements.extend(parent.iterchildren("source"))
    for element in elements:
        for name in _SRCSETS:
            for version in _SRCSET_COMMA.split((element.get(name) or "")[:MAX_SRCSET]):
                url, _, size = version.strip().partition(" ")
                claimed = _SRCSET_SIZE.fullmatch(size.strip())
                yield url.rstrip(","), float(claimed[1]) if claimed else 1.0


def _usable(raw: str | None, base_url: str | None) -> str | None:
    if not raw or raw.lstrip()[:5].lower() == "data:":
        return None
    url = usable_url(raw, base_url)
    return url if url and not _is_junk(unwrap_proxy(url)[0]) else None


def _is_junk(url: str) -> bool:
    path = url.partition("://")[2].partition("/")[2].partition("?")[0]
    return path.lower().endswith((".svg", ".svgz", ".ico")) or bool(_PICTURE_JUNK.search(path))


def _claims_to_be_small(source: Source) -> bool:
    return any(side is not None and side < MIN_SIDE for side in (source.width, source.height)) and not (
        source.width and source.width >= MIN_SIDE
    )


def _first(holder: lxml.etree._Element, accept: Callable[[lxml.etree._Element], bool]) -> lxml.etree._Element | None:
    near = islice(holder.iterdescendants(), MAX_CAPTION_ELEMENTS)
    return next((one for one in near if isinstance(one.tag, str) and accept(one)), None)


def _text(element: lxml.etree._Element) -> str:
    """What a reader sees of it: "Image caption" for screen readers is not part of a caption."""
    parts: list[str] = []
    walk = lxml.etree.iterwalk(element, events=("start", "end"))
    for number, (event, one) in enumerate(walk):
        if number > 2 * MAX_CAPTION_ELEMENTS:
            break
        if event == "end":
            parts.append((one.tail or "") if one is not element else "")
        elif is_hidden(one):
            walk.skip_subtree()
        else:
            parts.append(one.text or "")
    return " ".join("".join(parts).split())
