"""What pages and feed bodies write as a date -> a moment in UTC, or nothing.

A moment needs a time and a zone. A bare day or a wall clock without a zone names none: unknown stays unknown.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone
from email.utils import parsedate_to_datetime

MAX_LENGTH = 80  # characters; no date is longer, and nothing longer is looked at
EARLIEST = datetime(1990, 1, 1, tzinfo=UTC)  # before the Web: a clock that was never set
LATEST = datetime(2100, 1, 1, tzinfo=UTC)  # whether a date lies in the future is for those to say who have a clock

_ISO = re.compile(
    r"(\d{4})-?(\d\d)-?(\d\d)[T\s]\s?(\d\d):?(\d\d)(?::?(\d\d)(?:[.,](\d{1,9}))?)?\s?(Z|UTC|GMT|[+-]\d\d:?\d\d|[+-]\d\d)",
    re.IGNORECASE,
)
_OFFSET = re.compile(r"([+-])(\d\d):?(\d\d)?")
_RFC_822 = re.compile(
    r"(?:[A-Za-z]{3,9},?\s+)?\d{1,2}[\s-][A-Za-z]{3,9}[\s-]\d{2,4}\s+\d{1,2}:\d\d(?::\d\d)?\s+\S{1,6}"
)
_ZONE_NAMES = re.compile(r"(?:GMT|UTC?|Z|[ECMP][SD]T|[+-]\d{4})$")

_CLOCK = r"\d{1,2}\s?[:h]\s?\d\d(?:\s?:\s?\d\d(?:[.,]\d{1,9})?)?\s?(?:[ap]\.?m\.?)?\s?(?:Z|UTC|GMT|[+-]\d\d:?\d\d)?"
_DAY = (
    r"(?:\d{4}\s?[-/.年]\s?\d{1,2}\s?[-/.月]\s?\d{1,2}\s?日?"  # 2020-07-20, 2020年 7月 16日
    r"|\d{1,2}[-/.]\d{1,2}[-/.]\d{4}"  # 20/07/2020
    r"|\d{1,2}\.?\s+[^\W\d_]{3,12}\.?,?\s+\d{4}"  # 20 July 2020
    r"|[^\W\d_]{3,12}\.?\s+\d{1,2},?\s+\d{4})"  # July 20, 2020
)
_DATE_LINE = re.compile(rf"\s*{_DAY}(?:\s*[-–,T·|]?\s*{_CLOCK})?\s*", re.IGNORECASE)


def moment(raw: str | None) -> datetime | None:
    """A date with time and zone, in UTC; None for everything else, also for years outside 1990 to 2099.

    Source: RFC 3339 and what pages make of it (a blank for the T, no seconds), RFC 5322 section 3.3.
    """
    text = (raw or "").strip()
    if not text or len(text) > MAX_LENGTH:
        return None
    try:
        found = _iso(text) or _rfc_822(text)
    except (ValueError, OverflowError, TypeError):
        return None
    return found if found and EARLIEST <= found < LATEST else None


def is_date_line(line: str) -> bool:
    """Whether a line is a date and nothing else, in one of the ways news sites write it."""
    text = line.strip()
    return 0 < len(text) <= MAX_LENGTH and (moment(text) is not None or _DATE_LINE.fullmatch(text) is not None)


def _iso(text: str) -> datetime | None:
    match = _ISO.fullmatch(text)
    if match is None:
        return None
    year, month, day, hour, minute, second = (int(group or 0) for group in match.groups()[:6])
    microsecond = int((match[7] or "0").ljust(6, "0")[:6])
    return datetime(year, month, day, hour, minute, second, microsecond, tzinfo=_zone(match[8])).astimezone(UTC)


def _zone(raw: str) -> timezone:
    match = _OFFSET.fullmatch(raw)
    if match is None:
        return UTC
    offset = timedelta(hours=int(match[2]), minutes=int(match[3] or 0))
    return timezone(-offset if match[1] == "-" else offset)


def _rfc_822(text: str) -> datetime | None:
    if not _RFC_822.fullmatch(text) or not _ZONE_NAMES.search(text):
        return None
    found = parsedate_to_datetime(text)
    return found.replace(tzinfo=found.tzinfo or UTC).astimezone(UTC)  # "-0000" reads as naive, and means UTC
