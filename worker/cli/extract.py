"""``newsmill extract``: one extraction of a page, from a file or the web. No database, no broker."""

# ruff: noqa: PLC0415 - the extraction's libraries take a while to import: `--help` does without them

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from worker.cli import context, show
from worker.errors import UsageError
from worker.urls import usable_url

if TYPE_CHECKING:
    from worker.model import ArticleRecord

Fetched = tuple[bytes, str | None, Sequence[tuple[str, str]]]

PAGE_ACCEPT = "text/html,application/xhtml+xml;q=0.9,*/*;q=0.5"
OK = 200


class Form(StrEnum):
    """How the article is written."""

    JSON = "json"
    MARKDOWN = "markdown"
    DOCUMENT = "document"
    TEXT = "text"


def extract(
    page: Annotated[str, typer.Argument(metavar="URL|FILE", help="A page's URL, or a file with its HTML.")],
    url: Annotated[
        str | None,
        typer.Option("--url", metavar="U", help="Where a file's page came from: its links are relative to it."),
    ] = None,
    form: Annotated[Form, typer.Option("--format", help="What to print.")] = Form.JSON,
    as_json: Annotated[bool, typer.Option("--json", help="The same as --format json.")] = False,
) -> None:
    """Extract one article and print it. Exits 1 when the page is no article.

    A URL is requested once, for you: robots.txt is not asked, the address guard applies.
    """
    from worker.extract.article import extract_article

    html, came_from, headers = _page(page, url)
    record = extract_article(html, came_from, headers)
    if as_json or form is Form.JSON:
        show.as_json(record_facts(record))
    elif record.not_article is None:
        typer.echo(_written(record, form, came_from), nl=False)
    if record.not_article is not None:
        show.warning(f"newsmill: this is no article ({record.not_article}).")
        raise typer.Exit(1)


def _page(page: str, url: str | None) -> Fetched:
    """The page's bytes, its URL and its response's headers.

    Raises:
        typer.BadParameter: a URL that is none.
        UsageError: a file that cannot be read, or an answer that is no page. What the door raises, besides.
    """
    came_from = usable_url(url) if url is not None else None
    if url is not None and came_from is None:
        raise typer.BadParameter(f"{url!r} is no http(s) URL.", param_hint="--url")
    path = Path(page)
    if page.lower().startswith(("http://", "https://")):
        return _fetched(page, came_from)
    try:
        return _capped(path), came_from, ()
    except OSError as error:
        raise UsageError(
            f"Cannot read {page}: {error.strerror or error}. Say a file, or a URL with http:// or https://."
        ) from error


def _capped(path: Path) -> bytes:
    """No more of a file than of a page."""
    with path.open("rb") as file:
        return file.read(context.settings().page_cap_bytes)


def _fetched(page: str, came_from: str | None) -> Fetched:
    from worker import wiring
    from worker.fetch.coding import decoded_body
    from worker.fetch.http import FetchRequest

    target = usable_url(page)
    if target is None:
        raise typer.BadParameter(f"{page!r} is no URL that can be requested.")
    settings = context.settings()
    request = FetchRequest(
        url=target,
        accept=PAGE_ACCEPT,
        cap_bytes=settings.page_cap_bytes,
        total_timeout_s=settings.fetch_timeout_s,
    )
    fetcher = wiring.open_fetcher(settings)
    try:
        hop = fetcher.fetch(request, may_visit=lambda _target: None).final
    finally:
        fetcher.close()
    if hop.status != OK:
        raise UsageError(f"{hop.url} answered with HTTP {hop.status}: there is no page to read.")
    return decoded_body(hop, settings.page_cap_bytes), came_from or hop.url, hop.headers


def record_facts(record: ArticleRecord) -> dict[str, Any]:
    """The record as JSON shows it: the message's names; of the pictures only the chosen one."""
    import msgspec

    facts: dict[str, Any] = msgspec.to_builtins(record)
    del facts["image_candidates"], facts["furniture"]
    return facts


def _written(record: ArticleRecord, form: Form, url: str | None) -> bytes:
    from worker.archive.document import render_document

    if form is Form.DOCUMENT:
        undated = record.published_at or datetime.fromtimestamp(0, UTC)
        return render_document(record, feed_date=record.published_at, discovered_at=undated, url=url or "")
    text = record.markdown if form is Form.MARKDOWN else record.text
    return f"{text}\n".encode("utf-8", "replace")
