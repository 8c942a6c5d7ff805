"""Precision, recall and F1: of one class, or the unweighted mean over all classes.

With `answered` and `labelled` the weight of the items that are answered, and labelled, with a class, and `both` of
those that are both: precision = both / answered, recall = both / labelled, F1 = 2 both / (answered + labelled)
(C. J. van Rijsbergen, Information Retrieval, 1979, ch. 7). A class that is never answered has the precision 0.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar, NamedTuple

import numpy as np
import numpy.typing as npt

from steelyard.metrics import Extreme, Floats, Targets
from steelyard.metrics.outputs import class_answers
from steelyard.records.engine import Array


class Counts(NamedTuple):
    """Weights of items per class, [rows, classes] each; the first column is the class `first`."""

    answered: Floats
    labelled: Floats
    both: Floats
    first: int


Counted = npt.NDArray[np.bool_]
Shares = Callable[[Counts], tuple[Floats, Counted]]
"""The metric of each class [rows, classes], and which classes count for the mean."""


class OfClasses:
    """One of the three, of one class or as a mean."""

    targets: ClassVar[Targets] = "classes"
    lower_is_better: ClassVar[bool] = False

    def __init__(self, name: str, of: int | None, shares: Shares, *, alarms: bool = False, exact: bool = False) -> None:
        self.name = name
        self.of = of
        """The class number; None: the mean over all classes."""
        self._shares = shares
        self._alarms = alarms
        """What hurts is an item wrongly taken for the class, not one of the class that is missed."""
        self._exact = exact and of is not None
        """It is the share of right answers among the items of the class."""

    def answers(self, outputs: Sequence[Array]) -> Array:
        """Class index per item (int32), see `class_answers`."""
        return class_answers(outputs)

    def missing(self, answers: Array, truth: Array) -> str:
        """A class is judged by the items that are labelled with it."""
        if self.of is None or (truth == self.of).any():
            return ""
        return f"{self.name}: none of {len(truth):,} items is labelled with that class"

    def correct(self, answers: Array, truth: Array) -> npt.NDArray[np.bool_] | None:
        """Of the recall of one class: whether its items are answered with it."""
        return np.asarray(answers[truth == self.of] == self.of, np.bool_) if self._exact else None

    def value(self, answers: Array, truth: Array) -> float:
        """0 for a class without items."""
        return float(self.weighted(answers, truth, np.ones((1, len(truth))))[0])

    def weighted(self, answers: Array, truth: Array, weights: Floats) -> Floats:
        """See `Weighted`."""
        counts = _counts(answers, truth, weights)
        shares, counted = self._shares(counts)
        if self.of is None:
            mean: Floats = shares[:, counted].mean(axis=1)
            return mean
        column = self.of - counts.first
        return shares[:, column] if 0 <= column < shares.shape[1] else np.zeros(len(weights))

    def extreme(self, answers: Array, reference: Array, truth: Array) -> Extreme:
        """An item of the class in question, or of the rarest one, taken for the next rarest; or the other way round."""
        rare, other = self._rarest(truth)
        real, taken = (other, rare) if self._alarms else (rare, other)
        return Extreme(np.array([real], truth.dtype), _class(real), _class(taken))

    def _rarest(self, truth: Array) -> tuple[int, int]:
        kinds, counts = np.unique(truth, return_counts=True)
        rarest = [int(kind) for kind in kinds[np.argsort(counts, kind="stable")]]
        first = rarest[0] if self.of is None else self.of
        return first, next((kind for kind in rarest if kind != first), first + 1)


def precision(name: str = "precision", of: int | None = None) -> OfClasses:
    """Of the items answered with a class, the share that is labelled with it."""
    return OfClasses(name, of, _precisions, alarms=True)


def recall(name: str = "recall", of: int | None = None) -> OfClasses:
    """Of the items labelled with a class, the share that is answered with it; the mean is over labelled classes."""
    return OfClasses(name, of, _recalls, exact=True)


def f1(name: str = "f1", of: int | None = None) -> OfClasses:
    """The harmonic mean of precision and recall; the mean is over all classes that are labelled or answered."""
    return OfClasses(name, of, _f1s)


def macro_f1() -> OfClasses:
    """The same as `f1`, under the name that says so."""
    return OfClasses("macro_f1", None, _f1s)


def _precisions(counts: Counts) -> tuple[Floats, Counted]:
    return _over(counts.both, counts.answered), (counts.answered + counts.labelled)[0] > 0


def _recalls(counts: Counts) -> tuple[Floats, Counted]:
    return _over(counts.both, counts.labelled), counts.labelled[0] > 0


def _f1s(counts: Counts) -> tuple[Floats, Counted]:
    total = counts.answered + counts.labelled
    return _over(2 * counts.both, total), total[0] > 0


def _over(part: Floats, whole: Floats) -> Floats:
    """A share, 0 where there is nothing to share."""
    share: Floats = part / np.where(whole > 0, whole, 1)
    return share


def _class(number: int) -> Array:
    return np.array([number], np.int32)


def _counts(answers: Array, truth: Array, weights: Floats) -> Counts:
    first = min(int(answers.min()), int(truth.min()))
    size = max(int(answers.max()), int(truth.max())) - first + 1
    right = answers == truth

    def summed(classes: Array, chosen: Floats) -> Floats:
        return np.stack([np.bincount(classes - first, weights=row, minlength=size) for row in chosen])

    return Counts(summed(answers, weights), summed(truth, weights), summed(truth[right], weights[:, right]), first)
