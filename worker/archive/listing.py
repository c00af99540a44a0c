"""Index documents: what a feed has of a day, and which days a feed has. Markdown, for a viewer and for a folder. Pure.

Links are relative, so that they lead to the same place in the archive, in a copy of it, and on a code-hosting site.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime

from worker.archive.keys import document_place
from worker.model import require_utc

UNTITLED = "(untitled)"

# What is markup within a line in CommonMark, or in what code-hosting sites add to it: math, tables, strikethrough.
_SIGN = re.compile(r"([\\`*_\[\]<>|~$&])")
_DAY = re.compile(r"- \[(\d{4}-\d{2}-\d{2})\]\([^)\n]*\): (\d{1,9}) ")


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """An article that a day has."""

    key: str  # of its readable document
    title: str | None
    found_at: datetime  # UTC

    def __post_init__(self) -> None:
        require_utc("found_at", self.found_at)


def day_index(feed_slug: str, day: date, listed: Iterable[Listed]) -> bytes:
    """The document of one day: newest first, the times UTC."""
    newest_first = sorted(listed, key=lambda one: (one.found_at, one.key), reverse=True)
    lines = [f"- {one.found_at:%H:%M} [{_plain(one.title)}]({one.key.rpartition('/')[2]})" for one in newest_first]
    return _written(f"# {feed_slug}, {day.isoformat()}", "[All days](../../../index.md). Times are UTC.", lines)


def feed_index(feed_slug: str, title: str | None, days: Mapping[date, int]) -> bytes:
    """The document of one feed: its days, newest first, and how many articles each has; a day with none is left out."""
    lines = [
        f"- [{day.isoformat()}]({day:%Y/%m/%d}/index.md): {count} {'article' if count == 1 else 'articles'}"
        for day, count in sorted(days.items(), reverse=True)
        if count
    ]
    return _written(f"# {_plain(title) if title else feed_slug}", "Days are UTC.", lines)


def read_feed_index(data: bytes) -> dict[date, int]:
    """The days and counts that ``feed_index`` wrote; lines that are none of its own are skipped."""
    found = (_DAY.match(line) for line in data.decode("utf-8", "replace").splitlines())
    days: dict[date, int] = {}
    for line in filter(None, found):
        try:
            days[date.fromisoformat(line[1])] = int(line[2])
        except ValueError:  # somebody else wrote the thirtieth of February
            continue
    return days


def listed_by_day(documents: Iterable[Listed]) -> dict[tuple[str, date], list[Listed]]:
    """Articles by what their documents' keys say: the slug that their feed had then, and the day of discovery."""
    days: dict[tuple[str, date], list[Listed]] = {}
    for one in documents:
        days.setdefault(document_place(one.key), []).append(one)
    return days


def _written(heading: str, note: str, lines: list[str]) -> bytes:
    return "\n".join([heading, "", note, "", *lines, ""]).encode("utf-8", "replace")


def _plain(title: str | None) -> str:
    """A title as Markdown that shows it and nothing else, on one line."""
    return _SIGN.sub(r"\\\1", " ".join((title or "").split())) or UNTITLED
