"""From a plan to the ladder of variants that may answer."""

from __future__ import annotations

import math

import msgspec

from steelyard.errors import BundleError
from steelyard.records.plan import Chosen, Figures, Outcome, Plan, QualityFigures
from steelyard.scheduling import PLANNED_QUANTILE, profile
from steelyard.switching import Ladder, Rung, ordered, per_second

KEEPING: tuple[Outcome, ...] = ("chosen", "front", "dominated")
"""Outcomes of candidates that keep every requirement, the quality floor among them."""


def ladder_of(plan: Plan, bound_s: float | None = None) -> Ladder:
    """The variants on the plan's front as rungs, named after the variant; the chosen one is always among them.

    Another bound than the plan's changes what is promised, not what is ready. Raises BundleError for a plan that
    chose nothing.
    """
    chosen = _chosen(plan)
    bound = _bound_s(plan)
    lower = plan.reference.quality.lower_is_better
    mine = _rung(plan, chosen)
    others = [_rung(plan, figures) for figures in _of_other_variants(plan, chosen)]
    kept = [other for other in others if not _replaces(other, mine, bound, lower)]
    made = ordered([mine, *kept], bound, chosen.candidate.workers, lower_is_better=lower)
    return made if bound_s is None else msgspec.structs.replace(made, bound_s=bound_s)


def figures_of(plan: Plan) -> tuple[Figures, ...]:
    """The candidates that the rungs are, in the ladder's order. Raises BundleError for a plan that chose nothing."""
    chosen = _chosen(plan)
    by_variant = {one.candidate.variant: one for one in (*_of_other_variants(plan, chosen), chosen)}
    return tuple(by_variant[rung.name] for rung in ladder_of(plan).rungs)


def _chosen(plan: Plan) -> Figures:
    if plan.chosen_figures is None:
        raise BundleError("the plan holds no chosen candidate", "weigh again with other requirements")
    return plan.chosen_figures


def _bound_s(plan: Plan) -> float:
    latency = plan.requirements.latency
    return math.inf if latency is None else latency.bound_ms / 1000


def _of_other_variants(plan: Plan, chosen: Figures) -> list[Figures]:
    """Of each other variant on the front, the one of highest capacity that runs beside the chosen one.

    It keeps every requirement, has as many workers and is for the same machine.
    """
    front = {one.figures.candidate.variant for one in plan.candidates if one.figures and one.id in plan.front}
    best: dict[str, Figures] = {}
    for one in plan.candidates:
        figures = one.figures
        if figures is None or one.verdict not in KEEPING or not _beside(figures.candidate, chosen.candidate):
            continue
        variant = figures.candidate.variant
        if variant in front and (
            variant not in best or figures.capacity_per_replica > best[variant].capacity_per_replica
        ):
            best[variant] = figures
    return list(best.values())


def _beside(one: Chosen, chosen: Chosen) -> bool:
    return one.variant != chosen.variant and one.workers == chosen.workers and one.machine == chosen.machine


def _rung(plan: Plan, figures: Figures) -> Rung:
    cost = figures.cost.per_million
    return Rung(
        name=figures.candidate.variant,
        quality=_comparable(plan.reference.quality, figures.quality),
        profile=profile(figures.service, PLANNED_QUANTILE, figures.candidate.max_batch),
        cost_per_thousand=None if cost is None else cost / 1000,
        service=figures.service,
    )


def _comparable(reference: QualityFigures, quality: QualityFigures) -> float:
    """Candidates are judged on different items: what compares them is their drop against the reference."""
    if reference.lower_is_better:
        return reference.value * (1 + quality.drop)
    return reference.value - quality.drop


def _replaces(other: Rung, chosen: Rung, bound_s: float, lower_is_better: bool) -> bool:
    """Whether the chosen one would be of no use beside it: as good, and as fast in full batches."""
    sign = -1 if lower_is_better else 1
    is_faster = per_second(other.profile, bound_s) >= per_second(chosen.profile, bound_s)
    return sign * other.quality >= sign * chosen.quality and is_faster
