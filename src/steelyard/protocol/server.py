"""The server: models behind HTTP and gRPC, from the first request to the last one when it is told to end."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import uvicorn

from steelyard.protocol.connections import Connections
from steelyard.protocol.http import Http
from steelyard.serve.repository import Repository

log = logging.getLogger(__name__)

DRAIN_S = 30
"""After being told to end, so long for what is under way."""
START_S = 0.01
"""How often it is looked whether uvicorn has started: it tells nobody."""


@dataclass
class Server:
    """Serves until it is told to end, by SIGTERM or SIGINT. SIGHUP opens all bundles anew."""

    repository: Repository
    http: Http
    listening: socket.socket
    on_ready: Callable[[], None] = lambda: None
    """Called once requests are answered and signals are heeded."""
    stop_beside: Callable[[], None] = lambda: None
    """Stops whatever else takes requests, and returns once these are answered. Called, in a thread of its own, at the
    moment from which none are taken over HTTP: all that is under way is answered in the same time."""
    closers: list[Callable[[], None]] = field(default_factory=list)
    """Called once all requests are answered, before the models are let go of."""

    def run(self) -> None:
        """Blocks until the end. The models are loaded already."""
        gc.collect()
        gc.freeze()  # what is there stays: no request should wait until all of it was looked through
        config = uvicorn.Config(
            _unused,
            loop="uvloop",
            http=Connections(self.http),  # type: ignore[arg-type]
            ws="none",
            lifespan="off",
            interface="asgi3",
            log_config=None,
            proxy_headers=False,
            timeout_graceful_shutdown=DRAIN_S,
        )
        stopping = threading.Thread(target=self.stop_beside, name="stopping")
        server = _Uvicorn(config, stopping.start)
        try:
            # uvicorn raises the signal that ended it anew once it is done; by then nothing is left to be done.
            with (
                contextlib.suppress(KeyboardInterrupt),
                _harmless(signal.SIGTERM),
                asyncio.Runner(loop_factory=config.get_loop_factory()) as runner,
            ):
                runner.run(self._until_the_end(server))
        finally:
            if stopping.ident is None:  # it did not come as far as to serve
                stopping.start()
            stopping.join()
            for close in self.closers:
                close()
            self.repository.close()
            log.info("ended")

    async def _until_the_end(self, server: uvicorn.Server) -> None:
        if hasattr(signal, "SIGHUP"):
            asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, self._reload)
        serving = asyncio.create_task(server.serve(sockets=[self.listening]))
        while not (server.started or serving.done()):
            await asyncio.sleep(START_S)
        if server.started:
            self.on_ready()
        await serving

    def _reload(self) -> None:
        threading.Thread(target=self._reload_all, name="reload", daemon=True).start()

    def _reload_all(self) -> None:
        for name in self.repository.names():
            with contextlib.suppress(Exception):  # told in the log by whoever raised it
                self.repository.load(name)


class _Uvicorn(uvicorn.Server):
    """Says when it takes no more requests. uvicorn offers no other way than to derive from its own."""

    def __init__(self, config: uvicorn.Config, on_end: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_end = on_end

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Answers what is under way."""
        self._on_end()
        await super().shutdown(sockets)


async def _unused(_scope: object, _receive: object, _send: object) -> None:
    """uvicorn wants an application, and would call one that takes nothing; these connections ask none."""


@contextlib.contextmanager
def _harmless(number: signal.Signals) -> Iterator[None]:
    """Meanwhile this signal, raised anew, ends nothing."""
    before = signal.signal(number, lambda *_: None)
    try:
        yield
    finally:
        signal.signal(number, before)
