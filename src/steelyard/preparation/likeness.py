"""Which items are equal, and how far apart others are."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from steelyard.datasets.examples import Array, Examples

_APART = 100.0
"""Between different words, in standard deviations: rows with different words are never alike."""


def digests(examples: Examples) -> list[bytes]:
    """Sixteen bytes per item over all of its inputs: items are equal when these are."""
    columns = [_as_bytes(examples.inputs[name]) for name in sorted(examples.inputs)]
    return [
        hashlib.blake2b(b"".join([column[item] for column in columns]), digest_size=16).digest()
        for item in range(len(examples))
    ]


def _as_bytes(values: Array) -> Sequence[bytes]:
    """One input, item by item; words end on a byte that no text has."""
    if values.dtype == object:
        return [("" if value is None else str(value)).encode() + b"\xff" for value in values]
    rows = np.ascontiguousarray(values.reshape(len(values), -1))
    width = rows.shape[1] * rows.itemsize
    raw = rows.tobytes()
    return [raw[start : start + width] for start in range(0, len(raw), width)]


def spoken(text: str | None) -> str:
    """A text without what makes no difference when it is spoken: case, punctuation, spaces."""
    return " ".join(re.findall(r"\w+", (text or "").casefold()))


def vectors(examples: Examples, *, words: bool = True) -> NDArray[np.float32]:
    """Items as vectors [items, numbers]; the columns of a table each with a standard deviation of 1.

    Missing values are as the mean is. Words become numbers far from each other, or are left out.
    """
    if examples.kind != "table":
        name = next(name for name in ("image", "sequence", "input_ids") if name in examples.inputs)
        return np.asarray(examples.inputs[name].reshape(len(examples), -1), np.float32)
    chosen = [values for values in examples.inputs.values() if words or values.dtype != object]
    return np.concatenate([np.zeros((len(examples), 0), np.float32), *map(_standardised, chosen)], axis=1)


def _standardised(values: Array) -> NDArray[np.float32]:
    if values.dtype == object:
        _, codes = np.unique(np.array(["" if value is None else value for value in values], str), return_inverse=True)
        return np.asarray(_APART * codes.reshape(-1, 1), np.float32)
    columns = values.reshape(len(values), -1).astype(np.float64)
    if not np.isfinite(columns).any():
        return np.zeros(columns.shape, np.float32)
    centred = np.nan_to_num(columns - np.nanmean(columns, axis=0), posinf=0.0, neginf=0.0)
    deviation = np.sqrt((centred**2).mean(axis=0))
    return np.asarray(centred / np.where(deviation > 0, deviation, 1.0), np.float32)


def projected(values: NDArray[np.float32], width: int) -> NDArray[np.float32]:
    """Fewer numbers per item, which lie no further from each other than the items do: an orthonormal projection."""
    if values.shape[1] <= width:
        return values
    directions = np.random.default_rng(0).normal(size=(values.shape[1], width))
    return (values @ np.linalg.qr(directions)[0].astype(np.float32)).astype(np.float32)
