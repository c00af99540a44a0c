"""Retry, set aside, or pause: the one place that answers "will trying again help?". Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from worker.errors import QuarantineError, RetryableError, UnavailableError
from worker.model import require_utc

_MAX_DOUBLINGS = 64  # beyond any cap, and below where a float overflows
_DETAIL_CHARS = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """``max_attempts`` >= 1; ``base_s``: the first wait; ``cap_s`` >= ``base_s`` > 0: the longest, whoever asks."""

    max_attempts: int
    base_s: float
    cap_s: float

    def __post_init__(self) -> None:
        if self.max_attempts < 1 or not 0 < self.base_s <= self.cap_s:
            raise ValueError(f"max_attempts must be >= 1 and 0 < base_s <= cap_s, got {self!r}")


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryAt:
    """Wait in the database until ``at``. ``is_bug``: nobody foresaw this error; report it besides."""

    at: datetime
    reason: str
    is_bug: bool = False

    def __post_init__(self) -> None:
        require_utc("at", self.at)


@dataclass(frozen=True, slots=True, kw_only=True)
class SetAside:
    """The end of this input: ``reason`` is a short stable name that is counted, ``detail`` is for people."""

    reason: str
    detail: str
    is_bug: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Pause:
    """Our own house is down: count nothing against the input."""

    reason: str


def verdict(
    exc: Exception, attempt: int, policy: RetryPolicy, now: datetime, jitter: float
) -> RetryAt | SetAside | Pause:
    """What becomes of an input whose stage raised.

    Unknown errors are bugs: retried too, and marked as such. A wait is doubled with each attempt and never above
    ``cap_s``, also when a server asks for more.

    Args:
        exc: What was raised.
        attempt: Which attempt this was, >= 1.
        now: Aware, UTC.
        jitter: In [0, 1); lengthens the wait by up to that share.
    """
    if isinstance(exc, UnavailableError):
        return Pause(reason=_sentence(exc))
    if isinstance(exc, QuarantineError):
        return SetAside(reason=exc.reason, detail=exc.message[:_DETAIL_CHARS])
    is_bug = not isinstance(exc, RetryableError)
    if attempt >= policy.max_attempts:
        return SetAside(reason="bug" if is_bug else "attempts-exhausted", detail=_sentence(exc), is_bug=is_bug)
    asked_s = (exc.retry_after_s or 0.0) if isinstance(exc, RetryableError) else 0.0
    backoff_s = policy.base_s * 2.0 ** min(max(attempt - 1, 0), _MAX_DOUBLINGS) * (1 + jitter)
    wait_s = min(max(asked_s, backoff_s), policy.cap_s)
    return RetryAt(at=now + timedelta(seconds=wait_s), reason=_sentence(exc), is_bug=is_bug)


def _sentence(exc: Exception) -> str:
    text = str(exc) if isinstance(exc, RetryableError | UnavailableError) else f"{type(exc).__name__}: {exc}"
    return text[:_DETAIL_CHARS]
