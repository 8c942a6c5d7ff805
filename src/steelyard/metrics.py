"""What "good" means: raw model outputs → compact answers → right or wrong, and a value.

A metric is any object with the five members of `Metric`; the table `METRICS` finds it by name.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import Any, ClassVar, Protocol

import numpy as np
import numpy.typing as npt

from steelyard.errors import CandidateFailure, DataError, UsageError
from steelyard.records.engine import Array
from steelyard.records.measurement import Paired, Quality

REPLICATES_KEPT = 199
"""Sorted quantiles of the bootstrap that a Quality carries: all a one-sided bound needs, at a fifth of the size."""


class Metric(Protocol):
    """How answers are judged. Values are shares: 0 is worthless, 1 is perfect."""

    @property
    def name(self) -> str:
        """As the user writes it."""

    @property
    def labelled(self) -> bool:
        """Whether the truth is labels; otherwise it is the reference's answers."""

    def answers(self, outputs: Sequence[Array]) -> Array:
        """One compact answer per item (first axis) from all raw outputs of the model, in the model's order.

        Raises CandidateFailure("invalid") when they hold NaN or Inf, UsageError when the metric cannot read them.
        """

    def correct(self, answers: Array, truth: Array) -> npt.NDArray[np.bool_] | None:
        """Right or wrong per item when the metric is the mean of that, else None."""

    def value(self, answers: Array, truth: Array) -> float:
        """The metric over all items."""


METRICS: dict[str, str] = {
    "accuracy": "steelyard.metrics:Accuracy",
    "agreement": "steelyard.metrics:Agreement",
    "macro_f1": "steelyard.metrics:MacroF1",
    "top5": "steelyard.metrics:Top5",
}
"""Name → dotted path `package.module:Class` of a Metric that is made without arguments."""


def metric(name: str) -> Metric:
    """The metric of this name. Raises UsageError for a name that is not in the table."""
    path = METRICS.get(name)
    if path is None:
        raise UsageError(f"there is no metric {name!r}", f"known metrics: {', '.join(sorted(METRICS))}")
    module, _, attribute = path.partition(":")
    made: Metric = getattr(import_module(module), attribute)()
    return made


class Accuracy:
    """The share of items whose most probable class is the label."""

    name: ClassVar[str] = "accuracy"
    labelled: ClassVar[bool] = True

    def answers(self, outputs: Sequence[Array]) -> Array:
        """Class index per item (int32), see `class_answers`."""
        return class_answers(outputs)

    def correct(self, answers: Array, truth: Array) -> npt.NDArray[np.bool_]:
        """Whether the class is the label."""
        return np.asarray(answers == truth, np.bool_)

    def value(self, answers: Array, truth: Array) -> float:
        """The share that is right."""
        return float(np.mean(self.correct(answers, truth)))


class Agreement(Accuracy):
    """The share of items to which the candidate gives the reference's answer; needs no labels."""

    name: ClassVar[str] = "agreement"
    labelled: ClassVar[bool] = False


class Top5:
    """The share of items whose label is among the five most probable classes."""

    name: ClassVar[str] = "top5"
    labelled: ClassVar[bool] = True

    def answers(self, outputs: Sequence[Array]) -> Array:
        """The five most probable classes per item, best first: int32 [items, 5] (fewer where there are fewer)."""
        scores = _scores(outputs)
        if scores is None:
            raise UsageError(
                f"top5 needs an output of shape [items, classes], got {_shapes(outputs)}",
                "choose another metric, for example accuracy",
            )
        best_first: Array = np.argsort(-_finite(scores).astype(np.float64), axis=1, kind="stable")
        return best_first[:, :5].astype(np.int32)

    def correct(self, answers: Array, truth: Array) -> npt.NDArray[np.bool_]:
        """Whether the label is among them."""
        return np.asarray((answers == truth[:, None]).any(axis=1), np.bool_)

    def value(self, answers: Array, truth: Array) -> float:
        """The share that is right."""
        return float(np.mean(self.correct(answers, truth)))


class MacroF1:
    """The unweighted mean of the F1 scores of all classes that occur in the labels or the answers."""

    name: ClassVar[str] = "macro_f1"
    labelled: ClassVar[bool] = True

    def answers(self, outputs: Sequence[Array]) -> Array:
        """Class index per item (int32), see `class_answers`."""
        return class_answers(outputs)

    def correct(self, answers: Array, truth: Array) -> None:
        """None: an F1 score is no mean over items."""

    def value(self, answers: Array, truth: Array) -> float:
        """F1 of a class = 2 · both / (answered + labelled), averaged over the classes."""
        first = min(int(answers.min()), int(truth.min()))
        classes = max(int(answers.max()), int(truth.max())) - first + 1
        answered = np.bincount(answers - first, minlength=classes)
        labelled = np.bincount(truth - first, minlength=classes)
        both = np.bincount(truth[answers == truth] - first, minlength=classes)
        seen = answered + labelled > 0
        return float(np.mean(2 * both[seen] / (answered + labelled)[seen]))


