"""Compaction: bundles -> large WARC files with an index, their bytes untouched.

Each step is safe to be the last one before a kill: a plan in the ledger, the large file, read back and compared, its
index, one commit that moves its bundles' place, and only then the bundles' own objects are removed. Until that commit a
bundle is read where it was, afterwards in the large file. Whoever comes next finishes what was left.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, wait
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TypeVar

from sqlalchemy.engine import Connection

from worker.archive.compact import (
    CHANGED,
    MAX_BUNDLES,
    MISSING,
    Choice,
    Loose,
    Part,
    choose,
    index_key,
    index_text,
    is_whole,
    large_key,
    problem_of,
)
from worker.archive.store import MissingObjectError, Store
from worker.errors import UnavailableError
from worker.ledger import bundles
from worker.ledger.tables import Row
from worker.stages.deps import Deps

log = logging.getLogger("newsmill")

T = TypeVar("T")

SETTLED = timedelta(hours=1)  # since a bundle was kept: whoever was late with writing it has lost its lease
LEFTOVER = timedelta(days=7)  # upkeep waits so long for a file to be full
LEASE = timedelta(minutes=2)
RENEWED = timedelta(seconds=30)
ROUND = timedelta(seconds=20)  # upkeep begins no file afterwards: a worker of one child does nothing else meanwhile
ROUND_AT_MOST = timedelta(seconds=80)  # and gives one up that takes longer: a task's time is limited
SIDE_BY_SIDE = 8  # bundles asked for at a time, of a store behind a network
AHEAD_BYTES = 32 * 1024 * 1024
REMOVED_AT_ONCE = 500
LOOKED_AT_AGAIN = 100  # bundles with a problem, in a round


@dataclass(frozen=True, slots=True, kw_only=True)
class LargeFile:
    """A large WARC file that was made, or finished; ``size`` in bytes."""

    key: str
    index: str
    bundles: int
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Damaged:
    """A bundle that is not what was written: ``missing`` or ``changed``. Without an article: a feed document's."""

    key: str
    problem: str
    article_id: str | None
    revision: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Compaction:
    """What one run came to. ``held``: large files that somebody else is at work on, or was when it was killed."""

    files: tuple[LargeFile, ...]
    damaged: tuple[Damaged, ...]
    held: int


class _StoppedError(Exception):
    """We are asked to stop."""


class _LostError(Exception):
    """The lease is somebody else's by now."""


class _LateError(Exception):
    """The time for this round is over."""


class _SpoiledError(Exception):
    """The file cannot be made as planned."""

    def __init__(self, problems: Mapping[str, str]) -> None:
        super().__init__(problems)
        self.problems = problems


def _unheard(_size: int) -> None:
    pass


def compact(deps: Deps, *, advanced: Callable[[int], None] = _unheard) -> Compaction:
    """Put all bundles that may be into large files, the last one as small as it comes out.

    Bundles that had a problem are looked at again before: somebody may have brought them back.

    Args:
        advanced: Told the size of each bundle that was written.
    Raises: UnavailableError: ledger or store; whatever was begun is gone on with by the next run.
    """
    still_damaged = _damaged(deps, _look_again(deps, deps.loaded(bundles.with_problems)))
    came_to = _compact(deps, _Limits(), advanced)
    return Compaction(files=came_to.files, damaged=(*still_damaged, *came_to.damaged), held=came_to.held)


def compact_round(deps: Deps) -> Compaction:
    """Upkeep's share: files that are full, or whose first bundle has waited for a week; for ROUND_AT_MOST.

    Some of the bundles that had a problem are looked at again: a disk that was away comes back.

    Raises: UnavailableError: as ``compact``.
    """
    now = deps.clock()
    limits = _Limits(full_only=True, begin_before=now + ROUND, give_up_at=now + ROUND_AT_MOST)
    _look_again(deps, deps.loaded(lambda tx: bundles.some_with_problems(tx, LOOKED_AT_AGAIN)), until=now + ROUND)
    came_to = _compact(deps, limits, _unheard)
    if came_to.files or came_to.damaged:
        done = {"files": len(came_to.files), "bundles": sum(file.bundles for file in came_to.files)}
        log.info("compact.done", extra={**done, "damaged": len(came_to.damaged)})
    return came_to


