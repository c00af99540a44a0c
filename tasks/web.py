"""Where hubs reach us: WebSub's callbacks, answered in the ``web`` process, without Flower's password.

A hub cannot log in. What it knows is one callback's URL, which nobody can guess, and what signs its pushes.
"""

from __future__ import annotations

import asyncio
import logging
import re
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from http import HTTPStatus
from types import TracebackType
from typing import Any, TypeVar
from urllib.parse import urlsplit

from tornado.routing import URLSpec
from tornado.web import HTTPError, RequestHandler, stream_request_body

from tasks.base import OUTAGES
from worker import observe
from worker.errors import UnavailableError
from worker.stages import Deps, websub
from worker.websub.signature import Signature

log = logging.getLogger("newsmill")

T = TypeVar("T")

AT_ONCE = 64  # questions and pushes under way; a hub that is told to come back later does
LEDGER_THREADS = 3
UNSENT = 64  # polls that wait for the broker: beat finds the others
BODY_WITHIN_S = 20.0
RETRY_AFTER_S = 30


@dataclass(slots=True, kw_only=True)
class Desk:
    """What the callbacks of one process share."""

    doors: Callable[[], Deps]
    start_poll: Callable[[str], Any]  # of the feed of that slug
    cap_bytes: int  # of a push; it may hold the whole feed
    threads: ThreadPoolExecutor = field(
        default_factory=lambda: ThreadPoolExecutor(LEDGER_THREADS, thread_name_prefix="websub")
    )
    sender: ThreadPoolExecutor = field(
        default_factory=lambda: ThreadPoolExecutor(1, thread_name_prefix="websub-sender")
    )
    unsent: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(UNSENT))
    busy: int = 0

    def rule(self, public_url: str) -> URLSpec:
        """The route to the callbacks, also for a proxy that keeps the prefix of the public URL."""
        prefix = re.escape(urlsplit(public_url).path)
        return URLSpec(rf"(?:{prefix})?/websub/([A-Za-z0-9_-]{{43}})", Callback, {"desk": self})

    def send(self, slug: str) -> None:
        """Have the poll of a feed started, soon: it is due in the ledger, so what is not sent beat's next tick finds.

        A broker that is away must not keep those waiting who need only the ledger.
        """
        if self.unsent.acquire(blocking=False):
            self.sender.submit(self._send, slug)

    def _send(self, slug: str) -> None:
        try:
            self.start_poll(slug)
        except OUTAGES as error:
            log.warning("websub.unsent", extra={"feed": slug, "error": f"{type(error).__name__}: {error}"[:300]})
        except Exception as error:
            log.exception("websub.unsent", extra={"feed": slug})
            observe.report(error, stage="websub", tags={"feed": slug})
        finally:
            self.unsent.release()

    def close(self) -> None:
        """Begin nothing more. What a thread is at may still end."""
        for pool in (self.threads, self.sender):
            pool.shutdown(wait=False, cancel_futures=True)


@stream_request_body
class Callback(RequestHandler):
    """One subscription's callback: GET is a hub's question, POST a push."""

    def initialize(self, desk: Desk) -> None:
        self.desk = desk
        self.is_counted = False
        self.signature: Signature | None = None

    def set_default_headers(self) -> None:
        self.set_header("Content-Type", "application/octet-stream")  # section 8.2: what we echo must never be a page
        self.set_header("X-Content-Type-Options", "nosniff")

    def check_xsrf_cookie(self) -> None:
        """Flower's forms need it; a hub has no cookies."""

    async def prepare(self) -> None:
        """Before the body of a push is read it is clear who signs it, and that there is room."""
        if self.request.method not in {"GET", "POST"}:
            raise HTTPError(HTTPStatus.METHOD_NOT_ALLOWED)
        if self.request.method == "GET" and self._announces_body():  # reading it would keep a place for whoever asks
            raise HTTPError(HTTPStatus.BAD_REQUEST)
        if self.desk.busy >= AT_ONCE:
            raise HTTPError(HTTPStatus.SERVICE_UNAVAILABLE)
        self.desk.busy += 1
        self.is_counted = True
        connection: Any = self.request.connection
        connection.set_body_timeout(BODY_WITHIN_S)
        connection.set_max_body_size(self.desk.cap_bytes)
        if self.request.method == "POST":
            if self._announced_bytes() > self.desk.cap_bytes:
                raise HTTPError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
            secret = await self._from_ledger(websub.secret_of, self.path_args[0])
            if secret is None:
                raise HTTPError(HTTPStatus.GONE)
            self.signature = Signature(self.request.headers.get("X-Hub-Signature"), secret)

    def _announces_body(self) -> bool:
        return self._announced_bytes() > 0 or "Transfer-Encoding" in self.request.headers

    def _announced_bytes(self) -> int:
        said = self.request.headers.get("Content-Length", "0")
        return int(said) if said.isascii() and said.isdecimal() and len(said) < 20 else 0  # noqa: PLR2004 - longer is none

    def data_received(self, chunk: bytes) -> None:
        if self.signature is not None:
            self.signature.update(chunk)

    async def get(self, callback: str) -> None:
        answer = await self._from_ledger(websub.answer_hub, callback, self.request.query)
        if answer is None:
            raise HTTPError(HTTPStatus.NOT_FOUND)
        self.finish(answer)

    async def post(self, callback: str) -> None:
        """Received is all that the answer says, whatever became of it: a forger learns nothing (section 7.1.2)."""
        assert self.signature is not None
        slug = await self._from_ledger(websub.take_push, callback, self.signature.trouble)
        self.set_status(HTTPStatus.ACCEPTED)
        self.finish()
        if slug is not None:
            self.desk.send(slug)

    async def _from_ledger(self, work: Callable[..., T], *args: Any) -> T:
        """Run a stage's function beside the loop; what it raises becomes a status."""
        desk = self.desk
        try:
            return await asyncio.get_running_loop().run_in_executor(desk.threads, lambda: work(desk.doors(), *args))
        except UnavailableError as error:
            log.warning("websub.unavailable", extra={"error": str(error)[:300]})
            raise HTTPError(HTTPStatus.SERVICE_UNAVAILABLE) from None
        except Exception as error:
            log.exception("websub.failed")
            observe.report(error, stage="websub", tags={})
            raise HTTPError(HTTPStatus.INTERNAL_SERVER_ERROR) from None

    def log_exception(
        self, typ: type[BaseException] | None, value: BaseException | None, tb: TracebackType | None
    ) -> None:
        """Tornado's own line has the URL in it."""
        if typ is not None and value is not None and not isinstance(value, HTTPError):
            log.error("websub.failed", exc_info=(typ, value, tb))

    def write_error(self, status_code: int, **_: Any) -> None:
        if status_code == HTTPStatus.SERVICE_UNAVAILABLE:
            self.set_header("Retry-After", str(RETRY_AFTER_S))
        self.finish()

    def on_finish(self) -> None:
        self._leave()

    def on_connection_close(self) -> None:
        super().on_connection_close()
        self._leave()

    def _leave(self) -> None:
        if self.is_counted:
            self.is_counted = False
            self.desk.busy -= 1


def quiet(_handler: RequestHandler) -> None:
    """Instead of an access log: callbacks' URLs are secrets."""
