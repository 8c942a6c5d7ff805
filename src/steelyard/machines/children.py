"""What a child process of ours does to itself first: die with its parent, and ask for no more memory than it may."""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import sys
from pathlib import Path

PR_SET_PDEATHSIG = 1
SLACK_MB = 4096
"""Address space for thread stacks and allocator arenas beside the memory that is really used."""


def die_with(parent: int) -> None:
    """Be killed when the parent dies, however it dies (Linux; elsewhere the closed pipe ends this process)."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        raise SystemExit("the parent process is gone")


def limit_memory(memory_mb: int) -> None:
    """Refuse allocations far beyond the limit at once; be the first to go when memory is short; leave no core file."""
    limit = (memory_mb + SLACK_MB) * 10**6
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    try:
        Path("/proc/self/oom_score_adj").write_text("1000")
    except OSError:
        return  # not Linux, or not allowed: the kernel chooses by itself
