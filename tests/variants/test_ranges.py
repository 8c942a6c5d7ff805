"""Ranges of activations: what a percentile and what entropy cut off, and what that is worth."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from steelyard.records.engine import Array, SessionSettings
from steelyard.runtimes import open_session
from steelyard.testing import tiny_model
from steelyard.variants import make
from steelyard.variants.calibration import Batches
from steelyard.variants.onnx_quantising import prepare
from steelyard.variants.ranges import Method, count, entropy, percentile, ranges

BINS = 2048


def test_zeros_and_both_ends_are_counted_apart() -> None:
    """After a capped ReLU most values are 0 or the cap; both are levels of their own in 8 bits."""
    values = np.array([0, 0, 0, 6, 6, 3, -2, 5.999, -1.999], np.float32)
    counts = count(values, -2.0, 6.0)
    assert len(counts) == BINS + 2
    assert counts.sum() == 6
    assert (counts[0], counts[-1]) == (1, 2)
    assert counts[1 + int((3 - -2) / 8 * BINS)] == 1
    assert (counts[1], counts[-2]) == (1, 1)


def test_a_percentile_cuts_off_rare_extremes_only() -> None:
    counts = np.zeros(BINS + 2, np.int64)
    counts[1 + 1000 : 1 + 1100] = 1_000
    counts[-1] = 1  # one value in a hundred thousand, far out
    assert percentile(counts, zero=1000) == (1000, 1100)
    counts[-1] = 1_000
    assert percentile(counts, zero=1000) == (1000, BINS)


def test_zero_stays_within_the_range() -> None:
    counts = np.zeros(BINS + 2, np.int64)
    counts[1 + 1500 : 1 + 1600] = 10
    first, last = percentile(counts, zero=200)
    assert first == 200
    assert last == 1600


def test_entropy_keeps_an_even_distribution_whole() -> None:
    values = np.random.default_rng(0).uniform(-1, 1, 400_000)
    assert entropy(count(values, values.min(), values.max()), zero=BINS // 2) == (0, BINS)


def test_entropy_cuts_off_long_tails() -> None:
    random = np.random.default_rng(0)
    values = np.concatenate([random.normal(size=400_000), random.uniform(-60, 60, 40)])
    first, last = entropy(count(values, -60.0, 60.0), zero=BINS // 2)
    width = 120 / BINS
    assert 3 < (last - BINS // 2) * width < 20
    assert 3 < (BINS // 2 - first) * width < 20


@pytest.mark.parametrize("method", ["percentile", "entropy"])
def test_one_odd_value_does_not_widen_the_range(method: Method, tmp_path: Path) -> None:
    prepared = prepare(tiny_model.write(tmp_path / "m", "onnx"), tmp_path)
    items = tiny_model.items(2000)["x"].copy()
    items[7, 3] = 300.0
    whole, cut = (ranges(prepared, Batches({"x": items}, 100), ["Gemm"], each)["x"] for each in ("minmax", method))
    np.testing.assert_allclose(whole, (items.min(), 300.0), rtol=1e-6)
    assert 3 < cut[1] < 60
    assert -6 < cut[0] < -3, "the other side keeps all of its values"


def test_entropy_answers_better_than_min_max_when_the_calibration_is_odd(tmp_path: Path) -> None:
    source = tiny_model.write(tmp_path / "m", "onnx")
    calibration = {"x": np.concatenate([tiny_model.items(400)["x"], np.full((1, 16), 300, np.float32)])}
    items = tiny_model.items(200, seed=5)

    def error(variant: str) -> float:
        made = make(variant, source, tmp_path / variant, calibration)
        got: Array = open_session("onnxruntime", made, SessionSettings()).run(0, items)[0]
        return float(np.abs(got - tiny_model.answers(items)).mean())

    assert error("int8-entropy") < 0.7 * error("int8-static")
