"""gzip and deflate, with a bound on what a compressed body may become."""

from __future__ import annotations

import gzip
import zlib
from typing import TypeVar

from steelyard.errors import InputError
from steelyard.protocol.reply import HttpFailure

WORTH_COMPRESSING = 1024
"""Bytes below which a reply is sent as it is."""
LEVEL = 1
"""Of 9: tensors gain little from more effort."""
Body = TypeVar("Body", bound=bytes | memoryview)
_WINDOW = {b"gzip": 16 + zlib.MAX_WBITS, b"x-gzip": 16 + zlib.MAX_WBITS, b"deflate": zlib.MAX_WBITS}


def decompressed(body: Body, encoding: bytes, most: int) -> Body | bytes:
    """The body of a request with this Content-Encoding, at most `most` bytes.

    Raises HttpFailure (415) for an encoding that is not known and (413) for more bytes, InputError for broken ones.
    """
    encoding = encoding.strip().lower()
    if encoding in (b"", b"identity"):
        return body
    window = _WINDOW.get(encoding)
    if window is None:
        told = f"the content encoding {encoding[:32].decode('latin-1')!r} is not known"
        raise HttpFailure(415, told, "gzip, deflate and identity are")
    unpacker = zlib.decompressobj(window)
    try:
        whole = unpacker.decompress(body, most + 1)
    except zlib.error as error:
        raise InputError(f"the body is not what its content encoding says: {error}") from None
    if len(whole) > most:
        raise HttpFailure(413, f"the request is larger than the {most:,} bytes allowed once it is decompressed")
    if not unpacker.eof or unpacker.unused_data:
        raise InputError("the compressed body ends too early, or something follows it")
    return whole


def encoding_for(accepted: bytes | None) -> bytes:
    """The encoding that a client asks for with its Accept-Encoding; empty: none that is known here."""
    if not accepted:
        return b""
    wanted = {}
    for part in accepted.lower().split(b","):
        name, *parameters = (each.strip() for each in part.split(b";"))
        wanted[name] = not any(each.startswith(b"q=0") and not each.strip(b"q=0.") for each in parameters)
    return next((name for name in (b"gzip", b"deflate") if wanted.get(name, False)), b"")


def compressed(body: bytes, encoding: bytes) -> bytes:
    """The body in this encoding, gzip or deflate."""
    if encoding == b"gzip":
        return gzip.compress(body, LEVEL, mtime=0)
    return zlib.compress(body, LEVEL)
