"""The race: the reference first, then one measurement after the other, until nothing is worth measuring or time is up.

1. The reference is measured to the end: everything is told against it.
2. A strategy (`settling`, or `exhaustive`) says which measurement is next: a first look, quality on growing parts of
   the selecting items, a careful timing, or the confirmation of the preferred candidate on items of their own.
3. The reference and the chosen one are timed once more, side by side.
4. Finalists are put under real load (`verifying`).
5. What a server may switch to is measured beside the chosen one (`rungs`).

At every moment the notebook holds enough to decide with; running out of time only means a less complete search.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypeVar

from steelyard.decision import choose, contenders, running, stand
from steelyard.decision.standing import DISTURBED, Standing
from steelyard.errors import CandidateFailure, InputError, ModelError, OutOfTime
from steelyard.ledger import Keeping
from steelyard.measure.workbench import failure_of
from steelyard.records.base import Record
from steelyard.records.candidate import Candidate
from steelyard.records.machine import Machine, Price
from steelyard.records.measurement import Evidence, Probe, Quality, Speed
from steelyard.records.plan import SearchFigures
from steelyard.records.requirements import Requirements
from steelyard.search.bench import Bench, Clock
from steelyard.search.costs import Costs
from steelyard.search.exhaustive import Exhaustive
from steelyard.search.figure import Figure
from steelyard.search.known import STAGES, Known, Step, Strategy, told
from steelyard.search.notebook import Event, Notebook
from steelyard.search.questions import Questions
from steelyard.search.rungs import SHARE, Rungs
from steelyard.search.settling import Settling
from steelyard.search.timetable import Timetable
from steelyard.search.verifying import Verifying

T = TypeVar("T")

TRIES = 2


class Terms(Record):
    """What is searched for, and for how long."""

    requirements: Requirements
    price: Price = Price()
    within_s: float = 600.0
    exhaustive: bool = False
    """Measure every candidate to the end."""
    rungs: bool = True
    """Measure, at the end, what a server may switch to."""


@dataclass(frozen=True)
class Result:
    """What the search found."""

    evidence: dict[str, Evidence]
    figures: SearchFigures
    warnings: tuple[str, ...]


class Race:
    """One search over one subject. `run` may be stopped through the bench; nothing measured is lost."""

    def __init__(
        self,
        bench: Bench,
        ledger: Keeping,
        machine: Machine,
        terms: Terms,
        on_event: Callable[[Event], None] = lambda _: None,
        clock: Clock = time.monotonic,
        strategy: Strategy | None = None,
    ) -> None:
        self._bench = bench
        self._subject = bench.subject
        self._all = tuple(bench.subject.candidates())
        self._terms = terms
        self._on_event = on_event
        self._clock = clock
        self._time = Timetable(clock, terms.within_s)
        self._notes = Notebook(self._subject, machine, ledger, lambda: self._time.left_s)
        self._questions = Questions(bench, self._notes)
        self._outlooks = {c.id: self._subject.outlook(c) for c in self._all}
        self._costs = Costs(self._outlooks)
        self._figure = Figure(terms.requirements, terms.price)
        self._late: set[str] = set()
        self._quiet_ms = 0.0
        self._has_reference = False
        self._explores = True
        self._complete: bool | None = None
        """Settled once all is, rungs aside."""
        self._warnings: list[str] = []
        self._strategy = strategy or (Exhaustive() if terms.exhaustive else Settling(self._known()))

    def run(self) -> Result:
        """Search until all is settled or the time is up. Raises `ModelError` when the reference cannot be run."""
        self._questions.take_over(self._all, self._terms.requirements)
        self._measure_reference()
        while (step := self._strategy.next(self._known())) is not None and self._may_begin(step):
            self._make(step)
        self._explores = False
        self._bench.until(self._time.grace_end)
        self._head_to_head()
        self._verify()
        self._complete = self._is_complete()
        if self._terms.rungs:
            self._measure_rungs()
        self._bench.until(math.inf)  # what the bundle needs may have to be built yet
        return self.result()

    def result(self) -> Result:
        """What is known now; also after an interruption."""
        known = self._known()
        reasons = self._strategy.reasons(known)
        figures = SearchFigures(
            seconds=round(self._time.passed_s, 2),
            measured=self._notes.measured,
            resumed=self._notes.resumed,
            ruled_out=len(reasons),
            complete=self._is_complete() if self._complete is None else self._complete,
        )
        return Result(self._notes.evidence(self._all, reasons), figures, tuple(self._warnings))

    def _is_complete(self) -> bool:
        return not self._strategy.wants_more(self._known()) and not self._late

    # --- what is known ----------------------------------------------------------------------------------------

    def _known(self) -> Known:
        return Known(
            standings=self._standings(),
            glances=self._notes.glances(),
            outlooks=self._outlooks,
            costs=self._costs,
            figure=self._figure,
            unbuilt=self._bench.unbuilt,
            effort=self._effort,
            passed_s=self._time.passed_s,
            left_s=self._time.left_s,
            load_s=lambda capacity: Verifying.seconds(self._terms.requirements, capacity),
            late=frozenset(self._late),
        )

    def _standings(self) -> list[Standing]:
        terms = self._terms
        evidence = self._notes.evidence(self._all)
        return stand(self._all, evidence, terms.requirements, terms.price, self._subject.split)

    @property
    def _effort(self) -> float:
        """Shorter timings when little time is allowed."""
        return min(1.0, max(0.3, self._terms.within_s / 60))

    # --- steps ------------------------------------------------------------------------------------------------

    def _measure_reference(self) -> None:
        reference = self._all[0]
        self._tell("reference", f"measuring the reference, {reference.id}")
        self._bench.until(math.inf)
        probe = self._look(reference)
        if probe.failure is not None:
            raise ModelError(
                f"the model as given cannot be run ({reference.id}): {probe.failure.kind}: {probe.failure.message}",
                "the reference must run before anything can be told against it; see 'steelyard doctor'",
            )
        split = self._subject.split
        self._judge(reference, 0, split.looks[-1])
        if split.confirm:
            self._judge(reference, split.select, split.total)
        self._quiet_ms = self._questions.quiet_ms(reference)
        self._time_carefully(reference)
        self._has_reference = True

    def _may_begin(self, step: Step) -> bool:
        """Confirming goes a little beyond the time, for without it the search was in vain."""
        return step.kind != "confirm" or self._time.is_left(self._known().seconds(step), into_grace=True)

    def _until(self, step: Step) -> float:
        """When the step is broken off."""
        end = self._time.grace_end if step.kind == "confirm" else self._time.end
        return min(end, self._clock() + step.most_s)

    def _make(self, step: Step) -> None:
        candidate, split = step.candidate, self._subject.split
        self._tell(STAGES[step.kind], told(step, split.confirm))
        self._bench.until(self._until(step))
        match step.kind:
            case "look":
                self._look(candidate)
            case "quality":
                self._judge(candidate, 0, step.items)
            case "speed":
                self._time_carefully(candidate)
            case "confirm":
                self._judge(candidate, split.select, split.total)

    def _look(self, candidate: Candidate) -> Probe:
        """Build, open, ask a few items, time roughly."""
        begin, unbuilt = self._clock(), self._bench.unbuilt(candidate)
        probe = self._try(candidate, lambda: self._questions.probe(candidate))
        if probe is not None and probe.failure is None:
            self._try(candidate, lambda: self._questions.glance(candidate))
        seconds = self._clock() - begin
        if probe is not None:
            self._costs.learn_look(candidate, probe, seconds, unbuilt)
        else:
            self._costs.learn_cut(candidate, seconds, self._bench.unbuilt(candidate))
        return probe or Probe(build_s=0, load_s=0, memory_mb=0)

    def _judge(self, candidate: Candidate, start: int, stop: int) -> Quality | None:
        begin, before = self._clock(), self._notes.measured
        quality = self._try(candidate, lambda: self._questions.quality(candidate, start, stop))
        if self._notes.measured > before:
            glance = self._notes.glances().get(candidate.id)
            self._costs.learn_answers(candidate, stop - start, self._clock() - begin, glance)
        return quality

    def _time_carefully(self, candidate: Candidate) -> None:
        best: Speed | None = None
        for _ in range(TRIES):
            speed = self._try(candidate, lambda: self._questions.speed(candidate, self._quiet_ms, self._effort))
            if speed is None:
                break
            best = speed if best is None or speed.reference_ratio < best.reference_ratio else best
            if best.reference_ratio <= DISTURBED or not self._time.is_left(0.0):
                break
        if best is None:
            return
        if best.reference_ratio > DISTURBED:
            self._warnings.append(
                f"the machine was busy while {candidate.id} was timed: beside it the reference ran "
                f"{best.reference_ratio:.2f} times as long as on its own"
            )
        self._questions.keep_speed(candidate, best)

    def _head_to_head(self) -> None:
        """Time the reference and the chosen one once more, side by side: the gain rests on these two.

        Of two timings the quieter one is kept, so that a busy minute at the start does not flatter the gain.
        """
        chosen = choose(running(self._standings())).chosen
        pair = [self._all[0], *([chosen.candidate] if chosen is not None else [])]
        for candidate in dict.fromkeys(pair):
            glance = self._notes.glances().get(candidate.id)
            if not self._time.is_left(self._costs.speed(candidate, glance, self._effort)):
                return
            self._tell("head to head", f"timing {candidate.id} once more")
            again = lambda c=candidate: self._questions.timed_again(c, self._quiet_ms, self._effort)  # noqa: E731
            self._try(candidate, again)

    def _verify(self) -> None:
        verifying = Verifying(self._questions, self._terms.requirements, self._time, self._tell)
        for standing in iter(lambda: verifying.next(self._standings()), None):
            self._try(standing.candidate, lambda s=standing: verifying.put_under_load(s))  # type: ignore[misc]
        self._warnings += verifying.warnings

    def _measure_rungs(self) -> None:
        end, rungs = self._time.part(SHARE), Rungs(self._known())
        while (step := rungs.next(replace(self._known(), left_s=end - self._clock()))) is not None:
            self._make(step)
        self._warnings += rungs.told

    def _try(self, candidate: Candidate, measure: Callable[[], T]) -> T | None:
        """A measurement, or None after the candidate's failure was recorded or its time was up."""
        try:
            return measure()
        except OutOfTime:
            if self._explores:
                self._late.add(candidate.id)
            return None
        except (CandidateFailure, InputError) as failure:
            if candidate is not self._all[0]:
                self._questions.record_failure(candidate, failure_of(failure))
            elif self._has_reference:
                self._warnings.append(f"the model as given failed when it was measured again: {failure.message}")
            elif isinstance(failure, InputError):
                raise
            else:
                raise ModelError(f"the model as given failed while it was measured: {failure.message}") from failure
            return None

    # --- telling ----------------------------------------------------------------------------------------------

    def _tell(self, stage: str, text: str) -> None:
        standings = self._standings()
        done = sum(1 for s in standings if s.evidence.probe is not None)
        ordered = contenders(standings)
        best = f"{ordered[0].candidate.id}, {ordered[0].capacity:,.0f} requests/s" if ordered else ""
        self._on_event(Event(stage, text, done, len(standings), best))
