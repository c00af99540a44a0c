"""The archive as files below one folder."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, NoReturn

from worker.archive.store import STREAM_BYTES, MissingObjectError, checked_key, is_key, probe
from worker.errors import UnavailableError, UsageError

# A hidden file nobody wrote to for so long has no writer any more: one call writes for minutes.
ABANDONED_S = 86_400.0


class FileStore:
    """See ``Store``. The key is the path below ``folder``, which is made when first needed.

    A file is written under a hidden name beside its place, flushed to the disk, and renamed: a reader sees the old
    bytes or the new ones. What a killed writer leaves behind is a hidden file that no reader ever looks at, and that
    the next ``put_stream`` into its folder removes.
    """

    is_remote = False

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def put(
        self,
        key: str,
        data: bytes,
        *,
        content_type: str | None = None,  # noqa: ARG002 - files have none
        only_new: bool = False,
    ) -> bool:
        path = self._path(key)
        if only_new and self.exists(key):
            return False
        with _hidden(path, key) as (file, hidden), _translated(key):
            file.write(data)
            _flush(file)
            return _link(hidden, path) if only_new else _rename(hidden, path)

    def put_stream(
        self,
        key: str,
        parts: Iterable[bytes],
        *,
        content_type: str | None = None,  # noqa: ARG002 - files have none
    ) -> int:
        path = self._path(key)
        with _hidden(path, key) as (file, hidden):
            with _translated(key):
                _remove_abandoned(hidden)
            for part in parts:  # outside of what is translated: its errors are its own
                with _translated(key):
                    file.write(part)
            with _translated(key):
                _flush(file)
                size = file.tell()
                _rename(hidden, path)
        return size

    def get(self, key: str) -> bytes:
        with self._opened(key) as file:
            return file.read()

    def get_range(self, key: str, start: int, length: int) -> bytes:
        with self._opened(key) as file:
            file.seek(start)
            return file.read(length)

    def stream(self, key: str) -> Iterator[bytes]:
        return self._parts(checked_key(key))

    def size(self, key: str) -> int:
        with self._opened(key) as file:
            return file.seek(0, os.SEEK_END)

    def exists(self, key: str) -> bool:
        with _translated(key):
            return self._path(key).is_file()

    def delete(self, key: str) -> None:
        """Empty folders stay: another writer may be about to use one."""
        path = self._path(key)
        with _translated(key), contextlib.suppress(FileNotFoundError, NotADirectoryError, IsADirectoryError):
            path.unlink()

    def delete_all(self, keys: Sequence[str]) -> None:
        for key in keys:
            checked_key(key)  # all of them before the first is gone
        for key in keys:
            self.delete(key)

    def keys(self, prefix: str) -> Iterator[str]:
        with _translated(prefix):
            yield from _walk(self._folder, "", prefix)

    def signed_url(self, key: str, *, valid_s: int) -> NoReturn:  # noqa: ARG002 - there is none to be valid
        checked_key(key)
        raise UsageError(
            f"This archive is a folder, and its files have no URL: `newsmill archive get {key} -o FILE` writes the "
            "bytes into a file."
        )

    def check(self) -> None:
        probe(self)

    def _path(self, key: str) -> Path:
        return self._folder / checked_key(key)

    def _parts(self, key: str) -> Iterator[bytes]:
        with self._opened(key) as file:
            while part := file.read(STREAM_BYTES):
                yield part

    @contextlib.contextmanager
    def _opened(self, key: str) -> Iterator[BinaryIO]:
        path = self._path(key)
        with _translated(key):
            try:
                file = path.open("rb")
            except (FileNotFoundError, NotADirectoryError, IsADirectoryError) as error:
                raise MissingObjectError(key) from error
            with file:
                yield file


@contextlib.contextmanager
def _translated(key: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UnavailableError(f"archive folder: {error.strerror or type(error).__name__} ({key})") from error


@contextlib.contextmanager
def _hidden(path: Path, key: str) -> Iterator[tuple[BinaryIO, Path]]:
    """A new file beside ``path``, and its name. The name is gone at the end, whatever happens: a full disk must not be
    filled with attempts.
    """
    hidden = path.with_name(f".{path.name}.{secrets.token_hex(16)}")
    with _translated(key):
        try:
            file = hidden.open("xb")
        except FileNotFoundError:
            _make_folder(path.parent)
            file = hidden.open("xb")
    try:
        yield file, hidden
    finally:
        with _translated(key), file:
            hidden.unlink(missing_ok=True)


def _flush(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())


def _rename(hidden: Path, path: Path) -> bool:
    hidden.replace(path)
    _sync_folder(path.parent)
    return True


def _link(hidden: Path, path: Path) -> bool:
    """Unlike a rename, a link never takes another's place: of several writers one gets it."""
    try:
        os.link(hidden, path)
    except FileExistsError:
        if path.is_dir():
            raise
        return False
    _sync_folder(path.parent)
    return True


def _remove_abandoned(ours: Path) -> None:
    """Clear a folder of what killed writers left. ``ours`` was made just now, and so tells the file system's time."""
    now_s = ours.stat().st_mtime
    with os.scandir(ours.parent) as entries:
        for entry in entries:
            with contextlib.suppress(FileNotFoundError):
                if _is_hidden(entry.name) and now_s - entry.stat().st_mtime > ABANDONED_S:
                    Path(entry.path).unlink()


def _is_hidden(name: str) -> bool:
    """Whether it is a name that ``_hidden`` gives: others' hidden files are theirs."""
    shown, _, chance = name.removeprefix(".").rpartition(".")
    return name.startswith(".") and is_key(shown) and len(chance) == 32 and chance.isalnum()  # noqa: PLR2004 - as made there


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
