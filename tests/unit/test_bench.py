"""The benchmark counts right: what it says about fetches, messages and pages can be believed."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import fields, replace
from itertools import islice
from typing import Any

import pytest
import requests

from bench.line import arguments, planned
from bench.measure import LineRun, edition, faults
from bench.newsserver import MOST_SITES, NewsServer, resource
from bench.pages import Extractors, Page, entry_of, feed, made, picture, title_of, with_picture, without_pictures
from bench.processes import PeakMemory, cpu_of_sessions_s, pss_of_sessions_bytes
from bench.report import LINE_COLUMNS, middle, table
from worker.extract.article import extract_article

URL = "http://127.0.1.1:8080/news/1.html"


@pytest.fixture(scope="module")
def server() -> Iterator[NewsServer]:
    with NewsServer(sites=3) as started:
        yield started


@pytest.fixture(scope="module")
def extractors() -> Iterator[Extractors]:
    with Extractors([next(made())], children=1) as started:
        yield started


@pytest.fixture
def client() -> Iterator[requests.Session]:
    with requests.Session() as session:
        session.trust_env = False
        yield session


def test_every_request_is_counted_by_its_site_and_path(server: NewsServer, client: requests.Session) -> None:
    first, second = f"{server.site(0)}/counted", f"{server.site(1)}/counted"
    server.put({first: resource(b"here", "text/html")})
    server.forget()
    statuses = [client.get(url, timeout=5).status_code for url in (first, first, second)]
    assert statuses == [200, 200, 404]
    assert server.counts() == {first: 2, second: 1}


def test_a_body_arrives_gzipped_and_whole(server: NewsServer, client: requests.Session) -> None:
    url = f"{server.site(2)}/whole"
    server.put({url: resource(b"body " * 1000, "text/html")})
    response = client.get(url, timeout=5)
    assert response.content == b"body " * 1000
    assert response.headers["Content-Encoding"] == "gzip"
    assert int(response.headers["Content-Length"]) < 200


def test_an_unchanged_document_is_answered_with_304(server: NewsServer, client: requests.Session) -> None:
    url = f"{server.site(0)}/feed.xml"
    server.put({url: resource(b"one", "text/xml")})
    etag = client.get(url, timeout=5).headers["ETag"]
    assert client.get(url, headers={"If-None-Match": etag}, timeout=5).status_code == 304
    server.put({url: resource(b"two", "text/xml")})
    assert client.get(url, headers={"If-None-Match": etag}, timeout=5).content == b"two"


def test_answers_can_be_held_back(server: NewsServer, client: requests.Session) -> None:
    server.hold_back(0.15)
    began_at = time.monotonic()
    client.get(f"{server.site(0)}/late", timeout=5)
    assert time.monotonic() - began_at >= 0.15
    server.hold_back(0)


@pytest.mark.parametrize("sites", [0, MOST_SITES + 1])
def test_sites_are_addresses_of_one_network(sites: int) -> None:
    with pytest.raises(ValueError, match="sites must lie"):
        NewsServer(sites=sites)


def test_an_edition_announces_each_article_in_one_feed(server: NewsServer, client: requests.Session) -> None:
    pages = [Page(title=f"Title {number}", html=b"<p>text", extract_s=0.0) for number in range(5)]
    put = edition(server, "paper", pages, sites=range(2), pictures=False)
    documents = [client.get(address, timeout=5).text for _, address in put.feeds]
    assert len(documents) == 2
    assert [sum(f"<link>{url}</link>" in document for document in documents) for url in put.urls] == [1] * 5


@pytest.mark.parametrize(
    "html",
    [
        pytest.param(b'<img src="/a.jpg">', id="an image"),
        pytest.param(
            b'<picture><source srcset="/a.webp"><img data-src="/a.jpg"></picture>', id="a picture with sources"
        ),
        pytest.param(b'<meta property="og:image" content="https://cdn.example/a.jpg">', id="OpenGraph"),
        pytest.param(b"<meta content=/a.jpg name=twitter:image>", id="unquoted, content first"),
        pytest.param(
            b'<script type="application/ld+json">{"@type": "NewsArticle", "image" : "/a.jpg"}</script>', id="JSON-LD"
        ),
    ],
)
def test_a_page_without_pictures_names_none(html: bytes) -> None:
    page = next(made()).replace(b"<article>", b"<article>" + html)
    record = extract_article(without_pictures(page), URL, (), entry_of("A title", URL))
    assert record.not_article is None
    assert record.image_candidates == ()


def test_a_page_with_a_picture_names_just_this_one() -> None:
    page = with_picture(next(made()), f"{URL}.jpg")
    record = extract_article(page, URL, (), entry_of("A title", URL))
    assert [candidate.url for candidate in record.image_candidates] == [f"{URL}.jpg"]


def test_pictures_differ() -> None:
    assert len({picture(number) for number in range(5)}) == 5


def test_only_articles_are_chosen_and_they_come_again_when_there_are_too_few(extractors: Extractors) -> None:
    pages = [b"<title>Nothing</title>", *islice(made(), 2)]
    found = extractors.chosen(pages, 5)
    assert [page.title for page in found] == ["Ferry report 0", "Ferry report 1"] * 2 + ["Ferry report 0"]
    assert all(page.extract_s > 0 for page in found)


def test_drift_compares_an_extraction_with_its_first_measurement(extractors: Extractors) -> None:
    found = extractors.chosen(made(), 8)
    slower = [replace(page, extract_s=page.extract_s / 1000) for page in found]
    assert extractors.drift(slower) > 100


def test_titles_are_one_line_of_plain_text() -> None:
    assert title_of(b"<head><title>\n Tom &amp;\n Jerry </title>") == "Tom & Jerry"


def test_a_feed_says_of_each_article_what_the_measured_entry_says() -> None:
    document = feed("Site", [("A & B", URL)]).decode()
    entry = entry_of("A & B", URL)
    assert "<title>A &amp; B</title>" in document
    assert entry.summary_html is not None
    assert f"<description>{entry.summary_html}</description>" in document


@pytest.mark.parametrize(
    ("fetched", "arrived", "states", "wrong"),
    [
        pytest.param({"a": 1, "b": 1}, {"a": 1, "b": 1}, {"published": 2}, 0, id="all well"),
        pytest.param({"a": 1}, {"a": 1, "b": 1}, {"published": 2}, 1, id="never fetched"),
        pytest.param({"a": 2, "b": 1}, {"a": 1, "b": 1}, {"published": 2}, 1, id="fetched twice"),
        pytest.param({"a": 1, "b": 1}, {"a": 2, "b": 1}, {"published": 2}, 1, id="published twice"),
        pytest.param({"a": 1, "b": 1}, {"a": 1}, {"published": 1, "rejected": 1}, 2, id="lost"),
        pytest.param({"a": 1, "b": 1}, {"a": 1, "b": 1, "c": 1}, {"published": 2}, 1, id="out of nowhere"),
    ],
)
def test_an_article_that_is_lost_or_doubled_is_a_fault(
    fetched: dict[str, int], arrived: dict[str, int], states: dict[str, int], wrong: int
) -> None:
    assert len(faults(["a", "b"], fetched=fetched, arrived=arrived, states=states)) == wrong


@pytest.fixture
def session() -> Iterator[int]:
    """A process at work in a session of its own; whose session the tests run in is nobody's promise."""
    busy = "x = bytearray(4 << 20)\nwhile True: pass"
    with subprocess.Popen([sys.executable, "-c", busy], start_new_session=True) as process:
        yield process.pid
        process.kill()


