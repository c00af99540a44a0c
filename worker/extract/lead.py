"""Which picture leads an article: what the page shows at its head, what it declares, what the feed names, weighed.

The picture that readers see is preferred to the one a page declares for others to show: that is often a crop for social
networks, carries the site's name, or is the site's and not the article's.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Final
from urllib.parse import unquote

import lxml.etree

from worker.extract.image import MIN_SIDE, caption_of, ranked, shown_candidate
from worker.extract.leaves import ASIDE, FIGURE, FOOTER, FORM, LINKED, NAV, Box, Leaf
from worker.model import ImageCandidate
from worker.urls import picture_key

GOOD_WIDTH = 400  # pixels: a shown picture that claims less does not stand in for a declared one
MIN_SHAPE, MAX_SHAPE = 0.6, 3.0  # width by height of a picture that may lead unasked
PARAGRAPH = 80  # characters: shorter ones are bylines, datelines, teasers
HEAD_PARAGRAPHS = 2  # a picture after more of the article's stands in its midst
ABOVE_TITLE = 12  # leaves: how far above its title an article's picture may stand
MAX_READ = 24  # pictures of one page that are looked at closely
MAX_SHOWN = 6
SIBLINGS = 3  # what more than so many of a page's pictures have in common names the page or the site, not a picture

_FURNITURE: Final = NAV | ASIDE | FOOTER | FORM
_MAX_NAMES = 300  # characters of class and id
_LEVELS = 5  # of boxes around a picture whose names are looked at
_AREAS = frozenset(("article", "main", "body"))
# Of class and id. The second and third kind only where they name the thing itself: wrappers of articles are called
# "post author-smith comments-open ads-top", too.
_OTHERS = re.compile(
    r"(?<![a-z])(?:avatar|gravatar|headshot|logo|icon|shar(?:e|ing)|social|related|recommend(?:ed|ations?)?|teasers?|promos?"
    r"|newsletter|sponsor(?:ed|s)?|advert(?:s|isements?)?|sidebar|outbrain|taboola|most-?read|popular|trending"
    r"|more-?(?:news|stories|from)|read-?(?:more|next)|menu|nav(?:bar|igation)?|footer|breadcrumb|app-?store"
    r"|subscri(?:be|ption))(?![a-z])"
    r"|(?:^|[\s_-])(?:author|autor|byline|profile|bio)s?"
    r"(?:\Z|\s|[-_]+(?:box|bio|info|image|img|photo|avatar|pic(?:ture)?|card|profile|meta|thumb)(?![a-z]))"
    r"|(?:^|\s)(?:comment|ad)s?(?:\Z|\s|[-_]+(?:list|item|body|slot|unit|container|wrap(?:per)?|banner|box)(?![a-z]))",
    re.IGNORECASE,
)
# "og-image.png", "site_share_1200x630.jpg", "default-thumbnail-2.png"
_SITE_S_OWN = re.compile(
    r"(?:[a-z0-9]*[-_.])?(?:default|fallback|shar(?:e|ing)|social|og|open-?graph|facebook|fb|twitter|subscribe)"
    r"(?:[-_]?+(?:default|fallback|shar(?:e|ing)|social|media|image|img|card|banner|picture|preview|thumb(?:nail)?|large"
    r"|v?+\d++(?:x\d++)?+))*+",
    re.IGNORECASE,
)
_PICTURE_FILE = re.compile(r"\.(?:jpe?g|png|webp|gif|avif)(?:[?#]|\Z)", re.IGNORECASE)
_UUID = re.compile(r"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}", re.IGNORECASE)
_SIZE = re.compile(r"\d{2,4}x\d{2,4}", re.IGNORECASE)
_VERSION = re.compile(
    r"[-_](?:scaled|e\d{10,13})(?![a-z0-9])", re.IGNORECASE
)  # WordPress: of a large, of an edited one
_TOKEN = re.compile(r"[^\W_]+")
_DATE = re.compile(r"(?:19|20)\d{2}[01]\d[0-3]\d")
_SAY_NOTHING = frozenset((
    "jpg", "jpeg", "png", "webp", "gif", "avif", "image", "images", "img", "photo", "photos", "picture", "pic",
    "foto", "getty", "gettyimages", "istock", "istockphoto", "shutterstock", "adobestock", "unsplash", "pexels",
    "reuters", "screenshot", "scaled", "original", "thumbnail", "thumb", "featured", "feature", "cover", "hero",
    "header", "banner", "teaser", "default", "standard", "full", "large", "medium", "small", "wide", "square",
    "crop", "cropped", "web", "social", "share", "facebook", "twitter", "landscape", "portrait", "lead", "main",
    "article", "news", "file", "resize", "resized", "media", "discover", "aspect", "ratio", "watermarked",
))  # fmt: skip
_MIN_ID = 6  # characters of a number, or of a token of letters and digits, that may name a picture
_MIN_WORDS = 10  # letters of a file's words, likewise


@dataclass(frozen=True, slots=True, kw_only=True)
class _Shown:
    """A picture on the page that could be the article's."""

    leaf: Leaf
    picture: ImageCandidate
    paragraphs: int  # of the article, between its title and the picture
    is_others: bool  # by its names, another page's, the author's, the site's, an advertiser's
    is_linked_away: bool  # as a rule another page's, too
    marks: frozenset[str]

    @property
    def is_at_head(self) -> bool:
        return self.paragraphs <= HEAD_PARAGRAPHS

    @property
    def is_large(self) -> bool:
        """By what the page claims; where it claims nothing, by standing in a figure."""
        if self.picture.width:
            return self.picture.width >= GOOD_WIDTH
        return bool(self.leaf.box.flags & FIGURE) or _in_picture(self.leaf)

    @property
    def opens_article(self) -> bool:
        """Whether it is the article's lead though nothing says so: the square are authors, the flat are banners."""
        width, height = self.picture.width, self.picture.height
        is_shaped_so = not (width and height) or (width != height and MIN_SHAPE < width / height < MAX_SHAPE)
        return not self.paragraphs and self.is_large and is_shaped_so


