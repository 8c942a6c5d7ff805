"""Metrics that are the share of items answered rightly: judged by exact bounds on counts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from steelyard.errors import UsageError
from steelyard.metrics import Targets
from steelyard.metrics.outputs import class_answers, class_scores, finite, shapes
from steelyard.records.engine import Array


class Accuracy:
    """The share of items whose most probable class is the label."""

    name: ClassVar[str] = "accuracy"
    targets: ClassVar[Targets] = "classes"
    lower_is_better: ClassVar[bool] = False

    def answers(self, outputs: Sequence[Array]) -> Array:
        """Class index per item (int32), see `class_answers`."""
        return class_answers(outputs)

    def missing(self, answers: Array, truth: Array) -> str:
        """Any item can be right or wrong."""
        return ""

    def correct(self, answers: Array, truth: Array) -> npt.NDArray[np.bool_]:
        """Whether the class is the label."""
        return np.asarray(answers == truth, np.bool_)

    def value(self, answers: Array, truth: Array) -> float:
        """The share that is right."""
        return float(np.mean(self.correct(answers, truth)))


class Agreement(Accuracy):
    """The share of items to which the candidate gives the reference's answer; needs no labels."""

    name: ClassVar[str] = "agreement"
    targets: ClassVar[Targets] = "reference"


class Top5(Accuracy):
    """The share of items whose label is among the five most probable classes."""

    name: ClassVar[str] = "top5"

    def answers(self, outputs: Sequence[Array]) -> Array:
        """The five most probable classes per item, best first: int32 [items, 5] (fewer where there are fewer)."""
        scores = class_scores(outputs)
        if scores is None:
            raise UsageError(
                f"top5 needs an output of shape [items, classes], got {shapes(outputs)}",
                "choose another metric, for example accuracy",
            )
        best_first: Array = np.argsort(-finite(scores).astype(np.float64), axis=1, kind="stable")
        return best_first[:, :5].astype(np.int32)

    def correct(self, answers: Array, truth: Array) -> npt.NDArray[np.bool_]:
        """Whether the label is among them."""
        return np.asarray((answers == truth[:, None]).any(axis=1), np.bool_)
