"""Replies of the HTTP side, and what each failure is told as: `{"error": …}`, whatever the path."""

from __future__ import annotations

import logging
import math
import uuid
from typing import NamedTuple

import msgspec

from steelyard.errors import (
    Expired,
    InputError,
    Overloaded,
    RequestFailure,
    SteelyardError,
    UnknownModel,
)

log = logging.getLogger(__name__)

Header = tuple[bytes, bytes]
JSON_TYPE: Header = (b"content-type", b"application/json")
CLOSE: Header = (b"connection", b"close")
LENGTH_HEADER = b"inference-header-content-length"
"""Bytes of JSON before those of binary tensors, both ways."""
MOST_DIGITS = 12


def json_bytes(value: bytes) -> int | None:
    """What that header says; None: it is no number of bytes."""
    return int(value) if value.isdigit() and len(value) <= MOST_DIGITS else None


class Reply(NamedTuple):
    """One complete reply."""

    status: int
    headers: tuple[Header, ...]
    """Names in lower case; the body's length is among them."""
    body: bytes


class HttpFailure(SteelyardError):  # noqa: N818 - told to one client, with a status of its own
    """A request that is refused with a certain status."""

    def __init__(self, status: int, message: str, hint: str = "", headers: tuple[Header, ...] = ()) -> None:
        super().__init__(message, hint)
        self.status = status
        self.headers = headers


def reply(body: bytes, content_type: bytes, status: int = 200, more: tuple[Header, ...] = ()) -> Reply:
    """A reply of this content."""
    return Reply(status, ((b"content-type", content_type), (b"content-length", b"%d" % len(body)), *more), body)


def json_reply(value: object, status: int = 200, more: tuple[Header, ...] = ()) -> Reply:
    """A reply in JSON; numbers that are not finite become null."""
    body = msgspec.json.encode(value)
    return Reply(status, (JSON_TYPE, (b"content-length", b"%d" % len(body)), *more), body)


def failure(error: BaseException) -> Reply:
    """What a client is told of an error. Of one that is nobody's fault but ours: only where to find it in the log."""
    if not isinstance(error, InputError | RequestFailure | HttpFailure):
        return unexpected(error)
    more = error.headers if isinstance(error, HttpFailure) else _retry_after(error)
    return json_reply({"error": told(error)}, _status(error), more)


def unexpected(error: BaseException, what: str = "internal error", status: int = 500) -> Reply:
    """Logs the error under a number of its own and tells the client the number."""
    return json_reply({"error": noted(error, what)}, status)


def noted(error: BaseException, what: str = "internal error") -> str:
    """Logs the error under a number of its own; what a client is told: `what`, and the number."""
    number = uuid.uuid4().hex[:12]
    log.error(what, extra={"correlation": number}, exc_info=error)
    return f"{what}; the server's log has more under {number}"


def told(error: SteelyardError) -> str:
    """The message and what to do, on one line."""
    return f"{error.message}; {error.hint}" if error.hint else error.message


def _status(error: SteelyardError) -> int:
    if isinstance(error, HttpFailure):
        return error.status
    if isinstance(error, UnknownModel):
        return 404
    if isinstance(error, InputError):
        return 400
    return 504 if isinstance(error, Expired) else 503


def _retry_after(error: SteelyardError) -> tuple[Header, ...]:
    if isinstance(error, Expired) or not isinstance(error, RequestFailure):
        return ()
    seconds = error.retry_after_s if isinstance(error, Overloaded) else 1.0
    return ((b"retry-after", b"%d" % max(1, math.ceil(min(seconds, 3600.0)))),)
