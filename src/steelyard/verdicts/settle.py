"""How much more would have to be seen before a verdict is possible."""

from __future__ import annotations

import math
from collections.abc import Callable

MOST = 10_000_000
"""Nobody gathers more items, or sends more requests, than this."""


def until_settled(settled: Callable[[float], bool], seen: int) -> int | None:
    """About the smallest number at which `settled(number / seen)` turns true (to one per cent); None: hopeless."""
    low, high = 1.0, MOST / max(seen, 1)
    if not settled(high):
        return None
    while high / low > 1.01:
        middle = math.sqrt(low * high)
        low, high = (low, middle) if settled(middle) else (middle, high)
    return math.ceil(high * seen)
