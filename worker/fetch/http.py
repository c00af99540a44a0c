"""The door to the web: one fetch, its redirects followed by hand, every hop checked, bounded and recorded."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus
from http.client import HTTPException
from typing import Any
from urllib.parse import quote, urldefrag, urljoin, urlsplit

import requests
from requests.adapters import HTTPAdapter
from requests.cookies import RequestsCookieJar, extract_cookies_to_jar, get_cookie_header
from requests.utils import DEFAULT_CA_BUNDLE_PATH
from urllib3 import BaseHTTPResponse, HTTPResponse, Timeout
from urllib3.exceptions import HTTPError
from urllib3.exceptions import TimeoutError as UrllibTimeoutError
from urllib3.util.ssl_ import create_urllib3_context

from worker.errors import NewsmillError, QuarantineError
from worker.fetch.classify import START_BYTES, MediaKind, media_kind
from worker.fetch.coding import ACCEPT_ENCODING, Inflater, content_codings
from worker.fetch.connection import (
    Dialler,
    RecordedResponse,
    Resolver,
    pool_classes,
    recorded_response,
    resolve_by_system,
)
from worker.fetch.guard import AddressGuard
from worker.fetch.trouble import FetchFailedError, StaleConnectionError, family, shown, translated, unusable
from worker.model import Exchange, Hop

MAX_HOPS = 10
ERROR_BODY_CAP_BYTES = 256 * 1024  # what stands beside a 404 is evidence, not an article
# What a header's value may be, its ends stripped. A validator that does not match is never sent, so it is not worth
# storing, and a 304 cannot be the answer to it.
SENDABLE = re.compile(r"[\x20-\x7e\x80-\xff]{1,1000}")

_CHUNK_BYTES = 64 * 1024
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_KEEP_METHOD = frozenset({307, 308})
_OURS = frozenset({
    "host", "accept-encoding", "connection", "content-length", "transfer-encoding", "te", "trailer", "upgrade",
    "expect", "if-none-match", "if-modified-since",
})  # fmt: skip
_ALWAYS_SENSITIVE = frozenset({"authorization", "cookie", "proxy-authorization"})
_KEPT_HOSTS = 64
_BLANKS = re.compile(r"[\s]+")
_DEFAULT_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchRequest:
    """What to ask for, and how much of an answer to take.

    ``etag`` and ``last_modified`` go back to the server as it wrote them; what cannot stand in a header is left out.
    ``headers`` are the configured ones; those named in ``sensitive`` (and credentials in any case) stay with the
    first host, and with https once it was used. A request with a ``form`` is a POST of it (UTF-8, url-encoded); a 307
    or 308 leads it on, any other redirect is no answer to it.
    """

    url: str
    accept: str
    cap_bytes: int  # as sent and decoded
    total_timeout_s: float  # all hops together, from the first name lookup to the last byte
    headers: tuple[tuple[str, str], ...] = ()
    etag: str | None = None
    last_modified: str | None = None
    sensitive: frozenset[str] = frozenset()
    kinds: frozenset[MediaKind] | None = None  # a body that begins as anything else is not read on; None: all are
    allow_downgrade: bool = False  # follow redirects from https to http
    form: tuple[tuple[str, str], ...] | None = None


class RedirectStopped(NewsmillError):  # noqa: N818 - an interruption by the caller, not an error of ours
    """``may_visit`` objected to the next hop; ``__cause__`` is what it raised.

    ``exchange_so_far`` ends with the redirect, ``next_url`` is where it led.
    """

    def __init__(self, exchange_so_far: Exchange, next_url: str) -> None:
        super().__init__(exchange_so_far, next_url)
        self.exchange_so_far = exchange_so_far
        self.next_url = next_url

    def __str__(self) -> str:
        return f"stopped before {shown(self.next_url)}"


class Fetcher:
    """One pool of connections, shared by the threads of a process.

    Args:
        user_agent: Who we say we are.
        guard: Decides about every URL and every address, on every hop.
        connect_timeout_s: Name lookup, connection and TLS handshake of one hop, seconds, > 0.
        clock: Gives aware UTC moments, for the record; deadlines are kept by the monotonic clock that sockets know.
        pool_size: Kept connections per host; more threads than that dial anew.
        resolve: Host and port to addresses as text; may raise OSError.
    """

    def __init__(
        self,
        *,
        user_agent: str,
        guard: AddressGuard,
        connect_timeout_s: float,
        clock: Callable[[], datetime],
        pool_size: int = 8,
        resolve: Resolver = resolve_by_system,
    ) -> None:
        self._user_agent = user_agent
        self._guard = guard
        self._connect_timeout_s = connect_timeout_s
        self._clock = clock
        self._adapter = _GuardedAdapter(Dialler(guard, resolve), pool_size)

    def close(self) -> None:
        """Close the kept connections; the fetcher can still be used and would open new ones."""
        self._adapter.close()

    def fetch(self, request: FetchRequest, *, may_visit: Callable[[str], None]) -> Exchange:
        """Ask for a URL and follow where it leads, at most MAX_HOPS requests.

        Any status is an answer (see ``classify.judge``). A body over the cap is cut and its hop marked
        ``truncated="length"``, one of an unwanted kind or longer than its Content-Length ``"unspecified"``; beside an
        error status also a body that broke off is kept, and marked. Bodies of redirects are not read, and meta refresh
        is not followed. Hop URLs are as they went out: percent-encoded, punycode, without fragment.

        Args:
            may_visit: Called before every request but the first: with each redirect's target, and with a URL that is
                asked again because its kept connection had been closed. Raises to object.

        Raises:
            RefusedAddressError: this URL, a redirect's target or an address behind it must not be asked.
            QuarantineError: ``unusable-url``, ``bad-header``, ``downgrade``.
            FetchFailedError (retryable): no whole answer; its ``cause`` says why.
            RedirectStopped: from what ``may_visit`` raised.
        """
        trip = _Trip(request, self._user_agent, self._guard, time.monotonic() + request.total_timeout_s)
        url = request.url
        self._guard.check_url(url)
        while True:
            hop = self._visit(trip.prepare(url), trip, may_visit)
            trip.hops.append(hop)
            if hop.status not in _REDIRECTS:
                return trip.exchange()
            if request.form is not None and hop.status not in _KEEP_METHOD:
                raise FetchFailedError("redirect", f"status {hop.status} makes a GET of the POST to {shown(hop.url)}")
            url = redirect_target(hop)
            self._guard.check_url(url)
            if not request.allow_downgrade and _is_downgrade(hop.url, url):
                raise QuarantineError("downgrade", f"{shown(hop.url)} leads from https to {shown(url)}")
            if len(trip.hops) == MAX_HOPS:
                raise FetchFailedError("redirect", f"more than {MAX_HOPS} hops from {shown(request.url)}")
            _ask(may_visit, url, trip)

    def _visit(self, prepared: requests.PreparedRequest, trip: _Trip, may_visit: Callable[[str], None]) -> Hop:
        assert prepared.url is not None
        began_at = self._clock()
        with translated(prepared.url):
            response = self._send(prepared, trip, may_visit)
            try:
                trip.take_cookies(prepared, response.raw)
                body, truncated = self._read(response.raw, trip)
            finally:
                response.close()  # a connection whose body was read is back in the pool already
        recorded = recorded_response(response.raw)
        return Hop(
            url=urldefrag(prepared.url).url,
            method=str(prepared.method),
            request_head=recorded.request_head,
            status=recorded.status,
            response_head=recorded.head,
            headers=recorded.fields,
            body=body,
            began_at=began_at,
            ended_at=self._clock(),
            ip=recorded.peer_ip,
            truncated=truncated,
        )

    def _send(
        self, prepared: requests.PreparedRequest, trip: _Trip, may_visit: Callable[[str], None]
    ) -> requests.Response:
        try:
            return self._adapter.send(prepared, stream=True, timeout=self._timeout(trip))
        except requests.ConnectionError as error:
            if not any(isinstance(one, StaleConnectionError) for one in family(error)):
                raise
        may_visit(str(prepared.url))
        return self._adapter.send(prepared, stream=True, timeout=self._timeout(trip))

    def _timeout(self, trip: _Trip) -> Any:
        left_s = trip.ends_at - time.monotonic()
        if left_s <= 0:
            raise TimeoutError("the total time is over")
        return Timeout(connect=min(self._connect_timeout_s, left_s), total=left_s)

    def _read(self, raw: HTTPResponse, trip: _Trip) -> tuple[bytes, str | None]:
        status = raw.status
        if status in _REDIRECTS:
            if raw.length_remaining == 0:
                raw.read(decode_content=False)  # nothing to read, and so the connection is kept
            return b"", None
        if HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES:
            return _read_whole(raw, trip.request)
        return _read_evidence(raw, min(trip.request.cap_bytes, ERROR_BODY_CAP_BYTES))


class _Trip:
    """One fetch under way: its hops, its cookies, and what may still be told to whom."""

    def __init__(self, request: FetchRequest, user_agent: str, guard: AddressGuard, ends_at: float) -> None:
        self.request = request
        self.hops: list[Hop] = []
        self.cookies = RequestsCookieJar()  # lives for this fetch only: some sites redirect until theirs comes back
        self.ends_at = ends_at
        self._guard = guard
        self._user_agent = user_agent
        self._sensitive = _ALWAYS_SENSITIVE | {name.lower() for name in request.sensitive}
        self._is_among_friends = True
        self._validators = _validators(request)

    def prepare(self, url: str) -> requests.PreparedRequest:
        """The next request, for a URL that the guard has seen.

        Not by ``Request.prepare``: that also looks for a body, hooks, and credentials in the URL, in vain.
        """
        if self.hops and not _keeps_secrets(self.hops[-1].url, url):
            self._is_among_friends = False
        prepared = requests.PreparedRequest()
        with unusable(url):
            prepared.prepare_method("GET" if self.request.form is None else "POST")
            prepared.prepare_url(url, None)
            prepared.prepare_headers(self._headers())
            if self.request.form is not None:
                prepared.prepare_body(self.request.form, None)
        assert prepared.url is not None
        if prepared.url != url:  # the spelling that goes out, after punycode and quoting
            self._guard.check_url(prepared.url)
        cookies = get_cookie_header(self.cookies, prepared) if self.cookies else None  # type: ignore[no-untyped-call]
        if cookies:  # a configured Cookie stands alone
            prepared.headers["Cookie"] = cookies
        return prepared

    def take_cookies(self, prepared: requests.PreparedRequest, raw: HTTPResponse) -> None:
        if "set-cookie" in raw.headers:
            extract_cookies_to_jar(self.cookies, prepared, raw)  # type: ignore[no-untyped-call]

    def exchange(self) -> Exchange:
        final = self.hops[-1]
        if final.status == HTTPStatus.NOT_MODIFIED and not self._validators:
            raise FetchFailedError("odd-304", f"not modified, but we have nothing of {shown(final.url)}")
        return Exchange(hops=tuple(self.hops))

    def _headers(self) -> dict[str, str]:
        ours = {
            "User-Agent": self._user_agent,
            "Accept": self.request.accept,
            "Accept-Encoding": ACCEPT_ENCODING,
            "Connection": "keep-alive",
            **self._validators,
        }
        named = {name.lower(): (name, value) for name, value in ours.items()}
        for name, value in self.request.headers:
            key = name.lower()
            if key in _OURS:
                raise QuarantineError("bad-header", f"{name} is not for a feed to configure")
            if not SENDABLE.fullmatch(value.strip()):
                raise QuarantineError("bad-header", f"the value of {name} cannot stand in a header")
            if self._is_among_friends or key not in self._sensitive:
                named[key] = (name, value.strip())
        return dict(named.values())


class _GuardedAdapter(HTTPAdapter):
    """requests without a Session: a Session reads the bodies of redirects, keeps cookies and asks the environment."""

    def __init__(self, dialler: Dialler, pool_size: int) -> None:
        self._dialler = dialler
        self.tls = create_urllib3_context()
        self.tls.load_verify_locations(DEFAULT_CA_BUNDLE_PATH)  # once: per connection it would cost 15 ms
        super().__init__(pool_connections=max(_KEPT_HOSTS, pool_size), pool_maxsize=pool_size)

    def init_poolmanager(self, connections: int, maxsize: int, block: bool = False, **pool_kwargs: Any) -> None:
        pool_kwargs |= {"ssl_context": self.tls, "cert_reqs": "CERT_REQUIRED"}
        super().init_poolmanager(connections, maxsize, block, **pool_kwargs)
        self.poolmanager.pool_classes_by_scheme = pool_classes(self._dialler)

    def cert_verify(self, conn: Any, url: str, verify: Any, cert: Any) -> None:  # noqa: ARG002 - requests' signature
        """The context above verifies; requests would load its bundle into it again for every connection."""
        conn.cert_reqs = "CERT_REQUIRED"

    def get_connection_with_tls_context(self, request: Any, *_args: Any, **_kwargs: Any) -> Any:
        """By host alone: no proxies, no certificates of the request's own."""
        parts = urlsplit(request.url)
        return self.poolmanager.connection_from_host(parts.hostname, parts.port, parts.scheme)

    def request_url(self, request: Any, proxies: Any) -> str:  # noqa: ARG002 - requests' signature
        return str(request.path_url)

    def build_response(self, req: requests.PreparedRequest, resp: BaseHTTPResponse) -> requests.Response:
        """Nothing but a handle on urllib3's: requests would copy headers, guess a charset and look for cookies."""
        response = requests.Response()
        response.request, response.raw = req, resp
        return response


