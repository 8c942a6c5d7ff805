"""What the controller chose lately, and why: for people who look at the live page."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable

from steelyard.records.base import Record

KEPT = 240
SPELL_S = 1.0
"""Batches of one variant within so long are told as one decision: thousands a second would tell less."""


class Decision(Record):
    """The batches that one variant was given in a short spell."""

    ago_s: float
    """When the first of them was."""
    rung: int
    batches: int
    smallest: int
    """Items."""
    largest: int
    why: str
    """Of the last of them; empty: there was nothing to choose."""


class _Spell:
    __slots__ = ("batches", "began", "largest", "rung", "smallest", "why")

    def __init__(self, began: float, rung: int, size: int) -> None:
        self.began = began
        self.rung = rung
        self.batches = 0
        self.smallest = self.largest = size
        self.why = ""


class Recent:
    """A bounded log of choices. Safe for threads; cheap enough to be told of every batch."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._open: dict[int, _Spell] = {}
        self._kept: deque[_Spell] = deque(maxlen=KEPT)

    def note(self, rung: int, size: int, why: str) -> None:
        """A batch of `size` items was given to this rung, because of `why`."""
        now = self._clock()
        with self._lock:
            spell = self._open.get(rung)
            if spell is None or now - spell.began >= SPELL_S:
                spell = self._open[rung] = _Spell(now, rung, size)
                self._kept.append(spell)
            spell.batches += 1
            spell.why = why
            if size > spell.largest:
                spell.largest = size
            elif size < spell.smallest:
                spell.smallest = size

    def decisions(self, most: int) -> list[Decision]:
        """The last ones, newest first."""
        now = self._clock()
        with self._lock:
            chosen = list(self._kept)[: -most - 1 : -1]
            return [_told(spell, now) for spell in chosen]


def _told(spell: _Spell, now: float) -> Decision:
    return Decision(
        ago_s=now - spell.began,
        rung=spell.rung,
        batches=spell.batches,
        smallest=spell.smallest,
        largest=spell.largest,
        why=spell.why,
    )
