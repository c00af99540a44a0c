"""Every page by every extractor in turn, and the CPU that each call takes."""

from __future__ import annotations

import gc
import signal
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from bench.extraction_pages import DEK_IN_TEXT, GoldPage
from bench.extraction_peers import Extracted, Extractor, without_network

MOST_CPU_S = 30.0  # of a page: with more it counts as empty


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """One page by one extractor."""

    page: GoldPage
    extracted: Extracted
    cpu_s: float
    error: str | None = None  # then what was extracted is empty

    @property
    def text(self) -> str:
        """As it is compared: where the answers count the dek into the text, it stands in front."""
        dek = self.extracted.dek if self.page.folder in DEK_IN_TEXT else None
        return f"{dek}\n{self.extracted.text}" if dek else self.extracted.text


class _OverTime(BaseException):
    """No Exception: extractors take those for a damaged page and go on."""


def outcomes(
    pages: Sequence[GoldPage],
    extractors: Mapping[str, Extractor],
    *,
    warm_pages: Sequence[GoldPage],
    told: Callable[[int], None],
) -> dict[str, list[Outcome]]:
    """What each extractor makes of each page, in the order of the pages.

    All of them have a page before any has the next one, so that a slow moment of the machine hits all alike; another
    one begins each time.

    Args:
        warm_pages: Read by each before it counts: first uses load tables.
        told: Hears how many pages are done.
    """
    found: dict[str, list[Outcome]] = {name: [] for name in extractors}
    with without_network(), _counted_out(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what a library thinks of a page's dates is not our report
        for page in warm_pages:
            for extract in extractors.values():
                outcome(page, extract)
        gc.collect()
        gc.freeze()  # what the libraries keep is looked at by no later collection, neither theirs nor another's
        names = list(extractors)
        for place, page in enumerate(pages):
            turn = place % len(names)
            for name in names[turn:] + names[:turn]:
                found[name].append(outcome(page, extractors[name]))
            told(place + 1)
        gc.unfreeze()
    return found


def outcome(page: GoldPage, extract: Extractor) -> Outcome:
    """One call; an exception and a call over MOST_CPU_S give an empty outcome with an error."""
    html = page.html()
    gc.collect()  # nobody pays for what another one left
    error, extracted = None, Extracted()
    began_s = time.process_time()
    try:
        signal.setitimer(signal.ITIMER_PROF, MOST_CPU_S)
        extracted = extract(html, page.url)
    except (Exception, _OverTime) as raised:  # noqa: BLE001 - whatever a library raises is its result
        error = f"{type(raised).__name__}: {raised}"[:200]
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
    return Outcome(page=page, extracted=extracted, cpu_s=time.process_time() - began_s, error=error)


@contextmanager
def _counted_out() -> Iterator[None]:
    """A timer that runs out raises in whatever runs then."""

    def over(*_: object) -> None:
        raise _OverTime(f"more than {MOST_CPU_S:g} s CPU")

    before = signal.signal(signal.SIGPROF, over)
    try:
        yield
    finally:
        signal.signal(signal.SIGPROF, before)
