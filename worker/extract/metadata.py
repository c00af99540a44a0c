"""What a page says about its article, put together: each kind of statement has a file of its own beside this one."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date, datetime
from urllib.parse import urlsplit

import lxml.etree
import lxml.html

from worker.extract.byline import read_authors
from worker.extract.dates import read_dates
from worker.extract.declared import declared_pictures
from worker.extract.document import Document, elements_at
from worker.extract.gathered import Gathered, gather
from worker.extract.jsonld import JsonLd, read_jsonld
from worker.extract.language import language_tag
from worker.extract.leaves import Box, Leaves, read_leaves
from worker.extract.meta import Meta, read_meta
from worker.extract.title import plain, read_title, site_of
from worker.model import Entry, ImageCandidate
from worker.text import clean_line
from worker.urls import gate_key, usable_url

MAX_TAGS = 40
MAX_SUMMARY = 2_000
MAX_LINKS = 200  # to licences, looked at

_SECTIONS = ("article:section", "parsely-section", "section", "og:section", "cxenseparse:category")
_TAGS = ("news_keywords", "article:tag", "keywords", "parsely-tags", "sailthru.tags")
_SUMMARIES = ("og:description", "description", "twitter:description", "dc.description", "sailthru.description")
_TAG_SEPARATOR = re.compile(r"[,;，、]")
_LICENCES = lxml.etree.XPath("//a[contains(@rel, 'license')]")
_LICENCE_TRACE = 'rel="license'  # in the source; without it no path need be walked
_FREE = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
_PAID_TIERS = frozenset(("locked", "metered", "paid", "premium", "subscriber", "subscription"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Metadata:
    """What could be read; field names as in ``ArticleRecord`` where they mean the same."""

    title: str | None = None
    title_box: Box | None = None  # the heading that stands where readers see the title
    authors: tuple[str, ...] = ()
    published_at: datetime | None = None  # known only where the page writes time and zone
    published_on: date | None = None  # the day as the page writes it, in its own zone
    published_from: str | None = None  # profile, json-ld, meta, time, text, url, script: what named moment or day
    modified_at: datetime | None = None
    modified_on: date | None = None
    languages: tuple[str, ...] = ()  # declared, most trusted first
    section: str | None = None
    tags: tuple[str, ...] = ()
    site_name: str | None = None
    summary: str | None = None  # what the page declares, not what it shows
    canonical_url: str | None = None
    licence: str | None = None
    tdm_reservation: str | None = None
    paywalled: bool | None = None
    images: tuple[ImageCandidate, ...] = ()
    page_title: str | None = None  # the whole <title>
    article_body: str | None = None  # JSON-LD articleBody
    types: frozenset[str] = frozenset()  # JSON-LD types and og:type, lower case
    is_declared_article: bool = False


def read_metadata(document: Document, entry: Entry | None, leaves: Leaves | None = None) -> Metadata:
    """Read the page's own statements; the feed's item only votes where the page contradicts itself.

    Args:
        document: The page.
        entry: What the feed said: its title is one wording among the declared ones, its date bounds the page's.
        leaves: Of the same tree, where they were read already.
    """
    root = document.root
    leaves = leaves or read_leaves(root)
    gathered = gather(root)
    meta = read_meta(gathered.metas)
    linked = read_jsonld(gathered.scripts, url=document.url)
    og_type = (meta.first("og:type") or "").lower()
    declared_name = meta.first("og:site_name", "application-name")
    languages = _languages(root, meta, linked)
    page_title = _page_title(gathered)
    site = site_of(document.url, (declared_name, *linked.site_names))
    title = read_title(
        leaves,
        meta,
        linked,
        page_title=page_title,
        site=site,
        url=document.url,
        entry_title=entry.title if entry else None,
    )
    title_box = title.box if title else None
    dates = read_dates(
        document,
        gathered,
        leaves,
        meta,
        linked,
        title=title_box,
        languages=languages,
        entry_at=entry.published_at if entry else None,
    )
    return Metadata(
        title=title.text if title else None,
        title_box=title_box,
        authors=read_authors(document, leaves, meta, linked, title=title_box, site=site),
        published_at=dates.published_at,
        published_on=dates.published_on,
        published_from=dates.published_from,
        modified_at=dates.modified_at,
        modified_on=dates.modified_on,
        languages=languages,
        section=_line(next(iter(linked.names("articleSection")), None) or meta.first(*_SECTIONS), 100),
        tags=_tags(meta, linked),
        site_name=_line(declared_name or next(iter(linked.names("publisher")), None), 200),
        summary=_summary(meta, linked),
        canonical_url=_canonical(gathered, meta, document),
        licence=_licence(gathered, meta, linked, document),
        tdm_reservation=_tdm_reservation(document, meta),
        paywalled=_paywalled(meta, linked),
        images=declared_pictures(root, meta.by_name, linked.images(), base_url=document.base_url),
        page_title=page_title,
        article_body=linked.string("articleBody"),
        types=linked.types | ({og_type} if og_type else frozenset()),
        is_declared_article=bool(linked.article) or og_type == "article",
    )


def _page_title(gathered: Gathered) -> str | None:
    return None if gathered.title is None else _line("".join(str(part) for part in gathered.title.itertext()))


def _line(raw: str | None, limit: int = 1_000) -> str | None:
    return clean_line(raw, limit) or None if raw else None


def _languages(root: lxml.html.HtmlElement, meta: Meta, linked: JsonLd) -> tuple[str, ...]:
    declared = [
        *linked.names("inLanguage"),
        root.get("lang"),
        root.get("xml:lang"),
        *meta.all("content-language", "language", "dc.language", "og:locale"),
    ]
    return tuple(dict.fromkeys(tag for raw in declared if (tag := language_tag(raw))))


def _tags(meta: Meta, linked: JsonLd) -> tuple[str, ...]:
    for source in (linked.names("keywords"), *(meta.all(name) for name in _TAGS)):
        parts = (part for value in source for part in _TAG_SEPARATOR.split(value[:MAX_SUMMARY]))
        tags = dict.fromkeys(tag for part in parts if (tag := clean_line(plain(part), 100)))
        if tags:
            return tuple(tags)[:MAX_TAGS]
    return ()


def _summary(meta: Meta, linked: JsonLd) -> str | None:
    voices = (meta.first(_SUMMARIES[0]), linked.string("description"), meta.first(*_SUMMARIES[1:]))
    return next((text for voice in voices if voice and (text := clean_line(plain(voice), MAX_SUMMARY))), None)


def _canonical(gathered: Gathered, meta: Meta, document: Document) -> str | None:
    """What the page calls its own address; only of the same site, and never the front page for a deeper one."""
    if document.url is None:
        return None
    link = next((one for one in gathered.links if "canonical" in (one.get("rel") or "").lower().split()), None)
    for raw in (link.get("href") if link is not None else None, meta.first("og:url")):
        url = usable_url(raw, document.url) if raw else None
        if url and gate_key(url) == gate_key(document.url) and _is_as_deep(url, document.url):
            return url
    return None


def _is_as_deep(url: str, page: str) -> bool:
    return bool(urlsplit(url).path.strip("/")) or not urlsplit(page).path.strip("/")


def _licence(gathered: Gathered, meta: Meta, linked: JsonLd, document: Document) -> str | None:
    if named := linked.string("license"):
        return clean_line(named, 300)
    anchors = elements_at(_LICENCES, document.root) if _LICENCE_TRACE in document.source else []
    for element in (*gathered.links, *anchors[:MAX_LINKS]):
        if "license" in (element.get("rel") or "").lower().split() and (
            url := usable_url(element.get("href") or "", document.base_url)
        ):
            return url
    return _line(meta.first("dcterms.license", "dc.rights.license", "license"), 300)


def _tdm_reservation(document: Document, meta: Meta) -> str | None:
    """Source: TDM Reservation Protocol, W3C community group report: a header, or a meta element; "1" is reserved."""
    value = (document.header("tdm-reservation") or meta.first("tdm-reservation") or "").strip()
    return value if value in {"0", "1"} else None


def _paywalled(meta: Meta, linked: JsonLd) -> bool | None:
    free = linked.article.get("isAccessibleForFree")
    said = _FREE.get(str(free).strip().rsplit("/", 1)[-1].lower()) if free is not None else None
    if said is not None:
        return not said
    tier = (meta.first("article:content_tier") or "").lower()
    if tier in _PAID_TIERS:
        return True
    return False if tier == "free" else None
