"""``newsmill feeds try``: a look at a feed, or at the feeds of a site, before one is followed. No database."""

# ruff: noqa: PLC0415 - the extraction's libraries take a while to import: `--help` does without them

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import urlsplit

import typer

from worker.cli import context, show
from worker.errors import UsageError
from worker.urls import usable_url

if TYPE_CHECKING:
    from worker.feeds.health import Dates, Guids, Links
    from worker.stages.asking import Doors
    from worker.stages.trial import Discovery
    from worker.stages.trialreport import Findings, Freshness, Named, Report, Rights, Sample

MOST_SAMPLES = 10
DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
WAYS = {"link": "the page says so", "anchor": "the page links to it", "robots": "robots.txt", "guess": "custom"}
VALIDATORS = {
    "none": "none: every poll transfers the whole document",
    "work": "304 when asked again (whether it is always true shows only over days)",
    "ignored": "ignored: the same document in full",
    "moving": "of no use: the document changes at every request, its items do not",
    "unclear": "unclear: it changed while it was looked at, or could not be asked again",
    "lie": "doubtful: 304, and a moment later new items",
}
FULL_TEXT = {
    "whole": "the feed's text is the article",
    "excerpts": "the feed has less than the pages",
    "mixed": "some items have the whole text",
    "unknown": "not known",
}


