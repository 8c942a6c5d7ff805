"""An order drawn by a seed that is the same on every machine and with every version of numpy."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_FIRST = np.uint64(0xBF58476D1CE4E5B9)
_SECOND = np.uint64(0x94D049BB133111EB)


def shuffled(count: int, seed: int) -> NDArray[np.int64]:
    """0 to `count` - 1 in an order that only `count` and `seed` decide: integer arithmetic, no generator of a library.

    Items are sorted by a random number each, SplitMix64 (Steele, Lea and Flood, OOPSLA 2014,
    https://doi.org/10.1145/2660193.2660195) of seed and number.
    """
    return np.argsort(random_numbers(count, seed), kind="stable").astype(np.int64)


def random_numbers(count: int, seed: int) -> NDArray[np.uint64]:
    """`count` random numbers of 64 bits."""
    start = _mixed(np.array([seed % 2**64], np.uint64) + _GOLDEN)
    return _mixed(start + (np.arange(count, dtype=np.uint64) + np.uint64(1)) * _GOLDEN)


def _mixed(state: NDArray[np.uint64]) -> NDArray[np.uint64]:
    state = (state ^ (state >> np.uint64(30))) * _FIRST
    state = (state ^ (state >> np.uint64(27))) * _SECOND
    return state ^ (state >> np.uint64(31))
