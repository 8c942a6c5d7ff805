"""The tensor datatypes of the Open Inference Protocol, and how arrays travel as bytes.

Numbers are little-endian, row by row. BYTES is text: before each element its length in 4 bytes, little-endian.
numpy knows no BF16; such numbers are float32 here, which holds each of them exactly.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from steelyard.errors import InputError
from steelyard.records.engine import Array

LENGTH = struct.Struct("<I")


class Datatype(NamedTuple):
    """One line of the table."""

    name: str
    kind: str
    """b: true or false, i: integers, u: integers from 0, f: floating point, t: text."""
    size: int
    """Bytes of an element as it travels; 0: they differ."""
    dtype: np.dtype[np.generic]
    """Of arrays that hold it; a wider one than what travels only for BF16."""


DATATYPES = {
    name: Datatype(name, kind, size, np.dtype(dtype))
    for name, kind, size, dtype in (
        ("BOOL", "b", 1, "bool"),
        ("INT8", "i", 1, "int8"),
        ("INT16", "i", 2, "<i2"),
        ("INT32", "i", 4, "<i4"),
        ("INT64", "i", 8, "<i8"),
        ("UINT8", "u", 1, "uint8"),
        ("UINT16", "u", 2, "<u2"),
        ("UINT32", "u", 4, "<u4"),
        ("UINT64", "u", 8, "<u8"),
        ("FP16", "f", 2, "<f2"),
        ("BF16", "f", 2, "<f4"),
        ("FP32", "f", 4, "<f4"),
        ("FP64", "f", 8, "<f8"),
        ("BYTES", "t", 0, "object"),
    )
}
BF16 = DATATYPES["BF16"]
_BY_DTYPE = {each.dtype: each.name for each in DATATYPES.values() if each is not BF16}


def datatype_of(dtype: np.dtype[np.generic] | str) -> str:
    """The protocol's name for a numpy dtype, or for its name. Raises InputError when it has none."""
    if str(dtype) == "bfloat16":  # by name: it needs no package that knows the dtype
        return BF16.name
    dtype = np.dtype(dtype)
    if dtype.kind in "OUST":
        return "BYTES"
    try:
        return _BY_DTYPE[dtype]
    except KeyError:
        raise InputError(f"the inference protocol has no datatype for {dtype}") from None


def datatype(name: str) -> Datatype:
    """The line of the table. Raises InputError for a name that is not there."""
    try:
        return DATATYPES[name]
    except KeyError:
        raise InputError(f"unknown datatype {shown(name)}, expected one of {', '.join(DATATYPES)}") from None


def accepts(taken: Datatype, given: Datatype) -> bool:
    """Whether a model that takes one may be given the other: the same, or both floating point."""
    return given is taken or (given.kind == "f" and taken.kind == "f")


def array_of(raw: bytes | memoryview, given: Datatype, shape: Sequence[int], taken: Datatype) -> Array:
    """The array that `raw` holds as the model takes it; not copied where neither dtype nor alignment asks for it.

    Raises InputError when `raw` is not exactly as long as the shape says, for text that is not UTF-8, and for numbers
    that are too large for the model's dtype.
    """
    count = math.prod(shape)
    if given.kind == "t":
        try:
            texts = unpacked_text(raw, count)
            texts[:] = [text.decode() for text in texts]
        except ValueError as error:
            raise InputError(f"these are not {count:,} texts in UTF-8: {error}") from None
        return texts.reshape(shape)
    if len(raw) != count * given.size:
        told = f"{given.name} of shape {list(shape)} has {count * given.size:,} bytes"
        raise InputError(f"{told}, {len(raw):,} came")
    if given is BF16:
        return converted(_widened(np.frombuffer(raw, "<u2")).reshape(shape), taken)
    array = np.frombuffer(raw, given.dtype).reshape(shape)
    return converted(array if array.flags.aligned else array.copy(), taken)


def converted(array: Array, taken: Datatype) -> Array:
    """The same numbers in the dtype that the model takes. Raises InputError when one is too large for it."""
    if array.dtype == taken.dtype:
        return array
    try:
        with np.errstate(over="raise"):
            return array.astype(taken.dtype)
    except FloatingPointError:
        raise InputError(f"a number is too large for {taken.name}, which the model takes") from None


def raw_of(array: Array, sent: Datatype) -> bytes | Array:
    """The bytes that travel: an object with the buffer interface, not copied where nothing asks for it."""
    if sent.kind == "t":
        return packed_text(array)
    if sent is BF16:
        return _narrowed(array)
    return np.ascontiguousarray(array, sent.dtype)


def _widened(halves: Array) -> Array:
    """BF16 is the upper half of a float32."""
    return (halves.astype("<u4") << np.uint32(16)).view("<f4")


def _narrowed(array: Array) -> Array:
    """To the nearest BF16, of two equally near to the even one; NaN stays NaN."""
    if array.dtype.name == "bfloat16":
        return np.ascontiguousarray(array).view("<u2")
    bits = np.ascontiguousarray(array, "<f4").view("<u4")
    rounded = ((bits + np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))) >> np.uint32(16)).astype("<u2")
    return np.where((bits & np.uint32(0x7FFFFFFF)) > np.uint32(0x7F800000), np.uint16(0x7FC0), rounded).astype("<u2")


def packed_text(array: Array) -> Array:
    """Texts (str or bytes) one after another, each after its length."""
    parts = []
    for text in array.reshape(-1):
        raw = text.encode() if isinstance(text, str) else bytes(text)
        parts += [LENGTH.pack(len(raw)), raw]
    return np.frombuffer(b"".join(parts), np.uint8)


def unpacked_text(raw: bytes | memoryview, count: int) -> Array:
    """`count` texts as bytes objects. Raises ValueError when `raw` does not hold exactly these."""
    if count * LENGTH.size > len(raw):  # before room is made for them
        raise ValueError(f"{len(raw):,} bytes cannot hold {count:,} texts")
    texts, at = np.empty(count, dtype=object), 0
    for place in range(count):
        if at + LENGTH.size > len(raw):
            raise ValueError(f"the bytes end after {place} of {count} texts")
        size = LENGTH.unpack_from(raw, at)[0]
        at += LENGTH.size
        if at + size > len(raw):
            raise ValueError(f"text {place} says that it has {size:,} bytes, {len(raw) - at:,} are left")
        texts[place] = bytes(raw[at : at + size])
        at += size
    if at != len(raw):
        raise ValueError(f"{len(raw) - at:,} bytes are left after {count} texts")
    return texts


def shown(text: str, most: int = 64) -> str:
    """What a client sent, quoted and cut short, for a message."""
    return repr(text if len(text) <= most else f"{text[:most]}…")
