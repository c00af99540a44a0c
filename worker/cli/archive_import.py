"""``newsmill archive import``: an existing archive of readable documents becomes articles."""

# ruff: noqa: PLC0415 - the stages bring every library of the line with them: not for `--help`

from __future__ import annotations

import json
import os
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from worker.cli import show
from worker.cli.doors import opened_deps

if TYPE_CHECKING:
    from worker.stages.importing import Imported


def import_documents(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Documents, in folders of any depth.")],
    *,
    feed: Annotated[
        str | None,
        typer.Option("--feed", metavar="SLUG", help="The feed they belong to. Default: each file's folder names it."),
    ] = None,
    publish: Annotated[
        bool, typer.Option("--publish", help="Publish the articles, also those that an earlier import did not.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would become of each file; write nothing.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Import a folder of readable documents; the articles keep their dates, and nothing is published by itself.

    Each file's outcome is listed. What is known already stays as it is, so the same folder may be imported again, and a
    run that was stopped goes on. A feed that is not known is made, switched off. Exit code 1: a file could not be
    imported, or the run was stopped.
    """
    from worker.stages.importing import FAILURES
    from worker.stages.importing import import_documents as imported_from

    _check(folder, feed)
    began = time.monotonic()
    with opened_deps() as deps:
        files = imported_from(deps, folder, feed=feed, publish=publish, dry_run=dry_run)
        with _progress() as advanced:
            tally = _list(advanced(files), as_json=as_json, dry_run=dry_run)
        is_stopped = deps.stopping.is_set()
    if not as_json:
        _sum_up(tally, time.monotonic() - began, publish=publish, dry_run=dry_run)
    if is_stopped:
        show.warning("Stopped before the end: the same command goes on.")
    if is_stopped or any(tally[outcome] for outcome in FAILURES):
        raise typer.Exit(1)


def _check(folder: Path, feed: str | None) -> None:
    """Raises: typer.BadParameter: it is no folder, or no slug."""
    from worker.feeds.feedlist import SLUG

    if not folder.is_dir():
        raise typer.BadParameter(f"{folder} is no folder.", param_hint="FOLDER")
    if feed is not None and not SLUG.fullmatch(feed):
        raise typer.BadParameter(f"{feed!r}: a slug is a-z, 0-9 and -, at most 63.", param_hint="--feed")


def _list(files: Iterable[Imported], *, as_json: bool, dry_run: bool) -> Counter[str]:
    """Tell each file's outcome as it comes: there may be a million. Returns: how many had which."""
    tally: Counter[str] = Counter()
    if as_json:
        typer.echo('{"files": [', nl=False)
    for number, one in enumerate(files):
        tally[one.outcome.value] += 1
        if as_json:
            typer.echo(("," if number else "") + "\n" + json.dumps(_facts(one)), nl=False)
        else:
            detail = f"  ({one.detail})" if one.detail else ""
            show.line(f"{one.outcome.value:15} {_name(one.path)}{detail}")
    if as_json:
        typer.echo(f'\n], "outcomes": {json.dumps(tally)}, "dry_run": {json.dumps(dry_run)}}}')
    return tally


def _facts(one: Imported) -> dict[str, Any]:
    return {
        "path": _name(one.path),
        "outcome": one.outcome.value,
        "detail": one.detail,
        "article_id": one.article_id,
        "revision": one.revision,
    }


def _name(path: Path) -> str:
    """A path that can be printed, whatever bytes are in it."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def _sum_up(tally: Counter[str], took_s: float, *, publish: bool, dry_run: bool) -> None:
    files = tally.total()
    outcomes = ", ".join(f"{count} {outcome}" for outcome, count in tally.most_common()) or "nothing"
    show.line(f"{show.count(files, 'file')} in {show.span(took_s)} ({files / max(took_s, 0.001):.0f}/s): {outcomes}.")
    if dry_run:
        show.line("Nothing was written.")
    elif publish and tally["published"] + tally["revision"]:
        show.line("The line publishes them, behind all news: worker and beat do, or `newsmill once`.")
    elif tally["imported"]:
        show.line("Nothing is published: the same command with --publish does that.")


# ---------------------------------------------------------------- doors


@contextmanager
def _progress() -> Iterator[Any]:
    """How many files are done and how fast, on a terminal's standard error; a pipe shows nothing."""
    if not sys.stderr.isatty():
        yield lambda files: files
        return
    columns = (SpinnerColumn(), TextColumn("{task.completed} files"), TextColumn("{task.fields[rate]}/s"))
    console = Console(stderr=True)
    together = sys.stdout.isatty()  # then the list scrolls above the progress; a pipe's must stay in the pipe
    with Progress(*columns, TimeElapsedColumn(), console=console, transient=True, redirect_stdout=together) as progress:
        task, began = progress.add_task("", total=None, rate="…"), time.monotonic()

        def advanced(files: Iterable[Imported]) -> Iterator[Imported]:
            for number, one in enumerate(files, start=1):
                yield one
                progress.update(task, advance=1, rate=f"{number / max(time.monotonic() - began, 0.001):.0f}")

        yield advanced
