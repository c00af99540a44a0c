"""When it was published and changed: every place that says so, most trusted first, checked against each other."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from email.utils import parsedate_to_datetime
from functools import cache
from itertools import islice
from urllib.parse import urlsplit

import lxml.etree
import lxml.html

from worker.extract.document import Document, elements_at, short_text
from worker.extract.gathered import Gathered
from worker.extract.jsonld import JsonLd
from worker.extract.leaves import ARTICLE, ASIDE, FOOTER, NAV, Box, Leaf, Leaves
from worker.extract.meta import Meta
from worker.extract.moments import MAX_LENGTH, day_of, days_in, moment

LEAVES_BEFORE = 8  # the title that may hold the date
LEAVES_AFTER = 30
LEAVES_CLOSE = 8  # behind the title
LONGEST_LINE = 300  # characters: what is longer is a paragraph
LONGEST_LABEL = 40  # characters before a date that may say what it is of
MOST_BESIDE = 90  # characters that may stand beside a date nobody labelled
LONGEST_ALONE = 80  # characters of a line far from the title that may say when
MAX_TIMES = 30  # <time> elements looked at
MAX_SCRIPT_HITS = 3  # of a key in the page's source
A_DAY = timedelta(days=1)

_PUBLISHED = (
    "article:published_time", "og:published_time", "parsely-pub-date", "sailthru.date", "datepublished",
    "dcterms.created", "dc.date.issued", "dcterms.issued", "dcterms.date", "dc.date", "date", "pubdate", "publishdate",
    "publish-date", "publish_date", "publication_date", "publisheddate", "published_date", "published",
    "article.published",
    "cxenseparse:recs:publishtime", "rnews:datepublished", "iso-8601-publish-date", "article:published", "displaydate",
    "citation_publication_date", "citation_online_date", "article.created", "originalpublicationdate",
    "dc.date.created",
    "datecreated", "created", "article_date_original", "og:article:published_time", "last.published",
    "vr:published_time",
)  # fmt: skip
_MODIFIED = (
    "article:modified_time", "og:updated_time", "og:modified_time", "datemodified", "dcterms.modified",
    "dc.date.modified",
    "last-modified", "lastmod", "article.updated", "rnews:datemodified", "revised", "modified",
)  # fmt: skip
_MARKED = lxml.etree.XPath("//@itemprop[.='datePublished' or .='dateModified' or .='dateCreated']/..")
_SAYS_PUBLISHED = re.compile(
    r"published|pubdate|entry-date|post-date|dt-published|publish-date|date-published", re.IGNORECASE
)
_SAYS_MODIFIED = re.compile(r"updated|modified|dt-updated", re.IGNORECASE)
_OUTSIDE = frozenset(("nav", "aside", "footer"))
_PUBLISHED_WORDS = re.compile(
    r"publish|posted|released|created|written|issued|originally|\bdate\b|veröffentlicht|erschienen|erstellt|vom|datum"
    r"|publié|paru|mis en ligne|publicado|publicada|pubblicato|gepubliceerd|geplaatst|publicerad|publisert"
    r"|udgivet|opublikowan"
    r"|опубликован|дата|опубліковано|yayın|oluşturulma|diterbitkan|发布|發布|发表|公開|掲載|配信|入力"
    r"|입력|등록|기사입력|ngày đăng|julkaistu"
    r"|közzétéve|publikováno|publicat|δημοσίευση|نشر|פורסם",
    re.IGNORECASE,
)
_UPDATED_WORDS = re.compile(
    r"updat|modified|revised|last edited|reviewed|aktualisiert|geändert|stand:|letzte änderung|mis à jour"
    r"|modifié|actualizad|modificad"
    r"|aggiornat|bijgewerkt|gewijzigd|uppdaterad|oppdatert|opdateret|aktualizac|обновлен|оновлен|güncelle"
    r"|diperbarui|更新|수정|최종|cập nhật"
    r"|päivitetty|frissítve|aktualizováno|actualizat|ενημέρωση|تحديث|עודכן",
    re.IGNORECASE,
)
_OTHER_WORDS = re.compile(
    r"©|\(c\)|copyright|since|born|founded|deadline|expires|until|valid|seit|depuis|desde|join", re.IGNORECASE
)
_URL_DAY = re.compile(
    r"(?<!\d)(?P<y>(?:19|20)\d\d)[-/_](?P<m>[01]?\d|[a-z]{3,9})[-/_](?P<d>[0-3]?\d)(?!\d)"
    r"|(?<![\w-])(?P<y2>20\d\d)(?P<m2>[01]\d)(?P<d2>[0-3]\d)(?!\d{5})|/(?P<y3>20\d\d)/(?P<m3>[01]\d)(?P<d3>[0-3]\d)/"
)
_SCRIPT_KEYS = ("datePublished", "publishedAt", "published_at", "publishDate")
_SCRIPT_VALUE = re.compile(r"""["'\\&quot;]{1,8}\s{0,3}:\s{0,3}["'\\&quot;]{1,8}([\d][\w:+., /-]{7,38})["'\\&]""")
_DECLARED = frozenset(("json-ld", "meta"))
_SEEN_FIRST = frozenset(("published", "close"))
# Countries whose English writes the month first, and hosts that say nothing of a country.
_MONTH_FIRST_REGIONS = frozenset(("US", "PH", "CA", "PR"))
_MONTH_FIRST_HOSTS = frozenset(
    ("com", "org", "net", "io", "co", "us", "gov", "edu", "mil", "blog", "dev", "ai", "app", "info", "biz", "tv", "ph")
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Dates:
    """``_at`` is a moment, known only where time and zone were written; ``_on`` the calendar day as written."""

    published_at: datetime | None = None
    published_on: date | None = None
    published_from: str | None = None  # what named the moment, or the day where no moment is known
    modified_at: datetime | None = None
    modified_on: date | None = None


@dataclass(frozen=True, slots=True)
class _Said:
    source: str
    on: date
    at: datetime | None = None


def read_dates(
    document: Document,
    gathered: Gathered,
    leaves: Leaves,
    meta: Meta,
    linked: JsonLd,
    *,
    title: Box | None,
    languages: tuple[str, ...],
    entry_at: datetime | None,
) -> Dates:
    """Find the day first, then the moment on that day.

    The first source that names a possible day decides; a moment is taken from the first source that names one within a
    day of it. Impossible is what lies behind the response's own date or more than a day behind the feed's entry.

    Args:
        title: The element that holds the title; visible dates are looked for around it.
        languages: As declared, with regions; they and the host tell 3/4 from 4/3.
        entry_at: When the feed says it was published.
    """
    day_first = is_day_first(document.url, languages)
    limit = _limit(document, entry_at)

    def read(source: str, values: Iterable[str | None]) -> Iterator[_Said]:
        for value in values:
            on = _day_near(value, day_first=day_first, expected=entry_at)
            if on and (limit is None or on <= limit):
                yield _Said(source, on, moment(value))

    @cache
    def marked() -> tuple[tuple[str, str], ...]:
        return tuple(_marked(document, gathered))

    @cache
    def visible() -> tuple[tuple[str, date], ...]:
        return tuple(_visible(leaves, title, day_first=day_first))

    published = _lazily(
        lambda: read(
            "json-ld", (linked.string("datePublished"), linked.string("dateCreated"), linked.string("uploadDate"))
        ),
        lambda: read("meta", meta.all(*_PUBLISHED)),
        lambda: read("time", (value for kind, value in marked() if kind == "published")),
        lambda: (_Said("text", on) for kind, on in visible() if kind == "published"),
        lambda: read("json-ld", (linked.string("datePublished", of_page=True),)),
        lambda: (_Said("text", on) for kind, on in visible() if kind != "modified"),
        lambda: read("time", (value for kind, value in marked() if kind == "unsaid")),
        lambda: (_Said("text", on) for on in _alone(leaves, day_first=day_first)),
        lambda: read("url", _in_url(document.url)),
        lambda: read("script", _in_scripts(document.source)),
    )
    modified = _lazily(
        lambda: read("json-ld", (linked.string("dateModified"),)),
        lambda: read("meta", meta.all(*_MODIFIED)),
        lambda: read("time", (value for kind, value in marked() if kind == "modified")),
        lambda: (_Said("text", on) for kind, on in visible() if kind == "modified"),
        lambda: read("json-ld", (linked.string("dateModified", of_page=True),)),
    )
    first, moment_of_it = _agreed(published)
    last, moment_of_change = _agreed(modified)
    if first and last and first.on == last.on and first.source in _DECLARED and not linked.is_news:
        earlier = next((on for kind, on in visible() if kind in _SEEN_FIRST and on < first.on - A_DAY), None)
        if earlier:  # the declared ones are those of a later edition, or of a move to another system
            first, moment_of_it = _Said("text", earlier), None
    named = moment_of_it or first
    return Dates(
        published_at=moment_of_it.at if moment_of_it else None,
        published_on=first.on if first else None,
        published_from=named.source if named else None,
        modified_at=moment_of_change.at if moment_of_change else None,
        modified_on=last.on if last else None,
    )


def is_day_first(url: str | None, languages: tuple[str, ...]) -> bool:
    """Whether 3/4/2025 is in April: everywhere but where American English is written."""
    tag = languages[0] if languages else "en"
    language, _, region = tag.partition("-")
    if language != "en":
        return True
    if region:
        return region.upper() not in _MONTH_FIRST_REGIONS
    host = (urlsplit(url).hostname or "") if url else ""
    return bool(host) and host.rpartition(".")[2] not in _MONTH_FIRST_HOSTS


def _day_near(raw: str | None, *, day_first: bool, expected: datetime | None) -> date | None:
    """The day; where day and month may be either way round, the feed's date tells which."""
    on = day_of(raw, day_first=day_first)
    if on is None or expected is None:
        return on
    other = day_of(raw, day_first=not day_first)
    return other if other and abs(other - expected.date()) <= A_DAY < abs(on - expected.date()) else on


