"""Long sequences in windows."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from made_examples import columns, series
from steelyard.errors import DataError
from steelyard.preparation.splits import split
from steelyard.preparation.windows import windows


def test_windows_are_cut_where_there_are_steps() -> None:
    data = series((7, 3, 10))
    cut = windows(data, 3, every=2)
    assert cut.inputs["sequence"].shape == (3 + 1 + 4, 3, 2)
    assert "length" not in cut.inputs
    assert np.array_equal(cut.inputs["sequence"][2], data.inputs["sequence"][0, 4:7])
    assert np.array_equal(cut.inputs["sequence"][7], data.inputs["sequence"][2, 6:9])
    assert cut.targets.tolist() == [0, 0, 0, 1, 0, 0, 0, 0]
    assert cut.groups is not None
    assert cut.groups.tolist() == [0, 0, 0, 1, 2, 2, 2, 2]
    assert len(windows(data, 3)) == 2 + 1 + 3


def test_windows_of_one_sequence_end_in_one_part() -> None:
    parts = split(windows(series([20] * 12), 5), "group")
    groups = [set(np.asarray(part.groups).tolist()) for part in parts.named.values()]
    assert sum(len(group) for group in groups) == 12
    people = windows(replace(series([20] * 4), groups=np.array([*"abab"])), 10)
    assert np.asarray(people.groups).tolist() == list("aabbaabb")


def test_windows_that_make_no_sense() -> None:
    with pytest.raises(DataError, match="no sequence has 6 steps, the longest has 5"):
        windows(series(), 6)
    with pytest.raises(DataError, match="windows of 0 steps"):
        windows(series(), 0)
    with pytest.raises(DataError, match="these are table"):
        windows(columns(a=[1.0, 2.0]), 1)
