"""What every object store does, and what its keys look like."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol

from worker.errors import NewsmillError, UnavailableError, UsageError

STREAM_BYTES = 1024 * 1024
MAX_KEY_CHARS = 512
MAX_NAME_CHARS = 200  # of one part between slashes: file systems end at 255, and a temporary name is longer

_NAME = re.compile(rf"[a-z0-9_-][a-z0-9._-]{{0,{MAX_NAME_CHARS - 1}}}")


class MissingObjectError(NewsmillError):
    """The store answers, and holds nothing under this key."""

    def __init__(self, key: str) -> None:
        super().__init__(key)
        self.key = key

    def __str__(self) -> str:
        return f"nothing is stored under {self.key}"


class Store(Protocol):
    """Bytes by key. An object is there as a whole or not at all, and once ``put`` returned it outlives a power cut.

    Every method raises UsageError for a key that ``checked_key`` refuses and UnavailableError when the store itself is
    in trouble. Safe to use from several threads and processes at once; the last ``put`` of a key wins.
    """

    is_remote: bool  # waits for a network: worth asking side by side

    def put(self, key: str, data: bytes, *, content_type: str | None = None, only_new: bool = False) -> bool:
        """Write an object, over an older one if need be. ``content_type`` is for stores that can tell it on.

        Args:
            only_new: Leave what is there alone, whoever put it and whenever. Of several writers at once one gets True,
                or none when its answer was lost on the way and it asked again.
        Returns: whether it was written.
        """

    def put_stream(self, key: str, parts: Iterable[bytes], *, content_type: str | None = None) -> int:
        """Write a large object from its parts, of any size each.

        What ``parts`` raises comes out as it is, and the object is as it was before.

        Args:
            parts: Asked one after another, maybe in a thread of their own; they may read this store.
        Returns: its size, bytes.
        """

    def get(self, key: str) -> bytes:
        """Raises: MissingObjectError."""

    def get_range(self, key: str, start: int, length: int) -> bytes:
        """A part of an object: ``length`` bytes (>= 0) from ``start`` (>= 0), fewer when it ends before.

        Raises: MissingObjectError.
        """

    def stream(self, key: str) -> Iterator[bytes]:
        """An object in parts of at most STREAM_BYTES. Raises: MissingObjectError, at the latest at the first part."""

    def size(self, key: str) -> int:
        """Bytes. Raises: MissingObjectError."""

    def exists(self, key: str) -> bool: ...

    def delete(self, key: str) -> None:
        """Remove an object; one that is not there is fine."""

    def delete_all(self, keys: Sequence[str]) -> None:
        """As ``delete``, for many at once."""

    def keys(self, prefix: str) -> Iterator[str]:
        """All keys that begin with ``prefix`` (any text, "" for all), ascending by code point."""

    def signed_url(self, key: str, *, valid_s: int) -> str:
        """A URL that gives the bytes to whoever has it, for a while.

        Raises: UsageError: this store has no URLs. MissingObjectError.
        """

    def check(self) -> None:
        """Write, read and delete a probe. Raises: UnavailableError: with what is wrong."""


def checked_key(key: str) -> str:
    """The key itself, if it is one: parts of [a-z0-9._-] joined by "/", none of them hidden, empty or "..".

    Raises: UsageError: it is not.
    """
    if not is_key(key):
        raise UsageError(
            f"{key[:100]!r} is no key of the archive: keys are made of a-z 0-9 . _ - and /, "
            "as in pictures/0a/0a1b….jpg; `newsmill articles show` prints those of an article."
        )
    return key


def is_key(key: str) -> bool:
    """Whether ``checked_key`` would take it; other people's files in our place are none."""
    return len(key) <= MAX_KEY_CHARS and all(_NAME.fullmatch(name) for name in key.split("/"))


def probe(store: Store) -> None:
    """Do with a small object all that the line does with large ones; the probe's key is new each time.

    Raises: UnavailableError: an operation failed, or the store forgets or garbles what it was given.
    """
    key = f"spool/probe-{uuid.uuid4().hex}"
    data = key.encode("ascii")
    store.put(key, data, content_type="text/plain", only_new=True)
    try:
        is_overwritten = store.put(key, data, content_type="text/plain", only_new=True)
        came_back = store.get(key)
        listed = list(store.keys(key))
    except MissingObjectError as error:
        raise UnavailableError("the archive store accepted a probe and does not have it") from error
    finally:
        store.delete(key)
    if is_overwritten:
        raise UnavailableError("the archive store writes over what it was asked to leave alone")
    if came_back != data:
        raise UnavailableError("the archive store gave back other bytes than it was given")
    if listed != [key]:
        raise UnavailableError("the archive store does not list what it holds")
    if store.exists(key):
        raise UnavailableError("the archive store still has what was deleted")
