"""A folder on somebody's disk: everything in it is named, nothing in it can hold an import up."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from worker.archive.folder import MAX_BYTES, Found, files_below


def document(epoch_ms: int | str) -> bytes:
    return f"<!--{epoch_ms}-->\n[t](https://a.example/)\n------\n\n<p>b</p>\n".encode()


def written(folder: Path, **files: bytes) -> Path:
    for name, data in files.items():
        path = folder / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return folder


def problems(folder: Path) -> dict[str, str | None]:
    return {str(found.path): found.problem for found in files_below(folder)}


@contextmanager
def nobody() -> Iterator[None]:
    """Without root's right to read everything."""
    before = os.geteuid()
    if before == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(before)


def test_a_folders_documents_come_by_date_and_before_the_folders_in_it(tmp_path: Path) -> None:
    written(tmp_path, c=document(1), a=document(3), b=document(2), d=b"none", e=document("NaN"), in__a=document(0))
    assert [str(found.path) for found in files_below(tmp_path)] == ["c", "b", "a", "d", "e", "in/a"]


def test_files_have_their_bytes(tmp_path: Path) -> None:
    written(tmp_path, a=document(1))
    assert list(files_below(tmp_path)) == [Found(path=Path("a"), data=document(1))]


def test_what_is_hidden_is_told_and_not_entered(tmp_path: Path) -> None:
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "config").write_bytes(b"x")
    (tmp_path / ".hidden").write_bytes(b"x")
    assert problems(tmp_path) == {".git": "it is hidden", ".hidden": "it is hidden"}


def test_links_are_not_followed(tmp_path: Path) -> None:
    written(tmp_path, a__b=document(1))
    (tmp_path / "a" / "loop").symlink_to(tmp_path)
    (tmp_path / "a" / "file").symlink_to(tmp_path / "a" / "b")
    (tmp_path / "a" / "nowhere").symlink_to(tmp_path / "none")
    link = "it is a symbolic link, and nothing is followed"
    assert problems(tmp_path) == {"a/b": None, "a/loop": link, "a/file": link, "a/nowhere": link}


def test_pipes_and_sockets_are_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(tmp_path / "socket"))
        neither = "it is neither a file nor a folder"
        assert problems(tmp_path) == {"pipe": neither, "socket": neither}


def test_a_huge_file_costs_nothing(tmp_path: Path) -> None:
    with (tmp_path / "a.bin").open("wb") as file:
        file.truncate(1024 * MAX_BYTES)
    assert problems(tmp_path) == {"a.bin": "it is larger than any document (4 MiB)"}


def test_what_may_not_be_read_is_a_failure_and_the_rest_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written(tmp_path, a__x=document(1), b__x=document(1), c__x=document(1))
    tmp_path.chmod(0o755)
    (tmp_path / "a").chmod(0)
    (tmp_path / "b" / "x").chmod(0)
    monkeypatch.chdir(tmp_path)  # nobody may come here by the whole path
    with nobody():
        found = {str(one.path): (one.problem, one.is_failure) for one in files_below(Path())}
    (tmp_path / "a").chmod(0o755)
    assert found == {
        "a": ("the folder cannot be read: Permission denied", True),
        "b/x": ("it cannot be read: Permission denied", True),
        "c/x": (None, False),
    }


def test_a_folder_that_is_not_there_is_a_failure(tmp_path: Path) -> None:
    (found,) = files_below(tmp_path / "none")
    assert found.is_failure


def test_folders_may_nest_deep(tmp_path: Path) -> None:
    deepest = tmp_path
    for _ in range(400):
        deepest = deepest / "d"
        deepest.mkdir()
    (deepest / "x").write_bytes(document(1))
    assert [found.problem for found in files_below(tmp_path)] == [None]


def test_names_may_be_of_any_bytes(tmp_path: Path) -> None:
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff\xfe")).write_bytes(document(1))
    (found,) = files_below(tmp_path)
    assert os.fsencode(found.path) == b"\xff\xfe"
