"""Visits as sites see them: what a gate counts, what an answer teaches it, and what is kept of what a site said."""

from __future__ import annotations

import gzip
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update

from tests.conftest import REPOSITORY
from tests.newsserver import Answer, NewsServer, article_page, paragraphs
from tests.unit.stages.conftest import Line
from tests.unit.stages.test_outcomes import FULL_TEXT, follow_one, item, one_article
from worker import stages
from worker.archive.exchange import read_exchange
from worker.fetch.pacing import BACKOFF_BASE_S
from worker.ledger import feeds, hosts
from worker.ledger.tables import Row
from worker.ledger.tables import articles as article_rows
from worker.ledger.tables import feeds as feed_rows
from worker.model import State
from worker.stages import spool

PAGE = "/news/ferry.html"


@pytest.fixture
def paced(tmp_path: Path) -> Iterator[Line]:
    """One request to a site every ten seconds."""
    made = Line(tmp_path, NEWSMILL_HOST_DELAY_S="10", NEWSMILL_HOST_CONNECTIONS="1")
    yield made
    made.close()


def site_row(line: Line, name: str) -> Row:
    with line.deps.ledger.transaction() as tx:
        return hosts.load(tx, [name])[name]


def seconds_left(line: Line, name: str) -> float:
    return float((site_row(line, name).start_after - line.now()).total_seconds())


def feed_row(line: Line, slug: str) -> Row:
    with line.deps.ledger.reading() as tx:
        row = feeds.by_slug(tx, slug)
    assert row is not None
    return row


def host_of(site: NewsServer) -> str:
    return site.base.removeprefix("http://")


# ---------------------------------------------------------------- what is counted


def test_redirects_inside_a_site_are_paid_for_afterwards(paced: Line, site: NewsServer) -> None:
    site.routes |= {f"/{n}": Answer(status=302, headers={"Location": f"/{n + 1}"}) for n in range(3)}
    site.feed("/3", [])
    paced.follow("ferry", site.base + "/0")
    assert paced.poll() == {"ferry": "unchanged"}
    assert 35 < seconds_left(paced, host_of(site)) <= 40  # four requests at ten seconds each


def test_redirects_that_come_to_nothing_are_paid_for_too(paced: Line, site: NewsServer) -> None:
    site.routes["/loop"] = Answer(status=302, headers={"Location": "/loop"})
    paced.follow("ferry", site.base + "/loop")
    assert paced.poll() == {"ferry": "failed"}
    assert site.requests["/loop"] == 10
    assert 85 < seconds_left(paced, host_of(site)) <= 100


def test_redirects_of_robots_txt_are_paid_for_too(paced: Line, site: NewsServer, other_site: NewsServer) -> None:
    other_site.routes |= {
        "/robots.txt": Answer(status=301, headers={"Location": "/robots"}),
        "/robots": Answer(b"", 404),
    }
    follow_one(paced, site, one_article(other_site))
    assert 15 < seconds_left(paced, host_of(other_site)) <= 20
    assert other_site.requests[PAGE] == 0


def test_one_host_with_a_thousand_feeds_is_asked_no_more_than_it_may(paced: Line, site: NewsServer) -> None:
    with paced.deps.ledger.transaction() as tx:
        for number in range(1000):
            row = {"slug": f"f{number}", "url": f"{site.base}/{number}.xml", "host": host_of(site), "headers": {}}
            feeds.insert(tx, {**row, "first_poll": "all"}, origin="cli", now=paced.now())
    for rounds in range(1, 4):
        assert len(paced.poll()) == 1
        assert stages.due(paced.deps).batches == ()
        assert sum(site.requests.values()) == rounds
        paced.later(seconds=10.5)


# ---------------------------------------------------------------- what an answer teaches


def test_429_without_a_time_blocks_the_site_for_a_doubling_while(line: Line, site: NewsServer) -> None:
    follow_one(line, site, one_article(site, status=429))
    blocked_s = []
    for _ in range(3):
        row = site_row(line, host_of(site))
        blocked_s.append((row.blocked_until - line.now()).total_seconds())
        line.run()
        assert site.requests[PAGE] == len(blocked_s)
        line.later(hours=1)
        line.run()
    assert [round(one / BACKOFF_BASE_S) for one in blocked_s] == [1, 2, 4]


