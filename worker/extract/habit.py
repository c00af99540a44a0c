"""What a feed's texts usually are, by its earlier documents and its articles' pages. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice

from worker.extract.endings import repeated_endings
from worker.extract.feedtext import Gives, Habit, is_whole, read_feed_text
from worker.model import Entry

DECAY = 0.9  # of what is remembered, with each comparison: about the last ten count
LEAST_SEEN = 2.5  # comparisons, decayed: three in a row
CLEAR_SHARE = 0.8  # of comparisons, or of a document's texts
SETTLED = 8.0  # so many alike, and one more of the same teaches nothing that is worth a write
MAX_TEXTS = 100  # of one document that are read for its habits


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """Comparisons of a feed's texts with the articles' pages, the older ones counting less; both >= 0."""

    whole: float = 0.0
    part: float = 0.0

    def after(self, *, was_whole: bool) -> Tally:
        """With one more comparison; itself where that says nothing new."""
        if (self.whole if was_whole else self.part) >= SETTLED and (self.part if was_whole else self.whole) < 1:
            return self
        return Tally(whole=self.whole * DECAY + was_whole, part=self.part * DECAY + (not was_whole))

    @property
    def gives(self) -> Gives:
        """What the pages showed; unknown while they are few or disagree."""
        seen = self.whole + self.part
        if seen < LEAST_SEEN:
            return "unknown"
        if self.whole >= CLEAR_SHARE * seen:
            return "whole"
        return "excerpts" if self.part >= CLEAR_SHARE * seen else "unknown"


def habit_of(tally: Tally, *, full_text_share: float, endings: Iterable[str]) -> Habit:
    """What a feed's texts usually are: by its pages if they are clear, else by how many look whole on their own.

    Args:
        full_text_share: Of the texts of its last document, 0 to 1, and the ``endings`` (``document_habit``).
    """
    looks_whole = tally.gives == "unknown" and tally.part < 1 and full_text_share >= CLEAR_SHARE
    return Habit(gives="whole" if looks_whole else tally.gives, endings=frozenset(endings))


def document_habit(entries: Iterable[Entry]) -> tuple[float, tuple[str, ...]]:
    """What a document shows without any page, by its first MAX_TEXTS items that have a text.

    Returns: The share of texts that look like whole articles (0 when none has a text), and the lines that end most.
    """
    texts = [
        (text, entry.title)
        for entry in islice((entry for entry in entries if entry.html), MAX_TEXTS)
        if (text := read_feed_text(entry)) is not None
    ]
    whole = sum(is_whole(text, fulltext="auto", page_text=None) for text, _ in texts)
    return whole / len(texts) if texts else 0.0, repeated_endings((text.blocks, title) for text, title in texts)
