"""What serving costs beside the model: requests per second and latency of `steelyard serve` and of other servers.

Each server answers one at a time, in turn, on the same two cores, which wrk shares with it (closed loop, one thread):

- *steelyard*: `steelyard serve` as users run it (uvicorn); *steelyard-granian*: the same application on granian;
- *echo*: a bare ASGI application on uvicorn that sends bodies back: what of it remains is the share that we keep;
- LitServe, MLServer, BentoML, Ray Serve, Triton (as PyTriton brings it), each in an environment of its own that pip
  makes (pinned, see `peers/contestants.py`), written as its documentation advises for speed, run with each of several
  settings; the one that is best over all cells of a model takes part in the rounds.

Work: a network that does nothing (identity of 16 float32) and the small MNIST network; all servers run the same file in
ONNX Runtime. Requests: one item as JSON, and as bytes where a server takes bytes; 1 and 16 connections.
Servers and client share a network namespace without any way out, so that nothing they open can be reached.

Asked: at least 10 times the requests per second of LitServe, 4 times MLServer's, far above BentoML and Ray Serve (here:
10 times), in every cell; Triton's within 10 %; p50 within 0.5 ms at one connection. Needs wrk (`apt-get install wrk`)
and Linux. PyTriton's Triton has a Python of its own, which fails beside 3.11.7 and works beside 3.11.2: --triton
names the interpreter of its environment.

    python benchmarks/bench_overhead.py [--rounds 3] [--seconds 2] [--only litserve,mlserver] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import NamedTuple

import numpy as np
from fixed import bundle_of, identity
from jobs import words
from peers import wrk
from peers.asking import Item
from peers.contestants import CONTESTANTS, OURS, REQUIREMENTS, Contestant, Setting
from peers.environments import prepared
from peers.trying import Measured, Work, rates

CANDIDATE = "original.onnxruntime.f32.t1s2b32"
CORES = 2
INSIDE = "STEELYARD_BENCHMARK_INSIDE"
"""Set once this runs in a network namespace of its own."""
ASKED = {"litserve": 10.0, "mlserver": 4.0, "bentoml": 10.0, "ray": 10.0, "triton": 0.9}
P50_MS = 0.5
PEERS = Path.home() / ".cache" / "steelyard-benchmarks" / "peers"


class Cell(NamedTuple):
    """What was asked, and how."""

    work: str
    form: str
    connections: int


Found = dict[str, dict[Cell, list[Measured]]]
"""By contestant."""


def works(folder: Path) -> Iterator[Work]:
    """The two models: their files, their bundles, an item, and what the answer to it is."""
    for name, told in (("nothing", identity(folder)), ("mnist", words("mnist") | {"limit": 1000})):
        place = folder / name
        place.mkdir()
        bundle = bundle_of(told, CANDIDATE, place)
        yield Work(name, Path(told["model"]).resolve(), bundle.folder.resolve(), _item(told["data"], name))


def _item(data: Path, work: str) -> Item:
    with np.load(data) as arrays:
        item = arrays["x"][:1] / 255 if work == "mnist" else arrays["image"][:1]
    return np.ascontiguousarray(item, np.float32)


def best_setting(contestant: Contestant, work: Work, peers: Path) -> Setting | None:
    """The setting that answers most requests, in the geometric mean over all cells; None: none works."""
    if len(contestant.settings) == 1:
        return contestant.settings[0]
    means: dict[str, float] = {}
    for setting in contestant.settings:
        found = rates(contestant, setting, work, peers, 1)
        if found:
            means[setting.name] = statistics.geometric_mean(max(one.rate.per_s, 1e-9) for one in found.values())
            print(f"  {work.name} {contestant.name}, {setting.name}: {means[setting.name]:,.0f}/s", file=sys.stderr)
    if not means:
        return None
    return next(one for one in contestant.settings if one.name == max(means, key=means.__getitem__))


def measured(contestants: Sequence[Contestant], work: Work, peers: Path, rounds: int, seconds: float) -> Found:
    """All of them in turn, `rounds` times, each with its best setting."""
    settings = {one.name: best_setting(one, work, peers) for one in contestants}
    found: Found = {}
    for number in range(rounds):
        for one in contestants:
            setting = settings[one.name]
            if setting is None:
                continue
            for (form, connections), run in rates(one, setting, work, peers, seconds).items():
                cell = Cell(work.name, form, connections)
                found.setdefault(f"{one.name} ({setting.name})", {}).setdefault(cell, []).append(run)
                told = f"{run.rate.per_s:,.0f}/s, p50 {run.rate.p50_ms:.3f} ms"
                print(f"  round {number + 1} {one.name} {cell}: {told}", file=sys.stderr, flush=True)
    return found


def table(found: Found) -> list[str]:
    """Lines of the table for docs/benchmarks.md: medians of the rounds, `ours` over each."""
    lines = ["| work | form | connections | server | req/s | p50 ms | p99 ms | server CPU, µs | ours over it |"]
    lines.append("| --- | --- | --- | --- | --- | --- | --- | --- | --- |")
    for cell in sorted({cell for cells in found.values() for cell in cells}):
        ours = of(found, OURS[0], cell)
        for name, cells in found.items():
            runs = cells.get(cell, [])
            figures = f"{_figures(runs)} | {_over(ours, runs)}" if runs else "n/a | | | | "
            lines.append(f"| {cell.work} | {cell.form} | {cell.connections} | {name} | {figures} |")
    return lines


def of(found: Found, name: str, cell: Cell) -> list[Measured]:
    """The runs of a contestant by its name, whatever its setting; empty: it has none."""
    return next((cells[cell] for told, cells in found.items() if told.startswith(f"{name} (") and cell in cells), [])


def _figures(runs: list[Measured]) -> str:
    return (
        f"{median(runs, 'per_s'):,.0f} | {median(runs, 'p50_ms'):.3f} | {median(runs, 'p99_ms'):.2f} | "
        f"{statistics.median(run.server_us for run in runs):,.0f}"
    )


def median(runs: list[Measured], what: str) -> float:
    """Of one figure of wrk's."""
    return float(statistics.median(getattr(run.rate, what) for run in runs))


