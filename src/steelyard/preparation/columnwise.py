"""The commonest fitted step: plain arithmetic on some of the inputs. And which inputs a step takes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from steelyard.datasets.examples import Array, Examples
from steelyard.errors import DataError
from steelyard.preparation.plain import Affine, Plain, applied
from steelyard.preparation.steps import Serving
from steelyard.records.base import Record


class Columnwise(Record):
    """Arithmetic that travels with the model."""

    told: str
    columns: dict[str, tuple[Plain, ...]]

    @property
    def serving(self) -> Serving:
        """All of it."""
        return dict(self.columns)

    def unwanted(self, examples: Examples) -> NDArray[np.bool_]:
        """None."""
        return none_of(examples)

    def apply(self, examples: Examples) -> Examples:
        """The same items, computed."""
        return computed(examples, self.columns)


def none_of(examples: Examples) -> NDArray[np.bool_]:
    """A mask in which no item stands."""
    return np.zeros(len(examples), bool)


def computed(examples: Examples, columns: dict[str, tuple[Plain, ...]]) -> Examples:
    """The items after the arithmetic of their inputs; what fills up a sequence stays zero."""
    inputs = dict(examples.inputs)
    for name, pieces in columns.items():
        if name not in inputs:
            raise DataError(f"there is no input {name!r}, which was there in training; there are {', '.join(inputs)}")
        for piece in pieces:
            inputs[name] = applied(piece, inputs[name])
        if name == "sequence" and "length" in inputs:
            inputs[name] = np.where(steps_there(examples)[..., None], inputs[name], np.float32(0))
    return examples.with_inputs(inputs)


def steps_there(examples: Examples) -> NDArray[np.bool_]:
    """Of sequences, which steps are there and do not only fill up [items, steps]."""
    sequence, length = examples.inputs["sequence"], examples.inputs.get("length")
    if length is None:
        return np.ones(sequence.shape[:2], bool)
    return np.asarray(np.arange(sequence.shape[1]) < length[:, None])


def number_inputs(examples: Examples, columns: tuple[str, ...], step: str) -> list[str]:
    """The inputs of numbers that a step takes: those named, or all. Raises DataError when one is not there."""
    named = _existing(examples, columns, step)
    words = [name for name in named if examples.inputs[name].dtype == object]
    if words:
        raise DataError(f"the step {step!r} takes numbers, the column {words[0]!r} holds words", "leave it out")
    if examples.kind != "table":
        return named or [name for name in ("image", "sequence") if name in examples.inputs]
    flat = [name for name, values in examples.inputs.items() if values.ndim == 1 and values.dtype != object]
    return named or flat


def word_inputs(examples: Examples, columns: tuple[str, ...], step: str) -> list[str]:
    """Columns of words that a step takes: those named (whole numbers will do), or all. Raises DataError likewise."""
    named = _existing(examples, columns, step)
    fractions = [name for name in named if examples.inputs[name].dtype.kind == "f"]
    if fractions:
        raise DataError(f"the step {step!r} takes words or whole numbers, {fractions[0]!r} holds measured values")
    return named or [name for name, values in examples.inputs.items() if values.dtype == object]


def _existing(examples: Examples, columns: tuple[str, ...], step: str) -> list[str]:
    unknown = [name for name in columns if name not in examples.inputs]
    if unknown:
        there = ", ".join(list(examples.inputs)[:20])
        raise DataError(f"the step {step!r} names {unknown[0]!r}, which is not there; there are {there}")
    return list(columns)


def channels(examples: Examples, name: str) -> Array:
    """All values of an input, [values, channels]: one channel of a column, those of pictures or sequences otherwise."""
    values = examples.inputs[name]
    if name == "sequence":
        return values[steps_there(examples)]
    return values.reshape(-1, 1) if values.ndim == 1 else values.reshape(-1, values.shape[-1])


def affine(scale: Array, shift: Array) -> Affine:
    """From arrays of one number per channel."""
    return Affine(scale=tuple(float(s) for s in scale), shift=tuple(float(s) for s in shift))
