"""Dates: a moment needs a time and a zone."""

from __future__ import annotations

import time
from datetime import UTC, date, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.extract.moments import day_of, days_in, is_date_line, moment


@pytest.mark.parametrize(
    "raw",
    [
        "Fri, 17 Jan 2025 14:50:11 GMT", "17 Jan 2025 14:50:11 +0000", "Fri, 17 Jan 2025 09:50:11 EST",
        "2025-01-17T14:50:11Z", "2025-01-17T14:50:11.428Z", "2025-01-17 14:50:11Z", "2025-01-17T22:50:11+08:00",
        "2025-01-17T22:50:11+0800", "2025-01-17 14:50:11 UTC", "2025-01-17T09:50:11-05", "20250117T145011Z",
        "Fri, 17 Jan 2025 14:50:11 -0000",
    ],
)  # fmt: skip
def test_a_date_with_time_and_zone_is_a_moment(raw: str) -> None:
    found = moment(raw)
    assert found is not None
    assert found.replace(microsecond=0) == datetime(2025, 1, 17, 14, 50, 11, tzinfo=UTC)


@pytest.mark.parametrize(
    "raw",
    [
        None, "", "2025-01-17", "2025-01-17T14:50:11", "2025-01-17 14:50", "20/07/2020 - 04:35", "2020年 7月 16日",
        "0000-00-00T00:00:00Z", "1970-01-01T00:00:00Z", "2025-13-40T99:00:00Z", "9999-12-31T23:59:59-14:00", "yesterday",
        "Fri, 17 Jan 2025 14:50:11", "Fri, 99 Foo 2025 14:50:11 GMT",
    ],
)  # fmt: skip
def test_anything_less_is_unknown(raw: str | None) -> None:
    assert moment(raw) is None


@pytest.mark.parametrize(
    "line",
    [
        "Fri, 17 Jan 2025 14:50:11 GMT", "20/07/2020 - 04:35", "2020年 7月 16日", "2020-07-20T08:12:39", "2020-07-20 19:22:17",
        "2020-07-20T14:58:19.428Z", "July 20, 2020", "20 juillet 2020", "16.07.2020",
    ],
)  # fmt: skip
def test_a_line_that_is_only_a_date_is_seen(line: str) -> None:
    assert is_date_line(line)


@pytest.mark.parametrize(
    "line", ["", "2020", "On 20 July 2020 it rained.", "In 2020年7月16日，他说", "12.5", "Anna 2020-07-20"]
)
def test_a_line_that_says_more_is_text(line: str) -> None:
    assert not is_date_line(line)


@pytest.mark.parametrize("raw", ["1" * 50_000, " " * 50_000 + "x", "2020-" * 10_000, "a " * 20_000])
def test_hostile_dates_cost_nothing(raw: str) -> None:
    began = time.process_time()
    assert moment(raw) is None
    assert not is_date_line(raw)
    assert time.process_time() - began < 0.01


@given(st.text(max_size=80))
def test_no_text_raises(raw: str) -> None:
    moment(raw)
    is_date_line(raw)


@pytest.mark.parametrize(
    ("raw", "day"),
    [
        ("2025-01-17T23:50:11-05:00", date(2025, 1, 17)), ("20250117", date(2025, 1, 17)), ("08.19.25", date(2025, 8, 19)),
        ("17-Jan-2025", date(2025, 1, 17)), ("Fri Jan 17 09:00:00 UTC 2025", date(2025, 1, 17)),
        ("January 17, 2025", date(2025, 1, 17)), ("13 lis 2024", date(2024, 11, 13)), ("2024. március 12.", date(2024, 3, 12)),
        ("3/4/2025", date(2025, 4, 3)), ("2024-01-01 to 2024-02-01", None), ("2019-2024", None), ("2025-02-30", None),
        ("1850-01-01", None), ("2024", None), ("", None), (None, None),
    ],
)  # fmt: skip
def test_the_day_is_read_as_it_is_written(raw: str | None, day: date | None) -> None:
    assert day_of(raw) == day


@pytest.mark.parametrize(
    "raw", ["1" * 50_000, "1.1." * 10_000, "12 " * 20_000, "january " * 10_000, "2024 may " * 9_000]
)
def test_hostile_lines_cost_little(raw: str) -> None:
    began = time.process_time()
    assert len(list(days_in(raw, day_first=True))) < 3
    assert time.process_time() - began < 0.2


@given(st.text(max_size=80), st.booleans())
def test_no_line_raises(line: str, day_first: bool) -> None:
    for written in days_in(line, day_first=day_first):
        assert 0 <= written.start < written.end <= len(line)
