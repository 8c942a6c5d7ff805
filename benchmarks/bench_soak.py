"""Whether a server stays as it is: memory, descriptors, threads and p99 of `steelyard serve` over ten busy minutes.

The MNIST network in ONNX Runtime on two streams, behind `steelyard serve` as users run it; Poisson arrivals at 80 % of
the highest rate (in steps of 5 % of the saturated one) at which 95 % are answered within 20 ms. The client shares the
cores and opens its 64 connections anew for every stretch of a minute. Of the server's processes the resident memory,
open descriptors and threads are looked at every two seconds.

Flat means, from the second stretch on (the first one warms up): the slope of the memory (Theil and Sen's: the median of
the slopes between all pairs of looks) stays below 1 % of it in ten minutes, no more descriptors and threads at the end
than in the second stretch (2 to spare), and the p99 of the last half of the stretches is at most 1.5 times that of the
first half. No request may fail. Exit status 1 otherwise.

    python benchmarks/bench_soak.py [--minutes 10] [--share 0.8]
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path

import numpy as np
import psutil
from fixed import bundle_of
from jobs import words
from offered import Offered, highest, offer, requests_of, saturated
from servers import free_port, running, tree

CANDIDATE = "original.onnxruntime.f32.t1s2b32"
SERVED = "m"
BOUND_S = 0.02
LADDER = tuple(share / 100 for share in range(100, 0, -5))
LOOK_S = 2.0
FEWEST, STRETCH_S = 5, 60.0
MOST_GROWTH = 0.01
"""Of the memory, in ten minutes."""
MOST_MORE = 2
"""Descriptors, threads."""
MOST_SLOWER = 1.5


@dataclass(frozen=True)
class Look:
    """The server's processes together."""

    at_s: float
    rss_mb: float
    descriptors: int
    threads: int


@dataclass
class Watch:
    """Looks at the server until it is told to end."""

    process: subprocess.Popen[bytes]
    looks: list[Look] = field(default_factory=list)
    _ended: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> Watch:
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._ended.wait(LOOK_S):
            self.looks.append(look(tree(self.process)))


def look(processes: Sequence[psutil.Process]) -> Look:
    """Now."""
    return Look(
        at_s=time.monotonic(),
        rss_mb=sum(one.memory_info().rss for one in processes) / 1e6,
        descriptors=sum(one.num_fds() for one in processes),
        threads=sum(one.num_threads() for one in processes),
    )


@dataclass(frozen=True)
class Stretch:
    """One run of load and what was seen meanwhile."""

    offered: Offered
    looks: tuple[Look, ...]

    @property
    def rss_mb(self) -> float:
        """The middle."""
        return statistics.median(one.rss_mb for one in self.looks)


def soaked(port: int, process: subprocess.Popen[bytes], share: float, seconds: float, count: int) -> list[Stretch]:
    """So many stretches at this share of the capacity."""
    requests = requests_of(port, SERVED)
    most = saturated(port, requests)
    found = highest(port, requests, [part * most for part in LADDER], 5.0, BOUND_S)
    if found is None:
        raise SystemExit("the server held none of the rates")
    stretches = []
    with Watch(process) as watch:
        for number in range(count):
            before = len(watch.looks)
            offered = offer(port, requests, share * found.rate, seconds, BOUND_S, seed=number)
            stretches.append(Stretch(offered, tuple(watch.looks[before:])))
            print(row(number, stretches[-1]), flush=True)
    return stretches


def row(number: int, stretch: Stretch) -> str:
    """One line of the table."""
    last, offered = stretch.looks[-1], stretch.offered
    failed = int(np.isinf(offered.latencies_s).sum())
    return (
        f"| {number + 1} | {offered.rate:,.0f} | {stretch.rss_mb:.1f} | {last.descriptors} | {last.threads} | "
        f"{offered.ms(0.5):.2f} | {offered.ms(0.99):.2f} | {failed} | {offered.client_cores:.2f} |"
    )


def slope(looks: Sequence[Look]) -> float:
    """Of the memory, megabytes a second."""
    pairs = combinations(looks, 2)
    return statistics.median((b.rss_mb - a.rss_mb) / (b.at_s - a.at_s) for a, b in pairs)


def risen(stretches: Sequence[Stretch]) -> list[str]:
    """What did not stay as it was, in sentences."""
    steady = stretches[1:]
    looks = [one for stretch in steady for one in stretch.looks]
    told = []
    growth = slope(looks) * 600 / statistics.median(one.rss_mb for one in looks)
    print(f"\nMemory: {growth:+.2%} in ten minutes (at most {MOST_GROWTH:.0%}).")
    if growth > MOST_GROWTH:
        told.append("the memory grows")
    for what in ("descriptors", "threads"):
        first, last = (max(getattr(one, what) for one in part.looks) for part in (steady[0], steady[-1]))
        print(f"{what.capitalize()}: {first} in the second stretch, {last} in the last.")
        if last > first + MOST_MORE:
            told.append(f"there are more {what}")
    half = len(steady) // 2
    early, late = (statistics.median(one.offered.ms(0.99) for one in part) for part in (steady[:half], steady[half:]))
    print(f"p99: {early:.2f} ms in the first half, {late:.2f} ms in the last (at most {MOST_SLOWER:g} times).")
    if late > MOST_SLOWER * early:
        told.append("p99 rises")
    if any(np.isinf(one.offered.latencies_s).any() for one in stretches):
        told.append("requests failed")
    return told


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--minutes", type=float, default=10.0)
    options.add_argument("--share", type=float, default=0.8, help="of the capacity")
    chosen = options.parse_args()
    count = max(FEWEST, round(chosen.minutes))
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        bundle = bundle_of(words("mnist") | {"limit": 1000, "latency": "p95=20ms"}, CANDIDATE, Path(folder))
        serve = (sys.executable, "-m", "steelyard.cli.main", "serve", f"{SERVED}={bundle.folder.resolve()}")
        with running([*serve, "--port", str(port), "--grpc-port", "0", "--format", "quiet"], port) as process:
            print("| minute | req/s | memory, MB | descriptors | threads | p50 ms | p99 ms | failed | client, cores |")
            print("| --- | --- | --- | --- | --- | --- | --- | --- | --- |")
            stretches = soaked(port, process, chosen.share, chosen.minutes * STRETCH_S / count, count)
    told = risen(stretches)
    print("\n".join(f"Not flat: {one}." for one in told) or "Flat.")
    return 1 if told else 0


if __name__ == "__main__":
    sys.exit(main())
