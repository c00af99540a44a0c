"""``newsmill why``: one URL's whole story, with times, and what happens next."""

# ruff: noqa: PLC0415 - the database's libraries are imported by the command that needs them: `--help` stays quick

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from worker.cli import show
from worker.cli.articles import ID_DIGITS, article_rows, is_article_id, row_facts
from worker.cli.doors import now_utc, opened_ledger
from worker.cli.inspect import waiting_for
from worker.model import State
from worker.urls import article_id_of, authority, canonical_url, gate_key, usable_url

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

    from worker.ledger.tables import Row

# What a reason means, to a person who has not read the code.
REASONS = {
    "same-page": "its page is that of another known article (the id is in the detail)",
    "unchanged": "it was read or fetched again, and text, title, date and picture are what they were",
    "gone": "the site says that the page does not exist (404 or 410)",
    "forbidden": "the site does not let us read the page (401, 402, 403 or 451)",
    "robots": "the site's robots.txt does not allow us to fetch the page",
    "no-url": "the feed gave no usable address, and its text is no article",
    "soft-404": "the page says that it does not exist, whatever its status",
    "error-page": "the page says that the site is broken or closed for repairs",
    "consent-wall": "the page asks for consent instead of showing the article",
    "challenge": "the page wants to be sure that we are no robot; we are one",
    "login": "the page asks for a login instead of showing the article",
    "paywall": "the page shows not even a teaser to those who have not paid",
    "geo-blocked": "the page is not shown in the part of the world we ask from",
    "age-gate": "the page asks for an age instead of showing the article",
    "needs-script": "the page is empty until a browser runs its script; we run none",
    "index": "the page is a list of articles",
    "video": "the page is a video with hardly any text",
    "empty": "there is no text in the page",
    "unsupported-type": "the address leads to something that is no page",
    "too-deep": "the page is nested deeper than any honest one",
    "too-large": "the page has more elements than any honest one",
    "too-many-attributes": "a tag of the page has more attributes than any honest one",
    "dropped": "a person dropped it from the quarantine",
    "attempts-exhausted": "it failed as often as it is allowed to; the last failures are above",
    "worker-lost": "its worker vanished each time: out of memory, over the time limit, or killed",
    "bug": "an error that nobody foresaw, each time: please report it",
    "refused-address": "the address is not public; NEWSMILL_ALLOW_NETWORKS names exceptions",
    "unusable-url": "the address cannot be requested",
    "redirect-loop": "its redirects lead nowhere",
    "downgrade": "it leads from https to http; NEWSMILL_ALLOW_DOWNGRADE=1 follows",
    "bad-encoding": "the answer's content coding is none that we read",
    "damaged-warc": "what the archive store gave back is not what it was given",
    "message-too-large": "no message within NEWSMILL_MESSAGE_CAP_BYTES could be made of it",
    "message-refused": "the broker will never take its message",
    "store-lost": "the archive store does not have what it took, again and again; `newsmill doctor` tries it",
    "no-record": "the ledger lost what extraction read; a retry starts from the page",
}
NEXT_STEPS = {
    State.REJECTED: "`newsmill articles retry {id}` sends it down the line again.",
    State.QUARANTINED: "`newsmill quarantine retry {id}` when the cause is gone, else `newsmill quarantine drop {id}`.",
    State.IMPORTED: "It was imported, not published; `newsmill archive import FOLDER --publish` publishes it too.",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One line of a story."""

    at: datetime
    what: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """All that is known of one (article, revision)."""

    row: Row
    events: tuple[Event, ...]
    standing: str  # where it stands now and what happens next
    site: Mapping[str, Any] | None  # the host gate's state; only of an article that still needs its site


def why(
    subject: Annotated[str, typer.Argument(metavar="URL|ID", help="An article's URL or its id.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Tell one URL's whole story: where it was seen, each stage, each failure, and what happens next."""
    now = now_utc()
    with opened_ledger() as ledger, ledger.reading() as connection:
        if is_article_id(subject):
            url, article_id = None, article_rows(connection, subject)[0].article_id
        else:
            url, article_id = _identified(connection, subject)
        stories, sightings = _told(connection, article_id, now)
        near = _feeds_of_site(connection, url) if url and not stories and not sightings else []
    if as_json:
        show.as_json(_as_json(url, article_id, stories, sightings, near))
    elif stories or sightings:
        _show(url, article_id, stories, sightings)
    else:
        _show_unknown(url, article_id, near)
    if not stories and not sightings:
        raise typer.Exit(1)


def _identified(connection: Connection, subject: str) -> tuple[str, str]:
    """A URL as it is asked for, and the id of the article that it names.

    Raises: typer.BadParameter: it is no URL.
    """
    from worker.ledger.articles import known_under

    url = usable_url(subject)
    if url is None:
        raise typer.BadParameter(
            f"{subject!r} is neither an http(s) URL nor an article's id (6 to 32 hexadecimal digits)."
        )
    article_id = article_id_of(canonical_url(url))
    return url, known_under(connection, [article_id]).get(article_id, article_id)


def _told(connection: Connection, article_id: str, now: datetime) -> tuple[list[Story], list[Row]]:
    from worker.ledger import articles, publications

    sightings = articles.sightings_of(connection, [article_id])[article_id]
    rows = articles.by_article_id(connection, article_id)
    stories = []
    for row in sorted(rows, key=lambda row: row.revision):
        publication = publications.of_article(connection, row.id)
        site = _site(connection, row) if row.state == State.DISCOVERED else None
        events = sorted([*_troubles(row), *_sent(publication), *_stages(row)], key=lambda event: event.at)
        stories.append(Story(row=row, events=tuple(events), standing=standing(row, site, now), site=site))
    return stories, sightings


def _stages(row: Row) -> list[Event]:
    exchange, picture = row.exchange or {}, row.picture or {}
    answered = f"HTTP {exchange['status']} from {exchange['url_final']}" if exchange.get("status") else None
    problem = f"no page: {exchange['problem']}" if exchange.get("problem") else None
    found = picture.get("ref") or picture.get("problem") or ("no picture named" if row.picture is None else None)
    steps = [
        (row.discovered_at, "discovered", f"in feed {row.slug}"),
        (row.downloaded_at, "downloaded", "; ".join(filter(None, (answered, problem))) or None),
        (row.extracted_at, "extracted", _changed(row.change)),
        (row.pictured_at, "pictured", found),
        (row.archived_at, "archived", (row.archive or {}).get("warc")),
        (row.ended_at, row.state, row.reason),
    ]
    return [Event(at=at, what=f"{name}: {detail}" if detail else name) for at, name, detail in steps if at is not None]


def _changed(change: Mapping[str, Any] | None) -> str | None:
    """What a later revision is there for."""
    if change is None:
        return None
    return f"{', '.join(change['fields'])} changed since revision {change['previous']} ({change['class']})"


def _troubles(row: Row) -> list[Event]:
    return [
        Event(
            at=datetime.fromisoformat(trouble["at"]),
            what=f"{trouble['stage']} failed: {trouble['reason']}: {trouble['detail']}",
        )
        for trouble in row.troubles
    ]


def _sent(publication: Row | None) -> list[Event]:
    if publication is None:
        return []
    frozen = Event(
        at=publication.created_at,
        what=f"message {publication.message_id} frozen, number {publication.sequence} of {publication.feed_slug}",
    )
    if publication.confirmed_at is None:
        return [frozen]
    held = "; nobody was bound for it: it is in the holding queue" if publication.held else ""
    return [frozen, Event(at=publication.confirmed_at, what=f"confirmed by the broker{held}")]


def _site(connection: Connection, row: Row) -> dict[str, Any]:
    """What the host gate and robots.txt say of the site that an article waits for."""
    from worker.ledger import hosts

    gate = hosts.load(connection, [row.host]).get(row.host)
    url = row.fetch_url or row.url
    robots = hosts.robots_of(connection, authority(url)) if url else None
    return {
        "host": row.host,
        "start_after": gate.start_after if gate else None,
        "blocked_until": gate.blocked_until if gate else None,
        "level": gate.level if gate else 0,
        "failures": gate.failures if gate else 0,
        "latency_s": gate.latency_s if gate else None,
        "robots": robots.available if robots else None,
        "robots_fetched_at": robots.fetched_at if robots else None,
    }


def standing(row: Row, site: Mapping[str, Any] | None, now: datetime) -> str:
    """Where an article stands and what happens next, in a sentence or two."""
    stage = waiting_for().get(row.state)
    if stage is None:
        return _ended(row)
    if row.lease_until is not None and row.lease_until > now:
        if row.begun:
            return f"A worker is at its {stage}, attempt {row.attempts}."
        return f"In the queue for its {stage}. If nobody takes it, it is started again {_at(row.lease_until, now)}."
    if row.ready_at > now:
        return f"Waits for its {stage} until {_at(row.ready_at, now)}; {row.attempts} attempts failed so far."
    return _held_up(site, now) or _ready(row, stage)


def _ready(row: Row, stage: str) -> str:
    from worker.ledger.tables import AFTER_THE_NEWS

    if row.priority <= AFTER_THE_NEWS:
        return f"Ready for its {stage}, behind all news: it came of the archive, and others may be before it."
    return f"Ready for its {stage}: dispatch starts it at its next look, if beat and a worker run (`newsmill status`)."


def _ended(row: Row) -> str:
    state, meaning = State(row.state), _meaning(row.reason)
    ended = f"{state.value.capitalize()}: {meaning}." if meaning else f"{state.value.capitalize()}."
    next_step = NEXT_STEPS.get(state, "").format(id=row.article_id[:ID_DIGITS])
    return f"{ended} {next_step}".strip()


def _held_up(site: Mapping[str, Any] | None, now: datetime) -> str | None:
    """What the site's gate says against starting now."""
    if site is None:
        return None
    if site["blocked_until"] and site["blocked_until"] > now:
        return f"Waits for {site['host']}, which we leave alone until {_at(site['blocked_until'], now)}."
    if site["start_after"] and site["start_after"] > now:
        return f"Waits for its turn at {site['host']}, {_at(site['start_after'], now)} at the earliest."
    return None


def _meaning(reason: str | None) -> str | None:
    if reason and reason.startswith("unsupported-") and reason not in REASONS:
        return f"the address leads to something that is no page ({reason.removeprefix('unsupported-')})"
    return REASONS.get(reason, reason) if reason else None


def _at(at: datetime, now: datetime) -> str:
    return f"{show.moment(at)} ({show.distance(at, now)})"


def _feeds_of_site(connection: Connection, url: str) -> list[Row]:
    from worker.ledger.feeds import all_feeds

    site = gate_key(url)
    return [row for row in all_feeds(connection) if gate_key(row.url) == site]


# ---------------------------------------------------------------- telling


def _show(url: str | None, article_id: str, stories: list[Story], sightings: list[Row]) -> None:
    newest = stories[-1].row if stories else None
    show.facts(
        [
            ("title", newest.title if newest else sightings[0].title),
            ("url", url or (newest.url if newest else sightings[0].url)),
            ("identity", canonical_url(url) if url else None),
            ("id", article_id),
        ]
    )
    show.line("")
    for seen in sightings:
        left_out = ", left out by the feed's first_poll" if seen.skipped else ""
        dated = f", dated {show.moment(seen.feed_date)}" if seen.feed_date else ""
        show.line(f"{show.moment(seen.seen_at)}  seen in {seen.slug}{dated}{left_out}")
    for story in stories:
        if len(stories) > 1:
            show.line(f"Revision {story.row.revision}", style="bold")
        for event in story.events:
            show.line(f"{show.moment(event.at)}  {event.what}")
        if story.row.detail:
            show.line(f"Detail: {story.row.detail}")
        show.line(story.standing, style="bold")
        if story.site and story.site["robots"]:
            read_at = show.moment(story.site["robots_fetched_at"])
            show.line(f"robots.txt of its site: {story.site['robots']}, read {read_at}.")
    if not stories:
        show.line("Known from its feed, but not worked: it was there before the feed was followed.", style="bold")


def _show_unknown(url: str | None, article_id: str, near: list[Row]) -> None:
    show.line(f"Nothing is known of {url or article_id}: no feed showed it.")
    if url is None:
        return
    show.line(f"Its identity would be {canonical_url(url)} (id {article_id}).")
    if not near:
        show.line(f"No feed of {gate_key(url)} is followed. `newsmill feeds add URL` follows one.")
        return
    for feed in near:
        polled = f"last polled {show.moment(feed.polled_at)} ({feed.outcome})" if feed.polled_at else "never polled"
        show.line(f"Feed {feed.slug} of this site: {'' if feed.enabled else 'disabled, '}{polled}.")
    show.line(f"`newsmill repoll {near[0].slug}` looks again now.")


def _as_json(
    url: str | None, article_id: str, stories: list[Story], sightings: list[Row], near: list[Row]
) -> dict[str, Any]:
    return {
        "known": bool(stories or sightings),
        "url": url,
        "identity": canonical_url(url) if url else None,
        "article_id": article_id,
        "sightings": [
            {
                "feed": seen.slug,
                "url": seen.url,
                "title": seen.title,
                "feed_date": seen.feed_date,
                "seen_at": seen.seen_at,
                "skipped": seen.skipped,
            }
            for seen in sightings
        ],
        "revisions": [
            {
                **row_facts(story.row),
                "meaning": _meaning(story.row.reason),
                "standing": story.standing,
                "site": story.site,
                "events": [{"at": event.at, "what": event.what} for event in story.events],
            }
            for story in stories
        ],
        "feeds_of_site": [feed.slug for feed in near],
    }
