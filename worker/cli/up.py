"""``newsmill up``: the whole system on this machine, until Ctrl-C."""

from __future__ import annotations

from typing import Annotated

import typer


def up(
    *,
    sample: Annotated[
        bool, typer.Option("--sample", help="Also serve the bundled sample newsroom on loopback, and follow it.")
    ] = False,
    port: Annotated[
        int | None, typer.Option("--port", min=1, max=65535, help="Port of Flower. Default: PORT, else 5555.")
    ] = None,
) -> None:
    """Run the whole system on this machine: broker, worker, beat, Flower. Ctrl-C drains and ends it.

    Prints each article the moment it is published. Everything lies below NEWSMILL_HOME unless settings say otherwise.
    """
    from worker.cli.launch import run_everything  # noqa: PLC0415 - brings half the house with it: not for `--help`

    if not run_everything(sample=sample, port=port):
        raise typer.Exit(1)
