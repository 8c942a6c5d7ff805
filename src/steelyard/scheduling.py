"""The policy: how many waiting requests a free worker takes. One for the simulator and the server alike.

A worker never waits for company: batches form by themselves while all workers are busy. Requests are taken
earliest deadline first. All times are seconds on one monotonic clock.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from heapq import heapify, heappop, heappush
from itertools import accumulate, count
from typing import Generic, NamedTuple, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from steelyard.records.base import Record
from steelyard.records.measurement import ServiceTime

Item = TypeVar("Item")
Times = TypeVar("Times", float, npt.NDArray[np.float64])


PLANNED_QUANTILE = 0.9
"""The policy reckons with this quantile of the service times, so that an ordinary slow batch is still in time."""
WORTH_SAVING = 0.4
"""A batch in time must keep this share of the throughput that the full one would have."""


class Profile(Record):
    """How long the policy reckons with: what a batch of 1, 2 … `max_batch` requests takes on one worker."""

    seconds: tuple[float, ...]
    """Never falls: a larger batch takes at least as long."""
    best: tuple[int, ...]
    """Entry b: the size up to b that serves most requests per second (the larger of equals); entry 0 is 0."""

    @property
    def max_batch(self) -> int:
        """The most requests that a worker may take at once."""
        return len(self.seconds)


def profile(service: Sequence[ServiceTime], quantile: float, max_batch: int) -> Profile:
    """The profile that plans with this quantile (0 … 1) of the measured service times."""
    return profile_of([at / 1000 for at in batch_times(service, quantile, max_batch)])


def profile_of(seconds: Sequence[float]) -> Profile:
    """The profile of known times: `seconds[b - 1]` for a batch of b; a time that falls is lifted to its predecessor's.

    Raises ValueError without times, or for one that is not above 0.
    """
    if not seconds or not min(seconds) > 0:
        raise ValueError(f"expected service times above 0 for batches of 1 and more, got {list(seconds)}")
    rising = tuple(accumulate(seconds, max))
    best = [0]
    for size, taken in enumerate(rising, 1):
        before = best[-1]
        best.append(size if not before or size / taken >= before / rising[before - 1] else before)
    return Profile(seconds=rising, best=tuple(best))


def batch_times(service: Sequence[ServiceTime], quantile: float, max_batch: int) -> list[float]:
    """Milliseconds at this quantile (0 … 1) for batches of 1 … `max_batch`, see `between_sizes`.

    Raises ValueError without measurements.
    """
    if not service:
        raise ValueError("no service times: the candidate was not measured")
    measured = sorted(service, key=lambda one: one.batch)
    sizes = [one.batch for one in measured]
    times = list(accumulate((_at(one.quantiles_ms, quantile) for one in measured), max))
    return [between_sizes(sizes, times, size) for size in range(1, max_batch + 1)]


def _at(quantiles: Sequence[float], quantile: float) -> float:
    place = quantile * (len(quantiles) - 1)
    left = min(int(place), len(quantiles) - 1)
    right = min(left + 1, len(quantiles) - 1)
    return quantiles[left] + (place - left) * (quantiles[right] - quantiles[left])


def between_sizes(sizes: Sequence[int], times: Sequence[Times], size: int) -> Times:
    """The time (or array of times) of a batch of `size`, from those measured at the rising `sizes`.

    Between measured sizes times grow linearly; below the smallest they equal its own (the batch is padded);
    above the largest they grow in proportion to the size, as if nothing more were gained.
    """
    after = bisect_right(sizes, size)
    if after == 0:
        return times[0]
    below = times[after - 1]
    if after == len(sizes):
        return below * (size / sizes[-1])
    return below + (times[after] - below) * ((size - sizes[after - 1]) / (sizes[after] - sizes[after - 1]))


def batch_to_dispatch(profile: Profile, waiting: int, slack: float) -> int:
    """How many of the `waiting` requests a worker that is free now takes; 0 only when none waits.

    `slack` is the time until the earliest deadline. The worker takes the largest batch that is still done by then,
    but never one that serves fewer requests per second than a smaller one would. The deadline is given up for the
    batch of most requests per second when nothing can be done in time, and when what can be would keep less than
    `WORTH_SAVING` of that throughput: otherwise a queue that has grown is served in ever smaller batches, to save one
    request at the cost of many, and stays long (the domino effect of earliest deadline first under overload:
    G. Buttazzo, Hard Real-Time Computing Systems, 2011, section 9.1).

    On 320 simulated cases (`benchmarks/bench_policy.py`) giving up raises the capacity by 1.4 % on average and by
    34 % at most, and nowhere lowers it by more than the 1 % to which it is found. At 70 % of the capacity 2.12 % of
    the requests are late instead of 2.17 %, in the worst case 0.17 % more. Giving up sooner, for 0.5 of the throughput
    or for a full queue, gains more here and there and loses up to 14 % elsewhere.
    """
    full = profile.best[min(waiting, len(profile.seconds))]
    in_time = bisect_right(profile.seconds, slack)
    if in_time >= waiting or in_time == 0:
        return full
    kept = profile.best[in_time]
    saved, lost = kept * profile.seconds[full - 1], full * profile.seconds[kept - 1]
    return kept if saved >= WORTH_SAVING * lost else full


ALL = -1
"""As a mask of rungs: any of them."""


class Choice(NamedTuple):
    """What a free worker does: takes so many requests and answers them with this rung."""

    size: int
    rung: int = 0
    """Which of the variants that are ready; of one there is only rung 0."""
    why: str = ""
    """For people; empty: there was nothing to choose."""


class Policy(Protocol):
    """What chooses batches. Called under the lock of the queue: must be quick and never raise."""

    def choose(self, now: float, waiting: int, slack: float, allowed: int = ALL) -> Choice:
        """For a worker that is free while `waiting` requests wait, the earliest of which is due in `slack` seconds.

        `allowed`: bit r tells whether rung r may answer that one.
        """

    def observe(self, rung: int, size: int, seconds: float) -> None:
        """A batch has been served, and took so long. Called by workers, not under the lock."""

    def expected_s(self, choice: Choice) -> float:
        """How long it takes to serve that."""

    def backlog_s(self, waiting: int) -> float:
        """About how long so many requests keep all workers busy, served as fast as can be."""

    def admits(self, now: float, waiting: int) -> float:
        """0: one more request is let in behind those that wait; otherwise the seconds after which to come again."""


class Single:
    """The policy of one variant, whose profile does not change."""

    def __init__(self, plan: Profile, workers: int = 1) -> None:
        """`workers`: batches served side by side."""
        self._plan = plan
        self._workers = workers

    def choose(self, now: float, waiting: int, slack: float, allowed: int = ALL) -> Choice:  # noqa: ARG002
        """See `batch_to_dispatch`."""
        return Choice(batch_to_dispatch(self._plan, waiting, slack))

    def observe(self, rung: int, size: int, seconds: float) -> None:
        """Nothing is learnt."""

    def expected_s(self, choice: Choice) -> float:
        """As the profile says."""
        return self._plan.seconds[max(1, choice.size) - 1]

    def backlog_s(self, waiting: int) -> float:
        """In batches of most requests per second."""
        size = self._plan.best[min(max(1, waiting), self._plan.max_batch)]
        return waiting / size * self._plan.seconds[size - 1] / self._workers

    def admits(self, now: float, waiting: int) -> float:  # noqa: ARG002
        """Everybody is: only the length of the queue is bounded, by whoever keeps it."""
        return 0.0


class Queue(Generic[Item]):
    """Waiting requests, highest priority first, then earliest deadline, then in the order of arrival.

    Not safe for threads.
    """

    def __init__(self) -> None:
        self._heap: list[tuple[int, float, int, Item]] = []
        self._arrived = count()

    def __len__(self) -> int:
        return len(self._heap)

    @property
    def earliest(self) -> float:
        """The deadline of the most urgent request; infinite when nothing waits."""
        return self._heap[0][1] if self._heap else float("inf")

    @property
    def first(self) -> Item:
        """The most urgent request. Raises IndexError when nothing waits."""
        return self._heap[0][3]

    def push(self, item: Item, deadline: float = float("inf"), priority: int = 0) -> None:
        """Add a request; a larger priority goes before any deadline."""
        heappush(self._heap, (-priority, deadline, next(self._arrived), item))

    def pop_batch(self, size: int) -> list[Item]:
        """Take the `size` most urgent requests (fewer when fewer wait), most urgent first."""
        return [heappop(self._heap)[3] for _ in range(min(size, len(self._heap)))]

    def keep(self, wanted: Callable[[Item], bool]) -> None:
        """Take out all requests but those that are wanted."""
        self._heap = [entry for entry in self._heap if wanted(entry[3])]
        heapify(self._heap)