def redirect_target(hop: Hop) -> str:
    """The absolute URL that a redirect leads to, without fragment.

    Raises: FetchFailedError: ``redirect``: no Location, an empty one, or one that cannot be resolved.
    Source: RFC 9110 10.2.2; raw UTF-8 and blanks in Location are common and get percent-encoded.
    """
    location = _as_text(hop.header("location") or "").strip()
    if not location:
        raise FetchFailedError("redirect", f"status {hop.status} without a Location from {shown(hop.url)}")
    try:
        return urldefrag(urljoin(hop.url, _BLANKS.sub(lambda found: quote(found.group()), location))).url
    except ValueError as error:
        raise FetchFailedError("redirect", f"a Location that cannot be read from {shown(hop.url)}") from error


def _as_text(header_value: str) -> str:
    """Header bytes arrive as latin-1; beyond ASCII they are nearly always UTF-8."""
    try:
        return header_value.encode("latin-1").decode("utf-8")
    except UnicodeError:
        return header_value


def _ask(may_visit: Callable[[str], None], url: str, trip: _Trip) -> None:
    try:
        may_visit(url)
    except Exception as error:
        raise RedirectStopped(Exchange(hops=tuple(trip.hops)), url) from error


def _validators(request: FetchRequest) -> dict[str, str]:
    asked = {"If-None-Match": request.etag, "If-Modified-Since": request.last_modified}
    return {name: value.strip() for name, value in asked.items() if value and SENDABLE.fullmatch(value.strip())}


