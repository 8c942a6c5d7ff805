"""Many connections to one server, each with at most one request under way, opened anew when they are lost.

No HTTP library stands between the socket and the clock: it would be the bottleneck, and its queue would hide delays.
"""

from __future__ import annotations

import asyncio
import errno
import ssl
from collections.abc import Awaitable, Callable
from typing import Any, Protocol, TypeVar, cast

from steelyard.errors import InputError
from steelyard.load.responses import KEPT, Reader, Response, ResponseError
from steelyard.load.target import Target

T = TypeVar("T")

IDLE = -1
"""In place of a request's number: none is under way."""
CONNECT_S = 10.0
_OTHER_TLS = "is it a gRPC port, or does it speak TLS (https://)?"
SHORTEST_WAIT_S, LONGEST_WAIT_S = 0.02, 1.0
"""Between attempts to connect, when the last connection brought nothing."""


class User(Protocol):
    """Whoever uses the connections."""

    def ready(self, connection: Connection) -> None:
        """It is open and free."""

    def answered(self, number: int, response: Response) -> None:
        """A request is answered; `ready` follows where the connection is kept."""

    def failed(self, number: int, kind: str, why: str) -> None:
        """A request will not be answered: `lost` or `malformed`."""

    def lost(self, connection: Connection) -> None:
        """It must not be used any more."""

    def unreachable(self, why: str) -> None:
        """No connection is open, and none could be opened just now."""


class Connection(asyncio.Protocol):
    """One connection."""

    def __init__(self, user: User, keep: int = KEPT) -> None:
        self._user = user
        self._reader = Reader(keep)
        self._transport: asyncio.WriteTransport
        self._number = IDLE
        self._malformed = ""
        self.useful = False
        """It has brought an answer."""
        self.gone: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """It is open."""
        self._transport = cast("asyncio.WriteTransport", transport)
        self._user.ready(self)

    @property
    def usable(self) -> bool:
        """Nobody has begun to close it."""
        return not self._transport.is_closing()

    def send(self, number: int, request: bytes) -> None:
        """Write one request; the number comes back with the answer."""
        self._number = number
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        """A piece of an answer."""
        if self._number == IDLE:
            self.abort()  # nothing was asked
            return
        try:
            response = self._reader.feed(data)
        except ResponseError as error:
            self._malformed = str(error)
            self.abort()
            return
        if response is not None:
            self._answer(response)

    def _answer(self, response: Response) -> None:
        number, self._number, self.useful = self._number, IDLE, True
        self._user.answered(number, response)
        if response.head.keep:
            self._user.ready(self)
        else:
            self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """It has ended, by whomever."""
        self._user.lost(self)
        if self._number != IDLE:
            self._end(exc)
        if not self.gone.done():
            self.gone.set_result(None)

    def _end(self, exc: Exception | None) -> None:
        response = None if exc or self._malformed else self._reader.end()
        if response is not None:
            self._answer(response)
            return
        number, self._number = self._number, IDLE
        where = "in the middle of an answer" if self._reader.begun else "before an answer"
        why = self._malformed or f"the connection was closed {where}" + (f": {exc}" if exc else "")
        self._user.failed(number, "malformed" if self._malformed else "lost", why)

    def abort(self) -> None:
        """End it at once."""
        self._transport.abort()


class Pool:
    """A fixed number of connections."""

    def __init__(self, target: Target, count: int, user: User) -> None:
        self._target, self._count, self._user = target, count, user
        self._tls = target.tls()
        self._tasks: list[asyncio.Task[None]] = []
        self._open: set[Connection] = set()
        self.opened = 0
        """How often one was opened."""

    async def open(self) -> None:
        """Open all that can be opened. Raises `InputError` when none can."""
        tried: list[asyncio.Future[Exception | None]] = []
        for _ in range(self._count):
            first: asyncio.Future[Exception | None] = asyncio.get_running_loop().create_future()
            tried.append(first)
            self._tasks.append(asyncio.create_task(self._keep_open(first)))
        outcomes = await asyncio.gather(*tried)
        errors = [outcome for outcome in outcomes if outcome is not None]
        if len(errors) == self._count:
            await self.close()
            raise unreachable(self._target, errors[0])

    async def _keep_open(self, first: asyncio.Future[Exception | None]) -> None:
        wait = 0.0
        while True:
            outcome = None
            try:
                connection = await _connect(self._target, self._tls, self._user)
            except OSError as error:
                outcome = error
                if not self._open:
                    self._user.unreachable(told(error))
            if not first.done():
                first.set_result(outcome)
            if outcome is None:
                wait = await self._while_open(connection, wait)
            else:
                wait = _longer(wait)
            await asyncio.sleep(wait)

    async def _while_open(self, connection: Connection, wait: float) -> float:
        """Wait for its end; how long to wait then."""
        self.opened += 1
        self._open.add(connection)
        try:
            await connection.gone
        finally:
            self._open.discard(connection)
        return 0.0 if connection.useful else _longer(wait)

    async def close(self) -> None:
        """End all connections."""
        for task in self._tasks:
            task.cancel()
        for connection in tuple(self._open):
            connection.abort()
        await asyncio.gather(*self._tasks, return_exceptions=True)


