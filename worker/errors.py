"""What can go wrong, by the one question that matters: will trying again help?

Expected answers ("not modified", "robots say no") are values, not exceptions. Every class gives its arguments to
``super().__init__`` so that it survives pickling between worker processes, and none carries a body.
"""

from __future__ import annotations


class NewsmillError(Exception):
    """Everything this package raises on purpose."""


class RetryableError(NewsmillError):
    """The world may answer differently later: time-out, 429, 5xx, a cut body."""

    def __init__(self, message: str, retry_after_s: float | None = None) -> None:
        super().__init__(message, retry_after_s)
        self.message = message
        self.retry_after_s = retry_after_s

    def __str__(self) -> str:
        return self.message


class QuarantineError(NewsmillError):
    """This input will never work: an unusable URL, a type we do not read, over a cap.

    ``reason`` is a short stable name (``unsupported-type``), shown to operators and counted; ``message`` is for people.
    """

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(reason, message)
        self.reason = reason
        self.message = message

    def __str__(self) -> str:
        return f"{self.reason}: {self.message}"


class RefusedAddressError(QuarantineError):
    """The address is not public, or the URL may not be requested at all."""

    def __init__(self, message: str) -> None:
        super().__init__("refused-address", message)
        self.args = (message,)


class UnavailableError(NewsmillError):
    """Our own house is down (database, store, broker): pause, count nothing against the article."""


class UsageError(NewsmillError):
    """The caller asked for something that does not exist; the message says what does."""
