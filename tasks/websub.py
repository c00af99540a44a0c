"""WebSub's tasks: hubs are asked, and what they push is polled."""

from __future__ import annotations

from tasks.alarm import Alarm
from tasks.app import app
from tasks.base import OUTAGES
from tasks.feeds import start_due
from tasks.process import deps
from worker import stages
from worker.stages import Deps

EXPIRES_S = 60.0  # of a wish to poll: beat has seen to it long since


@app.task(name="websub.renew", throws=OUTAGES)
def renew() -> int:
    """Beat's tick: subscribe, renew, unsubscribe. Returns: how often a hub was asked."""
    stages.change_subscriptions(deps())
    return _ask_hubs(deps())


@app.task(name="websub.ask", throws=OUTAGES)
def ask() -> int:
    """The site of a hub may be asked again. Returns: as ``renew``."""
    return _ask_hubs(deps())


def _ask_hubs(doors: Deps) -> int:
    asked = stages.ask_hubs(doors)
    alarm.set(doors, asked.look_again_at)
    return asked.count


def _start_asking(_doors: Deps) -> int:
    """The alarm's thread only sends: asking belongs into a task."""
    ask.apply_async()
    return 1


alarm = Alarm(_start_asking)


def start_poll(slug: str) -> None:
    """Have a worker poll this feed: whoever takes a push has no part in the line. Beat finds it as well: nobody waits.

    Raises: OperationalError: the broker takes nothing; the feed is due as before.
    """
    pushed.apply_async((slug,), argsrepr=slug, expires=EXPIRES_S)


@app.task(name="websub.pushed", throws=OUTAGES)
def pushed(slug: str) -> int:
    """A hub pushed: poll this feed now. Returns: the polls started, 0 when its site may not be asked yet."""
    return start_due(deps(), [slug])
