"""``newsmill extract``: one page, no database, no broker."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.unit.cli.conftest import Newsmill

SENTENCES = " ".join(
    f"The tram number {number} runs along the harbour again since Monday morning." for number in range(40)
)
PAGE = f"""<!doctype html><html lang="en"><head><title>The tram returns</title>
<meta property="og:title" content="The tram returns"><meta property="og:type" content="article">
<meta property="article:published_time" content="2026-11-23T08:00:00Z"></head>
<body><article><h1>The tram returns</h1><p>{SENTENCES}</p><p><a href="/map">A map</a> shows it. {SENTENCES}</p></article>
</body></html>""".encode()


class _Pages(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = PAGE if self.path == "/tram" else b"gone"
        self.send_response(200 if self.path == "/tram" else 404)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def site() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Pages)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def page(tmp_path: Path) -> str:
    path = tmp_path / "tram.html"
    path.write_bytes(PAGE)
    return str(path)


def test_a_file_gives_the_record_as_json(newsmill: Newsmill, page: str) -> None:
    answer = newsmill("extract", page, "--url", "https://harbour.example/tram")
    assert answer.code == 0, answer.err
    record = answer.json
    assert record["title"] == "The tram returns"
    assert record["published_at"] == "2026-11-23T08:00:00Z"
    assert record["not_article"] is None
    assert "https://harbour.example/map" in record["html"]
    assert not newsmill.home.exists()


@pytest.mark.parametrize(
    ("form", "start"),
    [
        ("text", "The tram number 0"),
        ("markdown", "The tram number 0"),
        ("document", "<!--1795420800000-->\n[The tram returns]("),
    ],
)
def test_an_article_is_written_in_the_form_asked_for(newsmill: Newsmill, page: str, form: str, start: str) -> None:
    answer = newsmill("extract", page, "--url", "https://harbour.example/tram", "--format", form)
    assert answer.code == 0
    assert answer.out.lstrip("# \n").startswith(start)


def test_a_page_from_the_web_is_fetched_and_read(newsmill: Newsmill, site: str) -> None:
    answer = newsmill("extract", f"{site}/tram", NEWSMILL_ALLOW_NETWORKS="127.0.0.0/8")
    assert answer.code == 0, answer.err
    assert answer.json["title"] == "The tram returns"


def test_the_address_guard_holds_for_people_too(newsmill: Newsmill, site: str) -> None:
    answer = newsmill("extract", f"{site}/tram")
    assert answer.code == 1
    assert "refused-address" in answer.err


def test_a_missing_page_is_told_by_its_status(newsmill: Newsmill, site: str) -> None:
    answer = newsmill("extract", f"{site}/nothing", NEWSMILL_ALLOW_NETWORKS="127.0.0.0/8")
    assert answer.code == 1
    assert "HTTP 404" in answer.err


def test_what_is_no_article_exits_1_with_its_name(newsmill: Newsmill, tmp_path: Path) -> None:
    (tmp_path / "empty.html").write_bytes(b"")
    answer = newsmill("extract", str(tmp_path / "empty.html"))
    assert answer.code == 1
    assert answer.json["not_article"] == "empty"
    assert "no article (empty)" in answer.err


@pytest.mark.parametrize(
    ("page", "code", "advice"),
    [
        pytest.param("/no/such/page.html", 1, "http:// or https://", id="no file"),
        pytest.param("/", 1, "http:// or https://", id="a folder"),
        pytest.param("http://[", 2, "no URL that can be requested", id="no address"),
    ],
)
def test_what_cannot_be_read_says_what_could(newsmill: Newsmill, page: str, code: int, advice: str) -> None:
    answer = newsmill("extract", page)
    assert answer.code == code
    assert advice in answer.err


def test_a_wrong_base_url_is_refused(newsmill: Newsmill, page: str) -> None:
    answer = newsmill("extract", page, "--url", "nowhere:")
    assert answer.code == 2
    assert "is no http(s) URL" in answer.err
