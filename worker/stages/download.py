"""Download: the article's URL -> the exchange, kept in the spool as WARC records."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy.engine import Connection

from worker.archive.exchange import exchange_records
from worker.errors import NewsmillError, QuarantineError, RetryableError, UnavailableError
from worker.extract.feedtext import Habit, is_full_text
from worker.extract.habit import Tally, habit_of
from worker.fetch.classify import START_BYTES, MediaKind, VerdictKind, judge, media_kind
from worker.fetch.coding import decoded_body
from worker.fetch.http import FetchRequest
from worker.fetch.robots import robots_tag
from worker.ledger import articles, feeds, hosts
from worker.ledger.tables import Row
from worker.model import Entry, Exchange, Hop, State
from worker.stages import spool
from worker.stages.deps import Deps, Save, end, out_of_its_chain, released, settled, told, unpacked
from worker.stages.spool import Spooled
from worker.stages.visit import Lesson, NotYetError, RobotsSayNo, Visited, pace_of, save_lesson, visit

PAGE_ACCEPT = "text/html,application/xhtml+xml;q=0.9,*/*;q=0.5"
MAX_VISITS = 6  # of one article, before redirects from site to site are taken for a loop
FULL_TEXT_ATTEMPTS = 2  # an article whose text the feed gave does not wait longer than this for its page

# Expected ends, no fault of anybody: the outcome's name.
REJECTED_STATUS = {401: "forbidden", 402: "forbidden", 403: "forbidden", 404: "gone", 410: "gone", 451: "forbidden"}
PAGE_KINDS: frozenset[MediaKind] = frozenset({"html", "xml", "text", "empty"})


@dataclass(frozen=True, slots=True, kw_only=True)
class _Page:
    """How the visit of an article's page ended."""

    exchange: Exchange | None
    lesson: Lesson | None
    problem: str | None  # why the page is no page; None: it is one
    robots: str | None = None  # what robots.txt said, if it was asked


def download(deps: Deps, ids: Sequence[int], *, token: str, further: Callable[[], None] = lambda: None) -> list[int]:
    """Fetch the pages of these articles side by side; each is committed when it ends.

    ``further``: called when a page came that the others did not wait for, so that dispatch may go on with it.

    Returns: the ids that went well, in order.
    """
    now = deps.clock()

    def start(tx: Connection) -> tuple[list[Row], dict[str, Row]]:
        until = deps.working_until(now)
        begun = articles.begin(tx, ids, token=token, state=State.DISCOVERED, until=until)
        mine = [row for row in begun if not _moved(deps, tx, row, now)]
        known, wait = hosts.start(tx, [row.host for row in mine], now=now, pace_of=pace_of(deps))
        ready = [row for row in mine if row.host not in wait]
        hosts.at_work(tx, [articles.holder(token, row.id) for row in ready], expires_at=until)
        for row in mine:
            if row.host in wait:  # the chain stood in the queue while somebody else asked this site
                articles.let_go(tx, row, ready_at=wait[row.host], counted=False)
                hosts.give_back(tx, row.host, holder=articles.holder(token, row.id))
        return ready, known

    rows, known = deps.saved(start)
    went_well = deps.side_by_side(
        lambda row: _download(deps, row, known[row.host]),
        rows,
        give_up=lambda row: released(deps, row),
        failed=lambda row, error: settled(deps, row, "download", error),
        alone=out_of_its_chain(further, lambda row: row),
    )
    return [row.id for row, well in zip(rows, went_well, strict=True) if well]


def _moved(deps: Deps, tx: Connection, row: Row, now: datetime) -> bool:
    """A row whose site has another gate than when it was written (the list of gates changed) goes and waits there."""
    host = deps.gates.key(row.fetch_url or row.url)
    if host == row.host:
        return False
    hosts.ensure(tx, [host], now=now)
    hosts.give_back(tx, row.host, holder=articles.holder(row.lease_token, row.id))
    articles.let_go(tx, row, ready_at=now, counted=False, values={"host": host})
    return True


