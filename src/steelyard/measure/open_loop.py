"""Real load, inside the process that serves: requests sent on schedule through the dispatcher, their answers timed."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from steelyard.arrivals import Floats, arrival_times
from steelyard.errors import Overloaded
from steelyard.machines.garbage import no_garbage_of_ours
from steelyard.measure.generator import Generator, Sent
from steelyard.measure.neighbours import Neighbours
from steelyard.records.arrivals import Arrivals
from steelyard.records.measurement import Load
from steelyard.records.requirements import Latency
from steelyard.scheduling import Choice, Single, profile_of
from steelyard.serve.dispatcher import Dispatcher
from steelyard.verdicts.lateness import clustering_of

Serve = Callable[[int, int], None]
"""Serves one batch of so many requests on one worker."""

QUANTILES = 101
WARM_UP_S = 0.2
HEAD_START_S = 0.01
"""Between looking at the clock and the first arrival."""
HOPELESS_S, HOPELESS_BOUNDS = 1.0, 30
"""When this much work waits (in seconds of arrivals, and in latency bounds), no more is sent: the queue only grows."""


@dataclass(frozen=True)
class Run:
    """What became of the requests. Times in seconds; of those that were no longer sent, NaN."""

    due: Floats
    sent: Floats
    """When they were sent, or due where all workers were busy until they were."""
    answered: Floats
    batches: int
    generator_s: float
    """Processor time of the thread that sends."""


def run_load(
    serve: Serve,
    workers: int,
    plan_s: Sequence[float],
    arrivals: Arrivals,
    rate: float,
    seconds: float,
    latency: Latency,
    seed: int,
    processes: Sequence[int] = (),
) -> Load:
    """Send `rate` requests per second for `seconds` through a dispatcher; `plan_s`: what a batch of 1, 2 … takes.

    `processes` work for the candidate as well, beside this one. Raises what `serve` raises.
    """
    bound_s = latency.bound_ms / 1e3
    warm_up = _times(arrivals, rate, min(WARM_UP_S, seconds), bound_s, [seed, 1])
    drive(serve, workers, plan_s, warm_up, bound_s, drain=False)
    neighbours = Neighbours(processes)
    run = drive(serve, workers, plan_s, _times(arrivals, rate, seconds, bound_s, [seed, 0]), bound_s)
    return summary(run, arrivals.words, rate, latency, neighbours.cores())


def _times(arrivals: Arrivals, rate: float, seconds: float, bound_s: float, luck: list[int]) -> Floats:
    return arrival_times(arrivals, rate, max(1, round(rate * seconds)), bound_s, np.random.default_rng(luck))


def drive(
    serve: Serve, workers: int, plan_s: Sequence[float], times: Floats, bound_s: float, drain: bool = True
) -> Run:
    """Send requests at `times` (seconds from now, rising) and wait for all answers, or (without `drain`) for none."""
    batches = itertools.count()

    def serve_all(worker: int, _: Choice, requests: Sequence[None]) -> Sequence[None]:
        next(batches)
        serve(worker, len(requests))
        generator.worker_done(dispatcher)
        return requests

    callers = [Sent() for _ in range(len(times))]
    rate = len(times) / max(float(times[-1]), 1e-9)
    most_waiting = 1 + int(rate * max(HOPELESS_S, HOPELESS_BOUNDS * bound_s))
    with no_garbage_of_ours(), Dispatcher(serve_all, Single(profile_of(plan_s)), workers, most_waiting) as dispatcher:
        due = times + (time.monotonic() + HEAD_START_S)
        generator = Generator(callers, due.tolist(), bound_s)
        generator.run(dispatcher)
        dispatcher.close(drain=drain and not generator.gave_up)
    for caller in callers:
        if caller.error is not None and not isinstance(caller.error, Overloaded):
            raise caller.error
    sent, answered = (np.array([getattr(caller, what) for caller in callers]) for what in ("sent", "answered"))
    return Run(due, sent, answered, next(batches), generator.used_s)


def summary(run: Run, arrivals: str, rate: float, latency: Latency, others_cores: float | None) -> Load:
    """The run in numbers. Requests that were no longer sent are late."""
    bound_s = latency.bound_ms / 1e3
    hopeless = max(HOPELESS_S, HOPELESS_BOUNDS * bound_s)
    took = np.nan_to_num(run.answered - run.due, nan=hopeless)
    once_sent = np.nan_to_num(run.answered - run.sent, nan=hopeless)
    answered = int(np.count_nonzero(~np.isnan(run.answered)))
    span = float(np.nanmax(run.answered) - run.due[0])
    return Load(
        rate_per_s=rate,
        arrivals=arrivals,
        seconds=float(run.due[-1] - run.due[0]),
        requests=len(took),
        late=int(np.count_nonzero(took > bound_s)),
        late_once_sent=int(np.count_nonzero(once_sent > bound_s)),
        clustering=clustering_of(took.tolist(), latency.percentile),
        bound_ms=latency.bound_ms,
        quantiles_ms=_quantiles_ms(took),
        sent_late_ms=_quantiles_ms((run.sent - run.due)[~np.isnan(run.sent)]),
        generator_share=run.generator_s / span,
        mean_batch=answered / max(run.batches, 1),
        answered_per_s=answered / span,
        others_cores=others_cores,
    )


def _quantiles_ms(seconds: Floats) -> tuple[float, ...]:
    return tuple(float(f"{value * 1e3:.5g}") for value in np.quantile(seconds, np.linspace(0, 1, QUANTILES)))
