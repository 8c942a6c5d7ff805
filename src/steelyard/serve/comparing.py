"""What two versions have counted since they answer side by side, and what may be said of it, rule by rule."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from steelyard.records.base import Record
from steelyard.records.plan import Verdict
from steelyard.serve.served import ServedModel
from steelyard.serve.statistics import Snapshot
from steelyard.verdicts import Counted, clustering_between, worse_verdict

RuleName = Literal["failures", "late", "disagreement"]
Stretches = npt.NDArray[np.float64]
"""[stretches of time, columns]: what was counted in each."""

FAILED, ASKED, LATE, ANSWERED, DISAGREED, COMPARED = range(6)
FIRST_BUCKET = 6
"""From this column on: the histogram of latencies."""
MOST_KEPT = 1025
"""Looks; of more every other one is forgotten, so that stretches become longer. Odd: the first and the last stay."""
USUAL_PERCENTILE = 95.0
"""Of a plan that names a bound and no percentile."""


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

    def stretches(self) -> Stretches:
        """What was counted in each."""
        return np.diff(np.asarray(self._rows, np.float64), axis=0)


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


def standing(
    rule: Rule, new: Stretches, old: Stretches, percentile: float, tolerance: float, confidence: Confidence
) -> Standing:
    """How a rule stands after these stretches. `percentile`: that of the plan's promise."""
    verdict = worse_verdict(
        _alone(rule, new, percentile), _alone(rule, old, percentile), tolerance, confidence.to_fail, confidence.to_pass
    )
    return Standing(
        rule=rule.name,
        verdict=verdict,
        bad=int(new[:, rule.bad].sum()),
        of=int(new[:, rule.of].sum()),
        old_bad=int(old[:, rule.bad].sum()),
        old_of=int(old[:, rule.of].sum()),
        words=rule.words,
    )


def _alone(rule: Rule, stretches: Stretches, percentile: float) -> Counted:
    """What went wrong, as if each request were independent of those before it."""
    bad, of = stretches[:, rule.bad], stretches[:, rule.of]
    clustering = clustering_between(bad, of)
    if rule is LATENESS and clustering < math.inf:
        # A run without late requests has spells of slow ones as well.
        clustering = max(clustering, clustering_between(_slow(stretches, percentile), of))
    return Counted(float(bad.sum()), float(of.sum())).alone(clustering)


def _slow(stretches: Stretches, percentile: float) -> Stretches:
    """The slowest answers in each stretch, about as many as may be late: as far as the histogram tells them apart."""
    above = np.cumsum(stretches[:, :FIRST_BUCKET:-1], axis=1)
    shares = above.sum(axis=0) / max(1.0, stretches[:, ANSWERED].sum())
    shares[(shares <= 0) | (shares >= 1)] = math.inf
    nearest = int(np.abs(shares - (1 - percentile / 100)).argmin())
    return above[:, nearest] if shares[nearest] < math.inf else np.zeros(len(stretches))
