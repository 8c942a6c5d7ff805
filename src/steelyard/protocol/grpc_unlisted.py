"""A gRPC server that hears of the calls it was told of, and of no others.

grpc.aio decodes the path of every other call in the loop that serves all of them: one path that is not UTF-8, from
whoever can reach the port, with or without a token, ends that loop and with it the server (so it is in grpcio 1.85.3).
Calls that are registered are matched below Python, so the loop is not given any but these; the others are broken off by
gRPC itself after `UNLISTED_S`. A test sends such a path.
"""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import grpc
import grpc.aio
from grpc._cython import cygrpc

from steelyard.errors import UsageError

OLDEST = (1, 84)
"""Of grpcio: those before it do not serve calls that are registered, or not without hearing of others."""
UNLISTED_S = 5
"""So long a call of another name waits until it is broken off."""
MOST_PENDING = 16_384
"""Calls that wait to be taken up; of those that follow gRPC breaks off ever more, and all from twice as many on."""
OPTIONS = (
    ("grpc.server_max_unrequested_time_in_server", UNLISTED_S),
    ("grpc.server.max_pending_requests", MOST_PENDING),
    ("grpc.server.max_pending_requests_hard_limit", 2 * MOST_PENDING),
)
_replacing = threading.Lock()


class _Listed(cygrpc.AioServer):  # type: ignore[misc]
    async def _request_call(self) -> Any:
        """Asks for the next call of a name that was not registered: it never comes."""
        return await asyncio.get_running_loop().create_future()


def server(options: tuple[tuple[str, int], ...], **settings: Any) -> Any:
    """As `grpc.aio.server`, which has no way to say what it is made of. Raises UsageError when grpcio is too old."""
    check(grpc.__version__)
    with _replacing:
        usual = cygrpc.AioServer
        cygrpc.AioServer = _Listed
        try:
            return grpc.aio.server(options=options + OPTIONS, **settings)
        finally:
            cygrpc.AioServer = usual


def check(version: str) -> None:
    """Refuse a grpcio that would serve nothing."""
    if tuple(int(part) for part in version.split(".")[:2]) < OLDEST:
        oldest = ".".join(map(str, OLDEST))
        raise UsageError(f"gRPC needs grpcio {oldest} or newer, got {version}", f"pip install 'grpcio>={oldest}'")
