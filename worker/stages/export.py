"""Export: part of the archive as one WARC, one WACZ, or a folder of readable documents."""

from __future__ import annotations

import contextlib
import hashlib
import heapq
import json
import os
import secrets
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from threading import Event
from typing import IO, Any

from worker.archive.bundle import BundleRecord, read_bundle
from worker.archive.index import as_cdxj, index_lines
from worker.archive.keys import document_place, index_key
from worker.archive.listing import Listed, day_index, feed_index, read_feed_index
from worker.archive.store import MissingObjectError, Store
from worker.archive.verify import check_bundle, check_document
from worker.archive.wacz import WARC_NAME, WaczPage, page_line, write_wacz
from worker.errors import QuarantineError, UsageError
from worker.ledger import kept
from worker.ledger.kept import Span
from worker.ledger.session import Ledger
from worker.ledger.tables import Row
from worker.stages.archive import SOFTWARE
from worker.stages.kept import kept_bytes
from worker.stages.verify import SIDE_BY_SIDE, ahead, archived_articles, promise_of

LINES_IN_HAND = 100_000  # of the index, sorted in memory; more go to a file in between
README = "README.md"
OURS = b"<!-- Written by newsmill archive export. -->\n"  # how our README begins
DOCUMENTS = "documents/"  # what keys begin with and paths in the folder do not

Told = Callable[[int, int], None]  # articles and bytes so far


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What is to be exported, from where."""

    ledger: Ledger
    store: Store
    span: Span
    told: Told  # called after each article
    stopping: Event  # set: come to an end


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftOut:
    """Something that could not be exported."""

    article_id: str
    revision: int
    key: str
    why: str


@dataclass(slots=True, kw_only=True)
class Exported:
    """What came of an export."""

    articles: int = 0
    bundles: int = 0
    bytes: int = 0  # of bundles or documents, as they are kept
    files: dict[str, str] = field(default_factory=dict)  # path -> SHA-256
    changed: int = 0  # files of a folder that were new or different
    left_out: list[LeftOut] = field(default_factory=list)


class StoppedError(Exception):
    """We were asked to stop; there is no file under the name that was asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Piece:
    """An article's bundles, read: first the one with its page, if that is an earlier revision's, then its own."""

    row: Row
    bundles: Mapping[str, bytes]
    troubles: tuple[LeftOut, ...]


# ---------------------------------------------------------------- one file


def export_warc(wanted: Wanted, target: Path) -> Exported:
    """The bundles of these articles, one after another, as ``target``, and their CDXJ beside it: ``target``.cdxj.

    Bundles of earlier revisions that a later one refers to are in it too. What is missing or damaged is left out.

    Raises: UsageError: the files cannot be written. StoppedError. UnavailableError.
    """
    exported = Exported()
    index = target.with_name(f"{target.name}.cdxj")
    with ExitStack() as opened:
        lines = opened.enter_context(contextlib.closing(_SortedLines(target.parent)))
        out = opened.enter_context(_new_file(target))
        for part in _joined(wanted, exported, lines, target.name):
            out.write(part)
        listed = opened.enter_context(_new_file(index))
        for line in lines:
            listed.write(line.encode())
    exported.files = {str(path): _sha256_of(path) for path in (target, index)}
    return exported


def export_wacz(wanted: Wanted, target: Path, *, now: datetime) -> Exported:
    """As ``export_warc``, as a WACZ with its index and a list of pages: title, address, time and text of each article.

    An article that never had a page is in its WARC, and not in the list: there is nothing to replay.
    """
    exported = Exported()
    with ExitStack() as opened:
        lines = opened.enter_context(contextlib.closing(_SortedLines(target.parent)))
        out = opened.enter_context(_new_file(target))
        pages = opened.enter_context(tempfile.TemporaryFile(dir=target.parent))

        def note(piece: _Piece) -> None:
            if (page := _page(piece)) is not None:
                pages.write(page_line(page))

        write_wacz(
            out,
            warc=_joined(wanted, exported, lines, WARC_NAME, note=note),
            lines=lines,
            pages=_rewound(pages),
            title=f"newsmill: {_said(wanted.span)}",
            software=SOFTWARE,
            created_at=now,
        )
    exported.files = {str(target): _sha256_of(target)}
    return exported


def _joined(
    wanted: Wanted,
    exported: Exported,
    lines: _SortedLines,
    filename: str,
    *,
    note: Callable[[_Piece], None] | None = None,
) -> Iterator[bytes]:
    """Every bundle once, in the order of the articles. Raises: StoppedError."""
    written: set[str] = set()
    for piece in _pieces(wanted.ledger, wanted.store, wanted.span):
        if wanted.stopping.is_set():
            raise StoppedError
        for key, data in piece.bundles.items():
            if key in written:
                continue
            written.add(key)
            captures = [line for line in index_lines(data) if line.is_capture]
            lines.extend(f"{line}\n" for line in as_cdxj(captures, filename=filename, shift=exported.bytes))
            exported.bundles += 1
            exported.bytes += len(data)
            yield data
        exported.articles += not piece.troubles
        exported.left_out += piece.troubles
        if note is not None:
            note(piece)
        wanted.told(exported.articles, exported.bytes)