def waiting(deps: Deps) -> tuple[int, int]:
    """How many bundles ``compact`` would write, and their bytes."""
    return deps.loaded(lambda tx: bundles.to_compact(tx, kept_before=deps.clock() - SETTLED))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Limits:
    full_only: bool = False
    begin_before: datetime | None = None
    give_up_at: datetime | None = None


def _compact(deps: Deps, limits: _Limits, advanced: Callable[[int], None]) -> Compaction:
    files: list[LargeFile] = []
    damaged: list[Damaged] = []
    while not deps.stopping.is_set() and (limits.begin_before is None or deps.clock() < limits.begin_before):
        work = _claimed(deps, limits, advanced, most_bytes=deps.settings.warc_bytes)
        if work is None:
            break
        with work.leased():
            try:
                files.append(work.run())
            except _SpoiledError as error:
                work.give_up(error.problems)
                damaged += _damaged(deps, error.problems)
            except _LostError:
                work.leave_nothing()
            except _StoppedError:
                break
            except _LateError:
                _plan_smaller(deps, work, limits)
                break
    held = deps.loaded(lambda tx: bundles.held_by_others(tx, now=deps.clock()))
    return Compaction(files=tuple(files), damaged=tuple(damaged), held=held)


# ---------------------------------------------------------------- which file


def _claimed(deps: Deps, limits: _Limits, advanced: Callable[[int], None], *, most_bytes: int) -> _Work | None:
    """A large file to work on: one that somebody left, else a new one; None: there is nothing to do."""
    token, now = deps.new_token(), deps.clock()
    until = now + LEASE

    def save(tx: Connection) -> _Work | None:
        bundles.planners_lock(tx)
        left = bundles.unfinished(tx, now=now)
        if left is not None:
            bundles.take(tx, left.key, token=token, until=until)
            file, size, is_kept = left.key, left.bytes, left.kept_at is not None
        else:
            choice = _choice(tx, now, most_bytes, full_only=limits.full_only)
            if choice is None:
                return None
            file, size, is_kept = large_key(choice, token), choice.size, False
            bundles.plan(tx, choice.positions, file=file, bytes_count=size, token=token, now=now, until=until)
        return _Work(
            deps=deps,
            file=file,
            token=token,
            size=size,
            is_kept=is_kept,
            parts=tuple(map(part_of, bundles.parts(tx, file))),
            advanced=advanced,
            give_up_at=limits.give_up_at,
            renewed_at=now,
        )

    return deps.saved(save)


def _choice(tx: Connection, now: datetime, most_bytes: int, *, full_only: bool) -> Choice | None:
    rows = bundles.loose(tx, kept_before=now - SETTLED, limit=MAX_BUNDLES)
    if not rows:
        return None
    choice = choose([Loose(key=row.key, size=row.bytes, kept_at=row.kept_at) for row in rows], most_bytes=most_bytes)
    if full_only and not choice.is_full and rows[0].kept_at > now - LEFTOVER:
        return None
    return choice


def part_of(row: Row) -> Part:
    """A bundle as the ledger knows it."""
    return Part(key=row.key, size=row.bytes, position=row.position or 0, sha256=row.sha256, lines=row.lines)


