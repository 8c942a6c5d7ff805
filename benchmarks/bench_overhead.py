"""What serving costs beside the model: requests per second and latency of `steelyard serve` and of other servers.

Each server answers one at a time, in turn, on the same two cores, which wrk shares with it (closed loop, one thread):

- *steelyard*: `steelyard serve` as users run it (uvicorn); *steelyard-granian*: the same application on granian;
- *echo*: a bare ASGI application on uvicorn that sends bodies back: what of it remains is the share that we keep;
- LitServe, MLServer, BentoML, Ray Serve, each in an environment of its own that pip makes (pinned, see
  `peers/contestants.py`), written as its documentation advises for speed, run with each of several settings; the one
  that is best over all cells of a model takes part in the rounds.

Work: a network that does nothing (identity of 16 float32) and the small MNIST network; all servers run the same file in
ONNX Runtime. Requests: one item as JSON, and as bytes where a server takes bytes; 1 and 16 connections.
Servers and client share a network namespace without any way out, so that nothing they open can be reached.

Asked: at least 10 times the requests per second of LitServe, 4 times MLServer's, far above BentoML and Ray Serve (here:
10 times), in every cell; p50 within 0.5 ms at one connection. Needs wrk (`apt-get install wrk`) and Linux.

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
from pathlib import Path
from typing import NamedTuple

import numpy as np
from fixed import bundle_of, identity
from jobs import words
from peers import wrk
from peers.asking import Item
from peers.contestants import CONTESTANTS, OURS, REQUIREMENTS, Contestant, Setting
from peers.environments import prepared
from peers.trying import Work, rates
from peers.wrk import Rate

CANDIDATE = "original.onnxruntime.f32.t1s2b32"
CORES = 2
INSIDE = "STEELYARD_BENCHMARK_INSIDE"
"""Set once this runs in a network namespace of its own."""
ASKED = {"litserve": 10.0, "mlserver": 4.0, "bentoml": 10.0, "ray": 10.0}
P50_MS = 0.5
PEERS = Path.home() / ".cache" / "steelyard-benchmarks" / "peers"


class Cell(NamedTuple):
    """What was asked, and how."""

    work: str
    form: str
    connections: int


Found = dict[str, dict[Cell, list[Rate]]]
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
            means[setting.name] = statistics.geometric_mean(max(rate.per_s, 1e-9) for rate in found.values())
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
            for (form, connections), rate in rates(one, setting, work, peers, seconds).items():
                cell = Cell(work.name, form, connections)
                found.setdefault(f"{one.name} ({setting.name})", {}).setdefault(cell, []).append(rate)
                told = f"{rate.per_s:,.0f}/s, p50 {rate.p50_ms:.3f} ms"
                print(f"  round {number + 1} {one.name} {cell}: {told}", file=sys.stderr, flush=True)
    return found


def table(found: Found) -> list[str]:
    """Lines of the table for docs/benchmarks.md: medians of the rounds, `ours` over each."""
    lines = ["| work | form | connections | server | req/s | p50 ms | p99 ms | ours over it |"]
    lines.append("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for cell in sorted({cell for cells in found.values() for cell in cells}):
        ours = _median(found, OURS[0], cell)
        for name, cells in found.items():
            if cell not in cells:
                lines.append(f"| {cell.work} | {cell.form} | {cell.connections} | {name} | n/a | | | |")
                continue
            rate = _middle(cells[cell])
            ratio = "" if name.startswith(f"{OURS[0]} ") or ours is None else _over(cells[cell], found, cell)
            lines.append(
                f"| {cell.work} | {cell.form} | {cell.connections} | {name} | {rate.per_s:,.0f} | {rate.p50_ms:.3f} | "
                f"{rate.p99_ms:.2f} | {ratio} |"
            )
    return lines


def _over(theirs: list[Rate], found: Found, cell: Cell) -> str:
    ours = next(cells[cell] for name, cells in found.items() if name.startswith(f"{OURS[0]} "))
    ratios = [mine.per_s / max(other.per_s, 1e-9) for mine, other in zip(ours, theirs, strict=False)]
    return f"{statistics.median(ratios):.2f}× ({min(ratios):.2f}–{max(ratios):.2f})"


def _median(found: Found, name: str, cell: Cell) -> Rate | None:
    return next((_middle(c[cell]) for told, c in found.items() if told.startswith(f"{name} ") and cell in c), None)


def _middle(rates: list[Rate]) -> Rate:
    return Rate(
        per_s=statistics.median(rate.per_s for rate in rates),
        p50_ms=statistics.median(rate.p50_ms for rate in rates),
        p99_ms=statistics.median(rate.p99_ms for rate in rates),
        failed=sum(rate.failed for rate in rates),
        client_cores=max(rate.client_cores for rate in rates),
    )


def missed(found: Found) -> list[str]:
    """What was asked and not reached, in sentences."""
    told = []
    for cell in sorted({cell for cells in found.values() for cell in cells}):
        ours = _median(found, OURS[0], cell)
        if ours is None:
            continue
        if cell.connections == 1 and ours.p50_ms > P50_MS:
            told.append(f"{cell}: p50 {ours.p50_ms:.2f} ms, asked {P50_MS} ms")
        for name, least in ASKED.items():
            theirs = _median(found, name, cell)
            if theirs is not None and ours.per_s < least * theirs.per_s:
                told.append(f"{cell}: {ours.per_s / theirs.per_s:.1f} times {name}, asked {least:g}")
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
    options.add_argument("--json", type=Path)
    chosen = options.parse_args()
    if not wrk.is_there() or shutil.which("unshare") is None:
        print("this needs wrk and unshare: apt-get install wrk util-linux iproute2", file=sys.stderr)
        return 2
    names = chosen.only.split(",")
    if not inside():
        for name in REQUIREMENTS:
            if name in names:
                prepared(name, chosen.peers.resolve())
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
    every = [rate for cells in found.values() for rates in cells.values() for rate in rates]
    print(f"\nThe client used up to {max(rate.client_cores for rate in every):.0%} of a core.")
    if failed := sum(rate.failed for rate in every):
        print(f"{failed} requests failed.")
    lacking = missed(found)
    print("\n".join(f"Missed: {one}" for one in lacking) or "All that was asked was reached.")
    if chosen.json:
        rows = [
            {"server": name} | cell._asdict() | {"rounds": [vars(rate) for rate in rates]}
            for name, cells in found.items()
            for cell, rates in cells.items()
        ]
        chosen.json.write_text(json.dumps(rows, indent=1))
    return min(len(lacking), 1)


if __name__ == "__main__":
    sys.exit(main())
