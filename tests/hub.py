"""A WebSub hub on loopback for tests: it verifies intent, distributes, denies, redirects, and misbehaves when told to."""

from __future__ import annotations

import hmac
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self
from urllib.parse import parse_qs, quote, urlencode

LOOPBACK = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@dataclass(slots=True, kw_only=True)
class Subscriber:
    """What the hub knows of a subscription that it verified."""

    topic: str
    secret: str | None
    lease_s: str | None


@dataclass(slots=True)
class Hub:
    """Answers every POST as a subscription request. ``requests`` keeps their fields, ``verified`` what came of them.

    ``status``: its answer; from 300 on nothing follows. ``location``: where it redirects to. ``lease_s``: what it grants.
    ``denies``: the reason it denies with. ``verifies``: None: not at all; "before": before it answers; "after": then.
    ``says``: changes the fields of the question that verifies.
    """

    host: str = "127.0.0.1"
    status: int = 202
    text: bytes = b""
    location: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    lease_s: str | None = "864000"
    denies: str | None = None
    verifies: str | None = "before"
    says: Callable[[dict[str, str]], dict[str, str]] | None = None
    requests: list[dict[str, str]] = field(default_factory=list)
    content_types: list[str] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    answers: list[tuple[int, bytes]] = field(default_factory=list)  # subscribers' answers to questions
    verified: dict[str, Subscriber] = field(default_factory=dict)  # by callback
    _server: ThreadingHTTPServer = field(init=False)
    _thread: threading.Thread = field(init=False)
    _asking: list[threading.Thread] = field(default_factory=list)

    def __post_init__(self) -> None:
        hub = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                hub._requested(self)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer((self.host, 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        for thread in self._asking:
            thread.join()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self._server.server_port}/hub"

    def _requested(self, handler: BaseHTTPRequestHandler) -> None:
        body = handler.rfile.read(int(handler.headers["Content-Length"]))
        fields = {name: values[0] for name, values in parse_qs(body.decode(), strict_parsing=True).items()}
        self.paths.append(handler.path)
        self.requests.append(fields)
        self.content_types.append(handler.headers["Content-Type"])
        moves = self.location is not None and handler.path == "/hub"
        status = self.status if moves or self.location is None else 202
        accepted = not moves and status < 300
        if accepted and self.verifies == "before":
            self.verify(fields)
        handler.send_response(status)
        if moves:
            handler.send_header("Location", str(self.location))
        for name, value in self.headers.items():
            handler.send_header(name, value)
        handler.send_header("Content-Length", str(len(self.text)))
        handler.end_headers()
        handler.wfile.write(self.text)
        if accepted and self.verifies == "after":
            thread = threading.Thread(target=self.verify, args=(fields,))
            self._asking.append(thread)
            thread.start()

    # ------------------------------------------------------------ what a hub does by itself

    def verify(self, fields: Mapping[str, str]) -> tuple[int, bytes]:
        """Section 5.3, or a denial (5.2)."""
        callback, topic = fields["hub.callback"], fields["hub.topic"]
        if self.denies is not None:
            return self.ask(callback, {"hub.mode": "denied", "hub.topic": topic, "hub.reason": self.denies})
        challenge = f"challenge {time.monotonic_ns()} <b>&"
        question = {"hub.mode": fields["hub.mode"], "hub.topic": topic, "hub.challenge": challenge}
        if self.lease_s is not None:
            question["hub.lease_seconds"] = self.lease_s
        if self.says is not None:
            question = self.says(question)
        status, body = self.ask(callback, question)
        if 200 <= status < 300 and body == challenge.encode():
            if fields["hub.mode"] == "subscribe":
                self.verified[callback] = Subscriber(
                    topic=topic, secret=fields.get("hub.secret"), lease_s=question.get("hub.lease_seconds")
                )
            else:
                self.verified.pop(callback, None)
        return status, body

    def ask(self, callback: str, question: Mapping[str, str]) -> tuple[int, bytes]:
        status, body, headers = call(f"{callback}?{urlencode(question, quote_via=quote)}")
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Content-Type"] == "application/octet-stream"
        self.answers.append((status, body))
        return status, body

    def push(
        self,
        callback: str | None = None,
        body: bytes = b"<feed/>",
        *,
        method: str = "sha256",
        secret: str | None = None,
    ) -> int:
        """Section 7: distribute content, signed. Returns: the subscriber's answer."""
        if callback is None:
            (callback,) = self.verified
        known = self.verified.get(callback)
        key = secret if secret is not None else (known.secret if known else None) or ""
        signed = f"{method}={hmac.new(key.encode(), body, method).hexdigest()}"
        return call(callback, body, {"X-Hub-Signature": signed, "Content-Type": "application/atom+xml"})[0]


def call(
    url: str, body: bytes | None = None, headers: Mapping[str, str] | None = None, *, method: str | None = None
) -> tuple[int, bytes, Mapping[str, str]]:
    """One request on loopback: status, body, headers."""
    request = urllib.request.Request(url, data=body, headers=dict(headers or {}), method=method)
    try:
        with LOOPBACK.open(request, timeout=10) as answer:
            return answer.status, answer.read(), answer.headers
    except urllib.error.HTTPError as refused:
        with refused:
            return refused.code, refused.read(), refused.headers
