"""What a page says about its article: JSON-LD, meta elements, links, times and bylines, weighed against each other."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from urllib.parse import urlsplit

import lxml.etree
import lxml.html

from worker.extract.document import Document, elements_at, short_text
from worker.extract.image import candidate, pixels
from worker.extract.jsonld import JsonLd, read_jsonld
from worker.extract.language import language_tag
from worker.extract.moments import moment
from worker.model import Entry, ImageCandidate
from worker.text import clean_line, strip_tags
from worker.urls import gate_key, usable_url

MAX_TAGS = 40
MAX_AUTHORS = 20
MAX_NAME = 120  # characters: what is longer is no name
MAX_SUMMARY = 2_000

_TITLE_SEPARATOR = re.compile(r"\s+[|\-–—·•:»«]{1,2}\s+|\s*[|｜_]\s*")
_PUBLISHED = (
    "article:published_time", "og:published_time", "parsely-pub-date", "sailthru.date", "datepublished",
    "dcterms.created", "dc.date.issued", "dcterms.date", "dc.date", "date", "pubdate", "publishdate",
    "publish-date", "publication_date", "cxenseparse:recs:publishtime", "rnews:datepublished", "article.published",
    "iso-8601-publish-date",
)  # fmt: skip
_MODIFIED = (
    "article:modified_time", "og:updated_time", "og:modified_time", "datemodified", "dcterms.modified",
    "last-modified", "lastmod", "article.updated", "rnews:datemodified",
)  # fmt: skip
_AUTHORS = (
    "author", "article:author", "parsely-author", "dc.creator", "dcterms.creator", "sailthru.author", "byl",
    "cxenseparse:author", "article:author_name", "citation_author",
)  # fmt: skip
_SUMMARIES = ("og:description", "description", "twitter:description", "dc.description", "sailthru.description")
_SECTIONS = ("article:section", "parsely-section", "section", "og:section", "cxenseparse:category")
_TAGS = ("news_keywords", "article:tag", "keywords", "parsely-tags", "sailthru.tags")
# Found by their attributes: most elements have neither, and are not even looked at then.
_BYLINES = (lxml.etree.XPath("//@rel[.='author']/.."), lxml.etree.XPath("//@itemprop[.='author']/.."))
_BYLINE_CLASS = re.compile(
    r"(?:^|[\s_-])(?:byline|author)(?:[\s_-]+name)?(?:$|\s)|links__item-link|author-name|byline__name", re.IGNORECASE
)
_BY = re.compile(
    r"^(?:\s*(?:by|author|written by|story by|reported by|von|par|por|di|da|door|av|af|przez|автор|от)\b[\s:：]*"
    r"|\s*(?:作者|记者|記者|文|撰文)[:：/\s]\s*)",
    re.IGNORECASE,
)
_NAME_SEPARATOR = re.compile(
    r"\s*(?:[;|、/]|,(?!\s*(?:jr|sr|md|phd|m\.d|ph\.d)\b)|\s(?:and|und|et|y|e|en|og|och|&)\s)\s*", re.IGNORECASE
)
_NO_NAME = re.compile(
    r"https?:|www\.|@|^\d|^(?:admin|administrator|staff|editor|redaktion|null|none|undefined|unknown|n/a)$",
    re.IGNORECASE,
)
_FREE = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
_PAID_TIERS = frozenset(("locked", "metered", "paid", "premium", "subscriber", "subscription"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Metadata:
    """What could be read; field names as in ``ArticleRecord`` where they mean the same."""

    title: str | None = None
    authors: tuple[str, ...] = ()
    published_at: datetime | None = None
    published_from: str | None = None
    modified_at: datetime | None = None
    languages: tuple[str, ...] = ()  # declared, most trusted first
    section: str | None = None
    tags: tuple[str, ...] = ()
    site_name: str | None = None
    summary: str | None = None
    canonical_url: str | None = None
    licence: str | None = None
    tdm_reservation: str | None = None
    paywalled: bool | None = None
    images: tuple[ImageCandidate, ...] = ()
    page_title: str | None = None  # the whole <title>
    article_body: str | None = None  # JSON-LD articleBody
    types: frozenset[str] = frozenset()  # JSON-LD types and og:type, lower case
    is_declared_article: bool = False


def read_metadata(document: Document, entry: Entry | None) -> Metadata:
    """Read the page's own statements; the feed's title only votes where the page contradicts itself."""
    root = document.root
    meta = _metas(root)
    linked = read_jsonld(root, url=document.url)
    og_type = _one(meta, "og:type") or ""
    site_name = clean_line(_one(meta, "og:site_name", "application-name") or _publisher(linked) or "", 200) or None
    page_title = clean_line(_text(root.find(".//title"))) or None
    published_at, published_from = _published(root, meta, linked)
    return Metadata(
        title=_title(root, meta, linked, page_title=page_title, site_name=site_name, entry=entry),
        authors=_authors(root, meta, linked, site_name),
        published_at=published_at,
        published_from=published_from,
        modified_at=_first_moment([linked.string("dateModified"), *_all(meta, *_MODIFIED)]),
        languages=_languages(root, meta, linked),
        section=clean_line(next(iter(linked.names("articleSection")), None) or _one(meta, *_SECTIONS) or "", 100)
        or None,
        tags=_tags(meta, linked),
        site_name=site_name,
        summary=_summary(meta, linked),
        canonical_url=_canonical(root, meta, document),
        licence=_licence(root, meta, linked, document.base_url),
        tdm_reservation=_tdm_reservation(document, meta),
        paywalled=_paywalled(meta, linked),
        images=_images(meta, linked, document.base_url),
        page_title=page_title,
        article_body=linked.string("articleBody"),
        types=linked.types | ({og_type.lower()} if og_type else frozenset()),
        is_declared_article=bool(linked.article) or og_type.lower() == "article",
    )


# ---------------------------------------------------------------- reading


def _metas(root: lxml.html.HtmlElement) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for element in root.iter("meta"):
        value = (element.get("content") or "").strip()
        if not value:
            continue
        for key in {
            (element.get(name) or "").strip().lower() for name in ("property", "name", "itemprop", "http-equiv")
        }:
            if key:
                found.setdefault(key, []).append(value)
    return found


def _all(meta: dict[str, list[str]], *names: str) -> list[str]:
    return [value for name in names for value in meta.get(name, ())]


def _one(meta: dict[str, list[str]], *names: str) -> str | None:
    return next(iter(_all(meta, *names)), None)


def _text(element: lxml.etree._Element | None) -> str:
    return "" if element is None else "".join(str(part) for part in element.itertext())


def _publisher(linked: JsonLd) -> str | None:
    return next(iter(linked.names("publisher")), None)


# ---------------------------------------------------------------- title


def folded(title: str | None) -> str:
    """A title for comparison: letters and digits only, lower case."""
    return "".join(character for character in (title or "").casefold() if character.isalnum())


def _title(
    root: lxml.html.HtmlElement,
    meta: dict[str, list[str]],
    linked: JsonLd,
    *,
    page_title: str | None,
    site_name: str | None,
    entry: Entry | None,
) -> str | None:
    """The wording most sources agree on; an <h1> breaks ties, since it is what readers see."""
    headings = [title for element in root.iter("h1") if (title := clean_line(_text(element)))][:5]
    voices = [
        *headings,
        *(
            _without_site(title, site_name)
            for title in (linked.string("headline"), _one(meta, "og:title"), _one(meta, "twitter:title"))
        ),
        _without_site(page_title, site_name),
        entry.title if entry else None,
    ]
    titles = [title for title in (strip_tags(voice) if voice else "" for voice in voices) if folded(title)]
    if not titles:
        return None
    keys = [folded(title) for title in titles]
    votes = [sum(_agree(key, other) for other in keys) for key in keys]
    return clean_line(titles[votes.index(max(votes))]).replace("\xad", "")


def _agree(a: str, b: str) -> bool:
    return a == b or (min(len(a), len(b)) > 15 and (a.startswith(b) or b.startswith(a)))  # noqa: PLR2004 - a cut or suffixed title still agrees


def _without_site(title: str | None, site_name: str | None) -> str | None:
    """A <title> less the site's name at its end or start."""
    if not title:
        return None
    cleaned = clean_line(title)
    parts = [part for part in _TITLE_SEPARATOR.split(cleaned) if part]
    site = folded(site_name)
    if len(parts) < 2 or not site:  # noqa: PLR2004 - nothing to take off
        return cleaned
    if folded(parts[-1]) in {site, f"{site}com", site.removeprefix("the")}:
        return cleaned[: cleaned.rindex(parts[-1])].rstrip(" |-–—·•:»«｜_")
    if folded(parts[0]) == site:
        return cleaned[len(parts[0]) :].lstrip(" |-–—·•:»«｜_")
    return cleaned


