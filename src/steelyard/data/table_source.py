"""A table becomes items: each input of the model takes a column of its name, one takes all that are left, or text."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from steelyard.data.array_source import check_no_picture_words
from steelyard.data.column_items import ListItems, NumberItems, WordItems
from steelyard.data.columns import Columns, look_at
from steelyard.data.convert import check_dtype, input_dtype
from steelyard.data.items import Items, JoinedItems, Labels, Source
from steelyard.data.labels import labels_of_column
from steelyard.data.match import LABEL_NAMES, check_inputs, told_shape
from steelyard.data.table_files import SUFFIXES, open_table
from steelyard.data.wanted import Wanted
from steelyard.errors import DataError
from steelyard.records.data import DataSpec
from steelyard.records.model import TensorInfo

UNNAMED = ("", "Unnamed: 0", "__index_level_0__")
"""What a data frame's row numbers are called when it was written with them."""


def open_columns(wanted: Wanted, path: Path) -> Source:
    """Items and labels from the table at `path`. Raises DataError saying which columns there are, and what is amiss."""
    spec = wanted.spec
    check_dtype(spec.preprocess, wanted.inputs)
    check_no_picture_words(spec, "rows of a table")
    check_inputs(spec, wanted.inputs)
    columns = look_at(open_table(path))
    label = _label_column(columns, spec, wanted.inputs)
    parts, told = _parts(wanted, columns, label)
    calibration = None if spec.calibration is None else _calibration(wanted, spec.calibration)
    labels = None if label is None else _labels(columns, label, wanted)
    return Source(JoinedItems(parts), labels, calibration, told)


def _calibration(wanted: Wanted, file: str) -> Items:
    path = Path(file).expanduser()
    if not path.is_file() or path.suffix.lower() not in SUFFIXES:
        raise DataError(
            f"`calibration` is {file!r}; beside a table it names a second table, and there is none",
            "leave it out: some of the items are then set aside for calibration",
        )
    columns = look_at(open_table(path))
    return JoinedItems(_parts(wanted, columns, _label_column(columns, wanted.spec, wanted.inputs, needed=False))[0])


def _labels(columns: Columns, name: str, wanted: Wanted) -> Labels:
    where = f"the column {name!r} of {columns.file.where}"
    return labels_of_column(columns.words([name])[name], wanted.spec, where, measured=wanted.measured)


def _label_column(columns: Columns, spec: DataSpec, inputs: Sequence[TensorInfo], *, needed: bool = True) -> str | None:
    if spec.labels is not None:
        if spec.labels not in columns.seen:
            if not needed:
                return None
            raise DataError(f"there is no column {spec.labels!r} for the labels; there are {described(columns)}")
        return spec.labels
    said = {name.strip() for names in spec.inputs.values() for name in (names, *names.split(","))}
    used = {*spec.columns, *spec.text, *said, *(info.name for info in inputs)}
    lower = {name.lower(): name for name in columns.seen if name not in used}
    return next((lower[name] for name in LABEL_NAMES if name in lower), None)


def described(columns: Columns) -> str:
    """The columns with what they hold, for messages."""
    told = [f"{name} ({seen.kind})" for name, seen in columns.seen.items()]
    return ", ".join(told[:20]) + (f" … ({len(told)})" if len(told) > 20 else "")


def _parts(wanted: Wanted, columns: Columns, label: str | None) -> tuple[list[Items], tuple[str, ...]]:
    """All inputs of the model, each from its columns or from text."""
    spec = wanted.spec
    parts: list[Items] = []
    told: tuple[str, ...] = ()
    rest = list(wanted.inputs)
    if spec.text or spec.tokenizer:
        from steelyard.data.texts import TokenItems

        tokens = TokenItems(wanted, columns)
        parts.append(tokens)
        told = tokens.told
        rest = [info for info in rest if info.name not in tokens.kinds]
    chosen = match_columns(columns, spec, rest, label)
    cells = _read(columns, rest, chosen)
    parts += [_items(wanted, columns, info, chosen[info.name], cells) for info in rest]
    return parts, (*told, *_told(columns, chosen, spec))


def _told(columns: Columns, chosen: Mapping[str, Sequence[str]], spec: DataSpec) -> tuple[str, ...]:
    told = [
        f"input {name} takes {len(taken)} columns: {', '.join(taken[:6])}{' …' if len(taken) > 6 else ''}"
        for name, taken in chosen.items()
        if len(taken) > 1 and not spec.columns and name not in spec.inputs
    ]
    unnamed = [name for name in columns.file.names if name in UNNAMED]
    if unnamed:
        told.append("a column without a name was taken for row numbers and left out")
    return tuple(told)


