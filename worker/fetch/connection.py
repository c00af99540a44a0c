"""The connection: dials checked addresses only, reads against one deadline, keeps the heads as they crossed the wire.

urllib3 and http.client do the protocol; the overrides here stand where they would trust the other side too far.
"""

from __future__ import annotations

import functools
import http.client
import io
import ipaddress
import queue
import socket
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from urllib3 import HTTPConnectionPool, HTTPResponse, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection

from worker.errors import RefusedAddressError
from worker.fetch.guard import AddressGuard
from worker.fetch.trouble import FetchFailedError, FramingError, HeadTooLargeError, StaleConnectionError
from worker.text import header_fields

Resolver = Callable[[str, int], Sequence[str]]

NO_SUCH_HOST_RETRY_S = 1800.0  # a name that does not exist seldom starts to within minutes
MAX_INTERIM_ANSWERS = 10
MAX_HEAD_BYTES = 128 * 1024  # interim answers included; browsers stop at 256 KiB, most servers at 16
MAX_HEADER_LINES = 100
MAX_CHUNKS = 200_000  # 10 MB in chunks of 50 bytes; one-byte chunks would cost 20 s of CPU
_MAX_DIALS = 4
_MIN_DIAL_S = 0.05
_BUFFER_BYTES = 64 * 1024
_MAX_LENGTH_DIGITS = 18
_NO_BODY = {http.HTTPStatus.SWITCHING_PROTOCOLS, http.HTTPStatus.NO_CONTENT, http.HTTPStatus.NOT_MODIFIED}
_FOR_LIBRARIES = frozenset({
    "content-length", "transfer-encoding", "connection", "proxy-connection", "keep-alive", "set-cookie",
})  # fmt: skip
_NO_SUCH_HOST = {socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME)}


def resolve_by_system(host: str, port: int) -> Sequence[str]:
    """Every address of a name, in the system's order of preference.

    Raises: OSError: as ``socket.getaddrinfo``.
    """
    found = socket.getaddrinfo(host.encode("ascii"), port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(info[4][0]) for info in found))


class Dialler:
    """Resolves once, checks every answer, connects to an address it checked."""

    def __init__(self, guard: AddressGuard, resolve: Resolver) -> None:
        self._guard = guard
        self._resolve = resolve

    def dial(self, host: str, port: int, timeout_s: float) -> tuple[socket.socket, str]:
        """A connected socket and the address it leads to; its own timeout is what is left of ``timeout_s``.

        One refused address among several refuses the name: which of them is dialled must not be up to its owner.

        Raises:
            RefusedAddressError: an address is not allowed.
            FetchFailedError: ``dns``, ``timeout`` or ``connect``.
        """
        ends_at = time.monotonic() + timeout_s
        addresses = self._addresses(host, port, timeout_s)
        for address in addresses:
            if (why := self._guard.refusal(address, port)) is not None:
                raise RefusedAddressError(f"{host} is {address}: {why}")
        candidates = addresses[:_MAX_DIALS]
        trouble = FetchFailedError("dns", f"{host} has no address")
        for position, address in enumerate(candidates):
            left_s = ends_at - time.monotonic()
            try:
                return _connected(address, port, left_s / (len(candidates) - position), ends_at), address
            except TimeoutError:
                trouble = FetchFailedError("timeout", f"no connection to {host} within {timeout_s:g} s")
            except OSError as error:
                trouble = FetchFailedError("connect", f"{host}: {error.strerror or type(error).__name__}")
        raise trouble

    def _addresses(self, host: str, port: int, timeout_s: float) -> Sequence[str]:
        try:
            return [str(ipaddress.ip_address(host))]
        except ValueError:
            pass
        try:
            return _within(functools.partial(self._resolve, host, port), timeout_s)
        except TimeoutError as error:
            raise FetchFailedError("dns", f"no answer about {host} within {timeout_s:g} s") from error
        except socket.gaierror as error:
            retry_after_s = NO_SUCH_HOST_RETRY_S if error.errno in _NO_SUCH_HOST else None
            raise FetchFailedError("dns", f"{host}: {error.strerror}", retry_after_s) from error
        except (OSError, UnicodeError) as error:
            raise FetchFailedError("dns", f"{host}: {type(error).__name__}") from error


def _within(call: Callable[[], Sequence[str]], timeout_s: float) -> Sequence[str]:
    """The resolver has no time-out of its own; a thread that is left behind ends with it and holds nothing up.

    Raises: TimeoutError; whatever the call raises.
    """
    answers: queue.SimpleQueue[Sequence[str] | Exception] = queue.SimpleQueue()

    def ask() -> None:
        try:
            answers.put(call())
        except Exception as error:  # noqa: BLE001 - raised again below, in the thread that asked
            answers.put(error)

    threading.Thread(target=ask, name="resolve", daemon=True).start()
    try:
        answer = answers.get(timeout=timeout_s)
    except queue.Empty:
        raise TimeoutError from None
    if isinstance(answer, Exception):
        raise answer
    return answer