def _is_downgrade(old_url: str, new_url: str) -> bool:
    return urlsplit(old_url).scheme == "https" and urlsplit(new_url).scheme == "http"


def _keeps_secrets(old_url: str, new_url: str) -> bool:
    """The same host and port, not less protected; http to https on the usual ports is the same site."""
    old, new = urlsplit(old_url), urlsplit(new_url)
    if old.hostname != new.hostname or (old.scheme == "https" and new.scheme != "https"):
        return False
    ports = [parts.port or _DEFAULT_PORTS[parts.scheme] for parts in (old, new)]
    return ports[0] == ports[1] or (old.scheme != new.scheme and ports == [80, 443])


def _read_whole(raw: HTTPResponse, request: FetchRequest) -> tuple[bytes, str | None]:
    """The body as sent, and why it was not read to its end: ``length``, the cap of either form; ``unspecified``, its
    kind, or a Content-Length that is too short.

    Raises: FetchFailedError, urllib3's errors: the body is cut or damaged, or the time is over.
    """
    cap_bytes = request.cap_bytes
    inflater = _inflater(raw, cap_bytes)
    recorded = recorded_response(raw)
    start = _Start(request.kinds, recorded)
    body = bytearray()
    while chunk := raw.read(min(_CHUNK_BYTES, cap_bytes + 1 - len(body)), decode_content=False):
        body += chunk
        for piece in inflater.feed(chunk) if inflater else (chunk,):  # the body itself is kept as sent
            start.take(piece)
        if start.is_unwanted:
            return bytes(body[:cap_bytes]), "unspecified"
        if len(body) > cap_bytes:
            return bytes(body[:cap_bytes]), "length"
        if inflater and inflater.is_full:
            return bytes(body), "length"
    if inflater:
        inflater.finish()
    return bytes(body), "unspecified" if recorded.is_longer else None


