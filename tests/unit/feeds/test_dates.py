"""Dates as feeds write them."""

from __future__ import annotations

import time
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.feeds.dates import read_date

NOW = datetime(2026, 11, 24, tzinfo=UTC)


@pytest.mark.parametrize(
    ("raw", "wanted"),
    [
        ("Thu, 16 Jul 2020 10:00:00 GMT", (10, 0)),
        ("Thu, 16 Jul 2020 10:00:00 +0800", (2, 0)),
        ("Thu, 16 Jul 2020 10:00:00 +08:00", (2, 0)),
        ("Thu, 16 Jul 2020 10:00:00 GMT+8", (2, 0)),
        ("Thu, 16 Jul 2020 10:00:00 GMT+0800", (2, 0)),
        ("Thu, 16 Jul 2020 05:30:00 -0430", (10, 0)),
        ("Thu, 16 Jul 2020 10:00:00 EST", (15, 0)),
        ("Thu, 16 Jul 2020 10:00:00 PDT", (17, 0)),
        ("Thu, 16 Jul 2020 10:00:00 CEST", (8, 0)),
        ("Thu, 16 Jul 2020 10:00:00 JST", (1, 0)),
        ("Thu, 16 Jul 2020 10:00:00 XYZ", (10, 0)),
        ("Thu, 16 Jul 2020 10:00:00", (10, 0)),
        ("Thu, 16 Jul 2020 10:00", (10, 0)),
        ("Thursday, 16-Jul-20 10:00:00 GMT", (10, 0)),
        ("16 Jul 20 10:00 UT", (10, 0)),
        ("  Thu,  16 July   2020 10:00:00\n Z ", (10, 0)),
        ("Thu, 16 Jul 2020 9:42 pm GMT", (21, 42)),
        ("Thu Jul 16 10:00:00 2020", (10, 0)),
        ("Thu Jul 16 10:00:00 GMT 2020", (10, 0)),
        ("July 16, 2020 12:05 AM", (0, 5)),
        ("Jul 16, 2020", (0, 0)),
        ("Thu, 16 Jul 2020 10:00:00 +0800 (CST)", (2, 0)),
        ("Thu Jul 16 2020 10:00:00 GMT+0800 (China Standard Time)", (2, 0)),
        ("Thu,16 Jul 2020 10:00:00 GMT", (10, 0)),
        ("07/16/2020 10:00", (10, 0)),
        ("2020-07-16T10:00:00Z", (10, 0)),
        ("2020-07-16T10:00:00+08:00", (2, 0)),
        ("2020-07-16T10:00:00+0800", (2, 0)),
        ("2020-07-16T10:00:00.123456789Z", (10, 0)),
        ("2020-07-16 10:00:00 EDT", (14, 0)),
        ("2020-07-16", (0, 0)),
        ("2020/7/16 8:05", (8, 5)),
        ("20200716T100000Z", (10, 0)),
        ("20200716T180000+0800", (10, 0)),
        ("20200716T10:00:00.5Z", (10, 0)),
        ("2020-07-16T180000+08:00", (10, 0)),
        ("2020-07-16 T 10:00:00Z", (10, 0)),
        ("2020-07-16T10:00:00+00:0", (10, 0)),
        ("2020年 7月 16日", (0, 0)),
        ("2020年7月16日 15:05", (15, 5)),
        ("2020年07月16日 星期四 下午3:05", (15, 5)),
        ("16/07/2020 - 04:35", (4, 35)),
        ("16.07.2020 10:00", (10, 0)),
    ],
)
def test_a_date_is_read_however_it_is_written(raw: str, wanted: tuple[int, int]) -> None:
    moment = read_date(raw, now=NOW)
    assert moment is not None
    assert moment.replace(second=0, microsecond=0) == datetime(2020, 7, 16, *wanted, tzinfo=UTC)


@pytest.mark.parametrize(
    ("raw", "wanted"),
    [
        ("Thu, 16 Jul 2020 24:00:00 GMT", datetime(2020, 7, 17, tzinfo=UTC)),
        ("2020-07-16T25:30:00+09:00", datetime(2020, 7, 16, 16, 30, tzinfo=UTC)),
        ("Thu, 16 Jul 2020 10:60:61 GMT", datetime(2020, 7, 16, 11, 1, 1, tzinfo=UTC)),
        ("2020-07", datetime(2020, 7, 1, tzinfo=UTC)),
        ("03.04.2020", datetime(2020, 4, 3, tzinfo=UTC)),
        ("03/03/2020", datetime(2020, 3, 3, tzinfo=UTC)),
        ("2016-12-31T23:59:60Z", datetime(2016, 12, 31, 23, 59, 59, tzinfo=UTC)),
        ("16 Jul 99 10:00 GMT", datetime(1999, 7, 16, 10, tzinfo=UTC)),
        ("2020-07-16T02:00:00.5Z", datetime(2020, 7, 16, 2, 0, 0, 500_000, tzinfo=UTC)),
    ],
)
def test_odd_but_lawful_dates_are_read(raw: str, wanted: datetime) -> None:
    assert read_date(raw, now=NOW) == wanted


@pytest.mark.parametrize(
    "raw",
    [
        *(None, "", "  ", "NaN", "yesterday", "2020", "1594893600", "0000-00-00", "0000-00-00T00:00:00Z"),
        *("1970-01-01T00:00:00Z", "Thu, 01 Jan 1970 00:00:00 GMT", "Tue, 31 Feb 2020 10:00:00 GMT", "2020-13-01"),
        *("2020-07-16T31:00:00Z", "2020-07-16T10:161:00Z", "2020-07-16T10:00:00+99:99", "16 Foo 2020", "13/13/2020"),
        *("03/04/2020", "0/1/2020", "2020-13", "2020-00", "(CST)"),
        *("9999-99-99", "٢٠٢٠-٠٧-١٦x", "Thu, 16 Jul 2020 10:00:00 GMT and more"),
    ],
)
def test_what_is_no_date_is_unknown(raw: str | None) -> None:
    assert read_date(raw, now=NOW) is None


@pytest.mark.parametrize("raw", ["2027-01-01", "2099-12-31T00:00:00Z", "Tue, 19 Jan 2038 03:14:08 GMT", "9999-12-31"])
def test_a_date_in_the_future_is_now(raw: str) -> None:
    assert read_date(raw, now=NOW) == NOW


@pytest.mark.parametrize("piece", ["9", " ", "2020-", "(", "Jul ", "1:", "+", "年", "Thu, ", "\x00"])
def test_a_hostile_date_takes_no_time(piece: str) -> None:
    began = time.process_time()
    assert read_date(piece * 50_000, now=NOW) is None
    assert read_date((piece * 100)[:100], now=NOW) is None
    assert time.process_time() - began < 0.01


@given(st.text(max_size=120) | st.from_regex(r"[A-Z][a-z]{2}, \d{1,2} [A-Z][a-z]{2} \d{4} \d\d:\d\d(:\d\d)? [+-]\d{4}"))
def test_a_read_date_is_utc_and_not_in_the_future(raw: str) -> None:
    moment = read_date(raw, now=NOW)
    assert moment is None or (moment.tzinfo is UTC and moment <= NOW)
