"""How long steps will take: by experience at first, then by what steps of relatives took in this search."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from steelyard.measure.speed import ladder_seconds
from steelyard.records.candidate import Candidate, Numerics
from steelyard.records.measurement import Probe, Speed
from steelyard.records.subject import Outlook

GLANCE_S = 0.5
"""Of a first look, what comes after opening."""
CUT = 2.0
"""What was broken off would have taken so many times as long."""
PER_ITEM_S = 0.005
"""Of answering, before anything was seen of it."""


class Costs:
    """Expected seconds of each kind of step. `learn_…` is told what steps took."""

    def __init__(self, outlooks: Mapping[str, Outlook]) -> None:
        self._outlooks = outlooks
        self._builds: list[tuple[float, float]] = []
        self._opens: dict[str, list[float]] = {}
        self._open_factors: list[float] = []
        self._per_item: dict[Numerics, float] = {}
        self._item_factors: list[float] = []

    def learn_look(self, candidate: Candidate, probe: Probe, seconds: float, unbuilt: float) -> None:
        """A first look, before which this share had to be built; how long that took is told by the probe."""
        expected = self._outlooks[candidate.id]
        if probe.build_s > 0 and unbuilt > 0:
            self._builds.append((unbuilt * expected.build_s, probe.build_s))
        rest = max(seconds - probe.build_s, 0.01)
        self._opens.setdefault(candidate.runtime, []).append(rest)
        self._open_factors.append(rest / (expected.open_s + GLANCE_S))

    def learn_cut(self, candidate: Candidate, seconds: float, unbuilt: float) -> None:
        """A first look was broken off, while it was built (`unbuilt`: this share) or, at 0, while it was opened."""
        if unbuilt > 0:
            self._builds.append((unbuilt * self._outlooks[candidate.id].build_s, CUT * seconds))
        else:
            self._opens.setdefault(candidate.runtime, []).append(CUT * seconds)

    def learn_answers(self, candidate: Candidate, items: int, seconds: float, glance: Speed | None) -> None:
        """So many items were answered."""
        if items > 0:
            self._per_item[candidate.numerics] = seconds / items
            self._item_factors.append(seconds / items / _per_item(glance))

    def look(self, candidate: Candidate, unbuilt: float) -> float:
        """To build what has not been built yet (a share of all), open, and glance at it."""
        expected = self._outlooks[candidate.id]
        build = unbuilt * expected.build_s * self._build_factor
        opened = self._opens.get(candidate.runtime)
        if opened:
            return build + sum(opened) / len(opened)
        return build + (expected.open_s + GLANCE_S) * _middle(self._open_factors)

    @property
    def usual_look_s(self) -> float:
        """A first look at something that is built."""
        seen = [seconds for of_runtime in self._opens.values() for seconds in of_runtime]
        return _middle(seen) if seen else GLANCE_S

    @property
    def _build_factor(self) -> float:
        """How much longer builds take here than by experience; the first few are half believed."""
        told = [math.log(seconds / expected) for expected, seconds in self._builds if seconds > 0]
        return math.exp(sum(told) / (len(told) + 1))

    def answers(self, candidate: Candidate, items: int, glance: Speed | None) -> float:
        """To answer so many items."""
        known = self._per_item.get(candidate.numerics)
        if known is None and glance is None and self._per_item:
            known = _middle(list(self._per_item.values()))
        return items * (known if known is not None else _per_item(glance) * _middle(self._item_factors))

    def speed(self, candidate: Candidate, glance: Speed | None, effort: float) -> float:
        """To time it carefully."""
        service = () if glance is None else glance.service
        return ladder_seconds(service, candidate.max_batch, effort)


def _per_item(glance: Speed | None) -> float:
    """Seconds, on one stream, in the largest batch that was glanced at."""
    if glance is None:
        return PER_ITEM_S
    largest = glance.service[-1]
    return largest.median_ms / 1e3 / largest.batch


def _middle(factors: Sequence[float]) -> float:
    """The median; 1 of none."""
    return sorted(factors)[len(factors) // 2] if factors else 1.0
