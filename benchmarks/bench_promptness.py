"""How long people wait for what should be instant: `--help`, `import steelyard`, and a decision on 1,000 measurements.

Each is run several times as a fresh process (the decision also reads the ledger); the median and the spread are told.
"""

from __future__ import annotations

import random
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from steelyard.ledger import Ledger
from steelyard.machines.here import this_machine
from steelyard.records.base import to_json
from steelyard.records.candidate import Candidate
from steelyard.records.measurement import Entry, Measurement, Paired, Probe, Quality, ServiceTime, Speed
from steelyard.records.plan import SubjectInfo
from steelyard.records.weighing import Weighing

RUNS = 7
CANDIDATES = 334  # three measurements each
PROMISED_S = {"steelyard --help": 0.3, "import steelyard": 0.3, "steelyard decide, 1,000 measurements": 1.0}


def fill(place: Path) -> None:
    """A ledger of made-up measurements of one subject on this machine."""
    rng = random.Random(0)
    machine = this_machine()
    candidates = [Candidate(variant=f"v{i}", runtime="engine", max_batch=1 if i == 0 else 8) for i in range(CANDIDATES)]
    subject = SubjectInfo(
        name="made-up", key="k" * 32, metric="accuracy", model="m", model_sha256="0", data="d", data_sha256="1",
        items_select=1000, items_confirm=1500, items_calibrate=100,
    )  # fmt: skip
    with Ledger.open(place) as ledger:
        ledger.remember(
            subject.key, to_json(Weighing(subject=subject, machine=machine, candidates=tuple(candidates))).decode()
        )
        for number, candidate in enumerate(candidates):
            for name, measurement in measurements(candidate, rng):
                ledger.append(
                    Entry(key=f"{number}{name}", subject=subject.key, candidate=name or candidate.id,
                          machine=machine.fingerprint, created="2026-01-01T00:00:00", measurement=measurement)
                )  # fmt: skip


def measurements(candidate: Candidate, rng: random.Random) -> list[tuple[str, Measurement]]:
    ms, per_item = 0.3 + 5 * rng.random(), 0.2 + rng.random()
    lost = 0 if candidate.max_batch == 1 else rng.randrange(12)
    service = tuple(
        ServiceTime(
            batch=b, quantiles_ms=tuple((ms + b * per_item) * (0.95 + 0.1 * i / 40) for i in range(41)), runs=60
        )
        for b in (1, 2, 4, 8)
        if b <= candidate.max_batch
    )
    paired = Paired(both=1350 - lost, only_reference=lost, only_candidate=lost // 2, neither=150 - lost // 2)
    quality = Quality(
        metric="accuracy", start=1000, items=1500, value=(1350 - lost + lost // 2) / 1500, reference=0.9, paired=paired,
        identical=candidate.max_batch == 1,
    )  # fmt: skip
    return [
        ("", Probe(build_s=1, load_s=0.1, memory_mb=100)),
        ("", Speed(service=service, reference_ratio=1.0)),
        (candidate.numerics, quality),
    ]


def median_seconds(command: list[str], folder: Path) -> tuple[float, float]:
    """Median and spread (largest minus smallest) of several runs."""
    taken = []
    for _ in range(RUNS):
        start = time.perf_counter()
        subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        taken.append(time.perf_counter() - start)
    return statistics.median(taken), max(taken) - min(taken)


def main() -> int:
    missed = 0
    steelyard = str(Path(sys.executable).parent / "steelyard")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        fill(folder / "ledger.db")
        decide = ["decide", "--ledger", "ledger.db", "--p95", "20ms", "--rate", "3000/s", "--price", "0.1USD/h"]
        commands = {
            "steelyard --help": [steelyard, "--help"],
            "import steelyard": [sys.executable, "-c", "import steelyard"],
            "steelyard decide, 1,000 measurements": [steelyard, *decide],
        }
        for what, command in commands.items():
            median, spread = median_seconds(command, folder)
            print(f"| {what} | {median:.2f} s | ± {spread / 2:.2f} s | {PROMISED_S[what]:.1f} s |")
            missed += median > PROMISED_S[what]
    return missed


if __name__ == "__main__":
    sys.exit(main())
