"""Did the latency requirement hold under real load?"""

from __future__ import annotations

import math

from steelyard.records.measurement import Load
from steelyard.records.plan import Verdict
from steelyard.records.requirements import Latency
from steelyard.verdicts.lateness import late_verdict

QUIET_CORES = 0.1
"""Other processes that use no more than so many cores do not explain why requests were late."""


def load_verdict(load: Load, latency: Latency, confidence: float) -> Verdict:
    """Whether the latency requirement held at the rate of this run.

    Whatever disturbs a run can only make requests late: "pass" stands anyway; "fail" is believed when the machine was
    quiet and the generator is not to blame, and is "undecided" otherwise. A bound other than the one that the run was
    made for is read off its quantiles.
    """
    late, once_sent = load.late, load.late_once_sent
    if latency.bound_ms != load.bound_ms:
        late = once_sent = _late_by_quantiles(load, latency.bound_ms)
    verdict = late_verdict(late, load.requests, latency.percentile, confidence, load.clustering)
    if verdict != "fail" or (load.others_cores or 0.0) > QUIET_CORES:
        return verdict if verdict == "pass" else "undecided"
    return late_verdict(once_sent, load.requests, latency.percentile, confidence, load.clustering)


def _late_by_quantiles(load: Load, bound_ms: float) -> int:
    """How many were later than this, at most: the quantiles tell it to one step."""
    beyond = sum(1 for value in load.quantiles_ms if value > bound_ms)
    return min(load.requests, math.ceil(load.requests * beyond / (len(load.quantiles_ms) - 1)))
