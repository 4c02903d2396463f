"""Log lines: one event each, with named fields, as text or as JSON.

Never a message's text, a token or an address in full.
"""

from __future__ import annotations

import ipaddress
import json
import logging
import time
from typing import Any


def log_event(logger: logging.Logger, level: int, event: str, **fields: Any) -> None:
    """Write one line: what happened, and `name=value` for each field that is not None."""
    if logger.isEnabledFor(level):
        known = {name: value for name, value in fields.items() if value is not None}
        words = "".join(f" {name}={_word(value)}" for name, value in known.items())
        logger.log(level, "%s%s", event, words, extra={"event": event, "fields": known})


def _word(value: Any) -> str:
    text = str(value)
    if text and all(c.isprintable() and c not in ' "=' for c in text):
        return text
    return json.dumps(text)


def short_address(address: str) -> str:
    """An address with its last part left out: enough to see a pattern, not a person."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return "local"
    if parsed.is_loopback:
        return address
    if parsed.version == 4:
        return address.rpartition(".")[0] + ".x"
    prefix = ipaddress.ip_network((parsed, 48), strict=False).network_address
    return f"{prefix}x"


class TextFormatter(logging.Formatter):
    """`2026-11-24T08:00:00.123Z INFO talkee_lite.cli: listening address=…`"""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:
        return _utc(record.created)


class JsonFormatter(logging.Formatter):
    """One JSON object on each line: time, level, logger, event, and the event's fields."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": _utc(record.created),
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": getattr(record, "event", None) or record.getMessage(),
        }
        line.update(getattr(record, "fields", {}))
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


def _utc(seconds: float) -> str:
    whole = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))
    return f"{whole}.{int(seconds * 1000) % 1000:03d}Z"
