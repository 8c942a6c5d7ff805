"""One order of load: which server, which requests, in which pattern, held to what; and its runs."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from steelyard.arrivals import Floats, arrival_times
from steelyard.errors import Interrupted, UsageError
from steelyard.load.bodies import Form
from steelyard.load.model import Model
from steelyard.load.outcome import How, Outcome, Progress
from steelyard.load.run import load
from steelyard.load.target import Target
from steelyard.records.arrivals import POISSON, Arrivals
from steelyard.records.requirements import Latency

MOST_SENT = 10_000_000
"""Requests of one run."""
MOST_CONNECTIONS = 10_000
NO_BOUND_S = 0.05
"""For the pattern of arrivals where no bound is given (see `steelyard.arrivals`)."""
HOPELESS_S, HOPELESS_BOUNDS = 1.0, 30
"""In a search for a rate: a request that waits so long, and so many bounds, for a free connection ends the run."""


@dataclass(frozen=True)
class Job:
    """What is asked for, but for the rate."""

    target: Target
    model: Model
    form: Form
    requests: Sequence[bytes]
    arrivals: Arrivals = POISSON
    latency: Latency | None = None
    confidence: float = 0.95
    seconds: float = 30.0
    warm_up_s: float = 1.0
    patience_s: float = 30.0
    connections: int = 64
    seed: int = 0

    def __post_init__(self) -> None:
        if not 1 <= self.connections <= MOST_CONNECTIONS:
            raise UsageError(f"--connections is 1 to {MOST_CONNECTIONS:,}, got {self.connections:,}")
        if not 0.5 <= self.confidence < 1:
            raise UsageError(f"confidence lies between 50% and 100%, got {self.confidence:.4g}", "for example 95%")

    @property
    def bound_s(self) -> float:
        """The latency bound in seconds; 0: none."""
        return self.latency.bound_ms / 1e3 if self.latency else 0.0

    @property
    def items(self) -> int:
        """In each request."""
        return self.form.items or self.model.fixed_items or 1


def run(
    job: Job,
    rate: float,
    seconds: float,
    on_progress: Callable[[Progress], None] = lambda _: None,
    stop: threading.Event | None = None,
    give_up: bool = False,
) -> Outcome:
    """One run of so many `seconds` at `rate` requests per second. `give_up`: end it when the queue only grows.

    Raises `UsageError` for more requests than anybody sends, `InputError` when the server cannot be reached, and
    `Interrupted` when it was stopped before a request that counts.
    """
    warm, counted = _times(job, rate, job.warm_up_s, 1), _times(job, rate, seconds, 0)
    due = np.concatenate([warm, counted + job.warm_up_s]) if len(warm) else counted
    hopeless_s = max(HOPELESS_S, HOPELESS_BOUNDS * job.bound_s) if give_up else float("inf")
    how = How(job.connections, len(warm), job.bound_s, job.patience_s, hopeless_s)
    outcome = load(job.target, job.requests, due, how, on_progress, stop)
    if not len(outcome.due):
        raise Interrupted("stopped during the warm-up: nothing was seen")
    return outcome


def _times(job: Job, rate: float, seconds: float, luck: int) -> Floats:
    """When requests are due, from 0 on. Those of a warm-up all lie within it."""
    if not 0 < rate * seconds <= MOST_SENT and seconds:
        raise UsageError(
            f"{rate:g} requests per second for {seconds:g} s are {rate * seconds:,.0f}; a run sends 1 to {MOST_SENT:,}",
            "take another --rate, or another time with --for",
        )
    count = round(rate * seconds) if luck else max(1, round(rate * seconds))
    if not count:
        return np.empty(0)
    rng = np.random.default_rng([job.seed, luck])
    times = arrival_times(job.arrivals, rate, count, job.bound_s or NO_BOUND_S, rng)
    return np.minimum(times, seconds) if luck else times
