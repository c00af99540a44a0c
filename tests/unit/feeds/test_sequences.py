"""Polling any sequence of states of a feed announces every article once and loses none.

An article, here, is one work of the publisher's, however its feed names it at the moment. What may change from poll to
poll without making another article of it depends on what its entry gives to tell it by (``worker.feeds.select`` says
why):

- a page of its own: anything but the page. Guids may rotate, be absent, be one for all; text, title and date may change;
- a page of its own that moves: its guid stays, and title and text are what they were when it was first shown there; or
  title and date are, where no other entry of the document has its guid;
- no page (none, or the home page), but a guid of its own: anything but the guid;
- no page, one guid for all: anything but its title, since title and guid name it; documents list two of them or more;
- no page, and no guid or a new one at each poll: nothing, since its text is its name. An edited text is a new article.

What is outside of this is ambiguous: to tell an edited entry from the next one by nothing but a guess would lose one.
"""

from __future__ import annotations

import random
import tempfile
import time
import tracemalloc
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from functools import cache
from html import escape
from pathlib import Path
from typing import Literal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests import seeddata
from tests.conftest import SHARED
from tests.newsserver import Answer, NewsServer
from tests.unit.stages.conftest import Line
from worker.errors import QuarantineError
from worker.feeds.parse import parse_feed
from worker.feeds.select import EntryKeys, KnownSighting, keys_of, select_new, sighting_of
from worker.model import Entry

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
HOME = "https://news.example/"


# ---------------------------------------------------------------- a feed's memory, as the ledger keeps it


class Memory:
    """Sightings of several feeds and the articles they share; found again by what the poll stage asks for."""

    def __init__(self) -> None:
        self.sightings: dict[str, dict[str, KnownSighting]] = {}
        self.articles: set[str] = set()
        self.aliases: dict[str, str] = {}

    def poll(self, slug: str, entries: Sequence[Entry]) -> list[Entry]:
        """Returns: the entries of which articles were made."""
        names = keys_of(entries, slug)
        shown = self.sightings.setdefault(slug, {})
        known = self._known(shown, names)
        selection = select_new(
            list(zip(entries, names, strict=True)), known=known, first_poll="all", is_first=not shown
        )
        for seen in selection.sightings:
            shown.setdefault(seen.keys.entry_key, sighting_of(seen))
            if seen.also_known_as is not None:
                self.aliases.setdefault(seen.also_known_as, seen.article_id)
        made = [seen for seen in selection.new if seen.article_id not in self.articles | self.aliases.keys()]
        self.articles |= {seen.article_id for seen in made}
        return [seen.entry for seen in made]

    @staticmethod
    def _known(shown: dict[str, KnownSighting], names: Sequence[EntryKeys]) -> list[KnownSighting]:
        others = [keys for keys in names if keys.entry_key not in shown]
        keys = {keys.entry_key for keys in names}
        guids = {keys.guid_key for keys in others if keys.guid_key is not None}
        texts = {keys.fingerprint for keys in others if keys.goes_by_text}
        return [
            one for one in shown.values() if one.entry_key in keys or one.guid_key in guids or one.fingerprint in texts
        ]


# ---------------------------------------------------------------- a publisher, and what it may do between two polls


@dataclass(frozen=True, slots=True, kw_only=True)
class Habits:
    """How a publisher's feeds name their articles."""

    page: Literal["own", "home", "none"]
    guid: Literal["own", "rotating", "one", "none", "url"]
    dates: Literal["own", "equal", "none"]
    feeds: int = 1

    @property
    def text_is_the_name(self) -> bool:
        return self.page != "own" and self.guid in {"rotating", "none", "url"}


@dataclass(slots=True)
class Article:
    number: int
    title: str
    body: str
    date: datetime | None
    place: str
    guid: str
    shown_by: set[str] = field(default_factory=set)
    is_edited: bool = False
    move_unseen_by: set[str] = field(default_factory=set)


