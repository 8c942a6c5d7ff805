"""How many requests per second a replica serves in time: arrivals and service times through the policy, simulated.

The policy is the server's own (`steelyard.scheduling`). A replica is `streams` workers that share one queue; all
requests have the same bound, so the earliest deadline is the earliest arrival. What is left out: the network, and
that slow batches come in clusters on a disturbed machine. All times are seconds unless a name says otherwise.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from heapq import heapreplace

import numpy as np

from steelyard.arrivals import SETTLING, Floats, Tide, order, tide_of
from steelyard.records.arrivals import POISSON, Arrivals
from steelyard.records.measurement import ServiceTime
from steelyard.records.requirements import Latency
from steelyard.scheduling import PLANNED_QUANTILE, Profile, batch_to_dispatch, between_sizes, profile
from steelyard.verdicts import late_allowed

FULLEST = 0.98
"""Share of the throughput beyond which no queue is steady enough to be promised."""
DRAWS = 200
"""Equally likely service times per batch size."""
FEWEST_ARRIVALS, MOST_ARRIVALS, MOST_WITH_TIDE = 6_000, 40_000, 60_000
PRECISION = 0.01
"""The capacity is found to this share."""


class _Replica:
    """The measured service times as the simulation needs them."""

    def __init__(self, service: Sequence[ServiceTime], streams: int, max_batch: int) -> None:
        self.streams = streams
        self.plan: Profile = profile(service, PLANNED_QUANTILE, max_batch)
        self.seconds = drawn_seconds(service, max_batch)
        sizes = np.arange(1, max_batch + 1)
        self.rates: Floats = sizes * streams / self.seconds.mean(axis=1)
        """Requests per second when all workers always serve batches of 1, 2 …"""
        self._drawn: list[list[float]] = [[], *self.seconds.tolist()]

    def serve(self, came: list[float], draws: list[int], bound_s: float, most_late: int) -> Floats | None:
        """When each request is answered; None as soon as more than `most_late` took longer than the bound.

        `came` are the arrivals, rising. `draws` holds for each request which of the equally likely service times a
        batch meets that it leads.
        """
        last, most, plan, drawn = len(came), self.plan.max_batch, self.plan, self._drawn
        free = [0.0] * self.streams
        sizes, ends = [], []
        first = late = 0
        while first < last:
            oldest = came[first]
            now = free[0] if free[0] > oldest else oldest
            waiting = bisect_right(came, now, first, min(first + most, last)) - first
            size = batch_to_dispatch(plan, waiting, oldest + bound_s - now)
            end = now + drawn[size][draws[first]]
            if end - bound_s > oldest:
                late += bisect_left(came, end - bound_s, first, first + size) - first
                if late > most_late:
                    return None
            heapreplace(free, end)
            sizes.append(size)
            ends.append(end)
            first += size
        return np.repeat(ends, sizes)

    def latencies(self, arrivals: Floats, draws: list[int], bound_s: float) -> Floats:
        """Seconds from arrival to answer of each request."""
        answered = self.serve(arrivals.tolist(), draws, bound_s, len(arrivals))
        return np.empty(0) if answered is None else answered - arrivals


def drawn_seconds(service: Sequence[ServiceTime], max_batch: int) -> Floats:
    """Equally likely service times in seconds, rising: [max_batch, DRAWS]."""
    measured = sorted(service, key=lambda one: one.batch)
    at = (np.arange(DRAWS) + 0.5) / DRAWS
    drawn = [np.interp(at, np.linspace(0, 1, len(one.quantiles_ms)), one.quantiles_ms) / 1000 for one in measured]
    rising = list(np.maximum.accumulate(drawn))
    sizes = [one.batch for one in measured]
    return np.stack([between_sizes(sizes, rising, size) for size in range(1, max_batch + 1)])


def simulate(
    arrivals: Floats, service: Sequence[ServiceTime], streams: int, max_batch: int, bound_s: float, seed: int = 0
) -> Floats:
    """Seconds from arrival to answer of each request, queueing counted, in the order of arrival.

    `arrivals` must rise. The workers plan with `PLANNED_QUANTILE` of the service times; what a batch really takes is
    drawn anew each time. Equal seeds give request i the same luck at any rate and with any number of workers.
    """
    draws = np.random.default_rng(seed).integers(0, DRAWS, len(arrivals)).tolist()
    return _Replica(service, streams, max_batch).latencies(arrivals, draws, bound_s)


def throughput(service: Sequence[ServiceTime], streams: int, max_batch: int) -> float:
    """Requests per second when work never runs out: the best batch size over its mean service time, all streams."""
    return float(_Replica(service, streams, max_batch).rates.max())


def capacity(
    service: Sequence[ServiceTime],
    streams: int,
    max_batch: int,
    latency: Latency,
    seed: int = 0,
    confidence: float = 0.95,
    arrivals: Arrivals = POISSON,
) -> float:
    """The highest mean rate (requests per second, to about 1 %) at which the latency requirement holds; 0: none.

    Holds: with `confidence` the share of late requests is small enough (`late_verdict`), over all requests of the
    pattern, high tides included. The same random numbers serve all rates tried, and all candidates of one seed, so
    that they differ by themselves alone; another seed moves the result by 2 to 3 % (standard deviation), because
    lateness comes in spells. Never above `FULLEST` of the throughput.
    """
    replica = _Replica(service, streams, max_batch)
    bound_s = latency.bound_ms / 1000
    traffic = _traffic(replica, arrivals, latency.percentile, bound_s, seed)
    count = len(traffic.even)
    allowed = late_allowed(count, latency.percentile, confidence)

    def holds(rate: float) -> bool:
        return replica.serve(traffic.at(rate).tolist(), traffic.draws, bound_s, allowed) is not None

    ceiling = min(FULLEST * float(replica.rates.max()), _optimistic(replica, latency))
    return ceiling if ceiling == 0 or holds(ceiling) else _bisect(holds, ceiling)


def _bisect(holds: Callable[[float], bool], ceiling: float) -> float:
    """The highest rate below `ceiling` that holds, 0 when not even a hundredth of the ceiling does."""
    low, high = 0.0, ceiling
    while high - low > PRECISION * (low or ceiling):
        middle = (low + high) / 2
        low, high = (middle, high) if holds(middle) else (low, middle)
    return low


def bracket(holds: Callable[[float], bool], guess: float, precision: float) -> tuple[float, float]:
    """A rate that holds and one that does not, no further apart than `precision`; 0 when a 64th of the guess fails.

    For where each answer costs a run: strides from the guess, doubling, until one rate holds and a higher one does
    not, then halves what lies between (on a logarithmic scale).
    """
    low, high, stride, rate = 0.0, float("inf"), 1 + 2 * precision, guess
    while (low == 0 or high == float("inf")) and rate > guess / 64:
        if holds(rate):
            low, rate = rate, rate * stride
        else:
            high, rate = rate, rate / stride
        stride = min(stride * stride, 2.0)
    while low and high / low > 1 + precision:
        middle = (low * high) ** 0.5
        low, high = (middle, high) if holds(middle) else (low, middle)
    return low, high


@dataclass(frozen=True)
class _Traffic:
    """Requests in the pattern's order, and which service time each meets (see `_Replica.serve`)."""

    even: Floats
    """Arrivals at exactly one per second on average."""
    tide: Tide | None
    draws: list[int]

    def at(self, rate: float) -> Floats:
        """Arrivals at this mean rate."""
        even = self.even / rate
        return even if self.tide is None else self.tide.through(even, len(even) / rate)


