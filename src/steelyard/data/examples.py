"""Which of some arrays an object takes that is to be exported, and a few items of them as it takes them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from steelyard.data.convert import has_arithmetic, normalised
from steelyard.data.items import Array
from steelyard.data.match import INPUT_NAMES, LENGTHS
from steelyard.errors import DataError
from steelyard.records.data import Preprocess

ITEMS = 8


class Takes(NamedTuple):
    """The arguments of the object that is to be exported, in their order."""

    required: tuple[str, ...]
    optional: tuple[str, ...] = ()


class Example(NamedTuple):
    """Some items of one input."""

    name: str
    """Of the argument, where it is known, else of the array."""
    values: Array
    grows: bool = False
    """Items differ in length along the second axis."""


def examples(
    arrays: Mapping[str, Array], aside: set[str], takes: Takes, inputs: Mapping[str, str], preprocess: Preprocess
) -> list[Example]:
    """What goes into the object, in its order. `aside` are arrays that are labels or calibrate; `inputs` names arrays.

    Arrays go into the arguments of their names. One required argument takes the array that is called as inputs are, or
    the only one; otherwise all arrays go in, in their order. Raises DataError when it is not told which.
    """
    chosen = _chosen([name for name in arrays if name not in aside], takes, inputs)
    missing = [array for array in chosen.values() if array not in arrays]
    if missing:
        raise DataError(f"there is no array {missing[0]!r} for the model; there are {', '.join(arrays)}")
    several = len(chosen) > 1
    return [
        Example(
            name,
            _as_taken(np.asarray(arrays[array][:ITEMS]), preprocess, several=several),
            grows=any(told in arrays for told in (f"{array}_{LENGTHS}", LENGTHS)) and arrays[array].ndim > 1,
        )
        for name, array in chosen.items()
    ]


def _chosen(names: Sequence[str], takes: Takes, inputs: Mapping[str, str]) -> dict[str, str]:
    """Argument → array."""
    known = (*takes.required, *takes.optional)
    told = {name: inputs.get(name, name) for name in known if name in inputs or name in names}
    if takes.required and set(takes.required) <= set(told):
        return told
    free = [name for name in names if name not in (LENGTHS, *(f"{each}_{LENGTHS}" for each in names))]
    if len(takes.required) == 1 and len(free) > 1:
        called = [name for name in INPUT_NAMES if name in free]
        if not called:
            raise DataError(
                f"which array goes into the model's argument {takes.required[0]!r}? there are {', '.join(free)}",
                f'inputs={{"{takes.required[0]}": "{free[0]}"}} says so',
            )
        free = called[:1]
    return {inputs.get(name, name): name for name in free} if not takes.required else _in_order(known, free)


def _in_order(known: Sequence[str], free: Sequence[str]) -> dict[str, str]:
    return {known[place] if place < len(known) else name: name for place, name in enumerate(free)}


def _as_taken(values: Array, preprocess: Preprocess, *, several: bool) -> Array:
    """With the arithmetic and in the dtype that preparing the data will give them."""
    if several and values.dtype.kind in "iub":
        return values  # ids or masks
    if has_arithmetic(preprocess):
        channels = 1 if values.ndim == 4 and preprocess.layout == "nchw" else values.ndim - 1
        values = normalised(values, preprocess, channels)
    dtype = preprocess.dtype or ("float32" if values.dtype.kind == "f" else values.dtype)
    return values.astype(dtype)
