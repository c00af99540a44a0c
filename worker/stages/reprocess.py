"""Reprocess: the archive read again with today's rules. First the comparison, then revisions where something changed.

A run goes over the articles twice: to compare all of them, and, if the new reading is no worse, to write revisions of
those that differ. How far it is stands in the ledger, each step with what came of it, so that an interrupted run goes
on. No site is asked for anything, unless pages that were never reached are to be fetched: that is then done by the
line, like any other download.
"""

from __future__ import annotations

import base64
import heapq
import logging
import sys
import time
import zlib
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from itertools import accumulate, pairwise
from typing import Any, Literal

import msgspec
from sqlalchemy.engine import Connection

from worker.archive.exchange import read_exchange
from worker.archive.store import MissingObjectError
from worker.errors import NewsmillError, QuarantineError, UnavailableError
from worker.extract.compare import Comparison, compare, is_same_picture, side_by_side
from worker.ledger import articles, feeds, reprocessings
from worker.ledger.reprocessings import Revision, Selection
from worker.ledger.tables import Row
from worker.model import ArticleRecord, Entry, Hop, Picture, State
from worker.stages import spool
from worker.stages.deps import Deps, packed, unpacked
from worker.stages.picture import named, picture_of
from worker.stages.revisions import (
    Earlier,
    change_of,
    earlier,
    earlier_or_published,
    has_page,
    read_again,
    reading,
)
from worker.text import text_sha256
from worker.urls import picture_key

log = logging.getLogger("newsmill")

FOUND_AT_ONCE = 10_000  # ids
AT_ONCE = 25  # articles whose bundles are in memory together
SAVED_AT_ONCE = 200  # articles whose revisions are: their records are in memory, and how far the run is, is saved too
NOTED_EVERY_S = 5.0  # how often a comparison's progress is saved
WORST_KEPT = 20
NOTED = ("status", "url_final", "truncated", "x_robots_tag", "robots", "problem")  # what an exchange's note keeps of it
LISTED = 200  # articles of a kind that are named; all are counted
NOT_ASKED_FOR = "not fetched: it was found in the archive"
ASKED_AGAIN_AFTER = timedelta(days=1)  # a page that a re-fetch did not bring is left alone for so long

Progress = Callable[[int, int], None]  # done, of how many


@dataclass(frozen=True, slots=True, kw_only=True)
class Named:
    """An article in a list, and what is to be said of it."""

    article_id: str
    url: str | None
    title: str | None
    what: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One article before and after, around its first difference."""

    article_id: str
    url: str | None
    title: str | None
    fields: tuple[str, ...]
    ratio: float
    shown: str  # the field that is shown
    old: str
    new: str
    badness: tuple[bool, float, float, int]


@dataclass(slots=True, kw_only=True)
class Tally:
    """What a run found and did so far; kept as JSON."""

    up_to: int  # the newest row when it began
    phase: Literal["compare", "write", "done"] = "compare"
    total: int = 0  # articles to look at
    looked_at: int = 0
    compared: int = 0
    worse: int = 0  # lost text, title, date or picture, or most of the text, or are no articles any more
    differing: int = 0  # in what is worth a revision
    fields: dict[str, dict[str, int]] = field(default_factory=dict)  # field -> how it changed -> articles
    worst: list[Sample] = field(default_factory=list)
    lost: list[Named] = field(default_factory=list)  # no articles any more
    lost_count: int = 0
    became: list[Named] = field(default_factory=list)  # were none, and are
    became_count: int = 0
    to_fetch: int = 0
    in_hand: int = 0  # left alone: a later revision is on its way
    asked_lately: int = 0  # left alone: fetched again in vain a short while ago
    problems: list[Named] = field(default_factory=list)  # could not be read
    problem_count: int = 0
    todo: list[int] = field(default_factory=list)  # rows that something is to be done about, ascending; maybe millions
    revisions: int = 0  # written
    retried: int = 0
    fetching: int = 0
    overtaken: int = 0  # somebody else was quicker, or it does not differ any more

    @property
    def worse_share(self) -> float:
        """Of the articles compared, [0, 1]."""
        return self.worse / self.compared if self.compared else 0.0


def noted(tally: Tally) -> dict[str, Any]:
    """A tally for the ledger. Its rows are kept as their distances, compressed: it is saved again and again."""
    distances = [after - before for before, after in pairwise([0, *tally.todo])]
    todo = base64.b64encode(zlib.compress(msgspec.json.encode(distances))).decode("ascii")
    facts: dict[str, Any] = msgspec.to_builtins(replace(tally, todo=[]))
    return {**facts, "todo": todo}


def tally_of(run: Row) -> Tally:
    """What a run's row has kept."""
    distances = msgspec.json.decode(zlib.decompress(base64.b64decode(run.tally["todo"])), type=list[int])
    return msgspec.convert({**run.tally, "todo": list(accumulate(distances))}, Tally)


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """Over which articles, and where it stands in the ledger; without an id it leaves no trace."""

    selection: Selection
    refetch: bool
    limit: int | None = None  # articles to look at
    id: int | None = None


