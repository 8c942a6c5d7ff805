"""What a child process does for a model: make the variant, open it, answer and serve."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from steelyard.data.sequences import is_ragged, read_items
from steelyard.errors import UsageError
from steelyard.metrics import metric
from steelyard.records.candidate import Candidate
from steelyard.records.data import ArrayFile
from steelyard.records.engine import Array, Session, SessionSettings
from steelyard.records.subject import Answers, concatenated
from steelyard.runtimes import open_session
from steelyard.serve.assembly import Assembly, Growth, Run
from steelyard.variants import make_step

ANSWERED_AT_ONCE = 32
PASSES_OF_REQUESTS = 2
"""Requests held ready for timing, in multiples of the largest batch, so that batches differ."""
LENGTHS_READY = 512
"""Of items of different length so many are held ready: service times shall know all lengths."""
WINDOW = 1024
"""Items that may not be filled up are answered out of so many, those of equal length together."""
HERE = Path()
"""Files of items come with their whole path."""


def build(argument: Mapping[str, Any]) -> dict[str, str]:
    """Make the variant in `into` of the model, or of what was made in `base`; tells the main file, relative to it."""
    files = {name: msgspec.convert(file, ArrayFile) for name, file in argument["calibration"].items()}
    calibration = {name: read_items(HERE, file, 0, argument["items"]) for name, file in files.items()}
    into = Path(argument["into"])
    made = make_step(argument["variant"], _source(argument), into, calibration)
    return {"main": str(made.relative_to(into))}


def _source(argument: Mapping[str, Any]) -> Path:
    if "base" not in argument:
        return Path(argument["source"])
    return Path(argument["base"]["built"], argument["base"]["main"])


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
    return ModelRunner(
        session,
        judged(argument),
        {name: msgspec.convert(file, ArrayFile) for name, file in argument["inputs"].items()},
        argument["items"],
        candidate.max_batch,
        argument["fixed_batch"],
        pad=argument["pad"],
    )


def judged(argument: Mapping[str, Any]) -> Callable[[Sequence[Array]], Answers]:
    """What reads an answer out of the model's outputs: the metric, from all of them or from the one that was named."""
    judged_by, output = metric(argument["metric"], argument["classes"]), argument["output"]
    return judged_by.answers if output is None else lambda outputs: judged_by.answers([outputs[output]])


class ModelRunner:
    """See `records.subject.Runner`."""

    def __init__(
        self,
        session: Session,
        read: Callable[[Sequence[Array]], Answers],
        files: Mapping[str, ArrayFile],
        items: int,
        max_batch: int,
        fixed_batch: int | None,
        *,
        pad: bool = False,
    ) -> None:
        self._session = session
        self._read = read
        self._files = files
        self._assembly = assembly_of(files, fixed_batch, pad=pad)
        wanted = max(max_batch * PASSES_OF_REQUESTS, LENGTHS_READY if self._assembly.grows else 0)
        held = requests(files, 0, min(items, wanted))
        self._requests = [held[place % len(held)] for place in range(wanted)]
        self._next = 0

    def answers(self, start: int, stop: int) -> Answers:
        """One answer an item, as the metric reads them out of the model's outputs."""
        step = self._assembly.fixed_batch or ANSWERED_AT_ONCE
        if self._assembly.grows and not self._assembly.pad:
            return self._by_length(start, stop, step)
        return _one([self._answer(at, min(at + step, stop)) for at in range(start, stop, step)])

    def _answer(self, start: int, stop: int) -> Answers:
        if self._assembly.grows:
            [run] = self._assembly.runs(requests(self._files, start, stop))
            inputs = run.inputs
        else:
            inputs = self._assembly.filled({n: read_items(HERE, file, start, stop) for n, file in self._files.items()})
        return self._run(inputs, stop - start)

    def _run(self, inputs: Mapping[str, Array], items: int) -> Answers:
        return self._read([output[:items] for output in self._session.run(0, inputs)])

    def _by_length(self, start: int, stop: int, step: int) -> Answers:
        """Items that may not be filled up: those of equal length together, out of a window of many."""
        found: list[Answers] = []
        for at in range(start, stop, WINDOW):
            asked = requests(self._files, at, min(at + WINDOW, stop))
            runs = [part for run in self._assembly.runs(asked) for part in _parts(run, step)]
            answers = _one([self._run(part.inputs, len(part.places)) for part in runs])
            order = [place for part in runs for place in part.places]
            found.append(answers[np.argsort(order)])
        return concatenated(found)

    def serve(self, stream: int, batch: int) -> None:
        """Gather `batch` single requests, as a server would, and run them at once; at several lengths in turn."""
        start = self._next % (len(self._requests) - batch + 1)
        self._next += batch  # streams may race here: which requests they take does not matter
        for run in self._assembly.runs(self._requests[start : start + batch]):
            self._session.run(stream, run.inputs)


def assembly_of(files: Mapping[str, ArrayFile], fixed_batch: int | None, *, pad: bool) -> Assembly:
    """How items of these inputs go into the model together."""
    grows = {name: Growth(file.axis, file.fill) for name, file in files.items() if file.lengths is not None}
    return Assembly(grows, pad, fixed_batch)


def requests(files: Mapping[str, ArrayFile], start: int, stop: int) -> list[dict[str, Array]]:
    """Items as a server receives them: one by one, each at the length that it has."""
    items = {name: read_items(HERE, file, start, stop) for name, file in files.items()}
    return [
        {n: array[i][None] if is_ragged(array) else array[i : i + 1] for n, array in items.items()}
        for i in range(stop - start)
    ]


def _parts(run: Run, step: int) -> Iterator[Run]:
    """The same, no more than `step` items at a time."""
    if len(run.places) <= step:
        yield run
        return
    for at in range(0, len(run.places), step):
        inputs = {name: array[at : at + step] for name, array in run.inputs.items()}
        yield Run(run.places[at : at + step], inputs)


def _one(parts: Sequence[Answers]) -> Answers:
    """Answers to several runs as one array. Raises UsageError when they are not of one shape."""
    shapes = {part.shape[1:] for part in parts}
    if len(shapes) > 1:
        told = " and ".join(str(list(shape)) for shape in sorted(shapes)[:2])
        raise UsageError(
            f"the output that is judged grows with the length of the item: its answers are {told}",
            "choose an output of one size with --output, or export the model with one",
        )
    return concatenated(parts)
