"""Polling's tasks: what is due, one batch of polls, a person's re-poll."""

from __future__ import annotations

from celery import Task
from celery.exceptions import OperationalError

from tasks.alarm import Alarm
from tasks.app import app
from tasks.articles import start_further
from tasks.base import OUTAGES
from tasks.process import deps
from worker import stages
from worker.stages import Deps


def start_due(doors: Deps, slugs: list[str] | None = None) -> int:
    """Start the polls of the feeds that are due (of these ones). Returns: how many feeds.

    Raises: OperationalError: the broker takes nothing; what it did not take is due as before.
    """
    due = stages.due(doors, slugs=slugs)
    for place, batch in enumerate(due.batches):
        try:
            poll.apply_async((list(batch.ids),), root_id=batch.token, argsrepr=batch.label)
        except OperationalError:
            stages.unpolled(doors, due.batches[place:])
            raise
    alarm.set(doors, due.look_again_at)
    return sum(len(batch.ids) for batch in due.batches)


alarm = Alarm(start_due)


@app.task(name="feeds.due", throws=OUTAGES)
def due() -> int:
    """Beat's tick. Returns: the feeds whose polls were started."""
    stages.tick(deps(), "feeds.due")
    return start_due(deps())


@app.task(bind=True, name="feeds.poll", throws=OUTAGES)
def poll(self: Task, feed_ids: list[int]) -> dict[str, str]:
    """Feeds -> new article rows; what may start of them starts at once. Returns: slug -> outcome."""
    doors = deps()
    polled = stages.poll(doors, feed_ids, token=self.request.root_id, found=lambda: start_further(doors))
    return {one.slug: f"{one.outcome} ({one.new} new)" if one.new else one.outcome for one in polled}


@app.task(name="feeds.repoll", throws=OUTAGES)
def repoll(*slugs: str, unconditional: bool = False) -> list[str]:
    """A person's re-poll of these feeds, or of all. Returns: the slugs that will be polled."""
    doors = deps()
    asked = stages.repoll(doors, list(slugs) or None, unconditional=unconditional)
    start_due(doors, asked)
    return asked
