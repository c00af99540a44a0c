"""How often a site may be asked: a policy, its state, and how answers move it. Pure.

The state is four plain fields that the ledger keeps per host, so that all processes see the same site.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Literal

from worker.model import require_utc

Outcome = Literal["ok", "slow_down", "refused", "error", "unreachable"]

MAX_LEVEL = 10
MAX_DELAY_S = 600.0
BACKOFF_BASE_S = 30.0
BACKOFF_CAP_S = 3600.0
BREAKER_AFTER = 3  # connection failures in a row
BREAKER_BASE_S = 30.0
BREAKER_CAP_S = 1800.0
LATENCY_WEIGHT = 0.3  # of the newest answer in the running mean
SLOW_LATENCY_S = 2.0
LATENCY_FACTOR = 2.0  # a slow site is idle for at least as long again as it worked for us
_LEAST_SLOWED_DELAY_S = 0.5  # doubling nothing would stay nothing


@dataclass(frozen=True, slots=True, kw_only=True)
class HostPolicy:
    """What we take when the site has not complained: seconds between starts (>= 0), requests at a time (>= 1)."""

    delay_s: float
    connections: int

    def __post_init__(self) -> None:
        if self.delay_s < 0 or self.connections < 1:
            raise ValueError(f"delay_s must be >= 0 and connections >= 1, got {self!r}")


@dataclass(frozen=True, slots=True, kw_only=True)
class HostState:
    """What we remember of a site.

    ``level``: how often the delay was doubled; ``failures``: connections that failed in a row; ``blocked_until``: no
    request before; ``latency_s``: running mean of the time to the whole answer.
    """

    level: int = 0
    failures: int = 0
    blocked_until: datetime | None = None
    latency_s: float | None = None

    def __post_init__(self) -> None:
        require_utc("blocked_until", self.blocked_until)


def after_response(
    state: HostState,
    *,
    outcome: Outcome,
    retry_after_s: float | None,
    latency_s: float | None,
    now: datetime,
    jitter: float,
) -> HostState:
    """The site's state after one request.

    ``slow_down`` (429, 503) and ``refused`` (403) double the delay; ``slow_down`` also blocks the site, for as long as
    it asked or for a doubling while. Each ``ok`` undoes one doubling. ``unreachable`` counts up to the breaker, which
    blocks for growing pauses; after a pause one request at a time goes out (``effective_connections``) until one gets
    through. ``error`` (a 500, a cut body) shows that the host is there and says nothing about our pace.

    Args:
        retry_after_s: What the server asked for, seconds >= 0, already bounded; None when it did not.
        latency_s: Of this request, seconds; None when there was no answer.
        jitter: In [0, 1); lengthens our own pauses by up to a quarter, so that hosts do not return in step.
    """
    stretch = 1 + jitter / 4
    asked_until = now + timedelta(seconds=retry_after_s) if retry_after_s else None
    if outcome == "unreachable":
        failures = state.failures + 1
        pause_s = _doubled(BREAKER_BASE_S, failures - BREAKER_AFTER, BREAKER_CAP_S) * stretch
        opened_until = now + timedelta(seconds=pause_s) if failures >= BREAKER_AFTER else None
        return replace(state, failures=failures, blocked_until=_later(state.blocked_until, opened_until))
    level, paused_until = state.level, None
    if outcome == "ok":
        level = max(level - 1, 0)
    elif outcome in {"slow_down", "refused"}:
        level = min(level + 1, MAX_LEVEL)
    if outcome == "slow_down" and asked_until is None:
        paused_until = now + timedelta(seconds=_doubled(BACKOFF_BASE_S, level - 1, BACKOFF_CAP_S) * stretch)
    return HostState(
        level=level,
        failures=0,
        blocked_until=_later(state.blocked_until, _later(asked_until, paused_until)),
        latency_s=_running_mean(state.latency_s, latency_s),
    )


def effective_delay_s(policy: HostPolicy, state: HostState, crawl_delay_s: float | None = None) -> float:
    """Seconds between two starts now: at most MAX_DELAY_S, or the policy's own delay if that is longer.

    Args:
        crawl_delay_s: What robots.txt asks for; None when it does not.
    """
    asked_s = max(policy.delay_s, crawl_delay_s or 0.0)
    slowed_s = max(asked_s, _LEAST_SLOWED_DELAY_S) * 2.0**state.level if state.level else asked_s
    latency_s = state.latency_s or 0.0
    latency_bound_s = latency_s * LATENCY_FACTOR if latency_s >= SLOW_LATENCY_S else 0.0
    return max(min(max(slowed_s, latency_bound_s), MAX_DELAY_S), policy.delay_s)


def effective_connections(policy: HostPolicy, state: HostState) -> int:
    """Requests at a time now: halved with each level, one while the breaker waits for a first success."""
    return 1 if state.failures >= BREAKER_AFTER else max(policy.connections >> state.level, 1)


def _doubled(base_s: float, times: int, cap_s: float) -> float:
    return min(base_s * 2.0 ** min(max(times, 0), 32), cap_s)


def _later(one: datetime | None, other: datetime | None) -> datetime | None:
    return max(one, other) if one and other else one or other


def _running_mean(old_s: float | None, new_s: float | None) -> float | None:
    if new_s is None or old_s is None:
        return old_s if new_s is None else new_s
    return old_s + LATENCY_WEIGHT * (new_s - old_s)
