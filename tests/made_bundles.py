"""Bundles of models that were never weighed: made-up plans, real files. They open and serve like any other."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

import msgspec

import made_networks
from made_up import candidate, evidence, service, weighing
from steelyard.bundle import BUILT, write_bundle
from steelyard.decision import decide
from steelyard.records.base import to_json
from steelyard.records.candidate import Candidate
from steelyard.records.machine import Price
from steelyard.records.measurement import Evidence, Speed
from steelyard.records.model import TensorInfo
from steelyard.records.plan import Plan, SearchFigures
from steelyard.records.requirements import Requirements
from steelyard.records.signature import Signature

TWO_INPUTS = Signature(
    inputs=(
        TensorInfo(name="a", dtype="float32", shape=(None, 8)),
        TensorInfo(name="b", dtype="float32", shape=(None, 4)),
    ),
    outputs=(
        TensorInfo(name="mean", dtype="float32", shape=(None, 1)),
        TensorInfo(name="logits", dtype="float32", shape=(None, 6)),
    ),
)
"""Of `made_networks.two_inputs`."""


def plan_of(found: Mapping[Candidate, Evidence], signature: Signature, requirements: Requirements) -> Plan:
    """What is decided when this was found."""
    about = weighing(list(found))
    about = msgspec.structs.replace(about, subject=msgspec.structs.replace(about.subject, signature=signature))
    figures = SearchFigures(seconds=1, measured=1, resumed=0, ruled_out=0, complete=True)
    told = {one.id: each for one, each in found.items()}
    return decide(about, told, requirements, Price(), search=figures, version="0", created="now")


def bundle_of(plan: Plan, model: Path, into: Path) -> Path:
    """The plan with this file for all of its variants, in the folder `into`, whose older bundle it replaces.

    The model is called after the file.
    """
    plan = msgspec.structs.replace(plan, subject=msgspec.structs.replace(plan.subject, model=model.name))
    built = into.with_name(f"{into.name}-built")
    built.mkdir(exist_ok=True)
    shutil.copy(model, built / "model.onnx")
    (built / BUILT).write_bytes(to_json({"main": "model.onnx"}))
    variants = {one.figures.candidate.variant for one in plan.candidates if one.figures is not None}
    return write_bundle(plan, "", dict.fromkeys(sorted(variants), built), into).folder


def alone(candidate: Candidate, speed: Speed, signature: Signature, model: Path, into: Path) -> Path:
    """A bundle of one candidate, to which nothing is promised."""
    found = {candidate: evidence(candidate, speed)}
    return bundle_of(plan_of(found, signature, Requirements(quality_drop=0.02)), model, into)


def two_inputs(folder: Path) -> Path:
    """The bundle `plan` of the network two.onnx as it is, with two workers; nothing is promised."""
    model = made_networks.two_inputs(folder / "two.onnx")
    one = candidate("original", "onnxruntime", threads=1, streams=2)
    return alone(one, service(0.05, 0.01), TWO_INPUTS, model, folder / "plan")
