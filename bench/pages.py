"""The pages that are measured, and what their extraction alone costs.

Recorded pages where there are any (a folder of ``*.html.gz``, not part of this repository), else made ones. Their
pictures lie on hosts that cannot be reached from here, so every mention of one is taken out: then neither the line nor
the bare loop asks for any. With ``--pictures`` each page names one of the news server's own instead.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import multiprocessing
import re
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from html import escape, unescape
from itertools import count, islice
from pathlib import Path
from typing import Self

from PIL import Image, ImageDraw

from worker.extract.article import extract_article
from worker.model import Entry

PAGE_TYPE = "text/html"  # no charset: the pages say it themselves
FEED_TYPE = "application/rss+xml; charset=utf-8"
SENTENCE = "One sentence about it, as the feeds of most publishers have it."
STAND_IN = "http://127.0.1.1:8080/news/1.html"  # extraction asks nothing of its page's address
WARM_PAGES = 12
CHUNK = 10
DRIFT_SHARE = 4  # every fourth page
FIRST_DATE = datetime(2025, 1, 17, 6, 0, tzinfo=UTC)

_PICTURE_TAG = re.compile(rb"<(img|source|amp-img)\b[^>]*>", re.IGNORECASE)
_PICTURE_META = re.compile(rb"<meta\b[^>]*?\b(?:name|property|itemprop)\s*=\s*[\"']?[^\"'>]*image[^>]*>", re.IGNORECASE)
_PICTURE_LINK = re.compile(rb"<link\b[^>]*(?:image_src|as=[\"']?image)[^>]*>", re.IGNORECASE)
_PICTURE_KEY = re.compile(rb'"(image|thumbnail|thumbnailUrl|contentUrl|primaryImageOfPage)"(\s*:)')
_TITLE = re.compile(rb"<title[^>]*>([^<]{3,300})</title", re.IGNORECASE)
_HEAD = re.compile(rb"<head\b[^>]*>", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """A page that the line takes for an article without a picture."""

    title: str
    html: bytes
    extract_s: float  # CPU of one ``extract_article``, with as many of them side by side as the line has children


def recorded(folder: Path) -> Iterator[bytes]:
    """Every page of the folders below, in an order that mixes their sources and is always the same."""
    for path in sorted(folder.glob("**/*.html.gz"), key=lambda path: hashlib.sha256(path.name.encode()).digest()):
        yield without_pictures(gzip.decompress(path.read_bytes()))


def made() -> Iterator[bytes]:
    """Plain pages of our own without end, each with another text."""
    return (_made(number) for number in count())


def _made(number: int) -> bytes:
    paragraphs = "".join(
        f"<p>In part {place} of report {number} the harbour council of Lower Quay {number} said that ferry "
        f"{place + number} would sail again after {number + 3} weeks of repairs, which cost the town "
        f"{number * 113 + place * 17} crowns and a good deal of patience on both banks of the river.</p>"
        for place in range(1, 9)
    )
    links = "".join(f'<li><a href="/section/{place}">Section {place}</a></li>' for place in range(40))
    title = f"Ferry report {number}"
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title></head><body>'
        f"<nav><ul>{links}</ul></nav><main><article><h1>{title}</h1>{paragraphs}</article></main>"
        "<footer><p>All rights reserved.</p></footer></body></html>"
    ).encode()


def without_pictures(html: bytes) -> bytes:
    """The same page, naming no picture: tags stay, their attributes go."""
    html = _PICTURE_TAG.sub(rb"<\1>", html)
    html = _PICTURE_META.sub(b"", html)
    html = _PICTURE_LINK.sub(b"", html)
    return _PICTURE_KEY.sub(rb'"no-\1"\2', html)


def with_picture(html: bytes, url: str) -> bytes:
    """The same page, naming this picture for its article's."""
    meta = f'<meta property="og:image" content="{escape(url)}">'.encode()
    named, places = _HEAD.subn(lambda head: head.group() + meta, html, count=1)
    return named if places else meta + html


