"""One candidate opened in several processes: in this one, and in siblings that it started and speaks for.

Batches go to a sibling as a message of a few bytes, as a server would hand them on; timing is done by each process
for itself, all at once.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from steelyard.measure.stopwatch import time_batches
from steelyard.records.subject import Answers, Runner

if TYPE_CHECKING:
    from steelyard.measure.process import Child


def start_siblings(count: int, memory_mb: int, log: Path) -> list[Child]:
    """So many further processes, which die with this one."""
    if not count:
        return []
    from steelyard.measure.process import Child, Limits

    # Whoever started this process watches the time and the memory of them all.
    return [Child(Limits(memory_mb=memory_mb, seconds=math.inf), log, threading.Event()) for _ in range(count)]


class Instances:
    """A Runner whose `serve` takes the number of a worker: worker w is stream w % streams of process w // streams."""

    def __init__(self, runner: Runner, streams: int, siblings: Sequence[Child]) -> None:
        self._runner = runner
        self._streams = streams
        self._siblings = siblings
        # A sibling works on one request at a time; with several streams in each process they take turns.
        self._turns = [threading.Lock() for _ in siblings]

    @property
    def sibling_ids(self) -> list[int]:
        """Process ids of the siblings."""
        return [sibling.pid for sibling in self._siblings]

    def answers(self, start: int, stop: int) -> Answers:
        """By this process: the siblings would answer the same."""
        return self._runner.answers(start, stop)

    def serve(self, worker: int, batch: int) -> None:
        """Serve one batch on one worker; different workers may be asked from different threads at once."""
        process, stream = divmod(worker, self._streams)
        if process == 0:
            self._runner.serve(stream, batch)
            return
        with self._turns[process - 1]:
            self._siblings[process - 1].ask("serve", stream=stream, batch=batch)

    def time(self, batch: int, streams: int, threads: int, seconds: float, most: int) -> dict[str, Any]:
        """Times of all streams of all processes, measured while all are busy; see `stopwatch.time_batches`."""
        if not self._siblings:
            return time_batches(self._runner.serve, batch, streams, threads, seconds, most)
        self._serve_everywhere(batch)  # what the first batch of a size costs must not keep one process back later
        asked = {"batch": batch, "streams": streams, "threads": threads, "seconds": seconds, "most": most}
        for sibling in self._siblings:
            sibling.send("time", **asked)
        replies = [time_batches(self._runner.serve, batch, streams, threads, seconds, most)]
        replies += [sibling.receive("time") for sibling in self._siblings]
        return {kind: [run for reply in replies for run in reply[kind]] for kind in ("clean", "disturbed")}

    def _serve_everywhere(self, batch: int) -> None:
        for sibling in self._siblings:
            sibling.send("serve", stream=0, batch=batch)
        self._runner.serve(0, batch)
        for sibling in self._siblings:
            sibling.receive("serve")

    def close(self) -> None:
        """Hang up on the siblings."""
        for sibling in self._siblings:
            sibling.close()

    def peaks_mb(self) -> float:
        """The most memory that each sibling ever had, together."""
        return math.fsum(sibling.ask("peak_memory_mb") for sibling in self._siblings)
