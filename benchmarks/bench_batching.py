"""How much of what batches allow a server keeps: capacity of `steelyard serve` over the best batch's throughput.

EfficientNet-Lite0 as int8 in OpenVINO on two streams, p95 within 50 ms. *Offline*: batches of one size, back to back
on all streams of the opened candidate, in this process; the best of the sizes whose service time (its 95th percentile)
fits into the bound. *Served*: `steelyard serve` of the same bundle, one picture a request as binary tensor, Poisson
arrivals; the highest rate (in steps of 2.5 % of offline) at which 95 % are answered within the bound. Offline is
measured before and after; the mean counts.

A picture is 602 kB of float32, which client and server each copy through the kernel, and the client shares the two
cores with the server: what it used is told, and the share of what the remaining cores would have allowed offline.

Asked: at least 95 %. Needs STEELYARD_DATA with `models` beside it.

    python benchmarks/bench_batching.py [--bundle FOLDER] [--bound 50] [--seconds 10] [--short]
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from fixed import bundle_of
from jobs import words
from offered import Offered, highest, requests_of
from servers import cpu_s, free_port, running

from steelyard.bundle import Bundle, read_bundle
from steelyard.records.engine import Array
from steelyard.serve.opening import Options, first_item, open_resident
from steelyard.serve.served import Resident

ASKED = 0.95
CANDIDATE = "int8-nncf.openvino.{precision}.t1s2b32"
PICTURES = 300
SIZES = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32)
STEPS = tuple(1.05 - 0.025 * step for step in range(30))
SERVED = "m"


@dataclass(frozen=True)
class Batches:
    """Batches of one size, back to back on all streams."""

    size: int
    per_s: float
    """Items."""
    p95_ms: float
    """Of one batch."""


def offline(bundle: Bundle, bound_ms: float, seconds: float) -> list[Batches]:
    """All sizes that fit into the bound."""
    figures, signature = bundle.plan.chosen_figures, bundle.plan.subject.signature
    if figures is None or signature is None:
        raise SystemExit("this needs a bundle whose plan was met")
    resident = open_resident(bundle, figures, Options())
    item = first_item(signature)
    found = []
    try:
        for size in (size for size in SIZES if size <= resident.max_batch):
            inputs = {name: np.repeat(array, size, axis=0) for name, array in item.items()}
            found.append(_back_to_back(resident, figures.candidate.workers, inputs, size, seconds))
            if found[-1].p95_ms > bound_ms:
                break
    finally:
        resident.close()
    return [one for one in found if one.p95_ms <= bound_ms]


def _back_to_back(resident: Resident, streams: int, inputs: dict[str, Array], size: int, seconds: float) -> Batches:
    took: list[list[float]] = [[] for _ in range(streams)]
    for stream in range(streams):
        resident.session.run(stream, inputs)
    until = time.perf_counter() + seconds

    def work(stream: int) -> None:
        while (begun := time.perf_counter()) < until:
            resident.session.run(stream, inputs)
            took[stream].append(time.perf_counter() - begun)

    threads = [threading.Thread(target=work, args=(stream,)) for stream in range(streams)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    per_s = sum(size * len(times) / sum(times) for times in took)
    return Batches(size, per_s, float(np.quantile([one for times in took for one in times], 0.95) * 1000))


@dataclass(frozen=True)
class Served:
    """What the server held, and what that took."""

    held: Offered
    server_cores: float


def served(bundle: Path, offline_per_s: float, bound_ms: float, seconds: float) -> Served | None:
    """The highest rate that holds; None: none does."""
    port = free_port()
    serve = (sys.executable, "-m", "steelyard.cli.main", "serve", f"{SERVED}={bundle}", "--no-switch")
    with running([*serve, "--port", str(port), "--grpc-port", "-1", "--format", "quiet"], port) as process:
        requests = requests_of(port, SERVED)
        found = highest(port, requests, [share * offline_per_s for share in STEPS], seconds, bound_ms / 1000)
        if found is None:
            return None
        used, begun = cpu_s(process), time.monotonic()
        again = highest(port, requests, [found.rate], seconds, bound_ms / 1000) or found
        cores = (cpu_s(process) - used) / (time.monotonic() - begun)
        return Served(again, cores)


def tell(before: list[Batches], after: list[Batches], found: Served | None, best: float, cores: int) -> bool:
    """Print it all; whether what was asked was reached."""
    print("| batch | offline, items/s (before, after) | p95 of a batch, ms |\n| --- | --- | --- |")
    for one in before:
        again = next((other for other in after if other.size == one.size), one)
        print(f"| {one.size} | {one.per_s:,.0f}, {again.per_s:,.0f} | {one.p95_ms:.1f} |")
    if found is None:
        print("\nThe server held none of the rates.")
        return False
    held, share = found.held, found.held.rate / best
    left = held.rate / (best * (cores - held.client_cores) / cores)
    print(
        f"\nServed: {held.rate:,.0f}/s with {held.late:.1%} late (p50 {held.ms(0.5):.1f} ms, p95 {held.ms(0.95):.1f} "
        f"ms): {share:.1%} of the best batch's {best:,.0f}/s; asked {ASKED:.0%}.\n"
        f"The server used {found.server_cores:.2f} cores, the client {held.client_cores:.2f}: of what the rest of the "
        f"{cores} cores would allow offline it is {left:.1%}."
    )
    return share >= ASKED


def bundle_at(given: Path | None, bound_ms: float, folder: Path) -> Bundle:
    """The bundle that was given, or one of the fixed candidate."""
    if given is not None:
        return read_bundle(given)
    told = words("efficientnet") | {"latency": f"p95={bound_ms:g}ms", "limit": PICTURES}
    try:
        return bundle_of(told, CANDIDATE.format(precision="bf16"), folder)
    except LookupError:  # a processor without bf16
        return bundle_of(told, CANDIDATE.format(precision="f32"), folder)


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--bundle", type=Path, help="of a weighing, in place of the fixed candidate")
    options.add_argument("--bound", type=float, default=50.0, help="milliseconds, of p95")
    options.add_argument("--seconds", type=float, default=10.0, help="of each run of load")
    options.add_argument("--short", action="store_true", help="see that it works: the figures mean nothing")
    chosen = options.parse_args()
    seconds = 2.0 if chosen.short else chosen.seconds
    with tempfile.TemporaryDirectory() as folder:
        bundle = bundle_at(chosen.bundle, chosen.bound, Path(folder))
        before = offline(bundle, chosen.bound, seconds / 5)
        if not before:
            raise SystemExit("no batch fits into the bound")
        best = max(one.per_s for one in before)
        found = served(bundle.folder.resolve(), best, chosen.bound, seconds)
        after = offline(bundle, chosen.bound, seconds / 5)
    best = statistics.mean((best, max((one.per_s for one in after), default=best)))
    return 0 if tell(before, after, found, best, len(os.sched_getaffinity(0))) else 1


if __name__ == "__main__":
    sys.exit(main())
