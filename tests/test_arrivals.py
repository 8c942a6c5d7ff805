"""Requests arrive as asked for."""

from __future__ import annotations

import numpy as np
import pytest

from steelyard.arrivals import gamma, poisson


def test_poisson_arrivals_have_the_rate_and_unit_variation() -> None:
    gaps = np.diff(poisson(50.0, 40_000, np.random.default_rng(0)))
    assert gaps.min() > 0
    assert gaps.mean() == pytest.approx(1 / 50, rel=0.02)
    assert gaps.std() / gaps.mean() == pytest.approx(1, rel=0.02)


@pytest.mark.parametrize("cv", [0.3, 1.0, 2.5])
def test_gamma_arrivals_have_the_rate_and_the_variation_asked_for(cv: float) -> None:
    gaps = np.diff(gamma(50.0, cv, 60_000, np.random.default_rng(1)))
    assert gaps.mean() == pytest.approx(1 / 50, rel=0.04)
    assert gaps.std() / gaps.mean() == pytest.approx(cv, rel=0.04)
