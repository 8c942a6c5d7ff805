"""Servers that speak HTTP by hand, well or badly, on a port of this machine, in a thread of their own."""

from __future__ import annotations

import asyncio
import contextlib
import json
import ssl
import threading
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Asked:
    """One request as it came."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


Answer = Callable[[Asked, asyncio.StreamWriter], Awaitable[None]]
"""Writes what it likes; closes the writer to end the connection."""


@dataclass
class RawServer:
    """A server that runs."""

    answer: Answer
    port: int = 0
    asked: list[Asked] = field(default_factory=list)
    connections: int = 0
    _loop: asyncio.AbstractEventLoop = field(default_factory=asyncio.new_event_loop)
    _writers: list[asyncio.StreamWriter] = field(default_factory=list)
    _server: asyncio.Server | None = None
    _tls: ssl.SSLContext | None = None

    @property
    def url(self) -> str:
        return f"{'https' if self._tls else 'http'}://localhost:{self.port}"

    def start(self, tls: ssl.SSLContext | None) -> None:
        self._tls = tls
        self._server = self._loop.run_until_complete(asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=tls))
        self.port = self._server.sockets[0].getsockname()[1]
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    def call(self, function: Callable[[], object]) -> None:
        """Run something where the server runs."""
        self._loop.call_soon_threadsafe(function)

    def die(self) -> None:
        """Stop listening and break all connections off."""
        done = threading.Event()

        def end() -> None:
            assert self._server is not None
            self._server.close()
            for writer in self._writers:
                writer.transport.abort()
            done.set()

        self.call(end)
        assert done.wait(30)

    def stop(self) -> None:
        self.die()
        self.call(self._loop.stop)
        self._thread.join(30)
        tasks = asyncio.all_tasks(self._loop)
        for task in tasks:
            task.cancel()
        self._loop.run_until_complete(asyncio.wait(tasks) if tasks else asyncio.sleep(0))
        self._loop.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._writers.append(writer)
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            while not writer.is_closing():
                asked = await _read(reader)
                self.asked.append(asked)
                await self.answer(asked, writer)
        writer.close()


async def _read(reader: asyncio.StreamReader) -> Asked:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    method, path, _ = head[0].split(" ")
    headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in head[1:] if line)}
    return Asked(method, path, headers, await reader.readexactly(int(headers.get("content-length", 0))))


@contextlib.contextmanager
def raw_server(answer: Answer, tls: ssl.SSLContext | None = None) -> Iterator[RawServer]:
    """A server that answers each request as told."""
    server = RawServer(answer)
    server.start(tls)
    try:
        yield server
    finally:
        server.stop()


def response(body: bytes = b"{}", status: str = "200 OK", headers: str = "") -> bytes:
    """A plain response."""
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n{headers}\r\n".encode() + body


async def plain(asked: Asked, writer: asyncio.StreamWriter) -> None:
    """Answers everything with 200."""
    writer.write(response())


METADATA = {
    "name": "digits",
    "versions": ["1"],
    "platform": "test",
    "inputs": [{"name": "x", "datatype": "FP32", "shape": [-1, 4]}],
    "outputs": [{"name": "y", "datatype": "FP32", "shape": [-1, 2]}],
}


def model_server(infer: Answer = plain, metadata: dict[str, Any] = METADATA) -> Answer:
    """A server of the Open Inference Protocol with one model, which answers inference as told."""

    async def answer(asked: Asked, writer: asyncio.StreamWriter) -> None:
        if asked.path == f"/v2/models/{metadata['name']}" and asked.method == "GET":
            writer.write(response(json.dumps(metadata).encode()))
        elif asked.path == "/v2/repository/index":
            writer.write(response(json.dumps([{"name": metadata["name"], "state": "READY"}]).encode()))
        elif asked.path == f"/v2/models/{metadata['name']}/infer":
            await infer(asked, writer)
        else:
            writer.write(response(b'{"error": "no such model"}', "404 Not Found"))

    return answer
