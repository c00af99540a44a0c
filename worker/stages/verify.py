"""Verify: what the archive holds, read again and held against what the ledger and the keys promise of it."""

from __future__ import annotations

import hashlib
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from heapq import nsmallest
from threading import Event
from typing import Any, TypeVar

from sqlalchemy.engine import Connection

from worker.archive.compact import index_key, index_text, is_whole
from worker.archive.index import unpack_lines
from worker.archive.store import MissingObjectError, Store
from worker.archive.verify import (
    Fault,
    Kind,
    Part,
    Promise,
    Remedy,
    check_bundle,
    check_digest,
    check_document,
    digest_in,
    remedy,
)
from worker.errors import QuarantineError, UnavailableError
from worker.ledger import bundles, kept
from worker.ledger.kept import Span
from worker.ledger.session import Ledger
from worker.ledger.tables import Row
from worker.stages.compact import part_of
from worker.stages.kept import kept_bytes

T = TypeVar("T")
R = TypeVar("R")

AT_ONCE = 200  # rows that are asked for together
SIDE_BY_SIDE = 8  # reads of a store that waits for a network
REMEMBERED = 10_000  # keys of pictures and texts that several articles may share
MOST_DAMAGED = 10_000  # so much is no damage, it is a loss: to list more of it helps nobody


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """So many articles, or such a share of them; which, the seed decides: the same seed draws the same ones."""

    count: int | None = None
    share: float | None = None  # (0, 1]
    seed: str


@dataclass(slots=True, kw_only=True)
class Checked:
    """How much was read."""

    articles: int = 0
    feed_documents: int = 0
    large_files: int = 0
    objects: int = 0
    bytes: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Damaged:
    """One object that is not what it should be, and how many articles it touches."""

    key: str
    fault: Fault
    articles: tuple[str, ...]  # id:revision


@dataclass(frozen=True, slots=True, kw_only=True)
class Touched:
    """An article with damage, and what brings it back."""

    article_id: str
    revision: int
    feed: str
    title: str | None
    url: str | None
    damaged: Mapping[Part, str]  # to its key
    good: tuple[Part, ...]
    remedy: Remedy


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """What a run found."""

    checked: Checked
    damaged: tuple[Damaged, ...]
    touched: tuple[Touched, ...]
    gave_up: bool  # MOST_DAMAGED objects were damaged: there may be more


@dataclass(frozen=True, slots=True, kw_only=True)
class _Object:
    """Something to read, and what must be true of it."""

    key: str
    check: Callable[[Ledger, Store, str], tuple[Fault | None, int]]  # and how many bytes were read
    is_shared: bool = False  # other articles may hold it too: it need not be read for each


@dataclass(slots=True, kw_only=True)
class _Run:
    """What a run has found so far."""

    ledger: Ledger
    store: Store
    told: Callable[[Checked], None]
    threads: ThreadPoolExecutor | None
    stopping: Event
    checked: Checked = field(default_factory=Checked)
    suspects: dict[str, Fault] = field(default_factory=dict)  # of articles: to be looked at once more
    faults: dict[str, Fault] = field(default_factory=dict)
    remembered: OrderedDict[str, None] = field(default_factory=OrderedDict)

    @property
    def is_hopeless(self) -> bool:
        return len(self.suspects) + len(self.faults) >= MOST_DAMAGED

    @property
    def is_over(self) -> bool:
        return self.is_hopeless or self.stopping.is_set()


def verify(
    ledger: Ledger,
    store: Store,
    span: Span,
    *,
    sample: Sample | None = None,
    told: Callable[[Checked], None] = lambda _: None,
    stopping: Event | None = None,
) -> Verified:
    """Read it all again, or a sample of the articles, and say what is damaged and what that touches.

    Feed documents are read too, unless articles are named or drawn. Of large files the size is asked, and of a run
    over everything also whether their bundles fill them and their index is theirs. Objects that compaction or a writer
    moves meanwhile are looked at a second time before they are called damaged.

    Args:
        told: How far it is, after each article; called from this thread.
        stopping: Set: read nothing further, say what was found until now.
    Raises: UnavailableError: the store or the ledger is away. That is no damage.
    """
    with ExitStack() as stack:
        threads = stack.enter_context(ThreadPoolExecutor(SIDE_BY_SIDE)) if store.is_remote else None
        run = _Run(ledger=ledger, store=store, told=told, threads=threads, stopping=stopping or Event())
        for results in _looked_at(run, archived_articles(ledger, span, sample), _objects):
            run.checked.articles += 1
            _note(run, results, run.suspects)
        if span.pks is None and sample is None:
            for results in _looked_at(run, _feed_documents(ledger, span), lambda _, one: [one]):
                run.checked.feed_documents += 1
                _note(run, results, run.faults)
        if span == Span():
            _large_files(run, is_whole_run=sample is None)
    return _verified(run)


