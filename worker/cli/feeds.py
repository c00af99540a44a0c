"""``newsmill feeds``: the registry, edited at run time, and its agreement with the reviewed list."""

# ruff: noqa: PLC0415 - the database's libraries are imported by the commands that need them: `--help` stays quick

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from worker.cli import context, show
from worker.cli.doors import now_utc, opened_ledger
from worker.cli.feeds_try import choices, discovered, headers_of, show_candidates
from worker.cli.push import push_facts, push_lines
from worker.errors import UsageError
from worker.urls import display_url, gate_key

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

    from worker.feeds.feedlist import FeedConfig
    from worker.feeds.reconcile import Registered, Step
    from worker.ledger.feeds import Poll
    from worker.ledger.tables import Row
    from worker.stages.trial import Found

SAID = (
    "url",
    "title",
    "language",
    "interval_s",
    "fulltext",
    "document_body",
    "image_proxy",
    "headers",
    "first_poll",
    "offsite",
    "robots",
    "priority",
    "enabled",
)
IMPORTED = "import"  # origin of feeds that have no address of their own
ORIGINS = {"file": "the reviewed list", "cli": "added by hand", IMPORTED: "made by archive import"}
POLLS_SHOWN = 10

feeds_app = typer.Typer(no_args_is_help=True, help="The registry of feeds.")

