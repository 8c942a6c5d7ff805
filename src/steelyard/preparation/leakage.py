"""What tells a network the answers of a test beforehand: looked for between parts, and told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from steelyard.datasets.examples import Array, Examples
from steelyard.numbers import count, percent
from steelyard.preparation.likeness import digests, projected, spoken, vectors
from steelyard.preparation.splits import Parts

LeakKind = Literal["equal", "near", "group", "target", "time"]
_WIDTH = 8
"""Numbers by which near items are looked for; what is found is held against all numbers."""
_BINS = 100
_TELLS = 0.995
"""A column that alone is right on this share of the items says the target in other words."""
_CORRELATED = 0.9999


@dataclass(frozen=True)
class Leak:
    """One way in which a part knows of another."""

    kind: LeakKind
    told: str
    part: str
    items: NDArray[np.int64]
    """Of `part`, which are concerned; none where it is a column."""


def find_leaks(parts: Parts, near: float = 0.02) -> tuple[Leak, ...]:
    """Items equal, or nearly, to others of an earlier part; groups and times in two parts; columns that say the target.

    Items are near when they differ by less than `near` of what items commonly differ by. 0 looks for equal ones only.
    """
    names = [name for name, part in parts.named.items() if len(part)]
    pairs = [(names[i], names[j]) for i in range(len(names)) for j in range(i + 1, len(names))]
    leaks: list[Leak] = []
    for earlier, later in pairs:
        before, after = parts.named[earlier], parts.named[later]
        equal = _equal(before, after)
        leaks += _leak("equal", later, equal, len(after), f"equal to items of {earlier}")
        if near > 0:
            alike = _near(before, after, near) & ~equal
            leaks += _leak("near", later, alike, len(after), f"nearly equal to items of {earlier}")
        if before.groups is not None and after.groups is not None:
            shared = np.isin(after.groups.astype(str), before.groups.astype(str))
            leaks += _leak("group", later, shared, len(after), f"of groups that are in {earlier}, too")
        if before.times is not None and after.times is not None:
            leaks += _leak("time", later, after.times <= before.times.max(), len(after), f"from times of {earlier}")
    return (*leaks, *_telling(parts, names))


def _leak(kind: LeakKind, part: str, mask: Array, items: int, what: str) -> list[Leak]:
    found = np.flatnonzero(mask).astype(np.int64)
    if not len(found):
        return []
    told = f"{part}: {count(len(found))} of {count(items)} items ({percent(len(found) / items)}) are {what}"
    return [Leak(kind, told, part, found)]


def _equal(before: Examples, after: Examples) -> NDArray[np.bool_]:
    seen = set(digests(before))
    return np.array([digest in seen for digest in digests(after)], bool)


def _near(before: Examples, after: Examples, near: float) -> NDArray[np.bool_]:
    if "text" in before.inputs:
        seen = {spoken(text) for text in before.inputs["text"]}
        return np.array([spoken(text) in seen for text in after.inputs["text"]], bool)
    both = _together(before, after)
    values = vectors(both)
    if not np.isfinite(values).all():
        return np.zeros(len(after), bool)
    return _within(values[: len(before)], values[len(before) :], near * _common_distance(vectors(both, words=False)))


def _together(before: Examples, after: Examples) -> Examples:
    inputs = {name: np.concatenate([before.inputs[name], after.inputs[name]]) for name in before.inputs}
    return Examples(before.kind, inputs, np.concatenate([before.targets, after.targets]), before.classes)


def _common_distance(values: NDArray[np.float32]) -> float:
    """How far items are commonly from each other: the root of two times as far as they are from the mean."""
    return float(np.sqrt(2) * np.median(np.linalg.norm(values - values.mean(axis=0), axis=1)))


def _within(before: NDArray[np.float32], after: NDArray[np.float32], radius: float) -> NDArray[np.bool_]:
    """Which of `after` have one of `before` within `radius`.

    Found in few dimensions first: a projection brings no two items further apart, so none is missed.
    """
    width = min(_WIDTH, before.shape[1])
    both = projected(np.concatenate([before, after]), width)
    tree = cKDTree(both[: len(before)])
    candidates = tree.query_ball_point(both[len(before) :], radius * 1.001)
    return np.array(
        [
            bool(found) and bool((np.linalg.norm(before[found] - after[item], axis=1) <= radius).any())
            for item, found in enumerate(candidates)
        ],
        bool,
    )


def _telling(parts: Parts, names: Sequence[str]) -> list[Leak]:
    """Columns of a table that alone say the target, judged on items that they were not looked at in."""
    training, judged = parts.training, next((parts.named[name] for name in names if name != "training"), None)
    if training.kind != "table" or judged is None or not len(training):
        return []
    leaks = []
    for name in training.inputs:
        if training.inputs[name].ndim == 1:
            share = _told_by(training, judged, name)
            if share is not None:
                told = f"the column {name!r} alone says the target ({share}): is it known when the model is asked?"
                leaks.append(Leak("target", told, "training", np.zeros(0, np.int64)))
    return leaks


def _told_by(training: Examples, judged: Examples, name: str) -> str | None:
    if training.measured:
        return _correlation(training, name)
    seen, asked = _levels(training.inputs[name], judged.inputs[name])
    votes = np.zeros((int(max(seen.max(), asked.max())) + 1, len(training.classes)), np.int64)
    np.add.at(votes, (seen, training.targets), 1)
    right = float((votes.argmax(axis=1)[asked] == judged.targets).mean())
    commonest = float((judged.targets == np.bincount(training.targets).argmax()).mean())
    return f"right on {percent(right)} of other items" if right >= _TELLS and right > commonest else None


def _levels(seen: Array, asked: Array) -> tuple[Array, Array]:
    """Words, and numbers in bins of equally many items, as places from 0."""
    if seen.dtype == object:
        words = {word: place for place, word in enumerate(dict.fromkeys([*seen.tolist(), *asked.tolist()]))}
        return (np.array([words[word] for word in part.tolist()], np.int64) for part in (seen, asked))  # type: ignore[return-value]
    different = np.unique(seen[np.isfinite(seen)])
    edges = (
        different if len(different) <= _BINS else np.unique(np.nanquantile(seen, np.linspace(0, 1, _BINS + 1)[1:-1]))
    )
    return np.searchsorted(edges, np.nan_to_num(seen)), np.searchsorted(edges, np.nan_to_num(asked))


def _correlation(training: Examples, name: str) -> str | None:
    values, targets = training.inputs[name], training.targets
    if values.dtype == object or targets.ndim > 1 or not np.isfinite(values).all():
        return None
    if np.ptp(values) == 0 or np.ptp(targets) == 0:
        return None
    found = float(np.corrcoef(values.astype(np.float64), targets.astype(np.float64))[0, 1])
    return f"correlation {found:.4f}" if abs(found) >= _CORRELATED else None