def count_articles(ledger: Ledger, span: Span, sample: Sample | None) -> int | None:
    """How many articles a run will read; None: that depends on the draw."""
    if sample is not None and sample.share is not None:
        return None
    with ledger.reading() as connection:
        found = kept.count(connection, span)
    return found if sample is None or sample.count is None else min(found, sample.count)


# ---------------------------------------------------------------- which articles


def archived_articles(
    ledger: Ledger, span: Span, sample: Sample | None = None
) -> Iterator[tuple[Row, Mapping[str, Row]]]:
    """The rows, each with the bundles that it names."""
    for page in _pages(ledger, span, sample):
        keys = {key for row in page for part, key in _parts(row).items() if part in {Part.BUNDLE, Part.PAGE}}
        with ledger.reading() as connection:
            known = kept.bundles_by_key(connection, sorted(keys))
        yield from ((row, known) for row in page)


def _pages(ledger: Ledger, span: Span, sample: Sample | None) -> Iterator[list[Row]]:
    if sample is not None:
        for pks in _in_groups(_drawn(ledger, span, sample)):
            with ledger.reading() as connection:
                yield kept.archived(connection, Span(pks=tuple(pks)), after=0, limit=AT_ONCE)
        return
    yield from _paged(ledger, lambda tx, after: kept.archived(tx, span, after=after, limit=AT_ONCE), 0, "id")


def _paged(ledger: Ledger, ask: Callable[[Connection, T], list[Row]], after: T, by: str) -> Iterator[list[Row]]:
    """Rows, some at a time. Args: ask: gives the next ones beyond ``after``, in the order of their column ``by``."""
    while True:
        with ledger.reading() as connection:
            page = ask(connection, after)
        if not page:
            return
        yield page
        after = getattr(page[-1], by)


def _drawn(ledger: Ledger, span: Span, sample: Sample) -> Iterable[int]:
    """Row ids, ascending. Each row has a lot in [0, 1) that its id and the seed decide: the lowest ones win."""
    lots = ((_lot(sample.seed, row), row.id) for row in _names(ledger, span))
    if sample.count is not None:
        return sorted(pk for _, pk in nsmallest(sample.count, lots))
    share = sample.share or 0.0
    return (pk for lot, pk in lots if lot < share)


def _lot(seed: str, row: Row) -> float:
    drawn = hashlib.sha256(f"{seed}\n{row.article_id}:{row.revision}".encode()).digest()
    return int.from_bytes(drawn[:8], "big") / 2**64


def _names(ledger: Ledger, span: Span) -> Iterator[Row]:
    for page in _paged(ledger, lambda tx, after: kept.names(tx, span, after=after, limit=AT_ONCE * 10), 0, "id"):
        yield from page


def _in_groups(pks: Iterable[int]) -> Iterator[list[int]]:
    group: list[int] = []
    for pk in pks:
        group.append(pk)
        if len(group) == AT_ONCE:
            yield group
            group = []
    if group:
        yield group


# ---------------------------------------------------------------- what an article holds


def _parts(row: Row) -> dict[Part, str]:
    """The keys of what an article holds. An older revision has no document: the newest one's stands in its place."""
    archive, picture = row.archive, row.picture or {}
    page = (archive.get("page") or {}).get("warc")
    named = {
        Part.BUNDLE: archive.get("warc"),
        Part.PAGE: page if page != archive.get("warc") else None,
        Part.DOCUMENT: archive.get("document") if row.is_newest else None,
        Part.HTML: archive.get("html_ref"),
        Part.TEXT: archive.get("text_ref"),
        Part.PICTURE: picture.get("ref"),
    }
    return {part: key for part, key in named.items() if key}


def _objects(run: _Run, one: tuple[Row, Mapping[str, Row]]) -> list[_Object]:
    row, known = one
    objects = (_object(row, part, key, known) for part, key in _parts(row).items())
    return [made for made in objects if made.key not in run.remembered]


def _object(row: Row, part: Part, key: str, known: Mapping[str, Row]) -> _Object:
    if part in {Part.BUNDLE, Part.PAGE}:
        return _bundle(key, known.get(key), _payloads(row.archive, key))
    if part is Part.DOCUMENT:
        return _document(key, row.archive.get("document_sha256"))
    return _named_by_digest(key)


