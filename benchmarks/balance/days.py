"""Ladders and days for `bench_balance.py`: variants with made-up times like measured ones, and when requests come."""

from __future__ import annotations

import tarfile
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np

from steelyard.arrivals import Floats, arrival_times, gamma
from steelyard.capacity import capacity
from steelyard.data.traces import read_trace
from steelyard.records.arrivals import Arrivals
from steelyard.records.measurement import ServiceTime
from steelyard.records.requirements import Latency
from steelyard.scheduling import PLANNED_QUANTILE, profile
from steelyard.switching import Ladder, Rung

CV = 4.0
STRETCH = 20
"""A stretch of the trace lasts so many bounds."""
STEP = 400
"""So many bounds lasts a part of the step, and so many last the bursts for each of their requests' luck."""
LOW = 0.6
"""Before and after the step: share of what the most accurate rung carries."""
BURSTS = 60_000
"""Requests."""
SHAPE = 0.96 + 0.06 * np.linspace(0, 1, 41) + 0.3 * np.linspace(0, 1, 41) ** 20
"""Quantiles of a batch's time over its usual time: one in a hundred takes a quarter longer."""

Times = dict[int, float]
"""Milliseconds of a batch by its size."""


@dataclass(frozen=True)
class Known:
    """A ladder, and what its rungs carry."""

    name: str
    ladder: Ladder
    carries: tuple[float, ...]
    """Requests per second of each rung within the bound at p95, requests coming at random."""
    floor: float
    """The quality demanded."""


def known(name: str, bound_ms: float, rungs: Sequence[tuple[str, float, Times]], floor: float) -> Known:
    made = []
    for variant, quality, times in rungs:
        service = tuple(
            ServiceTime(batch=size, quantiles_ms=tuple((ms * SHAPE).tolist()), runs=100) for size, ms in times.items()
        )
        plan = profile(service, PLANNED_QUANTILE, 32)
        made.append(Rung(name=variant, quality=quality, profile=plan, service=service))
    latency = Latency(percentile=95, bound_ms=bound_ms)
    carries = tuple(capacity(rung.service, 2, 32, latency) for rung in made)
    return Known(name, Ladder(rungs=tuple(made), bound_s=bound_ms / 1000, workers=2), carries, floor)


def efficientnet() -> Known:
    """Times and qualities as measured (docs/benchmarks.md)."""
    original = {1: 9.6, 2: 19.0, 4: 38.3, 8: 77.0}
    bf16 = {1: 5.35, 2: 10.5, 4: 20.1, 8: 40.85, 16: 87.0}
    int8 = {1: 4.21, 2: 8.23, 4: 15.55, 8: 31.6, 16: 66.7}
    rungs = [("original", 0.8457, original), ("bf16", 0.8452, bf16), ("int8", 0.8432, int8)]
    return known("EfficientNet-Lite0, 50 ms", 50, rungs, 0.8357)


def lstm() -> Known:
    """Times like those measured of an LSTM; the qualities are made up, measured ones hardly differ."""
    original = {1: 0.85, 2: 1.5, 4: 2.8, 8: 5.4, 16: 10.6}
    bf16 = {1: 0.45, 2: 0.7, 4: 1.2, 8: 2.3, 16: 4.4}
    int8 = {1: 0.26, 2: 0.36, 4: 0.61, 8: 1.15, 16: 2.17, 32: 4.3}
    rungs = [("original", 0.9978, original), ("bf16", 0.9971, bf16), ("int8", 0.9950, int8)]
    return known("LSTM, 10 ms", 10, rungs, 0.9878)


def twitter(mirror: Path) -> Arrivals:
    """The recorded requests per second, as `--arrivals trace:FILE` would read them."""
    with tempfile.TemporaryDirectory() as folder:
        with tarfile.open(mirror / "traces_web" / "twitter_workload.tbz2") as packed:
            packed.extract("workload.txt", folder, filter="data")
        counts = Path(folder, "workload.txt").read_text(encoding="utf-8")
        named = Path(folder, "twitter.txt")
        named.write_text("count\n" + "\n".join(counts.split()), encoding="utf-8")
        return read_trace(str(named))


def trace_day(of: Known, pattern: Arrivals, peak: float, rng: np.random.Generator) -> Floats:
    """The trace, compressed in time; the 99th percentile of its rates is the peak."""
    bound_s = of.ladder.bound_s
    rate = peak * of.carries[0] / float(np.quantile(pattern.rates, 0.99))
    count = int(rate * len(pattern.rates) * STRETCH * bound_s)
    return arrival_times(msgspec.structs.replace(pattern, step_s=STRETCH * bound_s), rate, count, bound_s, rng)


def step_day(of: Known, peak: float, rng: np.random.Generator, lasts_s: float = 0.0) -> Floats:
    """Twice: low, then the peak, then low again; each for so long."""
    lasts, times, began = lasts_s or STEP * of.ladder.bound_s, [], 0.0
    for height in (LOW, peak, LOW) * 2:
        count = rng.poisson(height * of.carries[0] * lasts)
        times.append(began + np.sort(rng.random(count)) * lasts)
        began += lasts
    return np.concatenate(times)


def burst_day(of: Known, peak: float, window: float, seed: int) -> Floats:
    """Gamma arrivals at the mean rate at which, of all windows so many bounds long, one in a hundred is above the peak.

    The mean is found by bisection with equal luck, so equal seeds give equal days.
    """
    even = gamma(1.0, CV, BURSTS, np.random.default_rng(seed))
    width = window * of.ladder.bound_s

    def height(rate: float) -> float:
        counts = np.bincount((even / rate / width).astype(int))[:-1]
        return float(np.quantile(counts, 0.99)) / width

    low, high = 0.0, peak * of.carries[0]
    while high - low > 0.005 * high:
        middle = (low + high) / 2
        low, high = (middle, high) if height(middle) < peak * of.carries[0] else (low, middle)
    return even / high


Day = Callable[[Known, float, int], Floats]
"""(ladder, peak over what the most accurate rung carries, seed) → arrivals."""


def days(mirror: Path) -> dict[str, Day]:
    """By name. The last is beyond what was asked: its bursts are as high over twenty bounds as others' over one."""
    pattern = twitter(mirror)
    return {
        "Twitter": lambda of, peak, seed: trace_day(of, pattern, peak, np.random.default_rng([seed, 1])),
        "gamma CV 4": lambda of, peak, seed: burst_day(of, peak, 1, seed),
        "step": lambda of, peak, seed: step_day(of, peak, np.random.default_rng([seed, 2])),
        "long gamma CV 4": lambda of, peak, seed: burst_day(of, peak, STRETCH, seed),
    }
