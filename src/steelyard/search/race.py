"""The race: cheap checks first, then more careful ones, and whoever cannot win leaves early.

1. The reference is measured to the end: everything is told against it.
2. First looks: each candidate is built, opened, asked a few items, and timed roughly.
3. Quality in growing looks on the items that select; a failed verdict ends it.
4. Careful service times, the fastest by the glance first, interleaved with the reference.
5. The preferred candidate, and the front, are confirmed on items that took no part in selecting. When it is not
   confirmed, those that had to leave because of it come back.
6. The reference and the chosen one are timed once more, side by side.

At every moment the notebook holds enough to decide with; running out of time only means a less complete search.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from steelyard.decision import Standing, choose, contenders, front, running
from steelyard.errors import CandidateFailure, InputError, ModelError
from steelyard.ledger import Keeping
from steelyard.measure.workbench import Workbench, failure_of
from steelyard.records.candidate import Candidate
from steelyard.records.machine import Machine, Price
from steelyard.records.measurement import Evidence, Probe, Quality, Speed
from steelyard.records.plan import SearchFigures
from steelyard.records.requirements import Requirements
from steelyard.search.field import Field
from steelyard.search.notebook import Event, Notebook
from steelyard.search.questions import Questions
from steelyard.search.rough import rough

T = TypeVar("T")

FIRST_ITEMS = 32
"""Answered in the first look."""
LOOKING_SHARE = 0.45
"""Of the time allowed, what may pass before first looks give way to measuring what was seen."""
MEASURING_SHARE = 0.75
"""Of the time allowed, what may pass before confirming begins."""
CHEAP_S = 0.5
"""Quality that takes no longer is asked even of what cannot win: that a fast candidate is wrong is worth knowing."""
DISTURBED = 1.25
"""The reference this much slower than on its own: the machine was busy with something else."""
TRIES = 2


@dataclass(frozen=True)
class Result:
    """What the search found."""

    evidence: dict[str, Evidence]
    figures: SearchFigures
    warnings: tuple[str, ...]


class Race:
    """One search over one subject. `run` may be stopped through the workbench's event; nothing measured is lost."""

    def __init__(
        self,
        workbench: Workbench,
        ledger: Keeping,
        machine: Machine,
        requirements: Requirements,
        price: Price,
        within_s: float,
        on_event: Callable[[Event], None],
    ) -> None:
        self._bench = workbench
        self._subject = workbench.subject
        self._notes = Notebook(self._subject, machine, ledger)
        self._questions = Questions(workbench, self._notes)
        self._field = Field(self._subject, self._notes, requirements, price)
        self._requirements = requirements
        self._within_s = within_s
        self._on_event = on_event
        self._started = time.monotonic()
        self._quiet_ms = 0.0
        self._warnings: list[str] = []
        self._complete = True

    def run(self) -> Result:
        """Search until all is settled or the time is up. Raises `ModelError` when the reference cannot be run."""
        self._measure_reference()
        self._first_looks()
        self._select()
        self._time_carefully()
        self._confirm()
        self._head_to_head()
        return self.result()

    def result(self) -> Result:
        """What is known now; also after an interruption."""
        figures = SearchFigures(
            seconds=round(time.monotonic() - self._started, 2),
            measured=self._notes.measured,
            resumed=self._notes.resumed,
            ruled_out=self._field.left,
            complete=self._complete,
        )
        return Result(self._notes.evidence(self._field.all), figures, tuple(self._warnings))

    # --- the stages -------------------------------------------------------------------------------------------

    def _measure_reference(self) -> None:
        reference = self._field.reference
        self._tell("reference", f"measuring the reference, {reference.id}", 0, 1)
        probe = self._probe(reference)
        if probe.failure is not None:
            raise ModelError(
                f"the model as given cannot be run ({reference.id}): {probe.failure.kind}: {probe.failure.message}",
                "the reference must run before anything can be told against it; see 'steelyard doctor'",
            )
        self._quality(reference, 0, self._subject.split.looks[-1])
        if self._subject.split.confirm:
            self._quality(reference, self._subject.split.select, self._subject.split.total)
        self._quiet_ms = self._questions.quiet_ms(reference)
        self._speed(reference)

    def _first_looks(self) -> None:
        """One of each kind of numerics first, then their other settings, those of the fastest before the rest."""
        firsts = self._field.firsts()
        self._look_at(firsts)
        seen = {c.numerics: self._field.rough[c.id].at_most for c in firsts if c.id in self._field.rough}
        others = [c for c in self._field.others if c not in firsts]
        self._look_at(sorted(others, key=lambda c: -seen.get(c.numerics, 0.0)))

    def _look_at(self, order: Sequence[Candidate]) -> None:
        for place, candidate in enumerate(order):
            if not self._field.is_in(candidate):
                continue
            if not self._time_left("first look", order[place:], LOOKING_SHARE):
                return
            self._tell("first look", f"building and opening {candidate.id}", place, len(order))
            self._look(candidate)

    def _select(self) -> None:
        """Quality of what survived the first look, in growing looks; speed by the glance decides the order."""
        alive = self._field.fastest_of_each_numerics()
        looks = self._subject.split.looks
        total = len(alive) * len(looks)
        for look, items in enumerate(looks):
            for place, candidate in enumerate(alive):
                if not self._field.is_in(candidate):
                    continue
                if not self._field.answers_within(candidate, items, CHEAP_S) and self._field.cannot_win(candidate):
                    continue
                if not self._time_left("quality", alive[place:]):
                    return
                self._tell("quality", f"{items:,} items by {candidate.numerics}", look * len(alive) + place, total)
                self._judge_selecting(candidate, items)

    def _judge_selecting(self, candidate: Candidate, items: int) -> None:
        quality = self._quality(candidate, 0, items)
        standing = self._field.standing(candidate)
        if quality is not None and "quality" in standing.breaks:
            self._field.drop_numerics(candidate.numerics, "its quality fails the requirement")

    def _time_carefully(self) -> None:
        runners = self._field.fastest()
        for place, candidate in enumerate(runners):
            known = self._field.standing(candidate)
            if self._field.cannot_win(candidate) or known.quality is None or known.speed is not None:
                continue
            if not self._time_left("speed", runners[place:]):
                return
            self._tell("speed", f"timing {candidate.id}", place, len(runners))
            self._speed(candidate)

    def _confirm(self) -> None:
        """Confirm the preferred candidate until one holds, then the rest of the front."""
        if not self._subject.split.confirm:
            return
        while (standing := self._next_to_confirm()) is not None or self._bring_back():
            if time.monotonic() - self._started > self._within_s:
                self._complete = False
                return
            if standing is not None:
                self._tell("confirming", f"{standing.candidate.numerics} on items that did not select it", 0, 1)
                self._quality(standing.candidate, self._subject.split.select, self._subject.split.total)

    def _bring_back(self) -> bool:
        """Let those back in that left because of candidates that were not confirmed, and may beat what is left."""
        chosen = choose(running(self._field.standings())).chosen
        back = self._field.bring_back(0.0 if chosen is None else chosen.capacity)
        if back:
            self._select()
            self._time_carefully()
        return bool(back)

    def _head_to_head(self) -> None:
        """Time the reference and the chosen one once more, side by side: the gain rests on these two.

        Of two timings the quieter one is kept, so that a busy minute at the start does not flatter the gain.
        """
        chosen = choose(running(self._field.standings())).chosen
        pair = [self._field.reference, *([chosen.candidate] if chosen is not None else [])]
        for place, candidate in enumerate(dict.fromkeys(pair)):
            if time.monotonic() - self._started > self._within_s:
                return
            self._tell("head to head", f"timing {candidate.id} once more", place, len(pair))
            self._try(candidate, lambda c=candidate: self._questions.timed_again(c, self._quiet_ms))  # type: ignore[misc]

    def _next_to_confirm(self) -> Standing | None:
        standings = self._field.standings()
        choice = choose(running(standings))
        if choice.unconfirmed is not None:
            return choice.unconfirmed
        return next((s for s in front(contenders(standings)) if self._unconfirmed(s)), None)

    @staticmethod
    def _unconfirmed(standing: Standing) -> bool:
        return standing.evidence.confirmed is None and not standing.evidence.dropped

    # --- one candidate ----------------------------------------------------------------------------------------

    def _look(self, candidate: Candidate) -> None:
        """Build, open, ask a few items, time roughly."""
        probe = self._probe(candidate)
        if probe.failure is not None:
            return
        glance = self._try(candidate, lambda: self._questions.glance(candidate))
        if glance is not None:
            self._field.rough[candidate.id] = rough(candidate, glance, self._requirements)

    def _probe(self, candidate: Candidate) -> Probe:
        probe = self._questions.probe(candidate, min(FIRST_ITEMS, self._subject.split.select))
        if probe.failure is not None:
            self._field.drop(candidate, f"{probe.failure.kind}: {probe.failure.message}")
            if probe.failure.kind in ("build", "unsupported", "invalid"):
                self._field.drop_numerics(candidate.numerics, f"{probe.failure.kind}: {probe.failure.message}")
        return probe

    def _quality(self, candidate: Candidate, start: int, stop: int) -> Quality | None:
        return self._try(candidate, lambda: self._questions.quality(candidate, start, stop))

    def _speed(self, candidate: Candidate) -> None:
        best: Speed | None = None
        for _ in range(TRIES):
            speed = self._try(candidate, lambda: self._questions.speed(candidate, self._quiet_ms, self._effort()))
            if speed is None:
                return
            best = speed if best is None or speed.reference_ratio < best.reference_ratio else best
            if best.reference_ratio <= DISTURBED or not self._time_left("speed", ()):
                break
        if best is None:
            return
        if best.reference_ratio > DISTURBED:
            self._warnings.append(
                f"the machine was busy while {candidate.id} was timed: beside it the reference ran "
                f"{best.reference_ratio:.2f} times as long as on its own"
            )
        self._questions.keep_speed(candidate, best)

    def _try(self, candidate: Candidate, measure: Callable[[], T]) -> T | None:
        """A measurement, or None after the candidate's failure was recorded."""
        try:
            return measure()
        except (CandidateFailure, InputError) as failure:
            if candidate is self._field.reference:
                if isinstance(failure, InputError):
                    raise
                raise ModelError(f"the model as given failed while it was measured: {failure.message}") from failure
            told = failure_of(failure)
            self._field.drop(candidate, f"{told.kind}: {told.message}")
            self._questions.record_failure(candidate, told)
            return None

    # --- time and telling -------------------------------------------------------------------------------------

    def _effort(self) -> float:
        """Shorter timings when little time is allowed."""
        return min(1.0, max(0.3, self._within_s / 60))

    def _time_left(self, stage: str, waiting: Sequence[Candidate], share: float = MEASURING_SHARE) -> bool:
        """False once this share of the time is used up; those still waiting are told so."""
        if time.monotonic() - self._started <= self._within_s * share:
            return True
        self._complete = False
        for candidate in waiting:
            self._field.drop(candidate, f"the time allowed for the search was up before its {stage}")
        return False

    def _tell(self, stage: str, text: str, done: int, total: int) -> None:
        self._on_event(Event(stage, text, done, total, self._best()))

    def _best(self) -> str:
        ordered = contenders(self._field.standings())
        return f"{ordered[0].candidate.id}, {ordered[0].capacity:,.0f} requests/s" if ordered else ""
