"""uvicorn's connections with bounds that uvicorn lacks: on the time that a request's head takes, and on how many.

What cannot even be parsed, or is one connection too many, is told in the protocol's form like any other failure.
"""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from steelyard.protocol.reply import CLOSE, HttpFailure, Reply, failure
from steelyard.protocol.waiting import Overdue

HEAD_S = 10.0
"""So long (up to twice that) a client may take to send the head of a request, from when it connected or began."""
MOST_CONNECTIONS = 4096
_PHRASES = {400: b"Bad Request", 503: b"Service Unavailable"}


class Connections:
    """Makes the connections of one server: give it to uvicorn as `http`."""

    def __init__(self, most: int = MOST_CONNECTIONS, head_s: float = HEAD_S) -> None:
        self.most = most
        self._head_s = head_s
        self._overdue: Overdue[Connection] | None = None

    def __call__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> Connection:
        """A new connection."""
        return Connection(self, config, server_state, app_state, _loop)

    @property
    def overdue(self) -> Overdue[Connection]:
        """Those whose head is not there yet. Used on the event loop."""
        if self._overdue is None:
            self._overdue = Overdue(asyncio.get_running_loop(), self._head_s, Connection.give_up)
        return self._overdue


class Connection(HttpToolsProtocol):
    """One connection. uvicorn offers no other way than to derive from its own."""

    def __init__(
        self,
        all_of_them: Connections,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._most = all_of_them.most
        self._overdue = all_of_them.overdue

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """The client connected."""
        super().connection_made(transport)
        if len(self.connections) > self._most:
            self._refuse(failure(HttpFailure(503, "too many connections", headers=((b"retry-after", b"1"), CLOSE))))
        else:
            self._overdue.began(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """The client is gone."""
        self._overdue.ended(self)
        super().connection_lost(exc)

    def on_message_begin(self) -> None:
        """The first byte of a request came."""
        self._overdue.began(self)
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """The head of a request is there."""
        self._overdue.ended(self)
        super().on_headers_complete()

    def send_400_response(self, msg: str) -> None:
        """What came is not HTTP."""
        self._refuse(failure(HttpFailure(400, msg, headers=(CLOSE,))))

    def give_up(self) -> None:
        """The head took too long."""
        if not self.transport.is_closing():
            self.transport.close()

    def _refuse(self, reply: Reply) -> None:
        lines = (b"%s: %s\r\n" % header for header in reply.headers)
        head = b"HTTP/1.1 %d %s\r\n%s\r\n" % (reply.status, _PHRASES[reply.status], b"".join(lines))
        self.transport.write(head + reply.body)
        self.transport.close()
