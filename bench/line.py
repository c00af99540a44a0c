"""``python -m bench.line``: what an article costs on the real line, beside a bare loop over the same pages.

A worker of two children and beat run as they do in production, on a broker and a database of this machine, and follow
sites of the loopback news server. See docs/benchmarks.md for what each figure means. Writes nothing but its report.
"""

from __future__ import annotations

import argparse
import json
import socket
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import chain, islice
from pathlib import Path

from bench.measure import CHILDREN, SITES, STACKS, WARM_SITES, BareRun, Conditions, LineRun, bare_runs, line_run
from bench.newsserver import NewsServer
from bench.pages import WARM_PAGES, Extractors, Page, made, recorded
from bench.report import BARE_COLUMNS, LINE_COLUMNS, machine, middle, table

RECORDED = Path(__file__).resolve().parent.parent.parent / "shared" / "extraction-dev"
PORTS: dict[str, tuple[int, ...]] = {"redis": (5432, 6379), "rabbitmq": (5432, 5672)}
SHORT_ARTICLES = 28


def answers(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def stacks_asked(asked: str) -> tuple[str, ...]:
    """Those that can be had here; PostgreSQL with the brokers of this machine, else SQLite with the embedded one.

    Raises: SystemExit: the one that was asked for cannot be had.
    """
    there = tuple(name for name, ports in PORTS.items() if all(map(answers, ports)))
    if asked == "all":
        return there or ("embedded",)
    if asked != "embedded" and asked not in there:
        sys.exit(
            f"--stack {asked} needs servers on 127.0.0.1, ports {PORTS[asked]}: start them, or use --stack embedded"
        )
    return (asked,)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is to be measured."""

    stacks: tuple[str, ...]
    latencies_ms: tuple[float, ...]
    lone: int
    repeats: int
    with_bare: bool
    pictures: bool


def arguments(given: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.line", description=__doc__)
    parser.add_argument("--articles", type=int, default=1000, help="through the line, under backlog")
    parser.add_argument("--stack", choices=["all", *STACKS], default="all", help="brokers")
    parser.add_argument("--latency-ms", default="0,100", help="how much later the sites answer; several with commas")
    parser.add_argument("--lone", type=int, default=20, help="articles that travel alone afterwards")
    parser.add_argument("--repeats", type=int, default=1, help="of everything; medians are shown")
    parser.add_argument("--pages", type=Path, default=RECORDED, help="folder of *.html.gz; made pages if there is none")
    parser.add_argument("--pictures", action="store_true", help="with a lead picture each, from the same site")
    parser.add_argument("--no-bare", action="store_true", help="the line alone")
    parser.add_argument(
        "--short",
        action="store_true",
        help=f"{SHORT_ARTICLES} articles, no bare loop: only whether each was fetched and published exactly once",
    )
    parser.add_argument("--json", action="store_true", help="machine-readable")
    return parser.parse_args(given)


def planned(asked: argparse.Namespace) -> Plan:
    return Plan(
        stacks=stacks_asked(asked.stack),
        latencies_ms=(0.0,) if asked.short else tuple(float(part) for part in asked.latency_ms.split(",")),
        lone=2 if asked.short else asked.lone,
        repeats=1 if asked.short else asked.repeats,
        with_bare=not (asked.no_bare or asked.short),
        pictures=asked.pictures,
    )


def measured(plan: Plan, pages: Sequence[Page], extractors: Extractors) -> tuple[list[LineRun], list[BareRun]]:
    lines: list[LineRun] = []
    bares: list[BareRun] = []
    rounds = range(plan.repeats)
    with NewsServer(sites=SITES + WARM_SITES) as server:
        for name in plan.stacks:
            for latency_ms in plan.latencies_ms:
                server.hold_back(latency_ms / 1000)
                conditions = Conditions(
                    server=server, extractors=extractors, name=name, latency_ms=latency_ms, pictures=plan.pictures
                )
                if plan.with_bare:
                    progress(f"{name}, {latency_ms:g} ms: the bare loop")
                    found = [bare_runs(conditions, pages) for _ in rounds]
                    bares += [middle(same) for same in zip(*found, strict=True)]
                progress(f"{name}, {latency_ms:g} ms: the line")
                lone = pages[: plan.lone] if latency_ms == 0 else []
                lines.append(middle([line_run(conditions, pages, lone=lone) for _ in rounds]))
    return lines, bares


def progress(what: str) -> None:
    """What is being measured now: all of it takes a quarter of an hour."""
    print(what, file=sys.stderr, flush=True)


def main(given: Sequence[str] | None = None) -> int:
    """Measure and report. Returns: 0; 1 when an article was lost, fetched twice or published twice."""
    asked = arguments(given)
    plan = planned(asked)
    count = SHORT_ARTICLES if asked.short else asked.articles
    source = recorded(asked.pages) if asked.pages.is_dir() else made()
    first = list(islice(source, WARM_PAGES))
    progress("extraction alone, page by page")
    with Extractors(first, children=CHILDREN) as extractors:
        pages = extractors.chosen(chain(first, source), count)
        lines, bares = measured(plan, pages, extractors)
    wrong = [fault for run in lines for fault in run.faults]
    if asked.json:
        pages_from = "recorded" if asked.pages.is_dir() else "made"
        facts = {"machine": machine(), "pages": pages_from, "pictures": plan.pictures}
        print(json.dumps({**facts, "line": [asdict(run) for run in lines], "bare": [asdict(run) for run in bares]}))
    else:
        print(f"{count} articles, {machine()}")
        print(table(lines, LINE_COLUMNS))
        if bares:
            print(f"\n{table(bares, BARE_COLUMNS)}")
    for fault in wrong[:20]:
        print(fault, file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
