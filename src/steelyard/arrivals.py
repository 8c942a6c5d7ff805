"""Arrival times in a given pattern at any rate. Pure; all times are seconds.

A pattern has two parts. The *order* is how request follows request: independently (Poisson), with gamma-distributed
gaps, or in recorded gaps; it runs faster when the rate is higher. The *tide* is how a recorded rate rose and fell:
it keeps its own speed, because rush hours do not get shorter when more people come. Time runs through the tide so
that the order is met faster where the rate is higher (a process changed in time by its own cumulated intensity:
D. Daley and D. Vere-Jones, An Introduction to the Theory of Point Processes I, 2003, section 7.4).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from steelyard.records.arrivals import Arrivals

Floats = npt.NDArray[np.float64]

SETTLING = 20
"""A stretch of the tide is not cut shorter than this many latency bounds: queues must settle in it."""


def poisson(rate: float, count: int, rng: np.random.Generator) -> Floats:
    """Arrival times of `count` requests that come independently of each other, `rate` per second."""
    gaps: Floats = rng.exponential(1 / rate, count)
    return gaps.cumsum()


def gamma(rate: float, cv: float, count: int, rng: np.random.Generator) -> Floats:
    """Arrival times with gamma-distributed gaps; `cv` is deviation over mean of the gaps: 1 Poisson, more is bursty."""
    gaps: Floats = rng.gamma(1 / cv**2, cv**2 / rate, count)
    return gaps.cumsum()


def recorded(rate: float, gaps: tuple[float, ...], count: int, rng: np.random.Generator) -> Floats:
    """Arrival times with the given gaps (their mean is 1), over and over, from a random one on."""
    first = int(rng.integers(len(gaps)))
    repeated: Floats = np.resize(np.roll(np.asarray(gaps, np.float64), -first), count) / rate
    return repeated.cumsum()


def order(arrivals: Arrivals, count: int, rng: np.random.Generator) -> Floats:
    """`count` arrival times in the pattern's order, one per second on average, without its tide."""
    if arrivals.gaps:
        times = recorded(1.0, arrivals.gaps, count, rng)
    elif arrivals.kind == "gamma":
        times = gamma(1.0, arrivals.cv, count, rng)
    else:
        times = poisson(1.0, count, rng)
    return times * (count / times[-1]) if times[-1] > 0 else times


class Tide:
    """A rate that rises and falls around its mean, over and over."""

    def __init__(self, rates: tuple[float, ...], step_s: float, longest_s: float, finest_s: float) -> None:
        """Of a pattern too long for `longest_s`, first the stretches are shortened (to `finest_s`, no further), then
        some are left out, so that those which stay are as often high and low as they all were.
        """
        self._step_s = min(step_s, max(longest_s / len(rates), finest_s))
        relative = _fewer(np.asarray(rates, np.float64), max(1, int(longest_s / self._step_s)))
        self._reached = np.concatenate([[0.0], relative.cumsum()])
        self._whole = np.arange(len(self._reached), dtype=np.float64)

    def through(self, even: Floats, total_s: float) -> Floats:
        """Arrivals of an even rate over `total_s`, moved to where the tide has brought as many requests.

        The tide turns a whole number of times; its stretches last a little longer or shorter for that.
        """
        stretches = len(self._whole) - 1
        turns = max(1, round(total_s / (stretches * self._step_s)))
        step_s = total_s / (turns * stretches)
        within = np.minimum(even, total_s * (1 - 1e-12))  # the last one belongs to the last stretch, not to a next
        full, rest = np.divmod(within / step_s, stretches)
        moved: Floats = (full * stretches + np.interp(rest, self._reached, self._whole)) * step_s
        return moved


def _fewer(relative: Floats, most: int) -> Floats:
    """At most `most` of the values, in their order, spread evenly from the lowest to the highest; their mean is 1."""
    if len(relative) > most:
        by_height = np.argsort(relative, kind="stable")
        relative = relative[np.sort(by_height[((np.arange(most) + 0.5) * len(relative) / most).astype(int)])]
    mean = float(relative.mean())
    return relative / mean if mean > 0 else np.ones_like(relative)


def tide_of(arrivals: Arrivals, longest_s: float, bound_s: float) -> Tide | None:
    """The pattern's tide, in no more than `longest_s`; None: it has none."""
    return Tide(arrivals.rates, arrivals.step_s, longest_s, SETTLING * bound_s) if arrivals.rates else None


ENOUGH_STRETCHES = 50


def shown_s(arrivals: Arrivals, bound_s: float) -> float:
    """Seconds in which the tide can be shown fairly: all of it, or fifty stretches as short as they may be cut."""
    stretches = min(len(arrivals.rates), ENOUGH_STRETCHES)
    return stretches * min(arrivals.step_s, SETTLING * bound_s)


def arrival_times(arrivals: Arrivals, rate: float, count: int, bound_s: float, rng: np.random.Generator) -> Floats:
    """`count` arrival times at `rate` requests per second on average, the whole tide in them."""
    even = order(arrivals, count, rng) / rate
    tide = tide_of(arrivals, count / rate, bound_s)
    return even if tide is None else tide.through(even, count / rate)
