"""Celery's settings, from ours. Why each is as it is: docs/architecture.md, "Celery"."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from config.brokers import is_redis, tls_options, without_tls_options
from config.schedule import beat_schedule
from config.settings import OWN_NAMES, Settings

# Last stage first: on Redis a worker asks the queues in this order, so what is nearly done is done first.
QUEUES = ("control", "work", "fetch")
ROUTES = {
    "articles.dispatch": "control",
    "feeds.due": "control",
    "feeds.repoll": "control",
    "upkeep.compact": "work",  # takes a minute: dispatch must not wait behind it
    "upkeep.*": "control",
    "feeds.poll": "fetch",
    "websub.pushed": "control",
    "websub.*": "fetch",  # waits for hubs
    "article.download": "fetch",
    "article.picture": "fetch",
    "article.*": "work",
}
TASK_LIMIT_S = 120
POOLED = 1  # connections that worker and beat keep for sending


def celery_settings(settings: Settings) -> dict[str, Any]:
    """The mapping that ``app.conf.update`` takes."""
    prefix = f"{settings.namespace or OWN_NAMES}."
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
        # On RabbitMQ these exchanges are everybody's: unprefixed, one installation answers the other's Flower.
        "control_exchange": f"{prefix}celery",
        "event_exchange": f"{prefix}celeryev",
        "event_queue_prefix": f"{prefix}celeryev",
        "task_send_sent_event": False,
        "worker_hijack_root_logger": False,
        "worker_redirect_stdouts": False,
        "task_repr_maxlevels": 2,
        "broker_connection_retry_on_startup": True,
        "broker_connection_max_retries": None,
        "broker_pool_limit": 0,  # worker and beat: POOLED; elsewhere a pool deadlocks Flower, `inspect` and `status`
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
        "global_keyprefix": f"{settings.namespace or OWN_NAMES}:",
    }
    if not settings.broker_is_embedded and urlsplit(settings.broker_url).scheme != "redis+socket":
        options["socket_keepalive"] = True
    settings_of_redis: dict[str, Any] = {"broker_transport_options": options}
    if tls := tls_options(settings.broker_url):
        settings_of_redis["broker_use_ssl"] = tls
        settings_of_redis["broker_url"] = without_tls_options(settings.broker_url)
    return settings_of_redis
