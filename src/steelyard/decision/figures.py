"""What is told of one candidate in a plan: its settings and all its figures."""

from __future__ import annotations

from steelyard.decision.standing import Standing
from steelyard.decision.worth import energy_of
from steelyard.errors import InputError
from steelyard.records.plan import Chosen, Figures, QualityFigures


def figures_of(standing: Standing) -> Figures:
    """All figures of a candidate. Raises `InputError` when it was not measured to the end."""
    candidate, probe, speed = standing.candidate, standing.evidence.probe, standing.speed
    if speed is None or probe is None:
        raise InputError(f"{candidate.id} has not been measured to the end")
    return Figures(
        candidate=Chosen(
            id=candidate.id,
            variant=candidate.variant,
            runtime=candidate.runtime,
            precision=candidate.precision,
            threads=candidate.threads,
            streams=candidate.streams,
            instances=candidate.instances,
            max_batch=min(candidate.max_batch, max(s.batch for s in speed.service)),
            machine=standing.price.machine,
        ),
        quality=quality_figures(standing),
        latency=standing.latency,
        capacity_per_replica=standing.capacity,
        replicas=standing.replicas,
        cost=standing.cost,
        memory_mb=probe.memory_mb,
        load_s=probe.load_s,
        service=speed.service,
        energy=energy_of(candidate, speed),
        load=standing.load,
    )


def quality_figures(standing: Standing) -> QualityFigures:
    """What is known of its quality. Raises `InputError` when that was not measured."""
    quality, judgement = standing.quality, standing.judgement
    if quality is None or judgement is None:
        raise InputError(f"the quality of {standing.candidate.id} has not been measured")
    return QualityFigures(
        metric=quality.metric,
        value=quality.value,
        reference=quality.reference,
        drop=quality.drop,
        bound=judgement.drop_bound,
        value_bound=judgement.value_bound,
        verdict=judgement.verdict,
        confidence=standing.confidence,
        items=quality.items,
        confirmed=quality is standing.evidence.confirmed,
        items_needed=judgement.items_needed,
        lower_is_better=quality.lower_is_better,
    )
