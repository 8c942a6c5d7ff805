"""An open-loop HTTP client: requests leave when they are due, whether or not earlier ones were answered.

Latency counts from the moment a request was due, so a stalled server, or a full client, cannot hide it.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import cast

import numpy as np
import numpy.typing as npt
import uvloop

Floats = npt.NDArray[np.float64]

TICK_S = 0.001
"""The client looks this often which requests are due: waking for each would take more time from the server, with which
it shares the machine, than sending does. What that delays a request counts into its latency."""
PATIENCE_S = 30.0
"""How long answers are waited for after the last request was due."""


@dataclass
class Outcome:
    """What came of one run: seconds from due to answered (infinite: never), and errors."""

    latencies: Floats
    failed: int

    def late(self, bound_s: float) -> float:
        """Share of the requests that were late, unanswered or failed."""
        return float(np.mean(self.latencies > bound_s))


@dataclass
class _Run:
    requests: Sequence[bytes]
    due: Floats
    answered: Floats
    free: deque[_Connection] = field(default_factory=deque)
    waiting: deque[int] = field(default_factory=deque)
    left: int = 0
    failed: int = 0
    finished: asyncio.Event = field(default_factory=asyncio.Event)

    def send(self, number: int) -> None:
        """Hand a request to a free connection, or keep it until there is one."""
        if self.free:
            self.free.pop().send(number, self.requests[number % len(self.requests)])
        else:
            self.waiting.append(number)

    def answer(self, connection: _Connection, number: int, ok: bool) -> None:
        """Note an answer; the connection takes the next request that waits."""
        self.answered[number] = time.perf_counter() if ok else np.inf
        self.failed += not ok
        self.left -= 1
        if self.left == 0:
            self.finished.set()
        if self.waiting:
            following = self.waiting.popleft()
            connection.send(following, self.requests[following % len(self.requests)])
        else:
            self.free.append(connection)


class _Connection(asyncio.Protocol):
    """One kept-alive connection with at most one request under way."""

    def __init__(self, run: _Run) -> None:
        self._run = run
        self._number = -1
        self._received = bytearray()
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._run.free.append(self)

    def send(self, number: int, request: bytes) -> None:
        """Write one request."""
        assert self._transport is not None
        self._number = number
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        self._received += data
        end = self._received.find(b"\r\n\r\n")
        if end < 0:
            return
        head = bytes(self._received[:end]).lower()
        start = head.index(b"content-length:") + len(b"content-length:")
        length = int(head[start:].split(b"\r\n", 1)[0])
        if len(self._received) - end - 4 >= length:
            self._received.clear()
            self._run.answer(self, self._number, b" 200 " in head[:16])

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        if self._number >= 0 and not self._run.finished.is_set():
            self._run.answered[self._number] = np.inf
            self._run.failed += 1


def post(path: str, body: bytes, content_type: str) -> bytes:
    """The bytes of one POST request."""
    head = (f"POST {path} HTTP/1.1", "Host: localhost", f"Content-Type: {content_type}", f"Content-Length: {len(body)}")
    return "\r\n".join((*head, "", "")).encode() + body


def load(port: int, requests: Sequence[bytes], due: Floats, connections: int) -> Outcome:
    """Send request i at `due[i]` seconds from the start, over so many connections to localhost."""
    return uvloop.run(_load(port, requests, due, connections))


async def _load(port: int, requests: Sequence[bytes], due: Floats, connections: int) -> Outcome:
    loop = asyncio.get_running_loop()
    run = _Run(requests, due, np.full(len(due), np.inf), left=len(due))
    transports = [
        (await loop.create_connection(lambda: _Connection(run), "127.0.0.1", port))[0] for _ in range(connections)
    ]
    start = time.perf_counter() + 0.05
    sent = 0
    while sent < len(due):
        now = time.perf_counter() - start
        while sent < len(due) and due[sent] <= now:
            run.send(sent)
            sent += 1
        if sent < len(due):
            await asyncio.sleep(max(due[sent] - (time.perf_counter() - start), TICK_S))
    with contextlib.suppress(TimeoutError):  # what is still unanswered then counts as never answered
        await asyncio.wait_for(run.finished.wait(), PATIENCE_S)
    for transport in transports:
        transport.abort()
    return Outcome(run.answered - start - due, run.failed)
