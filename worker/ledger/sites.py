"""What sites taught extraction: a small row for each. A row lost or overwritten only means knowing less."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from worker.ledger.among import among
from worker.ledger.session import upsert
from worker.ledger.tables import sites


def memories(connection: Connection, names: Sequence[str]) -> dict[str, bytes]:
    """What is remembered of these sites, as it was kept; one that nobody knows is not there."""
    if not names:
        return {}
    return {row.site: row.memory for row in connection.execute(_MEMORIES, {"names": sorted(set(names))})}


_MEMORIES = sa.select(sites.c.site, sites.c.memory).where(among(sites.c.site, "names"))


def keep(connection: Connection, memories: Mapping[str, bytes], *, now: datetime) -> None:
    """Remember these sites so from now on: the last writer's memory stays.

    Always in the same order: two workers that learn of the same sites wait for each other, but not in a circle.
    """
    for site, memory in sorted(memories.items()):
        upsert(connection, sites, {"site": site, "memory": memory, "learnt_at": now}, key="site")


def forget(connection: Connection, *, before: datetime) -> int:
    """Forget sites of which nothing was learnt since ``before``. Returns: how many."""
    return connection.execute(sites.delete().where(sites.c.learnt_at < before)).rowcount
