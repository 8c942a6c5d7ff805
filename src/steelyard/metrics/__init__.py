"""What "good" means: raw model outputs → compact answers → right or wrong, and a value.

A metric is any object with the members of `Metric`; the table `METRICS` finds it by name. Those of `PER_CLASS` are
also asked of one class (`recall:pneumonia`), and `package.module:function` is a metric of the user's own.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from steelyard.errors import UsageError
from steelyard.records.dotted import found
from steelyard.records.engine import Array

Targets = Literal["classes", "numbers", "reference", "numbers or reference", "any"]
"""What answers are held against. classes: labels that are class numbers; numbers: labels that are measured values;
reference: the reference's own answers, which needs no labels; any: whatever labels there are, else those answers."""

Floats = npt.NDArray[np.float64]


class Metric(Protocol):
    """How answers are judged."""

    @property
    def name(self) -> str:
        """As the user writes it."""

    @property
    def targets(self) -> Targets:
        """What the answers are held against."""

    @property
    def lower_is_better(self) -> bool:
        """Whether it is an error. Its drop is told as a share of the reference's error."""

    def answers(self, outputs: Sequence[Array]) -> Array:
        """One compact answer per item (first axis) from all raw outputs of the model, in the model's order.

        Raises CandidateFailure("invalid") when they hold NaN or Inf, UsageError when the metric cannot read them.
        """

    def missing(self, answers: Array, truth: Array) -> str:
        """Why these items cannot be judged ("no item is labelled 'cat'"); empty when they can.

        Raises DataError when no items of this kind could be.
        """

    def correct(self, answers: Array, truth: Array) -> npt.NDArray[np.bool_] | None:
        """Right or wrong per item that counts, when the metric is the mean of that, else None."""

    def value(self, answers: Array, truth: Array) -> float:
        """The metric over all items."""


class Extreme(NamedTuple):
    """One made-up item, as an array of length 1 each: its truth, a perfect answer to it, and one as bad as can be."""

    truth: Array
    good: Array
    bad: Array


@runtime_checkable
class Weighted(Protocol):
    """A metric whose items can have weights: its bounds are tighter, hold for few items, and are found at once."""

    def weighted(self, answers: Array, truth: Array, weights: Floats) -> Floats:
        """The metric for each row of `weights` [rows, items], all above 0: [rows]."""

    def extreme(self, answers: Array, reference: Array, truth: Array) -> Extreme:
        """An item on which one of two could be best and the other worst, to the greatest effect."""


METRICS: dict[str, str] = {
    "accuracy": "steelyard.metrics.right_or_wrong:Accuracy",
    "agreement": "steelyard.metrics.right_or_wrong:Agreement",
    "auroc": "steelyard.metrics.ranking:Auroc",
    "cosine": "steelyard.metrics.values:Cosine",
    "f1": "steelyard.metrics.classes:f1",
    "macro_f1": "steelyard.metrics.classes:macro_f1",
    "mae": "steelyard.metrics.values:mae",
    "mse": "steelyard.metrics.values:mse",
    "precision": "steelyard.metrics.classes:precision",
    "r2": "steelyard.metrics.values:R2",
    "recall": "steelyard.metrics.classes:recall",
    "top5": "steelyard.metrics.right_or_wrong:Top5",
}
"""Name → dotted path `package.module:function` (or class) that makes the Metric when it is called."""

PER_CLASS = ("f1", "precision", "recall")
"""Metrics that are also made for one class: called with the name and the class number."""


def metric(name: str, classes: Sequence[str] = ()) -> Metric:
    """The metric of this name. `classes` are the names of the classes, in the order of the model's outputs.

    Raises UsageError for a name that is not in the table, a class that there is not, and a metric of one's own that
    cannot be imported.
    """
    family, separator, rest = name.partition(":")
    if separator and family not in METRICS:
        from steelyard.metrics.own import own_metric

        return own_metric(name)
    kind = _kind(family)
    made: Metric = kind(name, _class_number(name, rest, classes)) if separator else kind()
    return made


def targets_of(name: str) -> Targets:
    """What the answers of a metric are held against; its class, or its module, need not be known yet."""
    family, separator, _ = name.partition(":")
    if separator and family not in METRICS:
        return "any"
    targets: Targets = _kind(family)().targets
    return targets


def _kind(family: str) -> Any:
    path = METRICS.get(family)
    if path is None:
        near = difflib.get_close_matches(family, METRICS, n=1)
        raise UsageError(
            f"there is no metric {family!r}",
            (f"did you mean {near[0]}? " if near else "")
            + f"known metrics: {', '.join(sorted(METRICS))}; of one class, for example recall:cat; "
            "or your own as package.module:function",
        )
    return found(path)


def _class_number(name: str, said: str, classes: Sequence[str]) -> int:
    """The class that `recall:pneumonia` or `recall:3` means; a name that looks like a number comes first."""
    family = name.partition(":")[0]
    if family not in PER_CLASS:
        raise UsageError(f"{family} is not asked of one class, got {name!r}", f"those are: {', '.join(PER_CLASS)}")
    if said in classes:
        return list(classes).index(said)
    if said.isdecimal() and (not classes or int(said) < len(classes)):
        return int(said)
    if not classes:
        raise UsageError(
            f"{name!r}: the classes have no names here, expected a number from 0",
            f"for example {family}:1, or give the names in the order of the model's outputs: [data] classes",
        )
    near = difflib.get_close_matches(said, classes, n=3) or list(classes[:8])
    raise UsageError(f"{name!r}: there is no class {said!r} among {len(classes)}", f"there are {', '.join(near)}")
