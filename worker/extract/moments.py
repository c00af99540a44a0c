"""What pages and feed bodies write as a date -> a moment in its own zone, a calendar day, or nothing.

A moment needs a time and a zone. A bare day or a wall clock without a zone names none: unknown stays unknown. The day
is what was written, in the writer's own zone.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, timezone
from email.utils import parsedate_to_datetime

from worker.extract.months import MONTHS

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

_YEAR = r"(?:19|20)\d\d"
_WRITTEN = re.compile(
    # 2020-07-20, 2020.7.20., 2020年7月16日, 2020년 7월 16일, 20200720 with a time behind it
    rf"(?<!\d)(?P<y1>{_YEAR})(?:\s?(?P<s1>[-/.年년])\s?(?P<m1>\d\d?)\s?(?:(?P=s1)|[月월])\s?(?P<d1>\d\d?)(?!\d)"
    r"|(?P<m2>\d\d)(?P<d2>\d\d)(?=T?\d{4,6}(?!\d)|\Z))"
    # 20/07/2020, 20.7.2020, 20/07/20
    rf"|(?<![\d.,/-])(?P<a3>\d\d?)(?P<s3>[-/.])\s?(?P<b3>\d\d?)(?P=s3)\s?(?P<y3>{_YEAR}|\d\d)(?![\d/.-]\d|\d)"
    # 20 July 2020, 20. Juli 2020, 20 de julio de 2020, 1er août 2020, 20-Jul-2020, 20th of July, 2020
    r"|(?<![\d.,])(?P<d4>\d\d?)(?:st|nd|rd|th|er|º|\.)?[\s-]\s?(?:(?:de|of|d['’])\s?)?(?P<m4>[^\W\d_]{3,13})[.,]{0,2}"
    rf"[\s-]\s?(?:(?:de|del)\s)?['’]?(?P<y4>{_YEAR})(?!\d)"
    # July 20, 2020, Jul. 20th 2020
    rf"|(?<![^\W\d_])(?P<m5>[^\W\d_]{{3,13}})\.?\s?(?P<d5>\d\d?)(?:st|nd|rd|th)?(?:,\s?|\s)\s?"
    rf"(?:\d\d:\d\d:\d\d\s(?:[A-Z]{{3,4}}\s)?)?(?P<y5>{_YEAR})(?!\d)"
    # ngày 20 tháng 7 năm 2020
    rf"|(?<!\d)(?P<d6>\d\d?)\s(?:tháng|thg)\s(?P<m6>\d\d?),?\s(?:năm\s)?(?P<y6>{_YEAR})"
    # 2020 July 20, 2020. július 20.
    rf"|(?<!\d)(?P<y7>{_YEAR})[.,]?\s(?P<m7>[^\W\d_]{{3,13}})\.?\s(?P<d7>\d\d?)(?!\d)",
    re.IGNORECASE,
)
_MAY_HOLD_ONE = re.compile(rf"{_YEAR}|\d[-/.]\s?\d\d?[-/.]\s?\d\d")
_ARABIC_DIGITS = str.maketrans("٠١٢٣٤٥٦٧٨٩۰۱۲۳۴۵۶۷۸۹", "01234567890123456789")
_PIVOT = 2000  # what "24" is counted from: no page is older than the Web


@dataclass(frozen=True, slots=True)
class Written:
    """A date as it stands in a line: its day, and where in the line it begins and ends."""

    day: date
    start: int
    end: int


def moment(raw: str | None) -> datetime | None:
    """A date with time and zone, which is kept; None for everything else, also for years outside 1990 to 2099.

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


def day_of(raw: str | None, *, day_first: bool = True) -> date | None:
    """The calendar day that a date names, as written; None when there is none in it, or more than one.

    Args:
        raw: A value that should be a date: "2025-01-17T23:50:11-05:00", "January 17, 2025", "17.01.2025 23:50".
        day_first: Whether 3/4/2025 is in April.
    """
    text = (raw or "").strip()
    if len(text) > MAX_LENGTH:
        return None
    days = {written.day for written in days_in(text, day_first=day_first)}
    return days.pop() if len(days) == 1 else None


def days_in(line: str, *, day_first: bool) -> Iterator[Written]:
    """The dates in a line of text, in order. Years alone, ranges without a day and copyright lines name no day.

    Args:
        line: One line; what is longer than a few hundred characters is not worth asking.
        day_first: Whether 3/4/2025 is in April; 3/13/2025 and 13/3/2025 are read rightly either way.
    """
    latin = line if line.isascii() else line.translate(_ARABIC_DIGITS)
    if not _MAY_HOLD_ONE.search(latin):
        return
    for match in _WRITTEN.finditer(latin):
        day = _day(match, day_first=day_first)
        if day is not None:
            yield Written(day, match.start(), match.end())


def is_date_line(line: str) -> bool:
    """Whether a line is a date and nothing else, in one of the ways news sites write it."""
    text = line.strip()
    return 0 < len(text) <= MAX_LENGTH and (moment(text) is not None or _DATE_LINE.fullmatch(text) is not None)


def _day(match: re.Match[str], *, day_first: bool) -> date | None:
    which = match.lastgroup or ""
    form = which[-1]
    if form == "3":
        first, second, year = int(match["a3"]), int(match["b3"]), int(match["y3"])
        is_day_first = first > 12 or (second <= 12 and (day_first or match["s3"] == "."))  # noqa: PLR2004 - months
        day, month = (first, second) if is_day_first else (second, first)
        year += _PIVOT if year < 100 else 0  # noqa: PLR2004 - written with two digits
    else:
        name = match[f"m{form}"]
        month = int(name) if name.isdecimal() else MONTHS.get(name.casefold(), 0)
        day, year = int(match[f"d{form}"]), int(match["y1" if form == "2" else f"y{form}"])
    try:
        found = date(year, month, day)
    except ValueError:
        return None
    return found if EARLIEST.year <= found.year < LATEST.year else None


def _iso(text: str) -> datetime | None:
    match = _ISO.fullmatch(text)
    if match is None:
        return None
    year, month, day, hour, minute, second = (int(group or 0) for group in match.groups()[:6])
    microsecond = int((match[7] or "0").ljust(6, "0")[:6])
    return datetime(year, month, day, hour, minute, second, microsecond, tzinfo=_zone(match[8]))


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
    return found.replace(tzinfo=found.tzinfo or UTC)  # "-0000" reads as naive, and means UTC
