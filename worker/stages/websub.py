"""WebSub: hubs are asked to push, their questions answered, their pushes turned into polls.

Nothing here happens unless NEWSMILL_PUBLIC_URL says where hubs reach us. The body of a push is not used: it only proves
who pushes, and the feed itself is then asked, as at any other poll.
"""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from http import HTTPStatus

from sqlalchemy.engine import Connection

from worker.errors import NewsmillError, QuarantineError, RetryableError, UnavailableError
from worker.fetch.classify import VerdictKind, judge
from worker.fetch.coding import decoded_body
from worker.fetch.http import FetchRequest
from worker.ledger import hosts, subscriptions
from worker.ledger.subscriptions import ACTIVE, DENIED, LEAVING, WANTED
from worker.ledger.tables import Row
from worker.model import Hop
from worker.stages.deps import Deps, Save
from worker.stages.visit import BOOKED_AHEAD_S, NotYetError, RobotsSayNo, Visited, save_lesson, visit
from worker.text import clean_line
from worker.urls import display_url
from worker.websub import subscription
from worker.websub.intent import Intent, read_intent
from worker.websub.signature import Trouble

log = logging.getLogger("newsmill")

ANSWER_CAP_BYTES = 16 * 1024  # of a hub: only an error has something to say
CHANGED_AT_ONCE = 500  # feeds whose subscription is begun or ended in one go
ASKING_S = 60.0  # a task goes on asking for so long
OWN_TROUBLE_S = 60.0
TOLD_CHARS = 200


Wait = datetime | None  # when a hub's site may be asked; None: it was


