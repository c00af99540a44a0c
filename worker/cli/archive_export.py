"""``newsmill archive export``: part of the archive as a file or folder that others can read."""

# ruff: noqa: PLC0415 - stores and the database's libraries are imported by the command that needs them

from __future__ import annotations

import threading
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from worker.cli import context, show
from worker.cli.archive_verify import LISTED, MB, Until, chosen_span, progress_bar
from worker.cli.articles import ID_DIGITS, AsJson, Ids, OfFeed, Since
from worker.cli.doors import now_utc, opened_ledger, stopped_by_signals
from worker.errors import UsageError

if TYPE_CHECKING:
    from worker.stages.export import Exported, Wanted


def export(
    ids: Ids = None,
    *,
    warc: Annotated[
        Path | None, typer.Option("--warc", metavar="FILE", help="One WARC (.warc.gz), and its index FILE.cdxj.")
    ] = None,
    wacz: Annotated[
        Path | None, typer.Option("--wacz", metavar="FILE", help="A WACZ, for ReplayWeb.page and other players.")
    ] = None,
    documents: Annotated[
        Path | None,
        typer.Option("--documents", metavar="FOLDER", help="The readable documents with their indexes, as for git."),
    ] = None,
    since: Since = None,
    until: Until = None,
    feed: OfFeed = None,
    force: Annotated[bool, typer.Option("--force", help="Write over a FILE that is there.")] = False,
    as_json: AsJson = False,
) -> None:
    """Write articles of the archive, all or these or those of a period or feed, as a WARC, a WACZ, or documents.

    A file is there as a whole or not at all. A folder is brought up to date: nothing in it is removed. Exit code 1:
    something was missing or damaged and had to be left out, or the run was stopped.
    """
    from worker import wiring
    from worker.ledger import kept
    from worker.stages.export import Wanted

    if [warc, wacz, documents].count(None) != 2:  # noqa: PLR2004 - one of three
        raise typer.BadParameter("say one of --warc FILE, --wacz FILE and --documents FOLDER.")
    if not force:
        _require_free(warc, warc and warc.with_name(f"{warc.name}.cdxj"), wacz)
    store = wiring.open_store(context.settings())
    with opened_ledger() as ledger, stopped_by_signals(threading.Event()) as stopping:
        span = chosen_span(ledger, ids or [], feed=feed, since=since, until=until)
        with ledger.reading() as connection:
            total = kept.count(connection, span)
        if not total:
            raise UsageError("No archived article matches: `newsmill articles list` shows what there is.")
        with progress_bar("export", total) as told:
            wanted = Wanted(ledger=ledger, store=store, span=span, told=told, stopping=stopping)
            exported = _exported(wanted, warc=warc, wacz=wacz, documents=documents)
    if exported is None:
        show.warning("Stopped: no file was written.")
        raise typer.Exit(1)
    if as_json:
        show.as_json(_facts(exported))
    else:
        _tell(exported, documents)
    if stopping.is_set():
        show.warning("Stopped before the end: the same command goes on.")
    if exported.left_out or stopping.is_set():
        raise typer.Exit(1)


def _require_free(*targets: Path | None) -> None:
    """Raises: UsageError: there is such a file."""
    for target in targets:
        if target is not None and target.exists():
            raise UsageError(f"{target} is there already: say another name, or --force to write over it.")


def _exported(wanted: Wanted, *, warc: Path | None, wacz: Path | None, documents: Path | None) -> Exported | None:
    """Returns: None: stopped before there was a file."""
    from worker.stages.export import StoppedError, export_documents, export_wacz, export_warc

    try:
        if warc is not None:
            return export_warc(wanted, warc)
        if wacz is not None:
            return export_wacz(wanted, wacz, now=now_utc())
    except StoppedError:
        return None
    assert documents is not None
    return export_documents(wanted, documents)


def _facts(exported: Exported) -> dict[str, Any]:
    return {
        "articles": exported.articles,
        "bundles": exported.bundles,
        "bytes": exported.bytes,
        "files": [{"path": path, "sha256": sha256} for path, sha256 in exported.files.items()],
        "changed": exported.changed,
        "left_out": [
            {"article_id": one.article_id, "revision": one.revision, "key": one.key, "reason": one.why}
            for one in exported.left_out
        ],
    }


def _tell(exported: Exported, folder: Path | None) -> None:
    done = f"Exported {show.count(exported.articles, 'article')}, {exported.bytes / MB:.1f} MB"
    if folder is not None:
        show.line(f"{done} to {folder}: {show.count(exported.changed, 'file')} new or changed.")
    else:
        show.line(f"{done}:")
        show.table(("file", "SHA-256"), list(exported.files.items()))
    for one in exported.left_out[:LISTED]:
        show.warning(f"{one.article_id[:ID_DIGITS]}:{one.revision} was left out: {one.why} ({one.key}).")
    if exported.left_out:
        show.warning("`newsmill archive verify` says what is damaged and how it comes back.")
