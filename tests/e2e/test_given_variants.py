"""A second model, weighed as a variant of the first, by the command and from Python."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from onnx import helper

import steelyard
from command import run_here, run_in
from made_networks import centred, normal, save
from steelyard.given import written_down

WIDE = 100_000


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Two models with the same answers, one of which computes ten thousand times more, and data for both."""
    short = [helper.make_node("MatMul", ["x", "A"], ["y"])]
    long = [
        helper.make_node("MatMul", ["x", "B"], ["wide"]),
        helper.make_node("MatMul", ["wide", "C"], ["nothing"]),
        helper.make_node("MatMul", ["x", "A"], ["found"]),
        helper.make_node("Add", ["found", "nothing"], ["y"]),
    ]
    ports = {"x": ("float", ("n", 8))}, {"y": ("float", ("n", 3))}
    save(tmp_path / "small.onnx", short, *ports, A=normal(8, 3))
    nothing = np.zeros((WIDE, 3), np.float32)
    save(tmp_path / "large.onnx", long, *ports, A=normal(8, 3), B=normal(8, WIDE), C=nothing)
    x = normal(1200, 8, seed=3)
    np.savez(tmp_path / "val.npz", x=x, labels=(x @ normal(8, 3)).argmax(1))
    return tmp_path


def test_it_is_measured_beside_the_model(place: Path) -> None:
    lines = (
        'model = "large.onnx"',
        'within = "15s"',
        'out = "plan"',
        'data = "val.npz"',
        "[variants]",
        'small = "small.onnx"',
    )
    (place / "steelyard.toml").write_text("\n".join(lines))
    done = run_in(place, "weigh", "--format", "quiet")
    assert done.status == 0, done.err
    plan = steelyard.read_bundle(place / "plan").plan
    assert plan.status == "met"
    assert plan.subject.settings["variants"].keys() == {"small"}
    found = [each.figures.quality if each.figures else each.quality for each in plan.candidates if is_small(each.id)]
    assert 1.0 in [quality.value for quality in found if quality is not None], "not even looked at"


def is_small(candidate: str) -> bool:
    return candidate.startswith("small")


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")
def test_from_python_it_may_be_an_object(tmp_path: Path) -> None:
    data, smaller = (normal(20, 8), np.zeros(20, np.int64)), torch.nn.Linear(8, 3)
    given = written_down(tmp_path / "large.onnx", data, {"variants": {"smaller": smaller, "other": "o.onnx"}}, tmp_path)
    files = given.words["variants"]
    assert files["other"] == "o.onnx"
    session = onnxruntime.InferenceSession(files["smaller"], providers=["CPUExecutionProvider"])
    [answers] = session.run(None, {"input": data[0]})
    np.testing.assert_allclose(answers, smaller(torch.from_numpy(data[0])).detach().numpy(), atol=1e-5)


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("small", "--variant names a variant and its model file, got 'small'"),
        ("gone=gone.onnx", "there is no file"),
        ("original=small.onnx", "the name 'original' is taken"),
        ("other=other.onnx", "the variant 'other' takes x float32[?, 4], the model takes x float32[?, 8]"),
    ],
)
def test_what_cannot_be_a_variant_is_refused(place: Path, said: str, told: str) -> None:
    centred(place / "other.onnx")
    done = run_here(place, "weigh", "large.onnx", "--data", "val.npz", "--variant", said)
    assert done.status == 2
    assert told in " ".join(done.err.split())
