"""The child process: opens one candidate, or calls one function, and answers on a pipe of its own.

Run as `python -m steelyard.measure.child READ_FD WRITE_FD PARENT_PID MEMORY_MB LOG`. Requests and replies are
lines of JSON; arrays travel as .npy files. Standard output and error belong to whatever the engines print.
"""

from __future__ import annotations

import os
import resource
import sys
import time
import traceback
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from steelyard.errors import CandidateFailure, SteelyardError
from steelyard.machines.children import die_with, limit_memory
from steelyard.measure.instances import Instances, start_siblings
from steelyard.records.dotted import found


def main(read_fd: int, write_fd: int, parent: int, memory_mb: int, log: str) -> None:
    """Serve requests until the parent hangs up."""
    die_with(parent)
    limit_memory(memory_mb)
    operations = Operations(memory_mb, Path(log))
    with os.fdopen(write_fd, "wb", buffering=0) as replies:
        for request in requests(read_fd):
            replies.write(answer(operations, request) + b"\n")
    operations.close()


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


def own_peak_mb() -> float:
    """The most resident memory that this process ever had, in MB.

    Linux counts into `ru_maxrss` what the parent held when it started this process; VmHWM begins with the program.
    """
    try:
        status = Path("/proc/self/status").read_text()
        return int(status.split("VmHWM:")[1].split()[0]) * 1024 / 1e6
    except (OSError, IndexError, ValueError):
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak * (1 if sys.platform == "darwin" else 1024) / 1e6


class Operations:
    """What the parent may ask for, by method name."""

    def __init__(self, memory_mb: int, log: Path) -> None:
        self._memory_mb = memory_mb
        self._log = log
        self._runner: Instances | None = None

    @property
    def runner(self) -> Instances:
        """The opened candidate; its `serve` takes the number of a worker: a stream of any of its processes."""
        if self._runner is None:
            raise RuntimeError("asked to run a candidate before one was opened")
        return self._runner

    def call(self, function: str, argument: Mapping[str, Any]) -> Any:
        """The result of any function of one JSON argument."""
        return msgspec.to_builtins(found(function)(argument))

    def open(self, function: str, argument: Mapping[str, Any], streams: int = 1, instances: int = 1) -> float:
        """Open a candidate in as many processes, side by side; seconds it took, imports of the engine counted."""
        start = time.perf_counter()
        siblings = start_siblings(instances - 1, self._memory_mb, self._log)
        for sibling in siblings:
            sibling.send("open", function=function, argument=argument, streams=streams)
        self._runner = Instances(found(function)(argument), streams, siblings)
        for sibling in siblings:
            sibling.receive("open")
        return time.perf_counter() - start

    def close(self) -> None:
        """Let the other processes of the candidate end by themselves."""
        if self._runner is not None:
            self._runner.close()

    def siblings(self) -> list[int]:
        """The ids of the other processes that have the candidate open."""
        return self.runner.sibling_ids

    def serve(self, stream: int, batch: int) -> None:
        """Serve one batch on one stream of this process."""
        self.runner.serve(stream, batch)

    def answers(self, start: int, stop: int, file: str) -> None:
        """Write the answers to items [start, stop) to `file`."""
        import numpy as np

        np.save(file, self.runner.answers(start, stop), allow_pickle=False)

    def time(self, batch: int, streams: int, threads: int, seconds: float, most: int) -> dict[str, Any]:
        """Time batches on all streams of all processes side by side for `seconds`."""
        return self.runner.time(batch, streams, threads, seconds, most)

    def load(self, arrivals: Mapping[str, Any], latency: Mapping[str, Any], **run: Any) -> Any:
        """Real load, see `open_loop.run_load`."""
        from steelyard.measure.open_loop import run_load
        from steelyard.records.arrivals import Arrivals
        from steelyard.records.requirements import Latency

        run |= {"arrivals": msgspec.convert(arrivals, Arrivals), "latency": msgspec.convert(latency, Latency)}
        return msgspec.to_builtins(run_load(self.runner.serve, processes=self.runner.sibling_ids, **run))

    def peak_memory_mb(self) -> float:
        """The most resident memory that this process ever had, and the other processes of the candidate."""
        others = self._runner.peaks_mb() if self._runner is not None else 0.0
        return own_peak_mb() + others


if __name__ == "__main__":
    read, write, started_by, memory, output = sys.argv[1:6]
    main(int(read), int(write), int(started_by), int(memory), output)
