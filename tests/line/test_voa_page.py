"""The recorded VoiceOfAmerica page behind a feed item of one sentence: the page is the article."""

from __future__ import annotations

import gzip
import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.line.conftest import Consumer
from tests.newsserver import NewsServer
from tests.stack import Stack


@pytest.mark.shared
@pytest.mark.timeout(120)
def test_the_recorded_page_is_read_whole(
    installation: Stack, consumer: Consumer, site: NewsServer, shared: Path
) -> None:
    folder = shared / "seed-data" / "pages" / "fundus"
    expected = json.loads((folder / "VoiceOfAmerica.json").read_text())["V1"]
    page = gzip.decompress((folder / "VoiceOfAmerica_2024_04_28.html.gz").read_bytes())
    link = site.page("/a/working-mothers-and-child-care/7589067.html", page)
    item = {
        "title": expected["title"],
        "link": link,
        "guid": link,
        "date": datetime(2024, 4, 28, 7, 0, tzinfo=UTC),
        "description": "One sentence only, as the publisher's own feed has it.",
    }
    installation.follow("voa", site.feed("/api/zm", [item]))
    installation.start("worker", "beat")
    installation.wait_for({"published": 1})
    consumer.wait_for(1)
    (message,) = consumer.messages
    paragraphs = [text for section in expected["body"]["sections"] for text in section["paragraphs"]]
    assert message["title"] == expected["title"].strip()
    assert message["authors"] == expected["authors"] == ["Associated Press"]
    assert message["published_at"] == "2024-04-28T07:00:00Z"
    assert "7c01456e" in message["image"]["url"].lower()
    got = message["text"].split("\n\n")
    assert [text for text in paragraphs if text not in got] == []
    dateline = "AUBURN, Wash. —"  # bare text before the first paragraph: part of the article, not in the JSON
    furniture = [text for text in got if text not in paragraphs]
    assert furniture in ([], [dateline])
