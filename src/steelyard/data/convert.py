"""Stored values become model inputs: `(value * scale - mean) / std`, in the order of axes and the dtype it takes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from steelyard.data.items import Array, ItemKind, Steps
from steelyard.data.sequences import cut, joined, lengths_of
from steelyard.errors import DataError
from steelyard.records.data import Preprocess
from steelyard.records.model import TensorInfo

LARGEST_WHOLE = 2.0**53
"""Above this, floats no longer tell whole numbers apart."""


@dataclass(frozen=True)
class Conversion:
    """From a stored array [items, ...] to what the model's input takes."""

    input: str
    dtype: np.dtype[Any]
    axes: tuple[int, ...]
    """Order in which the stored axes are put, the first one in its place."""
    stored_shape: tuple[int, ...]
    """Of one item."""
    channel_axis: int
    arithmetic: Preprocess | None
    """None: values are taken as they are."""

    @property
    def kind(self) -> ItemKind:
        """What one converted item looks like."""
        return ItemKind(self.dtype, tuple(self.stored_shape[axis - 1] for axis in self.axes[1:]))

    def __call__(self, values: Array) -> Array:
        """Convert some items."""
        turned = values.transpose(self.axes)
        if self.arithmetic is None:
            return as_dtype(turned, self.dtype, self.input)
        computed = normalised(turned, self.arithmetic, self.channel_axis)
        return as_dtype(np.rint(computed) if self.dtype.kind in "iu" else computed, self.dtype, self.input)


@dataclass(frozen=True)
class Stepwise:
    """Converts items that differ in length: all of their steps at once."""

    conversion: Conversion
    """Of single steps."""
    steps: Steps

    @property
    def kind(self) -> ItemKind:
        """What one converted step looks like."""
        return replace(self.conversion.kind, steps=self.steps)

    def __call__(self, values: Array) -> Array:
        """Convert some items, ragged, steps first."""
        return cut(self.conversion(joined(values)), lengths_of(values)) if len(values) else values


def has_arithmetic(preprocess: Preprocess) -> bool:
    """Whether values are changed at all."""
    return preprocess.scale != 1.0 or bool(preprocess.mean) or bool(preprocess.std)


def normalised(values: Array, preprocess: Preprocess, channel_axis: int) -> Array:
    """`(values * scale - mean) / std`, one mean and std for all or one per channel; at least float32."""
    wide = values.dtype.kind in "fiu" and values.dtype.itemsize > 4
    result: NDArray[np.floating[Any]] = values.astype(np.float64 if wide else np.float32)
    if preprocess.scale != 1.0:
        result = result * preprocess.scale
    if preprocess.mean:
        result = result - _per_channel(preprocess.mean, result, channel_axis)
    if preprocess.std:
        result = result / _per_channel(preprocess.std, result, channel_axis)
    return result


def _per_channel(numbers: tuple[float, ...], like: Array, channel_axis: int) -> Array:
    shape = [1] * like.ndim
    shape[channel_axis] = len(numbers)
    return np.array(numbers, like.dtype).reshape(shape if len(numbers) > 1 else [1] * like.ndim)


def as_dtype(values: Array, dtype: np.dtype[Any], name: str) -> Array:
    """The same numbers in another dtype. Raises DataError when an integer or bool dtype cannot hold them.

    Floats too large for the new dtype become infinite, and are found by cleaning.
    """
    if dtype.kind in "iub":
        _check_holds(values, dtype, name)
    with np.errstate(over="ignore"):
        return np.ascontiguousarray(values, dtype)


def _check_holds(values: Array, dtype: np.dtype[Any], name: str) -> None:
    least, most = (0, 1) if dtype.kind == "b" else (np.iinfo(dtype).min, np.iinfo(dtype).max)
    if values.dtype.kind == "f" and not (np.isfinite(values) & (np.rint(values) == values)).all():
        raise DataError(
            f"input {name!r} takes {dtype.name}, its array holds numbers that are not whole",
            "give it another array, or a model whose input is float",
        )
    if values.size and (values.min() < least or values.max() > most):
        raise DataError(
            f"input {name!r} takes {dtype.name} ({least} to {most}), its array holds numbers from "
            f"{values.min()} to {values.max()}",
        )


def input_dtype(info: TensorInfo) -> np.dtype[Any]:
    """The numpy dtype of a model input. Raises DataError when the input takes neither numbers nor words."""
    try:
        dtype = np.dtype(info.dtype)
    except TypeError:
        dtype = np.dtype(object)
    if dtype.kind not in "fiubU":
        raise DataError(f"the model's input {info.name!r} takes {info.dtype}; only numbers and words can be prepared")
    return dtype


def check_dtype(preprocess: Preprocess, inputs: Sequence[TensorInfo]) -> None:
    """Raises DataError when `[preprocess] dtype` is one that no input of the model takes."""
    wanted = [info.dtype for info in inputs]
    if preprocess.dtype is not None and preprocess.dtype not in wanted:
        raise DataError(
            f"[preprocess] dtype is {preprocess.dtype}, the model takes {', '.join(sorted(set(wanted)))}",
            "leave dtype out: values are converted to what the model takes",
        )


def check_meaning(stored: np.dtype[Any], info: TensorInfo, preprocess: Preprocess, where: str) -> None:
    """Raises DataError when integers would go into a float input and nobody has said what they mean."""
    told = has_arithmetic(preprocess) or preprocess.dtype == info.dtype
    if stored.kind in "iu" and input_dtype(info).kind == "f" and not told:
        raise DataError(
            f"{where} holds {stored.name} values, the model's input {info.name!r} takes {info.dtype}: "
            "how are they to be scaled?",
            "[preprocess] scale = 0.00392157 brings 0..255 to 0..1 (add mean and std if the model was trained with "
            f'them); [preprocess] dtype = "{info.dtype}" says that the raw values are meant',
        )


def check_channels(preprocess: Preprocess, channels: int, where: str) -> None:
    """Raises DataError when mean or std have neither one number nor one per channel."""
    for name, numbers in (("mean", preprocess.mean), ("std", preprocess.std)):
        if len(numbers) not in (0, 1, channels):
            raise DataError(
                f"[preprocess] {name} has {len(numbers)} numbers, {where} has {channels} channels",
                f"give one number or {channels}; for items of height × width × channels say "
                '[preprocess] layout = "nhwc"',
            )