class _Start:
    """The first bytes of a body, decoded, as far as they tell its kind."""

    def __init__(self, kinds: frozenset[MediaKind] | None, recorded: RecordedResponse) -> None:
        self._kinds = kinds
        self._recorded = recorded
        self._bytes = b""
        self.is_unwanted = False

    def take(self, piece: bytes) -> None:
        """Judges once, when there is enough; a body that ends before is whole anyway."""
        if self._kinds is None:
            return
        self._bytes += piece[:START_BYTES]
        if len(self._bytes) < START_BYTES:
            return
        declared = next((value for name, value in self._recorded.fields if name.lower() == "content-type"), None)
        self.is_unwanted = media_kind(declared, self._bytes) not in self._kinds
        self._kinds = None


def _inflater(raw: HTTPResponse, cap_bytes: int) -> Inflater | None:
    """None for a plain body, and for a coding we do not read: whoever decodes it will say so."""
    try:
        codings = content_codings(recorded_response(raw).fields)
    except QuarantineError:
        return None
    return Inflater(codings, cap_bytes) if codings else None


def _read_evidence(raw: HTTPResponse, cap_bytes: int) -> tuple[bytes, str | None]:
    """The start of a body that does not matter by itself: its status does, however the body ends."""
    body = bytearray()
    try:
        while chunk := raw.read(min(_CHUNK_BYTES, cap_bytes + 1 - len(body)), decode_content=False):
            body += chunk
            if len(body) > cap_bytes:
                return bytes(body[:cap_bytes]), "length"
    except (HTTPError, HTTPException, OSError) as error:
        return bytes(body), "time" if isinstance(error, TimeoutError | UrllibTimeoutError) else "disconnect"
    return bytes(body), None