class Publisher:
    """Publishes, edits, moves and lists articles; ``random`` decides, so that a run can be had again."""

    def __init__(self, habits: Habits, seed: int) -> None:
        self.habits, self.random, self.polls = habits, random.Random(seed), 0
        self.articles: list[Article] = []

    def publishes(self, count: int = 1) -> None:
        for _ in range(count):
            number = len(self.articles)
            late = timedelta(days=self.random.choice([0, 0, 1, 900]))
            dates = {"own": NOON + timedelta(minutes=number) - late, "equal": NOON, "none": None}
            self.articles.append(
                Article(
                    number=number,
                    title=f"Article {number}",
                    body=f"<p>Text {number}</p>",
                    date=dates[self.habits.dates],
                    place=f"news/{number}",
                    guid=f"guid-{number}",
                )
            )

    def edits(self) -> None:
        """A text, and a title where a title is no name; not what just moved, before the move was seen."""
        article = self.random.choice(self.articles)
        if self.habits.text_is_the_name or article.move_unseen_by:
            return
        version = f" (version {self.polls}.{self.random.random():.6f})"
        article.body = f"<p>Text {article.number}{version}</p>"
        if self.habits.page == "own" or self.habits.guid == "own":
            article.title = f"Article {article.number}{version}"
        if self.habits.dates == "own" and self.habits.page == "own":
            article.date = NOON + timedelta(minutes=self.random.randint(-9000, 0))
        article.is_edited = True

    def moves(self) -> None:
        article = self.random.choice(self.articles)
        if self.habits.page == "own" and self.habits.guid == "own" and not article.is_edited:
            article.place = f"news/{article.number}-moved-{self.polls}-{self.random.random():.6f}"
            article.move_unseen_by = set(article.shown_by)

    def reuses_a_guid(self) -> None:
        """The newest has the guid of another one from its first day on."""
        if self.habits.page == "own" and self.habits.guid == "own":
            self.publishes()
            self.articles[-1].guid = self.random.choice(self.articles[:-1]).guid

    def lists(self, feed: str, *, share: float = 1.0) -> list[tuple[Article, Entry]]:
        """A document: some of the articles in any order, perhaps one of them twice.

        A feed that never showed an article does not know that it moved: it waits until another feed told.
        """
        self.polls += 1
        free = [one for one in self.articles if feed in one.shown_by or not one.move_unseen_by]
        floor = 2 if self.habits.guid == "one" else 0
        listed = self.random.sample(free, min(len(free), max(floor, round(share * len(free)))))
        for article in listed:
            article.shown_by.add(feed)
            article.move_unseen_by.discard(feed)
        if listed and self.random.random() < 0.3:
            listed.append(self.random.choice(listed))
        scheme, way = self.random.choice(["http", "https"]), self.random.randint(0, 9)
        return [(article, self.entry(article, scheme, way)) for article in listed]

    def entry(self, article: Article, scheme: str, way: int) -> Entry:
        page = f"{scheme}://news.example/{article.place}?utm_source=rss&id=7&fbclid={way}"
        url = {"own": page, "home": HOME, "none": None}[self.habits.page]
        guid = {
            "own": article.guid,
            "rotating": f"{self.polls}-{article.number}",
            "one": "the-feed",
            "none": None,
            "url": url,
        }[self.habits.guid]
        return Entry(guid=guid, url=url, title=article.title, summary_html=article.body, published_at=article.date)


@st.composite
def habits(draw: st.DrawFn) -> Habits:
    page = draw(st.sampled_from(["own", "own", "own", "home", "none"]))
    # without a page two feeds name an article each in its own words: within one feed only it is one
    feeds = draw(st.sampled_from([1, 2])) if page == "own" else 1
    guid = draw(st.sampled_from(["own", "own", "own", "rotating", "one", "none", "url"]))
    return Habits(page=page, guid=guid, dates=draw(st.sampled_from(["own", "equal", "none"])), feeds=feeds)


KINDS = ["publish", "edit", "edit", "move", "move", "reuse", "poll", "poll", "poll", "poll"]
STEPS = st.lists(st.sampled_from(KINDS), min_size=6, max_size=20)


def documents(publisher: Publisher, steps: Iterable[str]) -> Iterator[tuple[str, list[tuple[Article, Entry]]]]:
    """The documents of a run, each with the feed that shows it; the last ones list everything."""
    publisher.publishes(2)
    feeds = [f"feed-{number}" for number in range(publisher.habits.feeds)]
    for step in steps:
        match step:
            case "publish":
                publisher.publishes(publisher.random.randint(1, 3))
            case "edit":
                publisher.edits()
            case "move":
                publisher.moves()
            case "reuse":
                publisher.reuses_a_guid()
            case _:
                feed = publisher.random.choice(feeds)
                yield feed, publisher.lists(feed, share=publisher.random.choice([0.0, 0.2, 0.5, 0.9, 1.0]))
    for feed in [*feeds, *feeds]:
        yield feed, publisher.lists(feed)