class RefusedByHubError(NewsmillError):
    """The hub understood the request and will not have it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """How often a hub was asked, and when a look would be worth it again."""

    count: int
    look_again_at: datetime | None


def change_subscriptions(deps: Deps) -> None:
    """Begin those that feeds want and do not have, end those that are over. A look at all feeds; no hub is asked."""
    if deps.settings.public_url:
        _leave_outdated(deps)
        _want_new(deps)


def ask_hubs(deps: Deps) -> Asked:
    """Subscribe, renew, unsubscribe what is due; go on while there is something to ask."""
    if not deps.settings.public_url:
        return Asked(count=0, look_again_at=None)
    count = 0
    closed: dict[str, datetime] = {}  # sites of hubs, until when: one hub may have a hundred thousand of our feeds
    over_at = time.monotonic() + ASKING_S
    while not deps.stopping.is_set() and time.monotonic() < over_at:
        waits = _round(deps, closed)
        if not waits:
            break
        count += sum(wait is None for wait in waits.values())
        closed |= {host: wait for host, wait in waits.items() if wait is not None}
    now = deps.clock()
    horizon = now + timedelta(seconds=deps.settings.tick_s)
    due_at = deps.loaded(lambda tx: subscriptions.next_due_at(tx, now=now, horizon=horizon, closed=closed))
    moments = [at for at in (due_at, *closed.values()) if at is not None and at <= horizon]
    return Asked(count=count, look_again_at=min(moments, default=None))


def _round(deps: Deps, closed: Collection[str]) -> dict[str, Wait]:
    """Ask at each site, but at these, for one of the subscriptions that are due. Returns: by site what came of it."""
    now = deps.clock()
    until = deps.working_until(now)
    limit = deps.settings.batch
    rows = deps.saved(lambda tx: subscriptions.claim(tx, now=now, until=until, limit=limit, closed=closed))
    waits = deps.side_by_side(
        lambda row: _ask(deps, row, until),
        rows,
        give_up=lambda row: _let_go(row, until, deps.clock()),
        failed=lambda row, error: _failed(deps, row, until, error),
    )
    return dict(zip((row.host for row in rows), waits, strict=True))


def _leave_outdated(deps: Deps) -> None:
    now, where = deps.clock(), deps.settings.public_url
    rows = deps.loaded(lambda tx: subscriptions.outdated(tx, public_url=where, now=now, limit=CHANGED_AT_ONCE))
    if rows:
        deps.saved(lambda tx: subscriptions.leave(tx, rows, now=now))


def _want_new(deps: Deps) -> None:
    fresh = [
        {
            "feed_id": feed.id,
            "public_url": deps.settings.public_url,
            "callback": secrets.token_urlsafe(32),
            "secret": secrets.token_urlsafe(32),
            "hub_url": feed.hub_url,
            "host": deps.gates.key(feed.hub_url),
            "topic_url": feed.topic_url,
        }
        for feed in deps.loaded(lambda tx: subscriptions.unsubscribed_feeds(tx, limit=CHANGED_AT_ONCE))
    ]
    if fresh:
        deps.saved(lambda tx: subscriptions.want(tx, fresh, now=deps.clock()))


# ---------------------------------------------------------------- asking


def _ask(deps: Deps, row: Row, until: datetime) -> Save[Wait]:
    """One request to one hub. It has not agreed with its answer: that comes as a question at the callback."""
    if deps.stopping.is_set():
        return _let_go(row, until, deps.clock())
    form = subscription.request_form(
        "unsubscribe" if row.state == LEAVING else "subscribe",
        callback=subscription.callback_url(row.public_url, row.callback),
        topic=row.topic_url,
        secret=row.secret,
    )

    def request(url: str) -> FetchRequest:
        return FetchRequest(
            url=url,
            accept="text/plain,*/*;q=0.5",
            form=form,
            cap_bytes=ANSWER_CAP_BYTES,
            total_timeout_s=deps.settings.fetch_timeout_s,
        )

    try:
        seen = visit(
            deps,
            request,
            _request_url(row),
            holder=_holder(row),
            permitted=False,
            obey_robots=False,
            book_until=deps.clock() + timedelta(seconds=BOOKED_AHEAD_S),
        )
    except NotYetError as wait:
        if deps.gates.key(wait.url) in {deps.gates.key(hop.url) for hop in wait.hops}:
            raise QuarantineError("redirect-loop", f"leads back to {display_url(wait.url)}") from wait
        return _let_go(row, until, wait.at)
    assert not isinstance(seen, RobotsSayNo)
    return _answered(deps, row, until, seen)


def _request_url(row: Row) -> str:
    return subscription.hub_request_url(row.hub_url, row.failures)


def _holder(row: Row) -> str:
    return f"websub:{row.id}"


def _answered(deps: Deps, row: Row, until: datetime, seen: Visited) -> Save[Wait]:
    hop = seen.exchange.final
    now = deps.clock()
    error: NewsmillError | None = None
    if hop.status >= HTTPStatus.MULTIPLE_CHOICES:  # 202 is what a hub shall say; older ones say 204
        answer = judge(hop.status, hop.headers, now=now, sent_validators=False)
        said = f"HTTP {hop.status} from {display_url(hop.url)}{_told(row, hop)}"
        may_pass = answer.kind in {VerdictKind.RETRY, VerdictKind.SLOW_DOWN}
        error = RetryableError(said, answer.retry_after_s) if may_pass else RefusedByHubError(said)
    log.info("websub.asked", extra={"feed": row.slug, "hub": display_url(row.hub_url), "status": hop.status})
    came_to = _unconfirmed(deps, row, until, error)

    def save(tx: Connection) -> Wait:
        save_lesson(deps, tx, seen.lesson)
        return came_to(tx)

    return save


def _told(row: Row, hop: Hop) -> str:
    """What a hub says about an error, for people."""
    try:
        text = decoded_body(hop, ANSWER_CAP_BYTES).decode("utf-8", "replace")
    except NewsmillError:
        return ""
    line = _for_people(row, text)
    return f": {line}" if line else ""


def _for_people(row: Row, said: str) -> str:
    """A hub's words in one line, without the callback and the secret, which it may repeat."""
    for hidden in (row.callback, row.secret):
        said = said.replace(hidden, "[removed]")
    return clean_line(said, TOLD_CHARS)


