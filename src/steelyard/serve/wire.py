"""How a server and a process that runs its model speak: small messages on a socket, arrays in shared memory.

Nothing is pickled. A message is its length (4 bytes, little-endian) and msgpack of one of the records below; with
`Memory` comes the descriptor of a file without a name that both sides map, so nothing is left behind however either
side dies. Arrays of text travel as the Open Inference Protocol's BYTES: before each element its length in 4 bytes.
"""

from __future__ import annotations

import math
import mmap
import os
import socket
import tempfile
from collections.abc import Mapping, Sequence
from typing import Literal

import msgspec
import numpy as np

from steelyard.records.base import Record
from steelyard.records.engine import Array
from steelyard.serve.datatypes import LENGTH, packed_text, unpacked_text

ALIGNMENT = 64
LARGEST_MESSAGE = 16 * 2**20


Purpose = Literal["inputs", "outputs"]


class Open(Record, tag=True):
    """To the process, first of all: which model to open, and how."""

    runtime: str
    path: str
    precision: str
    threads: int
    streams: int
    max_batch: int


class Memory(Record, tag=True):
    """To the process: use this file from now on; its descriptor comes along."""

    what: Purpose
    size: int


class Placed(Record, array_like=True):
    """One array in shared memory."""

    name: str
    dtype: str
    """numpy's name, or `object` for text."""
    shape: tuple[int, ...]
    offset: int
    size: int
    """Bytes."""


class Run(Record, tag=True):
    """To the process: run the model on these inputs."""

    inputs: tuple[Placed, ...]


class Done(Record, tag=True):
    """From the process: it is opened, or these are the outputs."""

    outputs: tuple[Placed, ...] = ()


class NeedsRoom(Record, tag=True):
    """From the process: the outputs need so many bytes. It waits for `Memory` and then answers `Done`."""

    size: int


class Failed(Record, tag=True):
    """From the process: the model could not be opened or run; the process goes on."""

    kind: str
    message: str
    hint: str = ""


_Message = Open | Memory | Run | Done | NeedsRoom | Failed
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(_Message).decode


def send(to: socket.socket, message: _Message, descriptor: int | None = None) -> None:
    """One message. Raises OSError when the other side is gone, ValueError when it is too long."""
    body = _encode(message)
    if len(body) > LARGEST_MESSAGE:
        raise ValueError(f"a message of {len(body):,} bytes is too long")
    data = LENGTH.pack(len(body)) + body
    if descriptor is not None:
        data = data[socket.send_fds(to, [data], [descriptor]) :]
    to.sendall(data)


def receive(at: socket.socket) -> tuple[_Message, int | None]:
    """One message, and the descriptor that came along. Raises EOFError when the other side is gone."""
    head, descriptors, _, _ = socket.recv_fds(at, LENGTH.size, 1)
    try:
        head += _exactly(at, LENGTH.size - len(head)) if head else b""
        if not head:
            raise EOFError("the other side hung up")
        size = LENGTH.unpack(head)[0]
        if size > LARGEST_MESSAGE:
            raise EOFError(f"the other side announced {size:,} bytes, which it would never send")
        return _decode(_exactly(at, size)), descriptors[0] if descriptors else None
    except BaseException:
        for descriptor in descriptors:
            os.close(descriptor)
        raise


def _exactly(at: socket.socket, size: int) -> bytes:
    parts, missing = [], size
    while missing:
        part = at.recv(missing)
        if not part:
            raise EOFError("the other side hung up in the middle of a message")
        parts.append(part)
        missing -= len(part)
    return b"".join(parts)


class Shared:
    """Memory that two processes see. It has no name: who was not given its descriptor cannot find it."""

    def __init__(self, descriptor: int, size: int) -> None:
        """Maps the file and closes the descriptor. Raises OSError or ValueError when the file is not that large."""
        try:
            self.map = mmap.mmap(descriptor, size)
        finally:
            os.close(descriptor)
        self.size = size


def offered(to: socket.socket, what: Purpose, size: int) -> Shared:
    """New memory, all zeros, that the other side is told to use from now on."""
    descriptor = _file_without_name()
    try:
        os.ftruncate(descriptor, size)
        send(to, Memory(what=what, size=size), descriptor)
    except BaseException:
        os.close(descriptor)
        raise
    return Shared(descriptor, size)


def _file_without_name() -> int:
    if hasattr(os, "memfd_create"):
        return os.memfd_create("steelyard", os.MFD_CLOEXEC)
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())


Encoded = Sequence[tuple[Placed, Array]]
"""Where each array goes, and the array as it is stored."""


def laid_out(arrays: Mapping[str, Array]) -> tuple[Encoded, int]:
    """One array after another, aligned; and the bytes of all."""
    placed, at = [], 0
    for name, array in arrays.items():
        stored = packed_text(array) if array.dtype == object else np.ascontiguousarray(array)
        where = Placed(name=name, dtype=array.dtype.name, shape=array.shape, offset=at, size=stored.nbytes)
        placed.append((where, stored))
        at += -(-stored.nbytes // ALIGNMENT) * ALIGNMENT
    return placed, at


def put(memory: Shared, arrays: Encoded) -> tuple[Placed, ...]:
    """Write the arrays where they were laid out."""
    for where, stored in arrays:
        room = np.frombuffer(memory.map, np.uint8, where.size, where.offset)
        room[:] = stored.reshape(-1).view(np.uint8)
    return tuple(where for where, _ in arrays)


def look(memory: Shared, where: Placed) -> Array:
    """The array at that place, not copied (text is, as str). Raises ValueError for a place outside the memory."""
    if where.dtype == "object":
        raw = np.frombuffer(memory.map, np.uint8, where.size, where.offset)
        texts = unpacked_text(raw.tobytes(), math.prod(where.shape))
        texts[:] = [text.decode() for text in texts]
        return texts.reshape(where.shape)
    return np.frombuffer(memory.map, where.dtype, math.prod(where.shape), where.offset).reshape(where.shape)
