"""Upkeep's tasks."""

from __future__ import annotations

from tasks.app import app
from tasks.base import OUTAGES
from tasks.process import deps
from worker import stages


@app.task(name="upkeep.sweep", throws=OUTAGES)
def sweep() -> dict[str, int]:
    """Remove what ended articles left behind. Returns: what was removed."""
    return stages.upkeep(deps())


@app.task(name="upkeep.compact", throws=OUTAGES)
def compact() -> dict[str, int]:
    """Put bundles into large files, for a while. Returns: how many of both, and what was found damaged."""
    came_to = stages.compact_round(deps())
    return {
        "files": len(came_to.files),
        "bundles": sum(file.bundles for file in came_to.files),
        "damaged": len(came_to.damaged),
    }
