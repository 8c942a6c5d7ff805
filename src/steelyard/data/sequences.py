"""Items that differ in length.

In memory they are a ragged array: one axis of items, each an array of its own, [steps, ...] or in the model's layout.
On disk and in long columns their steps lie one after the other, with the place where each item ends.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from steelyard.data.rows import FileArray, read_rows
from steelyard.errors import DataError
from steelyard.records.data import ArrayFile
from steelyard.records.engine import Array

Whole = NDArray[np.int64]


def ragged(items: Sequence[Array]) -> Array:
    """A ragged array of these items."""
    held = np.empty(len(items), object)
    for place, item in enumerate(items):
        held[place] = item
    return held


def is_ragged(values: Array) -> bool:
    """Whether each item is an array of its own."""
    return values.dtype == object


def lengths_of(values: Iterable[Array]) -> Whole:
    """The steps of each item of a ragged array, steps first."""
    return np.array([len(item) for item in values], np.int64)


def joined(values: Array) -> Array:
    """All steps of a ragged array, one after the other: [steps of all, ...]."""
    return np.concatenate(list(values))


def cut(steps: Array, lengths: Whole) -> Array:
    """The ragged array of items of these lengths, whose steps lie one after the other."""
    return ragged(np.split(steps, np.cumsum(lengths)[:-1])) if len(lengths) else ragged([])


class StepRows(Protocol):
    """Steps that can be read by number."""

    def read(self, start: int, stop: int) -> Array:
        """Steps `start` to `stop`."""


@dataclass(frozen=True)
class MemorySteps:
    """Steps that are in memory."""

    values: Array

    def read(self, start: int, stop: int) -> Array:
        """Steps `start` to `stop`."""
        return self.values[start:stop]


@dataclass(frozen=True)
class Packed:
    """Items of different length, one after the other."""

    steps: StepRows
    lengths: Whole
    _ends: Whole = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_ends", np.concatenate([[0], np.cumsum(self.lengths)]).astype(np.int64))

    @property
    def typical(self) -> float:
        """Steps of one item, on average."""
        return float(self.lengths.mean()) if len(self.lengths) else 0.0

    def read(self, start: int, stop: int) -> Array:
        """Items `start` to `stop`, ragged, steps first; one read for all of them."""
        first, last = int(self._ends[start]), int(self._ends[stop])
        return cut(self.steps.read(first, last), self.lengths[start:stop])

    def rows(self, numbers: Whole) -> Array:
        """The items of these numbers, ragged, steps first."""
        return ragged([self.steps.read(int(self._ends[n]), int(self._ends[n + 1])) for n in numbers])


def read_items(folder: Path, array: ArrayFile, start: int, stop: int) -> Array:
    """Items `start` to `stop` of prepared data as the model takes them: [items, ...], or ragged.

    Raises DataError when the files do not hold them.
    """
    if array.lengths is None:
        return read_rows(folder / array.file, start, stop)
    lengths = read_rows(folder / array.lengths, 0, stop)
    steps = FileArray.of(folder / array.file)
    if lengths.sum() > steps.header.items or (lengths < 0).any():
        raise DataError(f"{folder / array.file} is damaged: it holds {steps.header.items} steps, expected more")
    items = Packed(steps, lengths).read(start, stop)
    return items if array.axis == 1 else ragged([np.moveaxis(item, 0, array.axis - 1) for item in items])
