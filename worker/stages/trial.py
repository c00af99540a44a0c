"""A look at a feed before it is followed: asked as politely as ever, and nothing is written anywhere."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from http import HTTPStatus

from worker.errors import NewsmillError, QuarantineError, RetryableError
from worker.extract.article import read_article
from worker.extract.feedtext import Habit, read_feed_text
from worker.extract.habit import document_habit
from worker.feeds.cadence import CadencePolicy, Pattern, learnt, next_poll
from worker.feeds.discover import Candidate, HeaderLink, candidates, clear_choice, guesses, news_sitemaps
from worker.feeds.health import dates_of, guids_of, links_of, rhythm_of
from worker.feeds.parse import parse_feed
from worker.fetch.classify import START_BYTES, VerdictKind, freshness_s, judge, media_kind
from worker.fetch.coding import decoded_body
from worker.fetch.http import SENDABLE, FetchRequest
from worker.fetch.robots import robots_tag
from worker.fetch.trouble import FetchFailedError
from worker.model import ArticleRecord, Entry, Exchange, Hop, ParsedFeed
from worker.stages.asking import Asker, Doors, RobotsForbidError
from worker.stages.download import PAGE_ACCEPT, PAGE_KINDS, REJECTED_STATUS, body_problem
from worker.stages.poll import FEED_ACCEPT, VARIABLE
from worker.stages.trialreport import (
    Conditional,
    Document,
    Entries,
    Failure,
    Findings,
    Freshness,
    Report,
    Rights,
    Sample,
    full_text_verdict,
    judged,
    named,
    redirects_of,
    shown_url,
    validators_verdict,
)
from worker.text import decode, sniff_declared, word_count
from worker.websub.links import advertised, header_links

MAX_TRIED = 8  # addresses that are asked in the hope that they are feeds
FIRST_LINES = 3
LONGEST_LINE = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A feed, and how it was come by."""

    url: str  # that was asked: the one to follow
    exchange: Exchange
    body: bytes
    feed: ParsedFeed


@dataclass(frozen=True, slots=True, kw_only=True)
class Discovery:
    """What an address came to: a feed, or why not; and what a page named."""

    found: Found | None
    error: Failure | None = None
    candidates: tuple[Candidate, ...] = ()
    outcomes: Mapping[str, str] = field(default_factory=dict)  # of those that were tried
    choice: Candidate | None = None  # when the page names one feed, and no other


def discover(doors: Doors, url: str, *, headers: Mapping[str, str]) -> Discovery:
    """Find the feed at an address: it is one itself, or a page that names some, of which the likeliest is tried."""
    return _Look(doors, url, headers).discovery()


def try_feed(doors: Doors, url: str, *, headers: Mapping[str, str], samples: int) -> Report:
    """Look at the feed at an address, or at the likeliest of those that the page there names.

    Args:
        doors: The web.
        url: As usable as ``worker.urls.usable_url`` makes it.
        headers: Sent to the feed; ``${NAME}`` in them comes from ``doors.settings.variables``.
        samples: How many items' pages to read.

    Returns: What was found; failures of the address are in its ``error``, failures of later looks in its ``notes``.
    """
    look = _Look(doors, url, headers)
    came = look.discovery()
    report = Report(
        asked=shown_url(url),
        url=shown_url(came.found.url) if came.found else None,
        error=came.error,
        candidates=named(came.candidates, came.outcomes),
        redirects=redirects_of(came.found.exchange) if came.found else (),
    )
    if came.found is None:
        return replace(report, requests=look.asker.requests)
    findings = look.findings(came.found, samples)
    followed = came.found.url
    if report.redirects and all(one.is_permanent for one in report.redirects):
        followed = came.found.exchange.final_url
    report = replace(report, requests=look.asker.requests)
    return judged(report, findings, address=followed, headers=headers, now=doors.clock())


# ---------------------------------------------------------------- looking


