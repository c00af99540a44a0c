"""``python -m bench.feeds``: what reading a feed costs, beside feedparser on the same files in the same run.

Recorded feeds of 8 KB and more (else made ones), each parsed several times by both in turn; the best of each counts.
Then hostile documents: what comes of them, and what that costs. See docs/benchmarks.md. Writes nothing but its report.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from functools import partial
from pathlib import Path
from typing import Any

import feedparser

from bench.report import machine
from worker.errors import QuarantineError
from worker.feeds.parse import parse_feed

RECORDED = Path(__file__).resolve().parent.parent.parent / "shared" / "feeds-dev"
SMALLEST_BYTES = 8192  # smaller ones are test cases of one field
NOW = datetime(2040, 1, 1, tzinfo=UTC)
URL = "https://news.example/feed"
MOST_OF_FEEDPARSER = 1 / 8
MOST_CPU_S = 2.0
WORST = 5
SHORT_FILES = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """One file, read by both; CPU in milliseconds."""

    name: str
    kilobytes: float
    entries: int
    ours_ms: float
    theirs_ms: float

    @property
    def ratio(self) -> float:
        return self.ours_ms / self.theirs_ms


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """A hostile document; memory is what reading it added to the peak of a fresh process."""

    name: str
    megabytes: float
    outcome: str
    cpu_s: float
    peak_mb: float


# ---------------------------------------------------------------- beside feedparser


def recorded(folder: Path) -> list[tuple[str, bytes]]:
    """Name and bytes of the recorded feeds, in the order of their names."""
    found = (
        path for path in sorted(folder.rglob("*")) if path.is_file() and path.suffix not in {".json", ".md", ".py"}
    )
    return [(path.name, path.read_bytes()) for path in found if path.stat().st_size >= SMALLEST_BYTES]


def made() -> list[tuple[str, bytes]]:
    """Feeds of the usual kinds, where none were recorded: teasers, full texts, and full texts in an old encoding."""
    return [
        ("teasers", rss(feed_items(60, body="A sentence of the article, and the next one. " * 4))),
        ("full texts", rss(feed_items(30, body="<p>A paragraph of the article &amp; more.</p>" * 120))),
        (
            "Chinese full texts",
            rss(feed_items(30, body="<p>今天上午，市政府宣布新建两条地铁线路。</p>" * 60), "gb2312"),
        ),
    ]


def feed_items(count: int, *, body: str = "") -> str:
    """So many RSS items, the newest last."""
    first = datetime(2020, 1, 1, tzinfo=UTC)
    return "".join(
        f"<item><title>Title {number}</title><link>https://news.example/a/{number}</link><guid>g{number}</guid>"
        f"<pubDate>{format_datetime(first + timedelta(minutes=number))}</pubDate>"
        + (f"<description><![CDATA[{body}]]></description></item>" if body else "</item>")
        for number in range(count)
    )


def rss(items: str, encoding: str = "utf-8") -> bytes:
    document = f'<?xml version="1.0" encoding="{encoding}"?><rss version="2.0"><channel>{items}</channel></rss>'
    return document.encode(encoding, "xmlcharrefreplace")


def read_by_both(files: Sequence[tuple[str, bytes]], *, passes: int) -> list[Reading]:
    """Every file by one and by the other in turn, so that a slow moment of the machine hits both."""
    best: dict[str, tuple[float, float]] = {}
    entries: dict[str, int] = {}
    for _ in range(passes):
        for name, body in files:
            ours_s, entries[name] = _timed(partial(_ours, body))
            theirs_s, _ = _timed(partial(feedparser.parse, body))
            before = best.get(name, (ours_s, theirs_s))
            best[name] = min(before[0], ours_s), min(before[1], theirs_s)
    return [
        Reading(
            name=name,
            kilobytes=len(body) / 1024,
            entries=entries[name],
            ours_ms=best[name][0] * 1000,
            theirs_ms=best[name][1] * 1000,
        )
        for name, body in files
    ]


def _ours(body: bytes) -> int:
    return len(parse_feed(body, content_type="application/xml", url=URL, now=NOW).entries)


def _timed(work: Callable[[], Any]) -> tuple[float, Any]:
    """CPU seconds of this process, and what came of it."""
    began_s = time.process_time()
    result = work()
    return time.process_time() - began_s, result


# ---------------------------------------------------------------- hostile documents


def hostile() -> dict[str, Callable[[], bytes]]:
    """What no feed should be; each is made when it is asked for."""
    item = "<item><title>{}</title><link>/1</link></item>"
    attributes = "".join(f' a{number}="1"' for number in range(100_000))
    return {
        "100,000 items": lambda: rss(feed_items(100_000)),
        "100,000 items, cut": lambda: rss(feed_items(100_000))[:-1000],
        "100,000 attributes": lambda: rss(item.format("T").replace("<item", f"<item{attributes}")),
        "a description of 20 MB": lambda: rss(f"<item><description>{'text ' * 4_000_000}</description></item>"),
        "a description of 15 MB": lambda: rss(f"<item><description>{'text ' * 3_000_000}</description></item>"),
        "20,000 nested elements": lambda: rss(item.format("<b>" * 20_000 + "T" + "</b>" * 20_000) + item.format("U")),
        "quadratic entities": lambda: (
            b'<!DOCTYPE x [<!ENTITY e "' + b"a" * 50_000 + b'">]>' + rss(item.format("&e;" * 50_000))
        ),
        "1,000,000 references": lambda: rss(item.format("&lt;" * 1_000_000)),
        "600,000 tags": lambda: rss("<a/>" * 599_000),
        "3,000,000 tags": lambda: rss("<a/>" * 3_000_000),
        "CDATA sections without an end": lambda: rss("<item><![CDATA[" * 500_000),
    }


def outcomes() -> list[Outcome]:
    """Each document in a process of its own, for its memory."""
    context = multiprocessing.get_context("spawn")
    with context.Pool(1, maxtasksperchild=1) as pool:
        return pool.map(_outcome, hostile(), chunksize=1)


def _outcome(name: str) -> Outcome:
    _ours(rss(feed_items(3)))  # what is made once in a process is not this document's
    body = hostile()[name]()
    Path("/proc/self/clear_refs").write_text("5")  # the peak counts from here
    before = _kilobytes("VmRSS")
    began_s = time.process_time()
    try:
        feed = parse_feed(body, content_type=None, url=URL, now=NOW)
        outcome = f"{len(feed.entries)} entries, {feed.entries_left_out} left out{', damaged' if feed.damaged else ''}"
    except QuarantineError as error:
        outcome = error.reason
    return Outcome(
        name=name,
        megabytes=len(body) / 2**20,
        outcome=outcome,
        cpu_s=time.process_time() - began_s,
        peak_mb=max(0, _kilobytes("VmHWM") - before) / 1024,
    )


def _kilobytes(field: str) -> int:
    """Of this process's memory, as Linux counts it."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{field}:"))


