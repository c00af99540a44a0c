"""What a look at a feed came to, for people who choose feeds: facts, what is wrong with them, and the entry to write.

Pure: ``worker.stages.trial`` asks, this judges.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Literal
from urllib.parse import urlsplit, urlunsplit

from worker.feeds.discover import Candidate
from worker.feeds.feedlist import LANGUAGE, slug_from
from worker.feeds.health import Dates, Guids, Links, Rhythm
from worker.model import Exchange
from worker.text import clean_line

Validators = Literal["none", "work", "ignored", "moving", "unclear", "lie"]
FullText = Literal["whole", "excerpts", "mixed", "unknown"]

STALE_S = 30 * 86_400.0
LONG_DELAY_S = 10.0
SLOW_S = 5.0
MANY = 50  # items: taken all at once, they are a backlog
MOST = 0.8  # of the items
FEW = 0.2
ENOUGH_COMPARED = 2
EXCERPT = 0.5  # of the page's words: what has fewer is none of the cases that need a look
HIDDEN = "…"

_SECRET = re.compile(
    r"token|secret|passw|passphrase|signature|credential|api_?key|(?:^|[_.-])(?:key|auth|sig|pass|pwd|session|sid|jwt)"
    r"(?:$|[_.-])",
    re.IGNORECASE,
)

_REFERENCES = re.compile(r"(?:[A-Za-z]{1,10} )?\$\{[A-Za-z_][A-Za-z0-9_]*\}")  # with a scheme: Bearer ${TOKEN}


def shown_url(url: str) -> str:
    """A URL as people may see it: without user and password, and with what looks like a secret in its query hidden."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return HIDDEN
    pairs = [pair.partition("=") for pair in parts.query.split("&")] if parts.query else []
    query = "&".join(
        f"{name}={HIDDEN}" if value and _SECRET.search(name) else f"{name}{equals}{value}"
        for name, equals, value in pairs
    )
    return clean_line(urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2], query=query)), 2000)


# ---------------------------------------------------------------- facts


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """Why there is no feed; ``reason`` is a short stable name."""

    reason: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Named:
    """A feed that a page names; ``outcome``: what came of trying it, None: it was not."""

    url: str
    how: str
    title: str | None
    media_type: str | None
    is_comments: bool
    outcome: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Redirect:
    status: int
    to: str

    @property
    def is_permanent(self) -> bool:
        return self.status in {301, 308}


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    format: str
    title: str | None
    language: str | None
    home_url: str | None
    bytes: int
    content_type: str | None
    charset_http: str | None
    charset_declared: str | None
    encoding: str  # in which it was read
    encoding_by: str  # bom, utf-8, declared, http, guessed, doubtful, replaced
    is_damaged: bool
    warnings: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Entries:
    """Counts of items."""

    count: int
    left_out: int
    with_title: int
    with_text: int
    sitemaps: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Conditional:
    """What the feed answered when it was asked whether anything had changed, and what it served just after that.

    ``status``: of the conditional request, None: there was none. ``same_body``, ``new_items``: of the plain one.
    """

    etag: bool
    last_modified: bool
    status: int | None
    same_body: bool | None
    new_items: int | None
    verdict: Validators


@dataclass(frozen=True, slots=True, kw_only=True)
class Freshness:
    """How often the feed wishes to be asked; 0: it does not say."""

    max_age_s: float
    ttl_s: float
    update_period_s: float
    skip_hours: tuple[int, ...]
    skip_days: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """``gate``: the name under which the site's requests are counted; ``delay_s`` between them, as it would be kept."""

    gate: str
    delay_s: float
    connections: int
    crawl_delay_s: float | None
    latency_s: float
    next_poll_s: float | None  # how long the feed would be left alone after its first poll


