"""Exchanges in hand, between the stage that fetched them and the archive.

Small ones are kept in the ledger, in the transaction that moves their article on: that costs the archive store no
request, and a request is what an object store is slow at and paid for. Large ones lie in the store under ``spool/``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from sqlalchemy.engine import Connection

from worker.archive.exchange import exchange_records
from worker.archive.keys import spool_key
from worker.ledger import spool
from worker.ledger.tables import Row
from worker.model import Exchange
from worker.stages.deps import Deps, packed, unpacked

GZIP = b"\x1f\x8b"
LEDGER_BYTES = 256 * 1024  # a body up to this goes into the ledger: nine pages in ten, gzipped, are below 100 KB


@dataclass(frozen=True, slots=True, kw_only=True)
class Spooled:
    """A body with its key, to be noted with ``save``. ``in_ledger``: None: it lies in the store already."""

    key: str
    in_ledger: bytes | None

    def save(self, tx: Connection, row: Row) -> None:
        spool.put(tx, row.id, key=self.key, body=self.in_ledger)


def keep(deps: Deps, row: Row, data: bytes) -> Spooled:
    """Keep a body for the stages to come. Raises: UnavailableError: it is a large one, and the store is away."""
    key = spool_key(row.article_id, data)
    if len(data) <= LEDGER_BYTES:
        return Spooled(key=key, in_ledger=data)
    deps.store.put(key, data)
    return Spooled(key=key, in_ledger=None)


def held(tx: Connection, rows: Sequence[Row]) -> dict[str, bytes]:
    """What the ledger holds of these rows, for ``read``."""
    return spool.of_articles(tx, [row.id for row in rows])


def read(deps: Deps, in_ledger: Mapping[str, bytes], key: str) -> bytes:
    """The bytes kept under a key. Raises: MissingObjectError, UnavailableError."""
    body = in_ledger.get(key)
    return deps.store.get(key) if body is None else body


# ---------------------------------------------------------------- a picture's exchange


@dataclass(frozen=True, slots=True, kw_only=True)
class _PictureNote:
    """How a picture was had. ``body_ref``: the final answer's body is the object of this key, and not in here."""

    exchange: Exchange
    body_ref: str | None


def keep_picture(deps: Deps, row: Row, exchange: Exchange, *, ref: str, data: bytes) -> Spooled:
    """As ``keep``, for the exchange that gave ``data``, which lies in the store under ``ref``: not kept twice."""
    final = exchange.final
    is_as_sent = final.body == data
    if is_as_sent:
        exchange = Exchange(hops=(*exchange.hops[:-1], replace(final, body=b"")))
    return keep(deps, row, packed(_PictureNote(exchange=exchange, body_ref=ref if is_as_sent else None)))


def picture_records(deps: Deps, in_ledger: Mapping[str, bytes], key: str) -> bytes:
    """The WARC records of a picture's exchange. Raises: MissingObjectError, UnavailableError."""
    data = read(deps, in_ledger, key)
    if data.startswith(GZIP):  # they themselves: as schema 0001 had them, when this article was upgraded with it
        return data
    note = unpacked(data, _PictureNote)
    exchange = note.exchange
    if note.body_ref is not None:
        body = deps.store.get(note.body_ref)
        exchange = Exchange(hops=(*exchange.hops[:-1], replace(exchange.final, body=body)))
    return exchange_records(exchange)
