"""What a server may switch between: beside the chosen candidate, those worth having ready that keep what it keeps."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from steelyard.decision.figures import figures_of
from steelyard.decision.standing import Standing
from steelyard.ladder import rung_of, worth_having
from steelyard.records.candidate import Candidate
from steelyard.records.plan import QualityFigures
from steelyard.records.requirements import Requirements
from steelyard.switching import Rung


def may_switch(requirements: Requirements) -> bool:
    """Whether a server has a reason to switch: requests come by themselves, and are to be answered within a bound."""
    return requirements.scenario == "server" and requirements.latency is not None


def is_beside(candidate: Candidate, chosen: Candidate) -> bool:
    """Whether the two can take turns: another variant, on the same machine, with as many workers."""
    is_other = candidate.variant != chosen.variant
    return is_other and candidate.workers == chosen.workers and candidate.machine == chosen.machine


def ladder(standings: Iterable[Standing], chosen: Standing, reference: QualityFigures) -> list[Standing]:
    """The rungs, the most accurate first; the chosen one is among them."""
    latency = chosen.requirements.latency
    if latency is None or not may_switch(chosen.requirements):
        return [chosen]
    able = [s for s in standings if is_beside(s.candidate, chosen.candidate) and _keeps_its_promise(s)]
    by_id = {s.candidate.id: s for s in (*_one_of_each_variant(able), chosen)}
    *others, mine = (_rung(s, reference) for s in by_id.values())
    kept = worth_having(
        mine,
        others,
        latency.bound_ms / 1000,
        chosen.candidate.workers,
        lower_is_better=reference.lower_is_better,
    )
    return [by_id[rung.name] for rung in kept]


def _keeps_its_promise(standing: Standing) -> bool:
    """Whether it keeps quality, memory and latency; how many replicas are paid for is settled by the chosen one."""
    probe, judgement = standing.evidence.probe, standing.judgement
    if probe is None or probe.failure is not None or standing.speed is None or judgement is None:
        return False
    return judgement.verdict == "pass" and _is_confirmed(standing) and not set(standing.breaks) - {"budget"}


def _is_confirmed(standing: Standing) -> bool:
    quality = standing.quality
    return standing.evidence.confirmed is not None or (quality is not None and quality.identical)


def _one_of_each_variant(standings: Sequence[Standing]) -> list[Standing]:
    """The one of highest capacity: answers name their variant, so no two rungs may have the same."""
    best: dict[str, Standing] = {}
    for standing in standings:
        before = best.get(standing.candidate.variant)
        if before is None or standing.capacity > before.capacity:
            best[standing.candidate.variant] = standing
    return list(best.values())


def _rung(standing: Standing, reference: QualityFigures) -> Rung:
    return msgspec.structs.replace(rung_of(figures_of(standing), reference), name=standing.candidate.id)
