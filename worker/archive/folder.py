"""A folder of readable documents on somebody's disk: what is in it, file by file. The door to that disk.

Nothing is followed out of the folder, nothing is waited for (a pipe would never end), and no file is read beyond
MAX_BYTES. Of what cannot be read it is said why, and the rest goes on.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from worker.archive.document import read_document
from worker.errors import QuarantineError

MAX_BYTES = 4 * 1024 * 1024  # a document has some ten thousand; no article is larger
HEAD_BYTES = 16 * 1024  # in which a document says its date


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """One thing in a folder: a file's bytes, or why there are none."""

    path: Path  # below the folder
    data: bytes = b""
    problem: str | None = None  # a sentence's end: "it is …"
    is_failure: bool = False  # it could not be read; else nobody wants to


def files_below(folder: Path) -> Iterator[Found]:
    """Everything in a folder and the folders in it, one folder after the other, each by the dates of its documents.

    An article's versions come in the order in which they were written, then; undated ones last.
    """
    waiting = [Path()]
    while waiting:
        below = waiting.pop()
        try:
            with os.scandir(folder / below) as entries:
                listed = sorted(entries, key=lambda entry: entry.name)
        except OSError as error:
            yield Found(path=below, problem=f"the folder cannot be read: {error.strerror}", is_failure=True)
            continue
        folders: list[Path] = []
        dated: list[tuple[int, str]] = []
        for entry in listed:
            path = below / entry.name
            if (problem := _unwanted(entry)) is not None:
                yield Found(path=path, problem=problem)
            elif entry.is_dir(follow_symlinks=False):
                folders.append(path)
            else:
                dated.append((_date_of(folder / path), entry.name))
        for _, name in sorted(dated):
            yield _read(folder, below / name)
        waiting += reversed(folders)


def _unwanted(entry: os.DirEntry[str]) -> str | None:
    if entry.name.startswith("."):
        return "it is hidden"
    if entry.is_symlink():
        return "it is a symbolic link, and nothing is followed"
    if not entry.is_dir(follow_symlinks=False) and not entry.is_file(follow_symlinks=False):
        return "it is neither a file nor a folder"
    return None


_UNDATED = 1 << 62


def _date_of(path: Path) -> int:
    try:
        head = _bytes_of(path, HEAD_BYTES).decode("utf-8", "ignore")
        read = read_document(f"{head}\n".encode())
    except (OSError, QuarantineError):
        return _UNDATED
    return _UNDATED if read.epoch_ms is None else read.epoch_ms


def _read(folder: Path, path: Path) -> Found:
    try:
        data = _bytes_of(folder / path, MAX_BYTES + 1)
    except OSError as error:
        return Found(path=path, problem=f"it cannot be read: {error.strerror}", is_failure=True)
    if len(data) > MAX_BYTES:
        return Found(path=path, problem=f"it is larger than any document ({MAX_BYTES // 1024 // 1024} MiB)")
    return Found(path=path, data=data)


def _bytes_of(path: Path, most: int) -> bytes:
    """The beginning of a file. Raises: OSError: also where something else is in its place by now."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(0, "it is no file any more")
        return file.read(most)
