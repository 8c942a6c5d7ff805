"""Requirements as people state them: `5ms`, `500/s`, `>=0.98`, `1%`, `512MB`, `200USD/month`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import get_args

from steelyard.errors import UsageError
from steelyard.records.arrivals import POISSON, Arrivals
from steelyard.records.currencies import CODES, SYMBOLS
from steelyard.records.requirements import Latency, Priority, Requirements, Scenario

NUMBER = r"([0-9]*\.?[0-9]+(?:[eE][+-]?[0-9]+)?)"
MILLISECONDS = {"us": 1e-3, "µs": 1e-3, "ms": 1.0, "s": 1e3, "m": 6e4, "min": 6e4}
SECONDS = {"s": 1.0, "sec": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0}
MEGABYTES = {"kb": 1e-3, "mb": 1.0, "gb": 1e3, "tb": 1e6, "kib": 1.024e-3, "mib": 1.048576, "gib": 1073.741824}
PER_SECOND = {"s": 1.0, "sec": 1.0, "second": 1.0, "min": 1 / 60, "minute": 1 / 60, "h": 1 / 3600, "hour": 1 / 3600}
DEFAULT_DROP = 0.01
"""Without any quality requirement the plan may lose one point: a fast model that is wrong is no plan."""


def requirements(stated: Mapping[str, str]) -> Requirements:
    """Requirements from words by name: latency (`p95=5ms`), quality, quality_drop, rate, scenario, memory, budget,
    priority, confidence, headroom, spare. Raises `UsageError` for what cannot be read or contradicts itself.
    """
    latency = stated_latency(stated["latency"]) if "latency" in stated else None
    rate = stated_rate(stated["rate"]) if "rate" in stated else None
    floor, ceiling = stated_quality(stated["quality"]) if "quality" in stated else (None, None)
    drop = share(stated["quality_drop"], "--quality-drop") if "quality_drop" in stated else None
    if floor is None and ceiling is None and drop is None:
        drop = DEFAULT_DROP
    return Requirements(
        latency=latency,
        quality_floor=floor,
        quality_ceiling=ceiling,
        quality_drop=drop,
        rate_per_s=rate,
        scenario=_scenario(stated.get("scenario"), latency),
        memory_mb=megabytes(stated["memory"], "--memory") if "memory" in stated else None,
        budget_per_month=stated_budget(stated["budget"]) if "budget" in stated else None,
        priority=_priority(stated.get("priority", "cost")),
        confidence=share(stated.get("confidence", "95%"), "--confidence"),
        headroom=share(stated.get("headroom", "0%"), "--headroom"),
        spare=replicas(stated["spare"], "--spare") if "spare" in stated else None,
        budget_currency=budget_currency(stated.get("budget", "")),
    )


def stated_arrivals(text: str) -> Arrivals:
    """`poisson`, or `gamma:2` with the deviation of the gaps over their mean. Traces are files: see `data.traces`."""
    match = re.fullmatch(r"gamma\s*:\s*" + NUMBER, text.strip().lower())
    if match is not None:
        return Arrivals(kind="gamma", cv=float(match[1]))
    if text.strip().lower() != "poisson":
        raise UsageError(
            f"--arrivals is poisson, gamma:VARIATION or trace:FILE, got '{text}'",
            "for example --arrivals gamma:2 (bursts), or --arrivals trace:requests.csv",
        )
    return POISSON


def _scenario(stated: str | None, latency: Latency | None) -> Scenario:
    """What was said; otherwise a latency bound means a server and none means work that is all at hand."""
    if stated is None:
        return "offline" if latency is None else "server"
    for known in get_args(Scenario):
        if stated == known:
            return known  # type: ignore[no-any-return]
    raise UsageError(f"--scenario is one of {', '.join(get_args(Scenario))}; got '{stated}'")


def _priority(stated: str) -> Priority:
    for known in get_args(Priority):
        if stated == known:
            return known  # type: ignore[no-any-return]
    raise UsageError(f"--priority is one of {', '.join(get_args(Priority))}; got '{stated}'")


def stated_latency(text: str) -> Latency:
    """`p95=5ms`: any percentile, any unit of time."""
    match = re.fullmatch(r"p([0-9]+(?:\.[0-9]+)?)\s*(?:<=|=|:)\s*(.+)", text.strip())
    if match is None:
        raise UsageError(
            f"a latency requirement names a percentile and a bound, got '{text}'",
            "for example --p95 5ms, or --latency p99.9=20ms",
        )
    return Latency(percentile=float(match[1]), bound_ms=_quantity(match[2], MILLISECONDS, f"--p{match[1]}", "5ms"))


def seconds(text: str, flag: str) -> float:
    """`60s`, `5min`, `1h`."""
    return _quantity(text, SECONDS, flag, "60s")


def milliseconds(text: str, flag: str) -> float:
    """`50ms`, `2s`."""
    return _quantity(text, MILLISECONDS, flag, "50ms")


def megabytes(text: str, flag: str) -> float:
    """`512MB`, `2GiB` in MB (10^6 bytes)."""
    return _quantity(text, MEGABYTES, flag, "512MB")


def _quantity(text: str, units: Mapping[str, float], flag: str, example: str) -> float:
    match = re.fullmatch(NUMBER + r"\s*([a-zA-Zµ]+)", text.strip())
    if match is None:
        raise UsageError(f"{flag} needs a number with a unit, got '{text}'", f"for example {flag} {example}")
    factor = units.get(match[2]) or units.get(match[2].lower())
    if factor is None:
        raise UsageError(
            f"{flag}: unknown unit '{match[2]}' in '{text}'", f"known units: {', '.join(units)}; e.g. {example}"
        )
    return float(match[1]) * factor


def stated_rate(text: str) -> float:
    """`500/s`, `30000/min` in requests per second."""
    match = re.fullmatch(NUMBER + r"\s*(?:requests|req|r)?\s*(?:/|per\s)\s*([a-z]+)", text.strip().lower())
    if match is None or match[2] not in PER_SECOND:
        raise UsageError(f"--rate needs requests per unit of time, got '{text}'", "for example --rate 500/s")
    return float(match[1]) * PER_SECOND[match[2]]


def stated_quality(text: str) -> tuple[float | None, float | None]:
    """`>=0.98` or `98%` as the lowest value of the metric, `<=0.1` as the highest of an error; the other is None."""
    match = re.fullmatch(r"(>=|≥|<=|≤)?\s*(-?)" + NUMBER + r"\s*(%?)", text.strip())
    if match is None:
        raise UsageError(
            f"--quality needs a bound, got '{text}'",
            'for example --quality ">=0.98", or --quality "<=0.1" for an error',
        )
    value = float(match[2] + match[3]) / (100 if match[4] else 1)
    return (None, value) if match[1] in ("<=", "≤") else (value, None)


def share(text: str, flag: str) -> float:
    """`1%` or `0.01`."""
    match = re.fullmatch(NUMBER + r"\s*(%|points?|)", text.strip())
    if match is None:
        raise UsageError(f"{flag} needs a share such as 1% or 0.01, got '{text}'")
    value = float(match[1]) / (100 if match[2] else 1)
    if not match[2] and value > 1:
        raise UsageError(f"{flag}: {match[1]} is more than everything", f"did you mean {flag} {match[1]}% ?")
    return value


BUDGET = re.compile(
    r"(?P<symbol>[$€£])?\s*" + NUMBER + r"\s*(?P<code>[A-Za-z]*)\s*(?:/|per\s)\s*(?P<unit>month|mo|day|d|year|y)"
)


def stated_budget(text: str) -> float:
    """`200USD/month`, `$5/day`: money per month, in the currency that it names or else the price's."""
    match = BUDGET.fullmatch(text.strip())
    if match is None:
        raise UsageError(f"--budget needs money per month, got '{text}'", "for example --budget 200USD/month")
    months = {"month": 1.0, "mo": 1.0, "day": 730 / 24, "d": 730 / 24, "year": 1 / 12, "y": 1 / 12}
    return float(match[2]) * months[match["unit"]]


