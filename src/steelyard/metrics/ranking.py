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
        """See `Weighted`."""
        if answers.ndim == 1:
            return _area(answers, truth == 1, weights)
        kinds = [kind for kind in range(answers.shape[1]) if 0 < np.count_nonzero(truth == kind) < len(truth)]
        areas = [_area(answers[:, kind], truth == kind, weights) for kind in kinds]
        return np.mean(areas, axis=0) if areas else np.zeros(len(weights))

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


def _area(scores: Array, positive: npt.NDArray[np.bool_], weights: Floats) -> Floats:
    """The area under the curve of each row of weights: what scores lower, summed over the positive items."""
    order = np.argsort(scores, kind="stable")
    ranked = scores[order]
    starts = np.flatnonzero(np.concatenate([[True], ranked[1:] != ranked[:-1]]))  # one group per different score
    of_item = weights[:, order]
    above = np.add.reduceat(np.where(positive[order], of_item, 0.0), starts, axis=1)
    below = np.add.reduceat(np.where(positive[order], 0.0, of_item), starts, axis=1)
    lower = below.cumsum(axis=1) - below / 2
    area: Floats = (above * lower).sum(axis=1) / (above.sum(axis=1) * below.sum(axis=1))
    return area
