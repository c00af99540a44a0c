"""Which hub and topic an answer names."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime

import pytest

from worker.feeds.parse import parse_feed
from worker.websub.links import advertised

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
URL = "https://news.example/feed"
HUB, SELF = "https://hub.example/", "https://news.example/feed.xml"


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        pytest.param([f'<{HUB}>; rel="hub"', f'<{SELF}>; rel="self"'], (HUB, SELF), id="two headers"),
        pytest.param([f'<{HUB}>; rel="hub", <{SELF}>; rel="self"'], (HUB, SELF), id="one header"),
        pytest.param([f"<{HUB}>;rel=hub,<{SELF}>;rel=self"], (HUB, SELF), id="no blanks and no quotes"),
        pytest.param([f'<{HUB}> ; REL = "HUB" , <{SELF}> ; Rel = Self'], (HUB, SELF), id="blanks and capitals"),
        pytest.param([f'<{HUB}>; rel="http://x.example/y hub"; title="a, <b>; c"'], (HUB, URL), id="several relations"),
        pytest.param([f'<{HUB}>; rel="hub"', '</feed.xml>; rel="self"'], (HUB, SELF), id="relative"),
        pytest.param([f'<https://2.example/>; rel="next", <{HUB}>; rel=hub'], (HUB, URL), id="among others"),
        pytest.param([f'<{HUB}>; rel="hub"; rel="self"'], (HUB, URL), id="the first rel counts"),
        pytest.param([f"<{HUB}>; rel=hub", "<https://2.example/>; rel=hub"], (HUB, URL), id="the first hub counts"),
        pytest.param([f'<{HUB}>; rel="h\\ub"'], (HUB, URL), id="a quoted pair"),
        pytest.param([f'<{HUB}>; rel="hub"; anchor="/feed"'], (HUB, URL), id="its own anchor"),
        pytest.param([f'<{HUB}>; rel="hub"; anchor="/other"'], (None, None), id="the hub of another document"),
        pytest.param(["<javascript:alert(1)>; rel=hub"], (None, None), id="no URL for a hub"),
        pytest.param([f'<{SELF}>; rel="self"'], (None, None), id="no hub"),
        pytest.param([f'<{HUB}>; rel="hub'], (None, None), id="a quote that never ends"),
        pytest.param(["hub", "<>", "<", ">;rel=hub", "", ";;,,"], (None, None), id="nonsense"),
    ],
)
def test_hub_and_topic_are_read_from_link_headers(headers: list[str], expected: tuple[str | None, str | None]) -> None:
    given = [("Content-Type", f"<{HUB}>; rel=hub"), *(("LINK", value) for value in headers)]
    assert advertised(given, url=URL, hub_url=None, topic_url=None) == expected


@pytest.mark.parametrize(
    ("headers", "document", "expected"),
    [
        pytest.param([], (HUB, SELF), (HUB, SELF), id="the document alone"),
        pytest.param([], (HUB, None), (HUB, URL), id="no self: as it was found"),
        pytest.param([], (None, SELF), (None, None), id="no hub"),
        pytest.param([f"<{HUB}>; rel=hub"], ("https://2.example/", SELF), (HUB, SELF), id="the header's hub wins"),
        pytest.param([f"<{SELF}>; rel=self"], (HUB, "https://2.example/"), (HUB, SELF), id="the header's topic wins"),
    ],
)
def test_headers_win_over_the_document(
    headers: list[str], document: tuple[str | None, str | None], expected: tuple[str | None, str | None]
) -> None:
    given = [("Link", value) for value in headers]
    assert advertised(given, url=URL, hub_url=document[0], topic_url=document[1]) == expected


def test_of_the_hubs_of_a_json_feed_one_that_speaks_websub_is_taken() -> None:
    hubs = [
        {"type": "rssCloud", "url": "https://cloud.example/"},
        {"type": "WebSub", "url": "mailto:hub"},
        {"type": "WebSub", "url": HUB},
    ]
    for named, expected in ((hubs, HUB), (hubs[:2], None), ({"url": HUB}, None)):
        body = json.dumps({"version": "https://jsonfeed.org/version/1.1", "title": "t", "items": [], "hubs": named})
        feed = parse_feed(body.encode(), content_type="application/feed+json", url=URL, max_entries=9, now=NOW)
        assert feed.hub_url == expected


@pytest.mark.parametrize(
    "value",
    ["<a" * 50_000, "<a>" + ";" * 100_000, "<a>;" + " " * 100_000, '<a>;b="' + "\\" * 99_999, "<a>;b=c" * 15_000, "<a>;" + "b" * 100_000, "<a>; rel=x," * 9_000],
    ids=["targets", "semicolons", "blanks", "escapes", "parameters", "a name", "links"],
)  # fmt: skip
def test_a_header_of_100_kb_costs_little(value: str) -> None:
    began = time.process_time()
    advertised([("Link", value)], url=URL, hub_url=None, topic_url=None)
    assert time.process_time() - began < 0.2
