"""What a layer costs, what it saves, and in which order layers are returned to float."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from steelyard.errors import CandidateFailure
from steelyard.records.engine import Array
from steelyard.variants.sensitivity import (
    ITEMS,
    MOST,
    Layer,
    costliest,
    divergence,
    keep,
    names_of,
    ranked,
    runs,
    saved_ms,
    some,
    study,
)


def layer(name: str, far: float, saved: float) -> Layer:
    return Layer(names=(name,), divergence=far, saved_ms=saved)


def test_divergence_of_scores_is_that_of_their_probabilities() -> None:
    one, other = np.log([[0.5, 0.5]]), np.log([[0.75, 0.25]])
    expected = 0.5 * math.log(0.5 / 0.75) + 0.5 * math.log(0.5 / 0.25)
    assert divergence([one], [other]) == pytest.approx(expected)
    assert divergence([one + 7], [other - 3]) == pytest.approx(expected), "a softmax knows no level"
    assert divergence([np.exp(one)], [np.exp(other)]) == pytest.approx(expected), "probabilities are taken as they are"
    assert divergence([one], [one]) == 0


def test_divergence_of_other_outputs_is_a_share_of_their_variance() -> None:
    one = np.array([[[1.0], [-1.0]]])
    assert divergence([one], [one + 0.5]) == pytest.approx(0.25)
    assert divergence([one, one], [one + 0.5, one]) == pytest.approx(0.25), "outputs add up"


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_answers_that_are_not_finite_are_infinitely_far(bad: float) -> None:
    assert divergence([np.ones((1, 3))], [np.array([[1.0, bad, 1.0]])]) == math.inf


def test_layers_save_by_what_they_multiply_or_move() -> None:
    picture, made = (1, 8, 100, 100), (1, 16, 100, 100)
    dense = saved_ms("Conv", [picture, (16, 8, 3, 3)], made)
    depthwise = saved_ms("Conv", [(1, 16, 100, 100), (16, 1, 3, 3)], made)
    assert dense == pytest.approx(0.75e3 * 16 * 100 * 100 * 8 * 9 / 60e9)
    assert depthwise == pytest.approx(0.75e3 * 4 * (2 * 160_000 + 144) / 12e9), "moving takes longer than multiplying"
    assert saved_ms("GroupConvolution", [(1, 16, 100, 100), (16, 1, 1, 3, 3)], made) == pytest.approx(depthwise)
    assert saved_ms("MatMul", [(64, 512), (512, 512)], (64, 512)) == pytest.approx(0.75e3 * 64 * 512 * 512 / 60e9)
    steps = saved_ms("LSTMSequence", [(1, 64, 32), (1, 1, 128), (1, 512, 32), (1, 512, 128)], (1, 1, 64, 128))
    assert steps == pytest.approx(0.75e3 * 64 * (128 + 512 * 160) / 60e9, rel=0.01)
    assert saved_ms("Add", [(10,), (10,)], (10,)) == pytest.approx(0.75e3 * 120 / 12e9)


def test_the_costliest_per_millisecond_come_first() -> None:
    heavy, light = layer("heavy", 0.2, 10.0), layer("light", 0.19, 1.0)
    harmless, tiny = layer("harmless", 0.0, 1.0), layer("tiny", 0.01, 0.001)
    order = [each.names[0] for each in ranked([heavy, light, harmless, tiny])]
    assert order == ["light", "heavy", "tiny", "harmless"], "a tiny layer in float still breaks a chain in 8 bits"


def test_layers_that_ruin_the_answers_come_before_all_others() -> None:
    assert ranked([layer("bad", 9.0, 0.1), layer("ruins", math.inf, 9.0)])[0].names == ("ruins",)


def test_a_study_asks_for_each_layer_by_itself() -> None:
    asked: list[tuple[str, ...]] = []

    def answers(names: Sequence[str]) -> list[Array]:
        asked.append(tuple(names))
        return [np.array([[[1.0], [-1.0]]]) + {"a": 0.1, "b": 0.3}.get("".join(names), 0.0)]

    found = study({"a": 1.0, "b": 1.0, "c": 1.0}, answers)
    assert sorted(asked) == [(), ("a",), ("b",), ("c",)]
    assert [each.names for each in found] == [("b",), ("a",), ("c",)]
    assert [round(each.divergence, 3) for each in found] == [0.09, 0.01, 0.0]


def test_deep_networks_are_studied_in_runs_of_neighbours() -> None:
    assert runs(["a", "b"]) == [("a",), ("b",)]
    names = [f"n{at}" for at in range(MOST + 1)]
    found = runs(names)
    assert len(found) <= MOST
    assert [name for run in found for name in run] == names


def test_items_are_spread_over_all_in_batches_that_the_model_takes() -> None:
    calibration = {"x": np.arange(300)}
    assert [batch["x"].tolist() for batch in some(calibration, 1)][:: ITEMS - 1] == [[0], [299]]
    assert [len(batch["x"]) for batch in some(calibration, 5)] == [5, 5, 5]
    assert [len(batch["x"]) for batch in some(calibration, 40)] == [40]
    assert [batch["x"].tolist() for batch in some({"x": np.arange(1)}, 1)] == [[0]] * ITEMS


def test_what_was_studied_is_read_back(tmp_path: Path) -> None:
    layers = [Layer(names=("a", "b"), divergence=2.0, saved_ms=1.0, by_inputs=True), layer("c", 1.0, 1.0)]
    keep(layers, tmp_path)
    assert costliest(tmp_path, 1) == layers[:1]
    assert names_of(layers) == ["a", "b", "c"]
    with pytest.raises(CandidateFailure, match="it has 2 layers"):
        costliest(tmp_path, 2)