# ---------------------------------------------------------------- people and dates


def _authors(
    root: lxml.html.HtmlElement, meta: dict[str, list[str]], linked: JsonLd, site_name: str | None
) -> tuple[str, ...]:
    for source in _author_sources(root, meta, linked):
        names = author_names(source)
        people = tuple(name for name in names if folded(name) != folded(site_name))
        if people:
            return people
    return ()


def _author_sources(root: lxml.html.HtmlElement, meta: dict[str, list[str]], linked: JsonLd) -> Iterator[Sequence[str]]:
    """Most trusted first. Bylines come last, and are searched for only where the others name nobody."""
    yield linked.names("author") or linked.names("creator")
    yield _all(meta, *_AUTHORS)
    yield _bylines(root)


def author_names(raw: Iterable[str]) -> tuple[str, ...]:
    """Bylines -> names: "By A, B and C" is three; addresses, handles and "admin" are none. Order kept, no repeats."""
    names: dict[str, str] = {}
    for one in raw:
        line = _BY.sub("", clean_line(strip_tags(one), 500))
        if _NO_NAME.search(line):
            continue
        for part in _NAME_SEPARATOR.split(line):
            name = _BY.sub("", part).strip(" .,:;-–—·•()")
            if 1 < len(name) <= MAX_NAME and not _NO_NAME.search(name) and len(name.split()) <= 8:  # noqa: PLR2004 - more is a sentence
                names.setdefault(folded(name), name)
    return tuple(name for key, name in names.items() if key)[:MAX_AUTHORS]