def class_answers(outputs: Sequence[Array]) -> Array:
    """Class index per item, int32.

    The first output of shape [items, classes] decides by its largest score. Without one, the first output is one
    number per item: whole numbers are class indices already, others are probabilities of class 1 and count as
    class 1 from 0.5 on (a model that ends in a bare logit needs a sigmoid).
    Raises CandidateFailure("invalid") for NaN or Inf, UsageError when there is no such output.
    """
    scores = _scores(outputs)
    if scores is not None:
        best: Array = _finite(scores).argmax(axis=1)
        return best.astype(np.int32)
    single = _flat(outputs[0]) if outputs else None
    if single is None or single.shape[1:] != (1,) or single.dtype.kind not in "fiub":
        raise UsageError(
            f"this metric needs an output of shape [items, classes] or [items], got {_shapes(outputs)}",
            "pick a model output that holds class scores",
        )
    column = _finite(single)[:, 0]
    return (column >= 0.5 if column.dtype.kind == "f" else column).astype(np.int32)


def _scores(outputs: Sequence[Array]) -> Array | None:
    """The first numeric output with one row per item and several columns."""
    flat = (_flat(output) for output in outputs if output.dtype.kind in "fiu")
    return next((array for array in flat if array is not None and array.shape[1] > 1), None)


def _flat(output: Array) -> Array | None:
    """[items, columns], axes of length 1 dropped ([n, 1000, 1, 1] is a common classifier output); else None."""
    long = [size for size in output.shape[1:] if size != 1]
    if output.ndim == 0 or len(long) > 1:
        return None
    return output.reshape(output.shape[0], long[0] if long else 1)


def _finite(scores: Array) -> Array:
    bad = int((~np.isfinite(scores)).any(axis=1).sum())
    if bad:
        raise CandidateFailure("invalid", f"the answers to {bad} of {len(scores)} items hold NaN or Inf")
    return scores


def _shapes(outputs: Sequence[Array]) -> str:
    return ", ".join(f"{output.dtype}{list(output.shape)}" for output in outputs) or "no outputs"


def judge(
    metric: Metric,
    answers: Array,
    reference_answers: Array,
    truth: Array | None,
    start: int,
    seed: int = 0,
    replicates: int = 999,
) -> Quality:
    """The quality of the answers to items `start`, `start + 1` …, paired with the reference's answers to the same.

    Arrays have one entry (or row) per item. `truth` is not read by metrics that need no labels.
    Raises CandidateFailure("invalid") when the answers do not match the reference's in number or shape,
    DataError when labels are missing or their number differs.
    """
    truth = _truth(metric, reference_answers, truth)
    if answers.shape != reference_answers.shape:
        raise CandidateFailure(
            "invalid", f"expected answers of shape {list(reference_answers.shape)}, got {list(answers.shape)}"
        )
    right, reference_right = metric.correct(answers, truth), metric.correct(reference_answers, truth)
    evidence: dict[str, Any]
    if right is not None and reference_right is not None:
        evidence = {"paired": _paired(right, reference_right)}
    else:
        evidence = _bootstrap(metric, answers, reference_answers, truth, np.random.default_rng(seed), replicates)
    value, reference = metric.value(answers, truth), metric.value(reference_answers, truth)
    return Quality(metric=metric.name, start=start, items=len(answers), value=value, reference=reference, **evidence)


def _truth(metric: Metric, reference_answers: Array, truth: Array | None) -> Array:
    if not metric.labelled:
        return reference_answers
    if truth is None:
        raise DataError(f"{metric.name} needs labels, and the data have none", "give labels, or use agreement")
    if len(truth) != len(reference_answers):
        raise DataError(f"expected a label for each of {len(reference_answers)} items, got {len(truth)} labels")
    return truth


def _paired(right: npt.NDArray[np.bool_], reference_right: npt.NDArray[np.bool_]) -> Paired:
    both = int(np.sum(right & reference_right))
    only_reference = int(np.sum(reference_right)) - both
    only_candidate = int(np.sum(right)) - both
    neither = len(right) - both - only_reference - only_candidate
    return Paired(both=both, only_reference=only_reference, only_candidate=only_candidate, neither=neither)


def _bootstrap(
    metric: Metric, answers: Array, reference_answers: Array, truth: Array, rng: np.random.Generator, replicates: int
) -> dict[str, tuple[float, ...]]:
    """Both are drawn on the same items, so that what is hard about an item cancels in the drop."""
    values = np.empty(replicates)
    drops = np.empty(replicates)
    for i in range(replicates):
        drawn = rng.integers(0, len(truth), len(truth))
        values[i] = metric.value(answers[drawn], truth[drawn])
        drops[i] = metric.value(reference_answers[drawn], truth[drawn]) - values[i]
    return {"values": _thinned(values), "drops": _thinned(drops)}


def _thinned(replicates: npt.NDArray[np.float64]) -> tuple[float, ...]:
    return tuple(np.quantile(replicates, np.linspace(0, 1, REPLICATES_KEPT)).tolist())