def _traffic(replica: _Replica, arrivals: Arrivals, percentile: float, bound_s: float, seed: int) -> _Traffic:
    """Enough requests for the percentile and for the queue to settle: forty times the bound at full load.

    Bursts and tides take more of them, because lateness then comes in longer spells.
    """
    fastest = float(replica.rates.max())
    wanted = max(60 / (1 - percentile / 100), 40 * bound_s * fastest, FEWEST_ARRIVALS)
    wanted = max(
        wanted * max(1.0, arrivals.cv), 2.0 * len(arrivals.gaps), fastest * SETTLING * bound_s * len(arrivals.rates)
    )
    count = int(min(wanted, MOST_WITH_TIDE if arrivals.rates else MOST_ARRIVALS))
    even, draws = _luck(arrivals, count, seed)
    return _Traffic(even, tide_of(arrivals, count / fastest, bound_s), draws)


@lru_cache(maxsize=64)
def _luck(arrivals: Arrivals, count: int, seed: int) -> tuple[Floats, list[int]]:
    """The pattern's order, and draws of service times: equal for all candidates. Not to be changed by callers."""
    even = order(arrivals, count, np.random.default_rng([seed, 0]))
    draws = np.random.default_rng([seed, 1]).integers(0, DRAWS, count)
    return even, draws.tolist()


def optimistic_capacity(service: Sequence[ServiceTime], streams: int, max_batch: int, latency: Latency) -> float:
    """A rate (requests per second) that no order of serving can exceed in the long run, without simulating.

    Requests would have to arrive exactly when a worker frees. A request can only be in time in a batch that takes
    no longer than the bound, and only `100 − percentile` per cent may be served in batches that do not.
    """
    return _optimistic(_Replica(service, streams, max_batch), latency)


def _optimistic(replica: _Replica, latency: Latency) -> float:
    """The best mix of a batch size that is in time often enough with one that need not be."""
    share = latency.percentile / 100
    in_time = np.mean(replica.seconds <= latency.bound_ms / 1000, axis=1)
    enough = in_time >= share
    if not enough.any():
        return 0.0
    rates, on_time = replica.rates[enough], in_time[enough]
    best = float(rates.max())
    if enough.all():
        return best
    # Requests served in the punctual size; the rest may go in the other one, which is faster per request.
    punctual = (share - in_time[~enough]) / (on_time[:, None] - in_time[~enough])
    mixed = 1 / (punctual / rates[:, None] + (1 - punctual) / replica.rates[~enough])
    return max(best, float(mixed.max()))


def latency_at(
    service: Sequence[ServiceTime],
    streams: int,
    max_batch: int,
    rate: float,
    bound_s: float,
    seed: int = 0,
    percentile: float = 99,
    arrivals: Arrivals = POISSON,
) -> Floats:
    """101 quantiles (minimum to maximum) in milliseconds of the latency when `rate` requests arrive per second.

    These are the very requests by which `capacity` judged the rate, when seed, bound and pattern are equal and the
    percentile is (or neither is above 99).
    """
    replica = _Replica(service, streams, max_batch)
    traffic = _traffic(replica, arrivals, percentile, bound_s, seed)
    seconds = replica.latencies(traffic.at(rate), traffic.draws, bound_s)
    return np.quantile(seconds, np.linspace(0, 1, 101)) * 1000
