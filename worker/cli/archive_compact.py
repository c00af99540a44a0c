"""``newsmill archive compact``: small bundles into large WARC files, now."""

# ruff: noqa: PLC0415 - stages bring every library of the line with them: not for `--help`

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TransferSpeedColumn

from worker.cli import show
from worker.cli.articles import ID_DIGITS
from worker.cli.doors import opened_deps

if TYPE_CHECKING:
    from worker.stages import Compaction, Deps

MB = 1_000_000


def compact(as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """Join the bundles of finished articles into large WARC files of NEWSMILL_WARC_BYTES, each with a CDXJ index.

    Upkeep does the same for files that are full; this makes all that can be made now. Every key stays good. Ctrl-C
    loses nothing: the next run goes on. Exit code 1: a bundle is missing or changed, or the run was stopped.
    """
    from worker import stages

    with opened_deps() as deps:
        with _progress(deps) as advanced:
            came_to = stages.compact(deps, advanced=advanced)
        is_stopped = deps.stopping.is_set()
    if as_json:
        show.as_json(_facts(came_to))
    else:
        _tell(came_to)
    if is_stopped:
        show.warning("Stopped before the end: the next `newsmill archive compact` goes on.")
    if came_to.damaged or is_stopped:
        raise typer.Exit(1)


def _facts(came_to: Compaction) -> dict[str, object]:
    return {
        "files": [
            {"warc": file.key, "index": file.index, "bundles": file.bundles, "bytes": file.size}
            for file in came_to.files
        ],
        "damaged": [
            {"key": one.key, "problem": one.problem, "article_id": one.article_id, "revision": one.revision}
            for one in came_to.damaged
        ],
        "held": came_to.held,
    }


def _tell(came_to: Compaction) -> None:
    if came_to.files:
        rows = [(file.bundles, f"{file.size / MB:.1f} MB", file.key) for file in came_to.files]
        show.table(("bundles", "size", "file"), rows)
    else:
        show.line("Nothing to compact: bundles are joined when their article is published and they are an hour old.")
    for one in came_to.damaged:
        whose = f"article {one.article_id[:ID_DIGITS]}:{one.revision}" if one.article_id else "a feed document"
        show.warning(f"{one.key} is {one.problem} and was left alone ({whose}): `newsmill archive verify` says more.")
    if came_to.held:
        files = show.count(came_to.held, "file")
        show.warning(f"{files} held by another run, at work or killed: run this again in some minutes.")


# ---------------------------------------------------------------- doors


@contextmanager
def _progress(deps: Deps) -> Iterator[Callable[[int], None]]:
    """Bundles and MB/s on a terminal's standard error, elsewhere nothing. Gives what wants to hear of each bundle."""
    from worker.stages.compact import waiting

    if not sys.stderr.isatty():
        yield lambda _size: None
        return
    count, size = waiting(deps)
    counted = TextColumn("{task.fields[done]}/{task.fields[count]} bundles")
    with Progress(BarColumn(), counted, TransferSpeedColumn(), console=Console(stderr=True)) as progress:
        task = progress.add_task("compact", total=size, done=0, count=count)

        def advanced(size: int) -> None:
            progress.update(task, advance=size, done=progress.tasks[0].fields["done"] + 1)

        yield advanced
