"""The HTTP side inside somebody else's server: an ASGI application whose models are open while its lifespan lasts."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, Protocol

from steelyard.errors import SteelyardError, UsageError
from steelyard.protocol.asgi import Application, Receive, Send
from steelyard.protocol.http import Http
from steelyard.protocol.reply import HttpFailure, failure

log = logging.getLogger(__name__)


class Opened(Protocol):
    """Models that answer, and the HTTP side in front of them."""

    @property
    def http(self) -> Http:
        """What answers."""

    def close(self) -> None:
        """Answer what waits, then let go of the models."""


class Embedded:
    """An ASGI application. Run by itself it opens and closes its models with the server's lifespan.

    Applications that mount others do not hand their lifespan on. Give them `lifespan`, or enter it in their own:

        models = steelyard.asgi("plan")
        app = FastAPI(lifespan=models.lifespan)
        app.mount("/models", models)
    """

    def __init__(self, opener: Callable[[], Opened]) -> None:
        """`opener` may take long; it is called in another thread."""
        self._opener = opener
        self._application: Application | None = None

    @asynccontextmanager
    async def lifespan(self, _: object = None) -> AsyncIterator[None]:
        """Meanwhile the models are open; at the end what waits is answered first.

        Raises BundleError or UsageError for bundles that cannot be served, UsageError when they are open already.
        """
        if self._application is not None:
            raise UsageError("the models of this application are open already", "let one lifespan open them, not two")
        opened = await asyncio.to_thread(self._opener)
        self._application = Application(opened.http)
        try:
            yield
        finally:
            self._application = None
            await asyncio.to_thread(opened.close)

    async def __call__(self, scope: Mapping[str, Any], receive: Receive, send: Send) -> None:
        """One request, or the whole lifespan."""
        if scope["type"] == "lifespan":
            await self._live(receive, send)
        elif self._application is not None:
            await self._application(scope, receive, send)
        elif scope["type"] == "http":
            await _refuse(send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1001})

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        async with AsyncExitStack() as open_models:
            try:
                await open_models.enter_async_context(self.lifespan())
            except Exception as error:
                await send({"type": "lifespan.startup.failed", "message": _told(error)})
                return
            await send({"type": "lifespan.startup.complete"})
            await receive()
        await send({"type": "lifespan.shutdown.complete"})


def _told(error: Exception) -> str:
    if isinstance(error, SteelyardError):
        return str(error)
    log.error("the models could not be opened", exc_info=error)
    return f"the models could not be opened: {type(error).__name__}: {error}"


async def _refuse(send: Send) -> None:
    hint = "whoever mounts this application opens them: lifespan=models.lifespan"
    reply = failure(HttpFailure(503, "the models are not open", hint, ((b"retry-after", b"1"),)))
    await send({"type": "http.response.start", "status": reply.status, "headers": reply.headers})
    await send({"type": "http.response.body", "body": reply.body})
