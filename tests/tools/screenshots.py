"""``make screenshots``: the pictures in docs/, taken of the bundled sample newsroom as the real line archives it.

docs/replay.png: pywb replays an article with its picture, the newsroom switched off. docs/document.png: the exported
folder and a readable document in it, its picture by way of a proxy, both as klaus shows them, a code-hosting site in a
wheel.
"""

from __future__ import annotations

import base64
import io
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from PIL import Image
from playwright.sync_api import Page

from tests.conftest import REPOSITORY, TOOLS
from tests.tools.conftest import exported, wanted
from tests.tools.corpus import Corpus
from tests.tools.replay import browser, collection, replay, wayback
from tests.unit.stages.conftest import Line
from worker.sample.newsroom import Newsroom
from worker.stages.export import README, export_documents
from worker.wiring import now_utc

DOCS = REPOSITORY / "docs"
TITLE = "Harbour tram"
WIDTH, HEIGHT = 1200, 900
STARTED_WITHIN_S = 30.0
ALL_LOADED = (
    "pictures => pictures.length > 0 && pictures.every(picture => picture.complete && picture.naturalWidth > 0)"
)


def main() -> int:
    """Take both. Returns: the exit code."""
    with tempfile.TemporaryDirectory() as name, browser() as chromium:
        folder = Path(name)
        page = chromium.new_page(viewport={"width": WIDTH, "height": HEIGHT})
        with image_proxy() as template, archived(folder / "home", template) as corpus:
            take_document(page, folder / "archive", corpus)
            exported(corpus, folder / "all.warc.gz")
            url = corpus.row(TITLE).url
        collection(folder, folder / "all.warc.gz", folder / "all.warc.gz.cdxj")
        with wayback(folder) as base:
            take_replay(page, base, url)
    return 0


def take_replay(page: Page, base: str, url: str) -> None:
    shown = replay(page, base, str(now_utc().year), url)
    assert shown.locator("img").evaluate_all(ALL_LOADED), "a picture is missing from the replay"
    save(page.screenshot(), DOCS / "replay.png")


def take_document(page: Page, folder: Path, corpus: Corpus) -> None:
    """The folder's first page, the day's index and the document side by side."""
    export_documents(wanted(corpus), folder)
    document = corpus.row(TITLE).archive["document"].removeprefix("documents/")
    commit(folder)
    with hosted(folder) as base:
        page.set_viewport_size({"width": WIDTH // 2, "height": HEIGHT})
        halves = []
        for path in (str(Path(document).with_name("index.md")), document):
            page.goto(f"{base}/{path}", wait_until="networkidle")
            halves.append(page.screenshot())
        assert page.locator(".markup img, img").evaluate_all(ALL_LOADED), "a picture is missing from the document"
    page.set_viewport_size({"width": WIDTH, "height": HEIGHT})
    tags = "".join(f'<img src="data:image/png;base64,{base64.b64encode(half).decode()}">' for half in halves)
    page.set_content(f'<body style="margin: 0; display: flex">{tags}</body>')
    save(page.screenshot(), DOCS / "document.png")


def save(png: bytes, target: Path) -> None:
    """With as many colours as such a picture needs: a third of the bytes."""
    with Image.open(io.BytesIO(png)) as picture:
        picture.convert("RGB").quantize(256, dither=Image.Dither.NONE).save(target, optimize=True)
    print(f"{target.relative_to(REPOSITORY)}: {target.stat().st_size // 1000} kB")


# ---------------------------------------------------------------- what is photographed


@contextmanager
def archived(home: Path, image_proxy: str) -> Iterator[Corpus]:
    """What the line makes of the English sample feed. The newsroom is there until the block ends."""
    newsroom = Newsroom(clock=now_utc, slow_s=0.1)
    newsroom.start()
    line = Line(home)
    try:
        feed = newsroom.feeds()[0]
        line.follow(feed["slug"], feed["url"], title=feed["title"], image_proxy=image_proxy)
        line.poll()
        line.run()
        yield Corpus(line=line, home=home, base=newsroom.base_url)
    finally:
        line.close()
        newsroom.stop()


@contextmanager
def image_proxy() -> Iterator[str]:
    """As wsrv.nl does, on loopback: gives the picture whose address it is asked with. Gives: its template."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            (url,) = parse_qs(urlsplit(self.path).query)["url"]
            with urllib.request.urlopen(url, timeout=10) as answer:
                data = answer.read()
                self.send_response(200)
                self.send_header("Content-Type", answer.headers["Content-Type"])
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/?url={{url}}"
        finally:
            server.shutdown()


def commit(folder: Path) -> None:
    identity = ["-c", "user.name=newsmill", "-c", "user.email=newsmill@localhost"]
    for arguments in (["init", "-q", "-b", "main"], ["add", "-A"], ["commit", "-qm", "As exported"]):
        subprocess.run(["git", *identity, *arguments], cwd=folder, check=True, timeout=30)


@contextmanager
def hosted(folder: Path) -> Iterator[str]:
    """klaus over the folder's repository. Gives: where its files are shown."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = subprocess.Popen(
        [TOOLS / "klaus", "--host", "127.0.0.1", "--port", str(port), "--site-name", "git", folder],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    base = f"http://127.0.0.1:{port}/{folder.name}/blob/main"
    try:
        _wait_for(f"{base}/{README}", process)
        yield base
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _wait_for(url: str, process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + STARTED_WITHIN_S
    while process.poll() is None and time.monotonic() < end:
        try:
            with urllib.request.urlopen(url, timeout=2):
                return
        except (urllib.error.URLError, TimeoutError, ConnectionError):
            time.sleep(0.1)
    raise AssertionError(f"klaus does not answer at {url}")


if __name__ == "__main__":
    sys.exit(main())
