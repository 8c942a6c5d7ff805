"""One thing that can be run."""

from __future__ import annotations

from typing import NewType

from steelyard.records.base import Record

Numerics = NewType("Numerics", str)
"""Names what decides the answers: candidates of equal numerics give equal answers and share one quality measurement."""


class Candidate(Record):
    """A variant in a runtime with its settings.

    The search and the decision treat `variant`, `runtime` and `precision` as opaque names: what they mean is
    the subject's business. Only `workers` (batches served side by side) and `max_batch` (requests served at once)
    enter the capacity of a replica.
    """

    variant: str
    runtime: str
    precision: str = "f32"
    threads: int = 1
    """Threads per stream."""
    streams: int = 1
    """Served side by side by threads of one process."""
    max_batch: int = 1
    instances: int = 1
    """Processes that each open the model, with as many streams each; all take from one queue."""
    machine: str = ""
    """Where it runs, when several machines are decided on at once; empty: the only one there is."""

    @property
    def workers(self) -> int:
        """Batches served side by side: the streams of all instances."""
        return self.streams * self.instances

    @property
    def id(self) -> str:
        """Readable and unique within a subject: `int8-static.openvino.bf16.t1s2b32`, `….t1s1b32i2` in two processes.

        Among several machines `@` and the machine's name follow.
        """
        processes = f"i{self.instances}" if self.instances > 1 else ""
        return f"{self._answers}.t{self.threads}s{self.streams}b{self.max_batch}{processes}{self._place}"

    @property
    def numerics(self) -> Numerics:
        """What decides the answers: variant, runtime, the precision it computes in, and the machine that computes."""
        return Numerics(f"{self._answers}{self._place}")

    @property
    def _answers(self) -> str:
        return f"{self.variant}.{self.runtime}.{self.precision}"

    @property
    def _place(self) -> str:
        return f"@{self.machine}" if self.machine else ""
