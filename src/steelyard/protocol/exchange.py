"""One request on a connection, from its head to its reply."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Protocol

import numpy as np

from steelyard.protocol.aside import is_large
from steelyard.protocol.http import Http
from steelyard.protocol.pending import Pending
from steelyard.protocol.reply import CLOSE, LENGTH_HEADER, Header, Reply, failure, json_bytes
from steelyard.protocol.waiting import Desk, Waiting
from steelyard.serve.requests import Answered, Withdrawable

CLOSE_LINE = b"connection: close\r\n"
_STATUS = {each.value: f"HTTP/1.1 {each.value} {each.phrase}\r\n".encode() for each in HTTPStatus}
LEAST_REST, MOST_REST = 64 * 1024, 16 * 1024 * 1024
"""Bytes that are still to come of a body for which room is made at once. Nobody is believed to send more: there may be
thousands of them."""
ALIGNED = 16
"""Bytes: where memory that numpy is given begins at a multiple of."""


class Line(Protocol):
    """The connection, as a request sees it."""

    @property
    def desk(self) -> Desk:
        """Where requests wait."""

    @property
    def http(self) -> Http:
        """What answers."""

    def say_continue(self) -> None:
        """Let the client send the body."""

    def end_with(self, reply: Reply) -> None:
        """Tell this in its turn and hang up."""

    def is_answered(self, exchange: Exchange, reply: Reply) -> None:
        """Here is the reply."""


class Exchange(Waiting):
    """A request and its reply. Everything happens on the event loop, but what `Waiting` says otherwise."""

    __slots__ = ("_aside", "_body", "_headers", "_is_started", "_left", "_line", "_method", "_parts", "_path",
                 "_pending", "_query", "_settled", "_under_way", "is_whole", "keeps")  # fmt: skip

    def __init__(self, line: Line, method: str = "", path: str = "", query: bytes = b"", keeps: bool = False) -> None:
        super().__init__(line.desk)
        self._line = line
        self._method = method
        self._path = path
        self._query = query
        self._headers: Mapping[bytes, bytes] = {}
        self._body: bytes | memoryview = b""
        self._parts: list[bytes | memoryview] | None = None
        """Of a body that came in several."""
        self._left = line.http.most_body
        self._pending: Pending | None = None
        self._under_way: Withdrawable | None = None
        self._settled: Reply | None = None
        """The reply, however the request goes on."""
        self._is_started = False
        self._aside: asyncio.Task[None] | None = None
        """What is done of it beside the loop."""
        self.is_whole = False
        """The body is there."""
        self.keeps = keeps
        """The connection is kept afterwards."""

    def admit(self, pairs: Sequence[Header]) -> None:
        """The head is there."""
        headers = self._line.http.admit(self._path, pairs)
        if isinstance(headers, Reply):
            self._line.end_with(headers)
            return
        self._headers = headers
        if headers.get(b"expect", b"").lower() == b"100-continue":
            self._line.say_continue()

    def take(self, piece: bytes) -> None:
        """Some of the body."""
        self._left -= len(piece)
        if self._left < 0:
            self._line.end_with(failure(self._line.http.guards.too_large()))
        elif self._parts is not None:
            self._parts.append(piece)
        elif self._body:
            self._parts = [self._body, piece]
        else:
            self._body = piece

    def room_for_rest(self) -> memoryview | None:
        """Where what is still to come of a large body belongs, in the place that all of it is read from; None: take it.

        Whoever asks fills all of it. Binary tensors, which follow the JSON, come to lie where a processor reads them
        without a detour: they need not be copied.
        """
        came = self._line.http.most_body - self._left
        missing = int(self._headers.get(b"content-length", 0)) - came
        if not LEAST_REST <= missing <= MOST_REST or b"transfer-encoding" in self._headers:
            return None
        lead = -(json_bytes(self._headers.get(LENGTH_HEADER, b"")) or 0) % ALIGNED
        whole = np.empty(lead + came + missing, np.uint8).data[lead:]
        whole[:came] = self._whole_body()
        self._body, self._parts, self._left = whole, None, self._left - missing
        return whole[came:]

    def settle(self, reply: Reply) -> None:
        """This is the reply, and nothing will be asked."""
        self._settled = reply
        self.keeps = False

    @property
    def may_start(self) -> bool:
        """All that it takes is there, and it has not started."""
        return not self._is_started and (self.is_whole or self._settled is not None)

    def start(self) -> None:
        """Answer it; the reply may be written before this returns."""
        self._is_started = True
        if self._settled is not None:
            self._tell(self._settled)
            return
        body = b"" if self._method in ("GET", "HEAD") else self._whole_body()
        if is_large(self._headers, body):
            self._aside = self.desk.loop.create_task(self._answer_aside(body))
        else:
            self._got(self._answer(body))

    def wake(self) -> None:
        """The model has answered."""
        pending, self._under_way, self.is_done = self._pending, None, True
        if pending is None or self.is_left:
            return
        if self.answered is None:
            self._tell(pending.failed(self.error or RuntimeError("neither an answer nor an error")))
        elif pending.is_large(self.answered):
            self._aside = self.desk.loop.create_task(self._reply_aside(pending, self.answered))
        else:
            self._tell(_reply(pending, self.answered))

    def leave(self) -> None:
        """The client is gone: what still waits is withdrawn."""
        self.is_left = True
        if self._under_way is not None:
            self._under_way.withdraw()

    def _whole_body(self) -> bytes | memoryview:
        return self._body if self._parts is None else b"".join(self._parts)

    def _answer(self, body: bytes | memoryview) -> Reply | Pending:
        return self._line.http.answer(self._method, self._path, self._query, self._headers, body)

    async def _answer_aside(self, body: bytes | memoryview) -> None:
        self._got(await self.desk.aside.run(lambda: self._answer(body)))

    async def _reply_aside(self, pending: Pending, answered: Answered) -> None:
        self._tell(await self.desk.aside.run(lambda: _reply(pending, answered)))

    def _got(self, got: Reply | Pending) -> None:
        if isinstance(got, Reply):
            self._tell(got)
        elif not self.is_left:
            self._pending = got
            try:
                under_way = got.start(self)
                self._under_way = None if self.is_done else under_way
            except Exception as error:
                self._tell(got.failed(error))

    def _tell(self, reply: Reply) -> None:
        if not self.is_left:
            self._line.is_answered(self, reply)


def _reply(pending: Pending, answered: Answered) -> Reply:
    try:
        return pending.reply(answered)
    except Exception as error:
        return pending.failed(error)


def written(reply: Reply, *, keeps: bool) -> bytes:
    """A reply as it goes over the line."""
    lines = [_STATUS[reply.status], *[b"%s: %s\r\n" % header for header in reply.headers]]
    if not keeps and CLOSE not in reply.headers:
        lines.append(CLOSE_LINE)
    lines += (b"\r\n", reply.body)
    return b"".join(lines)