def _plan_smaller(deps: Deps, work: _Work, limits: _Limits) -> None:
    """A slow store must not have the same file begun and given up for ever: the next round finds half of what could be
    written in the time of this one.
    """
    log.warning("compact.slow", extra={"file": work.file, "bytes": work.size, "written": work.written})
    work.give_up({})
    any_size = _Limits(give_up_at=limits.give_up_at)
    smaller = _claimed(deps, any_size, _unheard, most_bytes=work.written // 2)
    if smaller is not None:
        deps.saved(lambda tx: bundles.let_go(tx, smaller.file, token=smaller.token))


# ---------------------------------------------------------------- one file


@dataclass(slots=True, kw_only=True)
class _Work:
    """One large file, under our lease."""

    deps: Deps
    file: str
    token: str
    size: int
    is_kept: bool
    parts: tuple[Part, ...]
    advanced: Callable[[int], None]
    give_up_at: datetime | None
    renewed_at: datetime
    written: int = field(default=0)  # bytes, in this attempt

    @contextlib.contextmanager
    def leased(self) -> Iterator[None]:
        """Give the lease back whatever happens, so that nobody has to wait for it to run out."""
        try:
            yield
        finally:
            with contextlib.suppress(UnavailableError):  # then it runs out
                self.deps.saved(lambda tx: bundles.let_go(tx, self.file, token=self.token))

    def run(self) -> LargeFile:
        """Raises: _StoppedError, _LostError, _LateError, _SpoiledError. UnavailableError: ledger or store."""
        if not self.is_kept:
            self._make()
        self._clean()
        return LargeFile(key=self.file, index=index_key(self.file), bundles=len(self.parts), size=self.size)

    def _make(self) -> None:
        deps = self.deps
        if not is_whole(self.parts, self.size):  # one of them was written again, or the plan was given up
            raise _SpoiledError({})
        self._verify(self._write())
        index = index_text(self.parts, self.file)
        deps.store.put(index_key(self.file), index, content_type="text/plain; charset=utf-8")
        if not deps.saved(lambda tx: bundles.confirm(tx, self.file, token=self.token, now=deps.clock())):
            raise _SpoiledError({})

    def _write(self) -> str:
        """Returns: the SHA-256 of what was written."""
        digest = hashlib.sha256()
        store = self.deps.store

        def pieces() -> Iterator[bytes]:
            for part, data in _asked(self.deps, lambda part: _got(store, part.key), self.parts):
                self._go_on()
                problem = problem_of(part, data)
                if data is None or problem is not None:
                    raise _SpoiledError({part.key: problem or MISSING, **self._wrong_sizes()})
                digest.update(data)
                yield data
                self.written += part.size
                self.advanced(part.size)
            self._renew()  # whoever was away for long must not write over what another one made

        store.put_stream(self.file, pieces(), content_type="application/warc")
        return digest.hexdigest()

    def _wrong_sizes(self) -> dict[str, str]:
        """Where one bundle has a problem, there may be more: found at once, or the file would be begun for each."""

        def ask(part: Part) -> str | None:
            try:
                return None if self.deps.store.size(part.key) == part.size else CHANGED
            except MissingObjectError:
                return MISSING

        found = {}
        for part, problem in _asked(self.deps, ask, self.parts):
            self._go_on()
            if problem is not None:
                found[part.key] = problem
        return found

    def _verify(self, sha256: str) -> None:
        """Raises: UnavailableError: the store does not give back what it took."""
        digest, size = hashlib.sha256(), 0
        try:
            for piece in self.deps.store.stream(self.file):
                self._go_on()
                digest.update(piece)
                size += len(piece)
        except MissingObjectError as error:
            raise UnavailableError(f"the archive store accepted {self.file} and does not have it") from error
        if size != self.size or digest.hexdigest() != sha256:
            raise UnavailableError(f"the archive store gave back {self.file} with other bytes than it was given")

    def _clean(self) -> None:
        keys = [part.key for part in self.parts]
        for start in range(0, len(keys), REMOVED_AT_ONCE):
            if self.deps.stopping.is_set():
                raise _StoppedError
            self._renew()
            self.deps.store.delete_all(keys[start : start + REMOVED_AT_ONCE])
        now = self.deps.clock()
        if not self.deps.saved(lambda tx: bundles.cleaned(tx, self.file, token=self.token, now=now)):
            raise _LostError

    # ------------------------------------------------------------ going on, and not

    def _go_on(self) -> None:
        now = self.deps.clock()
        if self.deps.stopping.is_set():
            raise _StoppedError
        if self.give_up_at is not None and now >= self.give_up_at:
            raise _LateError
        if now >= self.renewed_at + RENEWED:
            self._renew()

    def _renew(self) -> None:
        now = self.deps.clock()
        if not self.deps.saved(lambda tx: bundles.renew(tx, self.file, token=self.token, until=now + LEASE)):
            raise _LostError
        self.renewed_at = now

    def give_up(self, problems: Mapping[str, str]) -> None:
        """Undo the plan in the ledger, then remove what an earlier attempt may have stored.

        In this order: nothing can be kept under this key any more, however late the removal comes.
        """
        if self.deps.saved(lambda tx: bundles.undo(tx, self.file, token=self.token, problems=problems)):
            self._remove()
        else:
            self.leave_nothing()

    def leave_nothing(self) -> None:
        """Another one works on the file, or gave it up: then what we stored is nobody's."""
        log.warning("compact.lost", extra={"file": self.file})
        if not self.deps.loaded(lambda tx: bundles.is_planned(tx, self.file)):
            self._remove()

    def _remove(self) -> None:
        self.deps.store.delete_all([self.file, index_key(self.file)])
        self.deps.saved(lambda tx: bundles.forget(tx, self.file))


# ---------------------------------------------------------------- bundles


def _asked(deps: Deps, ask: Callable[[Part], T], parts: Sequence[Part]) -> Iterator[tuple[Part, T]]:
    """Each part with its answer, in order. A remote store is asked for several at a time, within bounds of memory.

    Raises: _StoppedError: while an answer was waited for.
    """
    if not deps.store.is_remote:
        for part in parts:
            yield part, ask(part)
        return
    ahead: deque[tuple[Part, Future[T]]] = deque()
    try:
        for part in parts:
            while len(ahead) >= SIDE_BY_SIDE or (ahead and _size(ahead) + part.size > AHEAD_BYTES):
                yield _answered(deps, *ahead.popleft())
            ahead.append((part, deps.threads.submit(ask, part)))
        while ahead:
            yield _answered(deps, *ahead.popleft())
    finally:
        for _, future in ahead:
            future.cancel()


def _size(ahead: deque[tuple[Part, Future[T]]]) -> int:
    return sum(part.size for part, _ in ahead)


def _answered(deps: Deps, part: Part, future: Future[T]) -> tuple[Part, T]:
    while not wait([future], timeout=0.5).done:
        if deps.stopping.is_set():
            raise _StoppedError
    return part, future.result()


def _got(store: Store, key: str) -> bytes | None:
    try:
        return store.get(key)
    except MissingObjectError:
        return None


def _look_again(deps: Deps, rows: Sequence[Row], *, until: datetime | None = None) -> dict[str, str]:
    """Take bundles into account again that had a problem and are what was written by now.

    Returns: the others' problems, as far as they were looked at until then.
    """
    found: dict[str, str | None] = {}
    with contextlib.suppress(_StoppedError):
        for part, data in _asked(deps, lambda part: _got(deps.store, part.key), [part_of(row) for row in rows]):
            found[part.key] = problem_of(part, data)
            if deps.stopping.is_set() or (until is not None and deps.clock() >= until):
                break
    deps.saved(lambda tx: bundles.looked_again(tx, found))
    return {key: problem for key, problem in found.items() if problem is not None}


def _damaged(deps: Deps, problems: Mapping[str, str]) -> list[Damaged]:
    """What operators are told."""
    if not problems:
        return []
    owners = deps.loaded(lambda tx: bundles.owners(tx, list(problems)))
    told = []
    for key, problem in problems.items():
        owner = owners.get(key)
        damaged = Damaged(
            key=key,
            problem=problem,
            article_id=owner.article_id if owner else None,
            revision=owner.revision if owner else None,
        )
        log.warning("compact.damaged", extra={"key": key, "problem": problem, "article_id": damaged.article_id})
        told.append(damaged)
    return told