def lead_pictures(
    leaves: Sequence[Leaf],
    declared: Sequence[ImageCandidate],
    fed: Sequence[ImageCandidate] = (),
    *,
    url: str | None,
    base_url: str | None,
    title: str | None = None,
    body: range | None = None,
) -> tuple[ImageCandidate, ...]:
    """Weigh all that may lead the article.

    First comes the declared picture as the page shows it at the article's head, then whatever else opens the article;
    then the declared one shown further down, or not at all; then what else the article shows, then the feed's. What is
    linked to other pages, or named like a site's stand-in, comes last.

    Args:
        leaves: Of the whole page; none when there is no page.
        declared: What meta elements and JSON-LD name, most trusted first.
        fed: What the feed names, likewise.
        url: Of the page: a picture may be linked to its own page.
        title: The article's; its heading is where the article begins, else the first of the highest rank.
        body: Indices of leaves, from the first to the last of the article's text; None: nobody knows.

    Returns: At most MAX_CANDIDATES, best first, each picture once.
    """
    shown = list(_shown(leaves, url=url, base_url=base_url, title=title, end=body.stop if body else len(leaves)))
    own = [one for one in declared if not is_site_s_own(one.url) and not _is_below(one, MIN_SIDE)]
    told = frozenset().union(*(_marks(one.url) for one in own)) - _common(one.marks for one in shown)
    same = [one for one in shown if not told.isdisjoint(one.marks) and not _is_below(one.picture, GOOD_WIDTH)]
    same.sort(key=lambda one: (one.is_others or one.is_linked_away, not one.is_at_head))
    article_s = [one for one in shown if not (one.is_others or one.is_linked_away)]
    openers = [one for one in article_s if one.opens_article]
    heads = [one for one in article_s if one.is_at_head and one.is_large]
    order = (
        *(one.picture for one in same[:1] if one.is_at_head),
        *(one.picture for one in openers[:1]),
        *(one.picture for one in same[:1]),
        *own,
        *(one.picture for one in heads[:1]),
        *(one.picture for one in article_s),
        *fed,
        *(one.picture for one in shown if not one.is_others),
        *declared,
    )
    return tuple(_captioned(ranked(order), shown))


def is_site_s_own(url: str) -> bool:
    """Whether a picture is named like the one a site declares where an article has none, or is part of its design."""
    if "/themes/" in url:
        return True
    name = url.partition("?")[0].rpartition("/")[2].rpartition(".")[0]
    return _SITE_S_OWN.fullmatch(name) is not None


def _captioned(pictures: Iterable[ImageCandidate], shown: Sequence[_Shown]) -> Iterator[ImageCandidate]:
    """With the words beside the picture on the page, which count more than those of its metadata."""
    leaves = {picture_key(one.picture.url): one.leaf for one in reversed(shown)}
    for picture in pictures:
        leaf = leaves.get(picture_key(picture.url))
        caption, credit = caption_of(_image(leaf)) if leaf else (None, None)
        yield replace(picture, caption=caption or picture.caption, credit=credit or picture.credit)


def _shown(
    leaves: Sequence[Leaf], *, url: str | None, base_url: str | None, title: str | None, end: int
) -> Iterator[_Shown]:
    """From just above the article's title on; furniture is what does not hold the title itself."""
    heading = _title_index(leaves, title)
    start = heading or 0
    furniture = _FURNITURE if heading is None else _FURNITURE & ~leaves[heading].box.flags
    paragraphs = read = found = 0
    for index in range(max(0, start - ABOVE_TITLE), end):
        leaf = leaves[index]
        if leaf.box.flags & furniture:
            continue
        if leaf.image is None:
            paragraphs += index > start and _is_prose(leaf)
            continue
        read += 1
        if one := _read(leaf, paragraphs, url=url, base_url=base_url):
            yield one
            found += 1
        if found == MAX_SHOWN or read == MAX_READ:
            return