def _lazily(*sources: Callable[[], Iterator[_Said]]) -> Iterator[_Said]:
    for source in sources:
        yield from source()


def _agreed(said: Iterator[_Said]) -> tuple[_Said | None, _Said | None]:
    """The first, and the first with a moment within a day of it."""
    first = next(said, None)
    if first is None or first.at is not None:
        return first, first
    return first, next((one for one in said if one.at is not None and abs(one.on - first.on) <= A_DAY), None)


def _limit(document: Document, entry_at: datetime | None) -> date | None:
    """The last day on which the page can have been published, where somebody's clock tells."""
    known: list[date] = []
    if entry_at is not None:
        known.append(entry_at.date() + A_DAY)
    if raw := document.header("date"):
        with suppress(ValueError, TypeError):  # a clock that cannot be read tells nothing
            known.append(parsedate_to_datetime(raw[:MAX_LENGTH]).date() + A_DAY)
    return min(known, default=None)


def _marked(document: Document, gathered: Gathered) -> Iterator[tuple[str, str]]:
    """Elements that are dates by their markup: what of, and the value; those that say it first."""
    microdata = elements_at(_MARKED, document.root) if "itemprop" in document.source else []
    for element in microdata[:MAX_TIMES]:
        value = element.get("datetime") or element.get("content") or short_text(element, MAX_LENGTH)
        if value:
            yield "modified" if element.get("itemprop") == "dateModified" else "published", value
    for element in gathered.times[:MAX_TIMES]:
        value = element.get("datetime") or element.get("title")
        if not value:
            continue
        names = " ".join(
            (element.get("class") or "", element.get("itemprop") or "", "pubdate" * ("pubdate" in element.attrib))
        )
        if _SAYS_PUBLISHED.search(names):
            yield "published", value
        elif _SAYS_MODIFIED.search(names):
            yield "modified", value
        elif element.tag == "time" and not any(above.tag in _OUTSIDE for above in islice(element.iterancestors(), 12)):
            yield "unsaid", value


