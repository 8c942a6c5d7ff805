"""Does giving a deadline up pay? The dispatching policy against the same without that rule, simulated.

Against: the largest batch that the oldest request is still in time with, whatever that costs (earliest deadline first
to the letter), and the full batch always. Over a grid of made-up models (time of a batch = fixed + each × size, from
hardly any gain by batching to nearly all), spreads, streams, largest batches, bounds and percentiles. Told: capacity
over that of the letter (geometric mean, least, largest), and how many more requests are late at 70 % and 90 % of its
capacity. Pure and deterministic: no timing, the same figures on every machine.

    python benchmarks/bench_policy.py [--every 3]     every third case: about a minute
"""

from __future__ import annotations

import argparse
import itertools
from bisect import bisect_right
from collections.abc import Callable
from typing import NamedTuple
from unittest import mock

import numpy as np

from steelyard import capacity as simulated
from steelyard.arrivals import poisson
from steelyard.records.measurement import ServiceTime
from steelyard.records.requirements import Latency
from steelyard.scheduling import Profile, batch_to_dispatch

Policy = Callable[[Profile, int, float], int]
MODELS_MS = ((0.03, 0.03), (0.8, 0.22), (2, 2), (5, 0.5), (1, 0.05), (5, 0.1), (0.3, 1), (0.06, 0.01))
"""Fixed milliseconds of a batch, and milliseconds for each request in it."""
LOADS = (0.7, 0.9)


class Case(NamedTuple):
    """One made-up candidate and what is required of it."""

    model_ms: tuple[float, float]
    heavy: bool
    """One batch in twenty takes half as long again."""
    streams: int
    most: int
    slack: float
    """The latency bound, in service times of one request."""
    percentile: float


GRID = [
    Case(*fields)
    for fields in itertools.product(
        MODELS_MS, (False, True), (1, 2), (8, 32), (1.3, 2.0, 3.0, 5.0, 10.0), (90.0, 95.0, 99.0)
    )
]


def to_the_letter(profile: Profile, waiting: int, slack: float) -> int:
    in_time = bisect_right(profile.seconds, slack) or len(profile.seconds)
    return profile.best[min(waiting, in_time)]


def always_full(profile: Profile, waiting: int, slack: float) -> int:  # noqa: ARG001 - it does not care
    return profile.best[min(waiting, len(profile.seconds))]


POLICIES: dict[str, Policy] = {"to the letter": to_the_letter, "as it is": batch_to_dispatch, "full": always_full}


def service(case: Case) -> list[ServiceTime]:
    at = np.linspace(0, 1, 41)
    shape = 0.95 + 0.1 * at + (0.5 * at**20 if case.heavy else 0)
    fixed, each = case.model_ms
    sizes = [size for size in (1, 2, 4, 8, 16, 32) if size <= case.most]
    return [ServiceTime(batch=s, quantiles_ms=tuple(((fixed + each * s) * shape).tolist()), runs=100) for s in sizes]


def under(policy: Policy, case: Case, rate_at: float | None) -> tuple[float, list[float]]:
    """The capacity with a policy, and the share of late requests at `LOADS` of `rate_at` (its own when None)."""
    times = service(case)
    latency = Latency(percentile=case.percentile, bound_ms=case.slack * 1.05 * sum(case.model_ms))
    bound_s = latency.bound_ms / 1e3
    late = []
    with mock.patch.object(simulated, "batch_to_dispatch", policy):
        found = simulated.capacity(times, case.streams, case.most, latency)
        for load in LOADS if found else ():
            arrivals = poisson((rate_at or found) * load, 20_000, np.random.default_rng(5))
            took = simulated.simulate(arrivals, times, case.streams, case.most, bound_s, seed=3)
            late.append(float(np.mean(took > bound_s)))
    return found, late


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--every", type=int, default=3, metavar="N", help="Take every Nth case.")
    cases = GRID[:: parser.parse_args().every]
    letter = [under(to_the_letter, case, None) for case in cases]
    print(f"{sum(1 for found, _ in letter if found)} cases with some capacity")
    print("| policy | capacity, mean | least | largest | late at 70 %, mean (most more) | late at 90 % |")
    print("| --- | --- | --- | --- | --- | --- |")
    for name, policy in POLICIES.items():
        rows = [(under(policy, case, base[0]), base) for case, base in zip(cases, letter, strict=True) if base[0]]
        gain = np.array([own[0] / base[0] for own, base in rows])
        late = np.array([own[1] for own, _ in rows if own[1]])
        more = np.array([np.subtract(own[1], base[1]) for own, base in rows if own[1]])
        cells = [f"{late[:, i].mean():.2%} ({more[:, i].max():+.2%})" for i in range(len(LOADS))]
        mean = np.exp(np.log(np.maximum(gain, 1e-9)).mean())
        print(f"| {name} | {mean:.3f} | {gain.min():.2f} | {gain.max():.2f} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
