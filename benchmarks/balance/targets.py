"""What is asked of switching in `bench_balance.py`, simulated and live alike."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from balance.days import Known

FEWER, LOSS, LATE = 10.0, 0.5, 0.01
ALIKE = 0.001


class Judged(Protocol):
    """What became of a day's requests."""

    @property
    def violations(self) -> float:
        """Share of the requests that were answered late, or refused."""

    @property
    def quality(self) -> float:
        """Mean of the answers."""

    @property
    def answered(self) -> Sequence[int]:
        """How many by each rung."""


def loss(of: Known, quality: float) -> float:
    """0: the most accurate answered everything; 1: the fastest did."""
    best, worst = of.ladder.rungs[0].quality, of.ladder.rungs[-1].quality
    return (best - quality) / (best - worst)


def in_hindsight(statics: Sequence[Judged]) -> int:
    """The rung that one should have chosen."""
    fewest = min(outcome.violations for outcome in statics)
    return next(rung for rung, outcome in enumerate(statics) if outcome.violations <= fewest + ALIKE)


def missed(of: Known, day: str, switching: Judged, statics: Sequence[Judged]) -> list[str]:
    """The targets that were."""
    told = []
    if switching.violations * FEWER > statics[0].violations:
        told.append(f"{FEWER:g}× fewer")
    if loss(of, switching.quality) >= LOSS:
        told.append("loss")
    if "gamma" in day and switching.violations > LATE:
        told.append("1 % at CV 4")
    if any(count and rung.quality < of.floor for count, rung in zip(switching.answered, of.ladder.rungs, strict=True)):
        told.append("floor")
    return told


def verdict(misses: Sequence[str]) -> str:
    """In a word."""
    return "met" if not misses else "missed: " + ", ".join(misses)
