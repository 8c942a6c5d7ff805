"""The models that the benchmarks weigh, and what a weighing of each is told.

Needs STEELYARD_DATA (the mirror of the data sets) with `models` beside it.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import banking77

from steelyard.assets import mnist_model, mnist_test
from steelyard.loop.weigh import limits_of, prepare, subject_of
from steelyard.loop.workspace import Workspace
from steelyard.machines.here import this_machine
from steelyard.measure.workbench import Workbench
from steelyard.records.job import Job
from steelyard.subjects.model import ModelSubject

MIRROR = Path(os.environ.get("STEELYARD_DATA", "data"))
MODELS = MIRROR.parent / "models"
PICTURES = MIRROR / "imagenet1000"
JOBS: dict[str, dict[str, Any]] = {
    "mnist": {"model": mnist_model(), "data": mnist_test(), "preprocess.scale": 1 / 255, "latency": "p95=5ms"},
    "efficientnet": {
        "model": MODELS / "efficientnet_lite0.onnx",
        "data": PICTURES / "images.zip",
        "manifest": str(PICTURES / "labels.csv"),
        "labels": "class",
        "preprocess.resize": [224, 224],
        "preprocess.interpolation": "bicubic",
        "preprocess.mean": [127.0],
        "preprocess.std": [128.0],
        "latency": "p95=50ms",
    },
    "lstm": {
        "model": MODELS / "lstm_10class.onnx",
        "data": MODELS / "lstm_10class.npz",
        "inputs": ["x=ev"],
        "labels": "y",
        "calibration": "cal",
        "latency": "p95=10ms",
    },
    "minilm": {**banking77.job(), "latency": "p95=100ms"},
}
"""By name, in the words of `steelyard.loop.order`."""


def words(name: str) -> dict[str, Any]:
    """What a weighing of this model is told; its files are there then."""
    if name == "minilm":
        banking77.classifier()
    return JOBS[name]


def flags(told: Mapping[str, Any]) -> list[str]:
    """The words of a weighing as arguments of `steelyard weigh`."""
    arguments = [str(told["model"])]
    for name, value in told.items():
        if name.startswith("preprocess."):
            parts = value if isinstance(value, list) else [value]
            arguments += ["--preprocess", f"{name.removeprefix('preprocess.')}={','.join(map(str, parts))}"]
        elif name == "inputs":
            arguments += [argument for pair in value for argument in ("--input", pair)]
        elif name != "model":
            arguments += [f"--{name.replace('_', '-')}", str(value)]
    return arguments


@contextmanager
def opened(job: Job, folder: Path) -> Iterator[tuple[Workbench, ModelSubject]]:
    """A workbench for the job, with its data prepared in `folder`, and its subject."""
    machine, stop = this_machine(), threading.Event()
    workspace = Workspace(folder, limits_of(job, machine), stop)
    info = workspace.inspect(Path(job.model))
    subject = subject_of(job, info, prepare(workspace, job, info), machine)
    with Workbench(subject, workspace.folder, workspace.limits, stop) as bench:
        yield bench, subject
