"""What a search may know, put together by hand."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import made_up
from steelyard.decision import stand
from steelyard.records.candidate import Candidate
from steelyard.records.machine import Price
from steelyard.records.measurement import Evidence, Failure, FailureKind, Probe, Quality, Speed
from steelyard.records.requirements import Requirements
from steelyard.records.subject import Outlook, Split
from steelyard.search.costs import Costs
from steelyard.search.figure import Figure
from steelyard.search.known import Known

SPLIT = Split(select=1000, confirm=1500)
LOOKED_AT = Probe(build_s=0, load_s=0.1, memory_mb=100)


@dataclass
class Knowledge:
    """Candidates (the reference first) with outlooks; what was seen of them is added in between."""

    outlooks: dict[Candidate, Outlook]
    requirements: Requirements = field(default_factory=lambda: Requirements(quality_drop=0.02))
    evidence: dict[str, Evidence] = field(default_factory=dict)
    glances: dict[str, Speed] = field(default_factory=dict)
    built: set[str] = field(default_factory=set)
    late: set[str] = field(default_factory=set)

    def of(self, candidate: Candidate) -> Evidence:
        return self.evidence.get(candidate.id) or Evidence(candidate_id=candidate.id)

    def add(self, candidate: Candidate, **fields: Any) -> None:
        before = self.of(candidate)
        values = {name: getattr(before, name) for name in before.__struct_fields__}
        self.evidence[candidate.id] = Evidence(**(values | fields))

    def looked(self, candidate: Candidate, ms: float) -> None:
        self.built.add(candidate.variant)
        self.add(candidate, probe=LOOKED_AT)
        self.glances[candidate.id] = made_up.service(ms, ms / 10)

    def timed(self, candidate: Candidate, ms: float) -> None:
        self.looked(candidate, ms)
        self.add(candidate, speed=made_up.service(ms, ms / 10))

    def judged(self, candidate: Candidate, worse: float, items: int = 1000) -> None:
        """Of all with these numerics, as a search would note it."""
        for other in self.outlooks:
            if other.numerics == candidate.numerics:
                self.add(other, selected=quality(0, items, worse))

    def confirmed(self, candidate: Candidate, worse: float) -> None:
        for other in self.outlooks:
            if other.numerics == candidate.numerics:
                self.add(other, confirmed=quality(1000, 1500, worse))

    def failed(self, candidate: Candidate, kind: FailureKind) -> None:
        self.add(candidate, probe=Probe(build_s=0, load_s=0, memory_mb=0, failure=Failure(kind=kind, message="no")))

    def known(self, **changes: Any) -> Known:
        outlooks = {candidate.id: outlook for candidate, outlook in self.outlooks.items()}
        known = Known(
            standings=stand(list(self.outlooks), self.evidence, self.requirements, Price(), SPLIT),
            glances=self.glances,
            outlooks=outlooks,
            costs=Costs(outlooks),
            figure=Figure(self.requirements, Price()),
            unbuilt=lambda candidate: float(candidate.variant not in self.built),
            late=frozenset(self.late),
        )
        return replace(known, **changes)


def quality(start: int, items: int, worse: float) -> Quality:
    """Never `identical`: that only the reference's own answers are."""
    made = made_up.quality(start, items, worse=worse)
    return Quality(**{name: getattr(made, name) for name in made.__struct_fields__} | {"identical": False})


def with_reference(outlooks: dict[Candidate, Outlook], ms: float = 10.0, **fields: Any) -> Knowledge:
    """The reference measured to the end, nothing else known."""
    knowledge = Knowledge({made_up.REFERENCE: Outlook(), **outlooks}, **fields)
    knowledge.timed(made_up.REFERENCE, ms)
    knowledge.judged(made_up.REFERENCE, 0.0)
    own = made_up.quality(0, 1000), made_up.quality(1000, 1500)
    for candidate in knowledge.outlooks:
        if candidate.numerics == made_up.REFERENCE.numerics:
            knowledge.add(candidate, selected=own[0], confirmed=own[1])
    return knowledge