def budget_currency(text: str) -> str:
    """The currency that a stated budget names: `USD` of `200USD/month` and of `$5/day`; empty when it names none."""
    match = BUDGET.fullmatch(text.strip())
    if match is None:
        return ""
    named = {part for part in (SYMBOLS.get(match["symbol"] or ""), match["code"].upper()) if part}
    if len(named) > 1:
        raise UsageError(f"a budget has one currency, got '{text}'", "for example --budget 200USD/month")
    code = named.pop() if named else ""
    if code and code not in CODES:
        raise UsageError(f"unknown currency '{code}' in the budget '{text}'", "for example --budget 200USD/month")
    return code


def replicas(text: str, flag: str) -> int:
    """`1`: a whole number of replicas."""
    if not re.fullmatch(r"[0-9]{1,6}", text.strip()):
        raise UsageError(f"{flag} needs a whole number of replicas, got '{text}'", f"for example {flag} 1")
    return int(text)


def yes(value: object, flag: str) -> bool:
    """A switch as a flag, a word of the environment or a value of the file gives it: True, `yes`, `1`, `off` …"""
    said = str(value).strip().lower()
    if said in ("true", "yes", "on", "1"):
        return True
    if said in ("false", "no", "off", "0", ""):
        return False
    raise UsageError(f"{flag} is either on or off, got '{value}'", "for example true or false")
