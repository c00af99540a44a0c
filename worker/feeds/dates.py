"""Dates as feeds write them. Bounded in time whatever the string; what cannot be read is None, never a guess."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta, timezone

LONGEST_DATE = 100
EARLIEST = datetime(1990, 1, 1, tzinfo=UTC)  # before there were feeds: a zero, a default, a broken clock
_LAST = datetime(9999, 1, 1, tzinfo=UTC)

_MONTHS = {
    name: number
    for number, name in enumerate(
        ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"), start=1
    )
}
_MONTHS_OF_A_YEAR = 12
_LATEST_HOUR = 30  # broadcasters count a night's hours on: 25:30 is half past one
_LEAP = 60
# Hours east of Greenwich. RFC 822 gives the American ones; the others are how half of Europe and Asia writes its feeds.
_ZONES = {
    "Z": 0,
    "UT": 0,
    "UTC": 0,
    "GMT": 0,
    "EST": -5,
    "EDT": -4,
    "CST": -6,
    "CDT": -5,
    "MST": -7,
    "MDT": -6,
    "PST": -8,
    "PDT": -7,
    "AKST": -9,
    "HST": -10,
    "WET": 0,
    "WEST": 1,
    "BST": 1,
    "CET": 1,
    "CEST": 2,
    "EET": 2,
    "EEST": 3,
    "MSK": 3,
    "IST": 5.5,
    "HKT": 8,
    "SGT": 8,
    "JST": 9,
    "KST": 9,
    "AEST": 10,
    "AEDT": 11,
    "NZST": 12,
    "NZDT": 13,
}
_HALVES = {"am": "am", "pm": "pm", "上午": "am", "凌晨": "am", "早上": "am", "下午": "pm", "晚上": "pm", "午後": "pm"}

_TIME = (
    r"(?:(?P<half>上午|凌晨|早上|下午|晚上|午後)\s?)?(?P<hour>\d{1,2}):(?P<minute>\d{2})"
    r"(?::(?P<second>\d{2})(?:[.,](?P<fraction>\d{1,9}))?)?(?:\s?(?P<ampm>am|pm)\b)?"
    r"(?:\s?(?:(?:GMT|UTC)(?=[+-]))?(?P<zone>[+-]\d{1,2}(?::\d|:?\d{2})?|[A-Z]{1,5}\b))?"
)
_DENSE_DAY = r"(?P<year>\d{4})(?P<dash>-?)(?P<month>\d{2})(?P=dash)(?P<day>\d{2})"
_COMMENT = re.compile(r"\s?\([^()]*\)\Z")
_WEEKDAY = r"(?:[A-Za-z]{2,9}(?:\s|[.,]{1,2}\s?))?"
_CHINESE_DAY = r"(?:\s?[（(]?(?:星期|周|週).[)）]?)?"
_FORMS = tuple(
    re.compile(form, re.IGNORECASE)
    for form in (
        # 2020-07-16T10:00:00+08:00, 2020/7/16 10:00, 2020-07-16, 2020-07
        rf"(?P<year>\d{{4}})(?P<mark>[-/.])(?P<month>\d{{1,2}})(?P=mark)(?P<day>\d{{1,2}})(?:(?:\s?T|\s)\s?{_TIME})?",
        r"(?P<year>\d{4})-(?P<month>\d{2})",
        # 20200716T100000Z, 2020-07-16T100000+0800
        rf"{_DENSE_DAY}(?:T(?P<hour>\d{{2}})(?P<minute>\d{{2}})(?P<second>\d{{2}})?(?P<zone>Z|[+-]\d{{2}}:?\d{{2}})?)?",
        # 20200716T10:00:00Z
        rf"{_DENSE_DAY}T{_TIME}",
        # Thu, 16 Jul 2020 10:00:00 GMT, 16-Jul-20
        rf"{_WEEKDAY}(?P<day>\d{{1,2}})[\s-]?(?P<named>[A-Za-z]{{3,9}})\.?,?[\s-]?(?P<year>\d{{4}}|\d{{2}}),?(?:\s{_TIME})?",
        # Jul 16, 2020 10:00 AM
        rf"{_WEEKDAY}(?P<named>[A-Za-z]{{3,9}})\.?\s(?P<day>\d{{1,2}}),?\s(?P<year>\d{{4}}),?(?:\s(?:at\s)?{_TIME})?",
        # Thu Jul 16 10:00:00 2020
        rf"{_WEEKDAY}(?P<named>[A-Za-z]{{3,9}})\s(?P<day>\d{{1,2}})\s{_TIME}\s(?P<year>\d{{4}})",
        # 2020年7月16日 星期四 下午3:05
        rf"(?P<year>\d{{4}})\s?年\s?(?P<month>\d{{1,2}})\s?月\s?(?P<day>\d{{1,2}})\s?日{_CHINESE_DAY}(?:\s?{_TIME})?",
        # 16.07.2020 10:00
        rf"(?P<day>\d{{1,2}})\.(?P<month>\d{{1,2}})\.(?P<year>\d{{4}})(?:,?\s(?:-\s)?{_TIME})?",
        # 20/07/2020 - 04:35, 07/20/2020
        rf"(?P<one>\d{{1,2}})/(?P<other>\d{{1,2}})/(?P<year>\d{{4}})(?:,?\s(?:-\s)?{_TIME})?",
    )
)
# Nine in ten dates are one of these two; the forms above read them too, at four times the cost.
_RFC_822 = re.compile(r"(?:[A-Za-z]{3},\s)?(\d{1,2})\s([A-Za-z]{3})\s(\d{4})\s(\d\d):(\d\d):(\d\d)\s(GMT|[+-]\d{4})")
_RFC_3339 = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:\.\d{1,6})?(?:Z|[+-]\d\d:\d\d)")


def read_date(raw: str | None, *, now: datetime) -> datetime | None:
    """A moment, aware and UTC; None: unreadable, or before feeds existed.

    Reads RFC 822 with its descendants and misspellings, ISO 8601, asctime, and the forms that Chinese and European
    publishers write (``2020年7月16日``, ``16.07.2020``). A missing zone is UTC, a missing time midnight, a missing day
    the first: feeds agree on nothing better. Which part of ``03/04/2020`` is the month depends on the country, so it is
    unknown unless one part can only be the day. An hour, minute or second past the last one counts on: a broadcaster's
    25:30 is half past one. A moment in the future is clamped to ``now``: newer than new is new.

    Source: RFC 822 and 2822 (zones, two-digit years, comments), RFC 3339, W3C-DTF (months).
    """
    if raw is None:
        return None
    text = " ".join(raw[: LONGEST_DATE + 1].split())
    if not text or len(text) > LONGEST_DATE:
        return None
    moment = _usual(text)
    if moment is None:
        text = _COMMENT.sub("", text)
        found = next((match for form in _FORMS if (match := form.fullmatch(text))), None)
        moment = _moment(found.groupdict()) if found else None
    if moment is None or moment < EARLIEST:
        return None
    return min(moment, now)


def newest(moments: Sequence[datetime | None], most: int) -> list[int]:
    """The places of the ``most`` newest, in order. What has no date may be new; of equal ones the first are taken."""
    places = sorted(range(len(moments)), key=lambda place: (moments[place] or _LAST).timestamp(), reverse=True)
    return sorted(places[:most])


def _usual(text: str) -> datetime | None:
    """A moment in the plainest form of either family; None: another form has to be tried."""
    try:
        if _RFC_3339.fullmatch(text):
            return datetime.fromisoformat(text).astimezone(UTC)
        if found := _RFC_822.fullmatch(text):
            day, month, year, hour, minute, second, zone = found.groups()
            said = datetime(
                int(year), _MONTHS[month.lower()], int(day), int(hour), int(minute), int(second), tzinfo=UTC
            )
            offset = timedelta(0) if zone == "GMT" else _offset(zone)
            return None if offset is None else said - offset
    except (ValueError, KeyError, OverflowError):
        return None  # 24:00, a leap second, a zone of days
    return None


def _moment(said: dict[str, str | None]) -> datetime | None:
    month, day_of_month = _month_and_day(said)
    offset = _offset(said.get("zone"))
    if month is None or offset is None:
        return None
    try:
        day = datetime(_year(said["year"] or ""), month, day_of_month, tzinfo=timezone(offset))
        hour, minute, second = _hour(said), int(said.get("minute") or 0), int(said.get("second") or 0)
        if hour > _LATEST_HOUR:
            return None
        microsecond = int((said.get("fraction") or "0")[:6].ljust(6, "0"))
        second = second if second != _LEAP else _LEAP - 1
        time = timedelta(hours=hour, minutes=minute, seconds=second, microseconds=microsecond)
        return (day + time).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _month_and_day(said: dict[str, str | None]) -> tuple[int | None, int]:
    """The month is None where it is no month's name, or either of two numbers."""
    if "one" in said:
        one, other = int(said["one"] or 0), int(said["other"] or 0)
        month = min(one, other)
        return (month if max(one, other) > _MONTHS_OF_A_YEAR or one == other else None), max(one, other)
    named = said.get("named")
    month_said = _MONTHS.get(named[:3].lower()) if named else int(said.get("month") or 0)
    return month_said, int(said.get("day") or 1)


