"""A scripted web server on loopback, in raw bytes: it can be as wrong as the world is."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from ipaddress import ip_network

import pytest

from worker.fetch.guard import AddressGuard
from worker.fetch.http import Fetcher

Answer = bytes | Callable[[socket.socket], None]


class Site:
    """Serves ``pages[path]``: bytes as they are, or a function that does what it likes with the socket."""

    def __init__(self, tls: ssl.SSLContext | None = None, host: str = "127.0.0.1") -> None:
        self.pages: dict[str, Answer] = {}
        self.requests: list[bytes] = []
        self.server_names: list[str | None] = []
        self.dial_count = 0
        self._tls = tls
        self._open: list[socket.socket] = []
        self._listener = socket.create_server((host, 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def url(self, path: str, host: str = "127.0.0.1") -> str:
        return f"{'https' if self._tls else 'http'}://{host}:{self.port}{path}"

    @staticmethod
    def whole(body: bytes, *headers: str, status: str = "200 OK") -> bytes:
        lines = [f"HTTP/1.1 {status}", *headers, f"Content-Length: {len(body)}", "", ""]
        return "\r\n".join(lines).encode("latin-1") + body

    @classmethod
    def redirect(cls, location: str, *headers: str, status: str = "302 Found") -> bytes:
        return cls.whole(b"", f"Location: {location}", *headers, status=status)

    def close(self) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for connection in self._open:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            connection.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.dial_count += 1
            self._open.append(connection)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        try:
            if self._tls:
                connection = self._tls.wrap_socket(connection, server_side=True)
                self._open.append(connection)
            with connection:
                while head := _read_head(connection):
                    self.requests.append(head)
                    answer = self.pages.get(head.split(b" ")[1].decode(), self.whole(b"", status="404 Not Found"))
                    if callable(answer):
                        answer(connection)
                        return
                    connection.sendall(answer)
        except OSError:
            return


def _read_head(connection: socket.socket) -> bytes:
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        got = connection.recv(65536)
        if not got:
            return b""
        head += got
    return head


@pytest.fixture
def make_site() -> Iterator[Callable[..., Site]]:
    servers: list[Site] = []

    def make(tls: ssl.SSLContext | None = None, host: str = "127.0.0.1") -> Site:
        servers.append(Site(tls, host))
        return servers[-1]

    yield make
    for server in servers:
        server.close()


@pytest.fixture
def site() -> Iterator[Site]:
    server = Site()
    yield server
    server.close()


@pytest.fixture
def other_site() -> Iterator[Site]:
    server = Site()
    yield server
    server.close()


def resolve_everything_to_loopback(host: str, port: int) -> list[str]:
    return ["127.0.0.1"]


@pytest.fixture
def fetcher() -> Iterator[Fetcher]:
    door = Fetcher(
        user_agent="newsmill/0.1 (+https://newsmill.example/about)",
        guard=AddressGuard([ip_network("127.0.0.0/8")], {80, 443}),
        connect_timeout_s=2.0,
        clock=lambda: datetime.now(UTC),
        resolve=resolve_everything_to_loopback,
    )
    yield door
    door.close()
