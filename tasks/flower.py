"""The ``web`` process: Flower as newsmill runs it and, with NEWSMILL_PUBLIC_URL, the callbacks that hubs reach.

Both share the one port that a platform gives to one process. Without a password Flower is for this machine only: where
the port must be public for hubs, Flower then stays away.
"""

from __future__ import annotations

import logging
import os
import signal
import threading

from flower import command
from flower.app import Flower
from flower.options import options
from flower.urls import settings as flower_settings
from tornado.ioloop import IOLoop
from tornado.routing import URLSpec
from tornado.web import Application

from config.settings import Settings
from tasks import websub
from tasks.main import app, set_up_logging, settings
from tasks.process import deps
from tasks.web import Desk, quiet

log = logging.getLogger("newsmill")

TASKS_KEPT = 2000
IDLE_S = 60.0
GONE_WITHIN_S = 20.0  # of the wish to stop: threads may wait for a ledger or a broker that is away


def arguments(settings: Settings) -> list[str]:
    """Flower's command line."""
    given = [
        f"--address={settings.web_address}",
        f"--port={settings.port}",
        f"--max_tasks={TASKS_KEPT}",
        "--purge_offline_workers=300",
        "--xheaders=True",
        "--natural_time=False",
    ]
    return [*given, f"--basic_auth={settings.flower_basic_auth}"] if settings.flower_basic_auth else given


def run() -> None:
    """Serve until told to stop."""
    set_up_logging()
    loop = IOLoop.current()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.asyncio_loop.add_signal_handler(number, _stop, loop)  # type: ignore[attr-defined]
    desk = Desk(doors=deps, start_poll=websub.start_poll, cap_bytes=settings.page_cap_bytes)
    rules = [desk.rule(settings.public_url)] if settings.public_url else []
    try:
        if settings.shows_flower:
            _beside_flower(rules)
        else:
            log.warning(
                "flower.off: set FLOWER_BASIC_AUTH=user:password to see it: this port is open to others, for hubs"
            )
            _alone(rules)
    finally:
        desk.close()


def _stop(loop: IOLoop) -> None:
    last_resort = threading.Timer(GONE_WITHIN_S, os._exit, (1,))
    last_resort.daemon = True
    last_resort.start()
    loop.stop()


def _beside_flower(rules: list[URLSpec]) -> None:
    """As ``celery flower`` does it, with our rules before Flower's own."""
    if not settings.flower_basic_auth:
        log.warning("flower.loopback_only: set FLOWER_BASIC_AUTH=user:password to open it to others")
    command.apply_env_options()
    command.apply_options("flower", arguments(settings))
    command.extract_settings()
    command.setup_logging()
    flower = Flower(capp=app, options=options, log_function=quiet, **flower_settings)
    flower.add_handlers(".*", rules)
    flower.listen(settings.port, address=settings.web_address, xheaders=True, idle_connection_timeout=IDLE_S)
    try:
        flower.start()
    finally:
        flower.stop()


def _alone(rules: list[URLSpec]) -> None:
    Application(rules, log_function=quiet).listen(
        settings.port, address=settings.web_address, xheaders=True, idle_connection_timeout=IDLE_S
    )
    IOLoop.current().start()


if __name__ == "__main__":
    run()
