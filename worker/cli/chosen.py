"""Which feeds a person means: slugs that exist and are polled, or a sentence that helps."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import TYPE_CHECKING

from worker.errors import UsageError

if TYPE_CHECKING:  # the database's libraries take a quarter of a second: `--help` does without them
    from worker.ledger.tables import Row


def chosen_feeds(rows: Sequence[Row], slugs: Sequence[str]) -> list[str]:
    """The slugs, each once, in the order given.

    Args:
        rows: The registry's feeds, without the removed ones.
        slugs: As typed.

    Raises: UsageError: one is unknown (naming its neighbours) or switched off (saying how to switch it on).
    """
    known = {row.slug: row for row in rows}
    for slug in slugs:
        if slug not in known:
            raise UsageError(f"There is no feed {slug!r}: {_advice(slug, list(known))}")
        if not known[slug].enabled:
            raise UsageError(f"The feed {slug!r} is switched off: run `newsmill feeds enable {slug}` first.")
    return list(dict.fromkeys(slugs))


def _advice(slug: str, known: Sequence[str]) -> str:
    if not known:
        return "none is followed yet; add one with `newsmill feeds add URL`."
    near = difflib.get_close_matches(slug, known, n=3, cutoff=0.5) or [name for name in known if slug in name][:3]
    return f"did you mean {' or '.join(near)}?" if near else "see `newsmill feeds list`."
