"""A subscription: what its hub is asked and when again, when a push makes a poll, how far the hub is believed."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Literal
from urllib.parse import urlsplit, urlunsplit

LEASE_S = 864_000  # asked for; section 8.2 calls ten days a good default
RENEW_AFTER = 0.7  # of the lease, less up to a tenth of it: three days are left for a hub that is away
SHORTEST_RENEWAL_S = 60.0  # a hub of short leases is not asked more often than this
RETRY_S = 300.0
RETRY_CAP_S = 86_400.0
REFUSED_S = 86_400.0
REFUSED_CAP_S = 30 * 86_400.0
DENIED_S = 30 * 86_400.0
LEAVING_TRIES = 4  # then the lease may run out by itself; whoever pushes until then is told that it is gone

POLL_GAP_S = 10.0  # between two polls that pushes make: a feed of many small changes is polled for several at once
POLL_GAP_CAP_S = 300.0  # where pushes bring nothing, as those of a broken hub

MISS = 3  # what an unannounced item costs a hub's standing, in pushes
DISTRUST_FROM = 6
WORST = 12


def callback_url(public_url: str, callback: str) -> str:
    """Where a hub reaches one subscription. ``public_url`` has no slash at its end."""
    return f"{public_url}/websub/{callback}"


def request_form(
    mode: Literal["subscribe", "unsubscribe"], *, callback: str, topic: str, secret: str
) -> tuple[tuple[str, str], ...]:
    """The fields of a subscription request.

    The callback stays the same when a subscription is renewed: the hub then replaces it (section 5.1), while a new
    callback, which section 5.1.1 would like, would bring every push twice until the old lease is over. The secret is
    sent over plain http too, where that is all that a hub has: it is this subscription's own, and whoever reads it on
    the way could read the callback as well.

    Args:
        callback: Absolute URL.
        secret: Below 200 bytes.
    """
    fields = (
        ("hub.mode", mode),
        ("hub.topic", topic),
        ("hub.callback", callback),
        ("hub.verify", "async"),  # PubSubHubbub 0.3: WordPress's hubs (PuSHPress) refuse a request without it
    )
    return fields if mode == "unsubscribe" else (*fields, ("hub.lease_seconds", str(LEASE_S)), ("hub.secret", secret))


def hub_request_url(hub_url: str, failures: int) -> str:
    """The address to ask a hub at: a hub named with http is tried with https first (section 8.2), then in turn.

    A hub on a port of its own is asked as it is named: nobody knows where its TLS would be.
    """
    parts = urlsplit(hub_url)
    if parts.scheme != "http" or parts.port is not None or failures % 2:
        return hub_url
    return urlunsplit(parts._replace(scheme="https"))


def renew_at(now: datetime, lease_s: int, *, jitter: float) -> datetime:
    """When to ask for a verified subscription again, well before its lease is over. jitter is in [0, 1).

    However long the lease is: a hub that lost its subscriptions does not say so.
    """
    return now + timedelta(seconds=max(min(lease_s, LEASE_S) * (RENEW_AFTER - jitter / 10), SHORTEST_RENEWAL_S))


def ask_again_at(
    now: datetime, failures: int, *, refused: bool, retry_after_s: float | None = None, jitter: float
) -> datetime:
    """When to ask a hub again that did not confirm: later each time, without end.

    Args:
        failures: Requests since the last verification, this one included, >= 1.
        refused: The hub understood and said no (4xx); it is left alone for days.
        retry_after_s: What the hub asked for, seconds, already bounded.
        jitter: In [0, 1); lengthens the wait by up to a quarter.
    """
    base_s, cap_s = (REFUSED_S, REFUSED_CAP_S) if refused else (RETRY_S, RETRY_CAP_S)
    wait_s = min(base_s * 2.0 ** min(max(failures - 1, 0), 30), cap_s) * (1 + jitter / 4)
    return now + timedelta(seconds=max(wait_s, retry_after_s or 0.0))


def denied_until(now: datetime, *, jitter: float) -> datetime:
    """Section 5.2: a denied subscription is not possible anymore; after a month a hub may have changed its mind."""
    return now + timedelta(seconds=DENIED_S * (1 + jitter / 4))


def poll_at(now: datetime, polled_at: datetime | None, *, in_vain: int) -> datetime:
    """When a push makes its feed due: now, unless the last poll was only just, or the last ones brought nothing.

    Args:
        in_vain: Polls in a row that brought nothing, or failed, >= 0.
    """
    gap_s = min(POLL_GAP_S * 2.0 ** min(in_vain, 30), POLL_GAP_CAP_S)
    return now if polled_at is None else max(now, polled_at + timedelta(seconds=gap_s))


def after_push(missed: int) -> int:
    """A hub's standing (0 is best) after a push."""
    return max(missed - 1, 0)


def after_miss(missed: int) -> int:
    """A hub's standing after a poll found something new that nobody had announced."""
    return min(missed + MISS, WORST)


def is_trusted(*, state: str, expires_at: datetime | None, pushes: int, missed: int, now: datetime) -> bool:
    """May its feed be polled rarely?

    Only while the hub's lease runs, once it has really pushed, and as long as polls find little that it kept to itself.
    """
    is_live = state == "active" and expires_at is not None and expires_at > now
    return is_live and pushes > 0 and missed < DISTRUST_FROM