def _visible(leaves: Leaves, title: Box | None, *, day_first: bool) -> Iterator[tuple[str, date]]:
    """Dates in short lines around the title, by what the words before them say they are of.

    One that nobody labelled is ``close`` when it stands nearly alone, right below the title; else ``unsaid``.
    """
    start = max(0, title.start - LEAVES_BEFORE) if title else 0
    end = title.end if title else LEAVES_BEFORE
    before: Leaf | None = None
    for index, leaf in enumerate(leaves.leaves[start : end + LEAVES_AFTER], start):
        if leaf.text and len(leaf.text) <= LONGEST_LINE and not _is_outside(leaf):
            is_close = title is not None and end <= index < end + LEAVES_CLOSE and len(leaf.text) <= LONGEST_ALONE
            for kind, day in _in_line(leaf.text, before.text if before else "", day_first=day_first):
                yield "close" if kind == "unsaid" and is_close else kind, day
        if leaf.text:
            before = leaf


def _alone(leaves: Leaves, *, day_first: bool) -> Iterator[date]:
    """The one day that lines anywhere on the page say it was published on; else the one that stands alone in a line."""
    said: set[date] = set()
    bare: set[date] = set()
    for leaf in leaves.leaves:
        if 0 < len(leaf.text) <= LONGEST_ALONE and not _is_outside(leaf):
            for kind, day in _in_line(leaf.text, "", day_first=day_first):
                if kind == "published":
                    said.add(day)
                elif kind == "unsaid":
                    bare.add(day)
    for days in (said, bare):
        if len(days) == 1:
            yield from days


