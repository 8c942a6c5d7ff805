"""What can be asked of a candidate: answered from the ledger when it was asked before, measured otherwise."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from steelyard.records.candidate import Candidate, Numerics
from steelyard.records.measurement import Failure, Load, Probe, Quality, Speed
from steelyard.records.requirements import Latency, Requirements
from steelyard.records.subject import Answers, concatenated
from steelyard.search.bench import Bench
from steelyard.search.notebook import Notebook

FIRST_ITEMS = 32
"""Answered in the first look."""
GLANCE_BATCH = 8
"""Glanced at beside one item and the largest batch."""
GLANCE_S = 0.08


class Questions:
    """Bench and notebook together: each question is measured at most once, ever."""

    def __init__(self, bench: Bench, notes: Notebook) -> None:
        self._bench = bench
        self._notes = notes
        self._split = bench.subject.split
        self._answers: dict[Numerics, list[tuple[int, Answers]]] = {}

    def take_over(self, candidates: Sequence[Candidate], requirements: Requirements) -> None:
        """Note all that the ledger holds of these candidates and that may still be relied on."""
        opened = [c for c in candidates if self._notes.recall(Probe, c, self._probing, unless=_took_too_long)]
        for candidate in opened:
            self._notes.recall(Probe, candidate, self._failure, unless=_took_too_long)
            for what in ("glance", "speed", "speed again"):
                self._notes.recall(Speed, candidate, what)
            if requirements.latency is not None:
                self._notes.recall(Load, candidate, _under_load(requirements, requirements.latency))
        for candidate in {c.numerics: c for c in reversed(opened)}.values():
            for start, stop in (*((0, items) for items in self._split.looks), (self._split.select, self._split.total)):
                self._notes.recall(Quality, candidate, _judged(start, stop))

    def probe(self, candidate: Candidate) -> Probe:
        """The first look: does it build, open, answer sanely."""
        known = self._notes.turn(Probe, candidate, self._probing, unless=_took_too_long)
        if known is not None:
            return known
        items = min(FIRST_ITEMS, self._split.select)
        probe, answers = self._bench.probe(candidate, items)
        if answers is not None and probe.failure is None:
            probe = self._sane(candidate, probe, answers)
        self._notes.keep(candidate, self._probing, probe)
        return probe

    @property
    def _probing(self) -> str:
        """What a first look depends on beyond the candidate: the limits and how many items."""
        return f"probe {min(FIRST_ITEMS, self._split.select)} {self._bench.limits.memory_mb}"

    @property
    def _failure(self) -> str:
        """What a failure after the first look depends on."""
        return f"failure {self._bench.limits.memory_mb}"

    @property
    def _of_reference(self) -> Candidate:
        return self._bench.subject.candidates()[0]

    def _sane(self, candidate: Candidate, probe: Probe, answers: Answers) -> Probe:
        """The probe, failed if the first answers cannot be judged (another shape than the reference's)."""
        is_reference = candidate.id == self._of_reference.id
        expected = answers if is_reference else self._reference(0, len(answers))
        if answers.shape == expected.shape:
            return probe
        message = f"answers of shape {answers.shape} where the reference gives {expected.shape}"
        return msgspec.structs.replace(probe, failure=Failure(kind="invalid", message=message))

    def record_failure(self, candidate: Candidate, failure: Failure) -> None:
        """Keep a failure that came after the first look."""
        self._notes.keep(candidate, self._failure, Probe(build_s=0, load_s=0, memory_mb=0, failure=failure))

    def glance(self, candidate: Candidate) -> Speed:
        """Rough service times of one item, of a small batch and of the largest."""
        known = self._notes.turn(Speed, candidate, "glance")
        if known is None:
            batches = sorted({1, min(GLANCE_BATCH, candidate.max_batch), candidate.max_batch})
            service = tuple(self._bench.glance(candidate, batch, GLANCE_S) for batch in batches)
            known = Speed(service=service, reference_ratio=1.0, rough=True)
            self._notes.keep(candidate, "glance", known)
        return known

    def quiet_ms(self, reference: Candidate) -> float:
        """The reference's median service time of one item, now: measured anew in every run."""
        return self._bench.glance(reference, 1, 0.5).median_ms

    def speed(self, candidate: Candidate, quiet_ms: float, effort: float) -> Speed:
        """Careful service times; not kept until `keep_speed`."""
        known = self._notes.turn(Speed, candidate, "speed")
        return known or self._bench.speed(candidate, quiet_ms, effort)

    def timed_again(self, candidate: Candidate, quiet_ms: float, effort: float) -> None:
        """Careful service times once more; of the two timings the quieter is kept."""
        before = self._notes.evidence([candidate])[candidate.id].speed
        if before is not None and self._notes.turn(Speed, candidate, "speed again") is None:
            again = self._bench.speed(candidate, quiet_ms, effort)
            quieter = min(before, again, key=lambda speed: speed.service[0].median_ms)
            self._notes.keep(candidate, "speed again", quieter)

    def keep_speed(self, candidate: Candidate, speed: Speed) -> None:
        """Keep the speed that was accepted, unless it came from the ledger."""
        if self._notes.evidence([candidate])[candidate.id].speed != speed:
            self._notes.keep(candidate, "speed", speed)

    def load(
        self, candidate: Candidate, rate: float, seconds: float, requirements: Requirements, latency: Latency
    ) -> Load:
        """One run under real load; not kept until `keep_load`."""
        speed = self._notes.evidence([candidate])[candidate.id].speed
        service = () if speed is None else speed.service
        return self._bench.load(candidate, rate, requirements.arrivals, seconds, latency, service)

    def keep_load(self, candidate: Candidate, load: Load, requirements: Requirements, latency: Latency) -> None:
        """Keep the run that tells what rate holds."""
        self._notes.keep(candidate, _under_load(requirements, latency), load)

    def quality(self, candidate: Candidate, start: int, stop: int) -> Quality:
        """The verdict's raw material on items [start, stop)."""
        known = self._notes.turn(Quality, candidate, _judged(start, stop))
        if known is None:
            own, reference = self._answered(candidate, start, stop), self._reference(start, stop)
            known = self._bench.subject.judge(candidate.numerics, own, reference, start)
            self._notes.keep(candidate, _judged(start, stop), known)
        return known

    def _reference(self, start: int, stop: int) -> Answers:
        return self._answered(self._of_reference, start, stop)

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


def _judged(start: int, stop: int) -> str:
    return f"quality {start} {stop}"


def _under_load(requirements: Requirements, latency: Latency) -> str:
    return f"load p{latency.percentile:g} {latency.bound_ms:g} {requirements.arrivals.words}"


def _took_too_long(probe: Probe) -> bool:
    """What took too long may do so no more: the limit or the machine may be another."""
    return probe.failure is not None and probe.failure.kind == "timeout"
