"""Wakes dispatch when a waiting row may start: beat's tick is up to ten seconds away, a site's pace is one.

A thread of this process waits, not a worker; an alarm that dies with its process costs one tick.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from datetime import datetime

from tasks.base import OUTAGES
from worker.stages import Deps

log = logging.getLogger("newsmill")

SHORTEST_S = 0.02


class Alarm:
    """At most one pending ring; an earlier moment replaces a later one."""

    def __init__(self, ring: Callable[[Deps], int]) -> None:
        self._ring = ring
        self._lock = threading.Lock()
        self._timer: threading.Timer | None = None
        self._at: datetime | None = None

    def set(self, doors: Deps, at: datetime | None) -> None:
        """Ring at this moment; None: no need to."""
        if at is None:
            return
        with self._lock:
            if self._timer is not None and self._at is not None and self._at <= at:
                return
            if self._timer is not None:
                self._timer.cancel()
            self._at = at
            wait_s = max(SHORTEST_S, (at - doors.clock()).total_seconds())
            self._timer = threading.Timer(wait_s, self._rung, (doors,))
            self._timer.daemon = True
            self._timer.start()

    def _rung(self, doors: Deps) -> None:
        with self._lock:
            self._timer = None
        if doors.stopping.is_set():
            return
        try:
            self._ring(doors)
        except OUTAGES as error:
            log.warning("alarm.paused", extra={"error": f"{type(error).__name__}: {error}"[:300]})
        except Exception as error:
            log.exception("alarm.failed")
            doors.report(error, stage="dispatch", tags={})

    def forget(self) -> None:
        """A forked child has none of its parent's threads."""
        self._lock = threading.Lock()
        self._timer = None
