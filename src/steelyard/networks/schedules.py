"""How the learning rate goes up and down: functions from the share of training that is done to a factor. No torch.

    constant              1
    cosine                (1 + cos πt) / 2                  I. Loshchilov, F. Hutter, ICLR 2017 (arXiv 1608.03983)
    linear                1 − t
    one-cycle             up in a straight line, down in another    L. Smith, N. Topin, arXiv 1708.07120, 2017

A warm-up goes before any of them: from 0 up to 1 in a straight line; t then counts from its end.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from steelyard.errors import UsageError
from steelyard.records.spelling import did_you_mean

Schedule = Callable[[float], float]
"""From the share of all steps that is done, 0 … 1, to what the learning rate is multiplied by, 0 … 1."""


def _constant(_done: float) -> float:
    return 1.0


def _cosine(done: float) -> float:
    return (1 + math.cos(math.pi * done)) / 2


def _linear(done: float) -> float:
    return 1 - done


_SHAPES: Mapping[str, tuple[Schedule, float]] = {
    "constant": (_constant, 0.0),
    "cosine": (_cosine, 0.0),
    "linear": (_linear, 0.0),
    "one-cycle": (_linear, 0.3),
}
"""What comes after the warm-up, and which share of training the warm-up takes when nothing is said."""

SCHEDULES = tuple(_SHAPES)
OPTIONS = ("lowest", "warm_up")


def make(name: str, warm_up: float | None = None, lowest: float = 0.0, **unknown: Any) -> Schedule:
    """The schedule of this name. `warm_up`: its share of training; `lowest`: what the factor never falls below.

    Raises UsageError for an unknown name or option, or a share that is none.
    """
    if name not in _SHAPES:
        raise UsageError(f"there is no schedule {name!r}", did_you_mean(name, _SHAPES))
    for option in unknown:
        raise UsageError(f"the schedule {name} has no option {option!r}", did_you_mean(option, OPTIONS))
    shape, usual = _SHAPES[name]
    share = usual if warm_up is None else warm_up
    if not 0 <= share < 1 or not 0 <= lowest <= 1:
        raise UsageError(f"warm-up and lowest are shares from 0 to 1, got {share:g} and {lowest:g}")

    def factor(done: float) -> float:
        done = min(max(done, 0.0), 1.0)
        return max(lowest, done / share if done < share else shape((done - share) / (1 - share)))

    return factor


def set_rate(optimiser: Any, factor: float) -> None:
    """Gives each group of a torch optimiser `factor` times the rate that it was made with."""
    for group in optimiser.param_groups:
        group["lr"] = group.setdefault("initial_lr", group["lr"]) * factor
