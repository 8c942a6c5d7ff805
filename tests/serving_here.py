"""A server in a thread of this process, on a port that was free."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn

from steelyard.protocol.asgi import Application
from steelyard.protocol.connections import Connections
from steelyard.protocol.http import Http

PATIENCE_S = 20


@contextmanager
def serving_here(http: Http, asgi: bool = False, **more: Any) -> Iterator[int]:
    """The port. `asgi`: as an application on uvicorn's own connections, as whoever embeds it may run it.

    `more`: see `Connections`.
    """
    opened = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(
        Application(http, more.get("read_s", 30.0)),
        http="httptools" if asgi else Connections(http, **more),  # type: ignore[arg-type]
        loop="uvloop",
        ws="none",
        lifespan="on",
        access_log=False,
        log_config=None,
        timeout_graceful_shutdown=PATIENCE_S,
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, args=([opened],), daemon=True)
    thread.start()
    try:
        yield opened.getsockname()[1]
    finally:
        server.should_exit = True
        thread.join(PATIENCE_S)
        opened.close()
        assert not thread.is_alive()


@contextmanager
def run_by_uvicorn(application: Any) -> Iterator[uvicorn.Server]:
    """As `uvicorn app:models` runs it: the lifespan only if the application has one."""
    server = uvicorn.Server(uvicorn.Config(application, host="127.0.0.1", port=0, log_config=None))

    def run() -> None:
        with contextlib.suppress(SystemExit):  # its way to say that the application did not start
            server.run()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    end = time.monotonic() + PATIENCE_S
    while not server.started and thread.is_alive():
        assert time.monotonic() < end
        time.sleep(0.005)
    try:
        yield server
    finally:
        server.should_exit = True
        thread.join(PATIENCE_S)
        assert not thread.is_alive()


class Connection:
    """A client's connection that is kept."""

    def __init__(self, port: int) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
        """Status and body."""
        self.send(method, path, body, **headers)
        return self.answer()

    def send(self, method: str, path: str, body: Any = None, **headers: str) -> None:
        """A request whose answer is not waited for."""
        raw = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        self._connection.request(method, path, raw, {name.replace("_", "-"): value for name, value in headers.items()})

    def answer(self) -> tuple[int, Any]:
        """Of a request that was sent."""
        reply = self._connection.getresponse()
        read = reply.read()
        return reply.status, json.loads(read) if read else None

    def close(self) -> None:
        self._connection.close()


@contextmanager
def asked_meanwhile(port: int, clients: int, ask: Callable[[Connection, int], None]) -> Iterator[None]:
    """So many clients ask over and over, each on a connection of its own; `ask` is given that and their number."""
    stop = threading.Event()

    def keep_asking(number: int) -> None:
        connection = Connection(port)
        while not stop.is_set():
            ask(connection, number)
        connection.close()

    askers = [threading.Thread(target=keep_asking, args=(number,)) for number in range(clients)]
    for asker in askers:
        asker.start()
    try:
        yield
    finally:
        stop.set()
        for asker in askers:
            asker.join(3 * PATIENCE_S)
            assert not asker.is_alive()


def raw_connection(port: int) -> socket.socket:
    """A connection on which anything can be sent."""
    return socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S)


def everything(connection: socket.socket) -> bytes:
    """What comes until the server hangs up."""
    parts = []
    while part := connection.recv(65536):
        parts.append(part)
    return b"".join(parts)
