"""The user's own document and the recorded ones: every item becomes one article and one message."""

from __future__ import annotations

import json
import re
from collections import Counter
from html import unescape
from pathlib import Path
from urllib.parse import urlsplit

import jsonschema
import pytest

from tests.conftest import REPOSITORY
from tests.line.conftest import Consumer
from tests.newsserver import NewsServer
from tests.seeddata import as_item, read
from tests.stack import Stack

pytestmark = pytest.mark.shared

SCHEMA = json.loads((REPOSITORY / "config" / "schemas" / "article-1.schema.json").read_text())
PICTURE = "https://gdb.voanews.com/9e3c4a38-dce3-4dfb-a25e-d95edc79759a_r1_s_w900.jpg"


def blocks(html: str) -> list[str]:
    """The text blocks of a feedx body, by hand: between paragraph and double line breaks, furniture left out."""
    article = html.split("<p>", 1)[1].split("<br><hr>", 1)[0]
    parts = re.split(r"<br\s*/?>\s*<br\s*/?>|</?p[^>]*>", article)
    return [text for part in parts if (text := unescape(re.sub(r"<[^>]+>", "", part)).strip())]


def caption(html: str) -> str:
    """What stands in the small print behind the lead picture, by hand."""
    (small,) = re.findall(r"<small[^>]*>(.*?)</small>", html)
    return " ".join(unescape(re.sub(r"<[^>]+>", "", small)).split())


def on_site(site: NewsServer, url: str) -> str:
    """The recorded URL's path on the test's own site: outside addresses cannot be reached from a test."""
    parts = urlsplit(url)
    return site.base + parts.path + (f"?{parts.query}" if parts.query else "")


@pytest.mark.timeout(120)
def test_the_seed_document_s_feed_item_becomes_its_article(
    installation: Stack, consumer: Consumer, site: NewsServer, shared: Path
) -> None:
    recorded = read(next((shared / "seed-data" / "seed").iterdir()))
    feed = site.feed("/rss/mgzy1.xml", [as_item(recorded, on_site(site, recorded.url))], title="美国之音")
    installation.follow("voa-chinese", feed)
    installation.start("worker", "beat")
    installation.wait_for({"published": 1})
    consumer.wait_for(1)
    (message,) = consumer.messages
    jsonschema.validate(message, SCHEMA)
    assert message["published_at"] == "2025-01-17T14:50:11Z"
    assert message["published_from"] == "feed-body"
    assert message["sightings"][0]["feed_date"] == "2025-01-17T14:59:02Z"
    assert message["language"] == "zh"
    assert message["title"] == recorded.title
    assert message["image"]["url"] == PICTURE
    assert message["image"]["proxied_url"].startswith("https://images.weserv.nl")
    assert message["image"]["caption"] == caption(recorded.body)
    assert "获取更多RSS" not in message["text"]
    assert "Jan 2025" not in message["text"]
    expected = blocks(recorded.body)
    assert len(expected) == 14
    assert [paragraph for paragraph in message["text"].split("\n\n") if paragraph.strip()] == expected


@pytest.mark.timeout(300)
def test_every_recorded_item_becomes_one_article_and_one_message(
    installation: Stack, consumer: Consumer, site: NewsServer, sites: list[NewsServer], shared: Path
) -> None:
    urls: Counter[str] = Counter()
    names = ("voa", "bbc", "dw", "rfi") if installation.kind == "sqlite-embedded" else ("bbc", "dw")
    for name in names:
        items = []
        for number, path in enumerate(sorted((shared / "seed-data" / "archive" / name).glob("*.md"))):
            recorded = read(path)
            link = on_site(sites[number % len(sites)], recorded.url)
            urls[link] += 1
            items.append(as_item(recorded, link))
        installation.follow(name, site.feed(f"/rss/{name}.xml", items))
    assert max(urls.values()) == 1
    installation.start("worker", "beat")
    installation.wait_for({"published": len(urls)}, timeout_s=100)
    consumer.wait_for(len(urls))
    assert Counter(message["url_requested"] for message in consumer.messages) == urls
    assert len({message["id"] for message in consumer.messages}) == len(urls)
    for message in consumer.messages:
        jsonschema.validate(message, SCHEMA)
        assert "获取更多RSS" not in (message["text"] or "")
