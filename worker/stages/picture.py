"""Picture: the lead picture's URL -> its checked bytes in the store. Never holds an article up for long."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import msgspec
from sqlalchemy.engine import Connection

from worker.archive.keys import picture_key
from worker.errors import QuarantineError, RetryableError, UnavailableError
from worker.extract.picture import check_picture
from worker.fetch.coding import decoded_body
from worker.fetch.http import FetchRequest
from worker.ledger import articles
from worker.ledger.tables import Row
from worker.model import ImageCandidate, Picture, State
from worker.stages import spool
from worker.stages.deps import Deps, Done, Save, begin, out_of_its_chain, released, save_done, settled, told
from worker.stages.extract import load_record
from worker.stages.spool import Spooled
from worker.stages.visit import NotYetError, RobotsSayNo, save_lesson, visit

PICTURE_ACCEPT = "image/avif,image/webp,image/png,image/jpeg,image/gif;q=0.9,*/*;q=0.1"
PATIENCE_S = 10.0  # an article waits no longer than this for its picture
MAX_TRIES = 4  # addresses asked for one picture: candidates and their proxies


def picture(deps: Deps, ids: Sequence[int], *, token: str, further: Callable[[], None] = lambda: None) -> list[int]:
    """Fetch the lead pictures side by side.

    ``further``: called when an article is done that the others did not wait for, so that dispatch may go on with it.

    Returns: the ids that went well, in order.
    """
    rows = begin(deps, ids, token=token, state=State.EXTRACTED)
    if not rows:
        return []
    bodies = deps.loaded(lambda tx: articles.record_bodies(tx, [row.id for row in rows]))
    fetching: list[_Wanted] = []
    others: list[tuple[Row, Done]] = []
    for row in rows:
        try:
            candidates = load_record(bodies.get(row.id), row.article_id).image_candidates
        except (QuarantineError, msgspec.MsgspecError) as error:
            others.append((row, settled(deps, row, "picture", error)))
            continue
        if candidates:
            fetching.append(_Wanted(row=row, candidates=candidates, since=_since(row) or deps.clock()))
        else:
            others.append((row, _pictured(deps, None)))
    went_on = deps.saved_all(
        others,
        lambda tx, some: save_done(deps, tx, some, state=State.PICTURED),
        lambda pair, error: settled(deps, pair[0], "picture", error),
    )
    went_well = {row.id for (row, _), well in zip(others, went_on, strict=True) if well}
    done = deps.side_by_side(
        lambda wanted: _picture(deps, wanted),
        fetching,
        give_up=lambda wanted: released(deps, wanted.row),
        failed=lambda wanted, error: _failed(deps, wanted, error),
        alone=out_of_its_chain(further, lambda wanted: wanted.row),
    )
    went_well |= {wanted.row.id for wanted, well in zip(fetching, done, strict=True) if well}
    return [row.id for row in rows if row.id in went_well]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Wanted:
    """An article's picture, and since when it is waited for: time in the queue before is no waiting of its own."""

    row: Row
    candidates: tuple[ImageCandidate, ...]
    since: datetime

    @property
    def give_up_at(self) -> datetime:
        return self.since + timedelta(seconds=PATIENCE_S)


def _since(row: Row) -> datetime | None:
    """When an earlier try began, that found the site busy."""
    return datetime.fromisoformat(row.picture["since"]) if row.picture and "since" in row.picture else None


def _advance(deps: Deps, tx: Connection, row: Row, values: dict[str, Any] | None) -> bool:
    return save_done(deps, tx, [(row, _pictured(deps, values))], state=State.PICTURED)[0]


def _pictured(deps: Deps, values: dict[str, Any] | None) -> dict[str, Any]:
    return {"pictured_at": deps.clock(), "picture": values}


def _failed(deps: Deps, wanted: _Wanted, error: Exception) -> Save[bool]:
    """Our own store may be back later; whatever else went wrong costs the picture, not the article."""
    if isinstance(error, UnavailableError):
        return settled(deps, wanted.row, "picture", error)
    told(deps, wanted.row, "picture", error)
    found = named(wanted.candidates[0], problem=f"{type(error).__name__}: {error}"[:200])
    return lambda tx: _advance(deps, tx, wanted.row, {**msgspec.to_builtins(found), "spool": None})


