"""The record that all hand on."""

from __future__ import annotations

import numpy as np
import pytest

from steelyard.datasets.examples import Examples, counted_classes, joined
from steelyard.errors import DataError


def table(count: int) -> Examples:
    return Examples(
        "table",
        {"a": np.arange(count), "b": np.arange(count) / 2},
        np.arange(count) % 2,
        ("even", "odd"),
        groups=np.arange(count) // 2,
        times=np.arange(count) * 10,
        parts=np.zeros(count, np.int8),
    )


def test_taking_takes_everything() -> None:
    taken = table(6).take([4, 1])
    assert len(taken) == 2
    assert taken.inputs["b"].tolist() == [2.0, 0.5]
    assert taken.targets.tolist() == [0, 1]
    assert taken.groups is not None
    assert taken.times is not None
    assert (taken.groups.tolist(), taken.times.tolist()) == ([2, 0], [40, 10])
    assert len(table(6).take([])) == 0
    assert table(6).take(np.arange(6) > 3).targets.tolist() == [0, 1]


def test_joining_puts_parts_back() -> None:
    whole = table(6)
    again = joined([whole.take([0, 1, 2]), whole.take([3, 4, 5])])
    assert again.inputs["a"].tolist() == whole.inputs["a"].tolist()
    assert again.times is not None
    assert again.times.tolist() == [0, 10, 20, 30, 40, 50]
    assert joined([Examples("table", {"a": np.arange(2)}, np.arange(2))] * 2).groups is None


def test_arrays_that_do_not_belong_together_are_refused() -> None:
    with pytest.raises(DataError, match=r"differ in their number of items \(targets: 3, a: 2\)"):
        Examples("table", {"a": np.arange(2)}, np.arange(3))
    with pytest.raises(DataError, match="no kind of data is called 'video'"):
        Examples("video", {"a": np.arange(2)}, np.arange(2))  # type: ignore[arg-type]
    with pytest.raises(DataError, match="there are no inputs"):
        Examples("table", {}, np.arange(2))


def test_it_says_what_it_is() -> None:
    assert repr(table(4)) == "Examples(table, 4 items, 2 classes; a int64[4], b float64[4])"
    assert counted_classes(table(5)) == {"even": 3, "odd": 2}
    assert counted_classes(Examples("table", {"a": np.arange(2)}, np.zeros(2, np.float32))) == {}
