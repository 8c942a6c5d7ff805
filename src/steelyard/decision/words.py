"""Verdicts in plain words, and requirements as the user would type them."""

from __future__ import annotations

from steelyard.decision import amounts
from steelyard.decision.preference import TIE
from steelyard.decision.standing import Standing
from steelyard.records.requirements import Requirements


def number(value: float) -> str:
    """Three significant digits, without an exponent."""
    text = f"{float(f'{value:.3g}'):,.10f}".rstrip("0").rstrip(".")
    return text or "0"


def flag(requirement: str, requirements: Requirements) -> str:
    """One requirement as it is typed on the command line."""
    latency = requirements.latency
    texts = {
        "latency": "" if latency is None else f"--p{latency.percentile:g} {number(latency.bound_ms)}ms",
        "memory": f"--memory {number(requirements.memory_mb or 0)}MB",
        "budget": f"--budget {number(requirements.budget_per_month or 0)}{requirements.budget_currency}/month",
        "quality": quality_flag(requirements),
    }
    return texts[requirement]


def quality_flag(requirements: Requirements) -> str:
    """The quality requirements as they are typed."""
    parts = []
    if requirements.quality_floor is not None:
        parts.append(f'--quality ">={requirements.quality_floor:g}"')
    if requirements.quality_ceiling is not None:
        parts.append(f'--quality "<={requirements.quality_ceiling:g}"')
    if requirements.quality_drop is not None:
        parts.append(f"--quality-drop {number(requirements.quality_drop * 100)}%")
    return " ".join(parts)


def broken(standing: Standing, requirement: str) -> str:
    """How it breaks one requirement."""
    requirements, probe = standing.requirements, standing.evidence.probe
    if requirement == "quality":
        return quality_sentence(standing)
    if requirement == "memory":
        return f"needs {probe.memory_mb if probe else 0:,.0f} MB where {requirements.memory_mb:,.0f} MB are allowed"
    if requirement == "latency" and standing.load is not None and standing.load.held_per_s == 0:
        return f"kept {flag('latency', requirements)} under real load at no rate that was tried"
    if requirement == "latency" and requirements.latency and standing.speed:
        best = standing.speed.service[0]
        return (
            f"one request alone takes {number(best.median_ms)} ms (median): "
            f"p{requirements.latency.percentile:g} cannot stay within {number(requirements.latency.bound_ms)} ms"
        )
    month = standing.cost.per_month or 0
    return f"costs {number(month)} {standing.price.currency} a month, over {number(requirements.budget_per_month or 0)}"


def quality_sentence(standing: Standing) -> str:
    """What is known of its quality, with its bound."""
    quality, judgement = standing.quality, standing.judgement
    if quality is None or judgement is None:
        return "its quality was not measured"
    metric, lower = quality.metric, quality.lower_is_better
    value, expected = (amounts.value(metric, v, lower_is_better=lower) for v in (quality.value, quality.reference))
    change = amounts.change(metric, quality.drop, lower_is_better=lower)
    text = f"{metric} {value} against {expected} on {quality.items:,} items: {change}"
    if judgement.verdict == "undecided":
        needed = f"; about {judgement.items_needed:,} items would settle it" if judgement.items_needed else ""
        most = amounts.at_most(metric, judgement.drop_bound, lower_is_better=lower)
        return f"undecided: {text}, surely {most}{needed}"
    return text


def reason_against(standing: Standing, best: Standing | None) -> str:
    """Why this candidate was not chosen, in one sentence."""
    probe = standing.evidence.probe
    if standing.stand == "not measured":
        return standing.evidence.dropped or "the search ended before its turn"
    if standing.stand == "failed" and probe is not None and probe.failure is not None:
        return f"{probe.failure.kind}: {probe.failure.message}"
    if standing.breaks:
        text = "; ".join(broken(standing, requirement) for requirement in standing.breaks)
        return text if standing.stand == "fails" else f"undecided, the machine was busy while it was timed: {text}"
    if standing.may_pass and best is not None and standing.quality is not None:
        return f"{beaten_by(standing, best)}; judged on {standing.quality.items:,} items only, so not proven"
    if standing.stand == "undecided":
        return quality_sentence(standing)
    return "keeps every requirement" if best is None or best is standing else beaten_by(standing, best)


def beaten_by(standing: Standing, best: Standing) -> str:
    """What the chosen one has over it."""
    if standing.candidate.machine != best.candidate.machine and standing.requirements.priority == "cost":
        return _dearer(standing, best)
    capacity = best.capacity / standing.capacity
    if capacity >= 1 + TIE:
        return f"{best.candidate.id} serves {number(capacity)} times as many requests per second"
    if capacity <= 1 / (1 + TIE):
        against = _what_speaks_against(standing, best)
        return f"serves {number(1 / capacity)} times as many requests per second as {best.candidate.id}, but {against}"
    return f"as fast as {best.candidate.id} within the noise, {_what_speaks_against(standing, best)}"


def _dearer(standing: Standing, best: Standing) -> str:
    """Between two machines requests per second say little: what they cost decides."""
    ratio = standing.spending / best.spending
    if ratio >= 1 + TIE:
        return f"costs {number(ratio)} times as much as {best.candidate.id}"
    if ratio <= 1 / (1 + TIE):
        return f"costs {number(ratio)} times what {best.candidate.id} does, but {_what_speaks_against(standing, best)}"
    return f"costs the same as {best.candidate.id} within the noise, not better in quality"


def _what_speaks_against(standing: Standing, best: Standing) -> str:
    if standing.requirements.priority == "quality":
        return "of lower quality on the selecting items"
    if standing.requirements.priority == "speed":
        ratio = standing.latency_that_counts / best.latency_that_counts
        return f"{number(ratio)} times its latency" if ratio > 1 + TIE else "not better in quality"
    if standing.requirements.priority == "knee":
        return "farther from the balance of cost and quality"
    return "not better in quality"