# ---------------------------------------------------------------- the report


def arguments(given: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.feeds", description=__doc__)
    parser.add_argument("--feeds", type=Path, default=RECORDED, help="folder of recorded feeds; else made ones")
    parser.add_argument(
        "--passes", type=int, default=5, help="over all files, by both in turn; the best of each counts"
    )
    parser.add_argument("--short", action="store_true", help=f"{SHORT_FILES} files, two passes: does it hold at all?")
    parser.add_argument("--json", action="store_true", help="machine-readable")
    return parser.parse_args(given)


def faults(readings: Sequence[Reading], found: Sequence[Outcome]) -> list[str]:
    """What is above its limit, as sentences."""
    ratio = total_ratio(readings)
    slow = [f"{one.name}: {one.cpu_s:.1f} s CPU" for one in found if one.cpu_s > MOST_CPU_S]
    return [*slow, *([f"{ratio:.3f} of feedparser's CPU"] if ratio > MOST_OF_FEEDPARSER else [])]


def total_ratio(readings: Sequence[Reading]) -> float:
    return sum(one.ours_ms for one in readings) / sum(one.theirs_ms for one in readings)


def main(given: Sequence[str] | None = None) -> int:
    """Measure and report. Returns: 0; 1 when a limit is broken."""
    asked = arguments(given)
    files = recorded(asked.feeds) or made()
    readings = read_by_both(files[:SHORT_FILES] if asked.short else files, passes=2 if asked.short else asked.passes)
    found = outcomes()
    wrong = faults(readings, found)
    if asked.json:
        report = {"machine": machine(), "ratio": total_ratio(readings), "faults": wrong}
        report |= {"readings": list(map(asdict, readings)), "hostile": list(map(asdict, found))}
        print(json.dumps(report, indent=2))
    else:
        _print(readings, found)
    for fault in wrong:
        print(f"FAULT: {fault}", file=sys.stderr)
    return 1 if wrong else 0


def _print(readings: Sequence[Reading], found: Sequence[Outcome]) -> None:
    ours_ms = sum(one.ours_ms for one in readings)
    entries, ratio = sum(one.entries for one in readings), total_ratio(readings)
    print(machine())
    print(
        f"{len(readings)} feeds of {sum(one.kilobytes for one in readings) / len(readings):.0f} KB, {entries} entries"
    )
    print(f"newsmill {ours_ms / len(readings):.2f} ms CPU a feed, {entries / ours_ms * 1000:,.0f} entries a CPU second")
    print(f"feedparser {ours_ms / ratio / len(readings):.2f} ms CPU a feed; newsmill / feedparser: 1/{1 / ratio:.1f}")
    print("\nnearest to feedparser")
    for one in sorted(readings, key=lambda one: -one.ratio)[:WORST]:
        print(f"  {one.name:<34} {one.kilobytes:>6.0f} KB {one.ours_ms:>8.2f} ms  1/{1 / one.ratio:.1f}")
    print("\nhostile documents")
    for bad in found:
        size, cost = f"{bad.megabytes:>6.1f} MB", f"{bad.cpu_s:>6.2f} s {bad.peak_mb:>5.0f} MB"
        print(f"  {bad.name:<34} {size} {cost}  {bad.outcome}")


if __name__ == "__main__":
    sys.exit(main())