class _Look:
    """One look: what was asked, and what is still to be asked."""

    def __init__(self, doors: Doors, url: str, headers: Mapping[str, str]) -> None:
        self.asker = Asker(doors)
        self._doors = doors
        self._url = url
        self._headers = headers

    def discovery(self) -> Discovery:
        try:
            exchange, body = self._fetched(self._url)
        except NewsmillError as error:
            return Discovery(found=None, error=_failure(error))
        self.asker.rules(exchange.final_url)  # it may ask for a slower pace
        try:
            return Discovery(found=self._as_feed(self._url, exchange, body))
        except QuarantineError as error:
            refused = _failure(error)
        if media_kind(exchange.final.header("Content-Type"), body[:START_BYTES]) != "html":
            return Discovery(found=None, error=refused)
        return self._among(exchange, body)

    def _among(self, exchange: Exchange, body: bytes) -> Discovery:
        """The feeds of a page: those it names, else the news sitemaps of its site, else where feeds usually are."""
        hop = exchange.final
        content_type = hop.header("Content-Type")
        said = [
            HeaderLink(frozenset(link.rels), link.target, link.parameters.get("type"), link.parameters.get("title"))
            for link in header_links(hop.headers, hop.url)
        ]
        all_named: list[Candidate] = []
        outcomes: dict[str, str] = {}
        ways: tuple[Callable[[], tuple[Candidate, ...]], ...] = (
            lambda: candidates(body, url=hop.url, content_type=content_type, links=said),
            lambda: news_sitemaps(self.asker.rules(hop.url).decision.text, hop.url),
            lambda: guesses(body, url=hop.url, content_type=content_type),
        )
        for find in ways:
            some = find()
            all_named += some
            found = self._first_of(some, outcomes, all_named)
            if found is not None:
                kept = [one for one in all_named if one.how != "guess" or outcomes.get(one.url) == "feed"]
                choice = clear_choice([one for one in kept if outcomes.get(one.url, "feed") == "feed"])
                return Discovery(found=found, candidates=tuple(kept), outcomes=outcomes, choice=choice)
        tried = tuple(one for one in all_named if one.how != "guess")
        message = f"{shown_url(hop.url)} is an HTML page that names no feed, and none is where feeds usually are"
        error = Failure(reason="no-feed", message=message)
        return Discovery(found=None, error=error, candidates=tried, outcomes=outcomes)

    def _first_of(
        self, some: Sequence[Candidate], outcomes: dict[str, str], all_named: list[Candidate]
    ) -> Found | None:
        """The first that is a feed. An overview of feeds that the page links to is read, too: one of each page."""
        waiting = list(some)
        looked_into = False
        while waiting and len(outcomes) < MAX_TRIED:
            one = waiting.pop(0)
            if one.url in outcomes:
                continue
            try:
                exchange, body = self._fetched(one.url)
                found = self._as_feed(one.url, exchange, body)
            except NewsmillError as error:
                outcomes[one.url] = _failure(error).reason
                if one.how == "anchor" and outcomes[one.url] == "not-a-feed" and not looked_into:
                    more = candidates(body, url=exchange.final_url, content_type=exchange.final.header("Content-Type"))
                    fresh = [other for other in more if other.url not in {known.url for known in all_named}]
                    looked_into = bool(fresh)
                    waiting = [*fresh, *waiting]
                    all_named += fresh
            else:
                outcomes[one.url] = "feed"
                return found
        return None

    def _fetched(
        self, url: str, *, etag: str | None = None, last_modified: str | None = None
    ) -> tuple[Exchange, bytes]:
        """Ask for what may be a feed. Raises: NewsmillError: it cannot be had."""
        settings = self._doors.settings
        own = tuple((name, _filled_in(value, settings.variables)) for name, value in self._headers.items())

        def request(target: str) -> FetchRequest:
            return FetchRequest(
                url=target,
                accept=FEED_ACCEPT,
                headers=own if target == self._url else (),
                sensitive=frozenset(name.lower() for name, _ in own),
                etag=etag,
                last_modified=last_modified,
                cap_bytes=settings.page_cap_bytes,
                total_timeout_s=settings.fetch_timeout_s,
                allow_downgrade=settings.allow_downgrade,
            )

        exchange = self.asker.get(request, url, obeys=False)
        hop = exchange.final
        answer = judge(hop.status, hop.headers, now=self._doors.clock(), sent_validators=bool(etag or last_modified))
        if answer.kind not in {VerdictKind.OK, VerdictKind.NOT_MODIFIED}:
            raise QuarantineError(f"http-{hop.status}", f"{shown_url(hop.url)} answered with HTTP {hop.status}")
        return exchange, decoded_body(hop, settings.page_cap_bytes)

    def _as_feed(self, url: str, exchange: Exchange, body: bytes) -> Found:
        """Raises: QuarantineError: it is none."""
        return Found(url=url, exchange=exchange, body=body, feed=self._parsed(exchange, body))

    def _parsed(self, exchange: Exchange, body: bytes) -> ParsedFeed:
        hop, settings = exchange.final, self._doors.settings
        return parse_feed(
            body,
            content_type=hop.header("Content-Type"),
            url=hop.url,
            max_entries=settings.max_entries,
            now=self._doors.clock(),
        )

    # ------------------------------------------------------------ the parts of a report

    def findings(self, found: Found, samples: int) -> Findings:
        """What the feed shows, then what asking again shows, then what its articles' pages show."""
        now, hop, feed = self._doors.clock(), found.exchange.final, found.feed
        notes: list[str] = []
        conditional, again = self._asked_again(found, notes)
        entries = feed.entries
        if feed.sitemaps:
            entries = self._of_index(feed, notes)
        share, endings = document_habit(entries)
        habit = Habit(endings=frozenset(endings))
        read = tuple(self._sample(one, habit, notes) for one in _newest(entries, samples))
        links = advertised(hop.headers, url=hop.url, hub_url=feed.hub_url, topic_url=feed.topic_url)
        robots = self.asker.verdict(hop.url)
        pace = self.asker.pace(hop.url)
        freshness = _freshness(hop, feed, now)
        return Findings(
            document=_document(found),
            entries=Entries(
                count=len(entries),
                left_out=feed.entries_left_out,
                with_title=sum(bool(one.title) for one in entries),
                with_text=sum(bool(one.html) for one in entries),
                sitemaps=len(feed.sitemaps),
            ),
            dates=dates_of(entries, now),
            guids=guids_of(entries, again.entries if again is not None else None),
            links=links_of(entries, found.url),
            full_text=full_text_verdict(read, share),
            full_text_share=round(share, 3),
            endings=len(endings),
            validators=conditional,
            freshness=freshness,
            hub_url=shown_url(links.hub_url) if links.hub_url else None,
            topic_url=shown_url(links.topic_url) if links.topic_url else None,
            rights=Rights(
                robots=robots,
                x_robots_tag=robots_tag(hop.headers, self._doors.settings.user_agent),
                tdm_reservation=_tdm(hop),
            ),
            pace=replace(pace, next_poll_s=self._next_poll_s(entries, freshness, now)),
            rhythm=rhythm_of(entries),
            samples=read,
            notes=tuple(notes),
        )

    def _next_poll_s(self, entries: Sequence[Entry], wishes: Freshness, now: datetime) -> float:
        """How long the feed would be left alone if this had been its first poll."""
        settings = self._doors.settings
        dates = [one.published_at or one.updated_at for one in entries]
        after = next_poll(
            CadencePolicy(
                floor_s=settings.poll_floor_s, ceiling_s=settings.poll_ceiling_s, patience_s=settings.poll_patience_s
            ),
            interval_s=None,
            now=now,
            pattern=learnt(Pattern(), item_dates=dates, window=len(entries), polled_at=now),
            outcome="new",
            failures=0,
            max_age_s=wishes.max_age_s,
            ttl_s=wishes.ttl_s,
            update_period_s=wishes.update_period_s,
            skip_hours=frozenset(wishes.skip_hours),
            skip_days=frozenset(wishes.skip_days),
            jitter=0.0,
        )
        return (after - now).total_seconds()

    def _asked_again(self, found: Found, notes: list[str]) -> tuple[Conditional, ParsedFeed | None]:
        """Ask once with validators, and once without where that brought nothing to compare."""
        hop = found.exchange.final
        etag, last_modified = _sendable(hop.header("ETag")), _sendable(hop.header("Last-Modified"))
        has_validators = bool(etag or last_modified)
        status, body, exchange = None, None, None
        try:
            if has_validators:
                exchange, body = self._fetched(found.url, etag=etag, last_modified=last_modified)
                status = exchange.final.status
            if status in {None, HTTPStatus.NOT_MODIFIED}:
                exchange, body = self._fetched(found.url)
        except NewsmillError as error:
            notes.append(f"The feed was not asked again: {error}.")
            body = None
        again = None
        if exchange is not None and body is not None:
            try:
                again = self._parsed(exchange, body)
            except QuarantineError as error:
                notes.append(f"Asked again, it was no feed: {error}.")
        same_body = None if again is None or body is None else _digest(body) == _digest(found.body)
        new_items = None if again is None else _news(found.feed.entries, again.entries)
        verdict = validators_verdict(
            has_validators=has_validators, status=status, same_body=same_body, new_items=new_items
        )
        return (
            Conditional(
                etag=etag is not None,
                last_modified=last_modified is not None,
                status=status,
                same_body=same_body,
                new_items=new_items,
                verdict=verdict,
            ),
            again,
        )

    def _of_index(self, feed: ParsedFeed, notes: list[str]) -> tuple[Entry, ...]:
        """The items of the latest of an index's sitemaps."""
        latest = max(feed.sitemaps, key=lambda one: (one.modified_at is not None, one.modified_at))
        try:
            exchange, body = self._fetched(latest.url)
            entries = self._parsed(exchange, body).entries
        except NewsmillError as error:
            notes.append(f"The sitemap {shown_url(latest.url)} was not read: {error}.")
            return ()
        notes.append(f"It lists {len(feed.sitemaps)} sitemaps; what is said of items is about {shown_url(latest.url)}.")
        return entries

    def _sample(self, entry: Entry, habit: Habit, notes: list[str]) -> Sample:
        """Read an item as newsmill would: with its page, if that may be had."""
        problem, hop, robots = None, None, "unknown"
        if entry.url is None:
            problem = "no link"
        else:
            try:
                robots = self.asker.verdict(entry.url)
                hop = self.asker.get(self._page_request, entry.url, obeys=True).final
                problem = _page_problem(hop)
            except RobotsForbidError as error:
                problem = str(error)
            except NewsmillError as error:
                problem = _failure(error).reason
                notes.append(f"{shown_url(entry.url)} was not had: {error}.")
        return self._read(entry, hop if problem is None else None, habit, problem=problem, robots=robots)

    def _page_request(self, url: str) -> FetchRequest:
        settings = self._doors.settings
        return FetchRequest(
            url=url,
            accept=PAGE_ACCEPT,
            cap_bytes=settings.page_cap_bytes,
            total_timeout_s=settings.fetch_timeout_s,
            kinds=PAGE_KINDS,
            allow_downgrade=settings.allow_downgrade,
        )

    def _read(self, entry: Entry, hop: Hop | None, habit: Habit, *, problem: str | None, robots: str) -> Sample:
        html = decoded_body(hop, self._doors.settings.page_cap_bytes) if hop is not None else b""
        url, headers = (hop.url, hop.headers) if hop is not None else (entry.url, ())
        reading = read_article(html, url, headers, entry, habit=habit)
        page = read_article(html, url, headers, entry, fulltext="never").record if hop is not None else None
        feed_text = read_feed_text(entry, habit.endings)
        record = reading.record
        return Sample(
            url=shown_url(url) if url else None,
            title=record.title,
            published_at=record.published_at,
            published_from=record.published_from,
            feed_date=entry.published_at,
            authors=record.authors,
            language=record.language,
            words=word_count(record.text, record.language),
            picture=shown_url(record.image.url) if record.image else None,
            first_lines=_first_lines(record),
            method=record.extraction.method,
            not_article=record.not_article,
            warnings=record.extraction.warnings,
            rights=Rights(
                robots=robots,
                x_robots_tag=robots_tag(hop.headers, self._doors.settings.user_agent) if hop is not None else None,
                tdm_reservation=page.tdm_reservation if page is not None else None,
            ),
            paywalled=record.access.paywalled,
            problem=problem,
            feed_words=feed_text.words if feed_text is not None else 0,
            page_words=word_count(page.text, page.language) if page is not None and page.not_article is None else None,
            feed_is_whole=reading.feed_was_whole,
        )


