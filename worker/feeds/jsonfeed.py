"""JSON Feed 1.0 and 1.1. Source: jsonfeed.org/version/1.1."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from html import escape
from typing import Any

from worker.errors import QuarantineError
from worker.feeds.dates import newest, read_date
from worker.model import LONGEST_TITLE, Enclosure, Entry, ParsedFeed
from worker.text import clean_line
from worker.urls import usable_url


def read(document: Any, *, url: str, max_entries: int, now: datetime, warnings: tuple[str, ...]) -> ParsedFeed:
    """A parsed JSON document as a feed. Raises: QuarantineError: ``not-a-feed``: it is other JSON."""
    if not isinstance(document, Mapping) or not isinstance(document.get("items"), list):
        raise QuarantineError("not-a-feed", "it is JSON, but not a JSON Feed: there is no list of items")
    items = [item for item in document["items"] if isinstance(item, Mapping)]
    left_out = max(0, len(items) - max_entries)
    damaged = len(items) < len(document["items"])
    if left_out:
        dates = [_line(item.get("date_published") or item.get("date_modified")) for item in items]
        items = [items[place] for place in newest([read_date(date, now=now) for date in dates], max_entries)]
    version = str(document.get("version", "")).rpartition("/")[2]
    return ParsedFeed(
        format=f"json-{version if version in {'1', '1.1'} else '1'}",
        title=_line(document.get("title")),
        language=_line(document.get("language")),
        home_url=_url(document.get("home_page_url"), url),
        entries=tuple(_entry(item, url, now) for item in items),
        entries_left_out=left_out,
        hub_url=_hub_url(document, url),
        topic_url=_url(document.get("feed_url"), url),
        damaged=damaged,
        warnings=warnings,
    )


def _entry(item: Mapping[str, Any], base: str, now: datetime) -> Entry:
    raw_date = item.get("date_published")
    guid = item.get("id")
    text = _text(item.get("content_text"))
    authors = [*_mappings(item.get("authors")), *_mappings([item.get("author")])]
    images = [found for name in ("image", "banner_image") if (found := _url(item.get(name), base)) is not None]
    return Entry(
        guid=clean_line(str(guid)) if isinstance(guid, str | int | float) and str(guid) else None,
        url=_url(item.get("url"), base) or _url(item.get("external_url"), base),
        title=_line(item.get("title")),
        title_raw=_raw_title(item.get("title")),
        summary_html=_text(item.get("summary")),
        content_html=_text(item.get("content_html")) or (f"<p>{escape(text)}</p>" if text else None),
        published_at=read_date(_line(raw_date), now=now),
        updated_at=read_date(_line(item.get("date_modified")), now=now),
        date_raw=_line(raw_date),
        authors=tuple(name for author in authors if (name := _line(author.get("name")))),
        categories=tuple(tag for one in _list(item.get("tags")) if (tag := _line(one))),
        language=_line(item.get("language")),
        enclosures=tuple(
            Enclosure(url=found, media_type=_line(one.get("mime_type")), title=_line(one.get("title")))
            for one in _mappings(item.get("attachments"))
            if (found := _url(one.get("url"), base))
        ),
        images=tuple(Enclosure(url=found) for found in images),
    )


def _hub_url(document: Mapping[str, Any], base: str) -> str | None:
    """The first hub of WebSub; others speak rssCloud."""
    named = (one for one in _mappings(document.get("hubs")) if str(one.get("type")).lower() == "websub")
    return next((found for one in named if (found := _url(one.get("url"), base))), None)


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _mappings(value: Any) -> list[Mapping[str, Any]]:
    return [one for one in _list(value) if isinstance(one, Mapping)]


def _text(value: Any) -> str | None:
    if not isinstance(value, str) or not value.strip():
        return None
    return value.encode("utf-8", "replace").decode("utf-8")


def _line(value: Any) -> str | None:
    return (clean_line(value) or None) if isinstance(value, str) else None


def _raw_title(value: Any) -> str | None:
    text = (_text(value) or "").strip()
    return text if text not in {"", _line(value)} and len(text) <= LONGEST_TITLE else None


def _url(value: Any, base: str) -> str | None:
    return usable_url(value, base) if isinstance(value, str) and value.strip() else None
