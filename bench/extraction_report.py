"""What the outcomes amount to: rows that people read as tables and programs as JSON.

``scores``, ``text_rows`` and ``show_texts`` need no more than {page id: text}, so that whoever trains or compares rules
can report as the bench does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from bench.extraction_pages import GoldPage, language_of_gold
from bench.extraction_peers import BASELINE, NEWSMILL
from bench.extraction_run import Outcome
from bench.extraction_scores import (
    FieldScore,
    Lead,
    Loss,
    PageScore,
    TextScore,
    date_score,
    lead,
    losses,
    page_score,
    picture_score,
    reason,
    text_score,
    title_score,
)
from bench.extraction_steps import Step
from worker.cli import show

WORST = 10
GOOD = 0.9  # an F1 that a confident extraction should reach
CONFIDENCES = (0.9, 0.7, 0.5, 0.0)  # lower ends of bands


@dataclass(frozen=True, slots=True, kw_only=True)
class TextRow:
    """One extractor's texts of one group of pages."""

    group: str
    extractor: str
    score: TextScore
    lead: Lead | None  # over the baseline; None: it is the baseline, or was not measured


@dataclass(frozen=True, slots=True, kw_only=True)
class CostRow:
    """What one extractor's calls for the pages of a folder took, and how many came to nothing."""

    group: str
    extractor: str
    cpu_ms: float  # a page
    pages_per_cpu_s: float
    times_baseline: float | None  # how many pages it reads while the baseline reads one
    empty: int
    errors: int
    refused: int  # called no article


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldRow:
    group: str
    extractor: str
    title: FieldScore | None
    author: FieldScore | None
    date: FieldScore | None
    picture: FieldScore | None