def _download(deps: Deps, row: Row, host_row: Row) -> Save[bool]:
    if deps.stopping.is_set():
        return released(deps, row)
    try:
        return _visited(deps, row, host_row)
    except UnavailableError:
        raise
    except Exception as error:
        problem = _settled_without_page(row, error)
        if problem is None or not _feed_has_it(deps, row):
            raise
        told(deps, row, "download", error)
        return _downloaded(deps, row, _Page(exchange=None, lesson=None, problem=problem), host_row)


def _visited(deps: Deps, row: Row, host_row: Row) -> Save[bool]:
    try:
        page = _visit(deps, row)
    except NotYetError as wait:
        return _later(deps, row, wait)
    if page.problem is None or _feed_has_it(deps, row):
        return _downloaded(deps, row, page, host_row)
    return _rejected(deps, row, page, host_row)


def _settled_without_page(row: Row, error: Exception) -> str | None:
    """Is it time to do without this page, if the feed has the text? The problem's name; None: try again first."""
    if isinstance(error, QuarantineError):
        return error.reason
    return "unreachable" if isinstance(error, RetryableError) and row.attempts >= FULL_TEXT_ATTEMPTS else None


def _visit(deps: Deps, row: Row) -> _Page:
    url = row.fetch_url or row.url
    holder = articles.holder(row.lease_token, row.id)
    seen = visit(deps, lambda target: page_request(deps, target), url, holder=holder, permitted=True)
    if isinstance(seen, RobotsSayNo):
        return _Page(
            exchange=Exchange(hops=seen.hops) if seen.hops else None,
            lesson=None,
            problem="robots",
            robots="disallowed",
        )
    try:
        problem = page_problem(seen, deps.clock())
    except NewsmillError:
        deps.saved(lambda tx: save_lesson(deps, tx, seen.lesson))
        raise
    robots = "allowed" if deps.settings.obey_robots else None
    return _Page(exchange=seen.exchange, lesson=seen.lesson, problem=problem, robots=robots)


def page_request(deps: Deps, url: str) -> FetchRequest:
    settings = deps.settings
    return FetchRequest(
        url=url,
        accept=PAGE_ACCEPT,
        cap_bytes=settings.page_cap_bytes,
        total_timeout_s=settings.fetch_timeout_s,
        kinds=PAGE_KINDS,
    )


def page_problem(seen: Visited, now: datetime) -> str | None:
    """Why an answer is no page, by name; None: it is one.

    Raises: RetryableError: the site may answer better later. QuarantineError: the body cannot be read.
    """
    hop = seen.exchange.final
    answer = judge(hop.status, hop.headers, now=now, sent_validators=False)
    if answer.kind is not VerdictKind.OK:
        reason = REJECTED_STATUS.get(hop.status)
        if reason is not None:
            return reason
        raise RetryableError(f"HTTP {hop.status}: {hop.url}", retry_after_s=answer.retry_after_s)
    return body_problem(hop)


def body_problem(hop: Hop) -> str | None:
    """Why a body is none that we read; by its first bytes, not by its label."""
    start = decoded_body(hop, START_BYTES)
    kind = media_kind(hop.header("Content-Type"), start)
    return None if kind in PAGE_KINDS else f"unsupported-{kind}"


def _feed_has_it(deps: Deps, row: Row) -> bool:
    """Is the feed's own text the article, so that the page can be done without?"""
    entry, feed = deps.loaded(lambda tx: (entry_of(tx, row.id), feeds.by_ids(tx, [row.feed_id])[row.feed_id]))
    return entry is not None and is_full_text(entry, fulltext=feed.fulltext, page_text=None, habit=habit_of_feed(feed))


def habit_of_feed(feed: Row) -> Habit:
    """What the ledger remembers of a feed's texts, and of its articles' pages."""
    return habit_of(
        Tally(**(feed.full_text or {})),
        full_text_share=feed.wishes.get("full_text_share", 0.0),
        endings=feed.wishes.get("endings", ()),
    )


def entry_of(connection: Connection, article_pk: int) -> Entry | None:
    body = articles.entry_bodies(connection, [article_pk]).get(article_pk)
    return unpacked(body, Entry) if body is not None else None