def _is_outside(leaf: Leaf) -> bool:
    flags = leaf.box.flags
    return bool(flags & NAV) or (bool(flags & (ASIDE | FOOTER)) and not flags & ARTICLE)


def _in_line(line: str, line_before: str, *, day_first: bool) -> Iterator[tuple[str, date]]:
    end = 0
    for written in days_in(line, day_first=day_first):
        label = line[max(end, written.start - LONGEST_LABEL) : written.start]
        if not label.strip() and end == 0 and len(line_before) <= LONGEST_LABEL:
            label = line_before
        end = written.end
        kind = _kind(label)
        beside = len(line) - (written.end - written.start)
        if kind and (kind != "unsaid" or beside <= MOST_BESIDE):
            yield kind, written.day


def _kind(label: str) -> str | None:
    """What a date is of, by the last such word before it; None for what is no date of the article."""
    places = [
        (max((match.start() for match in words.finditer(label)), default=-1), kind)
        for kind, words in (("published", _PUBLISHED_WORDS), ("modified", _UPDATED_WORDS), (None, _OTHER_WORDS))
    ]
    place, kind = max(places, key=lambda one: one[0])
    return kind if place >= 0 else "unsaid"


def _in_url(url: str | None) -> Iterator[str]:
    match = _URL_DAY.search(urlsplit(url).path.lower()) if url else None
    if match:
        year, month, day = (
            match["y"] or match["y2"] or match["y3"],
            match["m"] or match["m2"] or match["m3"],
            match["d"] or match["d2"] or match["d3"],
        )
        yield f"{day} {month} {year}" if month.isalpha() else f"{year}-{month}-{day}"


def _in_scripts(source: str) -> Iterator[str]:
    """Values of keys that name a date of publication, in scripts and attributes of any kind."""
    for key in _SCRIPT_KEYS:
        place = source.find(key)
        for _ in range(MAX_SCRIPT_HITS):
            if place < 0:
                break
            if match := _SCRIPT_VALUE.match(source, place + len(key)):
                yield match[1]
            place = source.find(key, place + len(key))
