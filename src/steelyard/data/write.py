"""Items become .npy files, in the order given, a chunk at a time, hashed as they are written."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from steelyard.data.items import Array, ItemKind, Items, Numbers, Steps, bytes_per_item, chunks
from steelyard.data.room import room
from steelyard.data.rows import rewrite_header, write_header
from steelyard.data.sequences import joined, lengths_of
from steelyard.errors import DataError
from steelyard.records.data import ArrayFile


class RowFile:
    """A .npy file that is written item by item."""

    def __init__(self, folder: Path, file: str, kind: ItemKind, count: int) -> None:
        self.record = ArrayFile(file=file, dtype=name_of(kind.dtype), shape=(count, *kind.shape))
        self._hash = hashlib.sha256(f"{kind.dtype.str} {self.record.shape}".encode())
        self._out = (folder / file).open("wb", buffering=0)
        write_header(self._out, kind.dtype, self.record.shape)

    def write(self, values: Array) -> None:
        """The next items."""
        raw = np.ascontiguousarray(values).reshape(-1).view(np.uint8).data
        self._hash.update(raw)
        while raw.nbytes:
            raw = raw[self._out.write(raw) :]

    def close(self) -> str:
        """The sha256 over dtype, shape and values."""
        self._out.close()
        return self._hash.hexdigest()


class StepFile:
    """Items of different length in a .npy file, one after the other, and their lengths in another."""

    def __init__(self, folder: Path, file: str, kind: ItemKind, steps: Steps, count: int) -> None:
        self._folder, self._file, self._kind, self._steps = folder, file, kind, steps
        self._written = 0
        self._values = RowFile(folder, f"{file}.npy", kind, 0)
        self._lengths = RowFile(folder, f"{file}.lengths.npy", ItemKind(np.dtype(np.int64), ()), count)

    @property
    def record(self) -> ArrayFile:
        """What was written so far."""
        return ArrayFile(
            file=f"{self._file}.npy",
            dtype=name_of(self._kind.dtype),
            shape=(self._written, *self._kind.shape),
            lengths=f"{self._file}.lengths.npy",
            axis=self._steps.axis,
            fill=self._steps.fill,
        )

    def write(self, values: Array) -> None:
        """The next items, ragged, steps first."""
        lengths = lengths_of(values)
        self._lengths.write(lengths)
        self._values.write(joined(values))
        self._written += int(lengths.sum())

    def close(self) -> str:
        """The sha256 over all that decides what the items are."""
        digests = self._values.close(), self._lengths.close()
        rewrite_header(self._folder / f"{self._file}.npy", self._kind.dtype, self.record.shape)
        return hash_of((*digests, self._steps.axis, self._steps.fill))


def name_of(dtype: np.dtype[Any]) -> str:
    """As the model's inputs name it: all words are `str`, however long."""
    return "str" if dtype.kind == "U" else dtype.name


def _file(folder: Path, file: str, kind: ItemKind, count: int) -> RowFile | StepFile:
    if kind.steps is None:
        return RowFile(folder, f"{file}.npy", kind, count)
    return StepFile(folder, file, kind, kind.steps, count)


def write_items(items: Items, numbers: Numbers, into: Path, part: str) -> tuple[dict[str, ArrayFile], list[str]]:
    """Write the items of these numbers to `into/part/NAME.npy`, one file per model input.

    Returns what was written and the sha256 of each. Raises DataError when the disk is full, or when an item can no
    longer be read.
    """
    (into / part).mkdir()
    names = file_names(list(items.kinds))
    files = {name: _file(into, f"{part}/{names[name]}", kind, len(numbers)) for name, kind in items.kinds.items()}
    try:
        with room(into, bytes_per_item(items) * len(numbers)):
            _write_rows(items, numbers, files)
    finally:
        digests = [file.close() for file in files.values()]
    return {name: file.record for name, file in files.items()}, digests


def _write_rows(items: Items, numbers: Numbers, files: dict[str, RowFile | StepFile]) -> None:
    for part in chunks(numbers, bytes_per_item(items)):
        rows = items.read(part)
        if rows.faults:
            raise DataError("the data changed while it was read", "run it again when nothing writes to it")
        for name, file in files.items():
            file.write(rows.inputs[name])


def write_labels(codes: NDArray[Any], into: Path) -> tuple[ArrayFile, str]:
    """Write `labels.npy`, int64 class numbers or float64 measured values, and return its sha256."""
    file = RowFile(into, "labels.npy", ItemKind(codes.dtype, codes.shape[1:]), len(codes))
    try:
        with room(into, codes.nbytes):
            file.write(codes)
    finally:
        digest = file.close()
    return file.record, digest


def file_names(inputs: Sequence[str]) -> dict[str, str]:
    """Model input → a plain file name; inputs may be called anything, `serving/x:0` among others."""
    plain = {name: re.sub(r"[^A-Za-z0-9_-]", "_", name)[:80] or "_" for name in inputs}
    if len({name.lower() for name in plain.values()}) == len(plain):
        return plain
    return {name: f"{number}_{plain[name]}" for number, name in enumerate(inputs)}


def hash_of(parts: Sequence[Any]) -> str:
    """sha256 over the parts, told apart."""
    return hashlib.sha256(repr(list(parts)).encode()).hexdigest()