def picture(number: int) -> bytes:
    """A JPEG of a news picture's usual size, another one for each number."""
    image = Image.new("RGB", (900, 506), (200, 215, 225))
    draw = ImageDraw.Draw(image)
    for place in range(40):
        left, top = (number * 37 + place * 97) % 860, (number * 53 + place * 61) % 470
        draw.ellipse((left, top, left + 60, top + 45), fill=(place * 6, 90 + number % 120, 150))
    data = io.BytesIO()
    image.save(data, "JPEG", quality=85)
    return data.getvalue()


class Extractors:
    """The line's extraction in processes of its own, side by side as on the line, and its CPU. Warm from the start.

    Args:
        pages: Read by each process before its first page counts.
        children: How many processes.
    """

    def __init__(self, pages: Sequence[bytes], *, children: int) -> None:
        self._children = children
        context = multiprocessing.get_context("spawn")
        self._pool = ProcessPoolExecutor(children, mp_context=context, initializer=_warm, initargs=(pages,))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown()

    def chosen(self, pages: Iterable[bytes], wanted: int) -> list[Page]:
        """The first pages that are articles without a picture, for the extraction as it is; measured on the way.

        With too few of them they come again; a line that follows many sites meets agency texts again, too.
        Raises: ValueError: none of the pages is one.
        """
        given = iter(pages)
        found: list[Page] = []
        while len(found) < wanted and (portion := list(islice(given, CHUNK * self._children * 2))):
            found.extend(self._read(portion))
        if not found:
            raise ValueError("none of these pages is an article")
        return [found[number % len(found)] for number in range(wanted)]

    def drift(self, pages: Sequence[Page]) -> float:
        """How much dearer than when it was first measured an extraction is now: neighbours slow a machine down.

        Returns: The CPU of some of the pages now, divided by theirs then.
        """
        some = pages[::DRIFT_SHARE]
        now_s = sum(page.extract_s for page in self._read([page.html for page in some]))
        return now_s / sum(page.extract_s for page in some)

    def _read(self, pages: Sequence[bytes]) -> list[Page]:
        chunks = [pages[at : at + CHUNK] for at in range(0, len(pages), CHUNK)]
        return [page for measured in self._pool.map(_measured, chunks) for page in measured]


def _warm(pages: Sequence[bytes]) -> None:
    """First uses load tables: half a second that belongs to the process, not to its first page."""
    for html in pages:
        extract_article(html, STAND_IN, (), entry_of("A title", STAND_IN))


def _measured(pages: Sequence[bytes]) -> list[Page]:
    found = []
    for html in pages:
        title = title_of(html)
        entry = entry_of(title, STAND_IN)
        before_s = time.process_time()
        record = extract_article(html, STAND_IN, (("Content-Type", PAGE_TYPE),), entry)
        extract_s = time.process_time() - before_s
        if record.not_article is None and not record.image_candidates:
            found.append(Page(title=title, html=html, extract_s=extract_s))
    return found


def title_of(html: bytes) -> str:
    """What a feed would call the page."""
    found = _TITLE.search(html)
    return " ".join(unescape(found.group(1).decode("utf-8", "replace")).split())[:120] if found else "Without a title"


def entry_of(title: str, url: str) -> Entry:
    """What ``feed`` says of an article, as the line reads it."""
    return Entry(guid=url, url=url, title=title, summary_html=SENTENCE, published_at=FIRST_DATE)


def feed(title: str, articles: Sequence[tuple[str, str]]) -> bytes:
    """An RSS document of (title, URL) pairs, newest first, with a sentence for each."""
    items = "".join(
        f"<item><title>{escape(name)}</title><link>{escape(url)}</link><guid>{escape(url)}</guid>"
        f"<pubDate>{format_datetime(FIRST_DATE - timedelta(minutes=place), usegmt=True)}</pubDate>"
        f"<description>{escape(SENTENCE)}</description></item>"
        for place, (name, url) in enumerate(articles)
    )
    return (
        '<?xml version="1.0" encoding="UTF-8"?><rss version="2.0"><channel>'
        f"<title>{escape(title)}</title><link>https://news.example/</link>{items}</channel></rss>"
    ).encode()
