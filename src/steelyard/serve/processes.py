"""A session whose model runs in processes of its own: one that dies takes one batch with it and is started again."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from steelyard.errors import CandidateFailure, WorkerLost
from steelyard.records.engine import Array, SessionSettings
from steelyard.records.plan import Chosen
from steelyard.scheduling import Profile
from steelyard.serve import wire

log = logging.getLogger(__name__)

SMALLEST_ROOM = 2**16
FIRST_WAIT_S, LONGEST_WAIT_S = 0.1, 10.0
"""Before a process is started again: doubled each time that it died without having served anything."""

HAND_OVER_S = 0.002
"""A full batch that takes less is not worth handing over to another process."""

_STARTER = ThreadPoolExecutor(1, "process-starter")
"""Starts all processes. On Linux they die with the thread that started them, and one that loads a model ends soon."""


def in_processes(candidate: Chosen, plan: Profile) -> bool:
    """Whether a candidate of several processes is served by as many.

    One whose batches are so short that handing them over costs as much is served by as many streams of this process.
    The answers are the same.
    """
    return candidate.instances > 1 and plan.seconds[-1] >= HAND_OVER_S


@dataclass(frozen=True)
class Isolation:
    """What each process may use."""

    memory_mb: int
    hang_s: float = 30.0
    """A batch that takes longer hangs: its process is killed."""
    open_s: float = 600.0
    """For opening the model."""


class ProcessSession:
    """A `Session`: stream s is stream s % `settings.streams` of process s // `settings.streams`.

    `run` raises `WorkerLost` when the process dies, or is killed because it hangs, during the batch; `revive` brings it
    back. A process that died while idle is brought back by the next `run`, which then loses nothing.
    """

    def __init__(
        self, runtime: str, path: Path, settings: SessionSettings, processes: int, isolation: Isolation
    ) -> None:
        """Opens the model in so many processes side by side. Raises CandidateFailure when one cannot."""
        opening = wire.Open(
            runtime=runtime,
            path=str(path.resolve()),
            precision=settings.precision,
            threads=settings.threads,
            streams=settings.streams,
            max_batch=settings.max_batch,
        )
        self._streams = settings.streams
        self._keepers = [_Keeper(opening, isolation) for _ in range(processes)]
        try:
            for keeper in self._keepers:
                keeper.child.wait_until_open()
        except BaseException:
            self.close()
            raise

    def run(self, stream: int, inputs: Mapping[str, Array]) -> Sequence[Array]:
        """All outputs for one batch, in the model's order."""
        keeper, lane = divmod(stream, self._streams)
        return self._keepers[keeper].run(lane, inputs)

    def revive(self, stream: int) -> None:
        """Wait until the process of this stream is there again; starts it when nobody else does."""
        self._keepers[stream // self._streams].revive()

    def give_up(self) -> None:
        """Start no process again: batches of one that is dead, or dies, end with WorkerLost."""
        for keeper in self._keepers:
            keeper.give_up()

    @property
    def pids(self) -> list[int]:
        """Ids of the processes that live."""
        return [keeper.child.pid for keeper in self._keepers if keeper.child.is_alive]

    @property
    def missing(self) -> int:
        """Processes that are dead, or not yet open again."""
        return sum(not keeper.child.is_alive for keeper in self._keepers)

    def close(self) -> None:
        """End all of them."""
        for keeper in self._keepers:
            keeper.close()


class _Lane:
    """The server's end of one stream of one process. One batch at a time."""

    def __init__(self, at: socket.socket) -> None:
        self.socket = at
        self._turn = threading.Lock()
        self._memory: dict[str, wire.Shared] = {}

    def run(self, inputs: Mapping[str, Array]) -> Sequence[Array]:
        """Raises EOFError or OSError when the process dies, TimeoutError (one of these) when it takes too long."""
        with self._turn:
            arrays, size = wire.laid_out(inputs)
            wire.send(self.socket, wire.Run(inputs=wire.put(self._room("inputs", size), arrays)))
            while True:
                reply, _ = wire.receive(self.socket)
                if isinstance(reply, wire.NeedsRoom):
                    self._room("outputs", reply.size)
                elif isinstance(reply, wire.Failed):
                    raise CandidateFailure(reply.kind, reply.message, reply.hint)
                elif isinstance(reply, wire.Done):
                    # Copied: the next batch writes to the same place.
                    return [wire.look(self._memory["outputs"], each).copy() for each in reply.outputs]
                else:
                    raise EOFError(f"an answer that makes no sense: {type(reply).__name__}")

    def _room(self, what: wire.Purpose, size: int) -> wire.Shared:
        memory = self._memory.get(what)
        if memory is None or memory.size < size:
            size = max(SMALLEST_ROOM, 1 << (size - 1).bit_length())
            memory = self._memory[what] = wire.offered(self.socket, what, size)
        return memory

    def close(self) -> None:
        """Hang up, once a batch that is under way has ended."""
        with self._turn:
            self.socket.close()


class _Child:
    """One process, from its start to its end."""

    def __init__(self, opening: wire.Open, isolation: Isolation) -> None:
        pairs = [socket.socketpair() for _ in range(opening.streams)]
        theirs = [their.fileno() for _, their in pairs]
        command = [sys.executable, "-m", "steelyard.serve.model_process"]
        self._isolation = isolation
        self._process = _STARTER.submit(
            subprocess.Popen,
            [*command, *map(str, (os.getpid(), isolation.memory_mb, *theirs))],
            stdin=subprocess.DEVNULL,
            stdout=_where_errors_go(),
            pass_fds=theirs,
            start_new_session=True,  # Ctrl-C in the terminal reaches the server alone, which drains first
        ).result()
        for _, their in pairs:
            their.close()
        self._lanes = [_Lane(ours) for ours, _ in pairs]
        self._is_open = False
        self.has_served = False
        wire.send(self._lanes[0].socket, opening)

    def wait_until_open(self) -> None:
        """Raises CandidateFailure when the model cannot be opened."""
        at = self._lanes[0].socket
        at.settimeout(self._isolation.open_s)
        try:
            reply, _ = wire.receive(at)
        except (EOFError, OSError) as error:
            self.end()
            raise CandidateFailure("crash", f"the process that should open the model died: {error}") from error
        if isinstance(reply, wire.Failed):
            self.end()
            raise CandidateFailure(reply.kind, reply.message, reply.hint)
        for lane in self._lanes:
            lane.socket.settimeout(self._isolation.hang_s)
        self._is_open = True

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def is_alive(self) -> bool:
        return self._is_open and self._process.poll() is None

    def run(self, lane: int, inputs: Mapping[str, Array]) -> Sequence[Array]:
        """Raises WorkerLost when the process dies or has to be killed."""
        try:
            outputs = self._lanes[lane].run(inputs)
        except TimeoutError:
            self.kill()
            seconds = f"{self._isolation.hang_s:g} s"
            raise WorkerLost(f"a batch took more than {seconds}; the process that ran it was killed") from None
        except (EOFError, OSError):
            self.kill()
            raise WorkerLost("the process that ran the model died") from None
        self.has_served = True
        return outputs

    def kill(self) -> None:
        """At once; batches under way on its other streams end with WorkerLost."""
        self._is_open = False
        if self._process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def end(self) -> None:
        """Kill it and hang up on it."""
        self.kill()
        for lane in self._lanes:
            lane.close()


class _Keeper:
    """Keeps one process running."""

    def __init__(self, opening: wire.Open, isolation: Isolation) -> None:
        self._opening = opening
        self._isolation = isolation
        self._starting = threading.Lock()
        self._closed = threading.Event()
        self._wait_s = FIRST_WAIT_S
        self.child = _Child(opening, isolation)

    def run(self, lane: int, inputs: Mapping[str, Array]) -> Sequence[Array]:
        if not self.child.is_alive:
            self.revive()
        return self.child.run(lane, inputs)

    def revive(self) -> None:
        with self._starting:
            while not self.child.is_alive:
                self._wait()
                self.child.end()
                try:
                    self.child = _Child(self._opening, self._isolation)
                    self.child.wait_until_open()
                except (CandidateFailure, OSError) as error:
                    log.error("the model could not be opened again: %s", error)

    def _wait(self) -> None:
        self._wait_s = FIRST_WAIT_S if self.child.has_served else min(2 * self._wait_s, LONGEST_WAIT_S)
        log.warning("process %d, which ran a model, is gone; another one in %.1f s", self.child.pid, self._wait_s)
        if self._closed.wait(self._wait_s):
            raise WorkerLost("no longer serving")

    def give_up(self) -> None:
        self._closed.set()

    def close(self) -> None:
        self._closed.set()
        with self._starting:
            self.child.end()


def _where_errors_go() -> int:
    """What engines print must not mix with what the server prints for scripts to read."""
    try:
        return sys.stderr.fileno()
    except (AttributeError, OSError, ValueError):
        return subprocess.DEVNULL
