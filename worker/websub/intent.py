"""What a hub asks us at a callback: did we mean it? Or it says that it will not."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal
from urllib.parse import parse_qsl, unquote

MAX_FIELDS = 32
MAX_LEASE_S = 365 * 86_400  # beyond that a date is hardly a promise, and far beyond it none at all

_CHALLENGE = re.compile(r"[\x20-\x7e]{1,1024}")  # section 8.2: bounded, and nothing binary, since we echo it
_LEASE = re.compile(r"0{0,8}[1-9][0-9]{0,11}", re.ASCII)

Mode = Literal["subscribe", "unsubscribe", "denied"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Intent:
    """A hub's GET of a callback. ``challenge`` is there unless the mode is ``denied``."""

    mode: Mode
    topic: str
    challenge: str = ""
    lease_s: int | None = None  # at most MAX_LEASE_S; None: the hub says nothing that makes sense
    reason: str = ""  # in the hub's own words

    def is_about(self, topic_url: str) -> bool:
        """Is it our topic? Hubs decode and encode what they were given as they please, so both are decoded."""
        return unquote(self.topic) == unquote(topic_url)


def read_intent(query: str) -> Intent | None:
    """A callback's query string, not yet decoded; None: that is no hub's question.

    Source: sections 5.2 (denial) and 5.3 (verification of intent).
    """
    try:
        fields = dict(parse_qsl(query, keep_blank_values=True, errors="strict", max_num_fields=MAX_FIELDS))
    except ValueError:
        return None
    mode, topic, challenge = (fields.get(f"hub.{name}", "") for name in ("mode", "topic", "challenge"))
    if mode == "denied" and topic:
        return Intent(mode="denied", topic=topic, reason=fields.get("hub.reason", ""))
    if mode not in {"subscribe", "unsubscribe"} or not topic or not _CHALLENGE.fullmatch(challenge):
        return None
    lease = fields.get("hub.lease_seconds", "")
    lease_s = min(int(lease), MAX_LEASE_S) if _LEASE.fullmatch(lease) else None
    return Intent(
        mode="subscribe" if mode == "subscribe" else "unsubscribe", topic=topic, challenge=challenge, lease_s=lease_s
    )
