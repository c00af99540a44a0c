"""The measurements as people read them: medians, in tables."""

from __future__ import annotations

import os
import platform
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar

from bench.measure import BareRun, LineRun

Run = TypeVar("Run", LineRun, BareRun)

# Heading -> field and its decimals (None: as it is).
LINE_COLUMNS: Mapping[str, tuple[str, int | None]] = {
    "line": ("stack", None),
    "latency": ("latency_ms", 0),
    "CPU ms": ("cpu_ms", 1),
    "extract": ("extraction_ms", 1),
    "outside": ("outside_ms", 1),
    "per chain": ("per_chain", 1),
    "per CPU s": ("per_cpu_s", 1),
    "wall s": ("wall_s", 1),
    "per s": ("per_wall_s", 1),
    "PSS MiB": ("peak_pss_mib", 0),
    "broker": ("broker_ms", 1),
    "database": ("database_ms", 1),
    "first": ("warm_up_ms", 1),
    "lone": ("lone_ms", 1),
    "outside ": ("lone_outside_ms", 1),
    "lone s": ("lone_s", 2),
    "idle ms/s": ("idle_ms_per_s", 1),
}
BARE_COLUMNS: Mapping[str, tuple[str, int | None]] = {
    "bare loop": ("stack", None),
    "latency": ("latency_ms", 0),
    "setting": ("setting", None),
    "processes": ("processes", 0),
    "CPU ms": ("cpu_ms", 1),
    "extract": ("extraction_ms", 1),
    "outside": ("outside_ms", 1),
    "fetch": ("fetch_ms", 1),
    "WARC": ("archive_ms", 1),
    "publish": ("publish_ms", 1),
    "per CPU s": ("per_cpu_s", 1),
    "per s": ("per_wall_s", 1),
}


def middle(runs: Sequence[Run]) -> Run:
    """The median of every figure; names from the first run, faults from all of them."""
    values: dict[str, Any] = {}
    for one in fields(runs[0]):
        found = [getattr(run, one.name) for run in runs]
        if one.name == "faults":
            values[one.name] = tuple(fault for faults in found for fault in faults)
        elif isinstance(found[0], float):
            values[one.name] = statistics.median(found)
        else:
            values[one.name] = found[0]
    return type(runs[0])(**values)


def table(runs: Sequence[LineRun | BareRun], columns: Mapping[str, tuple[str, int | None]]) -> str:
    """The runs as lines of text below their headings."""
    cells = [list(columns)] + [
        [_shown(getattr(run, name), places) for name, places in columns.values()] for run in runs
    ]
    widths = [max(len(row[place]) for row in cells) for place in range(len(columns))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if place == 0 else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in cells
    )


def _shown(value: Any, places: int | None) -> str:
    if value is None:
        return "-"
    return str(value) if places is None else f"{value:.{places}f}"


def machine() -> str:
    """Processors and Python, in a line."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{os.cpu_count()} x {models[0] if models else platform.machine()}, Python {platform.python_version()}"