@settings(max_examples=150, deadline=None)
@given(habits(), STEPS, st.integers(0, 2**32))
def test_whatever_a_publisher_does_every_article_is_announced_once(habits: Habits, steps: list[str], seed: int) -> None:
    publisher, memory = Publisher(habits, seed), Memory()
    announced: Counter[int] = Counter()
    shown: set[int] = set()
    for slug, document in documents(publisher, steps):
        numbers = {id(entry): article.number for article, entry in document}
        announced.update(numbers[id(entry)] for entry in memory.poll(slug, [entry for _, entry in document]))
        shown.update(numbers.values())
    assert announced == Counter(shown)


# ---------------------------------------------------------------- the same through the real stages and the real ledger


def as_rss(entries: Iterable[Entry]) -> bytes:
    items = []
    for one in entries:
        parts = [f"<title>{escape(one.title or '')}</title><description>{escape(one.summary_html or '')}</description>"]
        if one.url:
            parts.append(f"<link>{escape(one.url)}</link>")
        if one.guid:
            parts.append(f'<guid isPermaLink="false">{escape(one.guid)}</guid>')
        if one.published_at:
            parts.append(f"<pubDate>{format_datetime(one.published_at, usegmt=True)}</pubDate>")
        items.append(f"<item>{''.join(parts)}</item>")
    return f'<rss version="2.0"><channel><title>F</title>{"".join(items)}</channel></rss>'.encode()


@settings(max_examples=5, deadline=None, suppress_health_check=list(HealthCheck))
@given(habits(), st.lists(st.sampled_from(KINDS), min_size=4, max_size=9), st.integers(0, 2**32))
def test_nor_do_the_stages_and_the_ledger_lose_or_repeat_one(habits: Habits, steps: list[str], seed: int) -> None:
    publisher = Publisher(habits, seed)
    shown: set[int] = set()
    with tempfile.TemporaryDirectory() as home, NewsServer() as site:
        line = Line(Path(home))
        for number in range(habits.feeds):
            line.follow(f"feed-{number}", f"{site.base}/feed-{number}")
        for feed, document in documents(publisher, steps):
            body = as_rss(entry for _, entry in document)
            site.routes[f"/{feed}"] = Answer(body, 200, {"Content-Type": "application/rss+xml"})
            line.later(days=3)
            assert set(line.poll().values()) <= {"new", "unchanged", "failed"}
            shown.update(article.number for article, _ in document)
        titles = [row.title for row in line.rows()]
        line.close()
    assert sorted(title.split(" (")[0] for title in titles) == sorted(f"Article {number}" for number in shown)


# ---------------------------------------------------------------- recorded feeds

# All its items are nothing but a guid, and several have no page: such items say nothing by which they could differ.
SAYS_NOTHING = "feedvalidator/rss/should/canonical_uri.xml"


@cache
def recorded_feeds() -> list[tuple[str, list[Entry]]]:
    found = []
    for path in sorted((SHARED / "feeds-dev").rglob("*")):
        name = str(path.relative_to(SHARED / "feeds-dev"))
        if path.is_file() and not name.endswith((".expect.json", "README.md")) and name != SAYS_NOTHING:
            try:
                parsed = parse_feed(path.read_bytes(), content_type=None, url=f"{HOME}feed", now=NOON)
            except QuarantineError:
                continue
            if len(parsed.entries) > 1:
                found.append((name, list(parsed.entries)))
    return [*found, ("voa", recorded_voa())]


def recorded_voa() -> list[Entry]:
    """The recorded documents as the feed they came from; their stamps are often equal."""
    read = [seeddata.read(path) for path in sorted((SHARED / "seed-data" / "archive" / "voa").glob("*.md"))]
    return [
        Entry(guid=one.url, url=one.url, title=one.title, summary_html=one.body, published_at=one.date) for one in read
    ]