@dataclass(frozen=True, slots=True, kw_only=True)
class Rights:
    """``robots``: allowed, disallowed, unreadable, unknown (not asked); of a feed's document: whatever is done then."""

    robots: str
    x_robots_tag: str | None
    tdm_reservation: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One item, read as newsmill would read it. Without a page (``problem`` says why) by the feed's text alone."""

    url: str | None
    title: str | None
    published_at: datetime | None
    published_from: str | None
    feed_date: datetime | None
    authors: tuple[str, ...]
    language: str | None
    words: int
    picture: str | None
    first_lines: str
    method: str
    not_article: str | None
    warnings: tuple[str, ...]
    rights: Rights
    paywalled: bool | None
    problem: str | None
    feed_words: int
    page_words: int | None  # None: no page
    feed_is_whole: bool | None  # against the page


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """What a feed showed."""

    document: Document
    entries: Entries
    dates: Dates
    guids: Guids
    links: Links
    full_text: FullText
    full_text_share: float  # of the texts, how many look whole on their own
    endings: int  # lines that most texts end with
    validators: Conditional
    freshness: Freshness
    hub_url: str | None
    topic_url: str | None
    rights: Rights
    pace: Pace
    rhythm: Rhythm
    samples: tuple[Sample, ...]
    notes: tuple[str, ...]  # what was not looked at, and why


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """Everything found out; without ``found`` there is no feed, and ``error`` says why."""

    asked: str
    url: str | None = None  # of the feed that was looked at
    error: Failure | None = None
    redirects: tuple[Redirect, ...] = ()
    candidates: tuple[Named, ...] = ()
    found: Findings | None = None
    problems: tuple[str, ...] = ()
    suggested: Mapping[str, Any] | None = None
    toml: str | None = None
    requests: int = 0


def redirects_of(exchange: Exchange) -> tuple[Redirect, ...]:
    """Where each hop led, shown."""
    hops = exchange.hops
    return tuple(Redirect(status=hop.status, to=shown_url(hops[n + 1].url)) for n, hop in enumerate(hops[:-1]))


def named(found: Sequence[Candidate], outcomes: Mapping[str, str]) -> tuple[Named, ...]:
    return tuple(
        Named(
            url=shown_url(one.url),
            how=one.how,
            title=one.title,
            media_type=one.media_type,
            is_comments=one.is_comments,
            outcome=outcomes.get(one.url),
        )
        for one in found
    )


def validators_verdict(
    *, has_validators: bool, status: int | None, same_body: bool | None, new_items: int | None
) -> Validators:
    """What one conditional request shows. That a 304 is honest can only be seen over days: the polls watch for it.

    Args:
        status: Of the conditional request.
        same_body: The plain request after (or instead of) it brought the bytes of the first one.
        new_items: Items in it that the first one had not.
    """
    if not has_validators:
        return "none"
    if status == 304:  # noqa: PLR2004 - HTTP's own number
        return "lie" if new_items else "work"
    if same_body is None:
        return "unclear"
    if same_body:
        return "ignored"
    return "unclear" if new_items else "moving"


def full_text_verdict(samples: Sequence[Sample], share: float) -> FullText:
    """What the feed gives: as its articles' pages say, else as its texts look."""
    compared = [one.feed_is_whole for one in samples if one.feed_is_whole is not None]
    if compared:
        return "whole" if all(compared) else "mixed" if any(compared) else "excerpts"
    return "whole" if share >= MOST else "unknown"


# ---------------------------------------------------------------- judged


def judged(report: Report, found: Findings, *, address: str, headers: Mapping[str, str], now: datetime) -> Report:
    """The report with what was found, its problems, and the entry to write.

    Args:
        address: The feed's, unmasked: what to follow.
        headers: Configured ones; values that are no ``${NAME}`` are secrets.
    """
    suggested = _suggested(found, address, headers)
    problems = (*_of_address(report), *_problems(found, now))
    return replace(report, found=found, problems=problems, suggested=suggested, toml=_toml(suggested))