@dataclass(frozen=True, slots=True, kw_only=True)
class LossRow:
    """Where one extractor loses: means over the pages of a folder, in shares of a page."""

    group: str
    extractor: str
    shares: Mapping[Loss, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class LanguageRow:
    language: str
    pages: int
    newsmill: TextScore
    baseline: float | None
    best_peer: str | None  # None: no other library was measured
    best: float | None
    lead: Lead | None  # over the baseline


@dataclass(frozen=True, slots=True, kw_only=True)
class WorstRow:
    page: str
    f1: float
    baseline: float | None
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfidenceRow:
    """Pages by what newsmill thinks of its own result."""

    at_least: float
    pages: int
    mean_f1: float
    good: float  # share of them that reach GOOD


Scores = Mapping[str, Sequence[PageScore]]  # of each extractor, in the order of the pages


# ---------------------------------------------------------------- rows


def scores(pages: Sequence[GoldPage], texts: Mapping[str, str]) -> list[PageScore]:
    """Of texts by page id; a page without one counts as empty."""
    return [page_score(page.text, texts.get(page.id, "")) for page in pages]


def text_rows(
    pages: Sequence[GoldPage], all_scores: Scores, group: Callable[[GoldPage], str], *, baseline: str = BASELINE
) -> list[TextRow]:
    """F1 with its error by group, in the order in which groups appear, and the lead over one of the extractors.

    Args:
        all_scores: Of each extractor, in the order of the pages.
    """
    rows = []
    for name, places in _groups(pages, group).items():
        for extractor, mine in all_scores.items():
            chosen = [mine[place] for place in places]
            theirs = [all_scores[baseline][place] for place in places] if baseline in all_scores else None
            ahead = lead(chosen, theirs) if theirs and extractor != baseline else None
            rows.append(TextRow(group=name, extractor=extractor, score=text_score(chosen), lead=ahead))
    return rows


def by_folder(page: GoldPage) -> str:
    return page.folder


def by_part(page: GoldPage) -> str:
    """Folder and half of the hosts; see ``GoldPage.part``."""
    return f"{page.folder}, part {page.part}"


def _groups(pages: Sequence[GoldPage], group: Callable[[GoldPage], str]) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for place, page in enumerate(pages):
        found.setdefault(group(page), []).append(place)
    return found


def language_rows(pages: Sequence[GoldPage], all_scores: Scores) -> list[LanguageRow]:
    """By the language of the answer, the most pages first."""
    rows = []
    peers = [name for name in all_scores if name != NEWSMILL]
    for language, places in _groups(pages, lambda page: language_of_gold(page.text)).items():
        chosen = {name: [mine[place] for place in places] for name, mine in all_scores.items()}
        peer_f1 = {name: text_score(chosen[name]).f1 for name in peers}
        best = max(peer_f1, key=lambda name: peer_f1[name], default=None)
        rows.append(
            LanguageRow(
                language=language,
                pages=len(places),
                newsmill=text_score(chosen[NEWSMILL]),
                baseline=peer_f1.get(BASELINE),
                best_peer=best,
                best=peer_f1[best] if best else None,
                lead=lead(chosen[NEWSMILL], chosen[BASELINE]) if BASELINE in chosen else None,
            )
        )
    return sorted(rows, key=lambda row: -row.pages)


def cost_rows(outcomes: Mapping[str, Sequence[Outcome]]) -> list[CostRow]:
    rows = []
    for group, places in _groups(_pages(outcomes), by_folder).items():
        for extractor, found in outcomes.items():
            mine = [found[place] for place in places]
            spent_s = _cpu_s(mine)
            baseline_s = _cpu_s([outcomes[BASELINE][place] for place in places]) if BASELINE in outcomes else None
            rows.append(
                CostRow(
                    group=group,
                    extractor=extractor,
                    cpu_ms=spent_s / len(mine) * 1000,
                    pages_per_cpu_s=len(mine) / spent_s,
                    times_baseline=baseline_s / spent_s if baseline_s is not None else None,
                    empty=sum(not one.extracted.text.strip() for one in mine),
                    errors=sum(one.error is not None for one in mine),
                    refused=sum(one.extracted.not_article is not None for one in mine),
                )
            )
    return rows


def _pages(outcomes: Mapping[str, Sequence[Outcome]]) -> list[GoldPage]:
    return [one.page for one in next(iter(outcomes.values()))]


def _cpu_s(outcomes: Iterable[Outcome]) -> float:
    return sum(one.cpu_s for one in outcomes)


def field_rows(outcomes: Mapping[str, Sequence[Outcome]]) -> list[FieldRow]:
    rows = []
    for group, places in _groups(_pages(outcomes), by_folder).items():
        for extractor, found in outcomes.items():
            mine = [found[place] for place in places]
            rows.append(
                FieldRow(
                    group=group,
                    extractor=extractor,
                    title=title_score([(one.page.title, one.extracted.title) for one in mine if one.page.title]),
                    author=title_score([(one.page.author, one.extracted.author) for one in mine if one.page.author]),
                    date=date_score([(one.page.date, one.extracted.date) for one in mine if one.page.date]),
                    picture=picture_score([(one.page, one.extracted.image) for one in mine]),
                )
            )
    return rows


def loss_rows(outcomes: Mapping[str, Sequence[Outcome]]) -> list[LossRow]:
    rows = []
    for group, places in _groups(_pages(outcomes), by_folder).items():
        for extractor, found in outcomes.items():
            total = dict.fromkeys(Loss, 0.0)
            for place in places:
                for loss, share in losses(found[place].page.text, found[place].text).items():
                    total[loss] += share
            shares = {loss: share / len(places) for loss, share in total.items()}
            rows.append(LossRow(group=group, extractor=extractor, shares=shares))
    return rows


def worst_rows(outcomes: Mapping[str, Sequence[Outcome]], all_scores: Scores) -> list[WorstRow]:
    """newsmill's worst pages, the worst first."""
    ours = all_scores[NEWSMILL]
    theirs = all_scores.get(BASELINE)
    places = sorted(range(len(ours)), key=lambda place: ours[place].f1)[:WORST]
    return [
        WorstRow(
            page=one.page.id,
            f1=ours[place].f1,
            baseline=theirs[place].f1 if theirs else None,
            reason=one.error or reason(losses(one.page.text, one.text), one.text),
        )
        for place in places
        for one in [outcomes[NEWSMILL][place]]
    ]


def confidence_rows(outcomes: Sequence[Outcome], ours: Sequence[PageScore]) -> list[ConfidenceRow]:
    """Bands of confidence that have pages, the highest first."""
    bands: dict[float, list[float]] = {low: [] for low in CONFIDENCES}
    for one, score in zip(outcomes, ours, strict=True):
        confidence = one.extracted.confidence or 0.0
        bands[next(low for low in CONFIDENCES if confidence >= low)].append(score.f1)
    return [
        ConfidenceRow(
            at_least=low,
            pages=len(found),
            mean_f1=sum(found) / len(found),
            good=sum(f1 >= GOOD for f1 in found) / len(found),
        )
        for low, found in bands.items()
        if found
    ]


# ---------------------------------------------------------------- tables


def show_texts(rows: Sequence[TextRow], heading: str) -> None:
    show.table(
        (heading, "extractor", "pages", "F1", "±", "precision", "recall", "lead", "±"),
        [
            (
                row.group,
                row.extractor,
                row.score.pages,
                _share(row.score.f1),
                _share(row.score.f1_error),
                _share(row.score.precision),
                _share(row.score.recall),
                *_lead(row.lead),
            )
            for row in rows
        ],
    )


def show_costs(rows: Sequence[CostRow]) -> None:
    show.table(
        ("pages", "extractor", "CPU ms", "per CPU s", f"x {BASELINE}", "empty", "errors", "refused"),
        [
            (
                row.group,
                row.extractor,
                f"{row.cpu_ms:.1f}",
                f"{row.pages_per_cpu_s:.1f}",
                f"{row.times_baseline:.2f}" if row.times_baseline is not None else "",
                row.empty,
                row.errors,
                row.refused,
            )
            for row in rows
        ],
    )


def show_fields(rows: Sequence[FieldRow]) -> None:
    """Exact and lenient shares."""
    show.table(
        ("pages", "extractor", "title", "author", "date", "picture"),
        [
            (row.group, row.extractor, *map(_field, (row.title, row.author, row.date, row.picture)))
            for row in rows
            if any(one and one.given for one in (row.title, row.author, row.date, row.picture))
        ],
    )


def show_languages(rows: Sequence[LanguageRow]) -> None:
    show.table(
        ("language", "pages", NEWSMILL, "±", BASELINE, "lead", "±", "best library", "F1"),
        [
            (
                row.language,
                row.pages,
                _share(row.newsmill.f1),
                _share(row.newsmill.f1_error),
                _share(row.baseline),
                *_lead(row.lead),
                row.best_peer or "",
                _share(row.best),
            )
            for row in rows
        ],
    )


def show_losses(rows: Sequence[LossRow]) -> None:
    """In per cent of a page."""
    show.table(
        ("pages", "extractor", *Loss),
        [(row.group, row.extractor, *(f"{row.shares[loss] * 100:.1f}" for loss in Loss)) for row in rows],
    )


def show_worst(rows: Sequence[WorstRow]) -> None:
    show.table(
        ("page", "F1", BASELINE, "reason"),
        [(row.page, _share(row.f1), _share(row.baseline), row.reason) for row in rows],
    )


def show_confidences(rows: Sequence[ConfidenceRow]) -> None:
    show.table(
        ("confidence from", "pages", "mean F1", f"F1 >= {GOOD}"),
        [(f"{row.at_least:.1f}", row.pages, _share(row.mean_f1), _share(row.good)) for row in rows],
    )


def show_steps(rows: Sequence[Step]) -> None:
    show.table(
        ("step", "CPU ms", "share"),
        [(row.name, f"{row.cpu_ms:.2f}", f"{row.share:.0%}") for row in rows],
    )


def _share(value: float | None) -> str:
    return f"{value:.3f}" if value is not None else ""


def _lead(value: Lead | None) -> tuple[str, str]:
    return (f"{value.f1:+.3f}", _share(value.error)) if value else ("", "")


def _field(value: FieldScore | None) -> str:
    return f"{value.exact:.3f} / {value.lenient:.3f}" if value and value.given else ""
