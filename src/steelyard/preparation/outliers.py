"""Wild values: held at the limit of what is usual in training, or such items left out of training."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from steelyard.datasets.examples import Array, Examples
from steelyard.numbers import count
from steelyard.preparation.columnwise import channels, computed, none_of, number_inputs, steps_there
from steelyard.preparation.plain import Clip, Plain
from steelyard.preparation.steps import Serving
from steelyard.records.base import Record

_CODES = 10
"""Whole numbers of at most so many different values are codes, none of which is wild."""
_NORMAL = 1.4826
"""From the median absolute deviation to the standard deviation of a normal distribution."""


class Bounded(Record):
    """What is usual."""

    told: str
    limits: dict[str, Clip]
    drop: bool

    @property
    def serving(self) -> Serving:
        """Limits hold in service, too, unless items were dropped for them."""
        return {} if self.drop else self._columns

    def unwanted(self, examples: Examples) -> NDArray[np.bool_]:
        """With `drop`, items with a value beyond a limit."""
        found = none_of(examples)
        for name, limits in self.limits.items() if self.drop else ():
            found |= _beyond(examples, name, limits)
        return found

    def apply(self, examples: Examples) -> Examples:
        """The same items, wild values held at the limits."""
        return examples if self.drop else computed(examples, self._columns)

    @property
    def _columns(self) -> dict[str, tuple[Plain, ...]]:
        return {name: (limits,) for name, limits in self.limits.items()}


class Outliers(Record):
    """Values beyond limits that are set per column of numbers, or per channel of sequences.

    `iqr`: `limit` times the distance of the quartiles beyond them (Tukey, Exploratory Data Analysis, 1977; 3 is what he
    calls far out); `mad`: `limit` robust standard deviations from the median; `quantile`: the outermost share of
    `limit` on either side.
    """

    how: Literal["clip", "drop"] = "clip"
    rule: Literal["iqr", "mad", "quantile"] = "iqr"
    limit: float = 3.0
    columns: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.limit <= 0 or (self.rule == "quantile" and self.limit >= 0.5):
            raise ValueError(f"limit is {self.limit}: a quantile lies between 0 and 0.5, the others above 0")

    def fit(self, examples: Examples) -> Bounded:
        """Raises DataError when a column is not there. Columns without spread, and those of codes, have no limits."""
        limits: dict[str, Clip] = {}
        told = []
        for name in number_inputs(examples, self.columns, "outliers"):
            values = channels(examples, name)
            if name == "image" or (values.dtype.kind in "iu" and len(np.unique(values)) <= _CODES):
                continue
            low, high = self._limits(values)
            if (low < high).all():
                limits[name] = Clip(low=tuple(low.tolist()), high=tuple(high.tolist()))
                wild = int(_beyond(examples, name, limits[name]).sum())
                told += [f"{name} in {count(wild)} items"] if wild else []
        how = "training goes without them" if self.how == "drop" else "held at the limit"
        return Bounded(
            told=f"wild values {how}: {', '.join(told)}" if told else "", limits=limits, drop=self.how == "drop"
        )

    def _limits(self, values: Array) -> tuple[Array, Array]:
        if self.rule == "quantile":
            low, high = np.nanquantile(values, [self.limit, 1 - self.limit], axis=0)
            return low, high
        first, median, third = np.nanquantile(values.astype(np.float64, copy=False), [0.25, 0.5, 0.75], axis=0)
        if self.rule == "iqr":
            spread = self.limit * (third - first)
            return first - spread, third + spread
        spread = self.limit * _NORMAL * np.nanmedian(abs(values - median), axis=0)
        return median - spread, median + spread


def _beyond(examples: Examples, name: str, limits: Clip) -> NDArray[np.bool_]:
    """Items with a value beyond the limits; missing ones are not."""
    values = examples.inputs[name]
    beyond = (values < np.array(limits.low, np.float32)) | (values > np.array(limits.high, np.float32))
    if name == "sequence":
        beyond &= steps_there(examples)[..., None]
    return np.asarray(beyond.reshape(len(values), -1).any(axis=1))
