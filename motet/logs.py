"""How hub and edge log to stderr: a sentence a line, or a JSON object a line."""

import json
import logging
import time
from typing import Any

FORMATS = ("text", "json")
LEVELS = ("debug", "info", "warning", "error")
# What a line is about, where whoever logs it has said so (`extra`).
FIELDS = ("task", "proplet", "sha256", "url")
# Loggers of ours: others are told to keep their debugging to themselves.
_OURS = ("motet", "hub", "edge", "shared")


class JsonFormatter(logging.Formatter):
    """{"time", "level", "logger", "message"}, what the line is about, and `exception` with its traceback."""

    def __init__(self, **always: str) -> None:
        super().__init__()
        self._always = always

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(record.created))}.{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **self._always,
        }
        line |= {name: value for name in FIELDS if (value := getattr(record, name, None))}
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False, default=str)


def configure(format: str, level: str, text: str, **always: str) -> None:
    """Has this process log to stderr. text: the layout of a line that is no JSON; always: fields of every JSON line."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonFormatter(**always) if format == "json" else logging.Formatter(text))
    number = getattr(logging, level.upper())
    logging.basicConfig(level=max(number, logging.INFO), handlers=[handler])
    for name in _OURS:
        logging.getLogger(name).setLevel(number)
