"""Where log lines go, and what they look like."""

import json
import logging
import sys
from collections.abc import Mapping
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any

LOG_FORMATS = ("text", "json")

_FIELDS = "fields"

_about: ContextVar[Mapping[str, str]] = ContextVar("about")


def start_logging(level: str, log_format: str = "text") -> None:
    """Log to stderr what is at least as severe as a level.

    Args:
        level: debug, info, warning or error.
        log_format: text, for people; json, one object a line, for programs.
    """
    handler = logging.StreamHandler(sys.stderr)
    text = logging.Formatter("%(asctime)s %(levelname)s %(message)s")
    handler.setFormatter(JsonFormatter() if log_format == "json" else text)
    logging.basicConfig(handlers=[handler], level=level.upper())
    # It tells at every start how it makes transactions, which is nothing to an operator.
    logging.getLogger("alembic").setLevel(logging.WARNING)


def log_about(**fields: str) -> None:
    """Have every line carry these fields that is logged from here on within this request."""
    _about.set({**_about.get({}), **fields})


def with_fields(**fields: Any) -> Mapping[str, Any]:
    """Give what a line's `extra` must be for the line to carry fields of its own."""
    return {_FIELDS: fields}


class JsonFormatter(logging.Formatter):
    """Writes an event as one line of JSON."""

    def format(self, record: logging.LogRecord) -> str:
        """Write an event."""
        event = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "process": record.process,
            "message": record.getMessage(),
            **_about.get({}),
            **getattr(record, _FIELDS, {}),
        }
        if record.exc_info and record.exc_info[0] is not None:
            event["error"] = record.exc_info[0].__name__
            event["traceback"] = self.formatException(record.exc_info)
        return json.dumps(event, ensure_ascii=False, default=str)
