"""The configured application: ``celery -A tasks.main worker|beat|flower|call``."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
from importlib.metadata import version
from types import FrameType
from typing import Any

import billiard
from celery import signals
from sentry_sdk.integrations.celery import CeleryIntegration

from config.celeryconfig import POOLED, celery_settings
from config.log import formatter
from config.settings import Settings, SettingsError
from tasks import articles, feeds, upkeep, websub
from tasks.app import app
from tasks.process import process
from worker import observe, wiring
from worker.errors import NewsmillError, UsageError

__all__ = ["app", "articles", "feeds", "upkeep", "websub"]


def _settings() -> Settings:
    try:
        read = Settings.from_env(os.environ)
        wiring.open_gates(read)
    except (SettingsError, UsageError) as error:
        sys.exit(f"newsmill: {error}")
    return read


settings = _settings()
process.settings = settings
app.conf.update(celery_settings(settings))
app.set_default()
observe.watch(
    settings.sentry_dsn,
    release=f"newsmill@{version('newsmill')}",
    # Stages report their own surprises with the article's facts; this one is for what escapes a task.
    integrations=[CeleryIntegration(propagate_traces=False)],
)


@signals.setup_logging.connect
def set_up_logging(**_: Any) -> None:
    """One handler, one format, for Celery's lines too."""
    handler = logging.StreamHandler()
    handler.setFormatter(formatter(settings.log_format))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(settings.log_level.upper())
    for noisy in ("urllib3", "amqp", "kombu"):
        logging.getLogger(noisy).setLevel(logging.WARNING)


@signals.worker_init.connect
@signals.beat_init.connect
def keep_a_connection(**_: Any) -> None:
    """These send all the time; whoever else uses the application would wait for the one that it holds itself."""
    app.conf.broker_pool_limit = POOLED


# ---------------------------------------------------------------- forks and stops


GONE_WITHIN_S = 23.0  # of the wish to stop: the promise is 25


class _Child:
    """This process, when it is a worker's child."""

    listens = False  # for the wish to stop
    busy = False


@signals.task_prerun.connect
def begins(**_: Any) -> None:
    """The pool sets its own signal handlers after ``worker_process_init``, so ours come with the first task."""
    _Child.busy = True
    if not _Child.listens and threading.current_thread() is threading.main_thread():
        _Child.listens = True
        signal.signal(signal.SIGUSR2, wished_to_stop)
        signal.signal(signal.SIGTERM, told_to_stop)


@signals.task_postrun.connect
def ends(**_: Any) -> None:
    _Child.busy = False


@signals.worker_process_init.connect
def after_fork(**_: Any) -> None:
    """A child opens its own doors. Until its first task it may be ended by any signal: it holds nothing."""
    process.forget()
    articles.alarm.forget()
    feeds.alarm.forget()
    websub.alarm.forget()
    signal.signal(signal.SIGUSR2, signal.SIG_IGN)


def wished_to_stop(_signal: int, _frame: FrameType | None) -> None:
    """Finish what is in hand, begin nothing: rows not worked yet go back at once."""
    if process.deps is not None:
        process.deps.stopping.set()


def told_to_stop(number: int, frame: FrameType | None) -> None:
    """The platform stops every process at once: a busy child gives back what it cannot finish, an idle one goes."""
    wished_to_stop(number, frame)
    if not _Child.busy:
        give_up_left()
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGTERM)


@signals.worker_process_shutdown.connect
def give_up_left(**_: Any) -> None:
    """What slow sites still keep in threads of this child is given back, uncounted."""
    if process.deps is not None:
        try:
            process.deps.give_up_left()
        except NewsmillError as error:  # its leases run out
            logging.getLogger("newsmill").warning("left.unsaved", extra={"error": str(error)})


@signals.worker_shutting_down.connect
def pass_on(**_: Any) -> None:
    """The parent was told to stop; its children may not have been."""
    for child in billiard.active_children():
        try:
            os.kill(child.pid, signal.SIGUSR2)
        except ProcessLookupError:
            logging.getLogger("newsmill").debug("child.gone", extra={"pid": child.pid})
    last_resort = threading.Timer(GONE_WITHIN_S, leave)
    last_resort.daemon = True
    last_resort.start()


def leave() -> None:
    """End a stop that hangs: on a child that does not answer, or on a broker that went at the wrong moment.

    What is in hand is done again: its leases run out.
    """
    logging.getLogger("newsmill").error("worker.stuck", extra={"after_s": GONE_WITHIN_S})
    for child in billiard.active_children():
        os.kill(child.pid, signal.SIGKILL)
    os._exit(1)
