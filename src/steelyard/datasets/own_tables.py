"""A table becomes items: one input per column, or one column of text."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from steelyard.data.columns import Columns, look_at
from steelyard.data.labels import labels_of_column
from steelyard.data.table_files import SUFFIXES, open_table
from steelyard.data.table_source import UNNAMED, described
from steelyard.datasets.examples import Array, Examples
from steelyard.datasets.own import SUPPORTED, OwnData, existing, parts_of, target_name, targets_of, times_of
from steelyard.errors import DataError
from steelyard.records.data import DataSpec


def read_table(own: OwnData, path: Path) -> Examples:
    """The items of the table at `path`. Raises DataError when a column is not there, or cannot be used."""
    if path.suffix.lower() not in SUFFIXES:
        raise DataError(f"{path} is not {SUPPORTED}")
    columns = look_at(open_table(path))
    names = [name for name in columns.seen if name not in UNNAMED]
    target = target_name(own, names, str(path))
    labels = labels_of_column(
        columns.words([target])[target],
        DataSpec(source=own.source, classes=own.classes),
        f"the column {target!r} of {path}",
        measured=own.measured,
    )
    targets, classes = targets_of(labels, own, f"the column {target!r} of {path}")
    return Examples(
        "text" if own.text else "table",
        _inputs(own, columns, names, target),
        targets,
        classes,
        groups=None if own.group is None else np.array(_words(columns, own.group, "group"), object),
        times=None if own.time is None else times_of(_words(columns, own.time, "time"), f"the column {own.time!r}"),
        parts=None if own.part is None else parts_of(_words(columns, own.part, "part"), f"the column {own.part!r}"),
    )


def _words(columns: Columns, name: str, purpose: str) -> list[str]:
    existing(name, list(columns.seen), purpose, columns.file.where)
    words = columns.words([name])[name]
    if "" in words:
        raise DataError(
            f"{columns.file.where}: the column {name!r} (`{purpose}`) is empty in item {words.index('')}",
            f"give every item its {purpose}",
        )
    return words


def _inputs(own: OwnData, columns: Columns, names: list[str], target: str) -> dict[str, Array]:
    where = columns.file.where
    if own.text is not None:
        return {"text": _texts(columns, existing(own.text, names, "text", where))}
    used = {target, own.group, own.time, own.part}
    chosen = list(own.columns) or [name for name in names if name not in used]
    for name in chosen:
        existing(name, names, "columns", where)
    if target in chosen:
        raise DataError(f"{where}: `columns` names the target {target!r} itself", "leave it out")
    odd = [name for name in chosen if columns.seen[name].kind not in ("number", "text", "nothing")]
    if odd:
        raise DataError(
            f"{where}: the column {odd[0]!r} holds neither numbers nor words; there are {described(columns)}",
            "leave it out: `columns` names those to learn from",
        )
    numbers = columns.numbers([name for name in chosen if columns.seen[name].kind != "text"])
    return {name: _number(numbers[name]) if name in numbers else _texts(columns, name) for name in chosen}


def _number(values: Array) -> Array:
    """Whole numbers stay whole; where one is missing NaN stands for it, which only floats have."""
    whole = bool((np.isfinite(values) & (np.rint(values) == values) & (abs(values) < 2.0**53)).all())
    return values.astype(np.int64 if whole else np.float32)


def _texts(columns: Columns, name: str) -> Array:
    return np.array([word or None for word in columns.words([name])[name]], object)
