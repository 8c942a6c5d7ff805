"""Words become numbers."""

from __future__ import annotations

import numpy as np
import pytest

from made_examples import columns
from steelyard.errors import DataError
from steelyard.preparation.encoding import OneHotWords, OrdinalWords

TOWNS = columns(town=["rome", "oslo", "rome", "bonn"], rooms=[3, 1, 3, 2], size=[1.0, 2.0, 3.0, 4.0])


def test_one_hot_in_the_order_of_the_alphabet() -> None:
    fitted = OneHotWords().fit(TOWNS)
    done = fitted.apply(columns(town=["oslo", "rome", "paris", "bonn"])).inputs["town"]
    assert done.tolist() == [[0, 1, 0], [0, 0, 1], [0, 0, 0], [1, 0, 0]]
    assert done.dtype == np.float32
    assert fitted.told == "one-hot: 1 columns of words"
    assert list(fitted.columns) == ["town"]


def test_ordinal_counts_from_one_and_keeps_zero_for_the_unknown() -> None:
    done = OrdinalWords().fit(TOWNS).apply(columns(town=["oslo", "paris", "bonn", "rome"])).inputs["town"]
    assert done.tolist() == [2, 0, 1, 3]
    assert done.dtype == np.int64


def test_whole_numbers_are_encoded_when_they_are_named() -> None:
    done = OneHotWords(columns=("rooms",)).fit(TOWNS).apply(TOWNS).inputs["rooms"]
    assert done.tolist() == [[0, 0, 1], [1, 0, 0], [0, 0, 1], [0, 1, 0]]
    with pytest.raises(DataError, match="'size' holds measured values"):
        OneHotWords(columns=("size",)).fit(TOWNS)


def test_rare_words_are_as_unknown() -> None:
    fitted = OneHotWords(most=2).fit(columns(town=["c", "b", "c", "a", "b", "d"]))
    assert fitted.told == "one-hot: 1 columns of words; town: the 2 rarest of 4 words are as unknown"
    assert fitted.apply(columns(town=["a", "b", "c"])).inputs["town"].tolist() == [[0, 0], [1, 0], [0, 1]]


def test_missing_words_must_be_filled_before() -> None:
    with pytest.raises(DataError, match="missing word in 'town'"):
        OrdinalWords().fit(columns(town=["a", None]))
