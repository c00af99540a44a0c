"""The one place that builds doors from settings."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import unquote, urlsplit

from config.brokers import tls_options, without_tls_options
from config.settings import Settings
from worker.archive.filesystem import FileStore
from worker.archive.store import Store
from worker.errors import UsageError
from worker.fetch.gates import Gates, read_gates
from worker.fetch.guard import AddressGuard
from worker.fetch.http import Fetcher
from worker.ledger.session import Ledger
from worker.observe import report
from worker.publish.broker import Publisher
from worker.stages.deps import Deps
from worker.stages.poll import POLLS_SHARE


def now_utc() -> datetime:
    """The clock of every entry point."""
    return datetime.now(UTC)


def build(settings: Settings) -> Deps:
    """Everything a process needs to work. Call after a fork: connections must not be shared."""
    return Deps(
        settings=settings,
        ledger=open_ledger(settings),
        store=open_store(settings),
        fetcher=open_fetcher(settings),
        gates=open_gates(settings),
        publisher=open_publisher(settings),
        clock=now_utc,
        dice=random.random,
        report=report,
        threads=ThreadPoolExecutor(max_workers=(POLLS_SHARE + 1) * settings.batch, thread_name_prefix="newsmill"),
    )


def open_ledger(settings: Settings) -> Ledger:
    return Ledger(settings.database_url)


def open_store(settings: Settings) -> Store:
    parts = urlsplit(settings.archive_url)
    if parts.scheme == "file":
        return FileStore(Path(unquote(parts.path)))
    from worker.archive.objectstore import S3Credentials, S3Store  # noqa: PLC0415 - its threads begin where it is used

    credentials = None  # the role of the machine, if it has one
    if settings.s3_access_key_id:
        credentials = S3Credentials(
            access_key_id=settings.s3_access_key_id,
            secret_access_key=settings.s3_secret_access_key,
            session_token=settings.s3_session_token or None,
        )
    return S3Store(
        parts.netloc,
        unquote(parts.path).strip("/"),
        endpoint_url=settings.s3_endpoint or None,
        path_style=settings.s3_path_style,
        region=settings.s3_region,
        encryption=settings.s3_encryption or None,
        kms_key_id=settings.s3_kms_key or None,
        credentials=credentials,
    )


def open_fetcher(settings: Settings) -> Fetcher:
    guard = AddressGuard(settings.allow_networks, settings.allow_ports)
    return Fetcher(
        user_agent=settings.user_agent,
        guard=guard,
        connect_timeout_s=settings.connect_timeout_s,
        clock=now_utc,
    )


def open_gates(settings: Settings) -> Gates:
    """The reviewed list of host gates. Raises: UsageError: it cannot be read, or says something that cannot be."""
    path = settings.gates_path
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise UsageError(
            f"Cannot read the list of gates {path}: {reason}. Say where it is with NEWSMILL_GATES."
        ) from error
    return read_gates(text)


def open_publisher(settings: Settings) -> Publisher:
    return publisher_at(settings, settings.publish_url)


def publisher_at(settings: Settings, url: str) -> Publisher:
    """A door to any of our brokers, as this installation sees it."""
    prefix = f"{settings.namespace}." if settings.namespace else ""
    bare, tls = without_tls_options(url), tls_options(url)
    return Publisher(bare, namespace=prefix, holding_cap=settings.holding_cap, tls=tls)
