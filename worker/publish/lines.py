"""The messages as JSON lines on a stream: what ``newsmill once`` has for a broker when none is set."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
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
        on_gone: Called once, when the stream takes nothing any more: whatever is worked from then on is worked for
            nobody.
    """

    def __init__(self, stream: BinaryIO, *, on_gone: Callable[[], None] = lambda: None) -> None:
        self._stream = stream
        self._on_gone = on_gone
        self._gone: str | None = None  # why
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
        with self._watched():
            self._stream.write(message.body + b"\n")
        return Confirmed(message.message_id)

    def _flushed(self) -> None:
        with self._watched():
            self._stream.flush()

    @contextmanager
    def _watched(self) -> Iterator[None]:
        """A stream that failed once has lost bytes, and with them the place where a line begins: it is not used again.

        Raises: UnavailableError: the stream is gone.
        """
        if self._gone is not None:
            raise UnavailableError(self._gone)
        try:
            yield
        except (OSError, ValueError) as error:
            self._gone = f"standard output takes no more messages: {error}"
            self._on_gone()
            raise UnavailableError(self._gone) from error

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
