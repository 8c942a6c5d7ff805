"""Tables on disk, read in batches of rows: CSV, JSON lines, Parquet.

Nothing is guessed here: cells of a CSV are text, those of the others what they are; None is a missing value.
RFC 4180 (CSV); https://jsonlines.org; https://parquet.apache.org/docs/file-format/
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

from steelyard.errors import DataError, UsageError

SUFFIXES = (".csv", ".tsv", ".jsonl", ".ndjson", ".parquet")
MISSING_WORDS = frozenset({"", "NA", "N/A", "NaN", "nan", "NULL", "null", "None"})
"""Cells of a CSV that hold no value."""
ROWS = 8192
"""Of one batch."""
MOST_CELL_BYTES = 16 * 2**20
_SEPARATORS = ",;\t"

Cells = Mapping[str, list[Any]]
"""Column → its cells in a run of rows."""


class TableFile(Protocol):
    """One table. It may be read more than once."""

    @property
    def where(self) -> str:
        """For messages."""

    @property
    def typed(self) -> bool:
        """Whether numbers are numbers already, and not text."""

    @property
    def names(self) -> Sequence[str]:
        """The columns, in their order."""

    def batches(self, names: Sequence[str]) -> Iterator[Cells]:
        """These columns, some rows at a time."""


def open_table(path: Path) -> TableFile:
    """The table at `path`, told by its suffix. Raises DataError when it cannot be read."""
    suffix = path.suffix.lower()
    if suffix == ".parquet":
        return ParquetFile(path)
    return JsonLines(path) if suffix in (".jsonl", ".ndjson") else CsvFile(path)


class CsvFile:
    """Comma, semicolon or tab between cells, the names of the columns in the first row, UTF-8."""

    typed = False

    def __init__(self, path: Path) -> None:
        self.where = str(path)
        self._path = path

    @cached_property
    def names(self) -> Sequence[str]:
        """The first row."""
        names = [name.strip() for name in next(self._rows(), [])]
        if not any(names):
            raise DataError(f"{self.where} is empty", "expected a row with the names of the columns, then the items")
        return _unlike(names, self.where)

    def batches(self, names: Sequence[str]) -> Iterator[Cells]:
        """These columns, some rows at a time."""
        places = [(name, self.names.index(name)) for name in names]
        rows = self._rows()
        next(rows)
        for batch in _batched(rows):
            yield {name: [_cell(row[place]) for row in batch] for name, place in places}

    def _rows(self) -> Iterator[list[str]]:
        csv.field_size_limit(MOST_CELL_BYTES)
        wide = 0
        try:
            with self._path.open(encoding="utf-8-sig", newline="") as text:
                separator = max(_SEPARATORS, key=text.readline().count)
                text.seek(0)
                for number, row in enumerate(csv.reader(text, delimiter=separator)):
                    if not row:
                        continue
                    wide = wide or len(row)
                    if len(row) != wide:
                        raise DataError(
                            f"{self.where}: row {number} has {len(row)} cells, the first row has {wide}",
                            "is a cell with a separator in it without quotes?",
                        )
                    yield row
        except UnicodeDecodeError:
            raise DataError(f"{self.where} is not UTF-8 text", "save the table as UTF-8") from None
        except csv.Error as error:
            raise DataError(f"{self.where} is not a readable CSV: {error}") from None


def _cell(text: str) -> str | None:
    stripped = text.strip()
    return None if stripped in MISSING_WORDS else stripped


def _batched(rows: Iterator[Any]) -> Iterator[list[Any]]:
    batch = []
    for row in rows:
        batch.append(row)
        if len(batch) == ROWS:
            yield batch
            batch = []
    if batch:
        yield batch


def _unlike(names: Sequence[str], where: str) -> Sequence[str]:
    twice = sorted({name for name in names if name and names.count(name) > 1})
    if twice:
        raise DataError(f"{where} has two columns called {twice[0]!r}", "give each column a name of its own")
    return names


class JsonLines:
    """One JSON object a line; columns are the keys that occur."""

    typed = True

    def __init__(self, path: Path) -> None:
        self.where = str(path)
        self._path = path

    @cached_property
    def names(self) -> Sequence[str]:
        """The keys, in the order in which they first occur."""
        found: dict[str, None] = {}
        for item in self._objects():
            found.update(dict.fromkeys(item))
        if not found:
            raise DataError(f"{self.where} is empty", 'expected one item a line: {"text": "…", "label": 0}')
        return list(found)

    def batches(self, names: Sequence[str]) -> Iterator[Cells]:
        """These columns, some rows at a time."""
        for batch in _batched(self._objects()):
            yield {name: [item.get(name) for item in batch] for name in names}

    def _objects(self) -> Iterator[dict[str, Any]]:
        with self._path.open("rb") as lines:
            for number, line in enumerate(lines, 1):
                if line.strip():
                    yield self._parsed(line, number)

    def _parsed(self, line: bytes, number: int) -> dict[str, Any]:
        where = f"{self.where}, line {number}"
        if len(line) > MOST_CELL_BYTES:
            raise DataError(f"{where} is longer than {MOST_CELL_BYTES} bytes")
        try:
            item = json.loads(line)
        except (ValueError, RecursionError) as error:
            reason = str(error).splitlines()[0]
            raise DataError(
                f"{where} is no JSON: {reason}", "expected one object a line, not one list of all"
            ) from None
        if not isinstance(item, dict):
            raise DataError(f"{where} holds a {type(item).__name__}, expected an object", 'for example {"text": "…"}')
        return item


class ParquetFile:
    """A Parquet file, read by pyarrow group after group."""

    typed = True

    def __init__(self, path: Path) -> None:
        try:
            from pyarrow import parquet
        except ImportError:
            raise UsageError("reading Parquet needs pyarrow", 'pip install "steelyard[tables]"') from None
        self.where = str(path)
        self._file = self._tried(lambda: parquet.ParquetFile(str(path), memory_map=False))
        self.names: Sequence[str] = _unlike(self._file.schema_arrow.names, self.where)

    def batches(self, names: Sequence[str]) -> Iterator[Cells]:
        """These columns, some rows at a time."""
        batches = self._file.iter_batches(ROWS, columns=list(names))
        while (batch := self._tried(lambda: next(batches, None))) is not None:
            yield {name: self._tried(batch.column(name).to_pylist) for name in names}

    def _tried(self, read: Any) -> Any:
        import pyarrow

        try:
            return read()
        except (pyarrow.ArrowException, OSError) as error:
            reason = str(error).splitlines()[0][:300]
            raise DataError(f"{self.where} is not a readable Parquet file: {reason}") from None
