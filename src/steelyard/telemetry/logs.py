"""Logs of a server: one line per event, for people or (`json`) for programs. Never a tensor, never a token.

An event says what belongs to it by `extra`, and only what is named here is written:

    log.error("it cannot be served", extra={"model": "mnist", "correlation": "1f2e3d"})
"""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from typing import Literal, TextIO

import msgspec

Format = Literal["text", "json"]

FIELDS = ("model", "version", "variant", "correlation")
"""What an event may say besides its text."""
LOGGERS = ("steelyard", "uvicorn", "granian", "opentelemetry")
LONGEST = 4000
"""Characters of a text; a field has at most `LONGEST_FIELD`."""
LONGEST_FIELD = 200
HIDDEN = "[hidden]"

_CREDENTIALS = re.compile(
    r"""(?i)(authorization["']?\s*[:=]\s*["']?(?:basic\s+|bearer\s+)?|\bbearer\s+"""
    r"""|\b(?:token|password|secret|api[_-]?key)["']?\s*[=:]\s*["']?)[^\s,;&'"]{7,}"""
)
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")


def start_logging(
    form: Format = "text", level: int = logging.INFO, stream: TextIO | None = None, hidden: Collection[str] = ()
) -> None:
    """Write what the server and what it runs on log to `stream` (standard error). May be called again.

    `hidden`: texts that must never be written, as the token that clients bring.
    """
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter((_Lines if form == "json" else _Text)(hidden))
    for name in LOGGERS:
        logger = logging.getLogger(name)
        logger.handlers = [handler]
        logger.propagate = False
        logger.setLevel(level if name == "steelyard" else max(level, logging.WARNING))


class _Told:
    """What is safe to write of a record."""

    def __init__(self, record: logging.LogRecord, hidden: Collection[str]) -> None:
        self._hidden = [each for each in hidden if each]
        self.time = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        self.event = self._safe(_text_of(record), LONGEST)
        self.fields = {
            name: self._safe(str(value), LONGEST_FIELD)
            for name in FIELDS
            if isinstance(value := getattr(record, name, None), str | int | float)
        }
        failure = record.exc_info
        trace = logging.Formatter().formatException(failure) if failure and failure[1] else ""
        self.error = self._safe(trace, LONGEST * 4)

    def _safe(self, text: str, longest: int) -> str:
        for each in self._hidden:
            text = text.replace(each, HIDDEN)
        text = _CREDENTIALS.sub(rf"\1{HIDDEN}", text)
        text = text.encode(errors="backslashreplace").decode()  # names of files may hold what is no text
        return text if len(text) <= longest else f"{text[:longest]}…"


class _Lines(logging.Formatter):
    """JSON lines."""

    def __init__(self, hidden: Collection[str]) -> None:
        super().__init__()
        self._hidden = hidden

    def format(self, record: logging.LogRecord) -> str:
        told = _Told(record, self._hidden)
        line = {"time": told.time, "level": record.levelname.lower(), "logger": record.name, "event": told.event}
        line |= told.fields
        if told.error:
            line["error"] = told.error
        # Some programs take other characters than \n for the end of a line, too; JSON lets them stand.
        return _CONTROL.sub(lambda found: f"\\u{ord(found[0]):04x}", msgspec.json.encode(line).decode())


class _Text(logging.Formatter):
    """For people."""

    def __init__(self, hidden: Collection[str]) -> None:
        super().__init__()
        self._hidden = hidden

    def format(self, record: logging.LogRecord) -> str:
        told = _Told(record, self._hidden)
        fields = "".join(f" {name}={_one_line(value)}" for name, value in told.fields.items())
        line = f"{told.time} {record.levelname:<7} {_one_line(told.event)}{fields}"
        # A trace is of several lines: set in, so that none of them can pass for an event.
        return "\n".join([line, *(f"    {_one_line(each)}" for each in told.error.splitlines())])


def _one_line(text: str) -> str:
    """Nobody who chooses a name may begin a line of his own."""
    return _CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def _text_of(record: logging.LogRecord) -> str:
    args = record.args
    if isinstance(args, Mapping):
        told: object = {key: _described(value) for key, value in args.items()}
    else:
        told = tuple(_described(value) for value in args or ())
    text = str(_described(record.msg))
    try:
        return text % told if told else text
    except (TypeError, ValueError, KeyError):
        return text


def _described(value: object) -> object:
    """What a value is, in place of its content where that is data."""
    if isinstance(value, bytes | bytearray | memoryview):
        return f"<{len(value)} bytes>"
    shape, dtype = getattr(value, "shape", None), getattr(value, "dtype", None)
    if shape and dtype is not None:  # a single number may be told
        return f"<{dtype} {list(shape)}>"
    if isinstance(value, list | tuple | set | dict) and len(value) > 16:
        return f"<{type(value).__name__} of {len(value)}>"
    return value
