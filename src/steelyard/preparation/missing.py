"""Missing values: filled in with what is usual in training, or such items left out of training."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from steelyard.datasets.checking import missing
from steelyard.datasets.examples import Array, Examples
from steelyard.errors import DataError
from steelyard.numbers import count, significant
from steelyard.preparation.columnwise import channels, computed, none_of
from steelyard.preparation.plain import Impute, Plain
from steelyard.preparation.steps import Serving
from steelyard.records.base import Record


class Filled(Record):
    """What each input is filled in with. Columns that had nothing missing in training may in service."""

    told: str
    columns: dict[str, tuple[Plain, ...]]
    drop: bool

    @property
    def serving(self) -> Serving:
        """All of it."""
        return dict(self.columns)

    def unwanted(self, examples: Examples) -> NDArray[np.bool_]:
        """With `drop`, items in which something is missing."""
        found = none_of(examples)
        for name in self.columns if self.drop else ():
            found |= missing(examples.inputs[name])
        return found

    def apply(self, examples: Examples) -> Examples:
        """The same items without gaps."""
        return computed(examples, self.columns)


class Missing(Record):
    """Fill gaps with the `median` (or `mean`, or `zero`) of each column or channel, gaps among words with a word.

    With `how = "drop"` training goes without such items; gaps elsewhere are filled all the same.
    """

    how: Literal["fill", "drop"] = "fill"
    numbers: Literal["median", "mean", "zero"] = "median"
    words: str = "missing"

    def fit(self, examples: Examples) -> Filled:
        """Raises DataError when a column has no value at all."""
        fills: dict[str, tuple[Plain, ...]] = {}
        told = []
        for name, values in examples.inputs.items():
            if values.dtype == object or values.dtype.kind == "f":
                fills[name] = (self._filling(examples, name),)
                gaps = int(missing(values).sum())
                if gaps:
                    told.append(f"{name} in {count(gaps)} items ({_shown(fills[name][0])})")
        how = "training goes without them; elsewhere filled in" if self.how == "drop" else "filled in"
        return Filled(
            told=f"missing values {how}: {', '.join(told)}" if told else "",
            columns=fills,
            drop=self.how == "drop",
        )

    def _filling(self, examples: Examples, name: str) -> Impute:
        if examples.inputs[name].dtype == object:
            return Impute(values=(self.words,))
        values = channels(examples, name)
        if np.isnan(values).all(axis=0).any():
            raise DataError(f"{name!r} has no values at all in the training items", "leave the column out")
        return Impute(values=tuple(float(fill) for fill in self._usual(values)))

    def _usual(self, values: Array) -> Array:
        if self.numbers == "zero":
            return np.zeros(values.shape[1])
        usual: Array = (np.nanmedian if self.numbers == "median" else np.nanmean)(values, axis=0)
        return usual


def _shown(plain: Plain) -> str:
    values = plain.values if isinstance(plain, Impute) else ()
    return ", ".join(value if isinstance(value, str) else significant(value) for value in values[:3])
