"""The archive as files below one folder."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterator
from pathlib import Path

from worker.archive.store import MissingObjectError, checked_key, is_key, probe
from worker.errors import UnavailableError


class FileStore:
    """See ``Store``. The key is the path below ``folder``, which is made when first needed.

    A file is written under a hidden name beside its place, flushed to the disk, and renamed: a reader sees the old
    bytes or the new ones. What a killed writer leaves behind is a hidden file that nothing here ever looks at.
    """

    is_remote = False

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def put(self, key: str, data: bytes, *, content_type: str | None = None) -> None:  # noqa: ARG002 - files have none
        path = self._path(key)
        hidden = path.with_name(f".{path.name}.{secrets.token_hex(16)}")
        with _translated(key):
            try:
                _write_through(hidden, data)
            except FileNotFoundError:
                _make_folder(path.parent)
                _write_through(hidden, data)
            try:
                hidden.replace(path)
            except OSError:
                hidden.unlink(missing_ok=True)
                raise
            _sync_folder(path.parent)

    def get(self, key: str) -> bytes:
        path = self._path(key)
        with _translated(key):
            try:
                return path.read_bytes()
            except (FileNotFoundError, NotADirectoryError, IsADirectoryError) as error:
                raise MissingObjectError(key) from error

    def exists(self, key: str) -> bool:
        with _translated(key):
            return self._path(key).is_file()

    def delete(self, key: str) -> None:
        """Empty folders stay: another writer may be about to use one."""
        path = self._path(key)
        with _translated(key), contextlib.suppress(FileNotFoundError, NotADirectoryError, IsADirectoryError):
            path.unlink()

    def keys(self, prefix: str) -> Iterator[str]:
        with _translated(prefix):
            yield from _walk(self._folder, "", prefix)

    def check(self) -> None:
        probe(self)

    def _path(self, key: str) -> Path:
        return self._folder / checked_key(key)


@contextlib.contextmanager
def _translated(key: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UnavailableError(f"archive folder: {error.strerror or type(error).__name__} ({key})") from error


def _write_through(path: Path, data: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        path.unlink(missing_ok=True)  # a full disk must not be filled with attempts
        raise


def _make_folder(folder: Path) -> None:
    """Like ``mkdir(parents=True)``, each new folder's name flushed to the disk."""
    if folder.is_dir():
        return
    _make_folder(folder.parent)
    folder.mkdir(exist_ok=True)
    _sync_folder(folder.parent)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _walk(folder: Path, below: str, prefix: str) -> Iterator[str]:
    """Depth first; a folder sorts as its name with the slash, so that keys come out in order."""
    try:
        with os.scandir(folder) as entries:
            names = sorted(entry.name + ("/" if entry.is_dir() else "") for entry in entries if is_key(entry.name))
    except FileNotFoundError:  # removed meanwhile, or never made
        return
    for name in names:
        key = below + name
        if name.endswith("/"):
            if key.startswith(prefix) or prefix.startswith(key):
                yield from _walk(folder / name, key, prefix)
        elif key.startswith(prefix):
            yield key
