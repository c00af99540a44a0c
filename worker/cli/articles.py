"""``newsmill articles`` and ``newsmill quarantine``: look at rows, send them down the line again, close them."""

# ruff: noqa: PLC0415 - the database's libraries are imported by the commands that need them: `--help` stays quick

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer

from worker.cli import context, show
from worker.cli.doors import now_utc, opened_ledger
from worker.errors import UsageError
from worker.model import OPEN_STATES, TERMINAL_STATES, State

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

    from worker.ledger.tables import Row

ID_DIGITS = 12  # as lists show ids: enough to tell a billion articles apart
AT_ONCE = 10_000  # rows that one retry or drop takes
SET_ASIDE = (State.REJECTED.value, State.QUARANTINED.value)

_ID = re.compile(r"([0-9a-f]{6,32})(?::([0-9]{1,6}))?")
_SPAN = re.compile(r"(\d{1,6})\s*(s|min|h|d|w)")
_SECONDS = {"s": 1, "min": 60, "h": 3600, "d": 86400, "w": 7 * 86400}

articles_app = typer.Typer(no_args_is_help=True, help="Articles by state, feed, reason and time.")
quarantine_app = typer.Typer(no_args_is_help=True, help="Articles that could not be worked: look, retry, drop.")

Ids = Annotated[list[str] | None, typer.Argument(metavar="ID", help="Ids of articles; their first 6 digits will do.")]
OneId = Annotated[str, typer.Argument(metavar="ID", help="An article's id; its first 6 digits will do.")]
OfFeed = Annotated[str | None, typer.Option("--feed", metavar="SLUG", help="Only of this feed.")]
OfReason = Annotated[str | None, typer.Option("--reason", help="Only with this reason.")]
Since = Annotated[
    str | None, typer.Option("--since", metavar="WHEN", help="Discovered since: 30min, 24h, 7d, or 2026-11-23T12:00Z.")
]
Limit = Annotated[int, typer.Option("--limit", min=1, max=100_000, help="At most so many, newest first.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which rows a person means; None and empty: any."""

    states: Sequence[str]
    feed: str | None
    reason: str | None
    since: datetime | None

    @property
    def is_narrowed(self) -> bool:
        """Is there more to it than states? Nothing is done to all articles of a state by mistake."""
        return self.feed is not None or self.reason is not None or self.since is not None


# ---------------------------------------------------------------- commands


@articles_app.command("list")
def list_articles(
    *,
    state: Annotated[list[str] | None, typer.Option("--state", help="Only in this state; may be repeated.")] = None,
    feed: OfFeed = None,
    reason: OfReason = None,
    since: Since = None,
    limit: Limit = 50,
    as_json: AsJson = False,
) -> None:
    """List articles, newest first."""
    wanted = Wanted(states=_known_states(state or []), feed=feed, reason=reason, since=when(since, now_utc()))
    _list(wanted, limit, as_json=as_json)


@quarantine_app.command("list")
def list_quarantine(
    feed: OfFeed = None, reason: OfReason = None, since: Since = None, limit: Limit = 50, as_json: AsJson = False
) -> None:
    """List what could not be worked, newest first."""
    _list(_quarantined(feed, reason, since), limit, as_json=as_json)


@articles_app.command("show")
def show_article(
    article: OneId, as_json: Annotated[bool, typer.Option("--json", help="Print the article's message.")] = False
) -> None:
    """Show one article; with --json its message as it was published."""
    from worker.ledger.publications import of_article

    with opened_ledger() as ledger, ledger.reading() as connection:
        row = article_rows(connection, article)[0]
        publication = of_article(connection, row.id)
    if not as_json:
        _show(row, publication)
        return
    if publication is None:
        raise UsageError(
            f"Article {row.article_id} has no message: it is {row.state}. "
            f"`newsmill why {row.article_id[:ID_DIGITS]}` tells its story."
        )
    show.as_json(json.loads(zlib.decompress(publication.body)))


@quarantine_app.command("show")
def show_quarantined(article: OneId, as_json: AsJson = False) -> None:
    """Show why one article was set aside, with its last failures."""
    with opened_ledger() as ledger, ledger.reading() as connection:
        row = article_rows(connection, article)[0]
    if as_json:
        show.as_json(row_facts(row))
    else:
        _show(row, None)


@articles_app.command("retry")
def retry_articles(
    ids: Ids = None, feed: OfFeed = None, reason: OfReason = None, since: Since = None, as_json: AsJson = False
) -> None:
    """Send rejected and quarantined articles down the line again; a page that is still held is not fetched again."""
    wanted = Wanted(states=SET_ASIDE, feed=feed, reason=reason, since=when(since, now_utc()))
    _retry(ids or [], wanted, as_json=as_json)


@quarantine_app.command("retry")
def retry_quarantined(
    ids: Ids = None, feed: OfFeed = None, reason: OfReason = None, since: Since = None, as_json: AsJson = False
) -> None:
    """Send quarantined articles down the line again; a page that is still held is not fetched again."""
    _retry(ids or [], _quarantined(feed, reason, since), as_json=as_json)


@quarantine_app.command("drop")
def drop_quarantined(
    ids: Ids = None, feed: OfFeed = None, reason: OfReason = None, since: Since = None, as_json: AsJson = False
) -> None:
    """Close quarantined articles for good: they end as rejected, reason "dropped", and stay in the books."""
    from worker.ledger import articles

    with opened_ledger() as ledger, ledger.transaction() as tx:
        chosen = _chosen(tx, ids or [], _quarantined(feed, reason, since))
        dropped = set(articles.drop(tx, [row.id for row in chosen]))
    done = [row.article_id for row in chosen if row.id in dropped]
    if as_json:
        show.as_json({"dropped": done})
    else:
        show.line(f"Dropped {show.count(len(done), 'article')}: rejected for good, reason dropped.")
        _say_left_out([row for row in chosen if row.id not in dropped], "only quarantined ones can be dropped")
    if not done:
        raise typer.Exit(1)


# ---------------------------------------------------------------- which rows


def article_rows(connection: Connection, said: str) -> list[Row]:
    """All revisions of the one article that a person means, newest first; of ``ID:REVISION`` only that one.

    Raises:
        typer.BadParameter: this is no id.
        UsageError: nobody's, or the beginning of several.
    """
    from worker.ledger.articles import by_article_id

    found = _ID.fullmatch(said.strip().lower())
    if found is None:
        raise typer.BadParameter(
            f"{said!r} is no article id: ids have 32 hexadecimal digits, the first 6 or more will do. "
            "`newsmill articles list` shows them."
        )
    beginning, revision = found.groups()
    rows = by_article_id(connection, beginning)
    meant = sorted({row.article_id for row in rows})
    if len(meant) > 1:
        raise UsageError(f"{said} is the beginning of {', '.join(meant[:5])}: say more digits.")
    rows = [row for row in rows if revision is None or row.revision == int(revision)]
    if not rows:
        raise UsageError(f"No article has the id {said}: `newsmill articles list` shows what is known.")
    return rows


def is_article_id(said: str) -> bool:
    """Does this look like an article's id, rather than like a URL or a key?"""
    return _ID.fullmatch(said.strip().lower()) is not None


def _quarantined(feed: str | None, reason: str | None, since: str | None) -> Wanted:
    return Wanted(states=[State.QUARANTINED.value], feed=feed, reason=reason, since=when(since, now_utc()))


def _chosen(connection: Connection, ids: Sequence[str], wanted: Wanted) -> list[Row]:
    """The rows meant by ids, or else by filters; one of both has to be said."""
    if ids:
        return list({row.id: row for said in ids for row in article_rows(connection, said)[:1]}.values())
    if not wanted.is_narrowed:
        raise typer.BadParameter("say which: ids, or --feed, --reason or --since.")
    return _selected(connection, wanted, AT_ONCE)


def _selected(connection: Connection, wanted: Wanted, limit: int) -> list[Row]:
    """Raises: UsageError: there is no such feed."""
    from worker.ledger.articles import select_rows
    from worker.ledger.feeds import by_slug

    if wanted.feed is not None and by_slug(connection, wanted.feed) is None:
        raise UsageError(f"There is no feed {wanted.feed!r}: `newsmill feeds list` shows all.")
    return select_rows(
        connection,
        states=wanted.states,
        feed=wanted.feed,
        reason=wanted.reason,
        since=wanted.since,
        limit=limit,
    )


def _known_states(said: Sequence[str]) -> list[str]:
    states = [state.value for state in (*OPEN_STATES, *TERMINAL_STATES)]
    for state in said:
        if state not in states:
            raise typer.BadParameter(f"{state!r} is no state; say one of {', '.join(states)}.")
    return list(said)


def when(said: str | None, now: datetime) -> datetime | None:
    """The moment meant by ``24h`` (ago) or an ISO date, UTC unless it says otherwise; None stays None.

    Raises: typer.BadParameter: neither, or before all calendars.
    """
    if said is None:
        return None
    try:
        if span := _SPAN.fullmatch(said.strip().lower()):
            return now - timedelta(seconds=int(span[1]) * _SECONDS[span[2]])
        at = datetime.fromisoformat(said.strip())
        return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
    except OverflowError as error:
        raise typer.BadParameter(f"{said!r} lies before all calendars; say less.") from error
    except ValueError as error:
        raise typer.BadParameter(f"{said!r} is no time; say 30min, 24h, 7d or 2026-11-23T12:00Z.") from error


# ---------------------------------------------------------------- what is done and shown


def _list(wanted: Wanted, limit: int, *, as_json: bool) -> None:
    with opened_ledger() as ledger, ledger.reading() as connection:
        rows = _selected(connection, wanted, limit)
    if as_json:
        show.as_json([row_facts(row) for row in rows])
        return
    if not rows:
        show.line("No article matches.")
        return
    show.table(
        ("id", "state", "reason", "feed", "discovered", "title"),
        [
            (
                row.article_id[:ID_DIGITS],
                row.state,
                row.reason,
                row.slug,
                show.moment(row.discovered_at),
                row.title or row.url,
            )
            for row in rows
        ],
    )
    if len(rows) == limit:
        show.warning(f"Only the newest {limit} are shown: --limit shows more.")


def _retry(ids: Sequence[str], wanted: Wanted, *, as_json: bool) -> None:
    from worker.ledger import articles
    from worker.urls import gate_key

    with opened_ledger() as ledger, ledger.transaction() as tx:
        chosen = _chosen(tx, ids, wanted)
        allowed = [row.id for row in chosen if row.state in wanted.states]
        retried = set(articles.retry(tx, allowed, now=now_utc(), host_of=gate_key))
    done = [row.article_id for row in chosen if row.id in retried]
    if as_json:
        show.as_json({"retried": done})
    else:
        tick_s = context.settings().tick_s
        if done:
            show.line(
                f"{show.count(len(done), 'article')} will be worked again: dispatch starts them within {tick_s:g} s "
                "if worker and beat run. `newsmill why ID` shows how one fares."
            )
        left_out = [row for row in chosen if row.id not in retried]
        _say_left_out(left_out, f"only {' and '.join(wanted.states)} ones are retried")
        if not chosen:
            show.line("No article matches: nothing was done.")
    if not done:
        raise typer.Exit(1)


def _say_left_out(rows: Sequence[Row], rule: str) -> None:
    for row in rows:
        show.warning(f"{row.article_id[:ID_DIGITS]} was left alone: it is {row.state}, and {rule}.")


def row_facts(row: Row) -> dict[str, Any]:
    """A row as JSON shows it."""
    return {
        "article_id": row.article_id,
        "revision": row.revision,
        "feed": row.slug,
        "state": row.state,
        "reason": row.reason,
        "detail": row.detail,
        "url": row.url,
        "guid": row.guid,
        "title": row.title,
        "discovered_at": row.discovered_at,
        "downloaded_at": row.downloaded_at,
        "extracted_at": row.extracted_at,
        "pictured_at": row.pictured_at,
        "archived_at": row.archived_at,
        "ended_at": row.ended_at,
        "ready_at": row.ready_at,
        "attempts": row.attempts,
        "troubles": row.troubles,
        "archive": row.archive,
    }


def _show(row: Row, publication: Row | None) -> None:
    kept = row.archive or {}
    picture = row.picture or {}
    show.facts(
        [
            ("id", f"{row.article_id}:{row.revision}"),
            ("title", row.title),
            ("url", row.url),
            ("feed", row.slug),
            ("state", row.state),
            ("reason", row.reason),
            ("detail", row.detail),
            ("discovered", show.moment(row.discovered_at)),
            ("ended", show.moment(row.ended_at)),
            ("picture", picture.get("ref") or picture.get("problem")),
            ("bundle", kept.get("warc")),
            ("document", kept.get("document")),
            ("html", kept.get("html_ref")),
            ("sequence", publication.sequence if publication else None),
            ("confirmed", show.moment(publication.confirmed_at) if publication else None),
            ("held", "nobody was bound for it" if publication and publication.held else None),
        ]
    )
    if row.troubles:
        show.line("")
        show.table(
            ("at", "stage", "failure", "detail"),
            [(trouble["at"], trouble["stage"], trouble["reason"], trouble["detail"]) for trouble in row.troubles],
        )
