"""What distilling, pruning and training for 8 bits add to the front of quality against serving cost.

    python benchmarks/bench_cheaper.py [--folder DIR] [--train-only] [mnist] [har-watch] [credit-default]

For each data set a network is trained by a small budget, and its cheaper forms after it (`--folder` keeps them: a
second run measures alone, in about three minutes a set on two cores). Then the network's variants that `steelyard
weigh` makes itself, but for those between float and 8 bits, and the cheaper forms with theirs, are measured as
weighing measures: service times of two processes with one thread each, interleaved with the network as given (one
request at a time on all cores), and from them the capacity of one replica at the bound on p95; quality on the test
part, which took no part in training or choosing.

A cheaper form extends the front when no variant of the network itself is at least as right and, within 5 %, as fast.
`alone` is the distilled network trained by the targets alone, as long: what the teacher adds. STEELYARD_DATA names the
mirror of the data sets.
"""

from __future__ import annotations

import argparse
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from steelyard.cli.settings import collect
from steelyard.decision.standing import Standing
from steelyard.errors import CandidateFailure
from steelyard.loop import cheaper as forms
from steelyard.loop import order
from steelyard.loop.training import finish
from steelyard.loop.weigh import limits_of, others_of, prepare, subject_of
from steelyard.loop.workspace import Workspace
from steelyard.machines.here import this_machine
from steelyard.measure.workbench import Workbench
from steelyard.records.candidate import Candidate
from steelyard.records.cheaper import NAMES, Cheaper
from steelyard.records.job import Job
from steelyard.records.measurement import Evidence, Probe
from steelyard.subjects.model import ModelSubject
from steelyard.train import recipes
from steelyard.train.fitting import fit

CASES: dict[str, dict[str, Any]] = {
    "mnist": {
        "data": {"name": "mnist"},
        "prepare": [{"name": "standard"}],
        "augment": [{"name": "affine", "rotate": 8, "scale": 0.08, "shift": 0.0714}],
        "network": {"name": "digits-fast"},
        "optimiser": {"name": "muon", "rate": 0.04, "rate-of-others": 0.01},
        "schedule": {"name": "one-cycle", "warm-up": 0.2},
        "training": {"epochs": 5, "batch": 256, "keep": "last"},
        "cheaper": {
            "distil": {"network": {"name": "digits-fast", "widths": [8, 16, 32, 64]}, "epochs": 8},
            "prune": {"keep": 0.5, "epochs": 4, "rate": 0.5},
            "quantise": {"epochs": 1},
        },
    },
    "har-watch": {
        "data": {"name": "har-watch", "windows": {"steps": 100, "every": 50}},
        "prepare": [{"name": "standard"}],
        "network": {"name": "gru", "hidden": 64},
        "optimiser": {"name": "adamw", "rate": 3e-3},
        "schedule": {"name": "one-cycle"},
        "augment": [{"name": "jitter"}],
        "training": {"epochs": 8, "batch": 64, "clip": 1.0},
        "cheaper": {
            "distil": {"network": {"name": "gru", "hidden": 16}, "epochs": 12},
            "prune": {"keep": 0.5, "epochs": 8, "rate": 0.5},
        },
    },
    "credit-default": {
        "data": {"name": "credit-default"},
        "network": {"name": "mlp", "width": 256, "layers": 3},
        "optimiser": {"name": "adamw", "rate": 1e-3},
        "schedule": {"name": "one-cycle"},
        "training": {"epochs": 6, "batch": 256},
        "cheaper": {"distil": {"network": {"name": "mlp", "width": 32}, "epochs": 10}, "prune": {}, "quantise": {}},
    },
}
BOUND = "p95=20ms"
OWN = ("original", "bf16", "cascade-25", "int8-dynamic", "int8-asymmetric", "int8-nncf", "int8-static")
"""Variants of the network itself that are measured."""
OF_FORMS = ("", "-bf16", "-int8-nncf", "-int8-static")
"""What is measured of each cheaper form."""
ALONE = "alone"
EFFORT = 0.5
SAME_SPEED = 0.95


class Measured(NamedTuple):
    """One candidate."""

    candidate: Candidate
    capacity: float
    quality: float

    def is_beaten_by(self, others: Sequence[Measured]) -> bool:
        """Whether one of these is at least as right and as fast."""
        return any(o.quality >= self.quality and o.capacity >= SAME_SPEED * self.capacity for o in others)


def trained(case: str, folder: Path) -> dict[str, str]:
    """The network and its cheaper forms in `folder`; returns their files by variant."""
    content = CASES[case] | {"name": case}
    recipe, wanted = recipes.parsed(content, case), recipes.cheaper_of(content, case)
    folder.mkdir(parents=True, exist_ok=True)
    network = fit(recipe, folder=folder)
    right = finish(network, folder).accuracy
    print(f"{case}: {recipe.network.name}, {network.run.parameters:,} parameters, accuracy {_told(right)}", flush=True)
    files = {}
    for way in wanted.wanted:
        form = forms.train(network, way, wanted, folder)
        _tell(NAMES[way], form)
        files[NAMES[way]] = str(folder / f"{NAMES[way]}.onnx")
    return files | {ALONE: _without_teacher(network, wanted, folder / ALONE)}


