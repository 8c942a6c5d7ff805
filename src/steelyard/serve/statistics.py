"""What a served model counts, in the words of the protocol's statistics extension. Safe for threads."""

from __future__ import annotations

import threading
import time
from bisect import bisect_left
from collections.abc import Sequence

from steelyard.records.base import Record

HISTORY = 2048
"""So many of the last latencies are kept, for percentiles that tell of now."""
LATENCY_BOUNDS_S = (
    0.00025, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0,
)  # fmt: skip
"""Of the latency histogram. The same for all models, so that they can be added up."""
SIZE_BOUNDS = (1, 2, 4, 8, 16, 32, 64, 128, 256)
"""Of the histograms of batch sizes."""


class Duration(Record):
    """How often, and how long together."""

    count: int = 0
    ns: int = 0


class Histogram(Record):
    """How values are spread."""

    bounds: tuple[float, ...]
    counts: tuple[int, ...]
    """Values up to each bound and above the one before; the last are above all bounds."""
    total: float
    """All values together."""

    @property
    def count(self) -> int:
        """Number of values."""
        return sum(self.counts)


class Share(Record):
    """What one variant has done."""

    sizes: Histogram
    """Items per batch; its total is the items answered."""
    seconds: float
    """What its batches took together, without the gathering of their items."""


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
    withdrawn: int = 0
    """Their callers went away before they were answered; they count as failed, too, as clients expect it."""
    switches: int = 0
    """Batches that another variant answered than the one before."""
    by_variant: dict[str, int] = {}
    """Items that each variant answered."""
    shares: dict[str, Share] = {}
    """By variant."""
    latency: Histogram = Histogram(bounds=(), counts=(0,), total=0.0)
    """Seconds, of answered requests."""

    @property
    def broken(self) -> int:
        """Requests that failed for no reason of their callers: neither refused nor expired nor withdrawn."""
        return self.fail.count - self.refused - self.expired - self.withdrawn


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


class _Tally:
    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def add(self, value: float) -> None:
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value

    def told(self) -> Histogram:
        return Histogram(bounds=self.bounds, counts=tuple(self.counts), total=self.total)


class _Variant:
    __slots__ = ("seconds", "sizes")

    def __init__(self) -> None:
        self.sizes = _Tally(SIZE_BOUNDS)
        self.seconds = 0.0

    def told(self) -> Share:
        return Share(sizes=self.sizes.told(), seconds=self.seconds)


class Statistics:
    """The counters of one model."""

    def __init__(self, bound_s: float) -> None:
        """`bound_s`: what the plan promises; answers that took longer are counted as late."""
        self.bound_s = bound_s
        self._lock = threading.Lock()
        self._sums = {name: _Sum() for name in ("success", "fail", "queue", "input", "infer", "output")}
        self._items = self._batches = self._late = self._refused = self._expired = 0
        self._withdrawn = self._switches = 0
        self._variants: dict[str, _Variant] = {}
        self._before = ""
        self._latency = _Tally(LATENCY_BOUNDS_S)
        self._last = 0.0
        self._latencies = [0.0] * HISTORY
        self._next = 0

    def batch(self, variant: str, items: int, input_s: float, infer_s: float, output_s: float) -> None:
        """A batch was served."""
        with self._lock:
            self._batches += 1
            self._items += items
            share = self._variants.get(variant)
            if share is None:
                share = self._variants[variant] = _Variant()
            share.sizes.add(items)
            share.seconds += infer_s
            self._switches += variant != self._before and self._before != ""
            self._before = variant
            # What the batch took each of its requests waited for.
            sums = self._sums
            sums["input"].add(input_s * items, items)
            sums["infer"].add(infer_s * items, items)
            sums["output"].add(output_s * items, items)

    def answered(self, queue_s: float, took_s: float) -> None:
        """A request was answered, `took_s` after it came, of which it waited `queue_s`."""
        with self._lock:
            self._sums["success"].add(took_s)
            self._sums["queue"].add(queue_s)
            self._late += took_s > self.bound_s
            self._latency.add(took_s)
            self._latencies[self._next % HISTORY] = took_s
            self._next += 1
            self._last = time.time()

    def failed(self, took_s: float, *, expired: bool = False, withdrawn: bool = False) -> None:
        """A request got no answer."""
        with self._lock:
            self._sums["fail"].add(took_s)
            self._expired += expired
            self._withdrawn += withdrawn

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
                withdrawn=self._withdrawn,
                switches=self._switches,
                by_variant={name: int(each.sizes.total) for name, each in self._variants.items()},
                shares={name: each.told() for name, each in self._variants.items()},
                latency=self._latency.told(),
            )

    def latencies_s(self, since: int = 0) -> Sequence[float]:
        """Of the last requests answered, at most `HISTORY`, without the first `since` ever, in the order of answers."""
        with self._lock:
            first = max(since, self._next - HISTORY)
            return [self._latencies[place % HISTORY] for place in range(first, self._next)]