def _failure(error: NewsmillError) -> Failure:
    """An error's name and sentence, for people."""
    if isinstance(error, QuarantineError):
        return Failure(reason=error.reason, message=error.message)
    if isinstance(error, FetchFailedError):
        return Failure(reason=error.cause, message=str(error))
    reason = "unreachable" if isinstance(error, RetryableError) else type(error).__name__
    return Failure(reason=reason, message=str(error))


def _filled_in(value: str, variables: Mapping[str, str]) -> str:
    """Raises: QuarantineError: a variable is not set."""
    for name in VARIABLE.findall(value):
        if name not in variables:
            raise QuarantineError("missing-variable", f"a header needs {name} in the environment")
    return VARIABLE.sub(lambda found: variables[found[1]], value)


def _page_problem(hop: Hop) -> str | None:
    answer = judge(hop.status, hop.headers, now=hop.ended_at, sent_validators=False)
    if answer.kind is not VerdictKind.OK:
        return REJECTED_STATUS.get(hop.status) or f"HTTP {hop.status}"
    return body_problem(hop)


def _document(found: Found) -> Document:
    hop, feed = found.exchange.final, found.feed
    content_type = hop.header("Content-Type")
    charset = (content_type or "").lower().partition("charset=")[2].strip(" \"';") or None
    declared = sniff_declared(found.body)
    decoded = decode(found.body, http_charset=charset, declared=declared)
    return Document(
        format=feed.format,
        title=feed.title,
        language=feed.language,
        home_url=shown_url(feed.home_url) if feed.home_url else None,
        bytes=len(found.body),
        content_type=content_type[:LONGEST_LINE] if content_type else None,
        charset_http=charset,
        charset_declared=declared,
        encoding=decoded.encoding,
        encoding_by=decoded.how,
        is_damaged=feed.damaged or hop.truncated is not None,
        warnings=feed.warnings,
    )


