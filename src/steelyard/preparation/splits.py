"""Which items train, which validate, which test: the same for a seed on every machine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from steelyard.datasets.examples import TEST, TRAINING, VALIDATION, Array, Examples
from steelyard.errors import DataError, UsageError
from steelyard.preparation.order import shuffled

SplitKind = Literal["given", "stratified", "random", "group", "time"]
_SOME = 1e-9
"""More than none: every class has an item in every part."""
NAMES = {TRAINING: "training", VALIDATION: "validation", TEST: "test"}


@dataclass(frozen=True)
class Parts:
    """The items, divided. No item is in two parts."""

    training: Examples
    validation: Examples
    test: Examples
    told: tuple[str, ...] = ()

    @property
    def named(self) -> Mapping[str, Examples]:
        """By name."""
        return {"training": self.training, "validation": self.validation, "test": self.test}


def split(
    examples: Examples, kind: SplitKind = "stratified", validation: float = 0.1, test: float = 0.2, seed: int = 0
) -> Parts:
    """Divide the items. `validation` and `test` are shares of all items.

    `given`: as the makers gave them; what they gave no part for is drawn from training. `stratified`: every class has
    its share in every part. `group`: all items of a group are in one part. `time`: training is before validation,
    validation before test.

    Raises UsageError for shares or a kind that make no sense, DataError when the items cannot be divided so.
    """
    if kind not in get_args(SplitKind):
        raise UsageError(f"no split is called {kind!r}", f"there are {', '.join(get_args(SplitKind))}")
    if validation < 0 or test < 0 or validation + test >= 1:
        raise UsageError(
            f"validation = {validation} and test = {test} leave nothing to train on",
            "both are shares of all items, together below 1",
        )
    shares = {TRAINING: 1 - validation - test, VALIDATION: validation, TEST: test}
    if kind == "given":
        return _given(examples, shares, seed)
    if kind == "time":
        return _divided(examples, _by_time(examples, shares), shares, ())
    place = {"stratified": _stratified, "random": _random, "group": _by_group}[kind]
    return _divided(examples, place(examples, shares, seed), shares, ())


def _divided(examples: Examples, place: Array, shares: Mapping[int, float], told: tuple[str, ...]) -> Parts:
    counts = {part: int((place == part).sum()) for part in NAMES}
    empty = [NAMES[part] for part, share in shares.items() if share > 0 and not counts[part]]
    if empty:
        raise DataError(
            f"{len(examples)} items leave none for {empty[0]}",
            f"give more items, or set {empty[0]} = 0" if empty[0] != "training" else "give more items",
        )
    training, validation, test = (examples.take(np.flatnonzero(place == part)) for part in NAMES)
    sizes = ", ".join(f"{NAMES[part]}: {count} items" for part, count in counts.items())
    return Parts(training, validation, test, (*told, sizes))


def _given(examples: Examples, shares: Mapping[int, float], seed: int) -> Parts:
    if examples.parts is None:
        raise DataError(
            "the data have no parts given by their makers", 'split = "stratified", "random", "group" or "time"'
        )
    place = examples.parts.astype(np.int64)
    lacking = [part for part in (VALIDATION, TEST) if shares[part] > 0 and not (place == part).any()]
    own = np.flatnonzero(place == TRAINING)
    if not lacking or not len(own):
        return _divided(examples, place, {TRAINING: 1.0}, ())
    wanted = {part: shares[part] * len(examples) / len(own) if part in lacking else 0.0 for part in NAMES}
    wanted[TRAINING] = 1 - sum(wanted.values())
    if wanted[TRAINING] <= 0:
        raise UsageError("validation and test would take all of the training items that were given", "make them less")
    inner = examples.take(own)
    drawn = _by_group if examples.groups is not None else _random if examples.measured else _stratified
    place[own] = drawn(inner, wanted, seed)
    told = f"{' and '.join(NAMES[part] for part in lacking)} drawn from the training items that were given"
    return _divided(examples, place, wanted, (told,))


def _random(examples: Examples, shares: Mapping[int, float], seed: int) -> Array:
    place = np.full(len(examples), TRAINING, np.int64)
    _deal(place, shuffled(len(examples), seed), {part: shares[part] * len(examples) for part in (TEST, VALIDATION)})
    return place


def _deal(place: Array, order: Array, wanted: Mapping[int, float]) -> dict[int, int]:
    """Put the first of `order` into test, the next into validation: how many each part got.

    The whole numbers nearest to those wanted; at least one where any are, and one left to train on.
    """
    enough = len(order) > sum(number > 0 for number in wanted.values())
    counts = {part: max(round(number), int(number > 0 and enough)) for part, number in wanted.items()}
    while sum(counts.values()) >= len(order) and max(counts.values()) > 1:
        counts[max(counts, key=lambda part: counts[part])] -= 1
    begin = 0
    for part, count in counts.items():
        place[order[begin : begin + count]] = part
        begin += count
    return counts


def _stratified(examples: Examples, shares: Mapping[int, float], seed: int) -> Array:
    """Class by class. What rounding gives too many of one class it takes from the next, so that all add up."""
    if examples.measured:
        raise DataError("measured values have no classes to keep in proportion", 'split = "random"')
    place = np.full(len(examples), TRAINING, np.int64)
    order = shuffled(len(examples), seed)
    owed = {part: 0.0 for part in (TEST, VALIDATION) if shares[part] > 0}
    for number, name in enumerate(examples.classes):
        own = order[examples.targets[order] == number]
        _check_enough(name, len(own), shares)
        due = {part: owed[part] + shares[part] * len(own) for part in owed}
        given = _deal(place, own, {part: max(count, _SOME) for part, count in due.items()})
        owed = {part: due[part] - given[part] for part in owed}
    return place


def _check_enough(name: str, items: int, shares: Mapping[int, float]) -> None:
    least = sum(share > 0 for share in shares.values())
    if items < least:
        raise DataError(
            f"the class {name!r} has {items} items, {least} are needed: one for each part",
            'give more of them, join the class with another, or split = "random"',
        )


def _by_group(examples: Examples, shares: Mapping[int, float], seed: int) -> Array:
    """Groups in an order drawn by the seed, each into the part that lacks the most: none stays empty."""
    if examples.groups is None:
        raise DataError("there are no groups to keep together", "name the column that says whose each item is: group")
    names, group = np.unique(examples.groups.astype(str), return_inverse=True)
    wanted = {part: share * len(examples) for part, share in shares.items() if share > 0}
    if len(names) < len(wanted):
        raise DataError(f"there are {len(names)} groups for {len(wanted)} parts", "set validation = 0, or test = 0")
    sizes = np.bincount(group.reshape(-1), minlength=len(names))
    given = np.zeros(len(names), np.int64)
    has = dict.fromkeys(wanted, 0)
    for number in shuffled(len(names), seed).tolist():
        part = min(wanted, key=lambda part: has[part] / wanted[part])
        given[number] = part
        has[part] += int(sizes[number])
    return given[group.reshape(-1)]


def _by_time(examples: Examples, shares: Mapping[int, float]) -> Array:
    """The latest items test, those before them validate. Items of one moment stay together. Nothing is drawn."""
    times = examples.times
    if times is None:
        raise DataError("there are no times to split by", "name the column that says when each item was: time")
    if np.isnan(times).any() if times.dtype.kind == "f" else times.dtype.kind == "M" and np.isnat(times).any():
        raise DataError("some items have no time", "leave them out, or split otherwise")
    moments, moment = np.unique(times, return_inverse=True)
    until = np.cumsum(np.bincount(moment.reshape(-1)))
    before = until - np.diff(until, prepend=0)
    middle = (before + until) / (2 * len(examples))
    later = np.where(middle < shares[TRAINING] + shares[VALIDATION], VALIDATION, TEST)
    place = np.where(middle < shares[TRAINING], TRAINING, later)
    if len(moments) < sum(share > 0 for share in shares.values()):
        raise DataError(f"there are {len(moments)} different times, fewer than parts", "split otherwise")
    return np.asarray(place[moment.reshape(-1)])
