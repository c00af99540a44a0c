"""How a stage ends: cleanly, with its label for the next one, and with dispatch when room was made."""

from __future__ import annotations

from typing import Any

from celery import Task
from celery.exceptions import OperationalError

from worker.errors import NewsmillError

OUTAGES = (NewsmillError, OperationalError)  # of our own ledger, store or broker: logged as such, nothing to report


class StageTask(Task):  # type: ignore[misc]
    """A stage of the line: ids in, the ids that went well out. The lease is the chain's root id."""

    throws = OUTAGES

    def __call__(self, article_ids: list[int], *args: Any, **kwargs: Any) -> list[int]:
        went_well: list[int] = self.run(article_ids, *args, **kwargs)
        if not went_well:
            self.request.chain = None  # ends here as SUCCESS; ``Ignore`` would leave it STARTED in Flower for ever
        elif self.request.chain:
            self.request.chain[-1]["options"]["argsrepr"] = self._label(article_ids, went_well)
        return went_well

    def _label(self, given: list[int], went_well: list[int]) -> str:
        """Flower shows feed and URL, not ids. The first one's label holds as long as the first one goes on."""
        shown = (self.request.argsrepr or "").rpartition(", +")[0] or self.request.argsrepr or ""
        first_is_on = bool(given) and given[0] == went_well[0]
        more = f", +{len(went_well) - 1}" if len(went_well) > 1 else ""
        return f"{shown}{more}" if first_is_on else f"{len(went_well)} of the batch of {shown}"
