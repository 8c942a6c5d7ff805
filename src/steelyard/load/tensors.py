"""Tensors for requests: random values, given values in the datatype that a model takes, and both forms to send."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from steelyard.errors import DataError
from steelyard.records.engine import Array
from steelyard.serve.datatypes import DATATYPES, raw_of

ALL_VALUES, TWO_VALUES = {"UINT8": (0, 256), "INT8": (-128, 128)}, (0, 2)
"""Random integers, from and below: those of 8 bits, which are pixels and the like, take their whole range; others are
0 and 1, which are valid as numbers of tokens, as masks and as types alike."""
LONGEST_WORD = 12


def random_array(datatype: str, shape: Sequence[int], rng: np.random.Generator) -> Array:
    """Random values: normal floats, integers as said above, short words."""
    kind = DATATYPES[datatype]
    if kind.kind == "t":
        return _words(shape, rng)
    if kind.kind == "f":
        return rng.standard_normal(shape).astype(kind.dtype)
    low, high = ALL_VALUES.get(datatype, TWO_VALUES)
    return rng.integers(low, high, shape).astype(kind.dtype)


def _words(shape: Sequence[int], rng: np.random.Generator) -> Array:
    words: Array = np.empty(int(np.prod(shape)), object)
    for number in range(len(words)):
        letters = rng.integers(97, 123, int(rng.integers(1, LONGEST_WORD + 1)))
        words[number] = letters.astype(np.uint8).tobytes().decode()
    return words.reshape(shape)


def converted(values: Array, datatype: str, where: str) -> Array:
    """Given values in the form of `datatype`. Raises `DataError` where that would change their kind."""
    kind = DATATYPES[datatype]
    if kind.kind == "t":
        if values.dtype.kind not in "SU":
            raise DataError(f"{where}: expected text, got {values.dtype}", "save it as an array of str")
        return values.astype(object)
    if values.dtype.kind in "SU" or not np.can_cast(values.dtype, kind.dtype, "same_kind"):
        raise DataError(
            f"{where}: the model takes {datatype}, the array holds {values.dtype}",
            f"save it as {kind.dtype.name}: np.savez(FILE, NAME=values.astype('{kind.dtype.name}'))",
        )
    return values.astype(kind.dtype, copy=False)


def binary(values: Array, datatype: str) -> bytes:
    """The values as they lie in memory, one after another."""
    raw = raw_of(values, DATATYPES[datatype])
    return raw if isinstance(raw, bytes) else raw.tobytes()


def plain(values: Array, datatype: str) -> list[Any]:
    """The values one after another, as JSON has them. Raises `DataError` for what JSON does not have."""
    if datatype == "BF16":
        raise DataError("BF16 has no form in JSON", "send it as binary: leave out --json")
    if DATATYPES[datatype].kind == "t":
        return [one.decode("utf-8", "replace") if isinstance(one, bytes) else str(one) for one in values.ravel()]
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        raise DataError("NaN and infinite values have no form in JSON", "send them as binary: leave out --json")
    listed: list[Any] = values.ravel().tolist()
    return listed
