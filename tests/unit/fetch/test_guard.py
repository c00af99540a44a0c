from __future__ import annotations

from contextlib import suppress
from ipaddress import IPv4Address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.errors import RefusedAddressError
from worker.fetch.guard import AddressGuard

STRICT = AddressGuard([], {80, 443})
LENIENT = AddressGuard([ip_network("127.0.0.0/8"), ip_network("fd00:1::/32")], {80, 443})


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "127.9.9.9", "0.0.0.0", "0.1.2.3", "10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254",
        "100.64.0.1", "100.100.100.200", "168.63.129.16", "192.0.0.192", "192.0.2.1", "198.18.0.1", "192.88.99.1",
        "224.0.0.1", "239.1.1.1", "240.0.0.1", "255.255.255.255",
        "::", "::1", "::127.0.0.1", "::8.8.8.8", "::ffff:127.0.0.1", "::ffff:7f00:1", "::ffff:10.0.0.1",
        "64:ff9b::7f00:1", "64:ff9b::10.0.0.1", "64:ff9b:1::1", "2002:7f00:1::", "2002:a00:1::1",
        "2001:0:7f00:1::1", "2001:db8::1", "3fff::1", "fc00::1", "fd00:ec2::254", "fe80::1", "fe80::1%eth0", "fec0::1",
        "ff02::1", "100::1", "5f00::1",
        "", "localhost", "127.1", "2130706433", "0x7f.0.0.1", "010.0.0.1", "١٢٧.0.0.1", "8.8.8.8 ",
    ],
)  # fmt: skip
def test_address_that_is_not_public_is_refused(address: str) -> None:
    assert STRICT.refusal(address) is not None


@pytest.mark.parametrize(
    "address", ["8.8.8.8", "93.184.216.34", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::8.8.8.8"]
)
def test_public_address_may_be_asked(address: str) -> None:
    assert STRICT.refusal(address, 443) is None
    assert STRICT.refusal(address, 22) == "port 22 is not among those allowed"


@pytest.mark.parametrize(
    ("address", "port", "may"),
    [
        ("127.0.0.1", 6379, True),
        ("::ffff:127.0.0.1", 6379, True),
        ("fd00:1::5", 9999, True),
        ("10.0.0.1", 80, False),
        ("8.8.8.8", 80, True),
        ("8.8.8.8", 6379, False),
    ],
)
def test_allowed_network_is_open_at_any_port(address: str, port: int, may: bool) -> None:
    assert (LENIENT.refusal(address, port) is None) is may


@given(st.ip_addresses(v=4))
def test_wrapping_an_address_never_opens_it(address: IPv4Address) -> None:
    if STRICT.refusal(str(address)) is None:
        return
    value = int(address)
    for wrapped in (
        f"::ffff:{address}", f"::{address}", f"64:ff9b::{address}", f"2002:{value >> 16:x}:{value & 0xFFFF:x}::1"
    ):  # fmt: skip
        assert STRICT.refusal(wrapped) is not None, wrapped


@given(st.text())
def test_any_text_gets_a_verdict(text: str) -> None:
    STRICT.refusal(text)
    with suppress(RefusedAddressError):
        STRICT.check_url("http://" + text)


@pytest.mark.parametrize(
    "url",
    [
        "http://2130706433/", "http://0x7f.1/", "http://0177.0.0.1/", "http://127.1/", "http://0/", "http://0x7f000001/",
        "http://127.0.0.1/", "http://127.0.0.1./", "http://127.000.000.001/", "http://1.2.3.4.5/", "http://news.0x1/",
        "http://[::1]/", "http://[::ffff:127.0.0.1]/", "http://[::ffff:7f00:1]/", "http://[64:ff9b::7f00:1]/",
        "http://[2002:7f00:1::]/", "http://[fe80::1%25eth0]/", "http://[::1/", "http://::1/",
        "http://127.0.0.1\\@e.example/", "http://e.example\\@127.0.0.1/", "http://e.example#@127.0.0.1/",
        "http://e.example?@127.0.0.1/", "http://user@e.example/", "http://user:pw@e.example/", "http://@e.example/",
        "http://①②⑦.⓪.⓪.①/", "http://１２７.0.0.1/", "http://127。0。0。1/", "http://١٢٧.0.0.1/", "http://ｅ.example/",
        "http://%31%32%37.0.0.1/", "http://e.example%00/", "http://e example/", "http://e.example\t/", "http:/\\e.example/",
        "http://e.example:0/", "http://e.example:99999/", "http://e.example:8x/", "http://e.example:22/",
        "http://e.example:６/", "http:///path", "http:e.example", "//e.example/", "e.example", "",
        "file:///etc/passwd", "ftp://e.example/", "gopher://e.example/", "data:text/html,x", "javascript:alert(1)",
        "http://a..b/", "http://-a.example/", f"http://{'a' * 64}.example/", f"http://e.example/{'a' * 9000}",
        "http://e.example/\r\nX: y", "http://e.example/\x00", "http://e.example/\ud800",
    ],
)  # fmt: skip
def test_spelling_that_two_parsers_could_read_differently_is_refused(url: str) -> None:
    with pytest.raises(RefusedAddressError):
        STRICT.check_url(url)


@pytest.mark.parametrize(
    "url",
    [
        "http://e.example/", "https://e.example:443/a?b=c@d#e", "http://e.example/a@b", "http://8.8.8.8/", "http://e.example.",
        "http://[2606:4700::1111]/", "http://例え.example/", "http://xn--r8jz45g.example/", "http://bücher.example/",
        "http://under_score.example/", "http://一二三.example/", "HTTP://E.EXAMPLE/", "http://e.example/中 文?\\",
    ],
)  # fmt: skip
def test_ordinary_url_passes(url: str) -> None:
    STRICT.check_url(url)


def test_port_of_a_name_waits_for_its_addresses_when_networks_are_allowed() -> None:
    LENIENT.check_url("http://internal.example:9999/")
    LENIENT.check_url("http://127.0.0.1:9999/")
    with pytest.raises(RefusedAddressError):
        LENIENT.check_url("http://8.8.8.8:9999/")


def test_refusal_shows_no_secret() -> None:
    with pytest.raises(RefusedAddressError) as caught:
        STRICT.check_url("http://user:hunter2@e.example/?key=hunter2")
    assert "hunter2" not in str(caught.value)
