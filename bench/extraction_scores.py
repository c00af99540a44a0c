"""How much of the known text came out, and how much else: the metrics, with their error. Pure.

A page's text is taken as a multiset of runs of four words. Every page weighs the same, however long it is. These are
the metrics of the recorded pages' own scorer, written again; a test holds both to the same numbers.
"""

from __future__ import annotations

import math
import random
import re
import statistics
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from typing import TypeVar
from urllib.parse import unquote, urljoin, urlsplit

from bench.extraction_pages import GoldPage

RUN_WORDS = 4
SAMPLES = 300  # of the bootstrap
LENIENT_OVERLAP = 0.8
KEPT_SHARE = 0.5  # of a line's runs: with more it counts as one that both texts have

_WORD = re.compile(r"\w+")
_DAY = re.compile(r"\d{4}-\d\d-\d\d")
_PICTURE_TYPE = re.compile(r"\.(?:jpe?g|png|webp|gif|avif)$")
_PICTURE_SIZE = re.compile(r"[-_]?\d{2,4}x\d{2,4}|\.(?:jpe?g|png|webp|gif|avif)$")

Run = tuple[str, ...]
Answer = TypeVar("Answer")


# ---------------------------------------------------------------- text


@dataclass(frozen=True, slots=True, kw_only=True)
class PageScore:
    """What became of a page: shares of all runs that are in the answer or in the output, together 1 (0 if none are)."""

    right: float
    extra: float
    missing: float

    @property
    def precision(self) -> float | None:
        """None: nothing came out, which recall pays for."""
        given = self.right + self.extra
        return self.right / given if given else None

    @property
    def recall(self) -> float | None:
        """None: there was nothing to be found."""
        wanted = self.right + self.missing
        return self.right / wanted if wanted else None

    @property
    def f1(self) -> float:
        total = 2 * self.right + self.extra + self.missing
        return 2 * self.right / total if total else 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class TextScore:
    """Of a set of pages: means of precision and recall, the F1 of the two means, and its standard error."""

    pages: int
    f1: float
    precision: float
    recall: float
    f1_error: float | None  # None: of one page


@dataclass(frozen=True, slots=True, kw_only=True)
class Lead:
    """How much better one extractor's F1 is than another's on the same pages."""

    f1: float
    error: float | None


def words(text: str) -> list[str]:
    return _WORD.findall(text)


def runs(tokens: Sequence[str]) -> list[Run]:
    """Every run of four words; a shorter text is one run, an empty one none."""
    if not tokens:
        return []
    return [tuple(tokens[at : at + RUN_WORDS]) for at in range(max(1, len(tokens) - RUN_WORDS + 1))]


def page_score(gold: str, given: str) -> PageScore:
    wanted, found = Counter(runs(words(gold))), Counter(runs(words(given)))
    right = (wanted & found).total()
    extra, missing = found.total() - right, wanted.total() - right
    total = right + extra + missing or 1
    return PageScore(right=right / total, extra=extra / total, missing=missing / total)


def text_score(scores: Sequence[PageScore]) -> TextScore:
    """Raises: ValueError: there are no pages."""
    if not scores:
        raise ValueError("no pages to score")
    f1, precision, recall = _f1_of_means(scores)
    return TextScore(pages=len(scores), f1=f1, precision=precision, recall=recall, f1_error=_spread(_resampled(scores)))


def lead(ours: Sequence[PageScore], theirs: Sequence[PageScore]) -> Lead:
    """The difference of two F1 with its error: the same pages are drawn for both, so that hard ones cancel out."""
    apart = [one - other for one, other in zip(_resampled(ours), _resampled(theirs), strict=True)]
    return Lead(f1=_f1_of_means(ours)[0] - _f1_of_means(theirs)[0], error=_spread(apart))


def _f1_of_means(scores: Sequence[PageScore]) -> tuple[float, float, float]:
    precision = _mean(score.precision for score in scores)
    recall = _mean(score.recall for score in scores)
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0, precision, recall


def _mean(values: Iterable[float | None]) -> float:
    known = [value for value in values if value is not None]
    return math.fsum(known) / len(known) if known else 0.0


def _resampled(scores: Sequence[PageScore]) -> list[float]:
    """The F1 of as many pages drawn at random, again and again; the same draws each time for as many pages."""
    draw = random.Random(0)
    return [_f1_of_means(draw.choices(scores, k=len(scores)))[0] for _ in range(SAMPLES)] if len(scores) > 1 else []


def _spread(values: Sequence[float]) -> float | None:
    return statistics.stdev(values) if values else None


# ---------------------------------------------------------------- where text was lost


class Loss(StrEnum):
    """What is wrong with an output, in the order of a page."""

    MISSING_HEAD = "missing head"
    MISSING_MIDDLE = "missing middle"
    MISSING_TAIL = "missing tail"
    EXTRA_HEAD = "extra head"
    EXTRA_INLINE = "extra inline"
    EXTRA_TAIL = "extra tail"
    TWICE = "twice"  # text of the article that came out once more
    ALL_MISSING = "all missing"
    ALL_EXTRA = "all extra"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Places:
    head: Loss
    middle: Loss
    tail: Loss
    everywhere: Loss  # of a text without a landmark


_MISSING = _Places(
    head=Loss.MISSING_HEAD, middle=Loss.MISSING_MIDDLE, tail=Loss.MISSING_TAIL, everywhere=Loss.ALL_MISSING
)
_EXTRA = _Places(head=Loss.EXTRA_HEAD, middle=Loss.EXTRA_INLINE, tail=Loss.EXTRA_TAIL, everywhere=Loss.ALL_EXTRA)


