"""Arrays by name: the members of a .npz, or what a user's function returned.

A member of a .npz is a .npy; it is streamed to a scratch file, so memory does not grow with it.
"""

from __future__ import annotations

import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Protocol

import numpy as np

from steelyard.data.archives import BROKEN, is_regular
from steelyard.data.convert import Conversion, Stepwise
from steelyard.data.items import Array, ItemKind, Numbers, Rows
from steelyard.data.room import room
from steelyard.data.rows import FileArray, Header, fill, read_header, write_header
from steelyard.data.sequences import Whole, ragged
from steelyard.errors import DataError

_BLOCK = 2**20


class Stored(Protocol):
    """One array, wherever it lies."""

    @property
    def header(self) -> Header:
        """Its dtype and shape."""

    def rows(self, numbers: Numbers) -> Array:
        """The items of these numbers, in this order."""


class Table(Protocol):
    """Arrays by name."""

    @property
    def headers(self) -> Mapping[str, Header]:
        """dtype and shape of each, known without reading the values."""

    def open(self, name: str) -> Stored:
        """One of them, ready to be read."""


@dataclass(frozen=True)
class MemoryArray:
    """An array that is in memory already."""

    values: Array

    @property
    def header(self) -> Header:
        """Its dtype and shape."""
        return Header(self.values.dtype, self.values.shape)

    def rows(self, numbers: Numbers) -> Array:
        """The items of these numbers, in this order."""
        taken: Array = self.values[numbers]
        return taken


class MemoryTable:
    """Arrays that are in memory already."""

    def __init__(self, arrays: Mapping[str, Array]) -> None:
        self._arrays = {name: MemoryArray(values) for name, values in arrays.items()}
        self.headers: Mapping[str, Header] = {name: array.header for name, array in self._arrays.items()}

    def open(self, name: str) -> MemoryArray:
        """One of them."""
        return self._arrays[name]


class NpzTable:
    """The arrays of an opened .npz; those that are used are unpacked into `scratch`."""

    def __init__(self, archive: zipfile.ZipFile, where: str, scratch: Path) -> None:
        self._archive = archive
        self._where = where
        self._scratch = scratch
        self._members = _members(archive, where)
        self._unpacked: dict[str, FileArray] = {}
        self.headers: Mapping[str, Header] = {name: self._header(name) for name in self._members}

    def open(self, name: str) -> FileArray:
        """One of them, unpacked. Raises DataError when its bytes are damaged."""
        if name not in self._unpacked:
            self._unpacked[name] = self._unpack(name)
        return self._unpacked[name]

    def _header(self, name: str) -> Header:
        where = f"{self._where}: the array {name!r}"
        try:
            with self._archive.open(self._members[name]) as stream:
                header = read_header(stream, where)
        except BROKEN as error:
            raise DataError(f"{where} is damaged: {error}") from None
        size = self._members[name].file_size
        if size != header.offset + header.nbytes:
            raise DataError(f"{where} has {size} bytes where its header says {header.offset + header.nbytes}")
        return header

    def _unpack(self, name: str) -> FileArray:
        header = self.headers[name]
        file = self._scratch / f"{len(self._unpacked)}.npy"
        needed = header.nbytes * (2 if header.fortran else 1)
        with room(self._scratch, needed):
            self._copy(name, file)
            if header.fortran:
                file = _in_c_order(file, header)
        return FileArray.of(file)

    def _copy(self, name: str, file: Path) -> None:
        try:
            with self._archive.open(self._members[name]) as stream, file.open("wb") as out:
                while block := stream.read(_BLOCK):
                    out.write(block)
        except BROKEN as error:
            raise DataError(f"{self._where}: the array {name!r} is damaged: {error}") from None


def _members(archive: zipfile.ZipFile, where: str) -> dict[str, zipfile.ZipInfo]:
    members = {}
    for member in archive.infolist():
        if "/" in member.filename or "\\" in member.filename or not is_regular(member):
            raise DataError(f"{where}: the member {member.filename!r} is not a plain array name")
        if member.filename.endswith(".npy"):
            members[member.filename.removesuffix(".npy")] = member
    if not members:
        raise DataError(f"{where} holds no arrays", "make it with np.savez('data.npz', x=x, labels=labels)")
    return members


def _in_c_order(file: Path, header: Header) -> Path:
    """A copy with each item's values together (pandas, for one, writes tables column by column)."""
    target = file.with_suffix(".c.npy")
    step = max(1, (8 * _BLOCK) // max(1, header.item_bytes))
    with file.open("rb") as stream, target.open("wb") as out:
        write_header(out, header.dtype, header.shape)
        for start in range(0, header.items, step):
            out.write(_rows_of_columns(stream, header, start, min(start + step, header.items)).tobytes())
    file.unlink()
    return target


def _rows_of_columns(stream: IO[bytes], header: Header, start: int, stop: int) -> Array:
    """Items `start` to `stop` of an array whose first axis runs fastest."""
    columns = np.empty((int(np.prod(header.shape[1:])), stop - start), header.dtype)
    for number, column in enumerate(columns):
        stream.seek(header.offset + (number * header.items + start) * header.dtype.itemsize)
        fill(stream, column, "the array")
    return columns.T.reshape((stop - start, *header.shape[1:]), order="F")


@dataclass(frozen=True)
class Shortened:
    """An array whose items were filled up to one length, cut to the length that each really has."""

    stored: Stored
    lengths: Whole
    axis: int
    """Along which the steps lie; the first one counts items."""

    @property
    def header(self) -> Header:
        """Of the array as it is stored."""
        return self.stored.header

    def rows(self, numbers: Numbers) -> Array:
        """The items of these numbers, ragged, steps first."""
        whole = np.moveaxis(self.stored.rows(numbers), self.axis, 1)
        return ragged([item[:length] for item, length in zip(whole, self.lengths[numbers], strict=True)])


@dataclass(frozen=True)
class ArrayItems:
    """Items whose inputs lie in arrays, one per model input."""

    stored: Mapping[str, Stored]
    conversions: Mapping[str, Conversion | Stepwise]
    names: Sequence[str] = field(default=())

    @property
    def count(self) -> int:
        """How many there are."""
        return next(iter(self.stored.values())).header.items

    @property
    def kinds(self) -> Mapping[str, ItemKind]:
        """Per model input, what one item looks like."""
        return {name: conversion.kind for name, conversion in self.conversions.items()}

    def read(self, numbers: Numbers) -> Rows:
        """The items of these numbers, in this order."""
        return Rows({name: self.conversions[name](array.rows(numbers)) for name, array in self.stored.items()})
