"""Everything that can be done to one candidate: build it, open it, look at it, ask it, time it."""

from __future__ import annotations

import shutil
import tempfile
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np

from steelyard.bundle import BUILT
from steelyard.errors import CandidateFailure, InputError
from steelyard.measure.load import measure_load
from steelyard.measure.process import Child, Deadline, Limits, call
from steelyard.measure.speed import measure_service, measure_speed
from steelyard.measure.turns import Turns
from steelyard.records.arrivals import Arrivals
from steelyard.records.base import from_json, to_json
from steelyard.records.candidate import Candidate
from steelyard.records.measurement import Failure, Load, Probe, ServiceTime, Speed
from steelyard.records.requirements import Latency
from steelyard.records.subject import Answers, Recipe, Step, Subject

IDLE_SHARE = 0.5
"""Of one candidate's memory limit, what all idle children together may hold; the longest unused is closed first."""


def failure_of(error: CandidateFailure | InputError) -> Failure:
    """What is recorded. What would be the user's mistake in the reference is, in any other, answers of no use."""
    kind = error.kind if isinstance(error, CandidateFailure) else "invalid"
    return Failure(kind=kind, message=error.message)  # type: ignore[arg-type]


class Workbench:
    """Builds, opens and measures the candidates of one subject. Failures come as `CandidateFailure`."""

    def __init__(
        self,
        subject: Subject,
        folder: Path,
        limits: Limits,
        stop: threading.Event,
        tell: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.subject = subject
        self.limits = limits
        self.built_s: dict[str, float] = {}
        """Seconds that each step of building took in this run, by key."""
        self._stop = stop
        self._deadline = Deadline()
        self._turns = Turns(stop, self._deadline, tell)
        self._built = folder / "built"
        self._logs = folder / "logs"
        self._open: OrderedDict[str, Child] = OrderedDict()
        self._unbuildable: dict[str, CandidateFailure] = {}
        for place in (self._built, self._logs):
            place.mkdir(parents=True, exist_ok=True)
        self._scratch = Path(tempfile.mkdtemp(prefix="scratch-", dir=folder))

    @property
    def reference(self) -> Candidate:
        """The subject as the user gave it."""
        return self.subject.candidates()[0]

    def until(self, at: float) -> None:
        """No step goes on after this moment of the monotonic clock: it ends with `OutOfTime`."""
        self._deadline.at = at

    def unbuilt(self, candidate: Candidate) -> float:
        """Of the steps that build it, the share that has not been made yet, for it or for another."""
        recipe = self.subject.recipe(candidate)
        if recipe.build is None or self._is_made(recipe.build_key):
            return 0.0
        waiting = [step for step in recipe.before if not self._is_made(step.key)]
        return (1 + len(waiting)) / (1 + len(recipe.before))

    def _is_made(self, key: str) -> bool:
        return (self._built / key / BUILT).exists()

    def built_folder(self, candidate: Candidate) -> Path:
        """Where the candidate's artefacts are, or will be."""
        return self._built / self.subject.recipe(candidate).build_key

    def build(self, candidate: Candidate) -> float:
        """Make the candidate's artefacts, and what they are made of, unless they are there; seconds it took."""
        recipe = self.subject.recipe(candidate)
        if recipe.build is None or self._is_made(recipe.build_key):
            return 0.0
        start = time.monotonic()
        base: dict[str, object] = {}
        for step in (*recipe.before, Step(task=recipe.build, key=recipe.build_key)):
            base = {"base": _told(self._made(step, base, self._log(candidate)))}
        return time.monotonic() - start

    def _made(self, step: Step, base: dict[str, object], log: Path) -> Path:
        """The folder of what one step makes; a step that failed once is not tried again."""
        folder = self._built / step.key
        if (folder / BUILT).exists():
            return folder
        if step.key in self._unbuildable:
            raise self._unbuildable[step.key]
        fresh = Path(tempfile.mkdtemp(prefix="building-", dir=self._built))
        start = time.monotonic()
        try:
            result = call(step.task, self.limits, log, self._stop, {"into": str(fresh)} | base, self._deadline)
            (fresh / BUILT).write_bytes(to_json(result))
            shutil.rmtree(folder, ignore_errors=True)
            fresh.rename(folder)
            self.built_s[step.key] = time.monotonic() - start
        except CandidateFailure as failure:
            self._unbuildable[step.key] = failure
            raise
        except OSError as error:
            raise CandidateFailure("build", f"its artefacts could not be kept: {error}") from error
        finally:
            shutil.rmtree(fresh, ignore_errors=True)
        return folder

    def probe(self, candidate: Candidate, items: int) -> tuple[Probe, Answers | None]:
        """The first look: build, open, serve one and the largest batch, answer the first items."""
        with self._turns.among_others():
            return self._probed(candidate, items)

    def _probed(self, candidate: Candidate, items: int) -> tuple[Probe, Answers | None]:
        build_s = load_s = memory = 0.0
        try:
            build_s = self.build(candidate)
            self._close(candidate)
            load_s, child = self._opened(candidate)
            for batch in {1, candidate.max_batch}:
                measure_service(child, candidate, batch, 0.02)
            memory = child.ask("peak_memory_mb")
            answers = self._answered(candidate, 0, items)
        except (CandidateFailure, InputError) as failure:
            self._close(candidate)
            if isinstance(failure, InputError) and candidate.id == self.reference.id:
                raise
            told = failure_of(failure)
            return Probe(build_s=build_s, load_s=load_s, memory_mb=memory, failure=told), None
        return Probe(build_s=build_s, load_s=load_s, memory_mb=memory), answers

    def answers(self, candidate: Candidate, start: int, stop: int) -> Answers:
        """The candidate's answers to items [start, stop)."""
        with self._turns.among_others():
            return self._answered(candidate, start, stop)

    def _answered(self, candidate: Candidate, start: int, stop: int) -> Answers:
        file = self._scratch / "answers.npy"
        self._child(candidate).ask("answers", start=start, stop=stop, file=str(file))
        answers: Answers = np.load(file, allow_pickle=False)
        if len(answers) != stop - start:
            raise CandidateFailure("invalid", f"{len(answers)} answers to {stop - start} items")
        return answers

    def glance(self, candidate: Candidate, batch: int, seconds: float = 0.1) -> ServiceTime:
        """A quick, rough service time."""
        child = self._opened_before(candidate)
        with self._turns.alone():
            return measure_service(child, candidate, batch, seconds)

    def speed(self, candidate: Candidate, quiet_ms: float, effort: float) -> Speed:
        """Careful service times, interleaved with the reference."""
        reference, child = self._opened_before(self.reference), self._opened_before(candidate)
        with self._turns.alone():
            return measure_speed(child, candidate, reference, self.reference, quiet_ms, effort)

    def load(
        self,
        candidate: Candidate,
        rate: float,
        arrivals: Arrivals,
        seconds: float,
        latency: Latency,
        service: Sequence[ServiceTime] = (),
        seed: int = 0,
    ) -> Load:
        """Real load for `seconds`: `rate` requests per second in this pattern, through the dispatcher that serves.

        The dispatcher plans with `service`, the candidate's measured service times.
        """
        child = self._opened_before(candidate)
        with self._turns.alone():
            return measure_load(child, candidate, rate, arrivals, seconds, latency, service, seed)

    def _opened_before(self, candidate: Candidate) -> Child:
        """Its child, so that nothing has to be opened while the machine is to be quiet."""
        with self._turns.among_others():
            return self._child(candidate)

    def _child(self, candidate: Candidate) -> Child:
        if candidate.id in self._open and not self._open[candidate.id].is_alive:
            self._open.pop(candidate.id).close()
        if candidate.id not in self._open:
            self.build(candidate)
            self._opened(candidate)
        self._open.move_to_end(candidate.id)
        return self._open[candidate.id]

    def _opened(self, candidate: Candidate) -> tuple[float, Child]:
        """Open the candidate in a fresh child; seconds that loading took."""
        self._make_room()
        recipe, folder = self.subject.recipe(candidate), self.built_folder(candidate)
        child = Child(self.limits, self._log(candidate), self._stop, self._deadline)
        try:
            load_s = child.ask(
                "open",
                function=recipe.open.function,
                argument=_argument(recipe, folder),
                streams=candidate.streams,
                instances=candidate.instances,
            )
            child.siblings = child.ask("siblings")
        except BaseException:
            child.kill()
            raise
        self._open[candidate.id] = child
        return load_s, child

    def _make_room(self) -> None:
        idle = [name for name in self._open if name != self.reference.id]
        held = {name: self._open[name].memory_mb for name in idle}
        while idle and sum(held[name] for name in idle) > self.limits.memory_mb * IDLE_SHARE:
            self._open.pop(idle.pop(0)).close()

    def _close(self, candidate: Candidate) -> None:
        if child := self._open.pop(candidate.id, None):
            child.kill()

    def _log(self, candidate: Candidate) -> Path:
        return self._logs / f"{candidate.id}.log"

    def close(self) -> None:
        """End all children and remove what was only for this run."""
        while self._open:
            self._open.popitem()[1].kill()
        shutil.rmtree(self._scratch, ignore_errors=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _argument(recipe: Recipe, folder: Path) -> dict[str, object]:
    """What `open` is called with: a recipe that builds nothing knows where its artefacts are."""
    if recipe.build is None:
        return dict(recipe.open.argument)
    return dict(recipe.open.argument) | _told(folder)


def _told(folder: Path) -> dict[str, object]:
    """Of a step that was built: its folder, and what its build returned."""
    return {"built": str(folder), **from_json((folder / BUILT).read_bytes(), dict)}
