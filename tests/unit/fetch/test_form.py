"""A POST through the one door: what hubs are asked with."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.hub import Hub
from worker.fetch.http import Fetcher, FetchRequest
from worker.fetch.trouble import FetchFailedError
from worker.model import Exchange

FORM = (("hub.mode", "subscribe"), ("hub.topic", "https://news.example/?a=b&c=港口"), ("hub.secret", "hush"))


@pytest.fixture
def hub() -> Iterator[Hub]:
    with Hub(verifies=None) as made:
        yield made


def post(fetcher: Fetcher, url: str) -> Exchange:
    request = FetchRequest(url=url, accept="*/*", cap_bytes=1000, total_timeout_s=5.0, form=FORM)
    return fetcher.fetch(request, may_visit=lambda _: None)


def test_a_form_arrives_and_the_recorded_head_ends_before_it(fetcher: Fetcher, hub: Hub) -> None:
    for _ in range(2):  # on a fresh connection, and on a kept one
        (hop,) = post(fetcher, hub.url).hops
        assert (hop.method, hop.status) == ("POST", 202)
        assert hop.request_head.startswith(b"POST /hub HTTP/1.1\r\n")
        assert hop.request_head.endswith(b"\r\n\r\n")
        assert b"hush" not in hop.request_head
    assert hub.requests == [dict(FORM)] * 2
    assert hub.content_types == ["application/x-www-form-urlencoded"] * 2


@pytest.mark.parametrize("status", [307, 308])
def test_a_redirect_that_keeps_the_method_gets_the_form_too(fetcher: Fetcher, hub: Hub, status: int) -> None:
    hub.status, hub.location = status, "/elsewhere"
    exchange = post(fetcher, hub.url)
    assert [(hop.method, hop.url.rpartition("/")[2]) for hop in exchange.hops] == [
        ("POST", "hub"),
        ("POST", "elsewhere"),
    ]
    assert hub.requests == [dict(FORM)] * 2


@pytest.mark.parametrize("status", [301, 302, 303])
def test_a_redirect_that_makes_a_get_of_it_is_no_answer(fetcher: Fetcher, hub: Hub, status: int) -> None:
    hub.status, hub.location = status, "/elsewhere"
    with pytest.raises(FetchFailedError) as failed:
        post(fetcher, hub.url)
    assert failed.value.cause == "redirect"
    assert hub.paths == ["/hub"]
