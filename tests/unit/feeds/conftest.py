"""The line in one process, as its stages' tests have it."""

from tests.unit.stages.conftest import line, site

__all__ = ["line", "site"]
