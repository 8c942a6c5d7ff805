"""What weighing gains on a server: capacity within a latency bound, against the two plain ways to serve a model.

Three servers of the same model on the same machine, one at a time, in turn, each asked by the same open-loop client
(Poisson arrivals, latency from the moment a request was due) that shares the machine with them:

(a) `plain`:   FastAPI, JSON lists, torch eager, one request at a time (glibc's malloc tuned for it, which helps it);
(b) `careful`: FastAPI, raw bytes, ONNX Runtime as it comes, one request at a time;
(c) `ours`:    the bundle of `steelyard weigh`, by `steelyard serve`, binary tensors of its protocol.
With --olive PYTHON (the interpreter of an environment with `olive-ai onnxruntime requests psutil`) also:
(d) `olive`:   what Olive's search chooses for the same model, made a bundle and served exactly like ours.

Ours serves the chosen variant alone (`--no-switch`), since the table tells the quality of that one.

Capacity is the highest rate tried at which the demanded share of requests is answered within the bound. All at most
one point of quality below the reference. Needs the extras `bench` and `train`, and STEELYARD_DATA with `models` beside.

    python benchmarks/bench_gain.py [--rounds 2] [--olive PYTHON] [mnist] [efficientnet] [lstm] [minilm]
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from fixed import bundle_of
from gain.items import binary_requests, filled_up, judging, prepared_in, some_items, told_inputs
from gain.open_loop import load, post
from jobs import flags, words
from servers import free_port, running

from steelyard.arrivals import poisson

OLIVE_ITEMS, OLIVE_S = 1000, "60"
"""How many items Olive may look at, and for how long each of its two searches lasts."""
HERE = Path(__file__).parent / "gain"
SERVED = "m"
"""What the model is called where it is served."""
LATE = 0.05
"""Share of requests that may be late: the bound is on p95."""
CONNECTIONS = 256
"""More than are ever in flight within a bound: with fewer, requests wait in the client for the server's sake."""
SHORTEST_S, LONGEST_S, WANTED = 3.0, 20.0, 300
"""A run lasts until this many requests were due, but no shorter and no longer than this."""
LADDER = tuple(share / 100 for share in range(100, 5, -5))
"""Shares of the saturated throughput that are tried as rates, from the highest down."""
MALLOC = {"MALLOC_MMAP_THRESHOLD_": str(2**30), "MALLOC_TRIM_THRESHOLD_": str(2**30)}
ASKED = {"mnist": 10.0, "efficientnet": 25.0, "lstm": 5.0, "minilm": 4.5}
"""Gain over the plain way that must be reached; over the careful way: 2.5 in the geometric mean, never below 1."""
BOUNDS_MS = {"mnist": 20.0, "efficientnet": 300.0, "lstm": 20.0, "minilm": 250.0}
"""Wide enough that the plain way can keep them at all."""
WITHIN = {"mnist": "4min", "efficientnet": "10min", "lstm": "4min", "minilm": "10min"}
"""For the weighing; a tenth and less of what measuring everything takes."""


@dataclass(frozen=True)
class Case:
    """One model: its file, its weighed bundle, and requests in all forms."""

    name: str
    model: Path
    bundle: Path
    plan: dict[str, Any]
    inputs: Path
    text: list[bytes]
    raw: list[bytes]
    binary: list[bytes]
    olive: Path | None = None

    @property
    def bound_s(self) -> float:
        """Of p95."""
        return BOUNDS_MS[self.name] / 1000

    def requests(self, way: str) -> Sequence[bytes]:
        """In the form that this way takes."""
        return {"plain": self.text, "careful": self.raw}.get(way, self.binary)


