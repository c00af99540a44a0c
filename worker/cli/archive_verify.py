"""``newsmill archive verify``: read again what is kept, and say what is damaged and which articles that touches."""

# ruff: noqa: PLC0415 - stores and the database's libraries are imported by the command that needs them

from __future__ import annotations

import re
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from worker.cli import context, show
from worker.cli.articles import ID_DIGITS, AsJson, Ids, OfFeed, Since, article_rows, when
from worker.cli.doors import now_utc, opened_ledger, stopped_by_signals
from worker.errors import UsageError

if TYPE_CHECKING:
    from worker.ledger.kept import Span
    from worker.ledger.session import Ledger
    from worker.stages.verify import Checked, Sample, Touched, Verified

MB = 1_000_000
LISTED = 50  # articles that are shown; --json has all

_SAMPLE = re.compile(r"(\d{1,9})|(\d{1,3}(?:\.\d{1,6})?)\s*%")

Until = Annotated[
    str | None, typer.Option("--until", metavar="WHEN", help="Discovered before: 24h, 7d, or 2026-11-23T12:00Z.")
]


def verify(
    ids: Ids = None,
    *,
    sample: Annotated[
        str | None, typer.Option("--sample", metavar="N|PERCENT", help="Only so many articles: 500, or 2%.")
    ] = None,
    seed: Annotated[
        str | None,
        typer.Option("--seed", metavar="TEXT", help="Decides which; the same draws the same. Default: today's date."),
    ] = None,
    since: Since = None,
    until: Until = None,
    feed: OfFeed = None,
    as_json: AsJson = False,
) -> None:
    """Read every kept object again and compare it with its digests; a sample, a period, a feed, or these articles.

    Finds a flipped byte, a cut file, a missing object; says which articles that touches and what brings them back. A
    sample leaves feed documents out. Exit code 1: something is damaged, or the run was stopped.
    """
    from worker import wiring
    from worker.stages.verify import count_articles
    from worker.stages.verify import verify as verify_all

    now = now_utc()
    drawn = _sample(sample, seed or now.date().isoformat())
    store = wiring.open_store(context.settings())
    with opened_ledger() as ledger, stopped_by_signals(threading.Event()) as stopping:
        span = chosen_span(ledger, ids or [], feed=feed, since=since, until=until)
        with _progress(count_articles(ledger, span, drawn)) as told:
            verified = verify_all(ledger, store, span, sample=drawn, told=told, stopping=stopping)
    if as_json:
        show.as_json(_facts(verified, drawn, is_stopped=stopping.is_set()))
    else:
        _tell(verified, drawn)
    if stopping.is_set():
        show.warning("Stopped before the end: what was not read may be damaged too.")
    if verified.damaged or stopping.is_set():
        raise typer.Exit(1)


def chosen_span(ledger: Ledger, ids: Sequence[str], *, feed: str | None, since: str | None, until: str | None) -> Span:
    """Which articles a person means: ids (all revisions, or ``ID:REVISION``), or a feed and a period.

    Raises:
        typer.BadParameter: both, or an id or a time that is none.
        UsageError: there is no such article or feed, or the article has nothing in the archive.
    """
    from worker.ledger.feeds import by_slug
    from worker.ledger.kept import Span

    now = now_utc()
    if not ids:
        with ledger.reading() as connection:
            if feed is not None and by_slug(connection, feed) is None:
                raise UsageError(f"There is no feed {feed!r}: `newsmill feeds list` shows all.")
        return Span(since=when(since, now), until=when(until, now), feed=feed)
    if feed or since or until:
        raise typer.BadParameter("say ids, or --feed, --since and --until; not both.")
    pks: set[int] = set()
    with ledger.reading() as connection:
        for said in ids:
            rows = article_rows(connection, said)
            archived = [row.id for row in rows if row.archive]
            if not archived:
                name = rows[0].article_id[:ID_DIGITS]
                raise UsageError(
                    f"Article {name} has nothing in the archive: it is {rows[0].state}. "
                    f"`newsmill why {name}` tells its story."
                )
            pks.update(archived)
    return Span(pks=tuple(sorted(pks)))


