"""What training makes small: functions of a network's outputs and the targets, means over the batch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional

from steelyard.errors import DataError, UsageError
from steelyard.records.dotted import found
from steelyard.records.spelling import did_you_mean

LOSSES: Mapping[str, str] = {
    "cross-entropy": "steelyard.networks.losses:CrossEntropy",
    "mean-squared-error": "steelyard.networks.losses:MeanSquaredError",
}


class Loss(Protocol):
    """A loss, and which targets it can be used with."""

    def __call__(self, outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """The loss of a batch: a single number that can be differentiated. `outputs` [n, k]."""

    def check(self, targets: npt.NDArray[Any], outputs: int) -> None:
        """Raises DataError when targets like these do not fit a network with so many outputs. For all of them, once."""


def make(name: str, **options: Any) -> Loss:
    """The loss of this name. Raises UsageError for an unknown name or option, or a value that makes no sense."""
    if name not in LOSSES:
        raise UsageError(f"there is no loss {name!r}", did_you_mean(name, LOSSES))
    try:
        loss: Loss = found(LOSSES[name])(**options)
    except TypeError as error:
        raise UsageError(
            f"the loss {name} cannot be made with {options}: {error}", "change or leave out an option"
        ) from error
    return loss


class MeanSquaredError:
    """1/(n k) Σᵢⱼ (outputᵢⱼ − targetᵢⱼ)²; A.-M. Legendre, 1805. Targets: numbers [n, k], or [n] when k = 1."""

    def __call__(self, outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """See `Loss`."""
        return functional.mse_loss(outputs, targets.reshape(outputs.shape).to(outputs.dtype))

    def check(self, targets: npt.NDArray[Any], outputs: int) -> None:
        """See `Loss`."""
        if targets.ndim > 2 or (targets.shape[1] if targets.ndim == 2 else 1) != outputs:
            raise DataError(
                f"the mean squared error compares {outputs} outputs with as many numbers, "
                f"the targets have the shape {targets.shape}",
                "for classes use the loss cross-entropy",
            )
        if not np.isfinite(targets).all():
            raise DataError(
                f"{int((~np.isfinite(targets)).sum())} targets are no finite numbers", "leave their items out"
            )


class CrossEntropy:
    """−Σᵢ Σ_c w_c q′ᵢ_c log softmax(outputᵢ)_c / Σᵢ Σ_c w_c qᵢ_c, with q′ = (1 − ε) q + ε / k.

    I. Good, "Rational Decisions", Journal of the Royal Statistical Society B 14, 1952. Targets are hard: class numbers
    [n], for which q is 1 in one place; or soft: probabilities q [n, k]. `smoothing` is ε: C. Szegedy et al., CVPR 2016
    (arXiv 1512.00567), section 7. `weights`: w, one per class, all 1 when not given.
    """

    def __init__(self, smoothing: float = 0.0, weights: tuple[float, ...] = ()) -> None:
        if not 0 <= smoothing < 1:
            raise UsageError(f"label smoothing lies between 0 and 1, got {smoothing:g}", "0.1 is common")
        if any(not weight >= 0 for weight in weights) or (weights and not any(weights)):
            raise UsageError(f"class weights are 0 or more, and not all 0; got {list(weights)}")
        self.smoothing = smoothing
        self.weights = tuple(weights)

    def __call__(self, outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """See `Loss`."""
        if not self.weights:
            return functional.cross_entropy(outputs, targets, label_smoothing=self.smoothing)
        classes = outputs.shape[1]
        weights = outputs.new_tensor(self.weights)
        wanted = targets if targets.ndim == 2 else functional.one_hot(targets, classes).to(outputs.dtype)
        smoothed = (1 - self.smoothing) * wanted + self.smoothing / classes
        return -(smoothed * weights * outputs.log_softmax(1)).sum() / (wanted * weights).sum()

    def check(self, targets: npt.NDArray[Any], outputs: int) -> None:
        """See `Loss`."""
        if self.weights and len(self.weights) != outputs:
            raise DataError(f"there are {len(self.weights)} class weights for {outputs} classes", "give one per class")
        if targets.ndim == 2:
            _check_probabilities(targets, outputs)
        else:
            _check_classes(targets, outputs)


def _check_probabilities(targets: npt.NDArray[Any], outputs: int) -> None:
    if targets.shape[1] != outputs:
        raise DataError(
            f"the targets are probabilities of {targets.shape[1]} classes, the network has {outputs} outputs"
        )
    if not (np.all(targets >= 0) and np.allclose(targets.sum(1), 1, atol=1e-3)):
        raise DataError("the targets are no probabilities: expected rows of numbers from 0 that add up to 1")


def _check_classes(targets: npt.NDArray[Any], outputs: int) -> None:
    if targets.ndim != 1 or targets.dtype.kind not in "iu":
        raise DataError(
            f"cross-entropy takes class numbers [n], or probabilities [n, classes]; "
            f"the targets are {targets.dtype}{list(targets.shape)}",
            "for measured values use the loss mean-squared-error",
        )
    if len(targets) and not (targets.min() >= 0 and targets.max() < outputs):
        raise DataError(
            f"with {outputs} outputs class numbers are 0 … {outputs - 1}, "
            f"the targets go from {targets.min()} to {targets.max()}"
        )


def discriminator_loss(real: torch.Tensor, made: torch.Tensor) -> torch.Tensor:
    """−mean log D(x) − mean log(1 − D(G(z))): what the discriminator of an adversarial pair makes small.

    `real`, `made`: its logits, D = σ(logit), for real items and for those of the generator. I. Goodfellow et al.,
    "Generative Adversarial Nets", NeurIPS 2014 (arXiv 1406.2661), equation 1.
    """
    return functional.softplus(-real).mean() + functional.softplus(made).mean()


def generator_loss(made: torch.Tensor, saturating: bool = False) -> torch.Tensor:
    """−mean log D(G(z)), the usual form; saturating: mean log(1 − D(G(z))), equation 1 of the same paper.

    `made`: the discriminator's logits for the generator's items. While the discriminator is sure of itself, the
    saturating form has next to no gradient (section 3 of the paper).
    """
    return -functional.softplus(made).mean() if saturating else functional.softplus(-made).mean()