def test_crawl_delay_of_one_host_is_not_undone_by_another_of_its_gate(
    tmp_path: Path, site: NewsServer, other_site: NewsServer
) -> None:
    line = Line(tmp_path, NEWSMILL_GATES=str(one_gate_for(tmp_path, site, other_site)))
    site.page("/robots.txt", "User-agent: *\nCrawl-delay: 20\n", content_type="text/plain")
    for host in (site, other_site):
        follow_and_finish(line, host, PAGE)
    assert other_site.requests["/robots.txt"] == 1
    assert site_row(line, "group:harbour").crawl_delay_s == 20
    site.page("/robots.txt", "User-agent: *\nCrawl-delay: 5\n", content_type="text/plain")
    line.later(days=2)
    follow_and_finish(line, site, "/news/second.html")
    assert site_row(line, "group:harbour").crawl_delay_s == 5
    line.close()


def follow_and_finish(line: Line, site: NewsServer, path: str) -> None:
    """A page with a feed of its own, however long its gate makes it wait."""
    number = len(line.rows())
    page = article_page(f"Report {number}", paragraphs(number))
    line.follow(f"feed-{number}", site.feed(f"/{number}.xml", [item(site.page(path, page), title=f"Report {number}")]))
    for _ in range(8):
        line.poll()
        line.run()
        line.later(minutes=1)
    assert [row.state for row in line.rows()] == [State.PUBLISHED] * (number + 1)


def test_302_of_a_feed_leaves_its_address_alone(line: Line, site: NewsServer) -> None:
    site.routes["/feed.xml"] = Answer(status=302, headers={"Location": "/elsewhere.xml"})
    site.feed("/elsewhere.xml", [item(one_article(site))])
    line.follow("ferry", site.base + "/feed.xml")
    line.poll()
    line.later(days=2)
    line.poll()
    assert feed_row(line, "ferry").url == site.base + "/feed.xml"
    assert site.requests["/feed.xml"] == 2


@pytest.mark.parametrize(
    ("start", "name"),
    [
        (b"%PDF-1.7\n", "unsupported-pdf"),
        (b"\x00\x00\x00\x18ftypmp42", "unsupported-video"),
        (b"PK\x03\x04", "unsupported-binary"),
    ],
)
def test_what_is_no_page_is_named_and_its_archive_says_that_it_was_cut(
    line: Line, site: NewsServer, start: bytes, name: str
) -> None:
    follow_one(line, site, site.page(PAGE, start + bytes(500_000)))
    assert line.ends() == [("rejected", name)]
    note = line.row().exchange
    assert note["truncated"] == "unspecified"
    with line.deps.ledger.reading() as tx:
        kept = spool.read(line.deps, spool.held(tx, [line.row()]), note["key"])
    assert b"WARC-Truncated: unspecified" in gzip.decompress(kept)
    assert read_exchange(kept).final.truncated == "unspecified"


@pytest.mark.parametrize("status", [403, 503])
def test_a_challenge_in_place_of_a_page_is_done_without_where_the_feed_has_the_text(
    line: Line, site: NewsServer, status: int
) -> None:
    page = "<html><head><title>Just a moment...</title></head><body>Enable JavaScript and cookies to continue</body></html>"
    follow_one(line, site, site.page(PAGE, page, status=status), description=FULL_TEXT)
    for _ in range(3):
        line.later(hours=2)
        line.run()
    (message,) = line.messages
    assert message["extraction"]["method"] == "feed"