@contextmanager
def progress_bar(what: str, total: int | None) -> Iterator[Callable[[int, int], None]]:
    """Articles and MB/s on a terminal's standard error, elsewhere nothing. Gives what hears of both, as they add up.

    Args:
        total: How many articles there are; None: nobody knows.
    """
    if not sys.stderr.isatty():
        yield lambda _articles, _size: None
        return
    of, began_at = "" if total is None else f"/{total}", time.monotonic()
    columns = (TextColumn(what), BarColumn(), TextColumn("{task.fields[said]}"))
    with Progress(*columns, console=Console(stderr=True)) as progress:
        bar = progress.add_task(what, total=total, said="")

        def advanced(articles: int, size: int) -> None:
            rate = size / MB / max(time.monotonic() - began_at, 0.1)
            said = f"{articles}{of} articles, {size / MB:.1f} MB, {rate:.1f} MB/s"
            progress.update(bar, completed=articles, said=said)

        yield advanced


@contextmanager
def _progress(total: int | None) -> Iterator[Callable[[Checked], None]]:
    with progress_bar("verify", total) as advanced:
        yield lambda checked: advanced(checked.articles, checked.bytes)


def _sample(said: str | None, seed: str) -> Sample | None:
    """Raises: typer.BadParameter: neither a number nor a percentage."""
    from worker.stages.verify import Sample

    if said is None:
        return None
    found = _SAMPLE.fullmatch(said.strip())
    count, percent = found.groups() if found else (None, None)
    if count is not None and int(count) > 0:
        return Sample(count=int(count), seed=seed)
    if percent is not None and 0 < float(percent) <= 100:  # noqa: PLR2004 - per cent
        return Sample(share=float(percent) / 100, seed=seed)
    raise typer.BadParameter(f"{said!r} is no sample: say a number of articles (500) or a share (2%).")


# ---------------------------------------------------------------- what is said


def _facts(verified: Verified, sample: Sample | None, *, is_stopped: bool) -> dict[str, Any]:
    return {
        "checked": asdict(verified.checked),
        "seed": sample.seed if sample else None,
        "complete": not (verified.gave_up or is_stopped),
        "damaged": [
            {"key": one.key, "kind": one.fault.kind, "detail": one.fault.detail, "articles": list(one.articles)}
            for one in verified.damaged
        ],
        "articles": [
            {
                "article_id": one.article_id,
                "revision": one.revision,
                "feed": one.feed,
                "title": one.title,
                "url": one.url,
                "damaged": dict(one.damaged),
                "good": list(one.good),
                "command": one.remedy.command,
                "reason": one.remedy.reason,
            }
            for one in verified.touched
        ],
    }


def _tell(verified: Verified, sample: Sample | None) -> None:
    checked = verified.checked
    read = (
        f"Read {show.count(checked.articles, 'article')}, {show.count(checked.feed_documents, 'feed document')} and "
        f"{show.count(checked.large_files, 'large file')}: {show.count(checked.objects, 'object')}, "
        f"{checked.bytes / MB:.1f} MB."
    )
    drawn = f" Drawn with --seed {sample.seed}." if sample else ""
    if not verified.damaged:
        show.line(f"{read}{drawn} Nothing is damaged.")
        return
    show.line(f"{read}{drawn} {show.count(len(verified.damaged), 'object')} damaged:")
    show.table(
        ("kind", "key", "what", "articles"),
        [(one.fault.kind, one.key, one.fault.detail, len(one.articles)) for one in verified.damaged[:LISTED]],
    )
    if verified.touched:
        show.line("")
        show.line(f"{show.count(len(verified.touched), 'article')} touched:")
    for article in verified.touched[:LISTED]:
        _tell_article(article)
    if max(len(verified.damaged), len(verified.touched)) > LISTED:
        show.warning(f"Only the first {LISTED} are shown: --json has all.")
    if verified.gave_up:
        show.warning("That is enough to know: the rest was not read. Bring the archive back from a backup first.")


def _tell_article(article: Touched) -> None:
    show.line(f"{article.article_id[:ID_DIGITS]}:{article.revision}  {article.title or '(no title)'}")
    show.line(f"  {article.url or f'no page of its own: from the feed {article.feed}'}")
    show.line(f"  damaged: {', '.join(article.damaged)}; good: {', '.join(article.good) or 'nothing'}")
    command = f": {article.remedy.command}" if article.remedy.command else ""
    show.line(f"  {article.remedy.reason}{command}")
