"""Weigh real models on real data, from nothing, and tell what came out against what was promised.

Measured: the gain in capacity per replica of the chosen plan over the reference (the model as given, ONNX Runtime on
all cores, one request at a time), both simulated through the same queue from service times taken side by side in one
run; quality on the items that confirmed it; wall time of the whole command; peak resident memory of the searching
process without its children. Needs STEELYARD_DATA (the mirror of the data sets) with `models` beside it; for `minilm`
see `banking77.py`.

    python benchmarks/bench_weigh.py [mnist] [efficientnet] [lstm] [minilm]
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from jobs import JOBS, flags, words

PROMISED = {"mnist": 1.0, "efficientnet": 2.5, "lstm": 1.0, "minilm": 1.0}
"""Gain in capacity that must be reached."""


def weigh(name: str, folder: Path) -> tuple[dict[str, Any], float, int]:
    """The plan, seconds of wall time, peak resident memory in MB of the searching process itself."""
    command = [sys.executable, "-m", "steelyard.cli.main", "weigh", "--format", "json"]
    command += flags(words(name) | {"quality_drop": "1%", "machine": "m7a.large", "within": "4min"})
    start = time.monotonic()
    with (folder / "plan.json").open("w") as out:
        process = subprocess.Popen(command, cwd=folder, stdout=out)
        peak = 0
        while process.poll() is None:
            peak = max(peak, resident_mb(process.pid))
            time.sleep(0.1)
    return json.loads((folder / "plan.json").read_text()), time.monotonic() - start, peak


def resident_mb(pid: int) -> int:
    """The high-water mark of one process, 0 when it is gone."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    found = [line for line in status.splitlines() if line.startswith("VmHWM")]
    return int(found[0].split()[1]) // 1000 if found else 0


def row(name: str, plan: dict[str, Any], seconds: float, peak: int) -> str:
    """One line of the table in docs/benchmarks.md."""
    chosen, quality, gain = plan["chosen"], plan["quality"], plan["gain"]
    return (
        f"| {name} | {chosen['id']} | {plan['reference']['capacity_per_replica']:,.0f} | "
        f"{plan['capacity_per_replica']:,.0f} | {gain['speed']:.2f}× | "
        f"{quality['value']:.4f} / {quality['reference']:.4f} | "
        f"{quality['drop'] * 100:.2f} (≤ {quality['bound'] * 100:.2f}) | {quality['items']} | "
        f"{seconds:.0f} s | {peak} MB |"
    )


def main(names: list[str]) -> int:
    missed = 0
    print(
        "| model | chosen | reference req/s | chosen req/s | gain | quality / reference | drop, points | items "
        "| time | memory |"
    )
    print("| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |")
    for name in names or list(JOBS):
        with tempfile.TemporaryDirectory() as folder:
            plan, seconds, peak = weigh(name, Path(folder))
        print(row(name, plan, seconds, peak), flush=True)
        for warning in plan["warnings"]:
            print(f"  {warning}", file=sys.stderr)
        missed += plan["gain"]["speed"] < PROMISED[name] or seconds > 300 or peak > 300
    return missed


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
