"""Why a plan is as it is, or why one candidate stands where it stands, in plain words. Reads nothing but the plan."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Iterator

from steelyard import numbers
from steelyard.decision import amounts
from steelyard.decision.plan import CUT_SHORT
from steelyard.errors import UsageError
from steelyard.records.plan import Figures, Plan, QualityFigures, Weighed
from steelyard.report import headline, rungs, wording
from steelyard.report.explained import Explanation, Part
from steelyard.report.requirements import held_against, quality_alone

TOLD = 3
"""At most so many other candidates are told of in one place."""
FASTER = 1.05
"""Capacities closer than this are not told apart."""
DISTURBED = 0.1
"""Of the runs that were timed, a share of disturbed ones that is worth a word."""
PREFERRED = {
    "cost": "the cheapest is preferred; of costs within 5 %, the better quality",
    "speed": "the quickest is preferred; of latencies within 5 %, the better quality",
    "quality": "the best in quality is preferred; of equal ones, the cheapest",
    "knee": "the one at the bend between cost and quality is preferred",
}


def explain(plan: Plan, candidate: str = "") -> Explanation:
    """The plan as a whole, or one candidate: its id, a part that only its id has, `chosen`, `reference` or `nearest`.

    Raises UsageError, with the nearest names, when no candidate or more than one is meant.
    """
    return _of_candidate(plan, find(plan, candidate)) if candidate else _of_plan(plan)


def find(plan: Plan, said: str) -> Weighed:
    """The candidate that is meant."""
    roles = {
        "chosen": plan.chosen.id if plan.chosen else None,
        "nearest": plan.nearest,
        "reference": plan.reference.candidate.id,
    }
    name = roles.get(said) or said
    exact = [c for c in plan.candidates if c.id == name]
    meant = exact or [c for c in plan.candidates if name.lower() in c.id.lower()]
    if len(meant) == 1:
        return meant[0]
    known = [c.id for c in (meant or plan.candidates)]
    if meant:
        raise UsageError(f"'{said}' is part of {len(meant)} candidates", f"for example {', '.join(known[:8])}")
    near = difflib.get_close_matches(name, known, n=5, cutoff=0.3) or known[:5]
    raise UsageError(f"the plan has no candidate '{said}'", f"did you mean {', '.join(near)}?")


# --- the plan as a whole


def _of_plan(plan: Plan) -> Explanation:
    figures = headline.leading(plan)
    parts = [
        Part(title="What was required", sentences=tuple(f"{what}: {how}." for what, how in wording.requirements(plan))),
        Part(title="What was chosen, and why" if plan.chosen else "What is nearest", sentences=tuple(_choice(plan))),
        Part(title="How sure it is", sentences=tuple(_certainty(plan, figures)) if figures else ()),
        Part(title="What binds", sentences=tuple(_binds(plan))),
        Part(title="What would change it", sentences=tuple(_changes(plan, figures))),
        Part(title=rungs.TITLE, sentences=tuple(_rungs(plan))),
        Part(title="What was not measured", sentences=tuple(_unmeasured(plan))),
        Part(title="Warnings and noise", sentences=tuple(_noise(plan))),
    ]
    return Explanation(
        subject=plan.subject.name,
        candidate="",
        answer=plan.summary,
        requirements=tuple(held_against(plan, figures, find(plan, figures.candidate.id).verdict)) if figures else (),
        parts=tuple(part for part in parts if part.sentences),
    )


def _choice(plan: Plan) -> Iterator[str]:
    figures = headline.leading(plan)
    if figures is not None:
        yield f"{figures.candidate.id}: {headline.spelt(figures.candidate)}."
    if plan.chosen is None:
        return
    passing = [c for c in plan.candidates if c.verdict in ("chosen", "front", "dominated")]
    preferred = PREFERRED[plan.requirements.priority]
    yield f"{len(passing)} of {len(plan.candidates)} candidates keep every requirement; of these {preferred}."
    yield from (f"Not {c.id}: {_clause(c)}." for c in passing[1 : TOLD + 1])


def _certainty(plan: Plan, figures: Figures) -> Iterator[str]:
    quality = figures.quality
    if quality.bound == 0 and figures.candidate.id == plan.reference.candidate.id:
        yield "Its answers are the reference's own: nothing can be lost."
    elif quality.confirmed:
        yield (
            f"The verdict on quality rests on {numbers.count(quality.items)} items that took no part in choosing; "
            f"it is wrong in at most {numbers.stated_percent(round(1 - quality.confidence, 9))} of such decisions."
        )
    else:
        yield f"Its quality was judged on {numbers.count(quality.items)} items that also selected it: not confirmed."
    runs = sum(one.runs for one in figures.service)
    yield f"Its speed rests on {numbers.count(runs)} timed runs; latencies are {figures.latency.source}."
    if figures.load is not None:
        load = figures.load
        yield (
            f"It was put under real load for {numbers.seconds(load.seconds)}: {numbers.count(load.requests)} requests, "
            f"{numbers.count(load.late)} late."
        )


def _binds(plan: Plan) -> Iterator[str]:
    if plan.chosen is None:
        yield from (f"{text} is broken, or not proven, by every candidate." for text in plan.binding[:1])
        yield from (f"{text} stands in the way as well." for text in plan.binding[1:])
        return
    capacity = plan.capacity_per_replica or 0.0
    faster = [
        c for c in plan.candidates if c.figures is not None and c.figures.capacity_per_replica > FASTER * capacity
    ]
    lost = [c for c in faster if c.verdict in ("fails", "undecided")]
    if not lost:
        yield "No faster candidate was lost to a requirement."
    for c in lost[:TOLD]:
        ratio = c.figures.capacity_per_replica / capacity if c.figures and capacity else 0.0
        yield f"{c.id} would serve {numbers.significant(ratio)} times as much, but {_verb(c)}: {_clause(c)}."
    if len(lost) > TOLD:
        yield f"So do {len(lost) - TOLD} more that are faster."


def _verb(entry: Weighed) -> str:
    return "is not proven good enough" if entry.verdict == "undecided" else "breaks a requirement"


def _changes(plan: Plan, figures: Figures | None) -> Iterator[str]:
    if plan.chosen is not None and figures is not None:
        yield from _tighter(plan, figures)
    yield from (f"With {r.instead} instead of {r.requirement} it would be {r.candidate}." for r in plan.relaxations)
    yield from plan.sensitivity


def _tighter(plan: Plan, figures: Figures) -> Iterator[str]:
    """How much stricter each requirement could be before the chosen one no longer provably keeps it."""
    wanted, quality = plan.requirements, figures.quality
    if wanted.quality_drop is not None and 0 < quality.bound < wanted.quality_drop:
        least = numbers.stated(float(f"{quality.bound * 100:.2g}"))
        yield f"A --quality-drop below about {least}% would no longer be proven for it."
    if wanted.quality_limit(lower_is_better=quality.lower_is_better) is not None:
        sign = "<=" if quality.lower_is_better else ">="
        bound = amounts.value(quality.metric, quality.value_bound, lower_is_better=quality.lower_is_better)
        yield f'A stricter --quality than "{sign}{bound}" would no longer be proven for it.'
    if wanted.memory_mb is not None:
        yield f"A --memory below {numbers.megabytes(figures.memory_mb)} would rule it out."
    if wanted.budget_per_month is not None and figures.cost.per_month is not None:
        month = numbers.money(figures.cost.per_month, figures.cost.currency)
        yield f"A --budget below {month} a month would rule it out."


def _rungs(plan: Plan) -> Iterator[str]:
    told = rungs.rungs(plan)
    yield from (f"{rung.id}: {rung.text}." for rung in told)
    if told:
        yield rungs.HOW


def _unmeasured(plan: Plan) -> Iterator[str]:
    if not plan.search.complete:
        yield "The search ended before all was settled: a better candidate may exist. More --within would tell."
    left = [c for c in plan.candidates if c.verdict == "not measured"]
    if left:
        yield f"{_candidates(len(left))} left before being measured to the end, as {left[0].id}: {_clause(left[0])}."
    failed = Counter(c.failure or "failed" for c in plan.candidates if c.verdict == "failed")
    if failed:
        kinds = ", ".join(f"{count} × {kind}" for kind, count in failed.most_common())
        yield f"{_candidates(sum(failed.values()))} could not be run ({kinds})."


def _noise(plan: Plan) -> Iterator[str]:
    yield from (_sentence(warning) for warning in plan.warnings if warning != CUT_SHORT)
    for figures in dict.fromkeys(c for c in (plan.chosen_figures, plan.reference) if c is not None):
        share = _disturbed(figures)
        if share > DISTURBED:
            yield (
                f"Of the timed runs of {figures.candidate.id}, {numbers.percent(share)} were disturbed by other work "
                f"on the machine and left out."
            )


def _disturbed(figures: Figures) -> float:
    disturbed = sum(one.disturbed for one in figures.service)
    return disturbed / max(disturbed + sum(one.runs for one in figures.service), 1)


# --- one candidate


def _of_candidate(plan: Plan, entry: Weighed) -> Explanation:
    figures = entry.figures
    kept = held_against(plan, figures, entry.verdict) if figures else quality_alone(plan, entry)
    parts = [
        Part(title="What it is", sentences=(f"{headline.spelt(figures.candidate)}.",) if figures else ()),
        Part(title="Against the chosen one", sentences=tuple(_beside(plan, entry))),
    ]
    return Explanation(
        subject=plan.subject.name,
        candidate=entry.id,
        answer=f"{entry.id}: {entry.verdict} ({wording.MEANING[entry.verdict]}). {_sentence(entry.reason)}",
        requirements=tuple(kept),
        parts=tuple(part for part in parts if part.sentences),
    )


def _candidates(count: int) -> str:
    return "One candidate" if count == 1 else f"{numbers.count(count)} candidates"


def _clause(entry: Weighed) -> str:
    """Its reason, to go on after a colon."""
    return entry.reason.rstrip(".")


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:].rstrip('.')}."


def _beside(plan: Plan, entry: Weighed) -> Iterator[str]:
    chosen, figures = plan.chosen_figures, entry.figures
    if chosen is None or figures is None or chosen.candidate.id == entry.id:
        return
    if figures.capacity_per_replica > 0 and chosen.capacity_per_replica > 0:
        ratio = figures.capacity_per_replica / chosen.capacity_per_replica
        yield (
            f"It serves {numbers.rate(figures.capacity_per_replica)} per replica, the chosen one "
            f"{numbers.rate(chosen.capacity_per_replica)}: {numbers.significant(ratio, 2)} times as much."
        )
    if figures.cost.per_million is not None and chosen.cost.per_million is not None:
        ours, theirs = (numbers.money(f.cost.per_million or 0, f.cost.currency) for f in (figures, chosen))
        yield f"A million requests cost {ours}, with the chosen one {theirs}."
    yield f"Quality: {_short(figures.quality)}; the chosen one: {_short(chosen.quality)}."
    yield f"Memory: {numbers.megabytes(figures.memory_mb)}; the chosen one: {numbers.megabytes(chosen.memory_mb)}."


def _short(quality: QualityFigures) -> str:
    lower = quality.lower_is_better
    change = amounts.change(quality.metric, quality.drop, lower_is_better=lower)
    return f"{change}, surely {amounts.at_most(quality.metric, quality.bound, lower_is_better=lower)}"
