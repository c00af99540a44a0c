"""robots.txt, as RFC 9309 wants it read. Pure."""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from http import HTTPStatus
from threading import Lock
from typing import Literal
from urllib.parse import urlsplit

from protego import Protego

Availability = Literal["rules", "allow-all", "disallow-all"]

CAP_BYTES = 500 * 1024  # RFC 9309 2.5: at least this much must be read
KEPT_S = 86_400.0  # 2.4: no longer than a day
UNREACHABLE_KEPT_S = 600.0
UNREACHABLE_IS_ABSENT_AFTER_S = 30 * 86_400.0  # 2.3.1.4: "a reasonably long period of time (for example, 30 days)"
MAX_CRAWL_DELAY_S = 300.0
MAX_TAG_CHARS = 300
KEPT_CHARS = 1_000_000  # some 500 ordinary files, or two of the largest

_DISALLOW_ALL = "User-agent: *\nDisallow: /\n"
_TAG_VALUES = frozenset({"unavailable_after", "max-snippet", "max-image-preview", "max-video-preview"})
_AGENT_FIELDS = frozenset({"user-agent", "useragent", "user agent"})


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
    if status is None or is_unreachable(status):
        since = unreachable_since or now
        if (now - since).total_seconds() < UNREACHABLE_IS_ABSENT_AFTER_S:
            return _decision(_DISALLOW_ALL, now, UNREACHABLE_KEPT_S, "disallow-all")
        return _decision("", now, KEPT_S, "allow-all")
    if HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES and body:
        text = body[:CAP_BYTES].decode("utf-8-sig", "replace").replace("\x00", "")
        return _decision(text, now, KEPT_S, "rules")
    return _decision("", now, KEPT_S, "allow-all")


def is_unreachable(status: int | None) -> bool:
    """No answer, or one that says "not now"."""
    return status is None or status >= HTTPStatus.INTERNAL_SERVER_ERROR or status == HTTPStatus.TOO_MANY_REQUESTS


def allowed(rules_text: str, user_agent: str, url: str) -> bool:
    """Whether the rules let this user agent ask for this URL. robots.txt itself always may be asked for."""
    if not rules_text or urlsplit(url).path == "/robots.txt":
        return True
    return _parsed.rules(rules_text, product_token(user_agent)).allows(url)


def crawl_delay_s(rules_text: str, user_agent: str) -> float | None:
    """``Crawl-delay`` for this user agent, seconds, 0 to MAX_CRAWL_DELAY_S; None when the rules name none."""
    if not rules_text:
        return None
    return _parsed.rules(rules_text, product_token(user_agent)).crawl_delay_s


def product_token(user_agent: str) -> str:
    """The name that robots.txt groups are matched against: ``newsmill`` of ``newsmill/0.1 (+https://…)``."""
    found = re.match(r"[A-Za-z_-]+", user_agent)
    return found.group().lower() if found else user_agent.lower()


def robots_tag(headers: Iterable[tuple[str, str]], user_agent: str) -> str | None:
    """The rules of a page's ``X-Robots-Tag`` that concern this user agent, lower-case, as they came, comma-separated.

    A name and a colon before a rule give it, and what follows on that line, to one robot.

    Returns: at most MAX_TAG_CHARS characters; None when nothing concerns it.
    Source: no standard; developers.google.com/search/docs/crawling-indexing/robots-meta-tag, and MDN.
    """
    token = product_token(user_agent)
    lines = [value.lower() for name, value in headers if name.lower() == "x-robots-tag"]
    rules = dict.fromkeys(rule for line in lines for robot, rule in _tag_rules(line) if robot in {"*", token})
    return ", ".join(rules)[:MAX_TAG_CHARS] or None


def _tag_rules(line: str) -> Iterator[tuple[str, str]]:
    """Each rule of a line with the robot it is for; ``*``: all of them."""
    robot = "*"
    for part in re.split(r",(?!\s*\d)", line):  # the comma inside a date is none of the list's
        name, colon, rest = (text.strip() for text in part.partition(":"))
        is_for_one = colon and name not in _TAG_VALUES
        robot = name if is_for_one else robot
        if rule := rest if is_for_one else part.strip():
            yield robot, rule


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


class _Shelf:
    """Rules already parsed; the least lately used go first, and one text is parsed by one thread.

    Args:
        cap_chars: Of all texts together: parsed, they take up to 130 bytes a character.
    """

    def __init__(self, cap_chars: int) -> None:
        self._cap_chars = cap_chars
        self._held_chars = 0
        self._rules: OrderedDict[tuple[str, str], RobotsRules] = OrderedDict()
        self._lock = Lock()

    def rules(self, text: str, token: str) -> RobotsRules:
        key = (text, token)
        with self._lock:
            if key not in self._rules:
                self._rules[key] = RobotsRules(text, token)
                self._held_chars += len(text)
            self._rules.move_to_end(key)
            rules = self._rules[key]
            while self._held_chars > self._cap_chars:
                (oldest, _), _ = self._rules.popitem(last=False)
                self._held_chars -= len(oldest)
        return rules


_parsed = _Shelf(KEPT_CHARS)


def _for_one(text: str, token: str) -> str:
    """The same rules for this token, with two agents at most: the name that means us best, and all the others as one.

    Protego writes down each rule for each agent: thousands of them times thousands of rules is a minute of parsing.
    """
    lines = [(line, _agent_name(line)) for line in text.splitlines()]
    names = dict.fromkeys(name for _, name in lines if name is not None)
    best = max(names, key=lambda name: _closeness(name, token), default="*")
    other = f"not-{token}"  # longer than the token, so no name of ours
    return "\n".join(line if name is None else f"User-agent: {best if name == best else other}" for line, name in lines)


def _agent_name(line: str) -> str | None:
    """The agent that Protego reads in a line, without wildcards; "" for none; None when the line is about other things.

    Protego takes the field in three spellings, and its colon may be missing.
    """
    text = line.partition("#")[0].strip().lower()
    field, colon, value = text.partition(":")
    if colon and field.rstrip() in _AGENT_FIELDS:
        return _bare(value)
    if colon and (not value or value[0].isspace()):
        return None
    words = text.split(maxsplit=2)
    for field_words in (1, 2):
        if " ".join(words[:field_words]) in _AGENT_FIELDS:
            return _bare(" ".join(words[field_words:]))
    return None


def _bare(name: str) -> str:
    name = name.strip()
    return name if name == "*" else name.replace("*", "")


def _closeness(name: str, token: str) -> int:
    """How well an agent's name means this token: 0 not at all, 1 as everybody, else the length of what they share."""
    if name == "*":
        return 1
    is_ours = name and name in token and re.search(rf"(?<![\w-]){re.escape(name)}", token)
    return len(name) if is_ours else 0
