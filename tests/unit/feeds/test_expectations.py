"""What other parsers' tests say of recorded feeds, executed: feedparser's ``Expect:`` statements, others' JSON.

A feed is shown to feedparser's statements in feedparser's shape. Titles are plain text here and are compared as such. HTML
is cleaned and its links are resolved by feedparser's own functions first: our parser leaves that to the extraction, so what
a statement about clean HTML can say of it is whether it hands on the right text.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from html import unescape
from pathlib import Path
from typing import Any

import pytest
from feedparser.sanitizer import _sanitize_html as sanitized
from feedparser.urls import resolve_relative_uris

from worker.feeds.dates import read_date
from worker.feeds.parse import parse_feed
from worker.model import Entry, ParsedFeed
from worker.text import clean_line, strip_tags
from worker.urls import usable_url

pytestmark = pytest.mark.shared

NOW = datetime(2040, 1, 1, tzinfo=UTC)
HOLDS = 0.97

# ---------------------------------------------------------------- statements

# What a statement may speak of to be one about an entry's id, link, title, summary, content, date, author or enclosure.
FACT = re.compile(
    r"""entries\[\d\](?:
        \['(?:id|guid|link|title|summary|description|author|published|updated|created)(?:_parsed)?'\]
      | \['(?:title_detail|summary_detail)'\]\['value'\]
      | \['content'\]\[\d\]\['value'\]
      | \['author_detail'\]\['\w+'\] | \['authors'\]\[\d\]\['\w+'\]
      | \['enclosures'\]\[\d\](?:\['\w+'\])?
      | \.summary
    )""",
    re.VERBOSE,
)
ENTRY = re.compile(r"entries\[\d\][\[.]")
STATEMENT = re.compile(r"^\s*Expect:\s*(.*?)\s*^-->", re.DOTALL | re.MULTILINE)
LOCATION = re.compile(r"Header:\s*Content-Location:\s*(\S+)")
SERVED_AT = "http://127.0.0.1:8097"  # where the statements believe that their files are
NODES = (
    *(ast.Expression, ast.BoolOp, ast.And, ast.Or, ast.UnaryOp, ast.Not, ast.Compare, ast.Eq, ast.NotEq, ast.Is, ast.Gt),
    *(ast.BinOp, ast.Add, ast.Name, ast.Load, ast.Subscript, ast.Attribute, ast.Constant, ast.Tuple, ast.List, ast.Dict),
)  # fmt: skip
NAMES = {"entries", "bozo", "feed", "version"}

NO_ADDRESSES = "authors are names here, without their addresses"
RELATIVE_ID = "an id is compared as it is written (RFC 4287 section 4.2.6.1), not resolved"
EXCEPTIONS: Mapping[str, str] = {
    "encoding/bozo_linenoise.xml": "UTF-8 with one broken byte: read as that, not as Western mojibake",
    "wellformed/atom/entry_author_uri.xml": NO_ADDRESSES,
    "wellformed/atom10/entry_author_email.xml": NO_ADDRESSES,
    "wellformed/atom10/entry_author_url.xml": NO_ADDRESSES,
    "wellformed/atom10/entry_authors_email.xml": NO_ADDRESSES,
    "wellformed/atom10/entry_authors_uri.xml": NO_ADDRESSES,
    "wellformed/base/http_entry_id_base_content_location.xml": RELATIVE_ID,
    "wellformed/base/http_entry_id_base_docuri.xml": RELATIVE_ID,
    "wellformed/rss/item_author_map_author_detail_email.xml": NO_ADDRESSES,
    "wellformed/rss/item_dc_creator_map_author_detail_email.xml": NO_ADDRESSES,
}


@dataclass(frozen=True, slots=True)
class Statement:
    name: str
    body: bytes
    url: str
    base: str  # what links in HTML start from where the feed says nothing
    said: str


@pytest.fixture(scope="module")
def statements(shared: Path) -> list[Statement]:
    return list(_statements(shared / "feeds-dev"))


def _statements(folder: Path) -> Iterator[Statement]:
    for path in sorted((folder / "feedparser").rglob("*.xml")):
        body = path.read_bytes()
        comment = body.decode("latin-1")
        found, location = STATEMENT.search(comment), LOCATION.search(comment)
        if found and ENTRY.search(found[1]):
            name = str(path.relative_to(folder / "feedparser"))
            url = location[1] if location else f"{SERVED_AT}/{name}"
            yield Statement(name, body, url, url if path.name.startswith("http_") else "", found[1])


def speaks_of_a_fact(said: str) -> bool:
    return len(FACT.findall(said.replace('"', "'"))) == len(ENTRY.findall(said))


def holds(statement: Statement) -> bool:
    """Does a statement hold of what our parser reads? A statement that goes wrong does not."""
    tree = ast.parse(statement.said, mode="eval")
    for node in ast.walk(tree):
        assert isinstance(node, NODES), ast.dump(node)
        assert not isinstance(node, ast.Name) or node.id in NAMES, node.id
    feed = parse_feed(statement.body, content_type=None, url=statement.url, now=NOW)
    names = {
        "entries": [_shown(entry, entry.base_url or statement.base) for entry in feed.entries],
        "bozo": feed.damaged and not statement.said.startswith("bozo"),
        "feed": {},
        "version": feed.format,
    }
    try:
        return bool(eval(compile(tree, statement.name, "eval"), {"__builtins__": {}}, names))
    except (KeyError, IndexError):
        return False


class Shown(dict[str, Any]):
    """What feedparser calls a dictionary."""

    __getattr__ = dict.__getitem__


class Plain(str):
    """A title: equal to what has the same plain text."""

    __slots__ = ()
    __hash__ = str.__hash__

    def __eq__(self, other: object) -> bool:
        return isinstance(other, str) and str(self) in {clean_line(other), clean_line(strip_tags(other))}


class Markup(str):
    """Clean HTML: equal to the same; where there are no tags, also to the same as plain text."""

    __slots__ = ()
    __hash__ = str.__hash__

    def __eq__(self, other: object) -> bool:
        return other in ({str(self)} if "<" in self else {str(self), unescape(str(self))})


def _shown(entry: Entry, base: str) -> Shown:
    summary, content = _cleaned(entry.summary_html, base), _cleaned(entry.content_html, base)
    body = summary or content
    author = entry.authors[0] if entry.authors else None
    raw, read = entry.date_raw, entry.published_at.utctimetuple() if entry.published_at else None
    shown = {
        **dict.fromkeys(("id", "guid"), entry.guid),
        "link": entry.url,
        "title": Plain(entry.title or ""),
        "title_detail": Shown(value=Plain(entry.title or "")),
        **dict.fromkeys(("summary", "description"), body),
        "summary_detail": Shown(value=body),
        "content": [Shown(value=content or summary)],
        **dict.fromkeys(("published", "updated", "created"), raw),
        **dict.fromkeys(("published_parsed", "updated_parsed", "created_parsed"), tuple(read) if read else None),
        "author": author,
        "author_detail": Shown(name=author),
        "authors": [Shown(name=name) for name in entry.authors],
        "enclosures": [
            Shown(href=one.url, length=str(one.length), **({"type": one.media_type} if one.media_type else {}))
            for one in entry.enclosures
        ],
    }
    return Shown(shown)


def _cleaned(markup: str | None, base: str) -> Markup | None:
    if markup is None:
        return None
    resolved = resolve_relative_uris(markup.strip(), base, "utf-8", "text/html")
    return Markup(sanitized(resolved, "utf-8", "text/html").strip())


def test_statements_about_an_entry_s_facts_hold(statements: list[Statement]) -> None:
    spoken = [one for one in statements if speaks_of_a_fact(one.said)]
    failed = [one.name for one in spoken if not holds(one)]
    share = 1 - len(failed) / len(spoken)
    print(f"{share:.2%} of {len(spoken)} statements hold; {len(statements) - len(spoken)} speak of other things")
    assert len(spoken) >= 400
    assert sorted(failed) == sorted(EXCEPTIONS)
    assert share >= HOLDS


# ---------------------------------------------------------------- others' JSON

# Our field -> what gofeed, rss-parser and fastfeedparser call it.
CALLED = {
    "title": ("title",),
    "url": ("link",),
    "guid": ("guid", "id"),
    "published_at": ("publishedParsed", "pubDateParsed", "isoDate", "published", "pubDate"),
}
OTHERWISE: Mapping[str, str] = {
    "fastfeedparser/integration/osm-pl: 8 entries": "cut in the last entry, which is left out by contract",
    "fastfeedparser/integration/utf16_encoded: guid": "there is none; fastfeedparser takes the link for it",
}


@dataclass(frozen=True, slots=True)
class Told:
    """What another parser's tests say a file holds."""

    name: str
    feed: ParsedFeed
    entries: list[dict[str, Any]]


