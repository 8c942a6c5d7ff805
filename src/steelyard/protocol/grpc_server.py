"""The gRPC side of the server: who may call, what is bounded, and how it begins and ends."""

from __future__ import annotations

import asyncio
import hmac
import socket
import threading
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import Future
from typing import Any

import grpc
import grpc.aio

from steelyard.errors import UsageError
from steelyard.protocol import grpc_health, grpc_unlisted
from steelyard.protocol.grpc_failures import NO_TOKEN
from steelyard.protocol.grpc_health import Health
from steelyard.protocol.grpc_service import SERVICE, Context, Method, Service, refuse
from steelyard.protocol.guards import MOST_BODY
from steelyard.protocol.offered import Ask, Models

MOST_CALLS = 4096
MOST_CONNECTIONS = 4096
HANDSHAKE_MS = 10_000
"""So long a client may take to begin speaking gRPC."""
PING_MS = 60_000
"""After so long without a word the server asks whether a client is still there."""
PING_ANSWER_MS = 20_000
LEAST_PING_MS = 5_000
"""Clients may ask as often; more often is taken for an attack."""
OPEN_METHODS = frozenset(
    {
        f"/{SERVICE}/ServerLive",
        f"/{SERVICE}/ServerReady",
        f"/{grpc_health.SERVICE}/Check",
        f"/{grpc_health.SERVICE}/Watch",
    }
)
"""What whoever watches a server calls; tells nothing but yes or no. Those of `grpc_health` look at the name first."""
AUTHORIZATION = "authorization"


class Door(grpc.aio.ServerInterceptor):  # type: ignore[misc]
    """Every call comes in here: without the token it is refused before its message is read."""

    def __init__(self, token: str) -> None:
        self._token = token.encode()

    async def intercept_service(self, continuation: Callable[[Any], Awaitable[Any]], handler_call_details: Any) -> Any:
        """What answers the call."""
        is_open = handler_call_details.method in OPEN_METHODS
        if is_open or self.admits(handler_call_details.invocation_metadata):
            return await continuation(handler_call_details)
        return REFUSAL

    def admits(self, metadata: Sequence[tuple[str, str | bytes]]) -> bool:
        """Whether the token is among it."""
        came = [value for name, value in metadata if name == AUTHORIZATION]
        if len(came) != 1:
            return False
        value = came[0].encode() if isinstance(came[0], str) else came[0]
        scheme, _, given = value.strip().partition(b" ")
        return hmac.compare_digest(given.strip(), self._token) and scheme.lower() == b"bearer"


def _handler(method: Method) -> Any:
    return method.kind(method.handler, response_serializer=_serialized)


def _serialized(response: Any) -> bytes:
    """Inferences did it themselves: it may take long."""
    raw: bytes = response if isinstance(response, bytes) else response.SerializeToString()
    return raw


async def _refuse(_: object, context: Context) -> None:
    await refuse(context, NO_TOKEN)


REFUSAL = grpc.stream_stream_rpc_method_handler(_refuse)


class GrpcServer:
    """Answers gRPC on one address: in a thread of its own (`start`, `stop`), or on the event loop of whoever embeds it
    (`open`, `close`)."""

    def __init__(
        self,
        models: Models,
        token: str | None,
        address: str = "127.0.0.1:8001",
        max_message: int = MOST_BODY,
        ask: Ask | None = None,
    ) -> None:
        """`address`: `HOST:PORT`, port 0: any that is free. `max_message`: bytes that a request may have.

        `ask` hands inferences to their models, for whoever looks on.
        """
        self._models = models
        self._token = token
        self._address = address
        self._max_message = max_message
        self._ask = ask
        self._server: Any = None
        self._health: Health | None = None
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ending: asyncio.Event | None = None
        self._grace_s: float | None = None

    # --- on a given loop ----------------------------------------------------------------------------------------------

    async def open(self) -> int:
        """Listen on the running loop; the port. Raises UsageError when the address is in use, or not this machine's."""
        door = None if self._token is None else Door(self._token)
        doors = () if door is None else (door,)
        server = grpc_unlisted.server(self._options(), interceptors=doors, maximum_concurrent_rpcs=MOST_CALLS)
        service = Service(self._models, self._max_message, self._ask)
        health = Health(self._models, door and door.admits)
        for name, methods in ((SERVICE, service.methods()), (grpc_health.SERVICE, health.methods())):
            server.add_registered_method_handlers(name, {method: _handler(each) for method, each in methods.items()})
        try:
            port = int(server.add_insecure_port(self._address))
        except RuntimeError as error:
            raise self._cannot() from error
        await server.start()
        self._server, self._health = server, health
        return port

    async def close(self, grace_s: float | None = None) -> None:
        """Take no more calls; those under way have `grace_s` to be answered (None: they are broken off)."""
        if self._health is not None:
            self._health.end()
        if self._server is not None:
            await self._server.stop(grace_s)

    def _options(self) -> tuple[tuple[str, int], ...]:
        return (
            ("grpc.max_receive_message_length", self._max_message),
            ("grpc.max_send_message_length", -1),
            ("grpc.per_message_decompression", 0),  # it knows no bound: see grpc_messages.py
            ("grpc.max_allowed_incoming_connections", MOST_CONNECTIONS),
            ("grpc.server_handshake_timeout_ms", HANDSHAKE_MS),
            ("grpc.so_reuseport", 0),  # otherwise two servers share one port, and neither says so
            ("grpc.keepalive_time_ms", PING_MS),
            ("grpc.keepalive_timeout_ms", PING_ANSWER_MS),
            ("grpc.keepalive_permit_without_calls", 1),
            ("grpc.http2.min_ping_interval_without_data_ms", LEAST_PING_MS),
        )

    def _cannot(self) -> UsageError:
        host, _, port = self._address.rpartition(":")
        told = f"cannot listen for gRPC on {host}, port {port}"
        try:
            family = socket.AF_INET6 if ":" in host else socket.AF_INET
            socket.create_server((host.strip("[]"), int(port)), family=family).close()
        except (OSError, OverflowError, ValueError) as error:
            told = f"{told}: {getattr(error, 'strerror', None) or error}"
        return UsageError(told, "choose another with --grpc-port, or end what listens there")

    # --- in a thread of its own ---------------------------------------------------------------------------------------

    def start(self) -> int:
        """See `open`."""
        opened: Future[int] = Future()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve(opened)), name="grpc", daemon=True)
        self._thread.start()
        return opened.result()

    def stop(self, grace_s: float | None = None) -> None:
        """See `close`; returns once no call is under way any more. Stopped once more, it does nothing."""
        thread, self._thread = self._thread, None
        if thread is None or self._loop is None or self._ending is None:
            return
        self._grace_s = grace_s
        self._loop.call_soon_threadsafe(self._ending.set)
        thread.join()

    async def _serve(self, opened: Future[int]) -> None:
        self._loop, self._ending = asyncio.get_running_loop(), asyncio.Event()
        try:
            port = await self.open()
        except BaseException as error:
            opened.set_exception(error)
            return
        opened.set_result(port)
        await self._ending.wait()
        await self.close(self._grace_s)
