"""The sample newsroom: what it serves, how it grows, and that it says the same thing twice."""

from __future__ import annotations

import http.client
import io
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from lxml import etree
from lxml import html as lxml_html
from PIL import Image

from worker.errors import UsageError
from worker.sample.articles import CONTENT, EPOCH, composed_article, number_at, written_articles
from worker.sample.newsroom import CHINESE, ENGLISH, FULLTEXT, WITHDRAWN, Newsroom, Site

ROOT = Path(__file__).resolve().parents[2]
START = datetime(2026, 5, 1, 12, 0, 10, tzinfo=UTC)
ATOM = "{http://www.w3.org/2005/Atom}"


class SettableClock:
    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> datetime:
        return self.now

    def forward(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


@pytest.fixture
def clock() -> SettableClock:
    return SettableClock()


@pytest.fixture
def newsroom(clock: SettableClock) -> Iterator[Newsroom]:
    newsroom = Newsroom(clock=clock, slow_s=0.2)
    newsroom.start()
    yield newsroom
    newsroom.stop()


def get(
    newsroom: Newsroom, path: str, headers: dict[str, str] | None = None, method: str = "GET"
) -> tuple[int, http.client.HTTPMessage, bytes]:
    with closing(http.client.HTTPConnection(urlsplit(newsroom.base_url).netloc, timeout=10)) as connection:
        connection.request(method, path, headers=headers or {})
        response = connection.getresponse()
        return response.status, response.headers, response.read()


def links_of(newsroom: Newsroom, path: str) -> list[str]:
    root = etree.fromstring(get(newsroom, path)[2])
    if root.tag == f"{ATOM}feed":
        return [link.get("href", "") for link in root.iterfind(f"{ATOM}entry/{ATOM}link")]
    return [link.text or "" for link in root.iterfind("channel/item/link")]


def path_of(url: str) -> str:
    return urlsplit(url).path


def test_the_articles_are_eight_to_ten_in_two_languages() -> None:
    articles = written_articles()
    assert 8 <= len(articles) <= 10
    assert {article.language for article in articles} == {"en", "zh"}
    assert len({article.title for article in articles}) == len(articles)


@pytest.mark.parametrize("article", written_articles(), ids=lambda article: article.path)
def test_a_written_article_is_of_newspaper_length(article: object) -> None:
    text = lxml_html.fromstring(article.body).text_content()  # type: ignore[attr-defined]
    if article.language == "en":  # type: ignore[attr-defined]
        assert 150 <= len(text.split()) <= 400
    else:
        assert 300 <= len(text) <= 600


@pytest.mark.parametrize("picture", sorted(path.name for path in (CONTENT / "pictures").iterdir()))
def test_a_picture_is_small_and_wide_enough_for_a_lead(picture: str) -> None:
    data = (CONTENT / "pictures" / picture).read_bytes()
    with Image.open(io.BytesIO(data)) as image:
        assert image.size == (960, 540)
    assert len(data) < 60_000


def test_every_article_has_its_page_with_its_title_text_and_picture(newsroom: Newsroom) -> None:
    for article in written_articles():
        status, headers, body = get(newsroom, article.path)
        page = lxml_html.document_fromstring(body)
        assert (status, headers["Content-Type"]) == (200, "text/html; charset=utf-8")
        assert page.xpath("string(//h1)") == article.title
        picture = page.xpath("string(//meta[@property='og:image']/@content)")
        assert get(newsroom, path_of(picture))[1]["Content-Type"] in {"image/jpeg", "image/png"}
        assert page.xpath("string(//link[@rel='canonical']/@href)") == newsroom.base_url + article.path


def test_every_link_in_the_feeds_can_be_fetched(newsroom: Newsroom, clock: SettableClock) -> None:
    clock.forward(300)
    links = [link for path in (ENGLISH, CHINESE, FULLTEXT) for link in links_of(newsroom, path)]
    assert len(links) == 5 + 1 + 3 + 3 + 10
    assert {get(newsroom, path_of(link))[0] for link in links} == {200}


def test_one_article_comes_in_two_feeds(newsroom: Newsroom) -> None:
    both = set(links_of(newsroom, CHINESE)) & set(links_of(newsroom, FULLTEXT))
    assert [path_of(link) for link in both] == ["/zh/old-ferry.html"]


def test_a_withdrawn_article_is_announced_and_answers_like_a_soft_404(newsroom: Newsroom) -> None:
    assert newsroom.base_url + WITHDRAWN in links_of(newsroom, ENGLISH)
    status, _, body = get(newsroom, WITHDRAWN)
    assert status == 200
    assert b"<title>Page doesn't exist</title>" in body


def test_one_page_is_slow(newsroom: Newsroom) -> None:
    began = time.monotonic()
    get(newsroom, "/news/village-turns-off-its-lamps.html")
    assert time.monotonic() - began >= 0.2


def test_the_fulltext_feed_holds_whole_articles_in_feedx_manner(newsroom: Newsroom) -> None:
    root = etree.fromstring(get(newsroom, FULLTEXT)[2])
    bodies = {path_of(item.findtext("link")): item.findtext("description") for item in root.iterfind("channel/item")}
    for article in written_articles():
        if article.path not in bodies:
            continue
        body = bodies[article.path]
        assert re.match(r"<div><i>\w{3}, \d\d \w{3} 2025 [\d:]{8} GMT</i></div>", body)
        assert f'<img src="https://images.weserv.nl?url={newsroom.base_url}/pictures/{article.picture}"' in body
        assert f'<small style="color: #999;">{article.caption}</small>' in body
        assert article.body in body
    footers = [body.count("获取更多RSS") for body in bodies.values()]
    assert sorted(footers) == [0, 1, 1]
    assert len(bodies) == 3


def test_a_new_article_appears_every_half_minute(newsroom: Newsroom, clock: SettableClock) -> None:
    seen = [len(links_of(newsroom, ENGLISH)) + len(links_of(newsroom, CHINESE))]
    for _ in range(4):
        clock.forward(30)
        seen.append(len(links_of(newsroom, ENGLISH)) + len(links_of(newsroom, CHINESE)))
    assert [later - seen[0] for later in seen] == [0, 1, 2, 3, 4]


def test_an_article_once_announced_keeps_its_address_and_text_over_a_restart(
    newsroom: Newsroom, clock: SettableClock
) -> None:
    clock.forward(60)
    link = links_of(newsroom, ENGLISH)[0]
    port = urlsplit(newsroom.base_url).port
    before = get(newsroom, path_of(link))[2]
    newsroom.stop()
    clock.forward(3600)
    again = Newsroom(port=port or 0, clock=clock)
    again.start()
    try:
        assert get(again, path_of(link))[2] == before
        assert link not in links_of(again, ENGLISH)
        clock.forward(60)
        assert links_of(again, ENGLISH)[0] > link
    finally:
        again.stop()


def test_a_feed_keeps_its_twenty_newest_composed_articles(newsroom: Newsroom, clock: SettableClock) -> None:
    clock.forward(30 * 200)
    assert len([link for link in links_of(newsroom, ENGLISH) if "/wire/" in link]) == 20


def test_composed_articles_of_a_day_differ_in_title_and_text() -> None:
    articles = [composed_article(number, 30.0) for number in range(2880)]
    assert len({article.title for article in articles}) == 2880
    assert len({article.body for article in articles}) == 2880
    assert {article.language for article in articles[::2]} == {"en"}
    assert {article.language for article in articles[1::2]} == {"zh"}


def test_composed_articles_leave_no_slot_unfilled_and_have_a_picture() -> None:
    pictures = {path.name for path in (CONTENT / "pictures").iterdir()}
    for number in range(2000):
        article = composed_article(number, 30.0)
        written = f"{article.title} {article.summary} {article.caption} {article.body}"
        assert "{" not in written
        assert article.picture in pictures


def test_composed_articles_are_the_same_in_every_process() -> None:
    """Pinned: an announced address must not change its content with the next release of Python."""
    assert composed_article(2, 30.0).title == "Footbridge at Upper Thornby opens 3 weeks early"


@pytest.mark.parametrize(
    ("moment", "number"),
    [
        (EPOCH, 0),
        (EPOCH + timedelta(seconds=29.9), 0),
        (EPOCH + timedelta(seconds=30), 1),
        (EPOCH - timedelta(days=9), 0),
    ],
    ids=["the epoch", "just before", "one tick", "a clock before the epoch"],
)
def test_numbers_follow_the_clock(moment: datetime, number: int) -> None:
    assert number_at(moment, 30.0) == number


@pytest.mark.parametrize("path", [ENGLISH, CHINESE, FULLTEXT])
def test_an_unchanged_feed_answers_304_by_tag_and_by_date(newsroom: Newsroom, path: str) -> None:
    _, headers, _ = get(newsroom, path)
    for condition in ({"If-None-Match": headers["ETag"]}, {"If-Modified-Since": headers["Last-Modified"]}):
        status, again, body = get(newsroom, path, condition)
        assert (status, body, again["ETag"]) == (304, b"", headers["ETag"])


def test_a_changed_feed_is_sent_whole(newsroom: Newsroom, clock: SettableClock) -> None:
    _, headers, _ = get(newsroom, ENGLISH)
    clock.forward(60)
    validators = {"If-None-Match": headers["ETag"], "If-Modified-Since": headers["Last-Modified"]}
    assert get(newsroom, ENGLISH, validators)[0] == 200


@pytest.mark.parametrize("value", ["yesterday", "", "Sat, 99 Foo 2020"])
def test_an_unreadable_date_condition_is_ignored(newsroom: Newsroom, value: str) -> None:
    assert get(newsroom, ENGLISH, {"If-Modified-Since": value})[0] == 200


@pytest.mark.parametrize(
    "path",
    [
        "/nothing",
        "/wire/99999999999.html",
        "/wire/01.html",
        "/wire/9" + "9" * 5000 + ".html",
        "/wire/x.html",
        "/pictures/../style.css",
        "/pictures/",
        "/%2e",
        "/news/",
    ],
)
def test_what_is_not_there_is_a_404(newsroom: Newsroom, path: str) -> None:
    assert get(newsroom, path)[0] == 404


def test_gzip_is_sent_to_those_who_read_it(newsroom: Newsroom) -> None:
    status, headers, body = get(newsroom, "/zh/old-ferry.html", {"Accept-Encoding": "gzip, deflate"})
    assert (status, headers["Content-Encoding"], body[:2]) == (200, "gzip", b"\x1f\x8b")


def test_a_head_request_gets_the_headers_only(newsroom: Newsroom) -> None:
    status, headers, body = get(newsroom, "/", method="HEAD")
    assert (status, body) == (200, b"")
    assert int(headers["Content-Length"]) > 500


def test_robots_txt_allows_the_articles(newsroom: Newsroom) -> None:
    assert b"Disallow: /private/" in get(newsroom, "/robots.txt")[2]


@pytest.mark.parametrize(("path", "feeds"), [("/", {ENGLISH}), ("/zh/", {CHINESE, FULLTEXT})])
def test_a_front_page_names_its_feeds(newsroom: Newsroom, path: str, feeds: set[str]) -> None:
    page = lxml_html.document_fromstring(get(newsroom, path)[2])
    assert set(page.xpath("//link[@rel='alternate']/@href")) == feeds


def test_the_feeds_are_named_as_entries_of_the_feed_list(newsroom: Newsroom) -> None:
    feeds = newsroom.feeds()
    assert [feed["slug"] for feed in feeds] == ["sample-english", "sample-chinese", "sample-fulltext"]
    assert all(feed["url"].startswith(newsroom.base_url) for feed in feeds)


def test_a_taken_port_is_refused_with_a_sentence(newsroom: Newsroom, clock: SettableClock) -> None:
    port = urlsplit(newsroom.base_url).port or 0
    with pytest.raises(UsageError, match=f"port {port}"):
        Newsroom(port=port, clock=clock).start()


def test_an_unstarted_newsroom_has_no_address_and_can_be_stopped(clock: SettableClock) -> None:
    newsroom = Newsroom(clock=clock)
    newsroom.stop()
    with pytest.raises(UsageError):
        _ = newsroom.base_url


def test_starting_twice_is_refused(newsroom: Newsroom) -> None:
    with pytest.raises(UsageError, match="already"):
        newsroom.start()


def test_stopping_ends_slow_and_idle_connections_at_once(clock: SettableClock) -> None:
    newsroom = Newsroom(clock=clock, slow_s=30.0)
    newsroom.start()
    host = urlsplit(newsroom.base_url).netloc
    with (
        closing(http.client.HTTPConnection(host, timeout=10)) as idle,
        closing(http.client.HTTPConnection(host, timeout=10)) as slow,
    ):
        idle.request("GET", "/robots.txt")
        idle.getresponse().read()
        slow.request("GET", "/news/village-turns-off-its-lamps.html")
        began = time.monotonic()
        newsroom.stop()
        with pytest.raises((http.client.RemoteDisconnected, ConnectionError)):
            slow.getresponse()
        assert time.monotonic() - began < 2


def test_many_readers_at_once_are_served(newsroom: Newsroom) -> None:
    answers: list[int] = []
    readers = [threading.Thread(target=lambda: answers.append(get(newsroom, CHINESE)[0])) for _ in range(16)]
    for reader in readers:
        reader.start()
    for reader in readers:
        reader.join()
    assert answers == [200] * 16


def test_the_command_serves_and_ends_on_a_signal() -> None:
    command = [sys.executable, "-m", "worker.sample", "--port", "0"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        addresses = [process.stdout.readline().strip() for _ in range(4)]
        with closing(http.client.HTTPConnection(urlsplit(addresses[0]).netloc, timeout=10)) as connection:
            connection.request("GET", path_of(addresses[3]))
            assert connection.getresponse().status == 200
        process.send_signal(signal.SIGTERM)
        assert process.wait(5) == 0


def test_site_answers_do_not_depend_on_when_a_written_page_is_asked_for() -> None:
    site = Site(base_url="http://127.0.0.1:1", new_every_s=30.0, first_number=0, slow_s=0.0)
    path = "/zh/kite-day.html"
    assert site.answer(path, START) == site.answer(path, START + timedelta(days=400))
