"""All that the next step of a search depends on, and the steps that there are."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, NamedTuple, Protocol

from steelyard.decision import Standing
from steelyard.records.candidate import Candidate, Numerics
from steelyard.records.measurement import Failure, FailureKind, Speed
from steelyard.records.subject import Outlook
from steelyard.search.costs import Costs
from steelyard.search.figure import Figure

Kind = Literal["look", "quality", "speed", "confirm"]
"""look: build, open, answer a few items, time roughly; quality: on the next of the growing parts of the selecting
items; speed: careful service times; confirm: quality on the items that took no part in selecting."""


STAGES: dict[Kind, str] = {"look": "first look", "quality": "quality", "speed": "speed", "confirm": "confirming"}
"""What they are called to people."""
OF_ALL_ITS_KIND: tuple[FailureKind, ...] = ("build", "unsupported", "invalid")
"""Failures that other settings of threads and streams would not mend."""


class Step(NamedTuple):
    """One measurement to be made."""

    kind: Kind
    candidate: Candidate
    items: int = 0
    """Of `quality`: the look takes in so many."""
    most_s: float = math.inf
    """It is broken off when it takes longer: what it promised was not worth so much."""


def told(step: Step, confirm: int) -> str:
    """What it does, for people; `confirm`: how many items confirm."""
    candidate = step.candidate
    return {
        "look": f"building and opening {candidate.id}",
        "quality": f"{step.items:,} items by {candidate.numerics}",
        "speed": f"timing {candidate.id}",
        "confirm": f"{confirm:,} items that did not select it, by {candidate.numerics}",
    }[step.kind]


@dataclass(frozen=True)
class Known:
    """What is known of the candidates (the reference first), and what a step would cost."""

    standings: Sequence[Standing]
    glances: Mapping[str, Speed]
    outlooks: Mapping[str, Outlook]
    costs: Costs
    figure: Figure
    unbuilt: Callable[[Candidate], float]
    """Of the steps that build it, the share that has not been made yet."""
    effort: float = 1.0
    """Of careful timings, see `measure.speed`."""
    passed_s: float = 0.0
    """Since the search began."""
    left_s: float = float("inf")
    """Until the time is up."""
    load_s: Callable[[float], float] = lambda _: 0.0
    """Seconds of real load on a candidate of some capacity."""
    late: frozenset[str] = frozenset()
    """Ids of those whose step was broken off because the time was up."""

    @property
    def reference(self) -> Standing:
        """The subject as the user gave it."""
        return self.standings[0]

    @property
    def looks(self) -> tuple[int, ...]:
        """The growing parts of the selecting items."""
        return self.reference.split.looks

    def next_look(self, standing: Standing) -> int | None:
        """How many items the next look at its quality takes in; None: it was judged, or on all."""
        selected, judgement = standing.evidence.selected, standing.judgement
        if selected is None:
            return self.looks[0]
        if judgement is None or judgement.verdict != "undecided" or selected.identical:
            return None
        return next((items for items in self.looks if items > selected.items), None)

    def failure(self, standing: Standing) -> Failure | None:
        """Why it cannot be built, opened or run: its own failure, or one that it shares with all of its numerics."""
        probe = standing.evidence.probe
        own = None if probe is None else probe.failure
        return own or self._shared_failures.get(standing.candidate.numerics)

    @cached_property
    def _shared_failures(self) -> dict[Numerics, Failure]:
        return {
            s.candidate.numerics: s.evidence.probe.failure
            for s in self.standings[1:]
            if s.evidence.probe is not None
            and s.evidence.probe.failure is not None
            and s.evidence.probe.failure.kind in OF_ALL_ITS_KIND
        }

    def seconds(self, step: Step) -> float:
        """What the step is expected to take."""
        candidate = step.candidate
        glance = self.glances.get(candidate.id)
        match step.kind:
            case "look":
                return self.costs.look(candidate, self.unbuilt(candidate))
            case "speed":
                like = glance or self.glances.get(self.reference.candidate.id)
                return self.costs.speed(candidate, like, self.effort)
            case "confirm":
                return self.costs.answers(candidate, self.reference.split.confirm, glance)
            case "quality":
                return self.costs.answers(candidate, step.items, glance)

    def open_steps(self, standing: Standing) -> list[Step]:
        """What is left to be measured of it, confirming aside, in the usual order."""
        candidate, steps = standing.candidate, []
        if standing.evidence.probe is None or (standing.speed is None and candidate.id not in self.glances):
            steps.append(Step("look", candidate))
        if (items := self.next_look(standing)) is not None:
            steps.append(Step("quality", candidate, items))
        if standing.speed is None:
            steps.append(Step("speed", candidate))
        return steps

    def is_open(self, standing: Standing) -> bool:
        """Whether there is anything left to be measured of it, confirming aside."""
        is_out = self.failure(standing) is not None or standing.candidate.id in self.late
        return not is_out and bool(self.open_steps(standing))

    def to_finish(self, standing: Standing, capacity: float) -> float:
        """Seconds until it can be chosen: measured to the end, confirmed, and put under load."""
        steps = self.open_steps(standing)
        if self.reference.split.confirm and standing.evidence.confirmed is None:
            steps.append(Step("confirm", standing.candidate))
        load_s = self.load_s(capacity) if standing.load is None else 0.0
        return sum(self.seconds(step) for step in steps) + load_s


class Strategy(Protocol):
    """Which measurement is made next. Pure: the same knowledge gives the same step."""

    def next(self, known: Known) -> Step | None:
        """The next step; None when nothing is left to be measured, or nothing that fits into the time."""

    def reasons(self, known: Known) -> Mapping[str, str]:
        """By id, why each that was not measured to the end was not; no entry: it was."""

    def wants_more(self, known: Known) -> bool:
        """Whether only the time keeps it from measuring more."""
