"""The ladder of variants that a server may switch between: from a plan, and which rungs are worth having."""

from __future__ import annotations

import math
from bisect import bisect
from collections.abc import Sequence
from typing import NamedTuple

from steelyard.errors import BundleError
from steelyard.records.plan import Figures, Plan, QualityFigures
from steelyard.scheduling import PLANNED_QUANTILE, profile
from steelyard.switching import Ladder, Rung, is_of_use, ordered, per_second

MOST_RUNGS = 4
"""Each rung is held in memory, and a fifth one could hardly be told from its neighbours."""


def ladder_of(plan: Plan, bound_s: float | None = None) -> Ladder:
    """The rungs that the plan names, after their variants; the chosen one is always among them.

    Another bound than the plan's changes what is promised, not what is ready. Raises BundleError for a plan that
    chose nothing.
    """
    rungs = tuple(rung_of(figures, plan.reference.quality) for figures in figures_of(plan))
    promised = _bound_s(plan) if bound_s is None else bound_s
    return Ladder(rungs=rungs, bound_s=promised, workers=_chosen(plan).candidate.workers)


def figures_of(plan: Plan) -> tuple[Figures, ...]:
    """The candidates that the rungs are, in the ladder's order; of a plan without a ladder, the chosen one.

    Raises BundleError for a plan that chose nothing, or whose ladder names what it holds no figures of.
    """
    chosen = _chosen(plan)
    known = {one.id: one.figures for one in plan.candidates}
    found = [known.get(name) for name in plan.ladder]
    told = [figures for figures in found if figures is not None]
    if len(told) < len(found) or (told and chosen not in told):
        raise BundleError("the plan's ladder does not fit its candidates", "weigh again")
    return tuple(told) or (chosen,)


def _chosen(plan: Plan) -> Figures:
    if plan.chosen_figures is None:
        raise BundleError("the plan holds no chosen candidate", "weigh again with other requirements")
    return plan.chosen_figures


def _bound_s(plan: Plan) -> float:
    latency = plan.requirements.latency
    return math.inf if latency is None else latency.bound_ms / 1000


def rung_of(figures: Figures, reference: QualityFigures) -> Rung:
    """One candidate as a rung, named after its variant; `reference`: the quality of the model as given."""
    cost = figures.cost.per_million
    return Rung(
        name=figures.candidate.variant,
        quality=comparable(reference, figures.quality),
        profile=profile(figures.service, PLANNED_QUANTILE, figures.candidate.max_batch),
        cost_per_thousand=None if cost is None else cost / 1000,
        service=figures.service,
    )


def comparable(reference: QualityFigures, quality: QualityFigures) -> float:
    """Candidates are judged on different items: what compares them is their drop against the reference."""
    if reference.lower_is_better:
        return reference.value * (1 + quality.drop)
    return reference.value - quality.drop


def worth_having(
    chosen: Rung, others: Sequence[Rung], bound_s: float, workers: int, *, lower_is_better: bool
) -> list[Rung]:
    """The rungs to hold ready, the most accurate first: the chosen one and those of the others that are of use.

    Left out is what the chosen one would be of no use beside, what is slower than something as accurate, what would
    never be given a batch, and of more than `MOST_RUNGS` those that their neighbours stand in for best.
    """
    fitting = [one for one in others if not _replaces(one, chosen, bound_s, lower_is_better)]
    rungs = ordered([chosen, *fitting], bound_s, workers, lower_is_better=lower_is_better).rungs
    usable = [one for one in rungs if one is chosen or one is rungs[-1] or is_of_use(one.profile, bound_s, workers)]
    sign = 1 if lower_is_better else -1
    points = [Point(1 / per_second(one.profile, bound_s), sign * one.quality) for one in usable]
    return [usable[place] for place in sorted(spread(points, usable.index(chosen), MOST_RUNGS))]


def _replaces(other: Rung, chosen: Rung, bound_s: float, lower_is_better: bool) -> bool:
    """Whether the chosen one would be of no use beside it: as good, and as fast in full batches."""
    sign = -1 if lower_is_better else 1
    is_faster = per_second(other.profile, bound_s) >= per_second(chosen.profile, bound_s)
    return sign * other.quality >= sign * chosen.quality and is_faster


class Point(NamedTuple):
    """What a rung takes and what it loses."""

    seconds: float
    """Of one worker for one request, in its best batches."""
    loss: float
    """Of quality, from anywhere."""


def spread(points: Sequence[Point], kept: int, most: int) -> list[int]:
    """The places of at most so many rungs that are worth having, in the order of their worth.

    `points` begin with the most accurate; each is faster and loses more than the one before. Two rungs that answer by
    turns reach every point on the line between them, so a third is worth what it is better than its neighbours by
    turns, and nothing when it is not. The first, the last and `kept` are always taken.
    """
    taken = list(dict.fromkeys([0, len(points) - 1, kept]))
    while len(taken) < most:
        gains = {at: _gained(points, sorted(taken), at) for at in range(len(points)) if at not in taken}
        best = max(gains, key=gains.__getitem__, default=0)
        if gains.get(best, 0.0) <= 0.0:
            break
        taken.append(best)
    return taken


def _gained(points: Sequence[Point], taken: Sequence[int], at: int) -> float:
    after = bisect(taken, at)
    slow, quick, one = points[taken[after - 1]], points[taken[after]], points[at]
    share = (slow.seconds - one.seconds) / (slow.seconds - quick.seconds)
    return slow.loss + share * (quick.loss - slow.loss) - one.loss
