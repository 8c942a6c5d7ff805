"""The child process: opens one candidate, or calls one function, and answers on a pipe of its own.

Run as `python -m steelyard.measure.child READ_FD WRITE_FD PARENT_PID MEMORY_MB`. Requests and replies are
lines of JSON; arrays travel as .npy files. Standard output and error belong to whatever the engines print.
"""

from __future__ import annotations

import ctypes
import importlib
import os
import resource
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from steelyard.errors import CandidateFailure, SteelyardError
from steelyard.measure.stopwatch import time_batches
from steelyard.records.subject import Runner

PR_SET_PDEATHSIG = 1
SLACK_MB = 4096
"""Address space for thread stacks and allocator arenas beside the memory that is really used."""


def main(read_fd: int, write_fd: int, parent: int, memory_mb: int) -> None:
    """Serve requests until the parent hangs up."""
    die_with(parent)
    limit_memory(memory_mb)
    operations = Operations()
    with os.fdopen(write_fd, "wb", buffering=0) as replies:
        for request in requests(read_fd):
            replies.write(answer(operations, request) + b"\n")


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


def requests(read_fd: int) -> Iterator[dict[str, Any]]:
    """Requests as they come, one a line."""
    with os.fdopen(read_fd, "rb") as lines:
        for line in lines:
            yield msgspec.json.decode(line)


def answer(operations: Operations, request: dict[str, Any]) -> bytes:
    """The reply to one request; whatever goes wrong becomes an error reply."""
    try:
        operation = getattr(operations, request.pop("operation"))
        return msgspec.json.encode({"result": operation(**request)})
    except SteelyardError as error:
        kind = error.kind if isinstance(error, CandidateFailure) else ""
        return error_reply(type(error).__name__, error.message, error.hint, kind)
    except MemoryError:
        return error_reply("CandidateFailure", "ran out of memory", "", "memory")
    except Exception as error:
        traceback.print_exc()
        return error_reply("CandidateFailure", f"{type(error).__name__}: {first_line(error)}", "", "crash")


def error_reply(name: str, message: str, hint: str, kind: str) -> bytes:
    """An error as plain data."""
    return msgspec.json.encode({"error": {"name": name, "message": message, "hint": hint, "kind": kind}})


def first_line(error: Exception) -> str:
    """The first line that says something."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0][:500] if lines else "no message"


def find(dotted: str) -> Callable[..., Any]:
    """The function at `package.module:function`."""
    module, _, name = dotted.partition(":")
    found: Callable[..., Any] = getattr(importlib.import_module(module), name)
    return found


class Operations:
    """What the parent may ask for, by method name."""

    def __init__(self) -> None:
        self._runner: Runner | None = None

    @property
    def runner(self) -> Runner:
        """The opened candidate."""
        if self._runner is None:
            raise RuntimeError("asked to run a candidate before one was opened")
        return self._runner

    def call(self, function: str, argument: Mapping[str, Any]) -> Any:
        """The result of any function of one JSON argument."""
        return msgspec.to_builtins(find(function)(argument))

    def open(self, function: str, argument: Mapping[str, Any]) -> float:
        """Open a candidate; seconds it took, imports of the engine not counted twice."""
        start = time.perf_counter()
        self._runner = find(function)(argument)
        return time.perf_counter() - start

    def answers(self, start: int, stop: int, file: str) -> None:
        """Write the answers to items [start, stop) to `file`."""
        import numpy as np

        np.save(file, self.runner.answers(start, stop), allow_pickle=False)

    def time(self, batch: int, streams: int, threads: int, seconds: float, most: int) -> dict[str, Any]:
        """Time batches on all streams side by side for `seconds`."""
        return time_batches(self.runner.serve, batch, streams, threads, seconds, most)

    def peak_memory_mb(self) -> float:
        """The most resident memory that this process ever had."""
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak * (1 if sys.platform == "darwin" else 1024) / 1e6


if __name__ == "__main__":
    main(*(int(value) for value in sys.argv[1:5]))