def _over(ours: list[Measured], theirs: list[Measured]) -> str:
    if not ours or ours is theirs:
        return ""
    ratios = [mine.rate.per_s / max(other.rate.per_s, 1e-9) for mine, other in zip(ours, theirs, strict=False)]
    return f"{statistics.median(ratios):.2f}× ({min(ratios):.2f}–{max(ratios):.2f})"


def missed(found: Found) -> list[str]:
    """What was asked and not reached, in sentences."""
    told = []
    for cell in sorted({cell for cells in found.values() for cell in cells}):
        ours = of(found, OURS[0], cell)
        if ours and cell.connections == 1 and median(ours, "p50_ms") > P50_MS:
            told.append(f"{cell}: p50 {median(ours, 'p50_ms'):.2f} ms, asked {P50_MS} ms")
        for name, least in ASKED.items():
            theirs = of(found, name, cell)
            if ours and theirs and median(ours, "per_s") < least * median(theirs, "per_s"):
                ratio = median(ours, "per_s") / max(median(theirs, "per_s"), 1e-9)
                told.append(f"{cell}: {ratio:.1f} times {name}, asked {least:g}")
    return told


def inside() -> bool:
    """Whether this runs in a network namespace of its own, with its loopback up."""
    if INSIDE not in os.environ:
        return False
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    return True


def go_inside() -> None:
    """Start this again in a network namespace of its own. Does not return."""
    rights = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    os.environ[INSIDE] = "yes"
    os.execvp("unshare", ["unshare", "--net", *rights, sys.executable, *sys.argv])  # noqa: S606


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--seconds", type=int, default=2, help="of each run; wrk takes whole ones")
    options.add_argument("--only", default=",".join(one.name for one in CONTESTANTS))
    options.add_argument("--peers", type=Path, default=PEERS, help="where the peers' environments are, or are made")
    options.add_argument(
        "--triton", metavar="PYTHON", default=sys.executable, help="the interpreter of its environment"
    )
    options.add_argument("--json", type=Path)
    chosen = options.parse_args()
    if not wrk.is_there() or shutil.which("unshare") is None:
        print("this needs wrk and unshare: apt-get install wrk util-linux iproute2", file=sys.stderr)
        return 2
    names = chosen.only.split(",")
    if not inside():
        for name in REQUIREMENTS:
            if name in names:
                prepared(name, chosen.peers.resolve(), chosen.triton if name == "triton" else sys.executable)
        go_inside()
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:CORES])
    return compare([one for one in CONTESTANTS if one.name in names], chosen)


def compare(contestants: Sequence[Contestant], chosen: argparse.Namespace) -> int:
    """Measure, print, and say what was missed."""
    found: Found = {}
    with tempfile.TemporaryDirectory() as folder:
        for work in works(Path(folder)):
            for name, cells in measured(contestants, work, chosen.peers, chosen.rounds, chosen.seconds).items():
                found.setdefault(name, {}).update(cells)
    print("\n".join(table(found)))
    every = [run.rate for cells in found.values() for runs in cells.values() for run in runs]
    print(f"\nThe client used up to {max(rate.client_cores for rate in every):.0%} of a core.")
    if failed := sum(rate.failed for rate in every):
        print(f"{failed} requests failed.")
    lacking = missed(found)
    print("\n".join(f"Missed: {one}" for one in lacking) or "All that was asked was reached.")
    if chosen.json:
        rows = [
            {"server": name} | cell._asdict() | {"rounds": [asdict(run) for run in runs]}
            for name, cells in found.items()
            for cell, runs in cells.items()
        ]
        chosen.json.write_text(json.dumps(rows, indent=1))
    return min(len(lacking), 1)


if __name__ == "__main__":
    sys.exit(main())
