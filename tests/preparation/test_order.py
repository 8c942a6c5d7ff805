"""The order that a seed draws is pinned: it shall be the same on every machine and for good."""

from __future__ import annotations

import numpy as np

from steelyard.preparation.order import random_numbers, shuffled

PINNED = [5, 7, 8, 2, 9, 0, 3, 1, 6, 4]


def split_mix(state: int) -> int:
    """In Python's own integers, by the paper."""
    mask = 2**64 - 1
    state = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & mask
    state = ((state ^ (state >> 27)) * 0x94D049BB133111EB) & mask
    return state ^ (state >> 31)


def test_against_the_published_sequence() -> None:
    """The first numbers of SplitMix64 from state 0, as its reference implementation prints them."""
    golden = 0x9E3779B97F4A7C15
    assert split_mix(golden) == 0xE220A8397B1DCDAF
    start = split_mix((7 + golden) % 2**64)
    expected = [split_mix((start + n * golden) % 2**64) for n in range(1, 6)]
    assert random_numbers(5, seed=7).tolist() == expected


def test_pinned() -> None:
    assert shuffled(10, seed=0).tolist() == PINNED
    assert shuffled(10, seed=1).tolist() != PINNED
    assert shuffled(10, seed=-1).tolist() == shuffled(10, seed=2**64 - 1).tolist()
    assert shuffled(0, seed=0).tolist() == []


def test_it_is_an_order_and_a_fair_one() -> None:
    assert sorted(shuffled(1000, seed=3).tolist()) == list(range(1000))
    firsts = [int(shuffled(20, seed=seed)[0]) for seed in range(2000)]
    counts = np.bincount(firsts, minlength=20)
    assert counts.min() > 60  # 100 expected each, standard deviation 10
    assert counts.max() < 140
