"""Sends requests at their scheduled times, whatever became of earlier ones, and takes as little time as it can.

While a worker is idle, a request must reach it at once: a thread of its own sleeps until the next one is due. While
all workers are busy nobody could take a request, so it is enough that those which are due lie in the queue when a
worker has finished: the worker sends them itself before it looks. A thread that woke for each of them would take more
time from the workers than the requests of a small model do, more so on virtual machines, where a timer is dear.
"""

from __future__ import annotations

import contextlib
import ctypes
import math
import sys
import threading
import time
from collections.abc import Iterator, Sequence

from steelyard.errors import Overloaded
from steelyard.serve.dispatcher import Dispatcher

PR_SET_TIMERSLACK = 29
BACKSTOP_S = 0.1
"""While all workers are busy, the thread looks this often whether it is needed."""


class Sent:
    """One request whose answer is timed. See `steelyard.serve.callers.Caller`. Times of `time.monotonic()`."""

    __slots__ = ("answered", "error", "sent")

    def __init__(self) -> None:
        self.sent = math.nan
        """When it was sent, or due where all workers were busy in between."""
        self.answered = math.nan
        self.error: BaseException | None = None

    def begin(self) -> bool:
        """It is still wanted."""
        return True

    def answer(self, answer: None) -> None:  # noqa: ARG002 - that there is one is all that counts
        """Stop the clock."""
        self.answered = time.monotonic()

    def fail(self, error: BaseException) -> None:
        """Stop the clock as well."""
        self.answered = time.monotonic()
        self.error = error


class Generator:
    """Sends the requests of a schedule. `due` rises; each is to be answered `bound_s` after it was due."""

    def __init__(self, requests: Sequence[Sent], due: Sequence[float], bound_s: float) -> None:
        self._requests = requests
        self._due = due
        self._bound_s = bound_s
        self._next = 0
        self._turn = threading.Lock()
        self._needed = threading.Lock()
        """Held, unless a worker is about to fall idle."""
        self._needed.acquire()
        self.gave_up = False
        """The queue was full: so much work waits that no more was sent."""
        self.used_s = 0.0
        """Processor time of the thread."""

    def run(self, dispatcher: Dispatcher[None, None]) -> None:
        """Send until all are sent, or the queue is full."""
        began = time.thread_time()
        with precise_sleep():
            awaited = True
            while self._next < len(self._due):
                idle = awaited or dispatcher.idle > 0
                wait = self._due[self._next] - time.monotonic() if idle else BACKSTOP_S
                awaited = wait > 0 and self._needed.acquire(timeout=wait)
                self.send_due(dispatcher)
        self.used_s = time.thread_time() - began

    def send_due(self, dispatcher: Dispatcher[None, None]) -> None:
        """Send those that are due, unless another thread is at it."""
        if not self._turn.acquire(blocking=False):
            return
        try:
            now, idle, at = time.monotonic(), dispatcher.idle > 0, self._next
            while at < len(self._due) and self._due[at] <= now:
                request, due = self._requests[at], self._due[at]
                dispatcher.put(None, request, due + self._bound_s)
                request.sent = now if idle else due
                at += 1
        except Overloaded:
            self.gave_up, at = True, len(self._due)
        finally:
            self._next = at
            self._turn.release()

    def worker_done(self, dispatcher: Dispatcher[None, None]) -> None:
        """Called by each worker when it has served a batch."""
        self.send_due(dispatcher)
        if dispatcher.waiting == 0 and self._needed.locked():
            with contextlib.suppress(RuntimeError):  # another worker was faster
                self._needed.release()


@contextlib.contextmanager
def precise_sleep() -> Iterator[None]:
    """Let this thread's sleeps end within some microseconds (Linux rounds them by 50 otherwise)."""
    if sys.platform != "linux":
        yield
        return
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    prctl(PR_SET_TIMERSLACK, 1)
    try:
        yield
    finally:
        prctl(PR_SET_TIMERSLACK, 0)  # the default again
