"""A user's own data: arrays in a .npz, a table, or pictures in class folders."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np

from steelyard.data.items import Labels
from steelyard.data.match import LABEL_NAMES
from steelyard.datasets.checking import check
from steelyard.datasets.examples import TEST, TRAINING, VALIDATION, Array, Examples
from steelyard.errors import DataError
from steelyard.records.base import Record

PARTS = {"training": TRAINING, "train": TRAINING, "validation": VALIDATION, "val": VALIDATION, "test": TEST}
"""Words in a column of parts."""
MOST_CLASSES = 1000
"""More different whole numbers than this are hardly classes."""
SUPPORTED = "a .npz, a table (.csv, .tsv, .jsonl, .parquet), or a folder with a folder of pictures per class"


class OwnData(Record):
    """Where the data lie, and what is what in them. Names are those of columns, or of arrays in a .npz."""

    source: str
    target: str | None = None
    """None: one of `labels`, `label`, `y`, `targets`, `target`, `class`. Class folders need none."""
    text: str | None = None
    """A column of text to learn from; then no other column is an input."""
    columns: tuple[str, ...] = ()
    """Inputs; empty: all that are nothing else."""
    group: str | None = None
    time: str | None = None
    """Numbers, or dates as ISO 8601 writes them."""
    part: str | None = None
    """training, validation or test (or 0, 1, 2)."""
    classes: tuple[str, ...] = ()
    """In the order of their numbers; empty: those that occur, sorted."""
    measured: bool = False
    """The target is a measured value, even when all of them are whole."""
    resize: int | tuple[int, int] | None = None
    """Of pictures: the shorter side, or (height, width). Needed when they differ in size."""
    colour: Literal["rgb", "gray"] = "rgb"
    unreadable: Literal["refuse", "drop"] = "refuse"
    """Pictures that cannot be decoded."""


def read(own: OwnData) -> Examples:
    """The items, checked. Raises DataError saying what is amiss, where, and what to do."""
    path = Path(own.source).expanduser()
    if path.is_dir():
        from steelyard.datasets.own_pictures import read_folders

        examples = read_folders(own, path)
    elif not path.is_file():
        raise DataError(f"there is no file or folder {own.source}", f"data are {SUPPORTED}")
    elif path.suffix.lower() == ".npz":
        from steelyard.datasets.own_arrays import read_arrays

        examples = read_arrays(own, path)
    else:
        from steelyard.datasets.own_tables import read_table

        examples = read_table(own, path)
    check(examples, own.source)
    return examples


def target_name(own: OwnData, names: list[str], where: str) -> str:
    """The column or array of targets. Raises DataError when it is not there, or none is told by its name."""
    if own.target is not None:
        return existing(own.target, names, "target", where)
    lower = {name.lower(): name for name in names}
    found = next((lower[name] for name in LABEL_NAMES if name in lower), None)
    if found is None:
        raise DataError(f"{where}: what is to be learnt? there are {', '.join(names[:20])}", 'name it: target = "…"')
    return found


def existing(name: str, names: list[str], purpose: str, where: str) -> str:
    """`name`. Raises DataError when there is none such."""
    if name not in names:
        raise DataError(f"{where} has no {name!r} for `{purpose}`; there are {', '.join(names[:20])}")
    return name


def targets_of(labels: Labels, own: OwnData, where: str) -> tuple[Array, tuple[str, ...]]:
    """Targets, and the names of the classes. Raises DataError for targets that are missing, unknown or no classes."""
    for wrong, what in ((labels.missing, "are missing"), (labels.unknown, "are not among the classes")):
        if wrong.any():
            raise DataError(
                f"{where}: {int(wrong.sum())} of {len(wrong)} targets {what}, the first is that of item "
                f"{int(wrong.argmax())} (the first item is 0)",
                "leave these items out: nothing can be learnt from them"
                if what == "are missing"
                else f"name all classes; named are {', '.join(own.classes[:10])}",
            )
    if labels.measured:
        return np.asarray(labels.codes, np.float32), ()
    if labels.classes:
        return np.asarray(labels.codes, np.int64), labels.classes
    return _numbered(labels, where)


def _numbered(labels: Labels, where: str) -> tuple[Array, tuple[str, ...]]:
    """Whole numbers become classes of these names, in the order of the numbers."""
    present, places = np.unique(labels.codes, return_inverse=True)
    if len(present) > MOST_CLASSES:
        raise DataError(
            f"{where} has {len(present)} different whole numbers as targets: too many for classes",
            "measured = true says that they are measured values",
        )
    return places.reshape(-1).astype(np.int64), tuple(str(number) for number in present)


def parts_of(words: list[str], where: str) -> Array:
    """int8 parts from words or numbers. Raises DataError for others."""
    known = {**PARTS, **{str(number): number for number in PARTS.values()}}
    wrong = sorted({word for word in words if word.lower() not in known})
    if wrong:
        raise DataError(f"{where} holds {wrong[0]!r}", "parts are training, validation and test (or 0, 1 and 2)")
    return np.array([known[word.lower()] for word in words], np.int8)


def times_of(words: list[str], where: str) -> Array:
    """Numbers, or datetime64 in seconds. Raises DataError for what is neither."""
    try:
        return np.array(words, np.float64)
    except ValueError:
        pass
    try:
        times = np.array([word.removesuffix("Z") for word in words], "datetime64[s]")
    except ValueError as error:
        raise DataError(
            f"{where} holds a time that is none: {error}", "write 2025-01-31 or 2025-01-31 17:30:00"
        ) from None
    if np.isnat(times).any():
        raise DataError(f"{where} is empty in item {int(np.isnat(times).argmax())}", "give every item its time")
    return times
