"""Memory that a step of training frees is kept for the next one, which will want as much again."""

from __future__ import annotations

import ctypes

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
"""See mallopt(3): https://man7.org/linux/man-pages/man3/mallopt.3.html"""
SMALLEST_GIVEN_BACK = 1 << 30
"""Bytes."""


def keep_freed_memory() -> bool:
    """Let this process keep what it frees, up to 1 GiB at a time. Whether it does: glibc can, other C libraries cannot.

    Left alone, glibc gives large blocks back to the system and takes them anew in the next step, where each of their
    pages is then cleared and mapped again: a tenth to a quarter of the time of a convolutional network on a processor.
    It holds for the whole process, which hardly shrinks again, so only our own programs ask for it; a library leaves
    that to the program that it is part of.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return False
    return all(mallopt(name, SMALLEST_GIVEN_BACK) == 1 for name in (M_MMAP_THRESHOLD, M_TRIM_THRESHOLD))
