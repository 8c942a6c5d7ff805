"""Models are run before anybody waits for them: engines prepare for each new size when they first see it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np

from steelyard.errors import CandidateFailure
from steelyard.records.engine import Array, Session
from steelyard.serve.assembly import Assembly


class Warmed(Protocol):
    """A variant that is in memory."""

    @property
    def variant(self) -> str:
        """Its name."""

    @property
    def session(self) -> Session:
        """What runs it."""

    @property
    def max_batch(self) -> int:
        """The most items that it is given at once."""


def warm_up(residents: Sequence[Warmed], workers: int, assembly: Assembly, item: Mapping[str, Array]) -> None:
    """Run each on every worker, with one item and with growing batches of it.

    Raises CandidateFailure when one cannot run, or answers NaN.
    """
    for resident in residents:
        for worker in range(workers):
            for size in _sizes(resident.max_batch):
                for run in assembly.runs([item] * size):
                    _require_finite(in_rows(resident.session.run(worker, run.inputs)), resident.variant)


def in_rows(outputs: Sequence[Array]) -> Sequence[Array]:
    """The outputs of a batch, whose items are told apart along the first axis."""
    return [output if output.ndim else output.reshape(1) for output in outputs]


def _sizes(largest: int) -> Sequence[int]:
    """1, 2, 4 … and the largest."""
    return sorted({1 << power for power in range(largest.bit_length())} | {largest})


def _require_finite(outputs: Sequence[Array], variant: str) -> None:
    if not all(np.isfinite(output).all() for output in outputs if output.dtype.kind == "f"):
        raise CandidateFailure("invalid", f"{variant} answers NaN or infinite values")
