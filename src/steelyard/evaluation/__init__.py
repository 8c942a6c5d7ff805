"""Evaluation: from what a network told to how right it is, for whom, and how sure that is known. No torch."""

from __future__ import annotations

import numpy as np

from steelyard.errors import DataError
from steelyard.evaluation import groups as grouping
from steelyard.evaluation.classes import figures_of_classes
from steelyard.evaluation.values import figures_of_values
from steelyard.records.engine import Array
from steelyard.records.evaluation import Evaluation

__all__ = ["evaluate"]


def evaluate(
    told: Array, targets: Array, classes: tuple[str, ...] = (), *, part: str = "test", groups: Array | None = None
) -> Evaluation:
    """Everything about these answers.

    `told`: with `classes` the probabilities of each, float [items, classes], and `targets` class numbers [items];
    without, measured values [items] (or [items, values]) like the targets. `groups`: whose each item is, [items].

    Raises DataError for no items, or arrays that do not fit each other.
    """
    told, targets = np.asarray(told), np.asarray(targets)
    if not len(targets) or len(told) != len(targets):
        raise DataError(f"expected an answer for each of some items, got {len(told)} answers to {len(targets)} items")
    if not np.isfinite(told).all():
        raise DataError("some answers are no finite numbers", "train again with a lower learning rate")
    if not classes:
        return Evaluation(part=part, items=len(targets), **figures_of_values(told, targets))
    if told.ndim != 2 or told.shape[1] != len(classes):
        raise DataError(f"expected probabilities of {len(classes)} classes, got an array of shape {told.shape}")
    fair = {} if groups is None else grouping.figures_of_groups(told.argmax(axis=1), targets, classes, groups)
    return Evaluation(
        part=part, items=len(targets), classes=classes, **figures_of_classes(told, targets, classes), **fair
    )
