"""robots.txt, as RFC 9309 wants it read. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from hashlib import sha256
from http import HTTPStatus
from typing import Literal
from urllib.parse import urlsplit

from protego import Protego

Availability = Literal["rules", "allow-all", "disallow-all"]

CAP_BYTES = 500 * 1024  # RFC 9309 2.5: at least this much must be read
KEPT_S = 86_400.0  # 2.4: no longer than a day
UNREACHABLE_KEPT_S = 600.0
UNREACHABLE_IS_ABSENT_AFTER_S = 30 * 86_400.0  # 2.3.1.4: "a reasonably long period of time (for example, 30 days)"
MAX_CRAWL_DELAY_S = 300.0

_DISALLOW_ALL = "User-agent: *\nDisallow: /\n"
_AGENT_LINE = re.compile(r"[ \t]*user-?agent[ \t]*:[ \t]*([^#\r\n]*)", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class RobotsDecision:
    """What a site's robots.txt came to. ``text`` alone is enough for ``allowed``, whatever ``available`` says."""

    text: str
    expires_at: datetime
    available: Availability


def read_robots(
    status: int | None, body: bytes | None, *, now: datetime, unreachable_since: datetime | None = None
) -> RobotsDecision:
    """The rules of a site from the answer to its robots.txt.

    Args:
        status: Of the last hop; None when no answer came.
        body: Decoded; what lies beyond CAP_BYTES is not read.
        unreachable_since: When the row of failures began; after 30 days the file counts as absent.
    Source: RFC 9309 2.3.1. 429 is taken for "not now", not for "no rules": that is what it means.
    """
    if status is None or status >= HTTPStatus.INTERNAL_SERVER_ERROR or status == HTTPStatus.TOO_MANY_REQUESTS:
        since = unreachable_since or now
        if (now - since).total_seconds() < UNREACHABLE_IS_ABSENT_AFTER_S:
            return _decision(_DISALLOW_ALL, now, UNREACHABLE_KEPT_S, "disallow-all")
        return _decision("", now, KEPT_S, "allow-all")
    if HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES and body:
        text = body[:CAP_BYTES].decode("utf-8-sig", "replace").replace("\x00", "")
        return _decision(text, now, KEPT_S, "rules")
    return _decision("", now, KEPT_S, "allow-all")


def allowed(rules_text: str, user_agent: str, url: str) -> bool:
    """Whether the rules let this user agent ask for this URL. robots.txt itself always may be asked for."""
    if not rules_text or urlsplit(url).path == "/robots.txt":
        return True
    return _parse(_Text(rules_text), product_token(user_agent)).allows(url)


def crawl_delay_s(rules_text: str, user_agent: str) -> float | None:
    """``Crawl-delay`` for this user agent, seconds, 0 to MAX_CRAWL_DELAY_S; None when the rules name none."""
    if not rules_text:
        return None
    return _parse(_Text(rules_text), product_token(user_agent)).crawl_delay_s


def product_token(user_agent: str) -> str:
    """The name that robots.txt groups are matched against: ``newsmill`` of ``newsmill/0.1 (+https://…)``."""
    found = re.match(r"[A-Za-z_-]+", user_agent)
    return found.group().lower() if found else user_agent.lower()


def _decision(text: str, now: datetime, kept_s: float, available: Availability) -> RobotsDecision:
    return RobotsDecision(text=text, expires_at=now + timedelta(seconds=kept_s), available=available)


class RobotsRules:
    """A parsed robots.txt, as far as it concerns one product token."""

    def __init__(self, text: str, token: str) -> None:
        self._token = token
        self._rules = Protego.parse(_for_one(text, token))

    def allows(self, url: str) -> bool:
        return bool(self._rules.can_fetch(url, self._token))

    @property
    def crawl_delay_s(self) -> float | None:
        delay = self._rules.crawl_delay(self._token)
        return None if delay is None else min(float(delay), MAX_CRAWL_DELAY_S)


class _Text:
    """A robots.txt as a cache's key: compared by digest."""

    def __init__(self, text: str) -> None:
        self.text = text
        self._digest = sha256(text.encode("utf-8", "replace")).digest()

    def __hash__(self) -> int:
        return hash(self._digest)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Text) and self._digest == other._digest


@lru_cache(maxsize=256)
def _parse(text: _Text, token: str) -> RobotsRules:
    return RobotsRules(text.text, token)


def _for_one(text: str, token: str) -> str:
    """All agents that are not ours become one: thousands of them times thousands of rules is a minute of parsing."""
    return "\n".join(_agent_line(line, token) for line in text.splitlines())


def _agent_line(line: str, token: str) -> str:
    found = _AGENT_LINE.match(line)
    if not found:
        return line
    name = found[1].strip().lower()
    return line if name and (name == "*" or name.replace("*", "") in token or token in name) else "User-agent: another"