def try_feed(
    url: Annotated[str, typer.Argument(metavar="URL", help="A feed's address, or a site's home page.")],
    *,
    header: Annotated[
        list[str] | None, typer.Option("--header", metavar="K=V", help="Sent to the feed; may be repeated.")
    ] = None,
    samples: Annotated[
        int, typer.Option("--samples", min=0, max=MOST_SAMPLES, help="How many of the newest articles to read.")
    ] = 2,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Look at a feed before you follow it: dates, guids, full text, robots, pace, a sample, the entry to write.

    Of a home page's feeds the likeliest is looked at. Nothing is stored. Exits 1 when there is no feed.
    """
    from worker.stages import trial

    target, headers = address_of(url), headers_of(header)
    with opened_doors() as doors:
        report = trial.try_feed(doors, target, headers=headers, samples=samples)
    if as_json:
        show.as_json(asdict(report))
    else:
        _show(report)
    if report.error is not None:
        raise typer.Exit(1)


def discovered(url: str, headers: Mapping[str, str]) -> Discovery:
    """What is at an address: a feed, or a page's feeds, of which one is clear, or a person has to choose."""
    from worker.stages import trial

    with opened_doors() as doors:
        return trial.discover(doors, address_of(url), headers=headers)


@contextmanager
def opened_doors() -> Iterator[Doors]:
    """The web, at the pace of the settings; what is being done is said on standard error."""
    from worker import wiring
    from worker.stages.asking import Doors

    settings = context.settings()
    fetcher = wiring.open_fetcher(settings)
    try:
        yield Doors(
            settings=settings,
            fetcher=fetcher,
            gates=wiring.open_gates(settings),
            clock=wiring.now_utc,
            pause=time.sleep,
            tell=lambda said: show.warning(f"{said} …"),
        )
    finally:
        fetcher.close()


def address_of(said: str) -> str:
    """What a person means by an address: ``feed:`` is taken off, and https is meant where nothing is said.

    Raises: typer.BadParameter: it is none that could be asked. It is not repeated: it may hold a password.
    """
    text = said.strip()
    if text[:5].lower() == "feed:":
        text = text[5:].lstrip("/")
    if "://" not in text:
        text = f"https://{text}"
    target = usable_url(text)
    if target is None:
        raise typer.BadParameter("this is no http(s) address that can be asked.", param_hint="URL")
    if "@" in urlsplit(text).netloc:
        raise typer.BadParameter(
            "an address must not hold user and password: say --header 'Authorization=Basic ${NAME}'.", param_hint="URL"
        )
    return target


def headers_of(said: Sequence[str] | None) -> dict[str, str]:
    """``NAME=VALUE`` each.

    Raises: typer.BadParameter: one is none, or cannot be sent. What was said is not repeated: it may be a secret.
    """
    from worker.feeds.feedlist import feed_config

    pairs = [one.partition("=") for one in said or ()]
    if any(not equals or not name.strip() for name, equals, _ in pairs):
        raise typer.BadParameter("say NAME=VALUE.", param_hint="--header")
    headers = {name.strip(): value.strip() for name, _, value in pairs}
    try:
        feed_config({"slug": "x", "url": "https://x.example/", "headers": headers})
    except UsageError as error:
        raise typer.BadParameter(str(error).removeprefix("Feed x: "), param_hint="--header") from error
    return headers


# ---------------------------------------------------------------- for people


def show_candidates(found: Sequence[Named]) -> None:
    """The feeds that a page names, the likeliest first."""
    show.table(
        ("feed", "known by", "title", "tried"),
        [(one.url, f"{WAYS[one.how]}{' (comments)' * one.is_comments}", one.title, one.outcome) for one in found],
    )


def _show(report: Report) -> None:
    if report.candidates:
        show_candidates(report.candidates)
        show.line("")
    if report.error is not None:
        show.warning(f"newsmill: no feed at {report.asked}: {report.error.message} ({report.error.reason}).")
        show.warning(_ADVICE.get(report.error.reason, "Try again later, or look at the address with a browser."))
        return
    assert report.found is not None
    show.facts(list(_facts(report, report.found)))
    for number, sample in enumerate(report.found.samples, 1):
        show.line("")
        show.line(f"Sample {number}", style="bold")
        show.facts(list(_sample_facts(sample)))
    for heading, said, style in (("Look at", report.problems, "yellow"), ("Not looked at", report.found.notes, "dim")):
        if said:
            show.line("")
            show.line(heading, style="bold")
            for one in said:
                show.line(f"- {one}", style=style)
    show.line("")
    show.line("The entry for config/feeds.toml", style="bold")
    for line in (report.toml or "").splitlines():
        show.line(line)


_ADVICE = {
    "dns": "Is the name spelt right? Does the machine have a name server?",
    "refused-address": "Only public addresses are asked; NEWSMILL_ALLOW_NETWORKS and NEWSMILL_ALLOW_PORTS open others.",
    "no-feed": "Look for a link named RSS on the site, and try that address.",
    "not-a-feed": "Try the site's home page: it may name its feeds.",
    "http-401": "It asks for a password: say --header 'Authorization=Basic ${NAME}'.",
    "http-403": "The site refuses us: ask it, or set NEWSMILL_USER_AGENT so that it can see who you are.",
    "http-404": "Try the site's home page: it may name its feeds.",
    "http-410": "The site says that it is gone for good. Try its home page.",
    "http-429": "The site wants fewer requests: try again later.",
    "http-503": "Try again later.",
    "missing-variable": "Set the variable, or say another one.",
}


def _facts(report: Report, found: Findings) -> Iterator[tuple[str, str | int | None]]:
    document, entries, pace = found.document, found.entries, found.pace
    yield "feed", report.url
    yield "redirects", " → ".join(f"{one.status} {one.to}" for one in report.redirects) or None
    yield "format", f"{document.format}{', cut or broken' * document.is_damaged}, {document.bytes:,} bytes"
    yield "title", document.title
    yield "language", document.language
    labels = f"declared {document.charset_declared or 'nothing'}, header {document.charset_http or 'nothing'}"
    yield "encoding", f"{document.encoding} by {document.encoding_by} ({labels})"
    yield "warnings", "; ".join(document.warnings) or None
    left_out = f", {entries.left_out} more left out" if entries.left_out else ""
    counts = f"{entries.with_title} with title, {found.links.present} with link, {entries.with_text} with text"
    yield "items", f"{entries.count}: {counts}, {found.guids.present} with guid{left_out}"
    yield "dates", _dates(found.dates)
    yield "newest", _newest(found.dates)
    yield "guids", _guids(found.guids)
    yield "links", _links(found.links)
    share = f"{found.full_text_share:.0%} of the texts look whole"
    endings = f", {show.count(found.endings, 'line')} at the end of most texts dropped" if found.endings else ""
    yield "full text", f"{FULL_TEXT[found.full_text]}, {share}{endings}"
    yield "asked again", VALIDATORS[found.validators.verdict]
    yield "wishes", _wishes(found.freshness)
    yield "WebSub hub", found.hub_url
    yield "robots.txt", found.rights.robots
    yield "rights", _rights(found.rights)
    asked = f", robots.txt asks for {pace.crawl_delay_s:g} s" if pace.crawl_delay_s is not None else ""
    yield "pace", f"{pace.delay_s:.3g} s between requests to {pace.gate}, answers in {pace.latency_s:.2g} s{asked}"
    rate = "" if found.rhythm.items_per_day is None else f"{found.rhythm.items_per_day:g} items a day; "
    yield "rhythm", f"{rate}would be polled again in {show.span(pace.next_poll_s or 0.0)}"
    yield "requests", report.requests


def _dates(dates: Dates) -> str:
    parts = [f"{dates.readable} readable"]
    parts += [
        f"{number} {name}" for name in ("unreadable", "missing", "future", "equal") if (number := getattr(dates, name))
    ]
    zones = f", zone {', '.join(dates.zones)}" if dates.zones else ""
    return f"{', '.join(parts)}; {dates.order}{zones}"


def _newest(dates: Dates) -> str | None:
    from worker.cli.doors import now_utc

    newest = dates.newest
    return f"{show.moment(newest)} ({show.distance(newest, now_utc())})" if newest else None


def _guids(guids: Guids) -> str:
    parts = [
        f"{number} {name}"
        for name, number in (
            ("missing", guids.missing),
            ("repeated", guids.repeated),
            ("same as link", guids.same_as_url),
        )
        if number
    ]
    again = f"{guids.changed} of {guids.seen_again} changed when asked again" if guids.seen_again else "not compared"
    return ", ".join([*parts, again])


def _links(links: Links) -> str:
    parts = [
        f"{number} {name}"
        for name, number in (
            ("off the feed's domain", links.offsite),
            ("to a home page", links.home_page),
            ("repeated", links.repeated),
            ("with tracking parameters", links.tracking),
            ("missing", links.missing),
        )
        if number
    ]
    return f"most to {links.main_site or 'nowhere'}{''.join(f', {part}' for part in parts)}"


def _wishes(wishes: Freshness) -> str | None:
    spans = (("max-age", wishes.max_age_s), ("ttl", wishes.ttl_s), ("update period", wishes.update_period_s))
    parts = [f"{name} {show.span(seconds)}" for name, seconds in spans if seconds]
    if wishes.skip_hours:
        parts.append(f"not at {', '.join(map(str, wishes.skip_hours))} h UTC")
    if wishes.skip_days:
        parts.append(f"not on {', '.join(DAYS[day] for day in wishes.skip_days)}")
    return ", ".join(parts) or None


def _rights(rights: Rights) -> str | None:
    said = (("X-Robots-Tag", rights.x_robots_tag), ("TDM reservation", rights.tdm_reservation))
    return ", ".join(f"{name}: {value}" for name, value in said if value) or None


def _sample_facts(sample: Sample) -> Iterator[tuple[str, str | int | None]]:
    yield "title", sample.title
    yield "address", sample.url
    yield "page", sample.problem
    yield "robots.txt", sample.rights.robots
    yield "rights", _rights(sample.rights)
    date = show.moment(sample.published_at)
    yield "date", f"{date} (from {sample.published_from}; feed: {show.moment(sample.feed_date)})" if date else None
    yield "authors", ", ".join(sample.authors) or None
    yield "language", sample.language
    page = "no page" if sample.page_words is None else f"page {sample.page_words}"
    yield "words", f"{sample.words} ({sample.method}; feed {sample.feed_words}, {page})"
    yield "picture", sample.picture
    yield "no article", sample.not_article
    yield "warnings", ", ".join(sample.warnings) or None
    yield "begins", " / ".join(sample.first_lines.splitlines()) or None


def choices(found: Discovery) -> dict[str, Any]:
    """Why no feed could be taken without a person's choice, as JSON shows it."""
    from worker.stages.trialreport import named

    return {
        "added": None,
        "error": asdict(found.error) if found.error else None,
        "candidates": [asdict(one) for one in named(found.candidates, found.outcomes)],
    }
