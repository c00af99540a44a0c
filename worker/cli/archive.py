"""``newsmill archive``: the bytes of what was kept."""

# ruff: noqa: PLC0415 - stores and readers are imported by the command that needs them: `--help` stays quick

from __future__ import annotations

import sys
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from worker.cli import context, show
from worker.cli.archive_compact import compact
from worker.cli.archive_export import export
from worker.cli.archive_import import import_documents
from worker.cli.archive_verify import verify
from worker.cli.articles import ID_DIGITS, article_rows, is_article_id, when
from worker.cli.doors import now_utc, opened_ledger
from worker.errors import UsageError

if TYPE_CHECKING:
    from worker.archive.store import Store
    from worker.ledger.session import Ledger
    from worker.ledger.tables import Row

BUNDLED = ("warc/", "feeds/")  # keys of what compaction moves
MAX_VALID_S = 7 * 86400  # what S3's signatures allow

archive_app = typer.Typer(no_args_is_help=True, help="The originals and what was made of them.")
archive_app.command("compact")(compact)
archive_app.command("export")(export)
archive_app.command("import")(import_documents)
archive_app.command("verify")(verify)


class Part(StrEnum):
    """What of an article."""

    PAGE = "page"
    PICTURE = "picture"
    DOCUMENT = "document"
    WARC = "warc"


@archive_app.command("get")
def get(
    subject: Annotated[
        str, typer.Argument(metavar="KEY|ID", help="A key of the archive (a message's *_ref), or an article's id.")
    ],
    *,
    part: Annotated[
        Part | None, typer.Option("--part", help="Of an article: its page (default), picture, document or bundle.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="Write here, not to standard output.")
    ] = None,
    url: Annotated[
        bool, typer.Option("--url", help="Print a signed URL instead, for whoever has no keys to the store (S3 only).")
    ] = False,
    valid: Annotated[
        str, typer.Option("--valid", metavar="SPAN", help="How long the URL works: 30min, 24h, 7d.")
    ] = "1h",
    as_json: Annotated[bool, typer.Option("--json", help="Print the signed URL as JSON.")] = False,
) -> None:
    """Write the bytes under a key, or of an article: its page as the site sent it, content coding undone.

    A bundle's key stays good when compaction has made the bundle part of a large file.
    """
    from worker import wiring

    if as_json and not url:
        raise typer.BadParameter("--json goes with --url: without it the bytes themselves are written.")
    store = wiring.open_store(context.settings())
    if url:
        _say_url(store, _key_of(subject, part), _valid_s(valid), as_json=as_json)
    elif is_article_id(subject):
        with opened_ledger() as ledger:
            _write(_part(ledger, store, subject, part or Part.PAGE), output)
    else:
        _write(_object(store, _named_key(subject, part)), output)


def _named_key(said: str, part: Part | None) -> str:
    """Raises: typer.BadParameter: it is no key, or a part of one is asked for."""
    from worker.archive.store import checked_key

    if part is not None:
        raise typer.BadParameter("--part goes with an article's id; a key names one object already.")
    try:
        return checked_key(said)
    except UsageError as error:
        raise typer.BadParameter(str(error)) from error


def _object(store: Store, key: str) -> bytes:
    """The bytes under a key; the ledger is asked only for a bundle that is no object of its own any more."""
    from worker.archive.store import MissingObjectError
    from worker.stages.kept import kept_bytes

    try:
        return store.get(key)
    except MissingObjectError:
        if not key.startswith(BUNDLED):
            raise
    with opened_ledger() as ledger:
        return kept_bytes(ledger, store, key)


def _part(ledger: Ledger, store: Store, article: str, part: Part) -> bytes:
    """Raises: UsageError: the article has no such part (yet)."""
    from worker.stages.kept import kept_bytes

    row = _row(ledger, article)
    if part is Part.PAGE:
        return _page(ledger, store, row)
    return kept_bytes(ledger, store, _part_key(row, part))


def _row(ledger: Ledger, article: str) -> Row:
    with ledger.reading() as connection:
        return article_rows(connection, article)[0]


def _part_key(row: Row, part: Part) -> str:
    """Raises: UsageError: the article has no such part (yet)."""
    picture = row.picture or {}
    key = picture.get("ref") if part is Part.PICTURE else (row.archive or {}).get(part.value)
    if key is None:
        reason = f" ({picture['problem']})" if part is Part.PICTURE and picture.get("problem") else ""
        raise UsageError(
            f"Article {row.article_id[:ID_DIGITS]} has no {part.value}{reason}: it is {row.state}. "
            f"`newsmill why {row.article_id[:ID_DIGITS]}` tells its story."
        )
    return str(key)


def _page(ledger: Ledger, store: Store, row: Row) -> bytes:
    """The page's body, from the bundle that holds it or, before there is one, from the spool."""
    from worker.archive.bundle import find_payload
    from worker.archive.exchange import read_exchange
    from worker.ledger import spool
    from worker.stages.kept import kept_bytes, page_place

    kept, exchange = row.archive or {}, row.exchange or {}
    if (at := page_place(kept)) is not None:
        page = find_payload(kept_bytes(ledger, store, at["warc"]), at["record_id"])
        return _inflated(page.headers, page.payload)
    if exchange.get("key") and not kept:
        with ledger.reading() as connection:
            body = spool.of_articles(connection, [row.id]).get(exchange["key"])
        hop = read_exchange(store.get(exchange["key"]) if body is None else body).final
        return _inflated(hop.headers, hop.body)
    name = row.article_id[:ID_DIGITS]
    raise UsageError(
        f"Article {name} has no page of its own: "
        + (
            f"its text came without one. `newsmill archive get {name} --part document` shows what there is."
            if kept
            else f"it is {row.state}, nothing was fetched yet."
        )
    )


# ---------------------------------------------------------------- signed URLs


def _key_of(subject: str, part: Part | None) -> str:
    if not is_article_id(subject):
        return _named_key(subject, part)
    if part is None or part is Part.PAGE:
        raise typer.BadParameter("a page lies in its bundle: say --part warc, or picture or document.")
    with opened_ledger() as ledger:
        return _part_key(_row(ledger, subject), part)


def _valid_s(said: str) -> int:
    """Raises: typer.BadParameter: no length of time, or none that a signature may have."""
    now = now_utc()
    since = when(said, now)
    seconds = round((now - since).total_seconds()) if since is not None else 0
    if not 0 < seconds <= MAX_VALID_S:
        raise typer.BadParameter(f"{said!r}: a signed URL works for 1s to 7d.")
    return seconds


def _say_url(store: Store, key: str, valid_s: int, *, as_json: bool) -> None:
    from worker.ledger.bundles import Place, place_of

    place = Place(key=key)
    if key.startswith(BUNDLED) and not store.exists(key):
        with opened_ledger() as ledger, ledger.reading() as connection:
            place = place_of(connection, key)
    signed = store.signed_url(place.key, valid_s=valid_s)
    if as_json:
        show.as_json({"url": signed, "start": place.start, "length": place.length, "valid_s": valid_s})
        return
    typer.echo(signed)
    if place.length is not None:
        last = place.start + place.length - 1
        show.warning(f"The bundle is part of a large file: ask with the header Range: bytes={place.start}-{last}.")


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