def _connected(address: str, port: int, share_s: float, ends_at: float) -> socket.socket:
    sock = socket.create_connection((address, port), max(share_s, _MIN_DIAL_S))
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.settimeout(max(ends_at - time.monotonic(), _MIN_DIAL_S))  # the TLS handshake is inside the same bound
    return sock


class _TimedReader(io.RawIOBase):
    """Reads a socket until a deadline. Time-outs of single reads never trip on a server that drips.

    It stands in for the socket where http.client calls ``makefile``.
    """

    def __init__(self, sock: socket.socket, ends_at: float) -> None:
        self._sock = sock
        self._file = sock.makefile("rb", buffering=0)  # keeps the descriptor open after the connection let go of it
        self._ends_at = ends_at
        self._is_stopped = False

    def makefile(self, mode: str) -> io.BufferedReader:  # noqa: ARG002 - http.client passes "rb"
        return io.BufferedReader(self, _BUFFER_BYTES)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if self._is_stopped:
            return 0
        left_s = self._ends_at - time.monotonic()
        if left_s <= 0:
            raise TimeoutError("the total time is over")
        self._sock.settimeout(left_s)
        return self._file.readinto(buffer) or 0

    def stop(self) -> None:
        """From now on only what is already buffered can be read."""
        self._is_stopped = True

    def abandon(self) -> None:
        """Make the connection useless, so that the pool does not hand it out again."""
        with suppress(OSError):
            self._sock.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self._file.close()
        super().close()


class _HeadTee:
    """Stands in for the buffered file while a head is read line by line: keeps the lines, and bounds them together."""

    def __init__(self, file: io.BufferedReader) -> None:
        self._file = file
        self._left_bytes = MAX_HEAD_BYTES
        self.lines: list[bytes] = []

    def readline(self, _limit: int = -1) -> bytes:
        line = self._file.readline(self._left_bytes + 1)
        self._left_bytes -= len(line)
        if self._left_bytes < 0:
            raise HeadTooLargeError(f"a head of more than {MAX_HEAD_BYTES} bytes")
        self.lines.append(line)
        return line

    def block(self) -> bytes:
        """Header lines up to and with the empty one."""
        start = len(self.lines)
        while self.readline() not in {b"\r\n", b"\n", b""}:
            if len(self.lines) - start > MAX_HEADER_LINES:
                raise HeadTooLargeError(f"more than {MAX_HEADER_LINES} header lines")
        return b"".join(self.lines[start:])

    def flush(self) -> None:
        """Part of what http.client expects of a file."""

    def close(self) -> None:
        self._file.close()


def _for_libraries(fields: Sequence[tuple[str, str]]) -> http.client.HTTPMessage:
    """What http.client, urllib3 and the cookie jar need to see of a head.

    They would only spend time on the rest: on Set-Cookie2 (obsolete, RFC 6265) the jar spends seconds.
    """
    message = http.client.HTTPMessage()
    for name, value in fields:
        if name.lower() in _FOR_LIBRARIES:
            message.set_raw(name, value)
    return message


