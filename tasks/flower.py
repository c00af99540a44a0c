"""Flower as newsmill runs it: the ``web`` process. Without a password it is for this machine only."""

from __future__ import annotations

import logging

from tasks.main import app, settings

log = logging.getLogger("newsmill")

TASKS_KEPT = 2000


def arguments(*, port: int, basic_auth: str) -> list[str]:
    """Flower's command line."""
    address = "0.0.0.0" if basic_auth else "127.0.0.1"  # noqa: S104 - public only behind a password
    given = [
        "flower",
        f"--address={address}",
        f"--port={port}",
        f"--max_tasks={TASKS_KEPT}",
        "--purge_offline_workers=300",
        "--xheaders=True",
        "--natural_time=False",
    ]
    return [*given, f"--basic_auth={basic_auth}"] if basic_auth else given


def run() -> None:
    """Serve until told to stop."""
    if not settings.flower_basic_auth:
        log.warning("flower.loopback_only: set FLOWER_BASIC_AUTH=user:password to open it to others")
    app.start(argv=arguments(port=settings.port, basic_auth=settings.flower_basic_auth))


if __name__ == "__main__":
    run()
