"""``newsmill reprocess``: the archive read again with today's rules; the comparison first, then revisions."""

# ruff: noqa: PLC0415 - stages bring every library of the line with them: not for `--help`

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from worker.cli import show
from worker.cli.articles import ID_DIGITS, AsJson, Ids, OfFeed, Since, article_rows, when
from worker.cli.doors import now_utc, opened_deps
from worker.errors import UsageError
from worker.text import escape_control

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

    from worker.ledger.tables import Row
    from worker.stages import Deps
    from worker.stages.reprocess import Named, Run, Sample, Tally

THRESHOLD = 1.0  # per cent of the compared articles that may be worse than before
LISTED = 20  # articles of a kind that are shown; --json has more
GOES_ON = "The same command goes on where this one stopped"

Until = Annotated[
    str | None, typer.Option("--until", metavar="WHEN", help="Discovered before: 24h, 7d, or 2026-11-23T12:00Z.")
]


class Stage(StrEnum):
    """From which stage on."""

    EXTRACT = "extract"
    ARCHIVE = "archive"


def reprocess(
    ids: Ids = None,
    *,
    since: Since = None,
    until: Until = None,
    feed: OfFeed = None,
    stage: Annotated[
        Stage,
        typer.Option(
            "--stage",
            help="extract: read the pages again, and send revisions. archive: only write documents, texts and HTML "
            "again from what is kept, as after a change of document_body or image_proxy; no message is sent.",
        ),
    ] = Stage.EXTRACT,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only compare; nothing is written anywhere.")] = False,
    refetch: Annotated[
        bool,
        typer.Option(
            "--refetch", help="Fetch what is not in the archive: pages that were never reached, new pictures."
        ),
    ] = False,
    threshold: Annotated[
        float,
        typer.Option(
            "--threshold",
            min=0,
            max=100,
            metavar="PERCENT",
            help="No revision is written when more articles than this would lose their text, title, date or picture, "
            "or more than half of their text.",
        ),
    ] = THRESHOLD,
    limit: Annotated[int | None, typer.Option("--limit", min=1, help="Look at so many articles at most.")] = None,
    anew: Annotated[bool, typer.Option("--anew", help="Do not go on with an interrupted run: begin again.")] = False,
    as_json: AsJson = False,
) -> None:
    """Read articles again from the archive, without asking any site, and say what would change.

    Then what really changed (text, title, date or picture) becomes a revision, which the line archives and publishes as
    article.updated, behind all news. Pages that were no article, and are one now, go down the line too; those that are
    none any more are listed, never withdrawn. An interrupted run goes on when the same command is given again. Exit
    code 1: above the threshold, or an article could not be read, or the run was stopped.
    """
    said = _Said(
        since=since, until=until, feed=feed, ids=tuple(ids or ()), stage=stage.value, refetch=refetch, limit=limit
    )
    if stage is Stage.ARCHIVE and refetch:
        raise typer.BadParameter("--refetch goes with --stage extract: --stage archive writes again what is kept.")
    with opened_deps() as deps:
        if stage is Stage.ARCHIVE:
            went_well = _rewrite(deps, said, dry_run=dry_run, as_json=as_json)
        else:
            went_well = _reprocess(deps, said, dry_run=dry_run, threshold=threshold, anew=anew, as_json=as_json)
    if not went_well:
        raise typer.Exit(1)


# ---------------------------------------------------------------- what is asked for


@dataclass(frozen=True, slots=True, kw_only=True)
class _Said:
    """What a person asked for, in their words: the same words go on with the same run."""

    since: str | None
    until: str | None
    feed: str | None
    ids: tuple[str, ...]
    stage: str
    refetch: bool
    limit: int | None

    @property
    def canonical(self) -> str:
        """Of a run's row. The rules' version is part of it: what older rules compared is worth nothing."""
        from worker.extract.article import VERSION

        said = {
            "since": self.since,
            "until": self.until,
            "feed": self.feed,
            "ids": sorted(set(self.ids)),
            "stage": self.stage,
            "refetch": self.refetch,
            "limit": self.limit,
            "rules": VERSION,
        }
        return json.dumps(said, sort_keys=True, separators=(",", ":"))

    def run(self, connection: Connection, now: datetime) -> Run:
        """What is meant, when it is ``now``: of an older run, the moment it began.

        Raises: typer.BadParameter: no time, or no id. UsageError: there is no such feed or article.
        """
        from worker.ledger.feeds import all_feeds
        from worker.ledger.reprocessings import Selection
        from worker.stages.reprocess import Run

        known = {row.slug for row in all_feeds(connection, with_removed=True)}
        if self.feed is not None and self.feed not in known:
            raise UsageError(f"There is no feed {self.feed!r}: see `newsmill feeds list`.")
        selection = Selection(
            since=when(self.since, now),
            until=when(self.until, now),
            feed=self.feed,
            article_ids=tuple(sorted({article_rows(connection, one)[0].article_id for one in self.ids})),
            with_rejected=self.stage == Stage.EXTRACT,
        )
        return Run(selection=selection, refetch=self.refetch, limit=self.limit)


