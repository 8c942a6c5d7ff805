"""Figures of a classifier: all in all, by class, how well its probabilities are meant, and its worst mistakes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from steelyard.evaluation.limits import Floats, drawn, share
from steelyard.metrics import Weighted, metric
from steelyard.records.engine import Array
from steelyard.records.evaluation import ClassFigures, Interval, Mistake

BINS = 15
MOST_MISTAKES = 24
MOST_BY_CLASS = 20
"""With more classes than this their F1 and AUROC get no limits: drawing them would take minutes."""


def figures_of_classes(told: Array, targets: Array, classes: tuple[str, ...]) -> dict[str, Any]:
    """The fields of an Evaluation that tell of classes. `told`: probabilities [items, classes]."""
    answers = told.argmax(axis=1)
    return {
        "accuracy": share(int((answers == targets).sum()), len(targets)),
        **{name: _mean(f"macro_{name}" if name == "f1" else name, answers, targets) for name in _MEANS},
        "auroc": _auroc(told, targets),
        "calibration_error": calibration_error(told, targets),
        "by_class": tuple(_by_class(told, answers, targets, classes)),
        "confusion": _confusion(answers, targets, len(classes)),
        "mistakes": _mistakes(told, answers, targets, classes),
    }


_MEANS = ("precision", "recall", "f1")


def _mean(name: str, answers: Array, targets: Array) -> Interval:
    return _weighted(metric(name), answers.astype(np.int32), targets)


def _weighted(how: Any, answers: Array, targets: Array) -> Interval:
    assert isinstance(how, Weighted)  # noqa: S101 - all metrics of the table that are used here are
    return drawn(lambda weights: how.weighted(answers, targets, weights), len(targets))


def _auroc(told: Array, targets: Array) -> Interval | None:
    scores = told[:, 1] if told.shape[1] == 2 else told
    how = metric("auroc")
    return None if how.missing(scores, targets) else _weighted(how, scores, targets)


def _by_class(told: Array, answers: Array, targets: Array, classes: tuple[str, ...]) -> Iterator[ClassFigures]:
    for number, name in enumerate(classes):
        labelled, answered = targets == number, answers == number
        both = int((labelled & answered).sum())
        yield ClassFigures(
            name=name,
            items=int(labelled.sum()),
            precision=share(both, int(answered.sum())),
            recall=share(both, int(labelled.sum())),
            f1=_f1(labelled, answered, with_limits=len(classes) <= MOST_BY_CLASS),
            auroc=_one_against_all(told[:, number], labelled, with_limits=len(classes) <= MOST_BY_CLASS),
        )


def _f1(labelled: Array, answered: Array, *, with_limits: bool) -> Interval:
    both = (labelled & answered).astype(np.float64)
    sizes = labelled.astype(np.float64) + answered

    def value(weights: Floats) -> Floats:
        total = weights @ sizes
        return np.asarray(2 * (weights @ both) / np.maximum(total, 1e-12), np.float64)

    if with_limits:
        return drawn(value, len(labelled))
    middle = float(value(np.ones((1, len(labelled))))[0])
    return Interval(value=middle, low=0.0, high=1.0)


def _one_against_all(scores: Array, labelled: Array, *, with_limits: bool) -> Interval | None:
    how, truth = metric("auroc"), labelled.astype(np.int64)
    if how.missing(scores, truth):
        return None
    if with_limits:
        return _weighted(how, scores, truth)
    return Interval(value=how.value(scores, truth), low=0.0, high=1.0)


def calibration_error(told: Array, targets: Array) -> Interval:
    """Σ over bins of (share of the items) · |accuracy − mean confidence|, in 15 bins with equally many items.

    M. Naeini, G. Cooper, M. Hauskrecht, AAAI 2015; equal counts instead of equal widths: A. Kumar, P. Liang, T. Ma,
    NeurIPS 2019 (arXiv 1909.10155). Small samples make it look larger than it is.
    """
    confidence = told.max(axis=1).astype(np.float64)
    off = (told.argmax(axis=1) == targets) - confidence
    order = np.argsort(confidence, kind="stable")
    starts = np.unique(np.linspace(0, len(order), BINS + 1).astype(int)[:-1])

    def value(weights: Floats) -> Floats:
        sums = np.add.reduceat(weights[:, order] * off[order], starts, axis=1)
        return np.asarray(np.abs(sums).sum(axis=1) / weights.sum(axis=1), np.float64)

    return drawn(value, len(targets))


def _confusion(answers: Array, targets: Array, classes: int) -> tuple[tuple[int, ...], ...]:
    counts = np.bincount(targets * classes + answers, minlength=classes * classes).reshape(classes, classes)
    return tuple(tuple(row) for row in counts.tolist())


def _mistakes(told: Array, answers: Array, targets: Array, classes: tuple[str, ...]) -> tuple[Mistake, ...]:
    """Those that the network was surest of."""
    wrong = np.flatnonzero(answers != targets)
    surest = wrong[np.argsort(-told[wrong, answers[wrong]], kind="stable")][:MOST_MISTAKES]
    return tuple(
        Mistake(
            row=int(row),
            truth=classes[targets[row]],
            told=classes[answers[row]],
            score=float(told[row, answers[row]]),
        )
        for row in surest
    )
