"""The peer: a bare loop that does the same work with the usual libraries, without any promise.

Fetch (requests, the body as sent, one gunzip), extract (trafilatura, in its default and in its fast setting), archive
(FastWARC: request and response, gzip at its default level, one growing file per process), publish (kombu; on RabbitMQ
each message confirmed). It knows no ledger, no pace, no robots.txt, no retry, no second writing.
"""

from __future__ import annotations

import gzip
import importlib
import io
import json
import multiprocessing
import time
from dataclasses import dataclass
from multiprocessing.connection import Connection as Pipe
from pathlib import Path
from typing import Any

import requests
from fastwarc.stream_io import GzipWriter
from fastwarc.warc import WarcRecord, WarcRecordType
from kombu.connection import Connection
from kombu.entity import Exchange, Queue
from kombu.messaging import Producer
from PIL import Image

NAME = "bare"  # of its exchange and its queue, behind the namespace
WARM_ARTICLES = 12
TIMEOUT_S = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What a loop is to do."""

    urls: tuple[str, ...]
    warm_urls: tuple[str, ...]
    fast: bool
    broker_url: str
    namespace: str
    folder: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Spent:
    """CPU seconds of a whole run by kind of work, and its wall time."""

    articles: int
    processes: int
    fetch_s: float
    extract_s: float
    archive_s: float
    publish_s: float
    cpu_s: float
    wall_s: float

    @property
    def cpu_ms(self) -> float:
        return self.cpu_s * 1000 / self.articles

    @property
    def outside_ms(self) -> float:
        """Everything but extraction."""
        return (self.cpu_s - self.extract_s) * 1000 / self.articles


def run(job: Job, *, processes: int) -> Spent:
    """Share the URLs out among loops in processes of their own; measured from the moment that all are warm."""
    context = multiprocessing.get_context("spawn")
    pipes, started = [], []
    for number in range(processes):
        ours, theirs = context.Pipe()
        share = Job(**{**_fields(job), "urls": job.urls[number::processes], "folder": job.folder / str(number)})
        process = context.Process(target=_loop, args=(share, theirs), daemon=True)
        process.start()
        theirs.close()
        pipes.append(ours)
        started.append(process)
    for pipe in pipes:
        pipe.recv()
    for pipe in pipes:
        pipe.send("go")
    reports: list[dict[str, float]] = [pipe.recv() for pipe in pipes]
    for process in started:
        process.join()
    _forget(job)
    kinds = ("fetch_s", "extract_s", "archive_s", "publish_s", "cpu_s")
    return Spent(
        articles=len(job.urls),
        processes=processes,
        wall_s=max(one["ended_at"] for one in reports) - min(one["began_at"] for one in reports),
        **{kind: sum(one[kind] for one in reports) for kind in kinds},
    )


def _fields(job: Job) -> dict[str, Any]:
    return {name: getattr(job, name) for name in job.__slots__}


# ---------------------------------------------------------------- one process


def _loop(job: Job, told: Pipe) -> None:
    job.folder.mkdir(parents=True, exist_ok=True)
    loop = _Loop(job)
    for url in job.warm_urls:
        loop.article(url)
    told.send("warm")
    told.recv()
    loop.spent = dict.fromkeys(loop.spent, 0.0)
    began_at, cpu_s = time.monotonic(), time.process_time()
    for url in job.urls:
        loop.article(url)
    ended = {"began_at": began_at, "ended_at": time.monotonic(), "cpu_s": time.process_time() - cpu_s}
    told.send({**loop.spent, **ended})
    loop.close()


class _Loop:
    """The tools of one process, and what each kind of work has cost."""

    def __init__(self, job: Job) -> None:
        self._fast = job.fast
        self._session = requests.Session()
        self._file = (job.folder / "bare.warc.gz").open("wb")
        self._connection = Connection(job.broker_url, transport_options=_options(job.broker_url))
        exchange = Exchange(f"{job.namespace}.{NAME}", type="topic", durable=True)
        queue = Queue(f"{job.namespace}.{NAME}", exchange, routing_key="article.#", durable=True)
        queue(self._connection.default_channel).declare()
        self._producer = Producer(self._connection.default_channel, exchange)
        self._trafilatura = importlib.import_module("trafilatura")  # a peer: only make bench-line installs it
        self.spent = {"fetch_s": 0.0, "extract_s": 0.0, "archive_s": 0.0, "publish_s": 0.0}

    def article(self, url: str) -> None:
        start_s = time.process_time()
        response, body = self._fetched(url)
        html = gzip.decompress(body) if response.headers.get("Content-Encoding") == "gzip" else body
        fetched_s = time.process_time()
        found = self._trafilatura.bare_extraction(html, url=url, with_metadata=True, fast=self._fast)
        extracted_s = time.process_time()
        facts = found.as_dict() if isinstance(found, self._trafilatura.settings.Document) else {}
        asked_s = time.process_time()
        shown = self._picture(facts.get("image"))
        shown_s = time.process_time()
        self._archive(url, response, body)
        if shown is not None:
            self._archive(shown[0].url, *shown)
        archived_s = time.process_time()
        self._publish(facts)
        published_s = time.process_time()
        self.spent["fetch_s"] += fetched_s - start_s + shown_s - asked_s
        self.spent["extract_s"] += extracted_s - fetched_s
        self.spent["archive_s"] += archived_s - shown_s
        self.spent["publish_s"] += published_s - archived_s + asked_s - extracted_s

    def _fetched(self, url: str) -> tuple[requests.Response, bytes]:
        """The answer, and its body as it was sent."""
        with self._session.get(url, stream=True, timeout=TIMEOUT_S) as response:
            return response, response.raw.read(decode_content=False)

    def _picture(self, url: str | None) -> tuple[requests.Response, bytes] | None:
        if not url:
            return None
        response, data = self._fetched(url)
        with Image.open(io.BytesIO(data)) as image:
            image.verify()
        return response, data

    def _archive(self, url: str, response: requests.Response, body: bytes) -> None:
        sent = "".join(f"{name}: {value}\r\n" for name, value in response.request.headers.items())
        received = "".join(f"{name}: {value}\r\n" for name, value in response.headers.items())
        request = f"GET {response.request.path_url} HTTP/1.1\r\n{sent}\r\n".encode()
        answer = f"HTTP/1.1 {response.status_code} {response.reason}\r\n{received}\r\n".encode() + body
        self._record(WarcRecordType.request, url, request, b"application/http; msgtype=request")
        self._record(WarcRecordType.response, url, answer, b"application/http; msgtype=response")

    def _record(self, kind: WarcRecordType, url: str, block: bytes, content_type: bytes) -> None:
        record = WarcRecord()
        record.init_headers(kind)
        record.headers["WARC-Target-URI"] = url
        record.headers["Content-Type"] = content_type.decode()
        record.set_bytes_content(block)
        member = GzipWriter(self._file)  # one for each record, or other tools cannot find the second
        record.write(member, checksum_data=True)
        member.close()

    def _publish(self, facts: dict[str, Any]) -> None:
        plain = {name: value for name, value in facts.items() if name not in {"body", "commentsbody"}}
        body = json.dumps(plain, ensure_ascii=False, default=str)
        self._producer.publish(
            body.encode(), routing_key="article.published.bare", content_type="application/json", delivery_mode=2
        )

    def close(self) -> None:
        self._file.close()
        self._connection.release()
        self._session.close()


def _options(broker_url: str) -> dict[str, Any]:
    return {"confirm_publish": True} if broker_url.startswith("amqp") else {}


def _forget(job: Job) -> None:
    """Remove the loop's queue and exchange from the broker."""
    with Connection(job.broker_url) as connection:
        name = f"{job.namespace}.{NAME}"
        connection.default_channel.queue_delete(name)
        connection.default_channel.exchange_delete(name)
