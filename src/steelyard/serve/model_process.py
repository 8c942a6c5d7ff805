"""The process that runs a model for a server: `python -m steelyard.serve.model_process PARENT_PID MEMORY_MB FD…`.

One socket a stream, each served by a thread of its own; on the first socket comes what to open. See `serve.wire`.
"""

from __future__ import annotations

import socket
import sys
import threading
from pathlib import Path

from steelyard.errors import CandidateFailure, SteelyardError
from steelyard.machines.children import die_with, limit_memory
from steelyard.records.engine import Session, SessionSettings
from steelyard.runtimes import open_session
from steelyard.serve import wire


def main(parent: int, memory_mb: int, descriptors: list[int]) -> None:
    """Serve until the server hangs up."""
    die_with(parent)
    limit_memory(memory_mb)
    sockets = [socket.socket(fileno=descriptor) for descriptor in descriptors]
    session = _opened(sockets[0])
    if session is None:
        return
    streams = [threading.Thread(target=Stream(session, n, at).work, daemon=True) for n, at in enumerate(sockets)]
    for stream in streams:
        stream.start()
    for stream in streams:
        stream.join()


def _opened(at: socket.socket) -> Session | None:
    message, _ = wire.receive(at)
    if not isinstance(message, wire.Open):
        raise SystemExit(f"expected to be told what to open, got {message}")
    settings = SessionSettings(
        precision=message.precision, threads=message.threads, streams=message.streams, max_batch=message.max_batch
    )
    try:
        session = open_session(message.runtime, Path(message.path), settings)
    except Exception as error:
        wire.send(at, failed(error))
        return None
    wire.send(at, wire.Done())
    return session


def failed(error: Exception) -> wire.Failed:
    """An error as it crosses to the server."""
    if isinstance(error, SteelyardError):
        kind = error.kind if isinstance(error, CandidateFailure) else "crash"
        return wire.Failed(kind=kind, message=error.message, hint=error.hint)
    kind = "memory" if isinstance(error, MemoryError) else "crash"
    return wire.Failed(kind=kind, message=f"{type(error).__name__}: {error}"[:500])


class Stream:
    """One stream of the session, driven by one socket."""

    def __init__(self, session: Session, number: int, at: socket.socket) -> None:
        self._session = session
        self._number = number
        self._socket = at
        self._memory: dict[str, wire.Shared] = {}

    def work(self) -> None:
        """Until the server hangs up."""
        try:
            while True:
                message, descriptor = wire.receive(self._socket)
                if isinstance(message, wire.Memory) and descriptor is not None:
                    self._take(message, descriptor)
                elif isinstance(message, wire.Run):
                    self._run(message)
        except (EOFError, OSError):
            return

    def _take(self, message: wire.Memory, descriptor: int) -> None:
        self._memory[message.what] = wire.Shared(descriptor, message.size)

    def _run(self, message: wire.Run) -> None:
        try:
            inputs = {each.name: wire.look(self._memory["inputs"], each) for each in message.inputs}
            outputs = self._session.run(self._number, inputs)
            # By number: what they are called the server knows.
            arrays, size = wire.laid_out({str(place): output for place, output in enumerate(outputs)})
        except Exception as error:
            wire.send(self._socket, failed(error))
            return
        if not self._has_room(size):
            wire.send(self._socket, wire.NeedsRoom(size=size))
            memory, descriptor = wire.receive(self._socket)
            if not isinstance(memory, wire.Memory) or descriptor is None:
                raise EOFError(f"expected memory for the outputs, got {memory}")
            self._take(memory, descriptor)
        placed = wire.put(self._memory["outputs"], arrays) if arrays else ()
        wire.send(self._socket, wire.Done(outputs=placed))

    def _has_room(self, size: int) -> bool:
        memory = self._memory.get("outputs")
        return memory is not None and memory.size >= size


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), [int(number) for number in sys.argv[3:]])