def _failed(deps: Deps, row: Row, until: datetime, error: Exception) -> Save[Wait]:
    """A hub that could not be asked. Our own outages are not its failures."""
    if isinstance(error, UnavailableError):
        return _let_go(row, until, deps.clock() + timedelta(seconds=OWN_TROUBLE_S))
    if not isinstance(error, NewsmillError):
        deps.report(error, stage="websub", tags={"feed": row.slug})
        log.error("websub.trouble", extra={"feed": row.slug}, exc_info=error)
        error = RetryableError(type(error).__name__)
    log.warning("websub.failed", extra={"feed": row.slug, "hub": display_url(row.hub_url), "error": str(error)[:300]})
    came_to = _unconfirmed(deps, row, until, error)

    def save(tx: Connection) -> Wait:
        hosts.give_back_all(tx, holder=_holder(row))
        return came_to(tx)

    return save


def _unconfirmed(deps: Deps, row: Row, until: datetime, error: NewsmillError | None) -> Save[Wait]:
    """A hub was asked, and has not confirmed it (yet): it is asked again, later each time, until it does."""
    now = deps.clock()
    failures = row.failures + 1
    is_guess = _request_url(row) != row.hub_url  # whoever answers there need not be the hub
    refused = isinstance(error, RefusedByHubError | QuarantineError) and not is_guess
    retry_after_s = error.retry_after_s if isinstance(error, RetryableError) else None
    again_at = subscription.ask_again_at(
        now, failures, refused=refused, retry_after_s=retry_after_s, jitter=deps.dice()
    )

    def save(tx: Connection) -> Wait:
        held = subscriptions.held(tx, row.id, until=until)
        if held is None:
            return None
        if row.state == LEAVING and (refused or failures >= subscription.LEAVING_TRIES):
            subscriptions.forget(tx, [row.id])
            return None
        if held.verified_at != row.verified_at or held.state == DENIED:  # its question was faster than its answer
            subscriptions.save(tx, row.id, lease_until=None)
            return None
        said = str(error)[:300] if error is not None else "the hub has not verified it yet"
        subscriptions.save(tx, row.id, lease_until=None, failures=failures, due_at=again_at, error=said)
        return None

    return save


def _let_go(row: Row, until: datetime, due_at: datetime) -> Save[Wait]:
    """Give a subscription back unasked; nothing is wrong with it."""

    def save(tx: Connection) -> Wait:
        hosts.give_back_all(tx, holder=_holder(row))
        if subscriptions.held(tx, row.id, until=until) is not None:
            subscriptions.save(tx, row.id, lease_until=None, asked_at=row.asked_at, due_at=due_at)
        return due_at

    return save


# ---------------------------------------------------------------- what hubs ask


def answer_hub(deps: Deps, callback: str, query: str) -> str | None:
    """Answer a hub's GET of a callback: the challenge that we agree by, empty for a denial; None: not ours, 404.

    Raises: UnavailableError: the ledger is away, and the hub should ask again.
    Source: sections 5.2 and 5.3.
    """
    intent = read_intent(query)
    if intent is None or not _knows(deps, callback):
        return None
    with deps.ledger.transaction() as tx:
        row = subscriptions.held_by_callback(tx, callback)
        answer = _agreed(deps, tx, row, intent) if row is not None and intent.is_about(row.topic_url) else None
    if row is not None:
        event = "websub.unwanted" if answer is None else f"websub.{intent.mode}"
        log.info(event, extra={"feed": row.slug, "mode": intent.mode, "lease_s": intent.lease_s})
    return answer


def _knows(deps: Deps, callback: str) -> bool:
    """Guesses take no lock."""
    with deps.ledger.reading() as tx:
        return subscriptions.by_callback(tx, callback) is not None