def _bylines(root: lxml.html.HtmlElement) -> list[str]:
    for path in _BYLINES:
        if found := _texts(elements_at(path, root), 5):
            return found
    return _texts(
        (
            element
            for element in root.iter("a", "span", "p", "div", "address")
            if (name := element.get("class")) and _BYLINE_CLASS.search(name)
        ),
        3,
    )


def _texts(elements: Iterable[lxml.etree._Element], limit: int) -> list[str]:
    return list(islice(filter(None, (short_text(element, MAX_NAME) for element in elements)), limit))


def _published(
    root: lxml.html.HtmlElement, meta: dict[str, list[str]], linked: JsonLd
) -> tuple[datetime | None, str | None]:
    sources = (
        ("json-ld", [linked.string("datePublished"), linked.string("dateCreated")]),
        ("meta", _all(meta, *_PUBLISHED)),
        ("time", [time.get("datetime") for time in _times(root)]),
    )
    for name, values in sources:
        if found := _first_moment(values):
            return found, name
    return None, None


def _times(root: lxml.html.HtmlElement) -> list[lxml.etree._Element]:
    """<time> elements that could be the article's: marked ones, else the first."""
    every = [time for time in root.iter("time") if time.get("datetime")]
    marked = [time for time in every if "pubdate" in time.attrib or time.get("itemprop") == "datePublished"]
    return marked or every[:1]


def _first_moment(values: Iterable[str | None]) -> datetime | None:
    return next((found for value in values if (found := moment(value))), None)


# ---------------------------------------------------------------- the rest


