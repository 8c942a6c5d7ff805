"""How many cores other processes keep busy while something is measured here."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence


class Neighbours:
    """Looks at the machine's busy time from now on, its own and that of `processes` left out."""

    def __init__(self, processes: Sequence[int] = ()) -> None:
        self._processes = (os.getpid(), *processes)
        self._begin = time.monotonic()
        self._before = self._busy_s()

    def cores(self) -> float | None:
        """Cores that others used on average until now (never below 0); None where it cannot be told."""
        now, seconds = self._busy_s(), time.monotonic() - self._begin
        if now is None or self._before is None or seconds <= 0:
            return None
        return round(max(0.0, (now - self._before) / seconds), 3)

    def _busy_s(self) -> float | None:
        """Processor seconds of the machine since it started, without ours."""
        import psutil

        try:
            machine = psutil.cpu_times()
            ours = sum(sum(psutil.Process(process).cpu_times()[:2]) for process in self._processes)
        except (psutil.Error, OSError):
            return None
        idle = machine.idle + getattr(machine, "iowait", 0.0) + getattr(machine, "guest", 0.0)
        return float(sum(machine) - idle - getattr(machine, "guest_nice", 0.0) - ours)
