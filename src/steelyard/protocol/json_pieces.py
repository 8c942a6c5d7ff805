"""Long lists of numbers in JSON, read and written piece by piece.

The parser keeps Python's lock until it is done: 60 MB at once stop every other thread for half a second. Between two
pieces others may go on, so that they wait for a fraction of a millisecond. It takes less time as well, and a tenth of
the memory, as the numbers of a piece become an array while they are still in the processor's cache.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import numpy as np

from steelyard.records.engine import Array

PIECE = 64 * 1024
"""Bytes of JSON, or four times as many of what is merely looked through."""
NUMBERS = 8 * 1024
"""Of a reply, in one piece."""
_STRUCTURE = b"[],"
_BRACKETS = b"[]"
_CONTENTS = bytes(byte for byte in range(256) if byte not in _STRUCTURE)


def pause() -> None:
    """Other threads may go on now."""
    time.sleep(0)


def read(
    data: bytes, decode: Callable[[bytes], list[Any]], dtype: np.dtype[np.generic], shape: Sequence[int], nested: bool
) -> Array | None:
    """The numbers of this shape that `data`, valid JSON, holds: row by row in one list, or nested as the shape says.

    None when that is not what it holds. Whoever then reads it at once hears why.
    """
    count = math.prod(shape)
    if not (count and data.startswith(b"[") and data.endswith(b"]")):
        return None
    if nested and not _is_nested(data, shape):
        return None
    listed = _without(data, _BRACKETS) if nested else data[1:-1]
    try:
        array = np.concatenate(_pieces(listed, decode, dtype))
    except (msgspec.MsgspecError, UnicodeDecodeError, ArithmeticError, ValueError):
        return None
    return array.reshape(tuple(shape)) if array.size == count else None


def _pieces(listed: bytes, decode: Callable[[bytes], list[Any]], dtype: np.dtype[np.generic]) -> list[Array]:
    """Of numbers with commas between them."""
    pieces: list[Array] = []
    at = 0
    while at <= len(listed):
        comma = listed.find(b",", at + PIECE)
        stop = len(listed) if comma < 0 else comma
        numbers = decode(b"[%b]" % listed[at:stop])
        if not numbers:
            raise ValueError("nothing follows a comma")
        with np.errstate(over="raise"):
            pieces.append(np.array(numbers, dtype))
        at = stop + 1
        pause()
    return pieces


def _is_nested(data: bytes, shape: Sequence[int]) -> bool:
    """Whether brackets and commas are those of an array of this shape."""
    structure = _without(data, _CONTENTS)
    return len(structure) == _length(shape) and structure == _structure(shape)


def _without(data: bytes, left_out: bytes) -> bytes:
    kept = []
    for at in range(0, len(data), 4 * PIECE):
        kept.append(data[at : at + 4 * PIECE].translate(None, left_out))
        pause()
    return b"".join(kept)


def _length(shape: Sequence[int]) -> int:
    """Of the structure; told before it is made, because clients choose the shape."""
    length = 0
    for size in reversed(shape):
        length = 2 + size * length + max(0, size - 1)
    return length


def _structure(shape: Sequence[int]) -> bytes:
    structure = b""
    for size in reversed(shape):
        structure = b"[%b]" % b",".join([structure] * size)
    return structure


def written(flat: Array, values_of: Callable[[Array], list[Any]], encode: Callable[[Any], bytes]) -> msgspec.Raw:
    """The list of these numbers in JSON."""
    parts = []
    for at in range(0, len(flat), NUMBERS):
        parts.append(encode(values_of(flat[at : at + NUMBERS]))[1:-1])
        pause()
    return msgspec.Raw(b"[%b]" % b",".join(parts))
