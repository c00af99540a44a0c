"""``newsmill archive``: the bytes of what was kept."""

# ruff: noqa: PLC0415 - stores and readers are imported by the command that needs them: `--help` stays quick

from __future__ import annotations

import sys
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from worker.cli import context
from worker.cli.articles import ID_DIGITS, article_rows, is_article_id
from worker.cli.doors import opened_ledger
from worker.errors import UsageError

if TYPE_CHECKING:
    from worker.archive.store import Store
    from worker.ledger.tables import Row

archive_app = typer.Typer(no_args_is_help=True, help="The originals and what was made of them.")


class Part(StrEnum):
    """What of an article."""

    PAGE = "page"
    PICTURE = "picture"
    DOCUMENT = "document"
    WARC = "warc"


@archive_app.callback()
def _group() -> None:
    """One command is a group too: there will be more."""


@archive_app.command("get")
def get(
    subject: Annotated[
        str, typer.Argument(metavar="KEY|ID", help="A key of the archive (a message's *_ref), or an article's id.")
    ],
    part: Annotated[
        Part | None, typer.Option("--part", help="Of an article: its page (default), picture, document or bundle.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="Write here, not to standard output.")
    ] = None,
) -> None:
    """Write the bytes under a key, or of an article: its page as the site sent it, content coding undone."""
    from worker import wiring

    store = wiring.open_store(context.settings())
    if not is_article_id(subject):
        if part is not None:
            raise typer.BadParameter("--part goes with an article's id; a key names one object already.")
        data = store.get(_key(subject))
    else:
        with opened_ledger() as ledger, ledger.reading() as connection:
            row = article_rows(connection, subject)[0]
        data = _part(store, row, part or Part.PAGE)
    _write(data, output)


def _key(said: str) -> str:
    """Raises: typer.BadParameter: it is no key."""
    from worker.archive.store import checked_key

    try:
        return checked_key(said)
    except UsageError as error:
        raise typer.BadParameter(str(error)) from error


def _part(store: Store, row: Row, part: Part) -> bytes:
    """Raises: UsageError: the article has no such part (yet)."""
    kept, picture = row.archive or {}, row.picture or {}
    if part is Part.PAGE:
        return _page(store, row)
    key = picture.get("ref") if part is Part.PICTURE else kept.get(part.value)
    if key is None:
        reason = f" ({picture['problem']})" if part is Part.PICTURE and picture.get("problem") else ""
        raise UsageError(
            f"Article {row.article_id[:ID_DIGITS]} has no {part.value}{reason}: it is {row.state}. "
            f"`newsmill why {row.article_id[:ID_DIGITS]}` tells its story."
        )
    return store.get(key)


def _page(store: Store, row: Row) -> bytes:
    """The page's body, from the bundle or, before there is one, from the spool."""
    from worker.archive.bundle import find_payload
    from worker.archive.exchange import read_exchange

    kept, exchange = row.archive or {}, row.exchange or {}
    if kept.get("payload_sha256"):
        page = find_payload(store.get(kept["warc"]), kept["record_id"])
        return _inflated(page.headers, page.payload)
    if exchange.get("key") and not kept:
        hop = read_exchange(store.get(exchange["key"])).final
        return _inflated(hop.headers, hop.body)
    raise UsageError(
        f"Article {row.article_id[:ID_DIGITS]} has no page of its own: "
        + ("the feed's text is all there is." if kept else f"it is {row.state}, nothing was fetched yet.")
    )


def _inflated(headers: Sequence[tuple[str, str]], body: bytes) -> bytes:
    """A body with its content coding undone, as far as it goes: one that was cut is shown all the same."""
    from worker.fetch.coding import Inflater, content_codings

    codings = content_codings(headers)
    if not codings:
        return body
    cap_bytes = context.settings().page_cap_bytes
    return b"".join(Inflater(codings, cap_bytes).feed(body))[:cap_bytes]


def _write(data: bytes, output: Path | None) -> None:
    if output is None:
        if sys.stdout.isatty() and not _is_text(data):
            raise UsageError(f"This is no text ({len(data)} bytes): write it to a file with -o FILE.")
        typer.echo(data, nl=False)
        return
    try:
        output.write_bytes(data)
    except OSError as error:
        raise UsageError(f"Cannot write {output}: {error.strerror}. Say another -o FILE.") from error


def _is_text(data: bytes) -> bool:
    """Is this safe to show on a terminal?"""
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return all(character.isprintable() or character in "\n\r\t" for character in text)
