"""A news server for measuring: many sites on loopback, in a process of its own, every request counted by URL.

Each site is an address of 127.0.1.0/24 with a socket of its own, all on one port; nothing listens beyond loopback.
Bodies are compressed before anything is measured, connections are kept alive, ``If-None-Match`` is answered with 304,
and an answer can be held back, so that sites far away are like sites far away.
"""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import multiprocessing
import signal
import socket
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from typing import Any, Self

MOST_SITES = 250  # addresses that end in .1 to .250
LARGEST_HEAD_BYTES = 65_536
STOP_S = 5.0
NOT_HERE = b"HTTP/1.1 404 Not Found\r\nContent-Type: text/plain\r\nContent-Length: 8\r\n\r\nnot here"


@dataclass(frozen=True, slots=True, kw_only=True)
class Resource:
    """What one URL answers, ready to be sent."""

    etag: bytes
    answer: bytes  # status line, headers, body
    unchanged: bytes  # the 304


def resource(body: bytes, content_type: str, *, compress: bool = True) -> Resource:
    """Prepare an answer. ``compress``: send it gzipped, to everybody; every client here reads it."""
    etag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
    sent = gzip.compress(body, 6, mtime=0) if compress else body
    coding = "Content-Encoding: gzip\r\n" if compress else ""
    head = f"Content-Type: {content_type}\r\n{coding}ETag: {etag}\r\nContent-Length: {len(sent)}\r\n\r\n"
    return Resource(
        etag=etag.encode(),
        answer=b"HTTP/1.1 200 OK\r\n" + head.encode() + sent,
        unchanged=f"HTTP/1.1 304 Not Modified\r\nETag: {etag}\r\n\r\n".encode(),
    )


class NewsServer:
    """The server's handle: starts and stops its process, tells it what to serve, asks it what was fetched."""

    def __init__(self, *, sites: int) -> None:
        if not 1 <= sites <= MOST_SITES:
            raise ValueError(f"sites must lie between 1 and {MOST_SITES}, got {sites}")
        self.addresses = tuple(f"127.0.1.{number}" for number in range(1, sites + 1))
        context = multiprocessing.get_context("spawn")
        self._ours, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(self.addresses, theirs), daemon=True)
        self._theirs = theirs
        self.port = 0

    def __enter__(self) -> Self:
        self._process.start()
        self._theirs.close()
        self.port = self._ours.recv()
        return self

    def __exit__(self, *_: object) -> None:
        self._ours.close()
        self._process.join(STOP_S)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()
        self._process.close()

    def site(self, number: int) -> str:
        """The base URL of a site; numbers beyond the last begin again."""
        return f"http://{self.addresses[number % len(self.addresses)]}:{self.port}"

    def put(self, resources: Mapping[str, Resource]) -> None:
        """Serve these too, by URL."""
        self._asked("put", dict(resources))

    def hold_back(self, latency_s: float) -> None:
        """Send every answer this much later."""
        self._asked("hold_back", latency_s)

    def counts(self) -> Counter[str]:
        """How often each URL was asked for since ``forget``, whatever it answered."""
        counted: Counter[str] = self._asked("counts", None)
        return counted

    def forget(self) -> None:
        """Count from nothing again."""
        self._asked("forget", None)

    def _asked(self, what: str, value: Any) -> Any:
        self._ours.send((what, value))
        return self._ours.recv()


# ---------------------------------------------------------------- the server's own process


@dataclass(slots=True)
class _Newsroom:
    resources: dict[str, Resource] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)
    latency_s: float = 0.0

    def told(self, what: str, value: Any) -> Any:
        if what == "put":
            self.resources.update(value)
        elif what == "hold_back":
            self.latency_s = value
        elif what == "counts":
            return self.counts
        elif what == "forget":
            self.counts = Counter()
        return None

    def answer(self, base: str, head: bytes) -> bytes:
        """The answer to a request's head; only GET is known here."""
        lines = head.split(b"\r\n")
        url = base + lines[0].split(b" ")[1].decode("latin-1")
        self.counts[url] += 1
        found = self.resources.get(url)
        if found is None:
            return NOT_HERE
        for line in lines[1:]:
            if line[:14].lower() == b"if-none-match:" and line[14:].strip() == found.etag:
                return found.unchanged
        return found.answer


class _Client(asyncio.Protocol):
    def __init__(self, newsroom: _Newsroom) -> None:
        self._newsroom = newsroom
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        address, port = transport.get_extra_info("sockname")
        self._base = f"http://{address}:{port}"

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            head, self._buffer = self._buffer[:end], self._buffer[end + 4 :]
            answer = self._newsroom.answer(self._base, head)
            if self._newsroom.latency_s > 0:
                asyncio.get_running_loop().call_later(self._newsroom.latency_s, self._transport.write, answer)
            else:
                self._transport.write(answer)
        if len(self._buffer) > LARGEST_HEAD_BYTES:
            self._transport.abort()


def _serve(addresses: tuple[str, ...], told: Connection) -> None:
    """Runs until the handle's end of the pipe is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the handle's process, which then closes the pipe
    asyncio.run(_serving(addresses, told))


async def _serving(addresses: tuple[str, ...], told: Connection) -> None:
    newsroom = _Newsroom()
    loop = asyncio.get_running_loop()
    over = asyncio.Event()

    def hear() -> None:
        try:
            what, value = told.recv()
        except EOFError:
            loop.remove_reader(told.fileno())
            over.set()
            return
        told.send(newsroom.told(what, value))

    sockets = _listening(addresses)
    servers = [await loop.create_server(lambda: _Client(newsroom), sock=one) for one in sockets]
    told.send(sockets[0].getsockname()[1])
    loop.add_reader(told.fileno(), hear)
    await over.wait()
    for server in servers:
        server.close()


def _listening(addresses: tuple[str, ...]) -> list[socket.socket]:
    """A socket for each address, all on the port that the first one is given."""
    sockets: list[socket.socket] = []
    port = 0
    for address in addresses:
        one = socket.create_server((address, port), backlog=512)
        port = one.getsockname()[1]
        sockets.append(one)
    return sockets