def _pieces(ledger: Ledger, store: Store, span: Span) -> Iterator[_Piece]:
    def read(one: tuple[Row, Mapping[str, Row]]) -> _Piece:
        row, known = one
        there: dict[str, bytes] = {}
        troubles: list[LeftOut] = []
        page = row.archive.get("page") or {}
        for key in dict.fromkeys(key for key in (page.get("warc"), row.archive.get("warc")) if key):
            try:
                data = kept_bytes(ledger, store, key)
            except (MissingObjectError, QuarantineError) as error:
                troubles.append(_left_out(row, key, str(error)))
                continue
            fault = check_bundle(data, promise_of(known.get(key), {}))
            if fault is None:
                there[key] = data
            else:
                troubles.append(_left_out(row, key, fault.detail))
        return _Piece(row=row, bundles=there, troubles=tuple(troubles))

    with _reading_ahead(store) as threads:
        yield from ahead(threads, read, archived_articles(ledger, span))


@contextmanager
def _reading_ahead(store: Store) -> Iterator[ThreadPoolExecutor | None]:
    if not store.is_remote:
        yield None
        return
    with ThreadPoolExecutor(SIDE_BY_SIDE) as threads:
        yield threads


def _left_out(row: Row, key: str, why: str) -> LeftOut:
    return LeftOut(article_id=row.article_id, revision=row.revision, key=key, why=why)


def _page(piece: _Piece) -> WaczPage | None:
    """The capture that shows this revision: its own, or else that of the revision it refers to."""
    archive = piece.row.archive
    own = piece.bundles.get(archive.get("warc", ""))
    if own is None:
        return None
    records = read_bundle(own)
    capture = next((record for record in records if record.record_id == archive["record_id"]), None)
    if capture is not None and capture.http_head and capture.url:
        url, at = capture.url, capture.date
    elif archive.get("page"):
        url, at = archive["page"]["url"], datetime.fromisoformat(archive["page"]["date"]).astimezone(UTC)
    else:
        return None
    row = piece.row
    return WaczPage(id=f"{row.article_id}-{row.revision}", url=url, at=at, title=row.title, text=_text(records))


def _text(records: Iterable[BundleRecord]) -> str:
    facts = next((record.payload for record in records if record.type == "metadata"), b"{}")
    text: str = json.loads(facts).get("text") or ""
    return text


def _said(span: Span) -> str:
    """Which articles these are, for people."""
    if span.pks is not None:
        return f"{len(span.pks)} chosen articles"
    parts = [
        span.feed or "all feeds",
        f"since {span.since.isoformat()}" if span.since else "",
        f"until {span.until.isoformat()}" if span.until else "",
    ]
    return " ".join(filter(None, parts))


# ---------------------------------------------------------------- a folder


def export_documents(wanted: Wanted, folder: Path) -> Exported:
    """The readable documents as ``folder``, with index documents over all that is in it, to be read where it is.

    Only files whose content changes are written, and none is ever removed, so that exports of several spans, one
    after another, make up one folder. A run that is stopped leaves whole files and a whole index.

    Raises: UsageError: the folder cannot be written, or has a README.md of somebody else. UnavailableError.
    """
    exported = Exported()
    with _translated(folder):
        _require_ours(folder)
        days: set[tuple[str, date]] = set()
        for row, data in _documents(wanted, exported):
            key = row.archive["document"]
            exported.changed += _written(folder / key.removeprefix(DOCUMENTS), data)
            exported.articles += 1
            exported.bytes += len(data)
            days.add(document_place(key))
            wanted.told(exported.articles, exported.bytes)
            if wanted.stopping.is_set():
                break
        exported.changed += _index(wanted.ledger, folder, days)
    return exported


def _require_ours(folder: Path) -> None:
    """Raises: UsageError: nobody's README is written over."""
    try:
        beginning = (folder / README).read_bytes()[: len(OURS)]
    except FileNotFoundError:
        return
    if beginning != OURS:
        raise UsageError(
            f"{folder / README} was not written by `newsmill archive export`, and would be overwritten: "
            "say another folder, or one below this."
        )


def _documents(wanted: Wanted, exported: Exported) -> Iterator[tuple[Row, bytes]]:
    def read(row: Row) -> tuple[Row, bytes | None, str]:
        try:
            data = wanted.store.get(row.archive["document"])
        except MissingObjectError as error:
            return row, None, str(error)
        fault = check_document(data, row.archive.get("document_sha256"))
        return row, None if fault else data, fault.detail if fault else ""

    rows = (
        row for row, _ in archived_articles(wanted.ledger, wanted.span) if row.is_newest and row.archive.get("document")
    )
    with _reading_ahead(wanted.store) as threads:
        for row, data, why in ahead(threads, read, rows):
            if data is None:
                exported.left_out.append(_left_out(row, row.archive["document"], why))
            else:
                yield row, data


