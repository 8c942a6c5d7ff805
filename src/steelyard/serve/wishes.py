"""Which variants may answer a request that wishes for a quality or a cost."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Protocol

from steelyard.errors import InputError
from steelyard.scheduling import ALL
from steelyard.serve.requests import Asked


class Offered(Protocol):
    """A variant that is ready."""

    @property
    def variant(self) -> str:
        """Its name."""

    @property
    def quality(self) -> float:
        """As measured."""

    @property
    def cost_per_thousand(self) -> float | None:
        """None: not known, and then no wish is in its way."""


def rungs_for(asked: Asked, ready: Sequence[Offered], lower_is_better: bool = False) -> int:
    """Those that may answer, as a mask. `lower_is_better`: the quality is an error. Raises InputError for none."""
    if asked.min_quality == -math.inf and asked.max_cost == math.inf:
        return ALL
    mask = sum(1 << rung for rung, one in enumerate(ready) if _satisfies(one, asked, lower_is_better))
    if not mask:
        told = "; ".join(_told(one) for one in ready)
        raise InputError("no variant satisfies the request's min_quality and max_cost", f"ready are: {told}")
    return mask


def _satisfies(one: Offered, asked: Asked, lower_is_better: bool) -> bool:
    sign = -1 if lower_is_better else 1
    good = asked.min_quality == -math.inf or sign * one.quality >= sign * asked.min_quality
    return good and (asked.max_cost == math.inf or (one.cost_per_thousand or 0.0) <= asked.max_cost)


def _told(one: Offered) -> str:
    cost = "" if one.cost_per_thousand is None else f", cost {one.cost_per_thousand:.3g} per thousand"
    return f"{one.variant} (quality {one.quality:.4g}{cost})"
