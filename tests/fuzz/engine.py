"""One target under atheris, in this process: what ``python -m tests.fuzz`` starts, with libFuzzer's own arguments."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

LIMIT_S = 2.0  # of the processor for one input, with all that counts the code's steps


def tried(run: Callable[[bytes], None], data: bytes) -> None:
    """Run a target once. Raises: AssertionError: it took too long; whatever breaks its promise."""
    began = time.process_time()
    run(data)
    took_s = time.process_time() - began
    assert took_s < LIMIT_S, f"one input of {len(data)} bytes took {took_s:.1f} s"


def main() -> None:
    import atheris  # noqa: PLC0415 - no dependency of ours: ``make test-fuzz`` installs it in .fuzz

    with atheris.instrument_imports(include=["worker", "protego"]):
        from tests.fuzz.targets import TARGETS  # noqa: PLC0415 - what is imported here is watched
    name = sys.argv.pop(1)
    run = TARGETS[name].run
    atheris.Setup(sys.argv, lambda data: tried(run, data))
    atheris.Fuzz()


if __name__ == "__main__":
    main()