# ---------------------------------------------------------------- the run


def _reprocess(deps: Deps, said: _Said, *, dry_run: bool, threshold: float, anew: bool, as_json: bool) -> bool:
    """Returns: did all go well, so that nobody has to look?"""
    from worker.stages.reprocess import compare_all, finish, write_all

    run, tally, after = _found(deps, said, dry_run=dry_run, anew=anew)
    if tally.phase == "compare":
        with _progress("comparing", deps) as progress:
            compare_all(deps, run, tally, after=after, progress=progress)
        after = 0
    is_compared = tally.phase != "compare"
    is_above = tally.worse * 100 > threshold * tally.compared
    if is_compared and is_above:
        finish(deps, run)
    elif is_compared and not dry_run:
        with _progress("writing", deps) as progress:
            tally = write_all(deps, run, tally, after=after, progress=progress)
    if as_json:
        show.as_json(_facts(tally, threshold, dry_run=dry_run))
    else:
        _tell_comparison(tally)
        _tell_outcome(tally, threshold, dry_run=dry_run, is_above=is_above)
    is_done = tally.phase == ("write" if dry_run or is_above else "done")
    if not is_done:
        show.warning(f"Stopped: {_how_far(tally)}. {'Nothing was kept of it' if dry_run else GOES_ON}.")
    return is_done and not is_above and not tally.problem_count


def _found(deps: Deps, said: _Said, *, dry_run: bool, anew: bool) -> tuple[Run, Tally, int]:
    """The run that is to be done, its tally, and up to which row it is done already."""
    from worker.ledger import reprocessings
    from worker.stages.reprocess import fresh_tally, tally_of

    if dry_run:
        run = deps.loaded(lambda tx: said.run(tx, now_utc()))
        return run, deps.loaded(lambda tx: fresh_tally(tx, run.selection, limit=run.limit)), 0
    row = None if anew else deps.loaded(lambda tx: reprocessings.unfinished(tx, said.canonical))
    if row is None:
        return _begun(deps, said)
    run = replace(deps.loaded(lambda tx: said.run(tx, row.started_at)), id=row.id)
    tally = tally_of(row)
    _say_going_on(row, tally)
    return run, tally, row.last_pk


def _begun(deps: Deps, said: _Said) -> tuple[Run, Tally, int]:
    from worker.ledger import reprocessings
    from worker.stages.reprocess import fresh_tally, noted

    now = now_utc()

    def begin(tx: Connection) -> tuple[Run, Tally, int]:
        run = said.run(tx, now)
        tally = fresh_tally(tx, run.selection, limit=run.limit)
        row = reprocessings.begin(tx, said.canonical, tally=noted(tally), now=now)
        return replace(run, id=row.id), tally, 0

    return deps.saved(begin)


def _say_going_on(row: Row, tally: Tally) -> None:
    show.warning(
        f"Going on with the run of {show.moment(row.started_at)}: {_how_far(tally)}. --anew begins from the start."
    )


def _how_far(tally: Tally) -> str:
    compared = f"{show.count(tally.looked_at, 'article')} of {tally.total} compared"
    if tally.phase == "compare":
        return compared
    done = tally.revisions + tally.retried + tally.fetching + tally.overtaken
    return f"{compared}, {done} of the {len(tally.todo)} that differ worked"


def _rewrite(deps: Deps, said: _Said, *, dry_run: bool, as_json: bool) -> bool:
    """``--stage archive``. Returns: did all go well?"""
    from worker.stages.reprocess import fresh_tally
    from worker.stages.rewrite import rewrite_all

    run = deps.loaded(lambda tx: said.run(tx, now_utc()))
    total = deps.loaded(lambda tx: fresh_tally(tx, run.selection, limit=run.limit))
    with _progress("writing", deps) as progress:
        done = rewrite_all(deps, run, up_to=total.up_to, total=total.total, dry_run=dry_run, progress=progress)
    if as_json:
        show.as_json({"dry_run": dry_run, "total": total.total, **_plain(done)})
    else:
        would = "would be " if dry_run else ""
        show.line(
            f"{show.count(done.looked_at, 'article')}: {show.count(done.documents, 'document')} {would}written with "
            f"other bytes, {show.count(done.restored, 'lost object')} {would}restored. The rest is as it was."
        )
        _tell_list("could not be written", done.problems, done.problem_count)
    if deps.stopping.is_set():
        show.warning("Stopped before the end: the same command begins again, and finds written what it wrote.")
    return not done.problem_count and not deps.stopping.is_set()


# ---------------------------------------------------------------- telling


def _facts(tally: Tally, threshold: float, *, dry_run: bool) -> dict[str, Any]:
    facts = {name: value for name, value in _plain(tally).items() if name not in {"todo", "up_to"}}
    facts["worst"] = [{name: value for name, value in one.items() if name != "badness"} for one in facts["worst"]]
    share = round(tally.worse_share * 100, 3)
    return {"dry_run": dry_run, "threshold_percent": threshold, "worse_percent": share, **facts}


