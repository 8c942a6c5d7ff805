"""Rows of .npy files by plain reads.

No memory map: mapped pages would count as resident memory of whoever reads them, and resident memory is one of
the things that are measured. No pickle: arrays of Python objects are refused by their header.
Format: https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html
"""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from steelyard.errors import DataError


@dataclass(frozen=True)
class Header:
    """What stands before the values of a .npy file; the first axis of `shape` counts items."""

    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    fortran: bool = False
    offset: int = 0
    """Bytes before the first value."""

    @property
    def items(self) -> int:
        """Length of the first axis."""
        return self.shape[0] if self.shape else 0

    @property
    def item_bytes(self) -> int:
        """Bytes of one item."""
        return math.prod(self.shape[1:]) * self.dtype.itemsize

    @property
    def nbytes(self) -> int:
        """Bytes of all values."""
        return math.prod(self.shape) * self.dtype.itemsize


def read_header(stream: IO[bytes], where: str) -> Header:
    """The header of the .npy at the start of `stream`. Raises DataError when there is none or it holds objects."""
    try:
        version = npy.read_magic(stream)
        reader = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}.get(version)
        if reader is None:
            raise ValueError(f"unsupported version {version}")
        shape, fortran, dtype = reader(stream)
    except Exception as error:
        # A header is a Python literal: numpy's parser raises whatever arbitrary bytes make it stumble over.
        raise DataError(f"{where} is not a readable .npy array: {error}") from None
    if dtype.hasobject:
        raise DataError(
            f"{where} holds Python objects (a pickle); these are never loaded",
            "save numbers: np.savez('data.npz', x=np.asarray(x, dtype='float32'), labels=labels)",
        )
    if dtype.kind == "V" or not dtype.itemsize:
        raise DataError(f"{where} holds {dtype.name} (records, or a dtype that numpy lacks); save it as float32")
    if any(size < 0 for size in shape):
        raise DataError(f"{where} has the impossible shape {shape}")
    return Header(dtype, shape, fortran, stream.tell())


def write_header(out: IO[bytes], dtype: np.dtype[Any], shape: tuple[int, ...]) -> None:
    """The header of a .npy in C order; its values are written after it, item by item."""
    npy.write_array_header_1_0(out, {"descr": npy.dtype_to_descr(dtype), "fortran_order": False, "shape": shape})


def rewrite_header(file: Path, dtype: np.dtype[Any], shape: tuple[int, ...]) -> None:
    """Corrects the number of items in a file that was begun before it was known: numpy leaves room for it."""
    with file.open("r+b") as out:
        before = read_header(out, str(file)).offset
        out.seek(0)
        write_header(out, dtype, shape)
        if out.tell() != before:
            raise DataError(f"{file}: its header did not fit in the room that was left for it")


def read_rows(file: Path, start: int, stop: int) -> NDArray[Any]:
    """Items `start` to `stop` of a .npy file, shape [stop - start, ...].

    Raises DataError when the file is no plain .npy, when its size is not what its header says, or when it does
    not hold these rows.
    """
    return FileArray.of(file).read(start, stop)


@dataclass(frozen=True)
class FileArray:
    """A .npy file in C order, whose rows are read when they are asked for."""

    file: Path
    header: Header

    @classmethod
    def of(cls, file: Path) -> FileArray:
        """The array in `file`, checked against the file's size."""
        try:
            with file.open("rb") as stream:
                header = read_header(stream, str(file))
                size = os.fstat(stream.fileno()).st_size
        except OSError as error:
            raise DataError(f"cannot read {file}: {error.strerror}") from None
        if header.fortran or not header.shape:
            raise DataError(f"{file} has no rows that lie together: it is in Fortran order, or a single number")
        if size != header.offset + header.nbytes:
            raise DataError(
                f"{file} is damaged: its header says {header.offset + header.nbytes} bytes, the file has {size}"
            )
        return cls(file, header)

    def read(self, start: int, stop: int) -> NDArray[Any]:
        """Items `start` to `stop`."""
        if not 0 <= start <= stop <= self.header.items:
            raise DataError(f"{self.file} holds {self.header.items} rows, asked for rows {start} to {stop}")
        with self.file.open("rb", buffering=0) as stream:
            return self._run(stream, start, stop)

    def rows(self, numbers: NDArray[np.int64]) -> NDArray[Any]:
        """The items of these numbers, in this order; consecutive numbers are read at once."""
        if not len(numbers):
            return np.empty((0, *self.header.shape[1:]), self.header.dtype)
        breaks = np.flatnonzero(np.diff(numbers) != 1) + 1
        with self.file.open("rb", buffering=0) as stream:
            runs = [self._run(stream, int(run[0]), int(run[-1]) + 1) for run in np.split(numbers, breaks)]
        return runs[0] if len(runs) == 1 else np.concatenate(runs)

    def _run(self, stream: IO[bytes], start: int, stop: int) -> NDArray[Any]:
        values = np.empty((stop - start, *self.header.shape[1:]), self.header.dtype)
        stream.seek(self.header.offset + start * self.header.item_bytes)
        fill(stream, values, str(self.file))
        return values


def fill(stream: IO[bytes], values: NDArray[Any], where: str) -> None:
    """Read as many bytes as the C-contiguous `values` hold. Raises DataError when the stream ends before."""
    rest = values.reshape(-1).view(np.uint8).data
    while rest.nbytes:
        got = stream.readinto(rest)  # type: ignore[attr-defined]
        if not got:
            raise DataError(f"{where} ends {rest.nbytes} bytes too early")
        rest = rest[got:]
