"""What a served model counts, in the words of the protocol's statistics extension. Safe for threads."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence

from steelyard.records.base import Record

HISTORY = 2048
"""So many of the last latencies are kept, for percentiles that tell of now."""


class Duration(Record):
    """How often, and how long together."""

    count: int = 0
    ns: int = 0


class Snapshot(Record):
    """All counters at one moment. Durations are of requests, not of items."""

    inference_count: int
    """Items."""
    execution_count: int
    """Batches."""
    last_inference_ms: int
    """Unix time; 0: never."""
    success: Duration
    fail: Duration
    queue: Duration
    compute_input: Duration
    compute_infer: Duration
    compute_output: Duration
    cache_hit: Duration = Duration()
    cache_miss: Duration = Duration()
    """There is no cache; clients want the figures all the same."""
    late: int = 0
    """Answered requests that took longer than the promised bound."""
    refused: int = 0
    """Not admitted: the queue was full."""
    expired: int = 0
    by_variant: dict[str, int] = {}
    """Items that each variant answered."""


class _Sum:
    __slots__ = ("count", "seconds")

    def __init__(self) -> None:
        self.count = 0
        self.seconds = 0.0

    def add(self, seconds: float, count: int = 1) -> None:
        self.count += count
        self.seconds += seconds

    def told(self) -> Duration:
        return Duration(count=self.count, ns=int(self.seconds * 1e9))


class Statistics:
    """The counters of one model."""

    def __init__(self, bound_s: float) -> None:
        """`bound_s`: what the plan promises; answers that took longer are counted as late."""
        self.bound_s = bound_s
        self._lock = threading.Lock()
        self._sums = {name: _Sum() for name in ("success", "fail", "queue", "input", "infer", "output")}
        self._items = self._batches = self._late = self._refused = self._expired = 0
        self._by_variant: dict[str, int] = {}
        self._last = 0.0
        self._latencies = [0.0] * HISTORY
        self._next = 0

    def batch(self, variant: str, items: int, input_s: float, infer_s: float, output_s: float) -> None:
        """A batch was served."""
        with self._lock:
            self._batches += 1
            self._items += items
            self._by_variant[variant] = self._by_variant.get(variant, 0) + items
            # What the batch took each of its requests waited for.
            for name, seconds in (("input", input_s), ("infer", infer_s), ("output", output_s)):
                self._sums[name].add(seconds * items, items)

    def answered(self, queue_s: float, took_s: float) -> None:
        """A request was answered, `took_s` after it came, of which it waited `queue_s`."""
        with self._lock:
            self._sums["success"].add(took_s)
            self._sums["queue"].add(queue_s)
            self._late += took_s > self.bound_s
            self._latencies[self._next % HISTORY] = took_s
            self._next += 1
            self._last = time.time()

    def failed(self, took_s: float, *, expired: bool = False) -> None:
        """A request got no answer."""
        with self._lock:
            self._sums["fail"].add(took_s)
            self._expired += expired

    def refused(self) -> None:
        """A request was not let in."""
        with self._lock:
            self._sums["fail"].add(0.0)
            self._refused += 1

    def snapshot(self) -> Snapshot:
        """All counters."""
        with self._lock:
            sums = {name: each.told() for name, each in self._sums.items()}
            return Snapshot(
                inference_count=self._items,
                execution_count=self._batches,
                last_inference_ms=int(self._last * 1000),
                success=sums["success"],
                fail=sums["fail"],
                queue=sums["queue"],
                compute_input=sums["input"],
                compute_infer=sums["infer"],
                compute_output=sums["output"],
                late=self._late,
                refused=self._refused,
                expired=self._expired,
                by_variant=dict(self._by_variant),
            )

    def latencies_s(self) -> Sequence[float]:
        """Of the last requests answered, at most `HISTORY`, in no order."""
        with self._lock:
            return self._latencies[: min(self._next, HISTORY)]
