"""Is one version worse than another that answers beside it: shares of what went wrong, over the same time.

Requests that are shared out tell of two independent samples. Each share gets an exact one-sided limit (Clopper and
Pearson, Biometrika 26, 1934), and each of the two limits half of the allowed error: whatever the true shares are, the
difference lies beyond `lower limit − upper limit` at least as often as is claimed (Bonferroni), also where hardly
anything goes wrong. Joining the limits by the square-and-add rule, as paired answers are judged, would be a little
sharper, and holds only approximately so far out in the tail as looking many times demands.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.special import chdtri

from steelyard.records.plan import Verdict
from steelyard.verdicts.bounds import proportion_lower, proportion_upper
from steelyard.verdicts.lateness import BLOCKS, CAUTION

FEWEST_BLOCKS = 4
"""From fewer stretches with requests nothing can be told: one spell may have been all of it."""

Counts = npt.NDArray[np.float64]


class Counted(NamedTuple):
    """So many of so many; need not be whole where several requests tell as much as one."""

    bad: float
    of: float

    def alone(self, clustering: float) -> Counted:
        """As many as would tell as much, were each independent of the others; infinite clustering leaves none."""
        return Counted(self.bad / clustering, self.of / clustering)


def worse_verdict(new: Counted, old: Counted, tolerance: float, to_fail: float, to_pass: float) -> Verdict:
    """Whether the share of the new one is larger than that of the old one by more than `tolerance`.

    Fail: it is, with one-sided confidence `to_fail`. Pass: it is not, with confidence `to_pass`. A statement that may
    be made at several looks needs a confidence that all of them share.
    """
    if _lower(new, to_fail) - _upper(old, to_fail) > tolerance:
        return "fail"
    return "pass" if _upper(new, to_pass) - _lower(old, to_pass) <= tolerance else "undecided"


def _lower(counted: Counted, confidence: float) -> float:
    return proportion_lower(counted.bad, counted.of, 1 - (1 - confidence) / 2)


def _upper(counted: Counted, confidence: float) -> float:
    return proportion_upper(counted.bad, counted.of, 1 - (1 - confidence) / 2)


def clustering_between(bad: Counts, of: Counts) -> float:
    """How many requests tell as much as one on its own would, when `bad` of `of` were seen stretch by stretch.

    What goes wrong comes in spells: requests queue behind each other, or go down with their batch. By how much more the
    share differs between stretches of time than it would by chance is the design effect of cluster sampling with
    clusters of unequal size; its upper limit is taken, as in `lateness.clustering_of`. At least 1, which it is
    where all or none went wrong; infinite where there are too few stretches to tell.
    """
    total = float(of.sum())
    if total <= 0:
        return math.inf
    # Stretches are put together, whole ones, until there are `BLOCKS` of about as many requests each.
    place = np.minimum((np.cumsum(of) - of / 2) / total * BLOCKS, BLOCKS - 1).astype(np.int64)
    sizes, wrong = np.bincount(place, of), np.bincount(place, bad)
    blocks = int((sizes > 0).sum())
    if blocks < FEWEST_BLOCKS:
        return math.inf
    share = float(bad.sum()) / total
    if not 0 < share < 1:
        return 1.0
    spread = float(((wrong - share * sizes) ** 2).sum()) / (total * share * (1 - share))
    return max(1.0, spread * blocks / float(chdtri(blocks - 1, CAUTION)))
