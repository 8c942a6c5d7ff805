"""Values of a metric and differences between them, in words: points, per cent of an error, or plain numbers."""

from __future__ import annotations

from steelyard.metrics import METRICS


def is_own(metric: str) -> bool:
    """Whether it is a function of the user's own, of whose scale nothing is known."""
    return metric.partition(":")[0] not in METRICS


def value(metric: str, amount: float, *, lower_is_better: bool) -> str:
    """A value of the metric: 0.9812, or as many digits as say something where the scale is not known."""
    return f"{amount:.4g}" if lower_is_better or is_own(metric) else f"{amount:.4f}"


def difference(metric: str, drop: float, *, lower_is_better: bool) -> str:
    """The size of a drop: 1.23 points, 1.2 % of an error, or a plain number for a metric of one's own."""
    if lower_is_better:
        return f"{float(f'{drop * 100:.2g}'):g} %"
    return f"{drop:.3g}" if is_own(metric) else points(drop)


def points(share: float) -> str:
    """A difference in quality, in per cent points: 0.0123 → 1.23 points."""
    return f"{share * 100:.2f} points"


def worse(*, lower_is_better: bool) -> str:
    """In which direction it gets worse."""
    return "larger" if lower_is_better else "lower"


def change(metric: str, drop: float, *, lower_is_better: bool) -> str:
    """How a value differs from the reference's, in words."""
    if abs(drop) < 5e-7:
        return "no change"
    better = "smaller" if lower_is_better else "higher"
    way = worse(lower_is_better=lower_is_better) if drop > 0 else better
    return f"{difference(metric, abs(drop), lower_is_better=lower_is_better)} {way}"


def at_most(metric: str, bound: float, *, lower_is_better: bool) -> str:
    """How much worse it may be: "at most 0.31 points lower"; surely better: "at least 0.10 points higher"."""
    if bound < -5e-7:
        return f"at least {change(metric, bound, lower_is_better=lower_is_better)}"
    if bound < 5e-7:
        return f"not {worse(lower_is_better=lower_is_better)}"
    return (
        f"at most {difference(metric, bound, lower_is_better=lower_is_better)} {worse(lower_is_better=lower_is_better)}"
    )