def _told(folder: Path) -> Iterator[Told]:
    for path in sorted(folder.rglob("*.expect.json")):
        said = json.loads(path.read_bytes())
        said = said["feed"] if "items" in said.get("feed", {}) else said
        name = path.name.removesuffix(".expect.json")
        (source,) = (one for one in path.parent.iterdir() if one.stem == name and one != path)
        feed = parse_feed(source.read_bytes(), content_type=None, url=SERVED_AT, now=NOW)
        yield Told(
            str(source.relative_to(folder).with_suffix("")), feed, said.get("items") or said.get("entries") or []
        )


def _differences(told: Told) -> Iterator[tuple[str, bool]]:
    """(what is compared, whether it differs) of everything that is said of a file's entries."""
    ours, theirs = told.feed.entries, told.entries
    yield f"{told.name}: {len(theirs)} entries", len(ours) != len(theirs)
    for mine, other in zip(ours, theirs, strict=False):
        for field, names in CALLED.items():
            said = next((other[name] for name in names if other.get(name)), None)
            said = said.get("value") if isinstance(said, dict) else said
            if said:
                yield f"{told.name}: {field}", not _agrees(field, getattr(mine, field), said)


def _agrees(field: str, mine: Any, said: str) -> bool:
    if field == "title":
        return bool(Plain(mine or "") == said)
    if field == "url":
        return bool(mine == usable_url(said, SERVED_AT))
    if field == "guid":
        return bool(mine == clean_line(said))
    moment = read_date(said, now=NOW)
    return mine == moment or (mine is not None and moment is not None and abs(mine - moment) < timedelta(seconds=1))


def test_what_other_parsers_recorded_holds(shared: Path) -> None:
    compared = [one for told in _told(shared / "feeds-dev") for one in _differences(told)]
    differ = sorted(name for name, differs in compared if differs)
    print(f"{1 - len(differ) / len(compared):.2%} of {len(compared)} recorded facts hold")
    assert len(compared) >= 1000
    assert differ == sorted(OTHERWISE)
