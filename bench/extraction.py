"""``python -m bench.extraction``: how much of an article is read out of its page, and at what cost, beside libraries.

The recorded pages with known answers (else the sample newsroom's own), each read by newsmill and by every library in
turn: text with its error, by language, by half of the hosts, title, author, date and picture, CPU as a whole and by
step, where text is lost and the worst pages. See docs/benchmarks.md. Writes nothing but its report.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from bench.extraction_pages import FOLDERS, RECORDED, GoldPage, recorded, sample_pages, spread
from bench.extraction_peers import BASELINE, EXTRACTORS, NEWSMILL, MissingPeerError, extractors, held_out
from bench.extraction_report import (
    ConfidenceRow,
    CostRow,
    FieldRow,
    LanguageRow,
    LossRow,
    TextRow,
    WorstRow,
    by_folder,
    by_part,
    confidence_rows,
    cost_rows,
    field_rows,
    language_rows,
    loss_rows,
    show_confidences,
    show_costs,
    show_fields,
    show_languages,
    show_losses,
    show_steps,
    show_texts,
    show_worst,
    text_rows,
    worst_rows,
)
from bench.extraction_run import Outcome, outcomes
from bench.extraction_scores import page_score
from bench.extraction_steps import Step, steps
from bench.report import machine

NOT_INDEPENDENT = (
    "readability"  # its answers are another extractor's output: not in the languages, the worst, the faults
)
SHORT_PAGES = 6  # of each folder
SAMPLE_COMPOSED = 8
WARM_PAGES = 4  # of each folder
PROGRESS_EVERY = 50  # pages, where no terminal shows a bar
MOST_CPU_S = 2.0  # of any page, by newsmill
HELD_OUT = "Each page was read with a model of newsmill's that has learnt nothing from its site."
LEARNT = "newsmill's model has learnt from these pages of fundus and wcxb: its texts are better here than elsewhere."
LEAST_SHORT_F1 = 0.8  # of a few pages: far below what it is, far above what a broken extractor gives


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """Everything that is told, as it is written with --json."""

    machine: str
    pages_from: str
    is_held_out: bool  # whether newsmill's model had learnt nothing from the site of a page
    texts: list[TextRow]
    costs: list[CostRow]
    fields: list[FieldRow]
    languages: list[LanguageRow]
    holdout: list[TextRow]
    losses: list[LossRow]
    worst: list[WorstRow]
    confidences: list[ConfidenceRow]
    steps: list[Step]
    faults: list[str]
    f1: dict[str, dict[str, float]]  # page -> extractor -> F1


def arguments(given: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.extraction", description=__doc__)
    parser.add_argument(
        "--pages", type=Path, default=RECORDED, help="folders of pages and answers; else the sample's own"
    )
    parser.add_argument("--folder", choices=FOLDERS, action="append", help="only this folder; may be repeated")
    parser.add_argument("--part", type=int, choices=(0, 1), help="only this half of the hosts")
    parser.add_argument("--only", choices=EXTRACTORS, action="append", help="only this extractor; may be repeated")
    parser.add_argument(
        "--models", type=Path, help="folder of newsmill's models by fold: no page by one that knows its site"
    )
    parser.add_argument("--short", action="store_true", help=f"{SHORT_PAGES} pages a folder: does it hold at all?")
    parser.add_argument("--json", action="store_true", help="machine-readable")
    return parser.parse_args(given)


def pages_asked(asked: argparse.Namespace) -> tuple[list[GoldPage], str]:
    """The pages, and where they are from in a word.

    Raises: SystemExit: there are recorded pages, but none that was asked for.
    """
    pages = recorded(asked.pages, asked.folder or FOLDERS)
    if not pages:
        print(
            f"No recorded pages at {asked.pages}: the sample newsroom's own are read, a few easy ones.", file=sys.stderr
        )
        return sample_pages(SAMPLE_COMPOSED), "sample"
    chosen = [page for page in pages if asked.part is None or page.part == asked.part]
    return spread(chosen, SHORT_PAGES) if asked.short else chosen, "recorded"


@contextmanager
def progress(pages: int) -> Iterator[Any]:
    """A bar on a terminal's standard error, else a line now and then. Gives what hears how many pages are done."""
    console = Console(stderr=True)
    columns = (TextColumn("reading pages"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("", total=pages)

        def told(done: int) -> None:
            bar.update(task, completed=done)
            if not console.is_terminal and done % PROGRESS_EVERY == 0:
                print(f"{done} of {pages} pages", file=sys.stderr, flush=True)

        yield told


def reported(
    found: Mapping[str, Sequence[Outcome]],
    made_of: Sequence[Step],
    *,
    pages_from: str,
    is_held_out: bool,
    is_short: bool,
) -> Report:
    pages = [one.page for one in next(iter(found.values()))]
    scores = {name: [page_score(one.page.text, one.text) for one in mine] for name, mine in found.items()}
    independent = [place for place, page in enumerate(pages) if page.folder != NOT_INDEPENDENT]
    their_pages = [pages[place] for place in independent]
    their_scores = {name: [mine[place] for place in independent] for name, mine in scores.items()}
    their_found = {name: [mine[place] for place in independent] for name, mine in found.items()}
    has_ours, main = NEWSMILL in found and bool(independent), [name for name in (NEWSMILL, BASELINE) if name in found]
    texts = text_rows(pages, scores, by_folder)
    return Report(
        machine=machine(),
        pages_from=pages_from,
        is_held_out=is_held_out,
        texts=texts,
        costs=cost_rows(found),
        fields=field_rows(found),
        languages=language_rows(their_pages, their_scores) if has_ours else [],
        holdout=sorted(text_rows(their_pages, {name: their_scores[name] for name in main}, by_part), key=_group)
        if has_ours
        else [],
        losses=loss_rows({name: their_found[name] for name in main}) if has_ours else [],
        worst=worst_rows(their_found, their_scores) if has_ours else [],
        confidences=confidence_rows(their_found[NEWSMILL], their_scores[NEWSMILL]) if has_ours else [],
        steps=list(made_of),
        faults=faults(found.get(NEWSMILL, ()), texts, is_short=is_short),
        f1={
            page.id: {name: round(mine[place].f1, 4) for name, mine in scores.items()}
            for place, page in enumerate(pages)
        },
    )


def _group(row: TextRow) -> str:
    return row.group


def faults(ours: Sequence[Outcome], texts: Sequence[TextRow], *, is_short: bool) -> list[str]:
    """What must not be, as sentences: newsmill fails on a page or takes too long for it; its texts are behind."""
    wrong = [f"{one.page.id}: {one.error}" for one in ours if one.error]
    wrong += [f"{one.page.id}: a bug of ours" for one in ours if one.extracted.not_article == "failed"]
    wrong += [f"{one.page.id}: {one.cpu_s:.1f} s CPU" for one in ours if one.cpu_s > MOST_CPU_S]
    for row in texts:
        if row.extractor != NEWSMILL or row.group == NOT_INDEPENDENT:
            continue
        if row.score.f1 < LEAST_SHORT_F1:
            wrong.append(f"{row.group}: F1 {row.score.f1:.3f}")
        elif not is_short and row.lead is not None and row.lead.f1 < 0:
            wrong.append(f"{row.group}: F1 {row.score.f1:.3f}, {-row.lead.f1:.3f} behind {BASELINE}")
    return wrong


def tell(report: Report) -> None:
    """Everything as tables; what there is nothing of is left out."""
    print(f"{len(report.f1)} {report.pages_from} pages, {report.machine}")
    if report.pages_from == "recorded":
        print(HELD_OUT if report.is_held_out else LEARNT)
    print("Text; the dek is joined in front where the answers count it in (fundus). Lead: F1 over trafilatura's.\n")
    show_texts(report.texts, "pages")
    print("\nCPU\n")
    show_costs(report.costs)
    print("\nTitle, author, date, picture: exact / lenient\n")
    show_fields(report.fields)
    parts = (
        ("By language of the answer, without readability's pages", report.languages, show_languages),
        ("By half of the hosts: rules were written on part 0", report.holdout, _show_holdout),
        ("Where text is lost, in per cent of a page", report.losses, show_losses),
        (f"newsmill's worst {len(report.worst)} pages", report.worst, show_worst),
        ("newsmill's confidence", report.confidences, show_confidences),
        ("newsmill's CPU by step, a page", report.steps, show_steps),
    )
    for heading, rows, shown in parts:
        if rows:
            print(f"\n{heading}\n")
            shown(rows)


def _show_holdout(rows: Sequence[TextRow]) -> None:
    show_texts(rows, "pages")


def main(given: Sequence[str] | None = None) -> int:
    """Measure and report. Returns: 0; 1 when newsmill fails on a page or is behind; 2 when a library is missing."""
    asked = arguments(given)
    try:
        chosen = extractors(asked.only or list(EXTRACTORS))
    except MissingPeerError as error:
        print(error, file=sys.stderr)
        return 2
    if asked.models is not None and NEWSMILL in chosen:
        chosen[NEWSMILL] = held_out(asked.models)
    pages, pages_from = pages_asked(asked)
    with progress(len(pages)) as told:
        found = outcomes(pages, chosen, warm_pages=spread(pages, WARM_PAGES), told=told)
    made_of = steps(pages) if NEWSMILL in chosen else []
    report = reported(
        found,
        made_of,
        pages_from=pages_from,
        is_held_out=asked.models is not None,
        is_short=asked.short or pages_from != "recorded",
    )
    if asked.json:
        print(json.dumps(asdict(report), indent=2))
    else:
        tell(report)
    for fault in report.faults:
        print(f"FAULT: {fault}", file=sys.stderr)
    return 1 if report.faults else 0


if __name__ == "__main__":
    sys.exit(main())
