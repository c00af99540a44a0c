"""Feeds rebuilt from the recorded documents, as seed-systems.md section 2.7 says."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Recorded:
    title: str
    url: str
    date: datetime
    body: str


def read(path: Path) -> Recorded:
    """A document of the recorded layout, taken apart by hand: tests must not lean on the code they test."""
    comment, rest = path.read_bytes().decode("utf-8").split("\n", 1)
    line, body = rest.split("\n------\n\n", 1)
    title, url = line[1:-1].rsplit("](", 1)
    epoch_ms = int(comment.removeprefix("<!--").removesuffix("-->"))
    return Recorded(title, url, datetime.fromtimestamp(epoch_ms / 1000, UTC), body.removesuffix("\n"))


def as_item(recorded: Recorded, link: str) -> dict[str, Any]:
    return {"title": recorded.title, "link": link, "date": recorded.date, "description": recorded.body}
