"""One run of the line in this process, without Celery and without a broker. What ``newsmill once`` does."""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from rich.console import Console

from config.log import formatter
from config.settings import Settings
from worker import stages, wiring
from worker.cli import context, show
from worker.cli.announce import Confirmations, article_lines
from worker.cli.chosen import chosen_feeds
from worker.cli.doors import missing_file, now_utc, opened_ledger, stopped_by_signals
from worker.errors import UnavailableError, UsageError
from worker.ledger import articles, feeds, publications
from worker.ledger.migrate import current, migrate
from worker.ledger.session import Ledger
from worker.ledger.tables import Row
from worker.model import OPEN_STATES, State
from worker.publish.lines import LinesPublisher
from worker.stages import Batch, Deps, Polled

STEP_S = 0.5  # something may become ready without being foretold: a lease that ends, a site that unblocks
SOONEST_S = 0.02
OPEN_ROWS_SEEN = 1000
TROUBLED = frozenset({"failed", "gone"})


def run_once(slugs: Sequence[str] | None, *, wait_s: float) -> bool:
    """Poll these feeds (None: those that are due), bring every article to its end, tell on standard error.

    Returns: False: a feed failed or could not be polled, or an article's message found no taker.

    Raises:
        UsageError: there is no such feed, or the database needs a migration.
        UnavailableError: a door does not open.
    """
    settings = context.settings()
    _log_to_stderr(settings)
    gone = threading.Event()
    with _opened(settings, gone) as deps, stopped_by_signals(deps.stopping):
        work = Work(deps=deps, console=_stderr_console(), wait_s=wait_s)
        work.choose(slugs)
        work.run()
        went_well = work.tell()
        if not deps.stopping.is_set():  # there may be no beat to do it
            stages.upkeep(deps)
            stages.compact_round(deps)
    if gone.is_set():
        show.hush()
        show.warning(
            "newsmill: standard output takes no more messages, so the run ended here. What it did not take comes with "
            "the next run."
        )
    return went_well and not gone.is_set()


@dataclass(slots=True, kw_only=True)
class Work:
    """One run: feeds to poll once each, articles to bring to their end."""

    deps: Deps
    console: Console
    wait_s: float
    began_at: datetime = field(default_factory=now_utc)
    unpolled: list[str] = field(default_factory=list)
    polled: dict[str, Polled] = field(default_factory=dict)

    def choose(self, slugs: Sequence[str] | None) -> None:
        """These feeds, made due; without slugs those that are due. Raises: UsageError: there is no such feed."""
        with self.deps.ledger.transaction() as tx:
            rows = feeds.all_feeds(tx)
            if slugs is None:
                self.unpolled = [row.slug for row in rows if _is_due(row, self.began_at)]
            else:
                chosen = chosen_feeds(rows, slugs)
                self.unpolled = feeds.ask(tx, chosen, unconditional=False, now=self.began_at)
        if not rows:
            show.warning("No feed is followed yet: add one with `newsmill feeds add URL`.")

    def run(self) -> None:
        """Work until nothing is left that may start within ``wait_s`` of the last progress, or we shall stop.

        Progress is a feed polled or an article's change of state: one that is tried again and again, for want of a
        broker say, makes none.
        """
        progress_at, before = time.monotonic(), None
        while not self.deps.stopping.is_set():
            polls_again_at = self._poll()
            articles_again_at = self._start_articles()
            after = (len(self.unpolled), self._counts())
            if after != before:
                progress_at, before = time.monotonic(), after
                continue
            left_s = self.wait_s - (time.monotonic() - progress_at)
            if left_s <= 0 or not self._worth_waiting(left_s):
                return
            self._sleep([polls_again_at, articles_again_at], left_s)

    def _poll(self) -> datetime | None:
        if not self.unpolled:
            return None
        due = stages.due(self.deps, slugs=self.unpolled)
        for batch in due.batches:
            for polled in stages.poll(self.deps, batch.ids, token=batch.token):
                if polled.outcome != "waiting":
                    self.polled[polled.slug] = polled
                    self.unpolled.remove(polled.slug)
        return due.look_again_at

    def _start_articles(self) -> datetime | None:
        """Bring what may start through the line. Returns: when the next may start."""
        dispatched = stages.dispatch(self.deps)
        for batch in dispatched.batches:
            run_line(self.deps, batch)
        return dispatched.look_again_at

    def _counts(self) -> Mapping[str, int]:
        """Articles by state; states only go forward, so that no two changes cancel each other out."""
        with self.deps.ledger.reading() as connection:
            return articles.counts(connection)

    def _worth_waiting(self, left_s: float) -> bool:
        """Is there a feed to poll or an article to go on with whose time comes soon enough?"""
        if self.unpolled:
            return True
        horizon = now_utc() + timedelta(seconds=left_s)
        with self.deps.ledger.reading() as connection:
            rows = articles.select_rows(connection, states=OPEN_STATES, limit=OPEN_ROWS_SEEN)
        return any(max(row.ready_at, row.lease_until or row.ready_at) <= horizon for row in rows)

    def _sleep(self, moments: Sequence[datetime | None], left_s: float) -> None:
        known = [(moment - now_utc()).total_seconds() for moment in moments if moment is not None]
        self.deps.stopping.wait(max(SOONEST_S, min([STEP_S, left_s, *known])))

    # ------------------------------------------------------------ what a person reads

    def tell(self) -> bool:
        """Say on standard error how it went. Returns: False: a feed failed or was not polled, a door was closed."""
        news = Confirmations(ledger=self.deps.ledger, since=self.began_at)
        while announcements := news.look():
            for line in article_lines(self.console, announcements):
                self.console.print(line, soft_wrap=True)
        for slug, polled in sorted(self.polled.items()):
            new = f", {polled.new} new" if polled.new else ""
            status = f" ({polled.status})" if polled.status else ""
            detail = f": {polled.detail}" if polled.detail else ""
            show.warning(f"{slug}: {polled.outcome}{status}{new}{detail}")
        for slug in self.unpolled:
            show.warning(f"{slug}: not polled, its site asks for more patience than --wait {self.wait_s:g}")
        were_taken = self._tell_the_rest()
        were_polled = not self.unpolled and not any(polled.outcome in TROUBLED for polled in self.polled.values())
        return were_polled and were_taken

    def _tell_the_rest(self) -> bool:
        """Returns: False: articles wait for our own store or broker."""
        with self.deps.ledger.reading() as connection:
            aside = articles.select_rows(
                connection,
                states=[State.REJECTED, State.QUARANTINED],
                since=self.began_at,
                limit=OPEN_ROWS_SEEN,
            )
            still_open = articles.select_rows(connection, states=OPEN_STATES, limit=OPEN_ROWS_SEEN)
        for (state, reason), count in Counter((row.state, row.reason) for row in aside).items():
            show.warning(f"{show.count(count, 'article')} {state}: {reason} (`newsmill articles list --state {state}`)")
        if still_open:
            show.warning(
                f"{show.count(len(still_open), 'article')} not at the end yet: run `newsmill once` again later."
            )
        paused = Counter(said for row in still_open if (said := _paused_by(row)) is not None)
        for said, count in paused.items():
            show.warning(f"{show.count(count, 'article')} held up by trouble of our own: {said}")
        return not paused


