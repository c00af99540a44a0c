"""newsmill and the libraries it is measured against, called alike: a page's bytes and its address in, the article out.

Each library as its documentation shows it, with text and metadata asked for. The libraries are no dependencies: they
are imported when they are measured, and ``make bench-extract`` installs them in a place of their own.
"""

# ruff: noqa: PLC0415 - the libraries need not be there

from __future__ import annotations

import json
import logging
import socket
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import lxml.html

from bench.extraction_pages import FOLDS, fold_of
from worker.extract import scorer
from worker.extract.article import extract_article

NEWSMILL = "newsmill"
BASELINE = "trafilatura"  # in its default setting: what ratios refer to
NO_URL = "https://news.example/article"  # for a library that takes no page without an address

_BLOCKS = (
    "p", "div", "h1", "h2", "h3", "h4", "h5", "h6", "li", "tr", "td", "th", "blockquote", "pre", "br", "figcaption",
    "dd", "dt",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Extracted:
    """What came out of a page; None where the extractor does not say."""

    text: str = ""
    title: str | None = None
    author: str | None = None  # several joined by ", "
    date: str | None = None  # ISO 8601
    image: str | None = None
    dek: str | None = None  # which the page shows above the text, and which is not in it
    confidence: float | None = None
    not_article: str | None = None  # why the page is called none


Extractor = Callable[[bytes, str | None], Extracted]


class MissingPeerError(Exception):
    """A library that is to be measured is not installed."""


def extractors(names: list[str]) -> dict[str, Extractor]:
    """Those that were asked for, ready to be called.

    Raises: MissingPeerError: one is not installed.
    """
    try:
        return {name: EXTRACTORS[name]() for name in names}
    except ImportError as error:
        raise MissingPeerError(
            f"{error.name} is not installed: `make bench-extract` installs it, `--only newsmill` does without"
        ) from error


@contextmanager
def without_network() -> Iterator[None]:
    """No extractor may look anything up: a page is judged as it was served, and names are not asked for."""

    def refused(*_: object, **__: object) -> Any:
        raise OSError("the benchmark has no network")

    looked_up, connected = socket.getaddrinfo, socket.socket.connect
    socket.getaddrinfo, socket.socket.connect = refused, refused
    try:
        yield
    finally:
        socket.getaddrinfo, socket.socket.connect = looked_up, connected


def _newsmill(html: bytes, url: str | None) -> Extracted:
    record = extract_article(html, url)
    return Extracted(
        text=record.text,
        title=record.title,
        author=", ".join(record.authors) or None,
        date=record.published_at.isoformat() if record.published_at else None,
        image=record.image.url if record.image else None,
        dek=record.summary if record.summary_from == "dek" else None,  # other summaries are for search engines
        confidence=record.extraction.confidence,
        not_article=record.not_article,
    )


def held_out(models: Path) -> Extractor:
    """newsmill, but each page by a model that has learnt nothing from its site.

    Args:
        models: The folder of fold-0.json and so on, in the form of the shipped model. Each has learnt from all folds of
            the hosts but its own (see ``fold_of``).

    Raises: FileNotFoundError: one is missing.
    """
    by_fold = [
        scorer.read_model(json.loads((models / f"fold-{fold}.json").read_text("utf-8"))) for fold in range(FOLDS)
    ]

    def extract(html: bytes, url: str | None) -> Extracted:
        shipped = scorer.shipped_model
        scorer.shipped_model = lambda: by_fold[fold_of(url)]
        try:
            return _newsmill(html, url)
        finally:
            scorer.shipped_model = shipped

    return extract


def _trafilatura(**setting: bool) -> Extractor:
    import trafilatura

    logging.getLogger("trafilatura").setLevel(logging.CRITICAL)

    def extract(html: bytes, url: str | None) -> Extracted:
        found = trafilatura.bare_extraction(html, url=url, with_metadata=True, include_comments=False, **setting)
        if found is None:
            return Extracted()
        return Extracted(
            text=found.text or "", title=found.title, author=found.author, date=found.date, image=found.image
        )

    return extract


def _newspaper4k() -> Extractor:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import jieba  # sets its own level when it is first imported: newspaper would do so at its first Chinese page
        import newspaper

    jieba.setLogLevel(logging.CRITICAL)
    logging.getLogger("newspaper").setLevel(logging.CRITICAL)
    config = newspaper.Config()
    config.fetch_images = False

    def extract(html: bytes, url: str | None) -> Extracted:
        article = newspaper.Article(url or NO_URL, config=config)
        article.download(input_html=html)
        article.parse()
        date = article.publish_date
        return Extracted(
            text=article.text,
            title=article.title or None,
            author=", ".join(article.authors) or None,
            date=date.isoformat() if date else None,
            image=article.top_image or None,
        )

    return extract


def _readability() -> Extractor:
    from readability import Document

    logging.getLogger("readability").setLevel(logging.CRITICAL)

    def extract(html: bytes, url: str | None) -> Extracted:
        document = Document(html, url=url)
        return Extracted(text=_lines(document.summary()), title=document.short_title() or None)

    return extract


def _resiliparse() -> Extractor:
    from resiliparse.extract.html2text import extract_plain_text
    from resiliparse.parse.encoding import bytes_to_str, detect_encoding

    def extract(html: bytes, url: str | None) -> Extracted:  # noqa: ARG001
        return Extracted(text=extract_plain_text(bytes_to_str(html, detect_encoding(html)), main_content=True))

    return extract


def _lines(html: str) -> str:
    """HTML as text, each block on lines of its own."""
    root = lxml.html.document_fromstring(html)
    for element in root.iter(*_BLOCKS):
        element.tail = f"\n{element.tail or ''}"
    return str(root.text_content())


EXTRACTORS: Mapping[str, Callable[[], Extractor]] = {
    NEWSMILL: lambda: _newsmill,
    BASELINE: _trafilatura,
    "trafilatura fast": partial(_trafilatura, fast=True),
    "trafilatura precision": partial(_trafilatura, favor_precision=True),
    "trafilatura recall": partial(_trafilatura, favor_recall=True),
    "newspaper4k": _newspaper4k,
    "readability-lxml": _readability,
    "resiliparse": _resiliparse,
}