def _plain(value: object) -> dict[str, Any]:
    import msgspec

    facts: dict[str, Any] = msgspec.to_builtins(value)
    return facts


def _tell_comparison(tally: Tally) -> None:
    show.line(
        f"{show.count(tally.compared, 'article')} compared: {tally.differing} differ in text, title, date or picture."
    )
    if tally.fields:
        kinds = ("longer", "shorter", "gained", "lost")
        show.table(
            ("field", "changed", *kinds),
            [
                (name, sum(hows.values()), *(hows.get(kind, 0) for kind in kinds))
                for name, hows in sorted(tally.fields.items(), key=lambda item: -sum(item[1].values()))
            ],
        )
    for sample in tally.worst:
        _show_sample(sample)
    _tell_list("no article any more, by today's rules; nothing is withdrawn", tally.lost, tally.lost_count)
    _tell_list("became an article", tally.became, tally.became_count)
    _tell_list("could not be read", tally.problems, tally.problem_count)
    if tally.in_hand:
        show.line(f"{show.count(tally.in_hand, 'article')} left alone: a later revision is on its way.")
    if tally.asked_lately:
        show.line(f"{show.count(tally.asked_lately, 'page')} left alone: fetched again within the last day.")


def _tell_outcome(tally: Tally, threshold: float, *, dry_run: bool, is_above: bool) -> None:
    share = f"{tally.worse} of {show.count(tally.compared, 'article')} ({tally.worse_share:.1%})"
    if is_above:
        show.warning(
            f"{share} would lose their text, title, date or picture, or most of their text: more than the threshold "
            f"of {threshold:g} %. Nothing was written. If that is right, --threshold {_next_threshold(tally)} lets it "
            "pass."
        )
    elif dry_run:
        fetched = f", {show.count(tally.to_fetch, 'page')} would be fetched" if tally.to_fetch else ""
        show.line(
            f"{show.count(tally.differing, 'revision')} would be written, {show.count(tally.became_count, 'article')} "
            f"sent down the line again{fetched}. {share} would be worse. Nothing was written: this was a dry run."
        )
    elif tally.phase == "done":
        fetching = f", {show.count(tally.fetching, 'page')} to fetch" if tally.fetching else ""
        overtaken = f" {tally.overtaken} were left out: they changed meanwhile." if tally.overtaken else ""
        show.line(
            f"{show.count(tally.revisions, 'revision')} written, {show.count(tally.retried, 'article')} sent down the "
            f"line again{fetching}.{overtaken}"
        )
        if tally.revisions or tally.retried or tally.fetching:
            show.line("The line works them behind all news: `newsmill status` shows how far it is.")


def _next_threshold(tally: Tally) -> str:
    """Just enough, in per cent."""
    return f"{min(100.0, int(tally.worse_share * 1000 + 1) / 10):g}"


def _show_sample(sample: Sample) -> None:
    show.line("")
    title = sample.title or "(no title)"
    fields = ", ".join(sample.fields)
    show.line(f"{sample.article_id[:ID_DIGITS]}  {sample.ratio:.0%} of the text  {title}", style="bold")
    show.line(f"{sample.url or '(feed text)'}  changed: {fields}")
    screen = show.console()
    if not screen.is_terminal:
        show.line(f"{sample.shown}: {sample.old or '(nothing)'} | {sample.new or '(nothing)'}")
        return
    grid = Table(box=None, pad_edge=False, expand=True, header_style="dim")
    grid.add_column(f"{sample.shown}, old", ratio=1, overflow="fold")
    grid.add_column("new", ratio=1, overflow="fold")
    grid.add_row(*(Text(escape_control(side or "(nothing)")) for side in (sample.old, sample.new)))
    screen.print(grid)


def _tell_list(what: str, named: Sequence[Named], count: int) -> None:
    if not count:
        return
    show.line("")
    show.line(f"{show.count(count, 'article')} {what}:", style="bold")
    show.table(
        ("id", "why", "title", "url"),
        [(one.article_id[:ID_DIGITS], one.what, one.title, one.url) for one in named[:LISTED]],
    )
    if count > LISTED:
        show.line(f"and {count - LISTED} more (--json names up to {len(named)}).")


# ---------------------------------------------------------------- doors


@contextmanager
def _progress(what: str, deps: Deps) -> Iterator[Callable[[int, int], None]]:
    """Articles done on a terminal's standard error, elsewhere nothing."""
    if not sys.stderr.isatty():
        yield lambda _done, _total: None
        return
    columns = (TextColumn(what), BarColumn(), MofNCompleteColumn(), TextColumn("articles"), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task(what, total=None)

        def advanced(done: int, total: int) -> None:
            said = f"{what}, stopping" if deps.stopping.is_set() else what
            progress.update(task, completed=done, total=total, description=said)

        yield advanced
