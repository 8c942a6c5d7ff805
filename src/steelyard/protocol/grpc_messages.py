"""Bytes from the wire become messages once it is known that these will not fill the memory.

gRPC decompresses without a bound, so that is done here; and a few bytes can stand for a whole part of a message, so the
parts are counted before any is made.
"""

from __future__ import annotations

from typing import Any

from google.protobuf.message import DecodeError

from steelyard.errors import InputError
from steelyard.protocol import inference_pb2 as pb
from steelyard.protocol.aside import LARGE, LARGE_COMPRESSED
from steelyard.protocol.compression import decompressed
from steelyard.protocol.reply import HttpFailure

MOST_QUESTION = 64 * 1024
"""Bytes of any message but one for an inference."""
MOST_PARTS = 4096
"""Fields and tensors of a request together, without the elements of tensors."""
_TENSORS = frozenset({5, 6})
"""Fields of a request that have parts of their own."""
_LENGTH = 2
"""The kind of field that says how long it is."""
_SIZES = {1: 8, 5: 4}
"""Bytes of the kinds of fields that need not say."""
_MOST_DIGITS = 10
"""Bytes of a varint."""


class TooLarge(InputError):  # noqa: N818 - told to one client, with a status of its own
    """A message that is larger than allowed."""


def parsed(kind: Any, raw: bytes, most: int) -> Any:
    """The message of this kind. Raises TooLarge for more than `most` bytes, InputError for what is no such message."""
    raw = _plain(raw, most)
    if len(raw) > most:
        raise TooLarge(f"the message has {len(raw):,} bytes, at most {most:,} are taken")
    if kind is pb.ModelInferRequest:
        _count_parts(raw, 0, len(raw), MOST_PARTS, True)
    try:
        return kind.FromString(raw)
    except DecodeError:
        raise _broken() from None


def is_large(raw: bytes) -> bool:
    """Whether this message is read aside."""
    size = len(raw)
    return size >= LARGE_COMPRESSED and (size >= LARGE or _encoding(raw) != b"")


def _encoding(raw: bytes) -> bytes:
    """Empty: it is not compressed. No message of the protocol begins as gzip or deflate do."""
    if raw[:2] == b"\x1f\x8b":
        return b"gzip"
    return b"deflate" if raw[:1] == b"\x78" and int.from_bytes(raw[:2]) % 31 == 0 else b""


def _plain(raw: bytes, most: int) -> bytes:
    """Decompressed where it is compressed."""
    encoding = _encoding(raw)
    if not encoding:
        return raw
    try:
        return decompressed(raw, encoding, most)
    except HttpFailure as error:
        raise TooLarge(error.message) from None


def _count_parts(raw: bytes, at: int, end: int, left: int, is_request: bool) -> int:
    """How many parts may still follow. Raises InputError when these are too many, or no parts."""
    while at < end:
        left -= 1
        if left < 0:
            raise InputError(f"the request has more than {MOST_PARTS:,} parts", "send several requests")
        key, at = _varint(raw, at)
        at, after = _extent(raw, at, key & 7)
        if after > end:
            raise _broken()
        if is_request and key & 7 == _LENGTH and key >> 3 in _TENSORS:
            left = _count_parts(raw, at, after, left, False)
        at = after
    return left


def _extent(raw: bytes, at: int, kind: int) -> tuple[int, int]:
    """Where the contents of a field begin and end whose key ends at `at`."""
    if kind == _LENGTH:
        size, at = _varint(raw, at)
        return at, at + size
    if kind == 0:
        return at, _varint(raw, at)[1]
    if kind in _SIZES:
        return at, at + _SIZES[kind]
    raise _broken()


def _varint(raw: bytes, at: int) -> tuple[int, int]:
    """The number that begins there, and where what follows it begins."""
    value = 0
    for digit, byte in enumerate(raw[at : at + _MOST_DIGITS]):
        value |= (byte & 0x7F) << (7 * digit)
        if byte < 0x80:
            return value, at + digit + 1
    raise _broken()


def _broken() -> InputError:
    return InputError("the message is not of the kind that this call takes")
