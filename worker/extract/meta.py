"""What a page's meta elements say, by name."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import lxml.html

MAX_VALUE = 10_000  # characters of one value: the rest is cut

_NAMES = ("property", "name", "itemprop", "http-equiv")


@dataclass(frozen=True, slots=True)
class Meta:
    """Values by lower-case name, in document order; blank ones are left out."""

    by_name: dict[str, list[str]] = field(default_factory=dict)

    def all(self, *names: str) -> list[str]:
        """Every value under these names, those of the first name first."""
        return [value for name in names for value in self.by_name.get(name, ())]

    def first(self, *names: str) -> str | None:
        """The first value under the first of these names that has one."""
        return next(iter(self.all(*names)), None)


def read_meta(elements: Iterable[lxml.html.HtmlElement]) -> Meta:
    """Read ``property``, ``name``, ``itemprop`` and ``http-equiv`` alike: pages mix them up."""
    found: dict[str, list[str]] = {}
    for element in elements:
        value = (element.get("content") or "")[:MAX_VALUE].strip()
        if value:
            keys = {key.strip().lower() for name in _NAMES if (key := element.get(name))}
            for key in keys:
                found.setdefault(key, []).append(value)
    return Meta(found)
