from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.fetch.classify import (
    MAX_FRESHNESS_S,
    MAX_RETRY_AFTER_S,
    Verdict,
    VerdictKind,
    freshness_s,
    judge,
    media_kind,
    retry_after_s,
)

NOON = datetime(2025, 1, 17, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (200, "ok"), (203, "ok"), (204, "odd"), (206, "odd"), (300, "odd"), (301, "odd"), (304, "not_modified"),
        (400, "odd"), (401, "refused"), (402, "refused"), (403, "refused"), (404, "gone"), (408, "retry"), (410, "gone"),
        (418, "odd"), (425, "retry"), (429, "slow_down"), (451, "refused"), (500, "retry"), (502, "retry"),
        (503, "slow_down"), (504, "retry"), (520, "retry"), (599, "retry"), (999, "retry"),
    ],
)  # fmt: skip
def test_status_decides(status: int, kind: str) -> None:
    verdict = judge(status, [], now=NOON, sent_validators=True)
    assert (verdict.kind, verdict.permanent) == (kind, status == 410)


def test_304_to_a_plain_question_is_tried_again() -> None:
    assert judge(304, [], now=NOON, sent_validators=False).kind is VerdictKind.RETRY


def test_what_the_server_asks_for_is_passed_on() -> None:
    verdict = judge(429, [("RETRY-after", "120")], now=NOON, sent_validators=False)
    assert verdict == Verdict(kind=VerdictKind.SLOW_DOWN, retry_after_s=120.0)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, None), ("", None), ("soon", None), ("-5", None), ("1.5", None), ("٣", None), ("0", 0.0), (" 30 ", 30.0),
        ("99999999", MAX_RETRY_AFTER_S), ("9" * 50_000, None), ("Fri, 17 Jan 2025 12:01:00 GMT", 60.0),
        ("Fri, 17 Jan 2025 11:00:00 GMT", 0.0), ("Fri, 17 Jan 2099 11:00:00 GMT", MAX_RETRY_AFTER_S),
        ("Fri, 99 Jan 2025 12:01:00 GMT", None), ("Fri, 31 Dec 9999 23:59:59 -2300", None),
    ],
)  # fmt: skip
def test_retry_after_is_seconds_or_a_date_within_bounds(value: str | None, seconds: float | None) -> None:
    assert retry_after_s(value, NOON) == seconds


@given(st.text())
def test_retry_after_of_any_text_is_none_or_bounded(value: str) -> None:
    seconds = retry_after_s(value, NOON)
    assert seconds is None or 0 <= seconds <= MAX_RETRY_AFTER_S


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ([], 0.0),
        ([("Cache-Control", "public, max-age=600")], 600.0),
        ([("cache-control", 'MAX-AGE="600"'), ("Cache-Control", "max-age=300")], 300.0),
        ([("Cache-Control", "max-age=600"), ("Age", "500")], 100.0),
        ([("Cache-Control", "max-age=600, no-cache")], 0.0),
        ([("Cache-Control", "max-age=x"), ("Expires", "Fri, 17 Jan 2025 12:01:00 GMT")], 0.0),
        ([("Expires", "Fri, 17 Jan 2025 12:01:00 GMT")], 60.0),
        ([("Expires", "Fri, 17 Jan 2025 12:01:00 GMT"), ("Date", "Fri, 17 Jan 2025 12:00:30 GMT")], 30.0),
        ([("Expires", "0")], 0.0),
        ([("Cache-Control", "max-age=999999999")], MAX_FRESHNESS_S),
    ],
)
def test_freshness(headers: list[tuple[str, str]], seconds: float) -> None:
    assert freshness_s(headers, NOON) == seconds


@pytest.mark.parametrize(
    ("declared", "start", "kind"),
    [
        ("text/html", b"", "empty"),
        ("text/html", b"\xef\xbb\xbf \n", "empty"),
        ("image/jpeg", b"<!DOCTYPE html><html>", "html"),
        ("text/plain", b'<?xml version="1.0"?>\n<rss version="2.0">', "xml"),
        ("text/html", b"<br />\n<b>Warning</b>: x\n<?xml version='1.0'?><rss>", "xml"),
        ("application/xml", b'<?xml version="1.0"?><!DOCTYPE html PUBLIC "-//W3C//DTD"><html>', "html"),
        ("text/html", b"<!-- a comment --><HTML lang=zh>", "html"),
        ("text/html", b"<p>fragment", "html"),
        (None, b"<div >fragment", "html"),
        ("text/plain", b"a < b and <b>c</b>", "text"),
        ("application/xml", b"<unknown/>", "xml"),
        ("application/rss+xml", '<rss version="2.0">'.encode("utf-16"), "xml"),
        (None, "<html><body>".encode("utf-16-le"), "html"),
        (None, b"<rdf:RDF xmlns", "xml"),
        (None, b'<a:feed xmlns:a="http://www.w3.org/2005/Atom">', "xml"),
        (None, b"<urlset xmlns", "xml"),
        ("text/html", b'{ "version": "https://jsonfeed.org/version/1.1"', "json"),
        ("text/html", b'[{"a": 1}]', "json"),
        ("text/plain", b"[note] plain words", "text"),
        ("text/html", b"\xff\xd8\xff\xe0\x00\x10JFIF", "image"),
        ("text/html", b"\x89PNG\r\n\x1a\n\x00", "image"),
        (None, b"GIF89a", "image"),
        (None, b"RIFF\x00\x00\x00\x00WEBPVP8 ", "image"),
        (None, b"\x00\x00\x00\x20ftypavif", "image"),
        ("image/svg+xml", b'<?xml version="1.0"?><svg xmlns', "image"),
        ("text/html", b"\n%PDF-1.7", "pdf"),
        ("text/html", b"\x00\x00\x00\x18ftypmp42", "video"),
        (None, b"\x1aE\xdf\xa3", "video"),
        (None, b"ID3\x04", "audio"),
        (None, b"RIFF\x00\x00\x00\x00WAVE", "audio"),
        (None, b"PK\x03\x04", "binary"),
        ("text/html", b"\x1f\x8b\x08", "binary"),
        ("text/html", b"<html>\x00\x01\x02", "binary"),
        ("text/html; charset=gbk", "<html><title>新闻".encode("gbk"), "html"),
        ("text/plain", "新闻".encode(), "text"),
    ],
)  # fmt: skip
def test_bytes_decide_what_a_body_is(declared: str | None, start: bytes, kind: str) -> None:
    assert media_kind(declared, start) == kind


@given(st.text() | st.none(), st.binary())
def test_every_body_is_of_some_kind(declared: str | None, start: bytes) -> None:
    assert media_kind(declared, start)
