"""How many requests per second a replica serves in time: arrivals and service times through the policy, simulated.

The policy is the server's own (`steelyard.scheduling`). A replica is `streams` workers that share one queue; all
requests have the same bound, so the earliest deadline is the earliest arrival. What is left out: the network, and
that slow batches come in clusters on a disturbed machine. All times are seconds unless a name says otherwise.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from heapq import heapreplace

import numpy as np
import numpy.typing as npt

from steelyard.errors import DataError
from steelyard.records.measurement import ServiceTime
from steelyard.records.requirements import Latency
from steelyard.scheduling import Profile, batch_to_dispatch, between_sizes, profile
from steelyard.verdicts import late_allowed

Floats = npt.NDArray[np.float64]

PLANNED_QUANTILE = 0.9
"""The policy reckons with this quantile of the service times, so that an ordinary slow batch is still in time."""
FULLEST = 0.98
"""Share of the throughput beyond which no queue is steady enough to be promised."""
DRAWS = 200
"""Equally likely service times per batch size."""
FEWEST_ARRIVALS, MOST_ARRIVALS = 6_000, 40_000
PRECISION = 0.01
"""The capacity is found to this share."""


def poisson(rate: float, count: int, rng: np.random.Generator) -> Floats:
    """Arrival times of `count` requests that come independently of each other, `rate` per second."""
    gaps: Floats = rng.exponential(1 / rate, count)
    return gaps.cumsum()


def gamma(rate: float, cv: float, count: int, rng: np.random.Generator) -> Floats:
    """Arrival times with gamma-distributed gaps; `cv` is deviation over mean of the gaps: 1 Poisson, more is bursty."""
    gaps: Floats = rng.gamma(1 / cv**2, cv**2 / rate, count)
    return gaps.cumsum()


def trace(times: Sequence[float] | Floats) -> Floats:
    """Recorded arrival times, sorted, the first at 0. Raises DataError when there are none or some are not finite."""
    arrivals = np.sort(np.asarray(times, np.float64))
    if arrivals.ndim != 1 or not len(arrivals) or not np.isfinite(arrivals).all():
        raise DataError(
            f"expected a list of arrival times in seconds, got {arrivals.size} numbers, "
            f"{int((~np.isfinite(arrivals)).sum())} of them not finite",
            "give one finite number per request",
        )
    since_first: Floats = arrivals - arrivals[0]
    return since_first


class _Replica:
    """The measured service times as the simulation needs them."""

    def __init__(self, service: Sequence[ServiceTime], streams: int, max_batch: int) -> None:
        self.streams = streams
        self.plan: Profile = profile(service, PLANNED_QUANTILE, max_batch)
        self.seconds = _seconds(service, max_batch)
        sizes = np.arange(1, max_batch + 1)
        self.rates: Floats = sizes * streams / self.seconds.mean(axis=1)
        """Requests per second when all workers always serve batches of 1, 2 …"""
        self._drawn: list[list[float]] = [[], *self.seconds.tolist()]

    def serve(self, arrivals: Floats, draws: list[int], bound_s: float) -> Floats:
        """When each request is answered.

        `draws` holds for each request which of the equally likely service times a batch meets that it leads.
        """
        came = arrivals.tolist()
        last, most, plan, drawn = len(came), self.plan.max_batch, self.plan, self._drawn
        free = [0.0] * self.streams
        sizes, ends = [], []
        first = 0
        while first < last:
            oldest = came[first]
            now = free[0] if free[0] > oldest else oldest
            waiting = bisect_right(came, now, first, min(first + most, last)) - first
            size = batch_to_dispatch(plan, waiting, oldest + bound_s - now)
            end = now + drawn[size][draws[first]]
            heapreplace(free, end)
            sizes.append(size)
            ends.append(end)
            first += size
        return np.repeat(ends, sizes)


def _seconds(service: Sequence[ServiceTime], max_batch: int) -> Floats:
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
    return _Replica(service, streams, max_batch).serve(arrivals, draws, bound_s) - arrivals


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
) -> float:
    """The highest Poisson rate (requests per second, to about 1 %) at which the latency requirement holds; 0: none.

    Holds: with `confidence` the share of late requests is small enough (`late_verdict`). The same random numbers
    serve all rates tried, and all candidates of one seed, so that they differ by themselves alone; another seed moves
    the result by 2 to 3 % (standard deviation), because lateness comes in spells. Never above `FULLEST` of the
    throughput.
    """
    replica = _Replica(service, streams, max_batch)
    bound_s = latency.bound_ms / 1000
    unit, draws = _luck(replica, latency.percentile, bound_s, seed)
    allowed = late_allowed(len(unit), latency.percentile, confidence)

    def holds(rate: float) -> bool:
        arrivals = unit / rate
        answered = replica.serve(arrivals, draws, bound_s)
        return int(np.count_nonzero(answered - arrivals > bound_s)) <= allowed

    ceiling = min(FULLEST * float(replica.rates.max()), _optimistic(replica, latency))
    return ceiling if ceiling == 0 or holds(ceiling) else _bisect(holds, ceiling)


def _bisect(holds: Callable[[float], bool], ceiling: float) -> float:
    """The highest rate below `ceiling` that holds, 0 when not even a hundredth of the ceiling does."""
    low, high = 0.0, ceiling
    while high - low > PRECISION * (low or ceiling):
        middle = (low + high) / 2
        low, high = (middle, high) if holds(middle) else (low, middle)
    return low


def _luck(replica: _Replica, percentile: float, bound_s: float, seed: int) -> tuple[Floats, list[int]]:
    """Poisson arrivals at exactly one per second, and which service time each meets (see `_Replica.serve`).

    There are enough of them for the percentile and for the queue to settle: forty times the bound at full load.
    """
    wanted = max(60 / (1 - percentile / 100), 40 * bound_s * float(replica.rates.max()))
    count = int(min(max(FEWEST_ARRIVALS, wanted), MOST_ARRIVALS))
    arrivals = poisson(1.0, count, np.random.default_rng([seed, 0]))
    draws = np.random.default_rng([seed, 1]).integers(0, DRAWS, count)
    return arrivals * (count / arrivals[-1]), draws.tolist()


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
) -> Floats:
    """101 quantiles (minimum to maximum) in milliseconds of the latency under Poisson arrivals at `rate` per second.

    These are the very requests by which `capacity` judged the rate, when seed and bound are equal and the percentile
    is (or neither is above 99).
    """
    replica = _Replica(service, streams, max_batch)
    unit, draws = _luck(replica, percentile, bound_s, seed)
    arrivals = unit / rate
    return _quantiles_ms(replica.serve(arrivals, draws, bound_s) - arrivals)


def latency_single(service: Sequence[ServiceTime]) -> Floats:
    """101 quantiles in milliseconds of the latency when one request follows the answer to the one before."""
    return _quantiles_ms(_seconds(service, 1)[0])


def latency_offline(service: Sequence[ServiceTime], max_batch: int) -> Floats:
    """101 quantiles in milliseconds of the time that the batch of best throughput takes."""
    seconds = _seconds(service, max_batch)
    per_request = seconds.mean(axis=1) / np.arange(1, max_batch + 1)
    return _quantiles_ms(seconds[int(per_request.argmin())])


def _quantiles_ms(seconds: Floats) -> Floats:
    return np.quantile(seconds, np.linspace(0, 1, 101)) * 1000
