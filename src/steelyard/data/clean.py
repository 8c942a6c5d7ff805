"""Cleaning: what cannot be judged is left out, counted, and told."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from steelyard.data.items import Array, ItemKind, Items, Labels, Numbers, Rows, bytes_per_item, chunks
from steelyard.data.sequences import is_ragged, lengths_of
from steelyard.errors import DataError

Digests = NDArray[np.uint64]
"""[items, 2]: 128 bits of BLAKE2b over all inputs of an item."""

CONFLICT = "exact duplicates of each other whose labels differ"
DUPLICATE = "exact duplicates of an item that is kept"
TWINS = {CONFLICT, DUPLICATE}
OVERLAP = "set aside for calibration, but they are also among the items that judge"


class LeftOut:
    """Which items are left out, each for the first reason that was found."""

    def __init__(self, names: Sequence[str], count: int) -> None:
        self._names = names
        self._reasons = [""]
        self._reason = np.zeros(count, np.int64)

    def mark(self, items: Numbers | NDArray[np.bool_], reason: str) -> None:
        """Leave these items out (numbers, or a mask over all), unless they are already."""
        if reason not in self._reasons:
            self._reasons.append(reason)
        numbers = np.flatnonzero(items) if items.dtype == bool else items
        fresh = numbers[self._reason[numbers] == 0]
        self._reason[fresh] = self._reasons.index(reason)

    @property
    def kept(self) -> Numbers:
        """Numbers of the items that are not left out, ascending."""
        return np.flatnonzero(self._reason == 0).astype(np.int64)

    def told(self) -> tuple[str, ...]:
        """One sentence per reason, with counts."""
        found = [(reason, np.flatnonzero(self._reason == k)) for k, reason in enumerate(self._reasons) if k]
        return tuple(self._sentence(reason, numbers) for reason, numbers in found if len(numbers))

    def _sentence(self, reason: str, numbers: Numbers) -> str:
        some = ", ".join(_printable(self._names[number]) for number in numbers[:3]) if self._names else ""
        more = ", …" if len(numbers) > 3 else ""
        return f"{counted(len(numbers))} left out: {reason}{f' ({some}{more})' if some else ''}"

    def check_share(self, what: str) -> None:
        """Raises DataError when more than half of the items are left out."""
        total = len(self._reason)
        left = total - len(self.kept)
        if 2 * left > total:
            raise DataError(
                f"more than half of {what} cannot be used ({left} of {total}): {'; '.join(self.told())}",
                f"mend the data: what is left would not stand for it{self._honest()}",
            )

    def _honest(self) -> str:
        found = {self._reasons[number] for number in np.unique(self._reason)}
        return "; where equal items are honest (a table of few values), --duplicates keep" if found & TWINS else ""


def _printable(name: str) -> str:
    """File names come from archives that nobody trusts, and end on a terminal."""
    return "".join(letter if letter.isprintable() else "?" for letter in name)


def counted(items: int) -> str:
    """`1 item`, `2 items`."""
    return f"{items} item" if items == 1 else f"{items} items"


@dataclass(frozen=True)
class Cleaned:
    """What is left, and what was told about the rest."""

    kept: Numbers
    digests: Digests
    """Of all items, kept or not."""
    told: tuple[str, ...]


def clean(items: Items, labels: Labels | None, classes: int | None, *, duplicates: bool = False) -> Cleaned:
    """Find the items that can judge; `duplicates` may stay. Raises DataError when these are less than half."""
    left_out = LeftOut(items.names, items.count)
    if labels is not None:
        _mark_labels(labels, classes, left_out)
    digests = _inspect(items, left_out)
    if not duplicates:
        _mark_duplicates(digests, labels, left_out)
    left_out.check_share("the items")
    return Cleaned(left_out.kept, digests, left_out.told())


def clean_calibration(items: Items, judging: Digests) -> Cleaned:
    """Find the items that can calibrate: readable, each once, none of them among the judging ones."""
    left_out = LeftOut(items.names, items.count)
    digests = _inspect(items, left_out)
    left_out.mark(_is_in(digests, judging), OVERLAP)
    _mark_duplicates(digests, None, left_out)
    left_out.check_share("the items set aside for calibration")
    return Cleaned(left_out.kept, digests, tuple(f"calibration: {sentence}" for sentence in left_out.told()))


def _mark_labels(labels: Labels, classes: int | None, left_out: LeftOut) -> None:
    left_out.mark(labels.missing, "the label is missing")
    left_out.mark(labels.unknown, "the label is not among the classes")
    if labels.measured:
        finite = np.isfinite(labels.codes.reshape(len(labels.codes), -1)).all(axis=1)
        left_out.mark(labels.known & ~finite, "the label is NaN or Inf")
        return
    left_out.mark(labels.known & (labels.codes < 0), "the label is negative")
    if classes is not None:
        left_out.mark(labels.known & (labels.codes >= classes), f"the label is above {classes - 1}, the last output")


def _inspect(items: Items, left_out: LeftOut) -> Digests:
    digests = np.zeros((items.count, 2), np.uint64)
    for numbers in chunks(np.arange(items.count, dtype=np.int64), bytes_per_item(items)):
        rows = items.read(numbers)
        _mark_rows(rows, items.kinds, numbers, left_out)
        digests[numbers] = digests_of(rows)
    return digests


def _mark_rows(rows: Rows, kinds: Mapping[str, ItemKind], numbers: Numbers, left_out: LeftOut) -> None:
    for position, reason in rows.faults.items():
        left_out.mark(numbers[position : position + 1], reason)
    for name, values in rows.inputs.items():
        if is_ragged(values):
            left_out.mark(numbers[lengths_of(values) == 0], f"no steps in input {name}")
        if kinds[name].dtype.kind == "f":
            left_out.mark(numbers[~_sound(values, bears_nan=kinds[name].bears_nan)], f"NaN or Inf in input {name}")


def _sound(values: Array, *, bears_nan: bool) -> NDArray[np.bool_]:
    """Which items hold nothing but numbers that can be computed with."""
    if is_ragged(values):
        return np.array([np.isfinite(item).all() for item in values], bool)
    flat = values.reshape(len(values), -1)
    if bears_nan:
        return np.asarray(~np.isinf(flat).any(axis=1))
    return np.asarray(np.isfinite(flat).all(axis=1))


def digests_of(rows: Rows) -> Digests:
    """BLAKE2b of each item over all its inputs, [items, 2]."""
    arrays = [rows.inputs[name] for name in sorted(rows.inputs)]
    raw = b"".join(_digest(arrays, position) for position in range(len(arrays[0])))
    return np.frombuffer(raw, np.uint64).reshape(-1, 2)


def _digest(arrays: Sequence[Array], position: int) -> bytes:
    found = hashlib.blake2b(digest_size=16)
    for array in arrays:
        item = np.asarray(array[position])
        if is_ragged(array):
            found.update(str(item.shape).encode())
        found.update(item.tobytes())
    return found.digest()


def _mark_duplicates(digests: Digests, labels: Labels | None, left_out: LeftOut) -> None:
    """Of equal items the first is kept; none of them when their labels contradict each other."""
    kept = left_out.kept
    if not len(kept):
        return
    _, first, group = np.unique(digests[kept], axis=0, return_index=True, return_inverse=True)
    group = group.reshape(-1)
    if labels is not None:
        codes = labels.codes[kept]
        differs = np.zeros(len(first), bool)
        other = (codes != codes[first][group]).reshape(len(codes), -1).any(axis=1)
        np.logical_or.at(differs, group, other)
        left_out.mark(kept[differs[group]], CONFLICT)
    repeated = np.ones(len(kept), bool)
    repeated[first] = False
    left_out.mark(kept[repeated], DUPLICATE)


def _is_in(digests: Digests, others: Digests) -> NDArray[np.bool_]:
    seen = {tuple(digest) for digest in others.tolist()}
    return np.array([tuple(digest) in seen for digest in digests.tolist()], bool)
