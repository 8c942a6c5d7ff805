"""Labels in whatever form they came become class numbers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from steelyard.data.arrays import Stored
from steelyard.data.items import Array, Labels, chunks
from steelyard.errors import DataError
from steelyard.records.data import DataSpec

_LARGEST_WHOLE = 2.0**53
"""Above this, floats no longer tell whole numbers apart."""


def labels_of_array(stored: Stored, spec: DataSpec, where: str) -> Labels:
    """Class numbers from an array [items], [items, 1] or one-hot [items, classes].

    Integers, whole floats (NaN = missing), bools, or words that stand in `spec.classes`. Raises DataError otherwise.
    """
    shape = stored.header.shape
    if len(shape) not in (1, 2) or 0 in shape:
        raise DataError(
            f"{where} has the shape {shape}, expected one class number per item",
            "labels are [items] or one-hot [items, classes]",
        )
    one_hot = len(shape) == 2 and shape[1] > 1
    parts = [
        _class_numbers(stored.rows(part), spec, where, one_hot=one_hot)
        for part in chunks(np.arange(shape[0], dtype=np.int64), stored.header.item_bytes)
    ]
    told = (f"labels were one-hot in {shape[1]} columns: the place of the one was taken",) if one_hot else ()
    return _joined(parts, spec, told)


def _class_numbers(values: Array, spec: DataSpec, where: str, *, one_hot: bool) -> Labels:
    kind = values.dtype.kind
    if kind in "US" and not one_hot:
        return labels_of_words([_text(word) for word in values.reshape(-1)], spec, where, guess_classes=False)
    if kind not in "iufb":
        raise DataError(f"{where} holds {values.dtype.name}, expected class numbers", "save labels as int64")
    if one_hot:
        return _from_one_hot(values, spec, where)
    return _from_numbers(values.reshape(-1), spec, where)


def _text(word: str | bytes) -> str:
    return word.decode("utf-8", "replace") if isinstance(word, bytes) else str(word)


def _from_numbers(values: Array, spec: DataSpec, where: str) -> Labels:
    missing = np.isnan(values) if values.dtype.kind == "f" else np.zeros(len(values), bool)
    present = np.where(missing, 0, values) if missing.any() else values
    if values.dtype.kind == "f" and not ((np.rint(present) == present) & (abs(present) < _LARGEST_WHOLE)).all():
        raise DataError(
            f"{where} holds numbers that are not whole, expected class numbers",
            "regression targets are not supported: labels are the numbers of the classes, from 0",
        )
    return _labels(present.astype(np.int64) + spec.label_offset, missing)


def _from_one_hot(values: Array, spec: DataSpec, where: str) -> Labels:
    ones = (values == 1).sum(axis=1)
    others = ((values != 1) & (values != 0)).any(axis=1)
    missing = (ones == 0) & ~others
    if not ((ones == 1) & ~others | missing).all():
        raise DataError(
            f"{where} has {values.shape[1]} columns but is not one-hot (a single 1 per row, else 0)",
            "several labels per item are not supported: save one class number per item",
        )
    return _labels(values.argmax(axis=1).astype(np.int64) + spec.label_offset, missing)


def labels_of_words(words: Sequence[str], spec: DataSpec, where: str, *, guess_classes: bool) -> Labels:
    """Class numbers from the place of each word in `spec.classes`; an empty word is a missing label.

    Without classes: the sorted words that occur, when `guess_classes`, else DataError. A class folder and a CSV list
    what there is; an array of words does not say so.
    """
    present = sorted(set(words) - {""})
    if not spec.classes and not guess_classes:
        raise DataError(
            f"{where} holds words; the order of the model's outputs is needed to number them",
            f"[data] classes = [{', '.join(repr(word) for word in present[:8])}{', …' if len(present) > 8 else ''}], "
            "in the order of the outputs",
        )
    classes = spec.classes or tuple(present)
    place = {word: number for number, word in enumerate(classes)}
    codes = np.array([place.get(word, 0) + spec.label_offset for word in words], np.int64)
    missing = np.array([not word for word in words], bool)
    unknown = np.array([bool(word) and word not in place for word in words], bool)
    told = () if spec.classes else (f"classes are the words that occur, sorted: {_listed(present)}",)
    return Labels(codes, missing, unknown, classes, told)


def labels_of_column(cells: Sequence[str], spec: DataSpec, where: str) -> Labels:
    """Class numbers from the cells of a CSV: numbers when all are numbers (and no class is called so), else words."""
    words = [cell.strip() for cell in cells]
    if spec.classes and set(words) - {""} <= set(spec.classes):
        return labels_of_words(words, spec, where, guess_classes=True)
    try:
        values = np.array([float(word) if word else np.nan for word in words])
    except ValueError:
        return labels_of_words(words, spec, where, guess_classes=True)
    return _joined([_from_numbers(values, spec, where)], spec, ())


def _listed(words: Sequence[str]) -> str:
    return ", ".join(words[:8]) + (f" … ({len(words)})" if len(words) > 8 else "")


def _labels(codes: NDArray[np.int64], missing: NDArray[np.bool_]) -> Labels:
    return Labels(codes, missing, np.zeros(len(codes), bool))


def _joined(parts: Sequence[Labels], spec: DataSpec, told: tuple[str, ...]) -> Labels:
    return Labels(
        np.concatenate([part.codes for part in parts]),
        np.concatenate([part.missing for part in parts]),
        np.concatenate([part.unknown for part in parts]),
        spec.classes,
        told,
    )


def check_counting(labels: Labels, classes: int, offset: int) -> None:
    """Raises DataError when labels do not fit the model's `classes` outputs in a way that speaks of a mistake."""
    present = labels.codes[labels.known]
    outside = int(((present < 0) | (present >= classes)).sum())
    if not outside:
        return
    if present.min() >= 1 and present.max() == classes:
        raise DataError(
            f"labels count from one: they run from {present.min()} to {classes}, the model's outputs from 0 to "
            f"{classes - 1}",
            f"--label-offset {offset - 1}",
        )
    if 2 * outside > len(present):
        raise DataError(
            f"{outside} of {len(present)} labels are outside of the model's outputs 0 to {classes - 1}: they run from "
            f"{present.min()} to {present.max()}",
            "are these the right labels, and is it the right model? `labels` names the array or column",
        )
