"""Pictures by name: what an <img> offers, the words beside it, candidates for a lead. No bytes are looked at here."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import islice

import lxml.etree

from worker.model import Entry, ImageCandidate
from worker.text import clean_line
from worker.urls import MAX_URL_CHARS, picture_identity, picture_key, unwrap_proxy, usable_url

MAX_CANDIDATES = 6
MAX_CAPTION_ELEMENTS = 60  # looked through beside one picture
MAX_SRCSET = 20_000  # characters
SHAPES_APART = 0.1  # of the one: how much two shapes may differ by rounding
MAX_RATIO = 32  # the larger number of a ratio that stands for a size
MAX_NOSCRIPT_LEVELS = 3  # looked through above a lazy <img>
MAX_PICTURE_SOURCES = 30  # of one <picture>
MAX_BODY_IMAGES = 200  # looked at on one page
MIN_SIDE = 200  # pixels, where the page claims a size: below it is an icon or a portrait of the author
MAX_SRCSET_WIDTH = 2400  # pixels: more is for printing

# Where lazy loaders keep a picture until it is looked at. The first are always a picture's; the others only where they
# end in the name of a picture file. Whatever ends in "srcset" is one.
_LAZY = frozenset((
    "data-src", "data-original", "data-lazy-src", "data-hi-res-src", "data-full-src", "data-orig-file", "data-lazy",
    "data-large-file",
))  # fmt: skip
_PERHAPS_LAZY = re.compile(r"-src\Z|(?:original|img|image|url|echo|hi-?res|retina|full|large)(?:-?(?:url|src|file))?\Z")
_NOT_SHARP = re.compile(r"blur|thumb|small|low|tiny|preview|placeholder|delete|logo|fallback")
_MAX_NAME = 40  # characters of an attribute's name
_PICTURE_FILE = re.compile(r"\.(?:jpe?g|png|webp|avif)(?:[?#]|\Z)", re.IGNORECASE)
_WIDTH_IN_URL = re.compile(
    r"[?&](?:w|width|imwidth|wid)=(\d{2,4})(?!\d)|(?<![a-z0-9])w(?:idth)?[_=/-]?(\d{2,4})(?![a-z0-9])"
    r"|(?<!\d)(\d{2,4})x\d{2,4}(?!\d)",
    re.IGNORECASE,
)
_GLUED = re.compile(r",(?=https?://)")
_SRCSET_SIZE = re.compile(r"(\d{1,5}(?:\.\d{1,4})?)([wx])")
_UNREAD_TYPES = frozenset(("image/svg+xml", "image/jxl", "image/heic", "image/heif", "image/jp2", "image/vnd.ms-photo"))
_UNREAD_FILES = (".svg", ".svgz", ".ico")
# What never is a picture of anything: by a whole part of the path; by a word of the file's name that means nothing
# else; by one that may, among a few others ("new-logo-of-the-railways-upsets-passengers.jpg" is a picture of a logo).
_JUNK_PART = re.compile(
    r"(?:logos?|spinners?|load(?:ing|er)|lazy(?:[-_]?load)?|placeholders?|blank|spacer|pixel|sprites?|(?:fav|app)?-?icons?"
    r"|avatars?|gravatar|emojis?|smil(?:ey|ies)|1x1|transparent|dummy)(?:[-_@]?+\d++(?:x\d*+)?+)*+",
    re.IGNORECASE,
)
_JUNK_WORD = re.compile(
    r"(?<![a-z])(?:favicon|gravatar|spinner|placeholder|spacer|sprite|transparent|no[-_]?(?:image|img|photo)|app[-_]?icon"
    r"|(?:tracking|clear|web)[-_]?pixel)(?![a-z])",
    re.IGNORECASE,
)
_JUNK_AMONG_FEW = re.compile(
    r"(?<![a-z])(?:logos?|icons?|avatar|blank|dummy|loader|default[-_](?:image|img|og|share|social|thumb(?:nail)?)"
    r"|og[-_]default)(?![a-z])",
    re.IGNORECASE,
)
_FEW = 4
_NAME_PART = re.compile(r"[^-_.@ +]+")
_TRACKER = re.compile(
    r"/(?:matomo|piwik|count(?:er)?|pixel|beacon|tr|collect|track(?:ing|er)?)(?:\.(?:php|gif|aspx?))?/?(?:\?|\Z)",
    re.IGNORECASE,
)
_TEMPLATE = re.compile(r"[{}]|%7[bd]|\$%|\[\[|<%", re.IGNORECASE)  # "…/{width}/a.jpg": filled in by a script
_CAPTION_CLASS = re.compile(r"caption|legend", re.IGNORECASE)
_CREDIT_CLASS = re.compile(
    r"credit|copyright|photographer|fotograf|source\b|image-author|byline|quelle\b", re.IGNORECASE
)
_MAX_NAMES = 300  # characters of a class attribute
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
    if is_junk(unwrap_proxy(url)[0]) or _is_dot(width, height):
        return None
    return _named(url, chosen_by, caption=caption, credit=credit, width=width, height=height)


def shown_candidate(image: lxml.etree._Element, base_url: str | None, chosen_by: str) -> ImageCandidate | None:
    """The picture an <img> shows as a candidate, without its caption; None as ``largest_source`` has it."""
    source = largest_source(image, base_url)
    return _named(source.url, chosen_by, width=source.width, height=source.height) if source else None


def _named(
    url: str,
    chosen_by: str,
    *,
    caption: str | None = None,
    credit: str | None = None,
    width: int | None = None,
    height: int | None = None,
) -> ImageCandidate:
    origin, proxied = unwrap_proxy(url)
    return ImageCandidate(
        url=picture_identity(url) if proxied else origin,
        proxied_url=proxied,
        chosen_by=chosen_by,
        caption=clean_line(caption) or None if caption else None,
        credit=clean_line(credit) or None if credit else None,
        width=width,
        height=height,
    )


def _is_dot(width: int | None, height: int | None) -> bool:
    """Whether a claimed side is that of a tracking pixel."""
    return (width is not None and width < 2) or (height is not None and height < 2)  # noqa: PLR2004


def largest_source(image: lxml.etree._Element, base_url: str | None) -> Source | None:
    """The largest usable version an <img> (in a <picture> or not, lazy or not) names; None for data:, SVG and junk.

    A version's width is what its descriptor says, else what its URL seems to say. More than MAX_SRCSET_WIDTH is taken
    only where nothing smaller is offered.
    """
    width, height = _claimed_sides(image)
    if _is_dot(width, height):
        return None
    for version in sorted(_srcset(image), key=_worth, reverse=True):
        if url := _usable(version.raw, base_url):
            claimed = version.width or width
            scaled = round(claimed * height / width) if claimed and width and height else None
            return Source(url=url, width=claimed, height=scaled if version.width else height)
    for raw in _plain(image):
        if url := _usable(raw, base_url):
            return Source(url=url, width=width or width_in(url), height=height)
    fallback = _without_script(image)
    return largest_source(fallback, base_url) if fallback is not None else None


def _without_script(image: lxml.etree._Element) -> lxml.etree._Element | None:
    """The <img> that stands beside a lazy one for readers without scripts."""
    node: lxml.etree._Element | None = image
    for _ in range(MAX_NOSCRIPT_LEVELS):
        if node is None or node.tag == "noscript":
            return None
        for beside in (node.getnext(), node.getprevious()):
            if beside is not None and beside.tag == "noscript":
                return next(beside.iter("img"), None)
        node = node.getparent()
    return None


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
    figcaption = named = credit = None
    for one in islice(holder.iterdescendants(), MAX_CAPTION_ELEMENTS):
        names = one.get("class")
        if figcaption is None and one.tag == "figcaption":
            figcaption = one
        if names and named is None and _says_caption(names[:_MAX_NAMES]):
            named = one
        if names and credit is None and _says_credit(names[:_MAX_NAMES]):
            credit = one
    caption = figcaption if figcaption is not None else named
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
    is_better = first.width and (other.width or 0) > first.width and not _is_other_shape(first, other)
    version = other if is_better or (other.url == first.url and first.width is None) else first
    return replace(
        first,
        url=version.url,
        width=version.width,
        height=version.height,
        proxied_url=first.proxied_url or other.proxied_url,
        caption=first.caption or other.caption,
        credit=first.credit or other.credit,
    )


def _is_other_shape(first: ImageCandidate, other: ImageCandidate) -> bool:
    """Whether one of them is a cut of the other, by the sides that the page claims."""
    if not (first.width and first.height and other.width and other.height):
        return False
    shape, other_shape = first.width / first.height, other.width / other.height
    return abs(shape - other_shape) > SHAPES_APART * shape


def _claimed_sides(image: lxml.etree._Element) -> tuple[int | None, int | None]:
    """The size attributes in pixels; "16" by "9" is a ratio and says nothing of size, "16" by "16" is an icon."""
    width, height = pixels(image.get("width")), pixels(image.get("height"))
    if width and height and width != height and max(width, height) <= MAX_RATIO:
        return None, None
    return width, height


@dataclass(frozen=True, slots=True)
class _Version:
    raw: str
    width: int | None  # pixels
    density: float


def _worth(version: _Version) -> tuple[bool, int, float]:
    width = version.width or 0
    return (width <= MAX_SRCSET_WIDTH, width if width <= MAX_SRCSET_WIDTH else -width, version.density)


def _srcset(image: lxml.etree._Element) -> Iterator[_Version]:
    """Every version that an <img>, and the <source>s of the <picture> around it, offer in a srcset.

    libxml2 does not know <source> for a void element: the <img> after it stands within.
    """
    yield from _versions(image)
    parent = image.getparent()
    while parent is not None and parent.tag == "source":
        parent = parent.getparent()
    if parent is not None and parent.tag == "picture":
        for source in islice(parent.iter("source"), MAX_PICTURE_SOURCES):
            if (source.get("type") or "").strip().lower() not in _UNREAD_TYPES:
                yield from _versions(source)


def _versions(element: lxml.etree._Element) -> Iterator[_Version]:
    for name, value in _attributes(element):
        if name.endswith("srcset"):
            yield from parsed_srcset(value)


def _attributes(element: lxml.etree._Element) -> Iterator[tuple[str, str]]:
    return ((str(name), str(value)) for name, value in element.attrib.items())


def parsed_srcset(value: str) -> Iterator[_Version]:
    """The versions of a srcset attribute; of a longer one than MAX_SRCSET characters, the first.

    Source: https://html.spec.whatwg.org/multipage/images.html#srcset-attributes: a URL may hold commas, not end in one.
        Beyond it, a comma without a blank parts two versions where a size stands before it, or a scheme after.
    """
    url, width, density = "", None, 1.0
    for token in _GLUED.sub(", ", value[:MAX_SRCSET]).split():
        if not url:
            url = token.lstrip(",")
            if url.endswith(","):
                yield _version(url.rstrip(","), None, 1.0)
                url = ""
            continue
        size, comma, rest = token.partition(",")
        if match := _SRCSET_SIZE.fullmatch(size):
            if match[2] == "w":
                width = int(float(match[1])) or None
            else:
                density = float(match[1])
        if comma:
            yield _version(url, width, density)
            url, width, density = rest.strip(","), None, 1.0
    if url:
        yield _version(url, width, density)


def _version(url: str, width: int | None, density: float) -> _Version:
    return _Version(url, width or width_in(url), density)


def width_in(url: str) -> int | None:
    """The width in pixels that a URL seems to ask for: ``?w=800``, ``/w_800/``, ``-800x600``; None: it says nothing."""
    match = _WIDTH_IN_URL.search(url)
    return int(match[match.lastindex or 0]) if match else None


def _plain(image: lxml.etree._Element) -> Iterator[str]:
    """What stands in src and its lazy cousins; src last, since it may hold no more than a stand-in."""
    vague: list[str] = []
    for name, value in _attributes(image):
        if name in _LAZY:
            yield value
        elif (
            len(name) <= _MAX_NAME
            and _PERHAPS_LAZY.search(name)
            and not _NOT_SHARP.search(name)
            and len(value) <= MAX_URL_CHARS
            and _PICTURE_FILE.search(value)
        ):
            vague.append(value)
    yield from vague
    yield image.get("src") or ""


def _usable(raw: str | None, base_url: str | None) -> str | None:
    if not raw or len(raw) > MAX_URL_CHARS or raw.lstrip()[:5].lower() == "data:" or _TEMPLATE.search(raw):
        return None
    url = usable_url(raw, base_url)
    return url if url and not is_junk(unwrap_proxy(url)[0]) else None


def is_junk(url: str) -> bool:
    """Whether a URL is named like what never is a picture of anything: a logo, an icon, a stand-in, a tracker."""
    path = url.partition("://")[2].partition("/")[2].partition("?")[0]
    if path.lower().endswith(_UNREAD_FILES) or _TRACKER.search(url):
        return True
    folders, _, file = path.rpartition("/")
    name = file.rpartition(".")[0] or file
    if any(_JUNK_PART.fullmatch(part) for part in (*folders.split("/"), name)) or _JUNK_WORD.search(name):
        return True
    return bool(_JUNK_AMONG_FEW.search(name)) and len(_NAME_PART.findall(name)) <= _FEW


@lru_cache(maxsize=2048)
def _says_caption(names: str) -> bool:
    return _CAPTION_CLASS.search(names) is not None


@lru_cache(maxsize=2048)
def _says_credit(names: str) -> bool:
    return _CREDIT_CLASS.search(names) is not None


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
