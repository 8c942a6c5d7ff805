"""The items of one model input that come from columns of a table."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import overload

import numpy as np
from numpy.typing import NDArray

from steelyard.data.array_source import conversion_of
from steelyard.data.columns import Columns
from steelyard.data.convert import LARGEST_WHOLE, Stepwise, input_dtype
from steelyard.data.items import Array, ItemKind, Numbers, Rows, Steps
from steelyard.data.match import fits, told_shape
from steelyard.data.rows import Header
from steelyard.data.sequences import Packed
from steelyard.data.wanted import Wanted
from steelyard.errors import DataError
from steelyard.records.model import TensorInfo


class RowNames(Sequence[str]):
    """`row 1`, `row 2` …, names of the columns not counted."""

    def __init__(self, count: int) -> None:
        self._count = count

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, number: int) -> str: ...
    @overload
    def __getitem__(self, number: slice) -> Sequence[str]: ...
    def __getitem__(self, number: int | slice) -> str | Sequence[str]:
        if isinstance(number, slice):
            return [self[each] for each in range(self._count)[number]]
        return f"row {number + 1}"

    def __iter__(self) -> Iterator[str]:
        return (self[number] for number in range(self._count))


class NumberItems:
    """Columns of numbers side by side: [items, columns], or [items] where the model takes one number."""

    def __init__(
        self,
        wanted: Wanted,
        columns: Columns,
        info: TensorInfo,
        names: Sequence[str],
        numbers: Mapping[str, NDArray[np.float64]],
    ) -> None:
        self.count = columns.rows
        self.names: Sequence[str] = RowNames(columns.rows)
        self._input, self._columns = info.name, names
        self._keeps = wanted.spec.missing == "keep" and input_dtype(info).kind == "f"
        self._values = np.column_stack([numbers[name] for name in names])
        shape = _shape(info, len(names), columns)
        if input_dtype(info).kind in "iu" and (abs(np.nan_to_num(self._values)) >= LARGEST_WHOLE).any():
            raise DataError(
                f"a number in {', '.join(names)} is too large to be told from its neighbours as a whole one"
            )
        header = Header(self._values.dtype, (self.count, *shape))
        axes = tuple(range(len(header.shape)))
        self._conversion = conversion_of(wanted, header, info, axes, f"a row of {columns.file.where}")
        kind = self._conversion.kind
        self.kinds: Mapping[str, ItemKind] = {info.name: ItemKind(kind.dtype, kind.shape, None, self._keeps)}

    def read(self, numbers: Numbers) -> Rows:
        """The rows of these numbers, in this order."""
        values = self._values[numbers]
        absent = np.isnan(values)
        faults = {} if self._keeps else _lacking(absent, self._columns)
        if faults:
            values = np.where(absent, 0, values)
        shaped = values.reshape(len(values), *self._conversion.stored_shape)
        return Rows({self._input: self._conversion(shaped)}, faults)


class WordItems:
    """Columns of words side by side, for a model that takes words."""

    def __init__(
        self,
        wanted: Wanted,
        columns: Columns,
        info: TensorInfo,
        names: Sequence[str],
        words: Mapping[str, Sequence[str]],
    ) -> None:
        self.count = columns.rows
        self.names: Sequence[str] = RowNames(columns.rows)
        self._input, self._columns = info.name, names
        self._keeps = wanted.spec.missing == "keep"
        self._values = np.array([words[name] for name in names]).T
        kind = ItemKind(self._values.dtype, _shape(info, len(names), columns))
        if not kind.dtype.itemsize:
            raise DataError(f"all of {', '.join(names)} in {columns.file.where} is empty")
        self.kinds: Mapping[str, ItemKind] = {info.name: kind}

    def read(self, numbers: Numbers) -> Rows:
        """The rows of these numbers, in this order."""
        values = self._values[numbers]
        faults = {} if self._keeps else _lacking(values == "", self._columns)
        shaped = np.ascontiguousarray(values).reshape(len(values), *self.kinds[self._input].shape)
        return Rows({self._input: shaped}, faults)


def _lacking(absent: Array, columns: Sequence[str]) -> dict[int, str]:
    """The rows in which a value is absent → why they cannot be read."""
    return {
        int(place): f"no value in the column {columns[int(absent[place].argmax())]!r}"
        for place in np.flatnonzero(absent.any(axis=1))
    }


def _shape(info: TensorInfo, columns: int, table: Columns) -> tuple[int, ...]:
    """One item's shape: so many numbers in a row, or just one."""
    shape = () if columns == 1 and len(info.shape) == 1 else (columns,)
    if not fits(shape, info.shape[1:]):
        raise DataError(
            f"the model's input {info.name!r} takes {told_shape(info.shape[1:])}, {columns} columns of "
            f"{table.file.where} were chosen for it",
            "of pictures, name their folder as the data and the table as the manifest"
            if len(info.shape) == 4
            else f'say which, in the model\'s order: --columns a,b, or [data.inputs] {info.name} = "a,b"',
        )
    return shape


class ListItems:
    """A column of lists: vectors of one length, or sequences of different length."""

    def __init__(self, wanted: Wanted, columns: Columns, info: TensorInfo, name: str) -> None:
        self.count = columns.rows
        self.names: Sequence[str] = RowNames(columns.rows)
        self._input, self._column = info.name, name
        self._lists: Packed = columns.lists(name)
        rest = self._lists.steps.read(0, 1).shape[1:]
        where = f"an item of the column {name!r} of {columns.file.where}"
        lengths = {int(length) for length in self._lists.lengths} - {0}
        wanted_length = info.shape[1] if len(info.shape) == len(rest) + 2 else -1
        if wanted_length == -1 or not fits(rest, info.shape[2:]) or (wanted_length and lengths != {wanted_length}):
            told = f"{min(lengths, default=0)} to {max(lengths, default=0)}{''.join(f' × {size}' for size in rest)}"
            raise DataError(f"{where} is {told}, the model's input {info.name!r} takes {told_shape(info.shape[1:])}")
        step = TensorInfo(name=info.name, dtype=info.dtype, shape=(None, *info.shape[2:]))
        header = Header(np.dtype(np.float64), (self.count, *rest))
        conversion = conversion_of(wanted, header, step, tuple(range(len(header.shape))), where)
        self._stepwise = Stepwise(conversion, Steps(1, self._lists.typical))
        self._length = wanted_length
        kind = self._stepwise.kind
        fixed = ItemKind(kind.dtype, (int(wanted_length or 0), *kind.shape))
        self.kinds: Mapping[str, ItemKind] = {info.name: fixed if wanted_length else kind}

    def read(self, numbers: Numbers) -> Rows:
        """The rows of these numbers, in this order."""
        steps = self._lists.rows(numbers)
        faults = {
            place: f"no value in the column {self._column!r}" for place, item in enumerate(steps) if not len(item)
        }
        converted = self._stepwise(steps)
        if not self._length:
            return Rows({self._input: converted}, faults)
        kind = self.kinds[self._input]
        whole = np.zeros((len(numbers), *kind.shape), kind.dtype)
        for place, item in enumerate(converted):
            if len(item):
                whole[place] = item
        return Rows({self._input: whole}, faults)
