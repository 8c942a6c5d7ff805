"""What a child process does for a model: make the variant, open it, answer and serve."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from steelyard.data.rows import read_rows
from steelyard.metrics import Metric, metric
from steelyard.records.candidate import Candidate
from steelyard.records.engine import Array, Session, SessionSettings
from steelyard.records.subject import Answers, concatenated
from steelyard.runtimes import open_session
from steelyard.variants import make

ANSWERED_AT_ONCE = 32
PASSES_OF_REQUESTS = 2
"""Requests held ready for timing, in multiples of the largest batch, so that batches differ."""


def build(argument: Mapping[str, Any]) -> dict[str, str]:
    """Make the variant in `into`; tells the main file, relative to it."""
    calibration = {name: read_rows(Path(file), 0, argument["items"]) for name, file in argument["calibration"].items()}
    into = Path(argument["into"])
    made = make(argument["variant"], Path(argument["source"]), into, calibration)
    return {"main": str(made.relative_to(into))}


def open_runner(argument: Mapping[str, Any]) -> ModelRunner:
    """The candidate, opened in its runtime."""
    candidate = msgspec.convert(argument["candidate"], Candidate)
    settings = SessionSettings(
        precision=candidate.precision,
        threads=candidate.threads,
        streams=candidate.streams,
        max_batch=max(candidate.max_batch, ANSWERED_AT_ONCE),
    )
    session = open_session(candidate.runtime, Path(argument["built"]) / argument["main"], settings)
    files = {name: Path(file) for name, file in argument["inputs"].items()}
    return ModelRunner(
        session,
        metric(argument["metric"], argument["classes"]),
        files,
        argument["items"],
        candidate.max_batch,
        argument["fixed_batch"],
    )


class ModelRunner:
    """See `records.subject.Runner`."""

    def __init__(
        self,
        session: Session,
        judged_by: Metric,
        files: Mapping[str, Path],
        items: int,
        max_batch: int,
        fixed_batch: int | None,
    ) -> None:
        self._session = session
        self._metric = judged_by
        self._files = files
        self._fixed = fixed_batch
        ready = min(items, max_batch * PASSES_OF_REQUESTS)
        rows = {name: read_rows(file, 0, ready) for name, file in files.items()}
        self._requests = [
            {name: array[i % ready : i % ready + 1] for name, array in rows.items()}
            for i in range(max_batch * PASSES_OF_REQUESTS)
        ]
        self._next = 0

    def answers(self, start: int, stop: int) -> Answers:
        """One answer an item, as the metric reads them out of the model's outputs."""
        step = self._fixed or ANSWERED_AT_ONCE
        return concatenated([self._answer(at, min(at + step, stop)) for at in range(start, stop, step)])

    def _answer(self, start: int, stop: int) -> Answers:
        inputs = {name: read_rows(file, start, stop) for name, file in self._files.items()}
        outputs = self._session.run(0, self._padded(inputs, stop - start))
        return self._metric.answers([output[: stop - start] for output in outputs])

    def serve(self, stream: int, batch: int) -> None:
        """Gather `batch` single requests, as a server would, and run them at once."""
        start = self._next % (len(self._requests) - batch + 1)
        self._next += batch  # streams may race here: which requests they take does not matter
        chosen = self._requests[start : start + batch]
        inputs = chosen[0] if batch == 1 else {n: np.concatenate([r[n] for r in chosen]) for n in chosen[0]}
        self._session.run(stream, self._padded(inputs, batch))

    def _padded(self, inputs: Mapping[str, Array], batch: int) -> Mapping[str, Array]:
        """Filled up by repeating the first item when the model insists on a larger batch."""
        if self._fixed is None or self._fixed == batch:
            return inputs
        missing = self._fixed - batch
        return {n: np.concatenate([array, np.repeat(array[:1], missing, axis=0)]) for n, array in inputs.items()}
