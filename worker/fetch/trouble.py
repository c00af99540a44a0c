"""What went wrong on the wire, in one word: library errors come in here and leave as ours."""

from __future__ import annotations

import http.client
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import requests
import urllib3.exceptions

from worker.errors import QuarantineError, RetryableError

# The host gave no usable sign of life: these feed the breaker. The others are answers, if bad ones.
UNREACHABLE_CAUSES = frozenset({"dns", "connect", "tls", "timeout", "reset", "closed"})

_SHOWN_CHARS = 200


class FramingError(http.client.HTTPException):
    """The head contradicts itself: where the body ends is anybody's guess, so nothing of it is believed."""


class HeadTooLargeError(http.client.HTTPException):
    """More headers, or longer ones, than any page needs."""


class StaleConnectionError(http.client.RemoteDisconnected):
    """A kept connection had been closed by the server meanwhile; the request deserves a fresh one."""


class FetchFailedError(RetryableError):
    """No whole answer came; ``cause`` says why in one word.

    ``dns``, ``connect``, ``tls``, ``timeout``, ``reset``, ``closed`` (no answer at all), ``truncated`` (a cut body),
    ``damaged`` (its compression), ``bad-answer`` (not HTTP), ``bad-headers``, ``bad-framing``, ``redirect``,
    ``odd-304``, ``http`` (anything else).
    """

    def __init__(self, cause: str, message: str, retry_after_s: float | None = None) -> None:
        super().__init__(f"{cause}: {message}", retry_after_s)
        self.args = (cause, message, retry_after_s)
        self.cause = cause

    @property
    def is_unreachable(self) -> bool:
        """The host itself seems to be away, so its other articles may wait too."""
        return self.cause in UNREACHABLE_CAUSES


def shown(url: str) -> str:
    """A URL as messages may show it: no credentials, query or fragment (they hold tokens), bounded, one line."""
    try:
        parts = urlsplit(url)
        text = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
    except ValueError:
        text = url.partition("?")[0].rpartition("@")[2]
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text[:_SHOWN_CHARS])


def family(error: BaseException) -> Iterator[BaseException]:
    """An error and everything it wraps: requests wraps urllib3 wraps http.client wraps the socket's own."""
    waiting: list[object] = [error]
    seen: set[int] = set()
    while waiting:
        one = waiting.pop(0)
        if not isinstance(one, BaseException) or id(one) in seen:
            continue
        seen.add(id(one))
        yield one
        waiting += [getattr(one, "reason", None), one.__cause__, one.__context__, *one.args]


# First match wins, so the telling ones stand before the general ones.
_CAUSES: tuple[tuple[type[BaseException] | tuple[type[BaseException], ...], str], ...] = (
    (ssl.SSLError, "tls"),
    (urllib3.exceptions.SSLError, "tls"),
    ((TimeoutError, urllib3.exceptions.TimeoutError), "timeout"),
    ((FramingError, urllib3.exceptions.InvalidHeader), "bad-framing"),
    (http.client.IncompleteRead, "truncated"),
    (http.client.RemoteDisconnected, "closed"),
    ((http.client.BadStatusLine, http.client.UnknownProtocol), "bad-answer"),
    (http.client.HTTPException, "bad-headers"),  # HeadTooLargeError, a status line too long
    (ConnectionResetError, "reset"),
    (BrokenPipeError, "reset"),
    (urllib3.exceptions.NewConnectionError, "connect"),
    (OSError, "connect"),
)


def failure(error: BaseException, url: str) -> FetchFailedError:
    """The one-word cause of a library error, and the library's sentence for the curious."""
    wrapped = [one for one in family(error) if not isinstance(one, requests.RequestException)]  # all of them OSErrors
    for kinds, cause in _CAUSES:
        found = next((one for one in wrapped if isinstance(one, kinds)), None)
        if found is not None:
            return FetchFailedError(cause, f"{_sentence(found)} ({shown(url)})")
    return FetchFailedError("http", f"{type(error).__name__} ({shown(url)})")


def _sentence(error: BaseException) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"certificate refused: {error.verify_message}"
    text = str(error) if isinstance(error, OSError | FramingError) else ""
    return f"{type(error).__name__} {text[:_SHOWN_CHARS]}".strip()


@contextmanager
def translated(url: str) -> Iterator[None]:
    """The rest of the house speaks NewsmillError; ours pass through untouched."""
    try:
        yield
    except (
        requests.RequestException,
        urllib3.exceptions.HTTPError,
        http.client.HTTPException,
        OSError,
    ) as error:
        raise failure(error, url) from error


@contextmanager
def unusable(url: str) -> Iterator[None]:
    """Around building a request: whatever a library dislikes about it then will not change by waiting.

    Raises: QuarantineError: ``unusable-url``, or ``bad-header`` for a configured header that cannot be sent.
    """
    try:
        yield
    except requests.exceptions.InvalidHeader as error:
        raise QuarantineError("bad-header", f"a configured header cannot be sent to {shown(url)}") from error
    except (requests.RequestException, urllib3.exceptions.HTTPError, ValueError) as error:
        raise QuarantineError("unusable-url", shown(url)) from error
