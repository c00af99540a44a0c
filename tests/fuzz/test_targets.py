"""The fuzz targets on what they begin with: quick, without a fuzzer."""

from __future__ import annotations

import pytest

from tests.fuzz.engine import tried
from tests.fuzz.targets import TARGETS


@pytest.mark.parametrize("name", TARGETS)
def test_what_a_fuzzer_begins_with_keeps_its_promise(name: str) -> None:
    target = TARGETS[name]
    seeds = list(target.seeds())
    assert len(seeds) > 1
    for seed in seeds:
        tried(target.run, seed[: target.longest])
