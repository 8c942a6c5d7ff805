"""Time batches in the process that serves them, and tell which runs the machine disturbed.

Batches are timed on their way through the dispatcher that serves: what it costs to queue a request, to wake a worker
and to hand over an answer belongs to the time that a worker is occupied, and is not small beside a small model.
"""

from __future__ import annotations

import contextlib
import resource
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from steelyard.errors import Overloaded
from steelyard.scheduling import Choice, Single, profile_of
from steelyard.serve.dispatcher import Dispatcher

WARM_UP_SHARE = 0.15
"""Of the time given, spent on runs that do not count."""


def time_batches(
    serve: Callable[[int, int], None], batch: int, streams: int, threads: int, seconds: float, most: int
) -> dict[str, Any]:
    """Run `serve(stream, batch)` on all streams side by side for `seconds`, at most `most` runs a stream.

    A run lasts from the end of one batch on a stream to the end of the next: its requests are answered and as many
    new ones queued, the next batch is taken and served. There is always another batch waiting.

    Returns the seconds of undisturbed runs in `clean` and those of runs during which the kernel took a core away
    (involuntary context switches) in `disturbed`. Each stream makes at least one run however long it takes. Raises
    what `serve` raises.
    """
    # With one thread a stream its own counter tells; engines with a pool of threads need the process's.
    who = getattr(resource, "RUSAGE_THREAD", resource.RUSAGE_SELF) if threads == 1 else resource.RUSAGE_SELF
    begin = time.perf_counter() + seconds * WARM_UP_SHARE
    timing = Timing(serve, streams, who, begin, begin + seconds * (1 - WARM_UP_SHARE), most)
    equal_times = Single(profile_of([1.0] * batch))  # of which the policy makes full batches
    with Dispatcher(timing.serve, equal_times, streams) as dispatcher:
        for _ in range((streams + 1) * batch):
            dispatcher.put(None, Again(dispatcher, timing))
        timing.done.wait()
        dispatcher.close(drain=False)
    if timing.error is not None:
        raise timing.error
    return {"clean": timing.clean, "disturbed": timing.disturbed}


class Timing:
    """The runs of all streams."""

    def __init__(
        self, serve: Callable[[int, int], None], streams: int, who: int, begin: float, stop: float, most: int
    ) -> None:
        self._serve = serve
        self._who = who
        self._begin, self._stop, self._most = begin, stop, most
        self._runs = [0] * streams
        self._ended: list[tuple[float, int] | None] = [None] * streams
        """Of each stream: when its last batch ended, and its involuntary switches by then."""
        self.clean: list[float] = []
        self.disturbed: list[float] = []
        self.error: BaseException | None = None
        self.done = threading.Event()

    def serve(self, stream: int, choice: Choice, requests: Sequence[None]) -> Sequence[None]:  # noqa: ARG002
        """Serve a batch and note how long the stream was occupied with it."""
        self._serve(stream, len(requests))
        now, switches = time.perf_counter(), resource.getrusage(self._who).ru_nivcsw
        before = self._ended[stream]
        self._ended[stream] = now, switches
        if before is not None and before[0] >= self._begin and self._runs[stream] < self._most:
            (self.clean if switches == before[1] else self.disturbed).append(now - before[0])
            self._runs[stream] += 1
        if all(runs and (now >= self._stop or runs >= self._most) for runs in self._runs):
            self.done.set()
        return requests

    def fail(self, error: BaseException) -> None:
        """End with this error, unless the end had come anyway."""
        if not self.done.is_set():
            self.error = error
            self.done.set()


class Again:
    """A request that is put into the queue again as soon as it was answered. See `steelyard.serve.callers.Caller`."""

    __slots__ = ("_dispatcher", "_timing")

    def __init__(self, dispatcher: Dispatcher[None, None], timing: Timing) -> None:
        self._dispatcher = dispatcher
        self._timing = timing

    def begin(self) -> bool:
        """It is always wanted."""
        return True

    def answer(self, answer: None) -> None:  # noqa: ARG002 - that there is one is all that counts
        """Queue again."""
        if not self._timing.done.is_set():
            with contextlib.suppress(Overloaded):  # closed meanwhile
                self._dispatcher.put(None, self)

    def fail(self, error: BaseException) -> None:
        """Give up."""
        self._timing.fail(error)