# ---------------------------------------------------------------- one article


@dataclass(frozen=True, slots=True, kw_only=True)
class _Looked:
    """What became of one article."""

    row: Row
    what: Literal["same", "differs", "lost", "became", "fetch", "in-hand", "asked", "problem"]
    comparison: Comparison | None = None
    sample: Sample | None = None
    detail: str = ""
    revision: Revision | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Given:
    """What is in the ledger beside the rows."""

    feeds: Mapping[int, Row]
    entries: Mapping[int, bytes]
    spooled: Mapping[str, bytes]


def _load(tx: Connection, rows: Sequence[Row]) -> _Given:
    rejected = [row for row in rows if row.state == State.REJECTED]
    return _Given(
        feeds=feeds.by_ids(tx, sorted({row.feed_id for row in rows})),
        entries=articles.entry_bodies(tx, [row.id for row in rejected]),
        spooled=spool.held(tx, rejected),
    )


def _look(deps: Deps, run: Run, row: Row, given: _Given) -> _Looked:
    """Read one article again. Raises: UnavailableError: the store is away."""
    if row.in_hand:
        return _Looked(row=row, what="in-hand")
    try:
        if row.state == State.REJECTED:
            return _rejected_again(deps, row, given)
        may_fetch = run.refetch and row.url is not None
        if may_fetch and not has_page(row):
            return _to_fetch(deps, row)
        try:
            was = earlier(deps, row)
        except QuarantineError:
            if not may_fetch:
                raise
            return _to_fetch(deps, row)
        return _read_again(deps, run, row, given.feeds[row.feed_id], was=was)
    except UnavailableError:
        raise
    except Exception as error:  # noqa: BLE001 - costs its own article only; logged, listed, and reported when a surprise
        return _Looked(row=row, what="problem", detail=problem_of(deps, row, error))


def problem_of(deps: Deps, row: Row, error: Exception) -> str:
    """What is wrong with one article, for a list; logged, and reported when it is a surprise."""
    fields = {"article_id": row.article_id, "error": f"{type(error).__name__}: {error}"[:300]}
    log.warning("reprocess.trouble", extra=fields)
    if not isinstance(error, NewsmillError):
        deps.report(error, stage="reprocess", tags={"article_id": row.article_id, "feed": row.slug})
    return str(error)[:300] or type(error).__name__


