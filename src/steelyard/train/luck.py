"""Randomness as a function of where training is: what a step draws depends on seed, epoch and step, on nothing else.

So a run that was interrupted goes on exactly as it would have, wherever it was, and no generator has to be saved.
"""

from __future__ import annotations

import torch

_MASK = (1 << 64) - 1


def seed_of(*numbers: int) -> int:
    """A seed of 63 bits that neighbouring numbers do not share anything of.

    SplitMix64's finaliser: G. Steele, D. Lea, C. Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014.
    """
    state = 0
    for number in numbers:
        state = (state + number + 0x9E3779B97F4A7C15) & _MASK
        state = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
        state = ((state ^ (state >> 27)) * 0x94D049BB133111EB) & _MASK
        state ^= state >> 31
    return state >> 1


def generator_of(*numbers: int) -> torch.Generator:
    """A generator that begins there."""
    return torch.Generator().manual_seed(seed_of(*numbers))


def settle(*numbers: int) -> None:
    """Let torch's own generator, of which layers like dropout draw, begin there."""
    torch.default_generator.manual_seed(seed_of(*numbers))
    if torch.cuda.is_available():
        torch.cuda.manual_seed_all(seed_of(*numbers))
