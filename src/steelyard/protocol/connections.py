"""The connections of uvicorn's server, without ASGI in between.

uvicorn opens the sockets, heeds signals and drains at the end. What happens on a connection is ours
(`connection.py`), and so is the patience with clients that take too long.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from steelyard.protocol.connection import Bounds, Connection
from steelyard.protocol.http import Http
from steelyard.protocol.waiting import READ_S, Desk

if TYPE_CHECKING:
    from uvicorn.server import ServerState

HEAD_S = 10.0
"""So long a client may take to send the head of a request, from when it connected or began."""
KEEP_ALIVE_S = 60.0
"""So long a connection may lie idle between two requests."""
LOOK_S = 1.0
"""How often it is looked for connections whose time is over: by so much they may overrun it."""
UNREAD_S = 30.0
"""So long it may take until it has read some more of an answer; to read all of it it has as long as it likes."""
MOST_CONNECTIONS = 4096
ROOM = 64 * 1024
"""Bytes that are read at once."""


class Connections:
    """Makes the connections of one server: give it to uvicorn as `http`."""

    def __init__(
        self,
        http: Http,
        *,
        most: int = MOST_CONNECTIONS,
        head_s: float = HEAD_S,
        read_s: float = READ_S,
        keep_alive_s: float = KEEP_ALIVE_S,
        unread_s: float = UNREAD_S,
    ) -> None:
        self._http = http
        self._bounds = Bounds(most, {"request": keep_alive_s, "head": head_s, "body": read_s}, unread_s)
        self._look_s = min(LOOK_S, *(limit / 2 for limit in (unread_s, *self._bounds.patience.values())))
        self._all: set[Connection] = set()
        self._room = memoryview(bytearray(ROOM))
        self._desk: Desk | None = None
        self._is_looking = False

    def __call__(self, *, server_state: ServerState, **_: Any) -> Connection:
        """A new connection, as uvicorn asks for one, on its event loop."""
        if self._desk is None:
            self._desk = Desk()
            self._all = cast("set[Connection]", server_state.connections)  # uvicorn knows only its own by type
        if not self._is_looking:
            self._is_looking = True
            self._desk.loop.call_later(self._look_s, self._look, self._desk)
        return Connection(self._http, self._desk, self._bounds, self._all, self._room)

    def _look(self, desk: Desk) -> None:
        """While there are connections, those whose time is over are given up."""
        now = desk.loop.time()
        for connection in list(self._all):
            connection.look(now)
        self._is_looking = bool(self._all)
        if self._is_looking:
            desk.loop.call_later(self._look_s, self._look, desk)
