"""One event a line, with fields: logfmt for people, JSON for machines. Control characters never reach a terminal."""

from __future__ import annotations

import json
import logging
import re
from datetime import UTC, datetime
from typing import Any

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName", "data"}
_LATER_CONTROLS = re.compile(r"[\x7f-\x9f]")  # JSON demands an escape only for those below the blank
_PLAIN = re.compile(r"[^\s\"=\x00-\x1f\x7f-\x9f]+")


def _fields(record: logging.LogRecord) -> dict[str, Any]:
    fields = {
        "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "level": record.levelname.lower(),
        "event": record.getMessage(),
        **{name: value for name, value in vars(record).items() if name not in _STANDARD and value is not None},
    }
    if record.exc_info:
        fields["error"] = logging.Formatter().formatException(record.exc_info)
    return fields


class JsonFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line = json.dumps(_fields(record), ensure_ascii=False, default=str)
        return _LATER_CONTROLS.sub(lambda found: f"\\u{ord(found[0]):04x}", line)


class LogfmtFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return " ".join(f"{name}={_quoted(str(value))}" for name, value in _fields(record).items())


def _quoted(value: str) -> str:
    return value if _PLAIN.fullmatch(value) else json.dumps(value, ensure_ascii=True)


def formatter(kind: str) -> logging.Formatter:
    """``kind``: logfmt or json."""
    return JsonFormatter() if kind == "json" else LogfmtFormatter()
