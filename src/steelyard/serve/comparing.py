"""What two versions have counted since they answer side by side, and what may be said of it, rule by rule."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from steelyard.records.base import Record
from steelyard.records.plan import Verdict
from steelyard.serve.served import ServedModel
from steelyard.serve.statistics import LATENCY_BOUNDS_S, Snapshot
from steelyard.verdicts import Counted, clustering_between, worse_verdict

RuleName = Literal["failures", "late", "disagreement"]
Stretches = npt.NDArray[np.float64]
"""[stretches of time, columns]: what was counted in each."""

FAILED, ASKED, LATE, ANSWERED, DISAGREED, COMPARED = range(6)
FIRST_BUCKET = 6
"""From this column on: the histogram of latencies."""
MOST_KEPT = 1025
"""Looks; of more every other one is forgotten, so that stretches become longer. Odd: the first and the last stay."""
ALMOST = 0.5
"""Of the bound: slower answers are almost late."""


class Rule(NamedTuple):
    """What must not become worse."""

    name: RuleName
    bad: int
    """The column that counts what went wrong."""
    of: int
    """The column that counts all."""
    must_pass: bool
    """A version is only promoted once this was shown not to be worse; otherwise the rule only speaks against it."""
    words: str
    """Of what went wrong."""


FAILURES = Rule("failures", FAILED, ASKED, True, "requests got no answer")
LATENESS = Rule("late", LATE, ANSWERED, True, "answers came late")
DISAGREEMENT = Rule("disagreement", DISAGREED, COMPARED, False, "compared answers were another class")


class Standing(Record):
    """How a rule stands."""

    rule: RuleName
    verdict: Verdict
    """Fail: the new version was shown to be worse; pass: it was shown not to be; by more than is tolerated."""
    bad: int
    """Of the new version."""
    of: int
    old_bad: int
    old_of: int
    words: str

    @property
    def told(self) -> str:
        """`3 of 120 requests got no answer, of the other version's 0 of 1,080`."""
        return f"{self.bad:,} of {self.of:,} {self.words}, of the other version's {self.old_bad:,} of {self.old_of:,}"


class Confidence(NamedTuple):
    """Of one look, so that all looks together err as often as is allowed."""

    to_fail: float
    to_pass: float


def rules_for(new: ServedModel, old: ServedModel) -> Sequence[Rule]:
    """Those that can be heeded: lateness where both plans have a bound, disagreement where both are compared."""
    rules = [FAILURES]
    if max(new.promise.bound_s, old.promise.bound_s) < math.inf:
        rules.append(LATENESS)
    if new.shadow.share and old.shadow.share:
        rules.append(DISAGREEMENT)
    return rules


class Course:
    """What one version has counted from now on, look by look."""

    def __init__(self, model: ServedModel) -> None:
        self._model = model
        self._rows = [counts_of(model)]

    def look(self) -> None:
        """One more stretch of time is over."""
        self._rows.append(counts_of(self._model))
        if len(self._rows) == MOST_KEPT:
            self._rows = self._rows[::2]

    @property
    def stretches(self) -> Stretches:
        """What was counted in each stretch of time."""
        return np.diff(np.asarray(self._rows, np.float64), axis=0)

    def alone(self, rule: Rule) -> Counted:
        """What went wrong, as if each request were independent of those before it."""
        stretches = self.stretches
        bad, of = stretches[:, rule.bad], stretches[:, rule.of]
        clustering = clustering_between(bad, of)
        if rule is LATENESS and clustering < math.inf:
            # A run without late answers may have spells of almost late ones, which tell that late ones would come so.
            clustering = max(clustering, clustering_between(self._almost_late(stretches), of))
        return Counted(float(bad.sum()), float(of.sum())).alone(clustering)

    def _almost_late(self, stretches: Stretches) -> Stretches:
        """Answers in each stretch that took more than about half of the bound: as far as the histogram tells."""
        bounds = bisect_right(LATENCY_BOUNDS_S, self._model.promise.bound_s * ALMOST)
        above: Stretches = stretches[:, FIRST_BUCKET + max(1, bounds) :].sum(axis=1)
        return above


def counts_of(model: ServedModel) -> tuple[int, ...]:
    """All columns, since the version was opened."""
    told, compared = model.statistics.snapshot(), model.shadow.told().values()
    return (
        failed(told),
        failed(told) + told.success.count,
        told.late,
        told.success.count,
        sum(each.disagreed for each in compared),
        sum(each.items for each in compared),
        *told.latency.counts,
    )


def failed(told: Snapshot) -> int:
    """Requests that got no answer, for whatever reason but that their callers left."""
    return told.broken + told.refused + told.expired


def standing(rule: Rule, new: Course, old: Course, tolerance: float, confidence: Confidence) -> Standing:
    """How a rule stands after the last look."""
    verdict = worse_verdict(new.alone(rule), old.alone(rule), tolerance, confidence.to_fail, confidence.to_pass)
    counted, beside = new.stretches.sum(axis=0), old.stretches.sum(axis=0)
    return Standing(
        rule=rule.name,
        verdict=verdict,
        bad=int(counted[rule.bad]),
        of=int(counted[rule.of]),
        old_bad=int(beside[rule.bad]),
        old_of=int(beside[rule.of]),
        words=rule.words,
    )
