"""``python -m worker.sample``: the newsroom alone, until Ctrl-C or SIGTERM."""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Sequence
from datetime import UTC, datetime

from worker.errors import UsageError
from worker.sample.newsroom import DEFAULT_PORT, Newsroom

STOP_SIGNALS = frozenset({signal.SIGINT, signal.SIGTERM})


def main(arguments: Sequence[str]) -> int:
    """Serve until told to stop. Returns: the exit code, 0 or 2."""
    parser = argparse.ArgumentParser(
        prog="python -m worker.sample", description="Serve the sample newsroom on loopback."
    )
    parser.add_argument("--port", type=int, default=DEFAULT_PORT, help="default: %(default)s; 0: any free one")
    port = parser.parse_args(arguments).port
    signal.pthread_sigmask(
        signal.SIG_BLOCK, STOP_SIGNALS
    )  # before the threads: they inherit it, sigwait gets the signal
    newsroom = Newsroom(port=port, clock=lambda: datetime.now(UTC))
    try:
        newsroom.start()
    except UsageError as error:
        print(error, file=sys.stderr)  # noqa: T201 - a command speaks on its terminal
        return 2
    for address in (newsroom.base_url, *(feed["url"] for feed in newsroom.feeds())):
        print(address, flush=True)  # noqa: T201 - a command speaks on its terminal
    signal.sigwait(STOP_SIGNALS)
    newsroom.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
