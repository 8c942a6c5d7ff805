"""The HTTP side for granian's own interface (RSGI 1.5: https://github.com/emmett-framework/granian)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Mapping, Sequence
from typing import Protocol

from steelyard.protocol.aside import is_large
from steelyard.protocol.http import Http
from steelyard.protocol.reply import CLOSE, Header, HttpFailure, Reply, failure
from steelyard.protocol.waiting import READ_S, Desk, Reading


class Headers(Protocol):
    """Of a request."""

    def items(self) -> Sequence[tuple[str, str]]:
        """Names in lower case."""


class Scope(Protocol):
    """What granian tells of a request."""

    proto: str
    method: str
    path: str
    query_string: str
    authority: str | None

    @property
    def headers(self) -> Headers:
        """Of the request."""


class Exchange(Protocol):
    """Where granian takes the reply."""

    def __call__(self) -> Awaitable[bytes]:
        """The whole body."""

    def __aiter__(self) -> AsyncIterator[bytes]:
        """The body in pieces."""

    def client_disconnect(self) -> Awaitable[None]:
        """Returns once the client is gone."""

    def response_bytes(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
        """Send the reply."""

    def close(self, status: int | None) -> object:
        """Of a websocket: refuse it."""


class RsgiApplication:
    """One application serves one event loop."""

    def __init__(self, http: Http, read_s: float = READ_S) -> None:
        self._http = http
        self._read_s = read_s
        self._desk: Desk | None = None
        self._reading: Reading | None = None

    async def __rsgi__(self, scope: Scope, exchange: Exchange) -> None:
        """One request."""
        if scope.proto != "http":
            exchange.close(403)
            return
        reply = await self._reply(scope, exchange)
        if reply is not None:
            headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in reply.headers]
            exchange.response_bytes(reply.status, headers, reply.body)

    async def _reply(self, scope: Scope, exchange: Exchange) -> Reply | None:
        http, method, path = self._http, scope.method, scope.path
        headers = http.admit(path, _pairs(scope))
        if isinstance(headers, Reply):
            return headers
        try:
            body = b"" if method in ("GET", "HEAD") else await self._read(headers, exchange)
        except HttpFailure as error:
            return failure(error)
        if self._desk is None:
            self._desk = Desk()
        query = scope.query_string.encode()
        if is_large(headers, body):
            got = await self._desk.aside.run(lambda: http.answer(method, path, query, headers, body))
        else:
            got = http.answer(method, path, query, headers, body)
        return got if isinstance(got, Reply) else await self._desk.answered(got, exchange.client_disconnect)

    async def _read(self, headers: Mapping[bytes, bytes], exchange: Exchange) -> bytes:
        if self._reading is None:
            self._reading = Reading(self._read_s)
        # Where the length was told it was found small enough, and granian reads no more than that.
        body = _whole(exchange) if b"content-length" in headers else self._in_pieces(exchange)
        try:
            return await self._reading.read(body)
        except TimeoutError:
            raise HttpFailure(408, "the body took too long to arrive", headers=(CLOSE,)) from None

    async def _in_pieces(self, exchange: Exchange) -> bytes:
        parts: list[bytes] = []
        left = self._http.most_body
        async for part in exchange:
            left -= len(part)
            if left < 0:
                raise self._http.guards.too_large()
            parts.append(part)
        return b"".join(parts)


async def _whole(exchange: Exchange) -> bytes:
    return await exchange()


def _pairs(scope: Scope) -> Sequence[Header]:
    pairs = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in scope.headers.items()]
    if scope.authority and not any(name == b"host" for name, _ in pairs):  # HTTP/2
        pairs.append((b"host", scope.authority.encode("latin-1", "replace")))
    return pairs
