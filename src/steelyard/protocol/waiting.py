"""Requests that wait for their answer on an event loop, whatever server runs it."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Hashable
from typing import Generic, TypeVar

from steelyard.protocol.aside import Aside
from steelyard.protocol.pending import Pending
from steelyard.protocol.reply import Reply
from steelyard.serve.requests import Answered, Withdrawable

log = logging.getLogger(__name__)

READ_S = 30.0
"""So long a client may take to send a body (twice that where `Reading` watches)."""
LOOK_AFTER_S = 0.02
"""A request that waits longer is watched: its client may leave."""

Item = TypeVar("Item", bound=Hashable)


class Overdue(Generic[Item]):
    """Tells of what is still under way one to two periods after it began; costs next to nothing until then."""

    def __init__(self, loop: asyncio.AbstractEventLoop, period_s: float, tell: Callable[[Item], None]) -> None:
        self._loop = loop
        self._period_s = period_s
        self._tell = tell
        self._young: set[Item] = set()
        self._old: set[Item] = set()
        self._is_ticking = False

    def began(self, item: Item) -> None:
        """It is under way."""
        self._young.add(item)
        if not self._is_ticking:
            self._is_ticking = True
            self._loop.call_later(self._period_s, self._tick)

    def ended(self, item: Item) -> None:
        """It is not any more; said once more it does no harm."""
        self._young.discard(item)
        self._old.discard(item)

    def _tick(self) -> None:
        overdue, self._old, self._young = self._old, self._young, set()
        self._is_ticking = bool(self._old)
        if self._is_ticking:
            self._loop.call_later(self._period_s, self._tick)
        for item in overdue:
            self._tell(item)


class Waiting:
    """One request that waits; see `steelyard.serve.callers.Caller`. All but the caller's methods: on the loop."""

    __slots__ = ("answered", "desk", "error", "future", "is_done", "is_left", "watch", "watching")

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self.answered: Answered | None = None
        self.error: BaseException | None = None
        self.is_done = False
        self.is_left = False
        """The client is gone."""
        self.future: asyncio.Future[None] | None = None
        self.watching: Callable[[], Coroutine[object, object, None]] | None = None
        """Waits until the client is gone."""
        self.watch: asyncio.Task[None] | None = None
        """That, once it is worth it."""

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """Where it waits, and where its request was asked."""
        return self.desk.loop

    async def end(self, under_way: Withdrawable) -> None:
        """Until its answer is there, or the client is gone. Cancelled, it withdraws what still waits."""
        self.future = self.loop.create_future()
        try:
            await self.future
        except asyncio.CancelledError:
            self.is_left = True
            under_way.withdraw()
            raise

    def begin(self) -> bool:
        """Whether somebody still waits."""
        return not self.is_left

    def answer(self, answer: Answered) -> None:
        """Hand it over."""
        self.answered = answer
        self.desk.bring(self)

    def fail(self, error: BaseException) -> None:
        """Tell of the failure."""
        self.error = error
        self.desk.bring(self)

    def wake(self) -> None:
        """The answer is there, or the client is gone."""
        self.is_done = True
        if self.future is not None and not self.future.done():
            self.future.set_result(None)


class Desk:
    """Where all requests of one event loop wait. Made on that loop."""

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.aside = Aside()
        """Where what takes long is done."""
        self._thread = threading.get_ident()
        self._ready: deque[Waiting] = deque()
        self._is_called = False
        """The loop will look at what is ready."""
        self._overdue: Overdue[Waiting] = Overdue(self.loop, LOOK_AFTER_S, self._start_to_watch)

    async def answered(self, pending: Pending, gone: Callable[[], Awaitable[object]]) -> Reply | None:
        """The reply; None: the client left, which `gone` waits for. What still waits is withdrawn then."""
        waiting = Waiting(self)
        try:
            under_way = pending.start(waiting)
            if not waiting.is_done:
                await self._wait(waiting, under_way, gone)
            if waiting.is_left:
                return None
            if waiting.answered is None:
                return pending.failed(waiting.error or RuntimeError("neither an answer nor an error"))
            answered = waiting.answered
            if pending.is_large(answered):
                return await self.aside.run(lambda: pending.reply(answered))
            return pending.reply(answered)
        except Exception as error:
            return pending.failed(error)

    async def _wait(self, waiting: Waiting, under_way: Withdrawable, gone: Callable[[], Awaitable[object]]) -> None:
        waiting.watching = lambda: _watch(waiting, under_way, gone)
        self._overdue.began(waiting)
        try:
            await waiting.end(under_way)
        finally:
            self._overdue.ended(waiting)
            if waiting.watch is not None:
                waiting.watch.cancel()

    def bring(self, waiting: Waiting) -> None:
        """Its answer is there; from any thread. Those of a batch come to the loop in one step."""
        if threading.get_ident() == self._thread:
            waiting.wake()
            return
        self._ready.append(waiting)
        if not self._is_called:  # set back before what is ready is looked at: nothing is overlooked
            self._is_called = True
            self.loop.call_soon_threadsafe(self._deliver)

    def _deliver(self) -> None:
        self._is_called = False
        while self._ready:
            self._ready.popleft().wake()

    def _start_to_watch(self, waiting: Waiting) -> None:
        if waiting.watching is not None:
            waiting.watch = self.loop.create_task(waiting.watching())


async def _watch(waiting: Waiting, under_way: Withdrawable, gone: Callable[[], Awaitable[object]]) -> None:
    await gone()
    if not waiting.is_done:
        waiting.is_left = True
        under_way.withdraw()
        waiting.wake()


class Reading:
    """Ends requests whose body drips in too slowly. Made on the event loop."""

    def __init__(self, most_s: float) -> None:
        """A body may take `most_s` to twice that."""
        self._overdue: Overdue[asyncio.Task[object]] = Overdue(asyncio.get_running_loop(), most_s, self._end)
        self._ended: set[asyncio.Task[object]] = set()

    async def read(self, body: Awaitable[bytes]) -> bytes:
        """What `body` awaits. Raises TimeoutError when that takes too long."""
        task = asyncio.current_task()
        if task is None:
            return await body
        self._overdue.began(task)
        try:
            return await body
        except asyncio.CancelledError:
            if task not in self._ended:
                raise
            task.uncancel()
            raise TimeoutError from None
        finally:
            self._overdue.ended(task)
            self._ended.discard(task)

    def _end(self, task: asyncio.Task[object]) -> None:
        self._ended.add(task)
        task.cancel()
