"""Classes of which there are few: given more weight, or drawn more often."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from steelyard.datasets.examples import Examples, counted_classes
from steelyard.errors import DataError
from steelyard.preparation.order import shuffled

_BETA = 0.999


def class_weights(
    examples: Examples, how: Literal["balanced", "sqrt", "effective"] = "balanced", beta: float = _BETA
) -> NDArray[np.float32]:
    """A weight per class, 1 for the mean item, for losses that take weights.

    `balanced`: in inverse proportion to a class's items; `sqrt`: to their root, a milder form; `effective`: to their
    effective number (1 - beta^n) / (1 - beta) (Cui et al., CVPR 2019, https://arxiv.org/abs/1901.05555).

    Raises DataError for measured values, and for a class without items.
    """
    counts = np.array(list(_counts(examples).values()), np.float64)
    rarity = {
        "balanced": lambda: 1 / counts,
        "sqrt": lambda: 1 / np.sqrt(counts),
        "effective": lambda: (1 - beta) / (1 - beta**counts),
    }[how]()
    return np.asarray(rarity * len(examples) / (rarity * counts).sum(), np.float32)


def resampled(examples: Examples, how: Literal["over", "under"] = "over", seed: int = 0) -> tuple[Examples, str]:
    """As many items of each class as of the commonest (`over`: items repeat) or the rarest (`under`), and what is told.

    Of training items only, after the split: a copy in another part would be known there. Raises DataError as above.
    """
    counts = _counts(examples)
    wanted = (max if how == "over" else min)(counts.values())
    order = shuffled(len(examples), seed)
    drawn = []
    for number in range(len(counts)):
        own = order[examples.targets[order] == number]
        drawn.append(np.tile(own, -(-wanted // len(own)))[:wanted])
    rows = np.concatenate(drawn)
    told = f"resampled ({how}): {len(examples)} items became {len(rows)}, {wanted} of each class"
    return examples.take(rows[shuffled(len(rows), seed)]), told


def told_imbalance(examples: Examples, most: float = 3.0) -> str:
    """A sentence when the commonest class has more than `most` times the items of the rarest; else nothing."""
    counts = {} if examples.measured else counted_classes(examples)
    if not counts:
        return ""
    rarest, commonest = min(counts, key=lambda name: counts[name]), max(counts, key=lambda name: counts[name])
    if counts[commonest] <= most * max(1, counts[rarest]):
        return ""
    return (
        f"classes are unequal: {counts[commonest]} items of {commonest!r}, {counts[rarest]} of {rarest!r}; accuracy "
        "alone says little, weights or resampling may help"
    )


def _counts(examples: Examples) -> dict[str, int]:
    if examples.measured:
        raise DataError("measured values have no classes to weigh or to draw", "leave the weights out")
    counts = counted_classes(examples)
    empty = [name for name, count in counts.items() if not count]
    if empty:
        raise DataError(
            f"the class {empty[0]!r} has no items to train on", "leave it out of the classes, or give items of it"
        )
    return counts
