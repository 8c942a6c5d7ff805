"""Small data of every kind."""

from __future__ import annotations

from typing import Any

import numpy as np

from steelyard.datasets.examples import Examples


def columns(targets: Any = None, classes: tuple[str, ...] = ("no", "yes"), **given: Any) -> Examples:
    """A table; words are given as lists of str or None."""
    inputs = {name: as_column(values) for name, values in given.items()}
    count = len(next(iter(inputs.values())))
    chosen = np.arange(count) % 2 if targets is None else np.asarray(targets)
    return Examples("table", inputs, chosen, () if chosen.dtype.kind == "f" else classes)


def as_column(values: Any) -> Any:
    if any(value is None or isinstance(value, str) for value in values):
        return np.array(list(values), object)
    found = np.asarray(values)
    return found.astype(np.float32) if found.dtype.kind == "f" else found


def texts(*said: str | None) -> Examples:
    return Examples("text", {"text": np.array(said, object)}, np.arange(len(said)) % 2, ("no", "yes"))


def pictures(count: int = 40, seed: int = 0) -> Examples:
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 256, (count, 6, 5, 3)).astype(np.uint8)
    return Examples("images", {"image": image}, np.arange(count) % 2, ("no", "yes"))


def series(lengths: Any = (3, 5, 4, 5), seed: int = 0) -> Examples:
    """Two channels, filled up with zeros."""
    rng = np.random.default_rng(seed)
    length = np.array(lengths, np.int64)
    sequence = rng.normal(3, 2, (len(length), int(length.max()), 2)).astype(np.float32)
    sequence[np.arange(sequence.shape[1]) >= length[:, None]] = 0
    return Examples("sequences", {"sequence": sequence, "length": length}, np.arange(len(length)) % 2, ("no", "yes"))
