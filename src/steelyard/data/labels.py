"""Labels in whatever form they came become class numbers, or measured values."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from steelyard.data.arrays import Stored
from steelyard.data.convert import LARGEST_WHOLE
from steelyard.data.items import Array, Labels, chunks
from steelyard.errors import DataError
from steelyard.records.data import DataSpec

MEASURED = "labels are measured values: not all of them are whole"


def labels_of_array(stored: Stored, spec: DataSpec, where: str, *, measured: bool = False) -> Labels:
    """Labels from an array [items], [items, 1], one-hot [items, classes], or of several measured values per item.

    Integers, whole floats (NaN = missing), bools, or words that stand in `spec.classes` are class numbers; other floats
    are measured values, and so are all numbers when they were `measured`. Raises DataError for what is none of these.
    """
    shape = stored.header.shape
    if len(shape) not in (1, 2) or 0 in shape:
        raise DataError(
            f"{where} has the shape {shape}, expected one class number per item",
            "labels are [items] or one-hot [items, classes]",
        )
    kind = stored.header.dtype.kind
    if kind in "US" and (len(shape) == 1 or shape[1] == 1):
        words = [_text(word) for part in _parts(stored) for word in part.reshape(-1)]
        return labels_of_words(words, spec, where, guess_classes=False)
    if kind not in "iufb":
        raise DataError(f"{where} holds {stored.header.dtype.name}, expected class numbers", "save labels as int64")
    if len(shape) == 1 or shape[1] == 1:
        values = np.concatenate([part.reshape(-1) for part in _parts(stored)])
        return _from_numbers(values, spec, where, measured=measured)
    return _from_columns(stored, spec, where, measured=measured)


def _parts(stored: Stored) -> Iterator[Array]:
    for part in chunks(np.arange(stored.header.items, dtype=np.int64), stored.header.item_bytes):
        yield stored.rows(part)


def _text(word: str | bytes) -> str:
    return word.decode("utf-8", "replace") if isinstance(word, bytes) else str(word)


def _from_numbers(values: Array, spec: DataSpec, where: str, *, measured: bool) -> Labels:
    """One number per item."""
    missing = np.isnan(values) if values.dtype.kind == "f" else np.zeros(len(values), bool)
    present = np.where(missing, 0, values) if missing.any() else values
    whole = values.dtype.kind != "f" or bool(((np.rint(present) == present) & (abs(present) < LARGEST_WHOLE)).all())
    if measured or not whole:
        return _measured(values, missing, spec, where, told=not measured)
    return _labels(present.astype(np.int64) + spec.label_offset, missing)


def _from_columns(stored: Stored, spec: DataSpec, where: str, *, measured: bool) -> Labels:
    """Several numbers per item: one-hot, or measured."""
    if not measured and all(_is_one_hot(part) for part in _parts(stored)):
        labels = [_from_one_hot(part, spec) for part in _parts(stored)]
        told = f"labels were one-hot in {stored.header.shape[1]} columns: the place of the one was taken"
        return _joined(labels, spec, (told,))
    fractions = any((np.rint(part) != part).any() for part in _parts(stored) if part.dtype.kind == "f")
    if measured or fractions:
        values = np.concatenate(list(_parts(stored)))
        return _measured(values, np.zeros(len(values), bool), spec, where, told=not measured)
    raise DataError(
        f"{where} has {stored.header.shape[1]} columns but is not one-hot (a single 1 per row, else 0)",
        "several labels per item are not supported: save one class number per item",
    )


def _measured(values: Array, missing: NDArray[np.bool_], spec: DataSpec, where: str, *, told: bool) -> Labels:
    if spec.label_offset:
        raise DataError(
            f"a label offset moves class numbers, but {where} holds measured values", "leave the label offset out"
        )
    unknown = np.zeros(len(values), bool)
    return Labels(values.astype(np.float64), missing, unknown, told=(MEASURED,) if told else ())


def _is_one_hot(values: Array) -> bool:
    """At most a single 1 per row, otherwise zeros: rows without a 1 are without a label."""
    ones = (values == 1).sum(axis=1)
    others = ((values != 1) & (values != 0)).any(axis=1)
    return bool(((ones <= 1) & ~others).all())


def _from_one_hot(values: Array, spec: DataSpec) -> Labels:
    return _labels(values.argmax(axis=1).astype(np.int64) + spec.label_offset, ~(values == 1).any(axis=1))


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


def labels_of_column(cells: Sequence[str], spec: DataSpec, where: str, *, measured: bool = False) -> Labels:
    """Labels from the cells of a table: numbers when all are numbers (and no class is called so), else words."""
    words = [cell.strip() for cell in cells]
    if spec.classes and set(words) - {""} <= set(spec.classes):
        return labels_of_words(words, spec, where, guess_classes=True)
    try:
        values = np.array([float(word) if word else np.nan for word in words])
    except ValueError:
        return labels_of_words(words, spec, where, guess_classes=True)
    return replace(_from_numbers(values, spec, where, measured=measured), classes=spec.classes)


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
    if labels.measured:
        return
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
