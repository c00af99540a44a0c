"""Sitemaps as a source: Google's news sitemaps, plain ones, and the indexes that list them.

A sitemap tells little: an address, for news a title and a date. ``lastmod`` is when a page changed, not when its news
came out, so it never passes for a publication date.

Source: sitemaps.org/protocol.html; Google's documentation of news and image sitemaps.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice

from lxml import etree

from worker.feeds.dates import LONGEST_DATE, read_date
from worker.model import Enclosure, Entry, ParsedFeed, Sitemap
from worker.text import clean_line, strip_tags
from worker.urls import usable_url

MOST_CHILDREN = 1000  # of one <url>; the protocol allows as many pictures


def read(
    root: etree._Element,
    *,
    url: str,
    max_entries: int,
    now: datetime,
    damaged: bool,
    last_is_cut: bool,
    left_out: int,
    warnings: tuple[str, ...],
) -> ParsedFeed:
    """The pages in a tree, or the sitemaps where it is an index; both at most ``max_entries``.

    Args:
        damaged: Something was lost before; goes into the result.
        last_is_cut: The document ends inside its last item, which is left out.
        left_out: How many were left out before.
    """
    is_index = _local(root) == "sitemapindex"
    items = [child for child in _elements(root) if _local(child) == ("sitemap" if is_index else "url")]
    if last_is_cut:
        del items[-1:]
    left_out += max(0, len(items) - max_entries)
    del items[max_entries:]
    if is_index:
        listed = [found for item in items if (found := _sitemap(item, url, now)) is not None]
        return ParsedFeed(
            format="sitemap-index",
            title=None,
            language=None,
            home_url=None,
            entries=(),
            sitemaps=tuple(listed),
            entries_left_out=left_out,
            damaged=damaged,
            warnings=warnings,
        )
    pages = [page for item in items if (page := _page(item, url)) is not None]
    news = [page for page in pages if page.is_news]
    languages = {page.language for page in news}
    return ParsedFeed(
        format="sitemap-news" if news else "sitemap",
        title=next((page.publication for page in news if page.publication), None),
        language=languages.pop() if len(languages) == 1 else None,
        home_url=None,
        entries=tuple(_entry(page, now) for page in pages),
        entries_left_out=left_out,
        damaged=damaged,
        warnings=warnings,
    )


@dataclass(slots=True)
class _Page:
    """What a ``<url>`` says."""

    url: str
    is_news: bool = False
    title: str | None = None
    published: str | None = None
    modified: str | None = None
    publication: str | None = None
    language: str | None = None
    keywords: list[str] = field(default_factory=list)
    images: list[Enclosure] = field(default_factory=list)


def _sitemap(item: etree._Element, base: str, now: datetime) -> Sitemap | None:
    said = {_local(child): _text(child) for child in islice(_elements(item), MOST_CHILDREN)}
    target = usable_url(said.get("loc", ""), base)
    return None if target is None else Sitemap(url=target, modified_at=read_date(said.get("lastmod"), now=now))


def _page(item: etree._Element, base: str) -> _Page | None:
    children = list(islice(_elements(item), MOST_CHILDREN))
    target = next((usable_url(_text(child), base) for child in children if _local(child) == "loc"), None)
    if target is None:
        return None
    page = _Page(target)
    for child in children:
        local = _local(child)
        if local == "lastmod":
            page.modified = _text(child) or None
        elif local == "news":
            page.is_news = True
            _read_news(page, child)
        elif local == "image" and (picture := _picture(child, base)) is not None:
            page.images.append(picture)
    return page


def _read_news(page: _Page, news: etree._Element) -> None:
    for child in islice(_elements(news), MOST_CHILDREN):
        local = _local(child)
        if local == "publication":
            said = {_local(one): _text(one) for one in islice(_elements(child), MOST_CHILDREN)}
            page.publication, page.language = _line(said.get("name")), _line(said.get("language"))
        elif local == "publication_date":
            page.published = _text(child) or None
        elif local == "title":
            page.title = _line(_text(child))
        elif local == "language":  # of the protocol's first version
            page.language = page.language or _line(_text(child))
        elif local == "keywords":
            page.keywords += [word for one in _text(child).split(",") if (word := clean_line(one, 200))]


def _picture(image: etree._Element, base: str) -> Enclosure | None:
    said = {_local(child): _text(child) for child in islice(_elements(image), MOST_CHILDREN)}
    target = usable_url(said.get("loc", ""), base)
    title = _line(said.get("caption")) or _line(said.get("title"))
    return None if target is None else Enclosure(url=target, title=title)


def _entry(page: _Page, now: datetime) -> Entry:
    raw = page.published or page.modified
    return Entry(
        guid=None,
        url=page.url,
        title=page.title,
        published_at=read_date(page.published, now=now),
        updated_at=read_date(page.modified, now=now),
        date_raw=clean_line(raw, LONGEST_DATE) if raw else None,
        categories=tuple(dict.fromkeys(page.keywords)),
        language=page.language,
        images=tuple(page.images),
    )


def _elements(element: etree._Element) -> Iterator[etree._Element]:
    return (child for child in element if isinstance(child.tag, str))


def _local(element: etree._Element) -> str:
    """The local name in lower case, whatever the namespace is, and whether or not its prefix was declared."""
    return str(element.tag).rpartition("}")[2].rpartition(":")[2].lower()


def _text(element: etree._Element) -> str:
    return ("".join(str(part) for part in element.itertext()) if len(element) else element.text or "").strip()


def _line(text: str | None) -> str | None:
    return clean_line(strip_tags(text or "")) or None
