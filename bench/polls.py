"""``python -m bench.polls``: conditional polls, the registry of very many feeds, and the seen-check among millions.

Each on SQLite and PostgreSQL. Beside the polls, in the same run and on the same server: our own door alone, requests,
urllib3, and our door as it would be without requests. See docs/benchmarks.md for what each figure means. What it makes
is gone afterwards.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from bench import seen
from bench.archive import Figure, progress
from bench.archived import Spent
from bench.newsserver import NewsServer
from bench.polling import (
    Clock,
    Listed,
    conditional,
    installation,
    listed,
    read_once,
    with_door,
    with_requests,
    with_urllib3,
    with_urllib3_door,
)
from bench.processes import cpu_of_named_s
from bench.registry import fill, rounds
from bench.report import machine
from tests.conftest import NEEDS
from worker.fetch.http import Fetcher
from worker.stages import Deps

DATABASES = ("sqlite", "postgres")
SITES = 60  # the door keeps connections to 64
BYTES_A_ROW = 2500  # of a sighting and an article, in either database, while it is filled


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How much of everything."""

    feeds_each: int = 15  # of a site
    repeats: int = 5
    registry: int = 100_000
    registry_sites: int = 20_000
    claimed: int = 5120
    seen: tuple[int, ...] = (1_000_000, 10_000_000)
    seen_feeds: int = 20_000


SHORT = Plan(
    feeds_each=2, repeats=1, registry=2000, registry_sites=500, claimed=400, seen=(10_000, 20_000), seen_feeds=200
)


