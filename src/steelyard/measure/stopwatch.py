"""Time batches in the process that serves them, and tell which runs the machine disturbed."""

from __future__ import annotations

import resource
import threading
import time
from collections.abc import Callable
from typing import Any

WARM_UP_SHARE = 0.15
"""Of the time given, spent on runs that do not count."""


def time_batches(
    serve: Callable[[int, int], None], batch: int, streams: int, threads: int, seconds: float, most: int
) -> dict[str, Any]:
    """Run `serve(stream, batch)` on all streams side by side for `seconds`, at most `most` runs a stream.

    Returns the seconds of undisturbed runs in `clean` and those of runs during which the kernel took a core away
    (involuntary context switches) in `disturbed`. At least one run is made however long it takes.
    """
    # With one thread a stream its own counter tells; engines with a pool of threads need the process's.
    who = getattr(resource, "RUSAGE_THREAD", resource.RUSAGE_SELF) if threads == 1 else resource.RUSAGE_SELF
    clean: list[float] = []
    disturbed: list[float] = []
    failures: list[BaseException] = []
    gate = threading.Barrier(streams)

    def run(stream: int) -> None:
        try:
            warm_up(serve, stream, batch, seconds * WARM_UP_SHARE)
            gate.wait()
            stop = time.perf_counter() + seconds * (1 - WARM_UP_SHARE)
            _time_stream(lambda: serve(stream, batch), who, stop, most, clean, disturbed)
        except BaseException as error:
            failures.append(error)
            gate.abort()

    others = [threading.Thread(target=run, args=(stream,)) for stream in range(1, streams)]
    for thread in others:
        thread.start()
    run(0)
    for thread in others:
        thread.join()
    if failures:
        raise next((f for f in failures if not isinstance(f, threading.BrokenBarrierError)), failures[0])
    return {"clean": clean, "disturbed": disturbed}


def warm_up(serve: Callable[[int, int], None], stream: int, batch: int, seconds: float) -> None:
    """Serve without counting until `seconds` have passed, once at least."""
    stop = time.perf_counter() + seconds
    serve(stream, batch)
    while time.perf_counter() < stop:
        serve(stream, batch)


def _time_stream(
    once: Callable[[], None], who: int, stop: float, most: int, clean: list[float], disturbed: list[float]
) -> None:
    switches = resource.getrusage(who).ru_nivcsw
    for _ in range(most):
        start = time.perf_counter()
        once()
        end = time.perf_counter()
        now = resource.getrusage(who).ru_nivcsw
        (clean if now == switches else disturbed).append(end - start)
        switches = now
        if end >= stop:
            break
