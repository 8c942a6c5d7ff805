"""What Steelyard's training loop costs, against a loop by hand, Lightning's Trainer, and Keras 3 on torch.

Everyone trains the same network on the same items in memory, with the same batches, epochs and rate of Adam, and
validates after each epoch; in turn, each in a process of its own, several rounds. Timed is the loop or `fit` alone,
without imports, reading and Steelyard's checks of the data. Lightning and Keras come in two ways: as their
documentation has it (what reports, saves and logs switched off), and *careful*: with glibc's malloc kept from giving
memory back and, for Lightning, pictures that lie pixel by pixel, which is what `steelyard train` does on its own. The
loop by hand is the yardstick for what the loop itself adds, and is careful in the same way.

Ratios are medians over the rounds, in brackets the smallest and the largest; those of CPU time move least beside other
work. Needs the extras `train`, `keras` and `bench`, and STEELYARD_DATA. About 4 minutes a network.

    python benchmarks/bench_trainers.py [--rounds 3] [--results trainers.jsonl] [conv2] [conv3] [mlp]
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

from trainers.job import JOBS

HERE = Path(__file__).parent
CAREFUL = {"CAREFUL": "1", "MALLOC_MMAP_THRESHOLD_": str(2**30), "MALLOC_TRIM_THRESHOLD_": str(2**30)}
OURS = "steelyard"
WAYS: dict[str, tuple[str, dict[str, str]]] = {
    OURS: ("steelyard", {}),
    "by hand, careful": ("hand", CAREFUL),
    "by hand": ("hand", {}),
    "lightning": ("lightning", {}),
    "lightning, careful": ("lightning", CAREFUL),
    "keras": ("keras", {}),
    "keras, careful": ("keras", CAREFUL),
}
ASKED = {"by hand, careful": 1 / 1.05, "lightning": 1.5, "keras": 1.5}
"""How many times as long as ours each must take at least."""


class Outcome(NamedTuple):
    """What one turn found."""

    job: str
    round: int
    way: str
    wall: float
    cpu: float
    accuracy: float


def once(job: str, number: int, way: str) -> Outcome:
    """A turn; its round is its seed."""
    trainer, environment = WAYS[way]
    command = [sys.executable, str(HERE / "trainers" / "once.py"), trainer, job, str(number)]
    done = subprocess.run(
        command, check=True, stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": str(HERE), **environment}
    )
    told = json.loads(done.stdout.splitlines()[-1])
    return Outcome(job, number, way, told["wall"], told["cpu"], told["accuracy"])


def rows(outcomes: list[Outcome]) -> tuple[list[str], int]:
    """The lines of one network, and how many of the ratios asked for are missed."""
    ours = {each.round: each for each in outcomes if each.way == OURS}
    lines, missed = [], 0
    for way in WAYS:
        own = [each for each in outcomes if each.way == way]
        ratios = sorted(each.wall / ours[each.round].wall for each in own)
        ratio, of_cpu = statistics.median(ratios), statistics.median(each.cpu / ours[each.round].cpu for each in own)
        wall, right = statistics.median(each.wall for each in own), [each.accuracy for each in own]
        lines.append(
            f"| {own[0].job} | {way} | {wall:.2f} s | {ratio:.2f}× ({ratios[0]:.2f} – {ratios[-1]:.2f}) | "
            f"{of_cpu:.2f}× | {statistics.mean(right):.2%} ({min(right):.2%} – {max(right):.2%}) |"
        )
        missed += ratio < ASKED.get(way, 0)
    return lines, missed


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("jobs", nargs="*", choices=[[], *JOBS], help="Which networks; all unless said.")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--results", type=Path, default=Path("trainers.jsonl"), help="Kept, and gone on with.")
    arguments = parser.parse_args()
    known = arguments.results.read_text().splitlines() if arguments.results.exists() else []
    outcomes = [Outcome(*json.loads(line)) for line in known]
    print("| network | trained by | time | over ours | CPU time over ours | right on the test |")
    print("| --- | --- | ---: | --- | --- | --- |")
    missed = 0
    for job in arguments.jobs or list(JOBS):
        for number in range(arguments.rounds):
            for way in WAYS:
                if not any((each.job, each.round, each.way) == (job, number, way) for each in outcomes):
                    outcomes.append(once(job, number, way))
                    with arguments.results.open("a") as file:
                        file.write(json.dumps(outcomes[-1]) + "\n")
        lines, few = rows([each for each in outcomes if each.job == job])
        print("\n".join(lines), flush=True)
        missed += few
    return missed


if __name__ == "__main__":
    sys.exit(main())
