"""Picture: the lead picture's URL -> its checked bytes in the store. Never holds an article up for long."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import msgspec
from sqlalchemy.engine import Connection

from worker.archive.exchange import exchange_records
from worker.archive.keys import picture_key, spool_key
from worker.errors import QuarantineError, RetryableError, UnavailableError
from worker.extract.picture import check_picture
from worker.fetch.coding import decoded_body
from worker.fetch.http import FetchRequest
from worker.ledger import articles
from worker.ledger.tables import Row
from worker.model import ImageCandidate, Picture, State
from worker.stages.deps import Deps, begin, outcome_of, released, settle
from worker.stages.extract import load_record
from worker.stages.visit import NotYetError, RobotsSayNo, save_lesson, visit

PICTURE_ACCEPT = "image/avif,image/webp,image/png,image/jpeg,image/gif;q=0.9,*/*;q=0.1"
PATIENCE_S = 10.0  # an article waits no longer than this for its picture
MAX_TRIES = 4  # addresses asked for one picture: candidates and their proxies


def picture(deps: Deps, ids: Sequence[int], *, token: str) -> list[int]:
    """Fetch the lead pictures side by side. Returns: the ids that went well, in order."""
    rows = begin(deps, ids, token=token, state=State.EXTRACTED)
    if not rows:
        return []
    with deps.ledger.reading() as connection:
        bodies = articles.record_bodies(connection, [row.id for row in rows])
    without: list[Row] = []
    fetching: list[tuple[Row, tuple[ImageCandidate, ...]]] = []
    spoiled: list[tuple[Row, Exception]] = []
    for row in rows:
        try:
            candidates = load_record(bodies.get(row.id), row.article_id).image_candidates
        except (QuarantineError, msgspec.MsgspecError) as error:
            spoiled.append((row, error))
            continue
        if candidates:
            fetching.append((row, candidates))
        else:
            without.append(row)
    went_well = set(deps.saved(lambda tx: _without_picture(deps, tx, without, spoiled)))

    def abandon(pair: tuple[Row, tuple[ImageCandidate, ...]]) -> bool:
        released(deps, [pair[0]])
        return False

    done = deps.side_by_side(lambda pair: _picture(deps, *pair), fetching, abandon)
    went_well |= {row.id for (row, _), well in zip(fetching, done, strict=True) if well}
    return [row.id for row in rows if row.id in went_well]


def _without_picture(
    deps: Deps, tx: Connection, without: Sequence[Row], spoiled: Sequence[tuple[Row, Exception]]
) -> list[int]:
    for row, error in spoiled:
        settle(deps, tx, row, "picture", error)
    return [row.id for row in without if _advance(deps, tx, row, None)]


def _advance(deps: Deps, tx: Connection, row: Row, values: dict[str, Any] | None) -> bool:
    now = deps.clock()
    facts = {"pictured_at": now, "picture": values}
    return articles.advance(tx, row, state=State.PICTURED, now=now, until=deps.queued_until(now), values=facts)


def _picture(deps: Deps, row: Row, candidates: tuple[ImageCandidate, ...]) -> bool:
    if deps.stopping.is_set():
        released(deps, [row])
        return False
    give_up_at = row.extracted_at + timedelta(seconds=PATIENCE_S)
    try:
        found, spooled = _first_good(deps, row, candidates, give_up_at)
    except NotYetError as wait:
        later = wait.at
        deps.saved(lambda tx: articles.let_go(tx, row, ready_at=later, counted=False))
        return False
    except UnavailableError as error:
        outcome_of(deps, row, "picture", error)
        return False
    except Exception as error:  # noqa: BLE001 - a bug costs the picture of its own article only
        outcome_of(deps, row, "picture", error)
        return False
    values = {**msgspec.to_builtins(found), "spool": spooled}
    return deps.saved(lambda tx: _advance(deps, tx, row, values))


def _first_good(
    deps: Deps, row: Row, candidates: tuple[ImageCandidate, ...], give_up_at: datetime
) -> tuple[Picture, str | None]:
    """The first candidate whose bytes are a picture, and its exchange's spool key.

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
    return replace(_named(candidates[0]), problem=problems[0] if problems else "no address"), None


def _addresses(candidates: tuple[ImageCandidate, ...]) -> list[tuple[ImageCandidate, str]]:
    """Origin first, then its proxy, candidate by candidate."""
    return [
        (candidate, url)
        for candidate in candidates
        for url in (candidate.url, candidate.proxied_url)
        if url is not None
    ]


def _named(candidate: ImageCandidate) -> Picture:
    return Picture(
        url=candidate.url,
        proxied_url=candidate.proxied_url,
        caption=candidate.caption,
        credit=candidate.credit,
        chosen_by=candidate.chosen_by,
    )


def _fetched(
    deps: Deps, row: Row, candidate: ImageCandidate, url: str, give_up_at: datetime
) -> tuple[Picture, str | None]:
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
    records = exchange_records(seen.exchange)
    spooled = spool_key(hashlib.sha256(records).hexdigest())
    deps.store.put(spooled, records)
    found = replace(
        _named(candidate),
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
    if row.picture is None:
        return None
    facts = {name: value for name, value in row.picture.items() if name != "spool"}
    return msgspec.convert(facts, Picture)
