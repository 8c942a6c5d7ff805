"""Beside the event loop: what a large body takes to read or write must not hold up everybody else.

Small ones stay on the loop: to hand one over and back costs 0.1 ms, and to read 256 kB of JSON 2 ms. Threads alone do
not help where one call keeps Python's lock for long, so `json_pieces.py` lets go of it now and then.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from steelyard.protocol.reply import LENGTH_HEADER, json_bytes

LARGE = 256 * 1024
"""Bytes of a body that is read or written aside."""
LARGE_COMPRESSED = 4 * 1024
"""The same of one that is compressed, and becomes larger."""
LARGE_RAW, LITTLE = 4 * 1024 * 1024, 4 * 1024
"""The same of one whose numbers are taken as they lie, behind so little JSON."""
JSON_GROWTH = 4
"""About how many times as large a number is in JSON, and as long it takes to compress one."""
THREADS = 2

Done = TypeVar("Done")


class Aside:
    """A few threads that work for one event loop; there are none before they are needed."""

    def __init__(self, threads: int = THREADS) -> None:
        self._threads = threads
        self._pool: ThreadPoolExecutor | None = None

    async def run(self, work: Callable[[], Done]) -> Done:
        """What `work` returns, or raises. Cancelled, it is not begun any more."""
        if self._pool is None:
            self._pool = ThreadPoolExecutor(self._threads, thread_name_prefix="large-body")
        return await asyncio.get_running_loop().run_in_executor(self._pool, work)


def is_large(headers: Mapping[bytes, bytes], body: bytes | memoryview) -> bool:
    """Whether this body of an HTTP request is read aside."""
    size = len(body)
    if size < LARGE_COMPRESSED:
        return False
    if b"content-encoding" in headers:
        return True
    return size >= (LARGE_RAW if _is_raw(headers, body) else LARGE)


def _is_raw(headers: Mapping[bytes, bytes], body: bytes | memoryview) -> bool:
    """Whether nothing of it but a little JSON has to be looked at piece by piece, as texts have."""
    length = json_bytes(headers.get(LENGTH_HEADER, b""))
    if length is None or length > LITTLE:
        return False
    head = bytes(body[:length])
    return b"BYTES" not in head and b"\\" not in head  # behind an escape anything may hide
