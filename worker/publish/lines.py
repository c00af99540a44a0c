"""The messages as JSON lines on a stream: what ``newsmill once`` has for a broker when none is set."""

from __future__ import annotations

from collections.abc import Sequence
from threading import Lock
from typing import BinaryIO

from worker.errors import UnavailableError
from worker.model import Outgoing
from worker.publish.broker import Confirmed, Failed, Outcome
from worker.publish.message import EXCHANGE


class LinesPublisher:
    """Stands where ``Publisher`` stands, and promises the same: an outcome for each message, in order.

    The promise ends when the stream took the bytes, as a broker's ends with its confirm. Threads may share one.

    Args:
        stream: Not closed here.
    """

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._lock = Lock()

    def publish(self, messages: Sequence[Outgoing]) -> list[Outcome]:
        """Write all articles, in order, each body as one line; operators' events have no place among them.

        Raises: UnavailableError: the stream takes nothing any more.
        """
        with self._lock:
            outcomes = [
                self._written(message) if message.exchange == EXCHANGE else Confirmed(message.message_id)
                for message in messages
            ]
            self._flushed()
        return outcomes

    def _written(self, message: Outgoing) -> Outcome:
        if b"\n" in message.body:
            return Failed(message.message_id, "its body is more than one line", retry=False)
        try:
            self._stream.write(message.body + b"\n")
        except (OSError, ValueError) as error:
            raise _gone(error) from error
        return Confirmed(message.message_id)

    def _flushed(self) -> None:
        try:
            self._stream.flush()
        except (OSError, ValueError) as error:
            raise _gone(error) from error

    def check(self) -> tuple[str, ...]:
        """A stream has no settings that lose messages. Raises: UnavailableError: it is closed."""
        with self._lock:
            self._flushed()
        return ()

    def trim_holding(self) -> int:
        """Nothing is held: somebody reads, or nobody does."""
        return 0

    def close(self) -> None:
        """The stream is its owner's."""


def _gone(error: Exception) -> UnavailableError:
    return UnavailableError(f"standard output takes no more messages: {error}")
