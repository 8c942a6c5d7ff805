"""The parent's side of a child process: start it, ask it, watch its time and memory, kill it."""

from __future__ import annotations

import contextlib
import math
import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import msgspec
import psutil

from steelyard.errors import BY_NAME, CandidateFailure, Interrupted, OutOfTime
from steelyard.records.base import Record
from steelyard.records.subject import Task

WATCH_S = 0.05
"""How often time, memory and the wish to stop are looked at while a child works."""


class Limits(Record):
    """What one child may use. Passing a limit is a recorded failure of the candidate, not of the search."""

    memory_mb: int
    seconds: float
    """For one request."""


class Deadline:
    """The moment, of the monotonic clock, after which no step goes on; whoever orders the steps moves it."""

    def __init__(self) -> None:
        self.at = math.inf

    @property
    def has_passed(self) -> bool:
        """Whether the time is up."""
        return time.monotonic() > self.at


class Child:
    """A process that works on request and can be killed at any moment.

    Raises `CandidateFailure` (crash, timeout, memory) from `ask`, `OutOfTime` when the deadline passes and
    `Interrupted` when `stop` is set meanwhile, and whatever error of ours the child reports.
    """

    def __init__(self, limits: Limits, log: Path, stop: threading.Event, deadline: Deadline | None = None) -> None:
        self._limits = limits
        self._log = log
        self._stop = stop
        self._deadline = deadline or Deadline()
        self._process, self._requests, self._replies = _start(limits, log)
        self._unread = b""
        self._memory_seen = 0.0
        self.siblings: list[int] = []
        """Processes that the child started to work beside it: their memory counts as its own."""

    def ask(self, operation: str, **fields: Any) -> Any:
        """The result of one operation."""
        self.send(operation, **fields)
        return self.receive(operation)

    def send(self, operation: str, **fields: Any) -> None:
        """Ask without waiting for the result."""
        request = msgspec.json.encode({"operation": operation, **fields}) + b"\n"
        try:
            _write_all(self._requests, request)
        except BrokenPipeError:
            raise self._death() from None

    def receive(self, operation: str) -> Any:
        """The result of the operation that was sent last."""
        reply = msgspec.json.decode(self._wait(operation))
        if "error" in reply:
            raise _error(**reply["error"])
        return reply["result"]

    def _wait(self, operation: str) -> bytes:
        """One line of reply, watching the child meanwhile."""
        seconds = self._limits.seconds
        deadline = time.monotonic() + seconds
        while b"\n" not in self._unread:
            readable, _, _ = select.select([self._replies], [], [], WATCH_S)
            if readable:
                chunk = os.read(self._replies, 1 << 20)
                if not chunk:
                    raise self._death()
                self._unread += chunk
            elif self._stop.is_set():
                self.kill()
                raise Interrupted("stopped on request")
            elif self._deadline.has_passed:
                self.kill()
                raise OutOfTime(f"the time for the search was up during '{operation}'")
            elif time.monotonic() > deadline:
                self.kill()
                raise CandidateFailure("timeout", f"no answer to '{operation}' within {seconds:.0f} s; it was killed")
            if time.monotonic() - self._memory_seen > WATCH_S:
                self._check_memory()
        line, _, self._unread = self._unread.partition(b"\n")
        return line

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def is_alive(self) -> bool:
        """Whether it can still be asked."""
        return self._requests >= 0 and self._process.poll() is None

    @property
    def memory_mb(self) -> float:
        """Resident now, its siblings included; 0 when it is gone."""
        return sum(_resident_mb(pid) for pid in (self._process.pid, *self.siblings))

    def _check_memory(self) -> None:
        self._memory_seen = time.monotonic()
        used = self.memory_mb
        if used > self._limits.memory_mb:
            self.kill()
            raise CandidateFailure(
                "memory", f"used {used:,.0f} MB where {self._limits.memory_mb:,} MB are allowed; it was killed"
            )

    def _death(self) -> CandidateFailure:
        """Why the child is gone."""
        status = self._process.wait()
        self.close()
        tail = log_tail(self._log)
        if status == -signal.SIGKILL:
            return CandidateFailure("memory", f"killed by the system, most likely for want of memory{tail}")
        if status < 0:
            return CandidateFailure("crash", f"the process died of {signal.Signals(-status).name}{tail}")
        if "bad_alloc" in tail or "MemoryError" in tail:
            return CandidateFailure("memory", f"ran out of memory{tail}")
        return CandidateFailure("crash", f"the process ended by itself with status {status}{tail}")

    def kill(self) -> None:
        """End it and everything it started, at once."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self.close()

    def close(self) -> None:
        """Hang up; the child ends by itself. Safe to call twice."""
        for descriptor in (self._requests, self._replies):
            with contextlib.suppress(OSError):
                os.close(descriptor)
        self._requests = self._replies = -1
        try:
            self._process.wait(timeout=2)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        elif self._process.poll() is None:
            self.kill()
        else:
            self.close()


def call(
    task: Task,
    limits: Limits,
    log: Path,
    stop: threading.Event,
    extra: Mapping[str, Any] | None = None,
    deadline: Deadline | None = None,
) -> Any:
    """The result (plain values) of one function, called in a child of its own."""
    with Child(limits, log, stop, deadline) as child:
        return child.ask("call", function=task.function, argument=dict(task.argument) | dict(extra or {}))


def _start(limits: Limits, log: Path) -> tuple[subprocess.Popen[bytes], int, int]:
    """The process, where to write requests, where to read replies."""
    request_read, request_write = os.pipe()
    reply_read, reply_write = os.pipe()
    command = [sys.executable, "-m", "steelyard.measure.child"]
    arguments = (request_read, reply_write, os.getpid(), limits.memory_mb, log)
    try:
        with log.open("ab") as output:
            process = subprocess.Popen(
                [*command, *map(str, arguments)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                pass_fds=(request_read, reply_write),
                start_new_session=True,  # Ctrl-C in the terminal reaches the parent alone, which decides
            )
    finally:
        os.close(request_read)
        os.close(reply_write)
    return process, request_write, reply_read


def _resident_mb(pid: int) -> float:
    try:
        return float(psutil.Process(pid).memory_info().rss) / 1e6
    except psutil.Error:
        return 0.0


def _write_all(descriptor: int, data: bytes) -> None:
    while data:
        data = data[os.write(descriptor, data) :]


def _error(name: str, message: str, hint: str, kind: str) -> Exception:
    if name in BY_NAME:
        return BY_NAME[name](message, hint)
    return CandidateFailure(kind or "crash", message, hint)


def log_tail(log: Path) -> str:
    """The last line of the child's output, for a message: ` (it said: …)`, or nothing."""
    try:
        lines = log.read_bytes()[-4000:].decode(errors="replace").strip().splitlines()
    except OSError:
        return ""
    return f" (it said: {lines[-1].strip()[:300]})" if lines else ""