def _payloads(archive: Mapping[str, Any], key: str) -> dict[str, str | None]:
    """Which records a bundle must have for this article, and the digests of what they hold."""
    page = archive.get("page")
    if "page" not in archive:  # written before a page could be in another bundle
        return {archive["record_id"]: archive.get("payload_sha256")}
    promised: dict[str, str | None] = {archive["record_id"]: None} if key == archive.get("warc") else {}
    if page is not None and page["warc"] == key:
        promised[page["record_id"]] = archive.get("payload_sha256")
    return promised


def promise_of(row: Row | None, payloads: Mapping[str, str | None]) -> Promise:
    """What is promised of a bundle. ``row``: what the ledger knows of it; None: nothing."""
    if row is None:
        return Promise(payloads=payloads)
    return Promise(
        bytes_count=row.bytes,
        sha256=row.sha256,
        lines=unpack_lines(row.lines),
        payloads=payloads,
    )


def _bundle(key: str, row: Row | None, payloads: Mapping[str, str | None]) -> _Object:
    promise = promise_of(row, payloads)

    def check(ledger: Ledger, store: Store, key: str) -> tuple[Fault | None, int]:
        data = kept_bytes(ledger, store, key)
        return check_bundle(data, promise), len(data)

    return _Object(key=key, check=check)


def _document(key: str, promised_sha256: str | None) -> _Object:
    def check(_: Ledger, store: Store, key: str) -> tuple[Fault | None, int]:
        data = store.get(key)
        return check_document(data, promised_sha256), len(data)

    return _Object(key=key, check=check)


def _named_by_digest(key: str) -> _Object:
    def check(_: Ledger, store: Store, key: str) -> tuple[Fault | None, int]:
        hashed, size = hashlib.sha256(), 0
        for piece in store.stream(key):
            hashed.update(piece)
            size += len(piece)
        return check_digest(hashed.hexdigest(), digest_in(key) or ""), size

    return _Object(key=key, check=check, is_shared=True)


# ---------------------------------------------------------------- reading


def _looked_at(
    run: _Run, found: Iterable[T], objects_of: Callable[[_Run, T], list[_Object]]
) -> Iterator[list[tuple[_Object, Fault | None, int]]]:
    """Each one's objects, read."""
    wanted = (objects_of(run, one) for one in found)
    for results in ahead(run.threads, lambda objects: _read_all(run, objects), wanted):
        yield results
        if run.is_over:
            return


