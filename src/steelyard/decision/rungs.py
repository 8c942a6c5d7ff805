"""What a server may switch between: beside the chosen candidate, those worth having ready that keep what it keeps."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from steelyard.decision.figures import quality_figures
from steelyard.decision.standing import Standing
from steelyard.ladder import comparable, worth_having
from steelyard.records.candidate import Candidate
from steelyard.records.plan import QualityFigures
from steelyard.records.requirements import Requirements
from steelyard.scheduling import PLANNED_QUANTILE, profile
from steelyard.switching import Rung, per_second


def may_switch(requirements: Requirements) -> bool:
    """Whether a server has a reason to switch: requests come by themselves, and are to be answered within a bound."""
    return requirements.scenario == "server" and requirements.latency is not None


def is_beside(candidate: Candidate, chosen: Candidate) -> bool:
    """Whether the two can take turns: another variant, on the same machine, with as many workers."""
    is_other = candidate.variant != chosen.variant
    return is_other and candidate.workers == chosen.workers and candidate.machine == chosen.machine


def ladder(standings: Iterable[Standing], chosen: Standing, reference: QualityFigures) -> list[Standing]:
    """The rungs, the most accurate first; the chosen one is among them.

    Which are worth having is told from service times; only those are then simulated, since simulating all of many
    candidates would take seconds. One that breaks its promise goes, and the rest are looked at again.
    """
    latency = chosen.requirements.latency
    if latency is None or not may_switch(chosen.requirements):
        return [chosen]
    able = [s for s in standings if is_beside(s.candidate, chosen.candidate) and _is_good_enough(s)]
    while True:
        kept = _worth_having(able, chosen, reference, latency.bound_ms / 1000)
        late = {s.candidate.id for s in kept if s is not chosen and set(s.breaks) - {"budget"}}
        if not late:
            return kept
        able = [s for s in able if s.candidate.id not in late]


def _worth_having(
    able: Sequence[Standing], chosen: Standing, reference: QualityFigures, bound_s: float
) -> list[Standing]:
    pairs = [(s, _rung(s, reference)) for s in able]
    others = _one_of_each_variant(pairs, bound_s)
    by_id = {s.candidate.id: s for s, _ in others} | {chosen.candidate.id: chosen}
    kept = worth_having(
        _rung(chosen, reference),
        [rung for _, rung in others],
        bound_s,
        chosen.candidate.workers,
        lower_is_better=reference.lower_is_better,
    )
    return [by_id[rung.name] for rung in kept]


def _is_good_enough(standing: Standing) -> bool:
    """Whether it keeps quality and memory, and its latency is not hopeless.

    How many replicas are paid for is settled by the chosen one.
    """
    probe, judgement = standing.evidence.probe, standing.judgement
    if probe is None or probe.failure is not None or standing.speed is None or judgement is None:
        return False
    return judgement.verdict == "pass" and _is_confirmed(standing) and not standing.breaks_whatever_its_speed


def _is_confirmed(standing: Standing) -> bool:
    quality = standing.quality
    return standing.evidence.confirmed is not None or (quality is not None and quality.identical)


def _one_of_each_variant(pairs: Sequence[tuple[Standing, Rung]], bound_s: float) -> list[tuple[Standing, Rung]]:
    """The fastest: answers name their variant, so no two rungs may have the same."""
    best: dict[str, tuple[Standing, Rung]] = {}
    for standing, rung in pairs:
        before = best.get(standing.candidate.variant)
        if before is None or per_second(rung.profile, bound_s) > per_second(before[1].profile, bound_s):
            best[standing.candidate.variant] = standing, rung
    return list(best.values())


def _rung(standing: Standing, reference: QualityFigures) -> Rung:
    """By its id, and without what it costs, which nothing here asks for. Of one whose speed and quality are known."""
    service = () if standing.speed is None else standing.speed.service
    largest = min(standing.candidate.max_batch, max(one.batch for one in service))
    return Rung(
        name=standing.candidate.id,
        quality=comparable(reference, quality_figures(standing)),
        profile=profile(service, PLANNED_QUANTILE, largest),
        cost_per_thousand=None,
        service=service,
    )
