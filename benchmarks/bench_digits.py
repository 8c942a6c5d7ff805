"""How right the recipes for handwritten digits get, and how soon, as `steelyard train NAME` on this machine.

Each seed is a command of its own: reading, looking for leaks, training, judging on the 10,000 digits of the test (which
chose nothing: settings were found on a validation part of the training digits), exporting and checking the export.
*Training* is the time within the loop, validation included; *all* is the whole command. Accuracies are means over the
seeds, in brackets the worst and the best. What is done is kept in a file, and a second run goes on from there.

Needs the extra `train` and STEELYARD_DATA (or it is downloaded). About 1 minute a seed.

    python benchmarks/bench_digits.py [--seeds 5] [--results digits.jsonl] [digits-fast] [digits-tiny] …
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

ASKED = {"digits-conv2": 0.985, "digits-conv3": 0.985, "digits-fast": 0.994, "digits-tiny": 0.990}
FAST, FAST_S = "digits-fast", 60.0
"""Which of them is asked to be trained within so many seconds."""
FEW = ("digits-conv2", "digits-conv3")
"""Those of which one seed says enough."""


class Outcome(NamedTuple):
    """What came of one seed."""

    recipe: str
    seed: int
    accuracy: float
    parameters: int
    training_s: float
    all_s: float
    cpu_s: float


def once(recipe: str, seed: int) -> Outcome:
    """One command."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        command = ["train", recipe, "--seed", str(seed), "--out", folder, "--fresh", "--format", "json"]
        done = subprocess.run(
            [sys.executable, "-m", "steelyard.cli.main", *command], check=True, stdout=subprocess.PIPE
        )
    after, took = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter() - began
    told = json.loads(done.stdout)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    run = told["run"]
    return Outcome(recipe, seed, told["evaluation"]["accuracy"]["value"], run["parameters"], run["seconds"], took, cpu)


def row(outcomes: list[Outcome]) -> tuple[str, bool]:
    """One line of the table in docs/benchmarks.md, and whether what was asked is reached."""
    name, right = outcomes[0].recipe, [each.accuracy for each in outcomes]
    training, whole, cpu = (
        statistics.median(getattr(each, field) for each in outcomes) for field in ("training_s", "all_s", "cpu_s")
    )
    text = (
        f"| `{name}` | {outcomes[0].parameters:,} | {len(outcomes)} | {statistics.mean(right):.2%} "
        f"({min(right):.2%} – {max(right):.2%}) | {ASKED[name]:.1%} | {training:.0f} s | {whole:.0f} s | {cpu:.0f} s |"
    )
    soon = name != FAST or max(each.training_s for each in outcomes) <= FAST_S
    return text, statistics.mean(right) >= ASKED[name] and soon


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipes", nargs="*", choices=[[], *ASKED], help="Which; all unless said.")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--results", type=Path, default=Path("digits.jsonl"))
    arguments = parser.parse_args()
    known = arguments.results.read_text().splitlines() if arguments.results.exists() else []
    outcomes = [Outcome(*json.loads(line)) for line in known]
    print("| recipe | parameters | seeds | right | asked | training | all | CPU |")
    print("| --- | ---: | ---: | --- | ---: | ---: | ---: | ---: |")
    missed = 0
    for recipe in arguments.recipes or list(ASKED):
        for seed in range(1 if recipe in FEW else arguments.seeds):
            if not any((each.recipe, each.seed) == (recipe, seed) for each in outcomes):
                outcomes.append(once(recipe, seed))
                with arguments.results.open("a") as file:
                    file.write(json.dumps(outcomes[-1]) + "\n")
        text, reached = row([each for each in outcomes if each.recipe == recipe])
        print(text, flush=True)
        missed += not reached
    return missed


if __name__ == "__main__":
    sys.exit(main())