def ahead(threads: ThreadPoolExecutor | None, work: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
    """The results in order; with threads, up to SIDE_BY_SIDE are worked on at once, for a store that waits."""
    if threads is None:
        yield from map(work, items)
        return
    under_way: deque[Future[R]] = deque()
    try:
        for item in items:
            under_way.append(threads.submit(work, item))
            if len(under_way) == SIDE_BY_SIDE:
                yield under_way.popleft().result()
        while under_way:
            yield under_way.popleft().result()
    finally:
        for future in under_way:
            future.cancel()


def _read_all(run: _Run, objects: Sequence[_Object]) -> list[tuple[_Object, Fault | None, int]]:
    return [(one, *_read(run, one)) for one in objects]


def _read(run: _Run, one: _Object) -> tuple[Fault | None, int]:
    try:
        return one.check(run.ledger, run.store, one.key)
    except MissingObjectError as error:
        _require_any_object(run.store)
        return Fault(kind=Kind.MISSING, detail=str(error)), 0
    except QuarantineError as error:  # the large file ends before the bundle does
        return Fault(kind=Kind.CUT, detail=error.message), 0


def _require_any_object(store: Store) -> None:
    """Raises: UnavailableError: the store is empty. Nobody loses everything one by one: it is another store."""
    if next(store.keys(""), None) is None:
        raise UnavailableError("the archive store is empty: is its disk mounted, and is ARCHIVE_URL the right one?")


def _note(run: _Run, results: Sequence[tuple[_Object, Fault | None, int]], faults: dict[str, Fault]) -> None:
    for one, fault, size in results:
        run.checked.objects += 1
        run.checked.bytes += size
        if fault is not None:
            faults[one.key] = fault
        elif one.is_shared:
            run.remembered[one.key] = None
            if len(run.remembered) > REMEMBERED:
                run.remembered.popitem(last=False)
    run.told(run.checked)


# ---------------------------------------------------------------- feed documents, large files


def _feed_documents(ledger: Ledger, span: Span) -> Iterator[_Object]:
    for page in _paged(ledger, lambda tx, after: kept.feed_bundles(tx, span, after=after, limit=AT_ONCE), "", "key"):
        yield from (_bundle(row.key, row, {}) for row in page)
    for page in _paged(ledger, lambda tx, after: kept.polled_documents(tx, span, after=after, limit=AT_ONCE), 0, "id"):
        yield from (_named_by_digest(row.document) for row in page if digest_in(row.document))


def _large_files(run: _Run, *, is_whole_run: bool) -> None:
    with run.ledger.reading() as connection:
        files = kept.large_files(connection)
    for file in files:
        if run.is_over:
            return
        run.checked.large_files += 1
        fault = _size_fault(run.store, file)
        if fault is not None or is_whole_run:
            with run.ledger.reading() as connection:
                inside = bundles.parts(connection, file.key)
            if fault is None:
                _index_and_tiling(run, file, inside)
            else:
                run.faults[file.key] = fault
                _beyond_the_end(run, file, inside)
        run.told(run.checked)


def _size_fault(store: Store, file: Row) -> Fault | None:
    try:
        size = store.size(file.key)
    except MissingObjectError as error:
        _require_any_object(store)
        return Fault(kind=Kind.MISSING, detail=str(error))
    if size == file.bytes:
        return None
    kind = Kind.CUT if size < file.bytes else Kind.CHANGED
    return Fault(kind=kind, detail=f"{size} bytes instead of {file.bytes}")


def _beyond_the_end(run: _Run, file: Row, inside: Sequence[Row]) -> None:
    """A sample need not have met them: what a cut file holds no more is damaged too."""
    try:
        size = run.store.size(file.key)
    except MissingObjectError:
        size = 0
    for bundle in inside:
        if bundle.position + bundle.bytes > size and not run.is_hopeless:
            fault = Fault(kind=Kind.CUT, detail=f"it was in {file.key}")
            (run.faults if bundle.article_pk is None else run.suspects)[bundle.key] = fault


def _index_and_tiling(run: _Run, file: Row, inside: Sequence[Row]) -> None:
    parts = [part_of(row) for row in inside]
    if not is_whole(parts, file.bytes):
        run.faults[file.key] = Fault(kind=Kind.CHANGED, detail="the bundles that the ledger knows do not fill it")
        return
    key = index_key(file.key)
    try:
        is_theirs = run.store.get(key) == index_text(parts, file.key)
    except MissingObjectError as error:
        run.faults[key] = Fault(kind=Kind.MISSING, detail=str(error))
        return
    run.checked.objects += 1
    if not is_theirs:
        run.faults[key] = Fault(kind=Kind.CHANGED, detail=f"it is not the index of {file.key}")


# ---------------------------------------------------------------- what it touches


def _verified(run: _Run) -> Verified:
    """Who holds what seems to be damaged? Asked now, and read once more with what the ledger says by now: while we
    read, an article may have been written again, or taken down.
    """
    touched: list[Touched] = []
    holders: dict[str, list[str]] = {}
    seen: dict[str, Fault | None] = {}
    for row, known in archived_articles(run.ledger, Span()) if run.suspects else ():
        suspects = {part: key for part, key in _parts(row).items() if key in run.suspects}
        damaged = {
            part: key for part, key in suspects.items() if _second_look(run, _object(row, part, key, known), seen)
        }
        for key in damaged.values():
            holders.setdefault(key, []).append(f"{row.article_id}:{row.revision}")
        if damaged:
            touched.append(_touched(row, damaged))
    return Verified(
        checked=run.checked,
        damaged=tuple(
            Damaged(key=key, fault=fault, articles=tuple(holders.get(key, ())))
            for key, fault in sorted(run.faults.items())
        ),
        touched=tuple(touched),
        gave_up=run.is_hopeless,
    )


def _second_look(run: _Run, one: _Object, seen: dict[str, Fault | None]) -> Fault | None:
    """What is shared is read once, whoever holds it; a bundle has something to hold for each that names it."""
    if one.is_shared and one.key in seen:
        return seen[one.key]
    fault = seen[one.key] = _read(run, one)[0]
    if fault is not None:
        run.faults[one.key] = fault
    return fault


def _touched(row: Row, damaged: Mapping[Part, str]) -> Touched:
    return Touched(
        article_id=row.article_id,
        revision=row.revision,
        feed=row.slug,
        title=row.title,
        url=row.url,
        damaged=damaged,
        good=tuple(part for part in _parts(row) if part not in damaged),
        remedy=remedy(damaged, article_id=row.article_id, url=row.url, is_newest=row.is_newest),
    )
