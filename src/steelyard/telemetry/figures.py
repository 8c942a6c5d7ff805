"""Numbers as the live page writes them: as the reports do, number and unit apart, and missing ones."""

from __future__ import annotations

import math

from steelyard import numbers
from steelyard.numbers import MISSING


def significant(value: float | None) -> str:
    """1234.5 → "1,230", 0.04321 → "0.0432"; None → "–"."""
    return MISSING if value is None else numbers.significant(value)


def milliseconds(value: float | None) -> tuple[str, str]:
    """A duration in milliseconds, as number and unit: ("5.20", "ms"), ("43.0", "µs"), ("1.25", "s")."""
    if value is None or not 0 < value < math.inf:
        return significant(value), "ms" if value == 0 else ""
    if value >= 999.5:
        return significant(value / 1000), "s"
    return (significant(value), "ms") if value >= 0.1 else (significant(value * 1000), "µs")


def percent(share: float | None) -> str:
    """A share as a percentage: 0.0123 → "1.23", 1 → "100", None → "–"."""
    if share is None:
        return MISSING
    return f"{share * 100:.0f}" if share in (0, 1) else f"{share * 100:.3g}" if share < 0.995 else f"{share * 100:.2f}"


def ago(seconds: float) -> str:
    """How long ago: "now", "12 s ago", "3 min ago"."""
    if seconds < 1:
        return "now"
    return f"{seconds:.0f} s ago" if seconds < 99.5 else f"{seconds / 60:.0f} min ago"
