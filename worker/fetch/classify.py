"""What an answer means: status and headers to a verdict, first bytes to a kind. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from enum import StrEnum
from http import HTTPStatus
from typing import Literal

MAX_RETRY_AFTER_S = 86_400.0
MAX_FRESHNESS_S = 86_400.0

MediaKind = Literal["html", "xml", "json", "image", "pdf", "video", "audio", "binary", "text", "empty"]

_OK = frozenset({200, 201, 203})
_REFUSED = frozenset({401, 402, 403, 451})
_SLOW_DOWN = frozenset({429, 503})
_RETRY = frozenset({408, 425})
_MAX_HEADER_CHARS = 200
_MAX_DIGITS = 12


class VerdictKind(StrEnum):
    OK = "ok"
    NOT_MODIFIED = "not_modified"
    GONE = "gone"
    REFUSED = "refused"  # this resource, not necessarily the host
    SLOW_DOWN = "slow_down"
    RETRY = "retry"
    ODD = "odd"  # an answer nobody should give to a GET: 204, 206, 300, 418


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """``retry_after_s``: what the server asked for, seconds, bounded; ``permanent``: 410, it says for ever."""

    kind: VerdictKind
    retry_after_s: float | None = None
    permanent: bool = False


def judge(status: int, headers: Iterable[tuple[str, str]], *, now: datetime, sent_validators: bool) -> Verdict:
    """What to do about an answer.

    Args:
        status: 100 to 999.
        sent_validators: Whether the request could be answered by 304; if not, a 304 is worth another try.
    Source: RFC 9110 section 15; RFC 6585 (429); RFC 7725 (451).
    """
    if status in _OK:
        return Verdict(kind=VerdictKind.OK)
    if status in {HTTPStatus.NOT_FOUND, HTTPStatus.GONE}:
        return Verdict(kind=VerdictKind.GONE, permanent=status == HTTPStatus.GONE)
    if status == HTTPStatus.NOT_MODIFIED:
        return Verdict(kind=VerdictKind.NOT_MODIFIED if sent_validators else VerdictKind.RETRY)
    asked_s = retry_after_s(_first(headers, "retry-after"), now)
    if status in _REFUSED:
        return Verdict(kind=VerdictKind.REFUSED, retry_after_s=asked_s)
    if status in _SLOW_DOWN:
        return Verdict(kind=VerdictKind.SLOW_DOWN, retry_after_s=asked_s)
    is_server_error = status >= HTTPStatus.INTERNAL_SERVER_ERROR
    return Verdict(
        kind=VerdictKind.RETRY if is_server_error or status in _RETRY else VerdictKind.ODD, retry_after_s=asked_s
    )


def retry_after_s(value: str | None, now: datetime) -> float | None:
    """``Retry-After`` as seconds from now, 0 to MAX_RETRY_AFTER_S; None when absent or unreadable.

    Source: RFC 9110 10.2.3: whole seconds or an HTTP date.
    """
    seconds = _seconds(value)
    if seconds is None and (moment := _http_date(value)) is not None:
        seconds = (moment - now).total_seconds()
    return None if seconds is None else min(max(seconds, 0.0), MAX_RETRY_AFTER_S)


def freshness_s(headers: Iterable[tuple[str, str]], now: datetime) -> float:
    """How long the server says its answer stays good, 0 to MAX_FRESHNESS_S seconds; 0 when it says nothing.

    Source: RFC 9111 4.2.1, for a private cache; of several ``max-age`` the least; ``Age`` is taken off.
    """
    kept = list(headers)
    directives = [
        part.strip().lower() for name, value in kept if name.lower() == "cache-control" for part in value.split(",")
    ]
    if {"no-store", "no-cache"}.intersection(directives):
        return 0.0
    ages = [_seconds(one.partition("=")[2].strip('" ')) for one in directives if one.startswith("max-age=")]
    if ages:
        lifetime_s = min(age or 0.0 for age in ages) - (_seconds(_first(kept, "age")) or 0.0)
    else:
        expires_at = _http_date(_first(kept, "expires"))
        served_at = _http_date(_first(kept, "date")) or now
        lifetime_s = (expires_at - served_at).total_seconds() if expires_at else 0.0
    return min(max(lifetime_s, 0.0), MAX_FRESHNESS_S)


def _first(headers: Iterable[tuple[str, str]], wanted: str) -> str | None:
    return next((value for name, value in headers if name.lower() == wanted), None)


def _seconds(value: str | None) -> float | None:
    text = (value or "").strip()
    return float(text) if text.isascii() and text.isdecimal() and len(text) <= _MAX_DIGITS else None


def _http_date(value: str | None) -> datetime | None:
    if value is None or len(value) > _MAX_HEADER_CHARS:
        return None
    try:
        moment = parsedate_to_datetime(value)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError, TypeError, IndexError):
        return None


# ---------------------------------------------------------------- kinds

START_BYTES = 4096
_MAGIC: tuple[tuple[re.Pattern[bytes], MediaKind], ...] = (
    (re.compile(rb"\xff\xd8\xff|\x89PNG\r\n\x1a\n|GIF8[79]a|RIFF....WEBP", re.DOTALL), "image"),
    (re.compile(rb"II\*\x00|MM\x00\*|\x00\x00\x01\x00"), "image"),
    (re.compile(rb"....ftyp(?:avi[fs]|hei[cxms]|mif1|msf1)", re.DOTALL), "image"),
    (re.compile(rb"....ftyp(?:M4A |M4B )|ID3|OggS|fLaC|RIFF....WAVE|\xff[\xfb\xf3\xf2]", re.DOTALL), "audio"),
    (re.compile(rb"....ftyp|\x1aE\xdf\xa3|FLV\x01|RIFF....AVI |\x00\x00\x01[\xba\xb3]", re.DOTALL), "video"),
    (re.compile(rb"\s{0,1024}%PDF-"), "pdf"),
    (re.compile(rb"PK\x03\x04|PK\x05\x06|\x1f\x8b|7z\xbc\xaf|Rar!|BZh|\xfd7zXZ"), "binary"),
    (re.compile(rb"MZ|\x7fELF|\x00asm|wOF[F2]|\xd0\xcf\x11\xe0"), "binary"),
)  # fmt: skip
_ROOT = re.compile(
    r"<(?:(?P<xml>rss|feed|rdf:rdf|opml|urlset|sitemapindex|[a-z0-9]{1,16}:(?:feed|rdf))|(?P<image>svg)"
    r"|(?P<html>!doctype\s{1,16}html|html|head|body))(?=[\s>/:])",
    re.IGNORECASE,
)
_TAG = re.compile(r"<(?:[a-z][a-z0-9]{0,15}|!--)[\s>/-]", re.IGNORECASE)
_JSON = re.compile(r'\{\s*["}]|\[\s*(?:[\[{"\]]|-?\d)')
_NOT_TEXT = re.compile(r"[\x00-\x08\x0b\x0e-\x1a\x1c-\x1f]")
_UTF_16_GUESSES = (
    (b"\xff\xfe", "utf-16-le"),
    (b"\xfe\xff", "utf-16-be"),
    (b"<\x00", "utf-16-le"),
    (b"\x00<", "utf-16-be"),
)


def media_kind(content_type: str | None, body_start: bytes) -> MediaKind:
    """What a body is. Its bytes decide; the declared type only settles text that shows no form of its own.

    Args:
        content_type: The header's value; None when absent.
        body_start: The decoded body or its first 4 KiB; the rest is not looked at.
    Source: the signatures of WHATWG MIME Sniffing 6, and a table of roots of the documents that newsmill reads.
    """
    start = body_start[:START_BYTES]
    if not start.strip(b" \t\r\n\x0c\x00\xef\xbb\xbf"):
        return "empty"
    for magic, kind in _MAGIC:
        if magic.match(start):
            return kind
    text = _as_text(start)
    return "binary" if text is None else _kind_of_text(text, (content_type or "").partition(";")[0].strip().lower())


def _as_text(start: bytes) -> str | None:
    for mark, encoding in _UTF_16_GUESSES:
        if start.startswith(mark):
            return start.decode(encoding, "replace").lstrip("\ufeff").lstrip()
    text = start.decode("latin-1").lstrip("\xef\xbb\xbf \t\r\n\x0c")
    return None if _NOT_TEXT.search(text) else text


def _kind_of_text(text: str, declared: str) -> MediaKind:
    if _JSON.match(text):
        return "json"
    if root := _ROOT.search(text):  # the first root wins: a warning printed before <?xml, a comment before <html
        return "xml" if root["xml"] else "image" if root["image"] else "html"
    if text.startswith("<?xml") or (declared.endswith(("/xml", "+xml")) and text.startswith("<")):
        return "xml"
    if _TAG.search(text) and (declared in {"", "text/html", "application/xhtml+xml"} or text.startswith("<")):
        return "html"
    return "text"
