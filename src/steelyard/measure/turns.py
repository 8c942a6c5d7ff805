"""Several programs on one machine take turns, so that none times while another works.

Who times has the machine for itself; everything else (building, opening, answering) may go on side by side, but not
beside a timing. The locks are `flock`s on two files in the folder for temporary files, and the system frees them when
a process ends in whatever way. The first file is a turnstile: whoever waits holds it, and is next, so that a run that
goes from step to step cannot keep the others out.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from steelyard.errors import Interrupted, OutOfTime
from steelyard.measure.process import Deadline

PATIENCE_S = 60.0
"""After so long a step goes on beside whatever the other program does; how the reference fares will tell."""
LOOK_S = 0.02


class Turns:
    """Locks shared by all programs that use the same folder (the system's, unless another is given)."""

    def __init__(
        self,
        stop: threading.Event,
        deadline: Deadline,
        tell: Callable[[str], None] = lambda _: None,
        folder: Path | None = None,
    ) -> None:
        place = folder or Path(tempfile.gettempdir())
        self._turnstile = place / "steelyard-next.lock"
        self._machine = place / "steelyard-machine.lock"
        self._stop = stop
        self._deadline = deadline
        self._tell = tell

    def alone(self) -> contextlib.AbstractContextManager[None]:
        """Inside, no other program measures, builds or answers."""
        return self._taken(fcntl.LOCK_EX)

    def among_others(self) -> contextlib.AbstractContextManager[None]:
        """Inside, no other program times."""
        return self._taken(fcntl.LOCK_SH)

    @contextlib.contextmanager
    def _taken(self, kind: int) -> Iterator[None]:
        until = time.monotonic() + PATIENCE_S
        with contextlib.ExitStack() as held:
            with contextlib.ExitStack() as waiting:
                if self._take(self._turnstile, fcntl.LOCK_EX, until, waiting):
                    self._take(self._machine, kind, until, held)
            yield

    def _take(self, path: Path, kind: int, until: float, stack: contextlib.ExitStack) -> bool:
        """Hold a lock until the stack is left; False when it could not be had."""
        handle = _opened(path)
        if handle < 0:
            return False
        stack.callback(os.close, handle)  # frees the lock
        told = False
        while not _locked(handle, kind):
            if time.monotonic() > until:
                self._tell("another program goes on measuring: going on beside it")
                return False
            if not told:
                self._tell("another program is measuring on this machine: waiting for it")
                told = True
            self._wait()
        return True

    def _wait(self) -> None:
        if self._stop.wait(LOOK_S):
            raise Interrupted("stopped on request")
        if self._deadline.has_passed:
            raise OutOfTime("the time for the search was up while another program measured")


def _opened(path: Path) -> int:
    """A handle on the file, −1 where there can be none. It is never written to, and a link is not followed."""
    for flags in (os.O_RDONLY, os.O_RDONLY | os.O_CREAT):
        with contextlib.suppress(OSError):
            return os.open(path, flags | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
    return -1


def _locked(handle: int, kind: int) -> bool:
    """False only when another program holds the lock."""
    try:
        fcntl.flock(handle, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return True  # a file system without locks
    return True
