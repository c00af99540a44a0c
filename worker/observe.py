"""What operators see of errors: Sentry for surprises, with the facts that find their article and no secret."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import sentry_sdk
from sentry_sdk.integrations.logging import LoggingIntegration

from worker.errors import NewsmillError

URL = re.compile(r"\b[a-z][a-z0-9+.-]*://[^\s'\"<>]+", re.IGNORECASE)
SECRET_NAME = re.compile(r"pass|secret|token|auth|cookie|dsn|key|credential", re.IGNORECASE)
CALLBACK = re.compile(r"(/websub/)[^/]+")
SHOWN = "[removed]"
FLUSH_S = 2.0  # nothing waits longer than this for Sentry


def watch(dsn: str, *, release: str, integrations: list[Any]) -> None:
    """Report to Sentry from now on; without a DSN nothing is sent."""
    if not dsn:
        return
    sentry_sdk.init(
        dsn=dsn,
        release=release,
        # our own code says what is an event; a line in the log is not one
        integrations=[*integrations, LoggingIntegration(event_level=None, sentry_logs_level=None)],
        send_default_pii=False,
        include_local_variables=False,  # they hold pages, URLs with tokens and connection strings
        max_breadcrumbs=20,
        before_send=lambda event, _hint: scrubbed(event),
        before_breadcrumb=lambda crumb, _hint: scrubbed(crumb),
        shutdown_timeout=FLUSH_S,
    )


def report(error: BaseException, *, stage: str, tags: Mapping[str, str]) -> None:
    """Send a surprise to Sentry, once; expected kinds of trouble are rows in the ledger, not events."""
    if isinstance(error, NewsmillError):
        return
    with sentry_sdk.new_scope() as scope:
        scope.set_tag("stage", stage)
        for name, value in tags.items():
            scope.set_tag(name, value)
        sentry_sdk.capture_exception(error)


def scrubbed(value: Any, name: str = "") -> Any:
    """The same structure without secrets: values under telling names, and user, password and query of every URL."""
    if isinstance(value, dict):
        return {key: scrubbed(item, str(key)) for key, item in value.items()}
    if isinstance(value, list):
        return [scrubbed(item, name) for item in value]
    if isinstance(value, tuple):
        return tuple(scrubbed(item, name) for item in value)
    if isinstance(value, str):
        return SHOWN if SECRET_NAME.search(name) else URL.sub(_bare_url, value)
    return value


def _bare_url(found: re.Match[str]) -> str:
    """A URL without user, password, query and fragment; a callback's has nothing else that is not secret."""
    try:
        parts = urlsplit(found[0])
    except ValueError:
        return SHOWN
    host, path = parts.netloc.rpartition("@")[2], CALLBACK.sub(rf"\1{SHOWN}", parts.path)
    return urlunsplit((parts.scheme, host, path, SHOWN if parts.query else "", ""))
