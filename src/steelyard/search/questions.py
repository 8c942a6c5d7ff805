"""What can be asked of a candidate: answered from the ledger when it was asked before, measured otherwise."""

from __future__ import annotations

import msgspec

from steelyard.measure.workbench import Workbench
from steelyard.records.candidate import Candidate, Numerics
from steelyard.records.measurement import Failure, Probe, Quality, ServiceTime, Speed
from steelyard.records.subject import Answers, concatenated
from steelyard.search.notebook import Notebook

GLANCE_BATCH = 8


class Questions:
    """Workbench and notebook together: each question is measured at most once, ever."""

    def __init__(self, workbench: Workbench, notes: Notebook) -> None:
        self._bench = workbench
        self._notes = notes
        self._answers: dict[Numerics, list[tuple[int, Answers]]] = {}

    def probe(self, candidate: Candidate, items: int) -> Probe:
        """The first look. What it depends on beyond the candidate: the limits and how many items."""
        what = f"probe {items} {self._bench.limits.memory_mb}"
        known = self._notes.recall(Probe, candidate, self._failure) or self._notes.turn(Probe, candidate, what)
        if known is not None and (known.failure is None or known.failure.kind != "timeout"):
            return known  # what took too long may do so no more: the limit or the machine may be another
        probe, answers = self._bench.probe(candidate, items)
        if answers is not None and probe.failure is None:
            probe = self._sane(candidate, probe, answers)
        self._notes.keep(candidate, what, probe)
        return probe

    @property
    def _failure(self) -> str:
        """What a failure after the first look depends on."""
        return f"failure {self._bench.limits.memory_mb}"

    def _sane(self, candidate: Candidate, probe: Probe, answers: Answers) -> Probe:
        """The probe, failed if the first answers cannot be judged (another shape than the reference's)."""
        expected = answers if candidate.id == self._bench.reference.id else self._reference(0, len(answers))
        if answers.shape == expected.shape:
            return probe
        message = f"answers of shape {answers.shape} where the reference gives {expected.shape}"
        return msgspec.structs.replace(probe, failure=Failure(kind="invalid", message=message))

    def record_failure(self, candidate: Candidate, failure: Failure) -> None:
        """Keep a failure that came after the first look."""
        self._notes.keep(candidate, self._failure, Probe(build_s=0, load_s=0, memory_mb=0, failure=failure))

    def glance(self, candidate: Candidate) -> tuple[ServiceTime, ...]:
        """Rough service times of one item and of a small batch."""
        known = self._notes.turn(Speed, candidate, "glance")
        if known is None:
            batches = sorted({1, min(GLANCE_BATCH, candidate.max_batch)})
            service = tuple(self._bench.glance(candidate, batch) for batch in batches)
            known = Speed(service=service, reference_ratio=1.0, rough=True)
            self._notes.keep(candidate, "glance", known)
        return known.service

    def quiet_ms(self, reference: Candidate) -> float:
        """The reference's median service time of one item, now: measured anew in every run."""
        return self._bench.glance(reference, 1, 0.5).median_ms

    def speed(self, candidate: Candidate, quiet_ms: float, effort: float) -> Speed:
        """Careful service times; not kept until `keep_speed`."""
        known = self._notes.turn(Speed, candidate, "speed")
        return known or self._bench.speed(candidate, quiet_ms, effort)

    def timed_again(self, candidate: Candidate, quiet_ms: float) -> None:
        """Careful service times once more; of the two timings the quieter is kept."""
        before = self._notes.evidence([candidate])[candidate.id].speed
        if before is not None and self._notes.turn(Speed, candidate, "speed again") is None:
            again = self._bench.speed(candidate, quiet_ms, 1.0)
            quieter = min(before, again, key=lambda speed: speed.service[0].median_ms)
            self._notes.keep(candidate, "speed again", quieter)

    def keep_speed(self, candidate: Candidate, speed: Speed) -> None:
        """Keep the speed that was accepted, unless it came from the ledger."""
        if self._notes.evidence([candidate])[candidate.id].speed != speed:
            self._notes.keep(candidate, "speed", speed)

    def quality(self, candidate: Candidate, start: int, stop: int) -> Quality:
        """The verdict's raw material on items [start, stop)."""
        what = f"quality {start} {stop}"
        known = self._notes.turn(Quality, candidate, what)
        if known is None:
            own, reference = self._answered(candidate, start, stop), self._reference(start, stop)
            known = self._bench.subject.judge(candidate.numerics, own, reference, start)
            self._notes.keep(candidate, what, known)
        return known

    def _reference(self, start: int, stop: int) -> Answers:
        return self._answered(self._bench.reference, start, stop)

    def _answered(self, candidate: Candidate, start: int, stop: int) -> Answers:
        """Answers to items [start, stop), asking only for those that were not answered in this run."""
        runs = self._answers.setdefault(candidate.numerics, [])
        for place, (begin, answers) in enumerate(runs):
            end = begin + len(answers)
            if begin <= start < end or start == end:
                if end < stop:
                    answers = concatenated([answers, self._bench.answers(candidate, end, stop)])
                    runs[place] = (begin, answers)
                return answers[start - begin : stop - begin]
        runs.append((start, self._bench.answers(candidate, start, stop)))
        return runs[-1][1]
