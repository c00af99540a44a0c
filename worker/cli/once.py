"""``newsmill once``: poll what is due and run every article to its end in this process. No broker is needed."""

from __future__ import annotations

from typing import Annotated

import typer


def once(
    slugs: Annotated[
        list[str] | None, typer.Argument(metavar="SLUG", help="Poll these, due or not.", show_default=False)
    ] = None,
    *,
    wait_s: Annotated[
        float, typer.Option("--wait", min=0, help="How long to wait for sites, retries and slow feeds, seconds.")
    ] = 60.0,
) -> None:
    """Poll what is due (or these feeds), run every article to its end in this process, exit.

    Messages go to PUBLISH_URL when it is set, else to standard output as JSON lines. What happened is told on standard
    error. Exit code 1: a feed failed or could not be polled.
    """
    from worker.cli.work import run_once  # noqa: PLC0415 - brings every library of the line with it: not for `--help`

    if not run_once(slugs or None, wait_s=wait_s):
        raise typer.Exit(1)
