"""Which items calibrate, which select, which confirm: drawn by a seed, never overlapping."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from steelyard.data.clean import Digests, clean_calibration, counted
from steelyard.data.items import Items, Numbers
from steelyard.errors import DataError

CALIBRATION_MOST = 300
CALIBRATION_SHARE = 0.1
SELECT_SHARE = 0.1
"""Selecting needs few items: enough to catch what is wrong. The proof is in those that confirm."""


@dataclass(frozen=True)
class Drawn:
    """Numbers of items in the order in which they are written."""

    calibrate: Numbers
    judge: Numbers
    select: int
    """So many of `judge` select; the others confirm."""

    @property
    def confirm(self) -> int:
        """How many of `judge` confirm."""
        return len(self.judge) - self.select


def draw(kept: Numbers, seed: int, limit: int | None, *, set_aside: bool) -> Drawn:
    """Shuffle, cut to `limit`, split. With `set_aside` the calibration items lie elsewhere, and all items judge.

    Raises DataError when fewer than two items are left to judge, one to select and one to confirm.
    """
    order = np.random.default_rng(seed).permutation(kept)[:limit]
    calibrate = 0 if set_aside else min(CALIBRATION_MOST, max(1, round(CALIBRATION_SHARE * len(order))))
    judge = order[calibrate:]
    if len(judge) < 2:
        raise DataError(
            f"{counted(len(order))} can be used{'' if limit is None else f' (limit {limit})'}, of which {len(judge)} "
            "would judge; at least 2 are needed",
            "give more items: a few hundred for a first look, thousands to prove a small drop in quality",
        )
    return Drawn(order[:calibrate], judge, max(1, round(SELECT_SHARE * len(judge))))


def draw_calibration(items: Items, judging: Digests, seed: int) -> tuple[Numbers, tuple[str, ...]]:
    """Of the items that were set aside at most CALIBRATION_MOST: more of them cost time and change little.

    None of them is among `judging`. Returns their numbers and what is told. Raises DataError when few can be used.
    """
    left = clean_calibration(items, judging)
    drawn = np.random.default_rng(seed).permutation(left.kept)[:CALIBRATION_MOST]
    if len(drawn) == len(left.kept):
        return drawn, left.told
    return drawn, (*left.told, f"calibration: {len(drawn)} of {counted(len(left.kept))} set aside were drawn")
