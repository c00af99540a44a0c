"""Celery's settings, from ours. Why each is as it is: docs/architecture.md, "Celery"."""

from __future__ import annotations

import ssl
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from config.schedule import beat_schedule
from config.settings import Settings

# Last stage first: on Redis a worker asks the queues in this order, so what is nearly done is done first.
QUEUES = ("control", "work", "fetch")
ROUTES = {
    "articles.dispatch": "control",
    "feeds.due": "control",
    "feeds.repoll": "control",
    "upkeep.*": "control",
    "feeds.poll": "fetch",
    "article.download": "fetch",
    "article.picture": "fetch",
    "article.*": "work",
}
TASK_LIMIT_S = 120


def celery_settings(settings: Settings) -> dict[str, Any]:
    """The mapping that ``app.conf.update`` takes."""
    prefix = f"{settings.namespace}." if settings.namespace else "newsmill."
    return {
        "broker_url": settings.broker_url,
        "result_backend": None,
        "task_ignore_result": True,
        "task_serializer": "json",
        "accept_content": ["json"],
        "enable_utc": True,
        "timezone": "UTC",
        # Leases in the ledger decide who works; late ack only hands back what a stopping worker had not begun.
        "task_acks_late": True,
        "task_reject_on_worker_lost": False,
        "task_acks_on_failure": True,
        "task_acks_on_timeout": True,
        "task_soft_time_limit": TASK_LIMIT_S - 10,
        "task_time_limit": TASK_LIMIT_S,
        "worker_prefetch_multiplier": 1,
        "worker_concurrency": settings.concurrency,
        "worker_max_tasks_per_child": 2000,
        "worker_max_memory_per_child": 300_000,  # KiB
        "worker_soft_shutdown_timeout": 18.0,
        "worker_enable_soft_shutdown_on_idle": False,
        "worker_cancel_long_running_tasks_on_connection_loss": False,
        "worker_send_task_events": True,
        "task_send_sent_event": False,
        "worker_hijack_root_logger": False,
        "worker_redirect_stdouts": False,
        "task_repr_maxlevels": 2,
        "broker_connection_retry_on_startup": True,
        "broker_connection_max_retries": None,
        "broker_pool_limit": 1,
        "task_publish_retry_policy": {"max_retries": 5, "interval_start": 0, "interval_step": 0.5, "interval_max": 5},
        "task_default_queue": f"{prefix}control",
        "task_queues": _queues(settings, prefix),
        "task_routes": {name: {"queue": f"{prefix}{queue}"} for name, queue in ROUTES.items()},
        "task_create_missing_queues": False,
        "beat_schedule": beat_schedule(settings),
        "beat_max_loop_interval": 5,
        **_broker(settings),
    }


def _queues(settings: Settings, prefix: str) -> dict[str, dict[str, Any]]:
    """Last stage first. On RabbitMQ quorum queues: a crash makes them deliver little again that was done."""
    if is_redis(settings.broker_url):  # no exchange: flushed, Redis forgets its bindings and drops what comes
        return {f"{prefix}{name}": {"exchange": "", "routing_key": f"{prefix}{name}"} for name in QUEUES}
    return {
        f"{prefix}{name}": {
            "exchange": f"{prefix}tasks",
            "exchange_type": "topic",
            "routing_key": f"{prefix}{name}",
            "queue_arguments": {"x-queue-type": "quorum"},
        }
        for name in QUEUES
    }


def is_redis(url: str) -> bool:
    """Is this a Redis URL of any kind (rediss, a Unix socket)?"""
    return urlsplit(url).scheme in {"redis", "rediss", "redis+socket"}


def _broker(settings: Settings) -> dict[str, Any]:
    if not is_redis(settings.broker_url):
        return {
            "broker_transport_options": {"confirm_publish": True},
            "broker_heartbeat": 30,
            "task_default_queue_type": "quorum",
            "task_default_exchange_type": "topic",
            "broker_native_delayed_delivery_queue_type": "classic",
            "worker_detect_quorum_queues": True,
        }
    options: dict[str, Any] = {
        # Nothing waits in the broker, so only a killed worker's messages come back late, and dispatch is sooner.
        "visibility_timeout": 600,
        "unacked_restore_interval": 10,
        "unacked_restore_throttle": 1,
        "queue_order_strategy": "priority",
        "socket_timeout": 30,
        "socket_connect_timeout": 10,
        "health_check_interval": 25,
        "global_keyprefix": f"{settings.namespace or 'newsmill'}:",
    }
    if not settings.broker_is_embedded and urlsplit(settings.broker_url).scheme != "redis+socket":
        options["socket_keepalive"] = True
    settings_of_redis: dict[str, Any] = {"broker_transport_options": options}
    if urlsplit(settings.broker_url).scheme == "rediss":
        settings_of_redis["broker_use_ssl"] = {"ssl_cert_reqs": certificate_check(settings.broker_url)}
        settings_of_redis["broker_url"] = without_option(settings.broker_url, "ssl_cert_reqs")
    return settings_of_redis


def certificate_check(url: str) -> ssl.VerifyMode:
    """What ``?ssl_cert_reqs=`` of a rediss URL asks for; without it certificates are verified."""
    asked = dict(parse_qsl(urlsplit(url).query)).get("ssl_cert_reqs", "required").lower().removeprefix("cert_")
    return {"none": ssl.CERT_NONE, "optional": ssl.CERT_OPTIONAL}.get(asked, ssl.CERT_REQUIRED)


def without_option(url: str, name: str) -> str:
    """The URL without one option of its query."""
    parts = urlsplit(url)
    kept = [(key, value) for key, value in parse_qsl(parts.query) if key != name]
    return urlunsplit(parts._replace(query=urlencode(kept)))
