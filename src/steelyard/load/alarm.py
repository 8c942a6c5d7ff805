"""An alarm that wakes an event loop to the microsecond. The loops' own timers round to whole milliseconds.

On Linux a timer of the kernel (timerfd_create(2)) is watched like a socket. Elsewhere the loop's timer is set a little
early, and the rest is waited for by looking at the clock again and again.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import sys
import time
from collections.abc import Callable
from typing import Protocol

EARLY_S = 0.002
CLOCK_MONOTONIC, ABSOLUTE = 1, 1


class Alarm(Protocol):
    """Calls what it was made for, once, at the time that was set last."""

    def at(self, when: float) -> None:
        """Set it. `when` is a time of `time.monotonic()`; one that has passed means at once."""

    def close(self) -> None:
        """It is no longer needed."""


def alarm(loop: asyncio.AbstractEventLoop, call: Callable[[], None]) -> Alarm:
    """The best alarm that there is here."""
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError, NotImplementedError):
            return KernelAlarm(loop, call)
    return LoopAlarm(loop, call)


class _Setting(ctypes.Structure):
    _fields_ = [
        ("every_s", ctypes.c_long),
        ("every_ns", ctypes.c_long),
        ("at_s", ctypes.c_long),
        ("at_ns", ctypes.c_long),
    ]


class KernelAlarm:
    """By a timer of the Linux kernel."""

    def __init__(self, loop: asyncio.AbstractEventLoop, call: Callable[[], None]) -> None:
        self._loop, self._call = loop, call
        library = ctypes.CDLL(None, use_errno=True)
        self._set = library.timerfd_settime
        self._file: int = library.timerfd_create(CLOCK_MONOTONIC, os.O_NONBLOCK | os.O_CLOEXEC)
        if self._file < 0:
            raise OSError(ctypes.get_errno(), "no timer")
        self._setting = _Setting()
        self._where = ctypes.byref(self._setting)
        loop.add_reader(self._file, self._ring)

    def at(self, when: float) -> None:
        """Set it."""
        seconds = int(when)
        self._setting.at_s = seconds
        self._setting.at_ns = max(1, int((when - seconds) * 1e9))  # zero would switch it off
        self._set(self._file, ABSOLUTE, self._where, None)

    def _ring(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.read(self._file, 8)
            self._call()

    def close(self) -> None:
        """Give the timer back."""
        self._loop.remove_reader(self._file)
        os.close(self._file)


class LoopAlarm:
    """By the loop's own timer and a short wait."""

    def __init__(self, loop: asyncio.AbstractEventLoop, call: Callable[[], None]) -> None:
        self._loop, self._call = loop, call
        self._handle: asyncio.Handle | None = None
        self._when = 0.0

    def at(self, when: float) -> None:
        """Set it."""
        self.close()
        self._when = when
        self._look()

    def _look(self) -> None:
        left = self._when - time.monotonic()
        if left <= 0:
            self._handle = None
            self._call()
        elif left > EARLY_S:
            self._handle = self._loop.call_later(left - EARLY_S, self._look)
        else:
            self._handle = self._loop.call_soon(self._look)

    def close(self) -> None:
        """Forget it."""
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None
