"""What a server may switch to: measured once the choice is made, beside the chosen one.

A search only looks for the best. What is slower and more accurate has no chance to be that, so hardly any of it is
measured with the workers that the chosen one turned out to have; but a server that has little to do could answer with
it. Wanted are the subject as given and, between it and the chosen one, what is worth most beside them (see
`ladder.spread`), by all that is known or expected of it. Nothing measured here may change the choice: what is not
confirmed is not timed, and neither is what would take from the chosen one the confidence that is left for it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import msgspec

from steelyard.decision import Standing, choose, running
from steelyard.decision.rungs import is_beside, may_switch
from steelyard.ladder import MOST_RUNGS, Point, spread
from steelyard.records.candidate import Candidate
from steelyard.search.keeping import chance_to_keep, usual_drop
from steelyard.search.kinship import Kinship
from steelyard.search.known import Known, Step
from steelyard.search.prospects import LIKELY, Prospects

SHARE = 0.2
"""Of the time allowed, at most so much for all rungs together."""
MOST_TRIED = 5
"""Candidates; what looked worth having may turn out not to be."""
ORDER = ("look", "quality", "confirm", "speed")


class Rungs:
    """The steps that are left until the ladder is as good as it is worth the time."""

    def __init__(self, known: Known) -> None:
        self._kinship = Kinship(
            [s.candidate for s in known.standings], [known.outlooks[s.candidate.id].speed for s in known.standings]
        )
        self._asked: set[Step] = set()
        self._short: list[str] = []

    @property
    def told(self) -> list[str]:
        """What there was no time for, if it was wanted."""
        if not self._short:
            return []
        names = ", ".join(self._short)
        return [f"a server may switch between less than it could: no time was left to measure {names} (--within)"]

    def next(self, known: Known) -> Step | None:
        """The next step that fits into the time that `known` tells is left; None: there is none."""
        self._short = []
        for standing in self.wanted(known):
            steps = _open_steps(known, standing)
            if not steps or not self._may_be_asked(known, standing, steps[0]):
                continue
            if sum(known.seconds(step) for step in steps) > known.left_s:
                self._short.append(standing.candidate.id)
                continue
            self._asked.add(steps[0])
            return steps[0]._replace(most_s=known.left_s)
        return None

    def _may_be_asked(self, known: Known, standing: Standing, step: Step) -> bool:
        """Not twice, not of too many, and no timing that would change the choice."""
        tried = {asked.candidate.id for asked in self._asked}
        is_one_too_many = standing.candidate.id not in tried and len(tried) >= MOST_TRIED
        if step in self._asked or is_one_too_many:
            return False
        return step.kind != "speed" or _leaves_the_choice(known, standing)

    def wanted(self, known: Known) -> list[Standing]:
        """What should stand beside the chosen one: the subject as given first, then by what each is worth."""
        chosen = choose(running(known.standings)).chosen
        if chosen is None or not may_switch(chosen.requirements):
            return []
        prospects = Prospects(known, self._kinship)
        points = {s.candidate.id: _point(known, prospects, s) for s in known.standings}
        able = [s for s in known.standings if is_beside(s.candidate, chosen.candidate) and _is_likely(known, s)]
        better = [s for s in able if points[s.candidate.id].loss < points[chosen.candidate.id].loss]
        one_each = _one_of_each_variant(better, known, chosen, points)
        as_given = [s for s in one_each if s.candidate.numerics == known.reference.candidate.numerics]
        stairs = _stairs([*one_each, chosen], points)
        places = spread([points[s.candidate.id] for s in stairs], len(stairs) - 1, MOST_RUNGS)
        among = [stairs[place] for place in places if stairs[place] is not chosen]
        return list(dict.fromkeys([*as_given, *among]))[: MOST_RUNGS - 1]


def _point(known: Known, prospects: Prospects, standing: Standing) -> Point:
    """By what was measured, or by what relatives and experience promise."""
    prospect = prospects.all[standing.place]
    return Point(math.exp(-(prospect.low + prospect.high) / 2), _loss(known, standing))


def _loss(known: Known, standing: Standing) -> float:
    quality = standing.quality
    if quality is None:
        return usual_drop(known.outlooks[standing.candidate.id].keeps)
    return 0.0 if quality.identical else max(quality.drop, 0.0)


def _is_likely(known: Known, standing: Standing) -> bool:
    """Whether it runs and will more likely than not keep quality, memory and latency."""
    candidate = standing.candidate
    if known.failure(standing) or candidate.id in known.late or set(standing.breaks) - {"budget"}:
        return False
    glance = known.glances.get(candidate.id)
    if standing.speed is None and glance is not None and not known.figure.may_keep_the_bound(candidate, glance):
        return False
    keeps = known.outlooks[candidate.id].keeps
    return chance_to_keep(standing, keeps, known.reference.evidence.selected) >= LIKELY


def _one_of_each_variant(
    standings: Sequence[Standing], known: Known, chosen: Standing, points: Mapping[str, Point]
) -> list[Standing]:
    """Rungs are told by their variant. With the numerics of the reference where there is one, else the fastest; among
    these what divides the machine as the chosen one does."""

    def rank(standing: Standing) -> tuple[bool, bool, float]:
        candidate = standing.candidate
        is_as_given = candidate.numerics == known.reference.candidate.numerics
        is_alike = _division(candidate) == _division(chosen.candidate)
        return is_as_given, is_alike, -points[candidate.id].seconds

    best: dict[str, Standing] = {}
    for standing in standings:
        before = best.get(standing.candidate.variant)
        if before is None or rank(standing) > rank(before):
            best[standing.candidate.variant] = standing
    return list(best.values())


def _division(candidate: Candidate) -> tuple[int, int, int]:
    return candidate.threads, candidate.streams, candidate.instances


def _stairs(standings: Sequence[Standing], points: Mapping[str, Point]) -> list[Standing]:
    """From the most accurate on, those that are faster than all before; the last one given is the last."""
    *others, last = standings
    kept: list[Standing] = []
    for standing in sorted(others, key=lambda s: (points[s.candidate.id].loss, points[s.candidate.id].seconds)):
        before = points[kept[-1].candidate.id].seconds if kept else math.inf
        if points[last.candidate.id].seconds < points[standing.candidate.id].seconds < before:
            kept.append(standing)
    return [*kept, last]


def _open_steps(known: Known, standing: Standing) -> list[Step]:
    """What is left to be measured, in the order in which it must be: only what is confirmed is timed."""
    steps = known.open_steps(standing)
    if known.reference.split.confirm and standing.evidence.confirmed is None:
        steps.append(Step("confirm", standing.candidate))
    return sorted(steps, key=lambda step: ORDER.index(step.kind))


def _leaves_the_choice(known: Known, standing: Standing) -> bool:
    """Whether the same one is chosen, and this one not passed over, when it is as fast as it was glanced at."""
    glance = known.glances.get(standing.candidate.id)
    supposed = replace(standing, evidence=msgspec.structs.replace(standing.evidence, speed=glance))
    others = [supposed if s is standing else s for s in known.standings]
    before, after = choose(running(known.standings)).chosen, choose(running(others))
    if before is None or after.chosen is None or supposed in after.passed_over:
        return False
    return before.candidate.id == after.chosen.candidate.id
