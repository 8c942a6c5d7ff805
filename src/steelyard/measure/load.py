"""Real load on a candidate: its own dispatcher and runner, requests sent at their scheduled times."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import msgspec

from steelyard.capacity import bracket
from steelyard.measure.process import Child
from steelyard.measure.speed import batch_sizes, measure_service
from steelyard.records.arrivals import Arrivals
from steelyard.records.candidate import Candidate
from steelyard.records.measurement import Load, ServiceTime
from steelyard.records.requirements import Latency
from steelyard.scheduling import PLANNED_QUANTILE, profile
from steelyard.verdicts import late_verdict
from steelyard.verdicts.under_load import QUIET_CORES

GLANCE_S = 0.05
TRIES = 3


def measure_load(
    child: Child,
    candidate: Candidate,
    rate: float,
    arrivals: Arrivals,
    seconds: float,
    latency: Latency,
    service: Sequence[ServiceTime] = (),
    seed: int = 0,
) -> Load:
    """One run of `seconds` at `rate` requests per second on an opened candidate.

    The dispatcher plans with `service`; without any, batches are first timed for a moment.
    """
    if not service:
        service = [measure_service(child, candidate, size, GLANCE_S) for size in batch_sizes(candidate.max_batch)]
    plan = profile(service, PLANNED_QUANTILE, candidate.max_batch)
    reply = child.ask(
        "load",
        workers=candidate.workers,
        plan_s=plan.seconds,
        arrivals=arrivals,
        rate=rate,
        seconds=seconds,
        latency=latency,
        seed=seed,
    )
    return msgspec.convert(reply, Load)


class Found(NamedTuple):
    """A capacity, and the runs that it was found by."""

    rate: float
    runs: list[Load]


def capacity_by_load(
    run: Callable[[float], Load], guess: float, latency: Latency, precision: float = 0.04, confidence: float = 0.95
) -> Found:
    """The highest rate (to about `precision`) that holds in real runs, near the guess; 0 when a 64th does not hold.

    Held to the same binomial bound as the simulated capacity. Strides from the guess, doubling, until one rate holds
    and a higher one does not, then halves what lies between. A run that fails while other processes were busy is made
    again, up to `TRIES` times.
    """
    runs: list[Load] = []

    def holds(rate: float) -> bool:
        for _ in range(TRIES):
            load = run(rate)
            runs.append(load)
            if late_verdict(load.late, load.requests, latency.percentile, confidence) == "pass":
                return True
            if (load.others_cores or 0.0) <= QUIET_CORES:
                return False
        return False

    low, high = bracket(holds, guess, precision)
    return Found((low * high) ** 0.5 if low else 0.0, runs)