def _year(written: str) -> int:
    """RFC 2822 section 4.3: two digits up to 49 are of this century."""
    year = int(written)
    if len(written) > 2:  # noqa: PLR2004
        return year
    return year + (2000 if year < 50 else 1900)  # noqa: PLR2004


def _hour(said: dict[str, str | None]) -> int:
    hour = int(said.get("hour") or 0)
    half = _HALVES.get((said.get("half") or said.get("ampm") or "").lower())
    if half == "pm" and hour < 12:  # noqa: PLR2004
        return hour + 12
    return 0 if half == "am" and hour == 12 else hour  # noqa: PLR2004


def _offset(zone: str | None) -> timedelta | None:
    """East of Greenwich; None for what is no zone. An unknown name counts as UTC, like none at all (RFC 2822 4.3)."""
    if zone is None:
        return timedelta(0)
    if zone[0] not in "+-":
        return timedelta(hours=_ZONES.get(zone.upper(), 0))
    hours, _, minutes = zone[1:].partition(":")
    if not minutes:
        hours, minutes = (hours[:-2], hours[-2:]) if len(hours) > 2 else (hours, "0")  # noqa: PLR2004
    offset = timedelta(hours=int(hours), minutes=int(minutes))
    if offset >= timedelta(days=1):
        return None
    return -offset if zone[0] == "-" else offset
