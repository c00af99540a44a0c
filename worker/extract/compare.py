"""Two readings of one article: what differs, and is it worth telling anybody? Pure."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from worker.model import ArticleRecord, ImageCandidate, Picture
from worker.text import normalized
from worker.urls import picture_key

REVISED = ("text", "title", "published_at", "image")  # what has to differ before there is a revision
CORRECTION_UP_TO = 0.1  # of the text: more is a rewrite
SHRUNK_BEYOND = 0.5  # of the text's length: losing more is a fault of the reading until somebody has looked

How = Literal["longer", "shorter", "gained", "lost", "other"]
ChangeClass = Literal["correction", "rewrite", "metadata", "picture"]
_Value = str | datetime | tuple[str, ...] | None

_SHINGLE = 8  # characters: long enough that two unrelated texts hardly share one
_JUDGED = 100_000  # characters of a difference that are looked at; the rest is taken to be like them
_BEFORE, _AFTER = 40, 120  # characters shown around the first difference
_BLOCK = 1000  # characters
_INVISIBLE = re.compile("[\\s\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufe00-\ufe0f\ufeff]+")
_DASHES = re.compile("[\u2010-\u2015\u2212\ufe58\ufe63-]+")
_QUOTES = re.compile("[\"'`\u00b4\u2018-\u201f\u2032\u2033\u2039\u203a\u00ab\u00bb\u300c-\u300f\u301d-\u301f]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """What a new reading of an article changed."""

    changes: Mapping[str, How]  # by the message's field names, in its order; ``image.caption`` is a field of its own
    ratio: float  # of the text, [0, 1]; 1 is another text
    shrunk: float  # share of the text's length that is gone, [0, 1]

    @property
    def is_revision(self) -> bool:
        """Did text, title, date or picture really change? Nothing else is worth a message."""
        return any(field in self.changes for field in REVISED)

    @property
    def is_worse(self) -> bool:
        """Was one of the four lost, or most of the text? Then the new reading is to blame, not the article."""
        return self.shrunk > SHRUNK_BEYOND or any(self.changes.get(field) == "lost" for field in REVISED)

    @property
    def change_class(self) -> ChangeClass:
        """What kind of revision it is, by the weightiest of its changes."""
        if "text" in self.changes:
            return "correction" if self.ratio <= CORRECTION_UP_TO else "rewrite"
        return "metadata" if "title" in self.changes or "published_at" in self.changes else "picture"

    @property
    def badness(self) -> tuple[bool, float, float, int]:
        """What to look at first, when sorted descending."""
        return (self.is_worse, self.shrunk, self.ratio, len(self.changes))


def compare(old: ArticleRecord, new: ArticleRecord, *, picture: Picture | None) -> Comparison:
    """Compare two readings, field by field, as a reader would: layout and typography are no difference (``plain``).

    Args:
        picture: What was found for the old reading; None: it named no picture.
    """
    before, after = _folded(old), _folded(new)
    changes = {name: how for name in before if (how := _how(before[name], after[name])) is not None}
    if not is_same_picture(picture, old.image_candidates, new.image_candidates):
        changes["image"] = "gained" if picture is None else "other" if new.image_candidates else "lost"
    elif (how := _how(_fold(_caption(picture)), _fold(_caption(new.image)))) is not None:
        changes["image.caption"] = how
    old_text, new_text = str(before["text"]), str(after["text"])
    shrunk = max(0.0, 1 - len(new_text) / len(old_text)) if old_text else 0.0
    return Comparison(changes=changes, ratio=changed_share(old_text, new_text), shrunk=shrunk)


def plain(text: str) -> str:
    """A text as far as its wording goes.

    Compatibility forms are one (NFKC: full-width and ligatures), all white space and invisible characters go (readers
    join lines in different ways), and so do the differences between dashes (also of several in a row) and between
    quotation marks. Case, punctuation and everything else count.
    """
    whole = text.encode("utf-8", "replace").decode()  # half surrogate pairs did not get into the archive
    wording = _QUOTES.sub("'", _INVISIBLE.sub("", whole))  # first: some of them have blanks as compatibility forms
    folded = _INVISIBLE.sub("", normalized("NFKC", wording))
    return normalized("NFC", _QUOTES.sub("'", _DASHES.sub("-", folded)))


def changed_share(old: str, new: str) -> float:
    """How much of two plain texts is not in the other, [0, 1], by runs of characters; linear in their length.

    What only moved does not count, so a text with its paragraphs in another order is nearly the same. Of a very long
    difference the first 100,000 characters stand for the rest.
    """
    if old == new:
        return 0.0
    begun, ended = _shared(old, new), _shared(old[::-1], new[::-1])
    ended = min(ended, len(old) - begun, len(new) - begun)  # "aa" and "aaa" begin and end alike, with the same letters
    stretches = [(text, begun, min(len(text), len(text) - ended + _SHINGLE - 1)) for text in (old, new)]
    before, after = (_runs(text, start, min(end, start + _JUDGED)) for text, start, end in stretches)
    differing = max((before - after).total(), (after - before).total())
    longest = max(end - start for _, start, end in stretches)
    return round(differing * max(1.0, longest / _JUDGED) / max(len(old), len(new)), 4)


def is_same_picture(picture: Picture | None, old: Sequence[ImageCandidate], new: Sequence[ImageCandidate]) -> bool:
    """Would the picture stage, given the new candidates, end at the picture that was found for the old ones?

    Args:
        picture: What it was; of several candidates it may be a later one, because the first could not be had.
        old: The candidates it was chosen from; empty: nobody knows any more, then it is enough that it is still named.
    """
    if picture is None or not new:
        return picture is None and not new
    first, was = picture_key(new[0].url), picture_key(picture.url)
    if old:
        return first in {was, picture_key(old[0].url)}
    return any(picture_key(candidate.url) == was for candidate in new) if picture.sha256 else first == was


def side_by_side(
    old: ArticleRecord, new: ArticleRecord, comparison: Comparison, *, picture: Picture | None
) -> tuple[str, str, str]:
    """The weightiest change as people look at it: the field, its old and its new value around the first difference.

    Args:
        picture: As for ``compare``.
    """
    field = next((name for name in REVISED if name in comparison.changes), next(iter(comparison.changes), "text"))
    if field.startswith("image"):
        said = _caption if field == "image.caption" else _url
        return field, said(picture) or "", said(new.image) or ""
    return field, *_around(_shown(_values(old)[field]), _shown(_values(new)[field]))


def _values(record: ArticleRecord) -> dict[str, _Value]:
    """The compared fields, in the message's order; pictures are compared by what they are of, not by these."""
    return {
        "text": record.text,
        "title": record.title,
        "published_at": record.published_at,
        "authors": record.authors,
        "modified_at": record.modified_at,
        "language": record.language,
        "section": record.section,
        "tags": record.tags,
        "site_name": record.site_name,
        "summary": record.summary,
    }