def weighed(name: str, folder: Path) -> Case:
    """Weigh the model for the bound and make requests of the items that judged it."""
    told = words(name) | {"latency": f"p95={BOUNDS_MS[name]:g}ms", "quality_drop": "1%", "within": WITHIN[name]}
    command = [sys.executable, "-m", "steelyard.cli.main", "weigh", *flags(told), "--format", "json"]
    done = subprocess.run(command, cwd=folder, stdout=subprocess.PIPE, check=True)
    plan = json.loads(done.stdout)
    prepared = prepared_in(folder)
    items = some_items(prepared, 128 if any(array.lengths for array in prepared.judging.values()) else 32)
    inputs = folder / "inputs.json"
    inputs.write_text(json.dumps(told_inputs(prepared, items[0])))
    text = [
        post("/predict", json.dumps({n: a.tolist() for n, a in one.items()}).encode(), "application/json")
        for one in items
    ]
    raw = [post("/predict", b"".join(a.tobytes() for a in one.values()), "application/octet-stream") for one in items]
    binary = binary_requests(items, SERVED)
    return Case(name, Path(told["model"]), folder / "steelyard-plan", plan, inputs, text, raw, binary)


@contextmanager
def kept(work: str | None, name: str) -> Iterator[Path]:
    """A folder for one model: one that stays, or one that is gone afterwards."""
    if work is None:
        with tempfile.TemporaryDirectory() as made:
            yield Path(made)
    else:
        folder = Path(work, name)
        folder.mkdir(parents=True, exist_ok=True)
        yield folder.resolve()


@contextmanager
def served(way: str, case: Case) -> Iterator[int]:
    """A server of its own process; its port."""
    port = free_port()
    with started(way, case, port):
        yield port


def started(way: str, case: Case, port: int) -> AbstractContextManager[subprocess.Popen[bytes]]:
    """The server, once it listens."""
    if way in ("ours", "olive"):
        place = case.bundle if way == "ours" else case.olive
        serve = (sys.executable, "-m", "steelyard.cli.main", "serve", f"{SERVED}={place}", "--no-switch")
        return running([*serve, "--port", str(port), "--grpc-port", "-1", "--format", "quiet"], port)
    arguments = [{"plain": "torch", "careful": "ort"}[way], str(case.model), str(port), str(case.inputs)]
    # Beside this file the servers find what they share.
    environment = {"PYTHONPATH": str(HERE.parent)} | (MALLOC if way == "plain" else {})
    return running([sys.executable, str(HERE / "plain.py"), *arguments], port, environment)


def capacity(port: int, requests: Sequence[bytes], bound_s: float, seed: int) -> tuple[float, float]:
    """The highest rate of the ladder that holds, and its p95 in milliseconds; (0, 0) when none does."""
    most = saturated(port, requests)
    for share in LADDER:
        rate = share * most
        count = int(rate * min(max(SHORTEST_S, WANTED / rate), LONGEST_S))
        outcome = load(port, requests, poisson(rate, count, np.random.default_rng(seed)), CONNECTIONS)
        if outcome.late(bound_s) <= LATE:
            return rate, float(np.quantile(outcome.latencies, 0.95) * 1000)
    return 0.0, 0.0


def saturated(port: int, requests: Sequence[bytes]) -> float:
    """Requests per second when there is always one waiting, from growing heaps of requests that are due at once."""
    count = 16
    while True:
        start = time.perf_counter()
        outcome = load(port, requests, np.zeros(count), CONNECTIONS)
        took = time.perf_counter() - start
        if took > 2.0:
            return (count - outcome.failed) / took
        count *= 4 if took < 0.5 else 2


def chosen_by_olive(case: Case, python: str) -> Case:
    """The case with what Olive chooses, given the same items."""
    folder = case.bundle.parent
    if not (folder / "olive" / "settings.json").exists() and not ask_olive(case, python):
        return case
    tuned = json.loads((folder / "olive" / "settings.json").read_text())["settings"].get("session_options", {})
    division = "t1s2" if tuned.get("intra_op_num_threads") == 1 else "t2s1"
    # It is given batching too, which Olive itself does not plan.
    told = words(case.name) | {"model": folder / "olive" / "model.onnx", "latency": f"p95={BOUNDS_MS[case.name]:g}ms"}
    bundle = bundle_of(told, f"original.onnxruntime.f32.{division}b32", folder / "olive")
    return replace(case, olive=bundle.folder)


