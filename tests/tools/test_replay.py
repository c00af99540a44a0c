"""pywb replays an article with its picture in a browser, from the archive alone: the site is gone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, FrameLocator, Page

from tests.newsserver import paragraphs
from tests.tools.conftest import Given, exported, tool, wanted
from tests.tools.corpus import Corpus
from tests.tools.replay import COLLECTION, asked_for, browser, collection, replay, wayback
from worker.archive.index import index_lines
from worker.stages.export import export_wacz
from worker.wiring import now_utc

pytestmark = [pytest.mark.tools, pytest.mark.browser]


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with browser() as opened:
        yield opened


@pytest.fixture(scope="module")
def replayed(corpus: Corpus, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """pywb over an exported WARC, by the index that was exported with it."""
    folder = tmp_path_factory.mktemp("pywb")
    warc = folder / "all.warc.gz"
    exported(corpus, warc)
    collection(folder, warc, folder / "all.warc.gz.cdxj")
    with wayback(folder) as base:
        yield base


def moment(corpus: Corpus, title: str, revision: int) -> str:
    """The 14 digits of the capture that a revision has of its page."""
    row = corpus.row(title, revision)
    record_id = row.archive["record_id"]
    lines = index_lines(corpus.bytes_of(row.archive["warc"]))
    return next(line.timestamp for line in lines if line.urlkey == record_id)


@pytest.fixture
def page(chromium: Browser) -> Iterator[Page]:
    opened = chromium.new_page()
    opened.set_default_timeout(20_000)
    yield opened
    opened.close()


def shows_its_picture(page: FrameLocator) -> bool:
    picture = page.locator("#lead")
    return bool(picture.evaluate("picture => picture.decode().then(() => picture.naturalWidth)") > 0)


@pytest.mark.parametrize("revision", [1, 2], ids=["as it was fetched", "as a revisit"])
def test_an_article_is_replayed_with_its_picture(corpus: Corpus, replayed: str, page: Page, revision: int) -> None:
    asked = asked_for(page)
    shown = replay(page, replayed, moment(corpus, "The tram returns", revision), f"{corpus.base}/gzip")
    text = shown.locator("article").inner_text()
    assert all(paragraph in text for paragraph in paragraphs(1))
    assert shows_its_picture(shown)
    source = shown.locator("#lead").evaluate("picture => picture.currentSrc")
    assert source.startswith(f"{replayed}/")
    assert source.endswith(f"/{corpus.base}/tram.jpg")
    host = replayed.rpartition("/")[0]
    assert [url for url in asked if not url.startswith(f"{host}/")] == []


@pytest.mark.parametrize(
    ("path", "number"), [("/moved", 2), ("/chunked", 3)], ids=["behind redirects", "that came in chunks"]
)
def test_a_page_is_replayed(corpus: Corpus, replayed: str, page: Page, path: str, number: int) -> None:
    shown = replay(page, replayed, "2026", f"{corpus.base}{path}")
    assert paragraphs(number)[-1] in shown.locator("article").inner_text()


def test_a_large_file_is_replayed_by_its_own_index(forms: dict[str, Given], page: Page, tmp_path: Path) -> None:
    """Both as compaction left them in the archive."""
    corpus = forms["large file"].corpus
    store = corpus.line.deps.store
    (index_key,) = store.keys("index/")
    large_key = next(key for key in store.keys("warc/") if "/newsmill-" in key)
    inside = tmp_path / "collections" / COLLECTION
    for path, key in ((inside / "indexes" / "index.cdxj", index_key), (inside / "archive" / large_key, large_key)):
        path.parent.mkdir(parents=True)
        path.write_bytes(store.get(key))
    with wayback(tmp_path) as base:
        assert shows_its_picture(replay(page, base, "2026", f"{corpus.base}/gzip"))


def test_the_exported_wacz_is_replayed(corpus: Corpus, page: Page, tmp_path: Path) -> None:
    export_wacz(wanted(corpus), tmp_path / "all.wacz", now=now_utc())
    for arguments in (["init", COLLECTION], ["add", COLLECTION, tmp_path / "all.wacz", "--unpack-wacz"]):
        done = tool("wb-manager", *arguments, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
    with wayback(tmp_path) as base:
        assert shows_its_picture(replay(page, base, "2026", f"{corpus.base}/gzip"))