def _title_index(leaves: Sequence[Leaf], title: str | None) -> int | None:
    wanted = " ".join((title or "").split()).casefold()
    highest = None
    for index, leaf in enumerate(leaves):
        if leaf.kind != "heading":
            continue
        if wanted and leaf.text.casefold() == wanted:
            return index
        if leaf.level == 1 and highest is None and not leaf.box.flags & _FURNITURE:
            highest = index
    return highest


def _is_prose(leaf: Leaf) -> bool:
    return leaf.kind == "paragraph" and len(leaf.text) >= PARAGRAPH and leaf.link_length * 2 < len(leaf.text)


def _read(leaf: Leaf, paragraphs: int, *, url: str | None, base_url: str | None) -> _Shown | None:
    is_linked_away, is_others = _is_linked_away(leaf, url), _is_among_others(leaf)
    if (is_linked_away or is_others) and paragraphs > HEAD_PARAGRAPHS:
        return None
    picture = shown_candidate(_image(leaf), base_url, "body")
    if picture is None or _is_below(picture, MIN_SIDE):
        return None
    return _Shown(
        leaf=leaf,
        picture=picture,
        paragraphs=paragraphs,
        is_others=is_others or is_site_s_own(picture.url),
        is_linked_away=is_linked_away,
        marks=_marks(picture.url),
    )


def _image(leaf: Leaf) -> lxml.etree._Element:
    assert leaf.image is not None
    return leaf.image


def _is_below(picture: ImageCandidate, side: int) -> bool:
    """Whether it claims to be smaller; of a picture without a width, the height has to be an icon's."""
    if picture.width is not None:
        return picture.width < side
    return picture.height is not None and picture.height < MIN_SIDE


def _in_picture(leaf: Leaf) -> bool:
    parent = _image(leaf).getparent()
    return parent is not None and parent.tag in {"picture", "source"}


def _is_among_others(leaf: Leaf) -> bool:
    if _says_others((_image(leaf).get("class") or "")[:_MAX_NAMES]):
        return True
    box: Box | None = leaf.box
    for _ in range(_LEVELS):
        if box is None or box.tag in _AREAS:
            return False
        if box.names and _says_others(box.names[:_MAX_NAMES]):
            return True
        box = box.parent
    return False


@lru_cache(maxsize=4096)
def _says_others(names: str) -> bool:
    return _OTHERS.search(names) is not None


def _is_linked_away(leaf: Leaf, url: str | None) -> bool:
    """Whether a click on it leads to another page: not to a picture, nor to this page."""
    href = leaf.href
    if href is None and leaf.box.flags & LINKED:
        href = next((link.get("href") for link in _image(leaf).iterancestors("a")), None)
    if not href or href.startswith(("#", "javascript:")):
        return False
    return _PICTURE_FILE.search(href) is None and (url is None or _last_part(href) != _last_part(url))


def _last_part(url: str) -> str:
    return url.partition("#")[0].partition("?")[0].rstrip("/").rpartition("/")[2]


def _common(marks: Iterable[frozenset[str]]) -> set[str]:
    """Marks that most pictures of the page bear."""
    pictures = set(marks)
    counted = Counter(mark for one in pictures for mark in one)
    return {mark for mark, count in counted.items() if count > max(SIBLINGS, len(pictures) / 2)}


@lru_cache(maxsize=1024)
def _marks(url: str) -> frozenset[str]:
    """What URLs of one picture, cut to other sizes and shapes, have in common with each other and with few others.

    Its key, UUIDs, numbers and tokens of letters and digits in the path, the words of the file's name, the whole name
    with its folder where it is numbered.
    """
    path = unquote(url.partition("://")[2].partition("/")[2].partition("?")[0])
    marks = {picture_key(url), *(found.lower() for found in _UUID.findall(path))}
    path = _VERSION.sub("", _SIZE.sub("", _UUID.sub("", path)))
    tokens = _TOKEN.findall(path)
    marks.update(one for one in tokens if len(one) >= _MIN_ID and not one.isalpha() and not _DATE.fullmatch(one))
    folder, _, file = path.lower().rpartition("/")
    name = file.rpartition(".")[0].strip("-_")
    if any(character.isdigit() for character in name):
        marks.add(f"{folder.rpartition('/')[2]}/{name}")
    words = [word for word in _TOKEN.findall(file) if word.isalpha() and len(word) > 2]  # noqa: PLR2004 - "de", "in"
    said = [word for word in words if word not in _SAY_NOTHING]
    if len(said) > 1 and sum(map(len, said)) >= _MIN_WORDS:
        marks.add("-".join(said))
    return frozenset(marks)