def _downloaded(deps: Deps, row: Row, page: _Page, host_row: Row) -> Save[bool]:
    now = deps.clock()
    kept = _kept(deps, row, page)

    def save(tx: Connection) -> bool:
        _learn(deps, tx, row, page, host_row)
        kept.save(tx, row)
        return articles.advance(
            tx,
            row,
            state=State.DOWNLOADED,
            now=now,
            until=deps.queued_until(now),
            values={"downloaded_at": now, "exchange": kept.note, "spooled": True, "fetch_url": None},
        )

    return save


def _rejected(deps: Deps, row: Row, page: _Page, host_row: Row) -> Save[bool]:
    """The page says no; what it said is kept for a while, so that people can look."""
    kept = _kept(deps, row, page)
    detail = kept.note.get("url_final") or row.url

    def save(tx: Connection) -> bool:
        _learn(deps, tx, row, page, host_row)
        kept.save(tx, row)
        values = {"exchange": kept.note, "spooled": True}
        end(deps, tx, row, state=State.REJECTED, reason=page.problem or "unknown", detail=detail, values=values)
        return False

    return save


def _learn(deps: Deps, tx: Connection, row: Row, page: _Page, host_row: Row) -> None:
    """Give the site's place back, with what it taught; without a lesson the places are back already, or nobody's."""
    if page.lesson is None:
        hosts.give_back_all(tx, holder=articles.holder(row.lease_token, row.id))
        return
    save_lesson(deps, tx, page.lesson, known=host_row if page.lesson.host == host_row.host else None)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Kept:
    """The row's note of its exchange, and the exchange itself if it is still to be saved with it."""

    note: dict[str, Any]
    spooled: Spooled | None

    def save(self, tx: Connection, row: Row) -> None:
        if self.spooled is not None:
            self.spooled.save(tx, row)


def _kept(deps: Deps, row: Row, page: _Page) -> _Kept:
    """Put the exchange into the spool, behind the hops of an earlier visit."""
    facts: dict[str, Any] = {"robots": page.robots, "problem": page.problem}
    if page.exchange is None:
        return _Kept(note={**_earlier(row), **facts}, spooled=None)
    final = page.exchange.final
    kept = _spooled(deps, row, page.exchange.hops)
    seen = {
        "status": final.status,
        "url_final": final.url,
        "truncated": final.truncated,
        "x_robots_tag": robots_tag(final.headers, deps.settings.user_agent),
    }
    return _Kept(note={**kept.note, **seen, **facts}, spooled=kept.spooled)


def _earlier(row: Row) -> dict[str, Any]:
    """The note of the redirects that led here in earlier visits; empty when this is the first."""
    return dict(row.exchange) if row.fetch_url and row.exchange else {}


def _spooled(deps: Deps, row: Row, hops: tuple[Hop, ...]) -> _Kept:
    """Put hops into the spool. The note: the key, and how many visits it holds."""
    earlier = _earlier(row)
    data = exchange_records(Exchange(hops=hops))
    if earlier.get("key"):
        in_ledger = deps.loaded(lambda tx: spool.held(tx, [row]))
        data = spool.read(deps, in_ledger, earlier["key"]) + data
    kept = spool.keep(deps, row, data)
    return _Kept(note={"key": kept.key, "visits": earlier.get("visits", 0) + 1}, spooled=kept)


def _later(deps: Deps, row: Row, wait: NotYetError) -> Save[bool]:
    """Come back when the site may be asked; hops already made are kept, and the visit goes on behind them.

    Raises: QuarantineError: the redirects lead from site to site without end.
    """
    values: dict[str, Any] = {}
    kept = _spooled(deps, row, wait.hops) if wait.hops else None
    if kept is not None:
        visits = kept.note["visits"]
        if visits > MAX_VISITS:
            raise QuarantineError("redirect-loop", f"redirected from site to site {visits} times: {row.url}")
        values = {"fetch_url": wait.url, "host": deps.gates.key(wait.url), "exchange": kept.note, "spooled": True}

    def save(tx: Connection) -> bool:
        hosts.give_back_all(tx, holder=articles.holder(row.lease_token, row.id))
        if kept is not None:
            kept.save(tx, row)
            hosts.ensure(tx, [values["host"]], now=deps.clock())
        articles.let_go(tx, row, ready_at=wait.at, counted=False, values=values)
        return False

    return save
