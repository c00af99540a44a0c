"""What an extraction spends its CPU on: functions of the product, timed from outside for as long as the bench wants.

The product has no hooks for it. Each function below is replaced, wherever a module of ours holds it, by one that notes
the CPU of its calls, less that of the timed functions it calls.
"""

from __future__ import annotations

import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import wraps
from importlib import import_module
from typing import Any

from bench.extraction_pages import GoldPage
from worker.extract import article

# In the order of the work. What is in none of them is "the rest".
STEPS: dict[str, tuple[str, ...]] = {
    "decode": ("worker.text:decode", "worker.text:sniff_declared"),
    "parse": ("worker.extract.document:parse_html",),
    "leaves": ("worker.extract.leaves:read_leaves",),
    "metadata": ("worker.extract.metadata:read_metadata",),
    "pictures": ("worker.extract.lead:lead_pictures",),
    "features": (
        "worker.extract.features:read_page",
        "worker.extract.features:columns_of",
    ),
    "score": ("worker.extract.scorer:score",),
    "body": ("worker.extract.body:read_body",),
    "blocks": ("worker.extract.blocks:blocks_of", "worker.extract.blocks:read_blocks"),
    "text": ("worker.extract.render:to_text",),
    "clean HTML": ("worker.extract.render:to_html",),
    "Markdown": ("worker.extract.render:to_markdown",),
    "language": ("worker.extract.language:language_of",),
    "is it an article": ("worker.extract.quality:not_article_reason",),
}
REST = "the rest"
OURS = "worker."  # modules that may hold a function under its own or another name


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """Means over the pages."""

    name: str
    cpu_ms: float
    share: float


class Clock:
    """CPU of nested calls, each counted once: a caller's time is without that of the calls it makes."""

    def __init__(self) -> None:
        self.spent_ns: defaultdict[str, int] = defaultdict(int)
        self._inside: list[int] = []  # of each call that is running: CPU of the timed calls in it

    def timed(self, step: str, function: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            self._inside.append(0)
            began_ns = time.process_time_ns()
            try:
                return function(*args, **kwargs)
            finally:
                took_ns = time.process_time_ns() - began_ns
                self.spent_ns[step] += took_ns - self._inside.pop()
                if self._inside:
                    self._inside[-1] += took_ns

        return call


def functions() -> dict[str, list[Callable[..., Any]]]:
    """What the steps name.

    Raises: AttributeError, ModuleNotFoundError: a step names what is no longer there.
    """
    return {
        step: [getattr(import_module(module), name) for module, name in (path.split(":") for path in paths)]
        for step, paths in STEPS.items()
    }


@contextmanager
def replaced(function: Callable[..., Any], other: Callable[..., Any]) -> Iterator[None]:
    """Another function in its place, in every module of ours that has it by any name."""
    places = [
        (module, name)
        for module_name, module in list(sys.modules.items())
        if module_name.startswith(OURS)
        for name, value in list(vars(module).items())
        if value is function
    ]
    for module, name in places:
        setattr(module, name, other)
    try:
        yield
    finally:
        for module, name in places:
            setattr(module, name, function)


def steps(pages: Sequence[GoldPage]) -> list[Step]:
    """What the extraction of these pages is made of; it is warm already. Steps that no page takes are left out."""
    clock = Clock()
    whole = clock.timed(REST, article.extract_article)
    with _all_timed(clock):
        for page in pages:
            whole(page.html(), page.url)
    total_ns = sum(clock.spent_ns.values())
    return [
        Step(name=name, cpu_ms=spent_ns / len(pages) / 1e6, share=spent_ns / total_ns)
        for name in (*STEPS, REST)
        if (spent_ns := clock.spent_ns[name])
    ]


@contextmanager
def _all_timed(clock: Clock) -> Iterator[None]:
    with ExitStack() as stack:
        for step, named in functions().items():
            for function in named:
                stack.enter_context(replaced(function, clock.timed(step, function)))
        yield