Slugs = Annotated[list[str], typer.Argument(metavar="SLUG", help="Names of feeds; `newsmill feeds list` shows them.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


# ---------------------------------------------------------------- one feed


@feeds_app.command("add")
def add(
    url: Annotated[str, typer.Argument(metavar="URL", help="The feed's own address.")],
    *,
    slug: Annotated[
        str | None, typer.Option(help="Its name here: a-z, 0-9 and -. Default: made from title or URL.")
    ] = None,
    title: Annotated[str | None, typer.Option(help="Default: what the feed calls itself.")] = None,
    language: Annotated[str | None, typer.Option(help="BCP 47, for texts that do not tell.")] = None,
    interval_s: Annotated[
        float | None, typer.Option("--interval-s", help="Poll so often. Default: by its rhythm.")
    ] = None,
    fulltext: Annotated[str, typer.Option(help="Is the feed's text the article? auto, always or never.")] = "auto",
    document_body: Annotated[
        str, typer.Option("--document-body", help="Body of the readable document: clean or feed.")
    ] = "clean",
    image_proxy: Annotated[
        str | None, typer.Option("--image-proxy", help="Template with {url}, for pictures in documents.")
    ] = None,
    header: Annotated[
        list[str] | None, typer.Option("--header", metavar="K=V", help="Sent with each poll; may be repeated.")
    ] = None,
    first_poll: Annotated[
        str,
        typer.Option(
            "--first-poll", metavar="all|none|N", help="Of what is there already: all, nothing, the newest N."
        ),
    ] = "all",
    offsite: Annotated[str, typer.Option(help="Links that leave the feed's domain: follow or skip.")] = "follow",
    robots: Annotated[str, typer.Option(help="robots.txt for the feed document itself: ignore or obey.")] = "ignore",
    priority: Annotated[int, typer.Option(help="Higher goes first.")] = 0,
    discover: Annotated[
        bool, typer.Option("--discover", help="Ask the address first; of a home page, follow the one feed it names.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Follow a feed. It is polled as soon as beat looks."""
    from worker.feeds.feedlist import slug_from

    headers = headers_of(header)
    if discover:
        found = _discovered(url, headers, as_json=as_json)
        url, title = found.url, title or found.feed.title
    config = _well_formed(
        {
            "slug": slug if slug is not None else _made_up(slug_from(title or ""), slug_from(url)),
            "url": url,
            "title": title,
            "language": language,
            "interval_s": interval_s,
            "fulltext": fulltext,
            "document_body": document_body,
            "image_proxy": image_proxy,
            "headers": headers,
            "first_poll": _first_poll(first_poll),
            "offsite": offsite,
            "robots": robots,
            "priority": priority,
        }
    )
    with opened_ledger() as ledger, ledger.transaction() as tx:
        row = _added(tx, config, now_utc())
    if as_json:
        show.as_json(feed_facts(row))
    else:
        show.line(
            f"Following {row.slug} ({row.url}): due now; beat polls it within {context.settings().tick_s:g} s, "
            f"or at once: `newsmill once {row.slug}`."
        )


def _discovered(url: str, headers: Mapping[str, str], *, as_json: bool) -> Found:
    """The feed at an address, or the one that the page there names; otherwise what it names is shown, and that is all.

    Raises: typer.Exit: there is none, or a person has to choose.
    """
    from worker.stages.trialreport import named, shown_url

    came = discovered(url, headers)
    is_clear = not came.candidates or came.choice is not None
    if came.found is not None and is_clear:
        if came.candidates and not as_json:
            show.line(f"{shown_url(url)} names one feed: {shown_url(came.found.url)}.")
        return came.found
    if as_json:
        show.as_json(choices(came))
    elif came.candidates:
        show_candidates(named(came.candidates, came.outcomes))
    if came.found is None and came.error is not None:
        show.warning(f"newsmill: no feed at {shown_url(url)}: {came.error.message} ({came.error.reason}).")
    else:
        show.warning(f"newsmill: {shown_url(url)} names several feeds: `newsmill feeds add` the one you want.")
    raise typer.Exit(1)


def _well_formed(said: Mapping[str, Any]) -> FeedConfig:
    """Raises: typer.BadParameter: an argument is none that a feed could have."""
    from worker.feeds.feedlist import feed_config

    try:
        return feed_config(said)
    except UsageError as error:
        raise typer.BadParameter(str(error)) from error


def _added(tx: Connection, config: FeedConfig, now: datetime) -> Row:
    """Write a new feed, or bring back the one of that name that was removed; one that an import made gets its address.

    Raises: UsageError: the name or the address is taken.
    """
    from worker.feeds.reconcile import BY_HAND, said_by
    from worker.ledger import feeds

    rows = feeds.all_feeds(tx)
    if same := next((row for row in rows if row.url == config.url), None):
        raise UsageError(f"{same.url} is followed already, as {same.slug}: `newsmill feeds show {same.slug}`.")
    if taken := next((row for row in rows if row.slug == config.slug and row.origin != IMPORTED), None):
        raise UsageError(f"There is a feed {taken.slug} already ({taken.url}): say another name with --slug.")
    values = _columns(said_by(config))
    earlier = feeds.by_slug(tx, config.slug)
    if earlier is None:
        feeds.insert(tx, {"slug": config.slug, **values}, origin=BY_HAND, now=now)
    else:
        fresh = {"origin": BY_HAND, "removed_at": None, "due_at": now, **feeds.NEW_URL}
        feeds.change(tx, earlier.id, {**values, **fresh}, now=now)
    added = feeds.by_slug(tx, config.slug)
    assert added is not None
    return added


def _made_up(*slugs: str) -> str:
    """The first slug that anything could be made of."""
    made = next(filter(None, slugs), None)
    if made is None:
        raise typer.BadParameter("no name can be made of title or URL: say one.", param_hint="--slug")
    return made


def _first_poll(said: str) -> str | int:
    if said in {"all", "none"}:
        return said
    if said.isascii() and said.isdigit():
        return int(said)
    raise typer.BadParameter(f"{said!r}: say all, none or a number.", param_hint="--first-poll")


def _columns(values: Mapping[str, Any]) -> dict[str, Any]:
    """The registry's columns for what an operator said; the address brings its site along."""
    return {**values, **({"host": gate_key(values["url"])} if "url" in values else {})}


@feeds_app.command("list")
def list_feeds(
    removed: Annotated[bool, typer.Option("--removed", help="Those that were removed too.")] = False,
    as_json: AsJson = False,
) -> None:
    """List the feeds."""
    from worker.ledger.feeds import all_feeds, published_counts

    now = now_utc()
    with opened_ledger() as ledger, ledger.reading() as connection:
        rows = all_feeds(connection, with_removed=removed)
        counts = published_counts(connection)
    if as_json:
        show.as_json([{**feed_facts(row), **_counted(counts, row)} for row in rows])
        return
    if not rows:
        show.line("No feed is followed: `newsmill feeds add URL`, or fill config/feeds.toml and `newsmill feeds sync`.")
        return
    show.table(
        ("slug", "condition", "polled", "next", "articles", "published", "url"),
        [
            (
                row.slug,
                condition(row),
                show.distance(row.polled_at, now),
                show.distance(row.due_at, now) if condition(row) not in AT_REST else None,
                *_counted(counts, row).values(),
                row.url,
            )
            for row in rows
        ],
        styles=["dim" if condition(row) in AT_REST else "red" if row.failures else "" for row in rows],
    )


@feeds_app.command("show")
def show_feed(slug: Annotated[str, typer.Argument(metavar="SLUG")], as_json: AsJson = False) -> None:
    """Show a feed, what polling learnt, and its last polls."""
    from worker.ledger.feeds import polls_of, published_counts

    now = now_utc()
    with opened_ledger() as ledger, ledger.reading() as connection:
        row = _known(connection, slug)
        polls = polls_of(connection, row.id, limit=POLLS_SHOWN)
        counts = _counted(published_counts(connection), row)
        push = push_facts(connection, row, now=now)
    if as_json:
        show.as_json({**feed_facts(row), **counts, "websub": push, "polls": [_poll_facts(poll) for poll in polls]})
        return
    show.facts(
        [
            ("slug", row.slug),
            ("condition", condition(row)),
            *(
                (name, None if getattr(row, name) is None else str(getattr(row, name)))
                for name in SAID
                if name != "headers"
            ),
            ("headers", ", ".join(f"{name}: {value}" for name, value in masked(row.headers).items()) or None),
            ("origin", ORIGINS.get(row.origin, row.origin)),
            ("next poll", show.distance(row.due_at, now) if condition(row) not in AT_REST else None),
            ("last success", show.distance(row.ok_at, now)),
            ("last new article", show.distance(row.new_at, now)),
            ("moved from", row.moved_from),
            ("gaps", f"{row.gaps}, the last one {show.distance(row.gap_at, now)}" if row.gaps else None),
            ("wrong 304s", f"{row.lies}, the last one found {show.distance(row.lied_at, now)}" if row.lies else None),
            ("error", row.error),
            ("advice", f"`newsmill feeds try {display_url(row.url)}`: it may name its feed" if _is_page(row) else None),
            *push_lines(push, public_url=context.settings().public_url, now=now),
            ("articles", counts["articles"]),
            ("published", counts["published"]),
        ]
    )
    show.line("")
    show.table(
        ("polled", "times", "outcome", "status", "items", "new", "detail"),
        [(_when(poll), poll.times, poll.outcome, poll.status, poll.entries, poll.new, poll.detail) for poll in polls],
    )


def _is_page(feed: Row) -> bool:
    """Did the last poll find a page where the feed should be?"""
    return bool(feed.failures) and "an HTML page" in (feed.error or "")


# ---------------------------------------------------------------- several feeds


@feeds_app.command("enable")
def enable(slugs: Slugs, as_json: AsJson = False) -> None:
    """Poll these feeds again, starting now; also those that were gone."""
    now = now_utc()
    with opened_ledger() as ledger, ledger.reading() as connection:
        for row in (_known(connection, slug) for slug in slugs):
            if row.origin == IMPORTED:
                raise UsageError(
                    f"The feed {row.slug!r} has no address: an import made it. "
                    f"`newsmill feeds add URL --slug {row.slug}` gives it one."
                )
    _change(slugs, {"enabled": True, "gone_at": None, "due_at": now}, "Enabled", as_json=as_json)


@feeds_app.command("disable")
def disable(slugs: Slugs, as_json: AsJson = False) -> None:
    """Poll these feeds no more, until they are enabled. What was discovered is still worked."""
    _change(slugs, {"enabled": False}, "Disabled", as_json=as_json)


@feeds_app.command("remove")
def remove(slugs: Slugs, as_json: AsJson = False) -> None:
    """Take these feeds off the registry. Their history stays; adding a feed with the same slug goes on with it."""
    _change(slugs, {"removed_at": now_utc()}, "Removed", as_json=as_json)


def _change(slugs: Sequence[str], values: Mapping[str, Any], done: str, *, as_json: bool) -> None:
    from worker.ledger import feeds

    with opened_ledger() as ledger, ledger.transaction() as tx:
        rows = [_known(tx, slug) for slug in dict.fromkeys(slugs)]
        for row in rows:
            feeds.change(tx, row.id, values, now=now_utc())
    if as_json:
        show.as_json({done.lower(): [row.slug for row in rows]})
        return
    for row in rows:
        show.line(f"{done} {row.slug}.")
        if row.origin == "file":
            show.warning(f"{row.slug} is in the reviewed list: change it there too, or the next sync undoes this.")


def _known(connection: Connection, slug: str) -> Row:
    """Raises: UsageError: there is no such feed (naming those that look alike), or it was removed."""
    from worker.ledger import feeds

    row = feeds.by_slug(connection, slug)
    if row is None:
        near = get_close_matches(slug, [feed.slug for feed in feeds.all_feeds(connection)], n=3)
        hint = f"did you mean {' or '.join(near)}?" if near else "`newsmill feeds list` shows all."
        raise UsageError(f"Feed {slug!r} is not known: {hint}")
    if row.removed_at is not None:
        raise UsageError(
            f"Feed {slug!r} was removed: `newsmill feeds add {row.url} --slug {slug}` brings it back, its history too."
        )
    return row


# ---------------------------------------------------------------- the reviewed list


@feeds_app.command("sync")
def sync(
    file: Annotated[
        Path | None, typer.Option("--file", help="The list. Default: NEWSMILL_FEEDS, config/feeds.toml.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Make the registry agree with the reviewed list. History is never deleted, feeds added by hand stay."""
    from worker.feeds.reconcile import left_behind
    from worker.ledger import feeds

    path = file or context.settings().feeds_path
    listed = read_list(path)
    with opened_ledger() as ledger, ledger.transaction() as tx:
        steps = synced(tx, listed, now_utc())
        behind = left_behind(listed, _registered(feeds.all_feeds(tx)))
    for slug, url in behind.items():
        show.warning(f"{slug} has moved to {url} and is followed there: write that address into {path}.")
    if as_json:
        show.as_json([_step_facts(step) for step in steps])
        return
    for step in steps:
        show.line(f"{step.kind:8} {step.slug}{_differences(step)}")
    if not steps:
        show.line(f"The registry agrees with {path} ({show.count(len(listed), 'feed')}): nothing to change.")


def read_list(path: Path) -> tuple[FeedConfig, ...]:
    """The reviewed list. Raises: UsageError: it cannot be read, or says something that cannot be."""
    from worker.feeds.feedlist import read_feedlist

    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise UsageError(
            f"Cannot read the list of feeds {path}: {reason}. Say where it is with --file or NEWSMILL_FEEDS."
        ) from error
    return read_feedlist(text)


def synced(tx: Connection, listed: Sequence[FeedConfig], now: datetime) -> tuple[Step, ...]:
    """Make the registry agree with a list. Returns: what had to be changed."""
    from worker.feeds.reconcile import reconcile
    from worker.ledger import feeds

    rows = {row.slug: row for row in feeds.all_feeds(tx, with_removed=True)}
    steps = reconcile(listed, _registered(rows.values()))
    for step in steps:
        _apply(tx, step, rows.get(step.slug), now)
    return steps


def _registered(rows: Iterable[Row]) -> list[Registered]:
    from worker.feeds.reconcile import Registered

    return [
        Registered(
            slug=row.slug,
            origin=row.origin,
            removed=row.removed_at is not None,
            moved_from=row.moved_from,
            said={name: getattr(row, name) for name in SAID},
        )
        for row in rows
    ]


def _apply(tx: Connection, step: Step, row: Row | None, now: datetime) -> None:
    from worker.feeds.reconcile import FROM_FILE
    from worker.ledger import feeds

    values = _columns(step.values)
    if row is None:
        feeds.insert(tx, {"slug": step.slug, **values}, origin=FROM_FILE, now=now)
    elif step.kind == "removed":
        feeds.change(tx, row.id, {"removed_at": now}, now=now)
    else:
        moved = {**feeds.NEW_URL, "due_at": now} if "url" in values else {}
        back = {"removed_at": None, "due_at": now} if step.kind == "returned" else {}
        feeds.change(tx, row.id, {**values, **moved, **back, "origin": FROM_FILE}, now=now)


def _differences(step: Step) -> str:
    if step.kind in {"added", "removed"}:
        return f"  {(step.values or step.before).get('url', '')}"
    before, after = _shown(step.before), _shown(step.values)
    changes = [f"{name}: {before.get(name)} -> {after[name]}" for name in after]
    return f"  {'; '.join(changes) or 'is now the list' + chr(39) + 's'}"


def _step_facts(step: Step) -> dict[str, Any]:
    return {"slug": step.slug, "step": step.kind, "before": _shown(step.before), "after": _shown(step.values)}


# ---------------------------------------------------------------- what is shown

AT_REST = frozenset({"disabled", "gone", "removed"})


def condition(row: Row) -> str:
    """How a feed is doing, in a word or two."""
    if row.removed_at is not None:
        return "removed"
    if not row.enabled:
        return "disabled"
    if row.gone_at is not None:
        return "gone"
    if row.failures:
        return f"failing ({row.failures})"
    return "ok" if row.polled_at else "not polled yet"


def masked(headers: Mapping[str, str]) -> dict[str, str]:
    """Configured headers without their values, which may be secrets; references to the environment may be seen."""
    return {name: value if value.startswith("${") and value.endswith("}") else "***" for name, value in headers.items()}


def _shown(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: masked(value) if name == "headers" else value for name, value in values.items()}


def feed_facts(row: Row) -> dict[str, Any]:
    """A feed as JSON shows it."""
    return {
        "slug": row.slug,
        "condition": condition(row),
        **_shown({name: getattr(row, name) for name in SAID}),
        "origin": row.origin,
        "created_at": row.created_at,
        "removed_at": row.removed_at,
        "due_at": row.due_at,
        "polled_at": row.polled_at,
        "ok_at": row.ok_at,
        "new_at": row.new_at,
        "outcome": row.outcome,
        "status": row.status,
        "error": row.error,
        "failures": row.failures,
        "gone_at": row.gone_at,
        "moved_from": row.moved_from,
        "gaps": row.gaps,
        "gap_at": row.gap_at,
        "lies": row.lies,
        "lied_at": row.lied_at,
    }


def _counted(counts: Mapping[int, tuple[int, int]], row: Row) -> dict[str, int]:
    known, published = counts.get(row.id, (0, 0))
    return {"articles": known, "published": published}


def _when(poll: Poll) -> str | None:
    """The moment of a poll; of several alike the first one and the last one."""
    last = show.moment(poll.at)
    return last if poll.since is None else f"{show.moment(poll.since)} - {last}"


def _poll_facts(poll: Poll) -> dict[str, Any]:
    return {
        "at": poll.at,
        "since": poll.since,
        "times": poll.times,
        "outcome": poll.outcome,
        "status": poll.status,
        "entries": poll.entries,
        "new": poll.new,
        "detail": poll.detail,
        "document": poll.document,
    }
