"""What one worker process holds: its doors, built after the fork, and its wish to stop."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field, replace

from config.settings import Settings
from worker import wiring
from worker.stages import Deps
from worker.stages.deps import COMPANY_S


@dataclass(slots=True)
class Process:
    """One per process; ``tasks.main`` fills in the settings."""

    settings: Settings | None = None
    deps: Deps | None = None
    lock: threading.Lock = field(default_factory=threading.Lock)

    def doors(self) -> Deps:
        """This process's doors, built at first use."""
        with self.lock:
            if self.deps is None:
                if self.settings is None:
                    raise RuntimeError("start the worker with `celery -A tasks.main`")
                self.deps = replace(wiring.build(self.settings), company_s=COMPANY_S)
            return self.deps

    def forget(self) -> None:
        """A forked child must not use its parent's connections."""
        self.deps = None
        self.lock = threading.Lock()


process = Process()


def deps() -> Deps:
    """The doors of this process."""
    return process.doors()
