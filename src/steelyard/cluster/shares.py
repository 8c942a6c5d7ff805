"""Hand out shares of the work to nodes that may be lost in the middle of one."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import NamedTuple

from steelyard.records.candidate import Candidate, Numerics


class Share(NamedTuple):
    """What one node searches at a time."""

    only: tuple[Numerics, ...] | None
    """None: all candidates."""


ALL = Share(None)


class Shares:
    """Shares that wait, and those being worked on. A share that is given back waits for another node."""

    def __init__(self, shares: Sequence[Share]) -> None:
        self._waiting = list(shares)
        self._unfinished = len(self._waiting)
        self._changed = threading.Condition()

    def take(self) -> Share | None:
        """The next share; None once all are finished. Waits while others may still give theirs back."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or not self._unfinished)
            return self._waiting.pop(0) if self._waiting else None

    def finish(self) -> None:
        """One that was taken is done."""
        with self._changed:
            self._unfinished -= 1
            self._changed.notify_all()

    def give_back(self, share: Share) -> None:
        """One that was taken is not done."""
        with self._changed:
            self._waiting.insert(0, share)
            self._changed.notify_all()

    def close(self) -> None:
        """No more shares for anyone."""
        with self._changed:
            self._waiting.clear()
            self._unfinished = 0
            self._changed.notify_all()


def divided(candidates: Sequence[Candidate], nodes: int) -> list[Share]:
    """The kinds of numerics in turn to each node: neighbours in the list, which are alike, go to different ones."""
    kinds = list(dict.fromkeys(candidate.numerics for candidate in candidates))
    return [Share(share) for number in range(nodes) if (share := tuple(kinds[number::nodes]))]
