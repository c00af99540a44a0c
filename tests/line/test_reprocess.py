"""A revision of what readers have, from the archive to a consumer, while the line is at work."""

from __future__ import annotations

import json
import subprocess
import sys

import jsonschema
import pytest

from tests.conftest import REPOSITORY
from tests.line.conftest import Consumer
from tests.newsserver import NewsServer, article_page, paragraphs
from tests.stack import Stack
from worker.ledger import articles, feeds
from worker.wiring import now_utc

SCHEMA = json.loads((REPOSITORY / "config" / "schemas" / "article-1.schema.json").read_text())
COUNT = 5


@pytest.mark.timeout(120)
def test_a_revision_reaches_its_readers_once(installation: Stack, consumer: Consumer, site: NewsServer) -> None:
    items = []
    for n in range(COUNT):
        link = site.page(f"/{n}.html", article_page(f"Report {n}", paragraphs(n)))
        told = "".join(f"<p>The feed's own words: {text}</p>" for text in paragraphs(n + 20, 8))
        items.append({"title": f"Report {n}", "link": link, "guid": link, "description": told})
    installation.follow("ferry", site.feed("/feed.xml", items), fulltext="never")
    installation.start("worker", "beat")
    installation.wait_for({"published": COUNT})
    with installation.ledger.transaction() as tx:
        feed = feeds.by_slug(tx, "ferry")
        assert feed is not None
        feeds.change(tx, feed.id, {"fulltext": "always"}, now=now_utc())
    pages = sum(count for path, count in site.requests.items() if path.endswith(".html"))
    command = [sys.executable, "-m", "worker.cli.main", "reprocess", "--json"]
    ran = subprocess.run(command, env=installation.process_env(), cwd=REPOSITORY, capture_output=True, check=False)
    assert ran.returncode == 0, ran.stderr
    assert json.loads(ran.stdout)["revisions"] == COUNT
    installation.wait_for({"published": 2 * COUNT})
    consumer.wait_for(2 * COUNT)
    updated = [message for message in consumer.messages if message["kind"] == "updated"]
    assert len({message["id"] for message in updated}) == COUNT
    for message in updated:
        jsonschema.validate(message, SCHEMA)
        assert (message["revision"], message["change"]["previous"]) == (2, 1)
        assert message["text"].startswith("The feed's own words")
    types = {headers["cloudEvents_type"] for headers in consumer.headers}
    assert types == {"newsmill.article.published.v1", "newsmill.article.updated.v1"}
    assert sum(count for path, count in site.requests.items() if path.endswith(".html")) == pages
    with installation.ledger.reading() as tx:
        found = articles.audit(tx)
    assert {name: found[name] for name in ("missing", "sequence_gaps", "published_without_confirm")} == {
        "missing": 0,
        "sequence_gaps": 0,
        "published_without_confirm": 0,
    }
