"""What processes used, read from /proc: CPU with that of their ended children, and proportional memory."""

from __future__ import annotations

import os
import threading
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Self

TICKS_PER_S = os.sysconf("SC_CLK_TCK")
SAMPLE_EVERY_S = 0.5
PROC = Path("/proc")


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    pid: int
    name: str
    session: int
    cpu_s: float  # its own and its reaped children's


def processes() -> Iterator[Process]:
    """Every process of this machine that is still there when its turn comes."""
    for folder in PROC.iterdir():
        if folder.name.isdigit():
            try:
                stat = (folder / "stat").read_text()
            except (FileNotFoundError, ProcessLookupError):
                continue
            start, _, rest = stat.rpartition(")")
            fields = rest.split()
            cpu_s = sum(int(ticks) for ticks in fields[11:15]) / TICKS_PER_S
            yield Process(pid=int(folder.name), name=start.partition("(")[2], session=int(fields[3]), cpu_s=cpu_s)


def cpu_of_sessions_s(leaders: Collection[int]) -> float:
    """CPU that these sessions used so far; what ended children used is their parent's."""
    return sum(process.cpu_s for process in processes() if process.session in leaders)


def cpu_of_named_s(names: Collection[str]) -> float:
    """CPU that all processes of these names used so far, whoever started them."""
    return sum(process.cpu_s for process in processes() if process.name in names)


def pss_of_sessions_bytes(leaders: Collection[int]) -> int:
    """Memory of these sessions; what several processes share is counted once."""
    return sum(_pss_bytes(process.pid) for process in processes() if process.session in leaders)


def _pss_bytes(pid: int) -> int:
    try:
        lines = (PROC / str(pid) / "smaps_rollup").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:")), 0)


class PeakMemory:
    """Samples the memory of some sessions while its block lasts."""

    def __init__(self, leaders: Collection[int]) -> None:
        self._leaders = leaders
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self.peak_bytes = 0

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        while True:
            self.peak_bytes = max(self.peak_bytes, pss_of_sessions_bytes(self._leaders))
            if self._over.wait(SAMPLE_EVERY_S):
                return
