"""Looking more than once at growing parts of the same items, without more errors than a single look would make."""

from __future__ import annotations

from collections.abc import Sequence


def spent(confidence: float, items: int, looks: Sequence[int]) -> float:
    """The confidence to use at the look that takes in `items`, so that all `looks` together err at most 1 − confidence.

    The allowed error is spent in proportion to the items that a look adds: whatever the looks have to do with each
    other, their errors together are at most the sum (Bonferroni). With looks at a quarter and at all of the items
    the last one keeps three quarters of what is allowed; sharing what nested looks have in common (K. K. G. Lan and
    D. L. DeMets, Biometrika 70, 1983) would narrow its limits by another two or three per cent, and only approximately.
    Raises ValueError when there is no such look.
    """
    if items not in looks:
        raise ValueError(f"looks take in {', '.join(map(str, looks))} items, got {items}")
    place = list(looks).index(items)
    before = looks[place - 1] if place else 0
    return 1 - (1 - confidence) * (items - before) / looks[-1]
