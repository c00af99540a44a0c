"""Content codings, undone under a cap. Pure."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator

from worker.errors import QuarantineError
from worker.fetch.trouble import FetchFailedError
from worker.model import Hop

ACCEPT_ENCODING = "gzip, deflate"
MAX_MEMBERS = 10_000  # an empty member is 20 bytes: a page of nothing else would be inflated for seconds

_PIECE_BYTES = 64 * 1024
_MAX_CODINGS = 2  # a proxy compressing what was compressed; more is a bomb's habit
_START_BYTES = 2  # enough to tell gzip, zlib and bare deflate apart
_GZIP_START = b"\x1f\x8b"
_ALIASES = {"x-gzip": "gzip", "x-deflate": "deflate"}
# Not codings at all, but servers write them (a charset in the wrong header, most often).
_NO_CODING = frozenset({"", "identity", "none", "binary", "utf-8", "utf8"})


def content_codings(headers: Iterable[tuple[str, str]]) -> tuple[str, ...]:
    """``gzip`` and ``deflate`` in the order in which they were applied; empty when the body is plain.

    Raises: QuarantineError: ``bad-encoding``: a coding that we neither asked for nor read, or too many of them.
    """
    named = [
        token.strip().lower()
        for name, value in headers
        if name.lower() == "content-encoding"
        for token in value.split(",")
    ]
    codings = tuple(_ALIASES.get(token, token) for token in named if token not in _NO_CODING)
    if len(codings) > _MAX_CODINGS or not {"gzip", "deflate"}.issuperset(codings):
        raise QuarantineError("bad-encoding", f"Content-Encoding {', '.join(codings)[:60]!r} is not read here")
    return codings


class Inflater:
    """Undoes a body's codings as its bytes come, never more than 64 KiB at a time.

    A gzip stream may have several members (RFC 1952 2.2), at most MAX_MEMBERS; what follows the last one and is no
    member (padding, mostly) is ignored, as browsers do. ``deflate`` is read with and without its zlib wrapper: both
    are sent.

    Args:
        cap_bytes: Of each coding's output, the outer one's too: a small page may sit in an endless wrapper.
    """

    def __init__(self, codings: tuple[str, ...], cap_bytes: int) -> None:
        self._layers = tuple(_Layer(coding) for coding in reversed(codings))
        self._cap_bytes = cap_bytes

    @property
    def is_full(self) -> bool:
        """A coding gave more than the cap: nothing further is undone."""
        return any(layer.given_bytes > self._cap_bytes for layer in self._layers)

    def feed(self, data: bytes) -> Iterator[bytes]:
        """What these bytes give; it ends with the piece that exceeds the cap.

        Raises: FetchFailedError: ``damaged``.
        """
        for start in range(0, len(data), _PIECE_BYTES):  # zlib copies what it was given beyond a member's end
            if self.is_full:
                return
            yield from self._through(self._layers, data[start : start + _PIECE_BYTES])

    def finish(self) -> None:
        """To be asked at the body's end. One of no bytes is not cut, but empty; one over the cap we cut ourselves.

        Raises: FetchFailedError: ``truncated``: the stream was cut.
        """
        for layer in () if self.is_full else self._layers:
            if layer.is_cut:
                raise FetchFailedError("truncated", f"the {layer.coding} body was cut")

    def _through(self, layers: tuple[_Layer, ...], data: bytes) -> Iterator[bytes]:
        if not layers:
            yield data
            return
        for piece in layers[0].feed(data):
            yield from self._through(layers[1:], piece)
            layers[0].given_bytes += len(piece)  # afterwards: even a piece over the cap may hold a whole page
            if self.is_full:
                return


def decoded_body(hop: Hop, cap_bytes: int) -> bytes:
    """A hop's body with its codings undone, at most the first ``cap_bytes`` of it.

    A body that the fetch itself had cut (``hop.truncated``) gives what can be read of it.

    Raises:
        FetchFailedError (retryable): ``truncated`` or ``damaged``.
        QuarantineError: ``bad-encoding``.
    """
    codings = content_codings(hop.headers)
    if not codings:
        return hop.body[:cap_bytes]
    inflater = Inflater(codings, cap_bytes)
    decoded = b"".join(inflater.feed(hop.body))
    if hop.truncated is None:
        inflater.finish()
    return decoded[:cap_bytes]


class _Layer:
    def __init__(self, coding: str) -> None:
        self.coding = coding
        self.given_bytes = 0  # what was passed on, counted by whoever did
        self._engine: zlib._Decompress | None = None  # None: between members
        self._held = b""
        self._member_count = 0
        self._is_over = False

    @property
    def is_cut(self) -> bool:
        return self._engine is not None or (self._member_count == 0 and bool(self._held))

    def feed(self, data: bytes) -> Iterator[bytes]:
        try:
            yield from self._members(data)
        except zlib.error as error:
            raise FetchFailedError("damaged", f"the {self.coding} body is broken") from error

    def _members(self, data: bytes) -> Iterator[bytes]:
        data, self._held = self._held + data, b""
        while data and not self._is_over:
            if self._engine is None and not self._begin(data):
                return
            assert self._engine is not None
            yield from _inflated(self._engine, data)
            if not self._engine.eof:
                return
            data, self._engine = self._engine.unused_data, None
            self._member_count += 1
            if self._member_count > MAX_MEMBERS:
                raise FetchFailedError("damaged", f"the {self.coding} body has more than {MAX_MEMBERS} members")

    def _begin(self, data: bytes) -> bool:
        """Open a member; False while there is too little of it, and when what follows is none."""
        if len(data) < _START_BYTES:
            self._held = data
            return False
        if self._member_count and (self.coding != "gzip" or not data.startswith(_GZIP_START)):
            self._is_over = True
            return False
        if self.coding == "gzip":
            self._engine = zlib.decompressobj(wbits=31)
        else:
            self._engine = zlib.decompressobj(wbits=15 if _is_zlib(data) else -15)
        return True


def _inflated(engine: zlib._Decompress, data: bytes) -> Iterator[bytes]:
    while not engine.eof:
        piece = engine.decompress(data, _PIECE_BYTES)
        data = engine.unconsumed_tail
        if piece:
            yield piece
        if not data and len(piece) < _PIECE_BYTES:  # a full piece may leave more inside, though no input is left
            return


def _is_zlib(data: bytes) -> bool:
    """RFC 1950 2.2: method 8, and the first two bytes are a multiple of 31."""
    return data[0] & 0x0F == 8 and (data[0] << 8 | data[1]) % 31 == 0  # noqa: PLR2004 - the RFC's own numbers
