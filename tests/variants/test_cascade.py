"""A cascade: sure answers are the 8-bit network's, unsure ones the float network's, whatever the batch."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper

from made_networks import normal, save, two_inputs
from steelyard.errors import CandidateFailure
from steelyard.records.engine import Array, Session, SessionSettings
from steelyard.runtimes import open_session
from steelyard.testing.samples import OnnxSample, tiny_pictures
from steelyard.variants import make
from steelyard.variants.cascade import joined

CLASSES = 30
LOSING = OnnxSample(
    [("MatMul", "x w1", "a", {}), ("Relu", "a", "b", {}), ("MatMul", "b w2", "y", {})],
    {"w1": normal(8, 64), "w2": normal(64, CLASSES, seed=1)},
    (8,),
    CLASSES,
)
"""A network that 8 bits make err where two of its many classes are close."""
CALIBRATION, JUDGING = LOSING.items(400), LOSING.items(3000, seed=9)


def opened(model: Path) -> Session:
    return open_session("onnxruntime", model, SessionSettings())


def linear(path: Path, weights: Array) -> onnx.ModelProto:
    """scores = x W."""
    nodes = [helper.make_node("MatMul", ["x", "w"], ["scores"])]
    save(path, nodes, {"x": ("float", ("n", 2))}, {"scores": ("float", ("n", 3))}, w=weights)
    return onnx.load(str(path))


@pytest.mark.parametrize("items", [1, 2, 7])
def test_only_unsure_items_are_answered_again(items: int, tmp_path: Path) -> None:
    one, other = normal(2, 3), normal(2, 3, seed=1)
    quick, whole = linear(tmp_path / "quick.onnx", one), linear(tmp_path / "whole.onnx", other)
    margin = 0.8
    onnx.save(joined(quick, whole, "scores", margin), str(tmp_path / "both.onnx"))
    session = opened(tmp_path / "both.onnx")
    unsure_seen = set()
    for seed in range(20):
        x = normal(items, 2, seed=seed)
        first, again = x @ one, x @ other
        highest = np.sort(first, axis=1)
        unsure = highest[:, -1] - highest[:, -2] < margin
        unsure_seen |= set(unsure)
        expected = np.where(unsure[:, None], again, first)
        [scores] = session.run(0, {"x": x})
        np.testing.assert_allclose(scores, expected, rtol=1e-5, atol=1e-6)
    assert unsure_seen == {False, True}


def test_it_gives_back_what_8_bits_lose(tmp_path: Path) -> None:
    source = LOSING.write(tmp_path / "m", "onnx")
    right = LOSING.answers(JUDGING).argmax(1)

    def agreement(variant: str) -> float:
        [scores] = opened(make(variant, source, tmp_path / variant, CALIBRATION)).run(0, JUDGING)
        return float((scores.argmax(1) == right).mean())

    plain, ten, quarter = agreement("int8-static"), agreement("cascade-10"), agreement("cascade-25")
    assert plain < 0.99
    assert 1 - ten < (1 - plain) / 2
    assert 1 - quarter < (1 - plain) / 10


def test_the_share_that_goes_on_is_about_what_was_asked_for(tmp_path: Path) -> None:
    source = LOSING.write(tmp_path / "m", "onnx")
    whole, quick = opened(source), opened(make("int8-static", source, tmp_path / "quick", CALIBRATION))
    [expected], [first] = whole.run(0, JUDGING), quick.run(0, JUDGING)
    [scores] = opened(make("cascade-25", source, tmp_path / "both", CALIBRATION)).run(0, JUDGING)
    again = (np.abs(scores - expected) < np.abs(scores - first)).all(axis=1)
    assert 0.15 < again.mean() < 0.35


def test_pictures_can_be_answered_by_a_cascade(tmp_path: Path) -> None:
    sample = tiny_pictures(32)
    source = sample.write(tmp_path / "given", "onnx")
    made = opened(make("cascade-25", source, tmp_path / "made", sample.items(64)))
    items = sample.items(8, seed=3)
    [got] = made.run(0, items)
    assert np.corrcoef(got.ravel(), sample.answers(items).ravel())[0, 1] > 0.95


def test_what_gives_no_scores_cannot_be_one(tmp_path: Path) -> None:
    model = two_inputs(tmp_path / "two.onnx")
    items = {"a": normal(64, 8), "b": normal(64, 4)}
    with pytest.raises(CandidateFailure, match="one output of scores"):
        make("cascade-10", model, tmp_path / "made", items)
