"""The server: models behind HTTP and gRPC, from the first request to the last one when it is told to end."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import uvicorn

from steelyard.errors import SteelyardError
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
    closers: list[Callable[[], None]] = field(default_factory=list)
    """Called once no more requests come over HTTP, before the models are let go of."""

    def run(self) -> None:
        """Blocks until the end. The models are loaded already."""
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
        server = uvicorn.Server(config)
        try:
            # uvicorn raises the signal that ended it anew once it is done; by then nothing is left to be done.
            with (
                contextlib.suppress(KeyboardInterrupt),
                _harmless(signal.SIGTERM),
                asyncio.Runner(loop_factory=config.get_loop_factory()) as runner,
            ):
                runner.run(self._until_the_end(server))
        finally:
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
            with contextlib.suppress(SteelyardError):  # told in the log by whoever raised it
                self.repository.load(name)


async def _unused(*_: object) -> None:
    """uvicorn wants an application; these connections ask none."""


@contextlib.contextmanager
def _harmless(number: signal.Signals) -> Iterator[None]:
    """Meanwhile this signal, raised anew, ends nothing."""
    before = signal.signal(number, lambda *_: None)
    try:
        yield
    finally:
        signal.signal(number, before)
