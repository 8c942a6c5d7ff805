"""Standard output that nobody reads any longer, as in `steelyard … | head`: no fault, and no traceback."""

from __future__ import annotations

import contextlib
import os
import select
import sys
from collections.abc import Callable, Iterator

HUNG_UP = 141
"""128 + SIGPIPE: what a shell tells of a program that wrote to a reader who had gone."""


@contextlib.contextmanager
def watched() -> Iterator[Callable[[int], bool]]:
    """A function that writes out what is left and tells whether a command of this exit status lost its reader.

    SIGPIPE itself stays ignored: a child that dies while it is written to must not end the search.
    """
    try:
        descriptor = os.dup(sys.stdout.fileno())  # rich and click put another file in its place
    except (OSError, ValueError, AttributeError):
        yield lambda _: False
        return
    try:
        yield lambda status: _hung_up(descriptor, status)
    finally:
        os.close(descriptor)


def _hung_up(descriptor: int, status: int) -> bool:
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        forget()
        return True
    return status == 1 and _reader_is_gone(descriptor)


def forget() -> None:
    """What could not be written goes nowhere: nothing is left to fail at exit."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


def _reader_is_gone(descriptor: int) -> bool:
    poll = select.poll()
    poll.register(descriptor, 0)
    return any(events & (select.POLLERR | select.POLLHUP) for _, events in poll.poll(0))