def _read_again(deps: Deps, run: Run, row: Row, feed: Row, *, was: Earlier) -> _Looked:
    record = read_again(was, row, feed, cap_bytes=deps.settings.page_cap_bytes)
    if record.not_article is not None:
        return _Looked(row=row, what="lost", detail=record.not_article)
    comparison = compare(was.record, record, picture=was.picture)
    if not comparison.changes:
        return _Looked(row=row, what="same", comparison=comparison)
    shown, old, new = side_by_side(was.record, record, comparison, picture=was.picture)
    sample = Sample(
        article_id=row.article_id,
        url=row.url,
        title=record.title or row.title,
        fields=tuple(comparison.changes),
        ratio=comparison.ratio,
        shown=shown,
        old=old,
        new=new,
        badness=comparison.badness,
    )
    if not comparison.is_revision:
        return _Looked(row=row, what="same", comparison=comparison, sample=sample)
    revision = _revision(deps, run, row, was=was, record=record, comparison=comparison)
    return _Looked(row=row, what="differs", comparison=comparison, sample=sample, revision=revision)


def _rejected_again(deps: Deps, row: Row, given: _Given) -> _Looked:
    """Is what was found to be no article one by now?"""
    note, body = row.exchange, given.entries.get(row.id)
    page: Hop | None = None
    if note.get("key") and note.get("problem") is None:
        try:
            page = read_exchange(spool.read(deps, given.spooled, note["key"])).final
        except MissingObjectError:
            return _Looked(row=row, what="same")  # nothing is left to read it from: a retry would fetch it
    entry = unpacked(body, Entry) if body is not None else None
    record = reading(page, entry, row, given.feeds[row.feed_id], cap_bytes=deps.settings.page_cap_bytes).record
    if record.not_article is not None:
        return _Looked(row=row, what="same")
    return _Looked(row=row, what="became", detail=f"was set aside as {row.reason}")


def _to_fetch(deps: Deps, row: Row) -> _Looked:
    """A revision whose page is fetched by the line, which then finds out whether anything changed."""
    if row.reached_at is not None:
        return _Looked(row=row, what="same")
    if row.asked_at is not None and row.asked_at > deps.clock() - ASKED_AGAIN_AFTER:
        return _Looked(row=row, what="asked")
    entry = earlier_or_published(deps, row).entry
    values = {"state": State.DISCOVERED, "host": deps.gates.key(row.url)}
    body = packed(entry) if entry is not None else None
    return _Looked(row=row, what="fetch", revision=Revision(base=row, values=values, record=None, entry=body))


def _revision(
    deps: Deps, run: Run, row: Row, *, was: Earlier, record: ArticleRecord, comparison: Comparison
) -> Revision:
    """A revision that came of the archive: all that is left to do is to archive and publish it.

    Its exchange's note has no key: the page lies in an earlier revision's bundle. A picture that nobody has fetched yet
    is only named, unless sites may be asked.
    """
    now = deps.clock()
    note = {name: (row.exchange or {}).get(name) for name in NOTED}
    picture = _picture(row, was, record)
    wanted = record.image_candidates[0] if record.image_candidates else None
    to_picture = run.refetch and picture is None and wanted is not None
    known = picture or (named(wanted, problem=NOT_ASKED_FOR) if wanted is not None else None)
    values = {
        "state": State.EXTRACTED if to_picture else State.PICTURED,
        "title": record.title or row.title,
        "text_sha256": text_sha256(record.text),
        "downloaded_at": row.downloaded_at,
        "extracted_at": now,
        "pictured_at": None if to_picture else now,
        "exchange": note,
        "picture": None if to_picture or known is None else {**msgspec.to_builtins(known), "spool": None},
        "change": change_of(comparison, previous=row.revision),
    }
    entry = packed(was.entry) if was.entry is not None else None
    return Revision(base=row, values=values, record=packed(record), entry=entry)


def _picture(row: Row, was: Earlier, record: ArticleRecord) -> Picture | None:
    """The picture that is there already, with what is said of it now; None: another one was chosen."""
    kept = picture_of(row)
    if kept is None or not is_same_picture(was.picture, was.record.image_candidates, record.image_candidates):
        return None
    now = next((one for one in record.image_candidates if picture_key(one.url) == picture_key(kept.url)), None)
    if now is None:
        return kept
    return replace(kept, proxied_url=now.proxied_url, caption=now.caption, credit=now.credit, chosen_by=now.chosen_by)


