"""Whether items can be learnt from at all: what cannot is an error that says where, and what to do."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from steelyard.datasets.examples import Array, Examples, counted_classes
from steelyard.errors import DataError

MOST_CHANNELS = 16
"""More of them speak of pictures whose axes lie in another order."""


def check(examples: Examples, where: str) -> None:
    """Raises DataError when `examples` cannot be learnt from. Missing values may be there: cleaning sees to them."""
    if len(examples) < 2:
        raise DataError(
            f"{where} has {len(examples)} items; at least 2 are needed, one to learn from and one to judge",
            "give more items: hundreds for each class, if a network is to learn from them",
        )
    _check_targets(examples, where)
    _KINDS[examples.kind](examples, where)


def check_ready(examples: Examples, where: str) -> None:
    """Raises DataError when a missing or infinite value, or text that is no number, would go into the network."""
    for name, values in examples.inputs.items():
        if values.dtype == object and examples.kind == "table":
            raise DataError(
                f"{where}: the column {name!r} holds words, a network takes numbers",
                "add the step `one-hot` (few different words) or `ordinal` (many, for an embedding)",
            )
        wrong = missing(values) | _infinite(values)
        if wrong.any():
            raise DataError(
                f"{where}: {name!r} has {int(wrong.sum())} items with missing or infinite values, the first is item "
                f"{int(wrong.argmax())}",
                "add the step `missing`, which fills them in or leaves such items out of training",
            )


def missing(values: Array) -> NDArray[np.bool_]:
    """Which items have a value that is missing: NaN, or None."""
    if values.dtype == object:
        return np.array([value is None for value in values], bool)
    if values.dtype.kind != "f":
        return np.zeros(len(values), bool)
    return np.asarray(np.isnan(values).any(axis=tuple(range(1, values.ndim))))


def _infinite(values: Array) -> NDArray[np.bool_]:
    if values.dtype.kind != "f":
        return np.zeros(len(values), bool)
    return np.asarray(np.isinf(values).any(axis=tuple(range(1, values.ndim))))


def _check_targets(examples: Examples, where: str) -> None:
    targets = examples.targets
    if targets.dtype.kind == "f":
        _check_measured(examples, where)
    elif targets.dtype.kind not in "iu" or targets.ndim != 1:
        raise DataError(
            f"{where}: targets are {targets.dtype.name} {list(targets.shape)}, expected class numbers [items] or "
            "measured values (float32)",
            "one-hot targets: take the place of the one, targets.argmax(axis=1)",
        )
    else:
        _check_classes(examples, where)


def _check_measured(examples: Examples, where: str) -> None:
    if examples.classes:
        raise DataError(
            f"{where}: targets are measured values (float), but {len(examples.classes)} classes are named",
            "class numbers are whole: targets.astype('int64'); measured values have no classes",
        )
    wrong = ~np.isfinite(examples.targets.reshape(len(examples), -1)).all(axis=1)
    if wrong.any():
        raise DataError(
            f"{where}: {int(wrong.sum())} targets are missing or infinite, the first is that of item "
            f"{int(wrong.argmax())}",
            "leave these items out: nothing can be learnt from them",
        )


def _check_classes(examples: Examples, where: str) -> None:
    targets, classes = examples.targets, examples.classes
    if len(classes) < 2:
        raise DataError(
            f"{where} has {len(classes)} classes; at least 2 are needed to tell apart",
            "name the classes; measured values are float32",
        )
    outside = (targets < 0) | (targets >= len(classes))
    if outside.any():
        from_one = targets.min() == 1 and targets.max() == len(classes)
        raise DataError(
            f"{where}: {int(outside.sum())} class numbers lie outside of 0 to {len(classes) - 1} (there are "
            f"{len(classes)} classes), the first is {int(targets[outside][0])} of item {int(outside.argmax())}",
            "they count from one: subtract 1" if from_one else "are all classes named, and is it the right column?",
        )
    empty = [name for name, count in counted_classes(examples).items() if not count]
    if empty:
        raise DataError(
            f"{where}: the class {empty[0]!r} has no items" + (f" ({len(empty)} such classes)" if empty[1:] else ""),
            "leave it out of the classes, or give items of it: what was never seen cannot be learnt",
        )


def _check_images(examples: Examples, where: str) -> None:
    image = _only(examples, "image", where)
    if image.ndim != 4 or 0 in image.shape[1:] or image.shape[3] > MOST_CHANNELS:
        raise DataError(
            f"{where}: pictures are {list(image.shape)}, expected [items, height, width, channels]",
            "grey pictures need a last axis of one: image[..., None]; channels go last: image.transpose(0, 2, 3, 1)",
        )
    if image.dtype != np.uint8 and image.dtype.kind != "f":
        raise DataError(f"{where}: pictures are {image.dtype.name}, expected uint8", "pixels run from 0 to 255")
    _check_finite(examples, where)


def _check_sequences(examples: Examples, where: str) -> None:
    sequence = _only(examples, "sequence", where)
    if sequence.ndim != 3 or 0 in sequence.shape[1:] or sequence.dtype.kind != "f":
        raise DataError(
            f"{where}: sequences are {sequence.dtype.name} {list(sequence.shape)}, expected float32 "
            "[items, steps, channels]",
            "one channel needs a last axis of one: sequence[..., None]",
        )
    length = examples.inputs.get("length")
    if length is not None and (length.min() < 1 or length.max() > sequence.shape[1]):
        raise DataError(
            f"{where}: lengths run from {int(length.min())} to {int(length.max())}, expected 1 to {sequence.shape[1]}",
            "leave out sequences without steps",
        )
    _check_finite(examples, where)


def _check_table(examples: Examples, where: str) -> None:
    for name, values in examples.inputs.items():
        if values.dtype == object:
            _check_words(values, f"{where}: the column {name!r}")
        elif values.dtype.kind not in "fiub" or values.ndim > 2:
            raise DataError(
                f"{where}: the column {name!r} is {values.dtype.name} {list(values.shape)}, expected numbers"
            )
        if missing(values).all():
            raise DataError(f"{where}: the column {name!r} has no values at all", "leave it out")
    _check_finite(examples, where)


def _check_text(examples: Examples, where: str) -> None:
    if "input_ids" not in examples.inputs:
        _check_words(_only(examples, "text", where), f"{where}: the text")


def _check_words(values: Array, where: str) -> None:
    wrong = next((n for n, value in enumerate(values) if value is not None and not isinstance(value, str)), None)
    if wrong is not None:
        raise DataError(
            f"{where} holds a {type(values[wrong]).__name__} in item {wrong}, expected words",
            "write numbers as float32 or int64; None is a missing word",
        )


def _check_finite(examples: Examples, where: str) -> None:
    for name, values in examples.inputs.items():
        wrong = _infinite(values)
        if wrong.any():
            raise DataError(
                f"{where}: {name!r} is infinite in {int(wrong.sum())} items, the first is item {int(wrong.argmax())}",
                "was something divided by zero? a value that is missing is NaN",
            )


def _only(examples: Examples, name: str, where: str) -> Array:
    if name not in examples.inputs:
        raise DataError(
            f"{where} has no input {name!r}, only {', '.join(examples.inputs)}",
            f"data of the kind {examples.kind} lie under {name!r}",
        )
    return examples.inputs[name]


_KINDS: dict[str, Callable[[Examples, str], None]] = {
    "images": _check_images,
    "sequences": _check_sequences,
    "table": _check_table,
    "text": _check_text,
}
