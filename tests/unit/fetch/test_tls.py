"""TLS is always verified: a certificate that will not do is an error that says why, and nothing is asked without one."""

from __future__ import annotations

import re
import ssl
import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from tests.unit.fetch.certificates import Authority, self_signed, server_context
from tests.unit.fetch.test_http import failing, get
from worker.errors import QuarantineError
from worker.fetch.http import Fetcher


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority.founded(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def trusting(fetcher: Fetcher, authority: Authority) -> Fetcher:
    """A fetcher that knows the test's authority beside the public ones."""
    fetcher._adapter.tls.load_verify_locations(authority.folder / "ca.pem")
    return fetcher


def served(make_site: Any, context: ssl.SSLContext) -> Any:
    site = make_site(context)
    site.pages["/a"] = site.whole(b"safe")
    return site


BAD: dict[str, tuple[Callable[[Authority], ssl.SSLContext], str]] = {
    "expired": (lambda ca: server_context(ca.issue("news.example", ends_in=timedelta(days=-2))), "has expired"),
    "of another host": (lambda ca: server_context(ca.issue("other.example")), "not valid for 'news.example'"),
    "signed by itself": (lambda ca: server_context(self_signed(ca.folder, "news.example")), "self.signed"),
    "of an unknown authority": (
        lambda ca: server_context(Authority.founded(ca.folder.parent, "Nobody's").issue("news.example")),
        "unable to get local issuer",
    ),
    "signed with SHA-1": (lambda ca: server_context(ca.issue_with_sha1("news.example")), "too weak"),
    "TLS 1.0 only": (
        lambda ca: server_context(ca.issue("news.example"), newest=ssl.TLSVersion.TLSv1),
        "PROTOCOL|protocol",
    ),
    "TLS 1.1 only": (
        lambda ca: server_context(ca.issue("news.example"), newest=ssl.TLSVersion.TLSv1_1),
        "PROTOCOL|protocol",
    ),
}


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1:DeprecationWarning")
@pytest.mark.parametrize("flaw", BAD)
def test_server_that_cannot_be_verified_is_not_asked(
    make_site: Any, trusting: Fetcher, authority: Authority, flaw: str
) -> None:
    context, says = BAD[flaw]
    site = served(make_site, context(authority))
    error = failing(trusting, site.url("/a", host="news.example"))
    assert error.cause == "tls"
    assert re.search(says, str(error))
    assert site.requests == []
    assert site.dial_count == 1  # no second try by other means


def test_sound_server_is_asked_by_name_over_one_connection(
    make_site: Any, trusting: Fetcher, authority: Authority
) -> None:
    context = server_context(authority.issue("news.example"))
    names: list[str | None] = []
    context.sni_callback = lambda connection, name, context: names.append(name)
    site = served(make_site, context)
    for _ in range(3):
        assert get(trusting, site.url("/a", host="news.example")).final.body == b"safe"
    assert (names, site.dial_count) == (["news.example"], 1)
    assert failing(trusting, site.url("/a", host="wrong.example")).cause == "tls"


def test_plain_http_on_a_tls_port_is_a_tls_failure(site: Any, fetcher: Fetcher) -> None:
    site._serve = lambda connection: connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    assert failing(fetcher, f"https://news.example:{site.port}/").cause == "tls"


def test_redirect_from_https_to_http_is_followed_only_where_that_is_allowed(
    make_site: Any, site: Any, trusting: Fetcher, authority: Authority
) -> None:
    safe = make_site(server_context(authority.issue("news.example")))
    safe.pages["/a"] = safe.redirect(site.url("/plain", host="news.example"))
    site.pages["/plain"] = site.whole(b"in the clear")
    with pytest.raises(QuarantineError, match="downgrade") as caught:
        get(trusting, safe.url("/a", host="news.example"))
    assert (caught.value.reason, site.requests) == ("downgrade", [])
    exchange = get(trusting, safe.url("/a", host="news.example"), allow_downgrade=True)
    assert [hop.url.partition(":")[0] for hop in exchange.hops] == ["https", "http"]


def test_configured_secret_is_not_told_over_http_although_the_host_is_the_same(
    make_site: Any, site: Any, trusting: Fetcher, authority: Authority
) -> None:
    safe = make_site(server_context(authority.issue("news.example")))
    safe.pages["/a"] = safe.redirect(site.url("/plain", host="news.example"))
    site.pages["/plain"] = site.whole(b"in the clear")
    headers = (("X-Key", "s3cret"),)
    url = safe.url("/a", host="news.example")
    get(trusting, url, allow_downgrade=True, headers=headers, sensitive=frozenset({"x-key"}))
    assert [b"s3cret" in request for request in (*safe.requests, *site.requests)] == [True, False]


def test_server_that_drips_its_handshake_ends_on_time(fetcher: Fetcher, site: Any) -> None:
    """A socket that accepts and says nothing: the handshake lies within the connection's time."""
    silent = threading.Event()
    site._serve = lambda connection: silent.wait(3)
    assert failing(fetcher, f"https://news.example:{site.port}/", total_timeout_s=0.4).cause in {"timeout", "tls"}
    silent.set()