def _looks(deps: Deps, run: Run, rows: Sequence[Row]) -> list[_Looked]:
    """Look at these articles; fewer, the first ones, when we are asked to stop."""
    given = deps.loaded(lambda tx: _load(tx, rows))
    if deps.store.is_remote:  # reading waits for a network
        return list(deps.threads.map(lambda row: _look(deps, run, row, given), rows))
    looked = []
    for row in rows:
        if deps.stopping.is_set():
            break
        looked.append(_look(deps, run, row, given))
    return looked


# ---------------------------------------------------------------- the comparison


def fresh_tally(tx: Connection, selection: Selection, *, limit: int | None) -> Tally:
    """Of a run that begins now."""
    up_to = reprocessings.last_row(tx)
    total = reprocessings.count(tx, selection, up_to=up_to)
    return Tally(up_to=up_to, total=total if limit is None else min(total, limit))


def compare_all(deps: Deps, run: Run, tally: Tally, *, after: int, progress: Progress) -> None:
    """Compare every article of a run; what is found is added to the tally, and saved with how far the run is.

    Ends early when we are asked to stop: the tally's phase then still is ``compare``.
    Raises: UnavailableError: the database or the store is away.
    """
    noted_at = time.monotonic()
    for rows in in_parts(deps, run, looked_at=tally.looked_at, up_to=tally.up_to, after=after):
        for looked in _looks(deps, run, rows):
            _count(tally, looked)
            after = looked.row.id
        progress(tally.looked_at, tally.total)
        if time.monotonic() - noted_at > NOTED_EVERY_S:
            _keep(deps, run, tally, after)
            noted_at = time.monotonic()
    if not deps.stopping.is_set():
        tally.phase, after = "write", 0
    _keep(deps, run, tally, after)


def in_parts(deps: Deps, run: Run, *, up_to: int, after: int = 0, looked_at: int = 0) -> Iterator[list[Row]]:
    """The articles of a run, so few at a time that they may be in memory together, until we are asked to stop.

    Args:
        up_to: The newest row.
        after: Rows up to here, and so many articles (``looked_at``), are done.
    """
    left = sys.maxsize if run.limit is None else run.limit - looked_at
    while left > 0:
        page = min(FOUND_AT_ONCE, left)
        ids = deps.loaded(lambda tx: reprocessings.chosen(tx, run.selection, after=after, up_to=up_to, limit=page))  # noqa: B023 - called at once
        if not ids:
            return
        for start in range(0, len(ids), AT_ONCE):
            part = ids[start : start + AT_ONCE]
            rows = deps.loaded(lambda tx: reprocessings.load(tx, run.selection, part))  # noqa: B023 - called at once
            if deps.stopping.is_set():
                return
            yield rows
        after, left = ids[-1], left - len(ids)


def _keep(deps: Deps, run: Run, tally: Tally, after: int) -> None:
    if run.id is not None:
        run_id, facts = run.id, noted(tally)
        deps.saved(lambda tx: reprocessings.keep(tx, run_id, last_pk=after, tally=facts))


def _count(tally: Tally, looked: _Looked) -> None:
    row = looked.row
    tally.looked_at += 1
    if looked.what in {"differs", "became", "fetch"}:
        tally.todo.append(row.id)
    if looked.what == "in-hand":
        tally.in_hand += 1
    elif looked.what == "asked":
        tally.asked_lately += 1
    elif looked.what == "fetch":
        tally.to_fetch += 1
    elif looked.what == "problem":
        tally.problem_count += 1
        _list(tally.problems, looked)
    elif looked.what == "became":
        tally.became_count += 1
        _list(tally.became, looked)
    elif looked.what == "lost":
        tally.compared += 1
        tally.worse += 1
        tally.lost_count += 1
        _list(tally.lost, looked)
    elif looked.comparison is not None:
        _count_comparison(tally, looked.comparison, looked.sample)


