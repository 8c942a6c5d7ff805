"""Numbers brought to one scale: each column of a table, each channel of pictures and sequences."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from steelyard.datasets.examples import Array, Examples
from steelyard.errors import DataError
from steelyard.preparation.columnwise import Columnwise, affine, channels, number_inputs
from steelyard.preparation.plain import Plain
from steelyard.records.base import Record

_LEVELS = 256
_CHUNK = 2**22
"""Values at a time, so that memory does not grow with the data."""


class Standard(Record):
    """`(value - mean) / standard deviation`."""

    columns: tuple[str, ...] = ()

    def fit(self, examples: Examples) -> Columnwise:
        """Raises DataError when a value is missing or a column is not there."""
        return _fitted(examples, self.columns, "standard", _mean_and_deviation)


class MinMax(Record):
    """`(value - least) / (largest - least)`: 0 to 1 in training."""

    columns: tuple[str, ...] = ()

    def fit(self, examples: Examples) -> Columnwise:
        """Raises DataError when a value is missing or a column is not there."""
        return _fitted(examples, self.columns, "min-max", _least_and_range)


class Robust(Record):
    """`(value - median) / (third quartile - first quartile)`: a few wild values change nothing."""

    columns: tuple[str, ...] = ()

    def fit(self, examples: Examples) -> Columnwise:
        """Raises DataError when a value is missing or a column is not there."""
        return _fitted(examples, self.columns, "robust", _median_and_quartiles)


def _fitted(
    examples: Examples, columns: tuple[str, ...], step: str, measure: Callable[[Array], tuple[Array, Array]]
) -> Columnwise:
    done: dict[str, tuple[Plain, ...]] = {}
    constant = []
    for name in number_inputs(examples, columns, step):
        middle, width = measure(_sound(channels(examples, name), name, step))
        if not width.all():
            constant.append(name)
        scale = 1 / np.where(width > 0, width, 1.0)
        done[name] = (affine(scale, -middle * scale),)
    told = f"; without spread, only shifted: {', '.join(constant[:10])}" if constant else ""
    return Columnwise(told=f"{step}: {len(done)} inputs scaled{told}", columns=done)


def _sound(values: Array, name: str, step: str) -> Array:
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        raise DataError(
            f"the step {step!r} met a missing or infinite value in {name!r}", "put the step `missing` before it"
        )
    return values


def _mean_and_deviation(values: Array) -> tuple[Array, Array]:
    """Per channel, in double precision: 60,000 pictures add up to numbers that single precision rounds."""
    if values.dtype == np.uint8:
        shares, levels = _shares(values), np.arange(_LEVELS)[:, None]
        mean = (shares * levels).sum(axis=0)
        return mean, np.sqrt((shares * (levels - mean) ** 2).sum(axis=0))
    parts = [values[start : start + _CHUNK].astype(np.float64) for start in range(0, len(values), _CHUNK)]
    mean = sum(part.sum(axis=0) for part in parts) / len(values)
    return mean, np.sqrt(sum(((part - mean) ** 2).sum(axis=0) for part in parts) / len(values))


def _least_and_range(values: Array) -> tuple[Array, Array]:
    least = values.min(axis=0).astype(np.float64)
    return least, values.max(axis=0).astype(np.float64) - least


def _median_and_quartiles(values: Array) -> tuple[Array, Array]:
    if values.dtype == np.uint8:
        below = np.cumsum(_shares(values), axis=0)
        first, median, third = ((below < share - 1e-12).sum(axis=0).astype(float) for share in (0.25, 0.5, 0.75))
    else:
        first, median, third = np.quantile(values.astype(np.float64, copy=False), [0.25, 0.5, 0.75], axis=0)
    return median, third - first


def _shares(values: Array) -> Array:
    """How many of the values of each channel have each of the 256 levels."""
    counts = [np.bincount(channel, minlength=_LEVELS) for channel in values.T]
    return np.stack(counts, axis=1) / len(values)
