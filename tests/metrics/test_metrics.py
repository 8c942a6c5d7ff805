"""Outputs of all common shapes become answers, answers become values, and bad ones are refused."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from steelyard.errors import CandidateFailure, DataError, UsageError
from steelyard.metrics import METRICS, metric, targets_of
from steelyard.metrics.judging import judge
from steelyard.metrics.resampling import KEPT
from steelyard.records.engine import Array
from steelyard.verdicts import judge_quality


def ints(*values: int) -> Array:
    return np.array(values, np.int32)


# The table


@pytest.mark.parametrize("name", sorted(METRICS))
def test_every_metric_is_found_under_its_own_name(name: str) -> None:
    assert metric(name).name == name
    assert metric(name).targets == targets_of(name)
    assert metric(name).lower_is_better == (name in ("mse", "mae"))


def test_an_unknown_metric_is_a_users_mistake_and_names_the_known() -> None:
    with pytest.raises(UsageError, match=r"'acuracy'(.|\n)*did you mean accuracy(.|\n)*recall:cat"):
        metric("acuracy")


# Answers


def test_the_largest_score_is_the_class() -> None:
    answers = metric("accuracy").answers([np.array([[0.1, 2.0, -1.0], [5.0, 0.0, 0.0]], np.float32)])
    assert answers.dtype == np.int32
    assert answers.tolist() == [1, 0]


@pytest.mark.parametrize("shape", [(2, 3), (2, 3, 1, 1), (2, 1, 3)])
def test_axes_of_length_one_do_not_matter(shape: tuple[int, ...]) -> None:
    scores = np.array([[0, 0, 1], [1, 0, 0]], np.float32).reshape(shape)
    assert metric("accuracy").answers([scores]).tolist() == [2, 0]


def test_scores_are_preferred_to_a_label_output_before_them() -> None:
    labels, scores = np.array([7, 7], np.int64), np.array([[0.2, 0.8], [0.9, 0.1]], np.float32)
    assert metric("accuracy").answers([labels, scores]).tolist() == [1, 0]


@pytest.mark.parametrize("shape", [(3,), (3, 1)])
def test_one_probability_per_item_is_cut_at_one_half(shape: tuple[int, ...]) -> None:
    assert metric("accuracy").answers([np.array([0.5, 0.49, 0.51], np.float32).reshape(shape)]).tolist() == [1, 0, 1]


def test_whole_numbers_are_classes_already() -> None:
    assert metric("macro_f1").answers([np.array([3, 0, 9], np.int64)]).tolist() == [3, 0, 9]


def test_a_single_item_keeps_its_axis() -> None:
    assert metric("accuracy").answers([np.array([[0.0, 1.0]])]).shape == (1,)
    assert metric("accuracy").answers([np.array([0.7])]).shape == (1,)


@pytest.mark.parametrize("name", ["accuracy", "top5"])
def test_outputs_that_hold_no_classes_are_named(name: str) -> None:
    with pytest.raises(UsageError, match=r"float32\[2, 3, 8, 8\]"):
        metric(name).answers([np.zeros((2, 3, 8, 8), np.float32)])
    with pytest.raises(UsageError, match="no outputs"):
        metric(name).answers([])


@pytest.mark.parametrize("poison", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("name", ["accuracy", "agreement", "macro_f1", "top5"])
def test_answers_that_are_no_numbers_fail_the_candidate(name: str, poison: float) -> None:
    scores = np.zeros((5, 10), np.float32)
    scores[1, 3] = scores[4, 0] = scores[4, 1] = poison
    with pytest.raises(CandidateFailure, match="2 of 5 items") as caught:
        metric(name).answers([scores])
    assert caught.value.kind == "invalid"


def test_a_probability_that_is_no_number_fails_too() -> None:
    with pytest.raises(CandidateFailure, match="1 of 2 items"):
        metric("accuracy").answers([np.array([np.nan, 0.3], np.float32)])


def test_top5_keeps_five_classes_best_first() -> None:
    scores = np.array([[5, 1, 4, 2, 3, 0], [0, 0, 0, 0, 0, 9]], np.uint8)
    answers = metric("top5").answers([scores])
    assert answers.tolist() == [[0, 2, 4, 3, 1], [5, 0, 1, 2, 3]]
    assert answers.dtype == np.int32
    assert metric("top5").value(answers, ints(5, 5)) == 0.5


# Values


def test_accuracy_is_the_share_that_is_right() -> None:
    assert metric("accuracy").value(ints(1, 2, 3, 4), ints(1, 2, 0, 0)) == 0.5


def test_macro_f1_against_a_hand_worked_table() -> None:
    # Class 0: 2 both, 3 answered, 2 labelled -> 4/5. Class 1: 1, 1, 2 -> 2/3. Class 2: 0, 0, 0 -> left out.
    # Class 3: answered once, never right -> 0.
    answers, truth = ints(0, 0, 0, 1, 3), ints(0, 0, 1, 1, 5)
    # Class 5: labelled once, never answered -> 0.
    assert metric("macro_f1").value(answers, truth) == pytest.approx((4 / 5 + 2 / 3 + 0 + 0) / 4)


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(-2, 6), st.integers(-2, 6)), min_size=1, max_size=60))
def test_macro_f1_agrees_with_its_definition(rows: list[tuple[int, int]]) -> None:
    answers, truth = (np.array(column, np.int64) for column in zip(*rows, strict=True))
    scores = []
    for kind in set(answers.tolist()) | set(truth.tolist()):
        both = np.sum((answers == kind) & (truth == kind))
        precision = both / max(np.sum(answers == kind), 1)
        recall = both / max(np.sum(truth == kind), 1)
        scores.append(2 * precision * recall / (precision + recall) if both else 0.0)
    assert metric("macro_f1").value(answers, truth) == pytest.approx(np.mean(scores))


# Judging


def test_right_and_wrong_are_counted_in_pairs() -> None:
    truth = ints(0, 1, 2, 3, 4, 5)
    quality = judge(metric("accuracy"), ints(0, 1, 0, 3, 0, 0), ints(0, 1, 2, 0, 0, 0), truth, 40)
    assert quality.paired is not None
    paired = quality.paired
    assert (paired.both, paired.only_reference, paired.only_candidate, paired.neither) == (2, 1, 1, 2)
    assert (quality.metric, quality.start, quality.items) == ("accuracy", 40, 6)
    assert quality.value == quality.reference == 0.5
    assert not quality.values
    assert not quality.identical


def test_agreement_measures_against_the_reference_and_needs_no_labels() -> None:
    quality = judge(metric("agreement"), ints(1, 2, 3, 4), ints(1, 2, 3, 0), None, 0)
    assert quality.paired is not None
    assert (quality.value, quality.reference) == (0.75, 1.0)
    assert (quality.paired.both, quality.paired.only_reference) == (3, 1)
    assert quality.paired.only_candidate == quality.paired.neither == 0


def test_agreement_ignores_labels_that_are_there() -> None:
    assert judge(metric("agreement"), ints(1, 2), ints(1, 2), ints(8, 9), 0).value == 1.0


def noisy(truth: Array, right: float, rng: np.random.Generator) -> Array:
    return np.where(rng.random(len(truth)) < right, truth, (truth + 1) % 4)


def test_the_bootstrap_is_paired_sorted_thinned_and_repeatable() -> None:
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 4, 600)
    reference = noisy(truth, 0.8, rng)
    candidate = np.where(rng.random(600) < 0.98, reference, (reference + 1) % 4)
    quality = judge(metric("macro_f1"), candidate, reference, truth, 0, seed=5)
    assert quality.paired is None
    assert len(quality.values) == len(quality.drops) == KEPT
    assert all(a <= b for a, b in pairwise(quality.values))
    assert all(a <= b for a, b in pairwise(quality.drops))
    assert quality.drops[0] < quality.drop < quality.drops[-1]
    # Paired: the drop of a candidate that mostly repeats the reference is known far better than its value.
    assert np.std(quality.drops) < 0.5 * np.std(quality.values)
    assert quality == judge(metric("macro_f1"), candidate, reference, truth, 0, seed=5)
    assert quality != judge(metric("macro_f1"), candidate, reference, truth, 0, seed=6)


def test_bootstrap_bounds_miss_about_as_rarely_as_they_say() -> None:
    rng = np.random.default_rng(4)
    large = rng.integers(0, 4, 400_000)
    truly = metric("macro_f1").value(noisy(large, 0.8, rng), large)
    missed = 0
    for seed in range(150):
        truth = rng.integers(0, 4, 200)
        quality = judge(metric("macro_f1"), noisy(truth, 0.8, rng), truth, truth, 0, seed=seed, replicates=199)
        missed += judge_quality(quality, None, None, 0.95).value_bound > truly
    assert missed <= 15


def test_labels_that_are_missing_or_too_few_are_a_data_error() -> None:
    with pytest.raises(DataError, match="accuracy needs labels"):
        judge(metric("accuracy"), ints(1), ints(1), None, 0)
    with pytest.raises(DataError, match="each of 2 items, got 1"):
        judge(metric("accuracy"), ints(1, 2), ints(1, 2), ints(1), 0)


@pytest.mark.parametrize("answers", [ints(1, 2), np.zeros((3, 5), np.int32)])
def test_answers_of_another_shape_fail_the_candidate(answers: Array) -> None:
    with pytest.raises(CandidateFailure, match=r"expected answers of shape \[3\]") as caught:
        judge(metric("accuracy"), answers, ints(1, 2, 3), ints(1, 2, 3), 0)
    assert caught.value.kind == "invalid"
