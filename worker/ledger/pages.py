"""Which pages are held already: those of earlier revisions, and feed documents."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from worker.ledger.tables import Row, articles, bundles


def of_earlier_revisions(connection: Connection, rows: Sequence[Row]) -> dict[int, Mapping[str, Any]]:
    """What ``articles.archive`` says of the newest earlier revision that has a page, by the later row's id.

    First revisions have none, and cost no query.
    """
    later = {row.article_id: row for row in rows if row.revision > 1}
    if not later:
        return {}
    statement = (
        sa.select(articles.c.article_id, articles.c.revision, articles.c.archive)
        .where(articles.c.article_id.in_(list(later)), articles.c.archive.is_not(None))
        .order_by(articles.c.revision)
    )
    found: dict[int, Mapping[str, Any]] = {}
    for earlier in connection.execute(statement):
        row = later[earlier.article_id]
        if earlier.revision < row.revision and earlier.archive.get("payload_sha256"):
            found[row.id] = earlier.archive
    return found


def is_noted(connection: Connection, key: str) -> bool:
    """Is there a bundle of this key, wherever its bytes are?"""
    return connection.scalar(sa.select(bundles.c.key).where(bundles.c.key == key)) is not None
