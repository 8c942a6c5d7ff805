"""Evaluations: held against scikit-learn, against what is known of made-up answers, and against chance."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics as known

from steelyard.errors import DataError
from steelyard.evaluation import evaluate
from steelyard.evaluation.classes import calibration_error
from steelyard.evaluation.limits import drawn, share
from steelyard.records.engine import Array
from steelyard.records.evaluation import Interval

CLASSES = ("cat", "dog", "owl")


def answers(items: int = 400, seed: int = 0, sure: float = 2.0) -> tuple[Array, Array]:
    """Probabilities of three classes that are right more often than not, and the truth."""
    rng = np.random.default_rng(seed)
    targets = rng.choice(3, items, p=[0.6, 0.3, 0.1])
    scores = rng.normal(size=(items, 3)) + sure * np.eye(3)[targets]
    shares = np.exp(scores)
    return shares / shares.sum(axis=1, keepdims=True), targets


def value(interval: Interval | None) -> float:
    assert interval is not None
    assert interval.low <= interval.value <= interval.high
    return interval.value


def test_figures_of_classes_are_those_of_scikit_learn() -> None:
    told, targets = answers()
    guess = told.argmax(axis=1)
    found = evaluate(told, targets, CLASSES)
    assert value(found.accuracy) == pytest.approx(known.accuracy_score(targets, guess))
    for name, score in (("precision", known.precision_score), ("recall", known.recall_score), ("f1", known.f1_score)):
        assert value(getattr(found, name)) == pytest.approx(score(targets, guess, average="macro"))
        each = [value(getattr(of, name)) for of in found.by_class]
        assert each == pytest.approx(score(targets, guess, average=None))
    assert value(found.auroc) == pytest.approx(known.roc_auc_score(targets, told, multi_class="ovr"))
    assert found.confusion == tuple(map(tuple, known.confusion_matrix(targets, guess).tolist()))
    assert [of.items for of in found.by_class] == np.bincount(targets).tolist()


def test_figures_of_values_are_those_of_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    targets = rng.normal(size=200).astype("f4")
    told = targets + rng.normal(scale=0.3, size=200).astype("f4")
    found = evaluate(told, targets)
    assert value(found.mse) == pytest.approx(known.mean_squared_error(targets, told), rel=1e-5)
    assert value(found.mae) == pytest.approx(known.mean_absolute_error(targets, told), rel=1e-5)
    assert value(found.r2) == pytest.approx(known.r2_score(targets, told), rel=1e-5)
    assert found.mistakes[0].row == int(np.abs(told - targets).argmax())
    assert found.accuracy is None


def test_limits_of_a_drawn_figure_hold_about_as_often_as_they_say() -> None:
    """Of accuracy, whose truth is known: 200 worlds; 95 % should hold, three standard errors are allowed."""
    rng = np.random.default_rng(1)
    held = 0
    for seed in range(200):
        right = (rng.random(300) < 0.8).astype(float)
        found = drawn(lambda weights, right=right: weights @ right / weights.sum(axis=1), 300, seed)  # type: ignore[misc]
        held += found.low <= 0.8 <= found.high
    assert held / 200 > 0.95 - 3 * (0.95 * 0.05 / 200) ** 0.5


def test_a_share_of_nothing_is_not_known() -> None:
    assert share(0, 0) == Interval(value=0.0, low=0.0, high=1.0)
    assert share(5, 5).low == pytest.approx(0.025 ** (1 / 5))


def test_probabilities_that_are_meant_have_no_calibration_error_and_boasts_have_much() -> None:
    rng = np.random.default_rng(0)
    confidence = rng.uniform(0.5, 1, 20000)
    targets = (rng.random(20000) > confidence).astype(np.int64)
    honest = np.stack([confidence, 1 - confidence], axis=1)
    boast = np.stack([np.full(20000, 0.99), np.full(20000, 0.01)], axis=1)
    assert calibration_error(honest, targets).value < 0.02
    assert calibration_error(boast, targets).value == pytest.approx(0.99 - (targets == 0).mean(), abs=1e-6)


def test_the_surest_mistakes_come_first() -> None:
    told, targets = answers()
    found = evaluate(told, targets, CLASSES)
    scores = [mistake.score for mistake in found.mistakes]
    assert scores == sorted(scores, reverse=True)
    for mistake in found.mistakes:
        assert CLASSES[targets[mistake.row]] == mistake.truth != mistake.told
        assert CLASSES[told[mistake.row].argmax()] == mistake.told


def test_a_group_that_is_served_worse_is_warned_of() -> None:
    told, targets = answers(2000)
    groups = np.array(["old"] * 1000 + ["young"] * 1000)
    told[1000:][::2] = np.roll(told[1000:][::2], 1, axis=1)
    found = evaluate(told, targets, CLASSES, groups=groups)
    worst = next(gap for gap in found.gaps if gap.what == "error")
    assert (worst.highest, worst.lowest) == ("young", "old")
    assert worst.difference.low > 0
    assert any("it is wrong far more often for young than for old" in warning for warning in found.warnings)
    assert {group.name: group.items for group in found.groups} == {"old": 1000, "young": 1000}


def test_groups_that_are_served_alike_are_hardly_ever_warned_of() -> None:
    warned = 0
    for seed in range(40):
        told, targets = answers(600, seed)
        groups = np.random.default_rng(seed).integers(0, 4, 600)
        warned += any("is wrong" in warning for warning in evaluate(told, targets, CLASSES, groups=groups).warnings)
    assert warned <= 4


def test_groups_too_small_to_tell_are_listed_and_not_compared() -> None:
    told, targets = answers(40)
    groups = np.array(["a"] * 37 + ["b"] * 3)
    found = evaluate(told, targets, CLASSES, groups=groups)
    assert [group.name for group in found.groups] == ["a", "b"]
    assert not found.gaps


@pytest.mark.parametrize(
    ("told", "targets", "classes", "says"),
    [
        (np.zeros((0, 2)), np.zeros(0, int), ("a", "b"), "got 0 answers to 0 items"),
        (np.zeros((3, 2)), np.zeros(2, int), ("a", "b"), "got 3 answers to 2 items"),
        (np.full((2, 2), np.nan), np.zeros(2, int), ("a", "b"), "no finite numbers"),
        (np.zeros((2, 3)), np.zeros(2, int), ("a", "b"), "probabilities of 2 classes"),
        (np.zeros((2, 3)), np.zeros((2, 2)), (), "expected values of shape"),
    ],
)
def test_what_does_not_fit_is_told(told: Array, targets: Array, classes: tuple[str, ...], says: str) -> None:
    with pytest.raises(DataError, match=says):
        evaluate(told, targets, classes)
