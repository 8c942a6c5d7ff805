"""The one record that everything about training hands on: items, what is to be learnt of them, whose and when."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from steelyard.errors import DataError

Array = NDArray[Any]
Kind = Literal["images", "table", "sequences", "text"]

TRAINING, VALIDATION, TEST = 0, 1, 2
"""What `Examples.parts` says."""


@dataclass(frozen=True, eq=False)
class Examples:
    """Items and their targets. Raises DataError when its arrays differ in their number of items.

    Under `inputs` there is one row per item:

    - images: `image`, uint8 [items, height, width, channels], or float32 once scaled;
    - table: one array [items] per column, float32 or int64 or str objects; NaN or None = missing. What a column was
      encoded as may have a second axis;
    - sequences: `sequence`, float32 [items, steps, channels], filled up with zeros, and `length`, int64 [items], when
      they differ in length;
    - text: `text`, [items] of str objects; once turned into tokens `input_ids` and `attention_mask`,
      int64 [items, tokens].
    """

    kind: Kind
    inputs: Mapping[str, Array]
    targets: Array
    """int64 [items]: class numbers. float32 [items] or [items, values]: what was measured."""
    classes: tuple[str, ...] = ()
    """Names of the classes in the order of their numbers; empty for measured values."""
    groups: Array | None = None
    """Which person, device or recording an item comes from: splits keep them together."""
    times: Array | None = None
    """When, as numbers or datetime64: for splits by time."""
    parts: Array | None = None
    """int8 [items] as the makers gave them: 0 training, 1 validation, 2 test."""

    def __post_init__(self) -> None:
        if self.kind not in get_args(Kind):
            raise DataError(f"no kind of data is called {self.kind!r}", f"kinds are {', '.join(get_args(Kind))}")
        if not self.inputs:
            raise DataError("there are no inputs", "give at least one array or column beside the targets")
        counts = {name: len(array) for name, array in self._arrays().items()}
        if len(set(counts.values())) > 1:
            told = ", ".join(f"{name}: {count}" for name, count in counts.items())
            raise DataError(f"arrays differ in their number of items ({told})", "the first axis counts items")

    def __len__(self) -> int:
        return len(self.targets)

    def __repr__(self) -> str:
        inputs = ", ".join(f"{name} {array.dtype}{list(array.shape)}" for name, array in self.inputs.items())
        return f"Examples({self.kind}, {len(self)} items, {len(self.classes)} classes; {inputs})"

    @property
    def measured(self) -> bool:
        """Whether the targets are measured values, not classes."""
        return self.targets.dtype.kind == "f"

    def some(self, most: int) -> Examples:
        """At most so many, from all over: data often lie class by class."""
        return self if len(self) <= most else self.take(np.arange(most) * len(self) // most)

    def take(self, rows: Array | Sequence[int]) -> Examples:
        """The items of these numbers (or of a mask over all), in this order."""
        chosen = np.asarray(rows)
        if chosen.dtype != bool:
            chosen = chosen.astype(np.int64)  # an empty list would be one of floats
        return replace(
            self,
            inputs={name: array[chosen] for name, array in self.inputs.items()},
            targets=self.targets[chosen],
            groups=None if self.groups is None else self.groups[chosen],
            times=None if self.times is None else self.times[chosen],
            parts=None if self.parts is None else self.parts[chosen],
        )

    def with_inputs(self, inputs: Mapping[str, Array]) -> Examples:
        """The same items with other inputs."""
        return replace(self, inputs=inputs)

    def _arrays(self) -> dict[str, Array]:
        optional = {"groups": self.groups, "times": self.times, "parts": self.parts}
        given = {name: array for name, array in optional.items() if array is not None}
        return {"targets": self.targets, **self.inputs, **given}


def counted_classes(examples: Examples) -> dict[str, int]:
    """Class → how many items it has, those without any included. Empty for measured values."""
    if examples.measured:
        return {}
    counts = np.bincount(examples.targets, minlength=len(examples.classes)).tolist()
    return dict(zip(examples.classes, counts, strict=True))


def joined(parts: Sequence[Examples]) -> Examples:
    """The items of several parts one after the other; kind, inputs and classes are those of the first."""
    first = parts[0]
    return replace(
        first,
        inputs={name: np.concatenate([part.inputs[name] for part in parts]) for name in first.inputs},
        targets=np.concatenate([part.targets for part in parts]),
        groups=_concatenated([part.groups for part in parts]),
        times=_concatenated([part.times for part in parts]),
        parts=_concatenated([part.parts for part in parts]),
    )


def _concatenated(arrays: Sequence[Array | None]) -> Array | None:
    given = [array for array in arrays if array is not None]
    return np.concatenate(given) if given else None
