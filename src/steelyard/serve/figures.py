"""Numbers as the live page writes them: three significant digits, thousands set off by commas, units."""

from __future__ import annotations

import math

MISSING = "–"


def significant(value: float | None) -> str:
    """1234.5 → "1,230", 0.04321 → "0.0432"; None → "–"."""
    if value is None or math.isnan(value):
        return MISSING
    if value == 0 or math.isinf(value):
        return "0" if value == 0 else "∞"
    rounded = float(f"{value:.2e}")
    decimals = max(0, 2 - math.floor(math.log10(abs(rounded))))
    return f"{rounded:,.{decimals}f}" if decimals <= 8 else f"{rounded:.2e}"


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
