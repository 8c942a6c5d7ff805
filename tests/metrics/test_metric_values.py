"""Values agree with scikit-learn and with what is worked out by hand; what cannot be judged is told."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import sklearn.metrics as known

from steelyard.errors import CandidateFailure, DataError, UsageError
from steelyard.metrics import Weighted, metric
from steelyard.metrics.judging import judge
from steelyard.records.engine import Array

RNG = np.random.default_rng(3)
TRUTH = RNG.integers(0, 5, 400)
ANSWERS = np.where(RNG.random(400) < 0.7, TRUTH, RNG.integers(0, 6, 400)).astype(np.int32)
TARGETS = RNG.normal(size=300)
GUESSES = TARGETS + 0.5 * RNG.normal(size=300)
WEIGHTS = RNG.standard_exponential((3, 400))


def of_labelled(truth: Array, answers: Array, score: Any, **settings: Any) -> float:
    return float(score(truth, answers, zero_division=0, **settings))


def macro(score: Any) -> Callable[..., float]:
    return lambda truth, answers, **rest: of_labelled(truth, answers, score, average="macro", **rest)


def of_class(score: Any, number: int) -> Callable[..., float]:
    return lambda truth, answers, **rest: of_labelled(truth, answers, score, labels=[number], average="macro", **rest)


def recall(truth: Array, answers: Array, **rest: Any) -> float:
    labelled = np.unique(truth)
    return of_labelled(truth, answers, known.recall_score, labels=labelled, average="macro", **rest)


CLASSES = {
    "accuracy": known.accuracy_score,
    "f1": macro(known.f1_score),
    "macro_f1": macro(known.f1_score),
    "precision": macro(known.precision_score),
    "recall": recall,
    "f1:2": of_class(known.f1_score, 2),
    "precision:0": of_class(known.precision_score, 0),
    "recall:4": of_class(known.recall_score, 4),
}


@pytest.mark.parametrize("name", CLASSES)
def test_metrics_of_classes_agree_with_scikit_learn(name: str) -> None:
    judged_by = metric(name)
    assert judged_by.value(ANSWERS, TRUTH) == pytest.approx(CLASSES[name](TRUTH, ANSWERS))
    if isinstance(judged_by, Weighted):
        found = judged_by.weighted(ANSWERS, TRUTH, WEIGHTS)
        assert found == pytest.approx([CLASSES[name](TRUTH, ANSWERS, sample_weight=row) for row in WEIGHTS])


@pytest.mark.parametrize("columns", [(), (3,)])
@pytest.mark.parametrize(
    ("name", "score"),
    [("mse", known.mean_squared_error), ("mae", known.mean_absolute_error), ("r2", known.r2_score)],
)
def test_metrics_of_numbers_agree_with_scikit_learn(name: str, score: Any, columns: tuple[int, ...]) -> None:
    truth = RNG.normal(size=(200, *columns))
    answers = truth + RNG.normal(size=truth.shape)
    judged_by = metric(name)
    assert isinstance(judged_by, Weighted)
    assert judged_by.value(answers, truth) == pytest.approx(score(truth, answers))
    weights = WEIGHTS[:, :200]
    expected = [score(truth, answers, sample_weight=row) for row in weights]
    assert judged_by.weighted(answers, truth, weights) == pytest.approx(expected)


def test_auroc_of_one_score_agrees_with_scikit_learn_ties_included() -> None:
    truth = (RNG.random(400) < 0.3).astype(np.int64)
    scores = np.round(truth + RNG.normal(size=400), 1)
    judged_by = metric("auroc")
    assert isinstance(judged_by, Weighted)
    assert judged_by.value(scores, truth) == pytest.approx(known.roc_auc_score(truth, scores))
    assert judged_by.weighted(scores, truth, np.full((1, 400), 2.0)) == pytest.approx(judged_by.value(scores, truth))
    expected = [known.roc_auc_score(truth, scores, sample_weight=row) for row in WEIGHTS]
    assert judged_by.weighted(scores, truth, WEIGHTS) == pytest.approx(expected, abs=6e-3)


def test_auroc_of_many_classes_agrees_with_scikit_learn() -> None:
    logits = RNG.normal(size=(400, 5)) + 2 * np.eye(5)[TRUTH]
    answers = metric("auroc").answers([logits.astype(np.float32)])
    assert answers.sum(axis=1) == pytest.approx(np.ones(400))
    assert metric("auroc").value(answers, TRUTH) == pytest.approx(
        known.roc_auc_score(TRUTH, answers / answers.sum(axis=1, keepdims=True), multi_class="ovr"), abs=1e-6
    )


def test_two_scores_rank_like_their_probability() -> None:
    logits = RNG.normal(size=(50, 2)).astype(np.float32)
    both = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    by_logits, by_share = metric("auroc").answers([logits]), metric("auroc").answers([both])
    assert by_logits.shape == (50,)
    assert np.argsort(by_logits).tolist() == np.argsort(by_share).tolist()


def test_cosine_is_the_mean_over_items() -> None:
    answers, truth = RNG.normal(size=(2, 60, 8))
    expected = np.mean(
        [np.dot(a, t) / np.linalg.norm(a) / np.linalg.norm(t) for a, t in zip(answers, truth, strict=True)]
    )
    assert metric("cosine").value(answers, truth) == pytest.approx(expected)
    assert metric("cosine").value(np.zeros((1, 3)), np.zeros((1, 3))) == 1.0
    assert metric("cosine").value(np.zeros((1, 3)), np.ones((1, 3))) == 0.0


def test_numbers_are_the_first_output_as_it_is() -> None:
    assert metric("mse").answers([np.ones((4, 1, 1), np.float32), np.zeros(4)]).shape == (4,)
    assert metric("cosine").answers([np.ones((4, 2, 3))]).shape == (4, 2, 3)
    with pytest.raises(UsageError, match="mse, mae or r2"):
        metric("cosine").answers([np.ones((4, 1))])
    with pytest.raises(CandidateFailure, match="1 of 2 items hold NaN"):
        metric("mae").answers([np.array([1.0, np.nan])])


# Classes by name


def test_a_class_is_asked_by_name_or_by_number() -> None:
    names = ("normal", "pneumonia", "2")
    assert metric("recall:pneumonia", names).value(np.array([1, 0]), np.array([1, 1])) == 0.5
    assert metric("recall:1").name == "recall:1"
    assert metric("f1:2", names).value(np.array([2]), np.array([2])) == 1.0  # the class called "2", the third
    assert metric("f1:0", names).value(np.array([0]), np.array([0])) == 1.0


@pytest.mark.parametrize(
    ("name", "names", "says"),
    [
        ("recall:pneumnia", ("normal", "pneumonia"), "pneumonia"),
        ("recall:7", ("normal", "pneumonia"), "no class '7'"),
        ("recall:pneumonia", (), "classes have no names"),
        ("accuracy:1", (), "not asked of one class"),
    ],
)
def test_a_class_that_there_is_not_is_a_users_mistake(name: str, names: tuple[str, ...], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        metric(name, names)


# Judging


def test_recall_of_a_class_is_judged_exactly_on_its_own_items() -> None:
    quality = judge(metric("recall:1"), np.array([1, 0, 1, 0]), np.array([1, 1, 0, 0]), np.array([1, 1, 1, 0]), 0)
    assert quality.items == 4
    assert quality.paired is not None
    assert quality.paired.items == 3
    assert quality.value == quality.reference == pytest.approx(2 / 3)


def test_the_drop_of_an_error_is_a_share_of_the_references() -> None:
    truth = np.zeros(100)
    quality = judge(metric("mse"), np.full(100, 1.1), np.ones(100), truth, 0)
    assert quality.lower_is_better
    assert quality.value == pytest.approx(1.21)
    assert quality.reference == pytest.approx(1.0)
    assert quality.drop == pytest.approx(0.21)
    assert judge(metric("mse"), np.full(100, 0.9), np.ones(100), truth, 0).drop == pytest.approx(-0.19)


def test_an_error_of_nothing_is_refused_since_no_share_can_be_told() -> None:
    with pytest.raises(DataError, match=r"mse of the model as given is 0(.|\n)*cosine, r2"):
        judge(metric("mse"), TARGETS, TARGETS, TARGETS, 0, own=True)


def test_cosine_needs_no_labels_and_ignores_class_numbers() -> None:
    vectors = RNG.normal(size=(40, 4))
    for truth in (None, np.arange(40)):
        quality = judge(metric("cosine"), 2 * vectors, vectors, truth, 0)
        assert quality.value == pytest.approx(1.0)
        assert quality.reference == pytest.approx(1.0)
    quality = judge(metric("cosine"), vectors, vectors, -vectors, 0)
    assert quality.value == pytest.approx(-1.0)


@pytest.mark.parametrize(
    ("name", "answers", "truth", "says"),
    [
        ("recall:3", np.zeros(40, np.int32), np.zeros(40, np.int64), "none of 40 items"),
        ("auroc", RNG.normal(size=40), np.ones(40, np.int64), "two classes, all 40 are labelled 1"),
        ("auroc", RNG.normal(size=40), np.full(40, 2) - np.eye(1, 40, dtype=np.int64)[0], "labels 0 and 1, got 1, 2"),
        ("r2", RNG.normal(size=40), np.full(40, 2.5), "targets that differ, all 40 are 2.5"),
        ("accuracy", np.zeros(40, np.int32), np.full(40, 0.5), "measured values"),
        ("mse", np.zeros((40, 3)), np.zeros(40), "3 numbers per item, the labels have 1"),
    ],
)
def test_items_that_cannot_be_judged_are_a_data_error(name: str, answers: Array, truth: Array, says: str) -> None:
    with pytest.raises(DataError, match=says):
        judge(metric(name), answers, answers, truth, 0, own=True)


def test_a_small_look_without_the_class_decides_nothing() -> None:
    from steelyard.verdicts import judge_quality

    quality = judge(metric("f1:3"), np.ones(40, np.int32), np.zeros(40, np.int32), np.zeros(40, np.int64), 0)
    assert judge_quality(quality, 0.9, 0.01, 0.95).verdict == "undecided"
    assert judge_quality(quality, 0.0, 1.0, 0.95).verdict == "undecided"


@pytest.mark.parametrize("name", ["macro_f1", "f1:2", "precision", "auroc", "mse", "r2", "cosine"])
def test_limits_are_repeatable_and_enclose_what_was_seen(name: str) -> None:
    judged_by = metric(name)
    outputs = RNG.normal(size=(120, 5)) + 2 * np.eye(5)[TRUTH[:120]]
    truth: Array = np.eye(5)[TRUTH[:120]] if judged_by.targets in ("numbers", "numbers or reference") else TRUTH[:120]
    reference = judged_by.answers([outputs])
    candidate = judged_by.answers([outputs + 0.1 * RNG.normal(size=outputs.shape)])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        quality = judge(judged_by, candidate, reference, truth, 0, seed=4, replicates=399)
    assert quality == judge(judged_by, candidate, reference, truth, 0, seed=4, replicates=399)
    assert list(quality.drops) == sorted(quality.drops)
    assert quality.drops[0] < quality.drop < quality.drops[-1]
    assert quality.values[0] < quality.value < quality.values[-1]
    assert quality.reach > 0
