"""Numbers as people read them: three significant digits, thousands set off by commas, units.

Light to import: the command line formats with the same functions as the report.
"""

from __future__ import annotations

import math
from collections.abc import Callable

MINUS = "\N{MINUS SIGN}"
MISSING = "–"


def significant(value: float, digits: int = 3) -> str:
    """`value` rounded to `digits` significant digits: 1234.5 → "1,230", 0.04321 → "0.0432", 1.5e-6 → "1.50e−6"."""
    if not math.isfinite(value):
        return _not_finite(value)
    if value == 0:
        return "0"
    mantissa, _, power = f"{value:.{digits - 1}e}".partition("e")
    exponent = int(power)
    if not -4 <= exponent < 15:
        return f"{mantissa}e{exponent}".replace("-", MINUS)
    return _grouped(float(f"{mantissa}e{exponent}"), max(0, digits - 1 - exponent))


def stated(value: float) -> str:
    """A number that somebody wrote down, as it was written: 5.0 → "5", 0.25 → "0.25", 12000.0 → "12,000"."""
    if not math.isfinite(value):
        return _not_finite(value)
    if value != 0 and not 1e-4 <= abs(value) < 1e15:
        return f"{value:g}".replace("-", MINUS)
    return _grouped(value, 6).rstrip("0").rstrip(".")


def count(value: int) -> str:
    """A whole number: 12345 → "12,345"."""
    return _grouped(value, 0)


def duration_ms(value: float) -> str:
    """A duration given in milliseconds, in the unit that suits it: "43.0 µs", "5.20 ms", "1.25 s", "3 min 20 s"."""
    return _duration(value, significant)


def stated_ms(value: float) -> str:
    """A duration in milliseconds that somebody demanded: "5 ms", "250 ms", "1.5 s"."""
    return _duration(value, stated)


def seconds(value: float) -> str:
    """A duration given in seconds, formatted as `duration_ms` does."""
    return duration_ms(value * 1000)


def money(value: float, currency: str) -> str:
    """An amount with its currency: "0.12 machine-hours", "12.30 USD", "1,230 EUR", "0.00123 USD"."""
    return f"{amount(value)} {currency}"


def amount(value: float) -> str:
    """An amount of money without its currency: three significant digits, but never less than cents below 100."""
    text = significant(value)
    if not math.isfinite(value) or value == 0 or "e" in text:
        return text
    if 1 <= abs(value) < 99.995:
        return _grouped(value, 2)
    whole, _, decimals = text.partition(".")
    return f"{whole}.{decimals.rstrip('0'):0<2}" if decimals else text


def percent(share: float) -> str:
    """A share as a percentage with one or two decimals: near 0% and 100% two, as 98.93% and 98.87% differ."""
    if not math.isfinite(share):
        return _not_finite(share)
    nearest = min(abs(share), abs(1 - share)) * 100
    if nearest == 0:
        return f"{share * 100:.0f}%"
    if 0 < abs(share) * 100 < 0.005:
        return f"{significant(share * 100, 1)}%"
    return f"{_grouped(share * 100, 1 if nearest >= 9.995 else 2)}%"


def stated_percent(share: float) -> str:
    """A share that somebody demanded, as a percentage: 0.95 → "95%", 0.005 → "0.5%"."""
    return f"{stated(round(share * 100, 9))}%"


def times(factor: float) -> str:
    """A ratio: 2.931 → "2.93×"."""
    return f"{significant(factor)}×"


def rate(value: float) -> str:
    """Requests per second: "412/s"."""
    return f"{significant(value)}/s"


def megabytes(value: float) -> str:
    """Memory given in MB (10^6 bytes): "84.2 MB", "1.53 GB"."""
    return f"{significant(value / 1000)} GB" if value >= 999.5 else f"{significant(value)} MB"


def _duration(value: float, written: Callable[[float], str]) -> str:
    size = abs(value)
    if not math.isfinite(value) or size >= 59_950:
        return _minutes(value) if math.isfinite(value) else _not_finite(value)
    if size >= 999.5:
        return f"{written(value / 1000)} s"
    if 0 < size < 0.1:
        return f"{written(round(value * 1000, 9))} µs"
    return f"{written(value)} ms"


def _minutes(value: float) -> str:
    minutes, rest = divmod(round(abs(value) / 1000), 60)
    sign = MINUS if value < 0 else ""
    if minutes < 60:
        return f"{sign}{minutes} min {rest} s"
    return f"{sign}{count(minutes // 60)} h {minutes % 60} min"


def _grouped(value: float, decimals: int) -> str:
    text = f"{value:,.{decimals}f}"
    return text.replace("-", MINUS) if float(f"{value:.{decimals}f}") else text.lstrip("-")


def _not_finite(value: float) -> str:
    if math.isnan(value):
        return MISSING
    return "∞" if value > 0 else f"{MINUS}∞"
