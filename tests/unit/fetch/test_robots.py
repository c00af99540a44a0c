from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from protego import Protego

from worker.fetch import robots
from worker.fetch.robots import (
    CAP_BYTES,
    KEPT_CHARS,
    KEPT_S,
    MAX_CRAWL_DELAY_S,
    MAX_TAG_CHARS,
    UNREACHABLE_KEPT_S,
    allowed,
    crawl_delay_s,
    product_token,
    read_robots,
    robots_tag,
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


@pytest.mark.parametrize(
    "agent",
    ["user-agent b{}", "User Agent: b{}", "user agent b{}", "\u00a0useragent :b{}", "User-agent: newsmill{}", "user-agent: {stars}n",
     "user-agent: n{stars}", "USER-AGENT\u2003b{} # x"],
)  # fmt: skip
def test_other_agents_are_one_however_they_are_written(agent: str) -> None:
    agents = "".join(agent.format(n, stars="*" * n) + "\n" for n in range(100))
    text = f"{agents}User-agent: *\nDisallow: /no\n"
    parsed = robots.RobotsRules(text, "newsmill")
    assert len(parsed._rules._user_agents) <= 3
    assert not parsed.allows("http://e.example/no")
    assert parsed.allows("http://e.example/yes")


AGENT_LINES = st.builds(
    "{}{}{}{}".format,
    st.sampled_from(["User-agent", "user agent", "Useragent", "user  agent", " \u00a0USER-AGENT", "user-agents", "user"]),
    st.sampled_from([":", ": ", " ", " :", " x:", "\t", ""]),
    st.sampled_from(["*", "**", "newsmill", "NewsMill", "news", "n", "news*mill", "newsmill*", "mill", "newsmill/1", "newsmill x",
                     "other", "", "a:b", "a: b", "not-newsmill"]),
    st.sampled_from(["", " # newsmill", "#", ":"]),
)  # fmt: skip
RULE_LINES = st.sampled_from(
    ["Disallow: /", "Disallow /a", "Allow: /a/b", "Allow: /", "Disallow: /*b$", "Disallow:", "Crawl-delay: 3", "Sitemap: http://e.example/s",
     "Host: e.example", "Unknown: x", "what", "", "# user-agent: *", "Disallow: user-agent: *", "allow user-agent:x"]
)  # fmt: skip


@given(st.lists(AGENT_LINES | RULE_LINES, max_size=12), st.sampled_from(["/", "/a", "/a/b", "/c"]))
def test_fewer_agents_mean_the_same(lines: list[str], path: str) -> None:
    text, url = "\n".join(lines), f"http://e.example{path}"
    plain = Protego.parse(text)
    assert allowed(text, US, url) == plain.can_fetch(url, "newsmill")
    assert crawl_delay_s(text, US) == plain.crawl_delay("newsmill")


def test_agent_named_like_the_others_is_still_ours() -> None:
    assert allowed("User-agent: foreign\nDisallow: /", "another-bot/1", "http://e.example/a")


@pytest.mark.parametrize(
    "line",
    ["Sitemap: http://e.example/{}.xml", "Crawl-delay: x", "Request-rate: 1/{}", "Disallow: /*{}*x$", "Allow: /{}/index.html",
     "Disallow: /*a%41{}$$$", "x", "x:y"],
)  # fmt: skip
def test_long_file_of_one_kind_of_line_stays_cheap(line: str) -> None:
    rules = "\n".join(line.format(n) for n in range(CAP_BYTES // 4 // len(line)))
    began = time.process_time()
    allowed(f"User-agent: *\n{rules}", US, "http://e.example/" + "a" * 8000)
    assert time.process_time() - began < 5  # the worst takes 0.4 s, and would take 40 if it were quadratic


def test_parsed_rules_are_kept_within_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    shelf = robots._Shelf(KEPT_CHARS)
    texts = [f"# {n}\nUser-agent: *\nDisallow: /{n}\n#" + "x" * (KEPT_CHARS // 4) for n in range(5)]
    first = shelf.rules(texts[0], "newsmill")
    assert shelf.rules(texts[0], "newsmill") is first
    kept = [shelf.rules(text, "newsmill") for text in texts]
    assert not kept[4].allows("http://e.example/4")
    assert [shelf.rules(text, "newsmill") for text in texts[:1:-1]] == kept[:1:-1]
    assert shelf.rules(texts[0], "newsmill") is not first


@pytest.mark.parametrize(("agent", "token"), [(US, "newsmill"), ("News-Mill 2", "news-mill"), ("1x", "1x")])
def test_product_token(agent: str, token: str) -> None:
    assert product_token(agent) == token


@pytest.mark.parametrize(
    ("lines", "rules"),
    [
        ([], None),
        (["noindex"], "noindex"),
        (["NoIndex, NOFOLLOW", "noarchive,noindex"], "noindex, nofollow, noarchive"),
        (["otherbot: noindex, nofollow"], None),
        (["noarchive, otherbot: noindex, nofollow"], "noarchive"),
        (["newsmill: noindex, nofollow", "noarchive"], "noindex, nofollow, noarchive"),
        (["otherbot: noindex, NewsMill: noarchive, notranslate"], "noarchive, notranslate"),
        (["unavailable_after: 25 Jun 2010 15:00:00 PST"], "unavailable_after: 25 jun 2010 15:00:00 pst"),
        (["unavailable_after: Friday, 25-Jun-10 15:00:00 UTC, none"], "unavailable_after: friday, 25-jun-10 15:00:00 utc, none"),
        (["newsmill: max-snippet: 20, max-image-preview: none"], "max-snippet: 20, max-image-preview: none"),
        (["", " , ,", ":", "newsmill:", "otherbot:"], None),
        (["none, " * 500], "none"),
        ([", ".join(f"rule-{n}" for n in range(500))], ", ".join(f"rule-{n}" for n in range(500))[:300]),
    ],
)  # fmt: skip
def test_page_s_robots_tag_is_kept_as_far_as_it_is_about_us(lines: list[str], rules: str | None) -> None:
    headers = [("Content-Type", "text/html"), *(("X-ROBOTS-tag", line) for line in lines)]
    assert robots_tag(headers, US) == rules


@given(st.lists(st.text(max_size=100), max_size=5))
def test_any_robots_tag_is_read_within_bounds(lines: list[str]) -> None:
    kept = robots_tag([("X-Robots-Tag", line) for line in lines], US)
    assert kept is None or 0 < len(kept) <= MAX_TAG_CHARS


@given(st.text(max_size=300))
def test_any_text_is_some_rules(text: str) -> None:
    assert allowed(text, US, "http://e.example/a") in {True, False}
    assert allowed("User-agent: *\nDisallow: " + text, US, "http://e.example/a") in {True, False}
