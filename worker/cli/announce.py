"""Articles on the terminal, the moment they are published: one aligned line each.

The ledger is asked again and again; nobody has to tell us, so that it works for whatever process published them.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from rich.cells import cell_len, set_cell_size
from rich.console import Console
from rich.text import Text
from sqlalchemy.engine import Connection

from worker.ledger import articles, publications
from worker.ledger.session import Ledger
from worker.ledger.tables import AFTER_THE_NEWS, Row
from worker.text import escape_control

LATE_COMMIT = timedelta(seconds=10)  # a confirmation may become visible this long after the moment it bears
LOOK_LIMIT = 1000
FEED_CELLS, PICTURE_CELLS = 18, 11
TITLE_CELLS_LEAST = 20
TITLE_CELLS_PIPED = 60  # a pipe's lines are never cut, only filled up


@dataclass(frozen=True, slots=True, kw_only=True)
class Announcement:
    """One published article, as a person wants to see it."""

    published_at: datetime
    feed: str
    title: str
    words: int | None
    picture: str  # 900×506, or why there is none
    lag_s: float | None  # from discovery to the broker's confirm; None: it came of the archive, where nobody waits


@dataclass(slots=True)
class Confirmations:
    """What was published since a moment; each look returns what the looks before did not."""

    ledger: Ledger
    since: datetime
    _seen: dict[int, datetime] = field(default_factory=dict)

    def look(self) -> list[Announcement]:
        """Raises: UnavailableError: the ledger does not answer."""
        with self.ledger.reading() as connection:
            rows = publications.confirmed_since(connection, after=self.since, limit=LOOK_LIMIT)
            fresh = [row for row in rows if row.id not in self._seen]
            told = [_announcement(connection, row) for row in fresh]
        if rows:
            overlap = LATE_COMMIT if fresh or len(rows) < LOOK_LIMIT else timedelta(0)
            self.since = max(self.since, rows[-1].confirmed_at - overlap)
            self._seen |= {row.id: row.confirmed_at for row in fresh}
            self._seen = {row_id: at for row_id, at in self._seen.items() if at > self.since}
        return told


def _announcement(connection: Connection, row: Row) -> Announcement:
    message: dict[str, Any] = json.loads(zlib.decompress(row.body))
    return Announcement(
        published_at=row.confirmed_at,
        feed=row.feed_slug,
        title=message["title"] or row.title or "(no title)",
        words=message["word_count"],
        picture=_picture(connection, row, message["image"]),
        lag_s=(row.confirmed_at - row.discovered_at).total_seconds() if row.priority > AFTER_THE_NEWS else None,
    )


def _picture(connection: Connection, row: Row, image: dict[str, Any] | None) -> str:
    if image is None:
        return "no picture"
    if image["ref"] is not None:
        return f"{image['width']}×{image['height']}"
    rows = articles.by_article_id(connection, row.article_id)
    problem = next((found.picture.get("problem") for found in rows if found.id == row.id and found.picture), None)
    return f"no picture ({problem or 'not fetched'})"


def article_lines(console: Console, announcements: Iterable[Announcement]) -> Iterator[Text]:
    """One line each. A terminal's lines are cut to its width; those of a pipe are not."""
    width = console.width if console.is_terminal else None
    return (line_of(announcement, width) for announcement in announcements)


def line_of(announcement: Announcement, width: int | None) -> Text:
    """The line for a terminal of so many cells; None: of any width. Neither markup nor controls mean anything in it."""
    moment = f"{announcement.published_at.astimezone():%H:%M:%S}"
    words = "" if announcement.words is None else f"{announcement.words:,} words"
    lag = "" if announcement.lag_s is None else f"{announcement.lag_s:6.1f} s"
    numbers = f"{words:>12}  {announcement.picture:<{PICTURE_CELLS}}  {lag:>8}"
    numbers = escape_control(numbers)
    feed = _filled(escape_control(announcement.feed), FEED_CELLS)
    title = escape_control(announcement.title)
    if width is None:
        title = _filled(title, TITLE_CELLS_PIPED)
    else:
        others = cell_len(moment) + cell_len(feed) + cell_len(numbers) + 6
        title = _fitted(title, max(TITLE_CELLS_LEAST, width - others))
    return Text.assemble((moment, "dim"), "  ", (feed, "cyan"), "  ", (title, "bold"), "  ", (numbers, ""))


def _filled(text: str, cells: int) -> str:
    return text + " " * (cells - cell_len(text))


def _fitted(text: str, cells: int) -> str:
    if cell_len(text) <= cells:
        return _filled(text, cells)
    return set_cell_size(text, cells - 1) + "…"
