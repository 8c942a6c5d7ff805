"""Columns of a table as arrays: of numbers, of text, or of lists. Those that are used are held in memory, packed."""

from __future__ import annotations

import decimal
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from steelyard.data.convert import LARGEST_WHOLE
from steelyard.data.items import Array
from steelyard.data.sequences import MemorySteps, Packed
from steelyard.data.table_files import TableFile
from steelyard.errors import DataError

Kind = Literal["number", "text", "list", "other", "nothing"]
"""nothing: all cells are missing; other: what neither a model nor a tokenizer takes (objects, dates)."""

_YES_NO = {"true": 1.0, "false": 0.0}


@dataclass(frozen=True)
class Seen:
    """What a column holds, and where something first kept it from being numbers."""

    kind: Kind
    odd_row: int = 0
    """Counted from 1, names of the columns not counted."""
    odd_cell: str = ""


@dataclass(frozen=True)
class Columns:
    """The columns of one table, by name."""

    file: TableFile
    seen: dict[str, Seen]
    rows: int

    def numbers(self, names: Sequence[str]) -> dict[str, NDArray[np.float64]]:
        """Columns of numbers, read in one go; NaN where there is none."""
        found = {name: np.empty(self.rows) for name in names}
        begin = 0
        for cells in self.file.batches(names) if names else ():
            for name, values in found.items():
                values[begin : begin + len(cells[name])] = [_number(cell) for cell in cells[name]]
            begin += len(cells[names[0]])
        return found

    def words(self, names: Sequence[str]) -> dict[str, list[str]]:
        """Columns as they are written, read in one go; empty where there is nothing."""
        found: dict[str, list[str]] = {name: [] for name in names}
        for cells in self.file.batches(names) if names else ():
            for name, values in found.items():
                values += [_word(cell) for cell in cells[name]]
        return found

    def texts(self, name: str) -> Packed:
        """The same as bytes (UTF-8) one after the other: long texts take less room so."""
        encoded = (_word(cell).encode() for cells in self.file.batches([name]) for cell in cells[name])
        raw, lengths = bytearray(), []
        for text in encoded:
            raw += text
            lengths.append(len(text))
        return Packed(MemorySteps(np.frombuffer(bytes(raw), np.uint8)), np.array(lengths, np.int64))

    def lists(self, name: str) -> Packed:
        """A column of lists of numbers, or of lists of them: steps [steps of all, ...]; none where there is nothing."""
        parts, lengths = [], []
        for number, cell in enumerate(_cells(self.file, name), 1):
            steps = self._steps(cell, name, number)
            lengths.append(len(steps))
            if len(steps):
                parts.append(steps)
        shapes = {part.shape[1:] for part in parts}
        if len(shapes) > 1:
            raise DataError(f"{self._told(name)} holds lists whose steps differ in size: {sorted(shapes)[:3]}")
        return Packed(MemorySteps(np.concatenate(parts) if parts else np.empty(0)), np.array(lengths, np.int64))

    def _steps(self, cell: Any, name: str, row: int) -> Array:
        try:
            listed = json.loads(cell) if isinstance(cell, str) else cell
            return np.array([] if listed is None else listed, np.float64)
        except (ValueError, TypeError, RecursionError):
            shown = str(cell)[:60]
            raise DataError(f"{self._told(name)} has a list in row {row} that is not one of numbers: {shown}") from None

    def _told(self, name: str) -> str:
        return f"the column {name!r} of {self.file.where}"


def look_at(file: TableFile) -> Columns:
    """Read the table once and tell what each column holds. Raises DataError when there are no rows."""
    names = [name for name in file.names if name]
    seen = {name: Seen("nothing") for name in names}
    rows = 0
    for cells in file.batches(names):
        for name in names:
            seen[name] = _look(cells[name], seen[name], rows, typed=file.typed)
        rows += len(cells[names[0]])
    if not rows:
        raise DataError(f"{file.where} has no rows", "expected one item a row")
    return Columns(file, seen, rows)


def _look(cells: Sequence[Any], so_far: Seen, before: int, *, typed: bool) -> Seen:
    if so_far.kind in ("text", "other"):
        return so_far
    kind = so_far.kind
    for row, cell in enumerate(cells, before + 1):
        found = _kind(cell, typed=typed)
        if found == "nothing" or found == kind:
            continue
        if found in ("text", "other") or kind != "nothing":
            mixed: Kind = "text" if typed is False or found == "text" else "other"
            return Seen(found if kind == "nothing" else mixed, row, str(cell)[:40])
        kind = found
    return Seen(kind)


def _kind(cell: Any, *, typed: bool) -> Kind:
    if cell is None:
        return "nothing"
    if isinstance(cell, str):
        return "text" if typed else _kind_of_text(cell)
    if isinstance(cell, (bool, int, float, decimal.Decimal)):
        return "number"
    return "list" if isinstance(cell, list) else "other"


def _kind_of_text(cell: str) -> Kind:
    if cell.lower() in _YES_NO:
        return "number"
    try:
        float(cell)
    except ValueError:
        return "list" if cell[0] == "[" and cell[-1] == "]" else "text"
    return "number"


def _number(cell: Any) -> float:
    if cell is None:
        return np.nan
    if isinstance(cell, str):
        yes_no = _YES_NO.get(cell.lower())
        return float(cell) if yes_no is None else yes_no
    return float(cell)


def _word(cell: Any) -> str:
    """As it is written: whole numbers without a point."""
    if cell is None:
        return ""
    return str(int(cell)) if isinstance(cell, float) and cell.is_integer() and abs(cell) < LARGEST_WHOLE else str(cell)


def _cells(file: TableFile, name: str) -> Iterator[Any]:
    for cells in file.batches([name]):
        yield from cells[name]
