from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.errors import UsageError
from worker.fetch.gates import Gates, read_gates
from worker.fetch.pacing import HostPolicy
from worker.urls import gate_key

USUAL = HostPolicy(delay_s=1.0, connections=2)
LIST = """
[[gate]]
scope = "host"
hosts = ["*.blogs.example", "shop.blogs.example", "127.0.0.1"]
delay_s = 3

[[gate]]
scope = "group"
name = "harbour"
hosts = ["harbour.example", "*.harbour.example", "*.slow.blogs.example", "例え.example", "[::1]"]
connections = 1

[[gate]]
scope = "domain"
hosts = ["example.co.uk"]
delay_s = 30
"""
GATES = read_gates(LIST)


@pytest.mark.parametrize(
    ("url", "key", "delay_s", "connections"),
    [
        ("https://news.example/a", "news.example", 1.0, 2),
        ("https://www.news.example/a", "news.example", 1.0, 2),
        ("https://one.blogs.example/a", "one.blogs.example", 3.0, 2),
        ("https://TWO.blogs.example:8443/a", "two.blogs.example:8443", 3.0, 2),
        ("https://blogs.example/", "blogs.example", 1.0, 2),
        ("https://a.slow.blogs.example/", "group:harbour", 1.0, 1),
        ("https://slow.blogs.example/", "slow.blogs.example", 3.0, 2),
        ("https://harbour.example/feed", "group:harbour", 1.0, 1),
        ("https://deep.down.harbour.example/", "group:harbour", 1.0, 1),
        ("https://xn--r8jz45g.example/", "group:harbour", 1.0, 1),
        ("http://[::1]:8080/", "group:harbour", 1.0, 1),
        ("http://127.0.0.1:8080/", "127.0.0.1:8080", 3.0, 2),
        ("http://127.0.0.2:8080/", "127.0.0.2:8080", 1.0, 2),
        ("https://www.example.co.uk/", "example.co.uk", 30.0, 2),
        ("mailto:a@b.example", "", 1.0, 2),
    ],
)
def test_url_has_a_gate_and_a_gate_its_policy(url: str, key: str, delay_s: float, connections: int) -> None:
    assert GATES.key(url) == key
    assert GATES.policy(key, USUAL) == HostPolicy(delay_s=delay_s, connections=connections)


def test_group_s_policy_is_not_its_domain_s() -> None:
    gates = read_gates('[[gate]]\nscope = "group"\nname = "g"\nhosts = ["a.example"]\ndelay_s = 9\n')
    assert gates.key("https://www.a.example/") == "a.example"
    assert gates.policy("a.example", USUAL) == USUAL


@given(st.text(max_size=40))
def test_without_a_list_there_is_one_gate_per_domain(text: str) -> None:
    for url in (text, f"https://{text}/", f"https://{text}.news.example/"):
        assert Gates().key(url) == gate_key(url)
        assert isinstance(GATES.key(url), str)
    assert Gates().policy(text, USUAL) == USUAL


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[[gate]", "not TOML"),
        ("[[gates]]\nscope = 'host'", "only tables named"),
        ("[gate]\nscope = 'host'", "double brackets"),
        ("[[gate]]\nhosts = ['a.example']", "Gate 1: scope"),
        ("[[gate]]\nscope = 'site'\nhosts = ['a.example']", "scope must be one of host, domain, group"),
        ("[[gate]]\nscope = 'group'\nhosts = ['a.example']", "needs a name"),
        ("[[gate]]\nscope = 'group'\nname = 'A b'\nhosts = ['a.example']", "a-z, 0-9"),
        ("[[gate]]\nscope = 'host'", "array of host names"),
        ("[[gate]]\nscope = 'host'\nhosts = []", "array of host names"),
        ("[[gate]]\nscope = 'host'\nhosts = ['a.example:80']", "without a port"),
        ("[[gate]]\nscope = 'host'\nhosts = ['https://a.example/']", "is no host name"),
        ("[[gate]]\nscope = 'host'\nhosts = ['*']", "is no host name"),
        ("[[gate]]\nscope = 'host'\nhosts = ['a.*.example']", "is no host name"),
        ("[[gate]]\nscope = 'host'\nhosts = [7]", "7 is no host name"),
        ("[[gate]]\nscope = 'domain'\nhosts = ['www.a.example']", "write a.example"),
        ("[[gate]]\nscope = 'domain'\nhosts = ['*.a.example']", "write a.example"),
        ("[[gate]]\nscope = 'host'\nhosts = ['a.example']\ndelay = 3", "delay is not known"),
        ("[[gate]]\nscope = 'host'\nhosts = ['a.example']\ndelay_s = -1", "between 0 and 3600"),
        ("[[gate]]\nscope = 'host'\nhosts = ['a.example']\ndelay_s = true", "between 0 and 3600"),
        ("[[gate]]\nscope = 'host'\nhosts = ['a.example']\nconnections = 0", "between 1 and 100"),
        ("[[gate]]\nscope = 'host'\nhosts = ['a.example']\nconnections = 1.5", "whole number"),
        ("[[gate]]\nscope = 'host'\nhosts = ['a.example', 'A.example']", "host a.example twice"),
        (
            "\n".join(f"[[gate]]\nscope = 'group'\nname = 'g'\nhosts = ['{host}.example']" for host in "ab"),
            "name g twice",
        ),
    ],
)
def test_wrong_list_is_refused_with_what_to_write(text: str, says: str) -> None:
    with pytest.raises(UsageError, match=says.replace("*", r"\*")):
        read_gates(text)


def test_list_of_the_installation_is_sound() -> None:
    read_gates((Path(__file__).parents[3] / "config" / "gates.toml").read_text())
