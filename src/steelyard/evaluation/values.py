"""Figures of measured values: how far off, and which are furthest."""

from __future__ import annotations

from typing import Any

import numpy as np

from steelyard.errors import DataError
from steelyard.evaluation.limits import drawn
from steelyard.metrics import Weighted, metric
from steelyard.records.engine import Array
from steelyard.records.evaluation import Interval, Mistake

MOST_MISTAKES = 24


def figures_of_values(told: Array, targets: Array) -> dict[str, Any]:
    """The fields of an Evaluation that tell of measured values. Raises DataError for shapes that do not fit."""
    if told.reshape(len(told), -1).shape != targets.reshape(len(targets), -1).shape:
        raise DataError(f"expected values of shape {targets.shape}, got {told.shape}")
    told = told.reshape(targets.shape)
    return {name: _interval(name, told, targets) for name in ("mse", "mae", "r2")} | {
        "mistakes": _furthest(told, targets)
    }


def _interval(name: str, told: Array, targets: Array) -> Interval | None:
    how = metric(name)
    if how.missing(told, targets):
        return None
    assert isinstance(how, Weighted)  # noqa: S101 - these are
    return drawn(lambda weights: how.weighted(told, targets, weights), len(targets))


def _furthest(told: Array, targets: Array) -> tuple[Mistake, ...]:
    off = np.abs(told - targets).reshape(len(targets), -1).max(axis=1)
    rows = np.argsort(-off, kind="stable")[:MOST_MISTAKES]
    return tuple(
        Mistake(row=int(row), truth=_written(targets[row]), told=_written(told[row]), score=float(off[row]))
        for row in rows
    )


def _written(value: Array) -> str:
    return ", ".join(f"{each:.4g}" for each in np.atleast_1d(value)[:4])