def _list(names: list[Named], looked: _Looked) -> None:
    row = looked.row
    if len(names) < LISTED:
        names.append(Named(article_id=row.article_id, url=row.url, title=row.title, what=looked.detail))


def _count_comparison(tally: Tally, comparison: Comparison, sample: Sample | None) -> None:
    tally.compared += 1
    tally.worse += comparison.is_worse
    tally.differing += comparison.is_revision
    for name, how in comparison.changes.items():
        counts = tally.fields.setdefault(name, {})
        counts[how] = counts.get(how, 0) + 1
    if sample is not None and comparison.is_revision:
        tally.worst = heapq.nlargest(WORST_KEPT, [*tally.worst, sample], key=lambda one: tuple(one.badness))


# ---------------------------------------------------------------- revisions


def write_all(deps: Deps, run: Run, tally: Tally, *, after: int, progress: Progress) -> Tally:
    """Send down the line what the comparison found: revisions, retries, re-fetches.

    Each step is saved together with how far the run is. What changed hands since it was compared is left alone.
    Returns: the tally with what was done; its phase is ``done``, unless we were asked to stop before.
    Raises: UnavailableError: the database or the store is away.
    """
    todo, done = tally.todo, bisect_right(tally.todo, after)
    while done < len(todo) and not deps.stopping.is_set():
        looked, end = _looks_at_more(deps, run, todo, done)
        if end > done:
            tally = _saved(deps, run, tally, looked, todo[done:end])
        done = end
        progress(done, len(todo))
    if done < len(todo):
        return tally
    finish(deps, run)
    return replace(tally, phase="done")


def _looks_at_more(deps: Deps, run: Run, todo: Sequence[int], start: int) -> tuple[list[_Looked], int]:
    """Look at what is to be saved next, a few articles at a time. Returns: and where in ``todo`` that ends."""
    looked: list[_Looked] = []
    place, end = start, min(start + SAVED_AT_ONCE, len(todo))
    while place < end and not deps.stopping.is_set():
        ids = todo[place : min(place + AT_ONCE, end)]
        rows = deps.loaded(lambda tx: reprocessings.load(tx, run.selection, ids))  # noqa: B023 - called at once
        some = _looks(deps, run, rows)
        looked += some
        place += len(ids) if len(some) == len(rows) else bisect_left(ids, rows[len(some)].id)
    return looked, place


def finish(deps: Deps, run: Run) -> None:
    """Whoever asks for the same again begins from the start."""
    if run.id is not None:
        run_id = run.id
        deps.saved(lambda tx: reprocessings.finish(tx, run_id, now=deps.clock()))


def _saved(deps: Deps, run: Run, tally: Tally, looked: Sequence[_Looked], ids: Sequence[int]) -> Tally:
    revisions = [one.revision for one in looked if one.revision is not None]
    revised = {one.base.article_id for one in revisions}  # one new revision of an article is enough
    became = [one.row.id for one in looked if one.what == "became" and one.row.article_id not in revised]
    now = deps.clock()

    def save(tx: Connection) -> Tally:
        added = reprocessings.add_revisions(tx, run.selection, revisions, now=now)
        fetching = sum(one.values["state"] == State.DISCOVERED for one in added)
        retried = articles.retry(tx, became, now=now, host_of=deps.gates.key)
        reprocessings.put_behind(tx, retried)
        done = replace(
            tally,
            revisions=tally.revisions + len(added) - fetching,
            fetching=tally.fetching + fetching,
            retried=tally.retried + len(retried),
            overtaken=tally.overtaken + len(ids) - len(added) - len(retried),
        )
        if run.id is not None:
            reprocessings.keep(tx, run.id, last_pk=ids[-1], tally=noted(done))
        return done

    return deps.saved(save)
