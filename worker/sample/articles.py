"""The sample newsroom's articles: written ones from files, and one more for every tick of the clock.

Everything follows from the files and from a number: an article once announced keeps its address and its text,
whichever process serves it and whenever.
"""

from __future__ import annotations

import hashlib
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from html import escape
from importlib.resources import files
from typing import Any

from worker.model import require_utc

EPOCH = datetime(2025, 1, 1, tzinfo=UTC)  # article number 0
PLACE_STRIDE = 37  # coprime to the number of places: neighbours in time are no neighbours on the map
CONTENT = files("worker.sample") / "content"


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleArticle:
    """One article as its editor knows it; ``body`` is HTML with links relative to the site."""

    path: str  # absolute path of its page
    language: str  # en or zh
    title: str
    summary: str
    author: str
    section: str
    tags: tuple[str, ...]
    published_at: datetime
    modified_at: datetime | None
    picture: str  # file name below content/pictures
    caption: str
    credit: str
    body: str

    def __post_init__(self) -> None:
        require_utc("published_at", self.published_at)
        require_utc("modified_at", self.modified_at)


@cache
def written_articles() -> tuple[SampleArticle, ...]:
    """The articles that are always there, oldest first."""
    sources = [path for path in (CONTENT / "articles").iterdir() if path.name.endswith(".toml")]
    articles = [_written(path.name.removesuffix(".toml"), tomllib.loads(path.read_text("utf-8"))) for path in sources]
    return tuple(sorted(articles, key=lambda article: article.published_at))


def _written(slug: str, facts: Mapping[str, Any]) -> SampleArticle:
    language = facts["language"]
    return SampleArticle(
        path=f"/{'news' if language == 'en' else 'zh'}/{slug}.html",
        language=language,
        title=facts["title"],
        summary=facts["summary"],
        author=facts["author"],
        section=facts["section"],
        tags=tuple(facts["tags"]),
        published_at=facts["published"].astimezone(UTC),
        modified_at=facts["modified"].astimezone(UTC) if "modified" in facts else None,
        picture=facts["picture"],
        caption=facts["caption"],
        credit=facts["credit"],
        body=facts["body"].strip(),
    )


def number_at(moment: datetime, new_every_s: float) -> int:
    """The number of the newest composed article at a moment (aware), one every ``new_every_s`` seconds; at least 0."""
    return max(0, int((moment - EPOCH).total_seconds() // new_every_s))


def composed_path(number: int) -> str:
    """The path of a composed article's page."""
    return f"/wire/{number}.html"


def composed_article(number: int, new_every_s: float) -> SampleArticle:
    """Article ``number`` (0 or more): even ones are English, odd ones Chinese.

    Its text depends on the number alone; its date also on the spacing. Titles of one language repeat after 3 titles
    for each of 6 subjects in 192 places at the earliest.
    """
    parts = _parts("en" if number % 2 == 0 else "zh")
    turn = number // 2
    kinds, firsts, seconds = parts["kinds"], parts["place_first"], parts["place_second"]
    kind = kinds[turn % len(kinds)]
    tour, stop = divmod(turn // len(kinds), len(firsts) * len(seconds))
    first, second = divmod(stop * PLACE_STRIDE % (len(firsts) * len(seconds)), len(seconds))
    place = firsts[first] + seconds[second]
    slots = {
        "place": place,
        "PLACE": place.upper(),
        "person": _name(number, "person", parts),
        "other": _name(number, "other", parts),
        "count": str(40 + _draw(number, "count", 360)),
        "small": str(3 + _draw(number, "small", 10)),
        "money": str(2 + _draw(number, "money", 80)),
        "month": _pick(number, "month", parts["months"]),
    }
    paragraphs = [_pick(number, f"paragraph {i}", variants) for i, variants in enumerate(kind["paragraphs"])]
    paragraphs[0] = parts["dateline"] + paragraphs[0]
    return SampleArticle(
        path=composed_path(number),
        language=parts["language"],
        title=kind["titles"][tour % len(kind["titles"])].format_map(slots),
        summary=kind["summary"].format_map(slots),
        author=_name(number, "author", parts),
        section=kind["section"],
        tags=(*kind["tags"], place),
        published_at=EPOCH + timedelta(seconds=int(number * new_every_s)),
        modified_at=None,
        picture=kind["picture"],
        caption=kind["caption"].format_map(slots),
        credit=parts["credit"],
        body="\n".join(f"<p>{escape(paragraph.format_map(slots), quote=False)}</p>" for paragraph in paragraphs),
    )


@cache
def _parts(language: str) -> dict[str, Any]:
    return tomllib.loads((CONTENT / f"composed-{language}.toml").read_text("utf-8"))


def _name(number: int, role: str, parts: Mapping[str, Any]) -> str:
    """Each role has a third of the given names, so that no two people of an article share one."""
    roles = ("person", "other", "author")
    given, family = ("people_first", "people_second") if parts["given_first"] else ("people_second", "people_first")
    mine = parts[given][roles.index(role) :: len(roles)]
    names = {
        given: _pick(number, f"{role}'s given name", mine),
        family: _pick(number, f"{role}'s family", parts[family]),
    }
    return str(names["people_first"] + parts["gap"] + names["people_second"])


def _draw(number: int, purpose: str, count: int) -> int:
    """One of ``count``, always the same for a number and a purpose; unlike ``random``, in every Python version."""
    return int.from_bytes(hashlib.sha256(f"{number} {purpose}".encode()).digest()[:8], "big") % count


def _pick(number: int, purpose: str, choices: Sequence[str]) -> str:
    return choices[_draw(number, purpose, len(choices))]