class RecordedResponse(http.client.HTTPResponse):
    """An answer whose head is kept as it came, and whose framing must be beyond doubt.

    ``head``: status line and header block of the final answer, with the empty line; interim answers left out.
    ``fields``: its headers, all of them. ``request_head`` and ``peer_ip`` are filled in by the connection.
    ``is_longer``: more came at once than the declared length, and was left: the length is wrong, or what follows is
    somebody's forgery.
    """

    def __init__(
        self,
        sock: socket.socket,
        debuglevel: int = 0,
        method: str | None = None,
        url: str | None = None,
        *,
        ends_at: float,
    ) -> None:
        self._reader = _TimedReader(sock, ends_at)
        self._chunk_count = 0
        self.head = b""
        self.fields: tuple[tuple[str, str], ...] = ()
        self.request_head = b""
        self.peer_ip: str | None = None
        self.is_longer = False
        super().__init__(self._reader, debuglevel, method, url)  # type: ignore[arg-type]  # it only calls makefile()

    def begin(self) -> None:
        """Read the head, and from it where the body ends; in place of http.client's own, for ``_fields``' reasons."""
        buffered: io.BufferedReader = self.fp
        tee = _HeadTee(buffered)
        self.fp = tee  # type: ignore[assignment]  # all that is called here
        try:
            version, self.status, reason = self._final_status(tee)
            self.fields = header_fields(tee.block())
        finally:
            if self.fp is not None:  # a bad status line closes it
                self.fp = buffered
        self.head = b"".join(tee.lines)
        self.code, self.reason, self.version = self.status, reason.strip(), _version(version)
        self.headers = self.msg = _for_libraries(self.fields)
        self._find_end()

    def _final_status(self, tee: _HeadTee) -> tuple[str, int, str]:
        """http.client knows 100 only, and waits for ever for the end of a row of them; 103 is in use today."""
        for _ in range(MAX_INTERIM_ANSWERS):
            tee.lines.clear()
            version, status, reason = self._read_status()  # type: ignore[attr-defined]  # not in typeshed
            if (
                not http.HTTPStatus.CONTINUE <= status < http.HTTPStatus.OK
                or status == http.HTTPStatus.SWITCHING_PROTOCOLS
            ):
                return version, status, reason
            tee.block()
        raise FramingError("interim answers without end")

    def _find_end(self) -> None:
        """Raises: FramingError: lengths that differ, a length beside chunks, an unknown coding (RFC 9112 6.3)."""
        lengths = set(self.msg.get_all("content-length", []))
        codings = [
            part.strip().lower() for value in self.msg.get_all("transfer-encoding", []) for part in value.split(",")
        ]
        if len(lengths) > 1 or not all(one.isdecimal() and len(one) <= _MAX_LENGTH_DIGITS for one in lengths):
            raise FramingError("Content-Length is not one number")
        if codings and (lengths or codings not in (["chunked"], ["identity"])):
            raise FramingError("Transfer-Encoding beside Content-Length, or one we do not know")
        has_body = self.status not in _NO_BODY
        self.chunked, self.chunk_left = has_body and codings == ["chunked"], None
        self.length = (int(lengths.pop()) if lengths else None) if has_body else 0
        is_open_ended = self.length is None and not self.chunked
        self.will_close = is_open_ended or self._check_close()  # type: ignore[attr-defined]  # not in typeshed

    def _read_next_chunk_size(self) -> int:
        self._chunk_count += 1
        size: int = super()._read_next_chunk_size()  # type: ignore[misc]  # not in typeshed
        if size < 0 or self._chunk_count > MAX_CHUNKS:  # "-1" would read everything at once
            raise FramingError("a chunk size below zero, or chunks without end")
        return size

    def _read_and_discard_trailer(self) -> None:
        _HeadTee(self.fp).block()  # as bounded as a head; http.client's own loop is not

    def _close_conn(self) -> None:
        """At the body's end. Bytes beyond it would be taken for the next answer, so the connection is given up."""
        self._reader.stop()
        beyond = self.fp.peek(1) if isinstance(self.fp, io.BufferedReader) and not self.fp.closed else b""
        if beyond:
            self._reader.abandon()
        self.is_longer = not self.chunked and bool(beyond.strip(b"\r\n"))  # an empty line is an old habit of servers
        super()._close_conn()  # type: ignore[misc]  # not in typeshed


def _version(text: str) -> int:
    """As http.client numbers them; HTTP/1.2 and its like are answered as 1.1."""
    if text in {"HTTP/1.0", "HTTP/0.9"}:
        return 10
    if text.startswith("HTTP/1."):
        return 11
    raise http.client.UnknownProtocol(text)


class GuardedConnection(HTTPConnection):
    """A connection that only dials what the guard allows. ``dialler`` is set by ``pool_classes``."""

    dialler: Dialler

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._peer_ip: str | None = None
        self._sent = b""
        self._answer_count = 0

    def _new_conn(self) -> socket.socket:
        sock, self._peer_ip = self.dialler.dial(self._dns_host, self.port, self.timeout or 0.0)
        self._answer_count = 0
        return sock

    def putrequest(self, *args: Any, **kwargs: Any) -> None:
        self._sent = b""
        super().putrequest(*args, **kwargs)

    def send(self, data: Any) -> None:
        if not self._sent.endswith(b"\r\n\r\n"):  # what follows the head is a form, and no part of it
            self._sent += data
        super().send(data)

    def getresponse(self) -> HTTPResponse:  # type: ignore[override]  # urllib3 itself breaks with http.client here
        """The answer, to be read until what urllib3 left of the total time at this moment (``timeout``) is over."""
        ends_at = time.monotonic() + (self.timeout or 0.0)
        self.response_class = functools.partial(RecordedResponse, ends_at=ends_at)  # type: ignore[assignment]
        try:
            response = super().getresponse()
        except (http.client.RemoteDisconnected, ConnectionResetError) as error:
            if self._answer_count:
                raise StaleConnectionError("closed while it was kept") from error
            raise
        self._answer_count += 1
        recorded = recorded_response(response)
        recorded.request_head, recorded.peer_ip = self._sent, self._peer_ip
        return response


class GuardedTLSConnection(GuardedConnection, HTTPSConnection):
    """The same under TLS: the name, not the address, is what SNI and the certificate are about."""


def recorded_response(response: HTTPResponse) -> RecordedResponse:
    """What http.client saw, below urllib3's response."""
    recorded = response._original_response  # noqa: SLF001 - urllib3 has no public way to it
    assert isinstance(recorded, RecordedResponse)
    return recorded


def pool_classes(the_dialler: Dialler) -> dict[str, type[HTTPConnectionPool]]:
    """Pools, by scheme, whose every connection goes through this dialler."""

    class Plain(GuardedConnection):
        dialler = the_dialler

    class Secure(GuardedTLSConnection):
        dialler = the_dialler

    class PlainPool(HTTPConnectionPool):
        ConnectionCls = Plain

    class SecurePool(HTTPSConnectionPool):
        ConnectionCls = Secure

    return {"http": PlainPool, "https": SecurePool}
