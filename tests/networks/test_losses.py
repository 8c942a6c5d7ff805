"""Losses, and the slopes of their outputs, against numbers worked out by hand."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from steelyard.errors import DataError, UsageError
from steelyard.networks.losses import CrossEntropy, MeanSquaredError, discriminator_loss, generator_loss, make

LOG2, LOG3 = math.log(2), math.log(3)
TWO = [[0.0, 0.0], [LOG3, 0.0]]
"""Logits of two items: softmax (1/2, 1/2) and (3/4, 1/4)."""
LOG_SHARES = [[-LOG2, -LOG2], [math.log(0.75), math.log(0.25)]]


def loss_and_slope(
    loss: Callable[..., torch.Tensor], outputs: list[Any], *targets: torch.Tensor
) -> tuple[float, list[float]]:
    x = torch.tensor(outputs, dtype=torch.float64, requires_grad=True)
    made = loss(x, *targets)
    made.backward()
    return made.item(), x.grad.flatten().tolist()


def test_mean_squared_error() -> None:
    # ((1 − 2)² + (3 − 5)²) / 2 = 2.5; slopes 2 (output − target) / 2
    made, slope = loss_and_slope(MeanSquaredError(), [[1.0], [3.0]], torch.tensor([2.0, 5.0]))
    assert made == pytest.approx(2.5)
    assert slope == pytest.approx([-1.0, -2.0])


def test_cross_entropy_of_class_numbers() -> None:
    # (log 2 − log ¼) / 2; slopes (softmax − one-hot) / 2
    made, slope = loss_and_slope(CrossEntropy(), TWO, torch.tensor([0, 1]))
    assert made == pytest.approx((LOG2 + 2 * LOG2) / 2)
    assert slope == pytest.approx([-0.25, 0.25, 0.375, -0.375])


def test_cross_entropy_of_probabilities() -> None:
    targets = torch.tensor([[1.0, 0.0], [0.2, 0.8]], dtype=torch.float64)
    made, slope = loss_and_slope(CrossEntropy(), TWO, targets)
    assert made == pytest.approx((LOG2 - 0.2 * math.log(0.75) - 0.8 * math.log(0.25)) / 2)
    assert slope == pytest.approx([-0.25, 0.25, (0.75 - 0.2) / 2, (0.25 - 0.8) / 2])


def test_cross_entropy_with_smoothed_labels() -> None:
    # With ε = 0.2 and two classes the right one counts 0.9 and the other 0.1.
    made, slope = loss_and_slope(CrossEntropy(smoothing=0.2), TWO, torch.tensor([0, 1]))
    assert made == pytest.approx((LOG2 - 0.1 * LOG_SHARES[1][0] - 0.9 * LOG_SHARES[1][1]) / 2)
    assert slope == pytest.approx([(0.5 - 0.9) / 2, (0.5 - 0.1) / 2, (0.75 - 0.1) / 2, (0.25 - 0.9) / 2])


def test_cross_entropy_with_weighted_classes() -> None:
    # Weights 1 and 3: the items' losses count 1/4 and 3/4.
    made, slope = loss_and_slope(CrossEntropy(weights=(1.0, 3.0)), TWO, torch.tensor([0, 1]))
    assert made == pytest.approx(LOG2 / 4 + 3 * 2 * LOG2 / 4)
    assert slope == pytest.approx([-0.125, 0.125, 0.75 * 0.75, -0.75 * 0.75])


def test_weights_smoothing_and_probabilities_together() -> None:
    targets = torch.tensor([[1.0, 0.0], [0.5, 0.5]], dtype=torch.float64)
    made, _ = loss_and_slope(CrossEntropy(smoothing=0.2, weights=(1.0, 3.0)), TWO, targets)
    wanted = [[0.9, 0.1], [0.5, 0.5]]
    total = sum(q * w * -p for i in (0, 1) for q, w, p in zip(wanted[i], (1, 3), LOG_SHARES[i], strict=True))
    assert made == pytest.approx(total / (1 + 0.5 + 1.5))


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_probabilities_of_one_class_are_its_number(smoothing: float) -> None:
    outputs, targets = torch.randn(6, 4), torch.tensor([0, 1, 2, 3, 3, 1])
    one_hot = torch.nn.functional.one_hot(targets).float()
    for weights in ((), (1.0, 0.5, 2.0, 4.0)):
        loss = CrossEntropy(smoothing, weights)
        assert float(loss(outputs, targets)) == pytest.approx(float(loss(outputs, one_hot)), rel=1e-5)


def test_equal_weights_change_nothing() -> None:
    outputs, targets = torch.randn(6, 4), torch.tensor([0, 1, 2, 3, 3, 1])
    weighted, plain = CrossEntropy(weights=(2.0,) * 4), CrossEntropy()
    assert float(weighted(outputs, targets)) == pytest.approx(float(plain(outputs, targets)), rel=1e-5)


def test_the_discriminators_loss() -> None:
    # D(x) = ¾ and D(G(z)) = ¼: −log ¾ − log ¾; slopes D − 1 and D
    real = torch.tensor([LOG3], requires_grad=True)
    made = torch.tensor([-LOG3], requires_grad=True)
    loss = discriminator_loss(real, made)
    loss.backward()
    assert loss.item() == pytest.approx(-2 * math.log(0.75))
    assert (float(real.grad), float(made.grad)) == pytest.approx((-0.25, 0.25))


def test_the_generators_loss_in_both_forms() -> None:
    # D(G(z)) = ¼: −log ¼ with the slope D − 1; saturating log ¾ with the slope −D
    usual, slope = loss_and_slope(generator_loss, [-LOG3])
    assert (usual, slope[0]) == pytest.approx((-math.log(0.25), -0.75))
    saturating, slope = loss_and_slope(lambda made: generator_loss(made, saturating=True), [-LOG3])
    assert (saturating, slope[0]) == pytest.approx((math.log(0.75), -0.25))


def test_only_the_usual_form_learns_from_a_sure_discriminator() -> None:
    sure = [-30.0]
    assert abs(loss_and_slope(generator_loss, sure)[1][0]) == pytest.approx(1)
    assert abs(loss_and_slope(lambda made: generator_loss(made, saturating=True), sure)[1][0]) < 1e-12


@pytest.mark.parametrize("logit", [-500.0, 500.0])
def test_adversarial_losses_stay_finite(logit: float) -> None:
    far = torch.tensor([logit])
    assert all(bool(each.isfinite()) for each in (discriminator_loss(far, far), generator_loss(far)))


@pytest.mark.parametrize(
    ("targets", "outputs", "told"),
    [
        (np.array([0, 1, 10]), 10, r"class numbers are 0 … 9, the targets go from 0 to 10"),
        (np.array([-1, 1]), 10, "go from -1 to 1"),
        (np.array([0.5, 1.5]), 10, "use the loss mean-squared-error"),
        (np.ones((4, 3)) / 3, 10, "probabilities of 3 classes, the network has 10 outputs"),
        (np.array([[0.5, 0.6]]), 2, "no probabilities"),
    ],
)
def test_targets_that_do_not_fit_cross_entropy_are_told(targets: Any, outputs: int, told: str) -> None:
    with pytest.raises(DataError, match=told):
        CrossEntropy().check(targets, outputs)


def test_targets_that_do_not_fit_the_squared_error_are_told() -> None:
    with pytest.raises(DataError, match="for classes use the loss cross-entropy"):
        MeanSquaredError().check(np.array([0, 1, 2]), 10)
    with pytest.raises(DataError, match="1 targets are no finite numbers"):
        MeanSquaredError().check(np.array([0.0, np.nan]), 1)
    with pytest.raises(DataError, match="2 class weights for 3 classes"):
        CrossEntropy(weights=(1.0, 2.0)).check(np.array([0, 1, 2]), 3)


def test_targets_that_fit_pass() -> None:
    MeanSquaredError().check(np.array([0.5, 1.0]), 1)
    MeanSquaredError().check(np.ones((4, 2)), 2)
    CrossEntropy().check(np.array([0, 2]), 3)
    CrossEntropy().check(np.array([[0.25, 0.75]]), 2)


@pytest.mark.parametrize(
    ("name", "options", "told"),
    [
        ("crossentropy", {}, "did you mean cross-entropy"),
        ("cross-entropy", {"smooth": 0.1}, "unexpected keyword argument 'smooth'"),
        ("cross-entropy", {"smoothing": 1.0}, "lies between 0 and 1, got 1"),
        ("cross-entropy", {"weights": (0.0, -1.0)}, "class weights are 0 or more"),
    ],
)
def test_losses_that_cannot_be_made_are_told(name: str, options: dict[str, Any], told: str) -> None:
    with pytest.raises(UsageError, match=told):
        make(name, **options)


def test_losses_by_name() -> None:
    assert isinstance(make("mean-squared-error"), MeanSquaredError)
    assert isinstance(make("cross-entropy", smoothing=0.1), CrossEntropy)
