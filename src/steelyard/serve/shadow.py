"""Shadow traffic: a share of what was answered goes to the best variant as well, off the critical path.

Nobody waits for these answers. They only tell how often the variants that answer disagree with the best one on the
requests of today, which no validation set can.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping, Sequence

import numpy as np

from steelyard.records.base import Record
from steelyard.records.engine import Array
from steelyard.serve.parts import Row

log = logging.getLogger(__name__)

MOST_UNDER_WAY = 4
"""More are not begun: what does not fit beside the traffic is left out."""
LAST = -(2**31)
"""The priority of shadow traffic: after everything that somebody waits for."""
TINY = 1e-9


class Compared(Record):
    """The answers of one variant beside those of the best."""

    items: int = 0
    disagreed: int = 0
    """Of outputs that are scores of classes: another class has the highest."""
    difference: float = 0.0
    """Mean over the items of the largest difference in any output, as a share of the output's largest value."""


class Shadow:
    """Which items are compared, and what came of it. Safe for threads."""

    def __init__(self, share: float, rung: int) -> None:
        """`share` of the items that another rung than `rung`, the best, has answered."""
        self.share = share
        self.rung = rung
        self._lock = threading.Lock()
        self._owed = 0.0
        self._under_way = 0
        self._compared: dict[str, tuple[int, int, float]] = {}

    def wants(self, rung: int, items: int) -> list[int]:
        """Places, among so many items that this rung has answered, of those to be compared. Each must end."""
        if rung == self.rung or not self.share:
            return []
        with self._lock:
            self._owed = min(self._owed + self.share * items, MOST_UNDER_WAY)
            count = min(int(self._owed + 1e-9), items, MOST_UNDER_WAY - self._under_way)
            self._owed -= max(count, 0)
            self._under_way += max(count, 0)
        return [place * items // count for place in range(count)] if count > 0 else []

    def ended(self) -> None:
        """One that was wanted is over, whatever became of it."""
        with self._lock:
            self._under_way -= 1

    def compare(self, answered: Row, best: Row) -> None:
        """The answers to one item."""
        disagrees = any(_disagree(a, b) for a, b in _pairs(answered, best))
        difference = max((_difference(a, b) for a, b in _pairs(answered, best)), default=0.0)
        with self._lock:
            items, disagreed, total = self._compared.get(answered.variant, (0, 0, 0.0))
            self._compared[answered.variant] = (items + 1, disagreed + disagrees, total + difference)

    def told(self) -> Mapping[str, Compared]:
        """By variant."""
        with self._lock:
            return {
                variant: Compared(items=items, disagreed=disagreed, difference=total / items)
                for variant, (items, disagreed, total) in self._compared.items()
            }


class Beside:
    """The caller of an item in the shadow. See `steelyard.serve.callers.Caller`."""

    __slots__ = ("_answered", "_shadow")

    def __init__(self, shadow: Shadow, answered: Row) -> None:
        self._shadow = shadow
        self._answered = answered

    def begin(self) -> bool:
        """It is wanted."""
        return True

    def answer(self, answer: Row) -> None:
        """Compare."""
        self._shadow.ended()
        self._shadow.compare(self._answered, answer)

    def fail(self, error: BaseException) -> None:
        """Nobody minds."""
        self._shadow.ended()
        log.debug("a request in the shadow failed: %s", error)


def _pairs(one: Row, other: Row) -> Sequence[tuple[Array, Array]]:
    return [
        (mine[one.place], theirs[other.place])
        for mine, theirs in zip(one.outputs, other.outputs, strict=True)
        if mine.dtype.kind in "fiu" and mine[one.place].shape == theirs[other.place].shape
    ]


def _disagree(one: Array, other: Array) -> bool:
    return one.ndim == 1 and one.size > 1 and one.dtype.kind == "f" and int(one.argmax()) != int(other.argmax())


def _difference(one: Array, other: Array) -> float:
    if not one.size:
        return 0.0
    mine, best = one.astype(np.float64), other.astype(np.float64)
    return float(np.abs(mine - best).max() / max(float(np.abs(best).max()), TINY))
