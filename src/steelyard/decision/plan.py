"""Put the decision together: who is chosen, what stands on the front, what every other one failed on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import msgspec

from steelyard.decision import amounts, relax, several
from steelyard.decision.choice import choose
from steelyard.decision.figures import figures_of, quality_figures
from steelyard.decision.flips import flips
from steelyard.decision.preference import front, running
from steelyard.decision.rungs import ladder
from steelyard.decision.standing import Standing, stand
from steelyard.decision.words import broken, number, quality_sentence, reason_against
from steelyard.records.machine import Price
from steelyard.records.measurement import Evidence, FailureKind
from steelyard.records.plan import SCHEMA, Gain, Outcome, Plan, SearchFigures, Weighed
from steelyard.records.requirements import Requirements
from steelyard.records.subject import Split
from steelyard.records.weighing import Weighing

CUT_SHORT = "The time allowed ended the search before all was settled: a better candidate may exist (--within)."
ALL_TOLD = 60
"""Up to this many candidates every one that ran gets figures; beyond it only those that matter to the decision."""


def decide(
    weighing: Weighing,
    evidence: Mapping[str, Evidence],
    requirements: Requirements,
    price: Price,
    *,
    search: SearchFigures,
    version: str,
    created: str,
    warnings: Sequence[str] = (),
    unfinished: str = CUT_SHORT,
) -> Plan:
    """The plan for these requirements and this price. Pure: equal arguments give equal plans.

    `unfinished` is warned when the search was not complete.
    Raises `InputError` when the reference itself was not measured.
    """
    split = Split(select=weighing.subject.items_select, confirm=weighing.subject.items_confirm)
    prices = {place.name: place.price for place in weighing.places}
    standings = stand(weighing.candidates, evidence, requirements, price, split, prices)
    _check_direction(several.reference_of(standings, None))
    decided = _decided(standings)
    place = several.place_of(weighing, decided.reference)
    plan = Plan(
        schema=SCHEMA,
        steelyard=version,
        created=created,
        status=decided.status,
        summary=_summary(decided),
        subject=weighing.subject,
        requirements=requirements,
        machine=place.machine,
        price=place.price,
        chosen=None,
        quality=None,
        latency=None,
        capacity_per_replica=None,
        replicas=None,
        cost=None,
        reference=figures_of(decided.reference),
        gain=None,
        candidates=tuple(sorted(_told(decided), key=_rank)),
        front=tuple(s.candidate.id for s in decided.front),
        search=search,
        warnings=(*warnings, *requirements.arrivals.told, *(() if search.complete else (unfinished,))),
        machines=several.machine_figures(weighing, standings, decided.passing),
        ladder=tuple(s.candidate.id for s in decided.ladder),
    )
    return _with_nearest(plan, decided) if decided.chosen is None else _with_chosen(plan, decided, decided.chosen)


@dataclass(frozen=True)
class _Decided:
    """What comes of holding every candidate against the requirements."""

    standings: Sequence[Standing]
    simulated: Sequence[Standing]
    """Those of them that can matter."""
    chosen: Standing | None
    passed_over: Sequence[Standing]
    passing: Sequence[Standing]
    """The most preferred first."""
    front: Sequence[Standing]
    reference: Standing
    nearest: Standing | None
    """None when one is chosen."""
    ladder: Sequence[Standing]
    """What a server may switch between, the most accurate first; empty when nothing is chosen."""

    @property
    def status(self) -> Literal["met", "infeasible", "undecided"]:
        if self.chosen is not None:
            return "met"
        return "undecided" if any(s.stand == "undecided" for s in self.standings) else "infeasible"


def _decided(standings: Sequence[Standing]) -> _Decided:
    simulated = _worth_simulating(standings)
    ordered = running(simulated)
    chosen, passed_over, _ = choose(ordered)
    passing = [s for s in ordered if s.stand == "passes" and s not in passed_over]
    reference = several.reference_of(standings, chosen)
    rungs = _ladder(standings, passed_over, chosen, reference)
    return _Decided(
        standings=standings,
        simulated=[*simulated, *(rung for rung in rungs if rung not in simulated)],
        chosen=chosen,
        passed_over=passed_over,
        passing=passing,
        front=front(passing, chosen),
        reference=reference,
        nearest=None if chosen else relax.nearest(standings),
        ladder=rungs,
    )


def _ladder(
    standings: Sequence[Standing], passed_over: Sequence[Standing], chosen: Standing | None, reference: Standing
) -> list[Standing]:
    if chosen is None:
        return []
    return ladder((s for s in standings if s not in passed_over), chosen, figures_of(reference).quality)


def _with_chosen(plan: Plan, decided: _Decided, chosen: Standing) -> Plan:
    figures = figures_of(chosen)
    changes, sensitivity = flips(decided.simulated, chosen)
    return msgspec.structs.replace(
        plan,
        chosen=figures.candidate,
        quality=figures.quality,
        latency=figures.latency,
        capacity_per_replica=figures.capacity_per_replica,
        replicas=figures.replicas,
        cost=figures.cost,
        gain=_gain(chosen, decided.reference),
        flips=changes,
        sensitivity=sensitivity,
    )


def _with_nearest(plan: Plan, decided: _Decided) -> Plan:
    near = decided.nearest
    return msgspec.structs.replace(
        plan,
        nearest=near.candidate.id if near else None,
        binding=relax.binding(near) if near else (),
        relaxations=relax.relaxations(decided.standings),
    )


def _check_direction(reference: Standing) -> None:
    """The metric is known from what was measured by it."""
    quality = reference.quality
    if quality is not None:
        reference.requirements.check_direction(quality.metric, lower_is_better=quality.lower_is_better)


def _worth_simulating(standings: Sequence[Standing]) -> list[Standing]:
    """Leave out those that cannot matter, so that a large ledger is decided on quickly.

    A candidate matters to the choice or the front unless another one, already simulated, serves more than it could
    possibly serve and is not worse in quality. Of few candidates none is left out.
    """
    if len(standings) <= ALL_TOLD:
        return list(standings)
    kept = [standings[0]]
    able = [s for s in standings[1:] if s.speed and s.quality and not s.breaks_whatever_its_speed]
    for standing in sorted(able, key=lambda s: -s.capacity_at_most):
        if not any(_surely_better(other, standing) for other in kept):
            kept.append(standing)
    return kept


def _surely_better(other: Standing, standing: Standing) -> bool:
    if other.stand != "passes" or other.quality is None or standing.quality is None:
        return False
    if other.candidate.machine != standing.candidate.machine:
        return False  # another price: more requests may still cost more
    return other.capacity >= standing.capacity_at_most and other.quality.drop <= standing.quality.drop


def _told(decided: _Decided) -> list[Weighed]:
    ruled_out = (s for s in decided.standings if s not in decided.simulated)
    return [*(_weighed(s, decided) for s in decided.simulated), *(_ruled_out(s, decided) for s in ruled_out)]


def _weighed(standing: Standing, decided: _Decided) -> Weighed:
    complete = standing.speed is not None and standing.quality is not None
    return Weighed(
        id=standing.candidate.id,
        verdict=_outcome(standing, decided),
        reason=_reason(standing, decided),
        failure=_failure(standing),
        figures=figures_of(standing) if complete else None,
        quality=quality_figures(standing) if standing.quality and not complete else None,
    )


def _ruled_out(standing: Standing, decided: _Decided) -> Weighed:
    """One that was not worth simulating: what it fails on, or that it cannot win."""
    name, breaks = standing.candidate.id, standing.breaks_whatever_its_speed
    if standing.speed is None or standing.quality is None or _failure(standing) is not None:
        return _weighed(standing, decided)
    if breaks:
        return Weighed(id=name, verdict="fails", reason="; ".join(broken(standing, one) for one in breaks))
    reason = f"at most {number(standing.capacity_at_most)} requests/s, which others exceed at no lower quality"
    return Weighed(id=name, verdict="dominated", reason=reason)


def _failure(standing: Standing) -> FailureKind | None:
    probe = standing.evidence.probe
    return probe.failure.kind if probe is not None and probe.failure is not None else None


def _reason(standing: Standing, decided: _Decided) -> str:
    if standing is decided.chosen:
        return f"keeps every requirement; {quality_sentence(standing)}"
    if standing in decided.passed_over:
        return f"passes alone, but not at the confidence that was left for it: {quality_sentence(standing)}"
    return reason_against(standing, decided.chosen)


def _outcome(standing: Standing, decided: _Decided) -> Outcome:
    if standing is decided.chosen:
        return "chosen"
    if standing in decided.passed_over:
        return "undecided"
    if standing in decided.front:
        return "front"
    return "dominated" if standing.stand == "passes" else standing.stand


def _rank(told: Weighed) -> tuple[float, ...]:
    order = ("chosen", "front", "dominated", "undecided", "fails", "not measured", "failed")
    cost = told.figures.cost.per_million if told.figures else None
    return (order.index(told.verdict), float("inf") if cost is None else cost)


def _gain(chosen: Standing, reference: Standing) -> Gain:
    if reference.capacity <= 0:
        return Gain(speed=None, cost=None)
    ratio = chosen.capacity / reference.capacity
    return Gain(speed=ratio, cost=ratio)


def _summary(decided: _Decided) -> str:
    chosen, near = decided.chosen, decided.nearest
    if chosen is not None and chosen.quality is not None and chosen.judgement is not None:
        return f"Run {chosen.candidate.id}: {_speed_sentence(chosen, decided.reference)}, {_quality_words(chosen)}."
    if near is None:
        return "No candidate could be run to the end, so there is no plan."
    what = "is proven by no candidate" if decided.status == "undecided" else "is broken by every candidate"
    return f"No plan: {' and '.join(relax.binding(near))} {what}; the nearest is {near.candidate.id}."


def _speed_sentence(chosen: Standing, reference: Standing) -> str:
    if reference.capacity <= 0:
        return f"{number(chosen.capacity)} requests/s per replica where the reference cannot keep the latency bound"
    if chosen.candidate.id == reference.candidate.id:
        return f"the model as given is the best that was found, {number(chosen.capacity)} requests/s per replica"
    return (
        f"{number(chosen.capacity)} requests/s per replica, {number(chosen.capacity / reference.capacity)} times "
        f"the reference's {number(reference.capacity)}{' on the same machine' if chosen.candidate.machine else ''}"
    )


def _quality_words(chosen: Standing) -> str:
    quality, judgement = chosen.quality, chosen.judgement
    if quality is None or judgement is None:
        return "quality not measured"
    metric, lower = quality.metric, quality.lower_is_better
    value, expected = (amounts.value(metric, v, lower_is_better=lower) for v in (quality.value, quality.reference))
    if quality.identical:
        return f"{metric} {value}, the reference's own answers"
    confirmed = "" if chosen.evidence.confirmed else " (not confirmed on items of their own)"
    most = amounts.at_most(metric, judgement.drop_bound, lower_is_better=lower)
    return f"{metric} {value} against {expected}, {most} at {chosen.requirements.confidence:.0%} confidence{confirmed}"