def articles_among(entries: Sequence[Entry]) -> list[str]:
    """For each entry the article that it is when all are shown at once."""
    names, memory = keys_of(entries, "feed"), Memory()
    memory.poll("feed", entries)
    shown = memory.sightings["feed"]
    texts = {one.fingerprint: one.article_id for one in shown.values()}
    return [
        shown[keys.entry_key].article_id if keys.entry_key in shown else texts.get(keys.fingerprint, "")
        for keys in names
    ]


def states_of(entries: Sequence[Entry], how: str) -> Iterator[list[int]]:
    """Sequences of documents, as places of their entries; together they show all."""
    count = len(entries)
    dice = random.Random(count)
    width = max(2, min(40, count // 3))
    match how:
        case "windows":
            yield from (
                list(range(start, min(count, start + width))) for start in range(0, count - 1, max(1, width // 4))
            )
        case "one at a time":
            yield from ([place] for place in range(min(count, 300)))
        case "shuffled":
            yield from (dice.sample(range(count), count) for _ in range(3))
        case _:
            yield from (dice.choices(range(count), k=width) for _ in range(8))
    yield list(range(count))


def as_shown(one: Entry, poll: int, way: str, *, has_page: bool) -> Entry:
    """What feeds do to their entries from poll to poll."""
    if way == "tracked" and one.url is not None:
        return replace(one, url=f"{one.url}{'&' if '?' in one.url else '?'}utm_source=rss&utm_content={poll}")
    if way == "rotated" and has_page:
        return replace(one, guid=f"{poll}-{one.guid}")
    return one


@pytest.mark.shared
@pytest.mark.parametrize("how", ["windows", "one at a time", "shuffled", "drawn"])
@pytest.mark.parametrize("way", ["as they are", "tracked", "rotated"])
def test_recorded_feeds_announce_every_article_once(shared: Path, how: str, way: str) -> None:
    wrong, count = [], 0
    for name, entries in recorded_feeds():
        count += 1
        articles, names, memory = articles_among(entries), keys_of(entries, "feed"), Memory()
        announced: Counter[str] = Counter()
        for poll, places in enumerate(states_of(entries, how)):
            listed = [as_shown(entries[place], poll, way, has_page=names[place].has_page) for place in places]
            articles_of = {id(entry): articles[place] for entry, place in zip(listed, places, strict=True)}
            announced.update(articles_of[id(entry)] for entry in memory.poll("feed", listed))
        if announced != Counter(set(articles) - {""}):
            wrong.append((name, announced - Counter(set(articles)), Counter(set(articles) - {""}) - announced))
    assert wrong == []
    assert count > 100


@pytest.mark.shared
def test_items_of_one_stamp_and_late_items_are_all_announced(shared: Path) -> None:
    entries = recorded_voa()
    stamps = Counter(entry.published_at for entry in entries)
    assert sum(times for times in stamps.values() if times > 1) > 30
    memory = Memory()
    newest_first = sorted(entries, key=lambda entry: entry.published_at or NOON, reverse=True)
    assert len(memory.poll("feed", newest_first[::2])) == len(newest_first[::2])
    assert len(memory.poll("feed", newest_first)) == len(newest_first[1::2])
    assert memory.poll("feed", entries) == []


# ---------------------------------------------------------------- large feeds


@pytest.mark.parametrize(("page", "guid"), [("own", "own"), ("own", "none"), ("home", "one"), ("none", "rotating")])
def test_a_feed_of_thousands_takes_linear_time_and_little_memory(
    page: Literal["own", "home"], guid: Literal["own", "none", "one", "rotating"]
) -> None:
    publisher = Publisher(Habits(page=page, guid=guid, dates="equal"), 0)
    publisher.publishes(4_000)
    entries = [entry for _, entry in publisher.lists("feed")]
    costs = []
    for count in (400, 4_000):
        took = []
        for _ in range(3):  # the best counts: others may have the processor's caches
            began, memory = time.process_time(), Memory()
            for _ in range(2):
                memory.poll("feed", entries[:count])
            took.append(time.process_time() - began)
        costs.append(min(took))
    assert costs[1] < 30 * costs[0]
    tracemalloc.start()
    keys_of(entries[:500], "feed")
    assert tracemalloc.get_traced_memory()[1] < 3_000 * 500
    tracemalloc.stop()