def _agreed(deps: Deps, tx: Connection, row: Row, intent: Intent) -> str | None:
    """Do we want that? Says so, and keeps what follows from it."""
    now = deps.clock()
    if intent.mode == "denied":
        if row.state == LEAVING:
            subscriptions.forget(tx, [row.id])
        else:
            until = subscription.denied_until(now, jitter=deps.dice())
            said = f"denied: {_for_people(row, intent.reason) or 'the hub gives no reason'}"
            subscriptions.save(tx, row.id, state=DENIED, due_at=until, expires_at=None, error=said)
        return ""
    if row.asked_at is None:
        return None
    if intent.mode == "unsubscribe":
        if row.state != LEAVING:
            return None
        subscriptions.forget(tx, [row.id])
        return intent.challenge
    if row.state not in {WANTED, ACTIVE}:
        return None
    lease_s = intent.lease_s or subscription.LEASE_S
    subscriptions.save(
        tx,
        row.id,
        state=ACTIVE,
        verified_at=now,
        expires_at=now + timedelta(seconds=lease_s),
        due_at=subscription.renew_at(now, lease_s, jitter=deps.dice()),
        failures=0,
        error=None,
    )
    return intent.challenge


# ---------------------------------------------------------------- what hubs push


def secret_of(deps: Deps, callback: str) -> str | None:
    """What a push at this callback is signed with; None: nobody is subscribed there, 410.

    Raises: UnavailableError: the ledger is away, and the hub should push again.
    """
    with deps.ledger.reading() as tx:
        row = subscriptions.by_callback(tx, callback)
    return row.secret if row is not None and row.state != LEAVING else None


def take_push(deps: Deps, callback: str, trouble: Trouble | None) -> str | None:
    """Keep that a hub pushed. A push that it did not sign changes nothing but a count.

    Args:
        trouble: What is wrong with its signature.

    Returns: the feed whose poll shall start at once; None: none, or it is wanted already and has not begun.
    Raises: UnavailableError: the ledger is away, and the hub should push again.
    """
    now = deps.clock()
    with deps.ledger.transaction() as tx:
        row = subscriptions.held_by_callback(tx, callback)
        if row is None or row.state == LEAVING:
            return None
        if trouble is not None:
            subscriptions.save(tx, row.id, ignored=row.ignored + 1)
            log.warning("websub.ignored", extra={"feed": row.slug, "reason": trouble})
            return None
        is_news = subscriptions.pushed(
            tx,
            row,
            now=now,
            due_at=lambda feed: subscription.poll_at(now, feed.polled_at, in_vain=max(feed.quiet_polls, feed.failures)),
            missed=subscription.after_push(row.missed),
        )
    log.info("websub.pushed", extra={"feed": row.slug, "polled": is_news})
    slug: str = row.slug
    return slug if is_news else None


def is_pushed(deps: Deps, tx: Connection, feed: Row, *, now: datetime, found_new: bool) -> bool:
    """May a feed that was just polled be left to its hub, and polled rarely?

    Called once for each poll that was answered, in its transaction: something new that the hub did not announce costs
    it some of its standing. A poll that a push made and that found nothing new came too soon, perhaps (there are caches
    between): the next one follows at the feed's own pace.

    Args:
        feed: Its row as the poll began: ``polled_at`` tells of the poll before.
        found_new: Articles that were not known.
    """
    if feed.hub_url is None or not deps.settings.public_url:
        return False
    row = subscriptions.in_force(tx, feed.id)
    if row is None:
        return False
    announced = row.pushed_at is not None and (feed.polled_at is None or row.pushed_at >= feed.polled_at)
    missed = row.missed
    listened = None not in {row.verified_at, feed.polled_at} and row.verified_at <= feed.polled_at
    if found_new and not announced and listened:  # of what was there before we subscribed no hub tells
        missed = subscription.after_miss(missed)
        subscriptions.save(tx, row.id, missed=missed)
    trusted = subscription.is_trusted(
        state=row.state, expires_at=row.expires_at, pushes=row.pushes, missed=missed, now=now
    )
    return trusted and (found_new or not announced)