def arguments(given: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.polls", description=__doc__)
    parser.add_argument("--short", action="store_true", help="a few of everything: only whether all is right")
    parser.add_argument("--only", choices=("polls", "registry", "seen"), help="one part")
    parser.add_argument("--json", action="store_true", help="machine-readable")
    return parser.parse_args(given)


def main(given: Sequence[str] | None = None) -> int:
    """Measure and report. Returns: 0; 1 when a poll, a feed or a known key was lost."""
    asked = arguments(given)
    plan = SHORT if asked.short else Plan()
    there, reason = NEEDS["postgres"]
    databases = DATABASES if there() else DATABASES[:1]
    if databases != DATABASES:
        progress(f"only SQLite: {reason}")
    parts = {"polls": polls, "registry": registry, "seen": among_millions}
    figures: list[Figure] = []
    faults: list[str] = []
    for name, part in parts.items():
        if asked.only in {None, name}:
            figures += part(plan, databases, faults)
    if asked.json:
        print(json.dumps({"machine": machine(), "figures": list(map(asdict, figures)), "faults": faults}, indent=2))
    else:
        print(machine())
        for figure in figures:
            print(f"{figure.what:<66} {figure.value:>9.{2 if figure.unit == 'x' else 1}f} {figure.unit}")
    for fault in faults:
        print(f"FAULT: {fault}", file=sys.stderr)
    return 1 if faults else 0


# ---------------------------------------------------------------- polls


def polls(plan: Plan, databases: Sequence[str], faults: list[str]) -> list[Figure]:
    """Polls answered 304 in a CPU second of the polling process, and what other clients make of the same requests."""
    with NewsServer(sites=SITES) as server:
        given = listed(server, sites=SITES, feeds_each=plan.feeds_each)
        return [figure for database in databases for figure in _polls_on(database, plan, given, faults)]


def _polls_on(database: str, plan: Plan, given: Listed, faults: list[str]) -> list[Figure]:
    progress(f"conditional polls on {database}")
    with tempfile.TemporaryDirectory() as home, installation(database, Path(home), given.addresses) as (deps, clock):
        read_once(deps, clock, given.named)
        ways = _ways(given, deps.fetcher) | {f"polls, {database}": lambda: conditional(deps, clock)}
        server_s, best, slowest_wall_s = cpu_of_named_s({"postgres"}), dict[str, float](), 0.0
        for _ in range(plan.repeats):
            for name, way in ways.items():
                took = way()
                ended = took.result["not-modified"] + took.result[304]
                if ended != len(given.urls):
                    faults.append(f"{name}: {dict(took.result)}, not {len(given.urls)} times 304")
                best[name] = max(best.get(name, 0.0), len(given.urls) / took.cpu_s)
                slowest_wall_s = took.wall_s
        server_ms = (cpu_of_named_s({"postgres"}) - server_s) * 1000 / (plan.repeats * len(given.urls))
    ours = best[f"polls, {database}"]
    figures = [Figure(what=name, value=value, unit="a CPU second") for name, value in best.items()]
    figures += [
        Figure(what=f"polls, {database} / requests alone", value=ours / best["requests alone"], unit="x"),
        Figure(what=f"polls, {database}: by the clock", value=len(given.urls) / slowest_wall_s, unit="a second"),
    ]
    if database == "postgres":
        figures.append(Figure(what="polls, postgres: CPU of the server", value=server_ms, unit="ms a poll"))
    return figures


def _ways(given: Listed, fetcher: Fetcher) -> dict[str, Callable[[], Spent]]:
    return {
        "requests alone": lambda: with_requests(given),
        "urllib3 alone": lambda: with_urllib3(given),
        "our door alone": lambda: with_door(given, fetcher),
        "our door, if it were on urllib3": lambda: with_urllib3_door(given, fetcher),
    }


# ---------------------------------------------------------------- very many feeds


def registry(plan: Plan, databases: Sequence[str], faults: list[str]) -> list[Figure]:
    """Claiming what is due and keeping when it is due again, with few feeds due and with all of them."""
    figures: list[Figure] = []
    for database in databases:
        progress(f"{plan.registry} feeds on {database}")
        with tempfile.TemporaryDirectory() as home, installation(database, Path(home), {}) as (deps, clock):
            fill(deps, count=plan.registry, sites=plan.registry_sites, now=clock())
            for due, every in ((plan.claimed, plan.registry // plan.claimed), (plan.registry, 1)):
                told = f"{database}, {'all' if every == 1 else f'one in {every}'} due"
                figures += _claimed(deps, clock, plan, told, due=due, every=every, faults=faults)
    return figures


def _claimed(
    deps: Deps, clock: Clock, plan: Plan, told: str, *, due: int, every: int, faults: list[str]
) -> list[Figure]:
    """The best of several times, of each part."""
    best: dict[str, float] = {}
    share = plan.claimed // plan.repeats
    for _ in range(plan.repeats):
        came = rounds(deps, clock, due=due, every=every, until=share)
        if came.feeds < share:
            faults.append(f"{told}: {came.feeds} of {share} due feeds were claimed")
            return []
        parts = {
            "claim": came.claim_s,
            "begin": came.begin_s,
            "reschedule": came.reschedule_s,
            "claim and reschedule": came.claim_s + came.reschedule_s,
            "CPU of the server, all three": came.server_s,
        }
        for name, seconds in parts.items():
            each_us = seconds * 1e6 / came.feeds
            best[name] = min(best.get(name, each_us), each_us)
    shown = [name for name in best if deps.ledger.dialect == "postgresql" or "server" not in name]
    return [Figure(what=f"{told}: {name}", value=best[name], unit="us a feed") for name in shown]


# ---------------------------------------------------------------- among millions


def among_millions(plan: Plan, databases: Sequence[str], faults: list[str]) -> list[Figure]:
    """The seen-check of documents whose entries are all known, and of articles that are."""
    figures: list[Figure] = []
    for database in databases:
        with tempfile.TemporaryDirectory() as home, installation(database, Path(home), {}) as (deps, _):
            seen.prepare(deps.ledger)
            filled = 0
            for rows in plan.seen:
                free = shutil.disk_usage(home).free
                if free < rows * BYTES_A_ROW:
                    progress(f"{rows} rows on {database}: left out, only {free >> 30} GiB are free")
                    break
                progress(f"{rows} rows on {database}")
                seen.fill(deps.ledger, start=filled, stop=rows, feeds=plan.seen_feeds)
                filled = rows
                for what, check in (("entries", seen.entries_known), ("articles", seen.articles_known)):
                    check(deps, rows, plan.seen_feeds, seed=0, faults=faults)
                    came = check(deps, rows, plan.seen_feeds, seed=1, faults=faults)
                    told = f"{database}, {rows:,} rows: known {what}"
                    figures.append(Figure(what=told, value=came.us, unit="us a key"))
                    if database == "postgres":
                        told = f"{told}, CPU of the server"
                        figures.append(Figure(what=told, value=came.server_us, unit="us a key"))
    return figures


if __name__ == "__main__":
    sys.exit(main())
