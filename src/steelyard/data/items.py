"""What every source of data hands on: items that can be read by number, and their labels."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Numbers = NDArray[np.int64]

CHUNK_BYTES = 8 * 2**20
"""Items are read, checked and written in chunks of about this size, so memory does not grow with the data."""

CHUNK_ITEMS = 2**16
"""At most so many at a time: what is kept per item outweighs very small items."""


@dataclass(frozen=True)
class Steps:
    """Of items that differ in length: how their steps lie in the model's input."""

    axis: int
    """Of the model's input (0 counts items)."""
    typical: float = 1.0
    """Steps of one item, on average."""
    fill: float = 0.0
    """What an item may be filled up with."""


@dataclass(frozen=True)
class ItemKind:
    """dtype and shape of one item of one model input (no first axis)."""

    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    """Of one step, when items differ in length."""
    steps: Steps | None = None
    """None: all items are of one shape."""
    bears_nan: bool = False
    """NaN stands for a missing value, which the model knows what to do with."""

    @property
    def nbytes(self) -> int:
        """Bytes of one item; of a typical one when they differ in length."""
        typical = self.steps.typical if self.steps else 1.0
        return math.ceil(math.prod(self.shape) * self.dtype.itemsize * typical)


@dataclass(frozen=True)
class Rows:
    """Some items, ready for the model: per model input an array [items, ...], or a ragged one (`data.sequences`)."""

    inputs: Mapping[str, Array]
    faults: Mapping[int, str] = field(default_factory=dict)
    """Position in these rows → why that item could not be read; its values are zeros."""


class Items(Protocol):
    """Items in the order of their source. They may be read more than once, in any order."""

    @property
    def count(self) -> int:
        """How many there are, unreadable ones included."""

    @property
    def kinds(self) -> Mapping[str, ItemKind]:
        """Per model input, what one item looks like."""

    @property
    def names(self) -> Sequence[str]:
        """What to call each item in messages; empty when items have no names."""

    def read(self, numbers: Numbers) -> Rows:
        """The items of these numbers, in this order."""


@dataclass(frozen=True)
class Labels:
    """One class number per item, or measured values; `missing` and `unknown` say where there is none."""

    codes: NDArray[np.int64] | NDArray[np.float64]
    """int64 [items]: class numbers. float64 [items] or [items, values]: what was measured."""
    missing: NDArray[np.bool_]
    unknown: NDArray[np.bool_]
    """A word that is not among the classes."""
    classes: tuple[str, ...] = ()
    told: tuple[str, ...] = ()

    @property
    def known(self) -> NDArray[np.bool_]:
        """Where there is a label."""
        return ~(self.missing | self.unknown)

    @property
    def measured(self) -> bool:
        """Whether they are measured values."""
        return self.codes.dtype.kind == "f"


@dataclass(frozen=True)
class Source:
    """What was found where the user's data lies."""

    items: Items
    labels: Labels | None
    calibration: Items | None = None
    """Items that were set aside for calibration by the user."""
    told: tuple[str, ...] = ()


class JoinedItems:
    """Items whose inputs come from several places: each part has some of the inputs of all items."""

    def __init__(self, parts: Sequence[Items]) -> None:
        self._parts = parts
        self.count = parts[0].count
        self.names: Sequence[str] = parts[0].names
        self.kinds: Mapping[str, ItemKind] = {name: kind for part in parts for name, kind in part.kinds.items()}

    def read(self, numbers: Numbers) -> Rows:
        """The items of these numbers, in this order."""
        read = [part.read(numbers) for part in self._parts]
        faults = {place: reason for rows in reversed(read) for place, reason in rows.faults.items()}
        return Rows({name: values for rows in read for name, values in rows.inputs.items()}, faults)


def chunks(numbers: Numbers, item_bytes: int) -> Iterator[Numbers]:
    """`numbers` in runs that take about CHUNK_BYTES each."""
    step = max(1, min(CHUNK_ITEMS, CHUNK_BYTES // max(1, item_bytes)))
    for start in range(0, len(numbers), step):
        yield numbers[start : start + step]


def bytes_per_item(items: Items) -> int:
    """Bytes of one item over all model inputs."""
    return sum(kind.nbytes for kind in items.kinds.values())
