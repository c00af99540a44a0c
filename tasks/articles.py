"""The line's tasks: dispatch, and the five stages that a chain runs through."""

from __future__ import annotations

import logging
from functools import partial

from celery import chain
from celery.exceptions import OperationalError

from tasks.alarm import Alarm
from tasks.app import app
from tasks.base import OUTAGES, StageTask
from tasks.process import deps
from worker import stages
from worker.model import State
from worker.stages import Deps

log = logging.getLogger("newsmill")


def start(doors: Deps) -> int:
    """Dispatch, here and now: start the chains of what may start. Returns: how many.

    Raises: OperationalError: the broker takes nothing; what it did not take is given back.
    """
    dispatched = stages.dispatch(doors)
    for place, batch in enumerate(dispatched.batches):
        try:
            line(batch.state).apply_async((list(batch.ids),), root_id=batch.token, argsrepr=batch.label)
        except OperationalError:
            stages.unstarted(doors, dispatched.batches[place:])
            raise
    alarm.set(doors, dispatched.look_again_at)
    return len(dispatched.batches)


def start_further(doors: Deps) -> None:
    """Dispatch behind a stage that made room. Its trouble must not cost the stage's own articles their next one."""
    try:
        start(doors)
    except OUTAGES as error:
        log.warning("dispatch.paused", extra={"error": f"{type(error).__name__}: {error}"[:300]})
    except Exception as error:
        log.exception("dispatch.failed")
        doors.report(error, stage="dispatch", tags={})


def line(state: State) -> chain:
    """The stages that lie before an article in this state."""
    names = [name for _, name, _ in stages.LINE]
    first = next(place for place, (takes, _, _) in enumerate(stages.LINE) if takes is state)
    return chain(TASKS[name].s() for name in names[first:])


alarm = Alarm(start)


@app.task(name="articles.dispatch", throws=OUTAGES)
def dispatch() -> int:
    """Beat's tick: the safety net behind the dispatches in process. Returns: the chains started."""
    stages.tick(deps(), "articles.dispatch")
    return start(deps())


@app.task(bind=True, base=StageTask, name="article.download")
def download(self: StageTask, article_ids: list[int]) -> list[int]:
    """URLs -> exchanges in the spool; hands on the ids that went well."""
    doors = deps()
    further = partial(start_further, doors)
    went_well = stages.download(doors, article_ids, token=self.request.root_id, further=further)
    further()  # the sites that were just asked may take the next one
    return went_well


def handed_on(went_well: list[int]) -> list[int]:
    """What a stage hands on; a chain that ends early has made room for others."""
    if not went_well:
        start_further(deps())
    return went_well


@app.task(bind=True, base=StageTask, name="article.extract")
def extract(self: StageTask, article_ids: list[int]) -> list[int]:
    """Exchanges -> article records; hands on the ids that went well."""
    return handed_on(stages.extract(deps(), article_ids, token=self.request.root_id))


@app.task(bind=True, base=StageTask, name="article.picture")
def picture(self: StageTask, article_ids: list[int]) -> list[int]:
    """Lead pictures -> checked bytes; hands on the ids that went well."""
    return handed_on(
        stages.picture(deps(), article_ids, token=self.request.root_id, further=partial(start_further, deps()))
    )


@app.task(bind=True, base=StageTask, name="article.archive")
def archive(self: StageTask, article_ids: list[int]) -> list[int]:
    """All of it -> bundle and document; hands on the ids that went well."""
    return handed_on(stages.archive(deps(), article_ids, token=self.request.root_id))


@app.task(bind=True, base=StageTask, name="article.publish")
def publish(self: StageTask, article_ids: list[int]) -> list[int]:
    """Records -> confirmed messages; returns the ids that are published."""
    published = stages.publish(deps(), article_ids, token=self.request.root_id)
    start_further(deps())  # there is room in flight again
    return published


TASKS = {"download": download, "extract": extract, "picture": picture, "archive": archive, "publish": publish}
