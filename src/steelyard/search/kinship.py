"""What the speed of some candidates tells about others: relatives are expected to be alike.

Speeds are logarithms, so that a factor is a difference. A candidate's speed is taken for the sum of what its variant,
its runtime, its precision, their combination and the way it divides the cores contribute, each unknown and normally
distributed around what experience promises; what was measured of some of these candidates then gives mean and spread
of all (C. E. Rasmussen and C. K. I. Williams, "Gaussian Processes for Machine Learning", 2006, equations 2.23 and
2.24). So one look at a variant in one runtime, and one at how a runtime likes two streams, is a look at all of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from steelyard.records.candidate import Candidate

Floats = npt.NDArray[np.float64]

LEVEL = 3.0
"""Deviation of the speed of all alike: nothing is known before the reference was measured."""
BATCHING = 0.5
"""Of what all gain over the reference, which serves one request at a time."""
VARIANT, RUNTIME, PRECISION, COMBINATION = 0.3, 0.3, 0.15, 0.25
DIVISION, DIVISION_IN_RUNTIME, DIVISION_OF_COMBINATION = 0.2, 0.2, 0.08
OWN = 0.04
"""Of what no relative shares."""
SCALES = {1.0: 0.0, 1.4: -0.7, 2.0: -2.0}
"""By how much the candidates of a subject may differ more than usual, and the logarithm of how likely that is."""
TOO_SLOW, TOO_FAST = 2.0, 3.0
"""So many deviations from what its relatives say, and a measurement is taken to say something of itself alone: threads
that stand in each other's way make one setting ten times as slow, and leave the next one alone."""
MOST_ODD = 8
OTHER_KIND = 0.6
"""How alike streams in one process and streams in several are."""


class Seen(NamedTuple):
    """A measured speed: whose (its place among the candidates), logarithm, deviation of the measurement."""

    place: int
    value: float
    deviation: float


class Beliefs(NamedTuple):
    """Mean of each candidate's logarithmic speed, and covariances."""

    mean: Floats
    covariance: Floats

    def deviation(self, place: int) -> float:
        """Standard deviation of one."""
        return float(np.sqrt(max(self.covariance[place, place], 0.0)))

    def lead(self, one: int, other: int) -> tuple[float, float]:
        """Mean and deviation of how much faster one is than the other."""
        spread = self.covariance[one, one] + self.covariance[other, other] - 2 * self.covariance[one, other]
        return float(self.mean[one] - self.mean[other]), float(np.sqrt(max(spread, 1e-12)))


class Kinship:
    """`promised`: of each candidate, its speed as a multiple of the reference's, by experience."""

    def __init__(self, candidates: Sequence[Candidate], promised: Sequence[float]) -> None:
        self._prior = np.log(np.asarray(promised, np.float64))
        self._effects = _effects(candidates)
        self._own = np.full(len(candidates), OWN**2)

    def beliefs(self, seen: Sequence[Seen]) -> Beliefs:
        """What is to be believed of all after some were measured."""
        if not seen:
            return Beliefs(self._prior, self._covariance(1.0, self._own))
        places = [one.place for one in seen]
        off = np.asarray([one.value for one in seen]) - self._prior[places]
        noise = np.asarray([one.deviation**2 for one in seen])

        own = self._with_odd_ones(places, off, noise)

        def plausible(scale: float) -> float:
            of_seen = self._covariance(scale, own)[np.ix_(places, places)] + np.diag(noise)
            return SCALES[scale] + _log_likelihood(of_seen, off)

        covariance = self._covariance(max(SCALES, key=plausible), own)
        to_seen = covariance[:, places]
        weights = np.linalg.solve(covariance[np.ix_(places, places)] + np.diag(noise), to_seen.T).T
        return Beliefs(self._prior + weights @ off, covariance - weights @ to_seen.T)

    def _covariance(self, scale: float, own: Floats) -> Floats:
        return np.asarray(LEVEL**2 + scale**2 * self._effects + np.diag(own))

    def _with_odd_ones(self, places: list[int], off: Floats, noise: Floats) -> Floats:
        """Variance of what each shares with nobody, raised for those whose relatives would not have told them."""
        own = self._own.copy()
        for _ in range(MOST_ODD):
            inverse = np.linalg.inv(self._covariance(1.0, own)[np.ix_(places, places)] + np.diag(noise))
            variance = 1 / np.diag(inverse)  # of each, from all others
            surprise = (inverse @ off) * np.sqrt(variance)
            surprise[places.index(0) if 0 in places else []] = 0.0  # the reference is what all others are told against
            excess = np.maximum(-surprise / TOO_SLOW, surprise / TOO_FAST)
            oddest = int(np.argmax(excess))
            if excess[oddest] <= 1:
                break
            own[places[oddest]] += (surprise[oddest] ** 2 - 1) * variance[oddest]
        return own


def _log_likelihood(covariance: Floats, off: Floats) -> float:
    """Of normal deviations, up to a constant."""
    _, determinant = np.linalg.slogdet(covariance)
    return float(-(off @ np.linalg.solve(covariance, off) + determinant) / 2)


def _effects(candidates: Sequence[Candidate]) -> Floats:
    """Covariances of all that relatives share."""
    variant = _equal([c.variant for c in candidates])
    runtime = _equal([c.runtime for c in candidates])
    precision = _equal([c.precision for c in candidates])
    combination = variant * runtime * precision
    division = _division_likeness(candidates)
    batching = np.ones(len(candidates))
    batching[0] = 0.0  # the reference
    shared: Floats = (
        BATCHING**2 * np.outer(batching, batching)
        + VARIANT**2 * variant
        + RUNTIME**2 * runtime
        + PRECISION**2 * precision
        + COMBINATION**2 * combination
        + DIVISION**2 * division
        + DIVISION_IN_RUNTIME**2 * division * runtime
        + DIVISION_OF_COMBINATION**2 * division * combination
    )
    return shared


def _equal(names: Sequence[str]) -> Floats:
    """1 where two have the same name, 0 elsewhere."""
    column = np.asarray(names)
    return np.asarray(column[:, None] == column[None, :], np.float64)


def _division_likeness(candidates: Sequence[Candidate]) -> Floats:
    """How alike two divide the cores: 1 when equally, less the more the numbers of threads and workers differ."""
    threads = np.log2([c.threads for c in candidates])
    workers = np.log2([c.workers for c in candidates])
    apart = np.abs(threads[:, None] - threads[None, :]) + np.abs(workers[:, None] - workers[None, :])
    kind = _equal([str(c.instances > 1) for c in candidates])
    likeness: Floats = np.exp(-apart / 2) * np.where(kind == 1.0, 1.0, OTHER_KIND)
    return likeness