def _picture(deps: Deps, wanted: _Wanted) -> Save[bool]:
    row = wanted.row
    if deps.stopping.is_set():
        return released(deps, row)
    try:
        found, spooled = _first_good(deps, row, wanted.candidates, wanted.give_up_at)
    except NotYetError as wait:
        later, since = wait.at, {"since": wanted.since.isoformat()}

        def let_go(tx: Connection) -> bool:
            articles.let_go(tx, row, ready_at=later, counted=False, values={"picture": since})
            return False

        return let_go
    values = {**msgspec.to_builtins(found), "spool": spooled.key if spooled else None}

    def save(tx: Connection) -> bool:
        if spooled is not None:
            spooled.save(tx, row)
        return _advance(deps, tx, row, values)

    return save


def _first_good(
    deps: Deps, row: Row, candidates: tuple[ImageCandidate, ...], give_up_at: datetime
) -> tuple[Picture, Spooled | None]:
    """The first candidate whose bytes are a picture, and its exchange in the spool.

    Raises: NotYetError: its site may not be asked now, and there is time to wait.
    """
    problems: list[str] = []
    for candidate, url in _addresses(candidates)[:MAX_TRIES]:
        if deps.clock() >= give_up_at:
            problems.append("late")
            break
        try:
            return _fetched(deps, row, candidate, url, give_up_at)
        except NotYetError as wait:
            if wait.at < give_up_at:
                raise
            problems.append("site busy")
        except UnavailableError:
            raise
        except (RetryableError, QuarantineError) as error:
            problems.append(str(error)[:200])
    return named(candidates[0], problem=problems[0] if problems else "no address"), None


def _addresses(candidates: tuple[ImageCandidate, ...]) -> list[tuple[ImageCandidate, str]]:
    """Origin first, then its proxy, candidate by candidate."""
    return [
        (candidate, url)
        for candidate in candidates
        for url in (candidate.url, candidate.proxied_url)
        if url is not None
    ]


def named(candidate: ImageCandidate, *, problem: str | None = None) -> Picture:
    """A picture of which there are no bytes yet, or, because of the problem, none at all."""
    return Picture(
        url=candidate.url,
        proxied_url=candidate.proxied_url,
        caption=candidate.caption,
        credit=candidate.credit,
        chosen_by=candidate.chosen_by,
        problem=problem,
    )


def _fetched(
    deps: Deps, row: Row, candidate: ImageCandidate, url: str, give_up_at: datetime
) -> tuple[Picture, Spooled]:
    settings = deps.settings
    left_s = (give_up_at - deps.clock()).total_seconds()

    def request(target: str) -> FetchRequest:
        return FetchRequest(
            url=target,
            accept=PICTURE_ACCEPT,
            cap_bytes=settings.picture_cap_bytes,
            total_timeout_s=max(0.5, min(left_s, settings.fetch_timeout_s)),
        )

    holder = articles.holder(row.lease_token, row.id)
    seen = visit(deps, request, url, holder=holder, permitted=False, book_until=give_up_at)
    if isinstance(seen, RobotsSayNo):
        raise QuarantineError("robots", f"robots.txt keeps {seen.url} from us")
    deps.saved(lambda tx: save_lesson(deps, tx, seen.lesson))
    hop = seen.exchange.final
    if hop.status != 200:  # noqa: PLR2004 - OK; anything else has no picture in it
        raise RetryableError(f"HTTP {hop.status}: {hop.url}")
    if hop.truncated:
        raise QuarantineError("picture-too-large", f"over {settings.picture_cap_bytes} bytes: {hop.url}")
    data = decoded_body(hop, settings.picture_cap_bytes)
    checked = check_picture(data, max_pixels=settings.picture_cap_pixels)
    ref = picture_key(checked.sha256, checked.media_type)
    deps.store.put(ref, data, content_type=checked.media_type)
    spooled = spool.keep_picture(deps, row, seen.exchange, ref=ref, data=data)
    found = replace(
        named(candidate),
        fetched_url=hop.url,
        sha256=checked.sha256,
        ref=ref,
        media_type=checked.media_type,
        width=checked.width,
        height=checked.height,
    )
    return found, spooled


def picture_of(row: Row) -> Picture | None:
    """The picture that the picture stage found, as the row keeps it."""
    if row.picture is None or "url" not in row.picture:
        return None
    facts = {name: value for name, value in row.picture.items() if name != "spool"}
    return msgspec.convert(facts, Picture)
