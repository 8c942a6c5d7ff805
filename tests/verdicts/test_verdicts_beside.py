"""Two versions side by side: what is said of them is true as often as it claims, in every case enumerated."""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import product

import numpy as np
import pytest
from scipy.stats import binom

from steelyard.verdicts import Counted, clustering_between, worse_verdict

SIZES = ((30, 30), (20, 180), (150, 40))
SHARES = (0.0, 0.01, 0.1, 0.3, 0.7)


@pytest.mark.parametrize("tolerance", [0.0, 0.01, 0.1])
@pytest.mark.parametrize(("new_of", "old_of"), SIZES)
def test_a_verdict_is_wrong_no_more_often_than_it_says(new_of: int, old_of: int, tolerance: float) -> None:
    verdicts = {
        (a, b): worse_verdict(Counted(a, new_of), Counted(b, old_of), tolerance, 0.95, 0.95)
        for a, b in product(range(new_of + 1), range(old_of + 1))
    }
    for old in SHARES:
        worst = old + tolerance
        # Just as bad as tolerated: "worse" is wrong. Only a little worse than that: "not worse" is.
        assert chance_of("fail", verdicts, new_of, old_of, worst, old) <= 0.05
        assert chance_of("pass", verdicts, new_of, old_of, worst + 1e-9, old) <= 0.05


def chance_of(
    verdict: str, verdicts: Mapping[tuple[int, int], str], new_of: int, old_of: int, new: float, old: float
) -> float:
    weights = np.outer(binom.pmf(range(new_of + 1), new_of, new), binom.pmf(range(old_of + 1), old_of, old))
    return float(sum(weights[pair] for pair, said in verdicts.items() if said == verdict))


def test_what_is_plain_is_said() -> None:
    assert worse_verdict(Counted(10, 50), Counted(0, 450), 0.01, 0.999, 0.95) == "fail"
    assert worse_verdict(Counted(0, 600), Counted(0, 5400), 0.01, 0.999, 0.95) == "pass"
    assert worse_verdict(Counted(0, 20), Counted(0, 180), 0.01, 0.999, 0.95) == "undecided"
    assert worse_verdict(Counted(0, 600), Counted(60, 5400), 0.01, 0.999, 0.95) == "pass"


def test_of_nothing_nothing_is_said() -> None:
    assert worse_verdict(Counted(0, 0), Counted(5, 100), 0.01, 0.95, 0.95) == "undecided"
    assert worse_verdict(Counted(100, 100), Counted(0, 0), 0.01, 0.95, 0.95) == "undecided"
    assert Counted(5, 100).alone(math.inf) == (0, 0)


def test_requests_that_fail_by_themselves_count_about_one_each() -> None:
    chance = np.random.default_rng(1)
    of = np.full(200, 50.0)
    effects = [clustering_between(chance.binomial(50, 0.1, 200).astype(float), of) for _ in range(50)]
    assert 1 <= np.mean(effects) < 2


def test_requests_that_fail_together_count_as_one() -> None:
    chance = np.random.default_rng(1)
    of = np.full(25, 50.0)
    effects = [clustering_between(of * (chance.random(25) < 0.3), of) for _ in range(50)]
    assert np.mean(effects) > 40


def test_all_or_none_has_no_spells_and_too_few_stretches_tell_nothing() -> None:
    of = np.array([0.0, 3, 5, 4, 6, 0])
    assert clustering_between(of, of) == 1
    assert clustering_between(0 * of, of) == 1
    assert clustering_between(of[:4], of[:4]) == math.inf
    assert clustering_between(of[:0], of[:0]) == math.inf