def _index(ledger: Ledger, folder: Path, days: set[tuple[str, date]]) -> int:
    """Index documents of these days, of their feeds, and of the folder. Returns: how many files changed."""
    with ledger.reading() as connection:
        titles = kept.feed_titles(connection)
    changed = 0
    counts: dict[str, dict[date, int]] = {}
    for day in sorted({day for _, day in days}):
        for slug, listed in _listed(ledger, folder, day).items():
            if (slug, day) in days:
                changed += _written(_path(folder, index_key(slug, day)), day_index(slug, day, listed))
                counts.setdefault(slug, {})[day] = len(listed)
    for slug, found in counts.items():
        path = _path(folder, index_key(slug))
        merged = {**_read_index(path), **found}
        changed += _written(path, feed_index(slug, titles.get(slug), merged))
    return changed + _written(folder / README, _readme(folder, titles))


def _listed(ledger: Ledger, folder: Path, day: date) -> dict[str, list[Listed]]:
    """What the folder has of a day, by feed, whichever run wrote it."""
    begins = datetime(day.year, day.month, day.day, tzinfo=UTC)
    span = Span(since=begins, until=begins + timedelta(days=1))
    listed: dict[str, list[Listed]] = {}
    for row, _ in archived_articles(ledger, span):
        key = row.archive.get("document")
        if row.is_newest and key and _path(folder, key).exists():
            slug, _ = document_place(key)
            listed.setdefault(slug, []).append(Listed(key=key, title=row.title, found_at=row.discovered_at))
    return listed


def _path(folder: Path, key: str) -> Path:
    return folder / key.removeprefix(DOCUMENTS)


def _read_index(path: Path) -> dict[date, int]:
    try:
        return read_feed_index(path.read_bytes())
    except FileNotFoundError:
        return {}


def _readme(folder: Path, titles: Mapping[str, Any]) -> bytes:
    """The feeds that the folder has, with links and counts."""
    lines = ["# Archive", "", "One document for each article, by feed and day.", ""]
    for slug in sorted(path.parent.name for path in folder.glob("*/index.md")):  # also of feeds that were renamed since
        days = _read_index(_path(folder, index_key(slug)))
        if days:
            title = feed_index(slug, titles.get(slug), {}).partition(b"\n")[0].removeprefix(b"# ").decode()
            count = sum(days.values())
            articles = "article" if count == 1 else "articles"
            lines.append(f"- [{title}]({slug}/index.md): {count} {articles}, the newest of {max(days).isoformat()}")
    return OURS + "\n".join([*lines, ""]).encode()


def _written(path: Path, data: bytes) -> bool:
    """Write a file, if that changes it. Returns: whether it did."""
    with contextlib.suppress(FileNotFoundError):
        if path.read_bytes() == data:
            return False
    path.parent.mkdir(parents=True, exist_ok=True)
    with _new_file(path) as out:
        out.write(data)
    return True


# ---------------------------------------------------------------- files


@contextmanager
def _new_file(target: Path) -> Iterator[IO[bytes]]:
    """A file under a hidden name, which becomes ``target`` when the block ends well, and is gone when it does not.

    Raises: UsageError: it cannot be written.
    """
    hidden = target.with_name(f".{target.name}.{secrets.token_hex(8)}")
    with _translated(target):
        try:
            with hidden.open("xb") as out:
                yield out
                out.flush()
                os.fsync(out.fileno())
            hidden.replace(target)
        finally:
            hidden.unlink(missing_ok=True)


@contextmanager
def _translated(target: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UsageError(f"Cannot write {target}: {error.strerror or error}. Say another place.") from error


def _sha256_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _rewound(file: IO[bytes]) -> Iterator[bytes]:
    file.seek(0)
    yield from file


class _SortedLines:
    """Lines, each with its LF, given back in order of code points; how many fit into memory does not matter.

    ``folder``: where the others wait, in files without a name.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._in_hand: list[str] = []
        self._files: list[IO[str]] = []

    def extend(self, lines: Iterable[str]) -> None:
        self._in_hand.extend(lines)
        if len(self._in_hand) >= LINES_IN_HAND:
            file = tempfile.TemporaryFile("w+", encoding="ascii", newline="\n", dir=self._folder)  # noqa: SIM115 - in close()
            self._files.append(file)
            file.writelines(sorted(self._in_hand))
            self._in_hand = []

    def __iter__(self) -> Iterator[str]:
        for file in self._files:
            file.seek(0)
        yield from heapq.merge(*self._files, sorted(self._in_hand))

    def close(self) -> None:
        for file in self._files:
            file.close()
