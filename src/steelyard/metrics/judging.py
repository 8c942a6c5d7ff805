"""From answers to a `Quality`: counts of right and wrong in pairs, or limits by resampling the items."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from steelyard.errors import CandidateFailure, DataError, UsageError
from steelyard.metrics import Metric, Weighted
from steelyard.metrics.resampling import REPLICATES, Limits, Pair, drawn_limits, nothing_known, weighted_limits
from steelyard.records.engine import Array
from steelyard.records.measurement import Paired, Quality


def judge(
    metric: Metric,
    answers: Array,
    reference_answers: Array,
    truth: Array | None,
    start: int,
    *,
    own: bool = False,
    seed: int = 0,
    replicates: int = REPLICATES,
) -> Quality:
    """The quality of the answers to items `start`, `start + 1` …, paired with the reference's answers to the same.

    Arrays have one entry (or row) per item. `truth` is not read by metrics that need no labels. `own` says that the
    answers are the reference's own: it then cannot drop, and items that cannot be judged are an error.
    Raises CandidateFailure("invalid") when the answers do not match the reference's in number or shape or the metric
    fails on them, DataError when labels are missing, do not fit or do not suffice, UsageError when the metric fails
    on the reference's own answers.
    """
    truth = _truth(metric, reference_answers, truth)
    if answers.shape != reference_answers.shape:
        raise CandidateFailure(
            "invalid", f"expected answers of shape {list(reference_answers.shape)}, got {list(answers.shape)}"
        )
    told: dict[str, Any] = {"metric": metric.name, "start": start, "items": len(answers)}
    told["lower_is_better"] = metric.lower_is_better
    missing = metric.missing(reference_answers, truth)
    if missing and own:
        raise DataError(missing, "give more items, or choose another metric")
    if missing:
        return Quality(value=0.0, reference=0.0, **told, **nothing_known()._asdict())
    reference = _reference_value(metric, reference_answers, truth)
    value = reference if own else metric.value(answers, truth)
    pair = Pair(answers, reference_answers, truth, value, reference)
    return Quality(value=value, reference=reference, identical=own, **told, **_evidence(metric, pair, seed, replicates))


def _truth(metric: Metric, reference_answers: Array, truth: Array | None) -> Array:
    """The labels if the metric reads them, else the reference's answers."""
    if metric.targets == "reference" or (truth is None and metric.targets in ("any", "numbers or reference")):
        return reference_answers
    if truth is None:
        raise DataError(f"{metric.name} needs labels, and the data have none", "give labels, or use agreement")
    if len(truth) != len(reference_answers):
        raise DataError(f"expected a label for each of {len(reference_answers)} items, got {len(truth)} labels")
    if metric.targets == "numbers or reference" and truth.dtype.kind != "f":
        return reference_answers  # class numbers are no direction
    if metric.targets == "classes" and truth.dtype.kind == "f":
        raise DataError(
            f"{metric.name} needs class numbers, the labels are measured values",
            "choose a metric of numbers: mse, mae or r2",
        )
    return truth


def _reference_value(metric: Metric, answers: Array, truth: Array) -> float:
    """What fails here is the metric or the data, not a candidate."""
    try:
        value = metric.value(answers, truth)
    except CandidateFailure as failure:
        raise UsageError(failure.message, failure.hint) from failure
    if metric.lower_is_better and value <= 0:
        raise DataError(
            f"{metric.name} of the model as given is {value:g}: nothing can be told as a share of that",
            "are the labels the model's own answers? Judge by what is better the higher it is: cosine, r2, or your own",
        )
    return value


def _evidence(metric: Metric, pair: Pair, seed: int, replicates: int) -> dict[str, Any]:
    right, reference_right = metric.correct(pair.answers, pair.truth), metric.correct(pair.reference, pair.truth)
    if right is not None and reference_right is not None:
        return {"paired": _paired(right, reference_right)}
    rng = np.random.default_rng(seed)
    limits: Limits
    if isinstance(metric, Weighted):
        limits = weighted_limits(metric, pair, rng, replicates, lower_is_better=metric.lower_is_better)
    else:
        limits = drawn_limits(metric, pair, rng, replicates)
    return limits._asdict()


def _paired(right: npt.NDArray[np.bool_], reference_right: npt.NDArray[np.bool_]) -> Paired:
    both = int(np.sum(right & reference_right))
    only_reference = int(np.sum(reference_right)) - both
    only_candidate = int(np.sum(right)) - both
    neither = len(right) - both - only_reference - only_candidate
    return Paired(both=both, only_reference=only_reference, only_candidate=only_candidate, neither=neither)
