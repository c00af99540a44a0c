"""Large WARC files from many bundles: which bundles, in which order, under which name, and their index. Pure.

A WARC file is its records one after another, each a gzip member of its own, so bundles are joined as they are: nothing
is inflated, a bundle's place is a sum of sizes, and its index lines move by that much.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import accumulate

from worker.archive.index import as_cdxj, unpack_lines
from worker.archive.store import checked_key

MAX_BUNDLES = 10_000  # in one file, however small they are: what one compaction holds in memory is bounded

MISSING = "missing"
CHANGED = "changed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Loose:
    """A bundle that is an object of its own. ``size``: bytes."""

    key: str
    size: int
    kept_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A bundle and its place in a large file. ``lines``: packed index lines, offsets from its own beginning."""

    key: str
    size: int
    position: int
    sha256: str
    lines: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """The bundles of one large file, in order. ``is_full``: no further one would find room."""

    bundles: tuple[Loose, ...]
    is_full: bool

    @property
    def size(self) -> int:
        return sum(bundle.size for bundle in self.bundles)

    @property
    def positions(self) -> dict[str, int]:
        """Key -> where it begins in the file."""
        begins = accumulate((bundle.size for bundle in self.bundles), initial=0)
        return {bundle.key: begin for bundle, begin in zip(self.bundles, begins, strict=False)}


def choose(loose: Sequence[Loose], *, most_bytes: int) -> Choice:
    """The next large file: by day of discovery, then as they were kept, as many as fit, at least one.

    Args:
        loose: Not empty.
        most_bytes: A file's size; a bundle that is larger gets a file of its own.
    """
    ordered = sorted(loose, key=lambda bundle: (day_of(bundle.key), bundle.kept_at, bundle.key))
    chosen: list[Loose] = []
    size = 0
    for bundle in ordered[:MAX_BUNDLES]:
        if chosen and size + bundle.size > most_bytes:
            break
        chosen.append(bundle)
        size += bundle.size
    is_full = len(chosen) < len(ordered) or len(chosen) == MAX_BUNDLES or size >= most_bytes
    return Choice(bundles=tuple(chosen), is_full=is_full)


def day_of(key: str) -> str:
    """``yyyy/mm/dd`` of a bundle's key: the three folders that it lies in."""
    return "/".join(key.split("/")[-4:-1])


def large_key(choice: Choice, token: str) -> str:
    """Of the large file. ``token`` is new each time, so that no two plans ever share a key: whoever comes late with an
    old plan can neither overwrite nor remove what another one made.
    """
    day = day_of(choice.bundles[0].key)
    named = "\n".join([token, *(bundle.key for bundle in choice.bundles)])
    name = f"newsmill-{day.replace('/', '')}-{hashlib.sha256(named.encode('ascii')).hexdigest()[:12]}"
    return checked_key(f"warc/{day}/{name}.warc.gz")


def index_key(file: str) -> str:
    """Of a large file's index."""
    return f"index/{file.removeprefix('warc/').removesuffix('.warc.gz')}.cdxj"


def index_text(parts: Iterable[Part], file: str) -> bytes:
    """The large file's CDXJ, sorted by bytes. It names the file by its key: replay finds it below the store's root."""
    lines = [
        f"{line}\n".encode()
        for part in parts
        for line in as_cdxj(unpack_lines(part.lines), filename=file, shift=part.position)
    ]
    lines.sort()
    return b"".join(lines)


def problem_of(part: Part, data: bytes | None) -> str | None:
    """What is wrong with a bundle's bytes; None: they are those that were written. Nothing is inflated for it.

    Args:
        data: None: nothing is stored under its key.
    """
    if data is None:
        return MISSING
    is_as_written = len(data) == part.size and hashlib.sha256(data).hexdigest() == part.sha256
    return None if is_as_written else CHANGED


def is_whole(parts: Sequence[Part], size: int) -> bool:
    """Whether the parts, in order, make up a file of this size without a gap."""
    ends = accumulate((part.size for part in parts), initial=0)
    return [*(part.position for part in parts), size] == list(ends)
