"""Upkeep's task."""

from __future__ import annotations

from tasks.app import app
from tasks.base import OUTAGES
from tasks.process import deps
from worker import stages


@app.task(name="upkeep.sweep", throws=OUTAGES)
def sweep() -> dict[str, int]:
    """Remove what ended articles left behind. Returns: what was removed."""
    return stages.upkeep(deps())
