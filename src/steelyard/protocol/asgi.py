"""The HTTP side as a raw ASGI application: for uvicorn, and for whoever embeds it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any

from steelyard.protocol.aside import is_large
from steelyard.protocol.http import Http
from steelyard.protocol.reply import CLOSE, HttpFailure, Reply, failure
from steelyard.protocol.waiting import READ_S, Desk, Reading

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


class _GoneError(Exception):
    """The client left before it had sent all."""


class Application:
    """One application serves one event loop."""

    def __init__(self, http: Http, read_s: float = READ_S) -> None:
        self._http = http
        self._read_s = read_s
        self._desk: Desk | None = None
        self._reading: Reading | None = None

    async def __call__(self, scope: Mapping[str, Any], receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] == "http":
            reply = await self._reply(scope, receive)
            if reply is not None:
                await send({"type": "http.response.start", "status": reply.status, "headers": reply.headers})
                await send({"type": "http.response.body", "body": reply.body})
        elif scope["type"] == "lifespan":
            await _live(receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1003})

    async def _reply(self, scope: Mapping[str, Any], receive: Receive) -> Reply | None:
        http, method, path = self._http, scope["method"], below(scope)
        headers = http.admit(path, scope["headers"])
        if isinstance(headers, Reply):
            return headers
        try:
            body = b"" if method in ("GET", "HEAD") else await self._read(receive)
        except _GoneError:
            return None
        except HttpFailure as error:
            return failure(error)
        if self._desk is None:
            self._desk = Desk()
        query = scope["query_string"]
        if is_large(headers, body):
            got = await self._desk.aside.run(lambda: http.answer(method, path, query, headers, body))
        else:
            got = http.answer(method, path, query, headers, body)
        return got if isinstance(got, Reply) else await self._desk.answered(got, lambda: _gone(receive))

    async def _read(self, receive: Receive) -> bytes:
        if self._reading is None:
            self._reading = Reading(self._read_s)
        try:
            return await self._reading.read(self._body(receive))
        except TimeoutError:
            raise HttpFailure(408, "the body took too long to arrive", headers=(CLOSE,)) from None

    async def _body(self, receive: Receive) -> bytes:
        parts: list[bytes] = []
        left = self._http.most_body
        while True:
            message = await receive()
            if message["type"] != "http.request":
                raise _GoneError
            part = message.get("body", b"")
            left -= len(part)
            if left < 0:
                raise self._http.guards.too_large()
            if not message.get("more_body", False):
                return b"".join((*parts, part)) if parts else part
            parts.append(part)


def below(scope: Mapping[str, Any]) -> str:
    """The path as it is below where this application is mounted; some servers leave that out by themselves."""
    path: str = scope["path"]
    root: str = scope.get("root_path", "").rstrip("/")
    return path[len(root) :] if root and path.startswith(f"{root}/") else path


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _live(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return
