"""Redirects, names and addresses that try to lead us astray: what was not allowed is never dialled. On real sockets."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Collection, Iterator
from datetime import UTC, datetime
from ipaddress import ip_network
from threading import active_count
from typing import Any

import pytest

from tests.unit.fetch.test_http import failing, get
from worker.errors import QuarantineError, RefusedAddressError
from worker.fetch.guard import AddressGuard
from worker.fetch.http import MAX_HOPS, Fetcher

PUBLIC = ["93.184.216.34"]

# Each reaches 127.0.0.1 in some client or other. {port} is one where somebody listens.
IN_DISGUISE = [
    "http://2130706433:{port}/", "http://0x7f.1:{port}/", "http://0177.0.0.1:{port}/", "http://127.1:{port}/", "http://0:{port}/",
    "http://0x7f000001:{port}/", "http://017700000001:{port}/", "http://127.0.0.1.:{port}/", "http://0.0.0.0:{port}/",
    "http://[::1]:{port}/", "http://[::]:{port}/", "http://[::ffff:127.0.0.1]:{port}/", "http://[::ffff:7f00:1]:{port}/",
    "http://[64:ff9b::7f00:1]:{port}/", "http://[2002:7f00:1::]:{port}/", "http://[2001:0:7f00:1::1]:{port}/", "http://[::127.0.0.1]:{port}/",
    "http://127.0.0.1:{port}\\@news.example/", "http://news.example\\@127.0.0.1:{port}/", "http://news.example#@127.0.0.1:{port}/",
    "http://news.example?@127.0.0.1:{port}/", "http://127.0.0.1:{port}#@news.example/", "http://news.example@127.0.0.1:{port}/",
    "http://①②⑦.⓪.⓪.①:{port}/", "http://１２７.0.0.1:{port}/", "http://127。0。0。1:{port}/", "http://١٢٧.0.0.1:{port}/", "http://%31%32%37.0.0.1:{port}/",
    "http://127.0.0.1:{port}", "//127.0.0.1:{port}/", "http:127.0.0.1:{port}/", "http:///127.0.0.1:{port}/",
]  # fmt: skip


class Lookup:
    """A resolver whose owner means ill: gives the next answer at each question, the last one for ever."""

    def __init__(self, *answers: list[str]) -> None:
        self.answers = list(answers)
        self.asked: list[str] = []

    def __call__(self, host: str, port: int) -> list[str]:
        self.asked.append(host)
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


@pytest.fixture
def make_door() -> Iterator[Callable[..., Fetcher]]:
    """A fetcher that may ask public addresses, and the networks named, at any port that matters here."""
    doors: list[Fetcher] = []

    def make(resolve: Callable[[str, int], list[str]], *networks: str, ports: Collection[int] = (80,)) -> Fetcher:
        guard = AddressGuard([ip_network(one) for one in networks], ports)
        doors.append(
            Fetcher(
                user_agent="newsmill/0.1",
                guard=guard,
                connect_timeout_s=1.0,
                clock=lambda: datetime.now(UTC),
                resolve=resolve,
            )
        )
        return doors[-1]

    yield make
    for door in doors:
        door.close()


# ---------------------------------------------------------------- addresses


@pytest.mark.parametrize("url", IN_DISGUISE)
def test_loopback_in_any_spelling_is_not_dialled(site: Any, make_door: Any, url: str) -> None:
    """The port itself is allowed, so that nothing but the address can be what is refused."""
    door = make_door(lambda host, port: ["127.0.0.1"], ports={80, site.port})
    with pytest.raises(RefusedAddressError):
        get(door, url.format(port=site.port), total_timeout_s=1.0)
    assert site.dial_count == 0


@pytest.mark.parametrize("url", [*IN_DISGUISE[:-2], "http://10.0.0.1/", "http://169.254.169.254/latest/meta-data/"])
def test_redirect_to_a_forbidden_address_is_not_followed(site: Any, make_site: Any, make_door: Any, url: str) -> None:
    """The first site stands in an allowed network, where it leads does not. The last two lead nowhere else: a reference whose
    scheme is the base's own is a relative one.
    """
    allowed = make_site(host="127.0.0.2")
    allowed.pages["/a"] = allowed.redirect(url.format(port=site.port).encode().decode("latin-1"))
    door = make_door(lambda host, port: ["127.0.0.1"], "127.0.0.2/32", ports={80, site.port})
    with pytest.raises(RefusedAddressError):
        get(door, allowed.url("/a", host="127.0.0.2"), total_timeout_s=1.0)
    assert (allowed.dial_count, site.dial_count) == (1, 0)


@pytest.mark.parametrize(
    "answers",
    [
        ["127.0.0.1"], ["10.1.2.3"], ["100.64.0.1"], ["0.0.0.0"], ["224.0.0.1"], ["169.254.169.254"], ["::1"], ["fd00:ec2::254"],
        ["::ffff:127.0.0.1"], ["64:ff9b::7f00:1"], ["2002:7f00:1::"], ["fe80::1%eth0"], [*PUBLIC, "127.0.0.1"], ["127.0.0.1", *PUBLIC],
    ],
    ids=" ".join,
)  # fmt: skip
def test_name_with_a_private_address_among_its_own_is_never_dialled_also_on_retry(
    site: Any, make_door: Any, monkeypatch: pytest.MonkeyPatch, answers: list[str]
) -> None:
    dialled: list[Any] = []
    monkeypatch.setattr(socket, "create_connection", lambda where, *_: dialled.append(where) or refuse())
    door = make_door(lambda host, port: answers, ports={site.port})
    for _ in range(3):
        with pytest.raises(RefusedAddressError):
            get(door, site.url("/a", host="news.example"))
    assert (dialled, site.dial_count) == ([], 0)


def refuse() -> socket.socket:
    raise ConnectionRefusedError


def test_name_that_is_rebound_after_the_check_is_dialled_where_it_was_checked(site: Any, make_door: Any) -> None:
    lookup = Lookup(["127.0.0.1"], ["10.0.0.7"])
    site.pages["/a"] = site.whole(b"checked")
    door = make_door(lookup, "127.0.0.1/32")
    hop = get(door, site.url("/a", host="news.example")).final
    assert (hop.ip, hop.body, lookup.asked) == ("127.0.0.1", b"checked", ["news.example"])


def test_name_that_is_rebound_before_a_new_connection_is_refused(site: Any, make_door: Any) -> None:
    lookup = Lookup(["127.0.0.1"], ["10.0.0.7"])
    site.pages["/a"] = site.whole(b"x", "Connection: close")
    door = make_door(lookup, "127.0.0.1/32")
    get(door, site.url("/a", host="news.example"))
    with pytest.raises(RefusedAddressError, match=r"10\.0\.0\.7"):
        get(door, site.url("/a", host="news.example"))


def test_redirect_to_the_same_name_rebound_is_refused(site: Any, make_door: Any) -> None:
    lookup = Lookup(["127.0.0.1"], ["169.254.169.254"])
    site.pages["/a"] = site.redirect("/b", "Connection: close")
    door = make_door(lookup, "127.0.0.1/32")
    with pytest.raises(RefusedAddressError, match="metadata"):
        get(door, site.url("/a", host="news.example"))


def test_nobody_but_the_guarded_resolver_is_asked_for_a_name(
    site: Any, make_door: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []
    real = socket.getaddrinfo
    monkeypatch.setattr(
        socket, "getaddrinfo", lambda host, *rest, **more: asked.append(host) or real(host, *rest, **more)
    )
    site.pages["/a"] = site.whole(b"x")
    get(make_door(lambda host, port: ["127.0.0.1"], "127.0.0.1/32"), site.url("/a", host="news.example"))
    assert set(asked) <= {"127.0.0.1"}


@pytest.mark.parametrize("port", [22, 25, 6379, 11211])
def test_port_of_another_service_is_refused_also_behind_a_redirect(site: Any, make_door: Any, port: int) -> None:
    door = make_door(lambda host, port: PUBLIC, "127.0.0.1/32")
    site.pages["/a"] = site.redirect(f"http://news.example:{port}/")
    for url in (f"http://93.184.216.34:{port}/", f"http://news.example:{port}/", site.url("/a")):
        with pytest.raises(RefusedAddressError, match=f"port {port}"):
            get(door, url)


@pytest.mark.parametrize(
    "location",
    ["file:///etc/passwd", "ftp://news.example/a", "gopher://127.0.0.1:6379/_x", "data:text/html,<p>x", "javascript:alert(1)",
     "ws://news.example/", "feed:https://news.example/", "view-source:http://news.example/"],
)  # fmt: skip
def test_redirect_to_another_scheme_is_refused(site: Any, fetcher: Fetcher, location: str) -> None:
    site.pages["/a"] = site.redirect(location)
    with pytest.raises(RefusedAddressError, match="only http and https"):
        get(fetcher, site.url("/a"))


# ---------------------------------------------------------------- names


@pytest.mark.parametrize(
    ("host", "on_the_wire"),
    [
        ("例え.example", "xn--r8jz45g.example"),
        ("xn--r8jz45g.example", "xn--r8jz45g.example"),
        ("bücher.example", "xn--bcher-kva.example"),
        ("аррle.example", "xn--le-6kc8da.example"),  # Cyrillic with Latin: another site than it looks, as DNS has it
        ("NEWS.example", "news.example"),
    ],
)
def test_international_name_goes_out_as_punycode(site: Any, make_door: Any, host: str, on_the_wire: str) -> None:
    lookup = Lookup(["127.0.0.1"])
    site.pages["/a"] = site.whole(b"x")
    get(make_door(lookup, "127.0.0.1/32"), site.url("/a", host=host))
    assert lookup.asked == [on_the_wire]
    assert f"Host: {on_the_wire}:{site.port}\r\n".encode() in site.requests[0]


@pytest.mark.parametrize(
    "host",
    ["☃.example", "a\u200bb.example", "-例え.example", "例" * 64 + ".example", "xn--.例え", "..例え", "例え..example"],
)
def test_bad_label_is_refused(make_door: Any, host: str) -> None:
    lookup = Lookup(["127.0.0.1"])
    with pytest.raises(QuarantineError):
        get(make_door(lookup, "127.0.0.1/32"), f"http://{host}/")
    assert lookup.asked == []


@pytest.mark.parametrize(
    ("error", "waits"),
    [
        pytest.param(socket.gaierror(socket.EAI_NONAME, "Name or service not known"), True, id="NXDOMAIN"),
        pytest.param(socket.gaierror(socket.EAI_AGAIN, "Temporary failure"), False, id="SERVFAIL"),
        pytest.param(socket.gaierror(socket.EAI_FAIL, "Non-recoverable failure"), False, id="REFUSED"),
        pytest.param(TimeoutError("timed out"), False, id="time-out"),
    ],
)
def test_name_that_does_not_exist_is_left_alone_for_longer_than_one_that_is_not_answered(
    make_door: Any, error: Exception, waits: bool
) -> None:
    def resolve(host: str, port: int) -> list[str]:
        raise error

    failed = failing(make_door(resolve), "http://news.example/")
    assert (failed.cause, failed.is_unreachable, bool(failed.retry_after_s)) == ("dns", True, waits)


def test_resolver_of_30_seconds_holds_no_thread_of_ours_up(make_door: Any) -> None:
    """Ten at once: each ends on time, and what the resolver still holds are threads that nobody waits for."""
    before = active_count()
    release_at = time.monotonic() + 1.2

    def resolve(host: str, port: int) -> list[str]:
        time.sleep(max(0.0, release_at - time.monotonic()))
        return PUBLIC

    door = make_door(resolve)
    for _ in range(3):
        began = time.monotonic()
        assert failing(door, "http://news.example/", total_timeout_s=0.2).cause == "dns"
        assert time.monotonic() - began < 0.5
    time.sleep(max(0.0, release_at - time.monotonic()) + 0.2)
    assert active_count() <= before


# ---------------------------------------------------------------- loops


def test_endless_redirect_stops_after_ten_hops(site: Any, fetcher: Fetcher) -> None:
    site.pages |= {f"/{n}": site.redirect(f"/{n + 1}") for n in range(50)}
    assert failing(fetcher, site.url("/0")).cause == "redirect"
    assert len(site.requests) == MAX_HOPS


@pytest.mark.parametrize("cookie", ["seen=1", "n=1; Path=/; Max-Age=0", "a=" + "b" * 4000])
def test_site_that_sets_a_cookie_and_leads_to_itself_stops_after_ten_hops(
    site: Any, fetcher: Fetcher, cookie: str
) -> None:
    site.pages["/a"] = site.redirect("/a", f"Set-Cookie: {cookie}")
    assert failing(fetcher, site.url("/a")).cause == "redirect"
    assert len(site.requests) == MAX_HOPS
    site.pages["/a"] = site.whole(b"x")
    get(fetcher, site.url("/a"))
    assert b"Cookie:" not in site.requests[-1]


def test_cookies_are_not_carried_to_another_host(site: Any, other_site: Any, fetcher: Fetcher) -> None:
    site.pages["/a"] = site.redirect(other_site.url("/b", host="other.example"), "Set-Cookie: secret=1")
    other_site.pages["/b"] = other_site.whole(b"x")
    get(fetcher, site.url("/a", host="news.example"))
    assert b"Cookie:" not in other_site.requests[0]


@pytest.mark.parametrize("name", ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"])
def test_proxy_of_the_environment_opens_no_way_round_the_guard(
    site: Any, make_door: Any, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    for spelling in (name, name.lower()):
        monkeypatch.setenv(spelling, site.url(""))
    door = make_door(lambda host, port: ["10.0.0.7"], "127.0.0.1/32")
    with pytest.raises(RefusedAddressError):
        get(door, "http://news.example/")
    assert site.dial_count == 0
