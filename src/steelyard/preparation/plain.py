"""Arithmetic that travels with a model: told plainly, so that an export can build the model's first layers of it.

Each works on the last axis: on the channels of pictures and sequences, on the one number of a table's column. Numbers
come one for all channels, or one for each.
"""

from __future__ import annotations

from typing import assert_never

import numpy as np

from steelyard.datasets.examples import Array
from steelyard.records.base import Record

Numbers = tuple[float, ...]


class Affine(Record, tag="affine"):
    """`value * scale + shift`, float32."""

    scale: Numbers
    shift: Numbers


class Impute(Record, tag="impute"):
    """A missing value (NaN, or None among words) becomes this one."""

    values: tuple[float | str, ...]


class Clip(Record, tag="clip"):
    """Values below `low` become `low`, those above `high` become `high`."""

    low: Numbers
    high: Numbers


class OneHot(Record, tag="one-hot"):
    """A word or whole number becomes zeros, with a one at its place, float32 [items, categories]; others all zeros."""

    categories: tuple[str | int, ...]


class Ordinal(Record, tag="ordinal"):
    """A word or whole number becomes its place, counted from 1, int64; others become 0."""

    categories: tuple[str | int, ...]


class Tokens(Record, tag="tokens"):
    """Text becomes `input_ids` and `attention_mask`. This part stays outside of the model, beside it."""

    tokenizer: str
    """The contents of a tokenizer.json."""
    length: int
    """Longer texts are cut, shorter ones filled up."""


Plain = Affine | Impute | Clip | OneHot | Ordinal


def applied(plain: Plain, values: Array) -> Array:
    """The values of one input after one piece of arithmetic."""
    match plain:
        case Affine():
            return np.asarray(
                values * np.array(plain.scale, np.float32) + np.array(plain.shift, np.float32), np.float32
            )
        case Impute():
            return _filled(values, plain)
        case Clip():
            low, high = np.array(plain.low, np.float32), np.array(plain.high, np.float32)
            return np.clip(values.astype(np.float32, copy=False), low, high)
        case OneHot():
            every = np.arange(1, len(plain.categories) + 1)
            return np.asarray(_places(values, plain.categories)[:, None] == every, np.float32)
        case Ordinal():
            return _places(values, plain.categories)
        case _:
            assert_never(plain)


def _filled(values: Array, plain: Impute) -> Array:
    if values.dtype == object:
        return np.array([plain.values[0] if value is None else value for value in values], object)
    if values.dtype.kind != "f":
        return values
    return np.where(np.isnan(values), np.array(plain.values, np.float32), values)


def _places(values: Array, categories: tuple[str | int, ...]) -> Array:
    place = {category: number for number, category in enumerate(categories, 1)}
    return np.array([place.get(value, 0) for value in values.tolist()], np.int64)
