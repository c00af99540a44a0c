"""Recorded documents and pages beside their expected facts."""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from html import unescape
from pathlib import Path

import pytest

from worker.extract import extract_article
from worker.extract.habit import document_habit
from worker.model import ArticleRecord, Entry

pytestmark = pytest.mark.shared

DOCUMENT = re.compile(r"<!--(\d+)-->\n\[(.*)\]\((\S+)\)\n-{6}\n\n(.*)\n?", re.DOTALL)
FURNITURE = ("Forum", "ymla", "Embed", "Share", "The code has been copied", "Print", "Newsletter")


def as_entry(path: Path) -> Entry:
    """The feed item that a document was written from."""
    match = DOCUMENT.fullmatch(path.read_text("utf-8"))
    assert match, path
    at, title, url, body = match.groups()
    return Entry(
        guid=None,
        url=url,
        title=title.strip(),
        summary_html=body,
        published_at=datetime.fromtimestamp(int(at) // 1000, UTC),
    )


def documents(shared: Path, *sites: str) -> Iterator[tuple[Path, Entry, ArticleRecord]]:
    for site in sites:
        for path in sorted((shared / "seed-data/archive" / site).glob("*.md")):
            entry = as_entry(path)
            yield path, entry, extract_article(b"", entry.url, entry=entry)


def plain(html: str) -> str:
    return " ".join(unescape(re.sub(r"<[^>]*>", "", html)).split())


def test_the_seed_document(shared: Path) -> None:
    (path,) = (shared / "seed-data/seed").iterdir()
    entry = as_entry(path)
    record = extract_article(b"", entry.url, entry=entry)
    assert record.not_article is None
    assert record.published_at == datetime(2025, 1, 17, 14, 50, 11, tzinfo=UTC)
    assert record.published_from == "feed-body"
    assert record.language == "zh"
    assert record.title == entry.title
    assert record.image is not None
    assert record.image.url == "https://gdb.voanews.com/9e3c4a38-dce3-4dfb-a25e-d95edc79759a_r1_s_w900.jpg"
    assert record.image.proxied_url is not None
    body = entry.summary_html or ""
    caption = plain(re.findall(r"<small[^>]*>(.*?)</small>", body)[0])
    assert record.image.caption == caption
    blocks = [
        plain(part) for paragraph in re.findall(r"<p>(.*?)</p>", body) for part in re.split(r"(?:<br />){2}", paragraph)
    ]
    assert len(blocks) == 14
    assert record.text.split("\n\n") == blocks


def test_every_document_of_the_archive_has_paragraphs_and_neither_footer_nor_date_line(shared: Path) -> None:
    checked = 0
    for path, entry, record in documents(shared, "voa", "bbc", "dw", "rfi"):
        assert record.text, path
        assert "获取更多RSS" not in record.text, path
        assert "feedx." not in record.text + record.html, path
        header = re.match(r"<div>(?:<i>)?((?:(?!<img).)*?)(?:</i>)?</div>", entry.summary_html or "")
        date = header[1].split("<br>")[-1].strip() if header else ""
        if date:
            assert date not in record.text, path
        checked += 1
    assert checked == 423


def test_every_voa_document_has_its_own_date_picture_and_caption(shared: Path) -> None:
    pictures = 0
    for path, entry, record in documents(shared, "voa"):
        assert record.not_article is None, path
        body = entry.summary_html or ""
        header = re.match(r"<div><i>(.*?)</i></div>", body)
        assert header
        assert (record.published_at, record.published_from) == (
            parsedate_to_datetime(header[1]).astimezone(UTC),
            "feed-body",
        ), path
        lead = re.match(
            r'<div><i>[^<]*</i></div><(?:img src|video[^>]* poster)="([^"]*)".*?<div><small[^>]*>(.*?)</small></div>',
            body,
        )
        assert lead, path
        pictures += 1
        assert record.image is not None, path
        assert record.image.url == "https://" + lead[1].partition("url=")[2], path
        assert (record.image.caption or "") == plain(lead[2]), path
        captions = {plain(small) for small in re.findall(r"<small[^>]*>(.*?)</small>", body)} - {""}
        assert captions.isdisjoint(record.text.split("\n\n")), path
    assert pictures == 243


def test_the_recorded_page_of_voice_of_america(shared: Path) -> None:
    folder = shared / "seed-data/pages/fundus"
    expected = json.loads((folder / "VoiceOfAmerica.json").read_text("utf-8"))["V1"]
    url = "https://www.voanews.com/a/america-s-child-care-crisis-is-holding-back-moms-without-college-degrees-/7585813.html"
    record = extract_article(gzip.decompress((folder / "VoiceOfAmerica_2024_04_28.html.gz").read_bytes()), url)
    assert record.not_article is None
    assert record.title == expected["title"].strip()
    assert record.authors == ("Associated Press",)
    assert record.published_at == datetime(2024, 4, 28, 7, 0, tzinfo=UTC)
    assert record.image is not None
    assert "7C01456E-" in record.image.url
    paragraphs = [paragraph for section in expected["body"]["sections"] for paragraph in section["paragraphs"]]
    assert record.text.split("\n\n") == ["AUBURN, Wash. —", *paragraphs]
    assert not [word for word in FURNITURE if word in record.text + record.html]
    assert record.canonical_url == url


@pytest.mark.parametrize("folder", ["fundus", "wcxb"])
def test_real_pages_are_read_without_an_error(shared: Path, folder: str) -> None:
    lines = (shared / "extraction-dev" / folder / "gold.jsonl").read_text("utf-8").strip().split("\n")
    found = 0
    for line in lines[:: len(lines) // 20][:20]:
        gold = json.loads(line)
        html = gzip.decompress((shared / "extraction-dev" / folder / gold["html"]).read_bytes())
        record = extract_article(html, gold.get("url"))
        assert not [warning for warning in record.extraction.warnings if warning.startswith("failed-")]
        words = set(re.findall(r"\w{4,}", gold["text"]))
        found += record.not_article is None and len(words & set(re.findall(r"\w{4,}", record.text))) >= 0.7 * len(words)
    assert found >= 17


def test_the_last_paragraph_of_every_voa_document_survives_and_its_links_are_its_publisher_s(shared: Path) -> None:
    checked, linked = 0, 0
    for path, entry, record in documents(shared, "voa"):
        body = (entry.summary_html or "").partition("获取更多RSS")[0]
        paragraphs = [
            text
            for part in re.findall(r"<p>(.*?)</p>", body)
            if (text := plain(re.split(r"(?:<br ?/?>){2}", part)[-1]))
        ]
        if paragraphs:
            assert re.sub(r"\s", "", paragraphs[-1]) in re.sub(r"\s", "", record.text), path
            checked += 1
        links = re.findall(r'(?:href|src)="([^"]*)"', record.html)
        assert not [link for link in links if not link.startswith(("http://", "https://"))], path
        linked += len(links)
        pictures = [one.url for one in record.image_candidates]
        assert not [url for url in pictures if "weserv" in url or "wsrv" in url], path
    assert checked > 230
    assert linked > 100


@pytest.mark.parametrize(
    ("site", "whole", "endings"),
    [("voa", 243, 0), ("bbc", 60, 0), ("dw", 54, 0), ("rfi", 60, 0), ("nyt", 60, 0), ("ft", 60, 0), ("rfa", 60, 0), ("reuters", 60, 1)],
)  # fmt: skip
def test_recorded_full_text_items_are_whole_without_their_pages_and_keep_their_ends(
    shared: Path, site: str, *, whole: int, endings: int
) -> None:
    """Reuters closes each text with a line about its standards; six short reports of DW have no header to vouch for them."""
    entries = [as_entry(path) for path in sorted((shared / "seed-data/archive" / site).glob("*.md"))]
    shares, found = 0.0, set[str]()
    for start in range(0, len(entries), 30):
        share, lines = document_habit(entries[start : start + 30])
        shares += share * len(entries[start : start + 30])
        found |= set(lines)
    assert (round(shares), len(found)) == (whole, endings)