def _longer(wait: float) -> float:
    return min(max(2 * wait, SHORTEST_WAIT_S), LONGEST_WAIT_S)


async def _connect(target: Target, tls: ssl.SSLContext | None, user: User, keep: int = KEPT) -> Connection:
    """Open one connection. Raises `OSError`, which timeouts and TLS's errors are as well."""
    loop = asyncio.get_running_loop()
    opening = loop.create_connection(lambda: Connection(user, keep), target.host, target.port, ssl=tls)
    try:
        _, connection = await asyncio.wait_for(opening, CONNECT_S)
    except UnicodeError:
        raise OSError("no host can have this name") from None
    return connection


class _Once:
    """Waits for one answer."""

    def __init__(self) -> None:
        self.answer: asyncio.Future[Response] = asyncio.get_running_loop().create_future()

    def ready(self, connection: Connection) -> None: ...

    def lost(self, connection: Connection) -> None: ...

    def unreachable(self, why: str) -> None: ...

    def answered(self, number: int, response: Response) -> None:  # noqa: ARG002
        if not self.answer.done():
            self.answer.set_result(response)

    def failed(self, number: int, kind: str, why: str) -> None:  # noqa: ARG002
        if not self.answer.done():
            self.answer.set_exception(ConnectionError(why))


async def ask(target: Target, request: bytes, keep: int, seconds: float) -> Response:
    """The answer to one request on a connection of its own, with up to `keep` bytes of its body.

    Raises `InputError` when the server cannot be reached or gives no answer in time.
    """
    user = _Once()
    try:
        connection = await _connect(target, target.tls(), user, keep)
    except OSError as error:
        raise unreachable(target, error) from None
    try:
        connection.send(0, request)
        return await asyncio.wait_for(user.answer, seconds)
    except TimeoutError:
        raise InputError(f"{target.url} was asked one thing and did not answer in {seconds:g} s") from None
    except ConnectionError as error:
        raise InputError(f"{target.url} does not answer as an HTTP server does: {error}", _OTHER_TLS) from None
    finally:
        connection.abort()


def unreachable(target: Target, error: Exception) -> InputError:
    """What to tell when no connection can be opened."""
    hint = "is the server running there? Check the address and the port"
    if isinstance(error, ssl.SSLCertVerificationError):
        hint = "if you trust its certificate, or whoever signed it, name the PEM file with --ca"
    elif target.secure and isinstance(error, ssl.SSLError | TimeoutError | ConnectionResetError):
        hint = "does the server speak TLS there? Try http://"
    return InputError(f"{target.url} cannot be reached: {told(error)}", hint)


def told(error: Exception) -> str:
    """Why a connection could not be opened, in one line."""
    if isinstance(error, TimeoutError) and not str(error):
        return f"no answer in {CONNECT_S:g} s"
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate was not accepted ({error.verify_message})"
    if isinstance(error, ConnectionRefusedError) or f"[Errno {errno.ECONNREFUSED}]" in str(error):
        return "the connection was refused"
    return str(error) or type(error).__name__


def run_on_loop(work: Callable[[], Awaitable[T]]) -> T:
    """Run a coroutine on the fastest event loop that is installed."""
    factory, _ = fastest_loop()
    with asyncio.Runner(loop_factory=factory) as runner:
        return runner.run(_awaited(work))


async def _awaited(work: Callable[[], Awaitable[T]]) -> T:
    return await work()


def fastest_loop() -> tuple[Callable[[], asyncio.AbstractEventLoop] | None, str]:
    """uvloop's where it is installed, Python's own elsewhere; and its name."""
    try:
        import uvloop
    except ImportError:
        return None, "asyncio"
    factory: Any = uvloop.new_event_loop
    return factory, "uvloop"