def ask_olive(case: Case, python: str) -> bool:
    """Whether Olive made something of it, beside the bundle."""
    folder = case.bundle.parent
    prepared = prepared_in(folder)
    labels = np.load(Path(prepared.folder) / "labels.npy")[:OLIVE_ITEMS]
    arrays = judging(prepared, OLIVE_ITEMS)
    inputs = {f"input:{n}": filled_up(array, prepared.judging[n].fill) for n, array in arrays.items()}
    np.savez(folder / "olive.npz", labels=labels, **inputs)
    script = [python, str(HERE / "olive_choice.py"), str(case.model), str(folder / "olive.npz")]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run([*script, str(folder / "olive"), OLIVE_S], check=False, env=environment, capture_output=True)
    if done.returncode:
        print(f"  Olive made nothing of {case.name}: {done.stderr.decode()[-300:]}", file=sys.stderr)
    return not done.returncode


def measured(case: Case, rounds: int) -> dict[str, list[tuple[float, float]]]:
    """Capacity and p95 of the ways, in turn, `rounds` times."""
    found: dict[str, list[tuple[float, float]]] = {"plain": [], "careful": [], "ours": []}
    if case.olive is not None:
        found["olive"] = []
    for number in range(rounds):
        for way, results in found.items():
            with served(way, case) as port:
                results.append(capacity(port, case.requests(way), case.bound_s, number))
                print(f"  {case.name} {way} round {number + 1}: {results[-1][0]:.4g}/s", file=sys.stderr, flush=True)
    return found


def row(case: Case, found: dict[str, list[tuple[float, float]]]) -> tuple[str, float, float]:
    """One line of the table in docs/benchmarks.md, and both gains."""
    best = {way: statistics.median(rate for rate, _ in results) for way, results in found.items()}
    others = [way for way in found if way != "ours"]
    over = {
        way: [ours / max(other, 1e-9) for (ours, _), (other, _) in zip(found["ours"], found[way], strict=True)]
        for way in others
    }
    gains = {way: statistics.median(ratios) for way, ratios in over.items()}
    spread = {way: f"{min(ratios):.1f}–{max(ratios):.1f}" for way, ratios in over.items()}
    quality = case.plan["quality"]
    olive = f"{gains['olive']:.2f}× ({spread['olive']})" if "olive" in gains else "–"
    text = (
        f"| {case.name} (p95 {BOUNDS_MS[case.name]:g} ms) | {case.plan['chosen']['id']} | {best['plain']:,.0f} | "
        f"{best['careful']:,.0f} | {best['ours']:,.0f} | {gains['plain']:.1f}× ({spread['plain']}) | "
        f"{gains['careful']:.2f}× ({spread['careful']}) | "
        f"{quality['drop'] * 100:.2f} (≤ {quality['bound'] * 100:.2f}) | "
        f"{case.plan['capacity_per_replica']:,.0f} | {olive} |"
    )
    return text, gains["plain"], gains["careful"]


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("models", nargs="*", default=list(BOUNDS_MS))
    options.add_argument("--rounds", type=int, default=2)
    options.add_argument("--olive", metavar="PYTHON")
    options.add_argument("--work", metavar="FOLDER", help="keep what was weighed there, and go on from it")
    chosen = options.parse_args()
    print(
        "| model | chosen | (a) plain req/s | (b) careful req/s | ours req/s "
        "| over (a) | over (b) | drop, points | simulated | over Olive |"
    )
    print("| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |")
    careful, missed = [], 0
    for name in chosen.models:
        with kept(chosen.work, name) as folder:
            case = weighed(name, folder)
            if chosen.olive:
                case = chosen_by_olive(case, chosen.olive)
            text, plain_gain, careful_gain = row(case, measured(case, chosen.rounds))
        print(text, flush=True)
        careful.append(careful_gain)
        missed += plain_gain < ASKED[name] or careful_gain < 1
    mean = statistics.geometric_mean(max(gain, 1e-9) for gain in careful)
    print(f"\nover (b), geometric mean: {mean:.2f}×")
    return missed + (mean < 2.5)


if __name__ == "__main__":
    sys.exit(main())
