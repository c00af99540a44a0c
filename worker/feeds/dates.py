"""Dates as feeds write them. Bounded in time whatever the string; what cannot be read is None, never a guess."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone
from email.utils import parsedate_tz

LONGEST_DATE = 100
EARLIEST = datetime(1990, 1, 1, tzinfo=UTC)  # before there were feeds: a zero, a default, a broken clock

ISO = re.compile(
    r"(\d{4})-?(\d{2})-?(\d{2})"
    r"(?:[T\s]+(\d{2}):?(\d{2})(?::?(\d{2})(?:[.,](\d{1,9}))?)?\s*(Z|UTC|GMT|[+-]\d{2}(?::?\d{2})?)?)?",
    re.IGNORECASE,
)
# Zone names that the standard library does not know; half of Europe and Asia writes them into feeds.
ZONES = {"CET": 1, "CEST": 2, "EET": 2, "EEST": 3, "WET": 0, "WEST": 1, "BST": 1, "IST": 5.5, "MSK": 3, "JST": 9, "KST": 9,
         "HKT": 8, "SGT": 8, "AEST": 10, "AEDT": 11, "NZST": 12, "NZDT": 13}  # fmt: skip
NAMED_ZONE = re.compile(r"\b([A-Z]{3,4})\s*$")


def read_date(raw: str | None, *, now: datetime) -> datetime | None:
    """A moment, aware and UTC; None: unreadable, or before feeds existed.

    A missing zone is taken as UTC (RFC 822 has no other default that feeds agree on). A moment in the future is
    clamped to ``now``: newer than new is new.
    """
    if raw is None:
        return None
    text = " ".join(raw[: LONGEST_DATE + 1].split())
    if not text or len(text) > LONGEST_DATE:
        return None
    moment = _iso(text) or _rfc822(text)
    if moment is None or moment < EARLIEST:
        return None
    return min(moment, now)


def _iso(text: str) -> datetime | None:
    """ISO 8601 and RFC 3339, with a blank for the T, without seconds, or the day alone (midnight UTC)."""
    found = ISO.match(text)
    if found is None:
        return None
    year, month, day, hour, minute, second, fraction, zone = found.groups()
    try:
        moment = datetime(
            int(year),
            int(month),
            int(day),
            int(hour or 0),
            int(minute or 0),
            min(int(second or 0), 59),  # a leap second
            int((fraction or "0")[:6].ljust(6, "0")),
            tzinfo=_zone(zone),
        )
        return moment.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _zone(text: str | None) -> timezone:
    if text is None or not text.startswith(("+", "-")):
        return UTC
    digits = text[1:].replace(":", "").ljust(4, "0")
    offset = timedelta(hours=int(digits[:2]), minutes=int(digits[2:4]))
    return timezone(-offset if text[0] == "-" else offset)


def _rfc822(text: str) -> datetime | None:
    """RFC 822, RFC 850, asctime, as the mail parser of the standard library reads them, and some zones more."""
    named = NAMED_ZONE.search(text)
    parts = parsedate_tz(text)
    if parts is None or len(parts) < 9:  # noqa: PLR2004 - the parser's tuple
        return None
    offset_s = parts[9] or 0
    if named is not None and named[1] in ZONES:
        offset_s = int(ZONES[named[1]] * 3600)
    try:
        moment = datetime(*parts[:5], min(parts[5], 59), tzinfo=timezone(timedelta(seconds=offset_s)))
        return moment.astimezone(UTC)
    except (ValueError, OverflowError):
        return None
