"""Calibration items in the small batches that a model takes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import overload

import numpy as np

from steelyard.records.engine import Array


class Batches(Sequence[dict[str, Array]]):
    """Batches of `size` items; the last one is filled up from the first items, for a fixed batch bears no rest."""

    def __init__(self, calibration: Mapping[str, Array], size: int) -> None:
        self._calibration = calibration
        self._size = size
        self._items = min(len(values) for values in calibration.values())

    def __len__(self) -> int:
        return math.ceil(self._items / self._size)

    @overload
    def __getitem__(self, at: int) -> dict[str, Array]: ...
    @overload
    def __getitem__(self, at: slice) -> list[dict[str, Array]]: ...
    def __getitem__(self, at: int | slice) -> dict[str, Array] | list[dict[str, Array]]:
        if isinstance(at, slice):
            return [self[each] for each in range(len(self))[at]]
        if not 0 <= at < len(self):
            raise IndexError(at)
        chosen = np.arange(at * self._size, (at + 1) * self._size) % self._items
        return {name: as_one(values[chosen]) for name, values in self._calibration.items()}


def as_one(items: Array) -> Array:
    """Some items as one array. Of a ragged array, whose items differ in length, they are cut to the shortest."""
    if items.dtype != object:
        return np.ascontiguousarray(items)
    shared = tuple(slice(min(sizes)) for sizes in zip(*(item.shape for item in items), strict=True))
    return np.stack([item[shared] for item in items])
