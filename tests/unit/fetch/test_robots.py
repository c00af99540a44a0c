from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.fetch.robots import (
    CAP_BYTES,
    KEPT_S,
    MAX_CRAWL_DELAY_S,
    UNREACHABLE_KEPT_S,
    allowed,
    crawl_delay_s,
    product_token,
    read_robots,
)

NOON = datetime(2025, 1, 17, 12, tzinfo=UTC)
US = "newsmill/0.1 (+https://newsmill.example/about)"
RULES = """
User-agent: greedybot
Disallow: /

User-agent: *
Disallow: /private
Disallow: /*.pdf$
Allow: /private/open
Crawl-delay: 7
"""


@pytest.mark.parametrize(
    ("status", "body", "available", "kept_s"),
    [
        (200, RULES.encode(), "rules", KEPT_S),
        (200, b"", "allow-all", KEPT_S),
        (404, b"User-agent: *\nDisallow: /", "allow-all", KEPT_S),
        (401, None, "allow-all", KEPT_S),
        (403, None, "allow-all", KEPT_S),
        (302, None, "allow-all", KEPT_S),
        (429, None, "disallow-all", UNREACHABLE_KEPT_S),
        (500, None, "disallow-all", UNREACHABLE_KEPT_S),
        (503, b"x", "disallow-all", UNREACHABLE_KEPT_S),
        (None, None, "disallow-all", UNREACHABLE_KEPT_S),
    ],
)
def test_answer_to_robots_txt(status: int | None, body: bytes | None, available: str, kept_s: float) -> None:
    decision = read_robots(status, body, now=NOON)
    assert (decision.available, decision.expires_at) == (available, NOON + timedelta(seconds=kept_s))
    assert allowed(decision.text, US, "http://e.example/a") is (available != "disallow-all")


def test_robots_unreachable_for_a_month_counts_as_absent() -> None:
    month_ago = NOON - timedelta(days=31)
    assert read_robots(None, None, now=NOON, unreachable_since=month_ago).available == "allow-all"
    assert read_robots(None, None, now=NOON, unreachable_since=NOON - timedelta(days=1)).available == "disallow-all"


@pytest.mark.parametrize(
    ("path", "may"),
    [("/", True), ("/private/x", False), ("/private/open/x", True), ("/a.pdf", False), ("/a.pdf?x", True)],
)
def test_rules_are_obeyed(path: str, may: bool) -> None:
    assert allowed(RULES, US, f"http://e.example{path}") is may


def test_our_own_group_wins_over_the_general_one() -> None:
    rules = "User-agent: *\nDisallow: /\n\nUser-agent: NewsMill\nDisallow: /no\n"
    assert allowed(rules, US, "http://e.example/yes")
    assert not allowed(rules, US, "http://e.example/no")


def test_robots_txt_itself_may_be_asked_for() -> None:
    assert allowed("User-agent: *\nDisallow: /", US, "http://e.example/robots.txt")


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("", None), (RULES, 7.0), ("User-agent: *\nCrawl-delay: 99999", MAX_CRAWL_DELAY_S),
     ("User-agent: *\nCrawl-delay: nan", None), ("User-agent: *\nCrawl-delay: -1", None), ("User-agent: x\nCrawl-delay: 5", None)],
)  # fmt: skip
def test_crawl_delay(text: str, seconds: float | None) -> None:
    assert crawl_delay_s(text, US) == seconds


def test_text_beyond_the_cap_is_not_read() -> None:
    body = b"#" * CAP_BYTES + b"\nUser-agent: *\nDisallow: /\n"
    assert allowed(read_robots(200, body, now=NOON).text, US, "http://e.example/a")


def test_thousands_of_agents_and_rules_stay_cheap() -> None:
    agents = "".join(f"User-agent: bot{n}\n" for n in range(12_000))
    rules = "".join(f"Disallow: /{n}*x\n" for n in range(12_000))
    began = time.process_time()
    assert allowed(agents + "User-agent: *\n" + rules, US, "http://e.example/a")
    assert time.process_time() - began < 2


@pytest.mark.parametrize(("agent", "token"), [(US, "newsmill"), ("News-Mill 2", "news-mill"), ("1x", "1x")])
def test_product_token(agent: str, token: str) -> None:
    assert product_token(agent) == token


@given(st.text(max_size=300))
def test_any_text_is_some_rules(text: str) -> None:
    assert allowed(text, US, "http://e.example/a") in {True, False}
    assert allowed("User-agent: *\nDisallow: " + text, US, "http://e.example/a") in {True, False}