def match_columns(
    columns: Columns, spec: DataSpec, inputs: Sequence[TensorInfo], label: str | None
) -> dict[str, list[str]]:
    """Model input → its columns. Raises DataError when one has none, or when it is not told which."""
    found = {info.name: _named(columns, spec, info) for info in inputs}
    open_ones = [info for info in inputs if not found[info.name]]
    if spec.columns:
        open_ones = open_ones or ([inputs[0]] if len(inputs) == 1 and inputs[0].name not in spec.inputs else [])
        if len(open_ones) != 1:
            raise DataError(
                f"`columns` go into one input of the model; of {_names(inputs)} {len(open_ones)} are without columns",
                '[data.inputs] NAME = "column" or "column,column" says what goes into each',
            )
        found[open_ones[0].name] = _existing(columns, spec.columns, "columns")
        return found
    if len(open_ones) > 1:
        raise DataError(
            f"no column is called like the model's inputs {_names(open_ones)}; there are {described(columns)}",
            f'name them: [data.inputs] {open_ones[0].name} = "column" (several: "column,column")',
        )
    for info in open_ones:
        used = {name for names in found.values() for name in names} | {label, *UNNAMED, *spec.text}
        found[info.name] = _left(columns, info, [name for name in columns.seen if name not in used])
    return found


def _names(inputs: Sequence[TensorInfo]) -> str:
    return ", ".join(info.name for info in inputs)


def _named(columns: Columns, spec: DataSpec, info: TensorInfo) -> list[str]:
    """Those that the user or the name says; none when neither does."""
    if info.name in spec.inputs:
        said = spec.inputs[info.name]
        asked = (said,) if said in columns.seen else tuple(name.strip() for name in said.split(","))
        return _existing(columns, asked, f"model input {info.name!r}")
    if info.name in columns.seen:
        return [info.name]
    alike = [name for name in columns.seen if _plain(name) == _plain(info.name)]
    return alike if len(alike) == 1 else []


def _plain(name: str) -> str:
    """Exporters put underscores where a name has anything else."""
    return re.sub(r"\W+", "_", name).lower()


def _existing(columns: Columns, names: Sequence[str], purpose: str) -> list[str]:
    missing = [name for name in names if name not in columns.seen]
    if missing:
        raise DataError(f"there is no column {missing[0]!r} for {purpose}; there are {described(columns)}")
    return list(names)


def _left(columns: Columns, info: TensorInfo, free: list[str]) -> list[str]:
    """Of the columns that are left, those that fit the one input that is left."""
    kind = "text" if input_dtype(info).kind == "U" else "number"
    fitting = [name for name in free if columns.seen[name].kind in (kind, "nothing")]
    lists = [name for name in free if columns.seen[name].kind == "list"]
    if kind == "number" and len(lists) == 1 and (not fitting or len(info.shape) > 2):
        return lists
    width = info.shape[1] if len(info.shape) == 2 else 1
    if fitting and width in (None, len(fitting)) and len(info.shape) in (1, 2):
        return fitting
    raise DataError(
        f"which columns go into the model's input {info.name!r} ({told_shape(info.shape)}, {info.dtype})? "
        f"{len(fitting)} columns of {kind}s are left: {', '.join(fitting[:12])}{' …' if len(fitting) > 12 else ''}",
        f"name them in the model's order: --columns {','.join((fitting or free or ['a', 'b'])[: width or 3])}",
    )


class Cells(NamedTuple):
    """The columns of all inputs, by what the inputs take."""

    numbers: Mapping[str, NDArray[np.float64]]
    words: Mapping[str, Sequence[str]]


def _read(columns: Columns, inputs: Sequence[TensorInfo], chosen: Mapping[str, Sequence[str]]) -> Cells:
    """What can be read as its input takes it, in one pass for numbers and one for words, however many inputs."""
    numbers: dict[str, None] = {}
    words: dict[str, None] = {}
    for info in inputs:
        takes_words = input_dtype(info).kind == "U"
        fit = ("number", "text", "nothing") if takes_words else ("number", "nothing")
        for name in chosen[info.name]:
            if columns.seen[name].kind in fit:
                (words if takes_words else numbers)[name] = None
    return Cells(columns.numbers(list(numbers)), columns.words(list(words)))


def _items(wanted: Wanted, columns: Columns, info: TensorInfo, names: list[str], cells: Cells) -> Items:
    """The items of one input, by what its columns hold."""
    kinds = {columns.seen[name].kind for name in names}
    where = f"of {columns.file.where}"
    if len(names) == 1 and kinds == {"list"}:
        return ListItems(wanted, columns, info, names[0])
    if input_dtype(info).kind == "U" and not kinds & {"list", "other"}:
        return WordItems(wanted, columns, info, names, cells.words)
    for name in names:
        seen = columns.seen[name]
        if seen.kind not in ("number", "nothing"):
            example = f" ({seen.odd_cell!r} in row {seen.odd_row})" if seen.odd_row else ""
            raise DataError(
                f"the column {name!r} {where} holds {_plural(seen.kind)}{example}, the model's input {info.name!r} "
                f"takes {info.dtype}",
                "text for a tokenizer is named with --text; of pictures, name their folder as the data and the table "
                "as the manifest",
            )
    return NumberItems(wanted, columns, info, names, cells.numbers)


def _plural(kind: str) -> str:
    return {"text": "text", "list": "lists", "other": "objects or dates"}[kind]