def test_a_page_s_robots_tag_is_told_and_not_acted_upon(line: Line, site: NewsServer) -> None:
    link = one_article(site)
    page: Any = site.routes[PAGE]
    tag = "newsmill: noindex, noarchive, otherbot: none"
    site.routes[PAGE] = Answer(page.body, 200, {**page.headers, "X-Robots-Tag": tag, "TDM-Reservation": "1"})
    follow_one(line, site, link)
    (message,) = line.messages
    assert message["rights"] == {
        "robots": "allowed",
        "x_robots_tag": "noindex, noarchive",
        "licence": None,
        "tdm_reservation": "1",
    }


# ---------------------------------------------------------------- whose gate


def one_gate_for(home: Path, *sites: NewsServer, **policy: float) -> Path:
    path = home / "gates.toml"
    names = ", ".join(f'"{host_of(site).partition(":")[0]}"' for site in sites)
    lines = ["[[gate]]", 'scope = "group"', 'name = "harbour"', f"hosts = [{names}]"]
    path.write_text("\n".join([*lines, *(f"{name} = {value}" for name, value in policy.items())]))
    return path


def test_hosts_of_one_group_wait_for_each_other(tmp_path: Path, site: NewsServer, other_site: NewsServer) -> None:
    line = Line(tmp_path, NEWSMILL_GATES=str(one_gate_for(tmp_path, site, other_site, delay_s=30, connections=1)))
    for number, host in enumerate((site, other_site)):
        line.follow(f"feed-{number}", host.feed("/feed.xml", []))
    for _ in range(2):
        line.poll()  # under their own names; the second time they have moved
    assert site.requests["/feed.xml"] + other_site.requests["/feed.xml"] == 1
    line.later(seconds=31)
    line.poll()
    assert (site.requests["/feed.xml"], other_site.requests["/feed.xml"]) == (1, 1)
    line.close()


def test_a_redirect_within_a_group_needs_no_second_permission(
    tmp_path: Path, site: NewsServer, other_site: NewsServer
) -> None:
    line = Line(tmp_path, NEWSMILL_GATES=str(one_gate_for(tmp_path, site, other_site, delay_s=30)))
    site.routes["/feed.xml"] = Answer(status=302, headers={"Location": other_site.feed("/real.xml", [])})
    line.follow("ferry", site.base + "/feed.xml")
    outcomes = [line.poll(), line.poll()]
    assert outcomes[-1] == {"ferry": "unchanged"}
    assert 55 < seconds_left(line, "group:harbour") <= 60
    line.close()


def test_rows_of_an_older_list_of_gates_go_and_wait_at_the_new_one(
    tmp_path: Path, site: NewsServer, other_site: NewsServer
) -> None:
    line = Line(tmp_path, NEWSMILL_GATES=str(one_gate_for(tmp_path, site, other_site)))
    line.follow("ferry", site.feed("/feed.xml", [item(one_article(other_site))]))
    line.poll()
    line.poll()
    with line.deps.ledger.transaction() as tx:  # as they were written when there was no such gate
        hosts.ensure(tx, [host_of(site), host_of(other_site)], now=line.now())
        tx.execute(update(feed_rows).values(host=host_of(site), due_at=line.now()))
        tx.execute(update(article_rows).values(host=host_of(other_site)))
    assert line.poll() == {}
    assert line.poll() == {"ferry": "unchanged"}
    line.run()
    assert line.ends() == [("published", None)]
    assert line.row().attempts == 1
    assert {feed_row(line, "ferry").host, line.row().host} == {"group:harbour"}
    with line.deps.ledger.reading() as tx:
        assert list(tx.execute(hosts.slots.select())) == []
    line.close()


def test_a_worker_does_not_start_with_a_list_of_gates_that_is_none(tmp_path: Path) -> None:
    path = tmp_path / "gates.toml"
    path.write_text('[[gate]]\nscope = "group"\nhosts = ["a.example"]\n')
    env = {"PATH": os.environ["PATH"], "NEWSMILL_HOME": str(tmp_path), "NEWSMILL_GATES": str(path)}
    worker = subprocess.run(
        [sys.executable, "-c", "import tasks.main"],
        env=env,
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (worker.returncode, worker.stderr) == (1, "newsmill: Gate 1: a group needs a name: it is the gate's.\n")
