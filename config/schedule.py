"""What beat ticks. Ticks are claims on the ledger: a second beat's find nothing, and late ones expire unheard.

The ledger says what is due; a schedule of long intervals would never fire on a disk that vanishes.
"""

from __future__ import annotations

from typing import Any

from config.settings import Settings

UPKEEP_S = 300.0
COMPACT_S = 660.0  # out of step with the sweep: both at once would take up a worker of two children

RENEW_TICKS = 6  # a minute: hubs' leases last for days


def beat_schedule(settings: Settings) -> dict[str, dict[str, Any]]:
    """Celery's ``beat_schedule``; intervals in seconds."""

    def tick(task: str, every_s: float) -> dict[str, Any]:
        return {"task": task, "schedule": every_s, "options": {"expires": every_s}}

    ticks = {
        "feeds.due": tick("feeds.due", settings.tick_s),
        "articles.dispatch": tick("articles.dispatch", settings.tick_s),
        "upkeep.sweep": tick("upkeep.sweep", UPKEEP_S),
        "upkeep.compact": tick("upkeep.compact", COMPACT_S),
    }
    if settings.public_url:
        ticks["websub.renew"] = tick("websub.renew", settings.tick_s * RENEW_TICKS)
    return ticks
