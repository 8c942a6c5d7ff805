"""Numbers brought to one scale, by values worked out by hand or against scikit-learn."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn import preprocessing

from made_examples import columns, pictures, series
from steelyard.errors import DataError
from steelyard.preparation.columnwise import Columnwise
from steelyard.preparation.plain import Affine, applied
from steelyard.preparation.scaling import MinMax, Robust, Standard

PAIRS = [
    (Standard(), preprocessing.StandardScaler()),
    (MinMax(), preprocessing.MinMaxScaler()),
    (Robust(), preprocessing.RobustScaler()),
]
IDS = ["standard", "min-max", "robust"]


@pytest.mark.parametrize(("ours", "theirs"), PAIRS, ids=IDS)
def test_columns_as_scikit_learn_scales_them(ours: Any, theirs: Any) -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(1e4, 30, 101).astype(np.float32), rng.integers(0, 50, 101)
    done = ours.fit(columns(a=a, b=b)).apply(columns(a=a, b=b))
    expected = theirs.fit_transform(np.stack([a, b], axis=1).astype(np.float64))
    assert done.inputs["a"] == pytest.approx(expected[:, 0], abs=1e-2)
    assert done.inputs["b"] == pytest.approx(expected[:, 1], abs=1e-5)
    assert done.inputs["b"].dtype == np.float32


@pytest.mark.parametrize(("ours", "theirs"), PAIRS, ids=IDS)
def test_pictures_channel_by_channel(ours: Any, theirs: Any) -> None:
    data = pictures(21)
    data.inputs["image"][..., 1] //= 3
    done = ours.fit(data).apply(data).inputs["image"]
    expected = theirs.fit_transform(data.inputs["image"].reshape(-1, 3).astype(np.float64))
    assert done.shape == (21, 6, 5, 3)
    assert done.reshape(-1, 3) == pytest.approx(expected, abs=0.02)


@pytest.mark.parametrize(("ours", "theirs"), PAIRS, ids=IDS)
def test_sequences_without_what_fills_them_up(ours: Any, theirs: Any) -> None:
    data = series((3, 9, 5))
    there = np.arange(9) < data.inputs["length"][:, None]
    done = ours.fit(data).apply(data).inputs["sequence"]
    expected = theirs.fit_transform(data.inputs["sequence"][there].astype(np.float64))
    assert done[there] == pytest.approx(expected, abs=1e-5)
    assert not done[~there].any()


def test_sixty_thousand_pictures_do_not_round() -> None:
    """In single precision the sum of so many equal values would be off by a per cent."""
    data = pictures(2)
    wide = data.with_inputs({"image": np.full((2, 2000, 2000, 1), 0.1, np.float32)})
    wide.inputs["image"][1] = 0.3
    (scaled,) = Standard().fit(wide).columns["image"]
    assert isinstance(scaled, Affine)
    assert scaled.scale[0] == pytest.approx(10, rel=1e-5)
    assert scaled.shift[0] == pytest.approx(-2, rel=1e-5)


def test_constant_columns_are_shifted_only() -> None:
    fitted = Standard().fit(columns(a=[5.0, 5.0, 5.0], b=[1.0, 2.0, 3.0]))
    assert fitted.told == "standard: 2 inputs scaled; without spread, only shifted: a"
    assert fitted.apply(columns(a=[5.0, 6.0], b=[1.0, 2.0])).inputs["a"].tolist() == [0.0, 1.0]
    assert fitted.columns["a"] == (Affine(scale=(1.0,), shift=(-5.0,)),)


def test_words_are_left_alone_and_cannot_be_named() -> None:
    data = columns(a=[1.0, 2.0], town=["x", "y"])
    assert list(Standard().fit(data).columns) == ["a"]
    with pytest.raises(DataError, match="the column 'town' holds words"):
        Standard(columns=("town",)).fit(data)
    with pytest.raises(DataError, match="names 'b', which is not there; there are a, town"):
        MinMax(columns=("b",)).fit(data)


def test_gaps_must_be_filled_before() -> None:
    with pytest.raises(DataError, match="missing or infinite value in 'a'") as caught:
        Robust().fit(columns(a=[1.0, np.nan]))
    assert caught.value.hint == "put the step `missing` before it"


def test_the_plain_description_is_all_that_is_done() -> None:
    data = pictures(9)
    fitted = Standard().fit(data)
    assert isinstance(fitted, Columnwise)
    (piece,) = fitted.serving["image"]
    assert isinstance(piece, Affine)
    by_hand = data.inputs["image"] * np.array(piece.scale, np.float32) + np.array(piece.shift, np.float32)
    assert np.array_equal(fitted.apply(data).inputs["image"], by_hand)
    assert np.array_equal(applied(piece, data.inputs["image"]), by_hand)