def test_the_cpu_of_a_session_grows_with_its_work(session: int) -> None:
    before_s = cpu_of_sessions_s({session})
    give_up_at = time.monotonic() + 30
    while (spent_s := cpu_of_sessions_s({session}) - before_s) < 0.08 and time.monotonic() < give_up_at:
        time.sleep(0.02)
    assert spent_s >= 0.08


def test_memory_of_a_session_is_seen(session: int) -> None:
    give_up_at = time.monotonic() + 30
    with PeakMemory({session}) as memory:
        while memory.peak_bytes < 4 << 20 and time.monotonic() < give_up_at:
            time.sleep(0.02)
    assert memory.peak_bytes >= 4 << 20
    assert pss_of_sessions_bytes(set()) == 0


def run(cpu_ms: float, *wrong: str) -> LineRun:
    figures: dict[str, Any] = {one.name: 1.0 for one in fields(LineRun)}
    lone = {"lone_ms": None, "lone_outside_ms": None, "lone_s": None}
    return LineRun(**{**figures, **lone, "stack": "a stack", "articles": 3, "cpu_ms": cpu_ms, "faults": wrong})


def test_of_several_runs_the_median_is_shown_and_every_fault() -> None:
    shown = middle([run(5.0), run(30.0, "x"), run(7.0, "y")])
    assert shown.cpu_ms == 7.0
    assert shown.faults == ("x", "y")
    assert shown.articles == 3


def test_a_table_has_a_line_for_each_run_and_a_dash_for_what_was_not_measured() -> None:
    lines = table([run(5.0), run(7.25)], LINE_COLUMNS).splitlines()
    assert len(lines) == 3
    assert len({len(line) for line in lines}) == 1
    assert "7.2" in lines[2]
    assert " - " in lines[2]


def test_the_short_form_measures_no_bare_loop_and_no_latency() -> None:
    plan = planned(arguments(["--short", "--stack", "embedded"]))
    assert (plan.with_bare, plan.latencies_ms, plan.repeats, plan.stacks) == (False, (0.0,), 1, ("embedded",))
