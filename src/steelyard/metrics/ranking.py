"""AUROC: how surely a score tells one class from the others, whatever the threshold."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from steelyard.errors import DataError
from steelyard.metrics import Extreme, Floats, Targets
from steelyard.metrics.outputs import ranking_answers
from steelyard.records.engine import Array


class Auroc:
    """The chance that an item of a class scores higher than one of another (ties count half).

    With more than two classes: each against the rest, the unweighted mean over the classes that occur
    (J. A. Hanley and B. J. McNeil, Radiology 143, 1982, for two; macro one-vs-rest as in scikit-learn).
    """

    name: ClassVar[str] = "auroc"
    targets: ClassVar[Targets] = "classes"
    lower_is_better: ClassVar[bool] = False

    def answers(self, outputs: Sequence[Array]) -> Array:
        """Scores, see `ranking_answers`."""
        return ranking_answers(outputs)

    def missing(self, answers: Array, truth: Array) -> str:
        """Two classes are needed, and for a single score they are 0 and 1."""
        kinds = np.unique(truth)
        if answers.ndim == 1 and not np.isin(kinds, (0, 1)).all():
            raise DataError(
                f"auroc of one score per item needs labels 0 and 1, got {', '.join(map(str, kinds[:8]))}",
                "a score per class is needed to tell more than two classes apart",
            )
        if len(kinds) < 2:
            return f"auroc needs items of two classes, all {len(truth):,} are labelled {kinds[0]}"
        return ""

    def correct(self, answers: Array, truth: Array) -> None:
        """None: no mean over items."""

    def value(self, answers: Array, truth: Array) -> float:
        """0.5 is worth nothing, 1 is perfect."""
        return float(self.weighted(answers, truth, np.ones((1, len(truth))))[0])

    def weighted(self, answers: Array, truth: Array, weights: Floats) -> Floats:
        """See `Weighted`. Exact for equal weights, to first order in the others (see `_placements`)."""
        columns = answers.reshape(len(answers), -1)
        numbers = [1] if answers.ndim == 1 else range(columns.shape[1])
        kinds = [kind for kind in numbers if 0 < np.count_nonzero(truth == kind) < len(truth)]
        if not kinds:
            return np.zeros(len(weights))
        positive = np.stack([truth == kind for kind in kinds], axis=1)
        scores = columns if answers.ndim == 1 else columns[:, kinds]
        placed = np.stack([_placements(s, p) for s, p in zip(scores.T, positive.T, strict=True)], axis=1)
        side = positive.astype(np.float64)
        area = (placed * side).sum(axis=0) / side.sum(axis=0)
        of_positive = weights @ (placed * side) / (weights @ side)
        of_negative = weights @ (placed * (1 - side)) / (weights @ (1 - side))
        mean: Floats = (of_positive + of_negative - area).mean(axis=1)
        return mean

    def extreme(self, answers: Array, reference: Array, truth: Array) -> Extreme:
        """An item of the rarest class, ranked first by the one and last by the other."""
        low = float(min(answers.min(), reference.min())) - 1
        high = float(max(answers.max(), reference.max())) + 1
        kinds, counts = np.unique(truth, return_counts=True)
        rare = kinds[counts.argmin()]
        if answers.ndim == 1:
            good, bad = (high, low) if rare == 1 else (low, high)
            return Extreme(np.array([rare]), np.array([good]), np.array([bad]))
        good_row, bad_row = np.full((1, answers.shape[1]), low), np.full((1, answers.shape[1]), high)
        if 0 <= rare < answers.shape[1]:
            good_row[0, rare], bad_row[0, rare] = high, low
        return Extreme(np.array([rare]), good_row, bad_row)


def _placements(scores: Array, positive: npt.NDArray[np.bool_]) -> Floats:
    """For each item the share of the items of the other side that it is on the right side of; ties count half.

    The mean over either side is the area under the curve, and the area is linear in them to first order (E. R. DeLong,
    D. M. DeLong and D. L. Clarke-Pearson, Biometrics 44, 1988).
    """
    ours, theirs = np.sort(scores[positive]), np.sort(scores[~positive])
    placed = np.empty(len(scores))
    placed[positive] = _below(theirs, scores[positive])
    placed[~positive] = 1 - _below(ours, scores[~positive])
    return placed


def _below(ordered: Array, scores: Array) -> Floats:
    """The share of `ordered` below each score."""
    share: Floats = (np.searchsorted(ordered, scores, "left") + np.searchsorted(ordered, scores, "right")) / 2
    return share / len(ordered)
