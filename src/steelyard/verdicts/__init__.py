"""Pass, fail or undecided, each at a stated confidence: never a bare comparison of two noisy numbers.

Everything here is pure arithmetic on counts and limits. Bounds are one-sided: "with 95 % confidence not more than"
and "not less than" are two statements, each wrong in at most 5 % of the cases.

Right and wrong answers are judged by Clopper and Pearson's exact limits ("The use of confidence or fiducial
limits", Biometrika 26, 1934). The drop between paired answers joins two such limits by the square-and-add rule,
see `drop_bounds`. Other metrics bring limits found by resampling (`steelyard.metrics.resampling`).
"""

from __future__ import annotations

from steelyard.verdicts.beside import Counted, clustering_between, worse_verdict
from steelyard.verdicts.bounds import drop_bounds, proportion_lower, proportion_upper
from steelyard.verdicts.lateness import clustering_of, late_allowed, late_items_needed, late_verdict
from steelyard.verdicts.looks import spent
from steelyard.verdicts.quality import FEWEST_FOR_BOOTSTRAP, Judgement, judge_quality
from steelyard.verdicts.under_load import load_verdict

__all__ = [
    "FEWEST_FOR_BOOTSTRAP",
    "Counted",
    "Judgement",
    "clustering_between",
    "clustering_of",
    "drop_bounds",
    "judge_quality",
    "late_allowed",
    "late_items_needed",
    "late_verdict",
    "load_verdict",
    "proportion_lower",
    "proportion_upper",
    "spent",
    "worse_verdict",
]
