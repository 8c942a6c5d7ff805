"""Weights by hand-worked numbers, resampling by counts."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.utils.class_weight import compute_class_weight

from made_examples import columns
from steelyard.datasets.examples import Examples
from steelyard.errors import DataError
from steelyard.preparation.imbalance import class_weights, resampled, told_imbalance


def unequal(*counts: int) -> Examples:
    targets = np.repeat(np.arange(len(counts)), counts)
    return columns(n=np.arange(len(targets)), targets=targets, classes=tuple("abcdef"[: len(counts)]))


def test_balanced_weights_are_scikit_learns() -> None:
    data = unequal(90, 9, 1)
    expected = compute_class_weight("balanced", classes=np.arange(3), y=data.targets)
    assert class_weights(data) == pytest.approx(expected)


def test_milder_weights_by_hand() -> None:
    """Roots of 1/16 and 1/4 are 1:2; the mean over 16 and 4 items is 1 when they are 20/24 and 40/24."""
    assert class_weights(unequal(16, 4), "sqrt") == pytest.approx([20 / 24, 40 / 24])
    one, two = (1 - 0.9) / (1 - 0.9**3), 1.0
    assert class_weights(unequal(3, 1), "effective", beta=0.9) == pytest.approx(
        np.array([one, two]) * 4 / (3 * one + two)
    )


@pytest.mark.parametrize("how", ["balanced", "sqrt", "effective"])
def test_the_mean_item_weighs_one(how: str) -> None:
    data = unequal(50, 7, 20)
    weights = class_weights(data, how)  # type: ignore[arg-type]
    assert weights[data.targets].mean() == pytest.approx(1)
    assert weights.dtype == np.float32


def test_resampling_makes_all_classes_as_many() -> None:
    data = unequal(10, 3)
    over, told = resampled(data, "over", seed=1)
    assert np.bincount(over.targets).tolist() == [10, 10]
    assert set(over.inputs["n"].tolist()) == set(range(13))
    assert told == "resampled (over): 13 items became 20, 10 of each class"
    under, _ = resampled(data, "under", seed=1)
    assert np.bincount(under.targets).tolist() == [3, 3]
    assert len(set(under.inputs["n"].tolist())) == 6
    again, _ = resampled(data, "over", seed=1)
    assert again.inputs["n"].tolist() == over.inputs["n"].tolist()
    assert resampled(data, "over", seed=2)[0].inputs["n"].tolist() != over.inputs["n"].tolist()


def test_a_class_without_items_and_measured_values() -> None:
    with pytest.raises(DataError, match="the class 'b' has no items to train on") as caught:
        class_weights(unequal(3, 0, 2))
    assert "leave it out" in caught.value.hint
    with pytest.raises(DataError, match="the class 'b' has no items"):
        resampled(unequal(3, 0, 2))
    with pytest.raises(DataError, match="measured values have no classes"):
        class_weights(columns(a=[1.0, 2.0], targets=np.array([0.5, 1.5])))


def test_imbalance_is_told() -> None:
    assert told_imbalance(unequal(40, 20)) == ""
    assert told_imbalance(unequal(40, 10)).startswith("classes are unequal: 40 items of 'a', 10 of 'b'")
    assert told_imbalance(columns(a=[1.0, 2.0], targets=np.array([0.5, 1.5]))) == ""