def _folded(record: ArticleRecord) -> dict[str, _Value]:
    return {name: _fold(value) for name, value in _values(record).items()}


def _fold(value: _Value) -> _Value:
    if isinstance(value, str):
        return plain(value)
    return tuple(map(plain, value)) if isinstance(value, tuple) else value


def _caption(picture: Picture | ImageCandidate | None) -> str | None:
    return picture.caption if picture else None


def _url(picture: Picture | ImageCandidate | None) -> str | None:
    return picture.url if picture else None


def _how(before: _Value, after: _Value) -> How | None:
    """How a folded value changed."""
    if before == after:
        return None
    if not before or not after:
        return "lost" if before else "gained"
    if isinstance(before, datetime) or isinstance(after, datetime) or len(before) == len(after):
        return "other"
    return "longer" if len(after) > len(before) else "shorter"


def _shared(old: str, new: str) -> int:
    """How many characters both begin with."""
    differing = (place for place, (one, other) in enumerate(zip(old, new, strict=False)) if one != other)
    return next(differing, min(len(old), len(new)))


def _runs(text: str, start: int, end: int) -> Counter[str]:
    """The runs that end at these characters; those before the first are taken to be NUL."""
    padded = "\0" * (_SHINGLE - 1) + text
    return Counter(padded[place : place + _SHINGLE] for place in range(start, end))


def _shown(value: _Value) -> str:
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    return ", ".join(value) if isinstance(value, tuple) else value or ""


def _around(old: str, new: str) -> tuple[str, str]:
    """Both texts from shortly before their first difference in wording."""
    shared = _shared(plain(old), plain(new))
    return _excerpt(old, shared), _excerpt(new, shared)


def _excerpt(text: str, shared: int) -> str:
    """A text around the place where its plain form has had ``shared`` characters, on one line."""
    block = 0
    while block < len(text) and (passed := len(plain(text[block : block + _BLOCK]))) <= shared:
        shared, block = shared - passed, block + _BLOCK
    rest = text[block : block + _BLOCK]
    place = block + bisect_right(range(len(rest)), shared, key=lambda end: len(plain(rest[: end + 1])))
    start, end = max(0, place - _BEFORE), place + _AFTER
    shown = " ".join(text[start:end].split())
    return ("…" if start else "") + shown + ("…" if end < len(text) else "")