def losses(gold: str, given: str) -> dict[Loss, float]:
    """Shares of the page, as in ``PageScore``: extra and missing runs by where they are.

    A line that both texts have, for the most part, is a landmark. What is before the first one is head, behind the last
    one tail, else middle or inline; a text without a landmark is missing or extra altogether.
    """
    wanted, found = Counter(runs(words(gold))), Counter(runs(words(given)))
    total = (wanted | found).total() or 1
    missing = _by_place(gold, found, _MISSING)
    extra = _by_place(given, wanted, _EXTRA, again=Loss.TWICE)
    return {loss: count / total for loss, count in (missing + extra).items()}


def _by_place(text: str, other: Counter[Run], places: _Places, again: Loss | None = None) -> Counter[Loss]:
    """The runs of a text that the other has not, by where the lines are in which they begin.

    Args:
        again: What a run is that the other has, but not as often; None: no more than one that it has not.
    """
    line_of = [number for number, line in enumerate(text.split("\n")) for _ in words(line)]
    all_runs = runs(words(text))
    left = other.copy()
    is_shared = []
    for run in all_runs:
        is_shared.append(left[run] > 0)
        left[run] -= 1
    landmarks = _landmarks(line_of, is_shared)
    counted: Counter[Loss] = Counter()
    for run, line, shared in zip(all_runs, line_of, is_shared, strict=False):
        if shared:
            continue
        counted[again if again is not None and run in other else _place(line, landmarks, places)] += 1
    return counted


def _landmarks(line_of: Sequence[int], is_shared: Sequence[bool]) -> range | None:
    """From the first to the last line that both texts have, by the runs that end in the line that they begin in."""
    inside, shared_inside = Counter[int](), Counter[int]()
    for begins, ends, shared in zip(line_of, line_of[RUN_WORDS - 1 :], is_shared, strict=False):
        if begins == ends:
            inside[begins] += 1
            shared_inside[begins] += shared
    found = [line for line, count in inside.items() if shared_inside[line] > count * KEPT_SHARE]
    return range(min(found), max(found) + 1) if found else None


def _place(line: int, landmarks: range | None, places: _Places) -> Loss:
    if landmarks is None:
        return places.everywhere
    if line < landmarks.start:
        return places.head
    return places.middle if line < landmarks.stop else places.tail


def reason(found: Mapping[Loss, float], given: str) -> str:
    """The largest losses of a page in words: ``extra tail 41 %, missing head 6 %``."""
    if not given.strip():
        return "nothing came out"
    largest = sorted(found.items(), key=lambda item: -item[1])[:3]
    return ", ".join(f"{loss} {share:.0%}" for loss, share in largest if share >= 0.01) or "nothing is wrong"


# ---------------------------------------------------------------- title, author, date, picture


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldScore:
    """Shares of the pages whose answer names the field. Lenient: most words, a day apart, a picture of another size."""

    pages: int
    exact: float
    lenient: float
    given: float


def title_score(answers: Sequence[tuple[str, str | None]]) -> FieldScore | None:
    """Of (answer, output): the same words, whatever their case and punctuation; lenient: 4 of 5 of them.

    Authors are scored alike: their names, joined, are a line of words. Returns: None: nothing to score, here and below.
    """
    return _field_score(answers, lambda a, b: _folded(a) == _folded(b), lambda a, b: _overlap(a, b) >= LENIENT_OVERLAP)


def date_score(answers: Sequence[tuple[str, str | None]]) -> FieldScore | None:
    """The same day as written; lenient: or a day apart, as a UTC time and a local date may be."""
    return _field_score(answers, lambda a, b: _day(a) == _day(b), _are_near)


def picture_score(answers: Sequence[tuple[GoldPage, str | None]]) -> FieldScore | None:
    """One of the accepted addresses, less their query; lenient: a file of the same name, less its size."""

    def is_exact(page: GoldPage, url: str) -> bool:
        return _address(url, page.url) in {_address(image, page.url) for image in page.images}

    def is_near(page: GoldPage, url: str) -> bool:
        return is_exact(page, url) or _stem(url) in {_stem(image) for image in page.images} - {""}

    return _field_score([(page, url) for page, url in answers if page.images], is_exact, is_near)


def _field_score(
    answers: Sequence[tuple[Answer, str | None]],
    is_exact: Callable[[Answer, str], bool],
    is_near: Callable[[Answer, str], bool],
) -> FieldScore | None:
    if not answers:
        return None
    given = [(answer, output) for answer, output in answers if output]
    return FieldScore(
        pages=len(answers),
        exact=sum(is_exact(*pair) for pair in given) / len(answers),
        lenient=sum(is_near(*pair) for pair in given) / len(answers),
        given=len(given) / len(answers),
    )


def _folded(line: str) -> list[str]:
    return words(unquote(line.casefold()) if "%" in line else line.casefold())


def _overlap(a: str, b: str) -> float:
    """Twice the shared words over all words of both."""
    ours, theirs = Counter(_folded(a)), Counter(_folded(b))
    return 2 * (ours & theirs).total() / (ours.total() + theirs.total() or 1)


def _day(written: str) -> str:
    """Of an ISO 8601 date or moment; what is none stays as it is."""
    found = _DAY.search(written)
    return found.group() if found else written


def _are_near(a: str, b: str) -> bool:
    try:
        return abs((date.fromisoformat(_day(a)) - date.fromisoformat(_day(b))).days) <= 1
    except ValueError:
        return False


def _address(url: str, base: str | None) -> str:
    parts = urlsplit(urljoin(base or "", url.strip()))
    return parts.netloc.removeprefix("www.") + parts.path


def _stem(url: str) -> str:
    name = unquote(urlsplit(url).path).rstrip("/").rsplit("/", 1)[-1].lower()
    return _PICTURE_SIZE.sub("", _PICTURE_TYPE.sub("", name))
