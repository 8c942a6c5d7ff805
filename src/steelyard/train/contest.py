"""Which networks are worth training on, and which are not worth having. Pure.

A network is stopped by asynchronous successive halving (L. Li et al., "A System for Massively Parallel Hyperparameter
Tuning", MLSys 2020, arXiv 1810.05934): after a ninth, then a third of its epochs it goes on only among the best third
of those that came so far. That rule knows one objective, and would end every cheap network at the hands of a larger
one. So rivals are only those that cost no more to serve: who is beaten by them will not be on the front, and who is not
may still be, however modest. What a network costs is known before it is trained, since its weights do not change it.
Nobody is judged against fewer than `FEWEST` rivals, and no one waits for others: an interrupted search goes on at once.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

FACTOR = 3
FEWEST = 3
ALIKE = 1.05
"""Costs that differ by less cannot be told apart."""


@dataclass
class Course:
    """How a network does while it is trained."""

    cost: float
    epochs: int
    """It would make in all."""
    best: list[float] = field(default_factory=list)
    """After each epoch, the best validation so far; up is better."""

    def add(self, validation: float) -> None:
        """One more epoch."""
        self.best.append(max([validation, *self.best[-1:]]))


def rungs(epochs: int) -> tuple[int, ...]:
    """After which epochs it is judged: a third of them, a ninth …, the earliest last."""
    found, share = [], FACTOR
    while share <= epochs:
        found.append(math.ceil(epochs / share))
        share *= FACTOR
    return tuple(found)


def goes_on(own: Course, others: Iterable[Course]) -> bool:
    """Whether a network that has just ended an epoch is worth another one."""
    mine = rungs(own.epochs)
    if len(own.best) not in mine:
        return True
    rung = mine.index(len(own.best))
    rivals = [reached for other in others if other.cost <= own.cost * ALIKE and (reached := _at(other, rung))]
    if len(rivals) < FEWEST:
        return True
    better = sum(one[0] > own.best[-1] for one in rivals)
    return better < math.ceil((len(rivals) + 1) / FACTOR)


def _at(course: Course, rung: int) -> Sequence[float]:
    """What it had reached at this rung: one number, or none."""
    epochs = rungs(course.epochs)
    if rung >= len(epochs) or len(course.best) < epochs[rung]:
        return ()
    return course.best[epochs[rung] - 1 : epochs[rung]]


Name = TypeVar("Name", bound=Hashable)


def front(found: Mapping[Name, tuple[float, float]]) -> list[Name]:
    """Of quality (up is better) and cost by name: those that nothing beats in both, the cheapest first."""
    kept: list[Name] = []
    highest = -math.inf
    for name in sorted(found, key=lambda name: (found[name][1], -found[name][0])):
        if found[name][0] > highest and math.isfinite(found[name][1]):
            kept.append(name)
            highest = found[name][0]
    return kept