def _without_teacher(network: Any, wanted: Cheaper, folder: Path) -> str:
    """The same small network, trained as long by the targets alone."""
    folder.mkdir(exist_ok=True)
    form = forms.train(network, "distil", msgspec.structs.replace(wanted, share=0.0), folder)
    _tell(ALONE, form)
    return str(folder / f"{NAMES['distil']}.onnx")


def _tell(name: str, form: forms.Form) -> None:
    parameters = form.trained.run.parameters
    print(f"  {name}: {parameters:,} parameters, accuracy {_told(form.evaluation.accuracy)}", flush=True)


def _told(interval: Any) -> str:
    return f"{interval.value:.4f} ({interval.low:.4f} to {interval.high:.4f})"


@contextmanager
def opened(folder: Path, files: dict[str, str]) -> Iterator[tuple[Job, Workbench, ModelSubject]]:
    """A workbench for the network in `folder` with its cheaper forms as variants."""
    said = {name: each.value for name, each in collect({}, folder / "steelyard.toml").items()}
    words = said | {"model": str(folder / said["model"]), "data": str(folder / said["data"]), "variants": files}
    machine, stop = this_machine(), threading.Event()
    job = order.job(
        words | {"latency": BOUND, "metric": "accuracy", "quality_drop": "1%", "work": str(folder / "work")}
    )
    workspace = Workspace(Path(job.work), limits_of(job, machine), stop)
    info = workspace.inspect(Path(job.model))
    data = prepare(workspace, job, info)
    subject = subject_of(job, info, data, machine, others_of(workspace, job, info, data))
    with Workbench(subject, workspace.folder, workspace.limits, stop) as bench:
        yield job, bench, subject


def measured(case: str, folder: Path, files: dict[str, str]) -> None:
    """Measure and tell."""
    with opened(folder, files) as (job, bench, subject):
        found = [m for m in (_measure(job, bench, subject, c) for c in _chosen(subject, files)) if m is not None]
    own = [one for one in found if _of(one, files) is None]
    first = own[0]
    print(f"{case}: {'candidate':44} {'req/s':>9} {'gain':>6} {'accuracy':>9}  front")
    for one in sorted(found, key=lambda one: -one.capacity):
        others = [other for other in found if other is not one and _of(other, files) != ALONE]
        role = "" if one.is_beaten_by(others) else "front"
        role += " extended" if role and _of(one, files) not in (None, ALONE) and not one.is_beaten_by(own) else ""
        gain = one.capacity / first.capacity
        print(f"  {one.candidate.id:52} {one.capacity:9,.0f} {gain:5.1f}x {one.quality:9.4f}  {role}")


def _chosen(subject: ModelSubject, files: dict[str, str]) -> list[Candidate]:
    """The network as given, and of each kind of numerics the candidate that runs in two processes."""
    reference, *others = subject.candidates()
    kinds = [c for c in others if c.instances > 1 and not c.runtime.startswith("torch")]
    kinds = [c for c in kinds if c.precision == "f32" or c.variant.endswith("bf16")]
    forms = [name + end for name in files if name != ALONE for end in OF_FORMS]
    return [reference, *(c for c in kinds if c.variant in (*OWN, *forms, ALONE))]


def _measure(job: Job, bench: Workbench, subject: ModelSubject, candidate: Candidate) -> Measured | None:
    reference = bench.reference
    try:
        quiet = bench.glance(reference, 1, 0.3).median_ms
        speed = bench.speed(candidate, quiet, EFFORT)
        answers, expected = (bench.answers(one, 0, subject.split.total) for one in (candidate, reference))
    except CandidateFailure as failure:
        print(f"  {candidate.id}: {failure.kind}: {failure.message}")
        return None
    evidence = Evidence(candidate_id=candidate.id, probe=Probe(build_s=0, load_s=0, memory_mb=0), speed=speed)
    standing = Standing(candidate, evidence, job.requirements, job.price, subject.split)
    return Measured(candidate, standing.capacity, subject.judge(candidate.numerics, answers, expected, 0).value)


def _of(one: Measured, files: dict[str, str]) -> str | None:
    """The cheaper form that it is a variant of; None: the network itself."""
    return next((name for name in files if one.candidate.variant.startswith(name)), None)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", nargs="*", choices=[*CASES, []], default=[])
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--train-only", action="store_true")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        for case in arguments.cases or CASES:
            folder = (arguments.folder or Path(scratch)) / case
            files = trained(case, folder)
            if not arguments.train_only:
                measured(case, folder, files)


if __name__ == "__main__":
    main()