def _problems(found: Findings, now: datetime) -> Iterator[str]:
    yield from _of_document(found.document)
    if found.entries.count == 0:
        yield "It has no items now: look again when it has some."
    yield from _of_dates(found.dates, found.entries.count, now)
    yield from _of_guids(found.guids)
    yield from _of_links(found.links)
    yield from _of_validators(found.validators)
    yield from _of_rights(found)
    yield from _of_samples(found.samples)


def _of_address(report: Report) -> Iterator[str]:
    permanent = [one for one in report.redirects if one.is_permanent]
    if permanent and len(permanent) == len(report.redirects):
        yield f"The address has moved for good to {permanent[-1].to}: follow that one."
    elif report.redirects:
        yield f"The address redirects to {report.redirects[-1].to}, for now: it stays the one to follow."
    if HIDDEN in report.asked or HIDDEN in (report.url or ""):
        yield (
            f"The address has a secret in its query, hidden here as {HIDDEN}: put it back in the entry, and better ask "
            "the site for a header."
        )


def _of_document(document: Document) -> Iterator[str]:
    if document.encoding_by in {"guessed", "doubtful", "replaced"}:
        said = document.charset_declared or document.charset_http or "none"
        yield (
            f"Its encoding is declared as {said} and was read as {document.encoding} ({document.encoding_by}): "
            "check the sample for wrong characters."
        )
    elif _differ(document.charset_http, document.charset_declared):
        yield (
            f"Header and document declare different encodings ({document.charset_http}, {document.charset_declared}); "
            f"read as {document.encoding}."
        )
    if document.is_damaged:
        yield "The document is cut or broken: only its complete items are taken. If that stays, tell the site."
    if document.format == "sitemap":
        yield "It is a plain sitemap: its items have no titles or dates. Look for a feed, or for a news sitemap."


def _differ(one: str | None, other: str | None) -> bool:
    return bool(one and other) and _bare(one) != _bare(other)


def _bare(charset: str | None) -> str:
    return re.sub(r"[^a-z0-9]", "", (charset or "").lower())


def _of_dates(dates: Dates, count: int, now: datetime) -> Iterator[str]:
    age_s = dates.age_s(now)
    if dates.unreadable:
        yield f"{dates.unreadable} of {count} items have dates that cannot be read: their pages' dates will serve."
    if dates.missing > FEW * count:
        yield f"{dates.missing} of {count} items have no date: their pages' dates will serve, if they have some."
    if dates.future:
        yield f"{dates.future} of {count} items are dated in the future: taken as now."
    if dates.equal > count / 2:
        yield f"{dates.equal} of {count} items share their date: perhaps that of the feed, not of the articles."
    if age_s is not None and age_s > STALE_S:
        yield f"The newest item is {age_s / 86_400:.0f} days old: is the feed still kept?"


def _of_guids(guids: Guids) -> Iterator[str]:
    if guids.changed:
        yield (
            f"{guids.changed} of {guids.seen_again} guids were different a moment later: items will go by their "
            "addresses, and those without one by their text."
        )
    if guids.repeated:
        yield f"{guids.repeated} items share a guid with another one: they will be told apart by address and title."


def _of_links(links: Links) -> Iterator[str]:
    count = links.present + links.missing
    if links.missing:
        yield f"{links.missing} of {count} items have no link to request: the feed's text is all there is of them."
    if links.home_page > FEW * count:
        yield f"{links.home_page} of {count} items lead to a home page: they will go by guid or text."
    if links.elsewhere:
        cure = ': offsite = "skip" leaves them out' if links.offsite == links.elsewhere else ""
        yield f"{links.elsewhere} of {links.present} links lead to other sites{cure}."


def _of_validators(validators: Conditional) -> Iterator[str]:
    if validators.verdict == "none":
        yield "The server gives neither ETag nor Last-Modified: every poll transfers the whole document."
    elif validators.verdict == "ignored":
        yield "The server answers conditional requests with the whole document although nothing changed."
    elif validators.verdict == "moving":
        yield "The document changes at every request although no item does: a time or a counter in it."
    elif validators.verdict == "lie":
        yield (
            f"The server said that nothing had changed, and a moment later had {validators.new_items} new items: "
            "it may answer wrongly. Polls without validators, once a day, catch that."
        )