def _languages(root: lxml.html.HtmlElement, meta: dict[str, list[str]], linked: JsonLd) -> tuple[str, ...]:
    declared = [
        *linked.names("inLanguage"),
        root.get("lang"),
        root.get("xml:lang"),
        *_all(meta, "content-language", "language", "dc.language", "og:locale"),
    ]
    return tuple(dict.fromkeys(tag for raw in declared if (tag := language_tag(raw))))


def _tags(meta: dict[str, list[str]], linked: JsonLd) -> tuple[str, ...]:
    for source in (linked.names("keywords"), *(_all(meta, name) for name in _TAGS)):
        tags = dict.fromkeys(
            tag
            for value in source
            for part in re.split(r"[,;，、]", value)
            if (tag := clean_line(strip_tags(part), 100))
        )
        if tags:
            return tuple(tags)[:MAX_TAGS]
    return ()


def _summary(meta: dict[str, list[str]], linked: JsonLd) -> str | None:
    voices = (_one(meta, *_SUMMARIES[:1]), linked.string("description"), _one(meta, *_SUMMARIES[1:]))
    return next((text for voice in voices if voice and (text := clean_line(strip_tags(voice), MAX_SUMMARY))), None)


def _canonical(root: lxml.html.HtmlElement, meta: dict[str, list[str]], document: Document) -> str | None:
    """What the page calls its own address; only of the same site, and never the front page for a deeper one."""
    if document.url is None:
        return None
    link = next((one for one in root.iter("link") if "canonical" in (one.get("rel") or "").lower().split()), None)
    for raw in (link.get("href") if link is not None else None, _one(meta, "og:url")):
        url = usable_url(raw, document.url) if raw else None
        if url and gate_key(url) == gate_key(document.url) and _is_as_deep(url, document.url):
            return url
    return None


def _is_as_deep(url: str, page: str) -> bool:
    return bool(urlsplit(url).path.strip("/")) or not urlsplit(page).path.strip("/")


def _licence(
    root: lxml.html.HtmlElement, meta: dict[str, list[str]], linked: JsonLd, base_url: str | None
) -> str | None:
    if named := linked.string("license"):
        return clean_line(named, 300)
    for element in root.iter("link", "a"):
        if "license" in (element.get("rel") or "").lower().split() and (
            url := usable_url(element.get("href") or "", base_url)
        ):
            return url
    return clean_line(_one(meta, "dcterms.license", "dc.rights.license", "license") or "", 300) or None


def _tdm_reservation(document: Document, meta: dict[str, list[str]]) -> str | None:
    """Source: TDM Reservation Protocol, W3C community group report: a header, or a meta element; "1" is reserved."""
    value = (document.header("tdm-reservation") or _one(meta, "tdm-reservation") or "").strip()
    return value if value in {"0", "1"} else None


def _paywalled(meta: dict[str, list[str]], linked: JsonLd) -> bool | None:
    free = linked.article.get("isAccessibleForFree")
    said = _FREE.get(str(free).strip().rsplit("/", 1)[-1].lower()) if free is not None else None
    if said is not None:
        return not said
    tier = (_one(meta, "article:content_tier") or "").lower()
    if tier in _PAID_TIERS:
        return True
    return False if tier == "free" else None


def _images(meta: dict[str, list[str]], linked: JsonLd, base_url: str | None) -> tuple[ImageCandidate, ...]:
    found = [
        candidate(
            _one(meta, "og:image:secure_url", "og:image", "og:image:url"),
            base_url,
            "og:image",
            width=pixels(_one(meta, "og:image:width")),
            height=pixels(_one(meta, "og:image:height")),
        ),
        candidate(_one(meta, "twitter:image", "twitter:image:src"), base_url, "twitter:image"),
    ]
    for node in linked.images():
        found.append(  # noqa: PERF401 - reads better than a comprehension of this size
            candidate(
                node["url"],
                base_url,
                "json-ld",
                caption=_string(node.get("caption")) or _string(node.get("description")),
                credit=_string(node.get("creditText")),
                width=pixels(str(node.get("width", ""))),
                height=pixels(str(node.get("height", ""))),
            )
        )
    return tuple(one for one in found if one)


def _string(value: object) -> str | None:
    return value if isinstance(value, str) else None
