"""Which candidate is chosen, so that trying several does not raise the chance of choosing a bad one.

The candidates in the running are tested from the safest to the boldest: the kinds of numerics in the subject's
order, which begins with what changes the least. One that is not preferred to the best that has passed so far is
passed by. Nearly all of the error that is allowed goes to the first test and is handed on from each that passes to
the next; one that does not pass keeps what it had, and the next starts with its own small share. This is the fallback
procedure (B. L. Wiens, "A fixed sequence Bonferroni procedure for testing multiple endpoints", Pharmaceutical
Statistics 2, 2003): however many are tested, the chance that a bad one passes stays within what is allowed. Order
and preference depend on speed, price and the selecting items only; the tests use the confirming items.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from steelyard.decision.standing import Standing

FIRST_SHARE = 0.95
"""Of the allowed error, for the first test; the rest is shared by the others."""
SUSPECT = 0.8
"""One that fails on the selecting items at this confidence is tested after all others."""


class Choice(NamedTuple):
    """The outcome of testing in sequence."""

    chosen: Standing | None
    passed_over: list[Standing]
    """Would pass alone, but not with the share of the error that was left for it."""
    unconfirmed: Standing | None
    """The one whose confirming items are wanted next, if any."""


def choose(ordered: Sequence[Standing]) -> Choice:
    """The most preferred of those in the running (`ordered`: most preferred first) that passes its test."""
    chosen: Standing | None = None
    passed_over: list[Standing] = []
    rungs = _safest_first(ordered)
    tested = sum(1 for rung in rungs if not _is_free(rung))
    handed_on, first = 0.0, True
    for rung in rungs:
        if chosen is not None and ordered.index(chosen) < ordered.index(rung):
            continue
        if _is_free(rung):
            chosen = rung if rung.stand == "passes" else chosen
            continue
        if rung.evidence.confirmed is None:
            return Choice(chosen, passed_over, rung)
        share = (FIRST_SHARE if first else 0.0) + (1 - FIRST_SHARE) / tested
        allowed = handed_on + (1 - rung.requirements.confidence) * share
        first = False
        passes = rung.stand == "passes" and _passes(rung, 1 - allowed)
        handed_on = allowed if passes else 0.0
        if passes:
            chosen = rung
        elif rung.stand == "passes":
            passed_over += [s for s in ordered if s.candidate.numerics == rung.candidate.numerics]
    return Choice(chosen, passed_over, None)


def _safest_first(ordered: Sequence[Standing]) -> list[Standing]:
    """For each kind of numerics its most preferred setting; the suspect ones last."""
    best = {s.candidate.numerics: s for s in reversed(ordered)}
    first = {n: min(s.place for s in ordered if s.candidate.numerics == n) for n in best}
    return sorted(best.values(), key=lambda s: (_is_suspect(s), first[s.candidate.numerics]))


def _is_suspect(standing: Standing) -> bool:
    selected = standing.evidence.selected
    return selected is not None and standing.judged(selected, SUSPECT).verdict == "fail"


def _is_free(standing: Standing) -> bool:
    """The reference's own answers need no test against the reference; a floor must be tested."""
    quality = standing.quality
    if quality is None or not quality.identical:
        return False
    return standing.requirements.quality_limit(lower_is_better=quality.lower_is_better) is None


def _passes(standing: Standing, confidence: float) -> bool:
    confirmed = standing.evidence.confirmed
    return confirmed is not None and standing.judged(confirmed, confidence).verdict == "pass"
