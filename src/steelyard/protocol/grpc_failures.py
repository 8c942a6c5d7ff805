"""What each failure is told as over gRPC: a status of its own, and a text."""

from __future__ import annotations

from typing import NamedTuple

import grpc

from steelyard.errors import Expired, InputError, Overloaded, RequestFailure, UnknownModel
from steelyard.protocol.grpc_messages import TooLarge
from steelyard.protocol.reply import noted, told

MOST_TEXT = 1024
"""Bytes; what is longer would not fit into the trailing headers."""
LONGEST_RETRY_S = 3600.0
PUSHBACK = "grpc-retry-pushback-ms"
"""Clients that try again by themselves wait so long first."""


class Failure(NamedTuple):
    """What a client is told."""

    status: grpc.StatusCode
    text: str
    metadata: tuple[tuple[str, str], ...] = ()


NO_TOKEN = Failure(
    grpc.StatusCode.UNAUTHENTICATED, "this server wants a token; send the metadata 'authorization: Bearer …'"
)


def failure(error: BaseException) -> Failure:
    """What a client is told of an error. Of one that is nobody's fault but ours: only where to find it in the log."""
    if isinstance(error, UnknownModel):
        return Failure(grpc.StatusCode.NOT_FOUND, shortened(told(error)))
    if isinstance(error, TooLarge):
        return Failure(grpc.StatusCode.RESOURCE_EXHAUSTED, shortened(told(error)))
    if isinstance(error, InputError):
        return Failure(grpc.StatusCode.INVALID_ARGUMENT, shortened(told(error)))
    if isinstance(error, Expired):
        return Failure(grpc.StatusCode.DEADLINE_EXCEEDED, shortened(told(error)))
    if isinstance(error, RequestFailure):
        return Failure(grpc.StatusCode.UNAVAILABLE, shortened(told(error)), _pushback(error))
    return unexpected(error)


def unexpected(
    error: BaseException, what: str = "internal error", status: grpc.StatusCode = grpc.StatusCode.INTERNAL
) -> Failure:
    """Logs the error under a number of its own and tells the client the number."""
    return Failure(status, noted(error, what))


def shortened(text: str) -> str:
    """At most `MOST_TEXT` bytes of it."""
    return text.encode(errors="replace")[:MOST_TEXT].decode(errors="ignore")


def _pushback(error: RequestFailure) -> tuple[tuple[str, str], ...]:
    if not isinstance(error, Overloaded):
        return ()
    return ((PUSHBACK, str(max(1, int(min(error.retry_after_s, LONGEST_RETRY_S) * 1000)))),)