def run_line(deps: Deps, batch: Batch) -> None:
    """The stages that lie before a batch, one after the other, as the Celery chain runs them."""
    ids = list(batch.ids)
    states = [state for state, _, _ in stages.LINE]
    for _, _, stage in stages.LINE[states.index(batch.state) :]:
        if ids:
            ids = stage(deps, ids, token=batch.token)


def _paused_by(row: Row) -> str | None:
    """What of our own keeps an article waiting; None: nothing of ours."""
    last = row.troubles[-1] if row.troubles else {}
    return last["detail"] if last.get("reason") == UnavailableError.__name__ else None


def _is_due(feed: Row, now: datetime) -> bool:
    return feed.enabled and feed.gone_at is None and feed.due_at <= now


# ---------------------------------------------------------------- doors


@contextmanager
def _opened(settings: Settings, gone: threading.Event) -> Iterator[Deps]:
    """The doors of this process; a machine's first ``once`` makes its SQLite file itself.

    ``gone`` is set when the messages go to standard output, and it takes no more of them.
    """
    if settings.database_url.startswith("sqlite"):
        _make_database(settings)
    to_stdout = not context.environment().get("PUBLISH_URL", "").strip()
    with opened_ledger() as ledger:  # says what to do when the schema is not ours
        if to_stdout:
            _alone(ledger, settings)
    deps = wiring.build(settings)
    if to_stdout:
        deps = _to_stdout(deps, gone)
    with closing(deps.ledger), closing(deps.publisher):
        try:
            yield deps
        finally:
            deps.threads.shutdown(wait=False, cancel_futures=True)


def _to_stdout(deps: Deps, gone: threading.Event) -> Deps:
    def stop() -> None:
        gone.set()
        deps.stopping.set()

    return replace(deps, publisher=LinesPublisher(sys.stdout.buffer, on_gone=stop))


def _alone(ledger: Ledger, settings: Settings) -> None:
    """Raises: UsageError: a newsmill is at work on this ledger, whose articles its broker must get."""
    fresh_s = 2 * settings.tick_s + 5
    with ledger.reading() as connection:
        ages_s = [(now_utc() - at).total_seconds() for at in publications.ticks(connection).values()]
    if ages_s and min(ages_s) < fresh_s:
        raise UsageError(
            f"A newsmill works on this ledger (beat ticked {min(ages_s):.0f} s ago); its articles would go to standard "
            "output instead of its broker. Use `newsmill repoll`, or set PUBLISH_URL to that broker."
        )


def _make_database(settings: Settings) -> None:
    """A SQLite file that is not there, or empty, gets its schema; one that has one is left as it is."""
    with closing(wiring.open_ledger(settings)) as ledger:
        if missing_file(settings) or current(ledger) is None:
            migrate(ledger)


def _log_to_stderr(settings: Settings) -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter(settings.log_format))
    handler.setLevel(logging.WARNING)
    logging.getLogger().handlers[:] = [handler]


def _stderr_console() -> Console:
    if sys.stderr.isatty():
        return Console(stderr=True, highlight=False)
    return Console(stderr=True, highlight=False, width=show.PIPED_WIDTH)
