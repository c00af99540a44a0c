"""A backlog of many sites: articles share chains, each has an end of its own, and what is archived can be got."""

from __future__ import annotations

import io
import json
import re
import subprocess
import sys
from typing import Any

import pytest
from celery import Celery
from fastwarc.warc import ArchiveIterator
from warcio.archiveiterator import ArchiveIterator as WarcioIterator

from config.celeryconfig import celery_settings
from tests.conftest import REPOSITORY
from tests.line.conftest import Consumer
from tests.newsserver import NewsServer, article_page, paragraphs
from tests.stack import Stack
from worker import stages, wiring

pytestmark = pytest.mark.timeout(180)

BEGUN = re.compile(r"Task article\.download\[[^\]]+\] received")
EACH = 4
SOFT_404 = "<html><head><title>Page doesn't exist</title></head><body><h1>Page doesn't exist</h1></body></html>"


def backlog(sites: list[NewsServer]) -> list[str]:
    """EACH articles on each site, the last of the first two sites none. Returns: the feeds that announce them."""
    feeds = []
    for place, site in enumerate(sites):
        links = [
            site.page(f"/news/{n}.html", article_page(f"Report {place}-{n}", paragraphs(10 * place + n)))
            for n in range(EACH)
        ]
        items = [{"title": f"Report {place}-{n}", "link": link, "guid": link} for n, link in enumerate(links)]
        feeds.append(site.feed("/feed.xml", items))
    sites[0].page(f"/news/{EACH - 1}.html", "gone", status=404)
    sites[1].page(f"/news/{EACH - 1}.html", SOFT_404)
    return feeds


def polled(made: Stack, feeds: list[str]) -> None:
    """Rows are there, and nothing has started them yet."""
    for number, feed in enumerate(feeds):
        made.follow(f"site-{number}", feed)
    doors = made.deps()
    for batch in stages.due(doors).batches:
        stages.poll(doors, batch.ids, token=batch.token)
    doors.fetcher.close()
    doors.publisher.close()
    doors.ledger.close()


def test_a_backlog_shares_chains_and_each_article_has_its_own_end(
    installation: Stack, consumer: Consumer, sites: list[NewsServer]
) -> None:
    installation.env |= {"NEWSMILL_CONCURRENCY": "1", "NEWSMILL_BATCH": "6"}
    polled(installation, backlog(sites))
    for site in sites:
        for route in site.routes.values():
            route.delay_s = 1.0  # type: ignore[union-attr]
    installation.start("worker", "beat")
    count = EACH * len(sites)
    installation.wait_for({"published": count - 2, "rejected": 2}, timeout_s=90)
    consumer.wait_for(count - 2)
    assert sorted(row.reason for row in installation.rows(states=["rejected"])) == ["gone", "soft-404"]
    assert {path: times for site in sites for path, times in site.requests.items() if path.startswith("/news/")} == {
        f"/news/{n}.html": 1 for n in range(EACH)
    }
    assert len(BEGUN.findall(installation.log("worker"))) <= count / 3  # most shared a chain
    first = sorted(at for site in sites for at, path, _ in site.seen if path.startswith("/news/"))[:2]
    assert first[1] - first[0] < 1.0  # the second was asked before the first had answered


def test_a_message_delivered_three_times_publishes_once(
    installation: Stack, consumer: Consumer, sites: list[NewsServer]
) -> None:
    polled(installation, backlog(sites)[2:])
    doors = installation.deps()
    batches = stages.dispatch(doors).batches
    assert batches
    client = Celery("test", set_as_current=False)
    client.conf.update(celery_settings(installation.settings))
    names = [f"article.{name}" for _, name, _ in stages.LINE]
    for batch in batches:
        chain = client.signature(names[0], args=(list(batch.ids),))
        for name in names[1:]:
            chain |= client.signature(name)
        for _ in range(3):
            chain.apply_async(root_id=batch.token)
    client.close()
    doors.publisher.close()
    doors.ledger.close()
    installation.start("worker", "worker-2", "beat")
    count = EACH * len(sites[2:])
    installation.wait_for({"published": count}, timeout_s=90)
    consumer.wait_for(count)
    assert len({message["id"] for message in consumer.messages}) == count
    assert all(times == 1 for site in sites[2:] for path, times in site.requests.items() if path.startswith("/news/"))


def newsmill(made: Stack, *arguments: str) -> bytes:
    done = subprocess.run(
        [sys.executable, "-m", "worker.cli.main", *arguments],
        env=made.process_env(),
        cwd=REPOSITORY,
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


def test_whoever_has_a_message_gets_the_bytes_that_were_served(
    installation: Stack, consumer: Consumer, sites: list[NewsServer]
) -> None:
    (site,) = sites[:1]
    link = site.page("/news/ferry.html", article_page("The ferry sails again", paragraphs(1)))
    installation.follow("ferry", site.feed("/feed.xml", [{"title": "The ferry", "link": link, "guid": link}]))
    installation.start("worker", "beat")
    consumer.wait_for(1)
    (message,) = consumer.messages
    bundle = newsmill(installation, "archive", "get", message["archive"]["warc"])
    served = site.routes["/news/ferry.html"].body  # type: ignore[union-attr]
    wanted = f"<{message['archive']['record_id']}>"
    by_fastwarc = {
        record.record_id: (record.verify_payload_digest(), record.reader.read())
        for record in ArchiveIterator(io.BytesIO(bundle), parse_http=True)
    }
    assert by_fastwarc[wanted] == (True, served)
    by_warcio: dict[str, Any] = {}
    for record in WarcioIterator(io.BytesIO(bundle), check_digests="raise"):
        by_warcio[record.rec_headers.get_header("WARC-Record-ID")] = record.content_stream().read()
    assert by_warcio[wanted] == served
    assert b"The ferry sails again" in newsmill(installation, "archive", "get", message["archive"]["document"])
    shown = json.loads(newsmill(installation, "articles", "show", message["article_id"], "--json"))
    assert shown == message


def test_the_example_consumer_prints_what_is_published(installation: Stack, sites: list[NewsServer]) -> None:
    (site,) = sites[:1]
    with wiring.open_publisher(installation.settings) as publisher:
        publisher.declare()
    namespace = installation.env["NEWSMILL_NAMESPACE"]
    command = [sys.executable, "examples/consume.py", installation.settings.publish_url, f"{namespace}.seen"]
    with subprocess.Popen(
        [*command, "--namespace", namespace], cwd=REPOSITORY, stdout=subprocess.PIPE, text=True
    ) as reader:
        try:
            link = site.page("/news/ferry.html", article_page("The ferry sails again", paragraphs(1)))
            installation.follow("ferry", site.feed("/feed.xml", [{"title": "The ferry", "link": link, "guid": link}]))
            installation.start("worker", "beat")
            installation.wait_for({"published": 1})
            assert reader.stdout is not None
            assert reader.stdout.readline().split("\t") == ["published", "The ferry sails again", f"{link}\n"]
        finally:
            reader.kill()