def _freshness(hop: Hop, feed: ParsedFeed, now: datetime) -> Freshness:
    return Freshness(
        max_age_s=freshness_s(hop.headers, now),
        ttl_s=feed.ttl_s or 0.0,
        update_period_s=feed.update_period_s or 0.0,
        skip_hours=tuple(sorted(feed.skip_hours)),
        skip_days=tuple(sorted(feed.skip_days)),
    )


def _tdm(hop: Hop) -> str | None:
    value = (hop.header("TDM-Reservation") or "").strip()
    return value if value in {"0", "1"} else None


def _sendable(value: str | None) -> str | None:
    return value.strip() if value is not None and SENDABLE.fullmatch(value.strip()) else None


def _digest(body: bytes) -> bytes:
    return hashlib.sha256(body).digest()


def _news(before: Sequence[Entry], after: Sequence[Entry]) -> int:
    """Items that are there now and were not, whatever became of their guids."""
    known = {(one.url, one.title) for one in before}
    return sum((one.url, one.title) not in known for one in after)


def _newest(entries: Sequence[Entry], count: int) -> list[Entry]:
    """By date where there is one, else as the feed lists them; those with a page first."""
    ranked = sorted(
        enumerate(entries),
        key=lambda pair: (
            pair[1].url is None,
            pair[1].published_at is None,
            -(pair[1].published_at.timestamp() if pair[1].published_at else 0.0),
            pair[0],
        ),
    )
    return [one for _, one in ranked[:count]]


def _first_lines(record: ArticleRecord) -> str:
    lines = [line for line in record.text.split("\n") if line.strip()][:FIRST_LINES]
    return "\n".join(line if len(line) <= LONGEST_LINE else f"{line[: LONGEST_LINE - 1]}…" for line in lines)