def _of_rights(found: Findings) -> Iterator[str]:
    rights, pace = found.rights, found.pace
    if rights.robots == "disallowed":
        yield "robots.txt does not want the feed's address to be asked: ask the site before you follow it."
    if rights.robots == "unreadable":
        yield "robots.txt cannot be read now: articles wait until it can."
    if (pace.crawl_delay_s or 0.0) > LONG_DELAY_S:
        yield (
            f"robots.txt asks for {pace.crawl_delay_s:g} s between requests: at most "
            f"{86_400 / pace.delay_s:.0f} articles, pictures and polls a day."
        )
    if pace.latency_s > SLOW_S:
        yield f"The server took {pace.latency_s:.1f} s to answer: it will be asked more slowly."
    said = (rights, *(one.rights for one in found.samples))
    if any(one.tdm_reservation == "1" for one in said):
        yield "Rights for text and data mining are reserved (TDM): read the site's terms before you use the texts."
    tag = next((one.x_robots_tag for one in said if one.x_robots_tag), None)
    if tag is not None:
        yield f"X-Robots-Tag says: {tag}."


def _of_samples(samples: Sequence[Sample]) -> Iterator[str]:
    for one in samples:
        if one.rights.robots == "disallowed":
            yield f"robots.txt does not want {one.url} to be asked: only items with their whole text can be published."
        elif one.problem:
            yield f"The page {one.url} was not had ({one.problem})."
        elif one.not_article:
            yield f"{one.url} is no article ({one.not_article})."
        if one.paywalled:
            yield f"{one.url} says that it is not free to read: its text may be a teaser."


# ---------------------------------------------------------------- the entry to write


def _suggested(found: Findings, address: str, headers: Mapping[str, str]) -> dict[str, Any]:
    title = found.document.title
    slug = slug_from(title or "") or slug_from(address) or "feed"
    languages = {one.language for one in found.samples if one.language}
    language = found.document.language or (languages.pop() if len(languages) == 1 else None)
    said: dict[str, Any] = {
        "slug": slug,
        "url": shown_url(address),
        "title": clean_line(title) if title else None,
        "language": language if language and LANGUAGE.fullmatch(language) else None,
        "fulltext": _fulltext(found),
        "headers": {name: _reference(slug, name, value) for name, value in headers.items()} or None,
        "first_poll": {"newest": MANY} if found.entries.count > MANY else None,
    }
    return {name: value for name, value in said.items() if value is not None}


def _fulltext(found: Findings) -> str | None:
    """Only what several pages show; else each item is judged as it comes."""
    compared = [one for one in found.samples if one.feed_is_whole is not None]
    if len(compared) < ENOUGH_COMPARED:
        return None
    if all(one.feed_is_whole for one in compared) and found.full_text_share >= MOST:
        return "always"
    return "never" if all(one.feed_words < EXCERPT * (one.page_words or 0) for one in compared) else None


def _reference(slug: str, name: str, value: str) -> str:
    """A header's value by the name of a variable; what is no such reference is a secret, and gets a name."""
    if _REFERENCES.fullmatch(value):
        return value
    variable = re.sub(r"[^A-Z0-9]+", "_", f"{slug}_{name}".upper())
    return f"${{{variable}}}" if variable[:1].isalpha() else f"${{FEED_{variable}}}"


def _toml(said: Mapping[str, Any]) -> str:
    """The entry, as the reviewed list takes it. It is read back before it is shown."""
    lines = ["[[feed]]", *(f"{name} = {_value(value)}" for name, value in said.items())]
    text = "\n".join(lines) + "\n"
    tomllib.loads(text)
    return text


def _value(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{_key(name)} = {_value(one)}" for name, one in value.items()) + " }"
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _key(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else json.dumps(name)
