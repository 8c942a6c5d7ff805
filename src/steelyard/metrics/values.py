"""Metrics of numbers: how far answers are from measured values, or which way they point.

MSE and MAE are the mean squared and the mean absolute difference; of several numbers per item, their mean. R² is
1 − sum of squares of the errors / sum of squares around the mean target, for several numbers per item the mean over
those that vary. Cosine is the mean cosine of the angle between an answer and its target. As in scikit-learn.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar

import numpy as np

from steelyard.errors import DataError, UsageError
from steelyard.metrics import Extreme, Floats, Targets, Weighted
from steelyard.metrics.outputs import number_answers, shapes
from steelyard.records.engine import Array


class OfNumbers(Weighted):
    """A metric of the model's first output, in which items can have weights."""

    name: str
    targets: ClassVar[Targets] = "numbers"
    lower_is_better: ClassVar[bool] = False

    def answers(self, outputs: Sequence[Array]) -> Array:
        """The first output as it is."""
        return number_answers(outputs)

    def missing(self, answers: Array, truth: Array) -> str:
        """Answers and targets must be of one size."""
        return _check_sizes(self.name, answers, truth)

    def correct(self, answers: Array, truth: Array) -> None:
        """None: no question of right and wrong."""

    def value(self, answers: Array, truth: Array) -> float:
        """With equal weights."""
        return float(self.weighted(answers, truth, np.ones((1, len(truth))))[0])

    def extreme(self, answers: Array, reference: Array, truth: Array) -> Extreme:
        """See `_worst_error`."""
        return _worst_error(answers, reference, truth)


class MeanError(OfNumbers):
    """The mean over the items of how wrong each is: 0 is perfect."""

    lower_is_better: ClassVar[bool] = True

    def __init__(self, name: str, of_difference: Callable[[Floats], Floats]) -> None:
        self.name = name
        self._of_difference = of_difference

    def weighted(self, answers: Array, truth: Array, weights: Floats) -> Floats:
        """See `Weighted`."""
        return _mean(self._of_difference(_rows(answers) - _rows(truth)).mean(axis=1), weights)


def mse() -> MeanError:
    """The mean squared error."""
    return MeanError("mse", np.square)


def mae() -> MeanError:
    """The mean absolute error."""
    return MeanError("mae", np.abs)


class R2(OfNumbers):
    """The share of the targets' variance that the answers explain: 1 is perfect, 0 no better than the targets' mean."""

    name = "r2"

    def missing(self, answers: Array, truth: Array) -> str:
        """Targets must differ."""
        if _check_sizes("r2", answers, truth) or _varying(_rows(truth)).any():
            return ""
        return f"r2 needs targets that differ, all {len(truth):,} are {_rows(truth)[0, 0]:g}"

    def weighted(self, answers: Array, truth: Array, weights: Floats) -> Floats:
        """See `Weighted`."""
        kept = _varying(_rows(truth))
        if not kept.any():
            return np.zeros(len(weights))
        target = _rows(truth)[:, kept]
        errors = _rows(answers)[:, kept] - target
        centred = target - target.mean(axis=0)
        around = weights @ centred**2 - (weights @ centred) ** 2 / weights.sum(axis=1, keepdims=True)
        unexplained: Floats = (weights @ errors**2 / around).mean(axis=1)
        return 1 - unexplained


class Cosine(OfNumbers):
    """The mean cosine between answer and target; without fitting targets, between answer and reference's answer.

    1 is the same direction, 0 a right angle.
    """

    name = "cosine"
    targets: ClassVar[Targets] = "numbers or reference"

    def answers(self, outputs: Sequence[Array]) -> Array:
        """The first output as it is; one number alone has no direction."""
        found = number_answers(outputs)
        if found.ndim == 1:
            raise UsageError(
                f"cosine compares directions of several numbers per item, got {shapes(outputs)}",
                "of one number per item, ask for mse, mae or r2",
            )
        return found

    def weighted(self, answers: Array, truth: Array, weights: Floats) -> Floats:
        """See `Weighted`."""
        ours, theirs = _rows(answers), _rows(truth)
        lengths = np.linalg.norm(ours, axis=1) * np.linalg.norm(theirs, axis=1)
        cosines = np.einsum("ij,ij->i", ours, theirs) / np.where(lengths > 0, lengths, 1)
        both_zero = ~ours.any(axis=1) & ~theirs.any(axis=1)
        return _mean(np.where(both_zero, 1.0, cosines), weights)

    def extreme(self, answers: Array, reference: Array, truth: Array) -> Extreme:
        """An item to which the one answers rightly and the other the very opposite."""
        longest = int(np.linalg.norm(_rows(truth), axis=1).argmax())
        target = _rows(truth)[[longest]]
        return Extreme(_like(truth, target), _like(answers, target), _like(answers, -target))


def _check_sizes(name: str, answers: Array, truth: Array) -> str:
    """Nothing. Raises DataError when answers and targets are not of one size."""
    wide, given = _rows(answers).shape[1], _rows(truth).shape[1]
    if wide != given:
        raise DataError(
            f"{name} compares numbers with targets: the model answers {wide} numbers per item, the labels have {given}",
            "of class scores, ask for accuracy, f1 or auroc" if given == 1 else "are these the right labels?",
        )
    return ""


def _worst_error(answers: Array, reference: Array, truth: Array) -> Extreme:
    """An item on which the one errs as much as either ever did, and the other not at all."""
    target = _rows(truth)
    errors = np.concatenate([_rows(answers) - target, _rows(reference) - target])
    worst = int((errors * errors).sum(axis=1).argmax())
    perfect = target[[worst % len(target)]]
    return Extreme(_like(truth, perfect), _like(answers, perfect), _like(answers, perfect + errors[[worst]]))


def _rows(values: Array) -> Floats:
    """float64 [items, numbers]."""
    return values.reshape(len(values), -1).astype(np.float64)


def _like(values: Array, rows: Floats) -> Array:
    """Rows in the shape that one item of `values` has."""
    return rows.reshape(len(rows), *values.shape[1:])


def _mean(of_item: Floats, weights: Floats) -> Floats:
    mean: Floats = weights @ of_item / weights.sum(axis=1)
    return mean


def _varying(target: Floats) -> Array:
    varying: Array = np.ptp(target, axis=0) > 0
    return varying
