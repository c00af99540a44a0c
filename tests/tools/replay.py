"""pywb over exported archives, and a browser that looks at what it replays."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, FrameLocator, Page, sync_playwright

from tests.conftest import CHROMIUM, TOOLS

COLLECTION = "news"
STARTED_WITHIN_S = 30.0


def collection(folder: Path, warc: Path, index: Path) -> None:
    """A collection of pywb's with this WARC, found by this index of ours. ``folder``: pywb's own."""
    inside = folder / "collections" / COLLECTION
    for name, file in (("archive", warc), ("indexes", index)):
        (inside / name).mkdir(parents=True)
        shutil.copy(file, inside / name / file.name)


@contextmanager
def wayback(folder: Path) -> Iterator[str]:
    """pywb at work over ``folder``. Gives: where its collection is replayed."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with (folder / "pywb.log").open("wb") as log:
        process = subprocess.Popen(
            [TOOLS / "wayback", "--bind", "127.0.0.1", "--port", str(port), "--threads", "4"],
            cwd=folder,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            _wait_for(f"http://127.0.0.1:{port}/", process, folder / "pywb.log")
            yield f"http://127.0.0.1:{port}/{COLLECTION}"
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _wait_for(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + STARTED_WITHIN_S
    while time.monotonic() < end and process.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=2):
                return
        except (urllib.error.URLError, TimeoutError, ConnectionError):
            time.sleep(0.1)
    raise AssertionError(f"pywb does not answer:\n{log.read_text()[-4000:]}")


@contextmanager
def browser() -> Iterator[Browser]:
    """Chromium without a window; it and its profile are gone afterwards."""
    with sync_playwright() as driver:
        opened = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        try:
            yield opened
        finally:
            opened.close()


def replay(page: Page, base: str, moment: str, url: str) -> FrameLocator:
    """Open the capture of a URL that is nearest to a moment. Returns: what pywb's own page has in its frame."""
    answer = page.goto(f"{base}/{moment}/{url}", wait_until="networkidle")
    assert answer is not None
    assert answer.status == 200
    return page.frame_locator("#replay_iframe")


def asked_for(page: Page) -> list[str]:
    """What the page will ask the network for, from now on."""
    urls: list[str] = []
    page.on("request", lambda request: urls.append(request.url) if request.url.startswith("http") else None)
    return urls
