"""How answers look: JSON for programs, tables for people. Nothing a feed says reaches a terminal unescaped."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from config.brokers import taken_apart
from worker.text import escape_control

PIPED_WIDTH = 10_000  # no line of a pipe is wrapped or cut
MINUTE_S, HOUR_S, DAY_S = 60, 3600, 86400

Cell = str | int | None
Style = str


def as_json(value: Any) -> None:
    """Print one JSON value on standard output, UTF-8 whatever the terminal speaks; moments as RFC 3339 with Z."""
    text = json.dumps(value, ensure_ascii=False, indent=2, default=_plain)
    typer.echo(text.encode("utf-8", "backslashreplace"))  # a lone surrogate becomes its JSON escape


def _plain(value: object) -> str:
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    return str(value)


def table(headings: Sequence[str], rows: Sequence[Sequence[Cell]], *, styles: Sequence[Style] = ()) -> None:
    """Print rows under headings. A terminal gets its width, with an ellipsis where that is too little.

    Args:
        headings: One for each column.
        rows: Cells are shown as they are: neither control characters nor Rich's markup mean anything in them.
        styles: One for each row, or none.
    """
    grid = Table(box=None, pad_edge=False, header_style="bold")
    for heading in headings:
        grid.add_column(heading, no_wrap=True, overflow="ellipsis")
    for place, row in enumerate(rows):
        grid.add_row(*map(_cell, row), style=styles[place] if styles else None)
    _printed(grid)


def facts(pairs: Sequence[tuple[str, Cell]]) -> None:
    """Print names and values, one pair a line; values that are not known are left out."""
    grid = Table(box=None, pad_edge=False, show_header=False)
    grid.add_column(no_wrap=True, style="bold")
    grid.add_column(overflow="fold")
    for name, value in pairs:
        if value is not None:
            grid.add_row(Text(name), _cell(value))
    _printed(grid)


def _printed(grid: Table) -> None:
    """Rich fills every line up to the widest; a pipe gets them without."""
    screen = console()
    if screen.is_terminal:
        screen.print(grid)
        return
    with screen.capture() as captured:
        screen.print(grid)
    for filled in captured.get().splitlines():
        typer.echo(filled.rstrip())


def line(text: str, *, style: Style = "") -> None:
    """Print one line, whatever is in it."""
    console().print(Text(escape_control(text), style=style), soft_wrap=True)


def warning(text: str) -> None:
    """Say something beside the answer: on standard error."""
    typer.echo(escape_control(text), err=True)


def _cell(value: Cell) -> Text:
    return Text("" if value is None else escape_control(str(value)))


def hush() -> None:
    """Nobody reads standard output any more: what is left in it, and what is still said there, goes nowhere."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


def bare_url(urls: str) -> str:
    """Where a URL leads, without user, password and options; several stand between ``;``.

    What may hide a password in a place of its own is left out whole: ``amqp://…``, or ``set`` for what is no URL.
    """
    parts = urls.split(";")
    return ";".join(map(_bare_url, parts)) if all("://" in part for part in parts) else "set"


def _bare_url(url: str) -> str:
    scheme = url.partition("://")[0]
    try:
        parts = taken_apart(url)
    except ValueError:
        return f"{scheme}://…"
    if "@" in parts.path + parts.query + parts.fragment:  # some password has a / ? or # in it
        return f"{scheme}://…"
    return f"{scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def console() -> Console:
    """Standard output as it is at this moment."""
    if sys.stdout.isatty():
        return Console(highlight=False)
    return Console(highlight=False, width=PIPED_WIDTH)


def moment(at: datetime | None) -> str | None:
    """A moment for people, to the second, UTC."""
    return None if at is None else at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%SZ")


def span(seconds: float) -> str:
    """A length of time in its largest sensible unit: ``40 s``, ``12 min``, ``3 h``, ``5 d``."""
    size = abs(seconds)
    if size < 2 * MINUTE_S:
        return f"{size:.3g} s" if size < 10 else f"{size:.0f} s"  # noqa: PLR2004 - below, tenths are worth showing
    if size < 2 * HOUR_S:
        return f"{size / MINUTE_S:.0f} min"
    if size < 2 * DAY_S:
        return f"{size / HOUR_S:.0f} h"
    return f"{size / DAY_S:.0f} d"


def distance(at: datetime | None, now: datetime) -> str | None:
    """How far a moment is away: ``3 min ago``, ``in 40 s``."""
    if at is None:
        return None
    away = at - now
    return f"in {span(away.total_seconds())}" if away > timedelta(0) else f"{span(away.total_seconds())} ago"


def count(number: int, noun: str, plural: str | None = None) -> str:
    """``1 article``, ``3 articles``."""
    return f"{number} {noun if number == 1 else plural or noun + 's'}"
