"""Is the simulated capacity the one that real load finds? Five candidates of different kinds.

For each: service times are measured as a weighing does, side by side with the reference; the capacity is simulated
from them; then an open-loop generator drives the same process through the dispatcher that serves, at rates around it,
until the highest rate is found at which the same binomial verdict holds. Both say how many requests per second one
replica serves within the bound. Told: both, their ratio, and how busy other processes and the generator itself were.
Runs that fail beside busy neighbours are made again; a machine that stays busy makes the real capacity too low.

Needs STEELYARD_DATA with `models` beside it. About 2 minutes a candidate; `--short` is a trial of some seconds each.

    python benchmarks/bench_prediction.py [--short] [--repeats 3] [mnist-ort] [mnist-openvino] [efficientnet-f32] …
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

from jobs import opened, words

from steelyard import capacity as simulated
from steelyard.loop import order
from steelyard.measure.load import Found, capacity_by_load
from steelyard.measure.workbench import Workbench
from steelyard.records.arrivals import POISSON
from steelyard.records.candidate import Candidate
from steelyard.records.measurement import Load, ServiceTime
from steelyard.records.requirements import Latency

CLOSE = 0.10
"""The prediction must be within this share of the capacity found."""
WANTED = 6000
"""A run lasts until about so many requests were due, within `SHORTEST_S` and `LONGEST_S`."""
SHORTEST_S, LONGEST_S = 3.0, 15.0


class Case(NamedTuple):
    """A model, one candidate of it, and the bound on its latency."""

    job: str
    candidate: Candidate
    latency: Latency


CASES = {
    "mnist-ort": Case(
        "mnist",
        Candidate(variant="original", runtime="onnxruntime", threads=1, streams=2, max_batch=32),
        Latency(percentile=95, bound_ms=5),
    ),
    "mnist-openvino": Case(
        "mnist",
        Candidate(variant="original", runtime="openvino", threads=1, streams=2, max_batch=32),
        Latency(percentile=99, bound_ms=10),
    ),
    "efficientnet-f32": Case(
        "efficientnet",
        Candidate(variant="original", runtime="onnxruntime", threads=2, streams=1, max_batch=8),
        Latency(percentile=95, bound_ms=50),
    ),
    "efficientnet-int8": Case(
        "efficientnet",
        Candidate(variant="int8-static", runtime="openvino", threads=1, streams=2, max_batch=8),
        Latency(percentile=95, bound_ms=50),
    ),
    "lstm": Case(
        "lstm",
        Candidate(variant="int8-dynamic", runtime="onnxruntime", threads=1, streams=2, max_batch=32),
        Latency(percentile=95, bound_ms=10),
    ),
}


class Outcome(NamedTuple):
    """What one repeat found."""

    predicted: float
    found: Found
    ratio_beside: float


def once(bench: Workbench, case: Case, short: bool, seed: int) -> Outcome:
    """Predict, then find."""
    candidate, latency = case.candidate, case.latency
    effort = 0.3 if short else 1.0
    quiet_ms = bench.glance(bench.reference, 1, 0.2).median_ms
    speed = bench.speed(candidate, quiet_ms, effort)
    predicted = simulated.capacity(speed.service, candidate.workers, candidate.max_batch, latency)

    def run(rate: float) -> Load:
        seconds = 1.0 if short else min(max(WANTED / rate, SHORTEST_S), LONGEST_S)
        load = bench.load(candidate, rate, POISSON, seconds, latency, speed.service, seed)
        tell_run(load, latency, simulated_quantile(speed.service, case, rate))
        return load

    return Outcome(predicted, capacity_by_load(run, predicted, latency), speed.reference_ratio)


def simulated_quantile(service: tuple[ServiceTime, ...], case: Case, rate: float) -> float:
    """The percentile that counts, in ms, as simulated at this rate."""
    candidate, latency = case.candidate, case.latency
    at = simulated.latency_at(
        service, candidate.workers, candidate.max_batch, rate, latency.bound_ms / 1e3, percentile=latency.percentile
    )
    return float(at[round(latency.percentile)])


def tell_run(load: Load, latency: Latency, expected_ms: float) -> None:
    """One line on standard error."""
    at = round(latency.percentile)
    print(
        f"  {load.rate_per_s:9,.1f}/s for {load.seconds:4.1f} s: {load.late / load.requests:7.2%} late, "
        f"p{latency.percentile:g} {load.quantiles_ms[at]:8.2f} ms (simulated {expected_ms:.2f}), "
        f"batches of {load.mean_batch:4.1f}, generator {load.generator_share:.0%} of a core and "
        f"{load.sent_late_ms[99]:.2f} ms late (p99), others {load.others_cores} cores",
        file=sys.stderr,
        flush=True,
    )


def row(name: str, case: Case, outcomes: list[Outcome]) -> tuple[str, bool]:
    """One line of the table in docs/benchmarks.md, and whether the prediction is close."""
    ratios = sorted(o.predicted / o.found.rate if o.found.rate else float("inf") for o in outcomes)
    middle = min(outcomes, key=lambda o: abs(o.predicted / max(o.found.rate, 1e-9) - statistics.median(ratios)))
    others = max(load.others_cores or 0.0 for o in outcomes for load in o.found.runs)
    generator = max(load.generator_share for o in outcomes for load in o.found.runs)
    text = (
        f"| {name} | {case.candidate.id} | p{case.latency.percentile:g} {case.latency.bound_ms:g} ms | "
        f"{middle.predicted:,.0f} | {middle.found.rate:,.0f} | {statistics.median(ratios):.3f} "
        f"({ratios[0]:.2f} – {ratios[-1]:.2f}) | {sum(len(o.found.runs) for o in outcomes)} | {generator:.0%} | "
        f"{others:.2f} |"
    )
    return text, abs(statistics.median(ratios) - 1) <= CLOSE


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", nargs="*", choices=[[], *CASES], help="Which; all unless said.")
    parser.add_argument("--short", action="store_true", help="A trial of some seconds: figures of no worth.")
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    print(
        "| case | candidate | bound | simulated req/s | found req/s | simulated / found | runs | generator | others |"
    )
    print("| --- | --- | --- | --- | --- | --- | --- | --- | --- |")
    far = 0
    for name in arguments.cases or list(CASES):
        case = CASES[name]
        repeats = 1 if arguments.short else arguments.repeats
        with tempfile.TemporaryDirectory() as folder, opened(order.job(words(case.job)), Path(folder)) as (bench, _):
            text, close = row(name, case, [once(bench, case, arguments.short, seed) for seed in range(repeats)])
        print(text, flush=True)
        far += not close
    return far


if __name__ == "__main__":
    sys.exit(main())
