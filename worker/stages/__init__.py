"""The stages of the line: load, decide, save. Each is short, safe to run twice, and says which articles went well.

The only place where the rooms meet.
"""

from worker.model import State
from worker.stages.archive import archive
from worker.stages.compact import Compaction, compact, compact_round
from worker.stages.deps import Deps
from worker.stages.dispatch import Batch, Dispatched, dispatch, tick, unstarted
from worker.stages.download import download
from worker.stages.extract import extract
from worker.stages.picture import picture
from worker.stages.poll import DuePolls, Polls, due, poll, repoll, unpolled
from worker.stages.polled import Polled
from worker.stages.publish import publish
from worker.stages.upkeep import upkeep
from worker.stages.websub import Asked, ask_hubs, change_subscriptions

# In the order of the line: the state a stage takes articles in, its name, itself.
LINE = (
    (State.DISCOVERED, "download", download),
    (State.DOWNLOADED, "extract", extract),
    (State.EXTRACTED, "picture", picture),
    (State.PICTURED, "archive", archive),
    (State.ARCHIVED, "publish", publish),
)

__all__ = [
    "LINE",
    "Asked",
    "Batch",
    "Compaction",
    "Deps",
    "Dispatched",
    "DuePolls",
    "Polled",
    "Polls",
    "archive",
    "ask_hubs",
    "change_subscriptions",
    "compact",
    "compact_round",
    "dispatch",
    "download",
    "due",
    "extract",
    "picture",
    "poll",
    "publish",
    "repoll",
    "tick",
    "unpolled",
    "unstarted",
    "upkeep",
]
