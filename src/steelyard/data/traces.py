"""A recorded trace of requests as a pattern of arrivals: how its rate rose and fell, and how request followed request.

A trace may hold weeks; the pattern keeps a bounded part of it that is as often high and low as the whole.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from steelyard.data.trace_table import FORMATS, read_table
from steelyard.errors import DataError
from steelyard.records.arrivals import MOST_GAPS, MOST_RATES, Arrivals

Floats = npt.NDArray[np.float64]

FEWEST_REQUESTS = 10
TOGETHER_RATES, TOGETHER_GAPS = 16, 128
"""So many consecutive stretches, or gaps, are kept together where not all are kept."""
REQUESTS_A_STRETCH = 100
"""Where single requests were recorded, their rate is told in stretches that hold as many on average."""
FEWEST_STRETCHES = 4
SILENCE = 30
"""A gap of this many mean gaps is told."""
MOST_STRETCHES = 10**7
LIKE_A_DATE = 1e8
"""Numbers above this that hardly differ are seconds since 1970, not rates."""


def read_trace(path: str) -> Arrivals:
    """The pattern in a file: times of requests (seconds, or ISO 8601), or requests per second, as text, CSV or JSON.

    Numbers without a name are times when they never fall, and requests in consecutive seconds when they are whole and
    do fall. Raises `DataError` for a trace that is empty, holds negative or unreadable values, or cannot be told to
    be one or the other.
    """
    place = Path(path)
    table = read_table(place)
    told: list[str] = []
    if table.plain:
        are_times = table.dated or _are_times(place, table.plain)
        pattern = _of_times(table.plain, told) if are_times else _of_rates(np.asarray(table.plain), 1.0, told)
    elif not table.times:
        pattern = _of_rates(np.asarray(table.rates or table.counts), 1.0, told)
    elif table.rates or table.counts:
        pattern = _of_steps(table.times, table.rates or table.counts, not table.rates, told)
    else:
        pattern = _of_times(table.times, told)
    rates, step_s, gaps = pattern
    with place.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    return Arrivals(
        kind="trace", rates=_figures(rates), step_s=step_s, gaps=_figures(gaps), source=path, sha256=sha256,
        told=tuple(f"trace {place.name}: {text}" for text in told),
    )  # fmt: skip


Pattern = tuple[Floats, float, Floats]
"""Relative rates, how long each lasts, relative gaps."""
NONE: Floats = np.empty(0)


def _are_times(path: Path, values: Sequence[float]) -> bool:
    numbers = np.asarray(values)
    if len(numbers) > 2 and (np.diff(numbers) >= 0).all() and numbers[-1] > numbers[0]:
        return True
    if numbers.min() > LIKE_A_DATE:
        return True
    if (numbers == np.round(numbers)).all():
        return False
    raise DataError(
        f"the numbers in the trace {path} fall now and then and are not whole: times out of order, or rates?",
        "write 'time' or 'rate' in the first line",
    )


def _of_times(values: Sequence[float], told: list[str]) -> Pattern:
    """Single requests."""
    times = _sorted(np.asarray(values, np.float64), told)
    span = float(times[-1] - times[0])
    if len(times) < FEWEST_REQUESTS or span <= 0:
        raise DataError(
            f"a trace of requests holds at least {FEWEST_REQUESTS} at different times, got {len(times)} in {span:g} s",
            "record for longer, or use --arrivals poisson",
        )
    told.insert(0, f"{len(times):,} requests in {_duration(span)}")
    times = times - times[0]
    if (times == np.round(times)).all() and len(times) > 1.2 * len(np.unique(times)):
        told.append("times are whole seconds: within a second requests are taken to come at random")
        return _of_rates(np.bincount(times.astype(np.int64)).astype(np.float64), 1.0, told)
    _tell_silence(times, told)
    return _tide_and_order(times, span)


def _tide_and_order(times: Floats, span: float) -> Pattern:
    """Rates in stretches of many requests, and the gaps that are left when they are divided out."""
    width = max(1.0, span / MOST_RATES, span * REQUESTS_A_STRETCH / len(times))
    stretches = int(span / width)
    if stretches < FEWEST_STRETCHES:
        return NONE, 1.0, _kept(np.diff(times), MOST_GAPS, TOGETHER_GAPS)
    counts, edges = np.histogram(times, bins=stretches, range=(0.0, span))
    reached = np.concatenate([[0.0], np.cumsum(counts)])
    gaps = np.diff(np.interp(times, edges, reached))
    return counts.astype(np.float64), span / stretches, _kept(gaps, MOST_GAPS, TOGETHER_GAPS)


def _sorted(times: Floats, told: list[str]) -> Floats:
    if times.min() < 0:
        raise DataError(
            f"the trace holds negative times: number {int((times < 0).argmax()) + 1} is {times[times < 0][0]:g}",
            "count from 0, or give dates",
        )
    falls = int((np.diff(times) < 0).sum())
    if falls:
        told.append(f"{falls:,} of {len(times):,} times lie before the one above them: they were put in order")
        times = np.sort(times)
    return times


def _of_steps(values: Sequence[float], heights: Sequence[float], counted: bool, told: list[str]) -> Pattern:
    """A rate, or a count, from each time to the next."""
    given: Floats = np.asarray(values, np.float64)
    if len(given) < 2:
        raise DataError("a trace of rates holds at least two times, got one", "record for longer")
    times = _sorted(given, told)
    height = np.asarray(heights, np.float64)[np.argsort(given, kind="stable")]
    _none_negative(height)
    steps = np.diff(times)
    if (steps <= 0).any():
        raise DataError(f"the trace tells the rate at {times[:-1][steps <= 0][0]:g} s twice", "keep one row a time")
    usual = float(np.median(steps))
    lasts = np.minimum(np.append(steps, usual), 1.5 * usual)
    _tell_gaps(steps, usual, told)
    span = float(times[-1] + usual - times[0])
    stretches = round(span / usual)
    if stretches > MOST_STRETCHES:
        raise DataError(
            f"the trace spans {_duration(span)} in steps of {usual:g} s: too many", "cut it, or take longer steps"
        )
    rate = height / lasts if counted else height
    # How many requests have come by each time, read off at even steps.
    known = np.stack([times, times + lasts], axis=1).ravel() - times[0]
    came = np.repeat(np.cumsum(rate * lasts), 2)
    came[0::2] -= rate * lasts
    at = np.linspace(0.0, span, stretches + 1)
    return _of_rates(np.diff(np.interp(at, known, came)) / (span / stretches), span / stretches, told)


def _of_rates(rates: Floats, step_s: float, told: list[str]) -> Pattern:
    """A rate in each of consecutive stretches."""
    _none_negative(rates)
    if len(rates) < 2 or not rates.any():
        raise DataError(
            f"a trace of rates holds at least two, and some request, got {len(rates)} with {rates.sum():g} requests",
            f"a trace holds {FORMATS}",
        )
    told.insert(0, f"{len(rates):,} stretches of {_duration(step_s)}, on average {rates.mean():,.4g} requests/s")
    silent = float((rates == 0).mean())
    if silent > 0 and rates.mean() * step_s > SILENCE / 10:
        told.append(f"in {silent:.1%} of the time no request came: kept as it is")
    if len(rates) > MOST_RATES:
        told.append(f"{MOST_RATES:,} stretches stand for all, as often high and low as they")
    return _kept(rates, MOST_RATES, TOGETHER_RATES), step_s, NONE


def _none_negative(rates: Floats) -> None:
    if (rates < 0).any():
        place = int((rates < 0).argmax())
        raise DataError(
            f"the trace holds a negative rate: number {place + 1} is {rates[place]:g}", "remove it, or correct it"
        )


def _tell_silence(times: Floats, told: list[str]) -> None:
    gaps = np.diff(times)
    longest = int(gaps.argmax())
    if gaps[longest] > SILENCE * gaps.mean():
        told.append(f"no request came for {_duration(float(gaps[longest]))}, at {times[longest]:,.6g} s: kept as it is")


def _tell_gaps(steps: Floats, usual: float, told: list[str]) -> None:
    gaps = steps[steps > 1.5 * usual]
    if len(gaps):
        told.append(
            f"{len(gaps):,} gaps, the longest of {_duration(float(gaps.max()))}: kept as time in which no request came"
        )


def _kept(values: Floats, most: int, together: int) -> Floats:
    """At most `most` values, in runs of consecutive ones, chosen so that their means are spread as those of all."""
    if len(values) <= most:
        return values
    runs = values[: len(values) // together * together].reshape(-1, together)
    by_height = np.argsort(runs.mean(axis=1), kind="stable")
    chosen = by_height[((np.arange(most // together) + 0.5) * len(runs) / (most // together)).astype(int)]
    kept: Floats = runs[np.sort(chosen)].ravel()
    return kept


def _figures(values: Floats) -> tuple[float, ...]:
    """With the mean 1 and five figures each."""
    if not len(values):
        return ()
    return tuple(float(f"{value:.5g}") for value in values / values.mean())


def _duration(seconds: float) -> str:
    for unit, length in (("days", 86_400.0), ("h", 3600.0), ("min", 60.0)):
        if seconds >= 2 * length:
            return f"{seconds / length:.3g} {unit}"
    return f"{seconds:.4g} s"
