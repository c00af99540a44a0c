"""Fuzzing, by hand and in CI: ``make test-fuzz``, or one target: ``python -m tests.fuzz url --seconds 60``.

Each target runs in a process of its own under atheris (libFuzzer: mutations that reach new code are kept and mutated
further), in ``.fuzz/``: what was found to be of use stays there for the next time. A failure's input is written there
too, with the command that tries it again.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.conftest import REPOSITORY
from tests.fuzz.engine import LIMIT_S, tried
from tests.fuzz.targets import TARGETS, Target

HOME = REPOSITORY / ".fuzz"
HANGS_S = 30  # by the clock: others may have the processor
RSS_MB = 1024


def fuzzed(name: str, target: Target, *, seconds: int, runs: int | None) -> bool:
    """Run one target for so long; or with so many inputs, which are the same ones each time.

    Returns: nothing was found.
    """
    failures = HOME / "failures"
    failures.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as beside:
        corpus, seeds, words = Path(beside) / "corpus", Path(beside) / "seeds", Path(beside) / "words"
        bounds = [f"-runs={runs}", "-seed=1"]
        if runs is None:
            corpus, bounds = HOME / "corpus" / name, [f"-max_total_time={seconds}"]
        for folder in (corpus, seeds):
            folder.mkdir(parents=True, exist_ok=True)
        for number, seed in enumerate(target.seeds()):
            (seeds / str(number)).write_bytes(seed[: target.longest])
        words.write_text("".join(f'"{_in_hex(word)}"\n' for word in target.words or ("\x00",)))
        engine = [
            *(sys.executable, "-m", "tests.fuzz.engine", name, str(corpus), str(seeds)),
            *(
                *bounds,
                f"-max_len={target.longest}",
                f"-timeout={HANGS_S}",
                f"-rss_limit_mb={RSS_MB}",
            ),
            *(f"-dict={words}", f"-artifact_prefix={failures}/{name}-", "-print_final_stats=1", "-use_value_profile=0"),
        ]
        done = subprocess.run(engine, cwd=REPOSITORY, capture_output=True, text=True, errors="replace", check=False)
    said = done.stdout + done.stderr
    executed = re.findall(r"number_of_executed_units:\s*(\d+)", said)
    if done.returncode == 0:
        print(f"{name}: {executed[-1] if executed else '?'} inputs, nothing found", flush=True)
        return True
    print(f"{name}: FAILED\n{_what_failed(said)}")
    for path in re.findall(r"Test unit written to (\S+)", said):
        print(f"Try it again: {Path(sys.executable).relative_to(REPOSITORY)} -m tests.fuzz {name} {path}", flush=True)
    return False


def _what_failed(said: str) -> str:
    """The exception's traceback, or libFuzzer's own last words: a time-out, too much memory."""
    _, exception, rest = said.partition("=== Uncaught Python exception: ===")
    return rest.partition("==")[0].strip() if exception else said[-2000:]


def _in_hex(word: str) -> str:
    return "".join(f"\\x{byte:02x}" for byte in word.encode())


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("target", nargs="?", choices=TARGETS, help="none: all of them, one after the other")
    parser.add_argument("inputs", nargs="*", type=Path, help="try these files once, without a fuzzer")
    parser.add_argument("--seconds", type=int, default=3600, help="for all together")
    parser.add_argument("--runs", type=int, help="instead: so many inputs (some targets take more), always the same")
    asked = parser.parse_args()
    if asked.inputs:
        for path in asked.inputs:
            tried(TARGETS[asked.target].run, path.read_bytes())
            print(f"{path}: well, within {LIMIT_S} s")
        return 0
    chosen = {asked.target: TARGETS[asked.target]} if asked.target else TARGETS
    shares = sum(target.share for target in chosen.values())
    went_well = [
        fuzzed(
            name,
            target,
            seconds=max(1, asked.seconds * target.share // shares),
            runs=None if asked.runs is None else asked.runs * target.share,
        )
        for name, target in chosen.items()
    ]
    return 0 if all(went_well) else 1


if __name__ == "__main__":
    sys.exit(main())
