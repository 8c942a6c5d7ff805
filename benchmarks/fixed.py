"""A bundle of one candidate that is named, measured as a weighing measures it but without a search.

The candidate is its own reference: the plan promises its speed and nothing of its quality. For benchmarks of what
stands around a model, where a search would only add what differs from run to run.
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import onnx
from jobs import opened
from onnx import TensorProto, helper

from steelyard.bundle import Bundle, write_bundle
from steelyard.decision import decide
from steelyard.loop import order
from steelyard.loop.weigh import weighing_of
from steelyard.measure.workbench import Workbench
from steelyard.records.candidate import Candidate
from steelyard.records.measurement import Evidence
from steelyard.records.plan import SearchFigures
from steelyard.subjects.among import Part
from steelyard.subjects.model import ModelSubject
from steelyard.version import VERSION

EFFORT = 0.5
"""Of a careful timing."""


def bundle_of(told: Mapping[str, Any], wanted: str, folder: Path) -> Bundle:
    """The bundle in `folder`, made of this candidate (its id) of the job that the words tell (see `jobs`).

    Raises LookupError when there is no such candidate, ValueError when it does not keep the job's requirements.
    """
    ordered = order.job(told)
    with opened(ordered, folder / "work") as (bench, subject):
        candidate = next((one for one in subject.candidates() if one.id == wanted), None)
        if candidate is None:
            raise LookupError(f"there is no candidate {wanted} among {[one.id for one in subject.candidates()]}")
        bench.subject = Part(subject, [candidate])
        weighing = msgspec.structs.replace(weighing_of(ordered, subject, subject.machine), candidates=(candidate,))
        plan = decide(
            weighing,
            {candidate.id: _evidence(bench, subject, candidate)},
            ordered.requirements,
            ordered.price,
            search=SearchFigures(seconds=0.0, measured=3, resumed=0, ruled_out=0, complete=True),
            version=VERSION,
            created=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        )
        if plan.chosen is None:
            raise ValueError(f"{plan.summary} Is the machine busy?")
        return write_bundle(plan, "", {candidate.variant: bench.built_folder(candidate)}, folder / "bundle")


def _evidence(bench: Workbench, subject: ModelSubject, candidate: Candidate) -> Evidence:
    split = subject.split
    probe, answers = bench.probe(candidate, split.total)
    if answers is None:
        raise ValueError(f"{candidate.id} cannot be run: {probe.failure}")
    judged = [
        msgspec.structs.replace(subject.judge(candidate.numerics, part, part, start), identical=True)
        for start, part in ((0, answers[: split.select]), (split.select, answers[split.select :]))
    ]
    speed = bench.speed(candidate, bench.glance(candidate, 1, 0.5).median_ms, EFFORT)
    return Evidence(candidate_id=candidate.id, probe=probe, speed=speed, selected=judged[0], confirmed=judged[1])


def identity(folder: Path, size: int = 16) -> dict[str, Any]:
    """The words of a job whose model does nothing: float32 `image` [n, size] comes out as it went in."""
    told = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", size]) for name in ("image", "same")]
    graph = helper.make_graph([helper.make_node("Identity", ["image"], ["same"])], "nothing", told[:1], told[1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    onnx.save(model, folder / "nothing.onnx")
    np.savez(folder / "nothing.npz", image=np.random.default_rng(0).normal(size=(200, size)).astype(np.float32))
    return {"model": folder / "nothing.onnx", "data": folder / "nothing.npz", "latency": "p95=5ms"}
